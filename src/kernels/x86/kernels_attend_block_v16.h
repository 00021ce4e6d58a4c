/* SPDX-License-Identifier: MIT */
/* Attention of a few queries over one block of keys: scores, softmax, outputs, and what they are merged into.
 * Include after kernels_vec_<isa>.h, kernels_v16_math.h and kernels_tile.h.
 *
 * The chains run in the same tile as a matmul's: scores are queries times key panels (16 keys each, pairs of
 * inputs), outputs are probabilities times value panels (16 inputs each, pairs of positions). Softmax takes
 * the queries of a tile side by side, because each on its own is a chain of latencies. */
#ifndef TW_KERNELS_ATTEND_BLOCK_V16_H
#define TW_KERNELS_ATTEND_BLOCK_V16_H

#include "kernels/kernels_levels.h"
#include "kernels/kernels_partial.h"

enum { LINE_FLOATS = TILE_LINE / 4, KEY_PANELS = TW_KV_BLOCK / 16 };

struct attend_kind {
    tile_fn *const (*tiles)[TILE_ROWS + 1];
    size_t bytes; /* of a stored key or value element */
    bool round;   /* queries and probabilities are f32 that hold bf16 */
};

/* ... or pairs of bf16: where vdpbf16ps takes them */
#ifdef __AVX512BF16__
enum { ATTEND_WORDS = 1 };
#else
enum { ATTEND_WORDS = 0 };
#endif

/* A thread's scratch begins with this; partials of every query follow. */
struct attend_buffers {
    _Alignas(64) char q[TILE_ROWS][TILE_LINE];
    char p[TILE_ROWS][TILE_LINE];        /* scores, then probabilities in their place, by query of the run */
    float o[TILE_ROWS][LINE_FLOATS];     /* outputs of one block */
    char tail[TW_KV_BLOCK / 2 * 16 * 8]; /* the last value panel where head_dim is no multiple of 16 */
    float max[16], sum[16];              /* of one block, by query of the run */
    float merge[2][16];                  /* what merging multiplies the blocks so far with, and this one */
    float all_max[32], all_sum[32];      /* of the blocks so far, by query of the tile */
};

/* Queries of a tile, consecutive ones, that go through a block together. Each sees something of it. */
struct attend_run {
    size_t j;                 /* the block's entry */
    size_t i, rows;           /* of the tile: [i, i + rows) */
    size_t n;                 /* none sees a key from n on */
    bool whole;               /* all see all keys; or ... */
    bool gaps;                /* ... each misses keys before its last one; or each sees the first so many */
    bool last;                /* nothing is to be prefetched for the next block */
    uint64_t keys[TILE_ROWS]; /* that each sees, where not whole */
};

/* One tile of queries: [first, first + n) */
struct attend_job {
    const struct tw_attend *a;
    const struct attend_kind *kind;
    struct attend_buffers *b;
    float *partials; /* of query 0 */
    size_t first, n;
};

/* Chains of `rows` lines against `panels` panels that lie side by side from w on; t says the rest, for the
 * first of them, and is moved on. By pointer: a copy would wait for the stores that made it. */
static void attend_chains(const struct attend_kind *kind, size_t rows, const char *w, size_t panels,
                          struct tile *t)
{
    t->ahead_step = t->w_pair;
    for (size_t done = 0; done < panels;) {
        const int width = tile_width(kind->tiles, rows, panels - done);
        for (int p = 0; p < width; p++, w += 32 * kind->bytes) {
            t->w[p] = w;
        }
        kind->tiles[width][rows](t);
        done += (size_t)width;
        t->sums += 16 * width;
    }
}

static inline void attend_store_line(const struct attend_kind *kind, char *line, size_t i, v16 x)
{
    if (ATTEND_WORDS) {
        v16_store_bf16((uint16_t *)(void *)line + i, v16_round_bf16(x));
    } else {
        v16_store((float *)(void *)line + i, kind->round ? v16_round_bf16(x) : x);
    }
}

/* Probabilities are never denormal: the instruction that rounds and would flush them may be used. */
static inline void attend_store_probabilities(const struct attend_kind *kind, char *line, size_t i, v16 e)
{
#ifdef __AVX512BF16__
    if (ATTEND_WORDS) {
        __m256bh h = _mm512_cvtneps_pbh(e);
        memcpy(line + 2 * i, &h, sizeof h);
        return;
    }
#endif
    attend_store_line(kind, line, i, e);
}

