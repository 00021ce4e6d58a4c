/* SPDX-License-Identifier: MIT */
/* The innermost loop of matmul along compressed panels (kernels_compress.h): groups are decoded in registers,
 * beside the products of the group before them. Include after kernels_tile.h. */
#ifndef TW_KERNELS_TILE_CODES_H
#define TW_KERNELS_TILE_CODES_H

#include "kernels/kernels_compress.h"
#include "kernels/x86/kernels_tile.h"

/* A tile whose pairs are whole groups. */
struct tile_codes {
    uint32_t begin;                                                    /* first group */
    const uint8_t *upper[TILE_PANELS];                                 /* see struct tw_codes */
    const uint32_t *plain_group[TILE_PANELS], *plain_end[TILE_PANELS]; /* plain groups from `begin` on */
    const uint8_t *plain[TILE_PANELS];                                 /* their lines */
    char *keep[TILE_PANELS]; /* where decoded lines go, of tiles that keep them */
};

enum { PLAIN_AHEAD = 8 }; /* plain groups: two tiles of four panels, where many are plain */

/* Where the tile is. */
struct tile_walk {
    const char *a, *w[TILE_PANELS];
    char *keep[TILE_PANELS];
    v16 table[TILE_PANELS];
    size_t at, ahead, kept; /* bytes into w, prefetched, and into keep */
};

/* Words of two bf16, of one line of every panel, times their pair of inputs. */
static inline __attribute__((always_inline)) void tile_words(v16 (*acc)[TILE_PANELS], const char *a,
                                                             const v16 *w, const int rows, const int panels,
                                                             const enum tile_kind kind)
{
    if (kind == TILE_DOT) {
        tile_dots(acc, w, a, 4, rows, panels);
        return;
    }
    v16 x[TILE_PANELS];
    V16_UNROLL
    for (int p = 0; p < panels; p++) {
        x[p] = v16_odd_bf16(w[p]);
    }
    tile_half(acc, x, a + 4 * rows, 4, rows, panels);
    V16_UNROLL
    for (int p = 0; p < panels; p++) {
        x[p] = v16_even_bf16(w[p]);
    }
    tile_half(acc, x, a, 4, rows, panels);
}

/* A group whose lines are decoded two at a time. */
static inline __attribute__((always_inline)) void tile_group(v16 (*acc)[TILE_PANELS],
                                                             const struct tile_walk *i, const int rows,
                                                             const int panels, const enum tile_kind kind,
                                                             const bool keeps)
{
    const size_t a_pair = 4 * (size_t)rows * (kind == TILE_DOT ? 1 : 2);
    V16_UNROLL
    for (int h = 0; h < 2; h++) {
        v16 x[TILE_PANELS], y[TILE_PANELS];
        V16_UNROLL
        for (int p = 0; p < panels; p++) {
            v16 lines[2];
            v16_decode(i->w[p] + i->at, h, i->table[p], lines);
            x[p] = lines[0];
            y[p] = lines[1];
            if (keeps) {
                v16_store((float *)(void *)(i->keep[p] + i->kept + 128 * h), x[p]);
                v16_store((float *)(void *)(i->keep[p] + i->kept + 128 * h + 64), y[p]);
            }
        }
        tile_words(acc, i->a + 2 * h * a_pair, x, rows, panels, kind);
        tile_words(acc, i->a + (2 * h + 1) * a_pair, y, rows, panels, kind);
    }
}

/* The same where sums leave no registers for that: the upper bytes of the group wait in L1, and lines are put
 * together one by one, for fma half by half. */
