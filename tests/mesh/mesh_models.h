/* SPDX-License-Identifier: MIT */
/* Models for the tests of this folder: two published ones, and random ones. */
#ifndef TW_TESTS_MESH_MODELS_H
#define TW_TESTS_MESH_MODELS_H

#include "base/philox.h"
#include "mesh/mesh_shard.h"

static inline struct tw_mesh_model qwen_half_b(void)
{
    return (struct tw_mesh_model){.hidden       = 896,
                                  .n_q_heads    = 14,
                                  .n_kv_heads   = 2,
                                  .head_dim     = 64,
                                  .intermediate = 4864,
                                  .vocab        = 151936,
                                  .n_layers     = 24,
                                  .tied         = true,
                                  .qkv_bias     = true,
                                  .qk_norm      = false,
                                  .tree_leaves  = 8};
}

static inline struct tw_mesh_model qwen_7b(void)
{
    return (struct tw_mesh_model){.hidden       = 3584,
                                  .n_q_heads    = 28,
                                  .n_kv_heads   = 4,
                                  .head_dim     = 128,
                                  .intermediate = 18944,
                                  .vocab        = 152064,
                                  .n_layers     = 28,
                                  .tied         = false,
                                  .qkv_bias     = true,
                                  .qk_norm      = false,
                                  .tree_leaves  = 8};
}

/* Small, and awkward on purpose: odd head counts, widths that are no multiple of a unit. */
static inline struct tw_mesh_model random_model(struct tw_philox_stream *random)
{
    struct tw_mesh_model m = {0};
    m.n_kv_heads           = 1 + tw_philox_below(random, 4);
    m.n_q_heads            = m.n_kv_heads * (1 + tw_philox_below(random, 8));
    m.head_dim             = 2 + 2 * tw_philox_below(random, 8);
    m.hidden               = 1 + tw_philox_below(random, 200);
    m.intermediate         = 1 + tw_philox_below(random, 700);
    m.vocab                = 1 + tw_philox_below(random, 500);
    m.n_layers             = 1 + tw_philox_below(random, 3);
    m.tied                 = tw_philox_below(random, 2) == 1;
    m.qkv_bias             = tw_philox_below(random, 2) == 1;
    m.qk_norm              = tw_philox_below(random, 2) == 1;
    m.tree_leaves          = 8 << tw_philox_below(random, 3);
    return m;
}

#endif /* TW_TESTS_MESH_MODELS_H */
