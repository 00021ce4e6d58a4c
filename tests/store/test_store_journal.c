/* SPDX-License-Identifier: MIT */
/* The journal: what is committed stays, what is torn goes, what is damaged is refused. */
#include "support/test.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "store/store_job.h"
#include "store/store_journal.h"

enum { GROUPS = 4, PER_GROUP = 3 };

/* Thousands of journals are opened here, and no power is cut: syncing would only take time. */
int fsync(int fd)
{
    (void)fd;
    return 0;
}

int fdatasync(int fd)
{
    return fsync(fd);
}

static char path[1024];

static int setup(void **state)
{
    int failed = scratch_make(state);
    if (failed == 0) {
        (void)snprintf(path, sizeof path, "%s", scratch_path(*state, "journal.jsonl"));
    }
    return failed;
}

static struct tw_journal_config config(bool resume)
{
    return (struct tw_journal_config){
        .path = path, .kind = "results", .settings = job_settings, .n_settings = 2, .resume = resume};
}

static void put_group(struct tw_journal *j, uint64_t g)
{
    struct trawl_error err = {0};
    for (uint64_t id = g * PER_GROUP; id < (g + 1) * PER_GROUP; id++) {
        char text[128];
        int n = snprintf(text, sizeof text, "{\"id\": %llu, \"text\": \"line\\n of %llu \\u00e9\"}",
                         (unsigned long long)id, (unsigned long long)(id * id));
        assert_ok(tw_journal_add(j, text, (size_t)n, &err));
    }
    assert_ok(tw_journal_commit(j, g * PER_GROUP, (g + 1) * PER_GROUP, &err));
}

/* The bytes of a journal of n groups. */
static char *make_journal(uint64_t n, size_t *size)
{
    struct tw_journal_config c = config(false);
    struct trawl_error err     = {0};
    struct tw_journal *j       = NULL;
    char *out                  = NULL;
    (void)unlink(path);
    assert_ok(tw_journal_open(&c, &j, &err));
    for (uint64_t g = 0; g < n; g++) {
        put_group(j, g);
    }
    tw_journal_close(j);
    assert_ok(tw_file_read(path, SIZE_MAX, &out, size, &err));
    return out;
}

static trawl_status count_record(void *user, uint64_t group, const char *text, size_t n,
                                 struct trawl_error *err)
{
    uint64_t *count = user;
    char want[64];
    (void)err;
    int m = snprintf(want, sizeof want, "{\"id\": %llu, ", (unsigned long long)*count);
    assert_true(n > (size_t)m);
    assert_memory_equal(text, want, (size_t)m);
    assert_int_equal(group, *count / PER_GROUP + 1);
    (*count)++;
    return TRAWL_OK;
}

static void expect_groups(const struct tw_journal *j, uint64_t groups)
{
    struct trawl_error err = {0};
    uint64_t count         = 0;
    assert_int_equal(tw_journal_groups(j), groups);
    assert_int_equal(tw_journal_end(j), groups * PER_GROUP);
    assert_ok(tw_journal_each(j, count_record, &count, &err));
    assert_int_equal(count, groups * PER_GROUP);
}

static void test_bytes(void **state)
{
    static const char start[]   = "{\"trawl_journal\": 1, \"kind\": \"results\", \"run\": {\"model\": "
                                  "\"tiny\", \"dtype\": \"float32\"}, "
                                  "\"run_hash\": \"";
    static const char records[] = "{\"id\": 0, \"text\": \"line\\n of 0 \\u00e9\"}\n"
                                  "{\"id\": 1, \"text\": \"line\\n of 1 \\u00e9\"}\n"
                                  "{\"id\": 2, \"text\": \"line\\n of 4 \\u00e9\"}\n"
                                  "{\"commit\": 1, \"first\": 0, \"end\": 3";
    char rest[64];
    char hex[17];
    size_t n = 0;
    (void)state;
    char *text = make_journal(1, &n);
    assert_memory_equal(text, start, sizeof start - 1);
    const char *second = strchr(text, '\n') + 1;
    assert_memory_equal(second, records, sizeof records - 1);
    tw_hash_hex(tw_hash64(records, sizeof records - 1), hex);
    (void)snprintf(rest, sizeof rest, ", \"xxh3\": \"%s\"}\n", hex);
    assert_string_equal(second + sizeof records - 1, rest);
    tw_free(text);
}

static void test_resume_continues(void **state)
{
    struct tw_journal_config c = config(true);
    struct trawl_error err;
    struct tw_journal *j = NULL;
    size_t n             = 0;
    size_t m             = 0;
    char *text           = NULL;
    (void)state;
    char *whole = make_journal(GROUPS, &n);
    (void)unlink(path);
    for (uint64_t g = 0; g < GROUPS; g++) {
        assert_ok(tw_journal_open(&c, &j, &err));
        expect_groups(j, g);
        assert_ok(tw_journal_add(j, "{}", 2, &err)); /* uncommitted: forgotten */
        tw_journal_close(j);
        assert_ok(tw_journal_open(&c, &j, &err));
        put_group(j, g);
        expect_groups(j, g + 1);
        tw_journal_close(j);
    }
    assert_ok(tw_file_read(path, SIZE_MAX, &text, &m, &err));
    assert_int_equal(m, n);
    assert_memory_equal(text, whole, n);
    tw_free(text);
    tw_free(whole);
}

