/* SPDX-License-Identifier: MIT */
/* Jobs whose results come as requests end: the same results as in order, nobody waits for a request before it, and
 * memory that goes with the requests under way. */
#include <malloc.h>
#include <stdatomic.h>
#include <time.h>

#include "api_harness.h"
#include "support/tiny_model.h"

enum { SLOW = 0, MANY = 10000, AT_ONCE = 12, WARM = 2000, SLACK = 64 << 10 };

struct state {
    struct scratch *scratch;
    trawl_engine *engine;
    struct api_result ordered[API_REQUESTS];
};

static int setup(void **out)
{
    static struct state s;
    struct trawl_job_config config;
    void *scratch = NULL;
    (void)scratch_make(&scratch);
    s.scratch = scratch;
    s.engine  = api_engine(s.scratch->dir, 1, 1);
    trawl_job_config_init(&config);
    config.random_seed = 5;
    api_run(s.engine, &config, s.ordered);
    *out = &s;
    return 0;
}

static int teardown(void **in)
{
    struct state *s = *in;
    void *scratch   = s->scratch;
    trawl_engine_close(&s->engine);
    return scratch_remove(&scratch);
}

static void same_results_whatever_their_order(void **in)
{
    struct state *s = *in;
    struct trawl_job_config config;
    struct trawl_error err;
    struct trawl_result r;
    trawl_job *job          = NULL;
    bool more               = true;
    size_t n                = 0;
    bool seen[API_REQUESTS] = {false};
    trawl_job_config_init(&config);
    config.random_seed = 5;
    config.unordered   = true;
    assert_ok(trawl_job_open(s->engine, &config, &job, &err));
    api_submit(job);
    while (trawl_job_next(job, &r, &more, &err) == TRAWL_OK && more) {
        assert_true(r.request < API_REQUESTS && !seen[r.request]);
        const struct api_result *o = &s->ordered[r.request];
        seen[r.request]            = true;
        assert_int_equal(r.finish_reason, o->finish);
        assert_int_equal(r.n_tokens, o->n_tokens);
        assert_true(r.n_tokens == 0 || memcmp(r.tokens, o->tokens, r.n_tokens * sizeof *r.tokens) == 0);
        assert_true(r.n_tokens == 0 || memcmp(r.logprobs, o->logprobs, r.n_tokens * sizeof *r.logprobs) == 0);
        n++;
    }
    assert_int_equal(n, API_REQUESTS);
    assert_false(more);
    trawl_job_close(&job);
}

static void request_of(struct trawl_request *r, const int32_t *prompt, size_t n, size_t max_tokens)
{
    trawl_request_init(r);
    r->prompt     = prompt;
    r->n_prompt   = n;
    r->max_tokens = max_tokens;
    r->ignore_eos = true;
}

/* Every token of the slow request takes its time while others are expected. */
static bool take_time(void *user, uint64_t request, int32_t token, float logprob)
{
    atomic_bool *others_are_done = user;
    struct timespec t            = {.tv_nsec = 20 * 1000 * 1000};
    (void)token;
    (void)logprob;
    if (request == SLOW && !atomic_load(others_are_done)) {
        (void)nanosleep(&t, NULL);
    }
    return true;
}

static void nobody_waits_for_a_slow_one(void **in)
{
    struct state *s = *in;
    struct trawl_job_config config;
    struct trawl_error err;
    struct trawl_result r;
    struct trawl_request q;
    static const int32_t prompt[] = {3, 1, 4};
    atomic_bool others_are_done;
    trawl_job *job = NULL;
    bool more      = true;
    atomic_init(&others_are_done, false);
    trawl_job_config_init(&config);
    config.user      = &others_are_done;
    config.on_token  = take_time;
    config.unordered = true;
    assert_ok(trawl_job_open(s->engine, &config, &job, &err));
    request_of(&q, prompt, 3, 40);
    q.temperature = 2; /* nothing to guess ahead: a token a step */
    assert_ok(trawl_job_submit(job, &q, &err));
    for (uint64_t i = 1; i <= 4; i++) { /* one after another, all beside the first */
        request_of(&q, prompt, 3, 1 + i % 2);
        assert_ok(trawl_job_submit(job, &q, &err));
        assert_ok(trawl_job_next(job, &r, &more, &err));
        assert_int_equal(r.request, i);
    }
    request_of(&q, prompt, 0, 1); /* refused at once */
    assert_ok(trawl_job_submit(job, &q, &err));
    assert_ok(trawl_job_next(job, &r, &more, &err));
    assert_int_equal(r.request, 5);
    assert_int_equal(r.finish_reason, TRAWL_FINISH_ERROR);
    atomic_store(&others_are_done, true);
    trawl_job_end_input(job);
    assert_ok(trawl_job_next(job, &r, &more, &err));
    assert_int_equal(r.request, SLOW);
    assert_int_equal(r.n_tokens, 40);
    assert_ok(trawl_job_next(job, &r, &more, &err));
    assert_false(more);
    trawl_job_close(&job);
}

