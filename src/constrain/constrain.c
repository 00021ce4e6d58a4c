/* SPDX-License-Identifier: MIT */
#include "constrain/constrain.h"

#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "constrain/constrain_dfa.h"
#include "constrain/constrain_regex.h"
#include "constrain/constrain_schema.h"

/* Tokens that may follow; one for all states that allow the same. */
struct mask {
    uint64_t hash; /* of its bits */
    size_t n;
};

/* What a walk over the vocabulary found. */
struct found {
    size_t n;          /* tokens allowed */
    uint32_t furthest; /* largest distance to the end after one of them */
};

/* What is known of a state. */
struct known {
    uint32_t mask; /* 1 + its index, 0: nothing is known */
    uint32_t furthest;
};

struct tw_constraint {
    const struct tw_vocabulary *vocabulary;
    struct tw_nfa nfa;
    struct tw_dfa dfa;
    size_t memory;
    uint32_t epoch; /* counts what was forgotten, from 1 */

    struct mask *masks; /* [n_masks] */
    uint32_t *bits;     /* [n_masks + 1, words]; the last one is where a walk writes */
    size_t n_masks, masks_capacity, bits_capacity;
    struct known *known; /* [n_known] by state */
    size_t n_known, known_capacity;
    uint32_t *path; /* [depth + 1] states on the way to a node of the vocabulary */
};

/* ---- making one ---- */

static trawl_status read_text(enum tw_constraint_kind kind, struct tw_tree *tree, const char *text, size_t n,
                              uint32_t *root, struct trawl_error *err)
{
    switch (kind) {
    case TW_CONSTRAINT_REGEX:
        return tw_regex_parse(tree, text, n, &(struct tw_regex_options){.search = false}, root, err);
    case TW_CONSTRAINT_JSON_SCHEMA: return tw_schema_parse(tree, text, n, root, err);
    case TW_CONSTRAINT_CHOICE: return tw_schema_parse_choice(tree, text, n, root, err);
    case TW_CONSTRAINT_NONE: break;
    }
    return tw_fail(err, TRAWL_ERR_INVALID, "constraint kind %d is none of regex, JSON schema, choice",
                   (int)kind);
}

static trawl_status build(struct tw_constraint *c, enum tw_constraint_kind kind, const char *text, size_t n,
                          struct trawl_error *err)
{
    struct tw_tree tree;
    uint32_t root = 0;
    tw_tree_init(&tree);
    trawl_status status = read_text(kind, &tree, text, n, &root, err);
    if (status == TRAWL_OK) {
        status = tw_nfa_build(&c->nfa, &tree, root, err);
    }
    tw_tree_release(&tree);
    return status;
}

trawl_status tw_constraint_new(enum tw_constraint_kind kind, const char *text, size_t n,
                               const struct tw_vocabulary *vocabulary, size_t memory,
                               struct tw_constraint **out, struct trawl_error *err)
{
    struct tw_constraint *c = NULL;
    *out                    = NULL;
    TW_TRY(tw_alloc(1, sizeof *c, &c, err));
    c->vocabulary       = vocabulary;
    c->memory           = memory == 0 ? TW_CONSTRAINT_MEMORY : memory;
    c->epoch            = 1;
    trawl_status status = build(c, kind, text, n, err);
    if (status == TRAWL_OK) {
        status = tw_dfa_init(&c->dfa, &c->nfa, c->memory, err);
    }
    if (status == TRAWL_OK) {
        status = tw_alloc(vocabulary->depth + 1, sizeof *c->path, &c->path, err);
    }
    if (status != TRAWL_OK) {
        tw_constraint_free(c);
        return status;
    }
    *out = c;
    return TRAWL_OK;
}

void tw_constraint_free(struct tw_constraint *c)
{
    if (c != NULL) {
        tw_dfa_release(&c->dfa);
        tw_nfa_release(&c->nfa);
        tw_free(c->masks);
        tw_free(c->bits);
        tw_free(c->known);
        tw_free(c->path);
        tw_free(c);
    }
}

/* ---- masks ---- */

static void set_bit(uint32_t *bits, size_t i)
{
    bits[i / 32] |= 1u << (i % 32);
}

static bool has_bit(const uint32_t *bits, size_t i)
{
    return (bits[i / 32] >> (i % 32) & 1) != 0;
}

