/* SPDX-License-Identifier: MIT */
/* A request with best_of: so many answers are sampled, as requests of the engine of their own (*candidates*), and
 * the best of them are its result. To the engine the id of a candidate is the request's place in the job and the
 * candidate's number. */
#ifndef TW_API_BEST_OF_H
#define TW_API_BEST_OF_H

#include "api/api_job.h"

enum { TW_BEST_OF_MAX = 4096, TW_CANDIDATE_SHIFT = 48 };

/* Make the candidates of a request whose `engine` is complete; none without best_of. Candidate i draws with the
 * request's seed + i. `rows_are_told`: to a callback. INVALID, UNSUPPORTED: the request contradicts itself. */
trawl_status tw_job_best_of_begin(struct tw_job_request *q, const struct trawl_request *r, size_t n_sites,
                                  bool rows_are_told, struct trawl_error *err);
void tw_job_best_of_release(struct tw_job_request *q, size_t n_sites);
/* best_of and n become part of what a journal's request was. */
uint64_t tw_job_best_of_hash(const struct trawl_request *r, uint64_t hash);

/* The place in the job of an id of the engine. */
static inline uint64_t tw_job_place(uint64_t id)
{
    return id & (((uint64_t)1 << TW_CANDIDATE_SHIFT) - 1);
}

/* The next request of the engine for this one; true when it was the last. Under the job's lock. */
bool tw_job_next_candidate(struct tw_job_request *q, struct tw_request *out);
/* Whose result, rows and so on an id means: the candidate's, or the request's own. */
struct tw_job_request *tw_job_candidate(struct tw_job_request *q, uint64_t id);

/* All candidates have ended: their best become the request's outcome, the rows of the best its rows. */
trawl_status tw_job_best_of_choose(struct tw_job_request *q, size_t n_sites, struct trawl_error *err);

#endif /* TW_API_BEST_OF_H */
