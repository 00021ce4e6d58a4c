/* SPDX-License-Identifier: MIT */
/* The forward pass of one device, stage by stage; a barrier of the device's threads between stages. What a
 * value is depends only on its own sequence (docs/numerics.md); everything here is about who computes it. */
#include "model/model_forward.h"

#include <string.h>

size_t tw_forward_scratch_bytes(const struct tw_kernels *k, const struct tw_model_config *c, size_t group,
                                size_t blocks, bool compressed)
{
    size_t longest = tw_max_size(tw_max_size(c->hidden, c->intermediate), c->n_heads * c->head_dim);
    size_t attend  = tw_round_up(k->attend_scratch_bytes(TW_ATTEND_ROWS * group, c->head_dim), 64);
    size_t rows    = tw_run_norm_bytes(k, c) + attend + tw_round_up(2 * blocks * sizeof(void *), 64);
    rows           = tw_max_size(rows, tw_attention_stats_bytes(k, c, group, blocks));
    return tw_max_size(rows, tw_matmul_scratch_bytes(longest, compressed));
}

static void meet(const struct tw_run *r)
{
    if (r->n_threads > 1) {
        tw_barrier_wait(&r->d->barrier);
    }
}

/* ---- captures ---- */

static void keep_replicated(const struct tw_run *r, const struct tw_capture *c, size_t row, const float *from)
{
    if (r->d->shard.rank == 0) {
        tw_run_keep(c, row, 0, from, r->d->model->config.hidden);
    }
}

/* ---- matmuls ---- */

/* The weight from a panel and an input on; what is compressed can only be entered at a panel's beginning. */
static const void *panels_at(const struct tw_model *m, const struct tw_linear *l, size_t panel, size_t input,
                             struct tw_codes *codes)
{
    if (l->codes.upper != NULL) {
        *codes = (struct tw_codes){.upper = l->codes.upper + panel * TW_UPPER_BYTES,
                                   .first = l->codes.first + panel,
                                   .group = l->codes.group,
                                   .plain = l->codes.plain};
        return (const uint8_t *)l->panels + panel * tw_compressed_bytes(l->k);
    }
    size_t elements = panel * tw_panel_elements(l->k) + input * TW_PANEL;
    *codes          = (struct tw_codes){0};
    return (const uint8_t *)l->panels + elements * tw_dtype_bytes(m->weight);
}

static const uint32_t *one_leaf(uint32_t *slot, size_t k)
{
    *slot = (uint32_t)k;
    return slot;
}

/* A thread's scratch is free while it is in a matmul. */
static void set_scratch(struct tw_matmul *mm, const struct tw_device *d)
{
    mm->scratch       = d->thread_scratch;
    mm->scratch_bytes = d->thread_scratch_bytes;
}

/* Column-parallel: panels [panel, ...) of the layer, all inputs, one leaf. */
static void set_columns(struct tw_run *r, enum tw_device_matmul which, const struct tw_linear *l,
                        const void *rows, size_t panel, size_t n, float *y, size_t ldy)
{
    struct tw_device *d  = r->d;
    struct tw_matmul *mm = &d->matmul[which];
    mm->rows             = rows;
    mm->m                = r->n_rows;
    mm->k                = l->k;
    mm->w                = panels_at(d->model, l, panel, 0, &mm->codes);
    mm->first_pair       = 0;
    mm->w2               = NULL;
    mm->panel_stride     = tw_panel_elements(l->k);
    mm->n                = n;
    mm->n_leaves         = 1;
    mm->leaf_end         = one_leaf(&d->whole_leaf[which], l->k);
    mm->bias             = l->bias == NULL ? NULL : l->bias + panel * TW_PANEL;
    mm->epilogue         = TW_EPILOGUE_STORE;
    mm->y                = y;
    mm->ldy              = ldy;
    mm->packed_out       = NULL;
    set_scratch(mm, d);
    atomic_store_explicit(&mm->next, 0, memory_order_relaxed);
}

/* Row-parallel: all outputs, inputs [input, input + k), this device's leaves. Alone and with nobody asking
 * for the sum itself, it goes straight into the residual stream. */
