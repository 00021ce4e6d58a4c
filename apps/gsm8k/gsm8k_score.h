/* SPDX-License-Identifier: MIT */
/* A share and how sure it is. */
#ifndef TW_GSM8K_SCORE_H
#define TW_GSM8K_SCORE_H

#include <stddef.h>

struct tw_gsm8k_interval {
    double low, high;
};

/* The 95 % interval of Wilson for `right` of n: of a share near 0 or 1 it stays within [0, 1]. n 0: all of that. */
struct tw_gsm8k_interval tw_gsm8k_wilson(size_t right, size_t n);

#endif /* TW_GSM8K_SCORE_H */
