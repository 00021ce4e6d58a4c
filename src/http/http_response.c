/* SPDX-License-Identifier: MIT */
/* Reading answers: status line, headers, and what their values mean. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "http/http.h"
#include "http/http_int.h"

enum { HEAD_LIMIT = 1 << 18, REASON_BYTES = 240 };

void tw_http_response_init(struct tw_http_response *response)
{
    *response = (struct tw_http_response){.status = 0};
    tw_str_init(&response->head, HEAD_LIMIT);
    tw_str_init(&response->body, 0);
    tw_str_init(&response->shown, 0);
    tw_str_init(&response->url, 0);
}

void tw_http_response_release(struct tw_http_response *response)
{
    tw_str_release(&response->head);
    tw_str_release(&response->body);
    tw_str_release(&response->shown);
    tw_str_release(&response->url);
}

/* ---- the head ---- */

/* "HTTP/1.1 200 OK", "HTTP/2 200": the digits behind the first blank. */
static int status_of(const char *line, size_t n)
{
    const char *blank = memchr(line, ' ', n);
    int status        = 0;
    for (size_t i = blank == NULL ? n : (size_t)(blank - line) + 1, digits = 0; i < n && digits < 3;
         i++, digits++) {
        if (!isdigit((unsigned char)line[i])) {
            return 0;
        }
        status = status * 10 + (line[i] - '0');
    }
    return status;
}

bool tw_http_head_line(struct tw_http_response *response, const char *line, size_t n)
{
    while (n > 0 && isspace((unsigned char)line[n - 1])) {
        n--;
    }
    if (n > 5 && memcmp(line, "HTTP/", 5) == 0) {
        tw_str_reset(&response->head);
        response->status = status_of(line, n);
        return true;
    }
    const char *colon = memchr(line, ':', n);
    if (colon == NULL || memchr(line, '\n', n) != NULL) {
        return true; /* the empty line at the end; a folded or broken line is nobody's */
    }
    size_t name = (size_t)(colon - line), value = name + 1;
    while (value < n && isspace((unsigned char)line[value])) {
        value++;
    }
    bool ok = true;
    for (size_t i = 0; ok && i < name; i++) {
        ok = tw_str_putc(&response->head, (char)tolower((unsigned char)line[i]), NULL) == TRAWL_OK;
    }
    return ok && tw_str_puts(&response->head, ": ", NULL) == TRAWL_OK &&
           tw_str_append(&response->head, line + value, n - value, NULL) == TRAWL_OK &&
           tw_str_putc(&response->head, '\n', NULL) == TRAWL_OK;
}

const char *tw_http_header(const struct tw_http_response *response, const char *name, size_t *n)
{
    const char *at = tw_str_text(&response->head), *end = at + response->head.size, *found = NULL;
    size_t length = strlen(name);
    *n            = 0;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if ((size_t)(stop - at) >= length + 2 && memcmp(at, name, length) == 0 && at[length] == ':') {
            found = at + length + 2;
            *n    = (size_t)(stop - found);
        }
        at = stop + 1;
    }
    return found;
}

bool tw_http_header_copy(const struct tw_http_response *response, const char *name, char *out, size_t size)
{
    size_t n;
    const char *value = tw_http_header(response, name, &n);
    if (value == NULL || n >= size) {
        return false;
    }
    memcpy(out, value, n);
    out[n] = '\0';
    return true;
}

bool tw_http_range_begin(const struct tw_http_response *response, uint64_t *begin)
{
    char text[96], *end;
    if (!tw_http_header_copy(response, "content-range", text, sizeof text) ||
        strncmp(text, "bytes ", 6) != 0 || !isdigit((unsigned char)text[6])) {
        return false;
    }
    *begin = strtoull(text + 6, &end, 10);
    return *end == '-';
}

uint64_t tw_http_retry_after(const struct tw_http_response *response, uint64_t unix_ms)
{
    char text[64], *end;
    if (!tw_http_header_copy(response, "retry-after", text, sizeof text)) {
        return 0;
    }
    if (isdigit((unsigned char)text[0])) {
        unsigned long long seconds = strtoull(text, &end, 10);
        return *end != '\0' ? 0 : seconds > 86400 ? 86400000u : seconds * 1000;
    }
    time_t date = curl_getdate(text, NULL);
    return date <= 0 || (uint64_t)date * 1000 <= unix_ms ? 0 : (uint64_t)date * 1000 - unix_ms;
}

/* ---- refusals ---- */

static const struct {
    int status;
    const char *text;
} names[] = {
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {416, "Range Not Satisfiable"},
    {429, "Too Many Requests"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
};

const char *tw_http_status_text(int status)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].status == status) {
            return names[i].text;
        }
    }
    return "";
}

trawl_status tw_http_refused_as(const struct tw_http_response *response, const char *reason,
                                struct trawl_error *err)
{
    const char *text = tw_http_status_text(response->status);
    bool has_reason  = reason != NULL && reason[0] != '\0';
    return tw_fail(err, TRAWL_ERR_IO, "%s: %d%s%s%s%.*s", tw_str_text(&response->shown), response->status,
                   text[0] == '\0' ? "" : " ", text, has_reason ? ": " : "", REASON_BYTES,
                   has_reason ? reason : "");
}

trawl_status tw_http_refused(const struct tw_http_response *response, struct trawl_error *err)
{
    char reason[REASON_BYTES + 1];
    size_t n         = 0;
    const char *body = tw_str_text(&response->body);
    /* One line of it; what is no text is left out. */
    for (size_t i = 0; i < response->body.size && n < REASON_BYTES; i++) {
        unsigned char c = (unsigned char)body[i];
        bool blank      = isspace(c) != 0;
        if (blank && (n == 0 || reason[n - 1] == ' ')) {
            continue;
        }
        if (!blank && (c < 0x20 || c == 0x7f)) {
            continue;
        }
        reason[n++] = blank ? ' ' : (char)c;
    }
    while (n > 0 && reason[n - 1] == ' ') {
        n--;
    }
    reason[n] = '\0';
    return tw_http_refused_as(response, reason, err);
}
