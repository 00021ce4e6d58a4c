/* SPDX-License-Identifier: MIT */
#include "apps/ask/ask_sampling.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

void tw_ask_numbers(struct trawl_request *request, struct tw_ask_number out[TW_ASK_NUMBERS])
{
    const struct tw_ask_number all[TW_ASK_NUMBERS] = {
        {.name = "temperature", .real = &request->temperature},
        {.name = "top_k", .integer = &request->top_k},
        {.name = "top_p", .real = &request->top_p},
        {.name = "min_p", .real = &request->min_p},
        {.name = "typical_p", .real = &request->typical_p},
        {.name = "top_n_sigma", .real = &request->top_n_sigma},
        {.name = "xtc_probability", .real = &request->xtc_probability},
        {.name = "xtc_threshold", .real = &request->xtc_threshold},
        {.name = "repetition_penalty", .real = &request->repetition_penalty},
        {.name = "presence_penalty", .real = &request->presence_penalty},
        {.name = "frequency_penalty", .real = &request->frequency_penalty},
        {.name = "no_repeat_ngram_size", .integer = &request->no_repeat_ngram_size},
        {.name = "min_tokens", .size = &request->min_tokens},
        {.name = "best_of", .size = &request->best_of},
    };
    memcpy(out, all, sizeof all);
}

bool tw_ask_sampling_key(const char *key)
{
    static const char *const lists[] = {"logit_bias", "suppress_tokens"};
    struct trawl_request q;
    struct tw_ask_number numbers[TW_ASK_NUMBERS];
    tw_ask_numbers(&q, numbers);
    for (size_t i = 0; i < TW_ASK_NUMBERS; i++) {
        if (strcmp(numbers[i].name, key) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        if (strcmp(lists[i], key) == 0) {
            return true;
        }
    }
    return false;
}

static trawl_status read_number(const struct tw_ask_number *n, const json_t *object, const char *what,
                                struct trawl_error *err)
{
    if (n->real != NULL) {
        return tw_json_get_double(object, n->name, what, n->real, err);
    }
    int64_t value = n->integer != NULL ? *n->integer : (int64_t)*n->size;
    TW_TRY(tw_json_get_int(object, n->name, what, &value, err));
    if (value < 0 || value > INT32_MAX) {
        return tw_fail(err, TRAWL_ERR_INVALID, "\"%s\" is %lld, expected 0 to %d", n->name, (long long)value,
                       INT32_MAX);
    }
    if (n->integer != NULL) {
        *n->integer = value;
    } else {
        *n->size = (size_t)value;
    }
    return TRAWL_OK;
}

trawl_status tw_ask_bias_id(const char *text, const char *end, int32_t *id, struct trawl_error *err)
{
    char *stop = NULL;
    long value = strtol(text, &stop, 10);
    if (text[0] < '0' || text[0] > '9' || stop != end || value > INT32_MAX) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "logit_bias: \"%.*s\" is no token id", (int)(end - text), text);
    }
    *id = (int32_t)value;
    return TRAWL_OK;
}

trawl_status tw_ask_bias_new(struct tw_ask_lists *lists, struct trawl_request *request, size_t n,
                             struct trawl_error *err)
{
    TW_TRY(tw_alloc(n, sizeof *lists->bias_tokens, &lists->bias_tokens, err));
    TW_TRY(tw_alloc(n, sizeof *lists->bias, &lists->bias, err));
    request->logit_bias_tokens = lists->bias_tokens;
    request->logit_bias        = lists->bias;
    request->n_logit_bias      = n;
    return TRAWL_OK;
}

/* {"ID": VALUE, ...} */
static trawl_status read_bias(struct tw_ask_lists *lists, struct trawl_request *q, json_t *object,
                              struct trawl_error *err)
{
    const char *key;
    json_t *value;
    size_t n = 0;
    TW_TRY(tw_ask_bias_new(lists, q, json_object_size(object), err));
    json_object_foreach(object, key, value)
    {
        TW_TRY(tw_ask_bias_id(key, key + strlen(key), &lists->bias_tokens[n], err));
        if (!json_is_number(value)) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "logit_bias: \"%s\" is %s, expected a number", key,
                           tw_json_type_name(value));
        }
        lists->bias[n++] = (float)json_number_value(value);
    }
    return TRAWL_OK;
}

trawl_status tw_ask_ids(const json_t *list, const char *key, int32_t **out, size_t *n,
                        struct trawl_error *err)
{
    *n = json_array_size(list);
    TW_TRY(tw_alloc(*n, sizeof **out, out, err));
    for (size_t i = 0; i < *n; i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "\"%s\"[%zu] is %s, expected a token id", key, i,
                           tw_json_type_name(v));
        }
        (*out)[i] = (int32_t)json_integer_value(v);
    }
    return TRAWL_OK;
}

trawl_status tw_ask_sampling_read(struct tw_ask_lists *lists, struct trawl_request *request,
                                  const json_t *object, const char *what, struct trawl_error *err)
{
    struct tw_ask_number numbers[TW_ASK_NUMBERS];
    json_t *bias = NULL, *suppress = NULL;
    tw_ask_numbers(request, numbers);
    for (size_t i = 0; i < TW_ASK_NUMBERS; i++) {
        TW_TRY(read_number(&numbers[i], object, what, err));
    }
    TW_TRY(tw_json_get_object(object, "logit_bias", what, &bias, err));
    if (bias != NULL) {
        TW_TRY(read_bias(lists, request, bias, err));
    }
    TW_TRY(tw_json_get_array(object, "suppress_tokens", what, &suppress, err));
    if (suppress != NULL) {
        TW_TRY(tw_ask_ids(suppress, "suppress_tokens", &lists->suppress, &request->n_suppress_tokens, err));
        request->suppress_tokens = lists->suppress;
    }
    return TRAWL_OK;
}

void tw_ask_lists_release(struct tw_ask_lists *lists)
{
    tw_free(lists->bias_tokens);
    tw_free(lists->bias);
    tw_free(lists->suppress);
    *lists = (struct tw_ask_lists){0};
}
