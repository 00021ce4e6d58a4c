/* SPDX-License-Identifier: MIT */
/* Google Cloud Storage by its JSON API: resumable uploads. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "cloud/cloud_crypto.h"
#include "cloud/cloud_int.h"
#include "json/json.h"

#define ENDPOINT "https://storage.googleapis.com"

enum { ANSWER_LIMIT = 1 << 18, GENERATION = 24, CRC_TEXT = 12 };

/* ---- opening ---- */

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

trawl_status tw_gcs_open(struct tw_cloud *c, struct trawl_error *err)
{
    const char *emulator = variable("STORAGE_EMULATOR_HOST");
    const char *given    = emulator != NULL ? emulator : variable("CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE");
    struct tw_str url, origin;
    tw_str_init(&url, 0);
    tw_str_init(&origin, 0);
    given = given == NULL ? ENDPOINT : given;
    /* An emulator may be given as host:port alone. */
    trawl_status status =
        tw_str_printf(&url, err, "%s%s", strstr(given, "://") == NULL ? "http://" : "", given);
    if (status == TRAWL_OK) {
        status = tw_http_origin(&origin, tw_str_text(&url), err);
    }
    if (status == TRAWL_OK) {
        status = tw_strdup(tw_str_text(&origin), &c->endpoint, err);
    }
    tw_str_release(&url);
    tw_str_release(&origin);
    TW_TRY(status);
    return emulator != NULL ? TRAWL_OK : tw_google_find(&c->google, err);
}

/* ---- asking ---- */

/* A token that the server does not take any more is renewed once. */
static trawl_status send_authorized(struct tw_cloud *c, struct tw_http_request *request,
                                    struct trawl_error *err)
{
    for (int round = 0;; round++) {
        if (c->google != NULL) {
            TW_TRY(tw_google_token(c->google, c->http, &request->bearer, err));
        }
        TW_TRY(tw_http_send(c->http, request, &c->response, err));
        if (c->response.status != 401 || c->google == NULL || round > 0) {
            return TRAWL_OK;
        }
        tw_google_forget(c->google);
    }
}

/* {"error": {"code": 403, "message": "..."}} says more than a status. */
static trawl_status refused(const struct tw_cloud *c, struct trawl_error *err)
{
    json_t *answer     = NULL;
    const char *reason = NULL;
    if (tw_json_parse(tw_str_text(&c->response.body), c->response.body.size, "answer", &answer, NULL) ==
        TRAWL_OK) {
        reason = json_string_value(json_object_get(json_object_get(answer, "error"), "message"));
    }
    trawl_status status =
        reason != NULL ? tw_http_refused_as(&c->response, reason, err) : tw_http_refused(&c->response, err);
    json_decref(answer);
    return status;
}

static trawl_status parse_answer(const struct tw_cloud *c, json_t **out, struct trawl_error *err)
{
    const char *what = tw_str_text(&c->response.shown);
    TW_TRY(tw_json_parse(tw_str_text(&c->response.body), c->response.body.size, what, out, err));
    if (!json_is_object(*out)) {
        json_decref(*out);
        *out = NULL;
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: an answer that is no object", what);
    }
    return TRAWL_OK;
}

trawl_status tw_gcs_check(struct tw_cloud *c, struct trawl_error *err)
{
    struct tw_str url;
    bool may       = false;
    json_t *answer = NULL, *item;
    size_t i;
    if (c->google == NULL) {
        return TRAWL_OK; /* emulators know no permissions */
    }
    tw_str_init(&url, 0);
    trawl_status status =
        tw_str_printf(&url, err, "%s/storage/v1/b/%s/iam/testPermissions?permissions=storage.objects.create",
                      c->endpoint, c->place.bucket);
    struct tw_http_request request = {
        .method = TW_HTTP_GET, .url = tw_str_text(&url), .body_limit = ANSWER_LIMIT};
    if (status == TRAWL_OK) {
        status = send_authorized(c, &request, err);
    }
    if (status == TRAWL_OK) {
        status = c->response.status == 200 ? parse_answer(c, &answer, err) : refused(c, err);
    }
    tw_str_release(&url);
    TW_TRY(status);
    json_array_foreach(json_object_get(answer, "permissions"), i, item)
    {
        const char *text = json_string_value(item);
        may              = may || (text != NULL && strcmp(text, "storage.objects.create") == 0);
    }
    json_decref(answer);
    return may ? TRAWL_OK
               : tw_fail(err, TRAWL_ERR_IO,
                         "gs://%s: these credentials may not create objects there (storage.objects.create)",
                         c->place.bucket);
}

