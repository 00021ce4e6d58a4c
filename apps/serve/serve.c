/* SPDX-License-Identifier: MIT */
#include "apps/serve/serve.h"

#include <errno.h>
#include <event2/listener.h>
#include <netdb.h>
#include <stdlib.h>
#include <time.h>

#include "apps/serve/serve_http.h"
#include "base/alloc.h"
#include "base/clock.h"

enum { TICK_MS = 100, HEADERS_MAX = 65536, BACKLOG = 1024 };

/* ---- the loop's other events ---- */

/* Out of descriptors: clients wait in the system's queue until the next tick. */
static void on_accept_failed(struct evconnlistener *listener, void *user)
{
    (void)user;
    (void)evconnlistener_disable(listener);
}

static void begin_to_stop(struct tw_server *s)
{
    s->stopping = true;
    s->stop_ns  = tw_clock_ns() + (uint64_t)(s->config->grace * 1e9);
    (void)evconnlistener_disable(s->listener);
}

static void on_tick(evutil_socket_t fd, short what, void *user)
{
    struct tw_server *s = user;
    (void)fd;
    (void)what;
    if (!s->stopping) {
        (void)evconnlistener_enable(s->listener);
        if (s->config->stopping(s->config->user)) {
            begin_to_stop(s);
        }
    }
    bool late = s->stopping && tw_clock_ns() >= s->stop_ns;
    if (late && s->calls != NULL) {
        tw_serve_calls_cancel(s);
    }
    if (s->stopping && (s->calls == NULL || s->broken) && (s->n_open == 0 || late)) {
        (void)event_base_loopbreak(s->base);
    }
}

/* The job never ends before it is told to, unless something breaks. */
static void on_wake(evutil_socket_t fd, short what, void *user)
{
    struct tw_server *s = user;
    (void)fd;
    (void)what;
    if (!tw_serve_inbox_hear(s, tw_serve_call_heard) && !s->broken) {
        s->broken = true;
        begin_to_stop(s);
        tw_serve_calls_abandon(s, &s->inbox.error);
    }
}

/* ---- opening ---- */

static trawl_status listen_at(struct tw_server *s, const struct addrinfo *list, struct trawl_error *err)
{
    const unsigned flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE;
    int code             = 0;
    for (const struct addrinfo *a = list; a != NULL && s->listener == NULL; a = a->ai_next) {
        s->listener =
            evconnlistener_new_bind(s->base, NULL, NULL, flags, BACKLOG, a->ai_addr, (int)a->ai_addrlen);
        code = errno;
    }
    if (s->listener == NULL) {
        return tw_fail_os(err, code, "cannot listen at %s port %d", s->config->host, s->config->port);
    }
    evconnlistener_set_error_cb(s->listener, on_accept_failed);
    if (evhttp_bind_listener(s->http, s->listener) == NULL) {
        evconnlistener_free(s->listener);
        s->listener = NULL;
        return tw_fail(err, TRAWL_ERR_NOMEM, "no memory for the server");
    }
    return TRAWL_OK;
}

static trawl_status open_listener(struct tw_server *s, struct trawl_error *err)
{
    char port[16];
    struct addrinfo *list = NULL;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    (void)snprintf(port, sizeof port, "%d", s->config->port);
    int code = getaddrinfo(s->config->host, port, &hints, &list);
    if (code != 0) {
        return tw_fail(err, TRAWL_ERR_IO, "host %s: %s", s->config->host, gai_strerror(code));
    }
    trawl_status status = listen_at(s, list, err);
    freeaddrinfo(list);
    return status;
}

/* The port, which the system chose when 0 was asked for. */
static int port_of(const struct tw_server *s)
{
    struct sockaddr_storage address = {0};
    socklen_t n                     = sizeof address;
    char port[16];
    if (getsockname(evconnlistener_get_fd(s->listener), (struct sockaddr *)&address, &n) != 0 ||
        getnameinfo((struct sockaddr *)&address, n, NULL, 0, port, sizeof port, NI_NUMERICSERV) != 0) {
        return s->config->port;
    }
    return (int)strtol(port, NULL, 10);
}

