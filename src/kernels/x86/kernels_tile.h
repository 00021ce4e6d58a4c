/* SPDX-License-Identifier: MIT */
/* The innermost loop of matmul and attention, written once: `rows` x `panels` x 16 sums in registers run
 * along a chain of input pairs, odd input first. Include after kernels_vec_<isa>.h. */
#ifndef TW_KERNELS_TILE_H
#define TW_KERNELS_TILE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "kernels/kernels_compress.h"

/* What the chain multiplies. */
enum tile_kind {
    TILE_F32,   /* f32 rows, f32 panels */
    TILE_BF16,  /* f32 rows, bf16 panels widened in registers */
    TILE_DOT,   /* pairs of bf16 rows, bf16 panels: vdpbf16ps */
    TILE_CODES, /* the same with compressed panels */
    TILE_KEEP   /* the same, and what was decoded is kept */
};

/* How the left operand lies. */
enum tile_layout {
    TILE_BLOCK, /* a packed block of exactly `rows` rows: f32 [K][rows], or [K/2][rows] pairs of bf16 */
    TILE_LINES  /* one line a row, TILE_LINE bytes apart: attention's queries and probabilities */
};

enum {
    TILE_LINE  = 1088, /* 256 f32, and one cache line so that rows do not share cache sets */
    TILE_LEFTS = 5     /* log2(TW_MAX_LEAVES) */
};

/* Compressed panels (kernels_compress.h) under a tile whose pairs are whole groups. */
struct tile_codes {
    uint32_t begin;                                                    /* first group */
    const uint8_t *upper[TILE_PANELS];                                 /* see struct tw_codes */
    const uint32_t *plain_group[TILE_PANELS], *plain_end[TILE_PANELS]; /* plain groups from `begin` on */
    const uint8_t *plain[TILE_PANELS];                                 /* their lines */
    char *keep[TILE_PANELS];                                           /* TILE_KEEP: where lines go */
};

struct tile {
    const char *a;                  /* left operand, first pair */
    const char *w[TILE_PANELS];     /* panels, first pair */
    const struct tile_codes *codes; /* TILE_CODES, TILE_KEEP */
    size_t w_pair;                  /* bytes from a pair to the next inside a panel */
    size_t pairs;                   /* length in pairs */
    size_t chain;                   /* pairs of a chain, after which a new one begins; 0: all are one chain */
    const char *next[TILE_PANELS];  /* prefetch next[p] + ahead, ahead += ahead_step with every pair */
    size_t ahead, ahead_step;
    float *sums; /* result: [rows][ld], 16 * panels of each row are written */
    size_t ld;
    const float *resume; /* go on from these sums, [rows][left_ld], of whole chains; NULL: begin with +0 */
    /* What the sum goes through before it is stored, in this order. All zero: nothing. */
    size_t n_left;                 /* s = left[i] + s, left[i]: [rows][left_ld] */
    const float *left[TILE_LEFTS]; /* finished subtrees to the left */
    size_t left_ld;
    const float *bias; /* s = s + bias[16 * panels] */
    bool add;          /* s = sums + s */
};

typedef void tile_fn(const struct tile *t);

static inline v16 tile_broadcast(const char *p)
{
    float x;
    memcpy(&x, p, sizeof x);
    return v16_set1(x);
}

/* One half (odd or even inputs) of a pair on the FMA kinds. */
static inline __attribute__((always_inline)) void tile_half(v16 (*acc)[TILE_PANELS], const v16 *w,
                                                            const char *a, size_t a_row, const int rows,
                                                            const int panels)
{
    V16_UNROLL
    for (int r = 0; r < rows; r++) {
        v16 x = tile_broadcast(a + (size_t)r * a_row);
        V16_UNROLL
        for (int p = 0; p < panels; p++) {
            v16_accumulate(&acc[r][p], x, w[p]);
        }
    }
}

