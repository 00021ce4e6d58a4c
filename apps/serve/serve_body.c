/* SPDX-License-Identifier: MIT */
#include "apps/serve/serve_body.h"

#include <string.h>

#include "apps/ask/ask_constraint.h"
#include "apps/ask/ask_stop.h"
#include "base/alloc.h"

static const char WHAT[] = "body";

/* ---- what is refused ---- */

/* null, false, "", [], {}: as good as absent. */
static bool says_nothing(const json_t *v)
{
    return v == NULL || json_is_null(v) || json_is_false(v) ||
           (json_is_string(v) && json_string_length(v) == 0) ||
           (json_is_array(v) && json_array_size(v) == 0) || (json_is_object(v) && json_object_size(v) == 0);
}

static trawl_status refuse_unsupported(const json_t *json, struct trawl_error *err)
{
    static const char *const names[] = {"suffix",
                                        "tools",
                                        "functions",
                                        "function_call",
                                        "audio",
                                        "prediction",
                                        "prompt_logprobs",
                                        "truncate_prompt_tokens",
                                        "use_beam_search",
                                        "allowed_token_ids",
                                        "bad_words",
                                        "guided_grammar",
                                        "structural_tag",
                                        "chat_template",
                                        "documents",
                                        "prompt_embeds",
                                        "priority",
                                        "continue_final_message",
                                        "web_search_options",
                                        "include_stop_str_in_output"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const json_t *v = json_object_get(json, names[i]);
        if (!says_nothing(v) && !(json_is_integer(v) && json_integer_value(v) == 0)) {
            return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "\"%s\" is not supported", names[i]);
        }
    }
    const json_t *modalities = json_object_get(json, "modalities");
    for (size_t i = 0; i < json_array_size(modalities); i++) {
        const char *s = json_string_value(json_array_get(modalities, i));
        if (s == NULL || strcmp(s, "text") != 0) {
            return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "\"modalities\" has more than \"text\"");
        }
    }
    return TRAWL_OK;
}

/* ---- numbers and flags ---- */

static trawl_status get_count(const json_t *j, const char *key, int64_t least, int64_t most, int64_t *out,
                              struct trawl_error *err)
{
    TW_TRY(tw_json_get_int(j, key, WHAT, out, err));
    if (*out < least || *out > most) {
        return tw_fail(err, TRAWL_ERR_INVALID, "\"%s\" is %lld, expected %lld to %lld", key, (long long)*out,
                       (long long)least, (long long)most);
    }
    return TRAWL_OK;
}

static bool is_given(const json_t *j, const char *key)
{
    const json_t *v = json_object_get(j, key);
    return v != NULL && !json_is_null(v);
}

/* "max_completion_tokens" is the newer name of "max_tokens". */
static trawl_status read_length(struct tw_serve_body *b, struct trawl_error *err)
{
    int64_t max         = b->kind == TW_SERVE_COMPLETION ? 16 : 0;
    const char *const k = is_given(b->json, "max_completion_tokens") ? "max_completion_tokens" : "max_tokens";
    b->has_max_tokens   = b->kind == TW_SERVE_COMPLETION || is_given(b->json, k);
    int64_t least       = b->kind == TW_SERVE_COMPLETION ? 0 : 1;
    if (is_given(b->json, k)) {
        TW_TRY(get_count(b->json, k, least, 1 << 24, &max, err));
    }
    b->request.max_tokens = (size_t)max;
    return TRAWL_OK;
}

/* -1 is how vLLM's clients say that there is no top_k, and no seed. */
static trawl_status read_sampling(struct tw_serve_body *b, struct trawl_error *err)
{
    struct trawl_request *q = &b->request;
    int64_t seed            = 0;
    json_t *top_k           = json_object_get(b->json, "top_k");
    if (json_is_integer(top_k) && json_integer_value(top_k) == -1) {
        (void)json_integer_set(top_k, 0);
    }
    q->temperature = 1;
    TW_TRY(tw_ask_sampling_read(&b->lists, q, b->json, WHAT, err));
    TW_TRY(tw_json_get_int(b->json, "seed", WHAT, &seed, err));
    q->has_seed = is_given(b->json, "seed") && seed != -1;
    q->seed     = (uint64_t)seed;
    TW_TRY(tw_json_get_bool(b->json, "ignore_eos", WHAT, &q->ignore_eos, err));
    TW_TRY(tw_json_get_double(b->json, "timeout", WHAT, &q->timeout, err));
    if (q->timeout < 0) {
        return tw_fail(err, TRAWL_ERR_INVALID, "\"timeout\" is %g, expected seconds, or 0 for none",
                       q->timeout);
    }
    return TRAWL_OK;
}

