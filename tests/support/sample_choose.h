/* SPDX-License-Identifier: MIT */
/* A choice from a row after a prompt, without masks and end tokens. */
#ifndef TRAWL_TESTS_SAMPLE_CHOOSE_H
#define TRAWL_TESTS_SAMPLE_CHOOSE_H

#include "sample/sample.h"

static inline struct tw_sampled sample_choose(struct tw_sampler *s, const float *logits,
                                              const struct tw_sample_params *p, const int32_t *history,
                                              size_t n_history, size_t position)
{
    const struct tw_sample_input in = {.logits    = logits,
                                       .params    = p,
                                       .history   = history,
                                       .n_history = n_history,
                                       .n_prompt  = n_history,
                                       .position  = position};
    return tw_sample_choose(s, &in);
}

#endif /* TRAWL_TESTS_SAMPLE_CHOOSE_H */
