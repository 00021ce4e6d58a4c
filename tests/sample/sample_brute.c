/* SPDX-License-Identifier: MIT */
#include "sample_brute.h"

#include <math.h>

#include "support/test.h"

enum { VOCAB_MAX = 1024 };

/* Nearer than this to a filter's edge, f32 logits and f64 sums may disagree. */
static const double margin = 1e-6;

struct place {
    double logit, probability;
    size_t token;
};

static int by_logit(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return x->logit > y->logit ? -1 : x->logit < y->logit ? 1 : x->token < y->token ? -1 : 1;
}

/* How many of the sorted places the three filters keep, one after the other. */
static size_t filter(struct place *c, size_t n, const struct tw_sample_params *p, bool *sure)
{
    size_t kept  = n;
    double total = 0;
    if (p->top_k > 0 && (size_t)p->top_k < n) {
        double least = c[p->top_k - 1].logit;
        for (kept = 0; kept < n && c[kept].logit >= least; kept++) {
        }
    }
    for (size_t i = 0; i < kept; i++) {
        total += c[i].probability;
    }
    if (p->top_p < 1) {
        double sum = 0;
        size_t m   = 0;
        while (m < kept && sum < p->top_p * total) {
            *sure = *sure && (m == 0 || fabs(sum / total - p->top_p) > margin);
            sum += c[m++].probability;
        }
        *sure = *sure && fabs(sum / total - p->top_p) > margin;
        kept  = m;
    }
    double least = p->min_p * c[0].probability;
    for (size_t i = 1; i < kept; i++) {
        *sure = *sure && (least <= 0 || fabs(c[i].probability / least - 1) > margin);
    }
    while (kept > 1 && c[kept - 1].probability < least) {
        kept--;
    }
    return kept;
}

static double shift_of(double probability, double entropy)
{
    return fabs(-log(probability) - entropy);
}

/* Of the kept ones those least far from the typical surprisal, ties with the last of them; the others lose their
 * probability. */
static void keep_typical(struct place *c, size_t kept, double p, bool *sure)
{
    double total = 0, entropy = 0, sum = 0, last = -1;
    for (size_t i = 0; i < kept; i++) {
        total += c[i].probability;
    }
    for (size_t i = 0; i < kept; i++) {
        double q = c[i].probability / total;
        entropy -= q > 0 ? q * log(q) : 0;
    }
    while (sum < p) {
        double next = HUGE_VAL;
        for (size_t i = 0; i < kept; i++) { /* the least far of those that are farther than `last` */
            double shift = shift_of(c[i].probability / total, entropy);
            if (shift > last && shift < next) {
                next = shift;
            }
        }
        *sure = *sure && (last < 0 || next - last > 1e-4); /* else they may be equal in f32 */
        if (!(next < HUGE_VAL)) {
            break;
        }
        for (size_t i = 0; i < kept; i++) {
            double q = c[i].probability / total;
            sum += shift_of(q, entropy) == next ? q : 0;
        }
        *sure = *sure && fabs(sum - p) > margin;
        last  = next;
    }
    for (size_t i = 0; i < kept; i++) {
        if (shift_of(c[i].probability / total, entropy) > last) {
            c[i].probability = 0;
        }
    }
}

bool sample_brute(const float *logits, size_t n_vocab, const struct tw_sample_params *p,
                  const int32_t *history, size_t n_history, double *probability)
{
    struct place c[VOCAB_MAX];
    bool sure = true;
    assert_true(n_vocab <= VOCAB_MAX);
    for (size_t i = 0; i < n_vocab; i++) {
        bool seen = false;
        for (size_t j = 0; j < n_history; j++) {
            seen = seen || (size_t)history[j] == i;
        }
        double x = (double)logits[i];
        if (seen) {
            x = x > 0 ? x / p->repetition_penalty : x * p->repetition_penalty;
        }
        c[i] = (struct place){.logit = x / p->temperature, .token = i};
    }
    qsort(c, n_vocab, sizeof *c, by_logit);
    for (size_t i = 0; i < n_vocab; i++) {
        c[i].probability = exp(c[i].logit - c[0].logit);
        probability[i]   = 0;
    }
    size_t kept  = filter(c, n_vocab, p, &sure);
    double total = 0;
    if (p->typical_p < 1) {
        keep_typical(c, kept, p->typical_p, &sure);
    }
    for (size_t i = 0; i < kept; i++) {
        total += c[i].probability;
    }
    for (size_t i = 0; i < kept; i++) {
        probability[c[i].token] = c[i].probability / total;
    }
    return sure;
}
