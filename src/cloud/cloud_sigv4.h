/* SPDX-License-Identifier: MIT */
/* AWS Signature Version 4 of a request, in its Authorization header. */
#ifndef TW_CLOUD_SIGV4_H
#define TW_CLOUD_SIGV4_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "http/http.h"

struct tw_sigv4_query {
    const char *name;
    const char *value; /* neither is encoded */
};

struct tw_sigv4 {
    const char *method;
    const char *path;                   /* encoded as it is sent, "/bucket/key" */
    const struct tw_sigv4_query *query; /* in any order */
    size_t n_query;
    const struct tw_http_header
        *headers; /* all that are signed, host among them, in any order; lower-case names */
    size_t n_headers;
    const char *payload; /* lower-case hexadecimal SHA-256 of the body */
    const char *key_id;
    const char *secret;
    const char *region;
    const char *service;
    const char *time; /* 20130524T000000Z */
};

enum { TW_SIGV4_PARTS = 16 }; /* of queries, and of headers, at most */

/* Append "AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=...". */
trawl_status tw_sigv4_sign(const struct tw_sigv4 *request, struct tw_str *out, struct trawl_error *err);
/* Append the query as it is sent: sorted, encoded, "name=" where there is no value; without a '?'. */
trawl_status tw_sigv4_query_text(const struct tw_sigv4_query *query, size_t n, struct tw_str *out,
                                 struct trawl_error *err);
/* "20130524T000000Z". */
void tw_sigv4_time(uint64_t unix_ms, char out[17]);

#endif /* TW_CLOUD_SIGV4_H */
