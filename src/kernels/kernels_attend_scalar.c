/* SPDX-License-Identifier: MIT */
/* Attention one query at a time: the definition that the vector levels are compared with. */
#include <math.h>
#include <string.h>

#include "kernels/kernels_exp.h"
#include "kernels/kernels_levels.h"
#include "kernels/kernels_partial.h"

struct partial {
    float f[PARTIAL_O + TW_MAX_HEAD_DIM];
};

static float round_bf16(float x)
{
    return tw_bf16_to_f32(tw_bf16_from_f32(x));
}

static float element(const void *block, enum tw_dtype type, size_t at)
{
    return type == TW_DTYPE_F32 ? ((const float *)block)[at] : tw_bf16_to_f32(((const uint16_t *)block)[at]);
}

/* Scaled score of one key: the chain over pairs of inputs, odd first. */
static float score(const struct tw_attend *a, const float *q, const void *k, enum tw_dtype type, size_t key)
{
    float sum = 0.0f;
    for (size_t d = 0; d < a->head_dim; d += 2) {
        size_t at = d / 2 * (2 * TW_KV_BLOCK) + 2 * key;
        sum       = fmaf(q[d + 1], element(k, type, at + 1), sum);
        sum       = fmaf(q[d], element(k, type, at), sum);
    }
    return sum * a->scale;
}

/* Sixteen lanes, lane l holding keys l, l + 16, ...; then a balanced tree. */
static float sum_of_block(const float p[TW_KV_BLOCK])
{
    float s[16];
    for (size_t l = 0; l < 16; l++) {
        s[l] = ((p[l] + p[l + 16]) + p[l + 32]) + p[l + 48];
    }
    for (size_t width = 8; width > 0; width /= 2) {
        for (size_t l = 0; l < width; l++) {
            s[l] = s[l] + s[l + width];
        }
    }
    return s[0];
}

/* The query as its products take it. */
static void load_query(const struct tw_attend *a, enum tw_dtype type, size_t query, float *q)
{
    const float *from = a->q + query / a->n_heads * a->ldq + query % a->n_heads * a->head_dim;
    for (size_t d = 0; d < a->head_dim; d++) {
        q[d] = type == TW_DTYPE_BF16 ? round_bf16(from[d]) : from[d];
    }
}

static bool sees(uint64_t keys, size_t i)
{
    return i < TW_KV_BLOCK && (keys >> i & 1) != 0;
}

/* o[d] where the visible keys are the first n of the block. */
static float output(const void *v, enum tw_dtype type, size_t head_dim, const float *p, size_t n, size_t d)
{
    float o = 0.0f;
    for (size_t i = 0; i < n; i += 2) {
        size_t at = i / 2 * (2 * head_dim) + 2 * d;
        bool odd  = i + 1 < n;
        o         = fmaf(odd ? p[i + 1] : 0.0f, odd ? element(v, type, at + 1) : 0.0f, o);
        o         = fmaf(p[i], element(v, type, at), o);
    }
    return o;
}

/* o[d] where keys are missing before the last: their terms are left out, and a zero is +0. */
static float output_with_gaps(const void *v, enum tw_dtype type, size_t head_dim, const float *p,
                              uint64_t keys, size_t d)
{
    float o = 0.0f;
    for (size_t i = 0; i < TW_KV_BLOCK; i += 2) {
        size_t at = i / 2 * (2 * head_dim) + 2 * d;
        if (sees(keys, i + 1)) {
            o = fmaf(p[i + 1], element(v, type, at + 1), o);
        }
        if (sees(keys, i)) {
            o = fmaf(p[i], element(v, type, at), o);
        }
    }
    return o + 0.0f;
}

