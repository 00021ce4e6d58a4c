/* SPDX-License-Identifier: MIT */
/* Depth-first search against the enumeration of all answers. */
#include <math.h>

#include "engine_search.h"

enum { DRAWS = 24, MOST_STOPS = 20, MOST = 4000 };

struct answer {
    int32_t tokens[SEARCH_TOKENS];
    size_t n;
    double logprob;
    size_t found; /* its place in the order of discovery */
    bool stopped;
};

struct enumeration {
    struct search_plain *plain;
    const struct tw_request *q;
    double bound;
    struct answer *answers; /* [MOST] */
    size_t n, n_nodes;
    bool cut; /* there are more than max_nodes */
    int32_t tokens[SEARCH_PROMPT + SEARCH_TOKENS];
};

static bool is_stop(const struct tw_request *q, int32_t token)
{
    for (size_t i = 0; i < q->n_stop; i++) {
        if (q->stop[i] == token) {
            return true;
        }
    }
    return false;
}

/* All answers that begin with the first n tokens, of log-probability `before`: the likeliest token first. */
static void enumerate(struct enumeration *e, size_t n, double before)
{
    float logprobs[SEARCH_VOCAB];
    bool tried[SEARCH_VOCAB] = {false};
    search_plain_row(e->plain, e->tokens, n, logprobs);
    for (;;) {
        int32_t best = -1;
        for (int32_t t = 0; t < SEARCH_VOCAB; t++) {
            if (!tried[t] && (best < 0 || logprobs[t] > logprobs[best])) {
                best = t;
            }
        }
        if (e->cut || best < 0 || before + (double)logprobs[best] < e->bound) {
            return;
        }
        if (e->n_nodes == e->q->nbest.max_nodes) {
            e->cut = true;
            return;
        }
        tried[best] = true;
        e->n_nodes++;
        e->tokens[n] = best;
        size_t made  = n + 1 - e->q->n_prompt;
        double sum   = before + (double)logprobs[best];
        if (!is_stop(e->q, best) && made < e->q->max_tokens) {
            enumerate(e, n + 1, sum);
            continue;
        }
        struct answer *a = &e->answers[e->n];
        assert_true(e->n < MOST);
        *a = (struct answer){.n = made, .logprob = sum, .found = e->n, .stopped = is_stop(e->q, best)};
        memcpy(a->tokens, e->tokens + e->q->n_prompt, made * sizeof *a->tokens);
        e->n++;
    }
}

static int by_logprob(const void *a, const void *b)
{
    const struct answer *x = a, *y = b;
    if (x->logprob < y->logprob || x->logprob > y->logprob) {
        return x->logprob > y->logprob ? -1 : 1;
    }
    return x->found < y->found ? -1 : 1;
}

static void check_outputs(const struct enumeration *e, const struct harness_answer *a, size_t n)
{
    if (a->finish == TW_FINISH_ERROR) {
        fail_msg("%s", a->error);
    }
    assert_int_equal(a->n_outputs, n);
    for (size_t i = 0; i < n; i++) {
        const struct harness_output *o = &a->outputs[i];
        const struct answer *want      = &e->answers[i];
        assert_int_equal(o->n_tokens, want->n);
        assert_memory_equal(o->tokens, want->tokens, want->n * sizeof *want->tokens);
        assert_memory_equal(&o->score, &want->logprob, sizeof want->logprob);
        assert_int_equal(o->finish, want->stopped ? TW_FINISH_STOP : TW_FINISH_LENGTH);
    }
}

static void check_answer(struct search_plain *plain, const struct tw_request *q,
                         const struct harness_answer *a)
{
    struct enumeration e = {.plain = plain, .q = q, .bound = log(q->nbest.min_prob)};
    e.answers            = calloc(MOST, sizeof *e.answers);
    assert_non_null(e.answers);
    memcpy(e.tokens, q->prompt, q->n_prompt * sizeof *q->prompt);
    enumerate(&e, q->n_prompt, 0);
    qsort(e.answers, e.n, sizeof *e.answers, by_logprob);
    print_message("  min_prob %g, max_tokens %zu, %zu stops, max_outputs %zu: %zu answers, %zu nodes%s\n",
                  q->nbest.min_prob, q->max_tokens, q->n_stop, q->nbest.max_outputs, e.n, e.n_nodes,
                  e.cut ? ", which are all that may be" : "");
    size_t n       = e.n < q->nbest.max_outputs ? e.n : q->nbest.max_outputs;
    bool truncated = e.cut || n < e.n;
    check_outputs(&e, a, n);
    assert_int_equal(a->n_nodes, e.n_nodes);
    assert_int_equal(a->truncated, truncated);
    assert_int_equal(a->finish, truncated ? TW_FINISH_LENGTH : TW_FINISH_STOP);
    free(e.answers);
}

static void draw_request(struct tw_philox_stream *s, struct tw_request *q, int32_t *stops)
{
    q->kind       = TW_REQUEST_NBEST;
    q->ignore_eos = true;
    q->stop       = stops;
    q->n_stop     = search_pick(s, 0, MOST_STOPS);
    for (size_t i = 0; i < q->n_stop; i++) {
        stops[i] = (int32_t)search_pick(s, 0, SEARCH_VOCAB - 1);
    }
    q->nbest.min_prob    = pow(10, -1.0 - 2.2 * tw_philox_double(s));
    q->nbest.max_nodes   = search_pick(s, 0, 2) == 0 ? search_pick(s, 1, 60) : 100000;
    q->nbest.max_outputs = search_pick(s, 0, 3) == 0 ? search_pick(s, 1, 6) : MOST;
}

