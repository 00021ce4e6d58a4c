/* SPDX-License-Identifier: MIT */
/* Beam search against one that computes every beam from nothing and sorts all continuations. */
#include <math.h>

#include "engine_search.h"

enum { DRAWS = 24, MOST_BEAMS = 5, MOST_STOPS = 4 };

struct beam {
    int32_t tokens[SEARCH_PROMPT + SEARCH_TOKENS];
    size_t n; /* all tokens */
    float score;
};

/* A continuation of a beam; ordered as the sum of the engine's rules. */
struct option {
    size_t beam;
    int32_t token;
    float logprob, score;
};

static int by_score(const void *a, const void *b)
{
    const struct option *x = a, *y = b;
    if (x->score < y->score || x->score > y->score) {
        return x->score > y->score ? -1 : 1;
    }
    if (x->beam != y->beam) {
        return x->beam < y->beam ? -1 : 1;
    }
    if (x->logprob < y->logprob || x->logprob > y->logprob) {
        return x->logprob > y->logprob ? -1 : 1;
    }
    return x->token < y->token ? -1 : 1;
}

static bool is_stop(const struct tw_request *q, int32_t token)
{
    for (size_t i = 0; i < q->n_stop; i++) {
        if (q->stop[i] == token) {
            return true;
        }
    }
    return false;
}

/* Insert into the finished answers, of which the best `most` stay. */
static size_t finish(struct beam *done, size_t n, size_t most, const struct beam *one, float score)
{
    size_t at = 0;
    while (at < n && !(done[at].score < score)) {
        at++;
    }
    if (at == most) {
        return n;
    }
    n = n < most ? n + 1 : n;
    for (size_t i = n - 1; i > at; i--) {
        done[i] = done[i - 1];
    }
    done[at]       = *one;
    done[at].score = score;
    return n;
}

static size_t all_options(struct search_plain *p, const struct tw_request *q, const struct beam *beams,
                          size_t n, struct option *options)
{
    size_t n_options = 0;
    for (size_t j = 0; j < n; j++) {
        float logprobs[SEARCH_VOCAB];
        bool seen[SEARCH_VOCAB] = {false};
        search_plain_row(p, beams[j].tokens, beams[j].n, logprobs);
        for (size_t i = 0; i < beams[j].n; i++) {
            seen[beams[j].tokens[i]] = true;
        }
        for (int32_t t = 0; t < SEARCH_VOCAB; t++) {
            float x = seen[t] ? logprobs[t] * (float)q->sampling.repetition_penalty : logprobs[t];
            options[n_options++] = (struct option){j, t, logprobs[t], beams[j].score + x};
        }
    }
    qsort(options, n_options, sizeof *options, by_score);
    return n_options;
}

/* The answers of a beam search, best first; returns how many. */
static size_t search(struct search_plain *p, const struct tw_request *q, struct beam *done)
{
    static struct option options[MOST_BEAMS * SEARCH_VOCAB];
    const struct tw_beam_params *b = &q->beam;
    struct beam now[MOST_BEAMS], next[MOST_BEAMS];
    size_t n = 1, n_done = 0, looked = (q->n_stop < 1 ? 2 : 1 + q->n_stop) * b->num_beams;
    now[0] = (struct beam){.n = q->n_prompt};
    memcpy(now[0].tokens, q->prompt, q->n_prompt * sizeof *q->prompt);
    for (size_t length = 1;; length++) {
        size_t n_next       = 0;
        float divisor       = (float)pow((double)length, b->length_penalty);
        size_t options_left = all_options(p, q, now, n, options);
        for (size_t i = 0; i < looked && i < options_left; i++) {
            struct beam one     = now[options[i].beam];
            one.tokens[one.n++] = options[i].token;
            one.score           = options[i].score;
            bool ends           = is_stop(q, options[i].token) || length == q->max_tokens;
            if (ends && i < b->num_beams) {
                n_done = finish(done, n_done, b->num_beams, &one, one.score / divisor);
            } else if (!ends && n_next < b->num_beams) {
                next[n_next++] = one;
            }
        }
        bool full = n_done == b->num_beams;
        if (b->early_stopping == TW_EARLY_STOPPING_NEVER && b->length_penalty > 0) {
            divisor = (float)pow((double)q->max_tokens, b->length_penalty);
        }
        if (n_next == 0 || (full && (b->early_stopping == TW_EARLY_STOPPING_TRUE ||
                                     next[0].score / divisor <= done[n_done - 1].score))) {
            return n_done;
        }
        memcpy(now, next, sizeof now);
        n = n_next;
    }
}

static void draw_request(struct tw_philox_stream *s, struct tw_request *q, int32_t *stops)
{
    static const double penalties[] = {1, 1, 0, 2, -1, 0.5};
    q->kind                         = TW_REQUEST_BEAM;
    q->ignore_eos                   = true;
    q->stop                         = stops;
    q->n_stop                       = search_pick(s, 0, MOST_STOPS);
    for (size_t i = 0; i < q->n_stop; i++) {
        stops[i] = (int32_t)search_pick(s, 0, SEARCH_VOCAB - 1);
    }
    q->beam.num_beams              = search_pick(s, 1, MOST_BEAMS);
    q->beam.num_return_sequences   = search_pick(s, 1, (uint32_t)q->beam.num_beams);
    q->beam.length_penalty         = penalties[search_pick(s, 0, 5)];
    q->beam.early_stopping         = (enum tw_early_stopping)search_pick(s, 0, 2);
    q->sampling.repetition_penalty = search_pick(s, 0, 2) == 0 ? 1.25 : 1;
}

