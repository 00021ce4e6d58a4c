/* SPDX-License-Identifier: MIT */
/* The entropy policy: from the entropy H and varentropy V of the model's distribution to the manner of the draw.
 * Opt-in; docs/sampling.md says what it is and what is not known about it. Entropies are in bits here. */
#ifndef TW_SAMPLE_POLICY_H
#define TW_SAMPLE_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Exactly one of them, the first that holds. */
enum tw_entropy_state {
    TW_ENTROPY_LELV, /* H < h_lo and V < v_lo: the highest logit */
    TW_ENTROPY_HELV, /* H > h_hi and V < v_lo: the token to insert, if it may be; else a plain draw */
    TW_ENTROPY_HEHV, /* H > h_mid and V > v_hi: a draw with a raised min_p, drawn again without the first token */
    TW_ENTROPY_LEHV, /* V > v_hi: a draw with a raised temperature and top_k */
    TW_ENTROPY_MID,  /* all else: the best of best_of draws */
    TW_ENTROPY_STATES
};

struct tw_policy {
    bool on;
    double h_lo, h_mid, h_hi; /* bits; ascending */
    double v_lo, v_hi;        /* bits^2; ascending */
    double lehv_temperature;  /* factor, >= 1 */
    double lehv_top_k;        /* factor, >= 1 */
    double max_temperature;   /* of a raised temperature; > 0 */
    double hehv_min_p;        /* [0, 1]; the request's own if that is higher */
    uint32_t best_of;         /* 1 .. TW_POLICY_MAX_BEST_OF */
    int32_t insert_token;     /* -1: none */
    uint32_t insert_cooldown; /* tokens between two insertions at least; >= 1 */
    uint32_t insert_limit;    /* insertions in an answer at most */
};

enum { TW_POLICY_MAX_BEST_OF = 64 };

/* What happened in an answer so far; belongs to its sequence, zeros at the beginning. */
struct tw_policy_track {
    uint32_t states[TW_ENTROPY_STATES]; /* tokens chosen in each */
    uint32_t inserted;
    uint32_t since_insertion; /* tokens since then */
};

void tw_policy_init(struct tw_policy *p); /* off, with the defaults of a policy file */
trawl_status tw_policy_check(const struct tw_policy *p, struct trawl_error *err);

/* h and v in nats, as tw_sample_choose reports them. */
enum tw_entropy_state tw_policy_state(const struct tw_policy *p, double h, double v);

/* Is it time: an insertion is wanted, not the first token, not too many and not too soon after the last? */
bool tw_policy_may_insert(const struct tw_policy *p, const struct tw_policy_track *track, size_t n_answer);

/* A token was chosen in `state`. */
void tw_policy_count(struct tw_policy_track *track, enum tw_entropy_state state, bool inserted);

#endif /* TW_SAMPLE_POLICY_H */
