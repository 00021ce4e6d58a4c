/* SPDX-License-Identifier: MIT */
/* Compressed panels of a whole model (kernels/kernels_compress.h): what the panels need beside them, collected
 * while threads pack. */
#ifndef TW_MODEL_COMPRESS_H
#define TW_MODEL_COMPRESS_H

#include "model/model_list.h"

/* The codes of all panels of all matrices. */
struct tw_compression {
    uint8_t *upper;  /* [panels][TW_UPPER_BYTES] */
    uint32_t *first; /* [panels + 1] */
    uint32_t *group; /* [plain groups] */
    uint8_t *plain;  /* [plain groups][TW_PLAIN_BYTES] */
    size_t panels, n_plain;
};

struct tw_compressor {
    const struct tw_weight_list *list;
    size_t *panel;  /* [list->n] the number of a matrix' first panel among all of them */
    size_t *offset; /* [list->n] bytes before a matrix */
    size_t bytes;   /* of all matrices; those that cannot be compressed are plain bf16 */
    size_t groups;
    struct tw_compression made;
};

/* What one thread found. Zeroed before the first panel. */
struct tw_plain_groups {
    struct tw_plain_group {
        uint32_t panel, group;
        uint8_t lines[TW_PLAIN_BYTES];
    } * groups;
    size_t n, capacity;
    trawl_status status; /* of the thread; the others go on */
};

trawl_status tw_compressor_make(struct tw_compressor *c, const struct tw_weight_list *list,
                                struct trawl_error *err);
void tw_compressor_release(struct tw_compressor *c); /* what was made goes too, unless it was taken */

/* Bytes before a panel of matrix `index`. */
size_t tw_compressor_place(const struct tw_compressor *c, size_t index, size_t panel);
/* Compress panels [begin, end) of matrix `index`, bf16 panels one after the other, to `to`, the place of the
 * first of them. Any thread, each with its own `found`. */
void tw_compressor_add(struct tw_compressor *c, size_t index, size_t begin, size_t end, const uint16_t *from,
                       void *to, struct tw_plain_groups *found);
/* The groups that the threads have kept plain so far. */
trawl_status tw_compressor_count(const struct tw_plain_groups *found, size_t n, size_t *n_plain,
                                 struct trawl_error *err);
/* Are panels and codes with so many plain groups smaller than plain panels? Those of a trained model are. */
bool tw_compressor_pays(const struct tw_compressor *c, size_t n_plain);
/* When all panels were added, once: put together what the threads found. */
trawl_status tw_compressor_finish(struct tw_compressor *c, const struct tw_plain_groups *found, size_t n,
                                  struct trawl_error *err);
/* The codes of matrix `index`; zeros when it is plain. */
struct tw_codes tw_compressor_codes(const struct tw_compressor *c, size_t index);

size_t tw_compression_bytes(const struct tw_compression *c);
void tw_compression_release(struct tw_compression *c);

#endif /* TW_MODEL_COMPRESS_H */
