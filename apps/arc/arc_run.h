/* SPDX-License-Identifier: MIT */
/* The whole job: tasks -> prompts -> answers -> predictions, with activations and a journal on the way. */
#ifndef TW_ARC_RUN_H
#define TW_ARC_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "apps/arc/arc_job.h"
#include "base/log.h"
#include "text/text_tokenizer.h"
#include "trawl/trawl.h"

/* Of which tokens activations are stored. */
enum tw_arc_positions {
    TW_ARC_POSITIONS_ALL,
    TW_ARC_POSITIONS_LAST,  /* the prompt's last one and the answer's */
    TW_ARC_POSITIONS_ANSWER /* the answer's */
};

struct tw_arc_run_config {
    const struct tw_arc_dataset *dataset;
    const struct tw_arc_prompt *prompt;
    struct tw_tokenizer *tokenizer;       /* of the engine's model; read only */
    const char *output_path;              /* <x>.json; beside it <x>_task_results.json, <x>_journal.jsonl and
                                                 <x>.stats.json */
    const struct trawl_setting *settings; /* [n_settings] further settings of the run's identity */
    size_t n_settings;
    uint64_t seed;
    int64_t predictions;
    size_t max_output_tokens;
    const struct trawl_request
        *request;         /* how answers are drawn or searched for; nothing else of it is read */
    bool constrain_grids; /* answers can only be grids, which fit into max_output_tokens */
    double timeout; /* seconds from the start on, after which prompts end with what they have; 0: none */
    bool resume;
    int shard_id, num_shards;            /* tasks whose place is shard_id modulo num_shards */
    size_t commit_every;                 /* prompts of a commit group */
    struct trawl_capture_config capture; /* n_sites 0: no activations */
    enum tw_arc_positions positions;
    size_t batch;      /* sequences in flight, all replicas: for the sharding report */
    struct tw_log log; /* failed prompts are named as warnings */
    /* The sharding report, once, before the work starts. */
    void (*report)(void *user, const char *text);
    bool (*on_tick)(void *user, trawl_job *job);
    /* How many prompts there are, and how many of them the journal has. */
    void (*on_start)(void *user, size_t n_prompts, size_t n_done);
    void *user;
};

struct tw_arc_run_summary {
    size_t prompts,
        answered;  /* answered: with a grid that could be read (or any text where none is expected) */
    size_t failed; /* could not be run at all */
    size_t from_journal;
    struct trawl_job_stats job; /* at the end; counts what was done now */
    double seconds;
};

/* TRAWL_ERR_CANCELLED when on_tick said so; what was committed can be resumed. */
trawl_status tw_arc_run(trawl_engine *engine, const struct tw_arc_run_config *config,
                        struct tw_arc_run_summary *summary, struct trawl_error *err);

#endif /* TW_ARC_RUN_H */