static void attend_load_queries(const struct attend_job *job)
{
    const struct tw_attend *a = job->a;
    for (size_t i = 0; i < job->n; i++) {
        const size_t query = job->first + i;
        const float *q     = a->q + query / a->n_heads * a->ldq + query % a->n_heads * a->head_dim;
        size_t d           = 0;
#ifdef __AVX512BF16__
        for (; d + 32 <= a->head_dim; d += 32) {
            v16_store((float *)(void *)(job->b->q[i] + 2 * d),
                      v16_round_pairs_bf16(v16_load(q + d), v16_load(q + d + 16)));
        }
#endif
        for (; d < a->head_dim; d += 16) {
            const size_t n = a->head_dim - d < 16 ? a->head_dim - d : 16;
            attend_store_line(job->kind, job->b->q[i], d, n == 16 ? v16_load(q + d) : v16_load_n(q + d, n));
        }
    }
}

/* Lanes of x[0 .. rows) as trees (sums, or the largest), down to four lanes a row and four rows a vector. */
static inline __attribute__((always_inline)) void attend_rows(v16 x[16], size_t rows, v16 four[4],
                                                              const bool sums)
{
    for (size_t r = rows; r % 4 != 0; r++) {
        x[r] = v16_zero();
    }
    for (size_t i = 0; i < 4; i++) {
        four[i] = 4 * i >= rows ? v16_zero() : sums ? v16_sum_four(x + 4 * i) : v16_largest_four(x + 4 * i);
    }
}

/* What a run multiplies with its block's keys, or values: how far ahead the next block's lie. */
static size_t attend_ahead(const struct attend_run *run, const void *const *blocks)
{
    return run->last ? 0 : (size_t)((uintptr_t)blocks[run->j + 1] - (uintptr_t)blocks[run->j]);
}

static void attend_scores(const struct attend_job *job, const struct attend_run *run)
{
    const struct tw_attend *a = job->a;
    struct tile t             = {.a      = job->b->q[run->i],
                                 .w_pair = 2 * TW_KV_BLOCK * job->kind->bytes,
                                 .pairs  = a->head_dim / 2,
                                 .ahead  = attend_ahead(run, a->k_blocks),
                                 .sums   = (float *)(void *)job->b->p[0],
                                 .ld     = LINE_FLOATS};
    attend_chains(job->kind, run->rows, a->k_blocks[run->j], (run->n + 15) / 16, &t);
}

/* The largest score of each query, scaled: the largest of the scaled ones. */
static void attend_maxima(const struct attend_job *job, const struct attend_run *run)
{
    const size_t rows = run->rows, panels = (run->n + 15) / 16;
    v16 four[4], x[16];
    for (size_t r = 0; r < rows; r++) {
        const float *scores = (const float *)(const void *)job->b->p[r];
        if (run->whole) {
            x[r] = v16_max(v16_max(v16_load(scores), v16_load(scores + 16)),
                           v16_max(v16_load(scores + 32), v16_load(scores + 48)));
            continue;
        }
        x[r] = v16_set1(-INFINITY);
        for (size_t p = 0; p < panels; p++) {
            const uint32_t bits = (uint32_t)(run->keys[r] >> 16 * p);
            x[r]                = v16_max(v16_fill_unless(v16_load(scores + 16 * p), bits, -INFINITY), x[r]);
        }
    }
    attend_rows(x, rows, four, false);
    v16_store(job->b->max,
              v16_mul(v16_largest_rows(four[0], four[1], four[2], four[3]), v16_set1(job->a->scale)));
}

/* Scores to probabilities relative to the largest, and b->sum. */
static inline __attribute__((always_inline)) void attend_softmax_of(const struct attend_job *job,
                                                                    const struct attend_run *run,
                                                                    const size_t panels, const bool all)
{
    const struct attend_kind *kind = job->kind;
    const v16 scale                = v16_set1(job->a->scale);
    const size_t rows              = run->rows;
    v16 four[4], x[16];
    for (size_t r = 0; r < rows; r++) {
        const float *scores = (const float *)(const void *)job->b->p[r];
        const v16 max       = v16_set1(job->b->max[r]);
        v16 e[KEY_PANELS], sum = v16_zero();
        for (size_t p = 0; p < panels; p++) {
            e[p] = v16_sub(v16_mul(v16_load(scores + 16 * p), scale), max);
        }
        v16_exp_bounded_each(e, panels);
        for (size_t p = 0; p < panels; p++) {
            e[p] = all ? e[p] : v16_fill_unless(e[p], (uint32_t)(run->keys[r] >> 16 * p), 0.0f);
            sum  = p == 0 ? e[p] : v16_add(sum, e[p]);
            attend_store_probabilities(kind, job->b->p[r], 16 * p, e[p]);
        }
        x[r] = sum;
    }
    attend_rows(x, rows, four, true);
    v16_store(job->b->sum, v16_sum_rows(four[0], four[1], four[2], four[3]));
}

