/* SPDX-License-Identifier: MIT */
/* What the files of http share. */
#ifndef TW_HTTP_HTTP_INT_H
#define TW_HTTP_HTTP_INT_H

#include <curl/curl.h>

#include "http/http.h"

struct tw_http_client {
    CURL *curl;
    struct curl_slist *list; /* headers of the attempt under way */
    struct tw_str line;      /* scratch for one of them */
    char *user_agent;
    char *ca_file; /* NULL: the system's */
    uint64_t connect_ms, stall_s;
    struct tw_http_retry retry;
    struct tw_http_clock clock;
    const atomic_bool *cancelled;
    struct tw_log log;
    uint64_t random; /* state of the jitter */
    char reason[CURL_ERROR_SIZE];
};

bool tw_http_is_cancelled(const struct tw_http_client *client);

/* Where an attempt goes: a redirect may have led away from the request's own host. */
struct tw_http_target {
    const char *url;
    bool foreign; /* another origin: secrets stay out */
};

/* How an attempt ended without an answer. */
enum tw_http_end {
    TW_HTTP_ANSWERED,
    TW_HTTP_PASSING, /* another attempt may do better */
    TW_HTTP_FINAL
};

/* One request, one answer. `err` is filled unless answered. */
enum tw_http_end tw_http_attempt(struct tw_http_client *client, const struct tw_http_request *request,
                                 const struct tw_http_target *target, struct tw_http_response *response,
                                 struct trawl_error *err);

/* `location` as seen from `url`, into `out`; TRAWL_ERR_FORMAT when it leads from https to http, or to neither. */
trawl_status tw_http_resolve(struct tw_str *out, const char *url, const char *location, size_t n,
                             struct trawl_error *err);
bool tw_http_same_origin(const char *a, const char *b);

/* A line of the head, as curl gives it, into `response`: a status line begins a new head. False: too much. */
bool tw_http_head_line(struct tw_http_response *response, const char *line, size_t n);
/* Where the body of a 206 begins, from its Content-Range; false when that is missing or no such thing. */
bool tw_http_range_begin(const struct tw_http_response *response, uint64_t *begin);
/* Seconds of Retry-After in milliseconds, 0 when there is none; dates are counted from `unix_ms`. */
uint64_t tw_http_retry_after(const struct tw_http_response *response, uint64_t unix_ms);

#endif /* TW_HTTP_HTTP_INT_H */
