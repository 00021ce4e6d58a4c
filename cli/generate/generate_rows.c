/* SPDX-License-Identifier: MIT */
#include "cli/generate/generate_rows.h"

#include <math.h>
#include <string.h>

#include "apps/ask/ask_constraint.h"
#include "apps/ask/ask_stop.h"
#include "base/alloc.h"
#include "text/text_answer.h"
#include "text/text_chat.h"

/* ---- text ---- */

trawl_status cli_row_text_open(struct cli_row_text *t, const char *model_path, struct trawl_error *err)
{
    *t = (struct cli_row_text){0};
    tw_str_init(&t->text, 0);
    TW_TRY(tw_strdup(model_path, &t->policies.model_path, err));
    if (tw_tokenizer_open(model_path, &t->tokenizer, &t->why_none) != TRAWL_OK) {
        return TRAWL_OK; /* said when a row needs it */
    }
    return tw_encoder_new(t->tokenizer, &t->encoder, err);
}

void cli_row_text_close(struct cli_row_text *t)
{
    tw_ids_release(&t->ids);
    tw_str_release(&t->text);
    tw_encoder_free(t->encoder);
    cli_policy_text_close(&t->policies);
    tw_tokenizer_close(t->tokenizer);
    *t = (struct cli_row_text){0};
}

static trawl_status need_tokenizer(const struct cli_row_text *t, struct trawl_error *err)
{
    if (t->tokenizer == NULL) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "text needs a tokenizer: %s", t->why_none.message);
    }
    return TRAWL_OK;
}

trawl_status cli_encode_text(struct cli_row_text *t, const char *text, size_t n, bool special,
                             struct trawl_error *err)
{
    t->ids.size = 0;
    t->options  = (struct tw_encode_options){.add_special_tokens = special};
    return tw_encode(t->encoder, text, n, &t->options, &t->ids, err);
}

trawl_status cli_encode_messages(struct cli_row_text *t, const json_t *messages, struct trawl_error *err)
{
    struct tw_chat_request request = {.messages = messages, .add_generation_prompt = true};
    tw_str_reset(&t->text);
    TW_TRY(tw_chat_render(t->tokenizer, &request, &t->text, err));
    return cli_encode_text(t, tw_str_text(&t->text), t->text.size, false,
                           err); /* the template has written them */
}

trawl_status cli_row_encode(struct cli_row_text *t, const char *prompt, size_t n, bool raw,
                            struct trawl_error *err)
{
    TW_TRY(need_tokenizer(t, err));
    if (raw || !tw_tokenizer_has_chat_template(t->tokenizer)) {
        return cli_encode_text(t, prompt, n, true, err);
    }
    json_t *messages = json_pack("[{s:s,s:s%}]", "role", "user", "content", prompt, n);
    if (messages == NULL) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "the prompt is not UTF-8");
    }
    trawl_status status = cli_encode_messages(t, messages, err);
    json_decref(messages);
    return status;
}

/* ---- defaults ---- */

trawl_status cli_row_defaults_read(struct cli_row_defaults *d, const struct cli_args *args,
                                   struct cli_row_text *t, struct trawl_error *err)
{
    const int64_t *ids = NULL;
    *d                 = (struct cli_row_defaults){0};
    trawl_request_init(&d->request);
    d->request.max_tokens              = (size_t)cli_get_int(args, "max_tokens");
    d->request.attention_sinks         = (size_t)cli_get_int(args, "attention_sinks");
    d->request.attention_window        = (size_t)cli_get_int(args, "attention_window");
    d->request.attention_heavy_hitters = (size_t)cli_get_int(args, "attention_heavy_hitters");
    d->request.attn_entropy            = cli_get_flag(args, "attn_entropy");
    cli_row_search_defaults(&d->request, args);
    d->n        = cli_get_int(args, "n");
    d->logprobs = cli_get_int(args, "logprobs") != 0;
    d->n_stop   = cli_get_strings(args, "stop", &d->stop);
    for (size_t i = 0; i < d->n_stop; i++) {
        if (d->stop[i][0] == '\0') {
            return tw_fail(err, TRAWL_ERR_INVALID,
                           "--stop: text %zu is empty, expected one that an answer can have", i + 1);
        }
    }
    d->n_stop_ids = cli_get_ints(args, "stop_token_ids", &ids);
    TW_TRY(tw_alloc(d->n_stop_ids, sizeof *d->stop_ids, &d->stop_ids, err));
    for (size_t i = 0; i < d->n_stop_ids; i++) {
        d->stop_ids[i] = (int32_t)ids[i];
    }
    TW_TRY(cli_sampling_defaults(&d->sampling, &d->request, args, &t->policies, err));
    return cli_constraint_defaults(&d->request, &d->constraint, args, err);
}