static void test_new_refuses_what_is_there(void **state)
{
    struct tw_journal_config c = config(false);
    struct trawl_error err;
    struct tw_journal *j = NULL;
    size_t n             = 0;
    (void)state;
    tw_free(make_journal(2, &n));
    assert_refused(tw_journal_open(&c, &j, &err), TRAWL_ERR_EXISTS, "2 committed groups");
    assert_null(j);
}

/* Cut at every byte: whole groups stay, the rest goes, and the job goes on to the same bytes. */
static void test_torn_at_every_byte(void **state)
{
    struct tw_journal_config c = config(true);
    struct trawl_error err;
    size_t n      = 0;
    size_t before = 0;
    (void)state;
    char *two   = make_journal(GROUPS - 1, &before);
    char *whole = make_journal(GROUPS, &n);
    for (size_t cut = 0; cut < n; cut++) {
        struct tw_journal *j = NULL;
        char *text           = NULL;
        size_t m             = 0;
        write_file(path, whole, cut);
        assert_ok(tw_journal_open(&c, &j, &err));
        if (cut >= before) {
            expect_groups(j, GROUPS - 1);
        }
        for (uint64_t g = tw_journal_groups(j); g < GROUPS; g++) {
            put_group(j, g);
        }
        tw_journal_close(j);
        assert_ok(tw_file_read(path, SIZE_MAX, &text, &m, &err));
        assert_int_equal(m, n);
        assert_memory_equal(text, whole, n);
        tw_free(text);
    }
    tw_free(two);
    tw_free(whole);
}

/* A torn write may also leave zeros where data did not arrive. */
static void test_torn_with_zeros(void **state)
{
    struct tw_journal_config c = config(true);
    struct trawl_error err;
    size_t n      = 0;
    size_t before = 0;
    (void)state;
    tw_free(make_journal(GROUPS - 1, &before));
    char *whole = make_journal(GROUPS, &n);
    for (size_t at = before; at < n; at++) {
        struct tw_journal *j = NULL;
        memset(whole + at, 0, n - at);
        write_file(path, whole, n);
        assert_ok(tw_journal_open(&c, &j, &err));
        expect_groups(j, GROUPS - 1);
        tw_journal_close(j);
        tw_free(whole);
        whole = make_journal(GROUPS, &n);
    }
    tw_free(whole);
}

/* Any changed byte before the last group is damage; in the last group it may also count as torn. Never is
 * a changed record believed. */
static void test_every_changed_byte_is_noticed(void **state)
{
    struct tw_journal_config c = config(true);
    struct trawl_error err;
    size_t n      = 0;
    size_t before = 0;
    (void)state;
    tw_free(make_journal(GROUPS - 1, &before));
    char *whole = make_journal(GROUPS, &n);
    for (size_t at = 0; at < n; at++) {
        static const char flips[] = {1, 32, 'x'};
        for (size_t f = 0; f < sizeof flips; f++) {
            struct tw_journal *j = NULL;
            whole[at] ^= flips[f];
            write_file(path, whole, n);
            trawl_status status = tw_journal_open(&c, &j, &err);
            if (status == TRAWL_OK) {
                assert_true(at >= before);
                expect_groups(j, GROUPS - 1);
            }
            tw_journal_close(j);
            whole[at] ^= flips[f];
        }
    }
    tw_free(whole);
}

static void test_damage_names_lines(void **state)
{
    struct tw_journal_config c = config(true);
    struct trawl_error err;
    struct tw_journal *j = NULL;
    size_t n             = 0;
    (void)state;
    char *whole             = make_journal(GROUPS, &n);
    *strstr(whole, "of 16") = 'O'; /* record 4: the second of group 2, line 7 of the file */
    write_file(path, whole, n);
    assert_refused(tw_journal_open(&c, &j, &err), TRAWL_ERR_FORMAT, "lines 6 to 9");
    tw_free(whole);
}

static void test_removed_group_is_noticed(void **state)
{
    struct tw_journal_config c = config(true);
    struct trawl_error err;
    struct tw_journal *j = NULL;
    size_t n             = 0;
    size_t two           = 0;
    size_t three         = 0;
    (void)state;
    tw_free(make_journal(2, &two));
    tw_free(make_journal(3, &three));
    char *whole = make_journal(GROUPS, &n);
    memmove(whole + two, whole + three, n - three); /* without group 3, which is not the last */
    write_file(path, whole, n - (three - two));
    assert_refused(tw_journal_open(&c, &j, &err), TRAWL_ERR_FORMAT, "not group 3");
    tw_free(whole);
}