/* ---- the object as it is now ---- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

static trawl_status copy_version(const struct tw_cloud *c, const char *generation, char *out, size_t size,
                                 struct trawl_error *err)
{
    size_t n = strlen(generation);
    if (n == 0 || n >= size || strspn(generation, "0123456789") != n) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: an object without a generation",
                       tw_str_text(&c->response.shown));
    }
    memcpy(out, generation, n + 1);
    return TRAWL_OK;
}

/* There is an object of this name: is it the file, or may the file replace it? `generation` becomes what the
 * upload has to meet, "0" when the object is gone after all; *done when nothing is to be sent. */
static trawl_status judge_existing(struct tw_cloud *c, const struct tw_cloud_job *job, const char *crc,
                                   char generation[GENERATION], bool *done, struct trawl_error *err)
{
    json_t *object = NULL;
    struct tw_str url;
    tw_str_init(&url, 0);
    trawl_status status = tw_str_printf(&url, err, "%s/storage/v1/b/%s/o/", c->endpoint, c->place.bucket);
    if (status == TRAWL_OK) {
        status = tw_http_encode(&url, job->object, strlen(job->object), false, err);
    }
    if (status == TRAWL_OK) {
        struct tw_http_request request = {
            .method = TW_HTTP_GET, .url = tw_str_text(&url), .body_limit = ANSWER_LIMIT};
        status = send_authorized(c, &request, err);
    }
    tw_str_release(&url);
    TW_TRY(status);
    if (c->response.status == 404) {
        memcpy(generation, "0", 2);
        return TRAWL_OK;
    }
    if (c->response.status != 200) {
        return refused(c, err);
    }
    TW_TRY(parse_answer(c, &object, err));
    const json_t *metadata = json_object_get(object, "metadata");
    uint64_t bytes         = strtoull(text_of(object, "size"), NULL, 10);
    enum tw_cloud_found found =
        tw_cloud_compare(job, bytes, text_of(metadata, "trawl-run"), text_of(metadata, "trawl-xxh3"));
    *done  = bytes == job->bytes && strcmp(text_of(object, "crc32c"), crc) == 0;
    status = *done || found != TW_CLOUD_FOREIGN
                 ? copy_version(c, text_of(object, "generation"), generation, GENERATION, err)
                 : tw_cloud_foreign(c, job, err);
    json_decref(object);
    return status;
}

/* ---- an upload ---- */

static trawl_status put_metadata(const struct tw_cloud_job *job, const char *crc, struct tw_str *out,
                                 struct trawl_error *err)
{
    struct tw_json_writer w;
    tw_json_writer_init(&w, out, 0);
    tw_json_begin_object(&w);
    tw_json_key(&w, "name");
    tw_json_string(&w, job->object);
    tw_json_key(&w, "crc32c"); /* the server refuses other bytes */
    tw_json_string(&w, crc);
    tw_json_key(&w, "metadata");
    tw_json_begin_object(&w);
    tw_json_key(&w, "trawl-run");
    tw_json_string(&w, job->file->owner);
    tw_json_key(&w, "trawl-xxh3");
    tw_json_string(&w, job->xxh3_hex);
    tw_json_end_object(&w);
    tw_json_end_object(&w);
    return tw_json_writer_finish(&w, err);
}

