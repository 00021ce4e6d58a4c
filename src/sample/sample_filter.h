/* SPDX-License-Identifier: MIT */
/* The tokens that top_n_sigma, top_k, top_p, min_p and typical_p leave of a row. */
#ifndef TW_SAMPLE_FILTER_H
#define TW_SAMPLE_FILTER_H

#include "sample/sample.h"

/* A row after its processors, and how weights come of it: exp((x - max) * scale). */
struct tw_scaled_row {
    const float *x; /* [n_vocab] */
    float max;      /* the highest; finite */
    float scale;    /* 1 / temperature, normal and finite */
    double sums[3]; /* its softmax_sums if it was not processed and the temperature is 1; else NaN */
    double entropy, deviation; /* of the model's distribution, nats: a guess of how deep to look */
};

/* Does any of them leave something out? */
bool tw_filter_any(const struct tw_sample_params *p);

/* How many tokens are kept, at least one: s->candidates[0] has them, most probable first, and s->weights their
 * weights. */
size_t tw_filter_keep(struct tw_sampler *s, const struct tw_sample_params *p, const struct tw_scaled_row *r);

/* In long double so that the rounded result does not depend on the C library's log. */
double tw_sample_log(double x);

#endif /* TW_SAMPLE_FILTER_H */
