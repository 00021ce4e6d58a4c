/* SPDX-License-Identifier: MIT */
/* Rows of several requests in any order in one store. */
#include "support/test.h"

#include "base/alloc.h"
#include "base/file.h"
#include "formats/formats_safetensors.h"
#include "store/store_job.h"
#include "store/store_merge.h"

enum { ROWS = 5, WIDTH = 16, GROUPS = 2 };

static const uint64_t numbers[GROUPS][3] = {{2, 3, 7}, {9, 10, 11}};
static const int64_t request[ROWS]       = {1, 0, 2, 0, 1}; /* places in numbers */
static const int32_t token[ROWS] = {50, 40, 30, 20, 10}, position[ROWS] = {4, 0, 9, 2, 0};

static struct tw_store_config config_of(const char *dir)
{
    struct job job           = job_default(dir);
    struct tw_store_config c = job_config(&job, dir);
    c.columns                = 0;
    c.n_sites                = 1;
    c.dtype                  = TW_DTYPE_F32;
    return c;
}

static struct tw_store_request mixed(size_t group, int64_t of_row[ROWS])
{
    for (size_t i = 0; i < ROWS; i++) {
        of_row[i] = (int64_t)numbers[group][request[i]];
    }
    return (struct tw_store_request){.id         = numbers[group][0],
                                     .n_rows     = ROWS,
                                     .token      = token,
                                     .position   = position,
                                     .requests   = numbers[group],
                                     .n_requests = 3,
                                     .request    = of_row};
}

static void put_group(struct tw_store *store, size_t group)
{
    struct trawl_error err;
    int64_t of_row[ROWS];
    float rows[ROWS * WIDTH];
    struct tw_store_request r = mixed(group, of_row);
    for (size_t i = 0; i < ROWS * WIDTH; i++) {
        rows[i] = (float)(group * 1000 + i);
    }
    assert_ok(tw_store_begin_request(store, &r, &err));
    assert_ok(tw_store_rows(store, 0, rows, 2, &err));
    assert_ok(tw_store_rows(store, 0, rows + 2 * WIDTH, ROWS - 2, &err));
    assert_ok(tw_store_end_request(store, &err));
    assert_ok(tw_store_commit(store, group == 0 ? 0 : 8, numbers[group][2] + 1, &err));
}

static void assert_column(struct tw_safetensors *st, const char *name, const void *want, size_t bytes)
{
    struct trawl_error err;
    const struct tw_safetensors_tensor *t = NULL;
    assert_ok(tw_safetensors_get(st, name, &t, &err));
    assert_memory_equal(t->data, want, bytes);
}

static void check_chunk(struct scratch *s, size_t group)
{
    struct trawl_error err;
    struct tw_safetensors *st = NULL;
    char name[96];
    int64_t of_row[ROWS];
    float rows[ROWS * WIDTH];
    (void)mixed(group, of_row);
    for (size_t i = 0; i < ROWS * WIDTH; i++) {
        rows[i] = (float)(group * 1000 + i);
    }
    (void)snprintf(name, sizeof name, "%s/shard-00000-chunk-%08zu.safetensors", job_sites[0].name, group + 1);
    assert_ok(tw_safetensors_open(&st, scratch_path(s, name), &err));
    assert_column(st, "request", of_row, sizeof of_row);
    assert_column(st, "token", token, sizeof token);
    assert_column(st, "position", position, sizeof position);
    assert_column(st, "activation", rows, sizeof rows);
    tw_safetensors_close(st);
}

static void test_rows_stay_as_they_are_mixed(void **state)
{
    struct scratch *s = *state;
    struct trawl_error err;
    struct tw_store *store   = NULL;
    struct tw_store_config c = config_of(s->dir);
    char *manifest           = NULL;
    size_t n                 = 0;
    assert_ok(tw_store_open(&c, &store, &err));
    put_group(store, 0);
    tw_store_close(store);
    c.resume      = true;
    c.keep_groups = TW_STORE_KEEP_ALL;
    assert_ok(tw_store_open(&c, &store, &err));
    assert_int_equal(tw_store_end(store), 8);
    put_group(store, 1);
    assert_ok(tw_store_finish(store, &err));
    tw_store_close(store);
    check_chunk(s, 0);
    check_chunk(s, 1);
    assert_ok(tw_file_read(scratch_path(s, "manifest.jsonl"), 1 << 20, &manifest, &n, &err));
    assert_non_null(
        strstr(manifest, "\"first\": 2, \"end\": 8, \"requests\": 3, \"numbers\": \"2-3,7\", \"rows\": 5"));
    assert_non_null(strstr(manifest, "\"first\": 9, \"end\": 12, \"requests\": 3, \"rows\": 5"));
    tw_free(manifest);
}

static void test_refusals(void **state)
{
    struct scratch *s = *state;
    struct trawl_error err;
    struct tw_store *store   = NULL;
    struct tw_store_config c = config_of(s->dir);
    int64_t of_row[ROWS];
    const uint64_t falling[3]          = {2, 3, 3};
    const struct tw_store_request good = mixed(0, of_row);
    struct tw_store_request bad        = good;
    assert_ok(tw_store_open(&c, &store, &err));
    bad.id = 1;
    assert_refused(tw_store_begin_request(store, &bad, &err), TRAWL_ERR_INVALID,
                   "do not ascend from request 1");
    bad          = good;
    bad.requests = falling;
    assert_refused(tw_store_begin_request(store, &bad, &err), TRAWL_ERR_INVALID, "do not ascend");
    bad         = good;
    bad.request = NULL;
    assert_refused(tw_store_begin_request(store, &bad, &err), TRAWL_ERR_INVALID, "rows come without theirs");
    put_group(store, 0); /* what was refused has left nothing behind */
    assert_refused(tw_store_begin_request(store, &good, &err), TRAWL_ERR_INVALID, "out of order");
    tw_store_close(store);
    check_chunk(s, 0);
    c        = config_of(scratch_path(s, "pickles"));
    c.format = TW_STORE_PKL;
    assert_ok(tw_store_open(&c, &store, &err));
    assert_refused(tw_store_begin_request(store, &good, &err), TRAWL_ERR_INVALID, "rows cannot be mixed");
    tw_store_close(store);
}

static void test_shards_of_mixed_rows(void **state)
{
    static const struct tw_setting settings[] = {
        {"shard", "0 of 1"}, {"commit_every", "8"}, {"shuffle_rows", "5"}};
    struct scratch *s = *state;
    struct trawl_error err;
    struct tw_store *store   = NULL;
    struct tw_store_config c = config_of(s->dir);
    struct tw_merge_summary summary;
    char out[1100];
    const char *dirs[] = {s->dir};
    c.settings         = settings;
    c.n_settings       = 3;
    assert_ok(tw_store_open(&c, &store, &err));
    put_group(store, 0);
    assert_ok(tw_store_finish(store, &err));
    tw_store_close(store);
    (void)snprintf(out, sizeof out, "%s", scratch_path(s, "out"));
    assert_refused(tw_store_merge(dirs, 1, out, &summary, &err), TRAWL_ERR_UNSUPPORTED, "side by side");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_rows_stay_as_they_are_mixed),
        scratch_test(test_refusals),
        scratch_test(test_shards_of_mixed_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
