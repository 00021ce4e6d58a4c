/* SPDX-License-Identifier: MIT */
/* Between the projections of a layer: heads are normalised and rotated, keys and values stored, and every
 * query row attends to its own sequence. */
#include "model/model_forward.h"

/* Heads of one row: capture, norm (Qwen3), rotate, and move together when heads are padded. */
static void finish_heads(const struct tw_run *r, float *heads, size_t n, const float *norm, size_t row,
                         bool rotate)
{
    const struct tw_device *d       = r->d;
    const struct tw_model_config *c = &d->model->config;
    size_t half                     = c->head_dim / 2;
    for (size_t h = 0; h < n; h++) {
        float *x = heads + h * d->head_stride;
        if (norm != NULL) {
            d->kernels->rmsnorm(x, x, norm, c->head_dim, c->rms_eps);
        }
        if (rotate) {
            d->kernels->rope(x, d->cos + row * half, d->sin + row * half, c->head_dim);
        }
        if (h > 0 && d->head_stride != c->head_dim) {
            memmove(heads + h * c->head_dim, x, c->head_dim * sizeof(float));
        }
    }
}

/* Heads `kept` of a row that begins with head `first`. A KV head that several devices hold is kept by one. */
static void keep_heads(const struct tw_run *r, const struct tw_capture *c, size_t row, const float *heads,
                       size_t first, struct tw_range kept)
{
    size_t dim = r->d->model->config.head_dim;
    for (size_t h = kept.begin; c != NULL && h < kept.end; h++) {
        tw_run_keep(c, row, h * dim, heads + (h - first) * r->d->head_stride, dim);
    }
}

/* Two positions share a pair of the value block: the thread that has the even one also takes the odd. */
static size_t pair_boundary(const struct tw_run *r, size_t row)
{
    if (row > 0 && row < r->n_rows) {
        const struct tw_segment *s = &r->segments[r->step->row_segment[row]];
        if (row > s->row && (s->position + row - s->row) % 2 == 1) {
            return row + 1;
        }
    }
    return row;
}

void tw_run_rotate_and_store(const struct tw_run *r, size_t layer)
{
    struct tw_device *d             = r->d;
    const struct tw_model_config *c = &d->model->config;
    const struct tw_layer *l        = &d->model->layers[layer];
    size_t n_q = tw_range_size(d->shard.q_heads), n_kv = tw_range_size(d->shard.kv_heads);
    const struct tw_capture *site_q = tw_run_capture(r, TW_SITE_Q, layer),
                            *site_k = tw_run_capture(r, TW_SITE_K, layer);
    const struct tw_capture *site_v = tw_run_capture(r, TW_SITE_V, layer);
    tw_kv_store_fn *store =
        d->kv.dtype == TW_DTYPE_BF16 ? d->kernels->kv_store_bf16 : d->kernels->kv_store_f32;
    size_t begin, end;
    tw_split(r->n_rows, r->thread, r->n_threads, &begin, &end);
    begin = pair_boundary(r, begin);
    end   = pair_boundary(r, end);
    for (size_t row = begin; row < end; row++) {
        const struct tw_segment *s = &r->segments[r->step->row_segment[row]];
        size_t position            = s->position + row - s->row;
        size_t page                = tw_segment_page(s, position);
        float *q                   = d->q + row * n_q * d->head_stride;
        float *k                   = d->k + row * n_kv * d->head_stride;
        float *v                   = d->v + row * n_kv * d->head_stride;
        keep_heads(r, site_q, row, q, d->shard.q_heads.begin, d->shard.q_heads);
        keep_heads(r, site_k, row, k, d->shard.kv_heads.begin, d->shard.own_kv_heads);
        keep_heads(r, site_v, row, v, d->shard.kv_heads.begin, d->shard.own_kv_heads);
        finish_heads(r, q, n_q, l->q_norm, row, true);
        finish_heads(r, k, n_kv, l->k_norm, row, true);
        finish_heads(r, v, n_kv, NULL, row, false);
        for (size_t h = 0; h < n_kv; h++) {
            store(tw_kv_keys(&d->kv, layer, page, h), tw_kv_values(&d->kv, layer, page, h),
                  position % TW_KV_BLOCK, k + h * c->head_dim, v + h * c->head_dim, c->head_dim);
        }
    }
}