/* The number of a chat's alternatives has a name of its own; that of a completion is "logprobs". */
static trawl_status read_logprobs(struct tw_serve_body *b, struct trawl_error *err)
{
    int64_t n = 0;
    if (b->kind == TW_SERVE_CHAT) {
        TW_TRY(tw_json_get_bool(b->json, "logprobs", WHAT, &b->logprobs, err));
        TW_TRY(get_count(b->json, "top_logprobs", 0, 1024, &n, err));
        if (n > 0 && !b->logprobs) {
            return tw_fail(err, TRAWL_ERR_INVALID, "\"top_logprobs\" is %lld, but \"logprobs\" is not true",
                           (long long)n);
        }
    } else {
        b->logprobs = is_given(b->json, "logprobs");
        TW_TRY(get_count(b->json, "logprobs", 0, 1024, &n, err));
    }
    b->request.top_logprobs = (size_t)n;
    return TRAWL_OK;
}

static trawl_status read_stop(struct tw_serve_body *b, struct trawl_error *err)
{
    json_t *ids = NULL;
    TW_TRY(tw_ask_stop_read(b->json, NULL, 0, &b->stop, &b->n_stop, err));
    TW_TRY(tw_json_get_array(b->json, "stop_token_ids", WHAT, &ids, err));
    if (ids != NULL) {
        TW_TRY(tw_ask_ids(ids, "stop_token_ids", &b->stop_ids, &b->request.n_stop_token_ids, err));
        b->request.stop_token_ids = b->stop_ids;
    }
    return TRAWL_OK;
}

static trawl_status read_stream(struct tw_serve_body *b, struct trawl_error *err)
{
    json_t *options = NULL;
    TW_TRY(tw_json_get_bool(b->json, "stream", WHAT, &b->stream, err));
    TW_TRY(tw_json_get_object(b->json, "stream_options", WHAT, &options, err));
    if (options != NULL && !b->stream) {
        return tw_fail(err, TRAWL_ERR_INVALID, "\"stream_options\" goes with \"stream\": true");
    }
    return options == NULL
               ? TRAWL_OK
               : tw_json_get_bool(options, "include_usage", "stream_options", &b->include_usage, err);
}

static trawl_status read_flags(struct tw_serve_body *b, struct trawl_error *err)
{
    b->add_special_tokens    = b->kind == TW_SERVE_COMPLETION; /* a template writes them itself */
    b->add_generation_prompt = true;
    b->skip_special_tokens   = true;
    TW_TRY(tw_json_get_bool(b->json, "add_special_tokens", WHAT, &b->add_special_tokens, err));
    TW_TRY(tw_json_get_bool(b->json, "add_generation_prompt", WHAT, &b->add_generation_prompt, err));
    TW_TRY(tw_json_get_bool(b->json, "skip_special_tokens", WHAT, &b->skip_special_tokens, err));
    return tw_json_get_bool(b->json, "echo", WHAT, &b->echo, err);
}

/* ---- constraints ---- */

static trawl_status add_constraint(struct tw_serve_body *b, const json_t *value, const char *key,
                                   enum trawl_constraint_kind kind, struct trawl_error *err)
{
    if (b->constraint != NULL) {
        return tw_fail(err, TRAWL_ERR_INVALID, "the body has more than one constraint, \"%s\" among them",
                       key);
    }
    return tw_ask_constraint_set(&b->request, &b->constraint, value, key, kind, err);
}

