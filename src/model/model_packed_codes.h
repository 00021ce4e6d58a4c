/* SPDX-License-Identifier: MIT */
/* Compressed matrices of a packed file (model_packed.h): where their parts lie, what must be true of them, and
 * plain panels from them. */
#ifndef TW_MODEL_PACKED_CODES_H
#define TW_MODEL_PACKED_CODES_H

#include "model/model_packed.h"

/* Bytes from the matrix' beginning; panels begin at 0. */
struct tw_packed_parts {
    size_t plain, upper, first, group;
    size_t bytes; /* in all */
};

/* Of `panels` panels of k inputs, tw_compressible(k), with `plain_groups` plain groups. False: more than can be
 * counted. */
bool tw_packed_parts_of(size_t panels, size_t k, size_t plain_groups, struct tw_packed_parts *out);

static inline bool tw_packed_is_compressed(const struct tw_packed_entry *e)
{
    return (e->flags & TW_PACKED_COMPRESSED) != 0;
}

/* An entry that says it is compressed, whose bytes lie in the file that begins at `data`: are its numbers
 * possible, and do its codes name groups that exist? */
trawl_status tw_packed_check_codes(const uint8_t *data, const struct tw_packed_entry *e, const char *what,
                                   struct trawl_error *err);

/* The codes of an entry that was checked. */
struct tw_codes tw_packed_codes(const uint8_t *data, const struct tw_packed_entry *e);

/* All matrices of `list`, plain and compressed, as plain panels into memory of model->panels; they are pointed
 * there. */
trawl_status tw_packed_expand(struct tw_model *model, const struct tw_weight_list *list, int n_threads,
                              struct trawl_error *err);

#endif /* TW_MODEL_PACKED_CODES_H */
