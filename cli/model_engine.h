/* SPDX-License-Identifier: MIT */
/* Model options of the command line -> an open engine, and what the commands that run one have in common. */
#ifndef CLI_MODEL_ENGINE_H
#define CLI_MODEL_ENGINE_H

#include "cli/args.h"
#include "cli/progress.h"
#include "trawl/trawl.h"

/* Open the engine that the model options describe; TRAWL_ISA is read here. Warnings of the engine go to
 * stderr. Closed with trawl_engine_close. */
trawl_status cli_engine_open(const struct cli_args *args, trawl_engine **out, struct trawl_error *err);

/* A job's on_tick: shows progress, cancels on SIGINT and SIGTERM. `user` is a struct cli_job_ui. */
struct cli_job_ui {
    struct cli_progress progress;
};
bool cli_job_tick(void *user, trawl_job *job);

/* Largest resident set of this process so far, in bytes; 0 when the system does not say. */
size_t cli_peak_resident_bytes(void);

#endif /* CLI_MODEL_ENGINE_H */
