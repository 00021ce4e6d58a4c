/* SPDX-License-Identifier: MIT */
#include "constrain/constrain_dfa.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"

enum { SLOTS_FIRST = 256 };

/* Neighbours fall into different classes where a node reads one of them and not the other. */
static void find_classes(struct tw_dfa *d)
{
    bool begins[257] = {false};
    for (size_t i = 1; i < d->nfa->n_sets; i++) {
        const uint64_t *bits = d->nfa->sets[i].bits;
        for (size_t k = 1; k < 256; k++) {
            size_t before = k - 1;
            begins[k] =
                begins[k] || (bits[k / 64] >> (k % 64) & 1) != (bits[before / 64] >> (before % 64) & 1);
        }
    }
    for (size_t i = 0; i < d->nfa->n_nodes; i++) {
        const struct tw_nfa_node *node = &d->nfa->nodes[i];
        if (node->kind == TW_NFA_BYTE) {
            begins[node->lo]      = true;
            begins[node->hi + 1u] = true;
        }
    }
    size_t class = 0;
    for (size_t i = 0; i < 256; i++) {
        class += i > 0 && begins[i];
        d->class_of[i] = (uint8_t) class;
    }
    d->n_classes = class + 1;
}

/* ---- sets of nodes ---- */

static void set_begin(struct tw_dfa *d)
{
    d->n_set = 0;
    if (++d->turn == 0) {
        memset(d->mark, 0, d->nfa->n_nodes * sizeof *d->mark);
        d->turn = 1;
    }
}

/* Add a node and what is reached from it without a byte. Only nodes that wait for a byte, and the end, say
 * anything about the future, so only they are kept. */
static void set_add(struct tw_dfa *d, uint32_t node)
{
    size_t depth = 0;
    if (d->mark[node] != d->turn) {
        d->mark[node]     = d->turn;
        d->stack[depth++] = node;
    }
    while (depth > 0) {
        uint32_t at                 = d->stack[--depth];
        const struct tw_nfa_node *x = &d->nfa->nodes[at];
        if (x->distance == TW_NFA_NEVER) {
            continue;
        }
        if (x->kind != TW_NFA_SPLIT) {
            d->set[d->n_set++] = at;
            continue;
        }
        const uint32_t both[2] = {x->next, x->other};
        for (int i = 0; i < 2; i++) {
            if (d->mark[both[i]] != d->turn) {
                d->mark[both[i]]  = d->turn;
                d->stack[depth++] = both[i];
            }
        }
    }
}

/* What follows n nodes after a byte. */
static void set_follow(struct tw_dfa *d, const uint32_t *nodes, size_t n, uint8_t byte)
{
    set_begin(d);
    for (size_t i = 0; i < n; i++) {
        const struct tw_nfa_node *x = &d->nfa->nodes[nodes[i]];
        if (tw_nfa_reads(d->nfa, x, byte)) {
            set_add(d, x->next);
        }
    }
}

static int by_index(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* ---- states ---- */

static uint32_t *find_slot(const struct tw_dfa *d, const uint32_t *set, size_t n)
{
    size_t i = (size_t)tw_hash64(set, n * sizeof *set) & (d->n_slots - 1);
    while (d->slots[i] != 0) {
        const struct tw_dfa_state *s = &d->states[d->slots[i]];
        if (s->n == n && memcmp(d->pool + s->at, set, n * sizeof *set) == 0) {
            break;
        }
        i = (i + 1) & (d->n_slots - 1);
    }
    return &d->slots[i];
}

static trawl_status grow_slots(struct tw_dfa *d, struct trawl_error *err)
{
    size_t n        = d->n_slots == 0 ? SLOTS_FIRST : 2 * d->n_slots;
    uint32_t *slots = NULL;
    TW_TRY(tw_alloc(n, sizeof *slots, &slots, err));
    tw_free(d->slots);
    d->slots   = slots;
    d->n_slots = n;
    for (uint32_t i = 1; i < d->n_states; i++) {
        const struct tw_dfa_state *s         = &d->states[i];
        *find_slot(d, d->pool + s->at, s->n) = i;
    }
    return TRAWL_OK;
}

static trawl_status new_state(struct tw_dfa *d, uint32_t *out, struct trawl_error *err)
{
    size_t bytes = sizeof *d->states + 2 * sizeof *d->slots + d->n_classes * sizeof *d->next +
                   d->n_set * sizeof *d->pool;
    if (d->bytes + bytes > d->limit || d->n_pool + d->n_set > UINT32_MAX) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "the constraint's automaton needs more than %zu bytes",
                       d->limit);
    }
    TW_TRY(tw_grow(&d->states, &d->states_capacity, d->n_states + 1, sizeof *d->states, err));
    TW_TRY(tw_grow(&d->next, &d->next_capacity, (d->n_states + 1) * d->n_classes, sizeof *d->next, err));
    TW_TRY(tw_grow(&d->pool, &d->pool_capacity, d->n_pool + d->n_set, sizeof *d->pool, err));
    if (2 * (d->n_states + 1) > d->n_slots) {
        TW_TRY(grow_slots(d, err));
    }
    uint32_t distance = TW_NFA_NEVER;
    for (size_t i = 0; i < d->n_set; i++) {
        uint32_t x = d->nfa->nodes[d->set[i]].distance;
        distance   = x < distance ? x : distance;
    }
    if (d->n_set > 0) {
        memcpy(d->pool + d->n_pool, d->set, d->n_set * sizeof *d->pool);
    }
    d->states[d->n_states] = (struct tw_dfa_state){(uint32_t)d->n_pool, (uint32_t)d->n_set, distance};
    /* Nothing follows the dead state but itself; of the others nothing is known (all bits set). */
    memset(d->next + d->n_states * d->n_classes, d->n_set == 0 ? 0 : 0xFF, d->n_classes * sizeof *d->next);
    d->n_pool += d->n_set;
    d->bytes += bytes;
    *out = (uint32_t)d->n_states++;
    return TRAWL_OK;
}

