/* SPDX-License-Identifier: MIT */
#include "cli/generate_sampling.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

/* ---- numbers ---- */

struct number {
    const char *name;
    double *real;
    int64_t *integer;
    size_t *size;
};

enum { NUMBERS = 14 };

static void numbers_of(struct trawl_request *q, struct number out[NUMBERS])
{
    const struct number all[NUMBERS] = {
        {.name = "temperature", .real = &q->temperature},
        {.name = "top_k", .integer = &q->top_k},
        {.name = "top_p", .real = &q->top_p},
        {.name = "min_p", .real = &q->min_p},
        {.name = "typical_p", .real = &q->typical_p},
        {.name = "top_n_sigma", .real = &q->top_n_sigma},
        {.name = "xtc_probability", .real = &q->xtc_probability},
        {.name = "xtc_threshold", .real = &q->xtc_threshold},
        {.name = "repetition_penalty", .real = &q->repetition_penalty},
        {.name = "presence_penalty", .real = &q->presence_penalty},
        {.name = "frequency_penalty", .real = &q->frequency_penalty},
        {.name = "no_repeat_ngram_size", .integer = &q->no_repeat_ngram_size},
        {.name = "min_tokens", .size = &q->min_tokens},
        {.name = "best_of", .size = &q->best_of},
    };
    memcpy(out, all, sizeof all);
}

static const char *const lists[] = {"logit_bias", "suppress_tokens", "entropy_policy"};

bool cli_sampling_key(const char *key)
{
    struct trawl_request q;
    struct number numbers[NUMBERS];
    numbers_of(&q, numbers);
    for (size_t i = 0; i < NUMBERS; i++) {
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

static trawl_status read_number(const struct number *n, const json_t *row, struct trawl_error *err)
{
    if (n->real != NULL) {
        return tw_json_get_double(row, n->name, "row", n->real, err);
    }
    int64_t value = n->integer != NULL ? *n->integer : (int64_t)*n->size;
    TW_TRY(tw_json_get_int(row, n->name, "row", &value, err));
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

/* ---- lists ---- */

static trawl_status parse_id(const char *text, const char *end, int32_t *id, struct trawl_error *err)
{
    char *stop = NULL;
    long value = strtol(text, &stop, 10);
    if (text[0] < '0' || text[0] > '9' || stop != end || value > INT32_MAX) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "logit_bias: \"%.*s\" is no token id", (int)(end - text), text);
    }
    *id = (int32_t)value;
    return TRAWL_OK;
}

/* ID=VALUE */
static trawl_status parse_bias(const char *word, int32_t *id, float *value, struct trawl_error *err)
{
    const char *equals = strchr(word, '=');
    char *stop         = NULL;
    double x           = equals == NULL ? 0 : strtod(equals + 1, &stop);
    if (equals == NULL || stop == equals + 1 || *stop != '\0') {
        return tw_fail(err, TRAWL_ERR_INVALID, "--logit_bias \"%s\", expected ID=VALUE", word);
    }
    *value = (float)x;
    return parse_id(word, equals, id, err);
}

static trawl_status new_bias(struct cli_sampling *s, struct trawl_request *q, size_t n,
                             struct trawl_error *err)
{
    TW_TRY(tw_alloc(n, sizeof *s->bias_tokens, &s->bias_tokens, err));
    TW_TRY(tw_alloc(n, sizeof *s->bias, &s->bias, err));
    q->logit_bias_tokens = s->bias_tokens;
    q->logit_bias        = s->bias;
    q->n_logit_bias      = n;
    return TRAWL_OK;
}

/* {"ID": VALUE, ...} */
static trawl_status read_bias(struct cli_sampling *s, struct trawl_request *q, json_t *object,
                              struct trawl_error *err)
{
    const char *key;
    json_t *value;
    size_t n = 0;
    TW_TRY(new_bias(s, q, json_object_size(object), err));
    json_object_foreach(object, key, value)
    {
        TW_TRY(parse_id(key, key + strlen(key), &s->bias_tokens[n], err));
        if (!json_is_number(value)) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "logit_bias: \"%s\" is %s, expected a number", key,
                           tw_json_type_name(value));
        }
        s->bias[n++] = (float)json_number_value(value);
    }
    return TRAWL_OK;
}

