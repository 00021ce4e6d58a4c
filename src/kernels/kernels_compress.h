/* SPDX-License-Identifier: MIT */
/* bf16 panels without loss in three quarters of their bytes.
 *
 * Of the 8 bits of a weight's exponent hardly any information is needed: but for one weight in ten thousand a
 * trained panel's exponents fall, in pairs 2e and 2e + 1, into seven pairs and the pair of zero. So the upper
 * byte of a weight (sign, seven bits of exponent) becomes a nibble: the sign and which of eight. The lower byte
 * (the last bit of the exponent, fraction) stays. A group of 4 pairs of inputs, 4 lines of 32 weights and 256
 * bytes plain, becomes 192 bytes:
 *
 *     [0, 64)      lower bytes of lines 0 and 1, in turns of 8 weights
 *     [64, 128)    the same of lines 2 and 3
 *     [128, 192)   nibbles: of the byte's place in the first part (low), and in the second one (high)
 *
 * Two table lookups and four interleavings then decode four lines. A group that does not fit is kept plain beside
 * the panels. That exponents carry few bits is what DFloat11 (arXiv 2504.11651) lives on, too. */
#ifndef TW_KERNELS_COMPRESS_H
#define TW_KERNELS_COMPRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TW_GROUP_PAIRS  = 4,   /* pairs of inputs of a group */
    TW_GROUP_INPUTS = 8,   /* inputs of it */
    TW_GROUP_BYTES  = 192, /* compressed */
    TW_PLAIN_BYTES  = 256, /* plain */
    TW_UPPER_BYTES  = 16   /* of a panel's table */
};

/* What compressed panels need beside their groups. `upper` NULL: the panels are plain. */
struct tw_codes {
    const uint8_t *upper; /* [panels][TW_UPPER_BYTES] the upper byte of each nibble */
    const uint32_t
        *first; /* [panels + 1]: the plain groups of panel p are first[p] .. first[p + 1] - 1 of: */
    const uint32_t *group; /* which group of its panel, ascending within a panel */
    const uint8_t *plain;  /* [][TW_PLAIN_BYTES] its lines; 64-byte aligned */
};

/* Panels of so many inputs can be compressed. */
static inline bool tw_compressible(size_t k)
{
    return k != 0 && k % TW_GROUP_INPUTS == 0;
}

/* Bytes from a compressed panel to the next, k as above. */
static inline size_t tw_compressed_bytes(size_t k)
{
    return k / TW_GROUP_INPUTS * TW_GROUP_BYTES;
}

/* Compress one bf16 panel [k/2][16][2] (kernels.h). Returns how many groups must be kept plain; they are listed
 * in plain[k / 8]. */
size_t tw_compress_panel(uint8_t *to, const uint16_t *panel, size_t k, uint8_t upper[TW_UPPER_BYTES],
                         uint32_t *plain);

/* Groups [begin, end) of a compressed panel as they were, but for those that were kept plain. */
void tw_expand_groups(uint16_t *to, const uint8_t *from, size_t begin, size_t end,
                      const uint8_t upper[TW_UPPER_BYTES]);

#endif /* TW_KERNELS_COMPRESS_H */
