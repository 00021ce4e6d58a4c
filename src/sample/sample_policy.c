/* SPDX-License-Identifier: MIT */
#include "sample/sample_policy.h"

#include <math.h>

static const double bits = 1.44269504088896340736; /* of a nat */

void tw_policy_init(struct tw_policy *p)
{
    *p = (struct tw_policy){.h_lo             = 0.1,
                            .h_mid            = 3,
                            .h_hi             = 5,
                            .v_lo             = 0.1,
                            .v_hi             = 5,
                            .lehv_temperature = 1.3,
                            .lehv_top_k       = 1.5,
                            .max_temperature  = 1.5,
                            .hehv_min_p       = 0.1,
                            .best_of          = 1,
                            .insert_token     = -1,
                            .insert_cooldown  = 32,
                            .insert_limit     = 1};
}

static trawl_status ascending(const char *low, double a, const char *high, double b, struct trawl_error *err)
{
    if (!(a >= 0 && a < b) || !isfinite(b)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "entropy policy: %s is %g and %s is %g, expected 0 <= %s < %s",
                       low, a, high, b, low, high);
    }
    return TRAWL_OK;
}

static trawl_status factor(const char *name, double x, struct trawl_error *err)
{
    if (!(x >= 1 && x <= 100)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "entropy policy: %s is %g, expected 1 to 100", name, x);
    }
    return TRAWL_OK;
}

trawl_status tw_policy_check(const struct tw_policy *p, struct trawl_error *err)
{
    TW_TRY(ascending("h_lo", p->h_lo, "h_mid", p->h_mid, err));
    TW_TRY(ascending("h_mid", p->h_mid, "h_hi", p->h_hi, err));
    TW_TRY(ascending("v_lo", p->v_lo, "v_hi", p->v_hi, err));
    TW_TRY(factor("lehv_temperature", p->lehv_temperature, err));
    TW_TRY(factor("lehv_top_k", p->lehv_top_k, err));
    if (!(p->max_temperature > 0) || !isfinite(p->max_temperature)) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "entropy policy: max_temperature is %g, expected a positive number",
                       p->max_temperature);
    }
    if (!(p->hehv_min_p >= 0 && p->hehv_min_p <= 1)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "entropy policy: hehv_min_p is %g, expected 0 to 1",
                       p->hehv_min_p);
    }
    if (p->best_of < 1 || p->best_of > TW_POLICY_MAX_BEST_OF) {
        return tw_fail(err, TRAWL_ERR_INVALID, "entropy policy: best_of is %u, expected 1 to %d",
                       (unsigned)p->best_of, TW_POLICY_MAX_BEST_OF);
    }
    if (p->insert_cooldown < 1) {
        return tw_fail(err, TRAWL_ERR_INVALID, "entropy policy: insert_cooldown is 0, expected 1 or more");
    }
    return TRAWL_OK;
}

enum tw_entropy_state tw_policy_state(const struct tw_policy *p, double h, double v)
{
    h *= bits;
    v *= bits * bits;
    if (h < p->h_lo && v < p->v_lo) {
        return TW_ENTROPY_LELV;
    }
    if (h > p->h_hi && v < p->v_lo) {
        return TW_ENTROPY_HELV;
    }
    if (h > p->h_mid && v > p->v_hi) {
        return TW_ENTROPY_HEHV;
    }
    return v > p->v_hi ? TW_ENTROPY_LEHV : TW_ENTROPY_MID;
}

bool tw_policy_may_insert(const struct tw_policy *p, const struct tw_policy_track *track, size_t n_answer)
{
    return p->insert_token >= 0 && n_answer > 0 && track->inserted < p->insert_limit &&
           (track->inserted == 0 || track->since_insertion >= p->insert_cooldown);
}

void tw_policy_count(struct tw_policy_track *track, enum tw_entropy_state state, bool inserted)
{
    track->states[state]++;
    track->since_insertion = inserted ? 0 : track->since_insertion + 1;
    track->inserted += inserted ? 1 : 0;
}
