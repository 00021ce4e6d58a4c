/* SPDX-License-Identifier: MIT */
/* What filters and methods of strings share. */
#ifndef TW_TEXT_JINJA_TEXT_H
#define TW_TEXT_JINJA_TEXT_H

#include "text/text_jinja_eval.h"

enum tw_strip { TW_STRIP_LEFT = 1, TW_STRIP_RIGHT = 2 };

/* str.strip: without the characters of `chars` (s NULL: white space) at the ends. */
struct tw_text tw_text_strip(struct tw_text text, struct tw_text chars, int sides);
/* str.replace, `count` < 0: all; `from` is not empty. */
trawl_status tw_text_replace(struct tw_render *r, struct tw_text text, struct tw_text from, struct tw_text to,
                             int64_t count, struct tw_value *out);
/* The next line of *rest, without its end, as str.splitlines cuts; false: no more. */
bool tw_text_next_line(struct tw_text *rest, struct tw_text *line);
/* Text with `separator` between the strings of a list. */
trawl_status tw_text_join(struct tw_render *r, struct tw_text separator, const struct tw_list *items,
                          struct tw_value *out);

#endif /* TW_TEXT_JINJA_TEXT_H */
