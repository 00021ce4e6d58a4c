/* SPDX-License-Identifier: MIT */
#include "base/str.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"

void tw_str_init(struct tw_str *s, size_t limit)
{
    *s = (struct tw_str){.limit = limit};
}

void tw_str_release(struct tw_str *s)
{
    tw_free(s->data);
    *s = (struct tw_str){.limit = s->limit};
}

void tw_str_reset(struct tw_str *s)
{
    s->size = 0;
    if (s->data != NULL) {
        s->data[0] = '\0';
    }
}

trawl_status tw_str_reserve(struct tw_str *s, size_t bytes, struct trawl_error *err)
{
    size_t need = 0;
    if (!tw_size_add(s->size, bytes, &need) || !tw_size_add(need, 1, &need) ||
        (s->limit != 0 && need - 1 > s->limit)) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "text of more than %zu bytes", s->limit);
    }
    return tw_grow(&s->data, &s->capacity, need, 1, err);
}

trawl_status tw_str_append(struct tw_str *s, const void *bytes, size_t n, struct trawl_error *err)
{
    TW_TRY(tw_str_reserve(s, n, err));
    if (n > 0) {
        memcpy(s->data + s->size, bytes, n);
    }
    s->size += n;
    s->data[s->size] = '\0';
    return TRAWL_OK;
}

trawl_status tw_str_puts(struct tw_str *s, const char *text, struct trawl_error *err)
{
    return tw_str_append(s, text, strlen(text), err);
}

trawl_status tw_str_putc(struct tw_str *s, char c, struct trawl_error *err)
{
    return tw_str_append(s, &c, 1, err);
}

trawl_status tw_str_printf(struct tw_str *s, struct trawl_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    trawl_status status = TRAWL_OK;
    if (n < 0) {
        status = tw_fail(err, TRAWL_ERR_INVALID, "text cannot be formatted");
    } else {
        status = tw_str_reserve(s, (size_t)n, err);
    }
    if (status == TRAWL_OK) {
        (void)vsnprintf(s->data + s->size, (size_t)n + 1, format, again);
        s->size += (size_t)n;
    }
    va_end(again);
    return status;
}

/* A decimal number at *text, which moves behind it. */
static bool read_number(const char **text, unsigned *out)
{
    char *end = NULL;
    if (**text < '0' || **text > '9') {
        return false;
    }
    errno           = 0;
    unsigned long v = strtoul(*text, &end, 10);
    *text           = end;
    *out            = (unsigned)v;
    return errno == 0 && v <= UINT_MAX;
}

bool tw_parse_part(const char *text, unsigned *part, unsigned *parts)
{
    static const char middle[] = " of ";
    unsigned a = 0, b = 0;
    if (!read_number(&text, &a) || strncmp(text, middle, sizeof middle - 1) != 0) {
        return false;
    }
    text += sizeof middle - 1;
    if (!read_number(&text, &b) || *text != '\0') {
        return false;
    }
    *part  = a;
    *parts = b;
    return true;
}

const char *tw_str_text(const struct tw_str *s)
{
    return s->data == NULL ? "" : s->data;
}

/* `digits` grows until the text reads back equal. */
static void short_text(double v, int digits, int most, bool as_float, char text[TW_DOUBLE_BYTES])
{
    for (;; digits++) {
        (void)snprintf(text, TW_DOUBLE_BYTES, "%.*g", digits, v);
        double back = as_float ? (double)strtof(text, NULL) : strtod(text, NULL);
        if (digits >= most || back == v) {
            return;
        }
    }
}

void tw_double_text(double v, char text[TW_DOUBLE_BYTES])
{
    short_text(v, 15, 17, false, text);
}

void tw_float_text(float v, char text[TW_DOUBLE_BYTES])
{
    short_text((double)v, 6, 9, true, text);
}
