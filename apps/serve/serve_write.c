/* SPDX-License-Identifier: MIT */
#include "apps/serve/serve_write.h"

#include <math.h>

#include "apps/serve/serve_http.h"
#include "base/utf8.h"

/* ---- tokens and log-probabilities ---- */

/* Clients read a number: what no probability is left for has the one that vLLM uses. */
static void put_logprob(struct tw_json_writer *w, float logprob)
{
    tw_json_float(w, isfinite(logprob) ? logprob : -9999.0F);
}

/* The text of a token; one whose bytes are no text by themselves as OpenAI writes it: "bytes:\xe2\x80". */
static trawl_status token_text(struct tw_str *out, const struct tw_server *s, int32_t token)
{
    size_t n          = 0;
    const char *bytes = tw_tokenizer_piece(s->tokenizer, token, &n);
    if (n == 0) {
        return TRAWL_OK; /* an id without a token */
    }
    if (tw_utf8_valid(bytes, n)) {
        return tw_str_append(out, bytes, n, NULL);
    }
    TW_TRY(tw_str_puts(out, "bytes:", NULL));
    for (size_t i = 0; i < n; i++) {
        TW_TRY(tw_str_printf(out, NULL, "\\x%02x", (unsigned char)bytes[i]));
    }
    return TRAWL_OK;
}

static void put_token(struct tw_json_writer *w, const struct tw_server *s, int32_t token, bool is_key)
{
    struct tw_str text;
    tw_str_init(&text, 0);
    if (token_text(&text, s, token) != TRAWL_OK) {
        w->status = w->status == TRAWL_OK ? tw_fail(&w->error, TRAWL_ERR_NOMEM, "out of memory") : w->status;
    } else if (is_key) {
        tw_json_key(w, tw_str_text(&text));
    } else {
        tw_json_string_n(w, tw_str_text(&text), text.size);
    }
    tw_str_release(&text);
}

static void put_chat_token(struct tw_json_writer *w, const struct tw_server *s, int32_t token, float logprob)
{
    size_t n          = 0;
    const char *bytes = tw_tokenizer_piece(s->tokenizer, token, &n);
    tw_json_key(w, "token");
    put_token(w, s, token, false);
    tw_json_key(w, "logprob");
    put_logprob(w, logprob);
    tw_json_key(w, "bytes");
    tw_json_begin_array(w);
    for (size_t i = 0; i < n; i++) {
        tw_json_int(w, (unsigned char)bytes[i]);
    }
    tw_json_end_array(w);
}

/* {"content": [{"token", "logprob", "bytes", "top_logprobs": [...]}]} */
static void put_chat_logprobs(struct tw_json_writer *w, const struct tw_server *s,
                              const struct tw_serve_output *o)
{
    tw_json_begin_object(w);
    tw_json_key(w, "content");
    tw_json_begin_array(w);
    for (size_t i = 0; i < o->n; i++) {
        tw_json_begin_object(w);
        put_chat_token(w, s, o->tokens[i], o->logprobs[i]);
        tw_json_key(w, "top_logprobs");
        tw_json_begin_array(w);
        for (size_t k = 0; k < o->n_top; k++) {
            const struct trawl_top_logprob *top = &o->top[i * o->n_top + k];
            if (top->token >= 0) {
                tw_json_begin_object(w);
                put_chat_token(w, s, top->token, top->logprob);
                tw_json_end_object(w);
            }
        }
        tw_json_end_array(w);
        tw_json_end_object(w);
    }
    tw_json_end_array(w);
    tw_json_key(w, "refusal");
    tw_json_null(w);
    tw_json_end_object(w);
}

/* The most probable ones and, if it is not among them, the one that was chosen. */
static void put_top_object(struct tw_json_writer *w, const struct tw_server *s,
                           const struct tw_serve_output *o, size_t i)
{
    bool found = false;
    tw_json_begin_object(w);
    for (size_t k = 0; k < o->n_top; k++) {
        const struct trawl_top_logprob *top = &o->top[i * o->n_top + k];
        if (top->token >= 0) {
            found = found || top->token == o->tokens[i];
            put_token(w, s, top->token, true);
            put_logprob(w, top->logprob);
        }
    }
    if (!found) {
        put_token(w, s, o->tokens[i], true);
        put_logprob(w, o->logprobs[i]);
    }
    tw_json_end_object(w);
}

