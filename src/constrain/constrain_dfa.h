/* SPDX-License-Identifier: MIT */
/* The deterministic automaton over bytes, made as far as texts reach into it. A state is the set of places
 * where the nondeterministic one can be. */
#ifndef TW_CONSTRAIN_DFA_H
#define TW_CONSTRAIN_DFA_H

#include "constrain/constrain_nfa.h"

/* The state from which nothing leads to the end. */
enum { TW_DFA_DEAD = 0 };
/* In place of a state that has not been made. */
#define TW_DFA_UNKNOWN UINT32_MAX

struct tw_dfa_state {
    uint32_t at, n;    /* its NFA nodes in `pool`, ascending */
    uint32_t distance; /* bytes of the shortest text to the end; 0: the end is here */
};

struct tw_dfa {
    const struct tw_nfa *nfa; /* borrowed */
    uint8_t class_of[256];    /* bytes that no node tells apart */
    size_t n_classes;
    struct tw_dfa_state *states;
    size_t n_states, states_capacity;
    uint32_t *next; /* [n_states, n_classes]; TW_DFA_UNKNOWN: not made yet */
    size_t next_capacity;
    uint32_t *pool;
    size_t n_pool, pool_capacity;
    uint32_t *slots; /* [n_slots] states by content, 0: free */
    size_t n_slots;
    size_t bytes, limit; /* of the states; most */

    uint32_t *set, *stack; /* [nfa nodes] the set under construction */
    uint32_t *mark;        /* [nfa nodes] == turn: is in it */
    uint32_t turn;
    size_t n_set;
};

/* `limit`: bytes of states. */
trawl_status tw_dfa_init(struct tw_dfa *d, const struct tw_nfa *nfa, size_t limit, struct trawl_error *err);
void tw_dfa_release(struct tw_dfa *d);

/* The state before any text. Like all that make states: TRAWL_ERR_LIMIT when there is no room for it. */
trawl_status tw_dfa_start(struct tw_dfa *d, uint32_t *out, struct trawl_error *err);
/* Find or make what follows `state` after `byte`, and remember it. */
trawl_status tw_dfa_make(struct tw_dfa *d, uint32_t state, uint8_t byte, uint32_t *out,
                         struct trawl_error *err);
/* Forget all states but one, which gets another index. */
trawl_status tw_dfa_reset(struct tw_dfa *d, uint32_t *keep, struct trawl_error *err);

static inline uint32_t tw_dfa_known(const struct tw_dfa *d, uint32_t state, uint8_t byte)
{
    return d->next[(size_t)state * d->n_classes + d->class_of[byte]];
}

static inline trawl_status tw_dfa_step(struct tw_dfa *d, uint32_t state, uint8_t byte, uint32_t *out,
                                       struct trawl_error *err)
{
    *out = tw_dfa_known(d, state, byte);
    return *out != TW_DFA_UNKNOWN ? TRAWL_OK : tw_dfa_make(d, state, byte, out, err);
}

static inline bool tw_dfa_accepts(const struct tw_dfa *d, uint32_t state)
{
    return d->states[state].distance == 0;
}

#endif /* TW_CONSTRAIN_DFA_H */
