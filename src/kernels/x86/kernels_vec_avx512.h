/* SPDX-License-Identifier: MIT */
/* Sixteen f32 lanes and eight f64 lanes in AVX-512 registers: the words that the x86 templates are
 * written in. kernels_vec_avx2.h has the same words. Only static inline code. */
#ifndef TW_KERNELS_VEC_AVX512_H
#define TW_KERNELS_VEC_AVX512_H

#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Loops over rows and panels must vanish: only then do sums live in registers. */
#ifdef __clang__
#    define V16_UNROLL _Pragma("clang loop unroll(full)")
#    define V16_TWICE  _Pragma("clang loop unroll_count(2)")
#else
#    define V16_UNROLL _Pragma("GCC unroll 16")
#    define V16_TWICE  _Pragma("GCC unroll 2")
#endif

enum {
    TILE_ROWS     = 14, /* 14 rows x 2 panels: 28 sums, 2 weights, 1 broadcast of the 32 registers */
    TILE_PANELS   = 4,  /* up to 6 rows x 4 panels */
    TILE_VECTORS  = 28, /* most rows x panels */
    V16_IN_FLIGHT = 4   /* exponentials that are computed side by side */
};

/* X(rows, panels) for every shape that the innermost loop exists in */
/* clang-format off */
#define TILE_SHAPES(X) \
    X(1, 4) X(2, 4) X(3, 4) X(4, 4) X(5, 4) X(6, 4) \
    X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2) X(7, 2) \
    X(8, 2) X(9, 2) X(10, 2) X(11, 2) X(12, 2) X(13, 2) X(14, 2) \
    X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(7, 1) \
    X(8, 1) X(9, 1) X(10, 1) X(11, 1) X(12, 1) X(13, 1) X(14, 1)
/* The same where panels are decoded, which needs registers. */
#define TILE_CODE_SHAPES(X) \
    X(1, 4) X(2, 4) X(3, 4) X(4, 4) \
    X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2) X(7, 2) \
    X(8, 2) X(9, 2) X(10, 2) X(11, 2) X(12, 2) X(13, 2) X(14, 2) \
    X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(7, 1) \
    X(8, 1) X(9, 1) X(10, 1) X(11, 1) X(12, 1) X(13, 1) X(14, 1)
/* And where several blocks of rows share them: no block is smaller than half of the largest. */
#define TILE_KEEP_SHAPES(X) \
    X(7, 2) X(8, 2) X(9, 2) X(10, 2) X(11, 2) X(12, 2) X(13, 2) X(14, 2) \
    X(7, 1) X(8, 1) X(9, 1) X(10, 1) X(11, 1) X(12, 1) X(13, 1) X(14, 1)
/* clang-format on */

enum {
    TILE_TIGHT = 24, /* sums of a tile that leave no registers for decoding two lines */
    TILE_CODE_BLOCKS =
        2 /* most blocks of rows each of which decodes; of more the first keeps what it decodes */
};

typedef __m512 v16;

static inline v16 v16_zero(void)
{
    return _mm512_setzero_ps();
}

static inline v16 v16_set1(float x)
{
    return _mm512_set1_ps(x);
}

static inline v16 v16_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

static inline void v16_store(float *p, v16 x)
{
    _mm512_storeu_ps(p, x);
}

static inline __mmask16 v16_first(size_t n)
{
    return (__mmask16)((1u << n) - 1u);
}

/* The first n lanes, 0 <= n <= 16; lanes beyond are +0 and their memory is not touched. */
static inline v16 v16_load_n(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps(v16_first(n), p);
}

static inline void v16_store_n(float *p, v16 x, size_t n)
{
    _mm512_mask_storeu_ps(p, v16_first(n), x);
}

/* Lanes from n on become `fill`. */
static inline v16 v16_fill_from(v16 x, size_t n, float fill)
{
    return _mm512_mask_blend_ps(v16_first(n), _mm512_set1_ps(fill), x);
}

/* Lanes whose bit is not set become `fill`. */
static inline v16 v16_fill_unless(v16 x, uint32_t bits, float fill)
{
    return _mm512_mask_blend_ps((__mmask16)bits, _mm512_set1_ps(fill), x);
}

