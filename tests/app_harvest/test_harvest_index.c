/* SPDX-License-Identifier: MIT */
/* documents.jsonl: killed at any byte and written again, and the indexes of shards joined. */
#include "support/test.h"

#include "apps/harvest/harvest_index.h"
#include "base/alloc.h"

enum { CONTEXTS = 9 };

/* Context i has i % 3 pieces. */
static void add_context(struct tw_harvest_index *x, size_t i)
{
    struct trawl_error err;
    const struct tw_harvest_piece pieces[2] = {
        {.document = i, .line = 0, .file = "a \"b\".txt", .id = 0, .first_token = 3, .n = 4, .position = 1},
        {.document = i + 1, .line = 7 * i, .file = "-", .id = 1, .first_token = 0, .n = 9, .position = 6}};
    const struct tw_harvest_context c = {
        .number = i, .pieces = pieces, .n_pieces = i % 3, .id_texts = "\0\"caf\xC3\xA9\""};
    assert_ok(tw_harvest_index_add(x, &c, &err));
}

static void write_index(const char *path, size_t each, size_t first, size_t step)
{
    struct trawl_error err;
    struct tw_harvest_index x;
    assert_ok(tw_harvest_index_open(&x, path, &err));
    for (size_t i = first; i < CONTEXTS; i += step) {
        add_context(&x, i);
        if (i % each == 0) {
            assert_ok(tw_harvest_index_flush(&x, &err));
        }
    }
    assert_ok(tw_harvest_index_finish(&x, &err));
    tw_harvest_index_close(&x);
}

static void read_back(const char *path, char **data, size_t *n)
{
    struct trawl_error err;
    assert_ok(tw_file_read(path, 1 << 20, data, n, &err));
}

static void put(const char *path, const char *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void assert_file(const char *path, const char *data, size_t n)
{
    char *got    = NULL;
    size_t got_n = 0;
    read_back(path, &got, &got_n);
    assert_int_equal(got_n, n);
    assert_memory_equal(got, data, n);
    tw_free(got);
}

static void test_cut_anywhere(void **state)
{
    struct scratch *s = *state;
    const char *path  = scratch_path(s, TW_HARVEST_INDEX_NAME);
    char *want        = NULL;
    size_t n          = 0;
    write_index(path, 1, 0, 1);
    read_back(path, &want, &n);
    static const char first[] =
        "{\"request\": 1, \"position\": 1, \"n_tokens\": 4, \"file\": \"a \\\"b\\\".txt\", "
        "\"document\": 1, \"first_token\": 3}\n";
    static const char last[] =
        "{\"request\": 8, \"position\": 6, \"n_tokens\": 9, \"file\": \"-\", \"line\": 56, "
        "\"document\": 9, \"first_token\": 0, \"id\": \"caf\xC3\xA9\"}\n";
    assert_memory_equal(want, first, sizeof first - 1);
    assert_string_equal(want + n - (sizeof last - 1), last);
    char *other = malloc(n + 8);
    assert_non_null(other);
    for (size_t cut = 0; cut <= n; cut += 3) {
        put(path, want, cut); /* it was killed here */
        write_index(path, 3 + cut % 5, 0, 1);
        assert_file(path, want, n);
        memcpy(other, want, n); /* or what follows is not what was written */
        memset(other + cut, 'x', n + 8 - cut);
        put(path, other, n + 8);
        write_index(path, 3 + cut % 4, 0, 1);
        assert_file(path, want, n);
    }
    free(other);
    tw_free(want);
}

static void test_shards(void **state)
{
    struct scratch *s = *state;
    struct trawl_error err;
    char dirs[4][100], path[500], *want = NULL;
    const char *parts[3] = {dirs[2], dirs[0], dirs[1]};
    size_t n             = 0;
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(dirs[i], sizeof dirs[i], "%s/%zu", s->dir, i);
        assert_ok(tw_make_dirs(dirs[i], &err));
        (void)snprintf(path, sizeof path, "%s/%s", dirs[i], TW_HARVEST_INDEX_NAME);

        write_index(path, 1, i == 3 ? 0 : i, i == 3 ? 1 : 3); /* the last one is of everything */
    }
    read_back(path, &want, &n);
    assert_int_equal(remove(path), 0);
    assert_ok(tw_harvest_index_merge(parts, 3, dirs[3], &err));
    assert_file(path, want, n);
    tw_free(want);

    (void)snprintf(path, sizeof path, "%s/%s", dirs[1], TW_HARVEST_INDEX_NAME);
    put(path, "{\"request\": 1}\n{\"request\": \"2\"}\n", 33);
    assert_refused(tw_harvest_index_merge(parts, 3, dirs[3], &err), TRAWL_ERR_FORMAT, "line 2");
    put(path, "{\"file\": 1}\n", 12);
    assert_refused(tw_harvest_index_merge(parts, 3, dirs[3], &err), TRAWL_ERR_FORMAT, "no \"request\"");
    put(path, "{\"request\": 1}", 14);
    assert_refused(tw_harvest_index_merge(parts, 3, dirs[3], &err), TRAWL_ERR_FORMAT, "has no end");
    assert_int_equal(remove(path), 0);
    assert_refused(tw_harvest_index_merge(parts, 3, dirs[3], &err), TRAWL_ERR_FORMAT,
                   "has no documents.jsonl");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_cut_anywhere),
        scratch_test(test_shards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
