/* SPDX-License-Identifier: MIT */
/* Row operations by sixteen lanes. Include after kernels_vec_<isa>.h and kernels_v16_math.h. */
#ifndef TW_KERNELS_ROWS_V16_H
#define TW_KERNELS_ROWS_V16_H

#include "kernels/kernels_levels.h"

static void rmsnorm_v16(float *y, const float *x, const float *w, size_t n, double eps)
{
    v8d s        = v8d_zero();
    size_t whole = n & ~(size_t)7, full = n & ~(size_t)15;
    for (size_t i = 0; i < whole; i += 8) {
        v8d v = v8d_from_f32(x + i);
        s     = v8d_add(s, v8d_mul(v, v));
    }
    if (n > whole) {
        float t[8] = {0};
        memcpy(t, x + whole, (n - whole) * sizeof *t);
        v8d v = v8d_from_f32(t);
        s     = v8d_add(s, v8d_mul(v, v));
    }
    const v16 r = v16_set1((float)(1.0 / sqrt(v8d_sum(s) / (double)n + eps)));
    for (size_t i = 0; i < full; i += 16) {
        v16_store(y + i, v16_mul(v16_mul(v16_load(x + i), r), v16_load(w + i)));
    }
    if (n > full) {
        v16 v = v16_mul(v16_mul(v16_load_n(x + full, n - full), r), v16_load_n(w + full, n - full));
        v16_store_n(y + full, v, n - full);
    }
}

static inline void rope_lanes(float *x, float *half, const float *cos, const float *sin, size_t n)
{
    v16 a = v16_load_n(x, n), b = v16_load_n(half, n), c = v16_load_n(cos, n), s = v16_load_n(sin, n);
    v16_store_n(x, v16_sub(v16_mul(a, c), v16_mul(b, s)), n);
    v16_store_n(half, v16_add(v16_mul(b, c), v16_mul(a, s)), n);
}

static void rope_v16(float *x, const float *cos, const float *sin, size_t head_dim)
{
    const size_t n = head_dim / 2, full = n & ~(size_t)15;
    for (size_t i = 0; i < full; i += 16) {
        rope_lanes(x + i, x + n + i, cos + i, sin + i, 16);
    }
    if (n > full) {
        rope_lanes(x + full, x + n + full, cos + full, sin + full, n - full);
    }
}

static void add_v16(float *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16_store(y + i, v16_add(v16_load(y + i), v16_load(x + i)));
    }
    if (i < n) {
        v16_store_n(y + i, v16_add(v16_load_n(y + i, n - i), v16_load_n(x + i, n - i)), n - i);
    }
}

static void widen_v16(float *y, const uint16_t *x, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16_store(y + i, v16_load_bf16(x + i));
    }
    for (; i < n; i++) {
        y[i] = tw_bf16_to_f32(x[i]);
    }
}

static void narrow_v16(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16_store_bf16(y + i, v16_round_bf16(v16_load(x + i)));
    }
    for (; i < n; i++) {
        y[i] = tw_bf16_from_f32(x[i]);
    }
}

/* Largest lane of a row, -inf if all are NaN. */
static float largest(const float *x, size_t n)
{
    v16 m[4];
    size_t i = 0;
    for (int j = 0; j < 4; j++) {
        m[j] = v16_set1(-INFINITY);
    }
    for (; i + 64 <= n; i += 64) {
        for (size_t j = 0; j < 4; j++) {
            m[j] = v16_max(v16_load(x + i + 16 * j), m[j]);
        }
    }
    for (; i < n; i += 16) {
        const size_t left = n - i < 16 ? n - i : 16;
        m[0]              = v16_max(v16_fill_from(v16_load_n(x + i, left), left, -INFINITY), m[0]);
    }
    return v16_largest(v16_max(v16_max(m[0], m[1]), v16_max(m[2], m[3])));
}

static void argmax_v16(const float *x, size_t n, float *max, size_t *index)
{
    const float m   = largest(x, n);
    const v16 every = v16_set1(m);
    size_t i        = 0;
    uint32_t found  = 0;
    for (; i < n; i += 16) {
        const size_t left = n - i < 16 ? n - i : 16;
        found             = v16_equal(left == 16 ? v16_load(x + i) : v16_load_n(x + i, left), every);
        found &= (1u << left) - 1u;
        if (found != 0) {
            break;
        }
    }
    *index = found != 0 ? i + (size_t)__builtin_ctz(found) : 0;
    *max   = x[*index];
}

