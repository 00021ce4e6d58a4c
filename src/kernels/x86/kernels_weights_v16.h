/* SPDX-License-Identifier: MIT */
/* Weights of a draw by sixteen lanes. Include after kernels_vec_<isa>.h and kernels_v16_math.h. */
#ifndef TW_KERNELS_WEIGHTS_V16_H
#define TW_KERNELS_WEIGHTS_V16_H

#include "kernels/kernels_levels.h"

static inline v16 weights_of(v16 x, v16 max, v16 scale)
{
    v16 d = v16_mul(v16_sub(x, max), scale);
    return v16_if_above(d, v16_set1(-INFINITY), v16_exp(d), v16_zero());
}

static void softmax_weights_v16(float *y, double *sums, const float *x, size_t n, float max, float scale)
{
    const v16 m = v16_set1(max), s = v16_set1(scale);
    for (size_t begin = 0; begin < n; begin += TW_SUM_BLOCK) {
        const size_t end = n - begin > TW_SUM_BLOCK ? begin + TW_SUM_BLOCK : n;
        v8d sum          = v8d_zero();
        size_t i         = begin;
        for (; i + 16 <= end; i += 16) {
            v16_store(y + i, weights_of(v16_load(x + i), m, s));
            sum = v8d_add(v8d_add(sum, v8d_from_f32(y + i)), v8d_from_f32(y + i + 8));
        }
        if (i < end) {
            float last[16];
            v16_store(last, v16_fill_from(weights_of(v16_load_n(x + i, end - i), m, s), end - i, 0.0f));
            memcpy(y + i, last, (end - i) * sizeof *last);
            sum = v8d_add(v8d_add(sum, v8d_from_f32(last)), v8d_from_f32(last + 8));
        }
        sums[begin / TW_SUM_BLOCK] = v8d_sum(sum);
    }
}

#endif /* TW_KERNELS_WEIGHTS_V16_H */
