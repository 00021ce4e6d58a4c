/* SPDX-License-Identifier: MIT */
/* Which rows a job stores, in which order, and what it says of them, for prompts and answers. */
#include "support/test.h"

#include <math.h>

#include "api_harness.h"
#include "formats/formats_safetensors.h"

enum { GROUP = 4, N_GROUPS = 3, ROWS_MAX = 1000, SKIPPED = 3, VOCAB = 131, WIDTH_MAX = 256 };

static const char *const sites[] = {"blocks.0.hook_resid_post", "blocks.1.hook_resid_post"};

struct row {
    int64_t request;
    int32_t token, position, place; /* place: in its chunk */
    uint8_t is_generated;
    float logprob, entropy;
    float activation[WIDTH_MAX];
};

struct rows {
    struct row list[ROWS_MAX];
    size_t n;
};

static const void *tensor(const struct tw_safetensors *st, const char *name)
{
    const struct tw_safetensors_tensor *t = tw_safetensors_find(st, name);
    assert_non_null(t);
    return t->data;
}

static void read_chunk(const char *path, bool measured, struct rows *out)
{
    struct trawl_error err;
    struct tw_safetensors *st = NULL;
    assert_ok(tw_safetensors_open(&st, path, &err));
    const struct tw_safetensors_tensor *a = tw_safetensors_find(st, "activation");
    size_t n = a->shape[0], width = a->shape[1];
    assert_true(out->n + n <= ROWS_MAX && width <= WIDTH_MAX);
    assert_int_equal(tw_safetensors_find(st, "logprob") != NULL, measured);
    for (size_t i = 0; i < n; i++) {
        struct row *r = &out->list[out->n++];
        *r            = (struct row){.place = (int32_t)i};
        memcpy(&r->request, (const int64_t *)tensor(st, "request") + i, sizeof r->request);
        memcpy(&r->token, (const int32_t *)tensor(st, "token") + i, sizeof r->token);
        memcpy(&r->position, (const int32_t *)tensor(st, "position") + i, sizeof r->position);
        r->is_generated = ((const uint8_t *)tensor(st, "is_generated"))[i];
        memcpy(r->activation, (const float *)(const void *)a->data + i * width, width * sizeof(float));
        if (measured) {
            memcpy(&r->logprob, (const float *)tensor(st, "logprob") + i, sizeof(float));
            memcpy(&r->entropy, (const float *)tensor(st, "entropy") + i, sizeof(float));
        }
    }
    tw_safetensors_close(st);
}

static struct rows *read_store(const char *store, const char *site, bool measured)
{
    struct rows *rows = calloc(1, sizeof *rows);
    assert_non_null(rows);
    for (int chunk = 1; chunk <= N_GROUPS; chunk++) {
        char path[2048];
        (void)snprintf(path, sizeof path, "%s/%s/shard-00000-chunk-%08d.safetensors", store, site, chunk);
        read_chunk(path, measured, rows);
    }
    return rows;
}

/* What on_logits was given of one request: log p of the next token at each position of its prompt. */
struct seen {
    size_t from, n;
    float logprobs[64];
};

static trawl_status see_logits(void *user, uint64_t request, size_t position, const float *logits,
                               const float *logprobs, size_t n, size_t vocab, struct trawl_error *err)
{
    struct seen *s = &((struct seen *)user)[request];
    (void)logits;
    (void)err;
    assert_int_equal(vocab, VOCAB);
    s->from = s->n == 0 ? position : s->from;
    assert_int_equal(position, s->from + s->n);
    memcpy(s->logprobs + s->n, logprobs, n * sizeof *logprobs);
    s->n += n;
    return TRAWL_OK;
}

static struct trawl_job_config config_in(const char *dir, struct api_files *files)
{
    struct trawl_job_config c = api_config_in(dir, files, sites, 2, GROUP, false);
    c.capture.dtype           = TRAWL_DTYPE_FLOAT32;
    return c;
}

static const char *below(const struct scratch *s, const char *name, char out[256])
{
    (void)snprintf(out, 256, "%s/%s", s->dir, name);
    return out;
}

