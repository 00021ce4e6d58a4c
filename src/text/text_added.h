/* SPDX-License-Identifier: MIT */
/* Added tokens: strings that are found in the text before anything else is done with it. */
#ifndef TW_TEXT_ADDED_H
#define TW_TEXT_ADDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct tw_added_token {
    char *text; /* what is looked for; owned by the set */
    size_t n;
    int32_t id;
    bool special;
    bool single_word; /* not within a word */
    bool lstrip;      /* takes the white space before it */
    bool rstrip;      /* and after it */
};

struct tw_added_set {
    struct tw_added_token *tokens; /* sorted by bytes once built, no two equal */
    size_t n;
    size_t capacity;
    bool first[256]; /* bytes some token begins with */
};

void tw_added_release(struct tw_added_set *set);
/* Takes a copy of token->text. Empty tokens are dropped, as Hugging Face does. */
trawl_status tw_added_add(struct tw_added_set *set, const struct tw_added_token *token,
                          struct trawl_error *err);
/* Sort; of equal strings the first added stays. */
void tw_added_build(struct tw_added_set *set);

/* The token that is exactly text[0..n), NULL: none. */
const struct tw_added_token *tw_added_find(const struct tw_added_set *set, const char *text, size_t n);

/* One part of a text: an added token, or what lies between two. */
struct tw_added_part {
    size_t begin;
    size_t end;
    int32_t id; /* -1: ordinary text */
};

/* Walks over a text: leftmost match first, of those the longest. Zero-initialise but for text, n, and
 * no_special. Bytes must be UTF-8. */
struct tw_added_scan {
    const char *text;
    size_t n;
    bool no_special; /* special tokens count as text */
    size_t from;     /* where to look on */
    size_t done;     /* everything before has been given out */
    bool pending_set;
    struct tw_added_part pending; /* a token whose preceding text went out first */
};

/* False at the end. */
bool tw_added_next(const struct tw_added_set *set, struct tw_added_scan *scan, struct tw_added_part *part);

#endif /* TW_TEXT_ADDED_H */
