/* SPDX-License-Identifier: MIT */
/* One signed request to S3. */
#ifndef TW_CLOUD_S3_REQUEST_H
#define TW_CLOUD_S3_REQUEST_H

#include "cloud/cloud_int.h"
#include "cloud/cloud_sigv4.h"

struct tw_s3_request {
    enum tw_http_method method;
    const char *object;             /* NULL: the bucket itself */
    const struct tw_cloud_job *job; /* what the object will bear as metadata, or NULL */
    bool create;                    /* only if there is no such object (If-None-Match) */
    const struct tw_sigv4_query *query;
    size_t n_query;
    const void *body; /* in memory; or, with `file`, body_size bytes of it from file_offset on */
    const char *file;
    uint64_t file_offset;
    uint64_t body_size;
    const char *payload; /* hexadecimal SHA-256 of the body; NULL: that of `body` */
};

/* The answer is in c->response, whatever its status. */
trawl_status tw_s3_send(struct tw_cloud *c, const struct tw_s3_request *request, struct trawl_error *err);

#endif /* TW_CLOUD_S3_REQUEST_H */
