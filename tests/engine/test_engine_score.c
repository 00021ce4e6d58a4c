/* SPDX-License-Identifier: MIT */
/* Scores of given continuations against rows of logits that are computed from nothing, one for each token. */
#include <math.h>

#include "engine_search.h"

enum { DRAWS = 20, MOST = 12, LONGEST = 20 };

struct continuations {
    int32_t tokens[MOST * LONGEST];
    uint32_t ends[MOST];
    size_t n;
};

static void draw_continuations(struct tw_philox_stream *s, struct continuations *c)
{
    uint32_t end = 0;
    c->n         = search_pick(s, 1, MOST);
    for (size_t i = 0; i < c->n; i++) {
        uint32_t n = search_pick(s, 0, 3) == 0 ? 1 : search_pick(s, 1, LONGEST);
        for (uint32_t k = 0; k < n; k++) {
            c->tokens[end++] = (int32_t)search_pick(s, 0, SEARCH_VOCAB - 1);
        }
        c->ends[i] = end;
    }
}

static void check_output(struct search_plain *p, const struct tw_request *q, size_t i,
                         const struct harness_output *o)
{
    int32_t all[SEARCH_PROMPT + LONGEST];
    size_t begin = i == 0 ? 0 : q->score.ends[i - 1], n = q->score.ends[i] - begin;
    double sum = 0;
    memcpy(all, q->prompt, q->n_prompt * sizeof *all);
    memcpy(all + q->n_prompt, q->score.tokens + begin, n * sizeof *all);
    assert_int_equal(o->n_tokens, n);
    assert_memory_equal(o->tokens, all + q->n_prompt, n * sizeof *all);
    for (size_t k = 0; k < n; k++) {
        float logprobs[SEARCH_VOCAB];
        double entropy = 0;
        search_plain_row(p, all, q->n_prompt + k, logprobs);
        for (size_t t = 0; t < SEARCH_VOCAB; t++) {
            entropy -= exp((double)logprobs[t]) * (double)logprobs[t];
        }
        float want = logprobs[all[q->n_prompt + k]];
        if (memcmp(&o->logprobs[k], &want, sizeof want) != 0) {
            fail_msg("completion %zu, token %zu: %.9g, from nothing %.9g", i, k, (double)o->logprobs[k],
                     (double)want);
        }
        assert_true(fabs((double)o->entropies[k] - entropy) < 1e-4);
        sum += (double)want;
    }
    assert_memory_equal(&o->score, &sum, sizeof sum);
}

static void check_draw(const char *dir, struct tw_philox_stream *s, int draw)
{
    struct continuations given[SEARCH_REQUESTS];
    struct search_case c;
    search_case_open(&c, dir, s, draw);
    for (size_t i = 0; i < SEARCH_REQUESTS; i++) {
        size_t n = search_case_prompt(&c, i);
        draw_continuations(s, &given[i]);
        struct tw_request *q = harness_add(c.h, c.prompts[i], n, 7);
        q->kind              = TW_REQUEST_SCORE;
        q->score =
            (struct tw_score_params){.tokens = given[i].tokens, .ends = given[i].ends, .n = given[i].n};
        print_message("  prompt %zu, %zu completions of %u tokens\n", n, given[i].n,
                      given[i].ends[given[i].n - 1]);
    }
    search_case_run(&c, 1, 2 * MOST + 1);
    for (size_t i = 0; i < SEARCH_REQUESTS; i++) {
        assert_int_equal(c.h->answers[i].n_outputs, given[i].n);
        for (size_t j = 0; j < given[i].n; j++) {
            check_output(&c.plain, &c.h->requests[i], j, &c.h->answers[i].outputs[j]);
        }
    }
    search_case_close(&c);
}

static void test_scores_equal_rows_from_nothing(void **state)
{
    search_case_each(state, 2, DRAWS, check_draw);
}

/* What a greedy answer reports of itself is what scoring it says. */
static void test_an_answer_scores_as_it_was_reported(void **state)
{
    struct trawl_error err;
    struct tw_philox_stream s;
    struct harness h;
    static const int32_t prompt[] = {5, 9, 2, 60, 33};
    tw_philox_stream_init(&s, 5, 3);
    search_write_model(scratch_path(*state, "model"), &s, 0);
    struct tw_engine *e = search_open(scratch_path(*state, "model"), &s, 4, 4);
    harness_init(&h);
    harness_add(&h, prompt, 5, 80)->ignore_eos = true;
    assert_ok(harness_run(&h, e, NULL, 0, &err));
    struct harness_output answer = h.answers[0].outputs[0];
    uint32_t end                 = (uint32_t)answer.n_tokens;
    h.requests[0].kind           = TW_REQUEST_SCORE;
    h.requests[0].score          = (struct tw_score_params){.tokens = answer.tokens, .ends = &end, .n = 1};
    assert_ok(harness_run(&h, e, NULL, 0, &err));
    const struct harness_output *scored = &h.answers[0].outputs[0];
    assert_int_equal(scored->n_tokens, 80);
    assert_memory_equal(scored->logprobs, answer.logprobs, sizeof answer.logprobs);
    assert_memory_equal(scored->entropies, answer.entropies, sizeof answer.entropies);
    assert_memory_equal(scored->varentropies, answer.varentropies, sizeof answer.varentropies);
    harness_free(&h);
    tw_engine_close(e);
}

static void test_completions_that_cannot_be_scored(void **state)
{
    static const int32_t tokens[] = {1, 2, 80, -1};
    static const uint32_t none[] = {1, 1}, one[] = {1}, bad[] = {2, 3}, below[] = {4}, two[] = {2};
    static const char *const words[] = {
        "completion 1 is empty",
        "token 0 of completion 1 is 80, the vocabulary has 80 ids",
        "token 2 of completion 0 is 80",
        "255 prompt tokens and 2 of completion 0, the context holds 256",
        "completions takes the model's probabilities as they are: penalties",
        "completions with temperature 1: expected 0",
        "there are no completions to score",
    };
    struct trawl_error err;
    struct tw_philox_stream s;
    struct harness h;
    int32_t longest[255] = {0};
    tw_philox_stream_init(&s, 7, 3);
    search_write_model(scratch_path(*state, "model"), &s, 0);
    struct tw_engine *e = search_open(scratch_path(*state, "model"), &s, 4, 20);
    harness_init(&h);
    for (size_t i = 0; i < 8; i++) {
        struct tw_request *q = harness_add(&h, longest, i == 3 ? 255 : 10, 4);
        q->kind              = TW_REQUEST_SCORE;
        q->score             = (struct tw_score_params){.tokens = tokens, .ends = one, .n = 1};
    }
    h.requests[0].score                       = (struct tw_score_params){tokens, none, 2};
    h.requests[1].score                       = (struct tw_score_params){tokens, bad, 2};
    h.requests[2].score                       = (struct tw_score_params){tokens, below, 1};
    h.requests[3].score                       = (struct tw_score_params){tokens, two, 1};
    h.requests[4].sampling.repetition_penalty = 1.5;
    h.requests[5].sampling.temperature        = 1;
    h.requests[6].score.n                     = 0;
    assert_ok(harness_run(&h, e, NULL, 0, &err));
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        search_assert_says(&h.answers[i], words[i]);
    }
    assert_int_equal(h.answers[7].n_outputs, 1);
    harness_free(&h);
    tw_engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_scores_equal_rows_from_nothing),
        scratch_test(test_an_answer_scores_as_it_was_reported),
        scratch_test(test_completions_that_cannot_be_scored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
