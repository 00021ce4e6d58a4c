/* SPDX-License-Identifier: MIT */
/* Attempts until one answers, and redirects. */
#include "base/size.h"
#include "http/http.h"
#include "http/http_int.h"

enum {
    DEFAULT_ATTEMPTS       = 6,
    DEFAULT_FIRST_MS       = 500,
    DEFAULT_MOST_MS        = 32000,
    DEFAULT_RETRY_AFTER_MS = 120000,
    SLICE_MS               = 100
};

bool tw_http_passing(int status)
{
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

/* xorshift64*: only has to keep many clients apart. */
static uint64_t next_random(struct tw_http_client *client)
{
    uint64_t x = client->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    client->random = x;
    return (x * 0x2545F4914F6CDD1Dull) >> 11;
}

static uint64_t pause_ms(struct tw_http_client *client, int attempt, const struct tw_http_response *response)
{
    const struct tw_http_retry *r = &client->retry;
    uint64_t most                 = r->most_ms == 0 ? DEFAULT_MOST_MS : r->most_ms;
    uint64_t patience             = r->retry_after_ms == 0 ? DEFAULT_RETRY_AFTER_MS : r->retry_after_ms;
    uint64_t ms                   = r->first_ms == 0 ? DEFAULT_FIRST_MS : r->first_ms;
    for (int i = 1; i < attempt && ms < most; i++) {
        ms *= 2;
    }
    ms             = tw_min_size(ms, most);
    ms             = ms / 2 + next_random(client) % (ms / 2 + 1);
    uint64_t asked = response == NULL ? 0 : tw_http_retry_after(response, tw_http_unix_ms(client));
    return tw_max_size(ms, tw_min_size(asked, patience));
}

bool tw_http_wait(struct tw_http_client *client, int attempt, const struct tw_http_response *response)
{
    int attempts = client->retry.attempts == 0 ? DEFAULT_ATTEMPTS : client->retry.attempts;
    if (attempt >= attempts) {
        return false;
    }
    uint64_t ms = pause_ms(client, attempt, response);
    if (response != NULL) {
        const char *why = response->status != 0       ? tw_http_status_text(response->status)
                          : client->reason[0] != '\0' ? client->reason
                                                      : "no answer";
        tw_log(&client->log, TW_LOG_INFO, "%s: %s; attempt %d of %d in %.1f s", tw_str_text(&response->shown),
               why, attempt + 1, attempts, (double)ms / 1000);
    }
    while (ms > 0 && !tw_http_is_cancelled(client)) {
        uint64_t slice = tw_min_size(ms, SLICE_MS);
        client->clock.sleep_ms(client->clock.user, slice);
        ms -= slice;
    }
    return !tw_http_is_cancelled(client);
}

/* The attempts at one place. */
static trawl_status send_to(struct tw_http_client *client, const struct tw_http_request *request,
                            const struct tw_http_target *target, struct tw_http_response *response,
                            struct trawl_error *err)
{
    struct trawl_error error = {0};
    for (int attempt = 1;; attempt++) {
        enum tw_http_end end = tw_http_attempt(client, request, target, response, &error);
        response->attempts++;
        bool again = end == TW_HTTP_PASSING || (end == TW_HTTP_ANSWERED && tw_http_passing(response->status));
        if (again && !request->once && tw_http_wait(client, attempt, response)) {
            continue;
        }
        if (again && tw_http_is_cancelled(client)) {
            return tw_fail(err, TRAWL_ERR_CANCELLED, "%s: stopped on request", tw_str_text(&response->shown));
        }
        if (end != TW_HTTP_ANSWERED && err != NULL) {
            *err = error;
        }
        return end == TW_HTTP_ANSWERED ? TRAWL_OK : error.status;
    }
}

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static trawl_status follow(struct tw_http_client *client, const struct tw_http_request *request,
                           struct tw_http_response *response, struct tw_str *at, struct trawl_error *err)
{
    struct tw_http_target target = {.url = request->url};
    struct tw_str next;
    tw_str_init(&next, 0);
    trawl_status status = TRAWL_OK;
    for (int left = request->redirects; status == TRAWL_OK; left--) {
        size_t n;
        status = send_to(client, request, &target, response, err);
        if (status != TRAWL_OK || request->redirects == 0 || !is_redirect(response->status)) {
            break;
        }
        const char *location = tw_http_header(response, "location", &n);
        if (location == NULL || left == 0) {
            status = tw_fail(err, TRAWL_ERR_IO, "%s: %s", tw_str_text(&response->shown),
                             left == 0 ? "redirects without end" : "a redirect to nowhere");
            break;
        }
        tw_str_reset(&next);
        status = tw_http_resolve(&next, target.url, location, n, err);
        if (status == TRAWL_OK) {
            tw_str_reset(at);
            status         = tw_str_append(at, next.data, next.size, err);
            target.foreign = target.foreign || !tw_http_same_origin(request->url, tw_str_text(at));
            target.url     = tw_str_text(at);
        }
    }
    tw_str_release(&next);
    return status;
}

trawl_status tw_http_send(struct tw_http_client *client, const struct tw_http_request *request,
                          struct tw_http_response *response, struct trawl_error *err)
{
    struct tw_str at;
    bool may_follow = request->method == TW_HTTP_GET || request->method == TW_HTTP_HEAD;
    if (request->redirects > 0 && !may_follow) {
        return tw_fail(err, TRAWL_ERR_INVALID, "redirects of PUT, POST and DELETE are not followed");
    }
    response->attempts = 0;
    tw_str_init(&at, 0);
    trawl_status status = follow(client, request, response, &at, err);
    tw_str_release(&at);
    return status;
}
