/* SPDX-License-Identifier: MIT */
/* HTTP requests, one at a time, that survive what networks do: timeouts, retries with backoff, redirects that
 * keep secrets at home, downloads that go on where they were cut. libcurl underneath; nobody else includes it.
 *
 *     struct tw_http_request request = {.method = TW_HTTP_GET, .url = url, .bearer = token};
 *     struct tw_http_response response;
 *     tw_http_response_init(&response);
 *     status = tw_http_send(client, &request, &response, err);
 *     if (status == TRAWL_OK && response.status != 200) {
 *         status = tw_http_refused(&response, err);
 *     }
 *     tw_http_response_release(&response);
 *
 * Messages name host and path. Queries, headers and bodies of requests never appear in them: they hold secrets. */
#ifndef TW_HTTP_HTTP_H
#define TW_HTTP_HTTP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "base/str.h"

/* ---- a client ---- */

/* When an attempt failed in a way that another may not: no answer (refused, cut, timed out), or 408, 429, 500,
 * 502, 503, 504. Waits grow by 2 from first_ms to most_ms, each drawn from its upper half; a Retry-After of the
 * server is waited for when it is longer, up to retry_after_ms. */
struct tw_http_retry {
    int attempts;            /* in all; 0: 6, 1: no second one */
    uint64_t first_ms;       /* 0: 500 */
    uint64_t most_ms;        /* 0: 32,000 */
    uint64_t retry_after_ms; /* 0: 120,000 */
};

/* Tests have a clock of their own. */
struct tw_http_clock {
    uint64_t (*unix_ms)(void *user);           /* time of day in milliseconds */
    void (*sleep_ms)(void *user, uint64_t ms); /* called with short pieces, so that a cancel is seen */
    void *user;
};

struct tw_http_config {
    const char *user_agent; /* NULL: "trawl/<version>" */
    const char *ca_file; /* certificates to trust, PEM; NULL: CURL_CA_BUNDLE, SSL_CERT_FILE, the system's */
    uint64_t connect_ms; /* to make a connection; 0: 15,000 */
    uint64_t stall_s;    /* seconds without a byte in either direction; 0: 60 */
    struct tw_http_retry retry; /* zeros: the defaults */
    struct tw_http_clock clock; /* zeros: the system's */
    const atomic_bool
        *cancelled;    /* requests end with TRAWL_ERR_CANCELLED soon after it is set; may be NULL */
    struct tw_log log; /* each retry at TW_LOG_INFO */
};

struct tw_http_client;

/* Proxies come from the environment (https_proxy, no_proxy, ...). Texts of `config` are copied. One thread at a
 * time uses a client; connections are kept between its requests. */
trawl_status tw_http_client_new(const struct tw_http_config *config, struct tw_http_client **out,
                                struct trawl_error *err);
void tw_http_client_free(struct tw_http_client *client); /* NULL is allowed */
/* Time of day of the client's clock, milliseconds. */
uint64_t tw_http_unix_ms(const struct tw_http_client *client);

/* ---- requests ---- */

enum tw_http_method { TW_HTTP_GET, TW_HTTP_HEAD, TW_HTTP_PUT, TW_HTTP_POST, TW_HTTP_DELETE };

struct tw_http_header {
    const char *name;
    const char *value; /* no line ends */
};

struct tw_http_response;

/* Where the body of a 2xx answer goes when it is not to be kept in memory. */
struct tw_http_sink {
    /* The body that follows belongs at byte `offset` of the resource: 0, or `have` when the server goes on. What
     * was written behind `offset` is void. May be called again, after an attempt that was cut. */
    trawl_status (*begin)(void *user, uint64_t offset, const struct tw_http_response *response,
                          struct trawl_error *err);
    trawl_status (*write)(void *user, const void *data, size_t n, struct trawl_error *err);
    void *user;
    /* Bytes of the resource that are there: the request asks for the rest of it (Range). Kept up to date, so
     * that attempts after a cut go on as well. A server without ranges sends everything: begin gets 0. */
    uint64_t have;
    const char *etag; /* the version that `have` belongs to (If-Range), or NULL */
};