struct tw_attend tw_run_attend_rows(const struct tw_run *r, size_t layer, const struct tw_segment *s,
                                    size_t first, size_t n, size_t kv, uint8_t *memory, size_t *head)
{
    struct tw_device *d             = r->d;
    const struct tw_model_config *c = &d->model->config;
    size_t group                    = c->n_heads / c->n_kv_heads;
    size_t global                   = d->shard.kv_heads.begin + kv;
    size_t h0                       = tw_max_size(d->shard.q_heads.begin, global * group);
    size_t h1                       = tw_min_size(d->shard.q_heads.end, (global + 1) * group);
    size_t n_q                      = tw_range_size(d->shard.q_heads);
    size_t end                      = s->position + first + n; /* causal: keys seen by the last row */
    size_t blocks                   = s->visible == NULL ? tw_ceil_div(end, TW_KV_BLOCK) : s->n_blocks;

    const void **keys   = (const void **)memory;
    const void **values = keys + blocks;
    for (size_t b = 0; b < blocks; b++) {
        keys[b]   = tw_kv_keys(&d->kv, layer, s->pages[b], kv);
        values[b] = tw_kv_values(&d->kv, layer, s->pages[b], kv);
    }
    size_t row = s->row + first, local = h0 - d->shard.q_heads.begin;
    *head = h0;
    return (struct tw_attend){
        .q        = d->q + row * n_q * d->head_stride + local * c->head_dim,
        .ldq      = n_q * d->head_stride,
        .n_rows   = n,
        .position = s->position + first,
        .n_heads  = h1 - h0,
        .head_dim = c->head_dim,
        .scale    = d->score_scale,
        .k_blocks = keys,
        .v_blocks = values,
        .visible  = s->visible == NULL ? NULL : s->visible + first * s->n_blocks,
        .blocks   = s->blocks,
        .n_blocks = s->visible == NULL ? blocks : s->n_blocks,
        .z        = d->z + (row * n_q + local) * c->head_dim,
        .ldz      = n_q * c->head_dim,
        .scratch  = memory + tw_round_up(2 * blocks * sizeof(void *), 64),
    };
}

static void attend_rows(const struct tw_run *r, size_t layer, const struct tw_segment *s, size_t first,
                        size_t n, size_t kv)
{
    const struct tw_device *d = r->d;
    uint8_t *memory           = tw_run_scratch(r) + tw_run_norm_bytes(d->kernels, &d->model->config);
    size_t head               = 0;
    const struct tw_attend a  = tw_run_attend_rows(r, layer, s, first, n, kv, memory, &head);
    (d->kv.dtype == TW_DTYPE_BF16 ? d->kernels->attend_bf16 : d->kernels->attend_f32)(&a);
}

/* Tasks are (segment, KV head, tile of rows), numbered in that order; a segment's last tiles see the most
 * keys and come first. */
void tw_run_attend(const struct tw_run *r, size_t layer)
{
    struct tw_device *d = r->d;
    size_t n_kv         = tw_range_size(d->shard.kv_heads);
    size_t base = 0, task = atomic_fetch_add_explicit(&d->next_attend, 1, memory_order_relaxed);
    for (size_t i = 0; i < r->n_segments; i++) {
        const struct tw_segment *s = &r->segments[i];
        size_t tiles               = tw_ceil_div(s->n_rows, TW_ATTEND_ROWS);
        while (task - base < tiles * n_kv) {
            size_t tile  = tiles - 1 - (task - base) / n_kv;
            size_t first = tile * TW_ATTEND_ROWS;
            attend_rows(r, layer, s, first, tw_min_size(TW_ATTEND_ROWS, s->n_rows - first),
                        (task - base) % n_kv);
            task = atomic_fetch_add_explicit(&d->next_attend, 1, memory_order_relaxed);
        }
        base += tiles * n_kv;
    }
}

void tw_run_keep_z(const struct tw_run *r, size_t layer)
{
    const struct tw_device *d     = r->d;
    const struct tw_capture *site = tw_run_capture(r, TW_SITE_Z, layer);
    size_t dim = d->model->config.head_dim, n = tw_range_size(d->shard.q_heads) * dim, begin, end;
    tw_split(r->n_rows, r->thread, r->n_threads, &begin, &end);
    for (size_t row = begin; site != NULL && row < end; row++) {
        tw_run_keep(site, row, d->shard.q_heads.begin * dim, d->z + row * n, n);
    }
}