static inline v16 v16_add(v16 a, v16 b)
{
    return _mm512_add_ps(a, b);
}

static inline v16 v16_sub(v16 a, v16 b)
{
    return _mm512_sub_ps(a, b);
}

static inline v16 v16_mul(v16 a, v16 b)
{
    return _mm512_mul_ps(a, b);
}

static inline v16 v16_div(v16 a, v16 b)
{
    return _mm512_div_ps(a, b);
}

/* a * b + c, one rounding */
static inline v16 v16_fma(v16 a, v16 b, v16 c)
{
    return _mm512_fmadd_ps(a, b, c);
}

/* *sum = a * b + *sum. Spelled in assembler because gcc 12 picks forms of the instruction that overwrite
 * a or b, and then spills half of a large tile. */
static inline void v16_accumulate(v16 *sum, v16 a, v16 b)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(*sum) : "v"(a), "v"(b));
}

/* *sum is in a register here. After a loop it keeps gcc 12 from spilling inside of it for what comes
 * later. */
static inline void v16_settle(v16 *sum)
{
    __asm__("" : "+v"(*sum));
}

/* a > b ? a : b in every lane: b where one is NaN */
static inline v16 v16_max(v16 a, v16 b)
{
    return _mm512_max_ps(a, b);
}

static inline v16 v16_negate(v16 x)
{
    return _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(x), _mm512_set1_epi32(INT32_MIN)));
}

/* x * 2^n where the low bits of `magic` hold n (see kernels_exp.h) */
static inline v16 v16_scale(v16 x, v16 magic)
{
    __m512i n = _mm512_slli_epi32(_mm512_castps_si512(magic), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(x), n));
}

/* x > limit ? yes : no; no where x is NaN */
static inline v16 v16_if_above(v16 x, v16 limit, v16 yes, v16 no)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, limit, _CMP_GT_OQ), no, yes);
}

static inline v16 v16_if_below(v16 x, v16 limit, v16 yes, v16 no)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, limit, _CMP_LT_OQ), no, yes);
}

/* Lanes as a tree: l with l + 8, then 4, 2, 1. */
static inline float v16_sum(v16 x)
{
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b        = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

static inline float v16_largest(v16 x)
{
    __m256 a = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b        = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}

/* Lanes of up to 16 rows as trees, rows side by side instead of one after the other: first a[l] + a[l + 8],
 * then 4, of four rows ... */
#define V16_TREES(name, op)                                                                               \
    static inline v16 name##_four(const v16 x[4])                                                         \
    {                                                                                                     \
        const v16 a = op(_mm512_shuffle_f32x4(x[0], x[1], 0x44), _mm512_shuffle_f32x4(x[0], x[1], 0xEE)); \
        const v16 b = op(_mm512_shuffle_f32x4(x[2], x[3], 0x44), _mm512_shuffle_f32x4(x[2], x[3], 0xEE)); \
        return op(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xDD));                    \
    }                                                                                                     \
    /* ... then 2, 1, of four such: lane r is what became of row r. */                                    \
    static inline v16 name##_rows(v16 a, v16 b, v16 c, v16 d)                                             \
    {                                                                                                     \
        a = op(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xEE));                             \
        c = op(_mm512_shuffle_ps(c, d, 0x44), _mm512_shuffle_ps(c, d, 0xEE));                             \
        a = op(_mm512_shuffle_ps(a, c, 0x88), _mm512_shuffle_ps(a, c, 0xDD));                             \
        return _mm512_permutexvar_ps(                                                                     \
            _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), a);                  \
    }
V16_TREES(v16_sum, _mm512_add_ps)
V16_TREES(v16_largest, _mm512_max_ps)

/* Whether a lane is NaN */
static inline bool v16_any_nan(v16 x)
{
    return _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q) != 0;
}

/* Lanes where x equals y, lane 0 in bit 0 */
static inline uint32_t v16_equal(v16 x, v16 y)
{
    return _mm512_cmp_ps_mask(x, y, _CMP_EQ_OQ);
}

/* ---- bf16 ---- */

/* 16 bf16 widened */
static inline v16 v16_load_bf16(const uint16_t *p)
{
    __m512i x = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(x, 16));
}

