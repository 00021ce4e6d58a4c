/* SPDX-License-Identifier: MIT */
/* What the stages of the forward pass share: model_forward.c runs them, model_attention.c has those between
 * the projections of a layer. */
#ifndef TW_MODEL_FORWARD_H
#define TW_MODEL_FORWARD_H

#include <string.h>

#include "base/size.h"
#include "model/model_device.h"

/* Query rows of one attention task: enough to reuse a block of keys, few enough to balance threads. */
enum { TW_ATTEND_ROWS = 16 };

/* Bytes of one thread's scratch: rows being normalised, attention state or statistics, block pointers. */
size_t tw_forward_scratch_bytes(const struct tw_kernels *k, const struct tw_model_config *c, size_t group,
                                size_t blocks, bool compressed);

/* One thread's view of a running step. */
struct tw_run {
    struct tw_device *d;
    const struct tw_step *step;
    int thread, n_threads;
    size_t n_rows; /* of the stage: the step's rows, or its logit rows once narrowed */
    struct tw_segment *segments;
    size_t n_segments;
    bool narrowed;
};

static inline size_t tw_run_norm_bytes(const struct tw_kernels *k, const struct tw_model_config *c)
{
    return tw_round_up(k->tile_rows * c->hidden * sizeof(float), 64);
}

static inline uint8_t *tw_run_scratch(const struct tw_run *r)
{
    return r->d->thread_scratch + (size_t)r->thread * r->d->thread_scratch_bytes;
}

/* The capture of a site in this step, NULL when nobody asked. */
static inline const struct tw_capture *tw_run_capture(const struct tw_run *r, enum tw_site_kind kind,
                                                      size_t layer)
{
    for (size_t i = 0; i < r->step->n_captures; i++) {
        const struct tw_capture *c = &r->step->captures[i];
        if (c->site.kind == kind && c->site.layer == layer) {
            return c;
        }
    }
    return NULL;
}

/* Copy columns of a row to the capture, if there is one. Values that every device holds are written by the
 * first. */
static inline void tw_run_keep(const struct tw_capture *c, size_t row, size_t column, const float *from,
                               size_t n)
{
    if (c != NULL && n > 0) {
        memcpy(c->rows + row * c->width + column, from, n * sizeof(float));
    }
}

/* ---- stages of model_attention.c; every thread of the device calls them, a meeting lies between ---- */

/* Queries and keys of all rows: norm (Qwen3), rotary embedding; keys and values into the cache. */
void tw_run_rotate_and_store(const struct tw_run *r, size_t layer);
/* Attention of the stage's rows into d->z; d->next_attend is 0 before. */
void tw_run_attend(const struct tw_run *r, size_t layer);
/* Capture d->z. */
void tw_run_keep_z(const struct tw_run *r, size_t layer);

/* Rows [first, first + n) of a segment and all query heads of this device that read KV head `kv`, as a kernel takes
 * them. Block pointers and the kernel's scratch lie at `memory`, 64-byte aligned; *head: the first of these heads
 * among the model's. */
struct tw_attend tw_run_attend_rows(const struct tw_run *r, size_t layer, const struct tw_segment *s,
                                    size_t first, size_t n, size_t kv, uint8_t *memory, size_t *head);

/* ---- model_attention_stats.c ---- */

/* r->step->attention of the step's rows in this layer, from d->q and the cache: after tw_run_rotate_and_store. */
void tw_run_attention_stats(const struct tw_run *r, size_t layer);
/* Scratch for it, with `group` query heads to a KV head and `blocks` blocks. */
size_t tw_attention_stats_bytes(const struct tw_kernels *k, const struct tw_model_config *c, size_t group,
                                size_t blocks);

#endif /* TW_MODEL_FORWARD_H */