struct tw_http_request {
    enum tw_http_method method;
    const char *url; /* http or https */
    const struct tw_http_header *headers;
    size_t n_headers;
    const char *bearer; /* "Authorization: Bearer <this>", or NULL */
    /* Body of PUT and POST: bytes in memory, or, with `file`, body_size bytes of that file from file_offset on. */
    const void *body;
    const char *file;
    uint64_t file_offset;
    uint64_t body_size;
    struct tw_http_sink *sink; /* NULL: the body is kept in the response */
    size_t body_limit;         /* of what is kept; 0: 1 MiB. More is TRAWL_ERR_LIMIT */
    int redirects;             /* of GET and HEAD to follow; 0: a 3xx is an answer like others */
    uint64_t stall_s;          /* 0: the client's */
    uint64_t connect_ms;       /* 0: the client's */
    bool once;                 /* no retries: the caller has its own, or a second time would do harm */
};

/* ---- responses ---- */

struct tw_http_response {
    int status;          /* 200, ...; 0: there was no answer */
    struct tw_str head;  /* "name: value\n" of every header, names in lower case */
    struct tw_str body;  /* of answers that go to no sink */
    struct tw_str shown; /* host and path that answered, for messages */
    struct tw_str url;   /* the same in full, after redirects */
    int attempts;        /* that it took */
};

void tw_http_response_init(struct tw_http_response *response);
void tw_http_response_release(struct tw_http_response *response);

/* Value of a header (name in lower case) with its length, NULL when there is none; of several, the last. */
const char *tw_http_header(const struct tw_http_response *response, const char *name, size_t *n);
/* The same copied into `out` (`size` bytes); false when there is none or it does not fit. */
bool tw_http_header_copy(const struct tw_http_response *response, const char *name, char *out, size_t size);

/* Send and receive. TRAWL_OK: the server answered, with whatever status; retries are used up when that is one of
 * the passing ones. TRAWL_ERR_IO: no answer, or a file that could not be read. TRAWL_ERR_CANCELLED. Failures of a
 * sink are passed on as they are. `response` may be used again and again. */
trawl_status tw_http_send(struct tw_http_client *client, const struct tw_http_request *request,
                          struct tw_http_response *response, struct trawl_error *err);

/* 408, 429, 500, 502, 503, 504. */
bool tw_http_passing(int status);
/* Wait as before attempt number `attempt` + 1 (counted from 1); with a response its Retry-After counts. False
 * when there are no more attempts, or the client was cancelled. For callers with loops of their own. */
bool tw_http_wait(struct tw_http_client *client, int attempt, const struct tw_http_response *response);

/* TRAWL_ERR_IO "host/path: 403 Forbidden: <begin of the body, one line>". */
trawl_status tw_http_refused(const struct tw_http_response *response, struct trawl_error *err);
/* The same with the caller's own reading of the body; NULL or "": none. */
trawl_status tw_http_refused_as(const struct tw_http_response *response, const char *reason,
                                struct trawl_error *err);
/* "Forbidden" for 403; "" for what has no name. */
const char *tw_http_status_text(int status);

/* ---- URLs ---- */

/* Append `text` with everything percent-encoded but letters, digits and "-._~", and "/" if it is kept. */
trawl_status tw_http_encode(struct tw_str *out, const char *text, size_t n, bool keep_slash,
                            struct trawl_error *err);
/* Append "host[:port]/path" of a URL: what a message may show. Never fails on what is no URL: then nothing but
 * "(not a URL)". */
trawl_status tw_http_show(struct tw_str *out, const char *url, struct trawl_error *err);
/* Append scheme://host[:port] of a URL as it stands in the Host header (the default port left out).
 * TRAWL_ERR_INVALID when it is no http or https URL. */
trawl_status tw_http_origin(struct tw_str *out, const char *url, struct trawl_error *err);

#endif /* TW_HTTP_HTTP_H */
