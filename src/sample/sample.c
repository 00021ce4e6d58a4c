/* SPDX-License-Identifier: MIT */
#include "sample/sample.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/philox.h"

/* A token that may be drawn. */
struct tw_candidate {
    float logit;
    int32_t token;
    double weight; /* exp(logit), the highest logit being 0 */
};

void tw_sample_params_init(struct tw_sample_params *p)
{
    *p = (struct tw_sample_params){.temperature = 0, .top_p = 1, .repetition_penalty = 1};
}

trawl_status tw_sample_params_check(const struct tw_sample_params *p, struct trawl_error *err)
{
    if (!(p->temperature >= 0) || !isfinite(p->temperature)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "temperature is %g, expected 0 (greedy) or a positive number",
                       p->temperature);
    }
    if (p->top_k < 0) {
        return tw_fail(err, TRAWL_ERR_INVALID, "top_k is %lld, expected 0 (off) or a positive integer",
                       (long long)p->top_k);
    }
    if (!(p->top_p > 0 && p->top_p <= 1)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "top_p is %g, expected more than 0 and at most 1", p->top_p);
    }
    if (!(p->min_p >= 0 && p->min_p <= 1)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "min_p is %g, expected 0 to 1", p->min_p);
    }
    if (!(p->repetition_penalty > 0) || !isfinite(p->repetition_penalty)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "repetition_penalty is %g, expected a positive number",
                       p->repetition_penalty);
    }
    return TRAWL_OK;
}

trawl_status tw_sampler_init(struct tw_sampler *s, const struct tw_kernels *kernels, size_t n_vocab,
                             struct trawl_error *err)
{
    *s                  = (struct tw_sampler){.kernels = kernels, .n_vocab = n_vocab};
    trawl_status status = tw_alloc(n_vocab, sizeof *s->row, &s->row, err);
    if (status == TRAWL_OK) {
        status = tw_alloc(n_vocab, sizeof *s->candidates, &s->candidates, err);
    }
    if (status == TRAWL_OK) {
        status = tw_alloc(n_vocab / 8 + 1, 1, &s->seen, err);
    }
    if (status != TRAWL_OK) {
        tw_sampler_release(s);
    }
    return status;
}

void tw_sampler_release(struct tw_sampler *s)
{
    tw_free(s->row);
    tw_free(s->candidates);
    tw_free(s->seen);
    *s = (struct tw_sampler){0};
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

/* In long double so that the rounded result does not depend on the C library's log. */
static double log_of(double x)
{
    return (double)logl((long double)x);
}

static float logprob_of(const struct row_sums *r, float logit)
{
    return (float)((double)(logit - r->max) - log_of(r->sums[0]));
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
    out->entropy    = (float)(log_of(r->sums[0]) - mean);
    out->varentropy = (float)(variance > 0 ? variance : 0);
}

static void penalise(struct tw_sampler *s, double penalty, const int32_t *history, size_t n)
{
    float p = (float)penalty;
    memset(s->seen, 0, s->n_vocab / 8 + 1);
    for (size_t i = 0; i < n; i++) {
        size_t id   = (size_t)history[i];
        uint8_t bit = (uint8_t)(1u << (id % 8));
        if (id < s->n_vocab && (s->seen[id / 8] & bit) == 0) {
            s->seen[id / 8] |= bit;
            float x    = s->row[id];
            s->row[id] = x > 0 ? x / p : x * p;
        }
    }
}

static int by_logit(const void *a, const void *b)
{
    const struct tw_candidate *x = a, *y = b;
    if (x->logit != y->logit) {
        return x->logit > y->logit ? -1 : 1;
    }
    return x->token < y->token ? -1 : 1;
}

/* Candidates with logit >= -depth (the highest is 0), highest first. */
static size_t collect(struct tw_sampler *s, float depth)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_vocab; i++) {
        if (s->row[i] >= -depth) {
            float weight;
            s->kernels->exp(&weight, &s->row[i], 1);
            s->candidates[n++] = (struct tw_candidate){s->row[i], (int32_t)i, (double)weight};
        }
    }
    qsort(s->candidates, n, sizeof *s->candidates, by_logit);
    return n;
}

/* How many of the n sorted candidates the filters keep, at least one; 0 when tokens that were not collected
 * (of weight `outside`, none when all were) could still matter. */
