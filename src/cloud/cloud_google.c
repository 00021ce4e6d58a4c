/* SPDX-License-Identifier: MIT */
#include "cloud/cloud_google.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/str.h"
#include "cloud/cloud_crypto.h"
#include "json/json.h"

#define SCOPE     "https://www.googleapis.com/auth/devstorage.read_write"
#define TOKEN_URI "https://oauth2.googleapis.com/token"
#define METADATA  "metadata.google.internal"

enum { FILE_LIMIT = 1 << 20, ANSWER_LIMIT = 1 << 16, EARLY_MS = 300000, LIFE_S = 3600 };

enum source { FROM_TOKEN, FROM_SERVICE_ACCOUNT, FROM_USER, FROM_METADATA };

struct tw_google {
    enum source source;
    char *what;                                /* the file, for messages */
    char *email, *key, *key_id;                /* of a service account */
    char *client_id, *client_secret, *refresh; /* of a user */
    char *token_uri;
    char *token;         /* NULL: none yet */
    uint64_t expires_ms; /* UINT64_MAX: not known to end */
};

void tw_google_free(struct tw_google *google)
{
    if (google == NULL) {
        return;
    }
    char *const texts[] = {google->what,    google->email,     google->key,
                           google->key_id,  google->client_id, google->client_secret,
                           google->refresh, google->token_uri, google->token};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        tw_free(texts[i]);
    }
    tw_free(google);
}

/* ---- files ---- */

static trawl_status take(const json_t *file, const char *key, const char *what, char **out,
                         struct trawl_error *err)
{
    const char *value = NULL;
    TW_TRY(tw_json_get_string(file, key, what, &value, err));
    if (value == NULL || value[0] == '\0') {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: no \"%s\"", what, key);
    }
    return tw_strdup(value, out, err);
}

static trawl_status take_service_account(struct tw_google *g, const json_t *file, struct trawl_error *err)
{
    const char *uri = TOKEN_URI, *key_id = NULL;
    g->source = FROM_SERVICE_ACCOUNT;
    TW_TRY(take(file, "client_email", g->what, &g->email, err));
    TW_TRY(take(file, "private_key", g->what, &g->key, err));
    TW_TRY(tw_json_get_string(file, "private_key_id", g->what, &key_id, err));
    TW_TRY(tw_json_get_string(file, "token_uri", g->what, &uri, err));
    TW_TRY(key_id == NULL ? TRAWL_OK : tw_strdup(key_id, &g->key_id, err));
    return tw_strdup(uri, &g->token_uri, err);
}

static trawl_status take_user(struct tw_google *g, const json_t *file, struct trawl_error *err)
{
    const char *uri = TOKEN_URI;
    g->source       = FROM_USER;
    TW_TRY(take(file, "client_id", g->what, &g->client_id, err));
    TW_TRY(take(file, "client_secret", g->what, &g->client_secret, err));
    TW_TRY(take(file, "refresh_token", g->what, &g->refresh, err));
    TW_TRY(tw_json_get_string(file, "token_uri", g->what, &uri, err));
    return tw_strdup(uri, &g->token_uri, err);
}

static trawl_status take_file(struct tw_google *g, const json_t *file, struct trawl_error *err)
{
    const char *type = NULL;
    if (!json_is_object(file)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: %s, expected an object with credentials", g->what,
                       tw_json_type_name(file));
    }
    TW_TRY(tw_json_get_string(file, "type", g->what, &type, err));
    if (type != NULL && strcmp(type, "service_account") == 0) {
        return take_service_account(g, file, err);
    }
    if (type != NULL && strcmp(type, "authorized_user") == 0) {
        return take_user(g, file, err);
    }
    return tw_fail(
        err, TRAWL_ERR_UNSUPPORTED,
        "%s: credentials of type \"%.40s\", expected service_account or authorized_user; for others "
        "set GOOGLE_OAUTH_ACCESS_TOKEN to the output of `gcloud auth print-access-token`",
        g->what, type == NULL ? "" : type);
}

