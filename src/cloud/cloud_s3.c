/* SPDX-License-Identifier: MIT */
/* S3 and what speaks it: whole objects and multipart uploads. Every body is signed with its SHA-256, so the server
 * refuses what was changed on the way; where ETags are MD5 sums they are compared too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "cloud/cloud_crypto.h"
#include "cloud/cloud_int.h"
#include "cloud/cloud_s3_request.h"
#include "cloud/cloud_xml.h"

enum { MIN_PART = 5 << 20, PART_UNIT = 1 << 20, MAX_PARTS = 10000, ETAG = 80, UPLOAD_ID = 1024 };

/* ---- opening ---- */

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* Virtual hosts (bucket.s3.region.amazonaws.com) at AWS; the bucket in the path elsewhere, and where dots in its name
 * would not go with the certificate. */
static trawl_status set_endpoint(struct tw_cloud *c, struct trawl_error *err)
{
    const char *given = variable("AWS_ENDPOINT_URL_S3");
    struct tw_str url;
    given = given == NULL ? variable("AWS_ENDPOINT_URL") : given;
    tw_str_init(&url, 0);
    c->path_style       = given != NULL || strchr(c->place.bucket, '.') != NULL;
    trawl_status status = given != NULL ? tw_http_origin(&url, given, err)
                                        : tw_str_printf(&url, err, "https://%s%ss3.%s.amazonaws.com",
                                                        c->path_style ? "" : c->place.bucket,
                                                        c->path_style ? "" : ".", tw_aws_region(c->aws));
    tw_free(c->endpoint);
    c->endpoint = NULL;
    if (status == TRAWL_OK) {
        status = tw_strdup(tw_str_text(&url), &c->endpoint, err);
    }
    tw_str_release(&url);
    return status;
}

trawl_status tw_s3_open(struct tw_cloud *c, struct trawl_error *err)
{
    c->part_bytes = tw_max_size(c->part_bytes, MIN_PART);
    TW_TRY(tw_aws_find(&c->aws, err));
    return set_endpoint(c, err);
}

/* <Error><Code>AccessDenied</Code><Message>...</Message></Error> says more than a status. */
static trawl_status refused(const struct tw_cloud *c, struct trawl_error *err)
{
    const struct tw_str *body = &c->response.body;
    char code[64] = "", message[200] = "", text[280];
    if (!tw_xml_text(tw_str_text(body), body->size, "Code", code, sizeof code)) {
        return tw_http_refused(&c->response, err);
    }
    (void)tw_xml_text(tw_str_text(body), body->size, "Message", message, sizeof message);
    (void)snprintf(text, sizeof text, "%s: %s", code, message);
    return tw_http_refused_as(&c->response, text, err);
}

/* HEAD of the bucket: also tells where it is. Who may only write gets 403 and finds out with the first object. */
trawl_status tw_s3_check(struct tw_cloud *c, struct trawl_error *err)
{
    for (int round = 0; round < 2; round++) {
        const struct tw_s3_request request = {.method = TW_HTTP_HEAD};
        char region[64];
        TW_TRY(tw_s3_send(c, &request, err));
        int status = c->response.status;
        if (status == 200 || (status == 403 && round > 0)) {
            return TRAWL_OK;
        }
        bool elsewhere = tw_http_header_copy(&c->response, "x-amz-bucket-region", region, sizeof region) &&
                         strcmp(region, tw_aws_region(c->aws)) != 0;
        if (elsewhere && (status == 301 || status == 307 || status == 400 || status == 403)) {
            TW_TRY(tw_aws_set_region(c->aws, region, err));
            TW_TRY(set_endpoint(c, err));
            continue;
        }
        if (status == 403) {
            return TRAWL_OK;
        }
        return status == 404 ? tw_fail(err, TRAWL_ERR_IO, "s3://%s: there is no such bucket", c->place.bucket)
                             : refused(c, err);
    }
    return refused(c, err);
}

/* ---- checksums ---- */

/* Is the ETag an MD5 sum? Not under keys of a KMS or of the customer. */
static bool etag_is_md5(const struct tw_cloud *c)
{
    char kind[32];
    bool kms = tw_http_header_copy(&c->response, "x-amz-server-side-encryption", kind, sizeof kind) &&
               strcmp(kind, "AES256") != 0;
    size_t n;
    return !kms &&
           tw_http_header(&c->response, "x-amz-server-side-encryption-customer-algorithm", &n) == NULL;
}

