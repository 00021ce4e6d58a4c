/* SPDX-License-Identifier: MIT */
/* exp and silu, one lane at a time: the twin of the vector forms in x86/kernels_v16_math.h.
 *
 * exp(x) = 2^n * e^r with n = round(x / ln 2) and r = x - n ln 2 in [-0.347, 0.347]; ln 2 is a sum of two
 * f32, so that with fma the first step of the reduction is exact. e^r = 1 + r (1 + r (c2 + r (... + c6 r^4)))
 * with c2..c6 from a Remez exchange on the relative error (3.1e-9 before rounding the coefficients).
 * Adding 1.5 * 2^23 rounds x / ln 2 to an integer and leaves it in the low bits of the sum, from where a
 * shift by 23 puts it on the exponent. Results below 2^-126 are +0. */
#ifndef TW_KERNELS_EXP_H
#define TW_KERNELS_EXP_H

#include <math.h>

#include "tensor/dtype.h"

#define TW_EXP_LOG2E  0x1.715476p+0f
#define TW_EXP_MAGIC  0x1.8p+23f
#define TW_EXP_LN2_HI 0x1.62e430p-1f
#define TW_EXP_LN2_LO (-0x1.05c610p-29f)
#define TW_EXP_C2     0x1.fffffcp-2f
#define TW_EXP_C3     0x1.555492p-3f
#define TW_EXP_C4     0x1.5558f2p-5f
#define TW_EXP_C5     0x1.123a20p-7f
#define TW_EXP_C6     0x1.6a23d0p-10f
#define TW_EXP_MAX    0x1.62e42ep+6f    /* exp of the next float overflows */
#define TW_EXP_MIN    (-0x1.5d589ep+6f) /* exp of the float before is below 2^-126 */

static inline float tw_exp_one(float x)
{
    if (x > TW_EXP_MAX) {
        return INFINITY;
    }
    if (x < TW_EXP_MIN) {
        return 0.0f;
    }
    float t = fmaf(x, TW_EXP_LOG2E, TW_EXP_MAGIC);
    float n = t - TW_EXP_MAGIC;
    float r = fmaf(n, -TW_EXP_LN2_HI, x);
    r       = fmaf(n, -TW_EXP_LN2_LO, r);
    float p = fmaf(TW_EXP_C6, r, TW_EXP_C5);
    p       = fmaf(p, r, TW_EXP_C4);
    p       = fmaf(p, r, TW_EXP_C3);
    p       = fmaf(p, r, TW_EXP_C2);
    p       = fmaf(p, r, 1.0f);
    p       = fmaf(p, r, 1.0f);
    return tw_f32_from_bits(tw_f32_bits(p) + (tw_f32_bits(t) << 23));
}

static inline float tw_silu_one(float x)
{
    return x / (1.0f + tw_exp_one(-x));
}

#endif /* TW_KERNELS_EXP_H */
