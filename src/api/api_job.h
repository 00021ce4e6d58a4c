/* SPDX-License-Identifier: MIT */
/* The parts of a job: requests waiting and under way (api_job.c), what they are (api_job_request.c), what is written
 * and read back (api_job_commit.c). */
#ifndef TW_API_JOB_H
#define TW_API_JOB_H

#include <pthread.h>
#include <stdatomic.h>

#include "api/api_constraint.h"
#include "api/api_engine.h"
#include "api/api_job_rows.h"
#include "api/api_job_table.h"
#include "api/api_mask.h"
#include "api/api_outcome.h"
#include "api/api_sampling.h"
#include "api/api_search.h"
#include "base/str.h"
#include "store/store.h"
#include "store/store_journal.h"
#include "trawl/job.h"
#include "json/json.h"

enum { TW_JOB_SITES_MAX = 4096, TW_JOB_TOP_MAX = 1024 /* trawl_request.top_logprobs */ };

struct tw_job_request {
    struct tw_request engine; /* prompt and stop point into `ids`; its id is the place in this job */
    uint64_t number;          /* in the files */
    int32_t *ids;             /* owned: prompt, then stop ids */
    struct tw_job_search search;
    struct tw_job_sampling sampling;
    char *task_id; /* owned */
    int64_t sample_idx;
    struct tw_job_constraint *constraint; /* what engine.constraint points to; NULL: none */
    struct tw_job_mask mask;              /* owned: what engine.mask points to */
    uint64_t prompt_hash;                 /* with the mask in it */
    struct tw_job_request *candidates;    /* [n_candidates] api_best_of.h; 0: there are none */
    size_t n_candidates, n_returned, n_pulled;
    _Atomic size_t n_left; /* of the candidates, those that have not ended */
    bool finished, dropped, from_journal;
    atomic_bool cancelled; /* what engine.cancelled points to */
    struct tw_job_outcome outcome;
    float **rows;         /* [n_sites] captured so far, [n_rows, width] each, from engine.capture_from on */
    size_t *row_capacity; /* [n_sites] floats */
    size_t n_rows;        /* of site 0; all sites advance together */
    float *measures;      /* [n_prompt, 2] log p of the next token and entropy (api_job_rows.h); NULL: none */
    size_t logits_from;   /* where those for its caller begin; SIZE_MAX: it wants none */
    struct tw_job_request *next_in_bucket, *next_finished; /* api_job_table.h; of the job's list */
};

struct trawl_job {
    trawl_engine *engine;
    struct trawl_job_config config; /* callbacks and numbers; strings are copied where they are needed */
    struct tw_site *sites;
    char (*site_names)[TW_SITE_NAME_BYTES];
    size_t *site_widths;
    size_t n_sites;
    struct tw_work work;

    pthread_mutex_t lock; /* of everything down to the next comment */
    pthread_cond_t changed;
    struct tw_job_table requests; /* not yet delivered */
    struct tw_job_request *finished,
        **last; /* unordered: a list of those that are finished, and where it ends */
    size_t n_submitted;
    size_t next_pull;     /* a place */
    size_t n_delivered;   /* results; in an ordered job the place of the next one */
    size_t n_out, window; /* requests of the engine whose results have not been taken; so many at most */
    bool input_ended, run_ended;
    trawl_status run_status;
    struct trawl_error run_error;

    atomic_bool cancelled;
    _Atomic uint64_t n_finished, n_committed, n_timed_out, n_cancelled;
    pthread_t thread;
    bool started;

    /* Used by the thread that calls trawl_job_next. */
    struct tw_job_request *current; /* whose result was returned last */
    struct tw_journal *journal;
    struct tw_store *store;
    struct tw_job_rows rows;          /* what of them is stored */
    struct tw_job_outcome *committed; /* [n_journal] read back from the journal */
    size_t n_journal, committed_capacity;
    uint64_t group_first;                        /* number of the first request of the group being made */
    struct tw_job_constraint *latest_constraint; /* of the request submitted last; NULL: it had none */
    uint64_t next_number;  /* the least that the next request to be submitted can have */
    uint64_t recorded_end; /* after the number of the last request that was recorded */
    size_t n_recorded;     /* in the group being made */
    bool ended;
    struct tw_str line;
};

/* api_job_request.c: fill in the request with this id from what the caller gives, copies of all of it. Where the
 * journal has its result it is finished; so is one that contradicts itself, with an error. In any case it is freed. */
trawl_status tw_job_request_make(const trawl_job *job, const struct trawl_request *r, uint64_t id,
                                 struct tw_job_request *q, struct trawl_error *err);
void tw_job_request_free(struct tw_job_request *q, size_t n_sites); /* NULL allowed */

/* Open journal and store, and read back what was committed. */
trawl_status tw_job_open_files(trawl_job *job, const struct trawl_job_config *config,
                               struct trawl_error *err);
/* Write a finished request to store and journal; commit when it completes its group. */
trawl_status tw_job_record(trawl_job *job, struct tw_job_request *q, struct trawl_error *err);
/* Commit what is left and mark the store complete. */
trawl_status tw_job_finish_files(trawl_job *job, struct trawl_error *err);
void tw_job_close_files(trawl_job *job);

#endif /* TW_API_JOB_H */
