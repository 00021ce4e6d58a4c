/* SPDX-License-Identifier: MIT */
#include "kv/kv_prefix.h"

#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/size.h"

enum { PAGE_TOKENS = TW_KV_BLOCK };

trawl_status tw_kv_prefix_init(struct tw_kv_prefix *c, struct tw_kv_pages *pages, size_t most_idle,
                               struct trawl_error *err)
{
    *c           = (struct tw_kv_prefix){.pages = pages, .most_idle = most_idle};
    c->n_buckets = 1;
    while (c->n_buckets < pages->n_pages) {
        c->n_buckets *= 2;
    }
    if (!tw_size_mul(pages->n_pages, sizeof *c->nodes, &c->nodes_bytes)) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "prefix cache: %zu pages do not fit in the address space",
                       pages->n_pages);
    }
    trawl_status status = tw_alloc(c->n_buckets, sizeof *c->buckets, &c->buckets, err);
    if (status == TRAWL_OK) { /* becomes resident with the pages that it tells of */
        status = tw_big_alloc(c->nodes_bytes, &c->nodes, err);
    }
    if (status != TRAWL_OK) {
        tw_free(c->buckets);
        *c = (struct tw_kv_prefix){0};
        return tw_fail_prefix(err, status, "prefix cache of %zu pages", pages->n_pages);
    }
    for (size_t i = 0; i < c->n_buckets; i++) {
        c->buckets[i] = TW_KV_NO_PAGE;
    }
    return TRAWL_OK;
}

void tw_kv_prefix_release(struct tw_kv_prefix *c)
{
    if (c->nodes != NULL) {
        tw_kv_prefix_clear(c);
    }
    tw_free(c->buckets);
    tw_big_free(c->nodes, c->nodes_bytes);
    *c = (struct tw_kv_prefix){0};
}

/* ---- nodes ---- */

/* A page is looked for under its parent's number: that stands for all tokens before it. */
static uint32_t bucket_of(const struct tw_kv_prefix *c, uint64_t space, uint32_t parent,
                          const int32_t *tokens)
{
    uint64_t key[3] = {space, parent, tw_hash64(tokens, PAGE_TOKENS * sizeof *tokens)};
    return (uint32_t)(tw_hash64(key, sizeof key) & (c->n_buckets - 1));
}

static uint32_t look_up(const struct tw_kv_prefix *c, uint32_t bucket, uint64_t space, uint32_t parent,
                        const int32_t *tokens)
{
    uint32_t page = c->buckets[bucket];
    for (; page != TW_KV_NO_PAGE; page = c->nodes[page].next) {
        const struct tw_kv_node *n = &c->nodes[page];
        if (n->parent == parent && n->space == space &&
            memcmp(n->tokens, tokens, PAGE_TOKENS * sizeof *tokens) == 0) {
            break;
        }
    }
    return page;
}

static void link_node(struct tw_kv_prefix *c, uint32_t page, uint32_t bucket, uint64_t space, uint32_t parent,
                      const int32_t *tokens)
{
    struct tw_kv_node *n = &c->nodes[page];
    memcpy(n->tokens, tokens, PAGE_TOKENS * sizeof *tokens);
    n->space       = space;
    n->parent      = parent;
    n->first_child = n->older_sibling = n->newer_sibling = TW_KV_NO_PAGE;
    n->bucket                                            = bucket;
    n->next                                              = c->buckets[bucket];
    c->buckets[bucket]                                   = page;
    if (parent != TW_KV_NO_PAGE) {
        uint32_t sibling = c->nodes[parent].first_child;
        n->older_sibling = sibling;
        if (sibling != TW_KV_NO_PAGE) {
            c->nodes[sibling].newer_sibling = page;
        }
        c->nodes[parent].first_child = page;
    }
    c->n_nodes++;
    tw_kv_pages_keep(c->pages, page);
}

/* Take a page without children out of the tree. */
static void unlink_leaf(struct tw_kv_prefix *c, uint32_t page)
{
    struct tw_kv_node *n = &c->nodes[page];
    uint32_t *at         = &c->buckets[n->bucket];
    TW_BUG_ON(n->first_child != TW_KV_NO_PAGE);
    while (*at != page) {
        at = &c->nodes[*at].next;
    }
    *at = n->next;
    if (n->older_sibling != TW_KV_NO_PAGE) {
        c->nodes[n->older_sibling].newer_sibling = n->newer_sibling;
    }
    if (n->newer_sibling != TW_KV_NO_PAGE) {
        c->nodes[n->newer_sibling].older_sibling = n->older_sibling;
    } else if (n->parent != TW_KV_NO_PAGE) {
        c->nodes[n->parent].first_child = n->older_sibling;
    }
    c->n_nodes--;
    tw_kv_pages_forget(c->pages, page);
}

