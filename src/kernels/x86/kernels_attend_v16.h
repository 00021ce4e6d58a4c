/* SPDX-License-Identifier: MIT */
/* Attention around the innermost loop. Include after kernels_vec_<isa>.h, kernels_v16_math.h and
 * kernels_tile.h.
 *
 * Queries (a row and a head) are taken in tiles, heads of a row together. Of a tile, the queries that see
 * the first keys of a block go through it together, however many each; so do those whose keys have gaps,
 * because there a masked probability of +0 stands for a term that is left out. */
#ifndef TW_KERNELS_ATTEND_V16_H
#define TW_KERNELS_ATTEND_V16_H

#include "kernels/x86/kernels_attend_block_v16.h"

/* Keys and values that stay in L2 while the tiles of queries pass by */
enum { GROUP_BYTES = 256 << 10 };

static size_t attend_scratch_v16(size_t n_queries, size_t head_dim)
{
    return sizeof(struct attend_buffers) + 2 * n_queries * tw_attend_partial_floats(head_dim) * sizeof(float);
}

/* The keys of block entry j that query i of the tile sees. */
static inline uint64_t attend_keys(const struct attend_job *job, size_t i, size_t j)
{
    return tw_attend_keys(job->a, (job->first + i) / job->a->n_heads, j);
}

/* How many queries of the tile, from i on, go through block entry j together: those that see its first keys,
 * however many each; or those with gaps; or those that see nothing, which are no run (n is 0). */
static void attend_run_of(const struct attend_job *job, size_t i, size_t j, struct attend_run *run)
{
    const size_t heads   = job->a->n_heads;
    const uint64_t first = attend_keys(job, i, j);
    uint64_t keys        = first;
    run->i               = i;
    run->j               = j;
    run->n               = first == 0 ? 0 : tw_keys_end(first);
    run->whole           = first == UINT64_MAX;
    run->gaps            = tw_keys_have_gaps(first);
    if (run->whole && job->a->visible == NULL) { /* later rows see no less */
        run->rows = job->n - i;
        return;
    }
    do {
        const size_t q = ((job->first + i) / heads + 1) * heads - job->first, end = q < job->n ? q : job->n;
        for (; i < end; i++) {
            run->keys[i - run->i] = keys;
        }
        run->n     = keys != 0 && tw_keys_end(keys) > run->n ? tw_keys_end(keys) : run->n;
        run->whole = run->whole && keys == UINT64_MAX;
        keys       = i < job->n ? attend_keys(job, i, j) : 0;
    } while (i < job->n && (keys == 0) == (first == 0) && tw_keys_have_gaps(keys) == run->gaps);
    run->rows = i - run->i;
}

/* Running maxima and sums of the tile's queries out of their partials, or back into them. */
static void attend_tile_sums(const struct attend_job *job, bool begin)
{
    const size_t stride      = tw_attend_partial_floats(job->a->head_dim);
    struct attend_buffers *b = job->b;
    float *p                 = job->partials + job->first * stride;
    if (begin) {
        memset(b->all_max, 0, sizeof b->all_max);
        memset(b->all_sum, 0, sizeof b->all_sum);
    }
    for (size_t i = 0; i < job->n; i++, p += stride) {
        if (!begin) {
            p[PARTIAL_MAX] = b->all_max[i];
            p[PARTIAL_SUM] = b->all_sum[i];
        } else if (p[PARTIAL_SUM] != 0.0f) {
            b->all_max[i] = p[PARTIAL_MAX];
            b->all_sum[i] = p[PARTIAL_SUM];
        }
    }
}

/* The tile against block entries [begin, end). */
static void attend_tile(const struct attend_job *job, size_t begin, size_t end, bool prefetch)
{
    struct attend_run run;
    attend_load_queries(job);
    attend_tile_sums(job, true);
    for (size_t j = begin; j < end; j++) {
        for (size_t i = 0; i < job->n; i += run.rows) {
            attend_run_of(job, i, j, &run);
            run.last = !prefetch || run.rows != job->n || j + 1 == end;
            if (run.n != 0) {
                attend_scores(job, &run);
                attend_softmax(job, &run);
                attend_merge_outputs(job, &run, attend_merge_sums(job, &run));
            }
        }
    }
    attend_tile_sums(job, false);
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
        attend_scores(&job,
                      &(struct attend_run){.j = j, .rows = job.n, .n = tw_keys_end(keys), .last = true});
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
