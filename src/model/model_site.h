/* SPDX-License-Identifier: MIT */
/* Sites: the places of the forward pass whose activations can be captured, by the names of
 * TransformerLens; Hugging Face module paths, sparsify's spelling and "layer_10" are understood too. */
#ifndef TW_MODEL_SITE_H
#define TW_MODEL_SITE_H

#include <stddef.h>

#include "base/error.h"
#include "model/model_config.h"

enum tw_site_kind {
    TW_SITE_EMBED,      /* hook_embed                 [hidden]         token embeddings */
    TW_SITE_RESID_PRE,  /* blocks.i.hook_resid_pre    [hidden]         block input */
    TW_SITE_RESID_MID,  /* blocks.i.hook_resid_mid    [hidden]         after attention was added */
    TW_SITE_RESID_POST, /* blocks.i.hook_resid_post   [hidden]         block output, before any final norm */
    TW_SITE_ATTN_OUT,   /* blocks.i.hook_attn_out     [hidden]         output of o_proj */
    TW_SITE_MLP_OUT,    /* blocks.i.hook_mlp_out      [hidden]         output of down_proj */
    TW_SITE_Q,          /* blocks.i.attn.hook_q       [heads * D]      before RoPE and q_norm */
    TW_SITE_K,          /* blocks.i.attn.hook_k       [kv heads * D]   before RoPE and k_norm */
    TW_SITE_V,          /* blocks.i.attn.hook_v       [kv heads * D] */
    TW_SITE_Z,          /* blocks.i.attn.hook_z       [heads * D]      input of o_proj */
    TW_SITE_MLP_PRE,    /* blocks.i.mlp.hook_pre      [intermediate]   gate_proj's output */
    TW_SITE_MLP_PRE_LINEAR, /* blocks.i.mlp.hook_pre_linear [intermediate] up_proj's output */
    TW_SITE_MLP_POST,       /* blocks.i.mlp.hook_post     [intermediate]   silu(gate) * up */
    TW_SITE_FINAL_NORM, /* ln_final.hook_normalized   [hidden]         after the final norm, its weight applied */
    TW_SITE_KINDS
};

struct tw_site {
    enum tw_site_kind kind;
    size_t layer; /* 0 where the kind has none */
};

enum { TW_SITE_NAME_BYTES = 64 };

/* Add the sites that `pattern` names (a name, with "*" or a list "[0,3,5]" allowed for the layer) to
 * sites[*n], at most `capacity`, in layer order, each once. A name that is no site, or a layer out of
 * range, is TRAWL_ERR_INVALID; the message lists what there is. */
trawl_status tw_site_parse(const char *pattern, const struct tw_model_config *c, struct tw_site *sites,
                           size_t capacity, size_t *n, struct trawl_error *err);
/* TransformerLens' name into out. */
void tw_site_name(struct tw_site site, char out[TW_SITE_NAME_BYTES]);
size_t tw_site_width(struct tw_site site, const struct tw_model_config *c);
/* Layers that a forward pass must run for the site: 0 .. n_layers. */
size_t tw_site_depth(struct tw_site site, const struct tw_model_config *c);

#endif /* TW_MODEL_SITE_H */
