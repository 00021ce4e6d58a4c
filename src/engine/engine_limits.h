/* SPDX-License-Identifier: MIT */
/* Which tokens an answer may go on with: what its constraint allows (src/constrain), and what the work's own
 * callback leaves of that. */
#ifndef TW_ENGINE_LIMITS_H
#define TW_ENGINE_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "constrain/constrain.h"

struct tw_replica;
struct tw_request;

/* ---- compiled constraints of a replica ---- */

enum { TW_CONSTRAINTS_KEPT = 16 }; /* that no request uses any more */

struct tw_constraint_entry;

/* Zeros: empty. The replica's thread only. */
struct tw_constraint_cache {
    struct tw_constraint_entry **entries;
    size_t n, capacity;
    uint64_t uses; /* so far */
};

void tw_constraint_cache_release(struct tw_constraint_cache *cache);

/* ---- limits of an answer ---- */

/* Tokens of an answer whose masks are kept at a time: as many can be computed in one step. */
enum { TW_LIMITS_RUN = 8 };

struct tw_limits {
    struct tw_constraint_entry *entry; /* NULL: no constraint */
    struct tw_constraint_state state;  /* after tokens that are known */
    uint32_t *masks; /* [TW_LIMITS_RUN, words]; of token n of the answer: number n % TW_LIMITS_RUN */
    size_t words;
    int32_t *end; /* [n_end] tokens that end the answer */
    size_t n_end;
};

/* Are there any? Refused where they cannot be: for other kinds of request. */
trawl_status tw_limits_check(const struct tw_request *q, struct trawl_error *err);
bool tw_limits_wanted(const struct tw_replica *r, const struct tw_request *q);

/* errors: what is wrong with the constraint, or with the tokenizer of the model's folder. */
trawl_status tw_limits_new(struct tw_limits **out, struct tw_replica *r, const struct tw_request *q,
                           struct trawl_error *err);
void tw_limits_free(struct tw_limits *l); /* NULL is fine */

/* Find the mask of token n, after the answer's tokens [n]. out->n is 0 only where the answer is at its end.
 * errors: nothing may follow; a failure of the callback. */
trawl_status tw_limits_find(struct tw_limits *l, struct tw_replica *r, const struct tw_request *q,
                            const int32_t *tokens, size_t n, struct tw_allowed *out, struct trawl_error *err);

/* The mask of token n, one of the last TW_LIMITS_RUN that were found; NULL without limits: everything. */
static inline const uint32_t *tw_limits_mask(const struct tw_limits *l, size_t n)
{
    return l == NULL ? NULL : l->masks + n % TW_LIMITS_RUN * l->words;
}

/* May token n be this one? Its mask is one of the last TW_LIMITS_RUN. */
static inline bool tw_limits_has(const struct tw_limits *l, size_t n, int32_t token)
{
    return l == NULL || (tw_limits_mask(l, n)[token / 32] >> (token % 32) & 1) != 0;
}

#endif /* TW_ENGINE_LIMITS_H */
