/* SPDX-License-Identifier: MIT */
/* What a request asks for other than one sampled answer: beams, scores, n-best search. */
#ifndef TW_API_SEARCH_H
#define TW_API_SEARCH_H

#include "engine/engine.h"
#include "trawl/job.h"

/* Memory behind a request's completions. */
struct tw_job_search {
    int32_t *tokens;
    uint32_t *ends;
};

/* Set kind and parameters of `out`; completions are copied. TRAWL_ERR_INVALID: more than one is asked for. Release
 * `s` in any case. */
trawl_status tw_job_search_copy(struct tw_job_search *s, const struct trawl_request *r,
                                struct tw_request *out, struct trawl_error *err);
void tw_job_search_release(struct tw_job_search *s);

/* `hash` of the prompt with what the search depends on; as it is for an answer that is sampled. */
uint64_t tw_job_search_hash(const struct tw_request *q, uint64_t hash);

#endif /* TW_API_SEARCH_H */
