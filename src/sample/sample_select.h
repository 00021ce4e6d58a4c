/* SPDX-License-Identifier: MIT */
/* Finding the few tokens of a row that matter without sorting all of it. */
#ifndef TW_SAMPLE_SELECT_H
#define TW_SAMPLE_SELECT_H

#include "sample/sample.h"

enum { TW_SAMPLE_BLOCK = 128 }; /* elements of which the largest is known */

/* A token and what it is sorted by. Lists live in s->candidates[0], a second list is for sorting. */
struct tw_candidate {
    uint32_t key; /* ascending */
    int32_t token;
};

/* Keys that put the highest f32 first; +0 and -0 are the same number, NaN has none. */
static inline uint32_t tw_candidate_key(float x)
{
    uint32_t bits = tw_f32_bits(x + 0.0F);
    return (bits & 0x80000000U) != 0 ? bits : ~bits & 0x7FFFFFFFU;
}

/* The highest of every block of x, for what follows. */
void tw_select_blocks(struct tw_sampler *s, const float *x);

/* A logit that at least k tokens reach (those that tie included), as high as the blocks can tell; -FLT_MAX: all. */
float tw_select_threshold(struct tw_sampler *s, size_t k);

/* Tokens with x >= threshold in ascending order of ids; how many. `threshold` is finite. */
size_t tw_select_collect(struct tw_sampler *s, const float *x, float threshold);

/* The first n candidates by key, ties in the order they were in. */
void tw_select_sort(struct tw_sampler *s, size_t n);

#endif /* TW_SAMPLE_SELECT_H */
