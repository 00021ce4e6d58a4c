/* SPDX-License-Identifier: MIT */
/* Which part of a model each device of a replica computes. Pure arithmetic; any thread. */
#ifndef TW_MESH_SHARD_H
#define TW_MESH_SHARD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "mesh/mesh.h"
#include "mesh/mesh_halving.h"

/* Units of the cuts, in elements: a cut never goes through a tile of the packed weights. */
#define TW_MESH_INTERMEDIATE_UNIT 32
#define TW_MESH_VOCAB_UNIT        16
#define TW_MESH_HIDDEN_UNIT       16

/* How the embedding table is split over the model axis; by columns unless asked otherwise. */
enum tw_mesh_embedding { TW_MESH_EMBED_HIDDEN, TW_MESH_EMBED_REPLICATED, TW_MESH_EMBED_VOCAB };

/* The numbers of a model that sharding needs. */
struct tw_mesh_model {
    size_t hidden;
    size_t n_q_heads;
    size_t n_kv_heads; /* divides n_q_heads */
    size_t head_dim;
    size_t intermediate;
    size_t vocab;
    size_t n_layers;
    bool tied;       /* lm_head is embed_tokens */
    bool qkv_bias;   /* q, k and v projections have a bias */
    bool qk_norm;    /* q_norm and k_norm of width head_dim in every layer */
    int tree_leaves; /* leaves of a row-parallel sum: 8, 16 or 32 */
    enum tw_mesh_embedding embedding;
};

/* What one device of a replica computes. Ranges are in heads, columns, rows and elements. */
struct tw_mesh_shard {
    int degree, rank;       /* of the model axis */
    struct tw_range leaves; /* of o_proj and down_proj */
    struct tw_range q_heads;
    struct tw_range
        kv_heads; /* every KV head that a query head of this rank reads; neighbours may hold copies */
    struct tw_range
        own_kv_heads; /* those of kv_heads that no lower rank has; may be empty. Each head is one rank's */
    struct tw_range intermediate; /* gate and up columns, down_proj inputs; may be empty */
    struct tw_range vocab;        /* rows of the head; may be empty */
    struct tw_range hidden;       /* columns of embed_tokens; may be empty */
};

/* Is the model well formed and can this mesh carry it? Possible model degrees are the powers of two up
 * to the tree leaves and the query heads; TRAWL_ERR_INVALID names them, or the number that is wrong.
 * The other functions of this module need a model and degree that passed. */
trawl_status tw_mesh_check(const struct tw_mesh_model *model, struct tw_mesh mesh, struct trawl_error *err);

/* Largest possible model degree; every smaller power of two is possible too. */
int tw_mesh_degree_max(const struct tw_mesh_model *model);

struct tw_mesh_shard tw_mesh_shard_of(const struct tw_mesh_model *model, int degree, int rank);

/* Elements of the reduction dimension in leaf `leaf` (0 <= leaf < tree_leaves) of o_proj (query heads
 * times head_dim) and of down_proj; in the numbering of the whole model. May be empty. */
struct tw_range tw_mesh_o_leaf(const struct tw_mesh_model *model, int leaf);
struct tw_range tw_mesh_down_leaf(const struct tw_mesh_model *model, int leaf);

/* The KV head that query head `q_head` reads. */
static inline size_t tw_mesh_kv_of(const struct tw_mesh_model *model, size_t q_head)
{
    return q_head / (model->n_q_heads / model->n_kv_heads);
}

#endif /* TW_MESH_SHARD_H */
