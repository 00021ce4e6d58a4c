/* SPDX-License-Identifier: MIT */
#include "kv/kv_memory.h"

#include "base/alloc.h"
#include "base/size.h"

size_t tw_kv_page_bytes(enum tw_dtype dtype, size_t n_layers, size_t n_heads, size_t head_dim)
{
    return 2 * n_layers * n_heads * tw_kv_block_elements(head_dim) * tw_dtype_bytes(dtype);
}

trawl_status tw_kv_memory_init(struct tw_kv_memory *m, enum tw_dtype dtype, size_t n_layers, size_t n_pages,
                               size_t n_heads, size_t head_dim, struct trawl_error *err)
{
    *m = (struct tw_kv_memory){
        .n_layers    = n_layers,
        .n_pages     = n_pages,
        .n_heads     = n_heads,
        .head_dim    = head_dim,
        .block_bytes = tw_kv_block_elements(head_dim) * tw_dtype_bytes(dtype),
        .dtype       = dtype,
    };
    if (!tw_size_mul(n_pages, tw_kv_page_bytes(dtype, n_layers, n_heads, head_dim), &m->bytes)) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "KV cache: %zu pages do not fit in the address space", n_pages);
    }
    trawl_status status = tw_big_alloc(m->bytes, &m->base, err);
    return status == TRAWL_OK ? status : tw_fail_prefix(err, status, "KV cache of %zu pages", n_pages);
}

void tw_kv_memory_release(struct tw_kv_memory *m)
{
    tw_big_free(m->base, m->bytes);
    *m = (struct tw_kv_memory){0};
}
