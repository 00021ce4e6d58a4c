/* SPDX-License-Identifier: MIT */
/* What a row of logits should be sampled from, worked out slowly in f64. */
#ifndef TRAWL_TESTS_SAMPLE_BRUTE_H
#define TRAWL_TESTS_SAMPLE_BRUTE_H

#include <stdbool.h>

#include "sample/sample.h"

/* probability[n_vocab] after the processors, 0 for tokens that are not kept. False: some token lies so near to the edge
 * of a filter that rounding may decide about it. */
bool sample_brute(const float *logits, size_t n_vocab, const struct tw_sample_params *p, const int32_t *history,
                  size_t n_history, double *probability);

/* Draw `n` tokens at positions 0 .. n-1 and fail the running test unless all were kept and their frequencies fit
 * (chi-square, tokens expected less than 8 times taken together). */
void sample_assert_fits(struct tw_sampler *s, const float *logits, const struct tw_sample_params *p,
                        const int32_t *history, size_t n_history, const double *probability, size_t n,
                        const char *what);

#endif /* TRAWL_TESTS_SAMPLE_BRUTE_H */
