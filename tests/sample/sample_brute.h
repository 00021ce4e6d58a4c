/* SPDX-License-Identifier: MIT */
/* What a row of logits should be sampled from, worked out slowly in f64. */
#ifndef TRAWL_TESTS_SAMPLE_BRUTE_H
#define TRAWL_TESTS_SAMPLE_BRUTE_H

#include <stdbool.h>

#include "sample/sample.h"

/* probability[n_vocab] after the processors, 0 for tokens that are not kept. False: some token lies so near to the edge
 * of a filter that rounding may decide about it. */
bool sample_brute(const float *logits, size_t n_vocab, const struct tw_sample_params *p,
                  const int32_t *history, size_t n_history, double *probability);

#endif /* TRAWL_TESTS_SAMPLE_BRUTE_H */