/* The state of the set under construction. */
static trawl_status find_state(struct tw_dfa *d, uint32_t *out, struct trawl_error *err)
{
    *out = TW_DFA_DEAD;
    if (d->n_set == 0) {
        return TRAWL_OK;
    }
    qsort(d->set, d->n_set, sizeof *d->set, by_index);
    *out = *find_slot(d, d->set, d->n_set);
    if (*out != 0) {
        return TRAWL_OK;
    }
    TW_TRY(new_state(d, out, err));
    *find_slot(d, d->set, d->n_set) = *out;
    return TRAWL_OK;
}

static trawl_status clear(struct tw_dfa *d, struct trawl_error *err)
{
    uint32_t dead = 0;
    d->n_states = d->n_pool = d->n_set = d->bytes = 0;
    memset(d->slots, 0, d->n_slots * sizeof *d->slots);
    return new_state(d, &dead, err);
}

trawl_status tw_dfa_init(struct tw_dfa *d, const struct tw_nfa *nfa, size_t limit, struct trawl_error *err)
{
    *d = (struct tw_dfa){.nfa = nfa, .limit = limit};
    find_classes(d);
    TW_TRY(tw_alloc(nfa->n_nodes, sizeof *d->set, &d->set, err));
    TW_TRY(tw_alloc(nfa->n_nodes, sizeof *d->stack, &d->stack, err));
    TW_TRY(tw_alloc(nfa->n_nodes, sizeof *d->mark, &d->mark, err));
    TW_TRY(grow_slots(d, err));
    return clear(d, err);
}

void tw_dfa_release(struct tw_dfa *d)
{
    tw_free(d->states);
    tw_free(d->next);
    tw_free(d->pool);
    tw_free(d->slots);
    tw_free(d->set);
    tw_free(d->stack);
    tw_free(d->mark);
    *d = (struct tw_dfa){.nfa = NULL};
}

trawl_status tw_dfa_start(struct tw_dfa *d, uint32_t *out, struct trawl_error *err)
{
    set_begin(d);
    set_add(d, d->nfa->start);
    return find_state(d, out, err);
}

trawl_status tw_dfa_make(struct tw_dfa *d, uint32_t state, uint8_t byte, uint32_t *out,
                         struct trawl_error *err)
{
    const struct tw_dfa_state *s = &d->states[state];
    set_follow(d, d->pool + s->at, s->n, byte);
    TW_TRY(find_state(d, out, err));
    d->next[(size_t)state * d->n_classes + d->class_of[byte]] = *out;
    return TRAWL_OK;
}

trawl_status tw_dfa_reset(struct tw_dfa *d, uint32_t *keep, struct trawl_error *err)
{
    const struct tw_dfa_state kept = d->states[*keep];
    if (kept.n > 0) {
        memcpy(d->set, d->pool + kept.at, kept.n * sizeof *d->set);
    }
    TW_TRY(clear(d, err));
    d->n_set = kept.n;
    return find_state(d, keep, err);
}
