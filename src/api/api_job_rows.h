/* SPDX-License-Identifier: MIT */
/* Which of a request's captured rows are stored, in which order, and what is said of each. */
#ifndef TW_API_JOB_ROWS_H
#define TW_API_JOB_ROWS_H

#include "base/error.h"
#include "trawl/job.h"

struct tw_job_request;

/* A row of a commit group whose rows are shuffled. */
struct tw_job_row {
    int64_t request;
    int32_t token, position;
    float logprob, entropy;
    uint32_t keeper, row; /* of the keeper's rows */
    uint8_t is_generated;
};

/* The job's part. Zeros: every row is stored, in the order of the sequence. */
struct tw_job_rows {
    uint32_t *skipped; /* bits of the vocabulary: rows of these tokens are not stored; NULL: of none */
    bool measured;     /* the columns logprob and entropy */
    bool shuffled;
    uint64_t seed;
    /* Shuffled: the group under way. */
    struct tw_job_row *list;
    size_t n, capacity;
    float ***keepers; /* [n_keepers][n_sites] of rows, owned */
    uint64_t *numbers;
    size_t n_keepers, keepers_capacity, numbers_capacity;
    char skipped_text[17], seed_text[24]; /* values of settings */
};

/* Check what the capture configuration says of rows, and copy it.
 * errors: INVALID: an id that is no token; shuffled or measured rows in pickles, or without a folder. */
trawl_status tw_job_rows_open(trawl_job *job, const struct trawl_capture_config *c, struct trawl_error *err);
void tw_job_rows_close(trawl_job *job);

/* What it adds to the settings of the run, at most 3; nothing where all is as usual. Returns how many. */
size_t tw_job_rows_settings(const trawl_job *job, struct trawl_setting out[3]);

/* Ask for the logits that measuring takes. */
void tw_job_rows_want(const trawl_job *job, struct tw_job_request *q);
/* Logits [n, n_vocab] of prompt positions from `position` on, and log p of the next token of each. */
trawl_status tw_job_rows_measure(const trawl_job *job, struct tw_job_request *q, size_t position,
                                 const float *logits, const float *logprobs, size_t n, size_t n_vocab,
                                 struct trawl_error *err);

/* Rows of a finished request go to the store, or, when they are shuffled, wait for the others of their group, which
 * takes q->rows away. */
trawl_status tw_job_rows_store(trawl_job *job, struct tw_job_request *q, struct trawl_error *err);
/* Before the group is committed: what waits goes to the store. */
trawl_status tw_job_rows_flush(trawl_job *job, struct trawl_error *err);

#endif /* TW_API_JOB_ROWS_H */