trawl_status tw_google_read(const char *text, size_t n, const char *what, struct tw_google **out,
                            struct trawl_error *err)
{
    struct tw_google *g = NULL;
    json_t *file        = NULL;
    *out                = NULL;
    TW_TRY(tw_json_parse(text, n, what, &file, err));
    trawl_status status = tw_alloc(1, sizeof *g, &g, err);
    if (status == TRAWL_OK) {
        status = tw_strdup(what, &g->what, err);
    }
    if (status == TRAWL_OK) {
        status = take_file(g, file, err);
    }
    json_decref(file);
    if (status != TRAWL_OK) {
        tw_google_free(g);
        return status;
    }
    *out = g;
    return TRAWL_OK;
}

static trawl_status read_file(const char *path, struct tw_google **out, struct trawl_error *err)
{
    char *text = NULL;
    size_t n   = 0;
    TW_TRY(tw_file_read(path, FILE_LIMIT, &text, &n, err));
    trawl_status status = tw_google_read(text, n, path, out, err);
    tw_free(text);
    return status;
}

/* ---- finding ---- */

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* Where gcloud keeps them; *path is NULL when there is no such file. */
static trawl_status usual_path(char **path, struct trawl_error *err)
{
    const char *folder = variable("CLOUDSDK_CONFIG"), *home = variable("HOME");
    char *joined = NULL;
    *path        = NULL;
    if (folder == NULL && home != NULL) {
        TW_TRY(tw_path_join(home, ".config/gcloud", &joined, err));
        folder = joined;
    }
    trawl_status status =
        folder == NULL ? TRAWL_OK : tw_path_join(folder, "application_default_credentials.json", path, err);
    tw_free(joined);
    if (status == TRAWL_OK && *path != NULL && !tw_path_exists(*path)) {
        tw_free(*path);
        *path = NULL;
    }
    return status;
}

static trawl_status find_other(struct tw_google *g, struct trawl_error *err)
{
    const char *token = variable("GOOGLE_OAUTH_ACCESS_TOKEN");
    token             = token == NULL ? variable("CLOUDSDK_AUTH_ACCESS_TOKEN") : token;
    if (token == NULL) {
        g->source = FROM_METADATA;
        return tw_strdup("the metadata server", &g->what, err);
    }
    g->source     = FROM_TOKEN;
    g->expires_ms = UINT64_MAX;
    TW_TRY(tw_strdup("the access token of the environment", &g->what, err));
    return tw_strdup(token, &g->token, err);
}

trawl_status tw_google_find(struct tw_google **out, struct trawl_error *err)
{
    struct tw_google *g = NULL;
    char *path          = NULL;
    const char *named   = variable("GOOGLE_APPLICATION_CREDENTIALS");
    bool has_token =
        variable("GOOGLE_OAUTH_ACCESS_TOKEN") != NULL || variable("CLOUDSDK_AUTH_ACCESS_TOKEN") != NULL;
    *out = NULL;
    if (!has_token && named != NULL) {
        return read_file(named, out, err);
    }
    TW_TRY(has_token ? TRAWL_OK : usual_path(&path, err));
    if (path != NULL) {
        trawl_status status = read_file(path, out, err);
        tw_free(path);
        return status;
    }
    TW_TRY(tw_alloc(1, sizeof *g, &g, err));
    trawl_status status = find_other(g, err);
    if (status != TRAWL_OK) {
        tw_google_free(g);
        return status;
    }
    *out = g;
    return TRAWL_OK;
}

/* ---- tokens ---- */

/* {"access_token": "...", "expires_in": 3599} */
static trawl_status take_token(struct tw_google *g, const struct tw_http_client *http,
                               const struct tw_http_response *response, struct trawl_error *err)
{
    json_t *answer    = NULL;
    const char *token = NULL;
    int64_t seconds   = 0;
    const char *what  = tw_str_text(&response->shown);
    TW_TRY(tw_json_parse(tw_str_text(&response->body), response->body.size, what, &answer, err));
    trawl_status status = !json_is_object(answer)
                              ? tw_fail(err, TRAWL_ERR_FORMAT, "%s: an answer without \"access_token\"", what)
                              : tw_json_get_string(answer, "access_token", what, &token, err);
    if (status == TRAWL_OK) {
        status = tw_json_get_int(answer, "expires_in", what, &seconds, err);
    }
    if (status == TRAWL_OK && (token == NULL || token[0] == '\0')) {
        status = tw_fail(err, TRAWL_ERR_FORMAT, "%s: an answer without \"access_token\"", what);
    }
    if (status == TRAWL_OK) {
        tw_google_forget(g);
        status        = tw_strdup(token, &g->token, err);
        seconds       = seconds < 0 || seconds > 86400 ? LIFE_S : seconds;
        g->expires_ms = tw_http_unix_ms(http) + (uint64_t)seconds * 1000;
    }
    json_decref(answer);
    return status;
}

