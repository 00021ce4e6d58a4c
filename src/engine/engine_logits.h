/* SPDX-License-Identifier: MIT */
/* Tokens that may come next, and the best of them. */
#ifndef TW_ENGINE_LOGITS_H
#define TW_ENGINE_LOGITS_H

#include "sample/sample_logits.h"

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
