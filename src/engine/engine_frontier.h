/* SPDX-License-Identifier: MIT */
/* What an n-best search has found of the tree of answers and is not done with. A *node* is a token behind those of
 * its parent; the root is the prompt. A *leaf* is a node whose turn has not come: to be computed, being computed, or
 * an answer that waits for what comes before it. Leaves stand in depth-first order, in which the more probable of two
 * siblings comes first, so whatever order they are computed in, they are dealt with in one. */
#ifndef TW_ENGINE_FRONTIER_H
#define TW_ENGINE_FRONTIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/engine_logits.h"

struct tw_node {
    uint32_t parent;   /* of a free one: the next free one */
    uint32_t uses;     /* its leaf and its children */
    uint32_t n_tokens; /* of the answer, with its own */
    int32_t token;
    float logprob;             /* of its token */
    float entropy, varentropy; /* of what the token was chosen from */
    double sum;                /* log-probability of the answer so far, its tokens' in order */
};

/* The last two are answers: they end with an end token, or have max_tokens tokens. */
enum tw_leaf_state { TW_LEAF_WAITING, TW_LEAF_RUNNING, TW_LEAF_STOPPED, TW_LEAF_FULL };

struct tw_leaf {
    enum tw_leaf_state state;
    uint32_t node;
    uint32_t owner; /* the branch that runs it, or that computed its parent */
    uint64_t
        before; /* nodes between the leaf before it and this one: they are computed, and went before it */
};

struct tw_frontier {
    struct tw_node *nodes; /* [n_nodes] the root is number 0 */
    size_t n_nodes, nodes_capacity;
    uint32_t free;          /* the first of those that are in no use; 0: none */
    struct tw_leaf *leaves; /* [n_leaves] the last one comes first */
    size_t n_leaves, leaves_capacity;
    uint64_t after;   /* nodes that are computed and come after all leaves */
    uint64_t visited; /* nodes before the first leaf */
    uint64_t limit;   /* nodes that are visited at most */
    bool truncated;   /* there are more of them */
};

static inline bool tw_leaf_is_answer(const struct tw_leaf *p)
{
    return p->state == TW_LEAF_STOPPED || p->state == TW_LEAF_FULL;
}

/* A tree of the root alone, which branch 0 computes. Release it in any case. */
trawl_status tw_frontier_init(struct tw_frontier *f, uint64_t limit, struct trawl_error *err);
void tw_frontier_release(struct tw_frontier *f);

/* The node at this leaf has been computed: its n children, the most probable first, take its place, all of them
 * waiting and owned by its branch. The first one is number leaf + n - 1. */
trawl_status tw_frontier_expand(struct tw_frontier *f, size_t leaf, const struct tw_scored_token *children,
                                size_t n, const struct tw_logits *row, struct trawl_error *err);

/* Visit the first leaf, an answer, after the caller has read it; it is gone then. */
void tw_frontier_pop(struct tw_frontier *f);

/* May the first leaf be visited? False when there is none, or the limit is reached; `truncated` tells which, and
 * `visited` is final. */
bool tw_frontier_has_next(struct tw_frontier *f);

/* How many of f->leaves, from number 0 on, the limit will not let be visited; and forget them. */
size_t tw_frontier_beyond(const struct tw_frontier *f);
void tw_frontier_trim(struct tw_frontier *f);

#endif /* TW_ENGINE_FRONTIER_H */
