/* SPDX-License-Identifier: MIT */
/* Which KV pages already hold the keys and values of a prefix: a radix tree over token ids, one whole page of
 * 64 tokens an edge. What a page holds depends on all tokens up to its last, so a page's place in the tree, its
 * path from the root, says what is in it. Nodes are the pages themselves, so the tree never outgrows the pool
 * and allocates nothing after init.
 *
 * The tree holds no references: it keeps pages (kv_pages.h), and those that nobody holds are idle and may be
 * evicted, oldest first. Only whole pages are shared. A copy of half a page would save at most 63 tokens of
 * computing, would make a page's content depend on who came first, and would cost a copy on every device.
 *
 * `space` separates prefixes that have equal tokens but unequal keys and values: another attention mask, say.
 * What is the same for all requests of an engine (weights, dtypes, leaves) need not be in it.
 *
 * One thread (the replica's scheduler) uses a tree, together with its pool. */
#ifndef TW_KV_PREFIX_H
#define TW_KV_PREFIX_H

#include "kernels/kernels.h"
#include "kv/kv_pages.h"

/* A page in the tree. Links are page numbers, TW_KV_NO_PAGE where there is none. */
struct tw_kv_node {
    int32_t tokens[TW_KV_BLOCK];
    uint64_t space;
    uint32_t parent; /* none: the page begins at position 0 */
    uint32_t first_child, older_sibling, newer_sibling;
    uint32_t next; /* in its bucket */
    uint32_t bucket;
};

struct tw_kv_prefix {
    struct tw_kv_pages *pages;
    struct tw_kv_node *nodes; /* [n_pages], of pages that are kept */
    uint32_t *buckets;        /* [n_buckets], a power of two */
    size_t n_buckets, nodes_bytes;
    size_t n_nodes;
    size_t most_idle;
    uint64_t found, evicted; /* pages so far: handed out by find, evicted */
};

/* `pages` is kept and outlives the tree. most_idle: pages held by nobody that are kept at most. */
trawl_status tw_kv_prefix_init(struct tw_kv_prefix *c, struct tw_kv_pages *pages, size_t most_idle,
                               struct trawl_error *err);
void tw_kv_prefix_release(struct tw_kv_prefix *c); /* forgets all pages */

/* In both of these `pages[0 .. first)` are held by the caller and contain tokens[0 .. 64 * first), and n is a
 * number of whole pages: tokens[0 .. 64 * n) are read.
 *
 * Find: the longest run of known pages after the first ones, at most up to n. They are written to
 * pages[first ...] with a reference each for the caller; returns where the run ends, `first` if there is none. */
size_t tw_kv_prefix_find(struct tw_kv_prefix *c, uint64_t space, const int32_t *tokens, uint32_t *pages,
                         size_t first, size_t n);
/* Held: how many of the first n pages are known and held by somebody, so that finding them costs nothing. */
size_t tw_kv_prefix_held(const struct tw_kv_prefix *c, uint64_t space, const int32_t *tokens, size_t n);
/* Insert: make pages[first .. n), which the caller holds and has filled, known. Where the tree has a page with
 * the same content already, the caller's is dropped and that one takes its place in `pages`. Returns where the
 * known run ends: before n when page first - 1 is not known (any more). */
size_t tw_kv_prefix_insert(struct tw_kv_prefix *c, uint64_t space, const int32_t *tokens, uint32_t *pages,
                           size_t first, size_t n);

/* Evict idle pages until n are free and no more than most_idle are idle; false when n cannot be had. */
bool tw_kv_prefix_make_room(struct tw_kv_prefix *c, size_t n);
/* Forget a page, and with it all that continue it: its holder wants to write to it. No harm if unknown. */
void tw_kv_prefix_forget(struct tw_kv_prefix *c, uint32_t page);
/* Forget all. */
void tw_kv_prefix_clear(struct tw_kv_prefix *c);

#endif /* TW_KV_PREFIX_H */
