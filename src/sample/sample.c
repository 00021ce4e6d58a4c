/* SPDX-License-Identifier: MIT */
#include "sample/sample.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "sample/sample_draw.h"
#include "sample/sample_logits.h"
#include "sample/sample_select.h"

trawl_status tw_sampler_init(struct tw_sampler *s, const struct tw_kernels *kernels, size_t n_vocab,
                             struct trawl_error *err)
{
    *s = (struct tw_sampler){
        .kernels = kernels, .n_vocab = n_vocab, .n_blocks = tw_ceil_div(n_vocab, TW_SAMPLE_BLOCK)};
    trawl_status status = tw_alloc(n_vocab, sizeof *s->row, &s->row, err);
    const size_t n_sums = tw_ceil_div(n_vocab, TW_SUM_BLOCK);
    const struct {
        size_t n, size;
        void *out;
    } parts[] = {
        {n_vocab, sizeof *s->weights, &s->weights},
        {n_sums, sizeof *s->sums, &s->sums},
        {s->n_blocks, sizeof *s->block_max, &s->block_max},
        {s->n_blocks, sizeof *s->block_order, &s->block_order},
        {n_vocab, sizeof *s->candidates[0], &s->candidates[0]},
        {n_vocab, sizeof *s->candidates[1], &s->candidates[1]},
        {n_vocab, sizeof *s->counts, &s->counts},
    };
    for (size_t i = 0; status == TRAWL_OK && i < sizeof parts / sizeof parts[0]; i++) {
        status = tw_alloc(parts[i].n, parts[i].size, parts[i].out, err);
    }
    if (status != TRAWL_OK) {
        tw_sampler_release(s);
    }
    return status;
}

void tw_sampler_release(struct tw_sampler *s)
{
    tw_free(s->row);
    tw_free(s->weights);
    tw_free(s->sums);
    tw_free(s->block_max);
    tw_free(s->block_order);
    tw_free(s->candidates[0]);
    tw_free(s->candidates[1]);
    tw_free(s->counts);
    *s = (struct tw_sampler){0};
}

double tw_sample_log(double x)
{
    return (double)logl((long double)x);
}

float tw_sample_logprob(const struct tw_kernels *k, const float *logits, size_t n_vocab, int32_t token)
{
    struct tw_logits l = tw_logits_measure(k, logits, n_vocab);
    return tw_logits_logprob(&l, (size_t)token);
}

static void set_top(struct tw_sampler *s, const struct tw_logits *raw, const struct tw_sample_input *in)
{
    size_t k = in->params->top_logprobs;
    if (k == 0 || in->top == NULL) {
        return;
    }
    tw_select_blocks(s, in->logits);
    size_t n = tw_select_collect(s, in->logits, tw_select_threshold(s, k));
    tw_select_sort(s, n);
    for (size_t i = 0; i < k; i++) {
        int32_t token = i < n ? s->candidates[0][i].token : TW_SAMPLE_NONE;
        in->top[i]    = (struct tw_top_logprob){
               .token = token, .logprob = i < n ? tw_logits_logprob(raw, (size_t)token) : -INFINITY};
    }
}

/* A row after its processors. */
struct processed {
    const float *x;
    float max;
    int32_t best; /* token of the highest */
};

static int32_t draw(struct tw_sampler *s, const struct tw_sample_input *in, const struct tw_sample_params *p,
                    struct tw_draw_manner manner, const struct processed *row, const struct tw_logits *raw,
                    const struct tw_sampled *measured)
{
    double t               = p->temperature;
    bool plain             = row->x == in->logits && !(t < 1) && !(t > 1);
    struct tw_scaled_row r = {
        .x         = row->x,
        .max       = row->max,
        .scale     = (float)fmin(fmax(1 / t, (double)FLT_MIN), (double)FLT_MAX),
        .sums      = {plain ? raw->sums[0] : (double)NAN, raw->sums[1], raw->sums[2]},
        .entropy   = (double)measured->entropy,
        .deviation = sqrt((double)measured->varentropy),
    };
    return tw_draw_token(s, p, &r, manner, in->position);
}

/* Where the policy would insert its token: not where a mask says what may come, and not a token that is forbidden
 * or would end the answer. */
static bool may_insert(const struct tw_sample_input *in, const float *x)
{
    const struct tw_policy_track none = {0};
    const struct tw_policy *policy    = &in->params->policy;
    if (in->allowed != NULL ||
        !tw_policy_may_insert(policy, in->track == NULL ? &none : in->track, in->n_history - in->n_prompt)) {
        return false;
    }
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < in->end_tokens[i].n; j++) {
            if (in->end_tokens[i].ids[j] == policy->insert_token) {
                return false;
            }
        }
    }
    return x[policy->insert_token] > -INFINITY;
}

static int32_t choose_by_policy(struct tw_sampler *s, const struct tw_sample_input *in,
                                const struct processed *row, const struct tw_logits *raw,
                                struct tw_sampled *out)
{
    struct tw_sample_params p      = *in->params;
    struct tw_draw_manner manner   = {0};
    const struct tw_policy *policy = &in->params->policy;
    switch (out->state) {
    case TW_ENTROPY_LELV: return row->best;
    case TW_ENTROPY_HELV:
        out->inserted = may_insert(in, row->x);
        if (out->inserted) {
            return policy->insert_token;
        }
        break;
    case TW_ENTROPY_HEHV:
        p.min_p      = fmax(p.min_p, policy->hehv_min_p);
        manner.again = true;
        break;
    case TW_ENTROPY_LEHV:
        p.temperature =
            fmax(p.temperature, fmin(p.temperature * policy->lehv_temperature, policy->max_temperature));
        p.top_k = (int64_t)fmin((double)p.top_k * policy->lehv_top_k, (double)s->n_vocab);
        break;
    case TW_ENTROPY_MID: manner.best_of = policy->best_of; break;
    case TW_ENTROPY_STATES: break;
    }
    return draw(s, in, &p, manner, row, raw, out);
}

struct tw_sampled tw_sample_choose(struct tw_sampler *s, const struct tw_sample_input *in)
{
    struct tw_logits raw           = tw_logits_measure(s->kernels, in->logits, s->n_vocab);
    struct tw_sampled out          = {.entropy = raw.entropy, .varentropy = raw.varentropy};
    struct processed row           = {.x = in->logits, .max = raw.max, .best = (int32_t)raw.argmax};
    const struct tw_policy *policy = &in->params->policy;
    set_top(s, &raw, in);
    if (policy->on) {
        out.state = tw_policy_state(policy, (double)out.entropy, (double)out.varentropy);
    }
    if (tw_sample_calls_for_processing(in)) {
        size_t index;
        memcpy(s->row, in->logits, s->n_vocab * sizeof *s->row);
        tw_sample_process(s, in, s->row);
        s->kernels->argmax(s->row, s->n_vocab, &row.max, &index);
        row.x    = s->row;
        row.best = (int32_t)index;
        if (!(row.max > -INFINITY) && (raw.max > -INFINITY || in->allowed != NULL)) {
            out.token = TW_SAMPLE_NONE;
            return out;
        }
    }
    /* A row without a finite highest logit has no distribution to draw from: its argmax stands. */
    bool drawn  = in->params->temperature > 0 && isfinite(row.max);
    out.token   = !drawn       ? row.best
                  : policy->on ? choose_by_policy(s, in, &row, &raw, &out)
                               : draw(s, in, in->params, (struct tw_draw_manner){0}, &row, &raw, &out);
    out.logprob = tw_logits_logprob(&raw, (size_t)out.token);
    return out;
}
