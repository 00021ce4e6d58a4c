/* SPDX-License-Identifier: MIT */
/* exp and silu by sixteen lanes: operation for operation what kernels_exp.h does by one. Include after
 * kernels_vec_<isa>.h. */
#ifndef TW_KERNELS_V16_MATH_H
#define TW_KERNELS_V16_MATH_H

#include "kernels/kernels_exp.h"

/* n <= V16_IN_FLIGHT of v16_exp_bounded_each, step by step for all of them: one alone is a chain of sixteen
 * latencies, and the processor looks ahead over no more than two. */
static inline __attribute__((always_inline)) void exp_side_by_side(v16 *x, const size_t n)
{
    static const float c[6] = {TW_EXP_C5, TW_EXP_C4, TW_EXP_C3, TW_EXP_C2, 1.0f, 1.0f};
    v16 t[V16_IN_FLIGHT], r[V16_IN_FLIGHT], p[V16_IN_FLIGHT];
    V16_UNROLL
    for (size_t i = 0; i < n; i++) {
        t[i] = v16_fma(x[i], v16_set1(TW_EXP_LOG2E), v16_set1(TW_EXP_MAGIC));
    }
    V16_UNROLL
    for (size_t i = 0; i < n; i++) {
        p[i] = v16_sub(t[i], v16_set1(TW_EXP_MAGIC));
    }
    V16_UNROLL
    for (size_t i = 0; i < n; i++) {
        r[i] = v16_fma(p[i], v16_set1(-TW_EXP_LN2_HI), x[i]);
    }
    V16_UNROLL
    for (size_t i = 0; i < n; i++) {
        r[i] = v16_fma(p[i], v16_set1(-TW_EXP_LN2_LO), r[i]);
        p[i] = v16_set1(TW_EXP_C6);
    }
    V16_UNROLL
    for (int step = 0; step < 6; step++) {
        V16_UNROLL
        for (size_t i = 0; i < n; i++) {
            p[i] = v16_fma(p[i], r[i], v16_set1(c[step]));
        }
    }
    V16_UNROLL
    for (size_t i = 0; i < n; i++) {
        x[i] = v16_if_below(x[i], v16_set1(TW_EXP_MIN), v16_zero(), v16_scale(p[i], t[i]));
    }
}

/* x[i] = exp(x[i]) for x[i] <= TW_EXP_MAX or NaN: what softmax needs, whose arguments are never positive. */
static inline __attribute__((always_inline)) void v16_exp_bounded_each(v16 *x, const size_t n)
{
    V16_UNROLL
    for (size_t i = 0; i < n; i += V16_IN_FLIGHT) {
        exp_side_by_side(x + i, n - i < V16_IN_FLIGHT ? n - i : V16_IN_FLIGHT);
    }
}

static inline v16 v16_exp_bounded(v16 x)
{
    v16_exp_bounded_each(&x, 1);
    return x;
}

static inline v16 v16_exp(v16 x)
{
    return v16_if_above(x, v16_set1(TW_EXP_MAX), v16_set1(INFINITY), v16_exp_bounded(x));
}

static inline v16 v16_silu(v16 x)
{
    return v16_div(x, v16_add(v16_set1(1.0f), v16_exp(v16_negate(x))));
}

#endif /* TW_KERNELS_V16_MATH_H */
