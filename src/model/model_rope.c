/* SPDX-License-Identifier: MIT */
#include "model/model_rope.h"

#include <math.h>
#include <string.h>

#include "base/size.h"
#include "json/json.h"

static const double pi = 3.14159265358979323846;

/* ---- reading ---- */

/* What would silently give other angles if it were ignored. */
static trawl_status refuse_members(const json_t *r, const char *what, struct trawl_error *err)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)r, key, v)
    {
        if (json_is_object(v)) {
            return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                           "%s: rope_parameters has an object \"%s\"; rotary embeddings that differ between "
                           "layers are not supported",
                           what, key);
        }
    }
    double partial = 1;
    TW_TRY(tw_json_get_double(r, "partial_rotary_factor", what, &partial, err));
    if (partial < 1 || partial > 1) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s: partial_rotary_factor is %g, only 1 is supported",
                       what, partial);
    }
    return TRAWL_OK;
}

static trawl_status read_llama3(struct tw_model_config *c, const json_t *r, const char *what,
                                struct trawl_error *err)
{
    c->rope_scaling = TW_ROPE_LLAMA3;
    TW_TRY(tw_json_get_positive(r, "low_freq_factor", what, &c->rope_low_freq, err));
    TW_TRY(tw_json_get_positive(r, "high_freq_factor", what, &c->rope_high_freq, err));
    if (c->rope_high_freq <= c->rope_low_freq) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: high_freq_factor %g is not above low_freq_factor %g", what,
                       c->rope_high_freq, c->rope_low_freq);
    }
    return TRAWL_OK;
}

static double yarn_magnitude(double factor, double weight)
{
    return factor <= 1 ? 1 : 0.1 * weight * log(factor) + 1;
}

/* Which turns over the original context are kept (more than beta_fast) and stretched (fewer than beta_slow). */
static trawl_status read_yarn(struct tw_model_config *c, const json_t *r, const char *what,
                              struct trawl_error *err)
{
    double mscale = 0, mscale_all_dim = 0;
    c->rope_scaling   = TW_ROPE_YARN;
    c->rope_beta_fast = 32;
    c->rope_beta_slow = 1;
    c->rope_truncate  = true;
    TW_TRY(tw_json_get_positive(r, "beta_fast", what, &c->rope_beta_fast, err));
    TW_TRY(tw_json_get_positive(r, "beta_slow", what, &c->rope_beta_slow, err));
    TW_TRY(tw_json_get_bool(r, "truncate", what, &c->rope_truncate, err));
    TW_TRY(tw_json_get_double(r, "mscale", what, &mscale, err));
    TW_TRY(tw_json_get_double(r, "mscale_all_dim", what, &mscale_all_dim, err));
    c->rope_magnitude = yarn_magnitude(c->rope_factor, 1);
    if (mscale > 0 && mscale_all_dim > 0) {
        c->rope_magnitude =
            yarn_magnitude(c->rope_factor, mscale) / yarn_magnitude(c->rope_factor, mscale_all_dim);
    }
    TW_TRY(tw_json_get_positive(r, "attention_factor", what, &c->rope_magnitude, err));
    if (c->rope_theta <= 1) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: \"rope_theta\" is %g, yarn expects more than 1", what,
                       c->rope_theta);
    }
    return TRAWL_OK;
}

static trawl_status stretch_context(struct tw_model_config *c, double positions, const char *what,
                                    struct trawl_error *err)
{
    if (positions > TW_MODEL_SIZE_LIMIT) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: rope factor %g makes a context of %g tokens, limit %d",
                       what, c->rope_factor, positions, TW_MODEL_SIZE_LIMIT);
    }
    c->max_positions = tw_max_size(c->max_positions, (size_t)positions);
    return TRAWL_OK;
}

static trawl_status read_scaling(struct tw_model_config *c, const json_t *r, const char *type,
                                 const char *what, struct trawl_error *err)
{
    if (strcmp(type, "yarn") == 0) {
        c->rope_factor = (double)c->max_positions / c->rope_original_positions;
    }
    TW_TRY(tw_json_get_positive(r, "factor", what, &c->rope_factor, err));
    if (strcmp(type, "llama3") == 0) {
        return read_llama3(c, r, what, err);
    }
    if (strcmp(type, "linear") == 0) {
        c->rope_scaling = TW_ROPE_LINEAR;
        return stretch_context(c, c->rope_factor * (double)c->max_positions, what, err);
    }
    if (strcmp(type, "yarn") == 0) {
        TW_TRY(read_yarn(c, r, what, err));
        return stretch_context(c, c->rope_factor * c->rope_original_positions, what, err);
    }
    /* Dynamic: angles change only in texts beyond max_position_embeddings, and then with the length of the
     * whole text. Such texts are refused, so the plain angles are the right ones. */
    return TRAWL_OK;
}

