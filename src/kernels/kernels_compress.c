/* SPDX-License-Identifier: MIT */
#include "kernels/kernels_compress.h"

#include <string.h>

enum { LINE = 32, CODES = 8, PAIRS = 128, TABLES = 4, UNKNOWN = 0xFF };

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

size_t tw_compress_panel(uint8_t *to, const uint16_t *panel, size_t k, uint8_t upper[TW_UPPER_BYTES],
                         uint32_t *plain)
{
    const size_t groups = k / TW_GROUP_INPUTS;
    uint8_t nibbles[256];
    size_t n = 0;
    choose_upper(panel, groups * TW_GROUP_PAIRS * LINE, upper);
    memset(nibbles, UNKNOWN, sizeof nibbles);
    for (size_t c = TW_UPPER_BYTES; c-- > 0;) { /* of equal ones the first counts */
        nibbles[upper[c]] = (uint8_t)c;
    }
    for (size_t g = 0; g < groups; g++, to += TW_GROUP_BYTES, panel += TW_GROUP_PAIRS * LINE) {
        uint8_t unknown = 0;
        for (size_t i = 0; i < 64; i++) {
            const uint16_t first = panel[place(i)], second = panel[2 * LINE + place(i)];
            const uint8_t a = nibbles[first >> 8], b = nibbles[second >> 8];
            to[i]       = (uint8_t)first;
            to[64 + i]  = (uint8_t)second;
            to[128 + i] = (uint8_t)((a & 0xF) | b << 4);
            unknown |= (uint8_t)((a | b) & 0xF0);
        }
        if (unknown != 0) {
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
