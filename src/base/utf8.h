/* SPDX-License-Identifier: MIT */
#ifndef TW_BASE_UTF8_H
#define TW_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length in bytes (1..4) of the well-formed UTF-8 character at s, 0 if there is none (Unicode table
 * 3-7: no overlong forms, no surrogates, nothing above U+10FFFF). `*codepoint` may be NULL. */
size_t tw_utf8_decode(const char *s, size_t n, uint32_t *codepoint);
/* Bytes of the character written to out (1..4), 0 for a surrogate or a value above U+10FFFF. */
size_t tw_utf8_encode(uint32_t codepoint, char out[4]);
bool tw_utf8_valid(const char *s, size_t n);
/* Length of the maximal well-formed prefix of a character at s (Unicode 3.9, "maximal subpart"): 0 when
 * the first byte can start none, n when the bytes so far could still be completed by more. */
size_t tw_utf8_incomplete(const char *s, size_t n);

#endif /* TW_BASE_UTF8_H */