/* The tokens that can follow `state` with at most `limit` bytes left to write after them. */
static trawl_status walk(struct tw_constraint *c, uint32_t state, uint32_t limit, uint32_t *bits,
                         struct found *found, struct trawl_error *err)
{
    const struct tw_vocabulary *v = c->vocabulary;
    *found                        = (struct found){.n = 0};
    memset(bits, 0, tw_constraint_words(v) * sizeof *bits);
    c->path[0] = state;
    for (size_t i = 0; i < v->n_nodes;) {
        const struct tw_vocabulary_node *node = &v->nodes[i];
        uint32_t to                           = 0;
        TW_TRY(tw_dfa_step(&c->dfa, c->path[node->depth], node->byte, &to, err));
        if (to == TW_DFA_DEAD) {
            i = node->end;
            continue;
        }
        c->path[node->depth + 1] = to;
        uint32_t distance        = c->dfa.states[to].distance;
        for (uint32_t k = node->first; k < node[1].first && distance <= limit; k++) {
            set_bit(bits, (size_t)v->ids[k]);
            found->furthest = distance > found->furthest ? distance : found->furthest;
            found->n++;
        }
        i++;
    }
    return TRAWL_OK;
}

/* The index of the mask that a walk wrote behind the others; an equal one may be there already. */
static uint32_t keep_mask(struct tw_constraint *c, size_t n)
{
    size_t words          = tw_constraint_words(c->vocabulary);
    const uint32_t *fresh = c->bits + c->n_masks * words;
    uint64_t hash         = tw_hash64(fresh, words * sizeof *fresh);
    for (size_t i = 0; i < c->n_masks; i++) {
        if (c->masks[i].hash == hash && memcmp(c->bits + i * words, fresh, words * sizeof *fresh) == 0) {
            return (uint32_t)i;
        }
    }
    c->masks[c->n_masks] = (struct mask){hash, n};
    c->dfa.limit -= words * sizeof *fresh;
    return (uint32_t)c->n_masks++;
}

/* Make what is known of `state` complete; how many tokens are left does not matter yet. */
static trawl_status learn(struct tw_constraint *c, uint32_t state, struct trawl_error *err)
{
    size_t words = tw_constraint_words(c->vocabulary);
    struct found found;
    if (state < c->n_known && c->known[state].mask != 0) {
        return TRAWL_OK;
    }
    if (words * sizeof *c->bits + c->dfa.bytes > c->dfa.limit) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "a mask needs %zu bytes", words * sizeof *c->bits);
    }
    TW_TRY(tw_grow(&c->masks, &c->masks_capacity, c->n_masks + 1, sizeof *c->masks, err));
    TW_TRY(tw_grow(&c->bits, &c->bits_capacity, (c->n_masks + 1) * words, sizeof *c->bits, err));
    TW_TRY(walk(c, state, TW_NFA_NEVER - 1, c->bits + c->n_masks * words, &found, err));
    TW_TRY(tw_grow(&c->known, &c->known_capacity, c->dfa.n_states, sizeof *c->known, err));
    memset(c->known + c->n_known, 0, (c->dfa.n_states - c->n_known) * sizeof *c->known);
    c->n_known      = c->dfa.n_states;
    c->known[state] = (struct known){1 + keep_mask(c, found.n), found.furthest};
    return TRAWL_OK;
}

/* ---- following an answer ---- */

/* Forget every state and mask but the state `*keep`. */
static trawl_status forget(struct tw_constraint *c, uint32_t *keep, struct trawl_error *err)
{
    c->n_masks   = 0;
    c->n_known   = 0;
    c->dfa.limit = c->memory;
    c->epoch++;
    return tw_dfa_reset(&c->dfa, keep, err);
}

/* Read tokens[from .. n) on from `*place`. */
static trawl_status read_tokens(struct tw_constraint *c, uint32_t *place, const int32_t *tokens, size_t from,
                                size_t n, struct trawl_error *err)
{
    for (size_t i = from; i < n; i++) {
        size_t size;
        const uint8_t *text = tw_vocabulary_text(c->vocabulary, tokens[i], &size);
        for (size_t k = 0; k < size; k++) {
            uint32_t to         = TW_DFA_DEAD;
            trawl_status status = tw_dfa_step(&c->dfa, *place, text[k], &to, err);
            if (status == TRAWL_ERR_LIMIT) {
                TW_TRY(forget(c, place, err));
                status = tw_dfa_step(&c->dfa, *place, text[k], &to, err);
            }
            TW_TRY(status);
            *place = to;
        }
        if (size == 0 || *place == TW_DFA_DEAD) {
            return tw_fail(err, TRAWL_ERR_INVALID,
                           "token %zu of the answer (id %d) is not one that the constraint allows", i + 1,
                           tokens[i]);
        }
    }
    return TRAWL_OK;
}

