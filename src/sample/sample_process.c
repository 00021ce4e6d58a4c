/* SPDX-License-Identifier: MIT */
/* Processors of logits: what is added, divided or forbidden before a token is chosen. */
#include <math.h>
#include <stdio.h>

#include "base/size.h"
#include "sample/sample.h"

static bool differs(double x, double neutral)
{
    return x < neutral || x > neutral;
}

static bool before_min_tokens(const struct tw_sample_input *in)
{
    return in->n_history - in->n_prompt < in->params->min_tokens;
}

static bool is_id(const struct tw_sampler *s, int32_t id)
{
    return id >= 0 && (size_t)id < s->n_vocab;
}

static void forbid(const struct tw_sampler *s, float *row, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (is_id(s, ids[i])) {
            row[ids[i]] = -INFINITY;
        }
    }
}

/* How often each of ids is there, into s->counts. */
static void count(struct tw_sampler *s, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (is_id(s, ids[i])) {
            s->counts[ids[i]]++;
        }
    }
}

static void repetition_penalty(struct tw_sampler *s, const struct tw_sample_input *in, float *row)
{
    float p = (float)in->params->repetition_penalty;
    count(s, in->history, in->n_history);
    for (size_t i = 0; i < in->n_history; i++) {
        int32_t id = in->history[i];
        if (is_id(s, id) && s->counts[id] > 0) {
            s->counts[id] = 0;
            row[id]       = row[id] > 0 ? row[id] / p : row[id] * p;
        }
    }
}

static void answer_penalties(struct tw_sampler *s, const struct tw_sample_input *in, float *row)
{
    float frequency = (float)in->params->frequency_penalty, presence = (float)in->params->presence_penalty;
    const int32_t *answer = in->history + in->n_prompt;
    size_t n              = in->n_history - in->n_prompt;
    count(s, answer, n);
    for (size_t i = 0; i < n; i++) {
        int32_t id = answer[i];
        if (is_id(s, id) && s->counts[id] > 0) {
            row[id] -= frequency * (float)s->counts[id];
            row[id] -= presence;
            s->counts[id] = 0;
        }
    }
}

/* Forbid every token that once followed the last n - 1 ones. */
static void no_repeat_ngram(const struct tw_sampler *s, const struct tw_sample_input *in, float *row)
{
    size_t n_history = in->n_history, n = (size_t)in->params->no_repeat_ngram_size;
    if (n > n_history) {
        return;
    }
    const int32_t *last = in->history + n_history - (n - 1);
    for (size_t i = 0; i + n <= n_history; i++) {
        size_t j = 0;
        while (j < n - 1 && in->history[i + j] == last[j]) {
            j++;
        }
        if (j == n - 1) {
            forbid(s, row, &in->history[i + j], 1);
        }
    }
}

/* A word of the mask at a time: most words allow all of their tokens, or none. */
static void apply_mask(const struct tw_sampler *s, const uint32_t *allowed, float *row)
{
    for (size_t i = 0; i < s->n_vocab; i += 32) {
        uint32_t word = allowed[i / 32];
        size_t n      = tw_min_size(s->n_vocab - i, 32);
        for (size_t j = 0; word == 0 && j < n; j++) {
            row[i + j] = -INFINITY;
        }
        for (size_t j = 0; word != 0 && word != UINT32_MAX && j < n; j++) {
            row[i + j] = (word >> j & 1U) != 0 ? row[i + j] : -INFINITY;
        }
    }
}

static bool penalises_history(const struct tw_sample_input *in)
{
    return differs(in->params->repetition_penalty, 1) && in->n_history > 0;
}

static bool penalises_answer(const struct tw_sample_input *in)
{
    const struct tw_sample_params *p = in->params;
    return in->n_history > in->n_prompt &&
           (differs(p->presence_penalty, 0) || differs(p->frequency_penalty, 0));
}

bool tw_sample_calls_for_processing(const struct tw_sample_input *in)
{
    const struct tw_sample_params *p = in->params;
    return p->n_bias > 0 || p->n_suppress_tokens > 0 || p->no_repeat_ngram_size > 0 || in->allowed != NULL ||
           before_min_tokens(in) || penalises_history(in) || penalises_answer(in);
}

void tw_sample_process(struct tw_sampler *s, const struct tw_sample_input *in, float *row)
{
    const struct tw_sample_params *p = in->params;
    for (size_t i = 0; i < p->n_bias; i++) {
        if (is_id(s, p->bias_tokens[i])) {
            row[p->bias_tokens[i]] += p->bias[i];
        }
    }
    if (penalises_history(in)) {
        repetition_penalty(s, in, row);
    }
    if (penalises_answer(in)) {
        answer_penalties(s, in, row);
    }
    if (p->no_repeat_ngram_size > 0) {
        no_repeat_ngram(s, in, row);
    }
    for (size_t i = 0; before_min_tokens(in) && i < 2; i++) {
        forbid(s, row, in->end_tokens[i].ids, in->end_tokens[i].n);
    }
    forbid(s, row, p->suppress_tokens, p->n_suppress_tokens);
    if (in->allowed != NULL) {
        apply_mask(s, in->allowed, row);
    }
}

static size_t count_allowed(const struct tw_sampler *s, const uint32_t *allowed)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_vocab; i++) {
        n += allowed[i / 32] >> (i % 32) & 1U;
    }
    return n;
}

trawl_status tw_sample_explain(const struct tw_sampler *s, const struct tw_sample_input *in,
                               struct trawl_error *err)
{
    const struct tw_sample_params *p = in->params;
    char others[160];
    if (in->allowed != NULL && count_allowed(s, in->allowed) == 0) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "the mask of allowed tokens leaves none of %zu to choose at position %zu", s->n_vocab,
                       in->position);
    }
    (void)snprintf(
        others, sizeof others, "%s%s%s", p->no_repeat_ngram_size > 0 ? ", no_repeat_ngram_size" : "",
        before_min_tokens(in) ? ", min_tokens" : "", p->n_suppress_tokens > 0 ? ", suppress_tokens" : "");
    if (in->allowed != NULL) {
        return tw_fail(
            err, TRAWL_ERR_INVALID,
            "no token is left to choose at position %zu: the mask allows %zu of %zu, and the row%s "
            "forbid these",
            in->position, count_allowed(s, in->allowed), s->n_vocab, others);
    }
    return tw_fail(err, TRAWL_ERR_INVALID,
                   "no token of %zu is left to choose at position %zu: forbidden by %s", s->n_vocab,
                   in->position, others[0] == ',' ? others + 2 : "the row");
}
