/* SPDX-License-Identifier: MIT */
#include "constrain/constrain_nfa.h"

#include "base/alloc.h"
#include "base/utf8.h"

/* While it is built. */
struct builder {
    struct tw_nfa *nfa;
    const struct tw_tree *tree;
    size_t set_begin; /* first node of the set under way: its characters share what they end in */
    size_t visits;    /* of tree nodes: those under a count are visited once a turn */
    struct trawl_error *err;
};

enum {
    NODE_ACCEPT = 0,
    NODE_NEVER  = 1, /* the first two nodes */
    SHARE_REACH = 64,
    VISITS_MAX  = 16 * TW_CONSTRAIN_NODES_MAX,
};

static trawl_status add(struct builder *b, struct tw_nfa_node node, uint32_t *out)
{
    struct tw_nfa *nfa = b->nfa;
    if (nfa->n_nodes >= TW_CONSTRAIN_NODES_MAX) {
        return tw_fail(b->err, TRAWL_ERR_LIMIT, "the constraint's automaton has more than %d nodes",
                       TW_CONSTRAIN_NODES_MAX);
    }
    TW_TRY(tw_grow(&nfa->nodes, &nfa->capacity, nfa->n_nodes + 1, sizeof *nfa->nodes, b->err));
    nfa->nodes[nfa->n_nodes] = node;
    *out                     = (uint32_t)nfa->n_nodes++;
    return TRAWL_OK;
}

static uint32_t one_more(uint32_t distance)
{
    return distance >= TW_NFA_NEVER - 1 ? distance : distance + 1;
}

static trawl_status add_byte(struct builder *b, uint8_t lo, uint8_t hi, uint32_t next, uint32_t *out)
{
    uint32_t distance = one_more(b->nfa->nodes[next].distance);
    return add(b, (struct tw_nfa_node){TW_NFA_BYTE, lo, hi, next, 0, distance}, out);
}

/* One of two ways; a way that leads nowhere, or the same way twice, needs no node. */
static trawl_status add_split(struct builder *b, uint32_t one, uint32_t other, uint32_t *out)
{
    if (one == NODE_NEVER || one == other) {
        *out = other;
        return TRAWL_OK;
    }
    if (other == NODE_NEVER) {
        *out = one;
        return TRAWL_OK;
    }
    uint32_t x = b->nfa->nodes[one].distance, y = b->nfa->nodes[other].distance;
    return add(b, (struct tw_nfa_node){TW_NFA_SPLIT, 0, 0, one, other, x < y ? x : y}, out);
}

/* ---- characters ---- */

/* As add_byte, but a node of the same set that does the same is used again. */
static trawl_status share_byte(struct builder *b, uint8_t lo, uint8_t hi, uint32_t next, uint32_t *out)
{
    const struct tw_nfa_node *nodes = b->nfa->nodes;
    size_t n                        = b->nfa->n_nodes;
    size_t begin                    = n > b->set_begin + SHARE_REACH ? n - SHARE_REACH : b->set_begin;
    for (size_t i = n; i > begin; i--) {
        const struct tw_nfa_node *x = &nodes[i - 1];
        if (x->kind == TW_NFA_BYTE && x->lo == lo && x->hi == hi && x->next == next) {
            *out = (uint32_t)(i - 1);
            return TRAWL_OK;
        }
    }
    return add_byte(b, lo, hi, next, out);
}

/* The last code point of one byte, two, ... */
static const uint32_t LENGTH_LAST[] = {0x7F, 0x7FF, 0xFFFF, 0x10FFFF};

/* lo .. hi, whose encodings have the same length and differ, from some byte on, in every possible way. */
static trawl_status add_sequence(struct builder *b, uint32_t lo, uint32_t hi, uint32_t next, uint32_t *out)
{
    char first[4], last[4];
    size_t n      = tw_utf8_encode(lo, first);
    uint32_t node = 0;
    (void)tw_utf8_encode(hi, last);
    *out = next;
    while (n-- > 0) {
        TW_TRY(share_byte(b, (uint8_t)first[n], (uint8_t)last[n], *out, &node));
        *out = node;
    }
    return TRAWL_OK;
}

