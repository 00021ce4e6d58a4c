/* SPDX-License-Identifier: MIT */
/* A partial attention result of one query over some of its keys: the largest score, the sum of
 * exp(score - largest), and o[D] = sum of exp(score - largest) * value, not yet divided. Empty: sum is 0
 * (the largest score alone contributes 1 to any other sum). */
#ifndef TW_KERNELS_PARTIAL_H
#define TW_KERNELS_PARTIAL_H

#include "kernels/kernels.h"

enum { PARTIAL_MAX = 0, PARTIAL_SUM = 1, PARTIAL_O = 16 };

/* How many of a block's positions the row at `position` sees. */
static inline size_t tw_visible(size_t position, size_t block)
{
    size_t begin = block * TW_KV_BLOCK;
    if (position < begin) {
        return 0;
    }
    size_t n = position + 1 - begin;
    return n < TW_KV_BLOCK ? n : TW_KV_BLOCK;
}

#endif /* TW_KERNELS_PARTIAL_H */
