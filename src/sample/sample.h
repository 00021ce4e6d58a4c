/* SPDX-License-Identifier: MIT */
/* One row of logits -> one token. docs/sampling.md has every formula; the order is Hugging Face's:
 *
 *   logits    logit_bias, repetition, presence and frequency penalty, no_repeat_ngram_size, min_tokens,
 *             suppress_tokens, the mask of allowed tokens
 *   draw      temperature, top_n_sigma, top_k, top_p, min_p, typical_p, XTC
 *
 * A choice is a pure function of the row, the parameters, the tokens so far, the seed and the position, so
 * neighbours in a batch cannot change it. */
#ifndef TW_SAMPLE_SAMPLE_H
#define TW_SAMPLE_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "kernels/kernels.h"
#include "sample/sample_policy.h"

enum {
    TW_SAMPLE_NONE             = -1,
    TW_SAMPLE_MAX_TOP_LOGPROBS = 1024,
    TW_SAMPLE_MAX_BIAS         = 1024 /* tokens with a bias */
};

struct tw_sample_params {
    double temperature;     /* 0: greedy, the highest logit, lowest id on ties; else > 0 */
    double top_n_sigma;     /* keep logits within n standard deviations of the highest; 0: all */
    int64_t top_k;          /* keep the k highest (and their ties); 0: all */
    double top_p;           /* (0, 1]: smallest set whose probability reaches p; 1: all */
    double min_p;           /* [0, 1]: at least min_p times the highest probability; 0: all */
    double typical_p;       /* (0, 1]: those of most typical surprisal whose probability reaches p; 1: all */
    double xtc_probability; /* [0, 1] of a draw without the most probable tokens; 0: never */
    double xtc_threshold;   /* [0, 0.5]: probability from which tokens count as such */
    double repetition_penalty;    /* > 0; 1: none. Every id of prompt and answer, once */
    double presence_penalty;      /* [-2, 2]; 0: none. Every id of the answer, once */
    double frequency_penalty;     /* [-2, 2]; 0: none. Every id of the answer, as often as it is there */
    int64_t no_repeat_ngram_size; /* no n tokens in a row twice in prompt and answer; 0: off */
    size_t min_tokens;            /* the answer's end tokens are forbidden before it has that many */
    uint64_t seed;
    const int32_t *bias_tokens; /* [n_bias] different ids; borrowed */
    const float *bias;          /* [n_bias] in [-100, 100], added to their logits */
    size_t n_bias;
    const int32_t *suppress_tokens; /* [n_suppress_tokens] never chosen; borrowed */
    size_t n_suppress_tokens;
    size_t top_logprobs; /* most probable tokens to report with each choice: 0 .. 1024 */
    struct tw_policy policy;
};

void tw_sample_params_init(struct tw_sample_params *p); /* greedy */

/* TRAWL_ERR_INVALID names the parameter, its value and its range. */
trawl_status tw_sample_params_check(const struct tw_sample_params *p, struct trawl_error *err);
/* The same for what depends on the vocabulary: the tokens named, and how many there can be. */
trawl_status tw_sample_params_check_ids(const struct tw_sample_params *p, size_t n_vocab,
                                        struct trawl_error *err);

struct tw_sample_ids {
    const int32_t *ids; /* [n] */
    size_t n;
};

struct tw_top_logprob {
    int32_t token; /* TW_SAMPLE_NONE: the row has no more that are numbers */
    float logprob;
};

struct tw_sample_input {
    const float *logits; /* [n_vocab], read only */
    const struct tw_sample_params *params;
    const int32_t *history;     /* [n_history] the sequence so far: prompt, then answer; ids outside the
                                          vocabulary are passed over */
    size_t n_history, n_prompt; /* n_prompt <= n_history */
    size_t position;            /* of the token to be chosen in its sequence: its random numbers */
    struct tw_sample_ids end_tokens[2]; /* what min_tokens forbids */
    const uint32_t *allowed; /* [ceil(n_vocab / 32)] bit id % 32 of word id / 32: may be chosen; NULL: all */
    const struct tw_policy_track *track; /* of the answer so far; NULL: as if it had none yet */
    struct tw_top_logprob
        *top; /* out: [params->top_logprobs], most probable first, ties by lower id; NULL: not wanted */
};

struct tw_sampled {
    int32_t token;               /* TW_SAMPLE_NONE: nothing is left to choose from, tw_sample_explain */
    float logprob;               /* of the token under softmax(logits), before any processor */
    float entropy, varentropy;   /* of softmax(logits), in nats and nats^2 */
    enum tw_entropy_state state; /* by the policy, if it is on */
    bool inserted;               /* by the policy, not drawn */
};

/* Working memory for rows of n_vocab logits; one per thread. */
struct tw_sampler {
    const struct tw_kernels *kernels;
    size_t n_vocab, n_blocks;
    float *row;                         /* [n_vocab] logits after their processors */
    float *weights;                     /* [n_vocab] exp of scaled logits, the highest being 1 */
    double *sums;                       /* [ceil(n_vocab / TW_SUM_BLOCK)] of weights */
    float *block_max;                   /* [n_blocks] of the row being searched */
    float *block_order;                 /* [n_blocks] */
    struct tw_candidate *candidates[2]; /* [n_vocab] each: a list, and room to sort it */
    uint32_t *counts;                   /* [n_vocab], all 0 between calls */
};

trawl_status tw_sampler_init(struct tw_sampler *s, const struct tw_kernels *kernels, size_t n_vocab,
                             struct trawl_error *err);
void tw_sampler_release(struct tw_sampler *s);

/* The compute float mode is on. The token is TW_SAMPLE_NONE only where processors or the mask leave none. */
struct tw_sampled tw_sample_choose(struct tw_sampler *s, const struct tw_sample_input *in);

/* TRAWL_ERR_INVALID and what it was that left no token to choose at in->position. */
trawl_status tw_sample_explain(const struct tw_sampler *s, const struct tw_sample_input *in,
                               struct trawl_error *err);

/* The processors of the first line above, on `row` [n_vocab] in place; a token that may not be chosen becomes
 * -inf. Without a call for processing the row would stay as it is. */
bool tw_sample_calls_for_processing(const struct tw_sample_input *in);
void tw_sample_process(struct tw_sampler *s, const struct tw_sample_input *in, float *row);

/* log softmax(logits)[token] in the canonical order, rounded to f32. */
float tw_sample_logprob(const struct tw_kernels *k, const float *logits, size_t n_vocab, int32_t token);

#endif /* TW_SAMPLE_SAMPLE_H */
