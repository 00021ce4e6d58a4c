/* SPDX-License-Identifier: MIT */
/* What is put into a store is what its files hold: every row once, rounded as asked, with its columns and
 * with statistics that a second computation confirms. */
#include "support/test.h"

#include <math.h>

#include "base/file.h"
#include "formats/formats_safetensors.h"
#include "store/store_job.h"
#include "store/store_survey.h"

enum { MAX_ROWS = 2000 };

/* Everything the job stores for a site, in order. */
struct expected {
    size_t n;
    int64_t request[MAX_ROWS];
    int32_t position[MAX_ROWS];
    float rows[MAX_ROWS * JOB_MAX_WIDTH];
};

static float rounded(enum tw_dtype dtype, float v)
{
    return dtype == TW_DTYPE_F32    ? v
           : dtype == TW_DTYPE_BF16 ? tw_bf16_to_f32(tw_bf16_from_f32(v))
                                    : tw_f16_to_f32(tw_f16_from_f32(v));
}

static struct expected *expect_site(const struct job *job, size_t site)
{
    struct expected *e = calloc(1, sizeof *e);
    size_t w           = job_sites[site].width;
    assert_non_null(e);
    for (uint64_t id = 0; id < job->n_requests; id++) {
        size_t n = job_rows(id);
        job_fill(id, site, e->rows + e->n * w, n * w);
        for (size_t r = 0; r < n; r++) {
            e->request[e->n + r]  = (int64_t)id;
            e->position[e->n + r] = (int32_t)r;
        }
        for (size_t i = e->n * w; i < (e->n + n) * w; i++) {
            e->rows[i] = rounded(job->dtype, e->rows[i]);
        }
        e->n += n;
    }
    assert_true(e->n < MAX_ROWS);
    return e;
}

static const struct tw_safetensors_tensor *tensor(const struct tw_safetensors *st, const char *name,
                                                  enum tw_dtype dtype, size_t n)
{
    const struct tw_safetensors_tensor *t = NULL;
    struct trawl_error err                = {0};
    assert_ok(tw_safetensors_get(st, name, &t, &err));
    assert_int_equal(t->dtype, dtype);
    assert_int_equal(t->shape[0], n);
    if (strcmp(name, "activation") != 0) {
        assert_int_equal((uintptr_t)t->data % tw_dtype_bytes(dtype), 0);
    }
    return t;
}

static float element(const struct tw_safetensors_tensor *t, size_t i)
{
    uint16_t half = 0;
    float whole   = 0;
    if (t->dtype == TW_DTYPE_F32) {
        memcpy(&whole, t->data + 4 * i, 4);
        return whole;
    }
    memcpy(&half, t->data + 2 * i, 2);
    return t->dtype == TW_DTYPE_BF16 ? tw_bf16_to_f32(half) : tw_f16_to_f32(half);
}

static void check_columns(const struct tw_safetensors *st, const struct expected *e, size_t at, size_t n)
{
    const int64_t *request   = (const void *)tensor(st, "request", TW_DTYPE_I64, n)->data;
    const int32_t *token     = (const void *)tensor(st, "token", TW_DTYPE_I32, n)->data;
    const int32_t *position  = (const void *)tensor(st, "position", TW_DTYPE_I32, n)->data;
    const float *logprob     = (const void *)tensor(st, "logprob", TW_DTYPE_F32, n)->data;
    const int16_t *row       = (const void *)tensor(st, "cell_row", TW_DTYPE_I16, n)->data;
    const int16_t *col       = (const void *)tensor(st, "cell_col", TW_DTYPE_I16, n)->data;
    const uint8_t *generated = tensor(st, "is_generated", TW_DTYPE_U8, n)->data;
    assert_null(tw_safetensors_find(st, "entropy"));
    for (size_t i = 0; i < n; i++) {
        struct job_columns c = job_columns_of((uint64_t)e->request[at + i]);
        int32_t p            = e->position[at + i];
        assert_int_equal(request[i], e->request[at + i]);
        assert_int_equal(position[i], p);
        assert_int_equal(token[i], c.token[p]);
        assert_true(logprob[i] == c.logprob[p]);
        assert_int_equal(row[i], c.cell_row[p]);
        assert_int_equal(col[i], c.cell_col[p]);
        assert_int_equal(generated[i], c.is_generated[p]);
    }
}

