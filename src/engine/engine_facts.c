/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/str.h"
#include "engine/engine_int.h"
#include "trawl/version.h"

static trawl_status compare(const struct tw_engine *e, const struct tw_str *facts, trawl_status made,
                            struct trawl_error *err)
{
    TW_TRY(tw_comm_agree(e->config.world->all, made, err));
    return tw_world_compare(e->config.world, tw_str_text(facts), err);
}

trawl_status tw_engine_compare_settings(const struct tw_engine *e, struct trawl_error *err)
{
    const struct tw_engine_config *c = &e->config;
    struct tw_str facts;
    tw_str_init(&facts, 0);
    trawl_status status =
        tw_str_printf(&facts, err,
                      "version: " TRAWL_VERSION "\nmesh_shape: %d %d\ndevices_per_rank: %d\ndtype: %s\n"
                      "kv_dtype: %s\ntree_leaves: %d\n",
                      c->mesh.data, c->mesh.model, c->devices_per_rank, tw_dtype_name(c->compute),
                      tw_dtype_name(c->kv_dtype), c->tree_leaves);
    status = compare(e, &facts, status, err);
    tw_str_release(&facts);
    return status;
}

trawl_status tw_engine_compare_model(const struct tw_engine *e, struct trawl_error *err)
{
    const struct tw_model_config *m = &e->model->config;
    struct tw_str facts;
    char weights[17];
    tw_str_init(&facts, 0);
    tw_hash_hex(e->model->fingerprint, weights);
    trawl_status status = tw_str_printf(
        &facts, err,
        "architecture: %s\nvocab_size: %zu\nhidden_size: %zu\nintermediate_size: %zu\nnum_hidden_layers: "
        "%zu\n"
        "num_attention_heads: %zu\nnum_key_value_heads: %zu\nhead_dim: %zu\nmax_position_embeddings: %zu\n"
        "rms_norm_eps: %a\nrope_theta: %a\nrope_scaling: %d %a %a %a %a %a %a %d %a\ntie_word_embeddings: "
        "%d\n",
        m->architecture, m->vocab, m->hidden, m->intermediate, m->n_layers, m->n_heads, m->n_kv_heads,
        m->head_dim, m->max_positions, m->rms_eps, m->rope_theta, (int)m->rope_scaling, m->rope_factor,
        m->rope_low_freq, m->rope_high_freq, m->rope_original_positions, m->rope_beta_fast, m->rope_beta_slow,
        (int)m->rope_truncate, m->rope_magnitude, (int)m->tied);
    for (size_t i = 0; status == TRAWL_OK && i < m->n_eos; i++) {
        status = tw_str_printf(&facts, err, "eos_token_id: %" PRId32 "\n", m->eos[i]);
    }
    if (status == TRAWL_OK) {
        status = tw_str_printf(&facts, err, "weights with fingerprint: %s\n", weights);
    }
    status = compare(e, &facts, status, err);
    tw_str_release(&facts);
    return status;
}
