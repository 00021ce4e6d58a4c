/* SPDX-License-Identifier: MIT */
#include "kernels/kernels_compress.h"

#include <string.h>

enum { LINE = 32, HALF = 64, CODES = 8, PAIRS = 128, TABLES = 4, UNKNOWN = 0xF0 };

/* Which weight of the lines 2h and 2h + 1 lies at byte `at` of the h-th part of a group. */
static size_t place(size_t at)
{
    return at % 16 / 8 * LINE + at / 16 * 8 + at % 8;
}

/* The seven pairs of exponents that most weights have, and that of zero. */
static void choose_upper(const uint16_t *panel, size_t n, uint8_t upper[TW_UPPER_BYTES])
{
    uint32_t counts[TABLES][PAIRS] = {0}; /* apart: a count may not wait for the one before */
    for (size_t i = 0; i < n; i += TABLES) {
        for (size_t t = 0; t < TABLES; t++) {
            counts[t][panel[i + t] >> 8 & 0x7F]++;
        }
    }
    for (size_t e = 0; e < PAIRS; e++) {
        counts[0][e] += counts[1][e] + counts[2][e] + counts[3][e];
    }
    upper[0]     = 0;
    counts[0][0] = 0;
    for (size_t c = 1; c < CODES; c++) {
        size_t best = 0;
        for (size_t e = 1; e < PAIRS; e++) {
            best = counts[0][e] > counts[0][best] ? e : best;
        }
        upper[c]        = (uint8_t)best; /* 0 when there are no more */
        counts[0][best] = 0;
    }
    for (size_t c = 0; c < CODES; c++) {
        upper[CODES + c] = (uint8_t)(upper[c] | 0x80);
    }
}

/* Half a group: its lower bytes and nibbles in their places, UNKNOWN where the table has no such upper byte.
 * Comparing with all eight is what compilers turn into vectors. */
static void compress_half(uint8_t lower[HALF], uint8_t nibbles[HALF], const uint16_t *lines,
                          const uint8_t upper[TW_UPPER_BYTES])
{
    uint16_t words[HALF];
    for (size_t at = 0; at < HALF; at += 8) {
        memcpy(words + at, lines + place(at), 8 * sizeof *words);
    }
    for (size_t i = 0; i < HALF; i++) {
        const uint16_t exponent = words[i] >> 8 & 0x7F, sign = words[i] >> 12 & CODES;
        uint16_t code = UNKNOWN;
        for (uint16_t c = CODES; c-- > 0;) { /* of equal ones the first */
            code = exponent == upper[c] ? c : code;
        }
        lower[i]   = (uint8_t)words[i];
        nibbles[i] = (uint8_t)(code | sign);
    }
}

size_t tw_compress_panel(uint8_t *to, const uint16_t *panel, size_t k, uint8_t upper[TW_UPPER_BYTES],
                         uint32_t *plain)
{
    const size_t groups = k / TW_GROUP_INPUTS;
    uint8_t first[HALF], second[HALF];
    size_t n = 0;
    choose_upper(panel, groups * TW_GROUP_PAIRS * LINE, upper);
    for (size_t g = 0; g < groups; g++, to += TW_GROUP_BYTES, panel += TW_GROUP_PAIRS * LINE) {
        uint8_t all = 0;
        compress_half(to, first, panel, upper);
        compress_half(to + HALF, second, panel + HALF, upper);
        for (size_t i = 0; i < HALF; i++) {
            to[2 * HALF + i] = (uint8_t)((first[i] & 0xF) | second[i] << 4);
            all |= (uint8_t)(first[i] | second[i]);
        }
        if ((all & UNKNOWN) != 0) {
            plain[n++] = (uint32_t)g;
        }
    }
    return n;
}

void tw_expand_groups(uint16_t *to, const uint8_t *from, size_t begin, size_t end,
                      const uint8_t upper[TW_UPPER_BYTES])
{
    from += begin * TW_GROUP_BYTES;
    for (size_t g = begin; g < end; g++, from += TW_GROUP_BYTES, to += TW_GROUP_PAIRS * LINE) {
        for (size_t i = 0; i < 64; i++) {
            to[place(i)]            = (uint16_t)(upper[from[128 + i] & 0xF] << 8 | from[i]);
            to[2 * LINE + place(i)] = (uint16_t)(upper[from[128 + i] >> 4] << 8 | from[64 + i]);
        }
    }
}
