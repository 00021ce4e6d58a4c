/* SPDX-License-Identifier: MIT */
/* Upper, lower and title case as Python's str has them. */
#ifndef TW_TEXT_JINJA_CASE_H
#define TW_TEXT_JINJA_CASE_H

#include "text/text_jinja_value.h"

enum tw_case {
    TW_CASE_LOWER,
    TW_CASE_UPPER,
    TW_CASE_CAPITALIZE, /* first character of the text in title case, the rest lower */
    TW_CASE_TITLE       /* the same for every run of letters: str.title */
};

/* A character whose other case is several characters (ligatures and such) is TRAWL_ERR_UNSUPPORTED, but
 * for the sharp s. */
trawl_status tw_text_change_case(struct tw_render *r, struct tw_text text, enum tw_case to,
                                 struct tw_value *out);
/* str.isupper, str.islower */
bool tw_text_has_case(struct tw_text text, bool upper);

#endif /* TW_TEXT_JINJA_CASE_H */