/* A session, its URL into `session`; empty when the object is not of the generation that we thought. */
static trawl_status start_session(struct tw_cloud *c, const struct tw_cloud_job *job, const char *crc,
                                  const char *generation, struct tw_str *session, struct trawl_error *err)
{
    char length[24];
    struct tw_str url, body;
    tw_str_init(&url, 0);
    tw_str_init(&body, 0);
    (void)snprintf(length, sizeof length, "%llu", (unsigned long long)job->bytes);
    trawl_status status = tw_str_printf(
        &url, err, "%s/upload/storage/v1/b/%s/o?uploadType=resumable&ifGenerationMatch=%s&name=", c->endpoint,
        c->place.bucket, generation);
    if (status == TRAWL_OK) {
        status = tw_http_encode(&url, job->object, strlen(job->object), false, err);
    }
    if (status == TRAWL_OK) {
        status = put_metadata(job, crc, &body, err);
    }
    if (status == TRAWL_OK) {
        const struct tw_http_header headers[] = {{"Content-Type", "application/json; charset=UTF-8"},
                                                 {"X-Upload-Content-Type", "application/octet-stream"},
                                                 {"X-Upload-Content-Length", length}};
        struct tw_http_request request        = {.method     = TW_HTTP_POST,
                                                 .url        = tw_str_text(&url),
                                                 .headers    = headers,
                                                 .n_headers  = 3,
                                                 .body       = tw_str_text(&body),
                                                 .body_size  = body.size,
                                                 .body_limit = ANSWER_LIMIT};
        status                                = send_authorized(c, &request, err);
    }
    tw_str_release(&url);
    tw_str_release(&body);
    tw_str_reset(session);
    TW_TRY(status);
    if (c->response.status == 412) {
        return TRAWL_OK;
    }
    if (c->response.status != 200 && c->response.status != 201) {
        return refused(c, err);
    }
    size_t n;
    const char *location = tw_http_header(&c->response, "location", &n);
    if (location == NULL || n == 0) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: a session without a location",
                       tw_str_text(&c->response.shown));
    }
    if (strncmp(c->endpoint, "https:", 6) == 0 && (n < 6 || memcmp(location, "https:", 6) != 0)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: a session that is not under https",
                       tw_str_text(&c->response.shown));
    }
    return tw_str_append(session, location, n, err);
}

/* One PUT: bytes from `at` on, or (n == 0) the question how far the server is. */
static trawl_status put_chunk(struct tw_cloud *c, const struct tw_cloud_job *job, const char *session,
                              uint64_t at, uint64_t n, struct trawl_error *err)
{
    char range[80];
    unsigned long long total = job->bytes, first = at;
    if (n == 0) {
        (void)snprintf(range, sizeof range, "bytes */%llu", total);
    } else {
        (void)snprintf(range, sizeof range, "bytes %llu-%llu/%llu", first, first + n - 1, total);
    }
    const struct tw_http_header header   = {"Content-Range", range};
    const struct tw_http_request request = {.method      = TW_HTTP_PUT,
                                            .url         = session,
                                            .headers     = &header,
                                            .n_headers   = 1,
                                            .file        = n == 0 ? NULL : job->file->path,
                                            .file_offset = at,
                                            .body_size   = n,
                                            .body_limit  = ANSWER_LIMIT,
                                            .once = true}; /* what is sent next depends on what arrived */
    return tw_http_send(c->http, &request, &c->response, err);
}

/* Where a 308 says that the upload goes on: "Range: bytes=0-42" means 43, none means 0. */
static bool next_byte(const struct tw_cloud *c, uint64_t total, uint64_t *at)
{
    char text[64], *end;
    *at = 0;
    if (!tw_http_header_copy(&c->response, "range", text, sizeof text)) {
        return true;
    }
    if (strncmp(text, "bytes=0-", 8) != 0 || text[8] < '0' || text[8] > '9') {
        return false;
    }
    *at = strtoull(text + 8, &end, 10) + 1;
    return *end == '\0' && *at <= total;
}

