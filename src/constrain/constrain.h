/* SPDX-License-Identifier: MIT */
/* Constraints on the text of an answer, and the tokens that they allow next.
 *
 *     tw_constraint_new(TW_CONSTRAINT_REGEX, "[0-9]+", 6, &vocabulary, 0, &c, err);
 *     struct tw_constraint_state state = {0};
 *     while (...) {                            // before each token of the answer
 *         tw_constraint_allow(c, &state, tokens, n, &rules, bits, &allowed, err);
 *         ... draw tokens[n++] from the ids whose bit is set ...
 *     }
 *
 * A token is allowed if and only if
 *   - it is an end token and the text so far satisfies the constraint, or
 *   - it is no end token, stands for text, and the text with it can still be completed,
 * and, of the latter, only if the rest can be completed within the tokens that are left. What is left to
 * write is counted in bytes, of which a token writes at least one, so the answer of a request is complete
 * whenever its shortest one has fewer bytes than max_tokens; where it has more, the way is the shortest
 * one all the same.
 *
 * Which tokens are allowed follows from the constraint, the vocabulary, the answer so far and the rules,
 * from nothing else: not from other answers that use the same constraint, nor from what was forgotten
 * meanwhile.
 *
 * Threads: a constraint is used by one thread at a time; a vocabulary by any number. */
#ifndef TW_CONSTRAIN_H
#define TW_CONSTRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "constrain/constrain_vocab.h"

enum tw_constraint_kind {
    TW_CONSTRAINT_NONE,
    TW_CONSTRAINT_REGEX,       /* constrain_regex.h */
    TW_CONSTRAINT_JSON_SCHEMA, /* constrain_schema.h */
    TW_CONSTRAINT_CHOICE,      /* a JSON list of strings, of which the answer is one */
};

/* Bytes of automaton states and masks of a constraint, unless said otherwise. */
enum { TW_CONSTRAINT_MEMORY = 64 << 20 };

struct tw_constraint;

/* `memory`: most bytes of states and masks, 0: TW_CONSTRAINT_MEMORY. What is over is forgotten and made
 * again. `vocabulary` is borrowed for the constraint's life.
 * errors: FORMAT, UNSUPPORTED, LIMIT say where and why: "regex, offset 3: ...", "JSON schema, /items:
 * ...". */
trawl_status tw_constraint_new(enum tw_constraint_kind kind, const char *text, size_t n,
                               const struct tw_vocabulary *vocabulary, size_t memory,
                               struct tw_constraint **out, struct trawl_error *err);
void tw_constraint_free(struct tw_constraint *c); /* NULL is fine */

/* Where an answer stands; all zeros at its beginning. A value: a fork of the answer copies it. Cutting an
 * answer back needs the state as it was, or a new one, which reads the answer again. */
struct tw_constraint_state {
    uint32_t place, epoch; /* the automaton's state, if epoch is the constraint's */
    size_t n_tokens;       /* of the answer, that it has read */
};

struct tw_constraint_rules {
    size_t tokens_left; /* that may still be generated; at least 1 */
    const int32_t *end; /* [n_end] tokens that end the answer */
    size_t n_end;
};

struct tw_allowed {
    size_t n;      /* tokens allowed */
    int32_t only;  /* the token, when n is 1 */
    bool complete; /* the text so far satisfies the constraint */
};

/* uint32 words of a mask. */
static inline size_t tw_constraint_words(const struct tw_vocabulary *v)
{
    return (v->n_vocab + 31) / 32;
}

/* Bring `state` to the answer tokens[0 .. n), and set in bits [words] the tokens allowed after it. With
 * none allowed and `complete` the answer is at its end; with none and not complete the vocabulary cannot
 * write what has to follow.
 * errors: INVALID: the answer does not keep to the constraint; LIMIT: the automaton does not fit into the
 *         constraint's memory; NOMEM. */
trawl_status tw_constraint_allow(struct tw_constraint *c, struct tw_constraint_state *state,
                                 const int32_t *tokens, size_t n, const struct tw_constraint_rules *rules,
                                 uint32_t *bits, struct tw_allowed *out, struct trawl_error *err);

#endif /* TW_CONSTRAIN_H */
