/* SPDX-License-Identifier: MIT */
#include "engine/engine_frontier.h"

#include <string.h>

#include "base/alloc.h"

/* Room for n more nodes. */
static trawl_status reserve(struct tw_frontier *f, size_t n, struct trawl_error *err)
{
    if (n > UINT32_MAX - f->n_nodes) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "n-best search: more than %u tokens wait to be tried",
                       UINT32_MAX);
    }
    TW_TRY(tw_grow(&f->nodes, &f->nodes_capacity, f->n_nodes + n, sizeof *f->nodes, err));
    return tw_grow(&f->leaves, &f->leaves_capacity, f->n_leaves + n, sizeof *f->leaves, err);
}

static uint32_t take_node(struct tw_frontier *f)
{
    uint32_t node = f->free;
    if (node == 0) {
        return (uint32_t)f->n_nodes++;
    }
    f->free = f->nodes[node].parent;
    return node;
}

/* A node whose leaf and children are gone goes, and then perhaps its parent. The root stays. */
static void drop(struct tw_frontier *f, uint32_t node)
{
    while (--f->nodes[node].uses == 0) {
        uint32_t parent       = f->nodes[node].parent;
        f->nodes[node].parent = f->free;
        f->free               = node;
        node                  = parent;
    }
}

trawl_status tw_frontier_init(struct tw_frontier *f, uint64_t limit, struct trawl_error *err)
{
    *f = (struct tw_frontier){.limit = limit};
    TW_TRY(reserve(f, 1, err));
    f->nodes[0]  = (struct tw_node){.uses = 2}; /* its leaf, and it stays */
    f->leaves[0] = (struct tw_leaf){.state = TW_LEAF_RUNNING};
    f->n_nodes = f->n_leaves = 1;
    return TRAWL_OK;
}

void tw_frontier_release(struct tw_frontier *f)
{
    tw_free(f->nodes);
    tw_free(f->leaves);
    *f = (struct tw_frontier){0};
}

trawl_status tw_frontier_expand(struct tw_frontier *f, size_t leaf, const struct tw_scored_token *children,
                                size_t n, const struct tw_logits *row, struct trawl_error *err)
{
    struct tw_leaf old = f->leaves[leaf];
    uint64_t before    = old.before + (old.node == 0 ? 0 : 1); /* the root is no token */
    TW_TRY(reserve(f, n, err));
    memmove(f->leaves + leaf + n, f->leaves + leaf + 1, (f->n_leaves - leaf - 1) * sizeof *f->leaves);
    for (size_t i = 0; i < n; i++) {
        uint32_t node                = take_node(f);
        const struct tw_node *parent = &f->nodes[old.node];
        f->nodes[node]               = (struct tw_node){.parent     = old.node,
                                                        .uses       = 1,
                                                        .n_tokens   = parent->n_tokens + 1,
                                                        .token      = children[i].token,
                                                        .logprob    = children[i].logprob,
                                                        .entropy    = row->entropy,
                                                        .varentropy = row->varentropy,
                                                        .sum        = parent->sum + (double)children[i].logprob};
        f->nodes[old.node].uses++;
        f->leaves[leaf + n - 1 - i] =
            (struct tw_leaf){.state = TW_LEAF_WAITING, .node = node, .owner = old.owner};
    }
    f->n_leaves = f->n_leaves - 1 + n;
    if (leaf + n == 0) {
        f->after += before;
    } else {
        f->leaves[leaf + n - 1].before += before;
    }
    drop(f, old.node);
    return TRAWL_OK;
}

bool tw_frontier_has_next(struct tw_frontier *f)
{
    struct tw_leaf *first = f->n_leaves == 0 ? NULL : &f->leaves[f->n_leaves - 1];
    uint64_t *passed      = first == NULL ? &f->after : &first->before;
    f->visited += *passed;
    *passed = 0;
    if (f->visited > f->limit || (f->visited == f->limit && first != NULL)) {
        f->visited   = f->limit;
        f->truncated = true;
        return false;
    }
    return first != NULL;
}

void tw_frontier_pop(struct tw_frontier *f)
{
    f->visited++;
    drop(f, f->leaves[--f->n_leaves].node);
}

size_t tw_frontier_beyond(const struct tw_frontier *f)
{
    uint64_t left = f->limit - f->visited;
    return f->n_leaves > left ? f->n_leaves - (size_t)left : 0;
}

void tw_frontier_trim(struct tw_frontier *f)
{
    size_t n = tw_frontier_beyond(f);
    for (size_t i = 0; i < n; i++) {
        drop(f, f->leaves[i].node);
    }
    f->truncated = f->truncated || n > 0;
    f->n_leaves -= n;
    memmove(f->leaves, f->leaves + n, f->n_leaves * sizeof *f->leaves);
}