void cli_row_defaults_release(struct cli_row_defaults *d)
{
    tw_free(d->stop_ids);
    cli_sampling_release(&d->sampling);
    tw_free(d->constraint);
    *d = (struct cli_row_defaults){0};
}

/* ---- a row ---- */

static trawl_status take_ids(struct cli_row *row, const struct tw_ids *ids, struct trawl_error *err)
{
    TW_TRY(tw_alloc(ids->size, sizeof *row->prompt, &row->prompt, err));
    memcpy(row->prompt, ids->data, ids->size * sizeof *row->prompt);
    row->request.n_prompt = ids->size;
    return TRAWL_OK;
}

/* A member that is null is as good as none. */
static const json_t *get_given(const json_t *j, const char *key)
{
    const json_t *v = json_object_get(j, key);
    return json_is_null(v) ? NULL : v;
}

static trawl_status read_prompt(struct cli_row *row, const json_t *j, struct cli_row_text *t,
                                struct trawl_error *err)
{
    const json_t *prompt = get_given(j, "prompt"), *messages = get_given(j, "messages");
    const json_t *tokens = get_given(j, "tokens");
    int given            = (prompt != NULL) + (messages != NULL) + (tokens != NULL);
    if (given != 1) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "the row has %d of \"prompt\", \"messages\" and \"tokens\", expected one", given);
    }
    if (tokens != NULL) {
        if (!json_is_array(tokens)) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "\"tokens\" is %s, expected an array",
                           tw_json_type_name(tokens));
        }
        return tw_ask_ids(tokens, "tokens", &row->prompt, &row->request.n_prompt, err);
    }
    TW_TRY(need_tokenizer(t, err));
    if (messages != NULL) {
        TW_TRY(cli_encode_messages(t, messages, err));
    } else if (json_is_string(prompt)) {
        bool special = true;
        TW_TRY(tw_json_get_bool(j, "add_special_tokens", "row", &special, err));
        TW_TRY(cli_encode_text(t, json_string_value(prompt), json_string_length(prompt), special, err));
    } else {
        return tw_fail(err, TRAWL_ERR_FORMAT, "\"prompt\" is %s, expected a string",
                       tw_json_type_name(prompt));
    }
    return take_ids(row, &t->ids, err);
}

/* A row may hold only what is understood: a field that was overlooked would silently change nothing. */
static trawl_status check_keys(const json_t *j, struct trawl_error *err)
{
    static const char *const known[] = {"id",
                                        "prompt",
                                        "messages",
                                        "tokens",
                                        "add_special_tokens",
                                        "max_tokens",
                                        "seed",
                                        "n",
                                        "stop",
                                        "stop_token_ids",
                                        "logprobs",
                                        "ignore_eos",
                                        "timeout",
                                        "attention_mask",
                                        "attention_sinks",
                                        "attention_window",
                                        "attention_heavy_hitters",
                                        "attn_entropy",
                                        "guided_regex",
                                        "guided_json",
                                        "guided_choice",
                                        "num_beams",
                                        "length_penalty",
                                        "early_stopping",
                                        "completions",
                                        "dfs"};
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)j, key, v)
    {
        bool found = cli_sampling_key(key);
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
            found = found || strcmp(known[i], key) == 0;
        }
        if (!found) {
            return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "the row has \"%s\", which generate does not know",
                           key);
        }
    }
    return TRAWL_OK;
}

static trawl_status get_count(const json_t *j, const char *key, int64_t least, int64_t most, int64_t *out,
                              struct trawl_error *err)
{
    TW_TRY(tw_json_get_int(j, key, "row", out, err));
    if (*out < least || *out > most) {
        return tw_fail(err, TRAWL_ERR_INVALID, "\"%s\" is %lld, expected %lld to %lld", key, (long long)*out,
                       (long long)least, (long long)most);
    }
    return TRAWL_OK;
}