static void attend_softmax(const struct attend_job *job, const struct attend_run *run)
{
    attend_maxima(job, run);
    switch (run->whole ? 0 : (run->n + 15) / 16) {
    case 0: attend_softmax_of(job, run, KEY_PANELS, true); break;
    case 1: attend_softmax_of(job, run, 1, false); break;
    case 2: attend_softmax_of(job, run, 2, false); break;
    case 3: attend_softmax_of(job, run, 3, false); break;
    default: attend_softmax_of(job, run, KEY_PANELS, false); break;
    }
}

/* Sixteen values of the last visible key when it is the even one of its pair. */
static inline v16 attend_even_values(const struct attend_kind *kind, const char *w)
{
    return kind->bytes == 2 ? v16_pair_bf16_even(w) : v16_pair_f32_order(v16_pair_f32_even(w));
}

static inline v16 attend_odd_values(const struct attend_kind *kind, const char *w)
{
    return kind->bytes == 2 ? v16_pair_bf16_odd(w) : v16_pair_f32_order(v16_pair_f32_odd(w));
}

/* Probability `key` of a line */
static inline v16 attend_probability(const char *line, size_t key)
{
    return v16_set1(ATTEND_WORDS ? tw_bf16_to_f32(((const uint16_t *)(const void *)line)[key])
                                 : ((const float *)(const void *)line)[key]);
}

/* One more step of 16 chains: the pair at w of a query whose probabilities are `line` and which sees n keys.
 * The factors of an odd position that is not seen are +0 and +0. */
static void attend_step(const struct attend_kind *kind, const char *line, size_t pair, size_t n,
                        const char *w, float *o)
{
    v16 sum = v16_load(o);
    if (2 * pair + 1 < n) {
        sum = v16_fma(attend_probability(line, 2 * pair + 1), attend_odd_values(kind, w), sum);
    } else {
        sum = v16_add(sum, v16_zero());
    }
    v16_store(o, v16_fma(attend_probability(line, 2 * pair), attend_even_values(kind, w), sum));
}

/* b->o of a run whose queries see at least the first 2 * pairs keys, over these. */
static void attend_values(const struct attend_job *job, const struct attend_run *run, size_t pairs)
{
    const struct attend_kind *kind = job->kind;
    const size_t d = job->a->head_dim, panels = d / 16, tail = d % 16;
    const size_t w_pair = 2 * d * kind->bytes, line = 32 * kind->bytes;
    const char *v            = job->a->v_blocks[run->j];
    struct attend_buffers *b = job->b;
    struct tile t            = {.a      = b->p[0],
                                .w_pair = w_pair,
                                .pairs  = pairs,
                                .ahead  = attend_ahead(run, job->a->v_blocks),
                                .sums   = b->o[0],
                                .ld     = LINE_FLOATS};
    attend_chains(kind, run->rows, v, panels, &t);
    if (tail == 0) {
        return;
    }
    memset(b->tail, 0, sizeof b->tail);
    for (size_t pair = 0; pair < (run->n + 1) / 2; pair++) {
        memcpy(b->tail + pair * line, v + pair * w_pair + panels * line, 2 * tail * kind->bytes);
    }
    t.w_pair = line;
    t.ahead  = 0;
    attend_chains(kind, run->rows, b->tail, 1, &t);
}

/* b->o of a run. Of queries that see different numbers of keys the pairs that all see come first,
 * together. */
static void attend_outputs(const struct attend_job *job, const struct attend_run *run)
{
    const struct attend_kind *kind = job->kind;
    const size_t d = job->a->head_dim, panels = d / 16;
    const size_t w_pair = 2 * d * kind->bytes, line = 32 * kind->bytes;
    const char *v            = job->a->v_blocks[run->j];
    struct attend_buffers *b = job->b;
    size_t pairs             = (run->n + 1) / 2;
    for (size_t r = 0; !run->whole && !run->gaps && r < run->rows; r++) {
        const size_t n = tw_keys_end(run->keys[r]);
        pairs          = n / 2 < pairs ? n / 2 : pairs;
    }
    attend_values(job, run, pairs);
    for (size_t r = 0; !run->whole && !run->gaps && r < run->rows; r++) {
        const size_t n = tw_keys_end(run->keys[r]);
        for (size_t pair = pairs; 2 * pair < n; pair++) {
            for (size_t i = 0; i < panels; i++) {
                attend_step(kind, b->p[r], pair, n, v + pair * w_pair + i * line, b->o[r] + 16 * i);
            }
            if (d % 16 != 0) {
                attend_step(kind, b->p[r], pair, n, b->tail + pair * line, b->o[r] + 16 * panels);
            }
        }
    }
}

