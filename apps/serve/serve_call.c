/* SPDX-License-Identifier: MIT */
/* A call's way from the body to the reply. */
#include <math.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include <event2/buffer.h>

#include "apps/serve/serve_http.h"
#include "apps/serve/serve_tell.h"
#include "apps/serve/serve_text.h"
#include "apps/serve/serve_write.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/size.h"

enum { SEED_BITS = 53 }; /* what a client's JSON can hold */

/* ---- prompts ---- */

static trawl_status encode_prompt(struct tw_server *s, const struct tw_serve_body *b, const json_t *prompt,
                                  struct tw_ids *ids, struct trawl_error *err)
{
    struct tw_encode_options option = {.add_special_tokens = b->add_special_tokens};
    if (json_is_array(prompt)) {
        TW_TRY(tw_ask_ids(prompt, "prompt", &ids->data, &ids->size, err));
        ids->capacity = ids->size;
        return TRAWL_OK;
    }
    return tw_encode(s->encoder, json_string_value(prompt), json_string_length(prompt), &option, ids, err);
}

static trawl_status encode(struct tw_serve_call *call, struct trawl_error *err)
{
    struct tw_serve_body *b = &call->body;
    size_t n                = b->kind == TW_SERVE_CHAT ? 1 : json_array_size(b->prompts);
    TW_TRY(tw_alloc(n, sizeof *call->prompts, &call->prompts, err));
    call->n_prompts = n;
    for (size_t i = 0; i < n; i++) {
        TW_TRY(b->kind == TW_SERVE_CHAT
                   ? tw_serve_encode_messages(
                         call->server, b->messages, b->add_generation_prompt, b->add_special_tokens,
                         json_object_get(b->json, "chat_template_kwargs"), &call->prompts[i], err)
                   : encode_prompt(call->server, b, json_array_get(b->prompts, i), &call->prompts[i], err));
        size_t context = call->server->info.context, size = call->prompts[i].size;
        if (size == 0) {
            return tw_fail(err, TRAWL_ERR_INVALID, "the prompt is empty, expected at least one token");
        }
        if (size >= context && !(b->request.max_tokens == 0 && b->has_max_tokens)) {
            return tw_fail(err, TRAWL_ERR_LIMIT,
                           "the prompt has %zu tokens, but the context of the model is %zu", size, context);
        }
        call->prompt_tokens += size;
    }
    return TRAWL_OK;
}

/* ---- answers ---- */

/* Filled in as the prompt is computed. Nothing comes before its first token, which so has no log-probability. */
static trawl_status init_echo(struct tw_serve_answer *a, const struct tw_ids *prompt, size_t n_top,
                              struct trawl_error *err)
{
    struct tw_serve_output *e = &a->echo;
    size_t n = prompt->size, n_all = 0;
    if (!tw_size_mul(n, n_top, &n_all)) {
        return tw_fail(err, TRAWL_ERR_NOMEM, "%zu log-probabilities of %zu tokens", n_top, n);
    }
    TW_TRY(tw_alloc(n, sizeof *e->tokens, &e->tokens, err));
    TW_TRY(tw_alloc(n, sizeof *e->logprobs, &e->logprobs, err));
    TW_TRY(tw_alloc(n_all, sizeof *e->top, &e->top, err));
    memcpy(e->tokens, prompt->data, n * sizeof *e->tokens);
    for (size_t i = 0; i < n_all; i++) {
        e->top[i].token = -1;
    }
    e->logprobs[0] = NAN;
    e->n           = n;
    e->n_top       = n_top;
    return TRAWL_OK;
}

static trawl_status init_answer(struct tw_serve_call *call, size_t prompt, size_t n_outputs,
                                struct trawl_error *err)
{
    struct tw_serve_body *b   = &call->body;
    struct tw_serve_answer *a = &call->answers[call->n_answers];
    a->call                   = call;
    a->prompt                 = prompt;
    a->index                  = call->n_answers * n_outputs;
    tw_answer_text_init(&a->heard, call->server->tokenizer, (const char *const *)b->stop, b->n_stop);
    tw_answer_text_init(&a->told, call->server->tokenizer, (const char *const *)b->stop, b->n_stop);
    a->told.detokenizer.skip_special  = b->skip_special_tokens;
    a->heard.detokenizer.skip_special = b->skip_special_tokens;
    call->n_answers++;
    TW_TRY(tw_alloc(n_outputs, sizeof *a->outputs, &a->outputs, err));
    a->n_outputs        = n_outputs;
    a->outputs[0].n_top = b->stream ? b->request.top_logprobs : 0;
    return b->echo && b->logprobs ? init_echo(a, &call->prompts[prompt], b->request.top_logprobs, err)
                                  : TRAWL_OK;
}

