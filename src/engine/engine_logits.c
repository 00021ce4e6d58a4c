/* SPDX-License-Identifier: MIT */
#include "engine/engine_logits.h"

#include <math.h>

/* A list of at most `n` tokens, best first; ids come in ascending order, so that a tie goes behind. */
static size_t insert(struct tw_scored_token *list, size_t size, size_t n, struct tw_scored_token t)
{
    size_t at = size < n ? size : n - 1;
    for (; at > 0 && list[at - 1].score < t.score; at--) {
        list[at] = list[at - 1];
    }
    list[at] = t;
    return size < n ? size + 1 : n;
}

size_t tw_logits_top(const struct tw_logits *l, const float *scores, size_t n, struct tw_scored_token *out)
{
    /* A log-probability does not fall when its logit rises: what is not above the last one kept is not better. */
    const float *keys = scores == NULL ? l->row : scores;
    float least       = -INFINITY;
    size_t size       = 0;
    for (size_t i = 0; i < l->n_vocab && n > 0; i++) {
        if (!(keys[i] > least)) {
            continue;
        }
        float logprob = tw_logits_logprob(l, i), score = scores == NULL ? logprob : scores[i];
        if (!(score > -INFINITY) || (size == n && !(score > out[n - 1].score))) {
            continue;
        }
        size = insert(out, size, n, (struct tw_scored_token){(int32_t)i, logprob, score});
        if (size == n) {
            least = keys[out[n - 1].token];
        }
    }
    return size;
}
