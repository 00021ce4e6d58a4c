/* SPDX-License-Identifier: MIT */
#include "api/api_sampling.h"

#include <string.h>

#include "base/alloc.h"
#include "base/size.h"

struct tw_sample_params tw_api_sampling(const struct trawl_request *r, uint64_t seed)
{
    return (struct tw_sample_params){
        .temperature          = r->temperature,
        .top_n_sigma          = r->top_n_sigma,
        .top_k                = r->top_k,
        .top_p                = r->top_p,
        .min_p                = r->min_p,
        .typical_p            = r->typical_p,
        .xtc_probability      = r->xtc_probability,
        .xtc_threshold        = r->xtc_threshold,
        .repetition_penalty   = r->repetition_penalty,
        .presence_penalty     = r->presence_penalty,
        .frequency_penalty    = r->frequency_penalty,
        .no_repeat_ngram_size = r->no_repeat_ngram_size,
        .min_tokens           = r->min_tokens,
        .seed                 = seed,
        .bias_tokens          = r->logit_bias_tokens,
        .bias                 = r->logit_bias,
        .n_bias               = r->n_logit_bias,
        .suppress_tokens      = r->suppress_tokens,
        .n_suppress_tokens    = r->n_suppress_tokens,
        .top_logprobs         = r->top_logprobs,
        .policy               = tw_api_policy(r->entropy_policy),
    };
}

trawl_status tw_job_sampling_copy(struct tw_job_sampling *s, const struct trawl_request *request,
                                  uint64_t seed, struct tw_sample_params *out, struct trawl_error *err)
{
    struct tw_sample_params p = tw_api_sampling(request, seed);
    size_t n                  = 0;
    if (!tw_size_add(p.n_bias, p.n_suppress_tokens, &n)) {
        return tw_fail(err, TRAWL_ERR_NOMEM, "a logit_bias of %zu tokens", p.n_bias);
    }
    TW_TRY(tw_alloc(n, sizeof *s->tokens, &s->tokens, err));
    TW_TRY(tw_alloc(p.n_bias, sizeof *s->bias, &s->bias, err));
    if (p.n_bias > 0) {
        memcpy(s->tokens, p.bias_tokens, p.n_bias * sizeof *s->tokens);
        memcpy(s->bias, p.bias, p.n_bias * sizeof *s->bias);
    }
    if (p.n_suppress_tokens > 0) {
        memcpy(s->tokens + p.n_bias, p.suppress_tokens, p.n_suppress_tokens * sizeof *s->tokens);
    }
    p.bias_tokens     = s->tokens;
    p.bias            = s->bias;
    p.suppress_tokens = s->tokens + p.n_bias;
    *out              = p;
    return TRAWL_OK;
}

void tw_job_sampling_release(struct tw_job_sampling *s)
{
    tw_free(s->tokens);
    tw_free(s->bias);
    *s = (struct tw_job_sampling){0};
}