/* All requests; those with an even number want logits from position 2 on. */
static void run_with_logits(trawl_engine *engine, struct trawl_job_config *c, struct seen *seen,
                            struct api_result *results)
{
    struct trawl_error err;
    struct trawl_result end;
    trawl_job *job = NULL;
    bool more      = false;
    memset(seen, 0, API_REQUESTS * sizeof *seen);
    c->user      = seen;
    c->on_logits = see_logits;
    assert_ok(trawl_job_open(engine, c, &job, &err));
    for (size_t i = 0; i < API_REQUESTS; i++) {
        struct trawl_request r;
        api_request(&r, i);
        r.want_logits = i % 2 == 0;
        r.logits_from = r.n_prompt > 2 ? 2 : 0;
        assert_ok(trawl_job_submit(job, &r, &err));
    }
    trawl_job_end_input(job);
    for (size_t i = 0; i < API_REQUESTS; i++) {
        api_take(job, i, &results[i]);
    }
    assert_ok(trawl_job_next(job, &end, &more, &err));
    assert_false(more);
    trawl_job_close(&job);
}

static void check_measures(const struct row *r, const struct api_result *result, const struct seen *seen)
{
    size_t next = (size_t)r->position + 1;
    if (next >= result->n_prompt &&
        next - result->n_prompt < result->n_tokens) { /* the next token was chosen */
        assert_memory_equal(&r->logprob, &result->logprobs[next - result->n_prompt], sizeof(float));
        assert_true(fabsf(r->entropy - result->entropies[next - result->n_prompt]) <= 0);
    } else if (next >= result->n_prompt) {
        assert_true(isnan(r->logprob));
    } else {
        assert_true(r->logprob < 0 && r->entropy > 0 && r->entropy <= logf(VOCAB));
        if (seen->n > 0 && (size_t)r->position >= seen->from) {
            assert_memory_equal(&r->logprob, &seen->logprobs[(size_t)r->position - seen->from],
                                sizeof(float));
        }
    }
}

static void test_measures_of_prompts_and_answers(void **state)
{
    struct scratch *s    = *state;
    trawl_engine *engine = api_engine(s->dir, 1, 1), *mesh = api_engine(s->dir, 2, 2);
    struct api_files files, files2;
    struct api_result results[API_REQUESTS], plain[API_REQUESTS];
    struct seen seen[API_REQUESTS];
    char dir[256], other[256];
    struct trawl_job_config c = config_in(below(s, "plain", dir), &files);
    api_run(engine, &c, plain);
    c                  = config_in(below(s, "one", dir), &files);
    c.capture.logprobs = true;
    run_with_logits(engine, &c, seen, results);
    api_assert_same(plain, results, API_REQUESTS);
    struct rows *rows = read_store(files.store, sites[1], true);
    size_t n          = 0;
    for (size_t i = 0; i < API_REQUESTS; i++) {
        n += results[i].n_prompt == 0 ? 0 : results[i].n_prompt + results[i].n_tokens - 1;
        struct trawl_request r;
        api_request(&r, i);
        assert_int_equal(seen[i].n, i % 2 == 0 && r.n_prompt > 0 ? r.n_prompt - 2 : 0);
        assert_true(seen[i].n == 0 || seen[i].from == 2);
    }
    assert_int_equal(rows->n, n);
    for (size_t i = 0; i < rows->n; i++) {
        check_measures(&rows->list[i], &results[rows->list[i].request], &seen[rows->list[i].request]);
    }
    free(rows);

    c                  = config_in(below(s, "two", other), &files2);
    c.capture.logprobs = true;
    run_with_logits(mesh, &c, seen, results);
    api_assert_same_files(files.store, files2.store);
    trawl_engine_close(&engine);
    trawl_engine_close(&mesh);
}

static int by_place(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    return x->request != y->request     ? (x->request < y->request ? -1 : 1)
           : x->position != y->position ? (x->position < y->position ? -1 : 1)
                                        : 0;
}

