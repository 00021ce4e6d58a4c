/* SPDX-License-Identifier: MIT */
#include <immintrin.h>

#include "kernels/kernels_limits.h"

/* 16 registers: 13 sums hide the latency of two fma a cycle and leave room for the factors. */
enum { SUMS = 13 };

static uint64_t read_avx2(const void *p, size_t bytes, size_t streams)
{
    const uint8_t *q = p;
    size_t part      = bytes / streams;
    __m256i s[4]     = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                        _mm256_setzero_si256()};
    for (size_t i = 0; i < part; i += 256) {
        for (size_t stream = 0; stream < streams; stream++) {
            const uint8_t *at = q + stream * part + i;
#pragma GCC unroll 8
            for (size_t j = 0; j < 8; j++) {
                s[j % 4] = _mm256_xor_si256(s[j % 4],
                                            _mm256_load_si256((const __m256i *)(const void *)(at + 32 * j)));
            }
        }
    }
    uint64_t lanes[4];
    _mm256_storeu_si256((__m256i *)(void *)lanes,
                        _mm256_xor_si256(_mm256_xor_si256(s[0], s[1]), _mm256_xor_si256(s[2], s[3])));
    return lanes[0] ^ lanes[1] ^ lanes[2] ^ lanes[3];
}

static double fma_avx2(double flops, float *result)
{
    const double per_round = SUMS * 8.0 * 2.0;
    size_t rounds          = (size_t)(flops / per_round) + 1;
    __m256 s[SUMS], a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(*result);
#pragma GCC unroll 32
    for (size_t j = 0; j < SUMS; j++) {
        s[j] = _mm256_set1_ps((float)j);
    }
    for (size_t i = 0; i < rounds; i++) {
#pragma GCC unroll 32 /* the sums stay in registers */
        for (size_t j = 0; j < SUMS; j++) {
            s[j] = _mm256_fmadd_ps(s[j], a, b);
        }
    }
#pragma GCC unroll 32
    for (size_t j = 1; j < SUMS; j++) {
        s[0] = _mm256_add_ps(s[0], s[j]);
    }
    *result = _mm256_cvtss_f32(s[0]);
    return (double)rounds * per_round;
}

void tw_limit_loops_avx2(struct tw_limit_loops *loops)
{
    loops->read = read_avx2;
    loops->fma  = fma_avx2;
}
