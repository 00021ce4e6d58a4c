/* SPDX-License-Identifier: MIT */
#include "json/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/utf8.h"

void tw_json_writer_init(struct tw_json_writer *w, struct tw_str *out, int indent)
{
    *w          = (struct tw_json_writer){.out = out, .indent = indent, .status = TRAWL_OK};
    w->first[0] = true;
}

static void put(struct tw_json_writer *w, const char *text, size_t n)
{
    if (w->status == TRAWL_OK) {
        w->status = tw_str_append(w->out, text, n, &w->error);
    }
}

static void new_line(struct tw_json_writer *w)
{
    put(w, "\n", 1);
    for (int i = 0; i < w->depth * w->indent; i++) {
        put(w, " ", 1);
    }
}

/* What stands before a key or an array element. */
static void separate(struct tw_json_writer *w)
{
    if (w->status != TRAWL_OK) {
        return; /* the depth may be past the end of `first` */
    }
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (w->depth == 0) {
        return;
    }
    if (!w->first[w->depth]) {
        put(w, ", ", w->indent > 0 ? 1 : 2);
    }
    w->first[w->depth] = false;
    if (w->indent > 0) {
        new_line(w);
    }
}

static void open_level(struct tw_json_writer *w, const char *bracket)
{
    enum { DEPTH = sizeof w->first / sizeof w->first[0] };
    separate(w);
    put(w, bracket, 1);
    w->depth++;
    if (w->depth < DEPTH) {
        w->first[w->depth] = true;
    } else if (w->status == TRAWL_OK) { /* reachable from outside: tw_json_value of a parsed document */
        w->status = tw_fail(&w->error, TRAWL_ERR_LIMIT, "JSON nested more than %d levels deep", DEPTH - 1);
    }
}

static void close_level(struct tw_json_writer *w, const char *bracket)
{
    TW_BUG_ON(w->depth == 0);
    int depth = w->depth--;
    if (w->status != TRAWL_OK) {
        return;
    }
    if (!w->first[depth] && w->indent > 0) {
        new_line(w);
    }
    put(w, bracket, 1);
}

void tw_json_begin_object(struct tw_json_writer *w)
{
    open_level(w, "{");
}

void tw_json_end_object(struct tw_json_writer *w)
{
    close_level(w, "}");
}

void tw_json_begin_array(struct tw_json_writer *w)
{
    open_level(w, "[");
}

void tw_json_end_array(struct tw_json_writer *w)
{
    close_level(w, "]");
}

/* Characters that some readers of JSON lines take for the end of a line (Python's str.splitlines does). */
static bool breaks_line(uint32_t codepoint)
{
    return codepoint == 0x85 || codepoint == 0x2028 || codepoint == 0x2029;
}

static void quoted(struct tw_json_writer *w, const char *s, size_t n)
{
    put(w, "\"", 1);
    size_t plain = 0; /* start of the run not written yet */
    for (size_t i = 0; i < n;) {
        unsigned char c    = (unsigned char)s[i];
        uint32_t codepoint = c;
        size_t step        = c < 0x80 ? 1 : tw_utf8_decode(s + i, n - i, &codepoint);
        if (step == 0 || c < 0x20 || c == '"' || c == '\\' || c == 0x7F || breaks_line(codepoint)) {
            put(w, s + plain, i - plain);
            char escape[8];
            switch (c) {
            case '"': put(w, "\\\"", 2); break;
            case '\\': put(w, "\\\\", 2); break;
            case '\n': put(w, "\\n", 2); break;
            case '\r': put(w, "\\r", 2); break;
            case '\t': put(w, "\\t", 2); break;
            default:
                if (step == 0) {
                    put(w, "\xEF\xBF\xBD", 3);
                    step = tw_utf8_incomplete(s + i, n - i);
                    step = step == 0 ? 1 : step;
                } else {
                    put(w, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", codepoint));
                }
                break;
            }
            i += step;
            plain = i;
        } else {
            i += step;
        }
    }
    put(w, s + plain, n - plain);
    put(w, "\"", 1);
}

void tw_json_key(struct tw_json_writer *w, const char *key)
{
    separate(w);
    quoted(w, key, strlen(key));
    put(w, ": ", 2);
    w->after_key = true;
}

void tw_json_string_n(struct tw_json_writer *w, const char *s, size_t n)
{
    separate(w);
    quoted(w, s, n);
}

void tw_json_string(struct tw_json_writer *w, const char *s)
{
    tw_json_string_n(w, s, strlen(s));
}

void tw_json_raw(struct tw_json_writer *w, const char *text, size_t n)
{
    separate(w);
    put(w, text, n);
}

void tw_json_int(struct tw_json_writer *w, int64_t v)
{
    char text[32];
    tw_json_raw(w, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)v));
}

void tw_json_bool(struct tw_json_writer *w, bool v)
{
    tw_json_raw(w, v ? "true" : "false", v ? 4 : 5);
}

void tw_json_null(struct tw_json_writer *w)
{
    tw_json_raw(w, "null", 4);
}

/* A number keeps a sign of being real. */
static void number(struct tw_json_writer *w, char text[TW_DOUBLE_BYTES])
{
    if (strpbrk(text, ".en") == NULL) {
        memcpy(text + strlen(text), ".0", 3);
    }
    tw_json_raw(w, text, strlen(text));
}

void tw_json_double(struct tw_json_writer *w, double v)
{
    char text[TW_DOUBLE_BYTES];
    if (!isfinite(v)) {
        tw_json_null(w);
        return;
    }
    tw_double_text(v, text);
    number(w, text);
}

void tw_json_float(struct tw_json_writer *w, float v)
{
    char text[TW_DOUBLE_BYTES];
    if (!isfinite(v)) {
        tw_json_null(w);
        return;
    }
    tw_float_text(v, text);
    number(w, text);
}

void tw_json_value(struct tw_json_writer *w, const json_t *value)
{
    const char *key;
    json_t *v;
    size_t i;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        tw_json_begin_object(w);
        json_object_foreach((json_t *)value, key, v)
        {
            tw_json_key(w, key);
            tw_json_value(w, v);
        }
        tw_json_end_object(w);
        break;
    case JSON_ARRAY:
        tw_json_begin_array(w);
        json_array_foreach(value, i, v)
        {
            tw_json_value(w, v);
        }
        tw_json_end_array(w);
        break;
    case JSON_STRING: tw_json_string_n(w, json_string_value(value), json_string_length(value)); break;
    case JSON_INTEGER: tw_json_int(w, json_integer_value(value)); break;
    case JSON_REAL: tw_json_double(w, json_real_value(value)); break;
    case JSON_TRUE:
    case JSON_FALSE: tw_json_bool(w, json_is_true(value)); break;
    case JSON_NULL: tw_json_null(w); break;
    }
}

trawl_status tw_json_writer_finish(struct tw_json_writer *w, struct trawl_error *err)
{
    TW_BUG_ON(w->depth != 0);
    if (w->status != TRAWL_OK && err != NULL) {
        *err = w->error;
    }
    return w->status;
}