/* Read the chunks of a site one after another; returns their number. */
static size_t check_site(const struct job *job, size_t site)
{
    struct expected *e     = expect_site(job, site);
    struct trawl_error err = {0};
    size_t w               = job_sites[site].width;
    size_t at              = 0;
    size_t chunk           = 1;
    for (;; chunk++) {
        struct tw_safetensors *st             = NULL;
        const struct tw_safetensors_tensor *t = NULL;
        char path[1024];
        (void)snprintf(path, sizeof path, "%s/activations/%s/shard-00000-chunk-%08zu.safetensors", job->root,
                       job_sites[site].name, chunk);
        if (!tw_path_exists(path)) {
            break;
        }
        assert_ok(tw_safetensors_open(&st, path, &err));
        assert_ok(tw_safetensors_get(st, "activation", &t, &err));
        assert_int_equal(t->dtype, job->dtype);
        assert_int_equal(t->rank, 2);
        assert_int_equal(t->shape[1], w);
        for (size_t i = 0; i < t->shape[0] * w; i++) {
            assert_true(element(t, i) == e->rows[at * w + i]);
        }
        check_columns(st, e, at, t->shape[0]);
        at += t->shape[0];
        tw_safetensors_close(st);
    }
    assert_int_equal(at, e->n);
    free(e);
    return chunk - 1;
}

/* In long double and two passes, where the store has one pass of f64 sums. */
static void check_statistics(const struct job *job, size_t site)
{
    struct expected *e        = expect_site(job, site);
    struct tw_safetensors *st = NULL;
    struct trawl_error err    = {0};
    size_t w                  = job_sites[site].width;
    char name[256];
    (void)snprintf(name, sizeof name, "%s/activations/statistics.safetensors", job->root);
    assert_ok(tw_safetensors_open(&st, name, &err));
    (void)snprintf(name, sizeof name, "%s.mean", job_sites[site].name);
    const double *mean = (const void *)tensor(st, name, TW_DTYPE_F64, w)->data;
    (void)snprintf(name, sizeof name, "%s.variance", job_sites[site].name);
    const double *variance = (const void *)tensor(st, name, TW_DTYPE_F64, w)->data;
    (void)snprintf(name, sizeof name, "%s.norm_sum", job_sites[site].name);
    const double *norm_sum = (const void *)tensor(st, name, TW_DTYPE_F64, 1)->data;
    long double norms      = 0;
    for (size_t r = 0; r < e->n; r++) {
        long double square = 0;
        for (size_t j = 0; j < w; j++) {
            square += (long double)e->rows[r * w + j] * (long double)e->rows[r * w + j];
        }
        norms += sqrtl(square);
    }
    assert_true(fabsl((long double)*norm_sum - norms) < 1e-13L * norms);
    for (size_t j = 0; j < w; j++) {
        long double m = 0;
        long double v = 0;
        for (size_t r = 0; r < e->n; r++) {
            m += (long double)e->rows[r * w + j] / (long double)e->n;
        }
        for (size_t r = 0; r < e->n; r++) {
            v += ((long double)e->rows[r * w + j] - m) * ((long double)e->rows[r * w + j] - m) /
                 (long double)e->n;
        }
        assert_true(fabsl((long double)mean[j] - m) < 1e-14L);
        assert_true(fabsl((long double)variance[j] - v) < 1e-13L);
    }
    tw_safetensors_close(st);
    free(e);
}

static void check_dtype(void **state, enum tw_dtype dtype, size_t chunk_bytes, size_t pipe_bytes,
                        size_t chunks)
{
    struct scratch *s      = *state;
    struct job job         = job_default(s->dir);
    struct trawl_error err = {0};
    job.dtype              = dtype;
    job.chunk_bytes        = chunk_bytes;
    job.pipe_bytes         = pipe_bytes;
    job.n_requests         = 30;
    assert_ok(job_run(&job, UINT64_MAX, &err));
    for (size_t site = 0; site < JOB_SITES; site++) {
        size_t got = check_site(&job, site);
        assert_true(chunks == 0 || got == chunks);
        check_statistics(&job, site);
    }
}

static void test_bf16(void **state)
{
    check_dtype(state, TW_DTYPE_BF16, 0, 0, 10); /* one chunk a group */
}

static void test_f16_small_chunks(void **state)
{
    check_dtype(state, TW_DTYPE_F16, 1, 4096, 29); /* one chunk a request */
}

static void test_f32(void **state)
{
    check_dtype(state, TW_DTYPE_F32, 2048, 0, 0);
}