static inline __attribute__((always_inline)) void tile_pair(v16 (*acc)[TILE_PANELS], const char *a,
                                                            const char *const *w, size_t at, const int rows,
                                                            const int panels, const enum tile_kind kind,
                                                            const enum tile_layout layout)
{
    const size_t a_row = layout == TILE_BLOCK ? 4 : TILE_LINE;
    const size_t a_odd = layout == TILE_BLOCK ? 4 * (size_t)rows : 4;
    v16 x[TILE_PANELS];
#ifdef __AVX512BF16__
    if (kind == TILE_DOT) {
        V16_UNROLL
        for (int p = 0; p < panels; p++) {
            x[p] = v16_load((const float *)(const void *)(w[p] + at));
        }
        V16_UNROLL
        for (int r = 0; r < rows; r++) {
            v16 y = tile_broadcast(a + (size_t)r * a_row);
            V16_UNROLL
            for (int p = 0; p < panels; p++) {
                acc[r][p] = _mm512_dpbf16_ps(acc[r][p], (__m512bh)y, (__m512bh)x[p]);
            }
        }
        return;
    }
#endif
    V16_UNROLL
    for (int p = 0; p < panels; p++) {
        x[p] = kind == TILE_F32 ? v16_pair_f32_odd(w[p] + at) : v16_pair_bf16_odd(w[p] + at);
    }
    tile_half(acc, x, a + a_odd, a_row, rows, panels);
    /* Load the panels again rather than keep both halves: 28 sums leave room for one. */
    __asm__("" : "+r"(at));
    V16_UNROLL
    for (int p = 0; p < panels; p++) {
        x[p] = kind == TILE_F32 ? v16_pair_f32_even(w[p] + at) : v16_pair_bf16_even(w[p] + at);
    }
    tile_half(acc, x, a, a_row, rows, panels);
}

/* acc = from + acc */
static inline __attribute__((always_inline)) void tile_add(v16 (*acc)[TILE_PANELS], const float *from,
                                                           size_t ld, const int rows, const int panels)
{
    V16_UNROLL
    for (int r = 0; r < rows; r++) {
        V16_UNROLL
        for (int p = 0; p < panels; p++) {
            acc[r][p] = v16_add(v16_load(from + (size_t)r * ld + (size_t)p * 16), acc[r][p]);
        }
    }
}

/* A chain has ended and is not the last one: total = acc, or total + acc; acc = 0. */
static inline __attribute__((always_inline)) void tile_bank(v16 (*acc)[TILE_PANELS], float *total, bool first,
                                                            const int rows, const int panels)
{
    const size_t ld = 16 * (size_t)panels;
    if (!first) {
        tile_add(acc, total, ld, rows, panels);
    }
    V16_UNROLL
    for (int r = 0; r < rows; r++) {
        V16_UNROLL
        for (int p = 0; p < panels; p++) {
            v16_store(total + (size_t)r * ld + (size_t)p * 16, acc[r][p]);
            acc[r][p] = v16_zero();
        }
    }
}

/* From registers to memory. */
static inline __attribute__((always_inline)) void tile_finish(const struct tile *t, v16 (*acc)[TILE_PANELS],
                                                              const int rows, const int panels)
{
    for (size_t i = 0; i < t->n_left; i++) {
        tile_add(acc, t->left[i], t->left_ld, rows, panels);
    }
    if (t->bias != NULL) {
        tile_add(acc, t->bias, 0, rows, panels);
    }
    if (t->add) {
        tile_add(acc, t->sums, t->ld, rows, panels);
    }
    V16_UNROLL
    for (int r = 0; r < rows; r++) {
        V16_UNROLL
        for (int p = 0; p < panels; p++) {
            v16_store(t->sums + (size_t)r * t->ld + (size_t)p * 16, acc[r][p]);
        }
    }
}

/* Sums before the first pair: +0, or those of the pairs before, which wait in `total` where chains are added
 * up. Returns whether `total` holds anything. */
static inline __attribute__((always_inline)) bool tile_start(const struct tile *t, v16 (*acc)[TILE_PANELS],
                                                             float *total, const bool chains, const int rows,
                                                             const int panels, const enum tile_kind kind)
{
    V16_UNROLL
    for (int r = 0; r < rows; r++) {
        V16_UNROLL
        for (int p = 0; p < panels; p++) {
            acc[r][p] = v16_zero();
        }
    }
    if (t->resume == NULL) {
        return false;
    }
    V16_UNROLL
    for (int r = 0; r < rows; r++) {
        V16_UNROLL
        for (int p = 0; p < panels; p++) {
            v16 s = v16_load(t->resume + (size_t)r * t->left_ld + (size_t)p * 16);
            if (chains) {
                s = kind == TILE_F32 ? v16_pair_f32_disorder(s) : s;
                v16_store(total + 16 * (size_t)(r * panels + p), s);
            } else {
                acc[r][p] = s;
            }
        }
    }
    return chains;
}

#ifdef __AVX512BF16__

