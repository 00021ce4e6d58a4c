/* SPDX-License-Identifier: MIT */
/* Sixteen f32 lanes and eight f64 lanes as two AVX registers each: the same words as
 * kernels_vec_avx512.h. Only static inline code. */
#ifndef TW_KERNELS_VEC_AVX2_H
#define TW_KERNELS_VEC_AVX2_H

#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Loops over rows and panels must vanish: only then do sums live in registers. */
#ifdef __clang__
#    define V16_UNROLL _Pragma("clang loop unroll(full)")
#    define V16_TWICE  _Pragma("clang loop unroll_count(2)")
#else
#    define V16_UNROLL _Pragma("GCC unroll 16")
#    define V16_TWICE  _Pragma("GCC unroll 2")
#endif

enum {
    TILE_ROWS     = 6, /* 6 rows x 1 panel: 12 sums, 2 weights, 1 broadcast, 1 mask of the 16 registers */
    TILE_PANELS   = 4,
    TILE_VECTORS  = 12, /* most rows x panels; SwiGLU's two panels a row included */
    V16_IN_FLIGHT = 1   /* exponentials that are computed side by side: registers are few */
};

/* X(rows, panels) for every shape that the innermost loop exists in */
#define TILE_SHAPES(X) X(1, 4) X(1, 2) X(2, 2) X(3, 2) X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1)

/* The same where panels are decoded. */
#define TILE_CODE_SHAPES(X) X(1, 2) X(2, 2) X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1)
/* And where several blocks of rows share them: no block is smaller than half of the largest. */
#define TILE_KEEP_SHAPES(X) X(3, 1) X(4, 1) X(5, 1) X(6, 1)

enum {
    TILE_TIGHT = 5, /* sums of a tile that leave no registers for decoding two lines */
    TILE_CODE_BLOCKS =
        1 /* most blocks of rows each of which decodes; of more the first keeps what it decodes */
};

typedef struct {
    __m256 lo, hi;
} v16;

static inline v16 v16_zero(void)
{
    return (v16){_mm256_setzero_ps(), _mm256_setzero_ps()};
}

static inline v16 v16_set1(float x)
{
    return (v16){_mm256_set1_ps(x), _mm256_set1_ps(x)};
}

static inline v16 v16_load(const float *p)
{
    return (v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}

static inline void v16_store(float *p, v16 x)
{
    _mm256_storeu_ps(p, x.lo);
    _mm256_storeu_ps(p + 8, x.hi);
}

/* The first n lanes, 0 <= n <= 16; lanes beyond are +0 and their memory is not touched. */
static inline v16 v16_load_n(const float *p, size_t n)
{
    float t[16] = {0};
    memcpy(t, p, n * sizeof *p);
    return v16_load(t);
}

static inline void v16_store_n(float *p, v16 x, size_t n)
{
    float t[16];
    v16_store(t, x);
    memcpy(p, t, n * sizeof *p);
}

/* Lanes from n on become `fill`. */
static inline v16 v16_fill_from(v16 x, size_t n, float fill)
{
    const __m256i i = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i lo      = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), i);
    __m256i hi      = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n - 8), i);
    __m256 f        = _mm256_set1_ps(fill);
    return (v16){_mm256_blendv_ps(f, x.lo, _mm256_castsi256_ps(lo)),
                 _mm256_blendv_ps(f, x.hi, _mm256_castsi256_ps(hi))};
}

/* Lanes whose bit is not set become `fill`. */
static inline v16 v16_fill_unless(v16 x, uint32_t bits, float fill)
{
    const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    __m256i lo         = _mm256_and_si256(_mm256_set1_epi32((int)bits), lane);
    __m256i hi         = _mm256_and_si256(_mm256_set1_epi32((int)(bits >> 8)), lane);
    __m256 f           = _mm256_set1_ps(fill);
    return (v16){_mm256_blendv_ps(f, x.lo, _mm256_castsi256_ps(_mm256_cmpeq_epi32(lo, lane))),
                 _mm256_blendv_ps(f, x.hi, _mm256_castsi256_ps(_mm256_cmpeq_epi32(hi, lane)))};
}

