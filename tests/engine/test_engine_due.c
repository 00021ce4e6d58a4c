/* SPDX-License-Identifier: MIT */
/* Requests that are cancelled or run out of time: each ends once, with the beginning of what it would have been, and
 * nobody else notices. */
#include <math.h>
#include <time.h>

#include "base/clock.h"
#include "engine/engine_int.h"
#include "engine_harness.h"
#include "support/tiny_model.h"

#ifdef __SANITIZE_THREAD__
enum { DRAWS = 40 }; /* twenty times slower, and a race shows in these as well */
#else
enum { DRAWS = 120 };
#endif

enum { LONG = 200, REQUESTS = 9, SEED = 20261122, ENDINGS = 3 };

static int32_t prompt[LONG]; /* filled by main */

static uint32_t pick(struct tw_philox_stream *s, uint32_t lo, uint32_t hi)
{
    return lo + tw_philox_below(s, hi - lo + 1);
}

static const char *write_model(void **state)
{
    struct tiny_model m = tiny_model_default();
    tiny_model_write(scratch_path(*state, "model"), &m);
    return scratch_path(*state, "model");
}

static struct tw_engine *open_engine(const char *dir, struct tw_mesh mesh, size_t n_pages, size_t batch)
{
    struct tiny_model m = tiny_model_default();
    struct tw_engine_config c;
    struct trawl_error err;
    struct tw_engine *e = NULL;
    tw_engine_config_init(&c);
    c.model_path     = dir;
    c.mesh           = mesh;
    c.threads        = 1;
    c.batch_size     = batch;
    c.prefill_chunk  = 64;
    c.kv_cache_bytes = n_pages * tw_kv_page_bytes(TW_DTYPE_BF16, m.n_layers, m.n_kv_heads, m.head_dim);
    assert_ok(tw_engine_open(&e, &c, &err));
    return e;
}

