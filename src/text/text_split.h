/* SPDX-License-Identifier: MIT */
/* Pre-tokenization: the steps that cut a text into the words within which byte pairs are merged. */
#ifndef TW_TEXT_SPLIT_H
#define TW_TEXT_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/str.h"
#include "text/text_regex.h"

enum tw_split_behavior {
    TW_SPLIT_REMOVED,  /* what matches is left out */
    TW_SPLIT_ISOLATED, /* what matches is a piece of its own */
    TW_SPLIT_MERGED_WITH_PREVIOUS,
    TW_SPLIT_MERGED_WITH_NEXT,
    TW_SPLIT_CONTIGUOUS /* matches that touch are one piece */
};

struct tw_split_step {
    struct tw_regex *regex; /* owned; NULL: see literal, digits; none of them: no cuts */
    char *literal;          /* owned; a string that is looked for */
    size_t n_literal;
    bool digits; /* numeric characters match, one at a time */
    bool invert; /* what lies between matches counts as the match */
    enum tw_split_behavior behavior;
    bool add_prefix_space; /* first of all, a space before a piece that has none */
};

enum { TW_SPLIT_MAX_STEPS = 16 };

struct tw_splitter {
    struct tw_split_step steps[TW_SPLIT_MAX_STEPS];
    size_t n_steps;
};

void tw_splitter_release(struct tw_splitter *splitter);

struct tw_span {
    size_t begin;
    size_t end;
};

struct tw_spans {
    struct tw_span *data;
    size_t size;
    size_t capacity;
};

/* Of one thread; zero-initialise. */
struct tw_split_scratch {
    struct tw_regex_scratch *regex; /* owned; made on first use */
    struct tw_spans spans[2];
    struct tw_cut *cuts; /* matches and gaps of one piece */
    size_t n_cuts;
    size_t cuts_capacity;
    struct tw_str spaced[2]; /* the text with prefix spaces */
};

void tw_split_scratch_release(struct tw_split_scratch *s);

/* Cut text (UTF-8): *pieces, spans within *base, none empty; both belong to the scratch (or are the text
 * itself) and are valid until the next call. */
trawl_status tw_splitter_cut(const struct tw_splitter *splitter, struct tw_split_scratch *s, const char *text,
                             size_t n, const char **base, const struct tw_spans **pieces,
                             struct trawl_error *err);

#endif /* TW_TEXT_SPLIT_H */
