/* SPDX-License-Identifier: MIT */
#include "cli/generate/generate_sampling.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

bool cli_sampling_key(const char *key)
{
    return tw_ask_sampling_key(key) || strcmp(key, "entropy_policy") == 0;
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
    return tw_ask_bias_id(word, equals, id, err);
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

void cli_sampling_numbers(struct trawl_request *request, const struct cli_args *args, bool given)
{
    struct tw_ask_number numbers[TW_ASK_NUMBERS];
    tw_ask_numbers(request, numbers);
    for (size_t i = 0; i < TW_ASK_NUMBERS; i++) {
        const char *name = numbers[i].name;
        bool negated;
        if (cli_option_find(cli_args_command(args), name, strlen(name), &negated) == NULL ||
            (given && !cli_given(args, name))) {
            continue;
        }
        if (numbers[i].real != NULL) {
            *numbers[i].real = cli_get_float(args, numbers[i].name);
        } else if (numbers[i].integer != NULL) {
            *numbers[i].integer = cli_get_int(args, numbers[i].name);
        } else {
            *numbers[i].size = (size_t)cli_get_int(args, numbers[i].name);
        }
    }
}

trawl_status cli_sampling_bias(struct cli_sampling *s, struct trawl_request *request,
                               const struct cli_args *args, struct trawl_error *err)
{
    const char *const *bias = NULL;
    size_t n                = cli_get_strings(args, "logit_bias", &bias);
    TW_TRY(tw_ask_bias_new(&s->lists, request, n, err));
    for (size_t i = 0; i < n; i++) {
        TW_TRY(parse_bias(bias[i], &s->lists.bias_tokens[i], &s->lists.bias[i], err));
    }
    return TRAWL_OK;
}

trawl_status cli_sampling_suppressed(struct cli_sampling *s, struct trawl_request *request,
                                     const struct cli_args *args, struct trawl_error *err)
{
    const int64_t *suppress = NULL;
    size_t n                = cli_get_ints(args, "suppress_tokens", &suppress);
    TW_TRY(tw_alloc(n, sizeof *s->lists.suppress, &s->lists.suppress, err));
    for (size_t i = 0; i < n; i++) {
        s->lists.suppress[i] = (int32_t)suppress[i];
    }
    request->suppress_tokens   = s->lists.suppress;
    request->n_suppress_tokens = n;
    return TRAWL_OK;
}

trawl_status cli_sampling_defaults(struct cli_sampling *s, struct trawl_request *request,
                                   const struct cli_args *args, struct cli_policy_text *t,
                                   struct trawl_error *err)
{
    *s = (struct cli_sampling){0};
    cli_sampling_numbers(request, args, false);
    TW_TRY(cli_sampling_bias(s, request, args, err));
    TW_TRY(cli_sampling_suppressed(s, request, args, err));
    int64_t logprobs      = cli_get_int(args, "logprobs");
    request->top_logprobs = logprobs > 1 ? (size_t)logprobs : 0;
    const char *path      = cli_get_string(args, "entropy_policy");
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
    TW_TRY(tw_ask_sampling_read(&s->lists, request, row, "row", err));
    TW_TRY(read_logprobs(request, json_object_get(row, "logprobs"), err));
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
    tw_ask_lists_release(&s->lists);
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
