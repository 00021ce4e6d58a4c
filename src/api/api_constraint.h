/* SPDX-License-Identifier: MIT */
/* The constraint of a submitted request. Requests that follow each other with the same one share its text:
 * a grammar of grids has a hundred kilobytes. */
#ifndef TW_API_CONSTRAINT_H
#define TW_API_CONSTRAINT_H

#include "engine/engine.h"
#include "trawl/job.h"

struct tw_job_constraint;

/* Set *out to a copy of the request's constraint, or to `latest` (may be NULL) if that is the same, which
 * then has one user more; NULL where there is none. INVALID: a kind that does not exist, a kind without a
 * text. */
trawl_status tw_job_constraint_copy(struct tw_job_constraint **out, struct tw_job_constraint *latest,
                                    const struct trawl_request *request, struct trawl_error *err);
/* One user more; NULL is fine, as below. */
struct tw_job_constraint *tw_job_constraint_keep(struct tw_job_constraint *c);
/* One user less; any thread. */
void tw_job_constraint_drop(struct tw_job_constraint *c);

/* For the engine; borrowed. */
struct tw_request_constraint tw_job_constraint_of(const struct tw_job_constraint *c);

/* The prompt's hash with the constraint in it; unchanged where there is none. */
uint64_t tw_job_constraint_hash(const struct tw_job_constraint *c, uint64_t prompt_hash);

/* For tw_engine_config.vocabulary: from the tokenizer of the model's folder. */
trawl_status tw_api_vocabulary(const char *model_path, size_t n_vocab, struct tw_vocabulary *out,
                               struct trawl_error *err);

#endif /* TW_API_CONSTRAINT_H */