/* Each lane's bf16 (nearest even, a NaN stays a quiet NaN) in its upper half; the lower half is zero: tw_bf16_from_f32 by lanes. */
static inline v16 v16_round_bf16(v16 x)
{
    __m512i u     = _mm512_castps_si512(x);
    __m512i odd   = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    __m512i r     = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7FFF)), odd);
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    r             = _mm512_mask_or_epi32(r, nan, u, _mm512_set1_epi32(0x400000));
    return _mm512_castsi512_ps(_mm512_and_si512(r, _mm512_set1_epi32((int)0xFFFF0000)));
}

/* Store the upper halves: 16 bf16 */
static inline void v16_store_bf16(uint16_t *p, v16 rounded)
{
    __m512i u = _mm512_srli_epi32(_mm512_castps_si512(rounded), 16);
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtepi32_epi16(u));
}

/* 32 rounded values as 16 words: value 2i in the lower half of word i, 2i + 1 in the upper */
static inline v16 v16_pairs_bf16(v16 low, v16 high)
{
    __m256i a = _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(low), 16));
    __m256i b = _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(high), 16));
    return _mm512_castsi512_ps(_mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1));
}

#ifdef __AVX512BF16__
/* 32 values rounded, as v16_round_bf16 and v16_pairs_bf16 do it. The instruction would flush denormal ones,
 * so where a value has no exponent (zeros included) it is not used. */
static inline v16 v16_round_pairs_bf16(v16 low, v16 high)
{
    const __m512i exponent = _mm512_set1_epi32(0x7F800000);
    const __mmask16 l      = _mm512_testn_epi32_mask(_mm512_castps_si512(low), exponent);
    const __mmask16 h      = _mm512_testn_epi32_mask(_mm512_castps_si512(high), exponent);
    if (__builtin_expect((l | h) != 0, 0)) {
        return v16_pairs_bf16(v16_round_bf16(low), v16_round_bf16(high));
    }
    return _mm512_castsi512_ps((__m512i)_mm512_cvtne2ps_pbh(high, low));
}
#endif

/* ---- panels: 16 columns of one pair of inputs ---- */

static inline v16 v16_pair_bf16_odd(const char *w)
{
    __m512i x = _mm512_loadu_si512(w);
    return _mm512_castsi512_ps(_mm512_and_si512(x, _mm512_set1_epi32((int)0xFFFF0000)));
}

static inline v16 v16_pair_bf16_even(const char *w)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(w), 16));
}

/* A table of 16 bytes, for the next two */
static inline v16 v16_table(const uint8_t *bytes)
{
    return _mm512_castsi512_ps(_mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)bytes)));
}

/* The upper bytes of lines 2h and 2h + 1 of a compressed group (kernels_compress.h). */
static inline v16 v16_decode_upper(const char *group, const int h, v16 table)
{
    const __m512i nibbles = _mm512_loadu_si512(group + 128);
    const __m512i codes =
        _mm512_and_si512(h == 0 ? nibbles : _mm512_srli_epi16(nibbles, 4), _mm512_set1_epi8(0xF));
    return _mm512_castsi512_ps(_mm512_shuffle_epi8(_mm512_castps_si512(table), codes));
}

/* Both lines. */
static inline void v16_decode(const char *group, const int h, v16 table, v16 out[2])
{
    const __m512i y = _mm512_castps_si512(v16_decode_upper(group, h, table)),
                  x = _mm512_loadu_si512(group + 64 * h);
    out[0]          = _mm512_castsi512_ps(_mm512_unpacklo_epi8(x, y));
    out[1]          = _mm512_castsi512_ps(_mm512_unpackhi_epi8(x, y));
}

/* Line j with the upper bytes of its pair of lines. */
static inline v16 v16_decode_line(const char *group, const int j, const char *upper)
{
    const __m512i x = _mm512_loadu_si512(group + 64 * (j / 2)), y = _mm512_loadu_si512(upper);
    return _mm512_castsi512_ps(j % 2 == 0 ? _mm512_unpacklo_epi8(x, y) : _mm512_unpackhi_epi8(x, y));
}

/* The odd, and the even halves of 16 words of two bf16, widened */
static inline v16 v16_odd_bf16(v16 words)
{
    const __m512i mask = _mm512_set1_epi32((int)0xFFFF0000);
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(words), mask));
}

