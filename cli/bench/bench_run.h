/* SPDX-License-Identifier: MIT */
/* One run of one case, through the job interface that every user of the library has. What exactly is timed:
 *
 * prefill, from the submission of the prompt to its first token (the head and the choice of a token included).
 * decode, from the moment when every sequence of the batch has its first token until each has `gen` more:
 *   prompts, and the steps in which some sequences decode while others are at their prompts, are not in it.
 *   Replicas of a data axis wait for each other at that moment; the step that one of them had finished by
 *   then counts as its first, so their sum may be high by 1 / gen.
 * harvest, from the submission of the first document to the result of the last one; captured rows are
 *   copied away as they come. The same without capture. */
#ifndef CLI_BENCH_RUN_H
#define CLI_BENCH_RUN_H

#include "cli/bench/bench_cases.h"
#include "cli/progress.h"

struct bench_run {
    trawl_engine *engine;
    const struct cli_args *args;
    size_t prefill_chunk;
    uint64_t seed; /* every run has prompts of its own */
    struct cli_progress *progress;
    uint64_t n_done; /* cases, for the progress */
};

/* Appends nothing: *rate is the tokens per second of this run. TRAWL_ERR_CANCELLED after SIGINT. */
trawl_status bench_case_run(const struct bench_run *run, const struct bench_case *c, double *rate,
                            struct trawl_error *err);

#endif /* CLI_BENCH_RUN_H */
