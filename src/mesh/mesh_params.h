/* SPDX-License-Identifier: MIT */
/* Every parameter of a model with its PartitionSpec, and the bytes of it that each device needs. Pure
 * arithmetic; any thread. Models and degrees must have passed tw_mesh_check. */
#ifndef TW_MESH_PARAMS_H
#define TW_MESH_PARAMS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/str.h"
#include "mesh/mesh_shard.h"

/* What a parameter is cut by; names the range of struct tw_mesh_shard that a device holds. */
enum tw_mesh_cut {
    TW_MESH_CUT_NONE, /* every device holds all of it */
    TW_MESH_CUT_Q_HEADS,
    TW_MESH_CUT_KV_HEADS,
    TW_MESH_CUT_INTERMEDIATE,
    TW_MESH_CUT_VOCAB,
    TW_MESH_CUT_HIDDEN
};

struct tw_mesh_param {
    char name[64];          /* "layers_0_mlp_down_proj", "layers_0_self_attn_q_proj_bias", "norm", ... */
    size_t shape[2];        /* linear layers [in, out], embed_tokens [vocab, hidden], vectors [n] */
    int n_dims;             /* 1 or 2 */
    bool stored_transposed; /* the checkpoint holds [out, in] */
    /* The PartitionSpec as JAX programs log it: the *logical* sharding, in which every matrix is split
     * along its last dimension. o_proj and down_proj differ: their devices really hold a range of
     * in_features and add their products in a fixed tree, because that needs one exchange where the
     * logical form needs two and is what makes every degree give the same bits. `axis` tells the truth. */
    const char *spec;
    int axis; /* dimension of `shape` that is really split, -1: none */
    enum tw_mesh_cut cut;
};

/* `count` runs of `run` bytes, the first at `offset`, one every `stride` bytes, in the checkpoint's row-
 * major tensor. One run for a contiguous part; run == 0 (count 0) for nothing. */
struct tw_mesh_bytes {
    size_t offset, run, stride, count;
};

/* Parameters in the order embed_tokens, layers, norm, lm_head (when not tied). */
size_t tw_mesh_param_count(const struct tw_mesh_model *model);
struct tw_mesh_param tw_mesh_param_at(const struct tw_mesh_model *model, size_t index);

/* What rank `rank` of `degree` holds of the parameter: elements along `axis` ([0, shape[0]) where nothing
 * is split), and the bytes for elements of `element_bytes`. */
struct tw_range tw_mesh_param_range(const struct tw_mesh_model *model, const struct tw_mesh_param *param,
                                    int degree, int rank);
struct tw_mesh_bytes tw_mesh_param_bytes(const struct tw_mesh_model *model, const struct tw_mesh_param *param,
                                         int degree, int rank, size_t element_bytes);

/* Check that the ranks together hold every element of every parameter, split ones exactly once. Key and
 * value heads that several ranks need are copies: allowed, and named in `copies` (may be NULL) with one
 * line each: "KV head 0: ranks 0, 1". TRAWL_ERR_INVALID names the parameter and the element. */
trawl_status tw_mesh_verify(const struct tw_mesh_model *model, int degree, struct tw_str *copies,
                            struct trawl_error *err);

/* Lines of text, newline included:
 *   Mesh axes: data=2, model=2
 *   Verifying parameter sharding:
 *     embed_tokens: shape=(151936, 896), sharding=PartitionSpec(None, 'model')        (every parameter)
 *   Sharding verification:
 *     Input shape: (8, 453)
 *     Input sharding: PartitionSpec('data', None)
 *     Params sharding: PartitionSpec(None, 'model')                                                   */
trawl_status tw_mesh_format_axes(struct tw_mesh mesh, struct tw_str *out, struct trawl_error *err);
trawl_status tw_mesh_format_param(const struct tw_mesh_param *param, struct tw_str *out,
                                  struct trawl_error *err);
trawl_status tw_mesh_format_params(const struct tw_mesh_model *model, struct tw_str *out,
                                   struct trawl_error *err);
/* "    split along 1: [0,448) [448,896)", one range a rank; "    whole on every rank" where nothing is split. */
trawl_status tw_mesh_format_ranges(const struct tw_mesh_model *model, const struct tw_mesh_param *param,
                                   int degree, struct tw_str *out, struct trawl_error *err);
trawl_status tw_mesh_format_input(size_t rows, size_t columns, struct tw_str *out, struct trawl_error *err);

#endif /* TW_MESH_PARAMS_H */