struct softmax_lanes {
    v8d e, ed, edd;
};

static inline void softmax_add(struct softmax_lanes *s, v8d e, v8d d)
{
    v8d ed = v8d_mul(e, d);
    s->e   = v8d_add(s->e, e);
    s->ed  = v8d_add(s->ed, ed);
    s->edd = v8d_add(s->edd, v8d_mul(ed, d));
}

/* Sixteen elements, of which n count: two steps of the eight lanes. */
static inline void softmax_step(struct softmax_lanes *s, v16 x, v16 max, size_t n)
{
    v16 d = v16_sub(x, max), e = v16_exp(d);
    e = n == 16 ? e : v16_fill_from(e, n, 0.0f);
    d = v16_if_above(e, v16_zero(), d, v16_zero()); /* where e is 0, d may be -inf: such a term is 0, too */
    softmax_add(s, v8d_low(e), v8d_low(d));
    if (n > 8) {
        softmax_add(s, v8d_high(e), v8d_high(d));
    }
}

static void softmax_sums_v16(const float *x, size_t n, float max, double out[3])
{
    const v16 every = v16_set1(max);
    out[0] = out[1] = out[2] = 0.0;
    for (size_t begin = 0; begin < n; begin += TW_SUM_BLOCK) {
        struct softmax_lanes s = {v8d_zero(), v8d_zero(), v8d_zero()};
        const size_t end       = n - begin > TW_SUM_BLOCK ? begin + TW_SUM_BLOCK : n;
        size_t i               = begin;
        for (; i + 16 <= end; i += 16) {
            softmax_step(&s, v16_load(x + i), every, 16);
        }
        if (i < end) {
            softmax_step(&s, v16_load_n(x + i, end - i), every, end - i);
        }
        out[0] += v8d_sum(s.e);
        out[1] += v8d_sum(s.ed);
        out[2] += v8d_sum(s.edd);
    }
}

static void exp_v16(float *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16_store(y + i, v16_exp(v16_load(x + i)));
    }
    if (i < n) {
        v16_store_n(y + i, v16_exp(v16_load_n(x + i, n - i)), n - i);
    }
}

static void swiglu_v16(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const size_t left = n - i < 16 ? n - i : 16;
        if (left == 16) {
            v16_store(y + i, v16_mul(v16_silu(v16_load(gate + i)), v16_load(up + i)));
        } else {
            v16_store_n(y + i, v16_mul(v16_silu(v16_load_n(gate + i, left)), v16_load_n(up + i, left)), left);
        }
    }
}

/* A position's keys go to as many cache lines as it has pairs of inputs; what is saved is the rounding one by
 * one. */
static void kv_store_bf16_v16(void *k_block, void *v_block, size_t slot, const float *k, const float *v,
                              size_t head_dim)
{
    uint16_t rounded[TW_MAX_HEAD_DIM];
    uint32_t *keys   = (uint32_t *)k_block + slot;
    uint32_t *values = (uint32_t *)v_block + slot / 2 * head_dim;
    narrow_v16(rounded, k, head_dim);
    for (size_t pair = 0; pair < head_dim / 2; pair++) {
        memcpy(keys + pair * TW_KV_BLOCK, rounded + 2 * pair, sizeof *keys);
    }
    narrow_v16(rounded, v, head_dim);
    if (slot % 2 == 0) {
        for (size_t d = 0; d < head_dim; d++) {
            values[d] = rounded[d];
        }
    } else {
        for (size_t d = 0; d < head_dim; d++) {
            values[d] = (values[d] & 0xFFFF) | (uint32_t)rounded[d] << 16;
        }
    }
}

static void rows_v16(struct tw_kernels *k)
{
    k->kv_store_bf16 = kv_store_bf16_v16;
    k->rmsnorm       = rmsnorm_v16;
    k->rope          = rope_v16;
    k->add           = add_v16;
    k->widen         = widen_v16;
    k->narrow        = narrow_v16;
    k->argmax        = argmax_v16;
    k->softmax_sums  = softmax_sums_v16;
    k->exp           = exp_v16;
    k->swiglu        = swiglu_v16;
}

#endif /* TW_KERNELS_ROWS_V16_H */
