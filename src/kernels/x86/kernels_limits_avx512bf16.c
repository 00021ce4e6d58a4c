/* SPDX-License-Identifier: MIT */
#include <immintrin.h>

#include "kernels/kernels_limits.h"

enum { SUMS = 24 };

static double dot_avx512bf16(double flops, float *result)
{
    const double per_round = SUMS * 32.0 * 2.0;
    size_t rounds          = (size_t)(flops / per_round) + 1;
    __m512 s[SUMS], one = _mm512_set1_ps(*result);
    __m512bh a = _mm512_cvtne2ps_pbh(one, one), b = _mm512_cvtne2ps_pbh(one, _mm512_set1_ps(0.5f));
#pragma GCC unroll 32
    for (size_t j = 0; j < SUMS; j++) {
        s[j] = _mm512_set1_ps((float)j);
    }
    for (size_t i = 0; i < rounds; i++) {
#pragma GCC unroll 32 /* the sums stay in registers */
        for (size_t j = 0; j < SUMS; j++) {
            s[j] = _mm512_dpbf16_ps(s[j], a, b);
        }
    }
#pragma GCC unroll 32
    for (size_t j = 1; j < SUMS; j++) {
        s[0] = _mm512_add_ps(s[0], s[j]);
    }
    *result = _mm512_reduce_add_ps(s[0]);
    return (double)rounds * per_round;
}

void tw_limit_loops_avx512bf16(struct tw_limit_loops *loops)
{
    loops->dot = dot_avx512bf16;
}
