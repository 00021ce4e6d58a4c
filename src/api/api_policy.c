/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "api/api_sampling.h"
#include "trawl/policy.h"
#include "json/json.h"

void trawl_entropy_policy_init(struct trawl_entropy_policy *policy)
{
    struct tw_policy p;
    tw_policy_init(&p);
    *policy = (struct trawl_entropy_policy){.size             = sizeof *policy,
                                            .h_lo             = p.h_lo,
                                            .h_mid            = p.h_mid,
                                            .h_hi             = p.h_hi,
                                            .v_lo             = p.v_lo,
                                            .v_hi             = p.v_hi,
                                            .lehv_temperature = p.lehv_temperature,
                                            .lehv_top_k       = p.lehv_top_k,
                                            .max_temperature  = p.max_temperature,
                                            .hehv_min_p       = p.hehv_min_p,
                                            .best_of          = p.best_of,
                                            .insert_token     = p.insert_token,
                                            .insert_cooldown  = p.insert_cooldown,
                                            .insert_limit     = p.insert_limit};
}

struct tw_policy tw_api_policy(const struct trawl_entropy_policy *policy)
{
    struct tw_policy p;
    tw_policy_init(&p);
    if (policy == NULL) {
        return p;
    }
    return (struct tw_policy){.on               = true,
                              .h_lo             = policy->h_lo,
                              .h_mid            = policy->h_mid,
                              .h_hi             = policy->h_hi,
                              .v_lo             = policy->v_lo,
                              .v_hi             = policy->v_hi,
                              .lehv_temperature = policy->lehv_temperature,
                              .lehv_top_k       = policy->lehv_top_k,
                              .max_temperature  = policy->max_temperature,
                              .hehv_min_p       = policy->hehv_min_p,
                              .best_of          = policy->best_of,
                              .insert_token     = policy->insert_token,
                              .insert_cooldown  = policy->insert_cooldown,
                              .insert_limit     = policy->insert_limit};
}

/* ---- the file ---- */

struct field {
    const char *name;
    double *real;
    uint32_t *count;
};

static trawl_status read_field(const struct field *f, const json_t *j, const char *path,
                               struct trawl_error *err)
{
    if (f->real != NULL) {
        return tw_json_get_double(j, f->name, path, f->real, err);
    }
    int64_t n = *f->count;
    TW_TRY(tw_json_get_int(j, f->name, path, &n, err));
    if (n < 0 || n > UINT32_MAX) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s: \"%s\" is %lld, expected 0 to %u", path, f->name,
                       (long long)n, UINT32_MAX);
    }
    *f->count = (uint32_t)n;
    return TRAWL_OK;
}

static trawl_status read_text(const char *text, const char *path, trawl_tokenizer *tokenizer,
                              struct trawl_entropy_policy *policy, struct trawl_error *err)
{
    int32_t *ids = NULL;
    char *plain  = NULL;
    size_t n = 0, n_plain = 0;
    if (tokenizer == NULL) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s: \"insert_text\" needs a tokenizer, here is none", path);
    }
    TW_TRY(trawl_tokenizer_encode(tokenizer, text, strlen(text), 0, &ids, &n, err));
    trawl_status status = TRAWL_OK;
    if (n != 1) {
        status = tw_fail(err, TRAWL_ERR_INVALID, "%s: \"insert_text\" \"%s\" is %zu tokens, expected one",
                         path, text, n);
    } else {
        policy->insert_token = ids[0];
        status               = trawl_tokenizer_decode(tokenizer, ids, 1, true, &plain, &n_plain, err);
    }
    if (status == TRAWL_OK && n_plain == 0) {
        status = tw_fail(err, TRAWL_ERR_INVALID, "%s: \"insert_text\" \"%s\" is a special token", path, text);
    }
    trawl_free(plain);
    trawl_free(ids);
    return status;
}

static trawl_status read_object(const json_t *j, const char *path, trawl_tokenizer *tokenizer,
                                struct trawl_entropy_policy *policy, struct trawl_error *err)
{
    const struct field fields[] = {
        {"h_lo", &policy->h_lo, NULL},
        {"h_mid", &policy->h_mid, NULL},
        {"h_hi", &policy->h_hi, NULL},
        {"v_lo", &policy->v_lo, NULL},
        {"v_hi", &policy->v_hi, NULL},
        {"lehv_temperature", &policy->lehv_temperature, NULL},
        {"lehv_top_k", &policy->lehv_top_k, NULL},
        {"max_temperature", &policy->max_temperature, NULL},
        {"hehv_min_p", &policy->hehv_min_p, NULL},
        {"best_of", NULL, &policy->best_of},
        {"insert_cooldown", NULL, &policy->insert_cooldown},
        {"insert_limit", NULL, &policy->insert_limit},
    };
    const size_t n_fields = sizeof fields / sizeof fields[0];
    const char *key, *text = NULL;
    json_t *value;
    json_object_foreach((json_t *)j, key, value)
    {
        size_t i = 0;
        while (i < n_fields && strcmp(fields[i].name, key) != 0) {
            i++;
        }
        if (i < n_fields) {
            TW_TRY(read_field(&fields[i], j, path, err));
        } else if (strcmp(key, "insert_text") != 0) {
            return tw_fail(err, TRAWL_ERR_INVALID, "%s: \"%s\" is no field of an entropy policy", path, key);
        }
    }
    TW_TRY(tw_json_get_string(j, "insert_text", path, &text, err));
    if (text != NULL) {
        TW_TRY(read_text(text, path, tokenizer, policy, err));
    }
    struct tw_policy checked = tw_api_policy(policy);
    trawl_status status      = tw_policy_check(&checked, err);
    return status == TRAWL_OK ? TRAWL_OK : tw_fail_prefix(err, status, "%s", path);
}

trawl_status tw_api_policy_read(const json_t *j, const char *name, trawl_tokenizer *tokenizer,
                                struct trawl_entropy_policy *policy, struct trawl_error *err)
{
    trawl_entropy_policy_init(policy);
    if (!json_is_object(j)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: %s, expected an object", name, tw_json_type_name(j));
    }
    return read_object(j, name, tokenizer, policy, err);
}

trawl_status trawl_entropy_policy_read(const char *path, trawl_tokenizer *tokenizer,
                                       struct trawl_entropy_policy *policy, struct trawl_error *err)
{
    json_t *j = NULL;
    trawl_entropy_policy_init(policy);
    TW_TRY(tw_json_parse_file(path, 0, &j, err));
    trawl_status status = tw_api_policy_read(j, path, tokenizer, policy, err);
    json_decref(j);
    return status;
}
