/* SPDX-License-Identifier: MIT */
/* A model's weights, read from a Hugging Face folder and packed once for all devices of the process: each
 * device computes with its own range of the same panels, so a 1x8 mesh costs the memory of 1x1. Read-only
 * after loading; any thread. */
#ifndef TW_MODEL_WEIGHTS_H
#define TW_MODEL_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/thread.h"
#include "formats/formats_safetensors.h"
#include "kernels/kernels.h"
#include "model/model_config.h"

/* A linear layer, [n, k] packed. Heads narrower than a multiple of 16 columns are packed one by one, so
 * that a head always begins a panel: `group` columns (a head's, or all n) fill `group_panels` panels. */
struct tw_linear {
    void  *panels;
    float *bias; /* [panels * 16] in packed column order, or NULL */
    size_t n, k;
    size_t group, group_panels;
};

struct tw_layer {
    float           *input_norm, *post_norm; /* [hidden] */
    float           *q_norm, *k_norm;        /* [head_dim] or NULL */
    struct tw_linear q, k, v, o, gate, up, down;
};

struct tw_model {
    struct tw_model_config config;
    char                  *folder;
    enum tw_dtype          compute; /* BF16: activations are rounded before every matmul; F32: they are not */
    enum tw_dtype          weight;  /* element type of the panels: BF16 or F32 */
    struct tw_layer       *layers;  /* [n_layers] */
    struct tw_linear       head;
    float                 *final_norm; /* [hidden] */
    struct tw_safetensors *files;      /* kept open: embedding rows are read from the mapped checkpoint */
    const uint8_t         *embed;      /* [vocab, hidden], row-major */
    enum tw_dtype          embed_dtype;
    void                  *panels; /* one allocation for all packed matrices */
    size_t                 panels_bytes;
    float                 *vectors; /* one for all norms and biases */
    double                *inverse_frequency; /* [head_dim / 2] */
    uint64_t               fingerprint; /* of every weight */
};

/* Read and pack. `compute` is BF16 or F32. Uses `n_threads` threads for packing. Tensors that are missing,
 * of another shape or of an unknown type are named; weights that are not finite are reported once per
 * tensor to `log` as a warning. */
trawl_status tw_model_load(struct tw_model **out, const char *folder, enum tw_dtype compute, int n_threads,
                           const struct tw_log *log, struct trawl_error *err);
void         tw_model_free(struct tw_model *model);

/* Row `token` of the embedding as f32 into x[hidden]; rounded to bf16 where compute is BF16. */
void tw_model_embed(const struct tw_model *model, const struct tw_kernels *k, int32_t token, float *x);

static inline size_t tw_linear_panels(const struct tw_linear *l)
{
    return l->n / l->group * l->group_panels;
}

#endif /* TW_MODEL_WEIGHTS_H */
