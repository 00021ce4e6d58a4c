/* SPDX-License-Identifier: MIT */
/* Copy a checkpoint tensor by tensor, with something about one of them changed. */
#ifndef TRAWL_TESTS_MODEL_CHECKPOINT_COPY_H
#define TRAWL_TESTS_MODEL_CHECKPOINT_COPY_H

#include "formats/formats_safetensors.h"

struct checkpoint_edit {
    const char *tensor; /* NULL: nothing is changed */
    bool drop;
    const char *shape; /* "[3,4]" instead of its own; the bytes stay */
    const char *dtype; /* instead of its own; the bytes stay */
    size_t byte;       /* xor_with is applied to this byte */
    uint8_t xor_with;
};

/* From folder to folder (made when absent), config.json included, as `n_files` files. */
void checkpoint_copy(const char *from, const char *to, int n_files, const struct checkpoint_edit *edit);

#endif /* TRAWL_TESTS_MODEL_CHECKPOINT_COPY_H */