/* `n` answers of a prompt are requests of their own, whose seeds follow each other; with best_of they are one. */
static trawl_status make_answers(struct tw_serve_call *call, struct trawl_error *err)
{
    const struct tw_serve_body *b = &call->body;
    bool together                 = b->request.best_of > 1;
    size_t each = together ? 1 : b->n, outputs = together ? b->n : 1,
           most = call->server->config->max_requests;
    if (each * call->n_prompts > most) {
        return tw_fail(err, TRAWL_ERR_INVALID, "the request wants %zu answers, the server has room for %zu",
                       each * call->n_prompts, most);
    }
    TW_TRY(tw_alloc(each * call->n_prompts, sizeof *call->answers, &call->answers, err));
    for (size_t i = 0; i < each * call->n_prompts; i++) {
        TW_TRY(init_answer(call, i / each, outputs, err));
    }
    return TRAWL_OK;
}

static trawl_status submit(struct tw_serve_call *call, struct trawl_error *err)
{
    const struct tw_serve_body *b = &call->body;
    for (; call->n_submitted < call->n_answers; call->n_submitted++) {
        struct tw_serve_answer *a = &call->answers[call->n_submitted];
        struct trawl_request q    = b->request;
        q.prompt                  = call->prompts[a->prompt].data;
        q.n_prompt                = call->prompts[a->prompt].size;
        q.max_tokens  = b->has_max_tokens ? q.max_tokens : call->server->info.context - q.n_prompt;
        q.has_seed    = true;
        q.seed        = call->seed + (b->request.best_of > 1 ? 0 : call->n_submitted % b->n);
        q.want_logits = a->echo.n > 0;
        TW_TRY(tw_serve_job_submit(call->server, a, &q, err));
    }
    return TRAWL_OK;
}

/* ---- the life of a call ---- */

static void link_call(struct tw_serve_call *call)
{
    struct tw_server *s = call->server;
    call->next          = s->calls;
    if (s->calls != NULL) {
        s->calls->previous = call;
    }
    s->calls = call;
}

static void unlink_call(struct tw_serve_call *call)
{
    struct tw_serve_call **at = call->previous == NULL ? &call->server->calls : &call->previous->next;
    *at                       = call->next;
    if (call->next != NULL) {
        call->next->previous = call->previous;
    }
}

static void free_call(struct tw_serve_call *call)
{
    for (size_t i = 0; i < call->n_answers; i++) {
        struct tw_serve_answer *a = &call->answers[i];
        for (size_t k = 0; k < a->n_outputs; k++) {
            tw_serve_output_release(&a->outputs[k]);
        }
        tw_serve_output_release(&a->echo);
        tw_free(a->outputs);
        tw_free(a->error);
        tw_answer_text_release(&a->heard);
        tw_answer_text_release(&a->told);
    }
    for (size_t i = 0; i < call->n_prompts; i++) {
        tw_ids_release(&call->prompts[i]);
    }
    tw_free(call->answers);
    tw_free(call->prompts);
    tw_serve_body_release(&call->body);
    tw_free(call);
}

static void cancel_call(struct tw_serve_call *call)
{
    for (size_t i = 0; i < call->n_submitted; i++) {
        if (!call->answers[i].counted) {
            TW_BUG_ON(trawl_job_cancel_request(call->server->job, call->answers[i].place, NULL) != TRAWL_OK);
        }
    }
}

/* The job still has what was submitted and is not done. */
static void free_if_done(struct tw_serve_call *call)
{
    if (call->n_done == call->n_submitted) {
        unlink_call(call);
        free_call(call);
    }
}

void tw_serve_call_leave(struct tw_serve_call *call)
{
    call->http = NULL;
    cancel_call(call);
    free_if_done(call);
}

static void on_gone(struct evhttp_connection *connection, void *user)
{
    struct tw_serve_call *call  = user;
    struct evhttp_request *http = call->http;
    (void)connection;
    call->server->metrics.replies[TW_HTTP_CLIENT_GONE]++;
    tw_serve_drop(call->server, http);
    tw_serve_call_leave(call);
}