static inline v16 v16_even_bf16(v16 words)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(words), 16));
}

/* From f32 pairs the lanes come in a shuffled order, which v16_pair_f32_order undoes on the sums. */
static inline v16 v16_pair_f32_odd(const char *w)
{
    return _mm512_shuffle_ps(_mm512_loadu_ps(w), _mm512_loadu_ps(w + 64), 0xDD);
}

static inline v16 v16_pair_f32_even(const char *w)
{
    return _mm512_shuffle_ps(_mm512_loadu_ps(w), _mm512_loadu_ps(w + 64), 0x88);
}

static inline v16 v16_pair_f32_order(v16 x)
{
    const __m512i from = _mm512_setr_epi32(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    return _mm512_permutexvar_ps(from, x);
}

/* What v16_pair_f32_order undoes */
static inline v16 v16_pair_f32_disorder(v16 x)
{
    const __m512i from = _mm512_setr_epi32(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
    return _mm512_permutexvar_ps(from, x);
}

/* ---- eight f64 lanes ---- */

typedef __m512d v8d;

static inline v8d v8d_zero(void)
{
    return _mm512_setzero_pd();
}

static inline v8d v8d_from_f32(const float *p)
{
    return _mm512_cvtps_pd(_mm256_loadu_ps(p));
}

/* Lanes 0 to 7, and 8 to 15, widened */
static inline v8d v8d_low(v16 x)
{
    return _mm512_cvtps_pd(_mm512_castps512_ps256(x));
}

static inline v8d v8d_high(v16 x)
{
    return _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1));
}

static inline v8d v8d_add(v8d a, v8d b)
{
    return _mm512_add_pd(a, b);
}

static inline v8d v8d_mul(v8d a, v8d b)
{
    return _mm512_mul_pd(a, b);
}

/* Lanes as a tree: l with l + 4, then 2, 1. */
static inline double v8d_sum(v8d x)
{
    __m256d a = _mm256_add_pd(_mm512_castpd512_pd256(x), _mm512_extractf64x4_pd(x, 1));
    __m128d b = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_add_sd(b, _mm_unpackhi_pd(b, b)));
}

/* Transpose 32-bit elements: lane r of x[c] becomes what lane c of x[r] was. Only rows below TILE_ROWS need
 * to be set, only lanes below TILE_ROWS are. */
static inline void v16_transpose(v16 x[16])
{
    v16 t[16];
    V16_UNROLL
    for (int i = 0; i < 8; i++) {
        t[2 * i]     = _mm512_unpacklo_ps(x[2 * i], x[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_ps(x[2 * i], x[2 * i + 1]);
    }
    V16_UNROLL
    for (int i = 0; i < 4; i++) {
        x[4 * i]     = _mm512_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
        x[4 * i + 1] = _mm512_shuffle_ps(t[4 * i], t[4 * i + 2], 0xEE);
        x[4 * i + 2] = _mm512_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
        x[4 * i + 3] = _mm512_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xEE);
    }
    /* x[4g + j] holds, in 128-bit lane L, column 4L + j of rows 4g .. 4g+3 */
    V16_UNROLL
    for (int j = 0; j < 4; j++) {
        v16 a = _mm512_shuffle_f32x4(x[j], x[4 + j], 0x88), b = _mm512_shuffle_f32x4(x[j], x[4 + j], 0xDD);
        v16 c     = _mm512_shuffle_f32x4(x[8 + j], x[12 + j], 0x88);
        v16 d     = _mm512_shuffle_f32x4(x[8 + j], x[12 + j], 0xDD);
        t[j]      = _mm512_shuffle_f32x4(a, c, 0x88);
        t[8 + j]  = _mm512_shuffle_f32x4(a, c, 0xDD);
        t[4 + j]  = _mm512_shuffle_f32x4(b, d, 0x88);
        t[12 + j] = _mm512_shuffle_f32x4(b, d, 0xDD);
    }
    V16_UNROLL
    for (int i = 0; i < 16; i++) {
        x[i] = t[i];
    }
}

#endif /* TW_KERNELS_VEC_AVX512_H */
