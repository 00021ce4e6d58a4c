/* SPDX-License-Identifier: MIT */
/* Model options of the command line -> an open engine, and what the commands that run one have in common. */
#ifndef CLI_MODEL_ENGINE_H
#define CLI_MODEL_ENGINE_H

#include "cli/commands.h"
#include "cli/progress.h"
#include "trawl/trawl.h"

/* What the model options describe; TRAWL_ISA is read here. Warnings of the engine go to stderr. *folder is
 * what config->model_path points to: freed with tw_free after the engine was opened. */
trawl_status cli_engine_config(const struct cli_args *args, struct trawl_engine_config *config, char **folder,
                               struct trawl_error *err);
/* Open that engine. Closed with trawl_engine_close. */
trawl_status cli_engine_open(const struct cli_args *args, trawl_engine **out, struct trawl_error *err);

/* Was this process started as one of several that are to run the command's engine together? */
bool cli_needs_world(const struct cli_command *command);
/* What ranks other than 0 do instead of the command: work for rank 0's engines. */
cli_run_fn cli_serve;

/* A job's on_tick: shows progress, cancels on SIGINT and SIGTERM. `user` is a struct cli_job_ui. */
struct cli_job_ui {
    struct cli_progress progress;
};
bool cli_job_tick(void *user, trawl_job *job);

/* The end of a command that ran one, however it went: progress, job, engine. */
void cli_job_end(struct cli_job_ui *ui, trawl_job **job, trawl_engine **engine);

/* What the prefix cache saved and how full the KV cache was, a line on stderr; none when nothing was found,
 * evicted or preempted. */
void cli_print_kv_cache(const struct trawl_job_stats *stats);
/* What came of tokens that were guessed ahead, if any were. */
void cli_print_guesses(const struct trawl_job_stats *stats);
/* How many requests ended by their timeout, likewise. */
void cli_print_timed_out(const struct trawl_job_stats *stats);

/* Largest resident set of this process so far, in bytes; 0 when the system does not say. */
size_t cli_peak_resident_bytes(void);

#endif /* CLI_MODEL_ENGINE_H */