static trawl_status open_http(struct tw_server *s, struct trawl_error *err)
{
    const struct timeval tick = {.tv_usec = TICK_MS * 1000L};
    s->base                   = event_base_new();
    s->http                   = s->base == NULL ? NULL : evhttp_new(s->base);
    if (s->http == NULL) {
        return tw_fail(err, TRAWL_ERR_NOMEM, "no memory for the server");
    }
    evhttp_set_max_headers_size(s->http, HEADERS_MAX);
    evhttp_set_max_body_size(s->http, (ev_ssize_t)s->config->max_body_bytes);
    evhttp_set_allowed_methods(s->http, UINT16_MAX); /* refused here, with a sentence */
    evhttp_set_timeout(s->http, (int)(s->config->client_timeout + 0.999));
    (void)evhttp_set_flags(s->http, EVHTTP_SERVER_LINGERING_CLOSE);
    evhttp_set_gencb(s->http, tw_serve_route, s);
    TW_TRY(open_listener(s, err));
    s->wake = event_new(s->base, s->inbox.fd, EV_READ | EV_PERSIST, on_wake, s);
    s->tick = event_new(s->base, -1, EV_PERSIST, on_tick, s);
    if (s->wake == NULL || s->tick == NULL || event_add(s->wake, NULL) != 0 ||
        event_add(s->tick, &tick) != 0) {
        return tw_fail(err, TRAWL_ERR_NOMEM, "no memory for the server");
    }
    return TRAWL_OK;
}

/* What the bits of an answer depend on, besides the request. */
static void make_fingerprint(struct tw_server *s)
{
    static const char *const names[] = {"bf16", "f32"};
    const struct trawl_model_info *i = &s->info;
    (void)snprintf(s->fingerprint, sizeof s->fingerprint, "trawl-%s-%s-kv%s-%d", i->fingerprint,
                   names[i->dtype == TRAWL_DTYPE_FLOAT32], names[i->kv_dtype == TRAWL_DTYPE_FLOAT32],
                   i->tree_leaves);
}

static trawl_status open_server(struct tw_server *s, struct trawl_error *err)
{
    TW_TRY(tw_serve_inbox_open(s, err));
    trawl_engine_info(s->engine, &s->info);
    make_fingerprint(s);
    TW_TRY(tw_tokenizer_open(s->config->model_path, &s->tokenizer, err));
    TW_TRY(tw_encoder_new(s->tokenizer, &s->encoder, err));
    TW_TRY(tw_serve_job_open(s, err));
    return open_http(s, err);
}

/* Calls that are left have lost their clients. */
static void close_server(struct tw_server *s)
{
    tw_serve_job_close(s);
    tw_serve_calls_free(s);
    if (s->wake != NULL) {
        event_free(s->wake);
    }
    if (s->tick != NULL) {
        event_free(s->tick);
    }
    if (s->http != NULL) {
        evhttp_free(s->http); /* the listener with it */
    }
    if (s->base != NULL) {
        event_base_free(s->base);
    }
    tw_serve_output_release(&s->view);
    tw_free(s->offsets);
    tw_str_release(&s->text);
    tw_encoder_free(s->encoder);
    tw_tokenizer_close(s->tokenizer);
    tw_free(s);
}

trawl_status tw_serve_run(trawl_engine *engine, const struct tw_serve_config *config, struct trawl_error *err)
{
    struct tw_server *s = NULL;
    TW_TRY(tw_alloc(1, sizeof *s, &s, err));
    s->config           = config;
    s->engine           = engine;
    s->inbox.fd         = -1;
    s->started          = (int64_t)time(NULL);
    trawl_status status = open_server(s, err);
    if (status == TRAWL_OK) {
        config->listening(config->user, config->host, port_of(s));
        (void)event_base_dispatch(s->base);
        if (s->broken) {
            status = s->inbox.status; /* its threads have said their last word */
            *err   = s->inbox.error;
        }
    }
    close_server(s);
    return status;
}