/* {"text_offset", "token_logprobs", "tokens", "top_logprobs"} */
static void put_completion_logprobs(struct tw_json_writer *w, const struct tw_server *s,
                                    const struct tw_serve_piece *p)
{
    const struct tw_serve_output *o = p->output;
    tw_json_begin_object(w);
    tw_json_key(w, "text_offset");
    tw_json_begin_array(w);
    for (size_t i = 0; i < o->n; i++) {
        tw_json_int(w, (int64_t)p->offsets[i]);
    }
    tw_json_end_array(w);
    tw_json_key(w, "token_logprobs");
    tw_json_begin_array(w);
    for (size_t i = 0; i < o->n; i++) {
        if (isnan(o->logprobs[i])) { /* of an echo's first token */
            tw_json_null(w);
        } else {
            put_logprob(w, o->logprobs[i]);
        }
    }
    tw_json_end_array(w);
    tw_json_key(w, "tokens");
    tw_json_begin_array(w);
    for (size_t i = 0; i < o->n; i++) {
        put_token(w, s, o->tokens[i], false);
    }
    tw_json_end_array(w);
    tw_json_key(w, "top_logprobs");
    if (o->n_top == 0) {
        tw_json_null(w);
    } else {
        tw_json_begin_array(w);
        for (size_t i = 0; i < o->n; i++) {
            if (isnan(o->logprobs[i])) {
                tw_json_null(w);
            } else {
                put_top_object(w, s, o, i);
            }
        }
        tw_json_end_array(w);
    }
    tw_json_end_object(w);
}

static void put_logprobs(struct tw_json_writer *w, const struct tw_serve_call *call,
                         const struct tw_serve_piece *p)
{
    tw_json_key(w, "logprobs");
    if (!call->body.logprobs || (p->output->n == 0 && call->body.stream)) {
        tw_json_null(w);
    } else if (call->body.kind == TW_SERVE_CHAT) {
        put_chat_logprobs(w, call->server, p->output);
    } else {
        put_completion_logprobs(w, call->server, p);
    }
}

/* ---- what is around them ---- */

static void put_text(struct tw_json_writer *w, const char *key, const struct tw_serve_piece *p)
{
    tw_json_key(w, key);
    tw_json_string_n(w, p->text, p->n_text);
}

static void put_finish(struct tw_json_writer *w, const struct tw_serve_piece *p)
{
    tw_json_key(w, "finish_reason");
    if (p->finish == NULL) {
        tw_json_null(w);
    } else {
        tw_json_string(w, p->finish);
    }
}

static void put_head(struct tw_json_writer *w, const struct tw_serve_call *call)
{
    static const char *const objects[2][2] = {{"chat.completion", "chat.completion.chunk"},
                                              {"text_completion", "text_completion"}};
    tw_json_begin_object(w);
    tw_json_key(w, "id");
    tw_json_string(w, call->id);
    tw_json_key(w, "object");
    tw_json_string(w, objects[call->body.kind == TW_SERVE_COMPLETION][call->body.stream]);
    tw_json_key(w, "created");
    tw_json_int(w, call->created);
    tw_json_key(w, "model");
    tw_json_string(w, call->server->config->model_name);
    tw_json_key(w, "system_fingerprint");
    tw_json_string(w, call->server->fingerprint);
    tw_json_key(w, "seed");
    tw_json_int(w, (int64_t)call->seed);
    tw_json_key(w, "choices");
    tw_json_begin_array(w);
}

