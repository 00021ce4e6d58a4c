/* SPDX-License-Identifier: MIT */
/* A nondeterministic automaton over bytes, built back to front: a node knows what follows it, so what is left
 * to write from any node on is known when the node is made. */
#ifndef TW_CONSTRAIN_NFA_H
#define TW_CONSTRAIN_NFA_H

#include "constrain/constrain_tree.h"

/* Distance of a node from which no text leads to the end. */
#define TW_NFA_NEVER UINT32_MAX

enum tw_nfa_kind {
    TW_NFA_ACCEPT, /* node 0 */
    TW_NFA_BYTE,   /* a byte lo .. hi that is in set `other`, if that is not 0; then `next` */
    TW_NFA_SPLIT,  /* `next` or `other`, without a byte */
};

struct tw_nfa_node {
    uint8_t kind, lo, hi;
    uint32_t next, other;
    uint32_t distance; /* bytes of the shortest text from here to the end */
};

struct tw_byte_set {
    uint64_t bits[4];
};

struct tw_nfa {
    struct tw_nfa_node *nodes;
    size_t n_nodes, capacity;
    uint32_t start;
    struct tw_byte_set *sets; /* [n_sets], all different; number 0 is none */
    size_t n_sets, sets_capacity;
};

static inline bool tw_nfa_reads(const struct tw_nfa *nfa, const struct tw_nfa_node *node, uint8_t byte)
{
    return node->kind == TW_NFA_BYTE && byte >= node->lo && byte <= node->hi &&
           (node->other == 0 || (nfa->sets[node->other].bits[byte / 64] >> (byte % 64) & 1) != 0);
}

/* errors: LIMIT: more than TW_CONSTRAIN_NODES_MAX nodes, or no text matches at all (FORMAT); NOMEM. */
trawl_status tw_nfa_build(struct tw_nfa *nfa, const struct tw_tree *tree, uint32_t root,
                          struct trawl_error *err);
void tw_nfa_release(struct tw_nfa *nfa);

#endif /* TW_CONSTRAIN_NFA_H */
