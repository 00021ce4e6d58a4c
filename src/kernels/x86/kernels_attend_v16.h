/* SPDX-License-Identifier: MIT */
/* Attention around the innermost loop. Include after kernels_vec_<isa>.h, kernels_v16_math.h and
 * kernels_tile.h.
 *
 * Queries (a row and a head) are taken in tiles, heads of a row together. Of a tile, the queries that see
 * the same first keys of a block go through it together; so do those whose keys have gaps, whatever each
 * sees, because there a masked probability of +0 stands for a term that is left out. The chains run in the
 * same tile as a matmul's: scores are queries times key panels (16 keys each, pairs of inputs), outputs
 * are probabilities times value panels (16 inputs each, pairs of positions). */
#ifndef TW_KERNELS_ATTEND_V16_H
#define TW_KERNELS_ATTEND_V16_H

#include "kernels/kernels_levels.h"
#include "kernels/kernels_partial.h"

enum {
    LINE_FLOATS = TILE_LINE / 4,
    GROUP_BYTES = 256 << 10, /* keys and values that stay in L2 while the tiles of queries pass by */
    KEY_PANELS  = TW_KV_BLOCK / 16
};

struct attend_kind {
    tile_fn *const (*tiles)[TILE_ROWS + 1];
    size_t bytes; /* of a stored key or value element */
    bool words;   /* queries and probabilities are pairs of bf16 */
    bool round;   /* ... or f32 that hold bf16 */
};

/* A thread's scratch begins with this; partials of every query follow. */
struct attend_buffers {
    _Alignas(64) char q[TILE_ROWS][TILE_LINE];
    char p[TILE_ROWS][TILE_LINE];        /* scores, then probabilities in their place */
    float o[TILE_ROWS][LINE_FLOATS];     /* outputs of one block */
    char tail[TW_KV_BLOCK / 2 * 16 * 8]; /* the last value panel where head_dim is no multiple of 16 */
    float max[16], sum[16];              /* of one block, by query of the tile */
};

/* Queries of a tile, consecutive ones, that go through a block together. */
struct attend_run {
    size_t i, rows; /* of the tile: [i, i + rows) */
    size_t n;       /* they see the first n keys, or, with gaps, some of these */
    uint64_t keys;  /* without gaps: of each of them */
    bool gaps;
};

/* One tile of queries: [first, first + n) */
struct attend_job {
    const struct tw_attend *a;
    const struct attend_kind *kind;
    struct attend_buffers *b;
    float *partials; /* of query 0 */
    size_t first, n;
};

static size_t attend_scratch_v16(size_t n_queries, size_t head_dim)
{
    return sizeof(struct attend_buffers) + 2 * n_queries * tw_attend_partial_floats(head_dim) * sizeof(float);
}

/* Chains of `rows` lines against panels panel_bytes apart, into sums[rows][LINE_FLOATS]. */
static void attend_chains(const struct attend_kind *kind, const char *lines, size_t rows, const char *w,
                          size_t panels, size_t w_pair, size_t pairs, size_t ahead, float *sums)
{
    const size_t panel_bytes = 32 * kind->bytes;
    struct tile t            = {.a          = lines,
                                .w_pair     = w_pair,
                                .pairs      = pairs,
                                .ahead      = ahead,
                                .ahead_step = w_pair,
                                .ld         = LINE_FLOATS};
    for (size_t done = 0; done < panels;) {
        int width = tile_width(kind->tiles, rows, panels - done);
        for (int p = 0; p < width; p++) {
            t.w[p] = w + (done + (size_t)p) * panel_bytes;
        }
        t.sums = sums + 16 * done;
        kind->tiles[width][rows](&t);
        done += (size_t)width;
    }
}

static inline void attend_store_line(const struct attend_kind *kind, char *line, size_t i, v16 x)
{
    if (kind->words) {
        v16_store_bf16((uint16_t *)(void *)line + i, v16_round_bf16(x));
    } else {
        v16_store((float *)(void *)line + i, kind->round ? v16_round_bf16(x) : x);
    }
}

