/* SPDX-License-Identifier: MIT */
#include "api/api_sampling.h"

#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/size.h"

trawl_status tw_api_request_check(const struct trawl_request *r, struct trawl_error *err)
{
    const struct {
        const char *name;
        const void *list;
        size_t n;
    } lists[] = {
        {"logit_bias_tokens", r->logit_bias_tokens, r->n_logit_bias},
        {"logit_bias", r->logit_bias, r->n_logit_bias},
        {"suppress_tokens", r->suppress_tokens, r->n_suppress_tokens},
        {"stop_token_ids", r->stop_token_ids, r->n_stop_token_ids},
        {"completions", r->completions, r->n_completions},
        {"completion_lengths", r->completion_lengths, r->n_completions},
    };
    const struct trawl_entropy_policy *policy = r->entropy_policy;
    if (policy != NULL && policy->size != sizeof *policy) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "struct trawl_entropy_policy has size %u, expected %zu: call _init first",
                       (unsigned)policy->size, sizeof *policy);
    }
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        if (lists[i].list == NULL && lists[i].n > 0) {
            return tw_fail(err, TRAWL_ERR_INVALID, "%s is NULL, expected a list of %zu", lists[i].name,
                           lists[i].n);
        }
    }
    return TRAWL_OK;
}

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

uint64_t tw_job_sampling_hash(const struct tw_request *q, uint64_t hash)
{
    const struct tw_sample_params *p = &q->sampling;
    const struct tw_policy *e        = &p->policy;
    const double reals[]             = {p->temperature,
                                        p->top_n_sigma,
                                        p->top_p,
                                        p->min_p,
                                        p->typical_p,
                                        p->xtc_probability,
                                        p->xtc_threshold,
                                        p->repetition_penalty,
                                        p->presence_penalty,
                                        p->frequency_penalty,
                                        e->h_lo,
                                        e->h_mid,
                                        e->h_hi,
                                        e->v_lo,
                                        e->v_hi,
                                        e->lehv_temperature,
                                        e->lehv_top_k,
                                        e->max_temperature,
                                        e->hehv_min_p};
    const uint64_t seed              = p->temperature > 0 ? p->seed : 0; /* greedy answers have none */
    const uint64_t numbers[]         = {hash,
                                        seed,
                                        (uint64_t)p->top_k,
                                        (uint64_t)p->no_repeat_ngram_size,
                                        p->min_tokens,
                                        p->top_logprobs,
                                        q->max_tokens,
                                        q->ignore_eos,
                                        e->on,
                                        e->best_of,
                                        (uint64_t)e->insert_token,
                                        e->insert_cooldown,
                                        e->insert_limit,
                                        tw_hash64(reals, sizeof reals),
                                        tw_hash64(p->bias_tokens, p->n_bias * sizeof *p->bias_tokens),
                                        tw_hash64(p->bias, p->n_bias * sizeof *p->bias),
                                        tw_hash64(p->suppress_tokens, p->n_suppress_tokens * sizeof(int32_t))};
    return tw_hash64(numbers, sizeof numbers);
}

void tw_job_sampling_release(struct tw_job_sampling *s)
{
    tw_free(s->tokens);
    tw_free(s->bias);
    *s = (struct tw_job_sampling){0};
}