/* The same rows but for those of token SKIPPED, in another order within each group. */
static void assert_rearranged(const char *before, const char *after, const char *site)
{
    struct rows *a = read_store(before, site, false), *b = read_store(after, site, false);
    size_t n = 0, moved = 0, group = 0;
    int64_t last = -1;
    for (size_t i = 0; i < b->n; i++) { /* groups follow each other, whatever the order in them */
        group = b->list[i].place == 0 && i > 0 ? group + 1 : group;
        assert_int_equal(b->list[i].request / GROUP, group);
        moved += b->list[i].request < last;
        last = b->list[i].request;
    }
    assert_true(moved > b->n / 8);
    qsort(b->list, b->n, sizeof b->list[0], by_place);
    for (size_t i = 0; i < a->n; i++) {
        if (a->list[i].token != SKIPPED) {
            a->list[i].place = b->list[n].place;
            assert_memory_equal(&a->list[i], &b->list[n], sizeof a->list[i]);
            n++;
        }
    }
    assert_int_equal(n, b->n);
    assert_true(n < a->n);
    free(a);
    free(b);
}

static void test_some_rows_in_another_order(void **state)
{
    static const int32_t skipped[] = {SKIPPED};
    struct scratch *s              = *state;
    trawl_engine *engine           = api_engine(s->dir, 1, 1);
    struct api_files files, files2, files3;
    struct api_result results[API_REQUESTS], again[API_REQUESTS];
    char dir[256];
    struct trawl_job_config c = config_in(below(s, "all", dir), &files);
    api_run(engine, &c, results);
    c                       = config_in(below(s, "some", dir), &files2);
    c.capture.skip_tokens   = skipped;
    c.capture.n_skip_tokens = 1;
    c.capture.shuffle_rows  = true;
    c.capture.shuffle_seed  = 11;
    api_run(engine, &c, again);
    api_assert_same(results, again, API_REQUESTS);
    assert_rearranged(files.store, files2.store, sites[0]);
    assert_rearranged(files.store, files2.store, sites[1]);

    struct trawl_job_config d = config_in(below(s, "seed", dir), &files3);
    d.capture                 = c.capture;
    d.capture.dir             = files3.store;
    d.capture.shuffle_seed    = 12;
    api_run(engine, &d, again);
    struct rows *x = read_store(files2.store, sites[0], false),
                *y = read_store(files3.store, sites[0], false);
    assert_int_equal(x->n, y->n);
    assert_memory_not_equal(x->list, y->list, x->n * sizeof x->list[0]);
    free(x);
    free(y);
    trawl_engine_close(&engine);
}

static void test_refusals(void **state)
{
    static const int32_t beyond[] = {5, VOCAB};
    struct scratch *s             = *state;
    trawl_engine *engine          = api_engine(s->dir, 1, 1);
    struct trawl_error err;
    struct api_files files;
    trawl_job *job = NULL;
    char dir[256];
    struct trawl_job_config good = config_in(below(s, "no", dir), &files), c = good;
    c.capture.skip_tokens   = beyond;
    c.capture.n_skip_tokens = 2;
    assert_refused(trawl_job_open(engine, &c, &job, &err), TRAWL_ERR_INVALID, "skip_tokens[1] is 131");
    c                      = good;
    c.capture.shuffle_rows = true;
    c.capture.format       = TRAWL_FORMAT_PKL;
    assert_refused(trawl_job_open(engine, &c, &job, &err), TRAWL_ERR_INVALID, "shuffle_rows in pickles");
    c                  = good;
    c.capture.logprobs = true;
    c.capture.dir      = NULL;
    assert_refused(trawl_job_open(engine, &c, &job, &err), TRAWL_ERR_INVALID, "logprobs without a folder");
    assert_null(job);
    trawl_engine_close(&engine);

    struct trawl_engine_config e;
    trawl_engine_config_init(&e);
    e.model_path = scratch_path(s, "model");
    e.dtype      = TRAWL_DTYPE_FLOAT16;
    assert_refused(trawl_engine_open(&e, &engine, &err), TRAWL_ERR_UNSUPPORTED, "dtype is float16");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_measures_of_prompts_and_answers),
        scratch_test(test_some_rows_in_another_order),
        scratch_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