static void test_settings_are_compared(void **state)
{
    struct tw_journal_config c = config(true);
    struct trawl_error err;
    struct tw_journal *j            = NULL;
    size_t n                        = 0;
    const struct tw_setting other[] = {{"model", "tiny"}, {"dtype", "bfloat16"}, {"seed", "1"}};
    (void)state;
    tw_free(make_journal(1, &n));
    c.settings = other;
    assert_refused(tw_journal_open(&c, &j, &err), TRAWL_ERR_EXISTS,
                   "dtype was \"float32\", now it is \"bfloat16\"");
    c.n_settings = 1;
    assert_refused(tw_journal_open(&c, &j, &err), TRAWL_ERR_EXISTS, "dtype \"float32\"");
    const struct tw_setting more[] = {{"model", "tiny"}, {"dtype", "float32"}, {"seed", "1"}};
    c.settings                     = more;
    c.n_settings                   = 3;
    assert_refused(tw_journal_open(&c, &j, &err), TRAWL_ERR_EXISTS, "seed");
    const struct tw_setting twice[] = {{"model", "tiny"}, {"model", "tiny"}};
    c.settings                      = twice;
    c.n_settings                    = 2;
    assert_refused(tw_journal_open(&c, &j, &err), TRAWL_ERR_INVALID, "\"model\" is given twice");
    c      = config(true);
    c.kind = "activations";
    assert_refused(tw_journal_open(&c, &j, &err), TRAWL_ERR_FORMAT, "\"results\"");
}

static void test_foreign_files_stay(void **state)
{
    static const char *const texts[] = {"my notes",
                                        "my notes\n",
                                        "{\"a\": 1}\n",
                                        "[]\n",
                                        "{\"trawl_journal\": 2}\n",
                                        "{\"trawl_journal\": 1, \"kind\": \"results\"}\n",
                                        "\n"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct tw_journal_config c = config(true);
        struct trawl_error err     = {0};
        struct tw_journal *j       = NULL;
        char *text                 = NULL;
        size_t n                   = 0;
        write_file(path, texts[i], strlen(texts[i]));
        assert_int_not_equal(tw_journal_open(&c, &j, &err), TRAWL_OK);
        assert_non_null(strstr(err.message, path));
        assert_ok(tw_file_read(path, SIZE_MAX, &text, &n, &err));
        assert_string_equal(text, texts[i]);
        tw_free(text);
    }
}

static void test_lock(void **state)
{
    struct tw_journal_config c = config(true);
    struct trawl_error err;
    struct tw_journal *a = NULL;
    struct tw_journal *b = NULL;
    (void)state;
    (void)unlink(path);
    assert_ok(tw_journal_open(&c, &a, &err));
    assert_refused(tw_journal_open(&c, &b, &err), TRAWL_ERR_EXISTS, "in use by another process");
    put_group(a, 0);
    tw_journal_close(a);
    assert_ok(tw_journal_open(&c, &b, &err));
    expect_groups(b, 1);
    tw_journal_close(b);
}

static void test_bad_records_and_ranges(void **state)
{
    static const char *const bad[] = {"", "1", "[]", "{", "{\"a\": 1}\n", "{\"commit\": 1}", "{} {}"};
    struct tw_journal_config c     = config(true);
    struct trawl_error err;
    struct tw_journal *j = NULL;
    (void)state;
    (void)unlink(path);
    assert_ok(tw_journal_open(&c, &j, &err));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(tw_journal_add(j, bad[i], strlen(bad[i]), &err), TRAWL_ERR_INVALID);
    }
    put_group(j, 0);
    assert_int_equal(tw_journal_commit(j, 2, 4, &err), TRAWL_ERR_INVALID);
    assert_int_equal(tw_journal_commit(j, 5, 4, &err), TRAWL_ERR_INVALID);
    assert_int_equal(tw_journal_commit(j, 3, UINT64_MAX, &err), TRAWL_ERR_INVALID);
    assert_ok(tw_journal_commit(j, 3, 3, &err)); /* nothing happened: a group all the same */
    assert_int_equal(tw_journal_groups(j), 2);
    assert_int_equal(tw_journal_truncate(j, 3, &err), TRAWL_ERR_INVALID);
    assert_ok(tw_journal_truncate(j, 1, &err));
    expect_groups(j, 1);
    put_group(j, 1);
    tw_journal_close(j);
    assert_ok(tw_journal_open(&c, &j, &err));
    expect_groups(j, 2);
    tw_journal_close(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_resume_continues),
        cmocka_unit_test(test_new_refuses_what_is_there),
        cmocka_unit_test(test_torn_at_every_byte),
        cmocka_unit_test(test_torn_with_zeros),
        cmocka_unit_test(test_every_changed_byte_is_noticed),
        cmocka_unit_test(test_damage_names_lines),
        cmocka_unit_test(test_removed_group_is_noticed),
        cmocka_unit_test(test_settings_are_compared),
        cmocka_unit_test(test_foreign_files_stay),
        cmocka_unit_test(test_lock),
        cmocka_unit_test(test_bad_records_and_ranges),
    };
    return cmocka_run_group_tests_name("store journal", tests, setup, scratch_remove);
}
