/* SPDX-License-Identifier: MIT */
/* What `trawl bench` measures: a case is one figure. And the least work that could yield it: the floor that
 * the machine's limits set. */
#ifndef CLI_BENCH_CASES_H
#define CLI_BENCH_CASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/options/args.h"
#include "kernels/kernels_limits.h"
#include "trawl/trawl.h"

enum bench_kind {
    BENCH_PREFILL, /* a prompt, to its first token                                   */
    BENCH_DECODE,  /* tokens of a batch, from the moment on when all of it decodes   */
    BENCH_CONTEXT, /* the same of one sequence behind a long context                 */
    BENCH_HARVEST, /* documents whose activations of three layers are handed over    */
    BENCH_PLAIN    /* the same documents with nobody looking                         */
};

enum { BENCH_SITES_MAX = 3, BENCH_RUNS_MAX = 1000 };

struct bench_case {
    enum bench_kind kind;
    size_t prompt;     /* tokens of each prompt                           */
    size_t gen;        /* tokens of each sequence inside the timed window */
    size_t batch;      /* sequences in flight per data replica            */
    size_t n_requests; /* of all replicas                                 */
    double *samples;   /* [runs] tokens per second                        */
    double *fractions; /* [runs] of what the machine allowed just then    */
    size_t n_samples;
};

struct bench_cases {
    struct bench_case *cases; /* [n], in the order in which they run */
    size_t n, n_runs;
    double *samples; /* owned: all of the above, and the fractions */
};

/* The cases that the options ask for, on `replicas` data replicas. */
trawl_status bench_cases_make(struct bench_cases *all, const struct cli_args *args, int replicas,
                              struct trawl_error *err);
void bench_cases_release(struct bench_cases *all);

/* Steps that a replica may take between the first sequence's first token and the last one's. */
size_t bench_case_ramp(const struct bench_case *c, size_t prefill_chunk);
/* Most tokens that a request of the case may generate: the window, and what the first sequences of a batch
 * generate while the last ones are still at their prompts. */
size_t bench_case_max_tokens(const struct bench_case *c, size_t prefill_chunk);
/* Tokens that the timed window counts. */
size_t bench_case_tokens(const struct bench_case *c);

/* Layers whose output is harvested, ascending: a quarter, half and three quarters through the model. */
size_t bench_harvest_layers(size_t n_layers, size_t layers[BENCH_SITES_MAX]);

/* Middle sample (the mean of the two for an even number), least and largest; middle fraction. */
struct bench_summary {
    double median, min, max, fraction;
};
double bench_median(double *samples, size_t n); /* 0 of none; sorts them */
struct bench_summary bench_summarize(const struct bench_case *c);

/* The least that a machine must do for the tokens of the window: flops of the matrix products and of causal
 * attention that the result depends on, bytes of packed weights and of keys and values read from memory
 * once a step. */
struct bench_work {
    double flops, bytes;
};
struct bench_work bench_case_work(const struct bench_case *c, const struct trawl_model_info *m,
                                  size_t prefill_chunk);

/* How fast the arithmetic unit that the engine uses is at most: dot product or fma. */
double bench_peak_flops(const struct trawl_model_info *m, const struct tw_limits *limits);
bool bench_uses_dot(const struct trawl_model_info *info, const struct tw_limits *limits);

/* The tokens per second that the limits allow; *memory: it is memory that binds, not arithmetic. */
double bench_roofline(const struct bench_case *c, const struct trawl_model_info *m, size_t prefill_chunk,
                      const struct tw_limits *limits, bool *memory);

#endif /* CLI_BENCH_CASES_H */
