/* SPDX-License-Identifier: MIT */
/* A partial attention result of one query over some of its keys: the largest score, the sum of
 * exp(score - largest), and o[D] = sum of exp(score - largest) * value, not yet divided. Empty: sum is 0
 * (the largest score alone contributes 1 to any other sum). */
#ifndef TW_KERNELS_PARTIAL_H
#define TW_KERNELS_PARTIAL_H

#include "kernels/kernels.h"
#include "tensor/dtype.h"

enum { TW_BLOCKS_PER_SPAN = TW_KV_SPAN / TW_KV_BLOCK };

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

/* Entries of a->k_blocks. */
static inline size_t tw_attend_blocks(const struct tw_attend *a)
{
    return a->visible != NULL ? a->n_blocks : (a->position + a->n_rows - 1) / TW_KV_BLOCK + 1;
}

/* The number of block entry j among the sequence's positions. */
static inline size_t tw_attend_number(const struct tw_attend *a, size_t j)
{
    return a->visible != NULL && a->blocks != NULL ? a->blocks[j] : j;
}

/* The first entry whose block has at least this number. */
static inline size_t tw_attend_entry(const struct tw_attend *a, size_t number)
{
    size_t begin = 0, end = tw_attend_blocks(a);
    if (a->visible == NULL || a->blocks == NULL) {
        return number < end ? number : end;
    }
    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;
        if (a->blocks[middle] < number) {
            begin = middle + 1;
        } else {
            end = middle;
        }
    }
    return begin;
}

/* The keys that row `row` sees of entry j, the first in bit 0. */
static inline uint64_t tw_attend_keys(const struct tw_attend *a, size_t row, size_t j)
{
    if (a->visible != NULL) {
        return a->visible[row * a->n_blocks + j];
    }
    size_t n = tw_visible(a->position + row, j);
    return n == TW_KV_BLOCK ? UINT64_MAX : ((uint64_t)1 << n) - 1;
}

/* One past the last key; keys != 0. */
static inline size_t tw_keys_end(uint64_t keys)
{
    return 64 - (size_t)__builtin_clzll(keys);
}

/* Whether a key before the last one is missing. */
static inline bool tw_keys_have_gaps(uint64_t keys)
{
    return (keys & (keys + 1)) != 0;
}

/* o[D] of one query over block entry j by the definition: for a block whose masked values are not finite. */
void tw_attend_block_scalar(const struct tw_attend *a, enum tw_dtype type, size_t query, size_t j, float *o);

#endif /* TW_KERNELS_PARTIAL_H */
