/* SPDX-License-Identifier: MIT */
/* Two runs of the same questions, token by token. */
#ifndef TW_GSM8K_COMPARE_H
#define TW_GSM8K_COMPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "text/text_tokenizer.h"
#include "trawl/trawl.h"

/* The answers of a run, in order. Zero-initialise. */
struct tw_gsm8k_trail {
    size_t *ends; /* [n] one behind the last token of each answer */
    size_t n, ends_capacity;
    int32_t *tokens; /* of all answers */
    float *logprobs;
    size_t n_tokens, tokens_capacity, logprobs_capacity;
};

trawl_status tw_gsm8k_trail_add(struct tw_gsm8k_trail *t, const struct trawl_result *result,
                                struct trawl_error *err);
void tw_gsm8k_trail_release(struct tw_gsm8k_trail *t);

/* The first place where two runs part. */
struct tw_gsm8k_difference {
    size_t answer, position;
    bool has[2];      /* has the first, the second run a token there? */
    int32_t token[2]; /* equal: the log-probabilities differ */
    float logprob[2];
};

/* True: equal, every token and every bit of its log-probability, and as many answers. */
bool tw_gsm8k_equal(const struct tw_gsm8k_trail *a, const struct tw_gsm8k_trail *b,
                    struct tw_gsm8k_difference *difference);

/* Append "token 3 of the answer is 220 (" ", log-probability -0.5) on one device, none on the mesh"; `first` and `second`
 * are the words for the runs. */
trawl_status tw_gsm8k_difference_write(const struct tw_gsm8k_difference *d,
                                       const struct tw_tokenizer *tokenizer, const char *first,
                                       const char *second, struct tw_str *out, struct trawl_error *err);

#endif /* TW_GSM8K_COMPARE_H */
