/* SPDX-License-Identifier: MIT */
#include "constrain/constrain_nfa.h"

#include <string.h>

#include "base/alloc.h"

/* While it is built. */
struct builder {
    struct tw_nfa *nfa;
    const struct tw_tree *tree;
    struct {
        const struct tw_tree_node *set; /* NULL: none */
        uint32_t begin, end, after, out;
    } latest;      /* the nodes of the set made last: under a count it is made again and again */
    size_t visits; /* of tree nodes: those under a count are visited once a turn */
    struct trawl_error *err;
};

enum {
    NODE_ACCEPT = 0,
    NODE_NEVER  = 1, /* the first two nodes */
    VISITS_MAX  = 16 * TW_CONSTRAIN_NODES_MAX,
    SETS_MAX    = 16384, /* they are looked for one by one */
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

/* ---- sets of bytes ---- */

/* The number of a set; 0 if it is a single range. */
static trawl_status find_set(struct builder *b, const struct tw_byte_set *set, uint8_t lo, uint8_t hi,
                             uint32_t *out)
{
    struct tw_nfa *nfa = b->nfa;
    size_t n           = 0;
    *out               = 0;
    for (int i = 0; i < 4; i++) {
        n += (size_t)__builtin_popcountll(set->bits[i]);
    }
    if (n == (size_t)(hi - lo) + 1) {
        return TRAWL_OK;
    }
    nfa->n_sets = nfa->n_sets == 0 ? 1 : nfa->n_sets;
    for (*out = 1; *out < nfa->n_sets; ++*out) {
        if (memcmp(&nfa->sets[*out], set, sizeof *set) == 0) {
            return TRAWL_OK;
        }
    }
    if (nfa->n_sets == SETS_MAX) {
        return tw_fail(b->err, TRAWL_ERR_LIMIT, "the constraint has more than %d different sets of bytes",
                       SETS_MAX - 1);
    }
    TW_TRY(tw_grow(&nfa->sets, &nfa->sets_capacity, nfa->n_sets + 1, sizeof *nfa->sets, b->err));
    nfa->sets[nfa->n_sets++] = *set;
    return TRAWL_OK;
}

/* One byte, then what follows it: next[byte], NODE_NEVER where nothing does. A node for each different
 * one. */
static trawl_status add_bytes(struct builder *b, const uint32_t next[256], uint32_t *out)
{
    bool done[256] = {false};
    *out           = NODE_NEVER;
    for (size_t first = 0; first < 256; first++) {
        struct tw_byte_set set = {{0}};
        size_t last            = first;
        uint32_t index = 0, node = 0;
        if (done[first] || next[first] == NODE_NEVER) {
            continue;
        }
        for (size_t i = first; i < 256; i++) {
            if (next[i] == next[first]) {
                set.bits[i / 64] |= (uint64_t)1 << (i % 64);
                done[i] = true;
                last    = i;
            }
        }
        TW_TRY(find_set(b, &set, (uint8_t)first, (uint8_t)last, &index));
        TW_TRY(add_byte(b, (uint8_t)first, (uint8_t)last, next[first], &node));
        b->nfa->nodes[node].other = index;
        TW_TRY(add_split(b, node, *out, out));
    }
    return TRAWL_OK;
}

/* ---- characters ---- */

/* A set of characters while its nodes are made. */
struct characters {
    const struct tw_code_range *ranges; /* [n] ascending */
    uint32_t n;
    uint32_t next;
    uint32_t any[4]; /* any one of k further bytes, then `next`; 0: not made yet */
};

enum cover { COVERS_NONE, COVERS_PART, COVERS_ALL };

/* How much of lo .. hi is in the set. */
static enum cover covers(const struct characters *c, uint32_t lo, uint32_t hi)
{
    uint32_t i = 0, end = c->n; /* the first range that ends at lo or behind it is in i .. end */
    while (i < end) {
        uint32_t middle = i + (end - i) / 2;
        if (c->ranges[middle].hi < lo) {
            i = middle + 1;
        } else {
            end = middle;
        }
    }
    if (i == c->n || c->ranges[i].lo > hi) {
        return COVERS_NONE;
    }
    return c->ranges[i].lo <= lo && c->ranges[i].hi >= hi ? COVERS_ALL : COVERS_PART;
}

/* The k continuation bytes of the characters from `base` on, as far as k bytes tell them apart. Of the
 * shortest encoding only: characters below `least` are not there. */
static trawl_status add_continuation(struct builder *b, struct characters *c, uint32_t base, int k,
                                     uint32_t least, uint32_t *out)
{
    uint32_t size   = (uint32_t)1 << (6 * k), next[256];
    enum cover part = base + size <= least ? COVERS_NONE : covers(c, base, base + size - 1);
    if (part == COVERS_NONE || (part == COVERS_ALL && c->any[k] != 0 && base >= least)) {
        *out = part == COVERS_NONE ? NODE_NEVER : c->any[k];
        return TRAWL_OK;
    }
    if (k == 0) {
        *out = c->next;
        return TRAWL_OK;
    }
    for (size_t i = 0; i < 256; i++) {
        next[i] = NODE_NEVER;
        if (i >= 0x80 && i < 0xC0) {
            TW_TRY(add_continuation(b, c, base + (uint32_t)(i - 0x80) * (size / 64), k - 1, least, &next[i]));
        }
    }
    TW_TRY(add_bytes(b, next, out));
    if (part == COVERS_ALL && base >= least) {
        c->any[k] = *out;
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

/* What follows the backslash where JSON writes this character with one; 0: it does not. Control characters
 * that have none of these are never written. */
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

/* Characters that a JSON string has as they are. */
static bool json_plain(uint32_t byte)
{
    return byte >= ' ' && byte != '"' && byte != '\\';
}

/* The short escapes of a JSON string, for those of its characters that are in the set. */
static trawl_status add_escapes(struct builder *b, const struct characters *c, uint32_t *out)
{
    for (uint32_t code = 0; code <= '\\'; code++) {
        char escape[2] = {'\\', json_escape(code)};
        uint32_t node  = 0;
        if (escape[1] != 0 && covers(c, code, code) == COVERS_ALL) {
            TW_TRY(add_text(b, escape, 2, c->next, &node));
            TW_TRY(add_split(b, node, *out, out));
        }
    }
    return TRAWL_OK;
}

/* The nodes of the set made last once more, before something else. */
static trawl_status copy_latest(struct builder *b, uint32_t after, uint32_t *out)
{
    uint32_t begin = b->latest.begin, old = b->latest.after;
    uint32_t shift = (uint32_t)b->nfa->n_nodes - begin, node = 0;
    for (uint32_t i = begin; i < b->latest.end; i++) {
        struct tw_nfa_node x = b->nfa->nodes[i];
        x.next               = x.next == old ? after : x.next + shift;
        if (x.kind == TW_NFA_SPLIT) {
            x.other = x.other == old ? after : x.other + shift;
        }
        uint32_t one = b->nfa->nodes[x.next].distance;
        x.distance   = one_more(one);
        if (x.kind == TW_NFA_SPLIT) {
            uint32_t other = b->nfa->nodes[x.other].distance;
            x.distance     = one < other ? one : other;
        }
        TW_TRY(add(b, x, &node));
    }
    *out = b->latest.out == old ? after : b->latest.out < begin ? NODE_NEVER : b->latest.out + shift;
    return TRAWL_OK;
}

static trawl_status make_set(struct builder *b, const struct tw_tree_node *set, uint32_t after, uint32_t *out)
{
    struct characters c = {.ranges = b->tree->ranges + set->at, .n = set->n, .next = after, .any = {after}};
    uint32_t next[256];
    for (uint32_t i = 0; i < 256; i++) {
        next[i] = NODE_NEVER;
        if (i < 0x80) {
            next[i] = covers(&c, i, i) != COVERS_NONE && (!set->json || json_plain(i)) ? after : NODE_NEVER;
        } else if (i >= 0xC2 && i < 0xE0) {
            TW_TRY(add_continuation(b, &c, (i - 0xC0) << 6, 1, 0x80, &next[i]));
        } else if (i >= 0xE0 && i < 0xF0) {
            TW_TRY(add_continuation(b, &c, (i - 0xE0) << 12, 2, 0x800, &next[i]));
        } else if (i >= 0xF0 && i < 0xF5) {
            TW_TRY(add_continuation(b, &c, (i - 0xF0) << 18, 3, 0x10000, &next[i]));
        }
    }
    TW_TRY(add_bytes(b, next, out));
    return set->json ? add_escapes(b, &c, out) : TRAWL_OK;
}

static trawl_status add_set(struct builder *b, const struct tw_tree_node *set, uint32_t after, uint32_t *out)
{
    const struct tw_code_range *r = b->tree->ranges + set->at;
    if (set->n == 1 && r->hi < 0x80 && !set->json) {
        return add_byte(b, (uint8_t)r->lo, (uint8_t)r->hi, after, out);
    }
    if (b->latest.set == set) {
        return copy_latest(b, after, out);
    }
    b->latest.set   = set;
    b->latest.begin = (uint32_t)b->nfa->n_nodes;
    b->latest.after = after;
    TW_TRY(make_set(b, set, after, out));
    b->latest.end = (uint32_t)b->nfa->n_nodes;
    b->latest.out = *out;
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

/* REPEAT and ITEMS, from the last turn to the first. All turns but the first have the separator before
 * them. */
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
    tw_free(nfa->sets);
    *nfa = (struct tw_nfa){.n_nodes = 0};
}
