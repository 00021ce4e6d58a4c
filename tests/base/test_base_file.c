/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"

static void assert_content(const char *path, const char *want, size_t n)
{
    struct trawl_error err;
    char *got   = NULL;
    size_t size = 0;
    assert_ok(tw_file_read(path, 1 << 20, &got, &size, &err));
    assert_int_equal(size, n);
    assert_memory_equal(got, want, n);
    assert_int_equal(got[n], 0);
    tw_free(got);
}

static void paths(void **state)
{
    (void)state;
    struct trawl_error err;
    static const char *const joins[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"/", "b", "/b"}, {"a", "", "a/"}};
    static const char *const dirs[][2] = {{"a/b", "a"}, {"b", "."},      {"/b", "/"},   {"/", "/"},
                                          {"", "."},    {"a/b/", "a"},   {"a//b", "a"}, {"/a/b", "/a"},
                                          {"//b", "/"}, {"a/b/c", "a/b"}};
    char *out                          = NULL;
    for (size_t i = 0; i < sizeof joins / sizeof joins[0]; i++) {
        assert_ok(tw_path_join(joins[i][0], joins[i][1], &out, &err));
        assert_string_equal(out, joins[i][2]);
        tw_free(out);
    }
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        assert_ok(tw_path_dir(dirs[i][0], &out, &err));
        assert_string_equal(out, dirs[i][1]);
        tw_free(out);
    }
}

static void folders(void **state)
{
    struct scratch *s = *state;
    struct trawl_error err;
    assert_ok(tw_make_dirs(scratch_path(s, "a/b//c/"), &err));
    assert_true(tw_path_is_dir(scratch_path(s, "a/b/c")));
    assert_ok(tw_make_dirs(scratch_path(s, "a/b"), &err));
    assert_ok(tw_file_replace(scratch_path(s, "a/f"), "x", 1, &err));
    assert_true(tw_path_exists(s->path));
    assert_false(tw_path_is_dir(s->path));
    assert_refused(tw_make_dirs(s->path, &err), TRAWL_ERR_IO, "something else has this name");
    assert_refused(tw_make_dirs(scratch_path(s, "a/f/g"), &err), TRAWL_ERR_IO, "a/f");
    assert_ok(tw_sync_dir(s->dir, &err));
    assert_ok(tw_make_parent_dirs(scratch_path(s, "p/q/file"), &err));
    assert_true(tw_path_is_dir(scratch_path(s, "p/q")));
    assert_false(tw_path_is_dir(scratch_path(s, "p/q/file")));
    assert_ok(tw_make_parent_dirs("no_folder_in_it", &err));
    assert_refused(tw_sync_dir(scratch_path(s, "none"), &err), TRAWL_ERR_IO, "No such file");
    assert_ok(tw_remove_file(scratch_path(s, "a/f"), &err));
    assert_ok(tw_remove_file(s->path, &err));
    assert_false(tw_path_exists(s->path));
    assert_refused(tw_remove_file(scratch_path(s, "a"), &err), TRAWL_ERR_IO, "cannot remove");
}

static void reading(void **state)
{
    struct scratch *s = *state;
    struct trawl_error err;
    struct tw_mapped_file map;
    char *text  = NULL;
    size_t size = 0;
    assert_ok(tw_file_replace(scratch_path(s, "f"), "a\0b", 3, &err));
    assert_content(s->path, "a\0b", 3);
    assert_ok(tw_mapped_file_open(&map, s->path, &err));
    assert_int_equal(map.size, 3);
    assert_memory_equal(map.data, "a\0b", 3);
    tw_mapped_file_close(&map);
    tw_mapped_file_close(&map);
    assert_refused(tw_file_read(s->path, 2, &text, &size, &err), TRAWL_ERR_LIMIT,
                   "limit for such a file is 2");
    assert_null(text);

    assert_ok(tw_file_replace(scratch_path(s, "empty"), "", 0, &err));
    assert_content(s->path, "", 0);
    assert_ok(tw_mapped_file_open(&map, s->path, &err));
    assert_int_equal(map.size, 0);
    assert_string_equal((const char *)map.data, "");
    tw_mapped_file_close(&map);

    assert_refused(tw_mapped_file_open(&map, s->dir, &err), TRAWL_ERR_IO, "Is a directory");
    assert_int_equal(err.os_error, EISDIR);
    assert_refused(tw_file_read(scratch_path(s, "none"), 9, &text, &size, &err), TRAWL_ERR_IO,
                   "none: No such");
    assert_int_equal(err.os_error, ENOENT);
    assert_int_equal(mkfifo(scratch_path(s, "fifo"), 0600), 0);
    assert_refused(tw_file_read(s->path, 9, &text, &size, &err), TRAWL_ERR_IO, "not a regular file");
    assert_ok(tw_file_read("/proc/self/status", 1 << 20, &text, &size, &err)); /* fstat says 0 bytes */
    assert_true(size > 100);
    tw_free(text);
    assert_refused(tw_file_read("/proc/self/status", 100, &text, &size, &err), TRAWL_ERR_LIMIT, "100 bytes");
}