/* {"type": "json_schema", "json_schema": {"schema": {...}}} */
static trawl_status read_response_format(struct tw_serve_body *b, struct trawl_error *err)
{
    json_t *format = NULL, *schema = NULL;
    const char *type = NULL;
    TW_TRY(tw_json_get_object(b->json, "response_format", WHAT, &format, err));
    if (format == NULL) {
        return TRAWL_OK;
    }
    TW_TRY(tw_json_get_string(format, "type", "response_format", &type, err));
    if (type != NULL && strcmp(type, "text") == 0) {
        return TRAWL_OK;
    }
    if (type != NULL && strcmp(type, "json_object") == 0) {
        json_t *any = json_pack("{s:s}", "type", "object");
        trawl_status status =
            any == NULL ? tw_fail(err, TRAWL_ERR_NOMEM, "out of memory")
                        : add_constraint(b, any, "response_format", TRAWL_CONSTRAINT_JSON_SCHEMA, err);
        json_decref(any);
        return status;
    }
    if (type == NULL || strcmp(type, "json_schema") != 0) {
        return tw_fail(
            err, TRAWL_ERR_UNSUPPORTED,
            "response_format: \"type\" is %s%s%s, expected \"text\", \"json_object\" or \"json_schema\"",
            type == NULL ? "" : "\"", type == NULL ? "missing" : type, type == NULL ? "" : "\"");
    }
    TW_TRY(tw_json_get_object(format, "json_schema", "response_format", &schema, err));
    const json_t *given = json_object_get(schema, "schema");
    if (given == NULL) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "response_format: \"json_schema\" has no \"schema\"");
    }
    return add_constraint(b, given, "schema", TRAWL_CONSTRAINT_JSON_SCHEMA, err);
}

/* vLLM's newer form: {"structured_outputs": {"json": ...}} */
static trawl_status read_structured(struct tw_serve_body *b, struct trawl_error *err)
{
    static const struct {
        const char *key;
        enum trawl_constraint_kind kind;
    } members[] = {{"json", TRAWL_CONSTRAINT_JSON_SCHEMA},
                   {"regex", TRAWL_CONSTRAINT_REGEX},
                   {"choice", TRAWL_CONSTRAINT_CHOICE}};
    json_t *all = NULL;
    TW_TRY(tw_json_get_object(b->json, "structured_outputs", WHAT, &all, err));
    size_t n = 0;
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        if (is_given(all, members[i].key)) {
            n++;
            TW_TRY(add_constraint(b, json_object_get(all, members[i].key), members[i].key, members[i].kind,
                                  err));
        }
    }
    return all == NULL || n == 1
               ? TRAWL_OK
               : tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                         "\"structured_outputs\" has none of \"json\", \"regex\" and \"choice\"");
}

static trawl_status read_constraint(struct tw_serve_body *b, struct trawl_error *err)
{
    TW_TRY(tw_ask_constraint_read(&b->request, &b->constraint, b->json, WHAT, err));
    TW_TRY(read_response_format(b, err));
    return read_structured(b, err);
}

/* ---- prompts ---- */

/* [{"type": "text", "text": "..."}, ...] as one text, a line for each as vLLM joins them. */
static trawl_status join_parts(json_t *message, const json_t *parts, struct trawl_error *err)
{
    struct tw_str text;
    tw_str_init(&text, 0);
    trawl_status status = TRAWL_OK;
    for (size_t i = 0; status == TRAWL_OK && i < json_array_size(parts); i++) {
        const json_t *part = json_array_get(parts, i), *s = json_object_get(part, "text");
        const char *type = json_string_value(json_object_get(part, "type"));
        if (!json_is_string(s) || type == NULL || strcmp(type, "text") != 0) {
            status = tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                             "messages: a content part is %s%s%s, expected a text", type == NULL ? "" : "\"",
                             type == NULL ? "malformed" : type, type == NULL ? "" : "\"");
            break;
        }
        status = i > 0 ? tw_str_putc(&text, '\n', err) : TRAWL_OK;
        if (status == TRAWL_OK) {
            status = tw_str_append(&text, json_string_value(s), json_string_length(s), err);
        }
    }
    if (status == TRAWL_OK &&
        json_object_set_new(message, "content", json_stringn(tw_str_text(&text), text.size)) != 0) {
        status = tw_fail(err, TRAWL_ERR_NOMEM, "out of memory");
    }
    tw_str_release(&text);
    return status;
}

trawl_status tw_serve_messages(json_t *messages, struct trawl_error *err)
{
    if (!json_is_array(messages) || json_array_size(messages) == 0) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "\"messages\" is %s, expected an array of messages",
                       json_is_array(messages) ? "empty" : tw_json_type_name(messages));
    }
    for (size_t i = 0; i < json_array_size(messages); i++) {
        json_t *m             = json_array_get(messages, i);
        const json_t *content = json_object_get(m, "content"), *role = json_object_get(m, "role");
        if (!json_is_string(role)) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "messages[%zu]: \"role\" is %s, expected a string", i,
                           tw_json_type_name(role));
        }
        if (!says_nothing(json_object_get(m, "tool_calls"))) {
            return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "messages[%zu]: \"tool_calls\" is not supported", i);
        }
        if (json_is_array(content)) {
            TW_TRY(join_parts(m, content, err));
        } else if (content != NULL && !json_is_string(content) && !json_is_null(content)) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "messages[%zu]: \"content\" is %s, expected a string", i,
                           tw_json_type_name(content));
        }
    }
    return TRAWL_OK;
}

