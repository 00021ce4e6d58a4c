/* SPDX-License-Identifier: MIT */
/* The requests of a job whose results have not been taken, by their place: memory goes with how many there are, not
 * with how many there were. The job's lock guards it. */
#ifndef TW_API_JOB_TABLE_H
#define TW_API_JOB_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct tw_job_request;

/* Zeros: empty. */
struct tw_job_table {
    struct tw_job_request **buckets; /* [n_buckets] chains by next_in_bucket; a power of two, or 0 */
    size_t n_buckets, n;
};

/* Under its engine.id; freed with the table unless it is taken out. */
trawl_status tw_job_table_add(struct tw_job_table *t, struct tw_job_request *q, struct trawl_error *err);
/* NULL: there is none. */
struct tw_job_request *tw_job_table_find(const struct tw_job_table *t, uint64_t place);
/* Take out one that is there. */
void tw_job_table_remove(struct tw_job_table *t, struct tw_job_request *q);
void tw_job_table_release(struct tw_job_table *t, size_t n_sites);

#endif /* TW_API_JOB_TABLE_H */