static void set_rows(struct tw_run *r, enum tw_device_matmul which, const struct tw_linear *l,
                     const void *rows, size_t input, size_t k, const uint32_t *leaf_end, bool keep_sum)
{
    struct tw_device *d  = r->d;
    struct tw_matmul *mm = &d->matmul[which];
    bool alone           = d->config.degree == 1;
    mm->rows             = rows;
    mm->m                = r->n_rows;
    mm->k                = k;
    mm->w                = panels_at(d->model, l, 0, input, &mm->codes);
    mm->first_pair       = mm->codes.upper == NULL ? 0 : input / 2;
    mm->w2               = NULL;
    mm->panel_stride     = tw_panel_elements(l->k);
    mm->n                = l->n;
    mm->n_leaves         = (int)tw_range_size(d->shard.leaves);
    mm->leaf_end         = leaf_end;
    mm->bias             = alone ? l->bias : NULL;
    mm->epilogue         = alone && !keep_sum ? TW_EPILOGUE_ADD : TW_EPILOGUE_STORE;
    mm->y                = alone ? (keep_sum ? d->sum : d->x) : d->partial[d->turn];
    mm->ldy              = l->n;
    mm->packed_out       = NULL;
    set_scratch(mm, d);
    atomic_store_explicit(&mm->next, 0, memory_order_relaxed);
}

static void matmul(struct tw_run *r, enum tw_device_matmul which)
{
    const struct tw_kernels *k = r->d->kernels;
    struct tw_matmul *mm       = &r->d->matmul[which];
    if (mm->m == 0 || mm->n == 0 || mm->k == 0) {
        return; /* this device owns nothing here; it tells the others so in the exchange */
    }
    if (r->d->model->compute == TW_DTYPE_BF16) {
        k->matmul_bf16(mm, r->thread, r->n_threads);
    } else if (r->d->model->weight == TW_DTYPE_BF16) {
        k->matmul_f32_bf16(mm, r->thread, r->n_threads);
    } else {
        k->matmul_f32_f32(mm, r->thread, r->n_threads);
    }
}

static tw_pack_rows_fn *pack_fn(const struct tw_run *r)
{
    const struct tw_kernels *k = r->d->kernels;
    return r->d->model->compute == TW_DTYPE_BF16 ? k->pack_bf16 : k->pack_f32;
}

static void *block_at(void *packed, size_t first_row, size_t k)
{
    return (uint8_t *)packed + first_row * tw_packed_k(k) * sizeof(float);
}

/* Pack rows of width k, this thread's blocks of them. */
static void pack_rows(const struct tw_run *r, void *packed, const float *x, size_t ldx, size_t k)
{
    size_t tile = r->d->kernels->tile_rows, begin, end;
    tw_split(tw_row_blocks(r->n_rows, tile), r->thread, r->n_threads, &begin, &end);
    for (size_t b = begin; b < end; b++) {
        struct tw_row_block block = tw_row_block(r->n_rows, tile, b);
        pack_fn(r)(block_at(packed, block.begin, k), x + block.begin * ldx, ldx, block.rows, k);
    }
}

/* ---- the residual stream ---- */

static const float *bias_of_pending(const struct tw_run *r, size_t layer, bool of_mlp)
{
    const struct tw_layer *l = &r->d->model->layers[layer];
    return of_mlp ? l->down.bias : l->o.bias;
}

/* Bring a row-parallel sum into rows [begin, end) of x, if it is not there yet. */
static void finish_sum(const struct tw_run *r, size_t layer, bool of_mlp, size_t begin, size_t end)
{
    struct tw_device *d              = r->d;
    size_t hidden                    = d->model->config.hidden;
    const float *bias                = bias_of_pending(r, layer, of_mlp);
    const struct tw_capture *capture = tw_run_capture(r, of_mlp ? TW_SITE_MLP_OUT : TW_SITE_ATTN_OUT, layer);
    bool alone                       = d->config.degree == 1;
    if (alone && capture == NULL) {
        return; /* the matmul added it */
    }
    if (!alone && capture == NULL && bias == NULL) {
        tw_comm_reduce_add(d->config.comm, d->x, begin * hidden, end * hidden);
        return;
    }
    if (!alone) {
        tw_comm_reduce(d->config.comm, d->sum, begin * hidden, end * hidden);
    }
    for (size_t row = begin; row < end; row++) {
        float *sum = d->sum + row * hidden;
        if (!alone && bias != NULL) {
            d->kernels->add(sum, bias, hidden);
        }
        keep_replicated(r, capture, row, sum);
        d->kernels->add(d->x + row * hidden, sum, hidden);
    }
}

