/* SPDX-License-Identifier: MIT */
/* Who owns which KV page: a pool of page numbers with reference counts. A page holds 64 positions of one
 * sequence in all layers and on all devices of a replica, under the same number everywhere. One thread
 * (the replica's scheduler) uses a pool.
 *
 * A page is free, held (references > 0) or idle: held by nobody, but kept because its content may be wanted
 * again (kv_prefix.h decides which). Idle pages form a list in the order in which they were dropped. */
#ifndef TW_KV_PAGES_H
#define TW_KV_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define TW_KV_NO_PAGE UINT32_MAX

struct tw_kv_page_state {
    uint32_t references;
    uint32_t older, newer; /* neighbours in the list of idle pages, while it is idle */
    bool kept;
};

struct tw_kv_pages {
    uint32_t *free_list;            /* [n_pages], the first n_free are free */
    struct tw_kv_page_state *state; /* [n_pages] */
    size_t n_pages, n_free;
    size_t n_idle;
    uint32_t oldest, newest; /* ends of the idle list, TW_KV_NO_PAGE when it is empty */
    size_t peak;             /* most pages that were held at once */
};

trawl_status tw_kv_pages_init(struct tw_kv_pages *p, size_t n_pages, struct trawl_error *err);
void tw_kv_pages_release(struct tw_kv_pages *p);

/* Pages that hold n_tokens positions. */
size_t tw_kv_pages_for(size_t n_tokens);

/* Take n free pages with one reference each into out[n]; all or none: TRAWL_ERR_LIMIT gives the numbers. */
trawl_status tw_kv_pages_take(struct tw_kv_pages *p, size_t n, uint32_t *out, struct trawl_error *err);
/* One more reference to a page that is held or idle; here and below TW_KV_NO_PAGE in a list is a hole. */
void tw_kv_pages_retain(struct tw_kv_pages *p, uint32_t page);
/* Drop one reference of each, the last first; a page without any is idle if it is kept, else free again. */
void tw_kv_pages_drop(struct tw_kv_pages *p, const uint32_t *pages, size_t n);

/* Keep a held page when nobody holds it any more; no longer keep it, which frees an idle one. */
void tw_kv_pages_keep(struct tw_kv_pages *p, uint32_t page);
void tw_kv_pages_forget(struct tw_kv_pages *p, uint32_t page);

/* Pages that somebody holds. */
static inline size_t tw_kv_pages_held(const struct tw_kv_pages *p)
{
    return p->n_pages - p->n_free - p->n_idle;
}

/* May the only holder of a page write to it? Not when others hold it, nor when it is kept. */
static inline bool tw_kv_pages_writable(const struct tw_kv_pages *p, uint32_t page)
{
    return p->state[page].references == 1 && !p->state[page].kept;
}

#endif /* TW_KV_PAGES_H */
