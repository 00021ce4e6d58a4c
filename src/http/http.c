/* SPDX-License-Identifier: MIT */
#include "http/http.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/size.h"
#include "http/http_int.h"
#include "trawl/version.h"

enum { DEFAULT_CONNECT_MS = 15000, DEFAULT_STALL_S = 60, DEFAULT_BODY = 1 << 20 };

/* ---- clients ---- */

static uint64_t system_unix_ms(void *user)
{
    struct timespec t;
    (void)user;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void system_sleep_ms(void *user, uint64_t ms)
{
    struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000L};
    (void)user;
    (void)nanosleep(&t, NULL); /* an early end by a signal: the caller looks at the cancel flag anyway */
}

/* As the curl command does. */
static const char *certificates(void)
{
    const char *bundle = getenv("CURL_CA_BUNDLE"), *file = getenv("SSL_CERT_FILE");
    return bundle != NULL && bundle[0] != '\0' ? bundle : file != NULL && file[0] != '\0' ? file : NULL;
}

static trawl_status client_init(struct tw_http_client *c, const struct tw_http_config *config,
                                struct trawl_error *err)
{
    const char *agent = config->user_agent == NULL ? "trawl/" TRAWL_VERSION : config->user_agent;
    c->connect_ms     = config->connect_ms == 0 ? DEFAULT_CONNECT_MS : config->connect_ms;
    c->stall_s        = config->stall_s == 0 ? DEFAULT_STALL_S : config->stall_s;
    c->retry          = config->retry;
    c->clock          = config->clock;
    c->cancelled      = config->cancelled;
    c->log            = config->log;
    c->random         = tw_clock_ns() | 1;
    if (c->clock.unix_ms == NULL) {
        c->clock = (struct tw_http_clock){system_unix_ms, system_sleep_ms, NULL};
    }
    tw_str_init(&c->line, 0);
    TW_TRY(tw_strdup(agent, &c->user_agent, err));
    const char *ca_file = config->ca_file != NULL ? config->ca_file : certificates();
    if (ca_file != NULL) {
        TW_TRY(tw_strdup(ca_file, &c->ca_file, err));
    }
    c->curl = curl_easy_init();
    return c->curl == NULL ? tw_fail(err, TRAWL_ERR_NOMEM, "libcurl gave no handle") : TRAWL_OK;
}

/* libcurl counts its users, but only since 7.84 from several threads at once. This lock is the one thing here that is
 * not a client's own. */
static pthread_mutex_t curl_users = PTHREAD_MUTEX_INITIALIZER;

static bool start_curl(void)
{
    (void)pthread_mutex_lock(&curl_users);
    bool started = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    (void)pthread_mutex_unlock(&curl_users);
    return started;
}

static void stop_curl(void)
{
    (void)pthread_mutex_lock(&curl_users);
    curl_global_cleanup();
    (void)pthread_mutex_unlock(&curl_users);
}

trawl_status tw_http_client_new(const struct tw_http_config *config, struct tw_http_client **out,
                                struct trawl_error *err)
{
    struct tw_http_client *c;
    *out = NULL;
    if (!start_curl()) {
        return tw_fail(err, TRAWL_ERR_IO, "libcurl could not be started");
    }
    trawl_status status = tw_alloc(1, sizeof *c, &c, err);
    if (status != TRAWL_OK) {
        stop_curl();
        return status;
    }
    status = client_init(c, config, err);
    if (status != TRAWL_OK) {
        tw_http_client_free(c);
        return status;
    }
    *out = c;
    return TRAWL_OK;
}

void tw_http_client_free(struct tw_http_client *client)
{
    if (client == NULL) {
        return;
    }
    curl_easy_cleanup(client->curl);
    curl_slist_free_all(client->list);
    stop_curl();
    tw_str_release(&client->line);
    tw_free(client->user_agent);
    tw_free(client->ca_file);
    tw_free(client);
}

uint64_t tw_http_unix_ms(const struct tw_http_client *client)
{
    return client->clock.unix_ms(client->clock.user);
}

bool tw_http_is_cancelled(const struct tw_http_client *client)
{
    return client->cancelled != NULL && atomic_load(client->cancelled);
}