static trawl_status read_suppressed(struct cli_sampling *s, struct trawl_request *q, const json_t *list,
                                    struct trawl_error *err)
{
    size_t n = json_array_size(list);
    TW_TRY(tw_alloc(n, sizeof *s->suppress, &s->suppress, err));
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "\"suppress_tokens\"[%zu] is %s, expected a token id", i,
                           tw_json_type_name(v));
        }
        s->suppress[i] = (int32_t)json_integer_value(v);
    }
    q->suppress_tokens   = s->suppress;
    q->n_suppress_tokens = n;
    return TRAWL_OK;
}

/* ---- the policy ---- */

void cli_policy_text_close(struct cli_policy_text *t)
{
    trawl_tokenizer_close(&t->tokenizer);
    tw_free(t->model_path);
    *t = (struct cli_policy_text){0};
}

static trawl_status load_policy(struct cli_sampling *s, struct trawl_request *q, const char *path,
                                struct cli_policy_text *t, struct trawl_error *err)
{
    struct trawl_error why;
    if (t->tokenizer == NULL && trawl_tokenizer_open(t->model_path, &t->tokenizer, &why) != TRAWL_OK) {
        t->tokenizer = NULL; /* a policy without a text does not need it */
    }
    TW_TRY(tw_alloc(1, sizeof *s->policy, &s->policy, err));
    q->entropy_policy = s->policy;
    return trawl_entropy_policy_read(path, t->tokenizer, s->policy, err);
}

/* ---- options and rows ---- */

void cli_sampling_numbers(struct trawl_request *request, const struct cli_args *args)
{
    struct number numbers[NUMBERS];
    numbers_of(request, numbers);
    for (size_t i = 0; i < NUMBERS; i++) {
        if (numbers[i].real != NULL) {
            *numbers[i].real = cli_get_float(args, numbers[i].name);
        } else if (numbers[i].integer != NULL) {
            *numbers[i].integer = cli_get_int(args, numbers[i].name);
        } else {
            *numbers[i].size = (size_t)cli_get_int(args, numbers[i].name);
        }
    }
}

trawl_status cli_sampling_defaults(struct cli_sampling *s, struct trawl_request *request,
                                   const struct cli_args *args, struct cli_policy_text *t,
                                   struct trawl_error *err)
{
    const char *const *bias = NULL;
    const int64_t *suppress = NULL;
    size_t n_bias           = cli_get_strings(args, "logit_bias", &bias);
    size_t n                = cli_get_ints(args, "suppress_tokens", &suppress);
    *s                      = (struct cli_sampling){0};
    cli_sampling_numbers(request, args);
    TW_TRY(new_bias(s, request, n_bias, err));
    for (size_t i = 0; i < n_bias; i++) {
        TW_TRY(parse_bias(bias[i], &s->bias_tokens[i], &s->bias[i], err));
    }
    TW_TRY(tw_alloc(n, sizeof *s->suppress, &s->suppress, err));
    for (size_t i = 0; i < n; i++) {
        s->suppress[i] = (int32_t)suppress[i];
    }
    request->suppress_tokens   = s->suppress;
    request->n_suppress_tokens = n;
    int64_t logprobs           = cli_get_int(args, "logprobs");
    request->top_logprobs      = logprobs > 1 ? (size_t)logprobs : 0;
    const char *path           = cli_get_string(args, "entropy_policy");
    return path == NULL ? TRAWL_OK : load_policy(s, request, path, t, err);
}

