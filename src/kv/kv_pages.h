/* SPDX-License-Identifier: MIT */
/* Who owns which KV page: a pool of page numbers with reference counts. A page holds 64 positions of one
 * sequence in all layers and on all devices of a replica, under the same number everywhere. One thread
 * (the replica's scheduler) uses a pool. */
#ifndef TW_KV_PAGES_H
#define TW_KV_PAGES_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct tw_kv_pages {
    uint32_t *free_list;  /* [n_pages], the first n_free are free */
    uint32_t *references; /* [n_pages] */
    size_t n_pages, n_free;
};

trawl_status tw_kv_pages_init(struct tw_kv_pages *p, size_t n_pages, struct trawl_error *err);
void tw_kv_pages_release(struct tw_kv_pages *p);

/* Pages that hold n_tokens positions. */
size_t tw_kv_pages_for(size_t n_tokens);

/* Take n free pages with one reference each into out[n]; all or none: TRAWL_ERR_LIMIT gives the numbers. */
trawl_status tw_kv_pages_take(struct tw_kv_pages *p, size_t n, uint32_t *out, struct trawl_error *err);
void tw_kv_pages_retain(struct tw_kv_pages *p, uint32_t page);
/* Drop one reference of each; pages without any are free again. */
void tw_kv_pages_drop(struct tw_kv_pages *p, const uint32_t *pages, size_t n);

#endif /* TW_KV_PAGES_H */
