/* SPDX-License-Identifier: MIT */
/* Task ids of transformed rows: a digest of the examples as Python's json.dumps spells them. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/arc/arc_transform.h"
#include "base/alloc.h"
#include "base/utf8.h"

/* json.dumps escapes everything outside ASCII, beyond U+FFFF as surrogates. `s` is UTF-8 from a parser. */
static trawl_status dump_string(const char *s, size_t n, struct tw_str *out, struct trawl_error *err)
{
    static const char short_escapes[][2] = {{'"', '"'},  {'\\', '\\'}, {'\b', 'b'}, {'\f', 'f'},
                                            {'\n', 'n'}, {'\r', 'r'},  {'\t', 't'}};
    TW_TRY(tw_str_putc(out, '"', err));
    for (size_t i = 0; i < n;) {
        uint32_t c = 0;
        i += tw_utf8_decode(s + i, n - i, &c);
        const char *escape = NULL;
        for (size_t k = 0; k < sizeof short_escapes / sizeof short_escapes[0]; k++) {
            if (c == (uint32_t)short_escapes[k][0]) {
                escape = &short_escapes[k][1];
            }
        }
        if (escape != NULL) {
            TW_TRY(tw_str_printf(out, err, "\\%c", *escape));
        } else if (c >= 0x20 && c < 0x7F) {
            TW_TRY(tw_str_putc(out, (char)c, err));
        } else if (c <= 0xFFFF) {
            TW_TRY(tw_str_printf(out, err, "\\u%04x", c));
        } else {
            uint32_t v = c - 0x10000;
            TW_TRY(tw_str_printf(out, err, "\\u%04x\\u%04x", 0xD800 + (v >> 10), 0xDC00 + (v & 0x3FF)));
        }
    }
    return tw_str_putc(out, '"', err);
}

/* json.dumps(value, sort_keys=True); recursion is bounded by the parser. */
static trawl_status dump(const json_t *value, struct tw_str *out, struct trawl_error *err);

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static trawl_status dump_keys(const json_t *object, const char **keys, struct tw_str *out,
                              struct trawl_error *err)
{
    size_t n = 0;
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)object, key, v)
    {
        keys[n++] = key;
    }
    qsort(keys, n, sizeof *keys, by_text); /* the order of UTF-8 bytes is the order of code points */
    for (size_t i = 0; i < n; i++) {
        TW_TRY(tw_str_puts(out, i == 0 ? "{" : ", ", err));
        TW_TRY(dump_string(keys[i], strlen(keys[i]), out, err));
        TW_TRY(tw_str_puts(out, ": ", err));
        TW_TRY(dump(json_object_get(object, keys[i]), out, err));
    }
    return tw_str_puts(out, n == 0 ? "{}" : "}", err);
}

static trawl_status dump_object(const json_t *object, struct tw_str *out, struct trawl_error *err)
{
    const char **keys = NULL;
    TW_TRY(tw_alloc(json_object_size(object), sizeof *keys, &keys, err));
    trawl_status status = dump_keys(object, keys, out, err);
    tw_free((void *)keys);
    return status;
}

static trawl_status dump_array(const json_t *array, struct tw_str *out, struct trawl_error *err)
{
    size_t i;
    json_t *v;
    TW_TRY(tw_str_putc(out, '[', err));
    json_array_foreach(array, i, v)
    {
        if (i > 0) {
            TW_TRY(tw_str_puts(out, ", ", err));
        }
        TW_TRY(dump(v, out, err));
    }
    return tw_str_putc(out, ']', err);
}

static trawl_status dump(const json_t *value, struct tw_str *out, struct trawl_error *err)
{
    if (json_is_object(value)) {
        return dump_object(value, out, err);
    }
    if (json_is_array(value)) {
        return dump_array(value, out, err);
    }
    if (json_is_string(value)) {
        return dump_string(json_string_value(value), json_string_length(value), out, err);
    }
    if (json_is_integer(value)) { /* nearly all there is: cells */
        json_int_t v = json_integer_value(value);
        if (v >= 0 && v <= 9) {
            return tw_str_putc(out, (char)('0' + v), err);
        }
        return tw_str_printf(out, err, "%lld", (long long)v);
    }
    struct tw_json_writer w;
    tw_json_writer_init(&w, out, 0);
    tw_json_value(&w, value);
    return tw_json_writer_finish(&w, err);
}

trawl_status tw_arc_transform_id(const json_t *examples, uint64_t row, char id[9], struct trawl_error *err)
{
    struct tw_str text;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    tw_str_init(&text, 0);
    trawl_status status = dump(examples, &text, err);
    if (status == TRAWL_OK) {
        status = tw_str_printf(&text, err, "%llu", (unsigned long long)row);
    }
    if (status == TRAWL_OK && EVP_Digest(text.data, text.size, digest, &n, EVP_md5(), NULL) != 1) {
        status = tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                         "this system's OpenSSL refuses MD5, which task ids are made of");
    }
    tw_str_release(&text);
    for (size_t i = 0; i < 4 && status == TRAWL_OK; i++) {
        (void)snprintf(id + 2 * i, 3, "%02x", digest[i]);
    }
    return status;
}
