/* SPDX-License-Identifier: MIT */
#include "apps/gsm8k/gsm8k_score.h"

#include <math.h>

struct tw_gsm8k_interval tw_gsm8k_wilson(size_t right, size_t n)
{
    const double z = 1.959963984540054; /* 97.5 % of a normal distribution lie below */
    if (n == 0) {
        return (struct tw_gsm8k_interval){0, 1};
    }
    double count = (double)n, p = (double)right / count, square = z * z / count;
    double middle = (p + square / 2) / (1 + square);
    double half   = z * sqrt(p * (1 - p) / count + square / (4 * count)) / (1 + square);
    return (struct tw_gsm8k_interval){fmax(0, middle - half), fmin(1, middle + half)};
}