static trawl_status read_logprobs(struct trawl_request *q, const json_t *v, struct trawl_error *err)
{
    if (v == NULL || json_is_null(v)) {
        return TRAWL_OK;
    }
    if (!json_is_boolean(v) && !json_is_integer(v)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "\"logprobs\" is %s, expected true, false or a number",
                       tw_json_type_name(v));
    }
    json_int_t n = json_is_integer(v) ? json_integer_value(v) : 0;
    if (n < 0 || n > CLI_MAX_TOP_LOGPROBS) {
        return tw_fail(err, TRAWL_ERR_INVALID, "\"logprobs\" is %lld, expected 0 to %d", (long long)n,
                       CLI_MAX_TOP_LOGPROBS);
    }
    q->top_logprobs = n > 1 ? (size_t)n : 0;
    return TRAWL_OK;
}

trawl_status cli_row_sampling_read(struct cli_sampling *s, struct trawl_request *request, const json_t *row,
                                   struct cli_policy_text *t, struct trawl_error *err)
{
    struct number numbers[NUMBERS];
    json_t *bias = NULL, *suppress = NULL;
    numbers_of(request, numbers);
    for (size_t i = 0; i < NUMBERS; i++) {
        TW_TRY(read_number(&numbers[i], row, err));
    }
    TW_TRY(read_logprobs(request, json_object_get(row, "logprobs"), err));
    TW_TRY(tw_json_get_object(row, "logit_bias", "row", &bias, err));
    if (bias != NULL) {
        TW_TRY(read_bias(s, request, bias, err));
    }
    TW_TRY(tw_json_get_array(row, "suppress_tokens", "row", &suppress, err));
    if (suppress != NULL) {
        TW_TRY(read_suppressed(s, request, suppress, err));
    }
    const json_t *policy = json_object_get(row, "entropy_policy");
    if (policy == NULL) {
        return TRAWL_OK;
    }
    request->entropy_policy = NULL;
    if (json_is_string(policy)) {
        return load_policy(s, request, json_string_value(policy), t, err);
    }
    return json_is_null(policy)
               ? TRAWL_OK
               : tw_fail(err, TRAWL_ERR_FORMAT, "\"entropy_policy\" is %s, expected a file name",
                         tw_json_type_name(policy));
}

void cli_sampling_release(struct cli_sampling *s)
{
    tw_free(s->bias_tokens);
    tw_free(s->bias);
    tw_free(s->suppress);
    tw_free(s->policy);
    *s = (struct cli_sampling){0};
}

/* ---- answers ---- */

static void write_top(struct tw_json_writer *w, const struct trawl_output *o)
{
    const struct trawl_top_logprob *top = o->top_logprobs;
    tw_json_key(w, "top_logprobs");
    tw_json_begin_array(w);
    for (size_t i = 0; i < o->n_tokens; i++) {
        tw_json_begin_array(w);
        for (size_t k = 0; k < o->n_top_logprobs; k++, top++) {
            if (top->token < 0 || !isfinite(top->logprob)) {
                continue; /* no numbers are left, or none that JSON has */
            }
            tw_json_begin_object(w);
            tw_json_key(w, "token");
            tw_json_int(w, top->token);
            tw_json_key(w, "logprob");
            tw_json_float(w, top->logprob);
            tw_json_end_object(w);
        }
        tw_json_end_array(w);
    }
    tw_json_end_array(w);
}

static void write_policy(struct tw_json_writer *w, const struct trawl_output *o)
{
    static const char *const names[TRAWL_ENTROPY_STATES] = {"LELV", "HELV", "HEHV", "LEHV", "MID"};
    tw_json_key(w, "entropy_policy");
    tw_json_begin_object(w);
    for (size_t i = 0; i < TRAWL_ENTROPY_STATES; i++) {
        tw_json_key(w, names[i]);
        tw_json_int(w, o->entropy_states[i]);
    }
    tw_json_key(w, "inserted");
    tw_json_int(w, o->n_inserted);
    tw_json_end_object(w);
}

void cli_write_sampling(struct tw_json_writer *w, const struct trawl_request *request,
                        const struct trawl_output *output)
{
    if (request->top_logprobs > 0) {
        write_top(w, output);
    }
    if (request->entropy_policy != NULL) {
        write_policy(w, output);
    }
}
