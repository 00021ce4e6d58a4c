/* SPDX-License-Identifier: MIT */
/* The slow way: sets of NFA nodes followed byte by byte, distances by trying every node. */
#ifndef TRAWL_TESTS_CONSTRAIN_REFERENCE_H
#define TRAWL_TESTS_CONSTRAIN_REFERENCE_H

#include <stdbool.h>

#include "constrain/constrain.h"
#include "constrain/constrain_nfa.h"

struct reference {
    struct tw_nfa nfa;
    size_t *distance; /* [nodes] bytes to the end, SIZE_MAX: never */
};

/* From an expression; `search` and `json` as in constrain_regex.h. */
trawl_status reference_init(struct reference *r, enum tw_constraint_kind kind, const char *text, size_t n,
                            bool search, struct trawl_error *err);
void reference_release(struct reference *r);

/* Bytes that have to follow a text, at the least; 0: it matches; SIZE_MAX: nothing helps. */
size_t reference_left(const struct reference *r, const void *text, size_t n);

/* A vocabulary of n byte strings, borrowed; empty ones stand for special tokens. */
struct words {
    char (*text)[16];
    size_t *size;
    size_t n;
};
const char *words_piece(void *user, int32_t id, size_t *n);

#endif /* TRAWL_TESTS_CONSTRAIN_REFERENCE_H */