static inline __attribute__((always_inline)) void
tile_group_tight(v16 (*acc)[TILE_PANELS], const struct tile_walk *i, const struct tile_codes *c,
                 const int rows, const int panels, const enum tile_kind kind, const bool keeps)
{
    const size_t a_pair = 4 * (size_t)rows * (kind == TILE_DOT ? 1 : 2);
    _Alignas(64) char waiting[TILE_PANELS * 128];
    const char *upper = waiting;
    size_t at         = i->at;
    v16 x[TILE_PANELS];
    V16_UNROLL
    for (int h = 0; h < 2; h++) {
        V16_UNROLL
        for (int p = 0; p < panels; p++) {
            v16_store((float *)(void *)(waiting + 128 * p + 64 * h),
                      v16_decode_upper(i->w[p] + at, h, v16_table(c->upper[p])));
        }
    }
    V16_UNROLL
    for (int j = 0; j < TW_GROUP_PAIRS; j++) {
        V16_UNROLL
        for (int p = 0; p < panels; p++) {
            __asm__("" : "+r"(at), "+r"(upper) : : "memory"); /* not earlier: registers */
            x[p] = v16_decode_line(i->w[p] + at, j, upper + 128 * p + j / 2 * 64);
            if (keeps) {
                v16_store((float *)(void *)(i->keep[p] + i->kept + 64 * j), x[p]);
            }
            x[p] = kind == TILE_DOT ? x[p] : v16_odd_bf16(x[p]);
        }
        if (kind == TILE_DOT) {
            tile_dots(acc, x, i->a + j * a_pair, 4, rows, panels);
            continue;
        }
        tile_half(acc, x, i->a + j * a_pair + 4 * rows, 4, rows, panels);
        V16_UNROLL
        for (int p = 0; p < panels; p++) {
            __asm__("" : "+r"(at), "+r"(upper));
            x[p] = v16_even_bf16(v16_decode_line(i->w[p] + at, j, upper + 128 * p + j / 2 * 64));
        }
        tile_half(acc, x, i->a + j * a_pair, 4, rows, panels);
    }
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

/* The lines of group g, which at least one panel keeps plain: where those are, or decoded to. In place and in
 * loops, because it is rare and a call would empty the registers. */
static inline __attribute__((always_inline)) void
tile_plain_lines(const struct tile_walk *i, const struct tile_codes *c, struct tile_plain *plain, uint32_t g,
                 char (*decoded)[TW_PLAIN_BYTES], const char **lines, const int panels)
{
    for (int p = 0; p < panels; p++) {
        if (plain->group[p] != c->plain_end[p] && *plain->group[p] == g) {
            lines[p] = (const char *)plain->lines[p];
            plain->group[p]++;
            plain->lines[p] += TW_PLAIN_BYTES;
            for (size_t at = 0; at < TW_PLAIN_BYTES; at += 64) {
                _mm_prefetch(lines[p] + (size_t)PLAIN_AHEAD * TW_PLAIN_BYTES + at, _MM_HINT_T0);
            }
            continue;
        }
        lines[p] = decoded[p];
        V16_UNROLL
        for (int h = 0; h < 2; h++) {
            v16 x[2];
            v16_decode(i->w[p] + i->at, h, v16_table(c->upper[p]), x);
            v16_store((float *)(void *)(decoded[p] + 128 * h), x[0]);
            v16_store((float *)(void *)(decoded[p] + 128 * h + 64), x[1]);
        }
    }
}

/* A group that some panel keeps plain. */
static inline __attribute__((always_inline)) void
tile_group_plain(v16 (*acc)[TILE_PANELS], const struct tile_walk *i, const char *const *lines, const int rows,
                 const int panels, const enum tile_kind kind, const bool keeps)
{
    const size_t a_pair = 4 * (size_t)rows * (kind == TILE_DOT ? 1 : 2);
    for (int p = 0; keeps && p < panels; p++) {
        memcpy(i->keep[p] + i->kept, lines[p], TW_PLAIN_BYTES);
    }
    for (size_t j = 0; j < TW_GROUP_PAIRS; j++) {
        tile_pair(acc, i->a + j * a_pair, lines, 64 * j, rows, panels, kind, TILE_BLOCK);
    }
}

/* From one group to the next. */
static inline __attribute__((always_inline)) void tile_walk_on(struct tile_walk *i, size_t step,
                                                               const int rows, const enum tile_kind kind)
{
    i->a += TW_GROUP_PAIRS * 4 * (size_t)rows * (kind == TILE_DOT ? 1 : 2);
    i->at += TW_GROUP_BYTES;
    i->ahead += step;
    i->kept += TW_PLAIN_BYTES;
}

/* Ask for the lines of the panels that are `step` bytes on from one group to the next, at most a group. */
static inline __attribute__((always_inline)) void tile_walk_prefetch(const struct tile_walk *i, size_t step,
                                                                     const int panels)
{
    V16_UNROLL
    for (int p = 0; p < panels; p++) {
        _mm_prefetch(i->w[p] + i->ahead, _MM_HINT_T0);
    }
    if (step > 64) {
        V16_UNROLL
        for (int p = 0; p < panels; p++) {
            _mm_prefetch(i->w[p] + i->ahead + 64, _MM_HINT_T0);
            _mm_prefetch(i->w[p] + i->ahead + 128, _MM_HINT_T0);
        }
    }
}

/* Groups [g, stop), none of which is plain. */
static inline __attribute__((always_inline)) void tile_groups(v16 (*acc)[TILE_PANELS], struct tile_walk *i,
                                                              const struct tile_codes *c, uint32_t g,
                                                              uint32_t stop, size_t step, const int rows,
                                                              const int panels, const enum tile_kind kind,
                                                              const bool keeps)
{
    for (; g != stop; g++) {
        tile_walk_prefetch(i, step, panels);
        if (rows * panels >= TILE_TIGHT) {
            tile_group_tight(acc, i, c, rows, panels, kind, keeps);
        } else {
            tile_group(acc, i, rows, panels, kind, keeps);
        }
        tile_walk_on(i, step, rows, kind);
    }
}

/* What tile_sum does, along compressed panels. */
static inline __attribute__((always_inline)) void tile_sum_codes(const struct tile *t, const int rows,
                                                                 const int panels, const enum tile_kind kind,
                                                                 const bool keeps)
{
    const struct tile_codes *c = t->codes;
    const bool chains          = kind != TILE_DOT && t->chain != 0;
    const uint32_t end         = c->begin + (uint32_t)(t->pairs / TW_GROUP_PAIRS);
    const uint32_t chain       = (uint32_t)(t->chain / TW_GROUP_PAIRS);
    const size_t step          = t->ahead_step * TW_GROUP_PAIRS;
    struct tile_walk i         = {.a = t->a, .ahead = t->ahead};
    struct tile_plain plain;
    v16 acc[TILE_ROWS][TILE_PANELS];
    _Alignas(64) float memory[TILE_VECTORS * 16];
    float *total = memory;
    __asm__("" : "+r"(total)); /* or compilers keep it in registers, and the sums in memory */
    bool banked = tile_start(t, acc, total, chains, rows, panels, kind, TILE_BLOCK);
    V16_UNROLL
    for (int p = 0; p < panels; p++) {
        i.w[p]         = t->w[p];
        i.keep[p]      = c->keep[p];
        i.table[p]     = v16_table(c->upper[p]);
        plain.group[p] = c->plain_group[p];
        plain.lines[p] = c->plain[p];
    }
    uint32_t g = c->begin, bank = chains && chain < end - g ? g + chain : end;
    for (;;) {
        const uint32_t stop = tile_plain_next(c, &plain, bank, panels);
        tile_groups(acc, &i, c, g, stop, step, rows, panels, kind, keeps);
        g = stop;
        if (g == end) {
            break;
        }
        if (g == bank) {
            tile_bank(acc, total, !banked, rows, panels);
            banked = true;
            bank   = end - g > chain ? g + chain : end;
            continue;
        }
        _Alignas(64) char decoded[TILE_PANELS][TW_PLAIN_BYTES];
        const char *lines[TILE_PANELS];
        tile_plain_lines(&i, c, &plain, g, decoded, lines, panels);
        tile_group_plain(acc, &i, lines, rows, panels, kind, keeps);
        tile_walk_on(&i, step, rows, kind);
        g++;
    }
    if (banked) {
        tile_add(acc, total, 16 * (size_t)panels, rows, panels);
    }
    tile_finish(t, acc, rows, panels, TILE_BLOCK);
}

#endif /* TW_KERNELS_TILE_CODES_H */
