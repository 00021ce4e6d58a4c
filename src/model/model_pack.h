/* SPDX-License-Identifier: MIT */
/* From a checkpoint to packed weights: which tensor is which weight, packing in pieces that any number of
 * threads can share, and the fingerprint, which is the same wherever the panels go. */
#ifndef TW_MODEL_PACK_H
#define TW_MODEL_PACK_H

#include <stdatomic.h>

#include "base/log.h"
#include "formats/formats_safetensors.h"
#include "model/model_list.h"

/* Panels of one piece of work: a few hundred kilobytes to a few megabytes. */
enum { TW_PACK_PANELS = 16 };

/* A checkpoint bound to a list: tensors[i] is weights[i]. Borrows both. */
struct tw_binding {
    const struct tw_weight_list *list;
    const struct tw_safetensors_tensor **tensors; /* [list->n] */
    const struct tw_safetensors_tensor *embed;
    enum tw_dtype weight; /* element type that panels need: BF16, or F32 */
    bool tied;            /* the embedding's rows are among the matrices */
    size_t *first_piece; /* [list->n + 2] pieces of matrix i begin here; then the embedding's; then the end */
    uint64_t *hashes;    /* [pieces] of the checkpoint's bytes; filled by packing */
    atomic_uchar *bad;   /* [list->n + 1] saw a value that is not finite; the last: in the embedding */
};

/* Find every tensor and check its shape and type. A head that differs from a tied embedding is refused. Panels are F32 where `compute` is F32 and bf16 could not
 * hold some matrix exactly. Released with tw_binding_release, also after a failure. */
trawl_status tw_binding_make(struct tw_binding *b, const struct tw_weight_list *list,
                             const struct tw_model_config *config, const struct tw_safetensors *files,
                             enum tw_dtype compute, struct trawl_error *err);
void tw_binding_release(struct tw_binding *b);

static inline size_t tw_binding_pieces(const struct tw_binding *b)
{
    return b->first_piece[b->list->n + 1];
}

/* The weight that piece `piece` belongs to; list->n: rows of an embedding that is no matrix. */
size_t tw_binding_weight_of(const struct tw_binding *b, size_t piece);
/* The panels [begin, end) of a piece, counted in its matrix. */
void tw_binding_panels_of(const struct tw_binding *b, size_t piece, size_t *begin, size_t *end);

/* Pack one piece into `to`, the place of its first panel, and hash what it was made from. Pieces of the
 * embedding are only hashed. Any thread; a piece may be packed again. */
void tw_binding_pack(struct tw_binding *b, size_t piece, void *to);

/* All vectors into vectors[list->floats], zeroed before; marks those that are not finite. */
void tw_binding_copy_vectors(struct tw_binding *b, float *vectors);

/* Of every weight, when all pieces were packed. */
uint64_t tw_binding_fingerprint(const struct tw_binding *b, const float *vectors);

/* One warning for each weight with values that are not finite, one for tensors of `files` that are no weights. */
void tw_binding_warn(const struct tw_binding *b, const struct tw_safetensors *files,
                     const struct tw_log *log);

#endif /* TW_MODEL_PACK_H */
