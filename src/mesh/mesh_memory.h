/* SPDX-License-Identifier: MIT */
/* How much memory a device of a mesh needs, whether it fits, and which mesh to take. Pure arithmetic;
 * any thread. All sizes in bytes; sums that overflow are TRAWL_ERR_LIMIT. */
#ifndef TW_MESH_MEMORY_H
#define TW_MESH_MEMORY_H

#include <stddef.h>

#include "base/error.h"
#include "mesh/mesh_shard.h"

/* What is asked of every replica. */
struct tw_mesh_load {
    size_t weight_bytes; /* of one element of a weight matrix as packed: 2 (bf16) or 4 (f32) */
    size_t kv_bytes;     /* of one cached key or value element: 2 or 4 */
    size_t batch;        /* sequences in flight */
    size_t max_len;      /* tokens of the longest sequence */
    size_t step_tokens;  /* most rows of one step (prefill chunk) */
    size_t page_tokens;  /* tokens of one KV page: sequences are rounded up to it */
};

struct tw_mesh_memory {
    /* The device that needs most; the others need as much or a little less. */
    size_t weights; /* packed matrices (N rounded up to 16, K to 2), norms and biases in f32 */
    size_t kv;      /* batch sequences of max_len, with this device's copies of shared KV heads */
    size_t scratch; /* step buffers in f32: per row 5 x hidden, 2 x queries, keys, values, 2 x MLP columns;
                       and per sequence this device's logits */
    size_t total;   /* weights + kv + scratch */
    int rank;       /* its place on the model axis */
    /* All devices together, weights counted once: what one process with the whole mesh needs, because its
     * devices share one mapping. */
    size_t process_total;
};

/* The mesh is checked first (tw_mesh_check). `load` numbers must be positive. */
trawl_status tw_mesh_memory_plan(const struct tw_mesh_model *model, struct tw_mesh mesh,
                                 const struct tw_mesh_load *load, struct tw_mesh_memory *out,
                                 struct trawl_error *err);

/* TRAWL_OK, or TRAWL_ERR_LIMIT with a sentence that gives what a device needs, what for, and what it has. */
trawl_status tw_mesh_memory_fits(struct tw_mesh mesh, const struct tw_mesh_memory *memory,
                                 size_t device_bytes, struct trawl_error *err);

/* The mesh for `devices` devices of `device_bytes` each: the smallest model degree that fits, because the
 * data axis needs no messages, and as many replicas as that leaves devices for. TRAWL_ERR_LIMIT when no
 * mesh fits: the sentence gives the least that the best one needs. */
trawl_status tw_mesh_suggest(const struct tw_mesh_model *model, int devices, const struct tw_mesh_load *load,
                             size_t device_bytes, struct tw_mesh *out, struct tw_mesh_memory *memory,
                             struct trawl_error *err);

/* Bytes that one device receives per token between embedding and head by recursive doubling: two sums of
 * `hidden` floats per layer, log2(degree) messages each. */
size_t tw_mesh_traffic_bytes(const struct tw_mesh_model *model, int degree);

#endif /* TW_MESH_MEMORY_H */