static trawl_status follow(struct tw_constraint *c, struct tw_constraint_state *state, const int32_t *tokens,
                           size_t n, struct trawl_error *err)
{
    uint32_t place = state->place;
    size_t from    = state->n_tokens;
    if (state->epoch != c->epoch || from > n) {
        from                = 0;
        trawl_status status = tw_dfa_start(&c->dfa, &place, err);
        if (status == TRAWL_ERR_LIMIT) {
            place = TW_DFA_DEAD;
            TW_TRY(forget(c, &place, err));
            status = tw_dfa_start(&c->dfa, &place, err);
        }
        TW_TRY(status);
    }
    TW_TRY(read_tokens(c, &place, tokens, from, n, err));
    *state = (struct tw_constraint_state){place, c->epoch, n};
    return TRAWL_OK;
}

/* ---- what may follow ---- */

/* End tokens out of the text's, and in when the text is complete. */
static void apply_ends(const struct tw_constraint_rules *rules, size_t n_vocab, uint32_t *bits,
                       struct tw_allowed *out)
{
    for (size_t i = 0; i < rules->n_end; i++) {
        size_t id = (size_t)rules->end[i];
        if (rules->end[i] < 0 || id >= n_vocab) {
            continue;
        }
        bool was = has_bit(bits, id);
        if (out->complete && !was) {
            set_bit(bits, id);
            out->n++;
        } else if (!out->complete && was) {
            bits[id / 32] &= ~(1u << (id % 32));
            out->n--;
        }
    }
}

/* The only token of a mask that has one. */
static int32_t find_only(const uint32_t *bits, size_t words)
{
    size_t i = 0;
    while (i < words && bits[i] == 0) {
        i++;
    }
    return i == words ? -1 : (int32_t)(i * 32 + (size_t)__builtin_ctz(bits[i]));
}

static trawl_status allow(struct tw_constraint *c, uint32_t place, const struct tw_constraint_rules *rules,
                          uint32_t *bits, struct tw_allowed *out, struct trawl_error *err)
{
    size_t words = tw_constraint_words(c->vocabulary);
    TW_TRY(learn(c, place, err));
    struct known known = c->known[place];
    uint32_t distance  = c->dfa.states[place].distance;
    /* After this token all but one of those left, which is for the end token, may write. Where that is not
     * enough the text has to become shorter with every token. */
    size_t left   = rules->tokens_left < 2 ? 0 : rules->tokens_left - 2;
    size_t closer = distance == 0 ? 0 : distance - 1;
    size_t limit  = left > closer ? left : closer;
    size_t index  = known.mask - 1;
    out->n        = c->masks[index].n;
    out->complete = distance == 0;
    memcpy(bits, c->bits + index * words, words * sizeof *bits);
    if (known.furthest > limit) {
        struct found within;
        TW_TRY(walk(c, place, (uint32_t)limit, bits, &within, err));
        if (within.n > 0 || out->complete) {
            out->n = within.n;
        } else { /* no token is short enough */
            memcpy(bits, c->bits + index * words, words * sizeof *bits);
        }
    }
    apply_ends(rules, c->vocabulary->n_vocab, bits, out);
    out->only = out->n == 1 ? find_only(bits, words) : -1;
    return TRAWL_OK;
}

trawl_status tw_constraint_allow(struct tw_constraint *c, struct tw_constraint_state *state,
                                 const int32_t *tokens, size_t n, const struct tw_constraint_rules *rules,
                                 uint32_t *bits, struct tw_allowed *out, struct trawl_error *err)
{
    TW_TRY(follow(c, state, tokens, n, err));
    trawl_status status = allow(c, state->place, rules, bits, out, err);
    if (status == TRAWL_ERR_LIMIT) { /* full: begin anew from here */
        TW_TRY(forget(c, &state->place, err));
        state->epoch = c->epoch;
        status       = allow(c, state->place, rules, bits, out, err);
    }
    if (status == TRAWL_ERR_LIMIT) {
        return tw_fail(err, TRAWL_ERR_LIMIT,
                       "the constraint needs more than %zu bytes of automaton after %zu tokens of the answer",
                       c->memory, n);
    }
    return status;
}