/* After a row-parallel matmul: the exchange between devices. Every thread of the device returns the same. */
static trawl_status exchange(struct tw_run *r, bool contributes)
{
    struct tw_device *d = r->d;
    meet(r);
    if (d->config.degree == 1) {
        return TRAWL_OK;
    }
    if (r->thread == 0) {
        size_t n            = r->n_rows * d->model->config.hidden;
        trawl_status status = tw_comm_publish(d->config.comm, d->partial[d->turn], contributes, n, &d->error);
        if (status == TRAWL_OK) {
            status = tw_comm_wait(d->config.comm, &d->error);
        }
        d->turn ^= 1;
        atomic_store_explicit(&d->failed, (int)status, memory_order_relaxed);
    }
    meet(r);
    return (trawl_status)atomic_load_explicit(&d->failed, memory_order_relaxed);
}

/* Complete the residual rows of the stage before, capture them, normalise and pack them for the next
 * matmul. */
struct norm_stage {
    bool has_sum;                              /* a sum of the layer below is to be finished ... */
    size_t sum_layer;                          /* ... of this layer ... */
    bool sum_of_mlp;                           /* ... by down_proj, else o_proj */
    const float *weight;                       /* of the norm */
    const struct tw_capture *before, *before2; /* sites that see x at this point */
};

static void normalise(const struct tw_run *r, const struct norm_stage *s)
{
    struct tw_device *d = r->d;
    size_t hidden       = d->model->config.hidden;
    size_t tile         = d->kernels->tile_rows, begin, end;
    float *rows         = (float *)tw_run_scratch(r);
    tw_split(tw_row_blocks(r->n_rows, tile), r->thread, r->n_threads, &begin, &end);
    for (size_t b = begin; b < end; b++) {
        struct tw_row_block block = tw_row_block(r->n_rows, tile, b);
        if (s->has_sum) {
            finish_sum(r, s->sum_layer, s->sum_of_mlp, block.begin, block.begin + block.rows);
        }
        for (size_t i = 0; i < block.rows; i++) {
            const float *x = d->x + (block.begin + i) * hidden;
            keep_replicated(r, s->before, block.begin + i, x);
            keep_replicated(r, s->before2, block.begin + i, x);
            d->kernels->rmsnorm(rows + i * hidden, x, s->weight, hidden, d->model->config.rms_eps);
        }
        pack_fn(r)(block_at(d->packed_in, block.begin, hidden), rows, hidden, block.rows, hidden);
    }
}

/* ---- embedding ---- */

static void embed(const struct tw_run *r)
{
    struct tw_device *d             = r->d;
    const struct tw_model_config *c = &d->model->config;
    const struct tw_capture *site   = tw_run_capture(r, TW_SITE_EMBED, 0);
    size_t half                     = c->head_dim / 2, begin, end;
    tw_split(r->n_rows, r->thread, r->n_threads, &begin, &end);
    for (size_t row = begin; row < end; row++) {
        const struct tw_segment *s = &r->segments[r->step->row_segment[row]];
        tw_model_embed(d->model, d->kernels, r->step->tokens[row], d->x + row * c->hidden);
        keep_replicated(r, site, row, d->x + row * c->hidden);
        tw_rope_angles(d->model->inverse_frequency, half, s->position + row - s->row, d->cos + row * half,
                       d->sin + row * half);
    }
}

/* ---- the MLP when its middle is captured ---- */

