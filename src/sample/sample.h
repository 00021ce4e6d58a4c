/* SPDX-License-Identifier: MIT */
/* One row of logits -> one token. The order of processors is Hugging Face's: repetition penalty,
 * temperature, top-k, top-p, min-p; names and ranges are vLLM's. A draw is a pure function of the row, the
 * parameters, the seed and the position, so neighbours in a batch cannot change it. */
#ifndef TW_SAMPLE_SAMPLE_H
#define TW_SAMPLE_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "kernels/kernels.h"

struct tw_sample_params {
    double temperature;        /* 0: greedy, the highest logit, lowest id on ties; else > 0 */
    int64_t top_k;             /* keep the k highest (and their ties); 0: all */
    double top_p;              /* (0, 1]: smallest set whose probability reaches p; 1: all */
    double min_p;              /* [0, 1]: at least min_p times the highest probability; 0: all */
    double repetition_penalty; /* > 0; 1: none. Every id of prompt and answer, once */
    uint64_t seed;
};

void tw_sample_params_init(struct tw_sample_params *p); /* greedy */
/* TRAWL_ERR_INVALID names the parameter, its value and its range. */
trawl_status tw_sample_params_check(const struct tw_sample_params *p, struct trawl_error *err);

/* Working memory for rows of n_vocab logits; one per thread. */
struct tw_sampler {
    const struct tw_kernels *kernels;
    size_t n_vocab;
    float *row;                      /* [n_vocab] processed logits */
    struct tw_candidate *candidates; /* [n_vocab] */
    uint8_t *seen;                   /* [n_vocab / 8 + 1] */
};

trawl_status tw_sampler_init(struct tw_sampler *s, const struct tw_kernels *kernels, size_t n_vocab,
                             struct trawl_error *err);
void tw_sampler_release(struct tw_sampler *s);

struct tw_sampled {
    int32_t token;
    float logprob;             /* of the token under softmax(logits), before any processor */
    float entropy, varentropy; /* of softmax(logits), in nats and nats^2 */
};

/* `logits` [n_vocab] are read only. `history` [n_history]: the sequence so far, for the repetition penalty.
 * `position`: index of the token to be drawn in its sequence. The compute float mode is on. */
struct tw_sampled tw_sample(struct tw_sampler *s, const float *logits, const struct tw_sample_params *p,
                            const int32_t *history, size_t n_history, size_t position);

/* log softmax(logits)[token] in the canonical order, rounded to f32. */
float tw_sample_logprob(const struct tw_kernels *k, const float *logits, size_t n_vocab, int32_t token);

#endif /* TW_SAMPLE_SAMPLE_H */
