/* SPDX-License-Identifier: MIT */
/* Files cut into entries, across the borders of what is read at a time. */
#include "support/test.h"

#include "apps/harvest/harvest_source.h"

static void write_file(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void assert_next(struct tw_harvest_source *s, const char *file, uint64_t line, const char *text,
                        size_t n)
{
    struct trawl_error err;
    struct tw_harvest_entry e;
    assert_ok(tw_harvest_source_next(s, &e, &err));
    assert_non_null(e.text);
    assert_string_equal(e.file, file);
    assert_int_equal(e.line, line);
    assert_int_equal(e.size, n);
    assert_memory_equal(e.text, text, n);
}

static void assert_end(struct tw_harvest_source *s)
{
    struct trawl_error err;
    struct tw_harvest_entry e;
    for (int i = 0; i < 2; i++) {
        assert_ok(tw_harvest_source_next(s, &e, &err));
        assert_null(e.text);
    }
}

static void test_kinds_of_files(void **state)
{
    struct scratch *scratch = *state;
    char text[600], rows[600], empty[600];
    struct tw_harvest_source s;
    (void)snprintf(text, sizeof text, "%s/a.md", scratch->dir);
    (void)snprintf(rows, sizeof rows, "%s/b.jsonl", scratch->dir);
    (void)snprintf(empty, sizeof empty, "%s/c.txt", scratch->dir);
    write_file(text, "\xEF\xBB\xBFone\r\n \n\ntwo\0x", 16);
    write_file(rows, "\n{}\r\n\t\n[]", 9);
    write_file(empty, "", 0);
    const char *paths[] = {text, rows, empty};

    tw_harvest_source_init(&s, paths, 3, TW_HARVEST_AUTO, false);
    assert_next(&s, text, 0, "one\r\n \n\ntwo\0x", 13);
    assert_next(&s, rows, 2, "{}", 2);
    assert_next(&s, rows, 4, "[]", 2);
    assert_next(&s, empty, 0, "", 0);
    assert_end(&s);
    tw_harvest_source_release(&s);

    tw_harvest_source_init(&s, paths, 3, TW_HARVEST_AUTO, true);
    assert_next(&s, text, 1, "one", 3);
    assert_next(&s, text, 4, "two\0x", 5);
    assert_next(&s, rows, 2, "{}", 2);
    assert_next(&s, rows, 4, "[]", 2);
    assert_end(&s);
    tw_harvest_source_release(&s);

    tw_harvest_source_init(&s, paths, 2, TW_HARVEST_TEXT, false);
    assert_next(&s, text, 0, "one\r\n \n\ntwo\0x", 13);
    assert_next(&s, rows, 0, "\n{}\r\n\t\n[]", 9);
    assert_end(&s);
    tw_harvest_source_release(&s);
}

/* Lines of every length around what is read at a time, and one that is longer than several reads. */
static void test_long_lines(void **state)
{
    struct scratch *scratch   = *state;
    const char *path          = scratch_path(scratch, "long.txt");
    static const size_t big[] = {(1 << 20) - 2, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 1, (5 << 20) + 3, 2};
    size_t total              = 0;
    for (size_t i = 0; i < 7; i++) {
        total += big[i] + 1;
    }
    char *data = malloc(total);
    assert_non_null(data);
    for (size_t i = 0, at = 0; i < 7; i++) {
        memset(data + at, 'a' + (int)i, big[i]);
        data[at + big[i]] = '\n';
        at += big[i] + 1;
    }
    write_file(path, data, total - 1); /* the last line has no end */
    struct tw_harvest_source s;
    tw_harvest_source_init(&s, &path, 1, TW_HARVEST_TEXT, true);
    for (size_t i = 0, at = 0; i < 7; i++) {
        assert_next(&s, path, i + 1, data + at, big[i]);
        at += big[i] + 1;
    }
    assert_end(&s);
    tw_harvest_source_release(&s);
    tw_harvest_source_init(&s, &path, 1, TW_HARVEST_TEXT, false);
    assert_next(&s, path, 0, data, total - 1);
    assert_end(&s);
    tw_harvest_source_release(&s);
    free(data);
}

static void test_refusals(void **state)
{
    struct scratch *scratch = *state;
    struct trawl_error err;
    struct tw_harvest_source s;
    struct tw_harvest_entry e;
    const char *zst = "corpus.jsonl.zst", *folder = scratch->dir, *absent = "/nowhere/x.txt";
    tw_harvest_source_init(&s, &zst, 1, TW_HARVEST_AUTO, false);
    assert_refused(tw_harvest_source_next(&s, &e, &err), TRAWL_ERR_UNSUPPORTED, "zstdcat");
    tw_harvest_source_release(&s);
    tw_harvest_source_init(&s, &folder, 1, TW_HARVEST_AUTO, false);
    assert_refused(tw_harvest_source_next(&s, &e, &err), TRAWL_ERR_IO, scratch->dir);
    tw_harvest_source_release(&s);
    tw_harvest_source_init(&s, &absent, 1, TW_HARVEST_AUTO, false);
    assert_refused(tw_harvest_source_next(&s, &e, &err), TRAWL_ERR_IO, absent);
    tw_harvest_source_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_kinds_of_files),
        scratch_test(test_long_lines),
        scratch_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
