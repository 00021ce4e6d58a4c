/* SPDX-License-Identifier: MIT */
/* Characters that are newer than the Unicode tables of the libraries here (PCRE2 10.42 has version 14,
 * utf8proc 2.8 has 15) but known to the tokenizers package (16): a letter cut off as a symbol would be
 * another token. On newer libraries these say nothing new. */
#ifndef TW_TEXT_UNICODE_NEW_H
#define TW_TEXT_UNICODE_NEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tw_unicode_range {
    uint32_t from;
    uint32_t to;      /* included */
    char category[3]; /* "Lo" */
};

const struct tw_unicode_range *tw_unicode_new_ranges(size_t *n);
/* Is `c` among them, in a category of this group ('L', 'N', ...)? */
bool tw_unicode_new_in(uint32_t c, char group);
/* Has this range the property \p{...}: a category, a group of them, or Han? */
bool tw_unicode_range_in(const struct tw_unicode_range *range, const char *property, size_t n);

#endif /* TW_TEXT_UNICODE_NEW_H */
