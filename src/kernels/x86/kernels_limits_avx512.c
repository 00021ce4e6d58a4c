/* SPDX-License-Identifier: MIT */
#include <immintrin.h>

#include "kernels/kernels_limits.h"

enum { SUMS = 24 };

static uint64_t read_avx512(const void *p, size_t bytes, size_t streams)
{
    const uint8_t *q = p;
    size_t part      = bytes / streams;
    __m512i s[4]     = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                        _mm512_setzero_si512()};
    for (size_t i = 0; i < part; i += 512) {
        for (size_t stream = 0; stream < streams; stream++) {
            const uint8_t *at = q + stream * part + i;
#pragma GCC unroll 8
            for (size_t j = 0; j < 8; j++) {
                s[j % 4] = _mm512_xor_si512(s[j % 4], _mm512_load_si512(at + 64 * j));
            }
        }
    }
    __m512i all = _mm512_xor_si512(_mm512_xor_si512(s[0], s[1]), _mm512_xor_si512(s[2], s[3]));
    return (uint64_t)_mm512_reduce_or_epi64(all);
}

static double fma_avx512(double flops, float *result)
{
    const double per_round = SUMS * 16.0 * 2.0;
    size_t rounds          = (size_t)(flops / per_round) + 1;
    __m512 s[SUMS], a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(*result);
#pragma GCC unroll 32
    for (size_t j = 0; j < SUMS; j++) {
        s[j] = _mm512_set1_ps((float)j);
    }
    for (size_t i = 0; i < rounds; i++) {
#pragma GCC unroll 32 /* the sums stay in registers */
        for (size_t j = 0; j < SUMS; j++) {
            s[j] = _mm512_fmadd_ps(s[j], a, b);
        }
    }
#pragma GCC unroll 32
    for (size_t j = 1; j < SUMS; j++) {
        s[0] = _mm512_add_ps(s[0], s[j]);
    }
    *result = _mm512_reduce_add_ps(s[0]);
    return (double)rounds * per_round;
}

void tw_limit_loops_avx512(struct tw_limit_loops *loops)
{
    loops->read = read_avx512;
    loops->fma  = fma_avx512;
}
