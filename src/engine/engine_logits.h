/* SPDX-License-Identifier: MIT */
/* Log-probabilities of any tokens of one row of logits, in the canonical form of docs/numerics.md: the same bits
 * as those that sampling reports. */
#ifndef TW_ENGINE_LOGITS_H
#define TW_ENGINE_LOGITS_H

#include "kernels/kernels.h"

/* A row, and what its log-probabilities are computed from. */
struct tw_logits {
    const float *row; /* [n_vocab] */
    size_t n_vocab;
    float max;
    double log_sum;            /* log of the softmax denominator, relative to the highest logit */
    float entropy, varentropy; /* of softmax(row), in nats and nats^2 */
};

struct tw_logits tw_logits_measure(const struct tw_kernels *k, const float *row, size_t n_vocab);

static inline float tw_logits_logprob(const struct tw_logits *l, size_t token)
{
    return (float)((double)(l->row[token] - l->max) - l->log_sum);
}

/* A token that may come next. */
struct tw_scored_token {
    int32_t token;
    float logprob; /* of softmax(row) */
    float score;   /* what it is chosen by */
};

/* The up to n tokens of the highest scores, highest first, lower ids first where they tie; returns how many.
 * `scores` [n_vocab], or NULL: the log-probabilities themselves. Scores of -inf and NaN are left out. */
size_t tw_logits_top(const struct tw_logits *l, const float *scores, size_t n, struct tw_scored_token *out);

#endif /* TW_ENGINE_LOGITS_H */