static inline v16 v16_add(v16 a, v16 b)
{
    return (v16){_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}

static inline v16 v16_sub(v16 a, v16 b)
{
    return (v16){_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}

static inline v16 v16_mul(v16 a, v16 b)
{
    return (v16){_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}

static inline v16 v16_div(v16 a, v16 b)
{
    return (v16){_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}

/* a * b + c, one rounding */
static inline v16 v16_fma(v16 a, v16 b, v16 c)
{
    return (v16){_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}

/* *sum = a * b + *sum. Spelled in assembler because gcc 12 picks forms of the instruction that overwrite
 * a or b, and then spills half of a large tile. */
static inline void v16_accumulate(v16 *sum, v16 a, v16 b)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(sum->lo) : "x"(a.lo), "x"(b.lo));
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(sum->hi) : "x"(a.hi), "x"(b.hi));
}

/* *sum is in a register here. After a loop it keeps gcc 12 from spilling inside of it for what comes
 * later. */
static inline void v16_settle(v16 *sum)
{
    __asm__("" : "+x"(sum->lo));
    __asm__("" : "+x"(sum->hi));
}

/* a > b ? a : b in every lane: b where one is NaN */
static inline v16 v16_max(v16 a, v16 b)
{
    return (v16){_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}

static inline v16 v16_negate(v16 x)
{
    const __m256 sign = _mm256_castsi256_ps(_mm256_set1_epi32(INT32_MIN));
    return (v16){_mm256_xor_ps(x.lo, sign), _mm256_xor_ps(x.hi, sign)};
}

static inline __m256 v8_scale(__m256 x, __m256 magic)
{
    __m256i n = _mm256_slli_epi32(_mm256_castps_si256(magic), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), n));
}

/* x * 2^n where the low bits of `magic` hold n (see kernels_exp.h) */
static inline v16 v16_scale(v16 x, v16 magic)
{
    return (v16){v8_scale(x.lo, magic.lo), v8_scale(x.hi, magic.hi)};
}

/* x > limit ? yes : no; no where x is NaN */
static inline v16 v16_if_above(v16 x, v16 limit, v16 yes, v16 no)
{
    return (v16){_mm256_blendv_ps(no.lo, yes.lo, _mm256_cmp_ps(x.lo, limit.lo, _CMP_GT_OQ)),
                 _mm256_blendv_ps(no.hi, yes.hi, _mm256_cmp_ps(x.hi, limit.hi, _CMP_GT_OQ))};
}

static inline v16 v16_if_below(v16 x, v16 limit, v16 yes, v16 no)
{
    return (v16){_mm256_blendv_ps(no.lo, yes.lo, _mm256_cmp_ps(x.lo, limit.lo, _CMP_LT_OQ)),
                 _mm256_blendv_ps(no.hi, yes.hi, _mm256_cmp_ps(x.hi, limit.hi, _CMP_LT_OQ))};
}

/* Lanes as a tree: l with l + 8, then 4, 2, 1. */
static inline float v16_sum(v16 x)
{
    __m256 a = _mm256_add_ps(x.lo, x.hi);
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b        = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

static inline float v16_largest(v16 x)
{
    __m256 a = _mm256_max_ps(x.lo, x.hi);
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b        = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}

/* Four lanes of four rows, transposed: lane 4g + r becomes what lane 4r + g was. */
static inline v16 v16_turn_fours(v16 x)
{
    const __m256 low = _mm256_unpacklo_ps(x.lo, x.hi), high = _mm256_unpackhi_ps(x.lo, x.hi);
    const __m256 low2 = _mm256_permute2f128_ps(low, low, 1), high2 = _mm256_permute2f128_ps(high, high, 1);
    return (v16){
        _mm256_permute2f128_ps(_mm256_unpacklo_ps(low, low2), _mm256_unpackhi_ps(low, low2), 0x20),
        _mm256_permute2f128_ps(_mm256_unpacklo_ps(high, high2), _mm256_unpackhi_ps(high, high2), 0x20)};
}

/* Lanes of up to 16 rows as trees, rows side by side instead of one after the other: first a[l] + a[l + 8],
 * then 4, of four rows ... */
#define V16_TREES(name, op)                                                                     \
    static inline __m256 name##_two(v16 x, v16 y)                                               \
    {                                                                                           \
        const __m256 a = op(x.lo, x.hi), b = op(y.lo, y.hi);                                    \
        return op(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));      \
    }                                                                                           \
    static inline v16 name##_four(const v16 x[4])                                               \
    {                                                                                           \
        return (v16){name##_two(x[0], x[1]), name##_two(x[2], x[3])};                           \
    }                                                                                           \
    static inline __m256 name##_lanes(__m256 a, __m256 b, __m256 c, __m256 d)                   \
    {                                                                                           \
        a = op(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xEE));                   \
        c = op(_mm256_shuffle_ps(c, d, 0x44), _mm256_shuffle_ps(c, d, 0xEE));                   \
        return op(_mm256_shuffle_ps(a, c, 0x88), _mm256_shuffle_ps(a, c, 0xDD));                \
    }                                                                                           \
    /* ... then 2, 1, of four such: lane r is what became of row r. */                          \
    static inline v16 name##_rows(v16 a, v16 b, v16 c, v16 d)                                   \
    {                                                                                           \
        return v16_turn_fours(                                                                  \
            (v16){name##_lanes(a.lo, b.lo, c.lo, d.lo), name##_lanes(a.hi, b.hi, c.hi, d.hi)}); \
    }
V16_TREES(v16_sum, _mm256_add_ps)
V16_TREES(v16_largest, _mm256_max_ps)

/* Whether a lane is NaN */
static inline bool v16_any_nan(v16 x)
{
    __m256 lo = _mm256_cmp_ps(x.lo, x.lo, _CMP_UNORD_Q), hi = _mm256_cmp_ps(x.hi, x.hi, _CMP_UNORD_Q);
    return _mm256_movemask_ps(_mm256_or_ps(lo, hi)) != 0;
}

/* Lanes where x equals y, lane 0 in bit 0 */
static inline uint32_t v16_equal(v16 x, v16 y)
{
    uint32_t lo = (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(x.lo, y.lo, _CMP_EQ_OQ));
    uint32_t hi = (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(x.hi, y.hi, _CMP_EQ_OQ));
    return lo | hi << 8;
}

/* ---- bf16 ---- */

static inline __m256 v8_load_bf16(const uint16_t *p)
{
    __m256i x = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(x, 16));
}

/* 16 bf16 widened */
static inline v16 v16_load_bf16(const uint16_t *p)
{
    return (v16){v8_load_bf16(p), v8_load_bf16(p + 8)};
}

static inline __m256 v8_round_bf16(__m256 x)
{
    __m256i u   = _mm256_castps_si256(x);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    __m256i r   = _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7FFF)), odd);
    __m256i q   = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
    __m256 nan  = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
    __m256 y    = _mm256_blendv_ps(_mm256_castsi256_ps(r), _mm256_castsi256_ps(q), nan);
    return _mm256_and_ps(y, _mm256_castsi256_ps(_mm256_set1_epi32((int)0xFFFF0000)));
}

