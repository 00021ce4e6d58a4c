/* SPDX-License-Identifier: MIT */
/* Sampling by the entropy of the model's distribution: an experiment that a request can opt into. From the entropy
 * H and the varentropy V (the variance of the surprisal) of the next token, in bits and bits^2, follows one of five
 * states, and from the state how the token is drawn; docs/sampling.md has the rules. No gain is claimed: measure it
 * with `trawl bench policy`. */
#ifndef TRAWL_POLICY_H
#define TRAWL_POLICY_H

#include <stddef.h>
#include <stdint.h>

#include "trawl/status.h"
#include "trawl/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

enum trawl_entropy_state {
    TRAWL_ENTROPY_LELV = 0, /* H < h_lo and V < v_lo: the most likely token */
    TRAWL_ENTROPY_HELV = 1, /* H > h_hi and V < v_lo: insert_token, if it may be; else a plain draw */
    TRAWL_ENTROPY_HEHV =
        2, /* H > h_mid and V > v_hi: min_p raised; what was drawn is put aside and drawn anew */
    TRAWL_ENTROPY_LEHV   = 3, /* V > v_hi: temperature and top_k raised */
    TRAWL_ENTROPY_MID    = 4, /* anything else: the most likely of best_of draws */
    TRAWL_ENTROPY_STATES = 5
};

struct trawl_entropy_policy {
    uint32_t size;            /* sizeof, set by _init */
    double h_lo, h_mid, h_hi; /* bits; ascending */
    double v_lo, v_hi;        /* bits^2; ascending */
    double lehv_temperature;  /* factor, 1 to 100 */
    double lehv_top_k;        /* factor, 1 to 100 */
    double max_temperature;   /* a temperature is not raised above it */
    double hehv_min_p;        /* 0 to 1 */
    uint32_t best_of;         /* 1 to 64 */
    int32_t insert_token;     /* not an end token; -1: none. Never first, never under a constraint */
    uint32_t insert_cooldown; /* tokens between two insertions, at least 1 */
    uint32_t insert_limit;    /* insertions in one answer */
};

TRAWL_API void trawl_entropy_policy_init(struct trawl_entropy_policy *policy);

/* Read a JSON object with any of the fields above but size; "insert_text" stands for insert_token: text that
 * `tokenizer` encodes as exactly one token, not a special one. NULL: there may be no such text.
 * errors: IO, FORMAT, INVALID: a field that is unknown, of another type, or out of its range. */
TRAWL_API TRAWL_MUST_CHECK trawl_status trawl_entropy_policy_read(const char *path,
                                                                  trawl_tokenizer *tokenizer,
                                                                  struct trawl_entropy_policy *policy,
                                                                  struct trawl_error *err);

#ifdef __cplusplus
}
#endif

#endif /* TRAWL_POLICY_H */
