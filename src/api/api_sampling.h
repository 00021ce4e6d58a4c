/* SPDX-License-Identifier: MIT */
/* The sampling fields of a public request, for jobs and sessions alike. */
#ifndef TW_API_SAMPLING_H
#define TW_API_SAMPLING_H

#include "engine/engine.h"
#include "sample/sample.h"
#include "trawl/job.h"
#include "json/json.h"

/* Is it a request at all: structures are of this library's size, lists that have a number are there (the prompt is
 * not looked at)? */
trawl_status tw_api_request_check(const struct trawl_request *request, struct trawl_error *err);

/* Lists are borrowed from the request. */
struct tw_sample_params tw_api_sampling(const struct trawl_request *request, uint64_t seed);

/* The same with lists of their own. */
struct tw_job_sampling {
    int32_t *tokens; /* of the bias, then those suppressed */
    float *bias;
};

trawl_status tw_job_sampling_copy(struct tw_job_sampling *s, const struct trawl_request *request,
                                  uint64_t seed, struct tw_sample_params *out, struct trawl_error *err);
void tw_job_sampling_release(struct tw_job_sampling *s);
/* What the tokens of an answer depend on beyond the prompt, mixed into `hash`. */
uint64_t tw_job_sampling_hash(const struct tw_request *q, uint64_t hash);

/* NULL: off. */
struct tw_policy tw_api_policy(const struct trawl_entropy_policy *policy);

/* What trawl_entropy_policy_read finds in its file; `name` is the file's, for messages. */
trawl_status tw_api_policy_read(const json_t *j, const char *name, trawl_tokenizer *tokenizer,
                                struct trawl_entropy_policy *policy, struct trawl_error *err);

#endif /* TW_API_SAMPLING_H */