static void replacement_is_all_or_nothing(void **state)
{
    struct scratch *s = *state;
    struct trawl_error err;
    struct tw_atomic_file f;
    char path[1024], tmp[1100];
    (void)snprintf(path, sizeof path, "%s", scratch_path(s, "f"));
    (void)snprintf(tmp, sizeof tmp, "%s.tmp", path);
    assert_ok(tw_file_replace(path, "old", 3, &err));
    assert_ok(tw_atomic_file_open(&f, path, &err));
    assert_ok(tw_atomic_file_write(&f, "new content", 11, &err));
    assert_content(path, "old", 3); /* until the commit */
    tw_atomic_file_abandon(&f);
    tw_atomic_file_abandon(&f);
    assert_content(path, "old", 3);
    assert_false(tw_path_exists(tmp));

    /* Pieces of all sizes around the buffer's. */
    enum { TOTAL = 400000 };
    static char data[TOTAL];
    for (size_t i = 0; i < TOTAL; i++) {
        data[i] = (char)(i * 7919 >> 3);
    }
    static const size_t steps[] = {1, 65535, 65536, 65537, 100, 65500, 70000, 36};
    assert_ok(tw_atomic_file_open(&f, path, &err));
    size_t at = 0;
    for (size_t i = 0; at < TOTAL; i++) {
        size_t n = steps[i % 8] < TOTAL - at ? steps[i % 8] : TOTAL - at;
        assert_ok(tw_atomic_file_write(&f, data + at, n, &err));
        at += n;
        assert_int_equal(f.written, at);
    }
    assert_ok(tw_atomic_file_commit(&f, &err));
    assert_content(path, data, TOTAL);
    assert_false(tw_path_exists(tmp));

    assert_refused(tw_atomic_file_open(&f, scratch_path(s, "no/such/f"), &err), TRAWL_ERR_IO, "No such file");
    tw_atomic_file_abandon(&f);

    /* The target's name is taken by a folder: the rename fails, nothing stays behind. */
    assert_ok(tw_make_dirs(scratch_path(s, "d/x"), &err));
    assert_refused(tw_file_replace(scratch_path(s, "d"), "x", 1, &err), TRAWL_ERR_IO, "rename");
    assert_false(tw_path_exists(scratch_path(s, "d.tmp")));
}

/* A killed writer leaves the old file, whatever it had written. */
static void killed_writer_changes_nothing(void **state)
{
    struct scratch *s = *state;
    struct trawl_error err;
    assert_ok(tw_file_replace(scratch_path(s, "f"), "old", 3, &err));
    pid_t child = fork();
    if (child == 0) {
        struct tw_atomic_file f;
        static const char zeros[200000];
        (void)tw_atomic_file_open(&f, s->path, NULL);
        (void)tw_atomic_file_write(&f, zeros, sizeof zeros, NULL);
        (void)kill(getpid(), SIGKILL);
    }
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how));
    assert_content(s->path, "old", 3);
    assert_ok(tw_file_replace(s->path, "new", 3, &err)); /* over the temporary that was left */
    assert_content(s->path, "new", 3);
}