/* `expected`: 32 digits, perhaps "-12" behind them. An ETag of another shape is no MD5 sum and says nothing. */
static bool etag_fits(const struct tw_cloud *c, const char *etag, const char *expected)
{
    size_t n = strlen(expected);
    if (!etag_is_md5(c) || strlen(etag) != n + 2 || strspn(etag + 1, "0123456789abcdef") < 32) {
        return true;
    }
    return strncmp(etag + 1, expected, n) == 0;
}

/* ---- the object as it is now ---- */

enum standing { NOTHING, SAME, OURS, HIDDEN };

static trawl_status look(struct tw_cloud *c, const struct tw_cloud_job *job, enum standing *standing,
                         char version[ETAG], struct trawl_error *err)
{
    const struct tw_s3_request request = {.method = TW_HTTP_HEAD, .object = job->object};
    char run[64] = "", xxh3[24] = "", length[24] = "0";
    TW_TRY(tw_s3_send(c, &request, err));
    if (c->response.status == 404 || c->response.status == 403) {
        *standing = c->response.status == 404 ? NOTHING : HIDDEN; /* who may not list sees no 404 */
        return TRAWL_OK;
    }
    if (c->response.status != 200) {
        return refused(c, err);
    }
    (void)tw_http_header_copy(&c->response, "x-amz-meta-trawl-run", run, sizeof run);
    (void)tw_http_header_copy(&c->response, "x-amz-meta-trawl-xxh3", xxh3, sizeof xxh3);
    (void)tw_http_header_copy(&c->response, "content-length", length, sizeof length);
    (void)tw_http_header_copy(&c->response, "etag", version, ETAG);
    enum tw_cloud_found found = tw_cloud_compare(job, strtoull(length, NULL, 10), run, xxh3);
    if (found == TW_CLOUD_FOREIGN) {
        return tw_cloud_foreign(c, job, err);
    }
    bool same = found == TW_CLOUD_SAME;
    if (same && strchr(version, '-') == NULL) { /* stored whole: the ETag may know better than the metadata */
        struct tw_part_hash hash;
        char md5[TW_MD5_HEX];
        TW_TRY(tw_cloud_hash_part(job->file->path, 0, job->bytes, &hash, err));
        tw_cloud_hex(hash.md5, sizeof hash.md5, md5);
        same = !hash.has_md5 || etag_fits(c, version, md5);
    }
    *standing = same ? SAME : OURS;
    return TRAWL_OK;
}

/* ---- whole objects ---- */

static trawl_status put_whole(struct tw_cloud *c, const struct tw_cloud_job *job, bool create, bool *right,
                              char version[ETAG], struct trawl_error *err)
{
    struct tw_part_hash hash;
    char md5[TW_MD5_HEX] = "";
    TW_TRY(tw_cloud_hash_part(job->file->path, 0, job->bytes, &hash, err));
    const struct tw_s3_request request = {.method    = TW_HTTP_PUT,
                                          .object    = job->object,
                                          .job       = job,
                                          .create    = create,
                                          .file      = job->file->path,
                                          .body_size = job->bytes,
                                          .payload   = hash.sha256};
    TW_TRY(tw_s3_send(c, &request, err));
    if (create && c->response.status == 412) {
        return tw_cloud_foreign(c, job, err);
    }
    if (c->response.status != 200) {
        return refused(c, err);
    }
    if (!tw_http_header_copy(&c->response, "etag", version, ETAG)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: stored without an ETag", tw_str_text(&c->response.shown));
    }
    tw_cloud_hex(hash.md5, sizeof hash.md5, md5);
    *right = !hash.has_md5 || etag_fits(c, version, md5);
    return TRAWL_OK;
}

/* ---- multipart uploads ---- */

struct parts {
    char upload[UPLOAD_ID];
    uint64_t size; /* of each but the last */
    size_t n;
    bool has_md5;
    uint8_t *md5s;      /* [n][TW_MD5_BYTES] */
    struct tw_str list; /* <Part>...</Part> of each */
};

