/* SPDX-License-Identifier: MIT */
/* One device of a replica: a shard of the model, its KV memory, its buffers, and the forward pass over a
 * step. A device's threads all call tw_device_forward together; devices of one replica meet in comm. */
#ifndef TW_MODEL_DEVICE_H
#define TW_MODEL_DEVICE_H

#include <stdatomic.h>

#include "base/thread.h"
#include "comm/comm.h"
#include "kv/kv_memory.h"
#include "mesh/mesh_shard.h"
#include "model/model_step.h"
#include "model/model_weights.h"

struct tw_device_config {
    int rank, degree; /* on the model axis */
    int tree_leaves;
    int n_threads;
    struct tw_wait_policy wait;
    struct tw_comm *comm; /* given; NULL when degree is 1 */
    enum tw_dtype kv_dtype;
    size_t n_pages;
    size_t max_rows;       /* of a step */
    size_t max_logit_rows; /* of a step */
};

/* The matmuls of a layer and of the head; each has its own work counter. */
enum tw_device_matmul {
    TW_MATMUL_Q,
    TW_MATMUL_K,
    TW_MATMUL_V,
    TW_MATMUL_O,
    TW_MATMUL_GATE_UP,
    TW_MATMUL_GATE, /* gate and up apart: only when their values are captured */
    TW_MATMUL_UP,
    TW_MATMUL_DOWN,
    TW_MATMUL_HEAD,
    TW_DEVICE_MATMULS
};

struct tw_device {
    const struct tw_model *model;
    const struct tw_kernels *kernels;
    struct tw_device_config config;
    struct tw_mesh_shard shard;
    struct tw_kv_memory kv;
    struct tw_barrier barrier; /* of this device's threads */

    /* Step buffers, rows first. */
    float *x;          /* [max_rows, hidden] the residual stream */
    float *partial[2]; /* [max_rows, hidden] this device's part of a sum; two, used in turn */
    float *sum;        /* [max_rows, hidden] a whole sum, when it is captured or has a bias */
    float *q, *k, *v;  /* [max_rows, local heads * padded head width] */
    float *z;          /* [max_rows, local query heads * head_dim] */
    float *gate, *up;  /* [max_rows, local intermediate]; NULL until a step captures them */
    void *packed_in;   /* packed rows of hidden or of z */
    void *packed_mid;  /* packed rows of the MLP's middle */
    float *cos, *sin;  /* [max_rows, head_dim / 2] */
    void *arena;
    size_t arena_bytes;
    void *middle; /* gate and up */
    size_t middle_bytes;
    uint8_t *thread_scratch; /* [n_threads, thread_scratch_bytes] */
    size_t thread_scratch_bytes;
    size_t head_stride;                     /* columns per head in q, k, v: head_dim rounded up to 16 */
    uint32_t (*leaf_end)[TW_MAX_LEAVES];    /* [2]: o_proj, down_proj; relative to this device's inputs */
    uint32_t whole_leaf[TW_DEVICE_MATMULS]; /* the one leaf of a column-parallel matmul */
    float score_scale;                      /* 1 / sqrt(head_dim), times the square of rope_magnitude */
    struct tw_segment *narrow;              /* [max_logit_rows] the last layer's one-row segments */
    struct tw_matmul matmul[TW_DEVICE_MATMULS];
    _Atomic uint32_t next_attend;
    int turn;                 /* which partial is used next */
    _Atomic int failed;       /* a trawl_status: comm failed in this step */
    struct trawl_error error; /* of that failure; written by the device's first thread */
};

/* `model` and `kernels` are kept. config.comm is given, also on failure. */
trawl_status tw_device_init(struct tw_device *d, const struct tw_model *model,
                            const struct tw_kernels *kernels, const struct tw_device_config *config,
                            struct trawl_error *err);
void tw_device_release(struct tw_device *d);

/* Bytes of step buffers and KV pages of a device. */
size_t tw_device_bytes(const struct tw_device *d);
/* Scratch that each thread of a device of such a model has; for plans. */
size_t tw_device_thread_bytes(const struct tw_kernels *kernels, const struct tw_model_config *config,
                              bool compressed);

/* Make room for captures of the MLP's middle; called between steps, by one thread. */
trawl_status tw_device_prepare(struct tw_device *d, const struct tw_step *step, struct trawl_error *err);

/* Make the step's page copies, this thread's share of each; the forward pass begins with it. Every thread goes
 * through the copies in order, for KV blocks that are its own: a page may be written by one and read by a later
 * one. */
void tw_device_copy_pages(struct tw_device *d, const struct tw_step *step, int thread);

/* The forward pass: called by all config.n_threads threads of the device, in the compute float mode, with
 * the same step. Stores keys and values, writes logits and captures. The logits and captures of other
 * devices are complete when those have returned too. A failing transport is TRAWL_ERR_COMM on every
 * thread, with d->error set. */
trawl_status tw_device_forward(struct tw_device *d, const struct tw_step *step, int thread);

#endif /* TW_MODEL_DEVICE_H */