/* A text, ids, or a list of either. */
static trawl_status read_prompts(struct tw_serve_body *b, struct trawl_error *err)
{
    json_t *p = json_object_get(b->json, "prompt");
    bool list = json_is_array(p) && !json_is_integer(json_array_get(p, 0));
    if (p == NULL || !(json_is_string(p) || json_is_array(p)) ||
        (json_is_array(p) && json_array_size(p) == 0)) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "\"prompt\" is %s, expected a text, token ids, or a list of them",
                       json_is_array(p) ? "empty" : tw_json_type_name(p));
    }
    b->prompts = list ? json_incref(p) : json_pack("[O]", p);
    if (b->prompts == NULL) {
        return tw_fail(err, TRAWL_ERR_NOMEM, "out of memory");
    }
    if (json_array_size(b->prompts) > TW_SERVE_N_MAX) {
        return tw_fail(err, TRAWL_ERR_INVALID, "\"prompt\" has %zu prompts, expected at most %d",
                       json_array_size(b->prompts), TW_SERVE_N_MAX);
    }
    for (size_t i = 0; i < json_array_size(b->prompts); i++) {
        const json_t *one = json_array_get(b->prompts, i);
        if (!json_is_string(one) && !json_is_array(one)) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "\"prompt\"[%zu] is %s, expected a text or token ids", i,
                           tw_json_type_name(one));
        }
    }
    return TRAWL_OK;
}

static trawl_status read_prompt(struct tw_serve_body *b, struct trawl_error *err)
{
    if (b->kind == TW_SERVE_COMPLETION) {
        return read_prompts(b, err);
    }
    b->messages = json_object_get(b->json, "messages");
    return tw_serve_messages(b->messages, err);
}

/* ---- all of it ---- */

static trawl_status check_together(struct tw_serve_body *b, struct trawl_error *err)
{
    struct trawl_request *q = &b->request;
    if (b->echo && b->kind == TW_SERVE_CHAT) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "\"echo\" is of completions, not of chats");
    }
    if (q->best_of > 1) {
        q->num_return_sequences = b->n;
        if (b->stream) {
            return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                           "\"best_of\" cannot be streamed: which answer is the best is known at the end");
        }
    }
    if (q->min_tokens > q->max_tokens && b->has_max_tokens) {
        return tw_fail(err, TRAWL_ERR_INVALID, "\"min_tokens\" is %zu, expected at most \"max_tokens\", %zu",
                       q->min_tokens, q->max_tokens);
    }
    return TRAWL_OK;
}

static trawl_status read_body(struct tw_serve_body *b, struct trawl_error *err)
{
    int64_t n = 1;
    if (!json_is_object(b->json)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "the body is %s, expected an object",
                       tw_json_type_name(b->json));
    }
    TW_TRY(refuse_unsupported(b->json, err));
    TW_TRY(tw_json_get_string(b->json, "model", WHAT, &b->model, err));
    TW_TRY(get_count(b->json, "n", 1, TW_SERVE_N_MAX, &n, err));
    b->n = (size_t)n;
    TW_TRY(read_length(b, err));
    TW_TRY(read_sampling(b, err));
    TW_TRY(read_logprobs(b, err));
    TW_TRY(read_stop(b, err));
    TW_TRY(read_stream(b, err));
    TW_TRY(read_flags(b, err));
    TW_TRY(read_constraint(b, err));
    TW_TRY(read_prompt(b, err));
    return check_together(b, err);
}

trawl_status tw_serve_body_parse(struct tw_serve_body *b, enum tw_serve_kind kind, const char *text, size_t n,
                                 struct trawl_error *err)
{
    *b = (struct tw_serve_body){.kind = kind};
    trawl_request_init(&b->request);
    TW_TRY(tw_json_parse(text, n, WHAT, &b->json, err));
    return read_body(b, err);
}

void tw_serve_body_release(struct tw_serve_body *b)
{
    tw_ask_lists_release(&b->lists);
    tw_ask_stop_free(b->stop, b->n_stop);
    tw_free(b->stop_ids);
    tw_free(b->constraint);
    json_decref(b->prompts);
    json_decref(b->json);
    *b = (struct tw_serve_body){0};
}
