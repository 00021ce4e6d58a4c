/* SPDX-License-Identifier: MIT */
#include "cloud/cloud_s3_request.h"

#include <string.h>

#include "cloud/cloud_crypto.h"

enum { ANSWER_LIMIT = 1 << 18, HEADERS = 8 };

struct texts {
    struct tw_str path, url, sign;
    char time[17];
    char payload[TW_SHA256_HEX];
    struct tw_http_header headers[HEADERS];
    size_t n_headers;
};

static const char *method_name(enum tw_http_method method)
{
    switch (method) {
    case TW_HTTP_HEAD: return "HEAD";
    case TW_HTTP_PUT: return "PUT";
    case TW_HTTP_POST: return "POST";
    case TW_HTTP_DELETE: return "DELETE";
    case TW_HTTP_GET: break;
    }
    return "GET";
}

static trawl_status put_path(struct tw_cloud *c, const char *object, struct tw_str *out,
                             struct trawl_error *err)
{
    TW_TRY(tw_str_putc(out, '/', err));
    if (c->path_style) {
        TW_TRY(tw_str_printf(out, err, "%s%s", c->place.bucket, object == NULL ? "" : "/"));
    }
    return object == NULL ? TRAWL_OK : tw_http_encode(out, object, strlen(object), true, err);
}

static trawl_status put_url(struct tw_cloud *c, const struct tw_s3_request *r, struct texts *t,
                            struct trawl_error *err)
{
    TW_TRY(put_path(c, r->object, &t->path, err));
    TW_TRY(
        tw_str_printf(&t->url, err, "%s%s%s", c->endpoint, tw_str_text(&t->path), r->n_query > 0 ? "?" : ""));
    return tw_sigv4_query_text(r->query, r->n_query, &t->url, err);
}

static void add(struct texts *t, const char *name, const char *value)
{
    TW_BUG_ON(t->n_headers == HEADERS);
    t->headers[t->n_headers++] = (struct tw_http_header){name, value};
}

static void add_headers(struct tw_cloud *c, const struct tw_s3_request *r, const struct tw_aws_keys *keys,
                        struct texts *t)
{
    add(t, "host", strstr(c->endpoint, "://") + 3);
    add(t, "x-amz-content-sha256", t->payload);
    add(t, "x-amz-date", t->time);
    if (keys->token != NULL) {
        add(t, "x-amz-security-token", keys->token);
    }
    if (r->job != NULL) {
        add(t, "x-amz-meta-trawl-run", r->job->file->owner);
        add(t, "x-amz-meta-trawl-xxh3", r->job->xxh3_hex);
    }
    if (r->create) {
        add(t, "if-none-match", "*");
    }
}

static trawl_status sign(struct tw_cloud *c, const struct tw_s3_request *r, const struct tw_aws_keys *keys,
                         struct texts *t, struct trawl_error *err)
{
    const struct tw_sigv4 s = {.method    = method_name(r->method),
                               .path      = tw_str_text(&t->path),
                               .query     = r->query,
                               .n_query   = r->n_query,
                               .headers   = t->headers,
                               .n_headers = t->n_headers,
                               .payload   = t->payload,
                               .key_id    = keys->id,
                               .secret    = keys->secret,
                               .region    = tw_aws_region(c->aws),
                               .service   = "s3",
                               .time      = t->time};
    TW_TRY(tw_sigv4_sign(&s, &t->sign, err));
    add(t, "Authorization", tw_str_text(&t->sign));
    return TRAWL_OK;
}

static trawl_status send_signed(struct tw_cloud *c, const struct tw_s3_request *r, struct texts *t,
                                struct trawl_error *err)
{
    struct tw_aws_keys keys;
    uint8_t digest[TW_SHA256_BYTES];
    TW_TRY(tw_aws_keys(c->aws, c->http, &keys, err));
    if (r->payload == NULL) {
        TW_TRY(tw_cloud_sha256(r->body == NULL ? "" : r->body, (size_t)r->body_size, digest, err));
        tw_cloud_hex(digest, sizeof digest, t->payload);
    } else {
        memcpy(t->payload, r->payload, TW_SHA256_HEX);
    }
    tw_sigv4_time(tw_http_unix_ms(c->http), t->time);
    TW_TRY(put_url(c, r, t, err));
    add_headers(c, r, &keys, t);
    TW_TRY(sign(c, r, &keys, t, err));
    const struct tw_http_request request = {.method      = r->method,
                                            .url         = tw_str_text(&t->url),
                                            .headers     = t->headers,
                                            .n_headers   = t->n_headers,
                                            .body        = r->body,
                                            .file        = r->file,
                                            .file_offset = r->file_offset,
                                            .body_size   = r->body_size,
                                            .body_limit  = ANSWER_LIMIT};
    return tw_http_send(c->http, &request, &c->response, err);
}

trawl_status tw_s3_send(struct tw_cloud *c, const struct tw_s3_request *request, struct trawl_error *err)
{
    struct texts t = {.n_headers = 0};
    tw_str_init(&t.path, 0);
    tw_str_init(&t.url, 0);
    tw_str_init(&t.sign, 0);
    trawl_status status = send_signed(c, request, &t, err);
    tw_str_release(&t.path);
    tw_str_release(&t.url);
    tw_str_release(&t.sign);
    return status;
}
