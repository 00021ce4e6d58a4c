/* SPDX-License-Identifier: MIT */
/* The whole run: texts -> contexts -> the prompts of a job whose rows are stored. */
#ifndef TW_HARVEST_RUN_H
#define TW_HARVEST_RUN_H

#include "apps/harvest/harvest_context.h"
#include "trawl/trawl.h"

#define TW_HARVEST_JOURNAL_NAME "journal.jsonl"

struct tw_harvest_config {
    const struct tw_harvest_input *input;
    struct tw_harvest_cut cut;
    bool drop_special;             /* no rows of special tokens are stored */
    unsigned shard_id, num_shards; /* contexts whose number is shard_id modulo num_shards */
};

/* What a run will do, found by reading all of its input once. */
struct tw_harvest_plan {
    struct tw_harvest_counts counts; /* of the whole run */
    uint64_t skipped;                /* rows and texts that cannot be used; each was told */
    uint64_t contexts, tokens, rows; /* of this shard; rows of each site that are stored */
    uint64_t longest;                /* tokens of its longest context */
    uint64_t hash;                   /* of all contexts of the whole run */
};

/* Not for input that cannot be read twice. `on_read` (NULL: nobody) is called with what was counted so far, for every
 * context; false: CANCELLED. */
trawl_status tw_harvest_plan(const struct tw_harvest_config *config,
                             bool (*on_read)(void *user, const struct tw_harvest_counts *counts), void *user,
                             struct tw_harvest_plan *plan, struct trawl_error *err);

struct tw_harvest_run {
    const struct tw_harvest_config *config;
    const struct tw_harvest_plan *plan; /* NULL: there is none, the input is read as it comes */
    struct trawl_capture_config
        capture; /* its folder also gets the journal and documents.jsonl; skip_tokens are the run's business */
    bool resume;
    size_t commit_every; /* contexts of a commit group */
    size_t ahead;        /* contexts that are submitted ahead of the one that is waited for */
    void (*failed)(void *user, const char *why); /* a context that could not be run */
    /* `committed` contexts are in the journal already. */
    void (*on_start)(void *user, uint64_t committed);
    bool (*on_tick)(void *user, trawl_job *job);
    void *user;
};

struct tw_harvest_summary {
    struct tw_harvest_counts counts; /* of the whole run */
    uint64_t skipped;                /* rows and texts that could not be used */
    uint64_t contexts, tokens;       /* of this shard, those in the journal among them */
    uint64_t failed, from_journal;   /* contexts */
    struct trawl_job_stats job;
    double seconds;
};

/* CANCELLED when on_tick said so; what was committed can be resumed. EXISTS: the folder has a run and `resume` is
 * false, or another run. FORMAT: the input is not what it was when it was planned. */
trawl_status tw_harvest_run(trawl_engine *engine, const struct tw_harvest_run *run,
                            struct tw_harvest_summary *summary, struct trawl_error *err);

#endif /* TW_HARVEST_RUN_H */
