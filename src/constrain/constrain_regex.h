/* SPDX-License-Identifier: MIT */
/* Regular expressions: a subset of RE2's syntax, over characters of UTF-8 text.
 *
 *   abc          these characters          [a-z_] [^"\n]   one of a set, one outside of it
 *   .            any but a newline
 *   \d \w \s     [0-9], [0-9A-Za-z_], [ \t\n\r\f\v]; \D \W \S the others
 *   x|y          either                    (x) (?:x)       grouping; nothing is captured
 *   x? x* x+     0 to 1, 0 or more, 1 or more times
 *   x{3} x{2,} x{2,5}                      counts, at most 1,000; x{,5} is text, as in RE2
 *   \n \t \r \f \v \a \0 \x41 \x{1F600} \u00e9 \\ \. and so on
 *   ^ $          only first and last in the whole or in one of its outermost alternatives
 *
 * A whole text must match; `^` and `$` change nothing then. A `?` after a quantifier is read and changes
 * nothing: it says which of several matches to prefer, not which texts match. Refused with their offset:
 * look-around, backreferences, flags, \b and \p{...}. */
#ifndef TW_CONSTRAIN_REGEX_H
#define TW_CONSTRAIN_REGEX_H

#include "constrain/constrain_tree.h"

struct tw_regex_options {
    bool search; /* the expression may match anywhere in the text but where ^ and $ hold it */
    bool json;   /* the text is that of a JSON string, which is written with \" \\ \b \f \n \r \t */
};

enum {
    TW_REGEX_COUNT_MAX = 1000, /* of a quantifier */
    TW_REGEX_DEPTH_MAX = 200,  /* groups within each other */
};

/* Parse `n` bytes into the tree. TRAWL_ERR_FORMAT: "regex, offset 12: ...", in bytes from 0;
 * TRAWL_ERR_UNSUPPORTED for what is read but not done; TRAWL_ERR_LIMIT. */
trawl_status tw_regex_parse(struct tw_tree *t, const char *pattern, size_t n,
                            const struct tw_regex_options *options, uint32_t *out, struct trawl_error *err);

#endif /* TW_CONSTRAIN_REGEX_H */