/* Each lane's bf16 (nearest even, a NaN stays a quiet NaN) in its upper half, the lower half zero:
 * tw_bf16_from_f32 by lanes. */
static inline v16 v16_round_bf16(v16 x)
{
    return (v16){v8_round_bf16(x.lo), v8_round_bf16(x.hi)};
}

/* Store the upper halves: 16 bf16 */
static inline void v16_store_bf16(uint16_t *p, v16 rounded)
{
    __m256i lo = _mm256_srli_epi32(_mm256_castps_si256(rounded.lo), 16);
    __m256i hi = _mm256_srli_epi32(_mm256_castps_si256(rounded.hi), 16);
    __m256i u  = _mm256_permute4x64_epi64(_mm256_packus_epi32(lo, hi), 0xD8);
    _mm256_storeu_si256((__m256i *)(void *)p, u);
}

/* ---- panels: 16 columns of one pair of inputs ---- */

static inline __m256 v8_load_masked(const char *w)
{
    const __m256 mask = _mm256_castsi256_ps(_mm256_set1_epi32((int)0xFFFF0000));
    return _mm256_and_ps(_mm256_loadu_ps((const float *)(const void *)w), mask);
}

static inline v16 v16_pair_bf16_odd(const char *w)
{
    return (v16){v8_load_masked(w), v8_load_masked(w + 32)};
}