static void middle_apart(const struct tw_run *r, size_t layer)
{
    struct tw_device *d = r->d;
    size_t n = tw_range_size(d->shard.intermediate), column = d->shard.intermediate.begin;
    const struct tw_capture *pre    = tw_run_capture(r, TW_SITE_MLP_PRE, layer);
    const struct tw_capture *linear = tw_run_capture(r, TW_SITE_MLP_PRE_LINEAR, layer);
    const struct tw_capture *post   = tw_run_capture(r, TW_SITE_MLP_POST, layer);
    size_t tile                     = d->kernels->tile_rows, begin, end;
    tw_split(tw_row_blocks(r->n_rows, tile), r->thread, r->n_threads, &begin, &end);
    for (size_t b = begin; n > 0 && b < end; b++) {
        struct tw_row_block block = tw_row_block(r->n_rows, tile, b);
        for (size_t row = block.begin; row < block.begin + block.rows; row++) {
            float *gate = d->gate + row * n, *up = d->up + row * n;
            tw_run_keep(pre, row, column, gate, n);
            tw_run_keep(linear, row, column, up, n);
            d->kernels->swiglu(gate, gate, up, n);
            tw_run_keep(post, row, column, gate, n);
        }
        pack_fn(r)(block_at(d->packed_mid, block.begin, n), d->gate + block.begin * n, n, block.rows, n);
    }
}

static bool middle_captured(const struct tw_run *r, size_t layer)
{
    return tw_run_capture(r, TW_SITE_MLP_PRE, layer) != NULL ||
           tw_run_capture(r, TW_SITE_MLP_PRE_LINEAR, layer) != NULL ||
           tw_run_capture(r, TW_SITE_MLP_POST, layer) != NULL;
}

/* ---- one layer ---- */

static void set_qkv(struct tw_run *r, const struct tw_layer *l)
{
    struct tw_device *d = r->d;
    struct tw_range q = d->shard.q_heads, kv = d->shard.kv_heads;
    size_t per_head = l->q.group_panels;
    size_t n_q = tw_range_size(q) * d->head_stride, n_kv = tw_range_size(kv) * d->head_stride;
    set_columns(r, TW_MATMUL_Q, &l->q, d->packed_in, q.begin * per_head, n_q, d->q, n_q);
    set_columns(r, TW_MATMUL_K, &l->k, d->packed_in, kv.begin * per_head, n_kv, d->k, n_kv);
    set_columns(r, TW_MATMUL_V, &l->v, d->packed_in, kv.begin * per_head, n_kv, d->v, n_kv);
}

static void set_mlp(struct tw_run *r, const struct tw_layer *l, bool apart, bool keep_sum)
{
    struct tw_device *d = r->d;
    struct tw_range c   = d->shard.intermediate;
    size_t n = tw_range_size(c), panel = c.begin / TW_PANEL;
    if (apart) {
        set_columns(r, TW_MATMUL_GATE, &l->gate, d->packed_in, panel, n, d->gate, n);
        set_columns(r, TW_MATMUL_UP, &l->up, d->packed_in, panel, n, d->up, n);
    } else {
        struct tw_matmul *mm = &d->matmul[TW_MATMUL_GATE_UP];
        set_columns(r, TW_MATMUL_GATE_UP, &l->gate, d->packed_in, panel, n, NULL, 0);
        mm->w2         = panels_at(d->model, &l->up, panel, 0, &mm->codes2);
        mm->epilogue   = TW_EPILOGUE_SWIGLU;
        mm->packed_out = d->packed_mid;
    }
    set_rows(r, TW_MATMUL_DOWN, &l->down, d->packed_mid, c.begin, n, d->leaf_end[1], keep_sum);
}

/* In the last layer only the rows whose logits are wanted go on, unless someone looks at the others: their
 * keys and values are stored by now, and nothing else of them is used. */