static trawl_status create_upload(struct tw_cloud *c, const struct tw_cloud_job *job, struct parts *p,
                                  struct trawl_error *err)
{
    const struct tw_sigv4_query query  = {"uploads", ""};
    const struct tw_s3_request request = {
        .method = TW_HTTP_POST, .object = job->object, .job = job, .query = &query, .n_query = 1};
    TW_TRY(tw_s3_send(c, &request, err));
    if (c->response.status != 200) {
        return refused(c, err);
    }
    if (!tw_xml_text(tw_str_text(&c->response.body), c->response.body.size, "UploadId", p->upload,
                     UPLOAD_ID) ||
        p->upload[0] == '\0') {
        p->upload[0] = '\0';
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: an upload without an UploadId",
                       tw_str_text(&c->response.shown));
    }
    return TRAWL_OK;
}

static trawl_status send_part(struct tw_cloud *c, const struct tw_cloud_job *job, struct parts *p, size_t i,
                              char etag[ETAG], bool *right, struct trawl_error *err)
{
    char number[24], md5[TW_MD5_HEX];
    struct tw_part_hash hash;
    uint64_t at = i * p->size, size = tw_min_size(p->size, job->bytes - at);
    (void)snprintf(number, sizeof number, "%zu", i + 1);
    TW_TRY(tw_cloud_hash_part(job->file->path, at, size, &hash, err));
    const struct tw_sigv4_query query[] = {{"partNumber", number}, {"uploadId", p->upload}};
    const struct tw_s3_request request  = {.method      = TW_HTTP_PUT,
                                           .object      = job->object,
                                           .query       = query,
                                           .n_query     = 2,
                                           .file        = job->file->path,
                                           .file_offset = at,
                                           .body_size   = size,
                                           .payload     = hash.sha256};
    TW_TRY(tw_s3_send(c, &request, err));
    if (c->response.status != 200) {
        return refused(c, err);
    }
    if (!tw_http_header_copy(&c->response, "etag", etag, ETAG)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: a part without an ETag", tw_str_text(&c->response.shown));
    }
    tw_cloud_hex(hash.md5, sizeof hash.md5, md5);
    *right     = !hash.has_md5 || etag_fits(c, etag, md5);
    p->has_md5 = p->has_md5 && hash.has_md5;
    memcpy(p->md5s + i * TW_MD5_BYTES, hash.md5, TW_MD5_BYTES);
    return TRAWL_OK;
}

static trawl_status send_parts(struct tw_cloud *c, const struct tw_cloud_job *job, struct parts *p,
                               struct trawl_error *err)
{
    for (size_t i = 0; i < p->n; i++) {
        bool right = false;
        char etag[ETAG];
        for (int round = 0; !right; round++) {
            if (round == TW_CLOUD_ROUNDS) {
                return tw_fail(err, TRAWL_ERR_IO, "%s: part %zu arrives with another checksum, %d times over",
                               tw_str_text(&c->response.shown), i + 1, TW_CLOUD_ROUNDS);
            }
            TW_TRY(send_part(c, job, p, i, etag, &right, err));
        }
        TW_TRY(tw_str_printf(&p->list, err, "<Part><PartNumber>%zu</PartNumber><ETag>%s</ETag></Part>", i + 1,
                             etag));
    }
    return TRAWL_OK;
}

/* MD5 of the parts' MD5 sums, "-" and their number. */
static bool whole_etag(const struct parts *p, char out[ETAG])
{
    uint8_t md5[TW_MD5_BYTES];
    if (!p->has_md5 || !tw_cloud_md5(p->md5s, p->n * TW_MD5_BYTES, md5)) {
        return false;
    }
    tw_cloud_hex(md5, sizeof md5, out);
    (void)snprintf(out + TW_MD5_HEX - 1, ETAG - TW_MD5_HEX + 1, "-%zu", p->n);
    return true;
}

