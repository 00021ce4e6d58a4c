/* SPDX-License-Identifier: MIT */
#include "api/api_sampling.h"

struct tw_sample_params tw_api_sampling(const struct trawl_request *r, uint64_t seed)
{
    struct tw_sample_params p;
    tw_sample_params_init(&p);
    p.temperature        = r->temperature;
    p.top_k              = r->top_k;
    p.top_p              = r->top_p;
    p.min_p              = r->min_p;
    p.repetition_penalty = r->repetition_penalty;
    p.seed               = seed;
    return p;
}
