/* SPDX-License-Identifier: MIT */
#include "cloud/cloud_aws.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/str.h"
#include "cloud/cloud_ini.h"
#include "json/json.h"

#define CONTAINER_HOST "http://169.254.170.2"
#define MACHINE_HOST   "http://169.254.169.254"
#define MACHINE_PATH   "/latest/meta-data/iam/security-credentials/"

enum { FILE_LIMIT = 1 << 20, ANSWER_LIMIT = 1 << 16, EARLY_MS = 300000, TOKEN_LIMIT = 4096 };

enum source { FROM_TEXT, FROM_CONTAINER, FROM_MACHINE };

struct tw_aws {
    enum source source;
    char *id, *secret, *token; /* token: NULL when there is none; id: NULL when not asked for yet */
    char *region;
    uint64_t expires_ms; /* UINT64_MAX: not known to end */
};

void tw_aws_free(struct tw_aws *aws)
{
    if (aws == NULL) {
        return;
    }
    tw_free(aws->id);
    tw_free(aws->secret);
    tw_free(aws->token);
    tw_free(aws->region);
    tw_free(aws);
}

const char *tw_aws_region(const struct tw_aws *aws)
{
    return aws->region;
}

trawl_status tw_aws_set_region(struct tw_aws *aws, const char *region, struct trawl_error *err)
{
    char *copy = NULL;
    TW_TRY(tw_strdup(region, &copy, err));
    tw_free(aws->region);
    aws->region = copy;
    return TRAWL_OK;
}

static trawl_status set_keys(struct tw_aws *aws, const char *id, const char *secret, const char *token,
                             uint64_t expires_ms, struct trawl_error *err)
{
    tw_free(aws->id);
    tw_free(aws->secret);
    tw_free(aws->token);
    aws->id = aws->secret = aws->token = NULL;
    aws->expires_ms                    = expires_ms;
    TW_TRY(tw_strdup(id, &aws->id, err));
    TW_TRY(tw_strdup(secret, &aws->secret, err));
    return token == NULL || token[0] == '\0' ? TRAWL_OK : tw_strdup(token, &aws->token, err);
}

/* ---- variables and files ---- */

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static const char *profile_name(void)
{
    const char *name = variable("AWS_PROFILE");
    return name == NULL ? "default" : name;
}

/* A file in ~/.aws, or where its variable says; *text is NULL when there is none. */
static trawl_status read_aws_file(const char *override, const char *name, char **text, size_t *n,
                                  struct trawl_error *err)
{
    const char *given = variable(override), *home = variable("HOME");
    char *path = NULL;
    *text      = NULL;
    *n         = 0;
    if (given != NULL) {
        TW_TRY(tw_strdup(given, &path, err));
    } else if (home != NULL) {
        TW_TRY(tw_path_join(home, name, &path, err));
    }
    trawl_status status =
        path != NULL && tw_path_exists(path) ? tw_file_read(path, FILE_LIMIT, text, n, err) : TRAWL_OK;
    tw_free(path);
    return status;
}

struct profile {
    char *id, *secret, *token, *region, *other; /* other: how else the profile gets keys */
};

static void profile_release(struct profile *p)
{
    tw_free(p->id);
    tw_free(p->secret);
    tw_free(p->token);
    tw_free(p->region);
    tw_free(p->other);
}

static trawl_status profile_take(const char *text, size_t n, const char *key, char **out,
                                 struct trawl_error *err)
{
    return *out != NULL || text == NULL ? TRAWL_OK : tw_ini_get(text, n, profile_name(), key, out, err);
}

/* What the file adds to what is known. */
static trawl_status profile_read(struct profile *p, const char *override, const char *name,
                                 struct trawl_error *err)
{
    static const char *const others[] = {"sso_session", "sso_start_url", "role_arn", "credential_process",
                                         "source_profile"};
    char *text                        = NULL;
    size_t n                          = 0;
    TW_TRY(read_aws_file(override, name, &text, &n, err));
    trawl_status status = TRAWL_OK;
    if (p->id == NULL) { /* id, secret and token belong together */
        status = profile_take(text, n, "aws_access_key_id", &p->id, err);
        status =
            status != TRAWL_OK ? status : profile_take(text, n, "aws_secret_access_key", &p->secret, err);
        status = status != TRAWL_OK ? status : profile_take(text, n, "aws_session_token", &p->token, err);
    }
    status = status != TRAWL_OK ? status : profile_take(text, n, "region", &p->region, err);
    for (size_t i = 0; status == TRAWL_OK && i < sizeof others / sizeof others[0]; i++) {
        char *value = NULL;
        status      = profile_take(text, n, others[i], &value, err);
        if (status == TRAWL_OK && value != NULL && p->other == NULL) {
            status = tw_strdup(others[i], &p->other, err);
        }
        tw_free(value);
    }
    tw_free(text);
    return status;
}