/* The partial of one query (already rounded for bf16 keys) over the visible keys of a block. */
static void attend_block(const struct tw_attend *a, const float *q, const void *k, const void *v,
                         enum tw_dtype type, uint64_t keys, float *out)
{
    float p[TW_KV_BLOCK] = {0};
    float max            = -INFINITY;
    for (size_t i = 0; i < TW_KV_BLOCK; i++) {
        if (sees(keys, i)) {
            p[i] = score(a, q, k, type, i);
            max  = p[i] > max ? p[i] : max;
        }
    }
    for (size_t i = 0; i < TW_KV_BLOCK; i++) {
        p[i] = sees(keys, i) ? tw_exp_one(p[i] - max) : 0.0f;
    }
    out[PARTIAL_MAX] = max;
    out[PARTIAL_SUM] = sum_of_block(p);
    for (size_t i = 0; i < TW_KV_BLOCK && type == TW_DTYPE_BF16; i++) {
        p[i] = round_bf16(p[i]);
    }
    for (size_t d = 0; d < a->head_dim; d++) {
        out[PARTIAL_O + d] = tw_keys_have_gaps(keys) ? output_with_gaps(v, type, a->head_dim, p, keys, d)
                                                     : output(v, type, a->head_dim, p, tw_keys_end(keys), d);
    }
}

void tw_attend_block_scalar(const struct tw_attend *a, enum tw_dtype type, size_t query, size_t j, float *o)
{
    struct partial part;
    float q[TW_MAX_HEAD_DIM];
    load_query(a, type, query, q);
    attend_block(a, q, a->k_blocks[j], a->v_blocks[j], type, tw_attend_keys(a, query / a->n_heads, j),
                 part.f);
    memcpy(o, part.f + PARTIAL_O, a->head_dim * sizeof *o);
}

static void merge(float *into, const float *part, size_t head_dim)
{
    if (part[PARTIAL_SUM] == 0.0f) {
        return;
    }
    if (into[PARTIAL_SUM] == 0.0f) {
        memcpy(into, part, (PARTIAL_O + head_dim) * sizeof *into);
        return;
    }
    float max         = into[PARTIAL_MAX] > part[PARTIAL_MAX] ? into[PARTIAL_MAX] : part[PARTIAL_MAX];
    float c1          = tw_exp_one(into[PARTIAL_MAX] - max);
    float c2          = tw_exp_one(part[PARTIAL_MAX] - max);
    into[PARTIAL_MAX] = max;
    into[PARTIAL_SUM] = fmaf(into[PARTIAL_SUM], c1, part[PARTIAL_SUM] * c2);
    for (size_t d = PARTIAL_O; d < PARTIAL_O + head_dim; d++) {
        into[d] = fmaf(into[d], c1, part[d] * c2);
    }
}

static void attend_query_span(const struct tw_attend *a, enum tw_dtype type, size_t query, size_t span,
                              float *partial)
{
    const size_t end = tw_attend_entry(a, (span + 1) * TW_BLOCKS_PER_SPAN);
    float q[TW_MAX_HEAD_DIM];
    struct partial block;
    load_query(a, type, query, q);
    partial[PARTIAL_SUM] = 0.0f;
    for (size_t j = tw_attend_entry(a, span * TW_BLOCKS_PER_SPAN); j < end; j++) {
        uint64_t keys = tw_attend_keys(a, query / a->n_heads, j);
        if (keys != 0) {
            attend_block(a, q, a->k_blocks[j], a->v_blocks[j], type, keys, block.f);
            merge(partial, block.f, a->head_dim);
        }
    }
}

static void finish(const struct tw_attend *a, size_t query, const float *partial)
{
    float *z = a->z + query / a->n_heads * a->ldz + query % a->n_heads * a->head_dim;
    for (size_t d = 0; d < a->head_dim; d++) {
        z[d] = partial[PARTIAL_O + d] / partial[PARTIAL_SUM];
    }
}

static void attend_span(const struct tw_attend *a, enum tw_dtype type, size_t span, float *partials)
{
    for (size_t query = 0; query < a->n_rows * a->n_heads; query++) {
        attend_query_span(a, type, query, span, partials + query * tw_attend_partial_floats(a->head_dim));
    }
}

static void attend(const struct tw_attend *a, enum tw_dtype type)
{
    const size_t last = tw_attend_number(a, tw_attend_blocks(a) - 1) / TW_BLOCKS_PER_SPAN;
    struct partial total, span;
    for (size_t query = 0; query < a->n_rows * a->n_heads; query++) {
        total.f[PARTIAL_SUM] = 0.0f;
        for (size_t s = 0; s <= last; s++) {
            attend_query_span(a, type, query, s, span.f);
            merge(total.f, span.f, a->head_dim);
        }
        finish(a, query, total.f);
    }
}

static void attend_f32_scalar(const struct tw_attend *a)
{
    attend(a, TW_DTYPE_F32);
}

