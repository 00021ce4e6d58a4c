/* SPDX-License-Identifier: MIT */
/* What config.json (and generation_config.json) of a Hugging Face folder say about a model, checked and
 * completed with the library's defaults. Families: qwen2 (Qwen2, Qwen2.5), llama (Llama 2, 3.x and what
 * shares its code, SmolLM2 among them), qwen3 (dense), mistral. Anything else is refused by name. */
#ifndef TW_MODEL_CONFIG_H
#define TW_MODEL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "mesh/mesh_shard.h"

enum tw_family { TW_FAMILY_QWEN2, TW_FAMILY_LLAMA, TW_FAMILY_QWEN3, TW_FAMILY_MISTRAL };

enum tw_rope_scaling { TW_ROPE_PLAIN, TW_ROPE_LINEAR, TW_ROPE_LLAMA3, TW_ROPE_YARN };

enum {
    TW_MODEL_EOS_MAX = 16,
    /* Of every size: far above every released model, far below where products could overflow. */
    TW_MODEL_SIZE_LIMIT = 1 << 24
};

struct tw_model_config {
    enum tw_family family;
    char architecture[64]; /* "Qwen2ForCausalLM" */
    size_t vocab, hidden, intermediate, n_layers;
    size_t n_heads, n_kv_heads, head_dim;
    size_t max_positions; /* context length */
    size_t window;        /* sliding window of some layer, 0: none. max_positions is at most that: within the
                           * window every layer sees everything */
    double rms_eps;
    double rope_theta;
    enum tw_rope_scaling rope_scaling;
    double rope_factor;                    /* linear, llama3, yarn */
    double rope_original_positions;        /* llama3, yarn */
    double rope_low_freq, rope_high_freq;  /* llama3 */
    double rope_beta_fast, rope_beta_slow; /* yarn */
    bool rope_truncate;                    /* yarn */
    double rope_magnitude;         /* sines and cosines are multiplied by it: yarn's attention_factor, or 1 */
    bool tied;                     /* the head is the embedding */
    bool qkv_bias;                 /* q, k, v projections */
    bool o_bias;                   /* output projection (Llama's attention_bias) */
    bool mlp_bias;                 /* gate, up and down projections */
    bool qk_norm;                  /* RMSNorm on every query and key head (Qwen3) */
    int32_t bos;                   /* -1: none */
    int32_t eos[TW_MODEL_EOS_MAX]; /* config.json's and generation_config.json's, each once */
    size_t n_eos;
};

/* `folder` holds config.json. TRAWL_ERR_FORMAT: a key of the wrong type, missing or out of range;
 * TRAWL_ERR_UNSUPPORTED: a family, rope scaling, activation or quantisation that is not implemented. */
trawl_status tw_model_config_read(struct tw_model_config *c, const char *folder, struct trawl_error *err);
/* The same from text; `what` names it in messages, generation may be NULL. For tests and fuzzing. */
trawl_status tw_model_config_parse(struct tw_model_config *c, const char *text, size_t n, const char *what,
                                   struct trawl_error *err);

const char *tw_family_name(enum tw_family family);
/* The numbers that sharding needs. */
struct tw_mesh_model tw_model_config_mesh(const struct tw_model_config *c, int tree_leaves);
/* Inverse frequencies [head_dim/2] of rotary embeddings in f64, scaling applied (model_rope.c). */
void tw_model_config_rope(const struct tw_model_config *c, double *inverse_frequency);
/* All parameters, tied ones once. */
uint64_t tw_model_config_parameters(const struct tw_model_config *c);

#endif /* TW_MODEL_CONFIG_H */