/* Add the characters lo .. hi to the alternatives *out. */
static trawl_status add_range(struct builder *b, uint32_t lo, uint32_t hi, uint32_t next, uint32_t *out)
{
    while (lo <= hi) {
        uint32_t end = hi;
        for (int i = 0; i < 3; i++) {
            if (lo <= LENGTH_LAST[i] && end > LENGTH_LAST[i]) {
                end = LENGTH_LAST[i];
            }
        }
        /* Cut where the low bits of `lo` or of `end` do not run from all zeros to all ones. */
        for (int bits = 6; lo > LENGTH_LAST[0] && bits <= 18; bits += 6) {
            uint32_t low = (1u << bits) - 1;
            if ((lo & ~low) == (end & ~low)) {
                break;
            }
            if ((lo & low) != 0) {
                end = lo | low;
            } else if ((end & low) != low) {
                end = (end & ~low) - 1;
            }
        }
        uint32_t sequence = 0;
        TW_TRY(add_sequence(b, lo, end, next, &sequence));
        TW_TRY(add_split(b, sequence, *out, out));
        lo = end + 1;
    }
    return TRAWL_OK;
}

static trawl_status add_text(struct builder *b, const char *bytes, size_t n, uint32_t next, uint32_t *out)
{
    *out = next;
    while (n-- > 0) {
        TW_TRY(add_byte(b, (uint8_t)bytes[n], (uint8_t)bytes[n], *out, out));
    }
    return TRAWL_OK;
}

/* What follows the backslash where JSON writes this character with one; 0: it does not, or in no short way. */
static char json_escape(uint32_t code)
{
    static const char named[][2] = {{'"', '"'},  {'\\', '\\'}, {'\b', 'b'}, {'\f', 'f'},
                                    {'\n', 'n'}, {'\r', 'r'},  {'\t', 't'}};
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++) {
        if (code == (unsigned char)named[i][0]) {
            return named[i][1];
        }
    }
    return 0;
}

/* The characters lo .. hi in a JSON string. Control characters without a short escape are never written. */
static trawl_status add_json_range(struct builder *b, uint32_t lo, uint32_t hi, uint32_t next, uint32_t *out)
{
    for (; lo <= hi && lo <= '\\'; lo++) {
        char escape[2] = {'\\', json_escape(lo)};
        if (escape[1] != 0) {
            uint32_t written = 0;
            TW_TRY(add_text(b, escape, 2, next, &written));
            TW_TRY(add_split(b, written, *out, out));
        } else if (lo >= ' ') {
            uint32_t end = lo < '"' ? '"' - 1 : '\\' - 1;
            end          = end < hi ? end : hi;
            TW_TRY(add_range(b, lo, end, next, out));
            lo = end;
        }
    }
    return lo <= hi ? add_range(b, lo, hi, next, out) : TRAWL_OK;
}

static trawl_status add_set(struct builder *b, const struct tw_tree_node *set, uint32_t next, uint32_t *out)
{
    const struct tw_code_range *r = b->tree->ranges + set->at;
    b->set_begin                  = b->nfa->n_nodes;
    *out                          = NODE_NEVER;
    for (uint32_t i = 0; i < set->n; i++) {
        TW_TRY(set->json ? add_json_range(b, r[i].lo, r[i].hi, next, out)
                         : add_range(b, r[i].lo, r[i].hi, next, out));
    }
    return TRAWL_OK;
}

/* ---- structure ---- */

static trawl_status add_tree(struct builder *b, uint32_t index, uint32_t next, uint32_t *out);

/* `separator` (0: none), then `child`, whose first node is *body. */
static trawl_status add_separated(struct builder *b, uint32_t separator, uint32_t child, uint32_t next,
                                  uint32_t *body, uint32_t *out)
{
    TW_TRY(add_tree(b, child, next, body));
    *out = *body;
    return separator == 0 ? TRAWL_OK : add_tree(b, separator, *body, out);
}

/* Any number of turns, then *out = next. A turn goes on with another or leaves, so *turn also says "once or
 * more", and *body the same where the first turn has no separator. */
static trawl_status add_loop(struct builder *b, const struct tw_tree_node *node, uint32_t next,
                             uint32_t *body, uint32_t *turn, uint32_t *out)
{
    uint32_t distance = b->nfa->nodes[next].distance; /* a turn comes back here, so leaving is the shortest */
    TW_TRY(add(b, (struct tw_nfa_node){TW_NFA_SPLIT, 0, 0, next, next, distance}, out));
    TW_TRY(add_separated(b, node->separator, node->last, *out, body, turn));
    b->nfa->nodes[*out].next = *turn;
    return TRAWL_OK;
}