/* Whether a run may go on after pages[first - 1]. */
static bool is_known(const struct tw_kv_prefix *c, const uint32_t *pages, size_t first)
{
    return first == 0 || c->pages->state[pages[first - 1]].kept;
}

/* ---- the tree ---- */

size_t tw_kv_prefix_find(struct tw_kv_prefix *c, uint64_t space, const int32_t *tokens, uint32_t *pages,
                         size_t first, size_t n)
{
    size_t i = first;
    for (; i < n && is_known(c, pages, i); i++) {
        uint32_t parent    = i == 0 ? TW_KV_NO_PAGE : pages[i - 1];
        const int32_t *own = tokens + i * PAGE_TOKENS;
        uint32_t page      = look_up(c, bucket_of(c, space, parent, own), space, parent, own);
        if (page == TW_KV_NO_PAGE) {
            break;
        }
        tw_kv_pages_retain(c->pages, page);
        pages[i] = page;
        c->found++;
    }
    return i;
}

size_t tw_kv_prefix_held(const struct tw_kv_prefix *c, uint64_t space, const int32_t *tokens, size_t n)
{
    uint32_t page = TW_KV_NO_PAGE;
    size_t i      = 0;
    for (; i < n; i++) {
        const int32_t *own = tokens + i * PAGE_TOKENS;
        page               = look_up(c, bucket_of(c, space, page, own), space, page, own);
        if (page == TW_KV_NO_PAGE || c->pages->state[page].references == 0) {
            break;
        }
    }
    return i;
}

size_t tw_kv_prefix_insert(struct tw_kv_prefix *c, uint64_t space, const int32_t *tokens, uint32_t *pages,
                           size_t first, size_t n)
{
    size_t i = first;
    for (; i < n && is_known(c, pages, i); i++) {
        uint32_t parent    = i == 0 ? TW_KV_NO_PAGE : pages[i - 1];
        const int32_t *own = tokens + i * PAGE_TOKENS;
        uint32_t bucket    = bucket_of(c, space, parent, own);
        uint32_t page      = look_up(c, bucket, space, parent, own);
        if (page == TW_KV_NO_PAGE) {
            link_node(c, pages[i], bucket, space, parent, own);
        } else if (page != pages[i]) {
            tw_kv_pages_retain(c->pages, page);
            tw_kv_prefix_forget(c, pages[i]);
            tw_kv_pages_drop(c->pages, &pages[i], 1);
            pages[i] = page;
        }
    }
    return i;
}

bool tw_kv_prefix_make_room(struct tw_kv_prefix *c, size_t n)
{
    struct tw_kv_pages *p = c->pages;
    while (p->n_idle > 0 && (p->n_free < n || p->n_idle > c->most_idle)) {
        size_t before = p->n_free;
        tw_kv_prefix_forget(c, p->oldest);
        c->evicted += p->n_free - before;
    }
    return p->n_free >= n;
}

/* Holders drop a run's last page first, so the oldest idle page is mostly a leaf. One that is not takes its
 * subtree along: pages there that are held stay with their holders, but nobody finds them any more. */
void tw_kv_prefix_forget(struct tw_kv_prefix *c, uint32_t page)
{
    if (!c->pages->state[page].kept) {
        return;
    }
    for (uint32_t at = page;;) {
        while (c->nodes[at].first_child != TW_KV_NO_PAGE) {
            at = c->nodes[at].first_child;
        }
        uint32_t parent = c->nodes[at].parent;
        unlink_leaf(c, at);
        if (at == page) {
            return;
        }
        at = parent;
    }
}

void tw_kv_prefix_clear(struct tw_kv_prefix *c)
{
    for (size_t i = 0; i < c->n_buckets; i++) {
        while (c->buckets[i] != TW_KV_NO_PAGE) {
            tw_kv_prefix_forget(c, c->buckets[i]);
        }
    }
}