/* Equal rows in other pieces through another pipe: the same bytes. Chunk size belongs to the run. */
static void test_pieces_do_not_matter(void **state)
{
    struct scratch *s      = *state;
    struct trawl_error err = {0};
    char dirs[2][1024];
    char *seen[2];
    for (int i = 0; i < 2; i++) {
        (void)snprintf(dirs[i], sizeof dirs[i], "%s/%d", s->dir, i);
        assert_ok(tw_make_dirs(dirs[i], &err));
        struct job job = job_default(dirs[i]);
        job.pipe_bytes = i == 0 ? 0 : 4097;
        assert_ok(job_run(&job, i == 0 ? UINT64_MAX : 2, &err));
        assert_ok(job_run(&job, UINT64_MAX, &err));
        seen[i] = describe_folder(dirs[i]);
    }
    assert_string_equal(seen[0], seen[1]);
    free(seen[0]);
    free(seen[1]);
}

static void test_nonfinite_rows_are_counted(void **state)
{
    struct scratch *s             = *state;
    struct job job                = job_default(s->dir);
    struct trawl_error err        = {0};
    struct tw_store *store        = NULL;
    struct tw_store_config config = job_config(&job, s->dir);
    const int32_t token[]         = {1, 2, 3};
    float rows[3 * 16];
    struct tw_store_request r = {.n_rows = 3, .token = token};
    struct tw_survey survey;
    config.columns = 0;
    config.n_sites = 1;
    config.dtype   = TW_DTYPE_F16;
    for (int i = 0; i < 48; i++) {
        rows[i] = 2;
    }
    rows[20] = 1e6F; /* beyond f16 */
    assert_ok(tw_store_open(&config, &store, &err));
    assert_ok(tw_store_begin_request(store, &r, &err));
    assert_ok(tw_store_rows(store, 0, rows, 3, &err));
    assert_ok(tw_store_end_request(store, &err));
    assert_ok(tw_store_commit(store, 0, 1, &err));
    assert_ok(tw_store_finish(store, &err));
    tw_store_close(store);
    assert_ok(tw_survey_make(&survey, s->dir, 0, &err));
    assert_true(survey.complete && survey.groups == 1 && survey.end == 1 && survey.requests == 1);
    assert_true(survey.rows == 3 && survey.prompt == 3 && survey.generated == 0 && survey.n_sites == 1);
    const struct tw_survey_site *site = &survey.sites[0];
    assert_string_equal(site->name, "blocks.1.hook_resid_post");
    assert_true(site->files == 1 && site->requests == 1 && site->rows == 3 && site->nonfinite == 1);
    /* The two finite rows are 2 everywhere: their mean is all there is. Row 1 is the other one. */
    assert_true(site->mean_norm == 8 && site->rms_norm == 8 && site->mean_fraction == 1);
    assert_true(site->bins[0].rows == 1 && site->bins[1].rows == 0 && site->bins[2].rows == 1);
    assert_true(site->bins[2].norm_sum == 8 && site->bins[2].norm_min == 8 && site->bins[2].norm_max == 8);
    assert_true(site->outliers[0].dimension == 0 && site->outliers[0].ratio == 1);
    tw_survey_release(&survey);
}

/* ---- wrong use ---- */

static void test_bad_configurations(void **state)
{
    struct scratch *s                 = *state;
    struct job job                    = job_default(s->dir);
    struct trawl_error err            = {0};
    struct tw_store *store            = NULL;
    const struct tw_store_site bad[]  = {{"../up", -1, 4}, {"", -1, 4}, {".hidden", -1, 4}, {"a", -1, 0}};
    const struct tw_store_site same[] = {{"a", -1, 4}, {"a", -1, 4}};
    const struct tw_store_site one[]  = {{"layer_3", -1, 4}, {"blocks.3.hook_resid_post", 3, 4}};
    struct tw_store_config c          = job_config(&job, s->dir);
    for (size_t i = 0; i < 4; i++) {
        c.sites   = &bad[i];
        c.n_sites = 1;
        assert_refused(tw_store_open(&c, &store, &err), TRAWL_ERR_INVALID, "site");
    }
    c.n_sites = 2;
    c.sites   = same;
    assert_refused(tw_store_open(&c, &store, &err), TRAWL_ERR_INVALID, "site a is listed twice");
    c.sites = one;
    assert_refused(tw_store_open(&c, &store, &err), TRAWL_ERR_INVALID, "would both be written as layer_3");
    c        = job_config(&job, s->dir);
    c.format = TW_STORE_PKL;
    assert_refused(tw_store_open(&c, &store, &err), TRAWL_ERR_INVALID, "pickles are F32, not BF16");
    c       = job_config(&job, s->dir);
    c.dtype = TW_DTYPE_I8;
    assert_refused(tw_store_open(&c, &store, &err), TRAWL_ERR_INVALID, "I8");
    c       = job_config(&job, s->dir);
    c.shard = 1;
    assert_refused(tw_store_open(&c, &store, &err), TRAWL_ERR_INVALID, "shard 1 of 1");
}

