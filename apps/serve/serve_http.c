/* SPDX-License-Identifier: MIT */
#include "apps/serve/serve_http.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/keyvalq_struct.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

enum { PIPELINED_BYTES_MAX = 65536 };

/* ---- replies ---- */

static void add_header(struct evhttp_request *http, const char *name, const char *value)
{
    (void)evhttp_add_header(evhttp_request_get_output_headers(http), name, value);
}

static void add_cors(const struct tw_server *s, struct evhttp_request *http)
{
    const char *origin = s->config->cors_origin;
    if (origin != NULL) {
        add_header(http, "Access-Control-Allow-Origin", origin);
        if (strcmp(origin, "*") != 0) {
            add_header(http, "Vary", "Origin");
        }
    }
}

void tw_serve_reply(struct tw_server *s, struct evhttp_request *http, int code, const char *type,
                    const struct tw_str *body)
{
    struct evbuffer *out = evhttp_request_get_output_buffer(http);
    add_cors(s, http);
    add_header(http, "Content-Type", type);
    add_header(http, "X-Content-Type-Options", "nosniff");
    if (s->stopping) {
        add_header(http, "Connection", "close");
    }
    s->metrics.replies[code]++;
    (void)evbuffer_add(out, tw_str_text(body), body->size);
    evhttp_send_reply(http, code, NULL, NULL); /* the phrase is evhttp's, the body is in the buffer */
}

static const char *type_of(int code)
{
    switch (code) {
    case TW_HTTP_UNAUTHORIZED: return "authentication_error";
    case TW_HTTP_FORBIDDEN: return "permission_error";
    case HTTP_NOTFOUND: return "not_found_error";
    case TW_HTTP_TOO_MANY: return "rate_limit_error";
    default: return code >= 500 ? "server_error" : "invalid_request_error";
    }
}

void tw_serve_write_error(struct tw_str *out, int code, const char *name, const char *message)
{
    struct tw_json_writer w;
    tw_json_writer_init(&w, out, 0);
    tw_json_begin_object(&w);
    tw_json_key(&w, "error");
    tw_json_begin_object(&w);
    tw_json_key(&w, "message");
    tw_json_string(&w, message);
    tw_json_key(&w, "type");
    tw_json_string(&w, type_of(code));
    tw_json_key(&w, "param");
    tw_json_null(&w);
    tw_json_key(&w, "code");
    if (name == NULL) {
        tw_json_null(&w);
    } else {
        tw_json_string(&w, name);
    }
    tw_json_end_object(&w);
    tw_json_end_object(&w);
    if (tw_json_writer_finish(&w, NULL) != TRAWL_OK) {
        tw_str_reset(out); /* no memory: the status has to say it */
    }
}

void tw_serve_reply_error(struct tw_server *s, struct evhttp_request *http, int code, const char *name,
                          const char *message)
{
    struct tw_str body;
    char seconds[16];
    tw_str_init(&body, 0);
    tw_serve_write_error(&body, code, name, message);
    if (code == TW_HTTP_TOO_MANY || code == TW_HTTP_UNAVAILABLE) {
        (void)snprintf(seconds, sizeof seconds, "%d", TW_HTTP_RETRY_AFTER_SECS);
        add_header(http, "Retry-After", seconds);
    }
    if (code == TW_HTTP_UNAUTHORIZED) {
        add_header(http, "WWW-Authenticate", "Bearer");
    }
    tw_serve_reply(s, http, code, "application/json", &body);
    tw_str_release(&body);
}

void tw_serve_reply_failure(struct tw_server *s, struct evhttp_request *http, const struct trawl_error *why)
{
    bool theirs = why->status == TRAWL_ERR_INVALID || why->status == TRAWL_ERR_FORMAT ||
                  why->status == TRAWL_ERR_UNSUPPORTED || why->status == TRAWL_ERR_LIMIT;
    tw_serve_reply_error(s, http, theirs ? HTTP_BADREQUEST : HTTP_INTERNAL, NULL, why->message);
}

void tw_serve_reply_stream(struct tw_server *s, struct evhttp_request *http)
{
    add_cors(s, http);
    add_header(http, "Content-Type", "text/event-stream; charset=utf-8");
    add_header(http, "Cache-Control", "no-cache");
    add_header(http, "X-Accel-Buffering", "no"); /* nginx would collect the events */
    s->metrics.replies[HTTP_OK]++;
    evhttp_send_reply_start(http, HTTP_OK, NULL);
}

/* ---- clients that go away ---- */

static struct timeval seconds_of(double seconds)
{
    struct timeval t = {.tv_sec = (time_t)seconds};
    t.tv_usec        = (suseconds_t)((seconds - (double)t.tv_sec) * 1e6);
    return t;
}

/* The reply is on its way: the next request of the connection is read by evhttp's own rules again. */
static void on_complete(struct evhttp_request *http, void *user)
{
    struct tw_server *s         = user;
    struct timeval t            = seconds_of(s->config->client_timeout);
    struct evhttp_connection *c = evhttp_request_get_connection(http);
    struct bufferevent *b       = evhttp_connection_get_bufferevent(c);
    s->n_open--;
    evhttp_connection_set_closecb(c, NULL, NULL);
    bufferevent_setwatermark(b, EV_READ, 0, 0);
    (void)bufferevent_set_timeouts(b, &t, &t);
}

