/* SPDX-License-Identifier: MIT */
/* Every weight of a model in one list: its name in the checkpoint, its shape there, and its place among the
 * packed matrices or the vectors. Loading, packing to disk and mapping a packed file walk this list, so they
 * cannot disagree. The embedding's rows are not in it: they stay as the checkpoint has them. */
#ifndef TW_MODEL_LIST_H
#define TW_MODEL_LIST_H

#include <stddef.h>

#include "base/error.h"
#include "model/model_weights.h"

#define TW_EMBED_NAME "model.embed_tokens.weight"
#define TW_HEAD_NAME  "lm_head.weight"
/* The embedding's rows in a packed file, beside a tied head's panels of the same tensor. */
#define TW_EMBED_ROWS "model.embed_tokens.rows"

struct tw_weight {
    char name[96];
    size_t rows, columns;     /* of the checkpoint's tensor; columns 0: a vector */
    struct tw_linear *linear; /* of a matrix; NULL: a vector */
    const float **vector;     /* where the pointer to a vector belongs */
    size_t group, stride;     /* vector: groups of `group` values begin `stride` floats apart */
    size_t first, elements;   /* its place: elements of panels, or floats of vectors */
};

struct tw_weight_list {
    struct tw_weight *weights;
    size_t n, capacity;
    size_t matrix_elements, floats; /* of all matrices and all vectors */
    trawl_status status;            /* while it is being made */
};

/* The list of `model` (its config and its layers array are set); shapes of the layers' struct tw_linear are
 * filled in. Freed with tw_weight_list_release, also after a failure. The list points into the model. */
trawl_status tw_weight_list_make(struct tw_weight_list *list, struct tw_model *model,
                                 struct trawl_error *err);
void tw_weight_list_release(struct tw_weight_list *list);

static inline bool tw_weight_is_matrix(const struct tw_weight *w)
{
    return w->linear != NULL;
}

#endif /* TW_MODEL_LIST_H */