/* Requests come and go; the heap stays as large as it was when the caches were full. */
static void memory_does_not_go_with_requests_served(void **in)
{
    struct state *s = *in;
    struct trawl_job_config config;
    struct trawl_error err;
    struct trawl_result r;
    struct trawl_request q;
    trawl_job *job = NULL;
    bool more      = true;
    size_t warm    = 0;
    int32_t prompt[40];
    trawl_job_config_init(&config);
    config.unordered = true;
    assert_ok(trawl_job_open(s->engine, &config, &job, &err));
    for (size_t i = 0; i < MANY + AT_ONCE; i++) {
        if (i >= AT_ONCE) {
            assert_ok(trawl_job_next(job, &r, &more, &err));
            assert_true(r.finish_reason == TRAWL_FINISH_LENGTH || r.finish_reason == TRAWL_FINISH_CANCELLED);
        }
        if (i == WARM) {
            warm = mallinfo2().uordblks;
        }
        if (i < MANY) {
            for (size_t k = 0; k < 40; k++) {
                prompt[k] = (int32_t)((i * 7 + k * (i % 11)) % 100);
            }
            request_of(&q, prompt, 1 + i % 40, 1 + i % 2);
            assert_ok(trawl_job_submit(job, &q, &err));
        }
        if (i % 97 == 0 && i < MANY) {
            assert_ok(trawl_job_cancel_request(job, i, &err));
        }
    }
    assert_in_range(mallinfo2().uordblks, 0, warm + SLACK);
    trawl_job_end_input(job);
    assert_ok(trawl_job_next(job, &r, &more, &err));
    assert_false(more);
    trawl_job_close(&job);
}

struct told {
    int32_t tokens[40];
    float logprobs[40];
    struct trawl_top_logprob top[40][3];
    size_t n, n_top;
};

static bool hear_token(void *user, uint64_t request, int32_t token, float logprob)
{
    struct told *t = (struct told *)user + request;
    assert_int_equal(t->n_top, request == 2 ? 0 : t->n + 1); /* they come before their token */
    t->tokens[t->n]     = token;
    t->logprobs[t->n++] = logprob;
    return true;
}

static void hear_top(void *user, uint64_t request, const struct trawl_top_logprob *top, size_t n)
{
    struct told *t = (struct told *)user + request;
    assert_int_equal(n, 3);
    memcpy(t->top[t->n_top++], top, sizeof t->top[0]);
}

static void what_is_told_is_what_is_returned(void **in)
{
    struct state *s = *in;
    struct trawl_job_config config;
    struct trawl_error err;
    struct trawl_result r;
    struct trawl_request q;
    static const int32_t prompt[] = {3, 1, 4};
    struct told told[4]           = {0};
    trawl_job *job                = NULL;
    bool more                     = true;
    trawl_job_config_init(&config);
    config.user            = told;
    config.on_token        = hear_token;
    config.on_top_logprobs = hear_top;
    config.unordered       = true;
    assert_ok(trawl_job_open(s->engine, &config, &job, &err));
    for (size_t i = 0; i < 4; i++) {
        request_of(&q, prompt, 1 + i % 3, 30 + i);
        q.top_logprobs = i == 2 ? 0 : 3;
        q.temperature  = i == 1 ? 1 : 0; /* the others are guessed ahead */
        assert_ok(trawl_job_submit(job, &q, &err));
    }
    trawl_job_end_input(job);
    while (trawl_job_next(job, &r, &more, &err) == TRAWL_OK && more) {
        const struct told *t = &told[r.request];
        assert_int_equal(r.n_tokens, 30 + r.request);
        assert_int_equal(t->n, r.n_tokens);
        assert_memory_equal(t->tokens, r.tokens, r.n_tokens * sizeof *r.tokens);
        assert_memory_equal(t->logprobs, r.logprobs, r.n_tokens * sizeof *r.logprobs);
        assert_int_equal(r.outputs[0].n_top_logprobs, r.request == 2 ? 0 : 3);
        if (r.request != 2) {
            assert_memory_equal(t->top, r.outputs[0].top_logprobs, r.n_tokens * sizeof t->top[0]);
        }
    }
    assert_false(more);
    trawl_job_close(&job);
}

static void not_with_a_journal(void **in)
{
    struct state *s = *in;
    struct trawl_job_config config;
    struct trawl_error err;
    trawl_job *job = NULL;
    trawl_job_config_init(&config);
    config.unordered    = true;
    config.journal_path = "unordered.journal";
    assert_refused(trawl_job_open(s->engine, &config, &job, &err), TRAWL_ERR_INVALID, "cannot be unordered");
    assert_null(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_results_whatever_their_order),
        cmocka_unit_test(nobody_waits_for_a_slow_one),
        cmocka_unit_test(memory_does_not_go_with_requests_served),
        cmocka_unit_test(what_is_told_is_what_is_returned),
        cmocka_unit_test(not_with_a_journal),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
