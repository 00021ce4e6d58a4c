/* SPDX-License-Identifier: MIT */
/* What tests of sampling begin with. */
#ifndef TRAWL_TESTS_SAMPLE_CHOOSE_H
#define TRAWL_TESTS_SAMPLE_CHOOSE_H

#include "base/thread.h"
#include "sample/sample.h"

static struct tw_kernels kernels; /* of this machine, from the group's setup on */

static inline int sample_setup(void **state)
{
    (void)state;
    tw_float_mode_compute();
    return tw_kernels_init(&kernels, NULL, NULL);
}

/* A choice from a row after a prompt, without masks and end tokens. */
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