/* ---- one attempt ---- */

struct attempt {
    struct tw_http_client *client;
    const struct tw_http_request *request;
    struct tw_http_response *response;
    int fd;              /* of request->file, else -1 */
    uint64_t sent;       /* bytes of the body */
    bool begun;          /* the sink knows where the body belongs */
    trawl_status status; /* of what failed on our side */
    struct trawl_error error;
};

static bool is_2xx(const struct attempt *a)
{
    return a->response->status >= 200 && a->response->status < 300;
}

static bool goes_to_sink(const struct attempt *a)
{
    return a->request->sink != NULL && a->request->method != TW_HTTP_HEAD && is_2xx(a);
}

static size_t on_header(char *line, size_t size, size_t n, void *user)
{
    struct attempt *a = user;
    if (!tw_http_head_line(a->response, line, size * n)) {
        a->status = tw_fail(&a->error, TRAWL_ERR_LIMIT, "%s: more headers than an answer has",
                            tw_str_text(&a->response->shown));
        return 0;
    }
    return size * n;
}

static trawl_status begin_sink(struct attempt *a)
{
    struct tw_http_sink *sink = a->request->sink;
    uint64_t offset           = 0;
    if (a->response->status == 206 && (!tw_http_range_begin(a->response, &offset) || offset != sink->have)) {
        return tw_fail(&a->error, TRAWL_ERR_FORMAT, "%s: asked for byte %llu and later, got another range",
                       tw_str_text(&a->response->shown), (unsigned long long)sink->have);
    }
    a->begun   = true;
    sink->have = offset;
    return sink->begin == NULL ? TRAWL_OK : sink->begin(sink->user, offset, a->response, &a->error);
}

static trawl_status to_sink(struct attempt *a, const void *data, size_t n)
{
    struct tw_http_sink *sink = a->request->sink;
    if (!a->begun) {
        TW_TRY(begin_sink(a));
    }
    TW_TRY(sink->write(sink->user, data, n, &a->error));
    sink->have += n;
    return TRAWL_OK;
}

static trawl_status keep_body(struct attempt *a, const void *data, size_t n)
{
    struct tw_str *body = &a->response->body;
    size_t limit        = a->request->body_limit == 0 ? DEFAULT_BODY : a->request->body_limit;
    if (n > limit - body->size) {
        if (is_2xx(a)) {
            return tw_fail(&a->error, TRAWL_ERR_LIMIT, "%s: answered with more than %zu bytes",
                           tw_str_text(&a->response->shown), limit);
        }
        n = limit - body->size; /* enough to say what is wrong */
    }
    return tw_str_append(body, data, n, &a->error);
}

static size_t on_body(char *data, size_t size, size_t n, void *user)
{
    struct attempt *a = user;
    a->status         = goes_to_sink(a) ? to_sink(a, data, size * n) : keep_body(a, data, size * n);
    return a->status == TRAWL_OK ? size * n : 0;
}

static size_t read_file(struct attempt *a, char *out, size_t room)
{
    const struct tw_http_request *r = a->request;
    ssize_t got                     = pread(a->fd, out, room, (off_t)(r->file_offset + a->sent));
    if (got < 0) {
        a->status = tw_fail_os(&a->error, errno, "%s: reading", r->file);
        return CURL_READFUNC_ABORT;
    }
    if (got == 0) {
        a->status = tw_fail(&a->error, TRAWL_ERR_IO, "%s: ended at byte %llu, expected %llu", r->file,
                            (unsigned long long)(r->file_offset + a->sent),
                            (unsigned long long)(r->file_offset + r->body_size));
        return CURL_READFUNC_ABORT;
    }
    return (size_t)got;
}

static size_t on_read(char *out, size_t size, size_t n, void *user)
{
    struct attempt *a = user;
    size_t room       = size * n;
    if (room > a->request->body_size - a->sent) {
        room = (size_t)(a->request->body_size - a->sent);
    }
    if (room == 0) {
        return 0;
    }
    if (a->fd >= 0) {
        size_t got = read_file(a, out, room);
        a->sent += got == CURL_READFUNC_ABORT ? 0 : got;
        return got;
    }
    memcpy(out, (const char *)a->request->body + a->sent, room);
    a->sent += room;
    return room;
}

