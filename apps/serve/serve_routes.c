/* SPDX-License-Identifier: MIT */
/* Who answers what. */
#include <string.h>

#include <event2/buffer.h>

#include "apps/serve/serve_http.h"
#include "apps/serve/serve_page.h"
#include "apps/serve/serve_text.h"

struct route {
    const char *path;
    bool open; /* needs no API key */
    void (*get)(struct tw_server *s, struct evhttp_request *http);
    void (*post)(struct tw_server *s, struct evhttp_request *http);
};

/* ---- GET ---- */

static void get_page(struct tw_server *s, struct evhttp_request *http)
{
    struct tw_str body     = {.data = NULL};
    struct trawl_error err = {0};
    tw_str_init(&body, 0);
    if (tw_str_append(&body, tw_serve_page, tw_serve_page_bytes, &err) != TRAWL_OK) {
        tw_serve_reply_failure(s, http, &err);
    } else {
        (void)evhttp_add_header(evhttp_request_get_output_headers(http), "Content-Security-Policy",
                                "default-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
                                "img-src 'self' data: blob:; connect-src 'self'; frame-ancestors 'none'");
        tw_serve_reply(s, http, HTTP_OK, "text/html; charset=utf-8", &body);
    }
    tw_str_release(&body);
}

static void get_health(struct tw_server *s, struct evhttp_request *http)
{
    struct tw_str body;
    tw_str_init(&body, 0);
    if (s->stopping) {
        tw_serve_reply_error(s, http, TW_HTTP_UNAVAILABLE, NULL, "the server is stopping");
    } else if (tw_str_puts(&body, "{\"status\": \"ok\"}", NULL) == TRAWL_OK) {
        tw_serve_reply(s, http, HTTP_OK, "application/json", &body);
    } else {
        tw_serve_reply_error(s, http, HTTP_INTERNAL, NULL, "out of memory");
    }
    tw_str_release(&body);
}

