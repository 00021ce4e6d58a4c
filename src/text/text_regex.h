/* SPDX-License-Identifier: MIT */
/* Regular expressions of tokenizer.json, written for Oniguruma (Ruby syntax), run by PCRE2.
 *
 * Where the two read the same characters differently the pattern is rewritten, and what is not known to
 * mean the same in both is refused: a pattern that compiles here cuts text as Hugging Face does. */
#ifndef TW_TEXT_REGEX_H
#define TW_TEXT_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct tw_regex;
struct tw_regex_scratch;

/* `what` begins error messages. Uses PCRE2's JIT where the machine allows it, else its interpreter. */
trawl_status tw_regex_compile(const char *pattern, size_t n, const char *what, struct tw_regex **out,
                              struct trawl_error *err);
void tw_regex_free(struct tw_regex *regex);

/* Of one thread; for any regex. */
trawl_status tw_regex_scratch_new(struct tw_regex_scratch **out, struct trawl_error *err);
void tw_regex_scratch_free(struct tw_regex_scratch *s);

/* The next match in text (UTF-8) at or after `from`. Look-around sees all of text, and nothing else. */
trawl_status tw_regex_next(const struct tw_regex *regex, struct tw_regex_scratch *s, const char *text,
                           size_t n, size_t from, bool *found, size_t *begin, size_t *end,
                           struct trawl_error *err);

#endif /* TW_TEXT_REGEX_H */