/* A 200 may still be an error, and a retry may find that the attempt before had done it: what counts is the object. */
static trawl_status complete(struct tw_cloud *c, const struct tw_cloud_job *job, struct parts *p, bool create,
                             bool *right, char version[ETAG], struct trawl_error *err)
{
    const struct tw_sigv4_query query = {"uploadId", p->upload};
    struct tw_str body;
    char etag[ETAG]        = "", expected[ETAG], code[64];
    enum standing standing = NOTHING;
    tw_str_init(&body, 0);
    trawl_status status = tw_str_printf(&body, err, "<CompleteMultipartUpload>%s</CompleteMultipartUpload>",
                                        tw_str_text(&p->list));
    if (status == TRAWL_OK) {
        const struct tw_s3_request request = {.method    = TW_HTTP_POST,
                                              .object    = job->object,
                                              .create    = create,
                                              .query     = &query,
                                              .n_query   = 1,
                                              .body      = tw_str_text(&body),
                                              .body_size = body.size};
        status                             = tw_s3_send(c, &request, err);
    }
    tw_str_release(&body);
    TW_TRY(status);
    if (create && c->response.status == 412) {
        return tw_cloud_foreign(c, job, err);
    }
    const struct tw_str *answer = &c->response.body;
    bool done                   = c->response.status == 200 &&
                !tw_xml_text(tw_str_text(answer), answer->size, "Code", code, sizeof code);
    if (done && tw_xml_text(tw_str_text(answer), answer->size, "ETag", etag, sizeof etag) &&
        whole_etag(p, expected) && !etag_fits(c, etag, expected)) {
        return TRAWL_OK; /* not right */
    }
    if (!done && c->response.status != 404) {
        return refused(c, err);
    }
    TW_TRY(look(c, job, &standing, version, err));
    *right = standing == SAME || (done && standing == HIDDEN);
    if (standing == HIDDEN && done) {
        memcpy(version, etag, ETAG);
    }
    return TRAWL_OK;
}

/* Parts that are not completed would be paid for until somebody notices. */
static void abort_upload(struct tw_cloud *c, const struct tw_cloud_job *job, const struct parts *p)
{
    const struct tw_sigv4_query query  = {"uploadId", p->upload};
    const struct tw_s3_request request = {
        .method = TW_HTTP_DELETE, .object = job->object, .query = &query, .n_query = 1};
    (void)tw_s3_send(c, &request, NULL); /* the failure before it is what matters */
}

static trawl_status put_parts(struct tw_cloud *c, const struct tw_cloud_job *job, bool create, bool *right,
                              char version[ETAG], struct trawl_error *err)
{
    struct parts p = {.has_md5 = true};
    p.size         = tw_max_size(c->part_bytes, tw_round_up(tw_ceil_div(job->bytes, MAX_PARTS), PART_UNIT));
    p.n            = tw_ceil_div(job->bytes, p.size);
    tw_str_init(&p.list, 0);
    trawl_status status = tw_alloc(p.n, TW_MD5_BYTES, &p.md5s, err);
    status              = status != TRAWL_OK ? status : create_upload(c, job, &p, err);
    status              = status != TRAWL_OK ? status : send_parts(c, job, &p, err);
    status              = status != TRAWL_OK ? status : complete(c, job, &p, create, right, version, err);
    if (status != TRAWL_OK && p.upload[0] != '\0') {
        abort_upload(c, job, &p);
    }
    tw_str_release(&p.list);
    tw_free(p.md5s);
    return status;
}

trawl_status tw_s3_put(struct tw_cloud *c, const struct tw_cloud_job *job, struct tw_cloud_receipt *receipt,
                       struct trawl_error *err)
{
    char version[ETAG] = "";
    for (int round = 0; round < TW_CLOUD_ROUNDS; round++) {
        bool right             = false;
        enum standing standing = HIDDEN;
        TW_TRY(look(c, job, &standing, version, err));
        if (standing == SAME && round == 0) { /* later it is what we found to be wrong */
            receipt->was_there = true;
            right              = true;
        } else if (job->bytes > c->part_bytes) {
            TW_TRY(put_parts(c, job, standing == HIDDEN, &right, version, err));
        } else {
            TW_TRY(put_whole(c, job, standing == HIDDEN, &right, version, err));
        }
        if (right) {
            memcpy(receipt->version, version, ETAG);
            return TRAWL_OK;
        }
    }
    return tw_fail(err, TRAWL_ERR_IO, "%s: what arrives has another checksum, %d times over", receipt->object,
                   TW_CLOUD_ROUNDS);
}