static void check_answer(const struct tw_request *q, const struct harness_answer *a, const struct beam *want,
                         size_t n_want)
{
    size_t n = n_want < q->beam.num_return_sequences ? n_want : q->beam.num_return_sequences;
    if (a->finish == TW_FINISH_ERROR) {
        fail_msg("%s", a->error);
    }
    assert_int_equal(a->n_outputs, n);
    for (size_t i = 0; i < n; i++) {
        const struct harness_output *o = &a->outputs[i];
        assert_int_equal(o->n_tokens, want[i].n - q->n_prompt);
        assert_memory_equal(o->tokens, want[i].tokens + q->n_prompt, o->n_tokens * sizeof *o->tokens);
        if ((float)o->score < want[i].score || (float)o->score > want[i].score) {
            fail_msg("output %zu: score %.9g, by brute force %.9g", i, o->score, (double)want[i].score);
        }
    }
}

static void check_draw(const char *dir, struct tw_philox_stream *s, int draw)
{
    int32_t stops[SEARCH_REQUESTS][MOST_STOPS];
    struct search_case c;
    search_case_open(&c, dir, s, draw);
    c.h->backwards = search_pick(s, 0, 1);
    for (size_t i = 0; i < SEARCH_REQUESTS; i++) {
        size_t n = search_case_prompt(&c, i);
        if (i > 0 && search_pick(s, 0, 2) == 0) {
            memcpy(c.prompts[i], c.prompts[0], sizeof c.prompts[i]); /* a prefix in common */
            n = c.h->requests[0].n_prompt;
        }
        draw_request(s, harness_add(c.h, c.prompts[i], n, search_pick(s, 1, SEARCH_TOKENS)), stops[i]);
    }
    harness_add(c.h, c.prompts[0], 30, SEARCH_TOKENS)->ignore_eos = true; /* an answer among them */
    search_case_run(&c, MOST_BEAMS, 2 * MOST_BEAMS + 1);
    for (size_t i = 0; i < SEARCH_REQUESTS; i++) {
        struct beam want[MOST_BEAMS];
        const struct tw_request *q = &c.h->requests[i];
        print_message(
            "  beams %zu of %zu, prompt %zu, max_tokens %zu, %zu stops, length_penalty %g, early %d, "
            "repetition_penalty %g\n",
            q->beam.num_return_sequences, q->beam.num_beams, q->n_prompt, q->max_tokens, q->n_stop,
            q->beam.length_penalty, (int)q->beam.early_stopping, q->sampling.repetition_penalty);
        check_answer(q, &c.h->answers[i], want, search(&c.plain, q, want));
    }
    assert_int_equal(c.h->answers[SEARCH_REQUESTS].n_tokens, SEARCH_TOKENS);
    search_case_close(&c);
}

static void test_beams_equal_brute_force(void **state)
{
    search_case_each(state, 1, DRAWS, check_draw);
}

static void test_beams_that_cannot_run(void **state)
{
    static const int32_t prompt[]    = {1, 2, 3};
    static const char *const words[] = {
        "num_beams is 5, a batch holds 4 sequences (batch_size)",
        "num_return_sequences is 3, expected 1 to num_beams, 2",
        "with 40 end tokens a step looks at 82 continuations, the vocabulary has 80 ids",
        "num_beams with temperature 0.5: expected 0, nothing is drawn",
        "beam search needs max_tokens of at least 1",
        "length_penalty is nan, expected a number",
        "num_beams: logits of the prompt are had from requests without it",
    };
    struct trawl_error err;
    struct tw_philox_stream s;
    struct harness h;
    int32_t stops[40] = {0};
    struct tw_engine_config c;
    struct tw_engine *e = NULL;
    tw_philox_stream_init(&s, 1, 1);
    search_write_model(scratch_path(*state, "model"), &s, 0);
    tw_engine_config_init(&c);
    c.model_path = scratch_path(*state, "model");
    c.threads    = 1;
    c.batch_size = 4;
    assert_ok(tw_engine_open(&e, &c, &err));
    harness_init(&h);
    for (size_t i = 0; i <= sizeof words / sizeof words[0]; i++) {
        struct tw_request *q         = harness_add(&h, prompt, 3, 4);
        q->kind                      = TW_REQUEST_BEAM;
        q->beam.num_beams            = 2;
        q->beam.num_return_sequences = 2;
        q->beam.length_penalty       = 1;
    }
    h.requests[0].beam.num_beams            = 5;
    h.requests[1].beam.num_return_sequences = 3;
    h.requests[2].stop                      = stops;
    h.requests[2].n_stop                    = 40;
    h.requests[3].sampling.temperature      = 0.5;
    h.requests[4].max_tokens                = 0;
    h.requests[5].beam.length_penalty       = (double)NAN;
    h.requests[6].logits                    = true;
    assert_ok(harness_run(&h, e, NULL, 0, &err));
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        search_assert_says(&h.answers[i], words[i]);
    }
    assert_int_equal(h.answers[7].n_outputs, 2); /* and this one can */
    tw_engine_close(e);
    harness_free(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_beams_equal_brute_force),
        scratch_test(test_beams_that_cannot_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
