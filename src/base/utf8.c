/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"

/* Bytes a lead byte announces, and the range its second byte must be in. */
static size_t lead(unsigned char c, unsigned char *lo, unsigned char *hi)
{
    *lo = 0x80;
    *hi = 0xBF;
    if (c < 0x80) {
        return 1;
    }
    if (c >= 0xC2 && c <= 0xDF) {
        return 2;
    }
    if (c >= 0xE0 && c <= 0xEF) {
        if (c == 0xE0) {
            *lo = 0xA0;
        } else if (c == 0xED) {
            *hi = 0x9F;
        }
        return 3;
    }
    if (c >= 0xF0 && c <= 0xF4) {
        if (c == 0xF0) {
            *lo = 0x90;
        } else if (c == 0xF4) {
            *hi = 0x8F;
        }
        return 4;
    }
    return 0;
}

size_t tw_utf8_incomplete(const char *s, size_t n)
{
    unsigned char lo, hi;
    if (n == 0) {
        return 0;
    }
    size_t want = lead((unsigned char)s[0], &lo, &hi);
    if (want == 0) {
        return 0;
    }
    size_t i = 1;
    while (i < want && i < n) {
        unsigned char c = (unsigned char)s[i];
        if (c < lo || c > hi) {
            break;
        }
        lo = 0x80;
        hi = 0xBF;
        i++;
    }
    return i;
}

size_t tw_utf8_decode(const char *s, size_t n, uint32_t *codepoint)
{
    unsigned char lo, hi;
    if (n == 0) {
        return 0;
    }
    unsigned char first = (unsigned char)s[0];
    size_t want         = lead(first, &lo, &hi);
    if (want == 0 || want > n || tw_utf8_incomplete(s, n) < want) {
        return 0;
    }
    static const unsigned char mask[5] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t c                         = first & mask[want];
    for (size_t i = 1; i < want; i++) {
        c = c << 6 | ((unsigned char)s[i] & 0x3Fu);
    }
    if (codepoint != NULL) {
        *codepoint = c;
    }
    return want;
}

size_t tw_utf8_encode(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        if (c >= 0xD800 && c <= 0xDFFF) {
            return 0;
        }
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    if (c > 0x10FFFF) {
        return 0;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

bool tw_utf8_valid(const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t step = tw_utf8_decode(s + i, n - i, NULL);
        if (step == 0) {
            return false;
        }
        i += step;
    }
    return true;
}