static void journal(void **state)
{
    struct scratch *s = *state;
    struct trawl_error err;
    struct tw_append_file j, second;
    assert_ok(tw_append_file_open(&j, scratch_path(s, "journal"), &err));
    assert_int_equal(j.size, 0);
    assert_ok(tw_append_file_append(&j, "one\n", 4, &err));
    assert_ok(tw_append_file_append(&j, "two\n", 4, &err));
    assert_int_equal(j.size, 8);
    assert_content(s->path, "one\ntwo\n", 8);

    /* Locked: in this process through another descriptor, and in another process. */
    assert_refused(tw_append_file_open(&second, s->path, &err), TRAWL_ERR_EXISTS,
                   "in use by another process");
    assert_int_equal(second.fd, -1);
    pid_t child = fork();
    if (child == 0) {
        _exit(tw_append_file_open(&second, s->path, NULL) == TRAWL_ERR_EXISTS ? 0 : 1);
    }
    int how = 1;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_int_equal(how, 0);
    assert_content(s->path, "one\ntwo\n", 8);

    assert_refused(tw_append_file_truncate(&j, 9, &err), TRAWL_ERR_INVALID,
                   "cannot cut to 9 bytes, it has 8");
    assert_ok(tw_append_file_truncate(&j, 4, &err));
    assert_ok(tw_append_file_append(&j, "three\n", 6, &err));
    assert_content(s->path, "one\nthree\n", 10);
    tw_append_file_close(&j);
    tw_append_file_close(&j);

    assert_ok(tw_append_file_open(&j, s->path, &err)); /* the lock went with the descriptor */
    assert_int_equal(j.size, 10);
    tw_append_file_close(&j);
    assert_refused(tw_append_file_open(&j, s->dir, &err), TRAWL_ERR_IO, "Is a directory");
}

/* Who starts again while the process before is still ending waits for it. */
static void journal_of_a_process_that_is_ending(void **state)
{
    struct scratch *s = *state;
    struct trawl_error err;
    struct tw_append_file j;
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    assert_ok(tw_append_file_open(&j, scratch_path(s, "journal"), &err));
    pid_t child = fork();
    if (child == 0) {
        struct tw_append_file second;
        (void)close(j.fd); /* the lock belongs to the parent alone */
        ssize_t n = write(ready[1], "r", 1);
        _exit(n == 1 && tw_append_file_open(&second, s->path, NULL) == TRAWL_OK ? 0 : 1);
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    for (uint64_t end = tw_clock_ns() + 50000000; tw_clock_ns() < end;) {
        (void)sched_yield(); /* the child has met the lock by now */
    }
    tw_append_file_close(&j);
    int how = 1;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_int_equal(how, 0);
    (void)close(ready[0]);
    (void)close(ready[1]);
}

/* The file system is full half-way through an append: the journal is as before, and works again later. */
static void failed_append_leaves_no_torn_line(void **state)
{
    struct scratch *s = *state;
    struct trawl_error err;
    struct tw_append_file j;
    struct rlimit old, small;
    static char block[3000];
    assert_ok(tw_append_file_open(&j, scratch_path(s, "journal"), &err));
    assert_ok(tw_append_file_append(&j, "one\n", 4, &err));
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small          = old;
    small.rlim_cur = 1000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    trawl_status status  = tw_append_file_append(&j, block, sizeof block, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    (void)signal(SIGXFSZ, handler);
    assert_int_equal(status, TRAWL_ERR_IO);
    assert_int_equal(err.os_error, EFBIG);
    assert_content(s->path, "one\n", 4);
    assert_ok(tw_append_file_append(&j, "two\n", 4, &err));
    assert_content(s->path, "one\ntwo\n", 8);
    tw_append_file_close(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths),
        scratch_test(folders),
        scratch_test(reading),
        scratch_test(replacement_is_all_or_nothing),
        scratch_test(killed_writer_changes_nothing),
        scratch_test(journal),
        scratch_test(journal_of_a_process_that_is_ending),
        scratch_test(failed_append_leaves_no_torn_line),
    };
    return cmocka_run_group_tests_name("base.file", tests, NULL, NULL);
}
