/* SPDX-License-Identifier: MIT */
#include "cloud/cloud_sigv4.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cloud/cloud_crypto.h"

void tw_sigv4_time(uint64_t unix_ms, char out[17])
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm t;
    (void)gmtime_r(&seconds, &t);
    if (strftime(out, 17, "%Y%m%dT%H%M%SZ", &t) != 16) {
        out[0] = '\0';
    }
}

/* Indices 0..n-1 into `order`, so that names ascend. */
static void sort_by_name(const char *(*name)(const void *list, size_t i), const void *list, size_t n,
                         size_t order[TW_SIGV4_PARTS])
{
    for (size_t i = 0; i < n; i++) {
        size_t at = i;
        while (at > 0 && strcmp(name(list, order[at - 1]), name(list, i)) > 0) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = i;
    }
}

static const char *query_name(const void *list, size_t i)
{
    return ((const struct tw_sigv4_query *)list)[i].name;
}

static const char *header_name(const void *list, size_t i)
{
    return ((const struct tw_http_header *)list)[i].name;
}

trawl_status tw_sigv4_query_text(const struct tw_sigv4_query *query, size_t n, struct tw_str *out,
                                 struct trawl_error *err)
{
    size_t order[TW_SIGV4_PARTS];
    TW_BUG_ON(n > TW_SIGV4_PARTS);
    sort_by_name(query_name, query, n, order);
    for (size_t i = 0; i < n; i++) {
        const struct tw_sigv4_query *q = &query[order[i]];
        TW_TRY(tw_str_puts(out, i == 0 ? "" : "&", err));
        TW_TRY(tw_http_encode(out, q->name, strlen(q->name), false, err));
        TW_TRY(tw_str_putc(out, '=', err));
        TW_TRY(tw_http_encode(out, q->value, strlen(q->value), false, err));
    }
    return TRAWL_OK;
}

/* Outer blanks go, inner ones become one. */
static trawl_status put_value(struct tw_str *out, const char *value, struct trawl_error *err)
{
    bool blank = false, any = false;
    for (; *value != '\0'; value++) {
        if (*value == ' ' || *value == '\t') {
            blank = any;
            continue;
        }
        TW_TRY(blank ? tw_str_putc(out, ' ', err) : TRAWL_OK);
        TW_TRY(tw_str_putc(out, *value, err));
        blank = false;
        any   = true;
    }
    return TRAWL_OK;
}

static trawl_status canonical(const struct tw_sigv4 *r, struct tw_str *names, struct tw_str *out,
                              struct trawl_error *err)
{
    size_t order[TW_SIGV4_PARTS];
    TW_BUG_ON(r->n_headers > TW_SIGV4_PARTS);
    sort_by_name(header_name, r->headers, r->n_headers, order);
    TW_TRY(tw_str_printf(out, err, "%s\n%s\n", r->method, r->path));
    TW_TRY(tw_sigv4_query_text(r->query, r->n_query, out, err));
    TW_TRY(tw_str_putc(out, '\n', err));
    for (size_t i = 0; i < r->n_headers; i++) {
        const struct tw_http_header *h = &r->headers[order[i]];
        TW_TRY(tw_str_printf(names, err, "%s%s", i == 0 ? "" : ";", h->name));
        TW_TRY(tw_str_printf(out, err, "%s:", h->name));
        TW_TRY(put_value(out, h->value, err));
        TW_TRY(tw_str_putc(out, '\n', err));
    }
    return tw_str_printf(out, err, "\n%s\n%s", tw_str_text(names), r->payload);
}

static trawl_status signing_key(const struct tw_sigv4 *r, uint8_t key[TW_SHA256_BYTES],
                                struct trawl_error *err)
{
    struct tw_str first;
    tw_str_init(&first, 0);
    trawl_status status = tw_str_printf(&first, err, "AWS4%s", r->secret);
    if (status == TRAWL_OK) {
        status = tw_cloud_hmac(tw_str_text(&first), first.size, r->time, 8, key, err);
    }
    tw_str_release(&first);
    const char *const words[] = {r->region, r->service, "aws4_request"};
    for (size_t i = 0; status == TRAWL_OK && i < 3; i++) {
        uint8_t next[TW_SHA256_BYTES];
        status = tw_cloud_hmac(key, TW_SHA256_BYTES, words[i], strlen(words[i]), next, err);
        memcpy(key, next, sizeof next);
    }
    return status;
}

/* `text`: scratch. */
static trawl_status sign(const struct tw_sigv4 *r, struct tw_str *names, struct tw_str *text,
                         struct tw_str *out, struct trawl_error *err)
{
    uint8_t digest[TW_SHA256_BYTES], key[TW_SHA256_BYTES];
    char hex[TW_SHA256_HEX];
    TW_TRY(canonical(r, names, text, err));
    TW_TRY(tw_cloud_sha256(tw_str_text(text), text->size, digest, err));
    tw_cloud_hex(digest, sizeof digest, hex);
    tw_str_reset(text);
    TW_TRY(tw_str_printf(text, err, "AWS4-HMAC-SHA256\n%s\n%.8s/%s/%s/aws4_request\n%s", r->time, r->time,
                         r->region, r->service, hex));
    TW_TRY(signing_key(r, key, err));
    TW_TRY(tw_cloud_hmac(key, sizeof key, tw_str_text(text), text->size, digest, err));
    tw_cloud_hex(digest, sizeof digest, hex);
    return tw_str_printf(
        out, err, "AWS4-HMAC-SHA256 Credential=%s/%.8s/%s/%s/aws4_request, SignedHeaders=%s, Signature=%s",
        r->key_id, r->time, r->region, r->service, tw_str_text(names), hex);
}

trawl_status tw_sigv4_sign(const struct tw_sigv4 *request, struct tw_str *out, struct trawl_error *err)
{
    struct tw_str names, text;
    tw_str_init(&names, 0);
    tw_str_init(&text, 0);
    trawl_status status = sign(request, &names, &text, out, err);
    tw_str_release(&names);
    tw_str_release(&text);
    return status;
}
