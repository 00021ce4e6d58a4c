/* SPDX-License-Identifier: MIT */
/* The other door of fake_cloud.py: what goes wrong, and what is there. */
#ifndef TRAWL_TESTS_CLOUD_FAKE_H
#define TRAWL_TESTS_CLOUD_FAKE_H

#include "support/test.h"

#include <jansson.h>
#include <time.h>

#include "http/http.h"
#include "support/fake_server.h"

/* Waits take no time; the time of day is real, or signatures would be too old. */
static inline uint64_t cloud_now(void *user)
{
    struct timespec t;
    (void)user;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000;
}

static inline void cloud_no_sleep(void *user, uint64_t ms)
{
    (void)user;
    (void)ms;
}

static const struct tw_http_config cloud_http = {.clock = {cloud_now, cloud_no_sleep, NULL}};

static inline json_t *cloud_ask(const struct fake_server *server, const char *path, const char *body)
{
    struct trawl_error err;
    struct tw_http_client *client;
    struct tw_http_response response;
    char url[128];
    (void)snprintf(url, sizeof url, "%s%s", server->base, path);
    assert_ok(tw_http_client_new(&cloud_http, &client, &err));
    tw_http_response_init(&response);
    const struct tw_http_request request = {.method     = body == NULL ? TW_HTTP_GET : TW_HTTP_POST,
                                            .url        = url,
                                            .body       = body,
                                            .body_size  = body == NULL ? 0 : strlen(body),
                                            .body_limit = 64 << 20};
    assert_ok(tw_http_send(client, &request, &response, &err));
    assert_int_equal(response.status, 200);
    json_t *answer = json_loadb(tw_str_text(&response.body), response.body.size, 0, NULL);
    tw_http_response_release(&response);
    tw_http_client_free(client);
    return answer;
}

/* Rules, separated by commas (fake_cloud.py says how they read). */
static inline void cloud_rules(const struct fake_server *server, const char *text)
{
    char body[512];
    (void)snprintf(body, sizeof body, "{\"rules\": [%s], \"forget\": [\"log\"]}", text);
    json_decref(cloud_ask(server, "/_control", body));
}

/* Nothing of the machine that runs the test is used; the fake stands for both clouds. */
static inline void cloud_clean_environment(const struct fake_server *server, const char *home)
{
    static const char *const names[] = {"GOOGLE_OAUTH_ACCESS_TOKEN",
                                        "CLOUDSDK_AUTH_ACCESS_TOKEN",
                                        "GOOGLE_APPLICATION_CREDENTIALS",
                                        "STORAGE_EMULATOR_HOST",
                                        "GCE_METADATA_HOST",
                                        "AWS_ACCESS_KEY_ID",
                                        "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN",
                                        "AWS_PROFILE",
                                        "AWS_REGION",
                                        "AWS_DEFAULT_REGION",
                                        "AWS_ENDPOINT_URL",
                                        "AWS_SHARED_CREDENTIALS_FILE",
                                        "AWS_CONFIG_FILE",
                                        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                                        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                                        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                                        "AWS_EC2_METADATA_DISABLED",
                                        "CLOUDSDK_CONFIG"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)unsetenv(names[i]);
    }
    (void)setenv("no_proxy", "*", 1);
    (void)setenv("HOME", home, 1);
    (void)setenv("AWS_ENDPOINT_URL_S3", server->base, 1);
    (void)setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE", server->base, 1);
}

static inline int cloud_remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    return scratch_remove_one(path, st, kind, at);
}

#endif /* TRAWL_TESTS_CLOUD_FAKE_H */
