/* SPDX-License-Identifier: MIT */
#include "text/text_unicode.h"

#include <utf8proc.h>

#include "base/utf8.h"
#include "text/text_unicode_new.h"

bool tw_unicode_is_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
           c == 0x3000;
}

bool tw_unicode_is_python_space(uint32_t c)
{
    return tw_unicode_is_space(c) || (c >= 0x1C && c <= 0x1F);
}

static utf8proc_category_t category(uint32_t c)
{
    return utf8proc_category((utf8proc_int32_t)c);
}

bool tw_unicode_is_numeric(uint32_t c)
{
    if (c < 0x80) {
        return c >= '0' && c <= '9';
    }
    utf8proc_category_t k = category(c);
    return k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_NO ||
           (k == UTF8PROC_CATEGORY_CN && tw_unicode_new_in(c, 'N'));
}

bool tw_unicode_is_word(uint32_t c)
{
    utf8proc_category_t k = category(c);
    if ((k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NL) || k == UTF8PROC_CATEGORY_PC) {
        return true; /* letters, marks, decimal digits, letter numbers */
    }
    if (k == UTF8PROC_CATEGORY_CN && c >= 0x1C89) {
        return tw_unicode_new_in(c, 'L') || tw_unicode_new_in(c, 'M') || tw_unicode_new_in(c, 'N');
    }
    /* Joiners, and symbols that are Other_Alphabetic. */
    return c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
           (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
}

bool tw_unicode_is_mark_or_connector(uint32_t c)
{
    utf8proc_category_t k = category(c);
    return (k >= UTF8PROC_CATEGORY_MN && k <= UTF8PROC_CATEGORY_ME) || k == UTF8PROC_CATEGORY_PC ||
           c == 0x200C || c == 0x200D;
}

bool tw_unicode_is_printable(uint32_t c)
{
    if (c < 0x7F) {
        return c >= 0x20;
    }
    utf8proc_category_t k = category(c);
    return !(k == UTF8PROC_CATEGORY_CN || k >= UTF8PROC_CATEGORY_ZS);
}

bool tw_unicode_word_before(const char *text, size_t at)
{
    uint32_t c = 0;
    if (at == 0) {
        return false;
    }
    size_t start = tw_utf8_prev(text, at);
    return tw_utf8_decode(text + start, at - start, &c) > 0 && tw_unicode_is_word(c);
}

bool tw_unicode_word_at(const char *text, size_t n)
{
    uint32_t c = 0;
    return tw_utf8_decode(text, n, &c) > 0 && tw_unicode_is_word(c);
}

size_t tw_unicode_space_start(const char *text, size_t at)
{
    while (at > 0) {
        uint32_t c   = 0;
        size_t start = tw_utf8_prev(text, at);
        if (tw_utf8_decode(text + start, at - start, &c) == 0 || !tw_unicode_is_space(c)) {
            break;
        }
        at = start;
    }
    return at;
}

size_t tw_unicode_space_length(const char *text, size_t n)
{
    size_t at = 0;
    while (at < n) {
        uint32_t c  = 0;
        size_t step = tw_utf8_decode(text + at, n - at, &c);
        if (step == 0 || !tw_unicode_is_space(c)) {
            break;
        }
        at += step;
    }
    return at;
}