/* REPEAT and ITEMS, from the last turn to the first. All turns but the first have the separator before them. */
static trawl_status add_repeat(struct builder *b, const struct tw_tree_node *node, uint32_t next,
                               uint32_t *out)
{
    uint32_t body = next, turn = next, turns = node->max; /* turns to be made; optional down to `min` */
    *out = next;
    if (node->max == TW_TREE_NO_MAX) {
        TW_TRY(add_loop(b, node, next, &body, &turn, out));
        if (node->min == 0) {
            return node->separator == 0 ? TRAWL_OK : add_split(b, body, next, out);
        }
        *out  = node->min == 1 ? body : turn;
        turns = node->min - 1;
    }
    for (; turns > 0; turns--) {
        size_t before = b->nfa->n_nodes;
        TW_TRY(add_separated(b, node->separator, node->last, *out, &body, &turn));
        if (b->nfa->n_nodes == before && turn == *out) {
            return TRAWL_OK; /* a turn that writes nothing: more of them change nothing */
        }
        *out = turns == 1 ? body : turn;
        if (turns > node->min) {
            TW_TRY(add_split(b, *out, next, out));
        }
    }
    return TRAWL_OK;
}

/* Back to front, `fresh` being where nothing has been written yet and `started` where something has. */
static trawl_status add_members(struct builder *b, const struct tw_tree_node *node, uint32_t next,
                                uint32_t *out)
{
    uint32_t fresh = next, started = next, body = 0, turn = 0;
    for (uint32_t i = node->last; i != 0; i = b->tree->nodes[i].prev) {
        TW_TRY(add_separated(b, node->separator, i, started, &body, &turn));
        if (b->tree->nodes[i].required) {
            fresh   = body;
            started = turn;
        } else {
            TW_TRY(add_split(b, body, fresh, &fresh));
            TW_TRY(add_split(b, turn, started, &started));
        }
    }
    *out = fresh;
    return TRAWL_OK;
}

static trawl_status add_tree(struct builder *b, uint32_t index, uint32_t next, uint32_t *out)
{
    const struct tw_tree_node *node = &b->tree->nodes[index];
    uint32_t part                   = 0;
    *out                            = next;
    if (++b->visits > VISITS_MAX) {
        return tw_fail(b->err, TRAWL_ERR_LIMIT, "the constraint's counts multiply to more than %d parts",
                       VISITS_MAX);
    }
    switch (node->kind) {
    case TW_TREE_EMPTY: return TRAWL_OK;
    case TW_TREE_TEXT: return add_text(b, tw_str_text(&b->tree->bytes) + node->at, node->n, next, out);
    case TW_TREE_SET: return add_set(b, node, next, out);
    case TW_TREE_CAT:
        for (uint32_t i = node->last; i != 0; i = b->tree->nodes[i].prev) {
            TW_TRY(add_tree(b, i, *out, out));
        }
        return TRAWL_OK;
    case TW_TREE_ALT:
        *out = NODE_NEVER;
        for (uint32_t i = node->last; i != 0; i = b->tree->nodes[i].prev) {
            TW_TRY(add_tree(b, i, next, &part));
            TW_TRY(add_split(b, part, *out, out));
        }
        return TRAWL_OK;
    case TW_TREE_REPEAT:
    case TW_TREE_ITEMS: return add_repeat(b, node, next, out);
    case TW_TREE_MEMBERS: return add_members(b, node, next, out);
    }
    return tw_fail(b->err, TRAWL_ERR_INVALID, "the constraint's tree has a node of kind %d", (int)node->kind);
}

trawl_status tw_nfa_build(struct tw_nfa *nfa, const struct tw_tree *tree, uint32_t root,
                          struct trawl_error *err)
{
    struct builder b = {.nfa = nfa, .tree = tree, .err = err};
    uint32_t node    = 0;
    *nfa             = (struct tw_nfa){.n_nodes = 0};
    TW_TRY(add(&b, (struct tw_nfa_node){TW_NFA_ACCEPT, 0, 0, NODE_ACCEPT, NODE_ACCEPT, 0}, &node));
    TW_TRY(add(&b, (struct tw_nfa_node){TW_NFA_SPLIT, 0, 0, NODE_NEVER, NODE_NEVER, TW_NFA_NEVER}, &node));
    TW_TRY(add_tree(&b, root, NODE_ACCEPT, &nfa->start));
    if (nfa->nodes[nfa->start].distance == TW_NFA_NEVER) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "no text at all satisfies the constraint");
    }
    return TRAWL_OK;
}

void tw_nfa_release(struct tw_nfa *nfa)
{
    tw_free(nfa->nodes);
    *nfa = (struct tw_nfa){.n_nodes = 0};
}
