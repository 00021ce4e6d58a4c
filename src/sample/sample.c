/* SPDX-License-Identifier: MIT */
#include "sample/sample.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "sample/sample_draw.h"
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

/* log of the softmax denominator relative to the highest logit, and the moments for the entropy. */
struct row_sums {
    float max;
    size_t argmax;
    double sums[3];
};

static struct row_sums sum_row(const struct tw_kernels *k, const float *x, size_t n)
{
    struct row_sums r;
    k->argmax(x, n, &r.max, &r.argmax);
    k->softmax_sums(x, n, r.max, r.sums);
    return r;
}

static float logprob_of(const struct row_sums *r, float logit)
{
    return (float)((double)(logit - r->max) - tw_sample_log(r->sums[0]));
}

float tw_sample_logprob(const struct tw_kernels *k, const float *logits, size_t n_vocab, int32_t token)
{
    struct row_sums r = sum_row(k, logits, n_vocab);
    return logprob_of(&r, logits[token]);
}

/* With p = e/Z and d = x - max: -log p = log Z - d, so entropy = log Z - E[d], varentropy = Var[d]. */
static void set_entropy(const struct row_sums *r, struct tw_sampled *out)
{
    double mean     = r->sums[1] / r->sums[0];
    double variance = r->sums[2] / r->sums[0] - mean * mean;
    out->entropy    = (float)(tw_sample_log(r->sums[0]) - mean);
    out->varentropy = (float)(variance > 0 ? variance : 0);
}

static void set_top(struct tw_sampler *s, const struct row_sums *raw, const struct tw_sample_input *in)
{
    size_t k = in->params->top_logprobs;
    if (k == 0) {
        return;
    }
    tw_select_blocks(s, in->logits);
    size_t n = tw_select_collect(s, in->logits, tw_select_threshold(s, k));
    tw_select_sort(s, n);
    for (size_t i = 0; i < k; i++) {
        int32_t token = i < n ? s->candidates[0][i].token : TW_SAMPLE_NONE;
        in->top[i]    = (struct tw_top_logprob){
               .token = token, .logprob = i < n ? logprob_of(raw, in->logits[token]) : -INFINITY};
    }
}

static int32_t draw(struct tw_sampler *s, const struct tw_sample_input *in, const float *x, float max,
                    const struct row_sums *raw, const struct tw_sampled *measured)
{
    double t                 = in->params->temperature;
    bool plain               = x == in->logits && !(t < 1) && !(t > 1);
    struct tw_scaled_row row = {
        .x         = x,
        .max       = max,
        .scale     = (float)fmin(fmax(1 / t, (double)FLT_MIN), (double)FLT_MAX),
        .sums      = {plain ? raw->sums[0] : (double)NAN, raw->sums[1], raw->sums[2]},
        .entropy   = (double)measured->entropy,
        .deviation = sqrt((double)measured->varentropy),
    };
    return tw_draw_token(s, in->params, &row, (struct tw_draw_manner){0}, in->position);
}

struct tw_sampled tw_sample_choose(struct tw_sampler *s, const struct tw_sample_input *in)
{
    struct row_sums raw   = sum_row(s->kernels, in->logits, s->n_vocab);
    struct tw_sampled out = {.token = (int32_t)raw.argmax};
    const float *x        = in->logits;
    float max             = raw.max;
    set_entropy(&raw, &out);
    set_top(s, &raw, in);
    if (tw_sample_calls_for_processing(in)) {
        size_t index;
        memcpy(s->row, in->logits, s->n_vocab * sizeof *s->row);
        tw_sample_process(s, in, s->row);
        s->kernels->argmax(s->row, s->n_vocab, &max, &index);
        x         = s->row;
        out.token = (int32_t)index;
        if (!(max > -INFINITY) && (raw.max > -INFINITY || in->allowed != NULL)) {
            out.token = TW_SAMPLE_NONE;
            return out;
        }
    }
    /* A row without a finite highest logit has no distribution to draw from: its argmax stands. */
    if (in->params->temperature > 0 && isfinite(max)) {
        out.token = draw(s, in, x, max, &raw, &out);
    }
    out.logprob = logprob_of(&raw, in->logits[out.token]);
    return out;
}
