/* SPDX-License-Identifier: MIT */
#include <math.h>

#include "sample/sample.h"

void tw_sample_params_init(struct tw_sample_params *p)
{
    *p = (struct tw_sample_params){.top_p = 1, .typical_p = 1, .xtc_threshold = 0.1, .repetition_penalty = 1};
    tw_policy_init(&p->policy);
}

/* NaN is in no range. */
static trawl_status in_range(const char *name, double x, double low, double high, struct trawl_error *err)
{
    if (!(x >= low && x <= high)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s is %g, expected %g to %g", name, x, low, high);
    }
    return TRAWL_OK;
}

static trawl_status is_share(const char *name, double x, struct trawl_error *err)
{
    if (!(x > 0 && x <= 1)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s is %g, expected more than 0 and at most 1", name, x);
    }
    return TRAWL_OK;
}

static trawl_status is_count(const char *name, int64_t n, struct trawl_error *err)
{
    if (n < 0) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s is %lld, expected 0 (off) or a positive integer", name,
                       (long long)n);
    }
    return TRAWL_OK;
}

trawl_status tw_sample_params_check(const struct tw_sample_params *p, struct trawl_error *err)
{
    if (!(p->temperature >= 0) || !isfinite(p->temperature)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "temperature is %g, expected 0 (greedy) or a positive number",
                       p->temperature);
    }
    if (!(p->top_n_sigma >= 0) || !isfinite(p->top_n_sigma)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "top_n_sigma is %g, expected 0 (off) or a positive number",
                       p->top_n_sigma);
    }
    if (!(p->repetition_penalty > 0) || !isfinite(p->repetition_penalty)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "repetition_penalty is %g, expected a positive number",
                       p->repetition_penalty);
    }
    TW_TRY(is_count("top_k", p->top_k, err));
    TW_TRY(is_share("top_p", p->top_p, err));
    TW_TRY(in_range("min_p", p->min_p, 0, 1, err));
    TW_TRY(is_share("typical_p", p->typical_p, err));
    TW_TRY(in_range("xtc_probability", p->xtc_probability, 0, 1, err));
    TW_TRY(in_range("xtc_threshold", p->xtc_threshold, 0, 0.5, err));
    TW_TRY(in_range("presence_penalty", p->presence_penalty, -2, 2, err));
    TW_TRY(in_range("frequency_penalty", p->frequency_penalty, -2, 2, err));
    TW_TRY(is_count("no_repeat_ngram_size", p->no_repeat_ngram_size, err));
    if (p->top_logprobs > TW_SAMPLE_MAX_TOP_LOGPROBS) {
        return tw_fail(err, TRAWL_ERR_INVALID, "top_logprobs is %zu, expected 0 to %d", p->top_logprobs,
                       TW_SAMPLE_MAX_TOP_LOGPROBS);
    }
    if (p->policy.on) {
        TW_TRY(tw_policy_check(&p->policy, err));
    }
    for (size_t i = 0; i < p->n_bias; i++) {
        if (!(p->bias[i] >= -100 && p->bias[i] <= 100)) {
            return tw_fail(err, TRAWL_ERR_INVALID, "logit_bias of token %d is %g, expected -100 to 100",
                           (int)p->bias_tokens[i], (double)p->bias[i]);
        }
    }
    return TRAWL_OK;
}

static trawl_status check_id(const char *name, int32_t id, size_t n_vocab, struct trawl_error *err)
{
    if (id < 0 || (size_t)id >= n_vocab) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s names token %d, the vocabulary has %zu ids", name, (int)id,
                       n_vocab);
    }
    return TRAWL_OK;
}

/* Bias in any order: a few hundred tokens at most are usual, and a sorted copy would need memory. */
static trawl_status check_bias(const struct tw_sample_params *p, size_t i, struct trawl_error *err)
{
    for (size_t j = 0; j < i; j++) {
        if (p->bias_tokens[j] == p->bias_tokens[i]) {
            return tw_fail(err, TRAWL_ERR_INVALID, "logit_bias names token %d twice", (int)p->bias_tokens[i]);
        }
    }
    for (size_t j = 0; j < p->n_suppress_tokens; j++) {
        if (p->suppress_tokens[j] == p->bias_tokens[i]) {
            return tw_fail(err, TRAWL_ERR_INVALID,
                           "token %d is in logit_bias and in suppress_tokens, expected one of them",
                           (int)p->bias_tokens[i]);
        }
    }
    return TRAWL_OK;
}

trawl_status tw_sample_params_check_ids(const struct tw_sample_params *p, size_t n_vocab,
                                        struct trawl_error *err)
{
    if (p->n_bias > TW_SAMPLE_MAX_BIAS || p->n_suppress_tokens > n_vocab) {
        bool bias = p->n_bias > TW_SAMPLE_MAX_BIAS;
        return tw_fail(err, TRAWL_ERR_INVALID, "%s has %zu tokens, expected at most %zu",
                       bias ? "logit_bias" : "suppress_tokens", bias ? p->n_bias : p->n_suppress_tokens,
                       bias ? (size_t)TW_SAMPLE_MAX_BIAS : n_vocab);
    }
    for (size_t i = 0; i < p->n_suppress_tokens; i++) {
        TW_TRY(check_id("suppress_tokens", p->suppress_tokens[i], n_vocab, err));
    }
    if (p->policy.on && p->policy.insert_token >= 0) {
        TW_TRY(check_id("entropy policy", p->policy.insert_token, n_vocab, err));
    }
    for (size_t i = 0; i < p->n_bias; i++) {
        TW_TRY(check_id("logit_bias", p->bias_tokens[i], n_vocab, err));
        TW_TRY(check_bias(p, i, err));
    }
    if (p->top_logprobs > n_vocab) {
        return tw_fail(err, TRAWL_ERR_INVALID, "top_logprobs is %zu, the vocabulary has %zu ids",
                       p->top_logprobs, n_vocab);
    }
    return TRAWL_OK;
}
