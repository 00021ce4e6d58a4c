/* SPDX-License-Identifier: MIT */
/* A model's weights, packed once for all devices of the process: each device computes with its own range of
 * the same panels, so a 1x8 mesh costs the memory of 1x1. They come from a Hugging Face folder and are packed
 * into memory, or from a packed file (model_packed.h) that is mapped as it is. Read-only after loading; any
 * thread. */
#ifndef TW_MODEL_WEIGHTS_H
#define TW_MODEL_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"
#include "formats/formats_safetensors.h"
#include "kernels/kernels.h"
#include "model/model_config.h"

/* A linear layer, [n, k] packed. Heads narrower than a multiple of 16 columns are packed one by one, so
 * that a head always begins a panel: `group` columns (a head's, or all n) fill `group_panels` panels. */
struct tw_linear {
    const void *panels;
    struct tw_codes codes; /* of compressed panels; upper NULL: they are plain */
    const float *bias;     /* [panels * 16] in packed column order, or NULL */
    size_t n, k;
    size_t group, group_panels;
};

struct tw_compression;

struct tw_layer {
    const float *input_norm, *post_norm; /* [hidden] */
    const float *q_norm, *k_norm;        /* [head_dim] or NULL */
    struct tw_linear q, k, v, o, gate, up, down;
};

struct tw_model {
    struct tw_model_config config;
    char *folder;
    enum tw_dtype compute;   /* BF16: activations are rounded before every matmul; F32: they are not */
    enum tw_dtype weight;    /* element type of the panels: BF16 or F32 */
    struct tw_layer *layers; /* [n_layers] */
    struct tw_linear head;
    const float *final_norm;      /* [hidden] */
    struct tw_safetensors *files; /* kept open: embedding rows are read from the mapped checkpoint; or ... */
    struct tw_mapped_file packed; /* ... the packed file, which then holds everything; size 0: none */
    const uint8_t *embed;         /* [vocab, hidden], row-major */
    enum tw_dtype embed_dtype;
    void *panels;        /* one allocation for all packed matrices; NULL: they are in the packed file */
    size_t panels_bytes; /* of all packed matrices, wherever they are */
    size_t codes_bytes;  /* of what compressed panels need beside them, wherever it is; 0: all are plain */
    struct tw_compression
        *compression;          /* those codes; NULL: there are none, or they are in the packed file */
    float *vectors;            /* one for all norms and biases; NULL with a packed file */
    double *inverse_frequency; /* [head_dim / 2] */
    uint64_t fingerprint;      /* of every weight */
    uint64_t identity;         /* of every weight and of what config.json says about using them */
};

/* Map the folder's packed file where there is one, else read and pack the checkpoint with `n_threads` threads.
 * `compute` is BF16 or F32. Tensors that are missing, of another shape or of an unknown type are named; weights
 * that are not finite are reported once per tensor to `log` as a warning. `compress`: bf16 panels
 * packed from a checkpoint are compressed, for kernels that take them so; a packed file stays as it is. Otherwise all
 * panels are plain, and those that a packed file holds compressed are expanded into memory. */
trawl_status tw_model_load(struct tw_model **out, const char *folder, enum tw_dtype compute, bool compress,
                           int n_threads, const struct tw_log *log, struct trawl_error *err);
void tw_model_free(struct tw_model *model);

/* Row `token` of the embedding as f32 into x[hidden]; rounded to bf16 where compute is BF16. */
void tw_model_embed(const struct tw_model *model, const struct tw_kernels *k, int32_t token, float *x);

/* Bytes of weights in memory: panels and what compressed ones need. */
size_t tw_model_weights_bytes(const struct tw_model *model);

static inline size_t tw_linear_panels(const struct tw_linear *l)
{
    return l->n / l->group * l->group_panels;
}

#endif /* TW_MODEL_WEIGHTS_H */