/* A connection that was kept turned out to be dead: the body is sent again. */
static int on_seek(void *user, curl_off_t offset, int origin)
{
    struct attempt *a = user;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > a->request->body_size) {
        return CURL_SEEKFUNC_FAIL;
    }
    a->sent = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

static int on_progress(void *user, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
    struct attempt *a = user;
    (void)down_total;
    (void)down;
    (void)up_total;
    (void)up;
    return tw_http_is_cancelled(a->client);
}

static trawl_status add_header(struct tw_http_client *c, const char *name, const char *value,
                               struct trawl_error *err)
{
    if (strpbrk(name, "\r\n:") != NULL || strpbrk(value, "\r\n") != NULL) {
        return tw_fail(err, TRAWL_ERR_INVALID, "header %.40s holds a line end", name);
    }
    tw_str_reset(&c->line);
    TW_TRY(tw_str_printf(&c->line, err, value[0] == '\0' ? "%s;" : "%s: %s", name, value));
    struct curl_slist *list = curl_slist_append(c->list, tw_str_text(&c->line));
    if (list == NULL) {
        return tw_fail(err, TRAWL_ERR_NOMEM, "headers of a request");
    }
    c->list = list;
    return TRAWL_OK;
}

static bool is_secret(const char *name)
{
    return strcasecmp(name, "authorization") == 0 || strcasecmp(name, "cookie") == 0 ||
           strcasecmp(name, "x-amz-security-token") == 0 || strcasecmp(name, "proxy-authorization") == 0;
}

static trawl_status add_range(struct attempt *a, struct trawl_error *err)
{
    const struct tw_http_sink *sink = a->request->sink;
    char text[48];
    if (sink == NULL || sink->have == 0) {
        return TRAWL_OK;
    }
    (void)snprintf(text, sizeof text, "bytes=%llu-", (unsigned long long)sink->have);
    TW_TRY(add_header(a->client, "Range", text, err));
    return sink->etag == NULL ? TRAWL_OK : add_header(a->client, "If-Range", sink->etag, err);
}

static trawl_status add_headers(struct attempt *a, const struct tw_http_target *target,
                                struct trawl_error *err)
{
    const struct tw_http_request *r = a->request;
    struct tw_http_client *c        = a->client;
    curl_slist_free_all(c->list);
    c->list = NULL;
    for (size_t i = 0; i < r->n_headers; i++) {
        if (!target->foreign || !is_secret(r->headers[i].name)) {
            TW_TRY(add_header(c, r->headers[i].name, r->headers[i].value, err));
        }
    }
    if (r->bearer != NULL && !target->foreign) {
        struct tw_str value;
        tw_str_init(&value, 0);
        trawl_status status = tw_str_printf(&value, err, "Bearer %s", r->bearer);
        if (status == TRAWL_OK) {
            status = add_header(c, "Authorization", tw_str_text(&value), err);
        }
        tw_str_release(&value);
        TW_TRY(status);
    }
    struct curl_slist *list = curl_slist_append(c->list, "Expect:"); /* no pause for a 100 Continue */
    if (list == NULL) {
        return tw_fail(err, TRAWL_ERR_NOMEM, "headers of a request");
    }
    c->list = list;
    return add_range(a, err);
}

static const char *method_name(enum tw_http_method method)
{
    switch (method) {
    case TW_HTTP_GET: return "GET";
    case TW_HTTP_HEAD: return "HEAD";
    case TW_HTTP_PUT: return "PUT";
    case TW_HTTP_POST: return "POST";
    case TW_HTTP_DELETE: return "DELETE";
    }
    return "GET";
}

static void set_body(struct attempt *a)
{
    CURL *curl               = a->client->curl;
    enum tw_http_method verb = a->request->method;
    if (verb == TW_HTTP_HEAD) {
        (void)curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    } else if (verb == TW_HTTP_PUT || verb == TW_HTTP_POST) {
        (void)curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        (void)curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)a->request->body_size);
        (void)curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_read);
        (void)curl_easy_setopt(curl, CURLOPT_READDATA, a);
        (void)curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_seek);
        (void)curl_easy_setopt(curl, CURLOPT_SEEKDATA, a);
    }
    if (verb != TW_HTTP_HEAD) {
        (void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method_name(verb));
    }
}