static trawl_status take_keys(struct tw_aws *aws, const struct profile *p, struct trawl_error *err)
{
    const char *id = variable("AWS_ACCESS_KEY_ID"), *secret = variable("AWS_SECRET_ACCESS_KEY");
    if ((id == NULL) != (secret == NULL)) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set");
    }
    if (id != NULL) {
        return set_keys(aws, id, secret, variable("AWS_SESSION_TOKEN"), UINT64_MAX, err);
    }
    if (p->id != NULL && p->secret != NULL) {
        return set_keys(aws, p->id, p->secret, p->token, UINT64_MAX, err);
    }
    if (p->other != NULL) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                       "the AWS profile \"%.60s\" gets its keys by %s, which trawl does not do; run "
                       "`eval \"$(aws configure export-credentials --format env)\"` before",
                       profile_name(), p->other);
    }
    if (variable("AWS_PROFILE") != NULL) {
        return tw_fail(
            err, TRAWL_ERR_INVALID,
            "AWS_PROFILE is \"%.60s\", and neither ~/.aws/credentials nor ~/.aws/config has keys for it",
            profile_name());
    }
    bool container = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != NULL ||
                     variable("AWS_CONTAINER_CREDENTIALS_FULL_URI") != NULL;
    aws->source = container ? FROM_CONTAINER : FROM_MACHINE;
    return TRAWL_OK;
}

static trawl_status find(struct tw_aws *aws, struct profile *p, struct trawl_error *err)
{
    const char *region = variable("AWS_REGION");
    TW_TRY(profile_read(p, "AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials", err));
    TW_TRY(profile_read(p, "AWS_CONFIG_FILE", ".aws/config", err));
    region = region == NULL ? variable("AWS_DEFAULT_REGION") : region;
    region = region == NULL ? p->region : region;
    TW_TRY(tw_aws_set_region(aws, region == NULL ? "us-east-1" : region, err));
    return take_keys(aws, p, err);
}

trawl_status tw_aws_find(struct tw_aws **out, struct trawl_error *err)
{
    struct tw_aws *aws = NULL;
    struct profile p   = {0};
    *out               = NULL;
    TW_TRY(tw_alloc(1, sizeof *aws, &aws, err));
    trawl_status status = find(aws, &p, err);
    profile_release(&p);
    if (status != TRAWL_OK) {
        tw_aws_free(aws);
        return status;
    }
    *out = aws;
    return TRAWL_OK;
}

/* ---- containers and machines ---- */

/* "2026-11-22T06:00:00Z"; what is no time ends at once, so that keys are asked for again. */
static uint64_t end_of(const char *text)
{
    struct tm t = {0};
    if (text == NULL) {
        return UINT64_MAX;
    }
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &t);
    time_t seconds   = rest == NULL ? 0 : timegm(&t);
    return seconds <= 0 ? 0 : (uint64_t)seconds * 1000;
}

trawl_status tw_aws_read_answer(struct tw_aws *aws, const char *text, size_t n, const char *what,
                                struct trawl_error *err)
{
    const char *id = NULL, *secret = NULL, *token = NULL, *end = NULL;
    json_t *answer = NULL;
    TW_TRY(tw_json_parse(text, n, what, &answer, err));
    trawl_status status = json_is_object(answer)
                              ? TRAWL_OK
                              : tw_fail(err, TRAWL_ERR_FORMAT, "%s: an answer without keys", what);
    status = status != TRAWL_OK ? status : tw_json_get_string(answer, "AccessKeyId", what, &id, err);
    status = status != TRAWL_OK ? status : tw_json_get_string(answer, "SecretAccessKey", what, &secret, err);
    status = status != TRAWL_OK ? status : tw_json_get_string(answer, "Token", what, &token, err);
    status = status != TRAWL_OK ? status : tw_json_get_string(answer, "Expiration", what, &end, err);
    if (status == TRAWL_OK && (id == NULL || secret == NULL)) {
        status = tw_fail(err, TRAWL_ERR_FORMAT, "%s: an answer without keys", what);
    }
    if (status == TRAWL_OK) {
        status = set_keys(aws, id, secret, token, end_of(end), err);
    }
    json_decref(answer);
    return status;
}

/* One short attempt at an address that only exists on such machines. */
static trawl_status ask(struct tw_http_client *http, struct tw_http_request *request,
                        struct tw_http_response *response, struct trawl_error *err)
{
    request->body_limit = ANSWER_LIMIT;
    request->connect_ms = 2000;
    request->stall_s    = 10;
    request->once       = true;
    trawl_status status = tw_http_send(http, request, response, err);
    if (status == TRAWL_ERR_IO) {
        return tw_fail(
            err, status,
            "no credentials for S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure` "
            "(%s does not answer)",
            tw_str_text(&response->shown));
    }
    TW_TRY(status);
    return response->status == 200 ? TRAWL_OK : tw_http_refused(response, err);
}