static void attend_bf16_scalar(const struct tw_attend *a)
{
    attend(a, TW_DTYPE_BF16);
}

static void attend_span_f32_scalar(const struct tw_attend *a, size_t span, float *partials)
{
    attend_span(a, TW_DTYPE_F32, span, partials);
}

static void attend_span_bf16_scalar(const struct tw_attend *a, size_t span, float *partials)
{
    attend_span(a, TW_DTYPE_BF16, span, partials);
}

static void attend_merge_scalar(const struct tw_attend *a, const float *partials, size_t span_stride,
                                size_t n_spans)
{
    struct partial total;
    for (size_t query = 0; query < a->n_rows * a->n_heads; query++) {
        const float *part    = partials + query * tw_attend_partial_floats(a->head_dim);
        total.f[PARTIAL_SUM] = 0.0f;
        for (size_t s = 0; s < n_spans; s++) {
            merge(total.f, part + s * span_stride, a->head_dim);
        }
        finish(a, query, total.f);
    }
}

static bool attend_scores(const struct tw_attend *a, enum tw_dtype type, size_t row, size_t j, float *scores)
{
    uint64_t keys = tw_attend_keys(a, row, j);
    float q[TW_MAX_HEAD_DIM];
    for (size_t h = 0; keys != 0 && h < a->n_heads; h++) {
        load_query(a, type, row * a->n_heads + h, q);
        for (size_t i = 0; i < TW_KV_BLOCK; i++) {
            scores[h * TW_KV_BLOCK + i] = sees(keys, i) ? score(a, q, a->k_blocks[j], type, i) : -INFINITY;
        }
    }
    return keys != 0;
}

static bool attend_scores_f32_scalar(const struct tw_attend *a, size_t row, size_t j, float *scores)
{
    return attend_scores(a, TW_DTYPE_F32, row, j, scores);
}

static bool attend_scores_bf16_scalar(const struct tw_attend *a, size_t row, size_t j, float *scores)
{
    return attend_scores(a, TW_DTYPE_BF16, row, j, scores);
}

/* Everything fits the stack. */
static size_t attend_scratch_scalar(size_t n_queries, size_t head_dim)
{
    (void)n_queries;
    (void)head_dim;
    return 64;
}

static void kv_store_f32_scalar(void *k_block, void *v_block, size_t slot, const float *k, const float *v,
                                size_t head_dim)
{
    float *kb = (float *)k_block + 2 * slot;
    float *vb = (float *)v_block + slot / 2 * (2 * head_dim);
    for (size_t d = 0; d < head_dim; d++) {
        kb[d / 2 * (2 * TW_KV_BLOCK) + d % 2] = k[d];
        vb[2 * d + slot % 2]                  = v[d];
        if (slot % 2 == 0) {
            vb[2 * d + 1] = 0.0f;
        }
    }
}

static void kv_store_bf16_scalar(void *k_block, void *v_block, size_t slot, const float *k, const float *v,
                                 size_t head_dim)
{
    uint16_t *kb = (uint16_t *)k_block + 2 * slot;
    uint16_t *vb = (uint16_t *)v_block + slot / 2 * (2 * head_dim);
    for (size_t d = 0; d < head_dim; d++) {
        kb[d / 2 * (2 * TW_KV_BLOCK) + d % 2] = tw_bf16_from_f32(k[d]);
        vb[2 * d + slot % 2]                  = tw_bf16_from_f32(v[d]);
        if (slot % 2 == 0) {
            vb[2 * d + 1] = 0;
        }
    }
}

void tw_kernels_attend_scalar(struct tw_kernels *k)
{
    k->kv_store_f32         = kv_store_f32_scalar;
    k->kv_store_bf16        = kv_store_bf16_scalar;
    k->attend_f32           = attend_f32_scalar;
    k->attend_bf16          = attend_bf16_scalar;
    k->attend_span_f32      = attend_span_f32_scalar;
    k->attend_span_bf16     = attend_span_bf16_scalar;
    k->attend_merge         = attend_merge_scalar;
    k->attend_scores_f32    = attend_scores_f32_scalar;
    k->attend_scores_bf16   = attend_scores_bf16_scalar;
    k->attend_scratch_bytes = attend_scratch_scalar;
}
