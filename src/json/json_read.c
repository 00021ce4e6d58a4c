/* SPDX-License-Identifier: MIT */
#include "json/json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"

enum { DEFAULT_FILE_LIMIT = 1 << 30 };

/* Length of the number that begins at s, and whether it is an integer of so many digits that it may not fit
 * 64 bits. */
static size_t number_length(const char *s, size_t n, bool *is_long)
{
    enum { SAFE_DIGITS = 18 };
    size_t i      = s[0] == '-' ? 1 : 0;
    size_t digits = 0;
    bool whole    = true;
    for (; i < n && (s[i] == '+' || s[i] == '-' || s[i] == '.' || s[i] == 'e' || s[i] == 'E' ||
                     (s[i] >= '0' && s[i] <= '9'));
         i++) {
        whole = whole && s[i] >= '0' && s[i] <= '9';
        digits++;
    }
    *is_long = whole && digits > SAFE_DIGITS;
    return i == 0 ? 1 : i;
}

static size_t string_length(const char *s, size_t n)
{
    size_t i = 1;
    while (i < n && s[i] != '"') {
        i += s[i] == '\\' ? 2 : 1;
    }
    return i < n ? i + 1 : n;
}

/* The text with ".0" behind every integer that overflows: jansson knows no other way to a real number. */
static trawl_status widen_integers(const char *text, size_t n, struct tw_str *out, struct trawl_error *err)
{
    for (size_t i = 0; i < n;) {
        bool is_long = false;
        size_t step  = 1;
        if (text[i] == '"') {
            step = string_length(text + i, n - i);
        } else if (text[i] == '-' || (text[i] >= '0' && text[i] <= '9')) {
            step = number_length(text + i, n - i, &is_long);
        }
        TW_TRY(tw_str_append(out, text + i, step, err));
        if (is_long) {
            errno              = 0;
            const char *number = out->data + out->size - step; /* NUL terminated, unlike `text` */
            (void)strtoll(number, NULL, 10);
            if (errno == ERANGE) {
                TW_TRY(tw_str_puts(out, ".0", err));
            }
        }
        i += step;
    }
    return TRAWL_OK;
}

static json_t *load(const char *text, size_t n, json_error_t *e)
{
    return json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, e);
}

trawl_status tw_json_parse(const char *text, size_t n, const char *what, json_t **out,
                           struct trawl_error *err)
{
    json_error_t e;
    *out = load(text, n, &e);
    if (*out == NULL && json_error_code(&e) == json_error_numeric_overflow) {
        struct tw_str wide;
        tw_str_init(&wide, 0);
        trawl_status status = widen_integers(text, n, &wide, err);
        if (status == TRAWL_OK) {
            *out = load(tw_str_text(&wide), wide.size, &e);
        }
        tw_str_release(&wide);
        TW_TRY(status);
    }
    if (*out != NULL) {
        return TRAWL_OK;
    }
    /* Of some of its own allocations jansson says nothing at all: no place and no text. */
    if (json_error_code(&e) == json_error_out_of_memory || e.text[0] == '\0') {
        return tw_fail(err, TRAWL_ERR_NOMEM, "%s: out of memory", what);
    }
    if (n >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "%s: begins with a byte order mark (U+FEFF), which JSON does not have", what);
    }
    return tw_fail(err, TRAWL_ERR_FORMAT, "%s: not JSON at line %d column %d: %s", what, e.line, e.column,
                   e.text);
}

trawl_status tw_json_parse_file(const char *path, size_t limit, json_t **out, struct trawl_error *err)
{
    char *text = NULL;
    size_t n   = 0;
    *out       = NULL;
    TW_TRY(tw_file_read(path, limit == 0 ? DEFAULT_FILE_LIMIT : limit, &text, &n, err));
    trawl_status status = tw_json_parse(text, n, path, out, err);
    tw_free(text);
    return status;
}

const char *tw_json_type_name(const json_t *value)
{
    if (value == NULL) {
        return "nothing";
    }
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a number";
    case JSON_TRUE:
    case JSON_FALSE: return "a boolean";
    case JSON_NULL: return "null";
    }
    return "nothing";
}

static trawl_status wrong_type(const json_t *v, const char *key, const char *what, const char *expected,
                               struct trawl_error *err)
{
    return tw_fail(err, TRAWL_ERR_FORMAT, "%s: \"%s\" is %s, expected %s", what, key, tw_json_type_name(v),
                   expected);
}

/* NULL for a member that is missing or null. */
static json_t *member(const json_t *object, const char *key)
{
    json_t *v = json_object_get(object, key);
    return v == NULL || json_is_null(v) ? NULL : v;
}

trawl_status tw_json_get_int(const json_t *object, const char *key, const char *what, int64_t *out,
                             struct trawl_error *err)
{
    const json_t *v = member(object, key);
    if (v != NULL) {
        if (!json_is_integer(v)) {
            return wrong_type(v, key, what, "an integer", err);
        }
        *out = json_integer_value(v);
    }
    return TRAWL_OK;
}

trawl_status tw_json_get_double(const json_t *object, const char *key, const char *what, double *out,
                                struct trawl_error *err)
{
    const json_t *v = member(object, key);
    if (v != NULL) {
        if (!json_is_number(v)) {
            return wrong_type(v, key, what, "a number", err);
        }
        *out = json_number_value(v);
    }
    return TRAWL_OK;
}

trawl_status tw_json_get_positive(const json_t *object, const char *key, const char *what, double *out,
                                  struct trawl_error *err)
{
    TW_TRY(tw_json_get_double(object, key, what, out, err));
    if (!(*out > 0) || !isfinite(*out)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: \"%s\" is %g, expected a positive number", what, key,
                       *out);
    }
    return TRAWL_OK;
}

trawl_status tw_json_get_bool(const json_t *object, const char *key, const char *what, bool *out,
                              struct trawl_error *err)
{
    const json_t *v = member(object, key);
    if (v != NULL) {
        if (!json_is_boolean(v)) {
            return wrong_type(v, key, what, "a boolean", err);
        }
        *out = json_is_true(v);
    }
    return TRAWL_OK;
}

trawl_status tw_json_get_string(const json_t *object, const char *key, const char *what, const char **out,
                                struct trawl_error *err)
{
    const json_t *v = member(object, key);
    if (v != NULL) {
        if (!json_is_string(v)) {
            return wrong_type(v, key, what, "a string", err);
        }
        *out = json_string_value(v);
    }
    return TRAWL_OK;
}

trawl_status tw_json_get_array(const json_t *object, const char *key, const char *what, json_t **out,
                               struct trawl_error *err)
{
    json_t *v = member(object, key);
    if (v != NULL) {
        if (!json_is_array(v)) {
            return wrong_type(v, key, what, "an array", err);
        }
        *out = v;
    }
    return TRAWL_OK;
}

trawl_status tw_json_get_object(const json_t *object, const char *key, const char *what, json_t **out,
                                struct trawl_error *err)
{
    json_t *v = member(object, key);
    if (v != NULL) {
        if (!json_is_object(v)) {
            return wrong_type(v, key, what, "an object", err);
        }
        *out = v;
    }
    return TRAWL_OK;
}
