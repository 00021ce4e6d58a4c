/* SPDX-License-Identifier: MIT */
/* The syntax tree of a constraint: what a regular expression and a JSON schema are read into, and what the
 * automaton is built from. It describes a set of texts; there are no captures, so no order of preference. */
#ifndef TW_CONSTRAIN_TREE_H
#define TW_CONSTRAIN_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

/* Most nodes of a tree, and of the automaton built from one. */
enum { TW_CONSTRAIN_NODES_MAX = 1 << 21 };

enum tw_tree_kind {
    TW_TREE_EMPTY,   /* the empty text */
    TW_TREE_TEXT,    /* these bytes */
    TW_TREE_SET,     /* one character of a set of code points */
    TW_TREE_CAT,     /* the children one after another */
    TW_TREE_ALT,     /* one of the children; none: no text at all */
    TW_TREE_REPEAT,  /* the child min to max times */
    TW_TREE_ITEMS,   /* the child min to max times, `separator` between two */
    TW_TREE_MEMBERS, /* every child at most once, in order, the required ones always; `separator` as above */
};

#define TW_TREE_NO_MAX UINT32_MAX

/* A range of code points, both ends included. */
struct tw_code_range {
    uint32_t lo, hi;
};

struct tw_tree_node {
    enum tw_tree_kind kind;
    bool json;           /* SET: the character is written as in a JSON string */
    bool required;       /* a child of MEMBERS */
    uint32_t last, prev; /* the last child, the sibling before; 0: none */
    uint32_t at, n;      /* TEXT: of `bytes`; SET: of `ranges` */
    uint32_t min, max;   /* REPEAT, ITEMS */
    uint32_t separator;  /* ITEMS, MEMBERS */
};

/* Nodes are named by their index; 0 is none. */
struct tw_tree {
    struct tw_tree_node *nodes;
    size_t n_nodes, nodes_capacity;
    struct tw_code_range *ranges;
    size_t n_ranges, ranges_capacity;
    struct tw_str bytes;
};

void tw_tree_init(struct tw_tree *t);
void tw_tree_release(struct tw_tree *t);

/* TRAWL_ERR_LIMIT above TW_CONSTRAIN_NODES_MAX nodes. */
trawl_status tw_tree_add(struct tw_tree *t, enum tw_tree_kind kind, uint32_t *out, struct trawl_error *err);
trawl_status tw_tree_text(struct tw_tree *t, const char *bytes, size_t n, uint32_t *out,
                          struct trawl_error *err);
/* `min` to `max` times `child`, `separator` (0: none) between two. */
trawl_status tw_tree_repeat(struct tw_tree *t, uint32_t child, uint32_t min, uint32_t max, uint32_t separator,
                            uint32_t *out, struct trawl_error *err);
/* A node belongs to one parent. */
void tw_tree_append(struct tw_tree *t, uint32_t parent, uint32_t child);

/* ---- sets of characters ---- */

/* A SET is open while it is the newest thing in `ranges`: add ranges, then close it, which sorts and joins
 * them, leaves out the surrogates (no text has them), and complements the set if asked. */
trawl_status tw_tree_set_add(struct tw_tree *t, uint32_t set, uint32_t lo, uint32_t hi,
                             struct trawl_error *err);
trawl_status tw_tree_set_close(struct tw_tree *t, uint32_t set, bool negate, struct trawl_error *err);

#endif /* TW_CONSTRAIN_TREE_H */