/* evhttp stops reading until it has a reply, so it would not see the other end close; and it ends the process should
 * bytes of a next request reach its read callback meanwhile. So: read, but nobody is called for what comes, a bounded
 * amount of which waits for its turn. Waiting for an answer is no silence of the client: only writing has a deadline. */
void tw_serve_watch(struct tw_server *s, struct evhttp_request *http, tw_serve_gone_fn *gone, void *user)
{
    struct timeval t            = seconds_of(s->config->client_timeout);
    struct evhttp_connection *c = evhttp_request_get_connection(http);
    struct bufferevent *b       = evhttp_connection_get_bufferevent(c);
    bufferevent_data_cb read_cb = NULL, write_cb = NULL;
    bufferevent_event_cb event_cb = NULL;
    void *arg                     = NULL;
    bufferevent_getcb(b, &read_cb, &write_cb, &event_cb, &arg);
    bufferevent_setcb(b, NULL, write_cb, event_cb, arg);
    bufferevent_setwatermark(b, EV_READ, 0, PIPELINED_BYTES_MAX);
    (void)bufferevent_set_timeouts(b, NULL, &t);
    (void)bufferevent_enable(b, EV_READ);
    evhttp_request_set_on_complete_cb(http, on_complete, s);
    evhttp_connection_set_closecb(c, gone, user);
    s->n_open++;
}

/* With the last word unsent. */
static void on_lost(struct evhttp_connection *connection, void *user)
{
    struct tw_server *s = user;
    (void)connection;
    s->n_open--;
}

void tw_serve_unwatch(struct tw_server *s, struct evhttp_request *http)
{
    evhttp_connection_set_closecb(evhttp_request_get_connection(http), on_lost, s);
}

/* evhttp has taken the request from its connection, and forgotten it: nobody else frees it. */
void tw_serve_drop(struct tw_server *s, struct evhttp_request *http)
{
    s->n_open--;
    if (evhttp_request_get_connection(http) == NULL) {
        evhttp_request_free(http);
    }
}

/* ---- who may ask ---- */

static const char *header_of(struct evhttp_request *http, const char *name)
{
    return evhttp_find_header(evhttp_request_get_input_headers(http), name);
}

/* Is this a name that only we have? A page of another's could make its own name lead here, and be taken for ours; where
 * there is a key, it still has none. */
static bool is_own_name(const struct tw_server *s, const char *host)
{
    char name[256];
    unsigned char address[16];
    const char *colon = host[0] == '[' ? NULL : strrchr(host, ':');
    size_t n          = colon == NULL ? strlen(host) : (size_t)(colon - host);
    if (s->config->api_key != NULL || host[0] == '[') {
        return true;
    }
    if (n >= sizeof name) {
        return false;
    }
    memcpy(name, host, n);
    name[n] = '\0';
    return strcasecmp(name, "localhost") == 0 || strcasecmp(name, s->config->host) == 0 ||
           evutil_inet_pton(AF_INET, name, address) == 1;
}

/* Browsers say whose page asks. Ours, and those that were allowed; any other could use a server on the user's own
 * machine without the user's knowing. */
bool tw_serve_allow_origin(struct tw_server *s, struct evhttp_request *http)
{
    const char *origin = header_of(http, "Origin"), *host = header_of(http, "Host");
    const char *allowed = s->config->cors_origin;
    if (origin == NULL ||
        (allowed != NULL && (strcmp(allowed, "*") == 0 || strcasecmp(allowed, origin) == 0))) {
        return true;
    }
    const char *name = strstr(origin, "://");
    if (name != NULL && host != NULL && strcasecmp(name + 3, host) == 0 && is_own_name(s, host)) {
        return true;
    }
    tw_serve_reply_error(
        s, http, TW_HTTP_FORBIDDEN, "origin_not_allowed",
        "pages of this origin may not ask: start the server with --cors_origin to allow them");
    return false;
}

/* Takes as long whatever the difference is. */
static bool same_text(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    unsigned char differ = n != m;
    for (size_t i = 0; i < m; i++) {
        differ |= (unsigned char)(a[n == 0 ? 0 : i % n] ^ b[i]);
    }
    return differ == 0;
}

bool tw_serve_allow_key(struct tw_server *s, struct evhttp_request *http)
{
    static const char bearer[] = "Bearer ";
    const char *key            = header_of(http, "Authorization");
    if (s->config->api_key == NULL) {
        return true;
    }
    if (key != NULL && strncasecmp(key, bearer, sizeof bearer - 1) == 0 &&
        same_text(s->config->api_key, key + sizeof bearer - 1)) {
        return true;
    }
    tw_serve_reply_error(s, http, TW_HTTP_UNAUTHORIZED, "invalid_api_key",
                         key == NULL ? "an API key is needed: Authorization: Bearer KEY"
                                     : "the API key is wrong");
    return false;
}

void tw_serve_reply_preflight(struct tw_server *s, struct evhttp_request *http)
{
    struct tw_str none;
    tw_str_init(&none, 0);
    if (s->config->cors_origin != NULL) {
        add_header(http, "Access-Control-Allow-Methods", "GET, POST, OPTIONS");
        add_header(http, "Access-Control-Allow-Headers", "Authorization, Content-Type");
        add_header(http, "Access-Control-Max-Age", "600");
    }
    tw_serve_reply(s, http, HTTP_NOCONTENT, "text/plain", &none);
}
