/* SPDX-License-Identifier: MIT */
/* Philox4x32-10, the counter-based generator of Salmon et al. (SC 2011): a draw is a pure function of
 * key and counter, so a request's random numbers depend on nothing but its own seed and position. */
#ifndef TW_BASE_PHILOX_H
#define TW_BASE_PHILOX_H

#include <stdint.h>

/* key = seed (two 32-bit words, low first); counter as given; out = four independent words. */
void tw_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]);

/* A stream for callers that want numbers one after another: counter words 2 and 3 are `stream`, words
 * 0 and 1 count. */
struct tw_philox_stream {
    uint32_t key[2];
    uint32_t counter[4];
    uint32_t block[4];
    uint32_t used; /* words of `block` already handed out */
};

void tw_philox_stream_init(struct tw_philox_stream *s, uint64_t seed, uint64_t stream);
uint32_t tw_philox_next(struct tw_philox_stream *s);
/* Uniform in [0, n) without bias (rejection); n >= 1. */
uint32_t tw_philox_below(struct tw_philox_stream *s, uint32_t n);
/* Uniform in [0, 1) with 53 bits. */
double tw_philox_double(struct tw_philox_stream *s);

#endif /* TW_BASE_PHILOX_H */
