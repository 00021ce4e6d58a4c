/* SPDX-License-Identifier: MIT */
/* A row of logits, and what the log-probabilities of its tokens are computed from, in the canonical form of
 * docs/numerics.md: whoever asks, the bits are the same. */
#ifndef TW_SAMPLE_LOGITS_H
#define TW_SAMPLE_LOGITS_H

#include "kernels/kernels.h"

struct tw_logits {
    const float *row; /* [n_vocab] */
    size_t n_vocab;
    float max;
    size_t argmax;
    double sums[3];            /* softmax_sums of the row, relative to the highest logit */
    double log_sum;            /* log of the first of them */
    float entropy, varentropy; /* of softmax(row), in nats and nats^2 */
};

struct tw_logits tw_logits_measure(const struct tw_kernels *k, const float *row, size_t n_vocab);

static inline float tw_logits_logprob(const struct tw_logits *l, size_t token)
{
    return (float)((double)(l->row[token] - l->max) - l->log_sum);
}

#endif /* TW_SAMPLE_LOGITS_H */
