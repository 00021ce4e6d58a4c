/* SPDX-License-Identifier: MIT */
/* Following a store from outside: every chunk of the manifest once, as soon as its group is committed and not before. */
#include "support/test.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "store/store_follow.h"
#include "store/store_job.h"

/* Files that are given out now; each has to be there with the size and checksum named. */
static size_t take_all(struct tw_follow *follow, const char *dir)
{
    struct trawl_error err;
    struct tw_follow_file file;
    struct tw_mapped_file bytes;
    char path[1024];
    bool has = true;
    size_t n = 0;
    for (;; n++) {
        assert_ok(tw_follow_next(follow, &file, &has, &err));
        if (!has) {
            return n;
        }
        (void)snprintf(path, sizeof path, "%s/%s", dir, file.name);
        assert_ok(tw_mapped_file_open(&bytes, path, &err));
        assert_int_equal(bytes.size, file.bytes);
        assert_int_equal(tw_hash64(bytes.data, bytes.size), file.xxh3);
        assert_int_equal(strlen(file.run_hash), 16);
        tw_mapped_file_close(&bytes);
    }
}

static void test_grows(void **state)
{
    struct scratch *s = *state;
    struct trawl_error err;
    struct tw_follow *follow;
    char dir[256];
    struct job job = job_default(s->dir);
    size_t total   = 0, all;
    (void)snprintf(dir, sizeof dir, "%s/activations", s->dir);
    assert_ok(tw_follow_open(dir, &follow, &err));
    assert_int_equal(take_all(follow, dir), 0); /* nothing is there yet */
    job.resume = true;
    for (uint64_t groups = 1; groups <= 4; groups++) {
        assert_ok(job_run(&job, groups, &err));
        size_t now = take_all(follow, dir);
        assert_true(now > 0);
        assert_int_equal(take_all(follow, dir), 0);
        total += now;
    }
    tw_follow_close(follow);
    /* Who comes late sees the same files. */
    assert_ok(tw_follow_open(dir, &follow, &err));
    all = take_all(follow, dir);
    assert_int_equal(all, total);
    tw_follow_close(follow);
}

/* Cut at every byte, a manifest never names a file that the whole one does not, and never fails. */
static void test_cut_anywhere(void **state)
{
    struct scratch *s = *state;
    struct trawl_error err;
    struct tw_follow *follow;
    char dir[256], path[300], *text = NULL;
    size_t n, most = 0;
    struct job job = job_default(s->dir);
    (void)snprintf(dir, sizeof dir, "%s/activations", s->dir);
    (void)snprintf(path, sizeof path, "%s/manifest.jsonl", dir);
    assert_ok(job_run(&job, 2, &err));
    assert_ok(tw_file_read(path, SIZE_MAX - 1, &text, &n, &err));
    for (size_t cut = 0; cut <= n; cut++) {
        write_file(path, text, cut);
        assert_ok(tw_follow_open(dir, &follow, &err));
        size_t files = take_all(follow, dir);
        assert_true(files >= most);
        most = files;
        /* What comes later is seen by who was there before. */
        write_file(path, text, n);
        size_t later = take_all(follow, dir);
        assert_true(cut < n || later == 0);
        assert_true(files + later > 0);
        tw_follow_close(follow);
    }
    text[n / 2] ^= 1; /* damage is no torn end */
    write_file(path, text, n);
    struct tw_follow_file file;
    bool has = true;
    assert_ok(tw_follow_open(dir, &follow, &err));
    assert_refused(tw_follow_next(follow, &file, &has, &err), TRAWL_ERR_FORMAT, "manifest.jsonl");
    tw_follow_close(follow);
    tw_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_grows),
        scratch_test(test_cut_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