/* Send everything. *lost when the server has forgotten the session: another one is needed. */
static trawl_status send_all(struct tw_cloud *c, const struct tw_cloud_job *job, const char *session,
                             bool *lost, struct trawl_error *err)
{
    uint64_t at = 0, reached = 0;
    bool ask   = false; /* how far is it? */
    int misses = 0;     /* attempts since the server got further */
    *lost      = false;
    for (;;) {
        uint64_t n          = ask ? 0 : tw_min_size(job->bytes - at, c->part_bytes);
        trawl_status status = put_chunk(c, job, session, at, n, err);
        int code            = c->response.status;
        if (status != TRAWL_OK && status != TRAWL_ERR_IO) {
            return status;
        }
        *lost = code == 404 || code == 410;
        if (*lost || code == 200 || code == 201) {
            return TRAWL_OK;
        }
        if (code == 308) {
            if (!next_byte(c, job->bytes, &at)) {
                return tw_fail(err, TRAWL_ERR_FORMAT, "%s: answered 308 with a range that is none",
                               tw_str_text(&c->response.shown));
            }
            bool further = at > reached;
            misses       = further ? 0 : misses;
            reached      = further ? at : reached;
            if ((ask || further) && at < job->bytes) {
                ask = false;
                continue;
            }
        } else if (status == TRAWL_OK && !tw_http_passing(code)) {
            return refused(c, err);
        }
        if (!tw_http_wait(c->http, ++misses, &c->response)) {
            return status == TRAWL_OK ? refused(c, err) : status;
        }
        ask = true;
    }
}

/* The answer to the last byte: is it the file that we meant? */
static trawl_status read_result(struct tw_cloud *c, const struct tw_cloud_job *job, const char *crc,
                                char generation[GENERATION], bool *right, struct trawl_error *err)
{
    json_t *object = NULL;
    TW_TRY(parse_answer(c, &object, err));
    const char *size = text_of(object, "size");
    *right           = strtoull(size, NULL, 10) == job->bytes && strcmp(text_of(object, "crc32c"), crc) == 0;
    trawl_status status = copy_version(c, text_of(object, "generation"), generation, GENERATION, err);
    json_decref(object);
    return status;
}

static trawl_status crc_text(const struct tw_cloud_job *job, char out[CRC_TEXT], struct trawl_error *err)
{
    struct tw_str text;
    uint32_t crc;
    uint64_t size;
    TW_TRY(tw_cloud_crc32c_file(job->file->path, &crc, &size, err));
    if (size != job->bytes) {
        return tw_fail(err, TRAWL_ERR_IO, "%s changes while it is uploaded", job->file->path);
    }
    const uint8_t bytes[4] = {(uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8), (uint8_t)crc};
    tw_str_init(&text, 0);
    trawl_status status = tw_cloud_base64(&text, bytes, 4, false, err);
    if (status == TRAWL_OK) {
        memcpy(out, tw_str_text(&text), text.size + 1);
    }
    tw_str_release(&text);
    return status;
}

/* One session from begin to end. *done: the object is there, in the generation named. */
static trawl_status upload(struct tw_cloud *c, const struct tw_cloud_job *job, const char *crc,
                           char generation[GENERATION], bool *done, struct tw_cloud_receipt *receipt,
                           struct trawl_error *err)
{
    struct tw_str session;
    bool lost = false;
    tw_str_init(&session, 0);
    trawl_status status = start_session(c, job, crc, generation, &session, err);
    if (status == TRAWL_OK && session.size == 0) {
        status             = judge_existing(c, job, crc, generation, done, err);
        receipt->was_there = *done;
    } else if (status == TRAWL_OK) {
        status = send_all(c, job, tw_str_text(&session), &lost, err);
        if (status == TRAWL_OK && !lost) {
            status = read_result(c, job, crc, generation, done, err);
        }
    }
    tw_str_release(&session);
    return status;
}

trawl_status tw_gcs_put(struct tw_cloud *c, const struct tw_cloud_job *job, struct tw_cloud_receipt *receipt,
                        struct trawl_error *err)
{
    char crc[CRC_TEXT], generation[GENERATION] = "0";
    TW_TRY(crc_text(job, crc, err));
    /* One more round than uploads may fail: the first may only learn what is there. */
    for (int round = 0; round <= TW_CLOUD_ROUNDS; round++) {
        bool done = false;
        TW_TRY(upload(c, job, crc, generation, &done, receipt, err));
        if (done) {
            memcpy(receipt->version, generation, sizeof generation);
            return TRAWL_OK;
        }
    }
    return tw_fail(err, TRAWL_ERR_IO,
                   "%s: what arrives has another checksum, or sessions are lost, %d times over",
                   receipt->object, TW_CLOUD_ROUNDS);
}