/* Only over https, or to this machine and what stands for it: the token is a secret. */
static bool may_have_token(const char *url)
{
    static const char *const near[] = {"localhost",     "127.0.0.1",      "[::1]",
                                       "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
    struct tw_str origin;
    bool may = false;
    tw_str_init(&origin, 0);
    if (tw_http_origin(&origin, url, NULL) == TRAWL_OK) {
        const char *text = tw_str_text(&origin);
        may              = strncmp(text, "https://", 8) == 0;
        for (size_t i = 0; !may && i < sizeof near / sizeof near[0]; i++) {
            size_t n = strlen(near[i]);
            may      = strncmp(text + 7, near[i], n) == 0 && (text[7 + n] == ':' || text[7 + n] == '\0');
        }
    }
    tw_str_release(&origin);
    return may;
}

/* The token stands in a variable, or in a file that a variable names. */
static trawl_status container_token(char **token, struct trawl_error *err)
{
    const char *file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
               *text = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    size_t n;
    *token = NULL;
    if (file == NULL) {
        return text == NULL ? TRAWL_OK : tw_strdup(text, token, err);
    }
    TW_TRY(tw_file_read(file, TOKEN_LIMIT, token, &n, err));
    (*token)[strcspn(*token, "\r\n")] = '\0';
    return TRAWL_OK;
}

static trawl_status from_container(struct tw_aws *aws, struct tw_http_client *http,
                                   struct tw_http_response *response, struct tw_str *url,
                                   struct trawl_error *err)
{
    const char *relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
               *full     = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    char *token          = NULL;
    TW_TRY(relative != NULL ? tw_str_printf(url, err, CONTAINER_HOST "%s", relative)
                            : tw_str_puts(url, full, err));
    if (!may_have_token(tw_str_text(url))) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor an address of this machine");
    }
    TW_TRY(container_token(&token, err));
    const struct tw_http_header header = {"Authorization", token == NULL ? "" : token};
    struct tw_http_request request     = {
            .url = tw_str_text(url), .headers = &header, .n_headers = token == NULL ? 0 : 1};
    trawl_status status = ask(http, &request, response, err);
    tw_free(token);
    TW_TRY(status);
    return tw_aws_read_answer(aws, tw_str_text(&response->body), response->body.size,
                              tw_str_text(&response->shown), err);
}

/* A session token first, then the name of the role, then its keys. `url`: scratch. */
static trawl_status from_machine(struct tw_aws *aws, struct tw_http_client *http,
                                 struct tw_http_response *response, struct tw_str *url,
                                 struct trawl_error *err)
{
    const char *off  = variable("AWS_EC2_METADATA_DISABLED"),
               *host = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    char token[512], role[256];
    if (off != NULL && strcasecmp(off, "true") == 0) {
        return tw_fail(
            err, TRAWL_ERR_INVALID,
            "no credentials for S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`");
    }
    host = host == NULL ? MACHINE_HOST : host;
    TW_TRY(tw_str_printf(url, err, "%s/latest/api/token", host));
    const struct tw_http_header life = {"X-aws-ec2-metadata-token-ttl-seconds", "21600"};
    struct tw_http_request request   = {
          .method = TW_HTTP_PUT, .url = tw_str_text(url), .headers = &life, .n_headers = 1};
    TW_TRY(ask(http, &request, response, err));
    (void)snprintf(token, sizeof token, "%s", tw_str_text(&response->body));
    const struct tw_http_header session = {"X-aws-ec2-metadata-token", token};
    tw_str_reset(url);
    TW_TRY(tw_str_printf(url, err, "%s" MACHINE_PATH, host));
    request = (struct tw_http_request){.url = tw_str_text(url), .headers = &session, .n_headers = 1};
    TW_TRY(ask(http, &request, response, err));
    (void)snprintf(role, sizeof role, "%s", tw_str_text(&response->body));
    role[strcspn(role, "\r\n")] = '\0';
    TW_TRY(tw_http_encode(url, role, strlen(role), false, err));
    request.url = tw_str_text(url);
    TW_TRY(ask(http, &request, response, err));
    return tw_aws_read_answer(aws, tw_str_text(&response->body), response->body.size,
                              tw_str_text(&response->shown), err);
}

trawl_status tw_aws_keys(struct tw_aws *aws, struct tw_http_client *http, struct tw_aws_keys *keys,
                         struct trawl_error *err)
{
    bool fresh = aws->id != NULL &&
                 (aws->expires_ms == UINT64_MAX || aws->expires_ms > tw_http_unix_ms(http) + EARLY_MS);
    if (!fresh && aws->source != FROM_TEXT) {
        struct tw_http_response response;
        struct tw_str url;
        tw_http_response_init(&response);
        tw_str_init(&url, 0);
        trawl_status status = aws->source == FROM_CONTAINER ? from_container(aws, http, &response, &url, err)
                                                            : from_machine(aws, http, &response, &url, err);
        tw_str_release(&url);
        tw_http_response_release(&response);
        TW_TRY(status);
    }
    *keys = (struct tw_aws_keys){aws->id, aws->secret, aws->token};
    return TRAWL_OK;
}
