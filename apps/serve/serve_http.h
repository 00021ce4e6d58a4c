/* SPDX-License-Identifier: MIT */
/* Replies, and who may ask. The event loop's thread only. */
#ifndef TW_SERVE_HTTP_H
#define TW_SERVE_HTTP_H

#include "apps/serve/serve_int.h"

/* Status codes that are not in evhttp's list. */
enum {
    TW_HTTP_UNAUTHORIZED     = 401,
    TW_HTTP_FORBIDDEN        = 403,
    TW_HTTP_TOO_MANY         = 429,
    TW_HTTP_CLIENT_GONE      = 499, /* nginx's number, for the metrics */
    TW_HTTP_UNAVAILABLE      = 503,
    TW_HTTP_RETRY_AFTER_SECS = 1
};

/* Send `body` (taken from; "" allowed) and be done with the request. */
void tw_serve_reply(struct tw_server *s, struct evhttp_request *http, int code, const char *type,
                    const struct tw_str *body);
/* {"error": {"message", "type", "param", "code"}}; `name` is OpenAI's code, NULL: none. */
void tw_serve_reply_error(struct tw_server *s, struct evhttp_request *http, int code, const char *name,
                          const char *message);
/* The same by a status: 400 for what the client did wrong, 500 for the rest. */
void tw_serve_reply_failure(struct tw_server *s, struct evhttp_request *http, const struct trawl_error *why);
/* That object, without what is around it. */
void tw_serve_write_error(struct tw_str *out, int code, const char *name, const char *message);

/* The head of a stream of events. */
void tw_serve_reply_stream(struct tw_server *s, struct evhttp_request *http);

/* Tell when the client goes away before its reply is complete: evhttp does not look while it waits for a reply.
 * After `gone` the request belongs to the caller, and is released by tw_serve_drop. */
typedef void tw_serve_gone_fn(struct evhttp_connection *connection, void *user);
void tw_serve_watch(struct tw_server *s, struct evhttp_request *http, tw_serve_gone_fn *gone, void *user);
void tw_serve_drop(struct tw_server *s, struct evhttp_request *http);
/* No more telling: the last word is being sent. */
void tw_serve_unwatch(struct tw_server *s, struct evhttp_request *http);

/* May this page, and whoever has this key, ask? Else it has been answered. */
bool tw_serve_allow_origin(struct tw_server *s, struct evhttp_request *http);
bool tw_serve_allow_key(struct tw_server *s, struct evhttp_request *http);
void tw_serve_reply_preflight(struct tw_server *s, struct evhttp_request *http);

#endif /* TW_SERVE_HTTP_H */