/* All kinds of requests; the sampled ones hand out rows as well. */
static void add_requests(struct harness *h)
{
    static const int32_t tokens[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    static const uint32_t ends[]  = {1, 4, 9};
    harness_init(h);
    for (size_t i = 0; i < REQUESTS; i++) {
        struct tw_request *q = harness_add(h, prompt + i, 20 + 17 * i, 30 + 9 * i);
        q->ignore_eos        = true;
        q->capture           = i % 3 == 0;
        switch (i) {
        case 4:
            q->kind = TW_REQUEST_BEAM;
            q->beam = (struct tw_beam_params){.num_beams            = 3,
                                              .num_return_sequences = 3,
                                              .length_penalty       = 1,
                                              .early_stopping       = TW_EARLY_STOPPING_NEVER};
            break;
        case 5:
            q->kind       = TW_REQUEST_SCORE;
            q->max_tokens = 0;
            q->score      = (struct tw_score_params){.tokens = tokens, .ends = ends, .n = 3};
            break;
        case 7:
            q->kind  = TW_REQUEST_NBEST;
            q->nbest = (struct tw_nbest_params){.min_prob = 0.01, .max_nodes = 300, .max_outputs = 5};
            break;
        default: q->sampling.temperature = 2; q->sampling.seed = i;
        }
    }
}

static bool sampled(size_t i)
{
    return i != 4 && i != 5 && i != 7;
}

/* What came out is the beginning of what would have come. */
static void assert_begins(const struct harness *want, const struct harness *got, size_t i,
                          const struct tw_engine *e, const struct tw_site *site)
{
    const struct harness_answer *w = &want->answers[i], *g = &got->answers[i];
    size_t width = tw_site_width(*site, &tw_engine_model(e)->config);
    assert_int_equal(g->n_outputs, 1);
    assert_int_equal(g->finish, g->outputs[0].finish);
    assert_true(g->n_tokens <= w->n_tokens && g->n_rows[0] <= w->n_rows[0]);
    assert_true(g->n_rows[0] <= got->requests[i].n_prompt + g->n_tokens);
    if (g->n_tokens > 0 && got->requests[i].capture) { /* all but the last have been computed */
        assert_int_equal(g->n_rows[0], got->requests[i].n_prompt + g->n_tokens - 1);
    }
    assert_memory_equal(g->tokens, w->tokens, g->n_tokens * sizeof *g->tokens);
    assert_memory_equal(g->logprobs, w->logprobs, g->n_tokens * sizeof(float));
    assert_memory_equal(g->entropies, w->entropies, g->n_tokens * sizeof(float));
    if (g->n_rows[0] > 0) {
        assert_memory_equal(g->rows[0], w->rows[0], g->n_rows[0] * width * sizeof(float));
    }
}

/* The best beams, n-best answers and scores so far. */
static void assert_search_begins(const struct harness *want, const struct harness *got, size_t i,
                                 enum tw_finish how)
{
    const struct harness_answer *w = &want->answers[i], *g = &got->answers[i];
    assert_true(g->n_outputs <= w->n_outputs || got->requests[i].kind == TW_REQUEST_NBEST);
    for (size_t k = 0; k < g->n_outputs; k++) {
        const struct harness_output *o = &g->outputs[k];
        assert_true(k == 0 || got->requests[i].kind == TW_REQUEST_SCORE || o[-1].score >= o->score);
        if (got->requests[i].kind == TW_REQUEST_SCORE) {
            bool scored = o->finish == TW_FINISH_LENGTH;
            assert_true(scored ? memcmp(o, &w->outputs[k], sizeof *o) == 0
                               : o->finish == how && o->n_tokens == 0 && o->score < -1e30);
        }
    }
    if (g->n_outputs + g->n_nodes > 0) { /* else it may not have begun */
        assert_int_equal(g->truncated, got->requests[i].kind == TW_REQUEST_NBEST);
    }
}

struct ending {
    size_t watched, after; /* when this request has so many tokens ... */
    size_t request;        /* ... that one is cancelled */
};

struct plan {
    struct ending endings[ENDINGS];
    atomic_bool cancelled[REQUESTS];
};

static bool cancel_some(void *user, uint64_t id, size_t n)
{
    struct plan *p = user;
    for (size_t i = 0; i < ENDINGS; i++) {
        if (p->endings[i].watched == id && p->endings[i].after == n) {
            atomic_store(&p->cancelled[p->endings[i].request], true);
        }
    }
    return true;
}

/* Every request ends once; those that were not to end early as if nobody had. */
static size_t check_run(const struct harness *want, const struct harness *got, const struct tw_engine *e,
                        const struct tw_site *site)
{
    size_t n_cancelled = 0;
    for (size_t i = 0; i < REQUESTS; i++) {
        const struct harness_answer *w = &want->answers[i], *g = &got->answers[i];
        assert_int_equal(g->finished, 1);
        if (g->finish == TW_FINISH_CANCELLED) {
            n_cancelled++;
            if (sampled(i)) {
                assert_begins(want, got, i, e, site);
            } else {
                assert_search_begins(want, got, i, TW_FINISH_CANCELLED);
            }
            continue;
        }
        assert_int_equal(g->finish, w->finish);
        assert_int_equal(g->n_outputs, w->n_outputs);
        assert_memory_equal(g->outputs, w->outputs, w->n_outputs * sizeof *w->outputs);
        assert_int_equal(g->n_rows[0], w->n_rows[0]);
        if (w->n_rows[0] > 0) {
            assert_memory_equal(g->rows[0], w->rows[0],
                                w->n_rows[0] * tw_site_width(*site, &tw_engine_model(e)->config) *
                                    sizeof(float));
        }
    }
    return n_cancelled;
}

static struct tw_engine *run_alone(const char *dir, struct harness *want, struct tw_site *site)
{
    struct trawl_error err;
    size_t n            = 0;
    struct tw_engine *e = open_engine(dir, (struct tw_mesh){1, 1}, 60, 4);
    assert_ok(tw_site_parse("layer_1", &tw_engine_model(e)->config, site, 1, &n, &err));
    add_requests(want);
    assert_ok(harness_run(want, e, site, 1, &err));
    return e;
}

static void test_any_request_can_be_cancelled_at_any_time(void **state)
{
    static const struct tw_mesh meshes[] = {{1, 1}, {1, 2}, {2, 1}};
    const char *dir                      = write_model(state);
    static struct harness want, got; /* large */
    struct tw_site site;
    struct tw_engine *alone = run_alone(dir, &want, &site);
    size_t n_cancelled = 0, n_preempted = 0;
    for (uint64_t i = 0; i < DRAWS; i++) {
        struct tw_philox_stream s;
        struct tw_engine_stats stats;
        struct trawl_error err;
        struct plan plan = {0};
        tw_philox_stream_init(&s, SEED, i);
        struct tw_engine *e = open_engine(dir, meshes[pick(&s, 0, 2)], pick(&s, 7, 16), pick(&s, 3, 6));
        add_requests(&got);
        for (size_t k = 0; k < ENDINGS; k++) {
            plan.endings[k] =
                (struct ending){pick(&s, 0, REQUESTS - 1), pick(&s, 1, 60), pick(&s, 0, REQUESTS - 1)};
        }
        atomic_store(&plan.cancelled[pick(&s, 0, REQUESTS - 1)], pick(&s, 0, 1) == 0); /* before it begins */
        for (size_t k = 0; k < REQUESTS; k++) {
            got.requests[k].cancelled = &plan.cancelled[k];
        }
        got.on_token      = cancel_some;
        got.on_token_user = &plan;
        got.backwards     = pick(&s, 0, 1);
        assert_ok(harness_run(&got, e, &site, 1, &err));
        n_cancelled += check_run(&want, &got, alone, &site);
        tw_engine_stats(e, &stats);
        n_preempted += stats.preemptions;
        assert_int_equal(stats.held_pages + stats.running + stats.preempted + stats.queued, 0);
        harness_free(&got);
        tw_engine_close(e);
    }
    print_message("seed %d: %zu cancelled, %zu preempted\n", SEED, n_cancelled, n_preempted);
    assert_true(n_cancelled > DRAWS && n_preempted > DRAWS / 10);
    harness_free(&want);
    tw_engine_close(alone);
}

/* ---- time ---- */

enum { PATIENCE_MS = 200 };

static void pause_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&t, NULL);
}