static void narrow(struct tw_run *r)
{
    struct tw_device *d        = r->d;
    const struct tw_step *step = r->step;
    size_t hidden = d->model->config.hidden, n_q = tw_range_size(d->shard.q_heads) * d->head_stride;
    if (step->n_captures > 0 || step->n_logit_rows == r->n_rows) {
        return;
    }
    if (r->thread == 0) {
        for (size_t i = 0; i < step->n_logit_rows; i++) {
            size_t row                 = step->logit_rows[i];
            const struct tw_segment *s = &r->segments[step->row_segment[row]];
            d->narrow[i]               = tw_segment_row(s, row - s->row, i);
            if (row != i) {
                memcpy(d->x + i * hidden, d->x + row * hidden, hidden * sizeof(float));
                memcpy(d->q + i * n_q, d->q + row * n_q, n_q * sizeof(float));
            }
        }
    }
    r->n_rows     = step->n_logit_rows;
    r->segments   = d->narrow;
    r->n_segments = step->n_logit_rows;
    r->narrowed   = true;
    meet(r);
}

static trawl_status attention_half(struct tw_run *r, size_t layer)
{
    struct tw_device *d      = r->d;
    const struct tw_layer *l = &d->model->layers[layer];
    size_t heads             = tw_range_size(d->shard.q_heads) * d->model->config.head_dim;

    struct norm_stage s = {
        .has_sum    = layer > 0,
        .sum_layer  = layer > 0 ? layer - 1 : 0,
        .sum_of_mlp = true,
        .weight     = l->input_norm,
        .before     = tw_run_capture(r, TW_SITE_RESID_PRE, layer),
        .before2    = layer > 0 ? tw_run_capture(r, TW_SITE_RESID_POST, layer - 1) : NULL,
    };
    normalise(r, &s);
    if (r->thread == 0) {
        set_qkv(r, l);
        atomic_store_explicit(&d->next_attend, 0, memory_order_relaxed);
    }
    meet(r);
    matmul(r, TW_MATMUL_Q);
    matmul(r, TW_MATMUL_K);
    matmul(r, TW_MATMUL_V);
    meet(r);
    tw_run_rotate_and_store(r, layer);
    meet(r);
    if (r->step->attention.wanted) {
        tw_run_attention_stats(r, layer);
        meet(r); /* of rows that the next line may leave out, too */
    }
    if (layer + 1 == d->model->config.n_layers) {
        narrow(r);
    }
    tw_run_attend(r, layer);
    if (r->thread == 0) {
        set_rows(r, TW_MATMUL_O, &l->o, d->packed_in, d->shard.q_heads.begin * d->model->config.head_dim,
                 heads, d->leaf_end[0], tw_run_capture(r, TW_SITE_ATTN_OUT, layer) != NULL);
    }
    meet(r);
    tw_run_keep_z(r, layer);
    pack_rows(r, d->packed_in, d->z, heads, heads);
    meet(r);
    matmul(r, TW_MATMUL_O);
    return exchange(r, heads > 0);
}

static trawl_status mlp_half(struct tw_run *r, size_t layer)
{
    struct tw_device *d      = r->d;
    const struct tw_layer *l = &d->model->layers[layer];
    bool apart               = middle_captured(r, layer);

    struct norm_stage s = {
        .has_sum   = true,
        .sum_layer = layer,
        .weight    = l->post_norm,
        .before    = tw_run_capture(r, TW_SITE_RESID_MID, layer),
    };
    normalise(r, &s);
    if (r->thread == 0) {
        set_mlp(r, l, apart, tw_run_capture(r, TW_SITE_MLP_OUT, layer) != NULL);
    }
    meet(r);
    if (apart) {
        matmul(r, TW_MATMUL_GATE);
        matmul(r, TW_MATMUL_UP);
        meet(r);
        middle_apart(r, layer);
    } else {
        matmul(r, TW_MATMUL_GATE_UP);
    }
    meet(r);
    matmul(r, TW_MATMUL_DOWN);
    return exchange(r, tw_range_size(d->shard.intermediate) > 0);
}

/* ---- after the last layer ---- */