static inline __m256 v8_load_shifted(const char *w)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_loadu_si256((const __m256i *)(const void *)w), 16));
}

static inline v16 v16_pair_bf16_even(const char *w)
{
    return (v16){v8_load_shifted(w), v8_load_shifted(w + 32)};
}

/* x & mask, which stays in memory: a tile leaves no register for it. */
static inline __m256i v8_and(__m256i x, const uint32_t *mask)
{
    __m256i y;
    __asm__("vpand %2, %1, %0" : "=x"(y) : "x"(x), "m"(*(const __m256i *)(const void *)mask));
    return y;
}

static _Alignas(32) const uint32_t v8_odd[8]    = {0xFFFF0000, 0xFFFF0000, 0xFFFF0000, 0xFFFF0000,
                                                   0xFFFF0000, 0xFFFF0000, 0xFFFF0000, 0xFFFF0000};
static _Alignas(32) const uint32_t v8_nibble[8] = {0x0F0F0F0F, 0x0F0F0F0F, 0x0F0F0F0F, 0x0F0F0F0F,
                                                   0x0F0F0F0F, 0x0F0F0F0F, 0x0F0F0F0F, 0x0F0F0F0F};

/* A table of 16 bytes, for the next two; both halves are the same */
static inline v16 v16_table(const uint8_t *bytes)
{
    const __m128i x = _mm_loadu_si128((const __m128i *)(const void *)bytes);
    const __m256 y  = _mm256_castsi256_ps(_mm256_broadcastsi128_si256(x));
    return (v16){y, y};
}

static inline __m256 v8_decode_upper(const char *group, const int h, __m256 table)
{
    const __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(group + 128));
    const __m256i y = v8_and(h == 0 ? x : _mm256_srli_epi16(x, 4), v8_nibble);
    return _mm256_castsi256_ps(_mm256_shuffle_epi8(_mm256_castps_si256(table), y));
}

/* The upper bytes of lines 2h and 2h + 1 of a compressed group (kernels_compress.h). */
static inline v16 v16_decode_upper(const char *group, const int h, v16 table)
{
    return (v16){v8_decode_upper(group, h, table.lo), v8_decode_upper(group + 32, h, table.lo)};
}

static inline void v8_interleave(const char *low, __m256 high, __m256 *first, __m256 *second)
{
    const __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)low), y = _mm256_castps_si256(high);
    *first  = _mm256_castsi256_ps(_mm256_unpacklo_epi8(x, y));
    *second = _mm256_castsi256_ps(_mm256_unpackhi_epi8(x, y));
}

/* Both lines. */
static inline void v16_decode(const char *group, const int h, v16 table, v16 out[2])
{
    const v16 upper = v16_decode_upper(group, h, table);
    v8_interleave(group + 64 * h, upper.lo, &out[0].lo, &out[1].lo);
    v8_interleave(group + 64 * h + 32, upper.hi, &out[0].hi, &out[1].hi);
}

static inline __m256 v8_line(const char *group, const int j, const char *upper)
{
    const __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(group + 64 * (j / 2)));
    const __m256i y = _mm256_loadu_si256((const __m256i *)(const void *)upper);
    return _mm256_castsi256_ps(j % 2 == 0 ? _mm256_unpacklo_epi8(x, y) : _mm256_unpackhi_epi8(x, y));
}

/* Line j with the upper bytes of its pair of lines. */
static inline v16 v16_decode_line(const char *group, const int j, const char *upper)
{
    return (v16){v8_line(group, j, upper), v8_line(group + 32, j, upper + 32)};
}

/* The odd, and the even halves of 16 words of two bf16, widened */
static inline v16 v16_odd_bf16(v16 words)
{
    return (v16){_mm256_castsi256_ps(v8_and(_mm256_castps_si256(words.lo), v8_odd)),
                 _mm256_castsi256_ps(v8_and(_mm256_castps_si256(words.hi), v8_odd))};
}

static inline v16 v16_even_bf16(v16 words)
{
    return (v16){_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(words.lo), 16)),
                 _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(words.hi), 16))};
}