static void make_id(struct tw_serve_call *call)
{
    uint64_t random[2] = {0, 0};
    if (getrandom(random, sizeof random, 0) != sizeof random) {
        random[0] = tw_clock_ns(); /* names only have to differ */
        random[1] = call->server->n_places;
    }
    (void)snprintf(call->id, sizeof call->id, "%s-%016llx",
                   call->body.kind == TW_SERVE_CHAT ? "chatcmpl" : "cmpl", (unsigned long long)random[0]);
    call->seed =
        call->body.request.has_seed ? call->body.request.seed : random[1] & (((uint64_t)1 << SEED_BITS) - 1);
}

/* Everything that can be wrong with a call by itself. */
static trawl_status prepare(struct tw_serve_call *call, struct evhttp_request *http, enum tw_serve_kind kind,
                            struct trawl_error *err)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(http);
    size_t n            = evbuffer_get_length(in);
    const char *text    = n == 0 ? "" : (const char *)evbuffer_pullup(in, -1);
    if (text == NULL) {
        return tw_fail(err, TRAWL_ERR_NOMEM, "no memory for a body of %zu bytes", n);
    }
    TW_TRY(tw_serve_body_parse(&call->body, kind, text, n, err));
    (void)evbuffer_drain(in, n);
    TW_TRY(encode(call, err));
    return make_answers(call, err);
}

static bool is_known_model(struct tw_server *s, struct evhttp_request *http, const char *model)
{
    char message[600];
    if (model == NULL || strcmp(model, s->config->model_name) == 0) {
        return true;
    }
    (void)snprintf(message, sizeof message, "the model \"%.200s\" is not served here, \"%.200s\" is", model,
                   s->config->model_name);
    tw_serve_reply_error(s, http, HTTP_NOTFOUND, "model_not_found", message);
    return false;
}

static bool has_room(struct tw_server *s, struct evhttp_request *http, size_t n)
{
    if (s->n_live + n <= s->config->max_requests) {
        return true;
    }
    tw_serve_reply_error(
        s, http, TW_HTTP_TOO_MANY, "rate_limit_exceeded",
        "the server is busy: as many requests wait as may (--max_concurrent_requests); try again");
    return false;
}

/* False: it has been answered. */
static bool make_call(struct tw_server *s, struct evhttp_request *http, enum tw_serve_kind kind,
                      struct tw_serve_call *call)
{
    struct trawl_error err = {0};
    trawl_status status    = prepare(call, http, kind, &err);
    if (call->body.model != NULL && !is_known_model(s, http, call->body.model)) {
        return false;
    }
    if (status == TRAWL_ERR_LIMIT) {
        tw_serve_reply_error(s, http, HTTP_BADREQUEST, "context_length_exceeded", err.message);
        return false;
    }
    if (status != TRAWL_OK) {
        tw_serve_reply_failure(s, http, &err);
        return false;
    }
    return has_room(s, http, call->n_answers);
}

void tw_serve_call_begin(struct tw_server *s, struct evhttp_request *http, enum tw_serve_kind kind)
{
    struct tw_serve_call *call = NULL;
    struct trawl_error err     = {0};
    if (!has_room(s, http, 1)) { /* before any work */
        return;
    }
    if (tw_alloc(1, sizeof *call, &call, &err) != TRAWL_OK) {
        tw_serve_reply_failure(s, http, &err);
        return;
    }
    call->server   = s;
    call->since_ns = tw_clock_ns();
    call->created  = (int64_t)time(NULL);
    if (!make_call(s, http, kind, call)) {
        free_call(call);
        return;
    }
    make_id(call);
    link_call(call);
    call->http = http;
    if (submit(call, &err) != TRAWL_OK) {
        tw_serve_reply_failure(s, http, &err);
        tw_serve_call_leave(call);
        return;
    }
    tw_serve_watch(s, http, on_gone, call);
}

void tw_serve_calls_cancel(struct tw_server *s)
{
    for (struct tw_serve_call *call = s->calls; call != NULL; call = call->next) {
        cancel_call(call);
    }
}

void tw_serve_calls_free(struct tw_server *s)
{
    while (s->calls != NULL) {
        struct tw_serve_call *call = s->calls;
        unlink_call(call);
        free_call(call);
    }
}

/* ---- replies ---- */

