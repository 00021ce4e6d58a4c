/* SPDX-License-Identifier: MIT */
/* best_of against the answers that requests with the seeds of its candidates have. */
#include <stdio.h>
#include <stdlib.h>

#include "api_harness.h"
#include "support/test.h"

enum { BEST_OF = 7, RETURNED = 3, TOKENS = 12, SEED = 40 };

static const int32_t prompt[] = {3, 1, 4, 1, 5, 9, 2, 6};

struct output {
    int32_t tokens[TOKENS];
    float logprobs[TOKENS], entropies[TOKENS], top[TOKENS * 2];
    double cumulative_logprob;
    size_t n;
    uint64_t seed;
};

struct result {
    struct output outputs[BEST_OF];
    size_t n;
    enum trawl_finish_reason finish;
    char error[256];
    bool from_journal;
};

static struct trawl_request request_of(uint64_t seed, size_t best_of, size_t n)
{
    struct trawl_request r;
    trawl_request_init(&r);
    r.prompt               = prompt;
    r.n_prompt             = sizeof prompt / sizeof prompt[0];
    r.max_tokens           = TOKENS;
    r.temperature          = 1.3;
    r.seed                 = seed;
    r.has_seed             = true;
    r.top_logprobs         = 2;
    r.best_of              = best_of;
    r.num_return_sequences = n;
    return r;
}

static void keep(struct result *to, const struct trawl_result *r)
{
    memset(to, 0, sizeof *to);
    to->n            = r->n_outputs;
    to->finish       = r->finish_reason;
    to->from_journal = r->from_journal;
    (void)snprintf(to->error, sizeof to->error, "%s", r->error == NULL ? "" : r->error);
    for (size_t i = 0; i < r->n_outputs; i++) {
        const struct trawl_output *o = &r->outputs[i];
        struct output *k             = &to->outputs[i];
        assert_int_equal(o->n_top_logprobs, 2);
        k->n                  = o->n_tokens;
        k->cumulative_logprob = o->cumulative_logprob;
        memcpy(k->tokens, o->tokens, o->n_tokens * sizeof *k->tokens);
        memcpy(k->logprobs, o->logprobs, o->n_tokens * sizeof *k->logprobs);
        memcpy(k->entropies, o->entropies, o->n_tokens * sizeof *k->entropies);
        for (size_t t = 0; t < 2 * o->n_tokens; t++) {
            k->top[t] = o->top_logprobs[t].logprob;
        }
    }
}

/* The results of n requests through one job. */
static void run(trawl_engine *engine, const struct trawl_job_config *config,
                const struct trawl_request *requests, size_t n, struct result *results)
{
    struct trawl_error err;
    struct trawl_result r;
    trawl_job *job = NULL;
    bool more      = true;
    assert_ok(trawl_job_open(engine, config, &job, &err));
    for (size_t i = 0; i < n; i++) {
        assert_ok(trawl_job_submit(job, &requests[i], &err));
    }
    trawl_job_end_input(job);
    for (size_t i = 0; i < n; i++) {
        assert_ok(trawl_job_next(job, &r, &more, &err));
        assert_true(more && r.request == i);
        keep(&results[i], &r);
    }
    assert_ok(trawl_job_next(job, &r, &more, &err));
    assert_false(more);
    trawl_job_close(&job);
}

static int by_logprob(const void *a, const void *b)
{
    const struct output *x = a, *y = b;
    if (x->cumulative_logprob < y->cumulative_logprob || x->cumulative_logprob > y->cumulative_logprob) {
        return x->cumulative_logprob > y->cumulative_logprob ? -1 : 1;
    }
    return x->seed < y->seed ? -1 : 1;
}

/* The answers of the seeds from SEED on, best first. */
static void draw_all(trawl_engine *engine, struct output sorted[BEST_OF])
{
    struct trawl_request requests[BEST_OF];
    struct trawl_job_config config;
    struct result results[BEST_OF];
    trawl_job_config_init(&config);
    for (size_t i = 0; i < BEST_OF; i++) {
        requests[i] = request_of(SEED + i, 0, 1);
    }
    run(engine, &config, requests, BEST_OF, results);
    for (size_t i = 0; i < BEST_OF; i++) {
        assert_int_equal(results[i].n, 1);
        sorted[i]      = results[i].outputs[0];
        sorted[i].seed = SEED + i;
    }
    qsort(sorted, BEST_OF, sizeof *sorted, by_logprob);
    assert_true(sorted[0].seed != SEED); /* there is something to choose */
}

