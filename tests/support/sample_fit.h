/* SPDX-License-Identifier: MIT */
/* Do draws follow a distribution? */
#ifndef TRAWL_TESTS_SAMPLE_FIT_H
#define TRAWL_TESTS_SAMPLE_FIT_H

#include <math.h>

#include "sample/sample.h"
#include "support/test.h"

enum { SAMPLE_FIT_VOCAB = 1024 }; /* at most */

/* Draw `n` tokens at positions 0 .. n-1 and fail the running test unless all have a probability[n_vocab] above 0 and
 * their frequencies fit (chi-square, tokens expected less than 8 times taken together). */
static inline void sample_assert_fits(struct tw_sampler *s, const struct tw_sample_input *input,
                                      const double *probability, size_t n, const char *what)
{
    size_t count[SAMPLE_FIT_VOCAB] = {0};
    struct tw_sample_input in      = *input;
    for (in.position = 0; in.position < n; in.position++) {
        int32_t token = tw_sample_choose(s, &in).token;
        assert_true(token >= 0 && (size_t)token < s->n_vocab);
        if (!(probability[token] > 0)) {
            fail_msg("%s: token %d was drawn, which is not kept", what, (int)token);
        }
        count[token]++;
    }
    double chi = 0, rest_expected = 0, rest_count = 0;
    int bins = 0;
    for (size_t i = 0; i < s->n_vocab; i++) {
        double expected = probability[i] * (double)n, got = (double)count[i];
        if (expected < 8) {
            rest_expected += expected;
            rest_count += got;
            continue;
        }
        chi += (got - expected) * (got - expected) / expected;
        bins++;
    }
    if (rest_expected >= 8) {
        chi += (rest_count - rest_expected) * (rest_count - rest_expected) / rest_expected;
        bins++;
    }
    double freedom = bins > 1 ? bins - 1 : 1, limit = freedom + 5 * sqrt(2 * freedom) + 15;
    if (chi > limit) {
        fail_msg("%s: chi-square is %.1f with %d bins, expected at most %.1f", what, chi, bins, limit);
    }
}

#endif /* TRAWL_TESTS_SAMPLE_FIT_H */