/* Sends an error, if nothing has been sent, or as the last event. */
static void fail_call(struct tw_serve_call *call, int code, const char *message)
{
    struct evhttp_request *http = call->http;
    tw_serve_unwatch(call->server, http);
    if (call->streaming) {
        tw_serve_stream_fail(call, code, message);
    } else {
        tw_serve_reply_error(call->server, http, code, NULL, message);
    }
    tw_serve_call_leave(call);
}

void tw_serve_calls_abandon(struct tw_server *s, const struct trawl_error *why)
{
    for (struct tw_serve_call *call = s->calls, *next; call != NULL; call = next) {
        next = call->next;
        if (call->http != NULL) {
            fail_call(call, HTTP_INTERNAL, why->message);
        }
    }
}

static trawl_status write_answer(struct tw_json_writer *w, struct tw_serve_answer *a, struct trawl_error *err)
{
    for (size_t i = 0; i < a->n_outputs; i++) {
        struct tw_serve_piece piece;
        TW_TRY(tw_serve_tell_whole(a, i, &piece, err));
        tw_serve_write_choice(w, a->call, &piece);
    }
    return TRAWL_OK;
}

static trawl_status write_reply(struct tw_serve_call *call, struct tw_str *out, struct trawl_error *err)
{
    struct tw_json_writer w;
    tw_json_writer_init(&w, out, 0);
    tw_serve_write_begin(&w, call);
    for (size_t i = 0; i < call->n_answers; i++) {
        TW_TRY(write_answer(&w, &call->answers[i], err));
    }
    tw_serve_write_end(&w, call);
    return tw_json_writer_finish(&w, err);
}

static void reply(struct tw_serve_call *call)
{
    struct tw_str out;
    struct trawl_error err = {0};
    tw_str_init(&out, 0);
    if (write_reply(call, &out, &err) != TRAWL_OK) {
        fail_call(call, HTTP_INTERNAL, err.message);
    } else {
        tw_serve_unwatch(call->server, call->http);
        tw_serve_reply(call->server, call->http, HTTP_OK, "application/json", &out);
        tw_serve_call_leave(call);
    }
    tw_str_release(&out);
}

/* ---- what is heard of answers ---- */

static void count(struct tw_serve_answer *a)
{
    struct tw_serve_call *call = a->call;
    struct tw_serve_metrics *m = &call->server->metrics;
    uint64_t now               = tw_clock_ns();
    a->counted                 = true;
    enum trawl_finish_reason how =
        a->error != NULL || a->no_memory ? TRAWL_FINISH_ERROR : a->outputs[0].finish;
    m->answers[how]++;
    for (size_t i = 0; i < a->n_outputs; i++) {
        call->completion_tokens += a->outputs[i].n;
    }
    call->n_done++;
    call->server->n_live--;
    if (a->first_token_ns != 0) {
        tw_serve_observe(&m->first_token, (double)(a->first_token_ns - call->since_ns) * 1e-9);
    }
    if (call->n_done == call->n_answers) {
        tw_serve_observe(&m->whole, (double)(now - call->since_ns) * 1e-9);
    }
}

/* An answer that did not begin in time, or because the server stops, is none. */
static const char *why_none(const struct tw_serve_call *call, const struct tw_serve_answer *a, int *code)
{
    *code = HTTP_BADREQUEST;
    if (a->no_memory) {
        *code = HTTP_INTERNAL;
        return "no memory for the answer";
    }
    if (a->error != NULL) {
        return a->error;
    }
    *code = TW_HTTP_UNAVAILABLE;
    if (a->outputs[0].n == 0 && a->outputs[0].finish == TRAWL_FINISH_TIMEOUT) {
        return "the answer had not begun when its time was over";
    }
    if (a->outputs[0].finish == TRAWL_FINISH_CANCELLED && !call->streaming) {
        return "the server is stopping";
    }
    return NULL;
}

void tw_serve_call_heard(struct tw_serve_answer *a)
{
    struct tw_serve_call *call = a->call;
    bool done                  = tw_serve_is_done(call->server, a);
    int code                   = 0;
    if (done && !a->counted) {
        count(a);
    }
    if (call->http == NULL) {
        free_if_done(call);
        return;
    }
    const char *why = done ? why_none(call, a, &code) : NULL;
    if (why != NULL) {
        fail_call(call, code, why);
    } else if (call->body.stream) {
        tw_serve_stream(call);
    } else if (call->n_done == call->n_answers) {
        reply(call);
    }
}
