/* SPDX-License-Identifier: MIT */
/* What servers, files of credentials and an old ledger may say: the first byte chooses the reader, the rest is its input.
 * Whatever it is, readers answer or refuse. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "cloud/cloud_aws.h"
#include "cloud/cloud_google.h"
#include "cloud/cloud_ini.h"
#include "cloud/cloud_ledger.h"
#include "cloud/cloud_place.h"
#include "cloud/cloud_xml.h"
#include "http/http_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static trawl_status take_line(void *user, const char *object, uint64_t bytes, const char *xxh3,
                              struct trawl_error *err)
{
    (void)err;
    *(size_t *)user += strlen(object) + strlen(xxh3) + (bytes != 0);
    return TRAWL_OK;
}

static void read_head(const char *text, size_t n)
{
    struct tw_http_response response;
    uint64_t begin;
    size_t length;
    tw_http_response_init(&response);
    for (size_t at = 0; at < n;) {
        const char *newline = memchr(text + at, '\n', n - at);
        size_t stop         = newline == NULL ? n : (size_t)(newline - text) + 1;
        (void)tw_http_head_line(&response, text + at, stop - at);
        at = stop;
    }
    const char *value = tw_http_header(&response, "etag", &length);
    if (value != NULL && memchr(value, '\n', length) != NULL) {
        __builtin_trap();
    }
    (void)tw_http_range_begin(&response, &begin);
    (void)tw_http_retry_after(&response, 1700000000000u);
    (void)tw_str_append(&response.body, text, n, NULL);
    (void)tw_http_refused(&response, NULL);
    tw_http_response_release(&response);
}

static void read_url(const char *text)
{
    struct tw_cloud_place place;
    struct tw_str shown, next;
    tw_str_init(&shown, 0);
    tw_str_init(&next, 0);
    (void)tw_cloud_place_parse(text, &place, NULL);
    tw_cloud_place_release(&place);
    (void)tw_http_show(&shown, text, NULL);
    if (strchr(tw_str_text(&shown), '?') != NULL || strchr(tw_str_text(&shown), '@') != NULL) {
        const char *path = strchr(tw_str_text(&shown), '/');
        if (path == NULL || strchr(tw_str_text(&shown), '?') != NULL ||
            strchr(tw_str_text(&shown), '@') < path) {
            __builtin_trap(); /* a query, or who somebody is */
        }
    }
    (void)tw_http_resolve(&next, "https://host/a/b", text, strlen(text), NULL);
    if (next.size > 0 && strncmp(next.data, "https:", 6) != 0 &&
        tw_http_same_origin("https://host", next.data)) {
        __builtin_trap();
    }
    tw_str_release(&shown);
    tw_str_release(&next);
}

static void read_credentials(const char *text, size_t n)
{
    struct tw_google *google = NULL;
    struct tw_aws *aws       = NULL;
    if (tw_google_read(text, n, "fuzz", &google, NULL) == TRAWL_OK) {
        tw_google_free(google);
    }
    if (tw_aws_find(&aws, NULL) == TRAWL_OK) {
        (void)tw_aws_read_answer(aws, text, n, "fuzz", NULL);
    }
    tw_aws_free(aws);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = NULL, *value = NULL, small[40];
    size_t valid = 0, sum = 0;
    if (size == 0 || tw_strndup((const char *)data + 1, size - 1, &text, NULL) != TRAWL_OK) {
        return 0;
    }
    size_t n = size - 1;
    switch (data[0] % 6) {
    case 0: read_head(text, n); break;
    case 1: read_url(text); break;
    case 2: read_credentials(text, n); break;
    case 3:
        (void)tw_ini_get(text, n, "default", "region", &value, NULL);
        tw_free(value);
        break;
    case 4: (void)tw_xml_text(text, n, "Code", small, sizeof small); break;
    default:
        (void)tw_ledger_read(text, n, "fuzz", take_line, &sum, &valid, NULL);
        if (valid > n) {
            __builtin_trap();
        }
    }
    tw_free(text);
    return 0;
}