/* Probabilities are never denormal: the instruction that rounds and would flush them may be used. */
static inline void attend_store_probabilities(const struct attend_kind *kind, char *line, size_t i, v16 e)
{
#ifdef __AVX512BF16__
    if (kind->words) {
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
        for (size_t d = 0; d < a->head_dim; d += 16) {
            const size_t n = a->head_dim - d < 16 ? a->head_dim - d : 16;
            attend_store_line(job->kind, job->b->q[i], d, n == 16 ? v16_load(q + d) : v16_load_n(q + d, n));
        }
    }
}

/* Scores of the first 16 * panels keys of a block, scaled, to probabilities relative to the largest of
 * those in `keys`; `all`: those are all. */
static inline __attribute__((always_inline)) void
attend_softmax_of(const struct attend_job *job, size_t i, const size_t panels, uint64_t keys, const bool all)
{
    char *line          = job->b->p[i];
    const float *scores = (const float *)(const void *)line;
    const v16 scale     = v16_set1(job->a->scale);
    v16 s[KEY_PANELS], sum = v16_zero(), max = v16_set1(-INFINITY);
    for (size_t p = 0; p < panels; p++) {
        s[p] = v16_mul(v16_load(scores + 16 * p), scale);
        max  = v16_max(all ? s[p] : v16_fill_unless(s[p], (uint32_t)(keys >> 16 * p), -INFINITY), max);
    }
    job->b->max[i] = v16_largest(max);
    for (size_t p = 0; p < panels; p++) {
        v16 e = v16_exp_bounded(v16_sub(s[p], v16_set1(job->b->max[i])));
        e     = all ? e : v16_fill_unless(e, (uint32_t)(keys >> 16 * p), 0.0f);
        sum   = p == 0 ? e : v16_add(sum, e);
        attend_store_probabilities(job->kind, line, 16 * p, e);
    }
    job->b->sum[i] = v16_sum(sum);
}

static inline void attend_softmax(const struct attend_job *job, size_t i, size_t n, uint64_t keys)
{
    if (keys == UINT64_MAX) {
        attend_softmax_of(job, i, KEY_PANELS, keys, true);
    } else {
        attend_softmax_of(job, i, (n + 15) / 16, keys, false);
    }
}

/* Sixteen values of the last visible key when it is the even one of its pair. */
static inline v16 attend_even_values(const struct attend_kind *kind, const char *w)
{
    return kind->bytes == 2 ? v16_pair_bf16_even(w) : v16_pair_f32_order(v16_pair_f32_even(w));
}

/* The last step of a chain whose last pair has its odd position masked: factors +0 and +0, then the even
 * key `key`. */
static void attend_last_key(const struct attend_job *job, size_t i, size_t key, const char *w, float *o)
{
    const char *line = job->b->p[i];
    float p;
    if (job->kind->words) {
        p = tw_bf16_to_f32(((const uint16_t *)(const void *)line)[key]);
    } else {
        p = ((const float *)(const void *)line)[key];
    }
    v16 sum = v16_add(v16_load(o), v16_zero());
    v16_store(o, v16_fma(v16_set1(p), attend_even_values(job->kind, w), sum));
}

/* Outputs of queries [i, i + rows) of the tile over the first n keys of a block of values. */
static void attend_values(const struct attend_job *job, size_t i, size_t rows, const char *v, size_t n,
                          size_t ahead)
{
    const struct attend_kind *kind = job->kind;
    const size_t d = job->a->head_dim, w_pair = 2 * d * kind->bytes;
    const size_t panels = d / 16, tail = d % 16;
    struct attend_buffers *b = job->b;
    attend_chains(kind, b->p[i], rows, v, panels, w_pair, n / 2, ahead, b->o[i]);
    if (tail != 0) {
        const size_t line = 32 * kind->bytes;
        memset(b->tail, 0, sizeof b->tail);
        for (size_t pair = 0; pair < (n + 1) / 2; pair++) {
            memcpy(b->tail + pair * line, v + pair * w_pair + panels * line, 2 * tail * kind->bytes);
        }
        attend_chains(kind, b->p[i], rows, b->tail, 1, line, n / 2, 0, b->o[i] + 16 * panels);
    }
    if (n % 2 != 0) {
        const size_t panel = 32 * kind->bytes, pair = n / 2;
        for (size_t r = i; r < i + rows; r++) {
            for (size_t p = 0; p < panels; p++) {
                attend_last_key(job, r, n - 1, v + pair * w_pair + p * panel, b->o[r] + 16 * p);
            }
            if (tail != 0) {
                attend_last_key(job, r, n - 1, b->tail + pair * panel, b->o[r] + 16 * panels);
            }
        }
    }
}

