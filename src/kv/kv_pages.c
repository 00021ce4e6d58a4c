/* SPDX-License-Identifier: MIT */
#include "kv/kv_pages.h"

#include "base/alloc.h"
#include "base/size.h"
#include "kernels/kernels.h"

trawl_status tw_kv_pages_init(struct tw_kv_pages *p, size_t n_pages, struct trawl_error *err)
{
    *p = (struct tw_kv_pages){.oldest = TW_KV_NO_PAGE, .newest = TW_KV_NO_PAGE};
    TW_TRY(tw_alloc(n_pages, sizeof *p->free_list, &p->free_list, err));
    trawl_status status = tw_alloc(n_pages, sizeof *p->state, &p->state, err);
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
    tw_free(p->state);
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
        out[i]           = p->free_list[--p->n_free];
        p->state[out[i]] = (struct tw_kv_page_state){.references = 1};
    }
    p->peak = tw_max_size(p->peak, tw_kv_pages_held(p));
    return TRAWL_OK;
}

/* ---- the list of idle pages ---- */

static void idle_append(struct tw_kv_pages *p, uint32_t page)
{
    struct tw_kv_page_state *s = &p->state[page];
    s->older                   = p->newest;
    s->newer                   = TW_KV_NO_PAGE;
    if (p->newest == TW_KV_NO_PAGE) {
        p->oldest = page;
    } else {
        p->state[p->newest].newer = page;
    }
    p->newest = page;
    p->n_idle++;
}

static void idle_remove(struct tw_kv_pages *p, uint32_t page)
{
    struct tw_kv_page_state *s = &p->state[page];
    if (s->older == TW_KV_NO_PAGE) {
        p->oldest = s->newer;
    } else {
        p->state[s->older].newer = s->newer;
    }
    if (s->newer == TW_KV_NO_PAGE) {
        p->newest = s->older;
    } else {
        p->state[s->newer].older = s->older;
    }
    p->n_idle--;
}

/* ---- references ---- */

void tw_kv_pages_retain(struct tw_kv_pages *p, uint32_t page)
{
    if (page == TW_KV_NO_PAGE) {
        return;
    }
    struct tw_kv_page_state *s = &p->state[page];
    TW_BUG_ON(s->references == 0 && !s->kept);
    if (s->references++ == 0) {
        idle_remove(p, page);
        p->peak = tw_max_size(p->peak, tw_kv_pages_held(p));
    }
}

void tw_kv_pages_drop(struct tw_kv_pages *p, const uint32_t *pages, size_t n)
{
    for (size_t i = n; i-- > 0;) {
        if (pages[i] == TW_KV_NO_PAGE) {
            continue;
        }
        struct tw_kv_page_state *s = &p->state[pages[i]];
        TW_BUG_ON(s->references == 0);
        if (--s->references > 0) {
            continue;
        }
        if (s->kept) {
            idle_append(p, pages[i]);
        } else {
            p->free_list[p->n_free++] = pages[i];
        }
    }
}

void tw_kv_pages_keep(struct tw_kv_pages *p, uint32_t page)
{
    TW_BUG_ON(p->state[page].references == 0);
    p->state[page].kept = true;
}

void tw_kv_pages_forget(struct tw_kv_pages *p, uint32_t page)
{
    struct tw_kv_page_state *s = &p->state[page];
    TW_BUG_ON(!s->kept);
    s->kept = false;
    if (s->references == 0) {
        idle_remove(p, page);
        p->free_list[p->n_free++] = page;
    }
}