static void put_usage(struct tw_json_writer *w, const struct tw_serve_call *call)
{
    tw_json_key(w, "usage");
    tw_json_begin_object(w);
    tw_json_key(w, "prompt_tokens");
    tw_json_int(w, (int64_t)call->prompt_tokens);
    tw_json_key(w, "completion_tokens");
    tw_json_int(w, (int64_t)call->completion_tokens);
    tw_json_key(w, "total_tokens");
    tw_json_int(w, (int64_t)(call->prompt_tokens + call->completion_tokens));
    tw_json_end_object(w);
}

/* ---- whole replies ---- */

void tw_serve_write_begin(struct tw_json_writer *w, const struct tw_serve_call *call)
{
    put_head(w, call);
}

void tw_serve_write_choice(struct tw_json_writer *w, const struct tw_serve_call *call,
                           const struct tw_serve_piece *p)
{
    tw_json_begin_object(w);
    tw_json_key(w, "index");
    tw_json_int(w, (int64_t)p->index);
    if (call->body.kind == TW_SERVE_CHAT) {
        tw_json_key(w, "message");
        tw_json_begin_object(w);
        tw_json_key(w, "role");
        tw_json_string(w, "assistant");
        put_text(w, "content", p);
        tw_json_key(w, "refusal");
        tw_json_null(w);
        tw_json_end_object(w);
    } else {
        put_text(w, "text", p);
    }
    put_logprobs(w, call, p);
    put_finish(w, p);
    tw_json_end_object(w);
}

void tw_serve_write_end(struct tw_json_writer *w, const struct tw_serve_call *call)
{
    tw_json_end_array(w);
    put_usage(w, call);
    tw_json_end_object(w);
}

/* ---- events ---- */

static trawl_status begin_event(struct tw_json_writer *w, struct tw_str *out, struct trawl_error *err)
{
    tw_json_writer_init(w, out, 0);
    return tw_str_puts(out, "data: ", err);
}

static trawl_status end_event(struct tw_json_writer *w, struct trawl_error *err)
{
    TW_TRY(tw_json_writer_finish(w, err));
    return tw_str_puts(w->out, "\n\n", err);
}

static void put_delta(struct tw_json_writer *w, const struct tw_serve_piece *p)
{
    tw_json_key(w, "delta");
    tw_json_begin_object(w);
    if (p->first) {
        tw_json_key(w, "role");
        tw_json_string(w, "assistant");
    }
    if (p->first || p->n_text > 0) {
        put_text(w, "content", p);
    }
    tw_json_end_object(w);
}

trawl_status tw_serve_write_event(struct tw_str *out, const struct tw_serve_call *call,
                                  const struct tw_serve_piece *p, struct trawl_error *err)
{
    struct tw_json_writer w;
    TW_TRY(begin_event(&w, out, err));
    put_head(&w, call);
    tw_json_begin_object(&w);
    tw_json_key(&w, "index");
    tw_json_int(&w, (int64_t)p->index);
    if (call->body.kind == TW_SERVE_CHAT) {
        put_delta(&w, p);
    } else {
        put_text(&w, "text", p);
    }
    put_logprobs(&w, call, p);
    put_finish(&w, p);
    tw_json_end_object(&w);
    tw_json_end_array(&w);
    if (call->body.include_usage) {
        tw_json_key(&w, "usage");
        tw_json_null(&w);
    }
    tw_json_end_object(&w);
    return end_event(&w, err);
}

trawl_status tw_serve_write_usage_event(struct tw_str *out, const struct tw_serve_call *call,
                                        struct trawl_error *err)
{
    struct tw_json_writer w;
    TW_TRY(begin_event(&w, out, err));
    put_head(&w, call);
    tw_serve_write_end(&w, call);
    return end_event(&w, err);
}

trawl_status tw_serve_write_error_event(struct tw_str *out, int code, const char *message,
                                        struct trawl_error *err)
{
    TW_TRY(tw_str_puts(out, "data: ", err));
    tw_serve_write_error(out, code, NULL, message);
    return tw_str_puts(out, "\n\n", err);
}

trawl_status tw_serve_write_done_event(struct tw_str *out, struct trawl_error *err)
{
    return tw_str_puts(out, "data: [DONE]\n\n", err);
}