static void check_draw(const char *dir, struct tw_philox_stream *s, int draw)
{
    int32_t stops[SEARCH_REQUESTS][MOST_STOPS];
    struct search_case c;
    search_case_open(&c, dir, s, draw);
    for (size_t i = 0; i < SEARCH_REQUESTS; i++) {
        size_t n = search_case_prompt(&c, i);
        draw_request(s, harness_add(c.h, c.prompts[i], n, search_pick(s, 1, 6)), stops[i]);
    }
    search_case_run(&c, 1, 3);
    for (size_t i = 0; i < SEARCH_REQUESTS; i++) {
        check_answer(&c.plain, &c.h->requests[i], &c.h->answers[i]);
    }
    search_case_close(&c);
}

static void test_all_answers_above_the_bound(void **state)
{
    search_case_each(state, 3, DRAWS, check_draw);
}

/* A search that is cut off says so, and has what was found first. */
static void test_budgets(void **state)
{
    static const int32_t prompt[] = {3, 1, 4};
    struct trawl_error err;
    struct tw_philox_stream s;
    struct harness h;
    tw_philox_stream_init(&s, 8, 3);
    search_write_model(scratch_path(*state, "model"), &s, 0);
    struct tw_engine *e = search_open(scratch_path(*state, "model"), &s, 4, 4);
    harness_init(&h);
    for (size_t i = 0; i < 6; i++) {
        struct tw_request *q = harness_add(&h, prompt, 3, 4);
        q->kind              = TW_REQUEST_NBEST;
        q->ignore_eos        = true;
        q->nbest = (struct tw_nbest_params){.min_prob = 1e-3, .max_nodes = 10000, .max_outputs = 1000};
    }
    assert_ok(harness_run(&h, e, NULL, 0, &err));
    size_t whole = h.answers[0].n_nodes, n = h.answers[0].n_outputs;
    assert_true(whole > 20 && n > 2 && !h.answers[0].truncated);
    h.requests[1].nbest.max_nodes   = whole; /* just enough */
    h.requests[2].nbest.max_nodes   = whole - 1;
    h.requests[3].nbest.max_nodes   = 5;
    h.requests[4].nbest.max_outputs = 2;
    h.requests[5].nbest.min_prob    = 1; /* nothing is certain */
    assert_ok(harness_run(&h, e, NULL, 0, &err));
    assert_true(!h.answers[1].truncated && h.answers[1].n_outputs == n);
    assert_true(h.answers[2].truncated && h.answers[2].n_nodes == whole - 1);
    assert_int_equal(h.answers[2].finish, TW_FINISH_LENGTH);
    assert_true(h.answers[3].truncated && h.answers[3].n_nodes == 5);
    assert_true(h.answers[4].truncated && h.answers[4].n_outputs == 2 && h.answers[4].n_nodes == whole);
    assert_memory_equal(h.answers[4].outputs, h.answers[0].outputs, 2 * sizeof *h.answers[0].outputs);
    assert_true(!h.answers[5].truncated && h.answers[5].n_outputs == 0 && h.answers[5].n_nodes == 0);
    assert_int_equal(h.answers[5].finish, TW_FINISH_STOP);
    h.requests[0].nbest.min_prob    = 0;
    h.requests[1].nbest.max_nodes   = 0;
    h.requests[2].nbest.max_outputs = 0;
    h.requests[3].max_tokens        = 0;
    assert_ok(harness_run(&h, e, NULL, 0, &err));
    for (size_t i = 0; i < 4; i++) {
        static const char *const words[] = {"min_prob is 0, expected more than 0 and at most 1",
                                            "max_nodes is 0 and max_outputs 1000, expected at least 1",
                                            "max_outputs 0, expected at least 1",
                                            "n-best search needs max_tokens of at least 1"};
        search_assert_says(&h.answers[i], words[i]);
    }
    harness_free(&h);
    tw_engine_close(e);
}

/* Several rows of a search are computed in a step, also where the batch holds one sequence. */
static void test_steps_are_few(void **state)
{
    static const int32_t prompt[] = {3, 1, 4};
    struct trawl_error err;
    struct tw_philox_stream s;
    struct tw_engine_stats stats;
    struct harness h;
    struct tw_engine_config c;
    struct tw_engine *e = NULL;
    tw_philox_stream_init(&s, 8, 3);
    search_write_model(scratch_path(*state, "model"), &s, 0);
    tw_engine_config_init(&c);
    c.model_path = scratch_path(*state, "model");
    c.batch_size = 1;
    assert_ok(tw_engine_open(&e, &c, &err));
    harness_init(&h);
    struct tw_request *q = harness_add(&h, prompt, 3, 4);
    q->kind              = TW_REQUEST_NBEST;
    q->ignore_eos        = true;
    q->nbest = (struct tw_nbest_params){.min_prob = 1e-3, .max_nodes = 10000, .max_outputs = 1000};
    assert_ok(harness_run(&h, e, NULL, 0, &err));
    tw_engine_stats(e, &stats);
    print_message("%llu nodes, %llu rows in %llu steps\n", (unsigned long long)h.answers[0].n_nodes,
                  (unsigned long long)stats.computed_tokens, (unsigned long long)stats.steps);
    assert_true(stats.computed_tokens > 100 && stats.steps * 5 < stats.computed_tokens);
    harness_free(&h);
    tw_engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_all_answers_above_the_bound),
        scratch_test(test_budgets),
        scratch_test(test_steps_are_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