static size_t filter(const struct tw_sampler *s, const struct tw_sample_params *p, size_t n, bool all,
                     double outside)
{
    const struct tw_candidate *c = s->candidates;
    size_t n_top                 = n;
    double total                 = outside;
    if (p->top_k > 0) {
        if ((size_t)p->top_k < n) {
            n_top = (size_t)p->top_k;
            while (n_top < n && !(c[n_top].logit < c[n_top - 1].logit)) {
                n_top++; /* ties with the k-th stay, as in Hugging Face */
            }
        }
        if (n_top == n && !all) {
            return 0;
        }
        total = 0;
    }
    for (size_t i = 0; i < n_top; i++) {
        total += c[i].weight;
    }
    size_t kept = n_top;
    if (p->top_p < 1) {
        double sum = 0;
        for (kept = 0; kept < n_top && sum < p->top_p * total;) {
            sum += c[kept++].weight;
        }
        if (kept == n_top && p->top_k == 0 && !all) {
            return 0;
        }
    }
    if (p->min_p > 0 && kept == n && !all && c[n - 1].weight >= p->min_p) {
        return 0;
    }
    while (kept > 1 && c[kept - 1].weight < p->min_p) {
        kept--;
    }
    return kept == 0 ? 1 : kept;
}

/* The set the filters keep, looked for among ever more candidates: almost always the first try is enough. */
static size_t keep_set(struct tw_sampler *s, const struct tw_sample_params *p, double z)
{
    for (float depth = 12;; depth *= 4) {
        bool all      = depth > 200; /* exp(-200) is 0 in f32 */
        size_t n      = collect(s, all ? INFINITY : depth);
        double inside = 0;
        for (size_t i = 0; i < n; i++) {
            inside += s->candidates[i].weight;
        }
        size_t kept = filter(s, p, n, all, all ? 0 : fmax(z - inside, 0));
        if (kept > 0) {
            return kept;
        }
    }
}

static double uniform(const struct tw_sample_params *p, size_t position)
{
    struct tw_philox_stream stream;
    tw_philox_stream_init(&stream, p->seed, position);
    return tw_philox_double(&stream);
}

/* Nothing filtered: walk the whole row in token order, without sorting. */
static int32_t draw_from_all(struct tw_sampler *s, double u)
{
    double total = 0, sum = 0;
    size_t last = 0;
    s->kernels->exp(s->row, s->row, s->n_vocab);
    for (size_t i = 0; i < s->n_vocab; i++) {
        total += (double)s->row[i];
    }
    for (size_t i = 0; i < s->n_vocab; i++) {
        sum += (double)s->row[i];
        if (s->row[i] > 0) {
            last = i;
            if (u * total < sum) {
                break;
            }
        }
    }
    return (int32_t)last;
}

/* Draw from the processed row, whose highest logit is 0. */
static int32_t draw(struct tw_sampler *s, const struct tw_sample_params *p, size_t position)
{
    double u = uniform(p, position);
    if (p->top_k == 0 && p->top_p >= 1 && p->min_p <= 0) {
        return draw_from_all(s, u);
    }
    double sums[3], total = 0, sum = 0;
    s->kernels->softmax_sums(s->row, s->n_vocab, 0, sums);
    size_t n = keep_set(s, p, sums[0]);
    for (size_t i = 0; i < n; i++) {
        total += s->candidates[i].weight;
    }
    for (size_t i = 0; i < n; i++) {
        sum += s->candidates[i].weight;
        if (u * total < sum) {
            return s->candidates[i].token;
        }
    }
    return s->candidates[n - 1].token; /* u * total rounded up to the total */
}

struct tw_sampled tw_sample(struct tw_sampler *s, const float *logits, const struct tw_sample_params *p,
                            const int32_t *history, size_t n_history, size_t position)
{
    struct row_sums raw   = sum_row(s->kernels, logits, s->n_vocab);
    struct tw_sampled out = {.token = (int32_t)raw.argmax};
    set_entropy(&raw, &out);
    bool penalty = p->repetition_penalty < 1 || p->repetition_penalty > 1;
    if (p->temperature > 0 || penalty) {
        memcpy(s->row, logits, s->n_vocab * sizeof *s->row);
        if (penalty) {
            penalise(s, p->repetition_penalty, history, n_history);
        }
        float max;
        size_t index;
        s->kernels->argmax(s->row, s->n_vocab, &max, &index);
        out.token = (int32_t)index;
        /* A row without a finite highest logit has no distribution to draw from: its argmax stands. */
        if (p->temperature > 0 && isfinite(max)) {
            float t = (float)p->temperature;
            for (size_t i = 0; i < s->n_vocab; i++) {
                float d   = s->row[i] - max; /* the difference first: a tiny t must not overflow */
                s->row[i] = d >= 0  ? 0.0F
                            : d < 0 ? d / t
                                    : -INFINITY; /* 0 whatever t is; NaN is never drawn */
            }
            out.token = draw(s, p, position);
        }
    }
    out.logprob = logprob_of(&raw, logits[out.token]);
    return out;
}