/* {"error": "invalid_grant", "error_description": "..."} says more than a status. */
static trawl_status refused(const struct tw_google *g, const struct tw_http_response *response,
                            struct trawl_error *err)
{
    const char *reason = NULL, *more = NULL;
    json_t *answer = NULL;
    char text[200] = "";
    if (tw_json_parse(tw_str_text(&response->body), response->body.size, "answer", &answer, NULL) ==
            TRAWL_OK &&
        json_is_object(answer)) {
        reason = json_string_value(json_object_get(answer, "error"));
        more   = json_string_value(json_object_get(answer, "error_description"));
        (void)snprintf(text, sizeof text, "%.60s%s%.120s", reason == NULL ? "" : reason,
                       more == NULL ? "" : ": ", more == NULL ? "" : more);
    }
    json_decref(answer);
    trawl_status status = tw_http_refused_as(response, text, err);
    return tw_fail_prefix(err, status, "no access token by %s", g->what);
}

static trawl_status ask(struct tw_google *g, struct tw_http_client *http,
                        const struct tw_http_request *request, struct trawl_error *err)
{
    struct tw_http_response response;
    tw_http_response_init(&response);
    trawl_status status = tw_http_send(http, request, &response, err);
    if (status == TRAWL_OK) {
        status = response.status == 200 ? take_token(g, http, &response, err) : refused(g, &response, err);
    } else if (g->source == FROM_METADATA && status == TRAWL_ERR_IO) {
        status = tw_fail(
            err, status,
            "no credentials for Google Cloud: run `gcloud auth application-default login`, or set "
            "GOOGLE_APPLICATION_CREDENTIALS to the key file of a service account (%s does not answer)",
            tw_str_text(&response.shown));
    }
    tw_http_response_release(&response);
    return status;
}

static trawl_status put_form(struct tw_str *form, const char *name, const char *value,
                             struct trawl_error *err)
{
    TW_TRY(tw_str_printf(form, err, "%s%s=", form->size == 0 ? "" : "&", name));
    return tw_http_encode(form, value, strlen(value), false, err);
}

static trawl_status post_form(struct tw_google *g, struct tw_http_client *http, const struct tw_str *form,
                              struct trawl_error *err)
{
    const struct tw_http_header type     = {"Content-Type", "application/x-www-form-urlencoded"};
    const struct tw_http_request request = {.method     = TW_HTTP_POST,
                                            .url        = g->token_uri,
                                            .headers    = &type,
                                            .n_headers  = 1,
                                            .body       = tw_str_text(form),
                                            .body_size  = form->size,
                                            .body_limit = ANSWER_LIMIT};
    return ask(g, http, &request, err);
}

static trawl_status put_base64_json(struct tw_str *out, struct tw_json_writer *w, struct tw_str *text,
                                    struct trawl_error *err)
{
    tw_json_end_object(w);
    TW_TRY(tw_json_writer_finish(w, err));
    return tw_cloud_base64(out, tw_str_text(text), text->size, true, err);
}

static void put_pair(struct tw_json_writer *w, const char *key, const char *value)
{
    tw_json_key(w, key);
    tw_json_string(w, value);
}

/* header.claims.signature, in URL base64 each. */
static trawl_status put_jwt(const struct tw_google *g, uint64_t now_s, struct tw_str *out,
                            struct tw_str *text, struct trawl_error *err)
{
    struct tw_json_writer w;
    tw_json_writer_init(&w, text, 0);
    tw_json_begin_object(&w);
    put_pair(&w, "alg", "RS256");
    put_pair(&w, "typ", "JWT");
    if (g->key_id != NULL) {
        put_pair(&w, "kid", g->key_id);
    }
    TW_TRY(put_base64_json(out, &w, text, err));
    TW_TRY(tw_str_putc(out, '.', err));
    tw_str_reset(text);
    tw_json_writer_init(&w, text, 0);
    tw_json_begin_object(&w);
    put_pair(&w, "iss", g->email);
    put_pair(&w, "scope", SCOPE);
    put_pair(&w, "aud", g->token_uri);
    tw_json_key(&w, "iat");
    tw_json_int(&w, (int64_t)now_s);
    tw_json_key(&w, "exp");
    tw_json_int(&w, (int64_t)now_s + LIFE_S);
    TW_TRY(put_base64_json(out, &w, text, err));
    tw_str_reset(text);
    TW_TRY(tw_str_append(text, tw_str_text(out), out->size, err));
    TW_TRY(tw_str_putc(out, '.', err));
    return tw_cloud_rs256(out, g->key, tw_str_text(text), text->size, err);
}

