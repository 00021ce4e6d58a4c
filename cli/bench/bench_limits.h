/* SPDX-License-Identifier: MIT */
/* The machine's limits as they were during a benchmark: measured again before every case, so that a limit and a case
 * are medians of the same minutes. */
#ifndef CLI_BENCH_LIMITS_H
#define CLI_BENCH_LIMITS_H

#include <stddef.h>

#include "kernels/kernels_limits.h"

struct bench_limits {
    struct tw_limits median; /* of what the machine sustained, one sample a measurement */
    struct tw_limits best;   /* of any trial of a few milliseconds */
    struct tw_limits_probe *probe;
    struct tw_limits *samples; /* [n] */
    double *sorted;            /* [capacity], scratch */
    size_t n, capacity;
};

/* For at most `capacity` measurements on `n_threads` threads; `isa` as tw_limits_probe_new. */
trawl_status bench_limits_init(struct bench_limits *l, const char *isa, int n_threads, size_t capacity,
                               struct trawl_error *err);
/* One more, in about `seconds`; returns what the machine sustained during it and the one before, or during it alone if
 * it is the first. */
struct tw_limits bench_limits_measure(struct bench_limits *l, double seconds);
void bench_limits_release(struct bench_limits *l); /* one of zeros is allowed */

#endif /* CLI_BENCH_LIMITS_H */
