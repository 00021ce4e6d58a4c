/* SPDX-License-Identifier: MIT */
#include "model/model_device.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "model/model_forward.h"

enum { ALIGN = 64 };

size_t tw_device_thread_bytes(const struct tw_kernels *kernels, const struct tw_model_config *config,
                              bool compressed)
{
    size_t group  = config->n_heads / config->n_kv_heads;
    size_t blocks = tw_ceil_div(config->max_positions, TW_KV_BLOCK) + 1;
    return tw_forward_scratch_bytes(kernels, config, group, blocks, compressed);
}

/* A layout pass counts, a second one hands out: both walk the same list. */
struct carve {
    uint8_t *base; /* NULL while counting */
    size_t used;
};

static void *take(struct carve *c, size_t bytes)
{
    void *p = c->base == NULL ? NULL : c->base + c->used;
    c->used += tw_round_up(bytes, ALIGN);
    return p;
}

static void lay_out(struct tw_device *d, struct carve *c)
{
    const struct tw_model_config *m = &d->model->config;
    size_t rows                     = d->config.max_rows;
    size_t heads                    = tw_range_size(d->shard.q_heads);
    size_t kv                       = tw_range_size(d->shard.kv_heads);
    size_t middle                   = tw_range_size(d->shard.intermediate);
    size_t hidden                   = rows * m->hidden * sizeof(float);
    size_t widest                   = tw_max_size(m->hidden, heads * m->head_dim);

    d->x          = take(c, hidden);
    d->partial[0] = take(c, hidden);
    d->partial[1] = take(c, d->config.degree > 1 ? hidden : 0);
    d->sum        = take(c, d->config.degree > 1 ? hidden : 0);
    if (d->config.degree == 1) {
        d->sum = d->partial[0]; /* alone, a device's part is the sum */
    }
    d->q          = take(c, rows * heads * d->head_stride * sizeof(float));
    d->k          = take(c, rows * kv * d->head_stride * sizeof(float));
    d->v          = take(c, rows * kv * d->head_stride * sizeof(float));
    d->z          = take(c, rows * heads * m->head_dim * sizeof(float));
    d->packed_in  = take(c, tw_packed_rows_bytes(rows, widest));
    d->packed_mid = take(c, tw_packed_rows_bytes(rows, middle));
    d->cos        = take(c, rows * m->head_dim / 2 * sizeof(float));
    d->sin        = take(c, rows * m->head_dim / 2 * sizeof(float));
    d->narrow     = take(c, d->config.max_logit_rows * sizeof *d->narrow);
    d->leaf_end   = take(c, 2 * sizeof *d->leaf_end);

    d->thread_scratch_bytes = tw_device_thread_bytes(d->kernels, m, d->model->codes_bytes > 0);
    d->thread_scratch       = take(c, d->thread_scratch_bytes * (size_t)d->config.n_threads);
}

/* Where each leaf of o_proj and down_proj ends, counted from this device's first input. */
static void set_leaves(struct tw_device *d)
{
    struct tw_mesh_model m = tw_model_config_mesh(&d->model->config, d->config.tree_leaves);
    struct tw_range leaves = d->shard.leaves;
    uint32_t o = 0, down = 0;
    size_t o_begin = d->shard.q_heads.begin * d->model->config.head_dim;
    for (size_t i = leaves.begin; i < leaves.end; i++) {
        struct tw_range r = tw_mesh_o_leaf(&m, (int)i);
        if (tw_range_size(r) > 0) {
            o = (uint32_t)(r.end - o_begin);
        }
        d->leaf_end[0][i - leaves.begin] = o;
        r                                = tw_mesh_down_leaf(&m, (int)i);
        if (tw_range_size(r) > 0) {
            down = (uint32_t)(r.end - d->shard.intermediate.begin);
        }
        d->leaf_end[1][i - leaves.begin] = down;
    }
}

trawl_status tw_device_init(struct tw_device *d, const struct tw_model *model,
                            const struct tw_kernels *kernels, const struct tw_device_config *config,
                            struct trawl_error *err)
{
    memset(d, 0, sizeof *d);
    d->model       = model;
    d->kernels     = kernels;
    d->config      = *config;
    d->head_stride = tw_round_up(model->config.head_dim, TW_PANEL);
    /* Queries and keys turned by sines and cosines that are m times as large: scores m * m times as large. */
    double magnitude = model->config.rope_magnitude;
    d->score_scale   = (float)(magnitude * magnitude / sqrt((double)model->config.head_dim));
    tw_barrier_init(&d->barrier, config->n_threads, config->wait);

    struct tw_mesh_model m = tw_model_config_mesh(&model->config, config->tree_leaves);
    d->shard               = tw_mesh_shard_of(&m, config->degree, config->rank);

    struct carve count = {0};
    lay_out(d, &count);
    trawl_status status = tw_big_alloc(count.used, &d->arena, err);
    if (status == TRAWL_OK) {
        d->arena_bytes = count.used;
        lay_out(d, &(struct carve){.base = d->arena});
        set_leaves(d);
        status = tw_kv_memory_init(&d->kv, config->kv_dtype, model->config.n_layers, config->n_pages,
                                   tw_range_size(d->shard.kv_heads), model->config.head_dim, err);
    }
    if (status != TRAWL_OK) {
        tw_device_release(d);
    }
    return status;
}

void tw_device_release(struct tw_device *d)
{
    tw_kv_memory_release(&d->kv);
    tw_big_free(d->arena, d->arena_bytes);
    tw_big_free(d->middle, d->middle_bytes);
    tw_comm_free(d->config.comm);
    memset(d, 0, sizeof *d);
}

size_t tw_device_bytes(const struct tw_device *d)
{
    return d->arena_bytes + d->middle_bytes + d->kv.bytes;
}

static bool wants_middle(const struct tw_step *step)
{
    for (size_t i = 0; i < step->n_captures; i++) {
        enum tw_site_kind kind = step->captures[i].site.kind;
        if (kind == TW_SITE_MLP_PRE || kind == TW_SITE_MLP_PRE_LINEAR || kind == TW_SITE_MLP_POST) {
            return true;
        }
    }
    return false;
}

trawl_status tw_device_prepare(struct tw_device *d, const struct tw_step *step, struct trawl_error *err)
{
    TW_BUG_ON(step->n_rows > d->config.max_rows || step->n_logit_rows > d->config.max_logit_rows);
    if (d->middle != NULL || !wants_middle(step)) {
        return TRAWL_OK;
    }
    size_t one =
        tw_round_up(d->config.max_rows * tw_range_size(d->shard.intermediate) * sizeof(float), ALIGN);
    size_t bytes = 2 * one;
    TW_TRY(tw_big_alloc(bytes, &d->middle, err));
    d->middle_bytes = bytes;
    d->gate         = d->middle;
    d->up           = (float *)((uint8_t *)d->middle + one);
    return TRAWL_OK;
}

void tw_device_copy_pages(struct tw_device *d, const struct tw_step *step, int thread)
{
    const struct tw_kv_memory *kv = &d->kv;
    size_t begin, end;
    if (step->n_copies == 0) {
        return;
    }
    tw_split(kv->n_layers * kv->n_heads, thread, d->config.n_threads, &begin, &end);
    for (size_t i = 0; i < step->n_copies; i++) {
        for (size_t k = begin; k < end; k++) {
            size_t layer = k / kv->n_heads, head = k % kv->n_heads;
            memcpy(tw_kv_keys(kv, layer, step->copies[i].to, head),
                   tw_kv_keys(kv, layer, step->copies[i].from, head), 2 * kv->block_bytes);
        }
    }
}