/* From f32 pairs the lanes come in a shuffled order, which v16_pair_f32_order undoes on the sums. */
static inline v16 v16_pair_f32_odd(const char *w)
{
    const float *p = (const float *)(const void *)w;
    return (v16){_mm256_shuffle_ps(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8), 0xDD),
                 _mm256_shuffle_ps(_mm256_loadu_ps(p + 16), _mm256_loadu_ps(p + 24), 0xDD)};
}

static inline v16 v16_pair_f32_even(const char *w)
{
    const float *p = (const float *)(const void *)w;
    return (v16){_mm256_shuffle_ps(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8), 0x88),
                 _mm256_shuffle_ps(_mm256_loadu_ps(p + 16), _mm256_loadu_ps(p + 24), 0x88)};
}

static inline __m256 v8_pair_order(__m256 x)
{
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(x), 0xD8));
}

static inline v16 v16_pair_f32_order(v16 x)
{
    return (v16){v8_pair_order(x.lo), v8_pair_order(x.hi)};
}

/* What v16_pair_f32_order undoes: the order is its own inverse */
static inline v16 v16_pair_f32_disorder(v16 x)
{
    return v16_pair_f32_order(x);
}

/* ---- eight f64 lanes ---- */

typedef struct {
    __m256d lo, hi;
} v8d;

static inline v8d v8d_zero(void)
{
    return (v8d){_mm256_setzero_pd(), _mm256_setzero_pd()};
}

static inline v8d v8d_from_f32(const float *p)
{
    return (v8d){_mm256_cvtps_pd(_mm_loadu_ps(p)), _mm256_cvtps_pd(_mm_loadu_ps(p + 4))};
}

static inline v8d v8d_widen(__m256 x)
{
    return (v8d){_mm256_cvtps_pd(_mm256_castps256_ps128(x)), _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1))};
}

/* Lanes 0 to 7, and 8 to 15, widened */
static inline v8d v8d_low(v16 x)
{
    return v8d_widen(x.lo);
}

static inline v8d v8d_high(v16 x)
{
    return v8d_widen(x.hi);
}

static inline v8d v8d_add(v8d a, v8d b)
{
    return (v8d){_mm256_add_pd(a.lo, b.lo), _mm256_add_pd(a.hi, b.hi)};
}

static inline v8d v8d_mul(v8d a, v8d b)
{
    return (v8d){_mm256_mul_pd(a.lo, b.lo), _mm256_mul_pd(a.hi, b.hi)};
}

/* Lanes as a tree: l with l + 4, then 2, 1. */
static inline double v8d_sum(v8d x)
{
    __m256d a = _mm256_add_pd(x.lo, x.hi);
    __m128d b = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_add_sd(b, _mm_unpackhi_pd(b, b)));
}

static inline void v8_transpose(__m256 x[8])
{
    __m256 t[8];
    V16_UNROLL
    for (int i = 0; i < 4; i++) {
        t[2 * i]     = _mm256_unpacklo_ps(x[2 * i], x[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_ps(x[2 * i], x[2 * i + 1]);
    }
    V16_UNROLL
    for (int i = 0; i < 2; i++) {
        x[4 * i]     = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
        x[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xEE);
        x[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
        x[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xEE);
    }
    V16_UNROLL
    for (int i = 0; i < 4; i++) {
        t[i]     = _mm256_permute2f128_ps(x[i], x[4 + i], 0x20);
        t[4 + i] = _mm256_permute2f128_ps(x[i], x[4 + i], 0x31);
    }
    memcpy(x, t, sizeof t);
}

/* Transpose 32-bit elements: lane r of x[c] becomes what lane c of x[r] was. Only rows below TILE_ROWS need
 * to be set, only lanes below TILE_ROWS are. */
static inline void v16_transpose(v16 x[16])
{
    __m256 lo[8], hi[8];
    for (int i = 0; i < TILE_ROWS; i++) {
        lo[i] = x[i].lo;
        hi[i] = x[i].hi;
    }
    for (int i = TILE_ROWS; i < 8; i++) {
        lo[i] = hi[i] = _mm256_setzero_ps();
    }
    v8_transpose(lo);
    v8_transpose(hi);
    for (int i = 0; i < 8; i++) {
        x[i].lo     = lo[i];
        x[8 + i].lo = hi[i];
    }
}

#endif /* TW_KERNELS_VEC_AVX2_H */
