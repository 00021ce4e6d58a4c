/* SPDX-License-Identifier: MIT */
#include "sample/sample_filter.h"

#include <float.h>
#include <math.h>

#include "sample/sample_select.h"

/* Deeper below the highest, in units of scaled logits, weights are 0 in f32. */
static const double deepest = 88;

/* The weights of all tokens together, and their sum times the scaled logit (for the entropy). */
struct totals {
    double z, zd;
};

bool tw_filter_any(const struct tw_sample_params *p)
{
    return p->top_n_sigma > 0 || p->top_k > 0 || p->top_p < 1 || p->min_p > 0 || p->typical_p < 1;
}

/* Filters whose set is known before any probability: what comes after them sums over their set alone. */
static bool cuts_first(const struct tw_sample_params *p)
{
    return p->top_n_sigma > 0 || p->top_k > 0;
}

static float scaled(const struct tw_scaled_row *r, float x)
{
    return (x - r->max) * r->scale;
}

static struct totals total_of_row(struct tw_sampler *s, const struct tw_sample_params *p,
                                  const struct tw_scaled_row *r)
{
    struct totals t = {.z = r->sums[0], .zd = r->sums[1]};
    double sums[3];
    if (isfinite(t.z)) {
        return t;
    }
    if (p->typical_p < 1) {
        for (size_t i = 0; i < s->n_vocab; i++) {
            float d       = scaled(r, r->x[i]);
            s->weights[i] = isnan(d) ? -INFINITY : d;
        }
        s->kernels->softmax_sums(s->weights, s->n_vocab, 0, sums);
        return (struct totals){.z = sums[0], .zd = sums[1]};
    }
    s->kernels->softmax_weights(s->weights, s->sums, r->x, s->n_vocab, r->max, r->scale);
    t.z = 0;
    for (size_t i = 0; i * TW_SUM_BLOCK < s->n_vocab; i++) {
        t.z += s->sums[i];
    }
    return t;
}

/* Standard deviation of the logits that are finite, of which there is one at least: sums by 8 lanes, of distances to
 * the highest, so that squares do not drown it. */
static double deviation_of_row(const struct tw_scaled_row *r, size_t n)
{
    enum { LANES = 8 };
    double sum[LANES] = {0}, squares[LANES] = {0}, count[LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        double d    = (double)r->x[i] - (double)r->max;
        bool finite = fabsf(r->x[i]) <= FLT_MAX;
        size_t lane = i % LANES;
        sum[lane] += finite ? d : 0;
        squares[lane] += finite ? d * d : 0;
        count[lane] += finite ? 1 : 0;
    }
    for (size_t i = 1; i < LANES; i++) {
        sum[0] += sum[i];
        squares[0] += squares[i];
        count[0] += count[i];
    }
    double mean = sum[0] / count[0];
    return sqrt(fmax(squares[0] / count[0] - mean * mean, 0));
}

static void weigh(struct tw_sampler *s, const struct tw_scaled_row *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        s->weights[i] = scaled(r, r->x[s->candidates[0][i].token]);
    }
    s->kernels->exp(s->weights, s->weights, n);
}

static void sort_by_logit(struct tw_sampler *s, const struct tw_scaled_row *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        s->candidates[0][i].key = tw_candidate_key(r->x[s->candidates[0][i].token]);
    }
    tw_select_sort(s, n);
    weigh(s, r, n);
}

static size_t typical(struct tw_sampler *s, const struct tw_sample_params *p, const struct tw_scaled_row *r,
                      size_t n, struct totals t, double outside)
{
    double log_z = tw_sample_log(t.z), entropy = log_z - t.zd / t.z, sum = 0;
    struct tw_candidate *c = s->candidates[0];
    size_t kept            = 0;
    for (size_t i = 0; i < n; i++) {
        double surprisal = log_z - (double)scaled(r, r->x[c[i].token]);
        c[i].key         = tw_f32_bits((float)fabs(surprisal - entropy));
    }
    tw_select_sort(s, n);
    weigh(s, r, n);
    c = s->candidates[0];
    while (kept < n && sum < p->typical_p * t.z) {
        sum += (double)s->weights[kept++];
    }
    while (kept > 0 && kept < n && c[kept].key == c[kept - 1].key) {
        kept++; /* ties with the last one stay */
    }
    double last = kept > 0 ? (double)tw_f32_from_bits(c[kept - 1].key) : 0;
    if (outside < HUGE_VAL && (kept == n || last >= log_z + outside - entropy)) {
        return 0;
    }
    kept = kept > 0 ? kept : 1;
    sort_by_logit(s, r, kept);
    return kept;
}