static void assert_outputs(const struct result *r, const struct output *sorted, size_t n)
{
    if (r->error[0] != '\0') {
        fail_msg("%s", r->error);
    }
    assert_int_equal(r->n, n);
    for (size_t i = 0; i < n; i++) {
        struct output want = sorted[i];
        want.seed          = 0;
        assert_memory_equal(&r->outputs[i], &want, sizeof want);
    }
}

static void test_the_best_of_what_the_seeds_draw(void **state)
{
    static const int meshes[][2] = {{1, 1}, {2, 2}};
    struct output sorted[BEST_OF], *reference = NULL;
    for (size_t m = 0; m < 2; m++) {
        trawl_engine *engine = api_engine(((struct scratch *)*state)->dir, meshes[m][0], meshes[m][1]);
        struct trawl_job_config config;
        struct result results[4];
        const struct trawl_request requests[] = {request_of(SEED, BEST_OF, 1),
                                                 request_of(SEED, BEST_OF, RETURNED),
                                                 request_of(SEED, BEST_OF, BEST_OF), request_of(SEED, 1, 1)};
        trawl_job_config_init(&config);
        if (reference == NULL) {
            draw_all(engine, sorted);
            reference = sorted;
        }
        run(engine, &config, requests, 4, results);
        assert_outputs(&results[0], sorted, 1);
        assert_outputs(&results[1], sorted, RETURNED);
        assert_outputs(&results[2], sorted, BEST_OF);
        assert_int_equal(results[3].n, 1);
        trawl_engine_close(&engine);
    }
}

static void test_they_survive_in_the_journal(void **state)
{
    struct scratch *s    = *state;
    trawl_engine *engine = api_engine(s->dir, 1, 1);
    struct trawl_job_config config;
    struct trawl_error err;
    struct result first[2], again[2];
    trawl_job *job                  = NULL;
    struct trawl_request requests[] = {request_of(SEED, BEST_OF, RETURNED), request_of(SEED, BEST_OF, 1)};
    trawl_job_config_init(&config);
    config.journal_path = scratch_path(s, "journal.jsonl");
    run(engine, &config, requests, 2, first);
    config.resume = true;
    run(engine, &config, requests, 2, again);
    for (size_t i = 0; i < 2; i++) {
        assert_true(again[i].from_journal && !first[i].from_journal);
        first[i].from_journal = true;
        assert_memory_equal(&first[i], &again[i], sizeof first[i]);
    }
    requests[0].best_of--;
    assert_ok(trawl_job_open(engine, &config, &job, &err));
    assert_refused(trawl_job_submit(job, &requests[0], &err), TRAWL_ERR_EXISTS, "best_of");
    trawl_job_close(&job);
    trawl_engine_close(&engine);
}

/* The store holds what it holds when only the best answer is asked for, by its seed. */
static void test_rows_of_the_best_are_stored(void **state)
{
    struct scratch *s    = *state;
    trawl_engine *engine = api_engine(s->dir, 1, 1);
    const char *sites[]  = {"blocks.0.hook_resid_post", "ln_final.hook_normalized"};
    struct output sorted[BEST_OF];
    char dirs[2][128], journals[2][128];
    draw_all(engine, sorted);
    for (size_t i = 0; i < 2; i++) {
        struct trawl_job_config config;
        struct result result;
        const struct trawl_request r =
            i == 0 ? request_of(sorted[0].seed, 0, 1) : request_of(SEED, BEST_OF, 2);
        (void)snprintf(dirs[i], sizeof dirs[i], "%s/acts%zu", s->dir, i);
        (void)snprintf(journals[i], sizeof journals[i], "%s/journal%zu", s->dir, i);
        trawl_job_config_init(&config);
        config.journal_path    = journals[i];
        config.capture.sites   = sites;
        config.capture.n_sites = 2;
        config.capture.dir     = dirs[i];
        run(engine, &config, &r, 1, &result);
        assert_outputs(&result, sorted, 1 + i);
    }
    api_assert_same_files(dirs[0], dirs[1]);
    trawl_engine_close(&engine);
}

