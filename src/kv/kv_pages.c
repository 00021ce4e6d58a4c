/* SPDX-License-Identifier: MIT */
#include "kv/kv_pages.h"

#include "base/alloc.h"
#include "base/size.h"
#include "kernels/kernels.h"

trawl_status tw_kv_pages_init(struct tw_kv_pages *p, size_t n_pages, struct trawl_error *err)
{
    *p = (struct tw_kv_pages){0};
    TW_TRY(tw_alloc(n_pages, sizeof *p->free_list, &p->free_list, err));
    trawl_status status = tw_alloc(n_pages, sizeof *p->references, &p->references, err);
    if (status != TRAWL_OK) {
        tw_kv_pages_release(p);
        return status;
    }
    p->n_pages = p->n_free = n_pages;
    for (size_t i = 0; i < n_pages; i++) {
        p->free_list[i] = (uint32_t)(n_pages - 1 - i); /* low numbers first: touched memory stays compact */
    }
    return TRAWL_OK;
}

void tw_kv_pages_release(struct tw_kv_pages *p)
{
    tw_free(p->free_list);
    tw_free(p->references);
    *p = (struct tw_kv_pages){0};
}

size_t tw_kv_pages_for(size_t n_tokens)
{
    return tw_ceil_div(n_tokens, TW_KV_BLOCK);
}

trawl_status tw_kv_pages_take(struct tw_kv_pages *p, size_t n, uint32_t *out, struct trawl_error *err)
{
    if (n > p->n_free) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "KV cache: %zu pages of %d tokens wanted, %zu of %zu free", n,
                       TW_KV_BLOCK, p->n_free, p->n_pages);
    }
    for (size_t i = 0; i < n; i++) {
        out[i]                = p->free_list[--p->n_free];
        p->references[out[i]] = 1;
    }
    return TRAWL_OK;
}

void tw_kv_pages_retain(struct tw_kv_pages *p, uint32_t page)
{
    TW_BUG_ON(p->references[page] == 0);
    p->references[page]++;
}

void tw_kv_pages_drop(struct tw_kv_pages *p, const uint32_t *pages, size_t n)
{
    for (size_t i = n; i-- > 0;) {
        TW_BUG_ON(p->references[pages[i]] == 0);
        if (--p->references[pages[i]] == 0) {
            p->free_list[p->n_free++] = pages[i];
        }
    }
}
