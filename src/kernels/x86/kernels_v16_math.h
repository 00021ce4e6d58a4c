/* SPDX-License-Identifier: MIT */
/* exp and silu by sixteen lanes: operation for operation what kernels_exp.h does by one. Include after
 * kernels_vec_<isa>.h. */
#ifndef TW_KERNELS_V16_MATH_H
#define TW_KERNELS_V16_MATH_H

#include "kernels/kernels_exp.h"

/* For x <= TW_EXP_MAX or NaN: what softmax needs, whose arguments are never positive. */
static inline v16 v16_exp_bounded(v16 x)
{
    v16 t = v16_fma(x, v16_set1(TW_EXP_LOG2E), v16_set1(TW_EXP_MAGIC));
    v16 n = v16_sub(t, v16_set1(TW_EXP_MAGIC));
    v16 r = v16_fma(n, v16_set1(-TW_EXP_LN2_HI), x);
    r     = v16_fma(n, v16_set1(-TW_EXP_LN2_LO), r);
    v16 p = v16_fma(v16_set1(TW_EXP_C6), r, v16_set1(TW_EXP_C5));
    p     = v16_fma(p, r, v16_set1(TW_EXP_C4));
    p     = v16_fma(p, r, v16_set1(TW_EXP_C3));
    p     = v16_fma(p, r, v16_set1(TW_EXP_C2));
    p     = v16_fma(p, r, v16_set1(1.0f));
    p     = v16_fma(p, r, v16_set1(1.0f));
    return v16_if_below(x, v16_set1(TW_EXP_MIN), v16_zero(), v16_scale(p, t));
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
