/* SPDX-License-Identifier: MIT */
/* Streams: server-sent events, each with what is new of an answer. One piece of a stream is on its way at a time; what
 * comes meanwhile waits as tokens, so a slow client costs a few bytes for each. */
#include <event2/buffer.h>

#include "apps/serve/serve_http.h"
#include "apps/serve/serve_tell.h"
#include "apps/serve/serve_write.h"

static bool has_ended(const struct tw_serve_call *call)
{
    for (size_t i = 0; i < call->n_answers; i++) {
        if (!call->answers[i].ended) {
            return false;
        }
    }
    return true;
}

/* What is new of an answer, if it is something to tell: a token may be half a character, or the beginning of a stop
 * text. */
static trawl_status put_answer(struct tw_serve_answer *a, struct tw_str *out, struct trawl_error *err)
{
    struct tw_serve_piece piece;
    bool done = tw_serve_is_done(a->call->server, a);
    TW_TRY(tw_serve_tell_more(a, done, &piece, err));
    if (piece.n_text == 0 && piece.finish == NULL && !(a->call->body.logprobs && piece.output->n > 0)) {
        return TRAWL_OK;
    }
    a->begun = true;
    a->ended = done;
    return tw_serve_write_event(out, a->call, &piece, err);
}

static trawl_status put_new(struct tw_serve_call *call, struct tw_str *out, struct trawl_error *err)
{
    for (size_t i = 0; i < call->n_answers; i++) {
        if (!call->answers[i].ended) {
            TW_TRY(put_answer(&call->answers[i], out, err));
        }
    }
    if (!has_ended(call)) {
        return TRAWL_OK;
    }
    if (call->body.include_usage) {
        TW_TRY(tw_serve_write_usage_event(out, call, err));
    }
    return tw_serve_write_done_event(out, err);
}

static void on_sent(struct evhttp_connection *connection, void *user)
{
    struct tw_serve_call *call = user;
    (void)connection;
    call->sending = false;
    tw_serve_stream(call);
}

static void send_events(struct tw_serve_call *call, const struct tw_str *text, bool last)
{
    struct evbuffer *out = evbuffer_new();
    if (out == NULL || evbuffer_add(out, text->data, text->size) != 0) {
        last = true; /* no memory: the client sees that the end is missing */
    }
    if (!call->streaming) {
        tw_serve_reply_stream(call->server, call->http);
        call->streaming = true;
    }
    call->sending = !last;
    if (out != NULL) {
        evhttp_send_reply_chunk_with_cb(call->http, out, last ? NULL : on_sent, call);
        evbuffer_free(out);
    }
    if (last) {
        struct evhttp_request *http = call->http;
        tw_serve_unwatch(call->server, http);
        evhttp_send_reply_end(http);
    }
}

void tw_serve_stream_fail(struct tw_serve_call *call, int code, const char *message)
{
    struct tw_str text;
    tw_str_init(&text, 0);
    if (tw_serve_write_error_event(&text, code, message, NULL) == TRAWL_OK &&
        tw_serve_write_done_event(&text, NULL) == TRAWL_OK) {
        send_events(call, &text, true);
    } else {
        evhttp_send_reply_end(call->http);
    }
    tw_str_release(&text);
}

void tw_serve_stream(struct tw_serve_call *call)
{
    struct tw_str text;
    struct trawl_error err = {0};
    if (call->sending) {
        return;
    }
    tw_str_init(&text, 0);
    if (put_new(call, &text, &err) != TRAWL_OK) {
        tw_serve_unwatch(call->server, call->http);
        tw_serve_stream_fail(call, HTTP_INTERNAL, err.message);
        tw_serve_call_leave(call);
    } else if (text.size > 0) {
        bool last = has_ended(call);
        send_events(call, &text, last);
        if (last) {
            tw_serve_call_leave(call);
        }
    }
    tw_str_release(&text);
}