static void get_metrics(struct tw_server *s, struct evhttp_request *http)
{
    struct tw_str body;
    struct trawl_job_stats stats;
    struct trawl_error err = {0};
    tw_str_init(&body, 0);
    trawl_job_stats(s->job, &stats);
    if (tw_serve_metrics_write(&s->metrics, &stats, &body, &err) == TRAWL_OK) {
        tw_serve_reply(s, http, HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", &body);
    } else {
        tw_serve_reply_failure(s, http, &err);
    }
    tw_str_release(&body);
}

static void put_model(struct tw_json_writer *w, const struct tw_server *s)
{
    tw_json_begin_object(w);
    tw_json_key(w, "id");
    tw_json_string(w, s->config->model_name);
    tw_json_key(w, "object");
    tw_json_string(w, "model");
    tw_json_key(w, "created");
    tw_json_int(w, s->started);
    tw_json_key(w, "owned_by");
    tw_json_string(w, "trawl");
    tw_json_key(w, "max_model_len");
    tw_json_int(w, (int64_t)s->info.context);
    tw_json_key(w, "system_fingerprint");
    tw_json_string(w, s->fingerprint);
    tw_json_end_object(w);
}

static void send_json(struct tw_server *s, struct evhttp_request *http, struct tw_json_writer *w)
{
    struct trawl_error err = {0};
    if (tw_json_writer_finish(w, &err) == TRAWL_OK) {
        tw_serve_reply(s, http, HTTP_OK, "application/json", w->out);
    } else {
        tw_serve_reply_failure(s, http, &err);
    }
}

static void get_models(struct tw_server *s, struct evhttp_request *http)
{
    struct tw_str body;
    struct tw_json_writer w;
    tw_str_init(&body, 0);
    tw_json_writer_init(&w, &body, 0);
    tw_json_begin_object(&w);
    tw_json_key(&w, "object");
    tw_json_string(&w, "list");
    tw_json_key(&w, "data");
    tw_json_begin_array(&w);
    put_model(&w, s);
    tw_json_end_array(&w);
    tw_json_end_object(&w);
    send_json(s, http, &w);
    tw_str_release(&body);
}

static int digit_of(char c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at             = c == '\0' ? NULL : strchr(digits, c);
    return at == NULL ? -1 : (int)(at - digits) % 16;
}

/* Is this end of a path, where %20 stands for a space, the name? */
static bool is_name(const char *path, const char *name)
{
    for (; *path != '\0'; path++, name++) {
        char c = *path;
        if (c == '%' && digit_of(path[1]) >= 0 && digit_of(path[2]) >= 0) {
            c = (char)(digit_of(path[1]) * 16 + digit_of(path[2]));
            path += 2;
        }
        if (c != *name || *name == '\0') {
            return false;
        }
    }
    return *name == '\0';
}

/* A model's name may hold slashes: all that follows is the name. */
static void get_model(struct tw_server *s, struct evhttp_request *http, const char *name)
{
    struct tw_str body;
    struct tw_json_writer w;
    if (!is_name(name, s->config->model_name)) {
        tw_serve_reply_error(s, http, HTTP_NOTFOUND, "model_not_found",
                             "there is no such model; see /v1/models");
        return;
    }
    tw_str_init(&body, 0);
    tw_json_writer_init(&w, &body, 0);
    put_model(&w, s);
    send_json(s, http, &w);
    tw_str_release(&body);
}

/* ---- POST ---- */

static void post_chat(struct tw_server *s, struct evhttp_request *http)
{
    tw_serve_call_begin(s, http, TW_SERVE_CHAT);
}

static void post_completion(struct tw_server *s, struct evhttp_request *http)
{
    tw_serve_call_begin(s, http, TW_SERVE_COMPLETION);
}

/* ---- all of them ---- */

static const struct route routes[] = {
    {"/", true, get_page, NULL},
    {"/index.html", true, get_page, NULL},
    {"/health", true, get_health, NULL},
    {"/metrics", true, get_metrics, NULL},
    {"/v1/models", false, get_models, NULL},
    {"/v1/chat/completions", false, NULL, post_chat},
    {"/v1/completions", false, NULL, post_completion},
    {"/tokenize", false, NULL, tw_serve_tokenize},
    {"/detokenize", false, NULL, tw_serve_detokenize},
};

static void refuse_method(struct tw_server *s, struct evhttp_request *http, const char *allowed)
{
    char message[64];
    (void)evhttp_add_header(evhttp_request_get_output_headers(http), "Allow", allowed);
    (void)snprintf(message, sizeof message, "this takes %s", allowed);
    tw_serve_reply_error(s, http, HTTP_BADMETHOD, NULL, message);
}

static void answer_route(struct tw_server *s, struct evhttp_request *http, const struct route *route)
{
    enum evhttp_cmd_type method = evhttp_request_get_command(http);
    bool gets                   = method == EVHTTP_REQ_GET || method == EVHTTP_REQ_HEAD;
    if (method == EVHTTP_REQ_OPTIONS) {
        tw_serve_reply_preflight(s, http);
    } else if (!(gets && route->get != NULL) && !(method == EVHTTP_REQ_POST && route->post != NULL)) {
        refuse_method(s, http, route->get != NULL ? "GET" : "POST");
    } else if (!route->open && !tw_serve_allow_key(s, http)) {
        return; /* it has been told */
    } else if (gets) {
        route->get(s, http);
    } else if (s->stopping) {
        tw_serve_reply_error(s, http, TW_HTTP_UNAVAILABLE, NULL, "the server is stopping");
    } else {
        route->post(s, http);
    }
}

void tw_serve_route(struct evhttp_request *http, void *user)
{
    static const char model[] = "/v1/models/";
    struct tw_server *s       = user;
    const char *path          = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(http));
    path                      = path == NULL || path[0] == '\0' ? "/" : path;
    if (!tw_serve_allow_origin(s, http)) {
        return;
    }
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (strcmp(path, routes[i].path) == 0) {
            answer_route(s, http, &routes[i]);
            return;
        }
    }
    if (strncmp(path, model, sizeof model - 1) == 0) {
        if (evhttp_request_get_command(http) != EVHTTP_REQ_GET) {
            refuse_method(s, http, "GET");
        } else if (tw_serve_allow_key(s, http)) {
            get_model(s, http, path + sizeof model - 1);
        }
        return;
    }
    tw_serve_reply_error(
        s, http, HTTP_NOTFOUND, NULL,
        "there is nothing here: /v1/chat/completions, /v1/completions, /v1/models, /tokenize, "
        "/detokenize, /health, /metrics");
}