/* What probabilities of +0 in the place of masked keys leave to be done: a term of +0 or -0 changed
 * nothing but the sign of a zero, which is made +0, unless its value was infinite or NaN. Then the sum is
 * NaN and is computed without the term. */
static void attend_mend(const struct attend_job *job, const struct attend_run *run)
{
    const struct tw_attend *a = job->a;
    for (size_t r = 0; r < run->rows; r++) {
        float *o = job->b->o[r];
        bool nan = false;
        for (size_t d = 0; d < a->head_dim; d += 16) {
            const v16 x = v16_add(v16_load(o + d), v16_zero());
            nan         = nan || v16_any_nan(x);
            v16_store(o + d, x);
        }
        if (nan) {
            tw_attend_block_scalar(a, job->kind->bytes == 2 ? TW_DTYPE_BF16 : TW_DTYPE_F32,
                                   job->first + run->i + r, run->j, o);
        }
    }
}

/* One query's o: into * c1 + part * c2, or a copy when there is nothing yet. */
static void attend_merge_o(float *into, const float *part, size_t head_dim, bool copy, float c1, float c2)
{
    const v16 a = v16_set1(c1), b = v16_set1(c2);
    for (size_t d = 0; d < head_dim; d += 16) {
        const size_t n = head_dim - d < 16 ? head_dim - d : 16;
        v16 x          = n == 16 ? v16_load(part + d) : v16_load_n(part + d, n);
        if (!copy) {
            x = v16_fma(n == 16 ? v16_load(into + d) : v16_load_n(into + d, n), a, v16_mul(x, b));
        }
        if (n == 16) {
            v16_store(into + d, x);
        } else {
            v16_store_n(into + d, x, n);
        }
    }
}

/* Maxima and sums of a run go into those of the blocks so far; b->merge: the factors for outputs. The result
 * has a bit for every query that had nothing so far: its outputs are copied. */
static uint32_t attend_merge_sums(const struct attend_job *job, const struct attend_run *run)
{
    struct attend_buffers *b = job->b;
    float *all_max = b->all_max + run->i, *all_sum = b->all_sum + run->i;
    const v16 before = v16_load(all_max), part = v16_load(job->b->max), max = v16_max(before, part);
    const v16 sum = v16_load(b->sum), sum_before = v16_load(all_sum);
    const uint32_t empty = v16_equal(sum_before, v16_zero()) & ((1u << run->rows) - 1u);
    v16 e[2]             = {v16_sub(before, max), v16_sub(part, max)};
    v16_exp_bounded_each(e, 2);
    v16_store(b->merge[0], e[0]);
    v16_store(b->merge[1], e[1]);
    v16_store_n(all_max, max, run->rows);
    v16_store_n(all_sum, v16_fma(sum_before, e[0], v16_mul(sum, e[1])), run->rows);
    for (uint32_t left = empty; left != 0; left &= left - 1) {
        const int r = __builtin_ctz(left);
        all_max[r]  = job->b->max[r];
        all_sum[r]  = b->sum[r];
    }
    return empty;
}

/* Outputs of a run, merged into its partials. `empty`: see attend_merge_sums. */
static void attend_merge_outputs(const struct attend_job *job, const struct attend_run *run, uint32_t empty)
{
    const struct tw_attend *a = job->a;
    const size_t stride       = tw_attend_partial_floats(a->head_dim);
    struct attend_buffers *b  = job->b;
    float *into               = job->partials + (job->first + run->i) * stride + PARTIAL_O;
    const bool none = empty == 0, all = empty == (1u << run->rows) - 1u;
    if (run->whole && a->head_dim % 16 == 0 && (none || all)) { /* straight from registers */
        struct tile t = {.a      = b->p[0],
                         .w_pair = 2 * a->head_dim * job->kind->bytes,
                         .pairs  = TW_KV_BLOCK / 2,
                         .ahead  = attend_ahead(run, a->v_blocks),
                         .sums   = into,
                         .ld     = stride,
                         .merge  = {all ? NULL : b->merge[0], b->merge[1]}};
        attend_chains(job->kind, run->rows, a->v_blocks[run->j], a->head_dim / 16, &t);
        return;
    }
    attend_outputs(job, run);
    if (run->gaps) {
        attend_mend(job, run);
    }
    for (size_t r = 0; r < run->rows; r++) {
        attend_merge_o(into + r * stride, b->o[r], a->head_dim, (empty >> r & 1) != 0, b->merge[0][r],
                       b->merge[1][r]);
    }
}

#endif /* TW_KERNELS_ATTEND_BLOCK_V16_H */
