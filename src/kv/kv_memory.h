/* SPDX-License-Identifier: MIT */
/* The memory behind a device's KV pages: for every layer, page and local KV head one block of keys and one
 * of values in the layout of kernels/kernels.h. Which page belongs to which sequence is kv_pages.h. */
#ifndef TW_KV_MEMORY_H
#define TW_KV_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "kernels/kernels.h"
#include "tensor/dtype.h"

struct tw_kv_memory {
    uint8_t *base; /* [layer][page][head]{keys, values} */
    size_t bytes;
    size_t n_layers, n_pages, n_heads, head_dim;
    size_t block_bytes;  /* of keys or of values: 64 positions of one head */
    enum tw_dtype dtype; /* F32 or BF16 */
};

/* Address space for n_pages pages; memory becomes resident as pages are first written. n_heads may be 0. */
trawl_status tw_kv_memory_init(struct tw_kv_memory *m, enum tw_dtype dtype, size_t n_layers, size_t n_pages,
                               size_t n_heads, size_t head_dim, struct trawl_error *err);
void tw_kv_memory_release(struct tw_kv_memory *m);

/* Bytes of one page of 64 positions, all layers and `n_heads` heads, keys and values. */
size_t tw_kv_page_bytes(enum tw_dtype dtype, size_t n_layers, size_t n_heads, size_t head_dim);

static inline void *tw_kv_keys(const struct tw_kv_memory *m, size_t layer, size_t page, size_t head)
{
    return m->base + ((layer * m->n_pages + page) * m->n_heads + head) * 2 * m->block_bytes;
}

static inline void *tw_kv_values(const struct tw_kv_memory *m, size_t layer, size_t page, size_t head)
{
    return (uint8_t *)tw_kv_keys(m, layer, page, head) + m->block_bytes;
}

#endif /* TW_KV_MEMORY_H */