static bool count_token(void *user, uint64_t request, int32_t token, float logprob)
{
    (void)token;
    (void)logprob;
    ((_Atomic int *)user)[request]++;
    return true;
}

static trawl_status take_rows(void *user, uint64_t request, size_t site, size_t position, const float *rows,
                              size_t n, size_t width, struct trawl_error *err)
{
    (void)user, (void)request, (void)site, (void)position, (void)rows, (void)n, (void)width, (void)err;
    return TRAWL_OK;
}

static void test_contradictions_end_with_an_error(void **state)
{
    static const char *const words[] = {"n (num_return_sequences) is 4, expected 1 to best_of, 3",
                                        "best_of is 3 with temperature 0: all candidates would be the same",
                                        "best_of is 3: beam search draws nothing",
                                        "best_of is 3: n-best search draws nothing",
                                        "best_of is 4097, expected at most 4096",
                                        "best_of needs max_tokens of at least 1"};
    trawl_engine *engine             = api_engine(((struct scratch *)*state)->dir, 1, 1);
    struct trawl_job_config config;
    struct result results[8];
    struct trawl_request requests[8];
    _Atomic int tokens[8] = {0};
    const char *site      = "blocks.0.hook_resid_post";
    for (size_t i = 0; i < 8; i++) {
        requests[i] = request_of(SEED, 3, 1);
    }
    requests[0].num_return_sequences = 4;
    requests[1].temperature          = 0;
    requests[2].num_beams            = 2;
    requests[3].nbest_min_prob       = 0.1;
    requests[4].best_of              = 4097;
    requests[5].max_tokens           = 0;
    requests[7].best_of              = 0;
    trawl_job_config_init(&config);
    config.user     = (void *)tokens;
    config.on_token = count_token;
    run(engine, &config, requests, 8, results);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(results[i].finish, TRAWL_FINISH_ERROR);
        if (strstr(results[i].error, words[i]) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", results[i].error, words[i]);
        }
    }
    assert_int_equal(results[6].n, 1);
    assert_int_equal(tokens[6], 0); /* candidates are not told */
    assert_int_equal(tokens[7], results[7].outputs[0].n);
    config.on_rows         = take_rows;
    config.capture.sites   = &site;
    config.capture.n_sites = 1;
    run(engine, &config, requests + 6, 1, results);
    assert_non_null(strstr(results[0].error, "best_of is 3 in a job with on_rows"));
    trawl_engine_close(&engine);
}

/* A request that is cancelled has what its candidates had, the longest first, and others are not touched. */
static void test_cancelled(void **state)
{
    trawl_engine *engine = api_engine(((struct scratch *)*state)->dir, 1, 1);
    struct trawl_job_config config;
    struct trawl_result r;
    struct trawl_error err;
    struct result result;
    struct output sorted[BEST_OF];
    trawl_job *job             = NULL;
    bool more                  = true;
    struct trawl_request first = request_of(SEED, 4096, 2), second = request_of(SEED, BEST_OF, 1);
    draw_all(engine, sorted);
    trawl_job_config_init(&config);
    assert_ok(trawl_job_open(engine, &config, &job, &err));
    assert_ok(trawl_job_submit(job, &first, &err));
    assert_ok(trawl_job_submit(job, &second, &err));
    assert_ok(trawl_job_cancel_request(job, 0, &err));
    trawl_job_end_input(job);
    assert_ok(trawl_job_next(job, &r, &more, &err));
    assert_int_equal(r.finish_reason, TRAWL_FINISH_CANCELLED);
    assert_true(r.error == NULL && r.n_outputs <= 2);
    for (size_t i = 0; i + 1 < r.n_outputs; i++) {
        assert_true(r.outputs[i].n_tokens >= r.outputs[i + 1].n_tokens);
    }
    assert_ok(trawl_job_next(job, &r, &more, &err));
    keep(&result, &r);
    assert_outputs(&result, sorted, 1);
    trawl_job_close(&job);
    trawl_engine_close(&engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_the_best_of_what_the_seeds_draw),
        scratch_test(test_they_survive_in_the_journal),
        scratch_test(test_rows_of_the_best_are_stored),
        scratch_test(test_contradictions_end_with_an_error),
        scratch_test(test_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