/* The sixth token of request 3 takes longer than anyone may take. */
static bool dawdle(void *user, uint64_t id, size_t n)
{
    (void)user;
    if (id == 3 && n == 6) {
        pause_ms(2 * PATIENCE_MS);
    }
    return true;
}

static void test_time_runs_out_for_those_who_have_a_timeout(void **state)
{
    static struct harness want, got;
    struct trawl_error err;
    struct tw_site site;
    struct tw_engine *alone = run_alone(write_model(state), &want, &site);
    struct tw_engine *e     = open_engine(scratch_path(*state, "model"), (struct tw_mesh){1, 1}, 60, 9);
    add_requests(&got);
    for (size_t i = 3; i < REQUESTS; i++) {
        got.requests[i].timeout  = PATIENCE_MS * 1e-3;
        got.requests[i].since_ns = tw_clock_ns();
    }
    got.on_token = dawdle;
    assert_ok(harness_run(&got, e, &site, 1, &err));
    for (size_t i = 0; i < REQUESTS; i++) {
        const struct harness_answer *g = &got.answers[i];
        assert_int_equal(g->finished, 1);
        if (i < 3) { /* has any time it likes */
            assert_int_equal(g->finish, want.answers[i].finish);
            assert_int_equal(g->n_tokens, want.answers[i].n_tokens);
        } else if (sampled(i)) {
            assert_int_equal(g->finish, TW_FINISH_TIMEOUT);
            assert_begins(&want, &got, i, alone, &site);
            assert_true(i != 3 || g->n_tokens <= 6);
        } else if (g->finish == TW_FINISH_TIMEOUT) { /* a search may have been fast enough */
            assert_search_begins(&want, &got, i, TW_FINISH_TIMEOUT);
        }
    }
    harness_free(&got);
    harness_free(&want);
    tw_engine_close(e);
    tw_engine_close(alone);
}

static void test_who_comes_too_late_does_not_begin(void **state)
{
    static struct harness got;
    struct trawl_error err;
    struct tw_engine *e = open_engine(write_model(state), (struct tw_mesh){1, 1}, 60, 4);
    struct tw_engine_stats stats;
    add_requests(&got);
    for (size_t i = 0; i < REQUESTS; i++) {
        got.requests[i].timeout  = 1;
        got.requests[i].since_ns = tw_clock_ns() - 2000000000u;
    }
    got.requests[8].timeout = -1;
    got.requests[6].timeout = NAN;
    assert_ok(harness_run(&got, e, NULL, 0, &err));
    for (size_t i = 0; i < REQUESTS; i++) {
        bool refused = i == 6 || i == 8;
        assert_int_equal(got.answers[i].finish, refused ? TW_FINISH_ERROR : TW_FINISH_TIMEOUT);
        assert_int_equal(got.answers[i].n_tokens, 0);
        assert_int_equal(got.answers[i].n_outputs, sampled(i) && !refused);
    }
    assert_string_equal(got.answers[8].error, "timeout is -1, expected seconds, or 0 for none");
    tw_engine_stats(e, &stats);
    assert_int_equal(stats.computed_tokens, 0);
    harness_free(&got);
    tw_engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_any_request_can_be_cancelled_at_any_time),
        scratch_test(test_time_runs_out_for_those_who_have_a_timeout),
        scratch_test(test_who_comes_too_late_does_not_begin),
    };
    for (size_t i = 0; i < LONG; i++) {
        prompt[i] = (int32_t)(i * 7919 % 131);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