static trawl_status read_fields(struct cli_row *row, const json_t *j, const struct cli_row_defaults *d,
                                struct cli_policy_text *policies, struct trawl_error *err)
{
    struct trawl_request *q = &row->request;
    int64_t max = (int64_t)q->max_tokens, n = d->n, seed = 0;
    json_t *ids            = NULL;
    const json_t *logprobs = json_object_get(j, "logprobs");
    TW_TRY(get_count(j, "max_tokens", 0, 1 << 24, &max, err));
    TW_TRY(get_count(j, "n", 1, 4096, &n, err));
    TW_TRY(cli_row_sampling_read(&row->sampling, q, j, policies, err));
    TW_TRY(tw_json_get_bool(j, "ignore_eos", "row", &q->ignore_eos, err));
    TW_TRY(tw_json_get_bool(j, "attn_entropy", "row", &q->attn_entropy, err));
    TW_TRY(tw_json_get_double(j, "timeout", "row", &q->timeout, err));
    const json_t *given = json_object_get(j, "seed");
    q->has_seed         = given != NULL && !json_is_null(given);
    TW_TRY(tw_json_get_int(j, "seed", "row", &seed, err));
    TW_TRY(tw_json_get_array(j, "stop_token_ids", "row", &ids, err));
    if (ids != NULL) {
        TW_TRY(tw_ask_ids(ids, "stop_token_ids", &row->stop_ids, &q->n_stop_token_ids, err));
    } else {
        TW_TRY(tw_alloc(d->n_stop_ids, sizeof *row->stop_ids, &row->stop_ids, err));
        if (d->n_stop_ids > 0) {
            memcpy(row->stop_ids, d->stop_ids, d->n_stop_ids * sizeof *row->stop_ids);
        }
        q->n_stop_token_ids = d->n_stop_ids;
    }
    if (logprobs != NULL && !json_is_null(logprobs)) {
        row->logprobs = json_is_true(logprobs) || json_integer_value(logprobs) != 0;
    }
    q->seed           = (uint64_t)seed;
    q->max_tokens     = (size_t)max;
    row->n_samples    = (size_t)n;
    q->stop_token_ids = row->stop_ids;
    return TRAWL_OK;
}

/* The prompt's text is in the row, or in t->text when a template made it. */
static trawl_status read_search(struct cli_row *row, const json_t *j, struct cli_row_text *t,
                                struct trawl_error *err)
{
    const json_t *prompt = get_given(j, "prompt");
    const char *text     = NULL;
    size_t n             = 0;
    if (prompt != NULL) {
        text = json_string_value(prompt);
        n    = json_string_length(prompt);
    } else if (get_given(j, "messages") != NULL) {
        text = tw_str_text(&t->text);
        n    = t->text.size;
    }
    TW_TRY(cli_row_search_read(row, j, t, text, n, err));
    return cli_row_search_settle(row, err);
}

/* Answers repeat the id, so it is one that can be written again as it was read. */
static trawl_status read_id(struct cli_row *row, json_t *id, struct trawl_error *err)
{
    static const double exact = 9007199254740992; /* integers above it are not all different as reals */
    if (json_is_array(id) || json_is_object(id)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "\"id\" is %s, expected a string or a number",
                       tw_json_type_name(id));
    }
    if (json_is_real(id) && !(fabs(json_real_value(id)) < exact)) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "\"id\" is the number %g, expected a string or an integer of 64 bits",
                       json_real_value(id));
    }
    row->id = json_incref(id);
    return TRAWL_OK;
}

static trawl_status read_row(struct cli_row *row, const json_t *j, const struct cli_row_defaults *d,
                             struct cli_row_text *t, struct trawl_error *err)
{
    if (!json_is_object(j)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "the row is %s, expected an object", tw_json_type_name(j));
    }
    TW_TRY(read_id(row, json_object_get(j, "id"), err));
    TW_TRY(check_keys(j, err));
    TW_TRY(read_fields(row, j, d, &t->policies, err));
    TW_TRY(tw_ask_stop_read(j, d->stop, d->n_stop, &row->stop, &row->n_stop, err));
    if (row->n_stop > 0) {
        TW_TRY(need_tokenizer(t, err));
    }
    TW_TRY(read_prompt(row, j, t, err));
    TW_TRY(cli_row_mask_read(&row->mask, &row->request, j, err));
    TW_TRY(tw_ask_constraint_read(&row->request, &row->constraint, j, "row", err));
    row->request.prompt = row->prompt;
    return read_search(row, j, t, err);
}