/* Layers to run. */
static size_t depth(const struct tw_run *r)
{
    const struct tw_model_config *c = &r->d->model->config;
    size_t deepest                  = 0;
    for (size_t i = 0; r->step->shallow && i < r->step->n_captures; i++) {
        deepest = tw_max_size(deepest, tw_site_depth(r->step->captures[i].site, c));
    }
    return r->step->shallow ? deepest : c->n_layers;
}

/* Complete the residual rows after so many layers, then the final norm of the rows that someone wants. */
static void finish_rows(const struct tw_run *r, size_t layers)
{
    struct tw_device *d           = r->d;
    size_t hidden                 = d->model->config.hidden, begin, end;
    bool all                      = layers == d->model->config.n_layers;
    const struct tw_capture *post = layers == 0 ? NULL : tw_run_capture(r, TW_SITE_RESID_POST, layers - 1);
    const struct tw_capture *pre  = all ? NULL : tw_run_capture(r, TW_SITE_RESID_PRE, layers);
    const struct tw_capture *norm = all ? tw_run_capture(r, TW_SITE_FINAL_NORM, 0) : NULL;
    float *row_scratch            = (float *)tw_run_scratch(r);
    tw_split(r->n_rows, r->thread, r->n_threads, &begin, &end);
    if (begin < end && layers > 0) {
        finish_sum(r, layers - 1, true, begin, end);
    }
    for (size_t row = begin; row < end; row++) {
        const float *x = d->x + row * hidden;
        keep_replicated(r, post, row, x);
        keep_replicated(r, pre, row, x);
        if (norm != NULL) {
            d->kernels->rmsnorm(row_scratch, x, d->model->final_norm, hidden, d->model->config.rms_eps);
            keep_replicated(r, norm, row, row_scratch);
        }
    }
}

static void head(struct tw_run *r)
{
    struct tw_device *d        = r->d;
    const struct tw_step *step = r->step;
    size_t hidden = d->model->config.hidden, tile = d->kernels->tile_rows, begin, end;
    size_t n    = step->n_logit_rows;
    float *rows = (float *)tw_run_scratch(r);
    tw_split(tw_row_blocks(n, tile), r->thread, r->n_threads, &begin, &end);
    for (size_t b = begin; b < end; b++) {
        struct tw_row_block block = tw_row_block(n, tile, b);
        for (size_t i = 0; i < block.rows; i++) {
            size_t row = r->narrowed ? block.begin + i : step->logit_rows[block.begin + i];
            d->kernels->rmsnorm(rows + i * hidden, d->x + row * hidden, d->model->final_norm, hidden,
                                d->model->config.rms_eps);
        }
        pack_fn(r)(block_at(d->packed_in, block.begin, hidden), rows, hidden, block.rows, hidden);
    }
    r->n_rows = n;
    if (r->thread == 0) {
        struct tw_range vocab = d->shard.vocab;
        set_columns(r, TW_MATMUL_HEAD, &d->model->head, d->packed_in, vocab.begin / TW_PANEL,
                    tw_range_size(vocab), step->logits + vocab.begin, d->model->config.vocab);
    }
    meet(r);
    matmul(r, TW_MATMUL_HEAD);
}

trawl_status tw_device_forward(struct tw_device *d, const struct tw_step *step, int thread)
{
    struct tw_run r = {
        .d          = d,
        .step       = step,
        .thread     = thread,
        .n_threads  = d->config.n_threads,
        .n_rows     = step->n_rows,
        .segments   = step->segments,
        .n_segments = step->n_segments,
    };
    tw_device_copy_pages(d, step, thread);
    embed(&r);
    meet(&r); /* blocks of rows are split differently from here on, and pages have been copied */
    const size_t layers = depth(&r);
    for (size_t layer = 0; layer < layers; layer++) {
        TW_TRY(attention_half(&r, layer));
        if (r.narrowed && r.n_rows == 0) {
            /* A chunk in the middle of a prompt: its keys and values are stored, nothing else is wanted. */
            return TRAWL_OK;
        }
        TW_TRY(mlp_half(&r, layer));
    }
    finish_rows(&r, layers);
    if (step->n_logit_rows > 0) {
        meet(&r);
        head(&r);
    }
    meet(&r);
    return TRAWL_OK;
}