static trawl_status by_service_account(struct tw_google *g, struct tw_http_client *http,
                                       struct trawl_error *err)
{
    struct tw_str jwt, text, form;
    tw_str_init(&jwt, 0);
    tw_str_init(&text, 0);
    tw_str_init(&form, 0);
    trawl_status status = put_jwt(g, tw_http_unix_ms(http) / 1000, &jwt, &text, err);
    if (status != TRAWL_OK) {
        status = tw_fail_prefix(err, status, "%s", g->what);
    }
    if (status == TRAWL_OK) {
        status = put_form(&form, "grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer", err);
    }
    if (status == TRAWL_OK) {
        status = put_form(&form, "assertion", tw_str_text(&jwt), err);
    }
    if (status == TRAWL_OK) {
        status = post_form(g, http, &form, err);
    }
    tw_str_release(&jwt);
    tw_str_release(&text);
    tw_str_release(&form);
    return status;
}

static trawl_status by_user(struct tw_google *g, struct tw_http_client *http, struct trawl_error *err)
{
    const char *const pairs[][2] = {{"grant_type", "refresh_token"},
                                    {"client_id", g->client_id},
                                    {"client_secret", g->client_secret},
                                    {"refresh_token", g->refresh}};
    struct tw_str form;
    tw_str_init(&form, 0);
    trawl_status status = TRAWL_OK;
    for (size_t i = 0; status == TRAWL_OK && i < 4; i++) {
        status = put_form(&form, pairs[i][0], pairs[i][1], err);
    }
    if (status == TRAWL_OK) {
        status = post_form(g, http, &form, err);
    }
    tw_str_release(&form);
    return status;
}

/* Off Google's machines the name does not resolve, or nothing answers: one short attempt decides. */
static trawl_status by_metadata(struct tw_google *g, struct tw_http_client *http, struct trawl_error *err)
{
    const struct tw_http_header flavor = {"Metadata-Flavor", "Google"};
    const char *host                   = variable("GCE_METADATA_HOST");
    struct tw_str url;
    tw_str_init(&url, 0);
    trawl_status status =
        tw_str_printf(&url, err, "http://%s/computeMetadata/v1/instance/service-accounts/default/token",
                      host == NULL ? METADATA : host);
    if (status == TRAWL_OK) {
        const struct tw_http_request request = {.method     = TW_HTTP_GET,
                                                .url        = tw_str_text(&url),
                                                .headers    = &flavor,
                                                .n_headers  = 1,
                                                .body_limit = ANSWER_LIMIT,
                                                .connect_ms = 3000,
                                                .stall_s    = 10,
                                                .once       = true};
        status                               = ask(g, http, &request, err);
    }
    tw_str_release(&url);
    return status;
}

void tw_google_forget(struct tw_google *google)
{
    if (google->source != FROM_TOKEN) { /* there is no other */
        tw_free(google->token);
        google->token = NULL;
    }
}

trawl_status tw_google_token(struct tw_google *google, struct tw_http_client *http, const char **token,
                             struct trawl_error *err)
{
    bool fresh = google->token != NULL &&
                 (google->expires_ms == UINT64_MAX || google->expires_ms > tw_http_unix_ms(http) + EARLY_MS);
    if (!fresh) {
        switch (google->source) {
        case FROM_SERVICE_ACCOUNT: TW_TRY(by_service_account(google, http, err)); break;
        case FROM_USER: TW_TRY(by_user(google, http, err)); break;
        case FROM_METADATA: TW_TRY(by_metadata(google, http, err)); break;
        case FROM_TOKEN: break;
        }
    }
    *token = google->token;
    return TRAWL_OK;
}