trawl_status cli_row_parse(struct cli_row *row, const char *line, size_t n, const struct cli_row_defaults *d,
                           struct cli_row_text *t, struct trawl_error *err)
{
    json_t *j           = NULL;
    *row                = (struct cli_row){.request = d->request, .logprobs = d->logprobs};
    trawl_status status = tw_json_parse(line, n, "row", &j, &row->error);
    if (status == TRAWL_OK) {
        status = read_row(row, j, d, t, &row->error);
    }
    json_decref(j);
    row->error.status = status;
    if (status == TRAWL_ERR_NOMEM) {
        *err = row->error;
        return status;
    }
    return TRAWL_OK;
}

void cli_row_release(struct cli_row *row)
{
    tw_ask_stop_free(row->stop, row->n_stop);
    tw_free(row->prompt);
    tw_free(row->stop_ids);
    tw_free(row->constraint);
    cli_row_mask_release(&row->mask);
    cli_row_search_release(&row->search);
    cli_sampling_release(&row->sampling);
    json_decref(row->id);
    *row = (struct cli_row){0};
}

/* ---- answers ---- */

size_t cli_row_find_stop(const struct cli_row *row, const char *text, size_t n)
{
    return tw_find_stop((const char *const *)row->stop, row->n_stop, text, n);
}

static void put_floats(struct tw_json_writer *w, const char *key, const float *x, size_t n)
{
    tw_json_key(w, key);
    tw_json_begin_array(w);
    for (size_t i = 0; i < n; i++) {
        tw_json_float(w, x[i]);
    }
    tw_json_end_array(w);
}

trawl_status cli_write_text(struct tw_json_writer *w, const int32_t *tokens, size_t n, struct cli_row_text *t,
                            struct trawl_error *err)
{
    tw_json_key(w, "text");
    if (t->tokenizer == NULL) {
        tw_json_null(w);
        return TRAWL_OK;
    }
    tw_str_reset(&t->text);
    TW_TRY(tw_decode(t->tokenizer, tokens, n, true, &t->text, err));
    tw_json_string_n(w, tw_str_text(&t->text), t->text.size);
    return TRAWL_OK;
}

void cli_write_tokens(struct tw_json_writer *w, const int32_t *tokens, size_t n)
{
    tw_json_key(w, "tokens");
    tw_json_begin_array(w);
    for (size_t i = 0; i < n; i++) {
        tw_json_int(w, tokens[i]);
    }
    tw_json_end_array(w);
}

void cli_write_measures(struct tw_json_writer *w, const float *logprobs, const float *entropies,
                        const float *varentropies, size_t n)
{
    put_floats(w, "logprobs", logprobs, n);
    put_floats(w, "entropy", entropies, n);
    put_floats(w, "varentropy", varentropies, n);
}

trawl_status cli_row_write_answer(struct tw_json_writer *w, const struct cli_row *row,
                                  const struct trawl_result *r, struct cli_row_text *t,
                                  struct trawl_error *err)
{
    tw_json_key(w, "text");
    if (t->tokenizer != NULL) {
        tw_str_reset(&t->text);
        TW_TRY(tw_decode(t->tokenizer, r->tokens, r->n_tokens, true, &t->text, err));
        tw_json_string_n(w, tw_str_text(&t->text),
                         cli_row_find_stop(row, tw_str_text(&t->text), t->text.size));
    } else {
        tw_json_null(w);
    }
    cli_write_tokens(w, r->tokens, r->n_tokens);
    tw_json_key(w, "finish_reason");
    tw_json_string(w, trawl_finish_reason_name(r->finish_reason));
    tw_json_key(w, "prompt_tokens");
    tw_json_int(w, (int64_t)r->n_prompt);
    if (r->pruned) {
        tw_json_key(w, "pruned");
        tw_json_bool(w, true);
    }
    tw_json_key(w, "cumulative_logprob");
    tw_json_double(w, r->cumulative_logprob);
    if (row->logprobs) {
        cli_write_measures(w, r->logprobs, r->entropies, r->varentropies, r->n_tokens);
    }
    if (r->attn_entropies != NULL) {
        put_floats(w, "attn_entropy", r->attn_entropies, r->n_tokens);
        put_floats(w, "attn_varentropy", r->attn_varentropies, r->n_tokens);
    }
    if (r->n_outputs > 0) {
        cli_write_sampling(w, &row->request, &r->outputs[0]);
    }
    if (r->error != NULL) {
        tw_json_key(w, "error");
        tw_json_string(w, r->error);
    }
    return w->status;
}