trawl_status tw_model_config_read_rope(struct tw_model_config *c, const json_t *config, const char *what,
                                       struct trawl_error *err)
{
    json_t *r = NULL, *older = NULL;
    c->rope_scaling            = TW_ROPE_PLAIN;
    c->rope_theta              = 10000.0;
    c->rope_magnitude          = 1;
    c->rope_original_positions = (double)c->max_positions;
    TW_TRY(tw_json_get_positive(config, "rope_theta", what, &c->rope_theta, err));
    TW_TRY(tw_json_get_object(config, "rope_parameters", what, &r, err));
    TW_TRY(tw_json_get_object(config, "rope_scaling", what, &older, err));
    r = json_object_size(older) > 0 ? older : r; /* of both, transformers takes the older one */
    if (r == NULL) {
        return TRAWL_OK;
    }
    const char *type = "default";
    TW_TRY(tw_json_get_string(r, "type", what, &type, err));
    TW_TRY(tw_json_get_string(r, "rope_type", what, &type, err));
    TW_TRY(tw_json_get_positive(r, "rope_theta", what, &c->rope_theta, err));
    TW_TRY(refuse_members(r, what, err));
    TW_TRY(
        tw_json_get_positive(r, "original_max_position_embeddings", what, &c->rope_original_positions, err));
    TW_TRY(tw_json_get_positive(config, "original_max_position_embeddings", what, &c->rope_original_positions,
                                err));
    if (strcmp(type, "default") == 0) {
        return TRAWL_OK;
    }
    if (strcmp(type, "llama3") != 0 && strcmp(type, "linear") != 0 && strcmp(type, "dynamic") != 0 &&
        strcmp(type, "yarn") != 0) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                       "%s: rope scaling \"%s\" is not supported; trawl knows \"default\", \"linear\", "
                       "\"dynamic\", \"llama3\" and \"yarn\"",
                       what, type);
    }
    return read_scaling(c, r, type, what, err);
}

/* ---- frequencies ---- */

/* Llama 3: long wavelengths are stretched by `factor`, short ones kept, between them a linear blend in
 * the number of turns over the original context (Hugging Face: _compute_llama3_parameters). */
static double scale_llama3(const struct tw_model_config *c, double frequency)
{
    double turns     = c->rope_original_positions * frequency / (2 * pi);
    double stretched = frequency / c->rope_factor;
    if (turns < c->rope_low_freq) {
        return stretched;
    }
    if (turns > c->rope_high_freq) {
        return frequency;
    }
    double smooth = (turns - c->rope_low_freq) / (c->rope_high_freq - c->rope_low_freq);
    return (1 - smooth) * stretched + smooth * frequency;
}

/* The (fractional) index of the pair of inputs that makes so many turns over the original context. */
static double pair_with_turns(const struct tw_model_config *c, double turns)
{
    return (double)c->head_dim * log(c->rope_original_positions / (turns * 2 * pi)) /
           (2 * log(c->rope_theta));
}

/* YaRN: pairs below `low` keep their frequency, pairs above `high` are stretched, between them a linear blend in
 * the index (Hugging Face: _compute_yarn_parameters). */
struct yarn_ramp {
    double low, high;
};

static struct yarn_ramp make_yarn_ramp(const struct tw_model_config *c)
{
    struct yarn_ramp y = {pair_with_turns(c, c->rope_beta_fast), pair_with_turns(c, c->rope_beta_slow)};
    if (c->rope_truncate) {
        y.low  = floor(y.low);
        y.high = ceil(y.high);
    }
    y.low  = fmax(y.low, 0);
    y.high = fmin(y.high, (double)c->head_dim - 1);
    if (!(y.low < y.high) && !(y.low > y.high)) {
        y.high += 0.001;
    }
    return y;
}

static double scale_yarn(const struct yarn_ramp *y, double factor, double frequency, double i)
{
    double stretched = fmin(fmax((i - y->low) / (y->high - y->low), 0), 1);
    return stretched * (frequency / factor) + (1 - stretched) * frequency;
}

void tw_model_config_rope(const struct tw_model_config *c, double *inverse_frequency)
{
    struct yarn_ramp ramp = {0};
    if (c->rope_scaling == TW_ROPE_YARN) {
        ramp = make_yarn_ramp(c);
    }
    for (size_t i = 0; i < c->head_dim / 2; i++) {
        /* In long double so that the rounded result does not depend on the C library's pow. */
        long double exponent = 2.0L * (long double)i / (long double)c->head_dim;
        double f             = (double)(1.0L / powl((long double)c->rope_theta, exponent));
        switch (c->rope_scaling) {
        case TW_ROPE_PLAIN: break;
        case TW_ROPE_LINEAR: f /= c->rope_factor; break;
        case TW_ROPE_LLAMA3: f = scale_llama3(c, f); break;
        case TW_ROPE_YARN: f = scale_yarn(&ramp, c->rope_factor, f, (double)i); break;
        }
        inverse_frequency[i] = f;
    }
}