/* Lines 2h and 2h + 1 of a group. */
static inline __attribute__((always_inline)) void tile_decode(const char *group, const int h,
                                                              const uint8_t *upper, v16 out[2])
{
    const __m512i nibbles = _mm512_loadu_si512(group + 128);
    const __m512i table   = _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)upper));
    const __m512i codes =
        _mm512_and_si512(h == 0 ? nibbles : _mm512_srli_epi16(nibbles, 4), _mm512_set1_epi8(0xF));
    const __m512i high = _mm512_shuffle_epi8(table, codes), low = _mm512_loadu_si512(group + 64 * h);
    out[0] = _mm512_castsi512_ps(_mm512_unpacklo_epi8(low, high));
    out[1] = _mm512_castsi512_ps(_mm512_unpackhi_epi8(low, high));
}

/* Where the plain groups of a tile are followed. */
struct tile_plain {
    const uint32_t *group[TILE_PANELS];
    const uint8_t *lines[TILE_PANELS];
};

/* The next group that some panel keeps plain, at most `end`. */
static inline uint32_t tile_plain_next(const struct tile_codes *c, const struct tile_plain *plain,
                                       uint32_t end, const int panels)
{
    for (int p = 0; p < panels; p++) {
        if (plain->group[p] != c->plain_end[p] && *plain->group[p] < end) {
            end = *plain->group[p];
        }
    }
    return end;
}

/* The lines of group g of all panels, of which at least one is plain. */
static __attribute__((noinline)) void tile_plain_lines(const struct tile *t, struct tile_plain *plain,
                                                       uint32_t g, int panels,
                                                       uint8_t (*lines)[TW_PLAIN_BYTES])
{
    const struct tile_codes *c = t->codes;
    for (int p = 0; p < panels; p++) {
        if (plain->group[p] != c->plain_end[p] && *plain->group[p] == g) {
            memcpy(lines[p], plain->lines[p], TW_PLAIN_BYTES);
            plain->group[p]++;
            plain->lines[p] += TW_PLAIN_BYTES;
        } else {
            const char *from = t->w[p] + (size_t)(g - c->begin) * TW_GROUP_BYTES;
            v16 x[TW_GROUP_PAIRS];
            tile_decode(from, 0, c->upper[p], x);
            tile_decode(from, 1, c->upper[p], x + 2);
            memcpy(lines[p], x, TW_PLAIN_BYTES);
        }
    }
}

static inline __attribute__((always_inline)) void tile_dots(v16 (*acc)[TILE_PANELS], const char *a,
                                                            const v16 *x, const int rows, const int panels)
{
    V16_UNROLL
    for (int r = 0; r < rows; r++) {
        const v16 y = tile_broadcast(a + 4 * (size_t)r);
        V16_UNROLL
        for (int p = 0; p < panels; p++) {
            acc[r][p] = _mm512_dpbf16_ps(acc[r][p], (__m512bh)y, (__m512bh)x[p]);
        }
    }
}

/* One chain along compressed panels. */
static inline __attribute__((always_inline)) void tile_sum_codes(const struct tile *t, const int rows,
                                                                 const int panels, const bool keeps)
{
    const struct tile_codes *c = t->codes;
    const uint32_t end         = c->begin + (uint32_t)(t->pairs / TW_GROUP_PAIRS);
    const size_t step          = t->ahead_step * TW_GROUP_PAIRS;
    const char *a              = t->a, *w[TILE_PANELS], *next[TILE_PANELS];
    char *keep[TILE_PANELS]    = {NULL};
    const uint8_t *upper[TILE_PANELS];
    struct tile_plain plain;
    v16 acc[TILE_ROWS][TILE_PANELS], x[TILE_PANELS], y[TILE_PANELS];
    (void)tile_start(t, acc, NULL, false, rows, panels, TILE_DOT);
    V16_UNROLL
    for (int p = 0; p < panels; p++) {
        w[p]           = t->w[p];
        next[p]        = t->next[p];
        keep[p]        = c->keep[p];
        upper[p]       = c->upper[p];
        plain.group[p] = c->plain_group[p];
        plain.lines[p] = c->plain[p];
    }
    size_t at = 0, ahead = t->ahead, kept = 0;
    for (uint32_t g = c->begin;; g++) {
        for (const uint32_t stop = tile_plain_next(c, &plain, end, panels); g != stop; g++) {
            V16_UNROLL
            for (int p = 0; p < panels; p++) {
                _mm_prefetch(next[p] + ahead, _MM_HINT_T0);
                _mm_prefetch(next[p] + ahead + step / 3, _MM_HINT_T0);
                _mm_prefetch(next[p] + ahead + step / 3 * 2, _MM_HINT_T0);
            }
            V16_UNROLL
            for (int h = 0; h < 2; h++) {
                V16_UNROLL
                for (int p = 0; p < panels; p++) {
                    v16 lines[2];
                    tile_decode(w[p] + at, h, upper[p], lines);
                    x[p] = lines[0];
                    y[p] = lines[1];
                    if (keeps) {
                        v16_store((float *)(void *)(keep[p] + kept + 128 * h), x[p]);
                        v16_store((float *)(void *)(keep[p] + kept + 128 * h + 64), y[p]);
                    }
                }
                tile_dots(acc, a, x, rows, panels);
                tile_dots(acc, a + 4 * rows, y, rows, panels);
                a += 8 * rows;
            }
            at += TW_GROUP_BYTES;
            ahead += step;
            kept += TW_PLAIN_BYTES;
        }
        if (g == end) {
            break;
        }
        _Alignas(64) uint8_t lines[TILE_PANELS][TW_PLAIN_BYTES];
        tile_plain_lines(t, &plain, g, panels, lines);
        for (int j = 0; j < TW_GROUP_PAIRS; j++) {
            V16_UNROLL
            for (int p = 0; p < panels; p++) {
                x[p] = v16_load((const float *)(const void *)(lines[p] + 64 * j));
                if (keeps) {
                    v16_store((float *)(void *)(keep[p] + kept + 64 * j), x[p]);
                }
            }
            tile_dots(acc, a, x, rows, panels);
            a += 4 * rows;
        }
        at += TW_GROUP_BYTES;
        ahead += step;
        kept += TW_PLAIN_BYTES;
    }
    tile_finish(t, acc, rows, panels);
}