/* How many of the n sorted candidates the filters keep, at least one. `outside`: every other token is at least that
 * deep below the highest, infinite when none of them has a weight or can be kept; 0 is returned when they could
 * still matter. */
static size_t filter(struct tw_sampler *s, const struct tw_sample_params *p, const struct tw_scaled_row *r,
                     size_t n, struct totals t, double outside)
{
    const struct tw_candidate *c = s->candidates[0];
    const float *w               = s->weights;
    size_t kept                  = n;
    if (p->top_k > 0 && (size_t)p->top_k < n) {
        kept = (size_t)p->top_k;
        while (kept < n && c[kept].key == c[kept - 1].key) {
            kept++; /* ties with the k-th stay, as in Hugging Face */
        }
    }
    for (size_t i = 0; cuts_first(p) && i < kept; i++) {
        t.z += (double)w[i];
    }
    if (p->top_p < 1) {
        double sum = 0;
        size_t m   = 0;
        while (m < kept && sum < p->top_p * t.z) {
            sum += (double)w[m++];
        }
        if (m == kept && outside < HUGE_VAL) {
            return 0;
        }
        kept = m > 0 ? m : 1;
    }
    while (kept > 1 && (double)w[kept - 1] < p->min_p) {
        kept--;
    }
    if (!(p->typical_p < 1)) {
        return kept;
    }
    if (kept == n && !cuts_first(p) && !(p->top_p < 1) && !(p->min_p > 0)) {
        return typical(s, p, r, n, t, outside);
    }
    t = (struct totals){0};
    for (size_t i = 0; i < kept; i++) {
        t.z += (double)w[i];
        t.zd += (double)w[i] * (double)scaled(r, r->x[c[i].token]);
    }
    return typical(s, p, r, kept, t, HUGE_VAL);
}

/* Of candidates down to `threshold`. */
static size_t keep_above(struct tw_sampler *s, const struct tw_sample_params *p,
                         const struct tw_scaled_row *r, struct totals t, float threshold, double outside)
{
    size_t n = tw_select_collect(s, r->x, threshold);
    tw_select_sort(s, n);
    weigh(s, r, n);
    return filter(s, p, r, n, t, outside);
}

static float below_max(const struct tw_scaled_row *r, double depth)
{
    return (float)fmax((double)r->max - depth, -(double)FLT_MAX);
}

size_t tw_filter_keep(struct tw_sampler *s, const struct tw_sample_params *p, const struct tw_scaled_row *r)
{
    struct totals t = {0};
    double unit     = 1 / (double)r->scale;
    tw_select_blocks(s, r->x);
    if (cuts_first(p)) {
        float threshold = p->top_k > 0 ? tw_select_threshold(s, (size_t)p->top_k) : -FLT_MAX;
        if (p->top_n_sigma > 0) {
            double depth = p->top_n_sigma * deviation_of_row(r, s->n_vocab);
            threshold    = fmaxf(threshold, below_max(r, depth));
        }
        return keep_above(s, p, r, t, threshold, HUGE_VAL);
    }
    if (p->top_p < 1 || (p->typical_p < 1 && !(p->min_p > 0))) {
        t = total_of_row(s, p, r);
    }
    if (p->min_p > 0) {
        /* a little deeper than min_p itself, for the rounding of weights */
        return keep_above(s, p, r, t, below_max(r, unit * (0.001 - tw_sample_log(p->min_p))), HUGE_VAL);
    }
    /* Almost always the first try is enough. */
    double guess = fmax(2, r->entropy + 2 * r->deviation) * fmax(unit, 1);
    for (double depth = p->top_p < 1 || p->typical_p < 1 ? guess : HUGE_VAL;; depth *= 2) {
        bool all    = !(depth < deepest * unit);
        size_t kept = keep_above(s, p, r, t, below_max(r, all ? deepest * unit : depth),
                                 all ? HUGE_VAL : depth * (double)r->scale);
        if (kept > 0) {
            return kept;
        }
    }
}