/* What probabilities of +0 in the place of masked keys leave to be done: a term of +0 or -0 changed
 * nothing but the sign of a zero, which is made +0, unless its value was infinite or NaN. Then the sum is
 * NaN and is computed without the term. */
static void attend_mend(const struct attend_job *job, const struct attend_run *run, size_t j)
{
    const struct tw_attend *a = job->a;
    for (size_t i = run->i; i < run->i + run->rows; i++) {
        float *o = job->b->o[i];
        bool nan = false;
        for (size_t d = 0; d < a->head_dim; d += 16) {
            const v16 x = v16_add(v16_load(o + d), v16_zero());
            nan         = nan || v16_any_nan(x);
            v16_store(o + d, x);
        }
        if (nan) {
            tw_attend_block_scalar(a, job->kind->bytes == 2 ? TW_DTYPE_BF16 : TW_DTYPE_F32, job->first + i, j,
                                   o);
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

/* Merge the parts of up to 16 queries into their partials, partial_floats apart. Parts with sum 0 are
 * empty. o: ld floats apart. */
static void attend_merge_queries(float *into, size_t head_dim, size_t n, const float *max, const float *sum,
                                 const float *o, size_t ld)
{
    const size_t stride = tw_attend_partial_floats(head_dim);
    float m[16], c1[16] = {0}, c2[16] = {0};
    for (size_t i = 0; i < n; i++) {
        const float old = into[i * stride + PARTIAL_MAX];
        m[i]            = old > max[i] ? old : max[i];
        c1[i]           = old - m[i];
        c2[i]           = max[i] - m[i];
    }
    v16_store(c1, v16_exp(v16_load(c1)));
    v16_store(c2, v16_exp(v16_load(c2)));
    for (size_t i = 0; i < n; i++) {
        float *p        = into + i * stride;
        const bool copy = p[PARTIAL_SUM] == 0.0f;
        if (sum[i] == 0.0f) {
            continue;
        }
        p[PARTIAL_MAX] = copy ? max[i] : m[i];
        p[PARTIAL_SUM] = copy ? sum[i] : fmaf(p[PARTIAL_SUM], c1[i], sum[i] * c2[i]);
        attend_merge_o(p + PARTIAL_O, o + i * ld, head_dim, copy, c1[i], c2[i]);
    }
}

/* A run of the tile's queries against block entry j. */
static void attend_block(const struct attend_job *job, const struct attend_run *run, size_t j, bool prefetch)
{
    const struct tw_attend *a = job->a;
    struct attend_buffers *b  = job->b;
    const char *k = a->k_blocks[j], *v = a->v_blocks[j];
    const size_t i = run->i, n = run->n;
    size_t k_ahead = 0, v_ahead = 0;
    if (prefetch) {
        k_ahead = (size_t)((uintptr_t)a->k_blocks[j + 1] - (uintptr_t)k);
        v_ahead = (size_t)((uintptr_t)a->v_blocks[j + 1] - (uintptr_t)v);
    }
    attend_chains(job->kind, b->q[i], run->rows, k, (n + 15) / 16, 2 * TW_KV_BLOCK * job->kind->bytes,
                  a->head_dim / 2, k_ahead, (float *)(void *)b->p[i]);
    for (size_t r = i; r < i + run->rows; r++) {
        attend_softmax(job, r, n,
                       run->gaps ? tw_attend_keys(a, (job->first + r) / a->n_heads, j) : run->keys);
    }
    attend_values(job, i, run->rows, v, run->gaps ? (n + 1) & ~(size_t)1 : n, v_ahead);
    if (run->gaps) {
        attend_mend(job, run, j);
    }
    attend_merge_queries(job->partials + (job->first + i) * tw_attend_partial_floats(a->head_dim),
                         a->head_dim, run->rows, b->max + i, b->sum + i, b->o[i], LINE_FLOATS);
}

/* The longest run from query i of the tile on; n is 0 where they see nothing of the block. */
static inline struct attend_run attend_next_run(const struct attend_job *job, size_t i, size_t j)
{
    const size_t heads    = job->a->n_heads;
    const uint64_t first  = tw_attend_keys(job->a, (job->first + i) / heads, j);
    struct attend_run run = {.i = i, .keys = first, .gaps = tw_keys_have_gaps(first)};
    uint64_t keys         = first;
    if (first == UINT64_MAX && job->a->visible == NULL) { /* later rows see no less */
        run.rows = job->n - i;
        run.n    = TW_KV_BLOCK;
        return run;
    }
    do {
        run.n          = keys != 0 && tw_keys_end(keys) > run.n ? tw_keys_end(keys) : run.n;
        const size_t q = ((job->first + i) / heads + 1) * heads - job->first;
        i              = q < job->n ? q : job->n;
        keys           = i < job->n ? tw_attend_keys(job->a, (job->first + i) / heads, j) : 0;
    } while (i < job->n && (keys == first || (run.gaps && tw_keys_have_gaps(keys))));
    run.rows = i - run.i;
    return run;
}

/* The tile against block entries [begin, end). */
static void attend_tile(const struct attend_job *job, size_t begin, size_t end, bool prefetch)
{
    attend_load_queries(job);
    for (size_t j = begin; j < end; j++) {
        for (size_t i = 0; i < job->n;) {
            const struct attend_run run = attend_next_run(job, i, j);
            if (run.n != 0) {
                attend_block(job, &run, j, prefetch && run.rows == job->n && j + 1 < end);
            }
            i += run.rows;
        }
    }
}

static void attend_span_v16(const struct tw_attend *a, const struct attend_kind *kind, size_t span,
                            float *partials)
{
    const size_t n     = a->n_rows * a->n_heads;
    const size_t tile  = a->n_heads < TILE_ROWS ? TILE_ROWS / a->n_heads * a->n_heads : TILE_ROWS;
    const size_t begin = tw_attend_entry(a, span * TW_BLOCKS_PER_SPAN);
    const size_t end   = tw_attend_entry(a, (span + 1) * TW_BLOCKS_PER_SPAN);
    size_t group       = TW_BLOCKS_PER_SPAN;
    while (group > 1 && group * 2 * tw_kv_block_elements(a->head_dim) * kind->bytes > GROUP_BYTES) {
        group /= 2;
    }
    for (size_t query = 0; query < n; query++) {
        partials[query * tw_attend_partial_floats(a->head_dim) + PARTIAL_SUM] = 0.0f;
    }
    for (size_t block = begin; block < end; block += group) {
        const size_t stop = block + group < end ? block + group : end;
        for (size_t first = 0; first < n; first += tile) {
            struct attend_job job = {
                .a = a, .kind = kind, .b = a->scratch, .partials = partials, .first = first};
            job.n = n - first < tile ? n - first : tile;
            attend_tile(&job, block, stop, first == 0);
        }
    }
}

/* Span partials into totals. */
static void attend_merge_span(const struct tw_attend *a, float *total, const float *part)
{
    const size_t n = a->n_rows * a->n_heads, stride = tw_attend_partial_floats(a->head_dim);
    for (size_t query = 0; query < n; query += 16) {
        const size_t count = n - query < 16 ? n - query : 16;
        float max[16], sum[16];
        for (size_t i = 0; i < count; i++) {
            max[i] = part[(query + i) * stride + PARTIAL_MAX];
            sum[i] = part[(query + i) * stride + PARTIAL_SUM];
        }
        attend_merge_queries(total + query * stride, a->head_dim, count, max, sum,
                             part + query * stride + PARTIAL_O, stride);
    }
}

static void attend_finish(const struct tw_attend *a, const float *total)
{
    const size_t stride = tw_attend_partial_floats(a->head_dim);
    for (size_t query = 0; query < a->n_rows * a->n_heads; query++) {
        const float *p = total + query * stride;
        float *z       = a->z + query / a->n_heads * a->ldz + query % a->n_heads * a->head_dim;
        const v16 sum  = v16_set1(p[PARTIAL_SUM]);
        for (size_t d = 0; d < a->head_dim; d += 16) {
            const size_t n = a->head_dim - d < 16 ? a->head_dim - d : 16;
            if (n == 16) {
                v16_store(z + d, v16_div(v16_load(p + PARTIAL_O + d), sum));
            } else {
                v16_store_n(z + d, v16_div(v16_load_n(p + PARTIAL_O + d, n), sum), n);
            }
        }
    }
}

static void attend_v16(const struct tw_attend *a, const struct attend_kind *kind)
{
    const size_t n = a->n_rows * a->n_heads, stride = tw_attend_partial_floats(a->head_dim);
    const size_t blocks = tw_attend_blocks(a);
    float *total        = (float *)(void *)((char *)a->scratch + sizeof(struct attend_buffers)),
          *part         = total + n * stride;
    for (size_t j = 0; j < blocks;) { /* spans that hold an entry */
        const size_t span = tw_attend_number(a, j) / TW_BLOCKS_PER_SPAN;
        attend_span_v16(a, kind, span, j == 0 ? total : part);
        if (j != 0) {
            attend_merge_span(a, total, part);
        }
        j = tw_attend_entry(a, (span + 1) * TW_BLOCKS_PER_SPAN);
    }
    attend_finish(a, total);
}

static void attend_merge_v16(const struct tw_attend *a, const float *partials, size_t span_stride,
                             size_t n_spans)
{
    const size_t n = a->n_rows * a->n_heads, stride = tw_attend_partial_floats(a->head_dim);
    float *total = (float *)(void *)((char *)a->scratch + sizeof(struct attend_buffers));
    for (size_t query = 0; query < n; query++) {
        total[query * stride + PARTIAL_SUM] = 0.0f;
    }
    for (size_t span = 0; span < n_spans; span++) {
        attend_merge_span(a, total, partials + span * span_stride);
    }
    attend_finish(a, total);
}

static bool attend_scores_v16(const struct tw_attend *a, const struct attend_kind *kind, size_t row, size_t j,
                              float *scores)
{
    const uint64_t keys = tw_attend_keys(a, row, j);
    const v16 scale     = v16_set1(a->scale);
    for (size_t head = 0; keys != 0 && head < a->n_heads; head += TILE_ROWS) {
        struct attend_job job = {.a = a, .kind = kind, .b = a->scratch, .first = row * a->n_heads + head};
        job.n                 = a->n_heads - head < TILE_ROWS ? a->n_heads - head : TILE_ROWS;
        attend_load_queries(&job);
        attend_chains(kind, job.b->q[0], job.n, a->k_blocks[j], (tw_keys_end(keys) + 15) / 16,
                      2 * TW_KV_BLOCK * kind->bytes, a->head_dim / 2, 0, (float *)(void *)job.b->p[0]);
        for (size_t i = 0; i < job.n * KEY_PANELS; i++) {
            const size_t query = i / KEY_PANELS, first = 16 * (i % KEY_PANELS);
            const float *from = (const float *)(const void *)job.b->p[query] + first;
            v16_store(scores + (head + query) * TW_KV_BLOCK + first,
                      v16_fill_unless(v16_mul(v16_load(from), scale), (uint32_t)(keys >> first), -INFINITY));
        }
    }
    return keys != 0;
}

#endif /* TW_KERNELS_ATTEND_V16_H */
