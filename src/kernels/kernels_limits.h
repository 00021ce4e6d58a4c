/* SPDX-License-Identifier: MIT */
/* What the machine can do at most: the rate at which all threads together read memory, and the rates of
 * fma and of the bf16 dot product on registers. A kernel's figure is worth something beside these. */
#ifndef TW_KERNELS_KERNELS_LIMITS_H
#define TW_KERNELS_KERNELS_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Per second, all threads together. Reading is timed over all threads, arithmetic by each thread for itself and summed. */
struct tw_limits {
    double read_bytes; /* of memory, read once in ascending order from a buffer far larger than the caches */
    double fma_flops;  /* f32; a multiply-add counts two */
    double dot_flops;  /* vdpbf16ps: bf16 products into f32 sums; 0 where the instruction is missing */
};

/* The loops of a level; a missing `dot` is NULL. `fma` and `dot` do at least `flops` operations and return
 * how many; `read` reads `bytes` (a multiple of 4096 * streams) as `streams` equal parts side by side. The
 * results are of no use but to keep the loops alive. */
struct tw_limit_loops {
    uint64_t (*read)(const void *p, size_t bytes, size_t streams);
    double (*fma)(double flops, float *result);
    double (*dot)(double flops, float *result);
};

struct tw_limits_probe;

/* `isa` as tw_kernels_init: the widest loops up to that level. Takes the buffer (512 MiB, or what `bytes`
 * says when it is not 0) and starts the threads, one a core if there are enough. One thread makes, runs and
 * frees a probe. */
trawl_status tw_limits_probe_new(struct tw_limits_probe **out, const char *isa, int n_threads, size_t bytes,
                                 struct trawl_error *err);
/* Run every loop for its share of about `seconds`. *mean: operations by time of this call, what the machine sustains at
 * this moment; *best is raised to the best of its trials of a few milliseconds, which begins as zeros. Called again and
 * again between other measurements it sees the machine as they did. Reading takes the better of its patterns. */
void tw_limits_measure(struct tw_limits_probe *probe, double seconds, struct tw_limits *mean,
                       struct tw_limits *best);
void tw_limits_probe_free(struct tw_limits_probe *probe); /* NULL allowed */

#if defined(__x86_64__)
void tw_limit_loops_avx2(struct tw_limit_loops *loops);
void tw_limit_loops_avx512(struct tw_limit_loops *loops);
void tw_limit_loops_avx512bf16(struct tw_limit_loops *loops); /* dot only */
#endif

#endif /* TW_KERNELS_KERNELS_LIMITS_H */