#endif

static inline __attribute__((always_inline)) void tile_sum(const struct tile *t, const int rows,
                                                           const int panels, const enum tile_kind kind,
                                                           const enum tile_layout layout)
{
#ifdef __AVX512BF16__
    if (kind == TILE_CODES || kind == TILE_KEEP) {
        tile_sum_codes(t, rows, panels, kind == TILE_KEEP);
        return;
    }
#endif
    const bool chains   = kind != TILE_DOT && layout == TILE_BLOCK && t->chain != 0;
    const size_t a_pair = (layout == TILE_BLOCK ? 4 * (size_t)rows : 4) * (kind == TILE_DOT ? 1 : 2);
    const char *a       = t->a, *w[TILE_PANELS], *next[TILE_PANELS];
    v16 acc[TILE_ROWS][TILE_PANELS];
    _Alignas(64) float total[TILE_VECTORS * 16];
    bool banked = tile_start(t, acc, total, chains, rows, panels, kind);
    V16_UNROLL
    for (int p = 0; p < panels; p++) {
        w[p]    = t->w[p];
        next[p] = layout == TILE_BLOCK ? t->next[p] : t->w[p];
    }
    const size_t w_pair = t->w_pair, step = t->ahead_step, end = t->pairs * w_pair;
    const size_t chain = t->chain * w_pair;
    size_t at = 0, stop = chains && chain < end ? chain : end, ahead = t->ahead;
    for (;;) {
        V16_TWICE
        for (; at != stop; at += w_pair) {
            V16_UNROLL
            for (int p = 0; p < panels; p++) {
                _mm_prefetch(next[p] + ahead, _MM_HINT_T0);
                if (kind == TILE_F32) {
                    _mm_prefetch(next[p] + ahead + 64, _MM_HINT_T0);
                }
            }
            tile_pair(acc, a, w, at, rows, panels, kind, layout);
            a += a_pair;
            ahead += step;
        }
        if (stop == end) {
            break;
        }
        tile_bank(acc, total, !banked, rows, panels);
        banked = true;
        stop   = end - stop > chain ? stop + chain : end;
    }
    if (banked) {
        tile_add(acc, total, 16 * (size_t)panels, rows, panels);
    }
    if (kind == TILE_F32) {
        V16_UNROLL
        for (int r = 0; r < rows; r++) {
            V16_UNROLL
            for (int p = 0; p < panels; p++) {
                acc[r][p] = v16_pair_f32_order(acc[r][p]);
            }
        }
    }
    tile_finish(t, acc, rows, panels);
}

/* ---- tables: tile_table_<kind>_<layout>[panels][rows], NULL where the shape does not exist ---- */

typedef tile_fn *tile_table[TILE_PANELS + 1][TILE_ROWS + 1];

/* The widest shape for `rows` rows that needs no more than `panels`. */
static inline int tile_width(tile_fn *const (*table)[TILE_ROWS + 1], size_t rows, size_t panels)
{
    int width = panels < TILE_PANELS ? (int)panels : TILE_PANELS;
    while (width > 1 && table[width][rows] == NULL) {
        width--;
    }
    return width;
}

#endif /* TW_KERNELS_TILE_H */
