/* SPDX-License-Identifier: MIT */
/* How much memory a device of a mesh needs, whether it fits, which mesh to take, and what devices exchange.
 * Pure arithmetic; any thread. All sizes in bytes; sums that overflow are TRAWL_ERR_LIMIT.
 *
 * The terms are those of the engine: tests/model compares them with what a device allocates. Not counted are
 * captured rows (step rows x width x 4 bytes a site), samplers and the stacks of threads. */
#ifndef TW_MESH_MEMORY_H
#define TW_MESH_MEMORY_H

#include <stddef.h>

#include "base/error.h"
#include "mesh/mesh_shard.h"

/* How keys and values are split over the model axis. */
enum tw_mesh_kv {
    TW_MESH_KV_HEADS,   /* a device holds the heads its queries read, for all positions */
    TW_MESH_KV_SEQUENCE /* all heads, for every degree-th span of TW_MESH_KV_SPAN positions */
};
enum { TW_MESH_KV_SPAN = 1024 };

/* What is asked of every replica. */
struct tw_mesh_load {
    size_t weight_bytes;     /* of one element of a weight matrix as packed: 2 (bf16) or 4 (f32) */
    double weight_share;     /* of the bytes of such matrices that are held: 1, or less of compressed ones */
    size_t embed_bytes;      /* of one element of the embedding table as stored */
    size_t kv_bytes;         /* of one cached key or value element: 2 or 4 */
    size_t batch;            /* sequences in flight */
    size_t max_len;          /* tokens of the longest sequence */
    size_t chunk;            /* prompt tokens of one step; a step has chunk + batch rows at most */
    size_t page_tokens;      /* tokens of one KV page: sequences are rounded up to it */
    size_t extra_logit_rows; /* rows of logits beyond one a sequence; may be 0 */
    size_t threads;          /* of a device */
    size_t thread_bytes;     /* scratch of one thread; may be 0 */
    enum tw_mesh_kv kv;
};

struct tw_mesh_memory {
    /* The device that needs most; the others need as much or a little less. */
    size_t weights; /* packed matrices (columns rounded up to 16, heads one by one, inputs to 2) and norms and
                         biases in f32; a tied head counts here */
    size_t
        embedding; /* rows of the table for looking up tokens: mapped, not packed, so the system may drop and
                         reread what is not in use */
    size_t kv;     /* batch sequences of max_len, with this device's copies of shared KV heads */
    size_t activations; /* rows of a step: residual stream, queries, keys, values, attention, MLP */
    size_t scratch;     /* of threads */
    size_t logits;      /* this device's columns */
    size_t total;       /* of all these */
    int rank;           /* its place on the model axis */
    /* All devices together, weights and embedding counted once: what one process with the whole mesh needs,
     * because its devices share one mapping. */
    size_t process_total;
};

/* The mesh is checked first (tw_mesh_check). Numbers of `load` must be positive where they may not be 0. */
trawl_status tw_mesh_memory_plan(const struct tw_mesh_model *model, struct tw_mesh mesh,
                                 const struct tw_mesh_load *load, struct tw_mesh_memory *out,
                                 struct trawl_error *err);

/* What there is. 0: no limit. */
struct tw_mesh_budget {
    size_t device;  /* of each device, with memory of its own */
    size_t process; /* of all devices, in one process */
};

/* TRAWL_OK, or TRAWL_ERR_LIMIT with a sentence that gives what is needed, what for, and what there is. */
trawl_status tw_mesh_memory_fits(struct tw_mesh mesh, const struct tw_mesh_memory *memory,
                                 struct tw_mesh_budget budget, struct trawl_error *err);

/* The mesh for `devices` devices: the smallest model degree that fits, because the data axis needs no messages,
 * and as many replicas as that leaves devices for. TRAWL_ERR_LIMIT when no mesh fits: the sentence gives the
 * least that the best one needs. */
trawl_status tw_mesh_suggest(const struct tw_mesh_model *model, int devices, const struct tw_mesh_load *load,
                             struct tw_mesh_budget budget, struct tw_mesh *out, struct tw_mesh_memory *memory,
                             struct trawl_error *err);

/* The largest batch (at most `limit`) that fits when everything else of `load` stays; 0: not even one. */
trawl_status tw_mesh_largest_batch(const struct tw_mesh_model *model, struct tw_mesh mesh,
                                   const struct tw_mesh_load *load, struct tw_mesh_budget budget,
                                   size_t limit, size_t *out, struct trawl_error *err);
/* The same for max_len. */
trawl_status tw_mesh_longest_length(const struct tw_mesh_model *model, struct tw_mesh mesh,
                                    const struct tw_mesh_load *load, struct tw_mesh_budget budget,
                                    size_t limit, size_t *out, struct trawl_error *err);

/* Bytes that one device receives per token between embedding and head, and in how many messages a step. With
 * KV by heads: two sums of `hidden` floats per layer by recursive doubling, log2(degree) messages each. KV by
 * sequence adds the queries, keys and values of the other devices and the partial results of attention. */
struct tw_mesh_traffic {
    size_t bytes, messages;
};
struct tw_mesh_traffic tw_mesh_traffic_of(const struct tw_mesh_model *model, int degree, enum tw_mesh_kv kv);

#endif /* TW_MESH_MEMORY_H */