/* The options below fail only without memory, which the transfer then meets again and reports. */
static void set_options(struct attempt *a, const char *url)
{
    struct tw_http_client *c        = a->client;
    const struct tw_http_request *r = a->request;
    CURL *curl                      = c->curl;
    curl_easy_reset(curl); /* keeps connections */
    c->reason[0] = '\0';
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
#if LIBCURL_VERSION_NUM >= 0x075500
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_USERAGENT, c->user_agent);
    (void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, c->reason);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, c->list);
    (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                           (long)(r->connect_ms == 0 ? c->connect_ms : r->connect_ms));
    (void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)(r->stall_s == 0 ? c->stall_s : r->stall_s));
    (void)curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    (void)curl_easy_setopt(curl, CURLOPT_XFERINFODATA, a);
    (void)curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(curl, CURLOPT_HEADERDATA, a);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, a);
    if (c->ca_file != NULL) {
        (void)curl_easy_setopt(curl, CURLOPT_CAINFO, c->ca_file);
    }
    set_body(a);
}

/* What no second attempt can change. */
static bool is_final(CURLcode code)
{
    return code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT || code == CURLE_OUT_OF_MEMORY ||
           code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
           code == CURLE_SSL_CERTPROBLEM || code == CURLE_FAILED_INIT || code == CURLE_NOT_BUILT_IN;
}

static enum tw_http_end judge(struct attempt *a, CURLcode code, struct trawl_error *err)
{
    struct tw_http_response *response = a->response;
    if (a->status == TRAWL_OK && code == CURLE_OK && goes_to_sink(a) && !a->begun) {
        a->status = begin_sink(a); /* an empty body */
    }
    if (a->status != TRAWL_OK) {
        if (err != NULL) {
            *err = a->error;
        }
        return TW_HTTP_FINAL;
    }
    if (code == CURLE_OK) {
        return TW_HTTP_ANSWERED;
    }
    response->status = 0;
    if (tw_http_is_cancelled(a->client)) {
        (void)tw_fail(err, TRAWL_ERR_CANCELLED, "%s: stopped on request", tw_str_text(&response->shown));
        return TW_HTTP_FINAL;
    }
    (void)tw_fail(err, TRAWL_ERR_IO, "%s: %s", tw_str_text(&response->shown),
                  a->client->reason[0] != '\0' ? a->client->reason : curl_easy_strerror(code));
    return is_final(code) ? TW_HTTP_FINAL : TW_HTTP_PASSING;
}

static trawl_status prepare(struct attempt *a, const struct tw_http_target *target, struct trawl_error *err)
{
    struct tw_http_response *response = a->response;
    response->status                  = 0;
    tw_str_reset(&response->head);
    tw_str_reset(&response->body);
    tw_str_reset(&response->shown);
    tw_str_reset(&response->url);
    TW_TRY(tw_str_puts(&response->url, target->url, err));
    TW_TRY(tw_http_show(&response->shown, target->url, err));
    TW_TRY(add_headers(a, target, err));
    if (a->request->file != NULL) {
        a->fd = open(a->request->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO is not waited for */
        if (a->fd < 0) {
            return tw_fail_os(err, errno, "%s", a->request->file);
        }
    }
    set_options(a, target->url);
    return TRAWL_OK;
}

enum tw_http_end tw_http_attempt(struct tw_http_client *client, const struct tw_http_request *request,
                                 const struct tw_http_target *target, struct tw_http_response *response,
                                 struct trawl_error *err)
{
    struct attempt a     = {.client = client, .request = request, .response = response, .fd = -1};
    enum tw_http_end end = TW_HTTP_FINAL;
    if (prepare(&a, target, err) == TRAWL_OK) {
        end = judge(&a, curl_easy_perform(client->curl), err);
    }
    if (a.fd >= 0) {
        (void)close(a.fd);
    }
    return end;
}
