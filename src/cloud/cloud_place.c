/* SPDX-License-Identifier: MIT */
#include "cloud/cloud_place.h"

#include <string.h>

#include "base/alloc.h"
#include "base/str.h"
#include "base/utf8.h"

enum {
    BUCKET_MIN = 3,
    BUCKET_MAX = 222,
    PREFIX_MAX = 700
}; /* both clouds: names of objects up to 1,024 bytes */

static bool is_bucket(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool inner = s[i] == '-' || s[i] == '_' || s[i] == '.';
        if (!(s[i] >= 'a' && s[i] <= 'z') && !(s[i] >= '0' && s[i] <= '9') &&
            (!inner || i == 0 || i == n - 1)) {
            return false;
        }
    }
    return n >= BUCKET_MIN && n <= BUCKET_MAX && memmem(s, n, "..", 2) == NULL;
}

/* Slashes at the ends do not count; "a//b", "." and ".." would be other objects to other tools. */
static trawl_status set_prefix(struct tw_cloud_place *out, const char *url, const char *at,
                               struct trawl_error *err)
{
    struct tw_str s;
    at += strspn(at, "/");
    size_t left = strlen(at);
    while (left > 0 && at[left - 1] == '/') {
        left--;
    }
    for (size_t i = 0; i < left;) {
        const char *slash = memchr(at + i, '/', left - i);
        size_t n          = slash == NULL ? left - i : (size_t)(slash - at) - i;
        if (n == 0 || (n <= 2 && strspn(at + i, ".") >= n)) {
            return tw_fail(err, TRAWL_ERR_INVALID, "%.200s: a part of the path is \"%.*s\"", url, (int)n,
                           at + i);
        }
        i += n + 1;
    }
    if (left > PREFIX_MAX || !tw_utf8_valid(at, left)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%.200s: the path has %zu bytes, expected at most %d of UTF-8",
                       url, left, PREFIX_MAX);
    }
    tw_str_init(&s, 0);
    trawl_status status = left == 0 ? TRAWL_OK : tw_str_append(&s, at, left, err);
    status              = status != TRAWL_OK || left == 0 ? status : tw_str_putc(&s, '/', err);
    status              = status != TRAWL_OK ? status : tw_strdup(tw_str_text(&s), &out->prefix, err);
    tw_str_release(&s);
    return status;
}

trawl_status tw_cloud_place_parse(const char *url, struct tw_cloud_place *out, struct trawl_error *err)
{
    *out = (struct tw_cloud_place){0};
    if (strncmp(url, "gs://", 5) != 0 && strncmp(url, "s3://", 5) != 0) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "\"%.200s\" is no place for objects, expected gs://bucket/path or s3://bucket/path",
                       url);
    }
    out->kind = url[0] == 'g' ? TW_CLOUD_GCS : TW_CLOUD_S3;
    size_t n  = strcspn(url + 5, "/");
    if (!is_bucket(url + 5, n)) {
        return tw_fail(
            err, TRAWL_ERR_INVALID,
            "%.200s: \"%.*s\" is no name of a bucket, expected 3 or more of a-z, 0-9, '-', '_', '.'", url,
            (int)n, url + 5);
    }
    TW_TRY(tw_strndup(url + 5, n, &out->bucket, err));
    return set_prefix(out, url, url + 5 + n, err);
}

void tw_cloud_place_release(struct tw_cloud_place *place)
{
    tw_free(place->bucket);
    tw_free(place->prefix);
    *place = (struct tw_cloud_place){0};
}
