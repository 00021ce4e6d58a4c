/* SPDX-License-Identifier: MIT */
/* Character classes as the tokenizers' own regular expressions and Python see them; all text is UTF-8. */
#ifndef TW_TEXT_UNICODE_H
#define TW_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The White_Space property. */
bool tw_unicode_is_space(uint32_t c);
/* Python's str.isspace: White_Space and U+001C..U+001F. */
bool tw_unicode_is_python_space(uint32_t c);
/* Nd, Nl or No. */
bool tw_unicode_is_numeric(uint32_t c);
/* \w: alphabetic, mark, decimal digit, connector punctuation, joiner. */
bool tw_unicode_is_word(uint32_t c);
/* Mn, Mc, Me, Pc or a joiner: in \w here, but (the underscore apart) not in Python's. */
bool tw_unicode_is_mark_or_connector(uint32_t c);
/* Python's str.isprintable, what repr() leaves as it is. */
bool tw_unicode_is_printable(uint32_t c);

/* The character that ends before text[at] / begins at text[0] is a word character. */
bool tw_unicode_word_before(const char *text, size_t at);
bool tw_unicode_word_at(const char *text, size_t n);
/* Where the run of white space that ends before `at` begins; bytes of the run at the start of text. */
size_t tw_unicode_space_start(const char *text, size_t at);
size_t tw_unicode_space_length(const char *text, size_t n);

/* Start of the character that ends before text[at], at > 0. */
static inline size_t tw_utf8_prev(const char *text, size_t at)
{
    at--;
    while (at > 0 && ((unsigned char)text[at] & 0xC0) == 0x80) {
        at--;
    }
    return at;
}

#endif /* TW_TEXT_UNICODE_H */
