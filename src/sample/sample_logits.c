/* SPDX-License-Identifier: MIT */
#include "sample/sample_logits.h"

#include "sample/sample_draw.h"

/* With p = e/Z and d = x - max: -log p = log Z - d, so entropy = log Z - E[d], varentropy = Var[d]. */
struct tw_logits tw_logits_measure(const struct tw_kernels *k, const float *row, size_t n_vocab)
{
    struct tw_logits l = {.row = row, .n_vocab = n_vocab};
    k->argmax(row, n_vocab, &l.max, &l.argmax);
    k->softmax_sums(row, n_vocab, l.max, l.sums);
    double mean     = l.sums[1] / l.sums[0];
    double variance = l.sums[2] / l.sums[0] - mean * mean;
    l.log_sum       = tw_sample_log(l.sums[0]);
    l.entropy       = (float)(l.log_sum - mean);
    l.varentropy    = (float)(variance > 0 ? variance : 0);
    return l;
}