static void test_wrong_calls(void **state)
{
    struct scratch *s             = *state;
    struct job job                = job_default(s->dir);
    struct trawl_error err        = {0};
    struct tw_store *store        = NULL;
    struct tw_store_config c      = job_config(&job, s->dir);
    struct job_columns cols       = job_columns_of(3);
    float rows[5 * JOB_MAX_WIDTH] = {0};
    struct tw_store_request r     = {.id = 3, .n_rows = 4, .token = cols.token, .logprob = cols.logprob};
    assert_ok(tw_store_open(&c, &store, &err));
    assert_refused(tw_store_rows(store, 0, rows, 1, &err), TRAWL_ERR_INVALID, "outside a request");
    assert_refused(tw_store_end_request(store, &err), TRAWL_ERR_INVALID, "has not begun");
    assert_refused(tw_store_begin_request(store, &r, &err), TRAWL_ERR_INVALID, "cell_row");
    r.cell_row = cols.cell_row;
    r.cell_col = cols.cell_col;
    r.task_id  = "\xff";
    assert_refused(tw_store_begin_request(store, &r, &err), TRAWL_ERR_INVALID, "UTF-8");
    r.task_id = "t";
    r.n_rows  = 0;
    assert_refused(tw_store_begin_request(store, &r, &err), TRAWL_ERR_INVALID, "0 rows");
    r.n_rows = 4;
    assert_ok(tw_store_begin_request(store, &r, &err));
    assert_refused(tw_store_begin_request(store, &r, &err), TRAWL_ERR_INVALID, "before the one before");
    assert_refused(tw_store_rows(store, 2, rows, 1, &err), TRAWL_ERR_INVALID, "site 2 of 2");
    assert_ok(tw_store_rows(store, 0, rows, 4, &err));
    assert_refused(tw_store_rows(store, 0, rows, 1, &err), TRAWL_ERR_INVALID,
                   "1 rows of blocks.1.hook_resid_post after 4");
    assert_refused(tw_store_end_request(store, &err), TRAWL_ERR_INVALID, "0 rows of blocks.1.attn.hook_z");
    assert_refused(tw_store_commit(store, 0, 4, &err), TRAWL_ERR_INVALID, "inside request 3");
    assert_ok(tw_store_rows(store, 1, rows, 4, &err));
    assert_ok(tw_store_end_request(store, &err));
    assert_refused(tw_store_begin_request(store, &r, &err), TRAWL_ERR_INVALID, "out of order");
    assert_refused(tw_store_finish(store, &err), TRAWL_ERR_INVALID, "uncommitted");
    assert_refused(tw_store_commit(store, 0, 3, &err), TRAWL_ERR_INVALID, "rows of requests 3 to 4");
    assert_refused(tw_store_commit(store, 4, 5, &err), TRAWL_ERR_INVALID, "rows of requests 3 to 4");
    assert_ok(tw_store_commit(store, 0, 6, &err));
    r.id = 5;
    assert_refused(tw_store_begin_request(store, &r, &err), TRAWL_ERR_INVALID, "out of order");
    assert_ok(tw_store_commit(store, 6, 6, &err));
    assert_int_equal(tw_store_groups(store), 2);
    assert_int_equal(tw_store_end(store), 6);
    assert_ok(tw_store_finish(store, &err));
    tw_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_bf16),
        scratch_test(test_f16_small_chunks),
        scratch_test(test_f32),
        scratch_test(test_pieces_do_not_matter),
        scratch_test(test_nonfinite_rows_are_counted),
        scratch_test(test_bad_configurations),
        scratch_test(test_wrong_calls),
    };
    return cmocka_run_group_tests_name("store rows", tests, NULL, NULL);
}
