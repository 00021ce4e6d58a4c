/* SPDX-License-Identifier: MIT */
/* The innermost loop of matmul and attention, written once: `rows` x `panels` x 16 sums in registers run
 * along a chain of input pairs, odd input first. Include after kernels_vec_<isa>.h. */
#ifndef TW_KERNELS_TILE_H
#define TW_KERNELS_TILE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* What the chain multiplies. */
enum tile_kind {
    TILE_F32,  /* f32 rows, f32 panels */
    TILE_BF16, /* f32 rows, bf16 panels widened in registers */
    TILE_DOT   /* pairs of bf16 rows, bf16 panels: vdpbf16ps */
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

struct tile {
    const char *a;                  /* left operand, first pair */
    const char *w[TILE_PANELS];     /* panels, first pair */
    const struct tile_codes *codes; /* of compressed panels: kernels_tile_codes.h */
    size_t w_pair;                  /* bytes from a pair to the next inside a panel */
    size_t pairs;                   /* length in pairs */
    size_t chain;                   /* pairs of a chain, after which a new one begins; 0: all are one chain */
    const char *next[TILE_PANELS];  /* prefetch next[p] + ahead, ahead += ahead_step with every pair */
    size_t ahead, ahead_step;
    float *sums; /* result: [rows][ld], 16 * panels of each row are written */
    size_t ld;
    /* TILE_BLOCK: go on from these sums, [rows][left_ld], of whole chains; NULL: begin with +0 */
    const float *resume;
    /* TILE_BLOCK: what the sum goes through before it is stored, in this order. All zero: nothing. */
    size_t n_left;                 /* s = left[i] + s, left[i]: [rows][left_ld] */
    const float *left[TILE_LEFTS]; /* finished subtrees to the left */
    size_t left_ld;
    const float *bias;     /* s = s + bias[16 * panels] */
    bool add;              /* s = sums + s */
    const float *merge[2]; /* TILE_LINES: s = fma(sums, merge[0][row], s * merge[1][row]); NULL: not */
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

/* Words of two bf16 times a pair of inputs of every row. */
static inline __attribute__((always_inline)) void tile_dots(v16 (*acc)[TILE_PANELS], const v16 *w,
                                                            const char *a, size_t a_row, const int rows,
                                                            const int panels)
{
#ifdef __AVX512BF16__
    V16_UNROLL
    for (int r = 0; r < rows; r++) {
        v16 y = tile_broadcast(a + (size_t)r * a_row);
        V16_UNROLL
        for (int p = 0; p < panels; p++) {
            acc[r][p] = _mm512_dpbf16_ps(acc[r][p], (__m512bh)y, (__m512bh)w[p]);
        }
    }
#else
    (void)acc, (void)w, (void)a, (void)a_row, (void)rows, (void)panels; /* TILE_DOT is not there */
#endif
}

static inline __attribute__((always_inline)) void tile_pair(v16 (*acc)[TILE_PANELS], const char *a,
                                                            const char *const *w, size_t at, const int rows,
                                                            const int panels, const enum tile_kind kind,
                                                            const enum tile_layout layout)
{
    const size_t a_row = layout == TILE_BLOCK ? 4 : TILE_LINE;
    const size_t a_odd = layout == TILE_BLOCK ? 4 * (size_t)rows : 4;
    v16 x[TILE_PANELS];
    if (kind == TILE_DOT) {
        V16_UNROLL
        for (int p = 0; p < panels; p++) {
            x[p] = v16_load((const float *)(const void *)(w[p] + at));
        }
        tile_dots(acc, x, a, a_row, rows, panels);
        return;
    }
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

/* Two partial sums become one (docs/numerics.md, Attention). */
static inline __attribute__((always_inline)) void tile_merge(const struct tile *t, v16 (*acc)[TILE_PANELS],
                                                             const int rows, const int panels)
{
    V16_UNROLL
    for (int r = 0; r < rows; r++) {
        const v16 a = v16_set1(t->merge[0][r]), b = v16_set1(t->merge[1][r]);
        V16_UNROLL
        for (int p = 0; p < panels; p++) {
            const v16 old = v16_load(t->sums + (size_t)r * t->ld + (size_t)p * 16);
            acc[r][p]     = v16_fma(old, a, v16_mul(acc[r][p], b));
        }
    }
}

/* From registers to memory. */
static inline __attribute__((always_inline)) void tile_finish(const struct tile *t, v16 (*acc)[TILE_PANELS],
                                                              const int rows, const int panels,
                                                              const enum tile_layout layout)
{
    if (layout == TILE_LINES && t->merge[0] != NULL) {
        tile_merge(t, acc, rows, panels);
    }
    for (size_t i = 0; layout == TILE_BLOCK && i < t->n_left; i++) {
        tile_add(acc, t->left[i], t->left_ld, rows, panels);
    }
    if (layout == TILE_BLOCK && t->bias != NULL) {
        tile_add(acc, t->bias, 0, rows, panels);
    }
    if (layout == TILE_BLOCK && t->add) {
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
                                                             const int panels, const enum tile_kind kind,
                                                             const enum tile_layout layout)
{
    V16_UNROLL
    for (int r = 0; r < rows; r++) {
        V16_UNROLL
        for (int p = 0; p < panels; p++) {
            acc[r][p] = v16_zero();
        }
    }
    if (layout == TILE_LINES || t->resume == NULL) {
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

static inline __attribute__((always_inline)) void tile_sum(const struct tile *t, const int rows,
                                                           const int panels, const enum tile_kind kind,
                                                           const enum tile_layout layout)
{
    const bool chains   = kind != TILE_DOT && layout == TILE_BLOCK && t->chain != 0;
    const size_t a_pair = (layout == TILE_BLOCK ? 4 * (size_t)rows : 4) * (kind == TILE_DOT ? 1 : 2);
    const char *a       = t->a, *w[TILE_PANELS], *next[TILE_PANELS];
    v16 acc[TILE_ROWS][TILE_PANELS];
    _Alignas(64) float memory[TILE_VECTORS * 16];
    float *total = memory;
    __asm__("" : "+r"(total)); /* or compilers keep it in registers, and the sums in memory */
    bool banked = tile_start(t, acc, total, chains, rows, panels, kind, layout);
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
    V16_UNROLL
    for (int r = 0; layout == TILE_LINES && r < rows; r++) {
        V16_UNROLL
        for (int p = 0; p < panels; p++) {
            v16_settle(&acc[r][p]);
        }
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
    tile_finish(t, acc, rows, panels, layout);
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
