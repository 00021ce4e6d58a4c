/* SPDX-License-Identifier: MIT */
/* str, repr and json.dumps of Python. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/text_jinja_eval.h"
#include "text/text_unicode.h"

/* ---- floats ---- */

/* Digits d.ddd and the decimal exponent of f > 0, the fewest that read back. */
static int shortest_digits(double f, char digits[20], int *exponent)
{
    char text[40];
    for (int precision = 0; precision < 17; precision++) {
        (void)snprintf(text, sizeof text, "%.*e", precision, f);
        if (strtod(text, NULL) == f) {
            break;
        }
    }
    int n = 0;
    for (const char *p = text; *p != '\0' && *p != 'e'; p++) {
        if (*p >= '0' && *p <= '9') {
            digits[n++] = *p;
        }
    }
    digits[n] = '\0';
    *exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    return n;
}

void tw_value_format_float(double f, char out[48])
{
    char digits[20];
    int exponent = 0;
    if (isnan(f) || isinf(f)) {
        (void)snprintf(out, 48, "%s", isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
        return;
    }
    const char *sign = signbit(f) ? "-" : "";
    if (f == 0.0) {
        (void)snprintf(out, 48, "%s0.0", sign);
        return;
    }
    int n = shortest_digits(fabs(f), digits, &exponent);
    if (exponent < -4 || exponent >= 16) {
        (void)snprintf(out, 48, "%s%c%s%se%c%02d", sign, digits[0], n > 1 ? "." : "", digits + 1,
                       exponent < 0 ? '-' : '+', abs(exponent));
    } else if (exponent < 0) {
        (void)snprintf(out, 48, "%s0.%.*s%s", sign, -exponent - 1, "000", digits);
    } else if (exponent + 1 >= n) {
        (void)snprintf(out, 48, "%s%s%.*s.0", sign, digits, exponent + 1 - n, "0000000000000000");
    } else {
        (void)snprintf(out, 48, "%s%.*s.%s", sign, exponent + 1, digits, digits + exponent + 1);
    }
}

/* ---- repr ---- */

static trawl_status repr_character(struct tw_str *out, uint32_t c, char quote, struct trawl_error *err)
{
    if (c == (unsigned char)quote || c == '\\') {
        return tw_str_printf(out, err, "\\%c", (char)c);
    }
    if (c == '\n' || c == '\r' || c == '\t') {
        return tw_str_puts(out, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t", err);
    }
    if (!tw_unicode_is_printable(c)) {
        return tw_str_printf(out, err,
                             c < 0x100     ? "\\x%02" PRIx32
                             : c < 0x10000 ? "\\u%04" PRIx32
                                           : "\\U%08" PRIx32,
                             c);
    }
    char bytes[4];
    return tw_str_append(out, bytes, tw_utf8_encode(c, bytes), err);
}

static trawl_status repr_text(struct tw_render *r, struct tw_text text, struct tw_str *out)
{
    bool single = memchr(text.s, '\'', text.n) != NULL;
    char quote  = single && memchr(text.s, '"', text.n) == NULL ? '"' : '\'';
    TW_TRY(tw_str_putc(out, quote, r->err));
    for (size_t i = 0; i < text.n;) {
        uint32_t c  = 0xFFFD;
        size_t step = tw_utf8_decode(text.s + i, text.n - i, &c);
        TW_TRY(repr_character(out, c, quote, r->err));
        i += step == 0 ? 1 : step;
    }
    return tw_str_putc(out, quote, r->err);
}

static trawl_status repr_items(struct tw_render *r, struct tw_value v, struct tw_str *out)
{
    const struct tw_list *list = v.as.list;
    bool tuple                 = v.kind == TW_V_TUPLE;
    TW_TRY(tw_str_putc(out, tuple ? '(' : '[', r->err));
    for (size_t i = 0; i < list->n; i++) {
        TW_TRY(tw_str_puts(out, i > 0 ? ", " : "", r->err));
        TW_TRY(tw_value_repr(r, list->items[i], out));
    }
    return tw_str_puts(out, tuple ? list->n == 1 ? ",)" : ")" : "]", r->err);
}

static trawl_status repr_map(struct tw_render *r, struct tw_value v, struct tw_str *out)
{
    const struct tw_map *map = v.as.map;
    TW_TRY(tw_str_puts(out, v.kind == TW_V_NAMESPACE ? "<Namespace {" : "{", r->err));
    for (size_t i = 0; i < map->n; i++) {
        TW_TRY(tw_str_puts(out, i > 0 ? ", " : "", r->err));
        TW_TRY(tw_value_repr(r, map->pairs[i].key, out));
        TW_TRY(tw_str_puts(out, ": ", r->err));
        TW_TRY(tw_value_repr(r, map->pairs[i].value, out));
    }
    return tw_str_puts(out, v.kind == TW_V_NAMESPACE ? "}>" : "}", r->err);
}

static trawl_status repr_any(struct tw_render *r, struct tw_value v, struct tw_str *out)
{
    char number[48];
    switch (v.kind) {
    case TW_V_NONE: return tw_str_puts(out, "None", r->err);
    case TW_V_UNDEFINED: return tw_str_puts(out, "Undefined", r->err);
    case TW_V_BOOL: return tw_str_puts(out, v.as.b ? "True" : "False", r->err);
    case TW_V_INT: return tw_str_printf(out, r->err, "%" PRId64, v.as.i);
    case TW_V_FLOAT: tw_value_format_float(v.as.f, number); return tw_str_puts(out, number, r->err);
    case TW_V_STRING: return repr_text(r, v.as.text, out);
    case TW_V_LIST:
    case TW_V_TUPLE: return repr_items(r, v, out);
    case TW_V_MAP:
    case TW_V_NAMESPACE: return repr_map(r, v, out);
    case TW_V_MISSING:
    case TW_V_LOOP:
    case TW_V_MACRO:
    case TW_V_FUNCTION:
    case TW_V_KINDS: break;
    }
    /* Python prints an address here. */
    return tw_render_fail(r, TRAWL_ERR_UNSUPPORTED, "printing a '%s' is not supported",
                          tw_value_type_name(v));
}

trawl_status tw_value_repr(struct tw_render *r, struct tw_value v, struct tw_str *out)
{
    TW_TRY(tw_render_charge(r, 1));
    TW_TRY(tw_render_enter(r));
    TW_TRY(repr_any(r, v, out));
    tw_render_leave(r);
    return TRAWL_OK;
}

trawl_status tw_value_print(struct tw_render *r, struct tw_value v, struct tw_str *out)
{
    if (v.kind == TW_V_STRING) {
        return tw_str_append(out, v.as.text.s, v.as.text.n, r->err);
    }
    return v.kind == TW_V_UNDEFINED ? TRAWL_OK : tw_value_repr(r, v, out);
}

trawl_status tw_value_finish_text(struct tw_render *r, struct tw_str *text, trawl_status status,
                                  struct tw_value *out)
{
    if (status == TRAWL_OK) {
        status = tw_value_copy_text(r, tw_str_text(text), text->size, out);
    }
    tw_str_release(text);
    return status;
}

trawl_status tw_value_to_text(struct tw_render *r, struct tw_value v, struct tw_text *out)
{
    if (v.kind == TW_V_STRING) {
        *out = v.as.text;
        return TRAWL_OK;
    }
    struct tw_str text;
    struct tw_value copy = tw_value_text("", 0);
    tw_str_init(&text, r->max_output);
    TW_TRY(tw_value_finish_text(r, &text, tw_value_print(r, v, &text), &copy));
    *out = copy.as.text;
    return TRAWL_OK;
}

/* ---- JSON ---- */

struct dump {
    struct tw_render *r;
    const struct tw_json_style *style;
    struct tw_str *out;
};

static trawl_status dump_value(struct dump *d, struct tw_value v, int64_t level);

static trawl_status dump_unit(struct dump *d, uint32_t unit)
{
    return tw_str_printf(d->out, d->r->err, "\\u%04" PRIx32, unit);
}

static trawl_status dump_character(struct dump *d, const char *s, size_t n, uint32_t c)
{
    static const char from[] = "\"\\\n\r\t\f\b";
    static const char to[]   = "\"\\nrtfb";
    const char *known        = c > 0 && c < 0x80 ? strchr(from, (int)c) : NULL;
    if (known != NULL) {
        return tw_str_printf(d->out, d->r->err, "\\%c", to[known - from]);
    }
    bool html = d->style->html_safe && (c == '<' || c == '>' || c == '&' || c == '\'');
    if (c < 0x20 || html || (d->style->ensure_ascii && c >= 0x7F && c < 0x10000)) {
        return dump_unit(d, c);
    }
    if (d->style->ensure_ascii && c >= 0x10000) {
        TW_TRY(dump_unit(d, 0xD800 + ((c - 0x10000) >> 10)));
        return dump_unit(d, 0xDC00 + ((c - 0x10000) & 0x3FF));
    }
    return tw_str_append(d->out, s, n, d->r->err);
}

static trawl_status dump_text(struct dump *d, struct tw_text text)
{
    TW_TRY(tw_render_charge(d->r, text.n / 64));
    TW_TRY(tw_str_putc(d->out, '"', d->r->err));
    for (size_t i = 0; i < text.n;) {
        uint32_t c  = 0xFFFD;
        size_t step = tw_utf8_decode(text.s + i, text.n - i, &c);
        step        = step == 0 ? 1 : step;
        TW_TRY(dump_character(d, text.s + i, step, c));
        i += step;
    }
    return tw_str_putc(d->out, '"', d->r->err);
}

static bool indented(const struct tw_json_style *s)
{
    return s->indent >= 0 || s->indent_text.s != NULL;
}

static trawl_status dump_newline(struct dump *d, int64_t level)
{
    if (!indented(d->style)) {
        return TRAWL_OK;
    }
    TW_TRY(tw_str_putc(d->out, '\n', d->r->err));
    for (int64_t i = 0; i < level; i++) {
        if (d->style->indent_text.s != NULL) {
            TW_TRY(tw_str_append(d->out, d->style->indent_text.s, d->style->indent_text.n, d->r->err));
        } else {
            TW_TRY(tw_str_printf(d->out, d->r->err, "%*s", (int)d->style->indent, ""));
        }
    }
    return TRAWL_OK;
}

/* What goes before item i of a list or map. */
static trawl_status dump_separator(struct dump *d, size_t i, int64_t level)
{
    const struct tw_json_style *s = d->style;
    if (i > 0 && s->item_separator.s != NULL) {
        TW_TRY(tw_str_append(d->out, s->item_separator.s, s->item_separator.n, d->r->err));
    } else if (i > 0) {
        TW_TRY(tw_str_puts(d->out, indented(s) ? "," : ", ", d->r->err));
    }
    return dump_newline(d, level);
}

static trawl_status dump_list(struct dump *d, const struct tw_list *list, int64_t level)
{
    TW_TRY(tw_str_putc(d->out, '[', d->r->err));
    for (size_t i = 0; i < list->n; i++) {
        TW_TRY(dump_separator(d, i, level + 1));
        TW_TRY(dump_value(d, list->items[i], level + 1));
    }
    TW_TRY(list->n > 0 ? dump_newline(d, level) : TRAWL_OK);
    return tw_str_putc(d->out, ']', d->r->err);
}

static trawl_status dump_key(struct dump *d, struct tw_value key)
{
    const struct tw_json_style *s = d->style;
    if (key.kind == TW_V_STRING) {
        TW_TRY(dump_text(d, key.as.text));
    } else if (key.kind == TW_V_NONE || tw_value_is_number(key)) {
        TW_TRY(tw_str_putc(d->out, '"', d->r->err));
        TW_TRY(dump_value(d, key, 0));
        TW_TRY(tw_str_putc(d->out, '"', d->r->err));
    } else {
        return tw_render_fail(d->r, TRAWL_ERR_FORMAT, "a '%s' cannot be a key in JSON",
                              tw_value_type_name(key));
    }
    if (s->key_separator.s != NULL) {
        return tw_str_append(d->out, s->key_separator.s, s->key_separator.n, d->r->err);
    }
    return tw_str_puts(d->out, ": ", d->r->err);
}

static int compare_pairs(const void *pa, const void *pb)
{
    const struct tw_pair *const *a = pa;
    const struct tw_pair *const *b = pb;
    struct tw_text x               = (*a)->key.as.text;
    struct tw_text y               = (*b)->key.as.text;
    int order                      = memcmp(x.s, y.s, x.n < y.n ? x.n : y.n);
    return order != 0 ? order : (x.n > y.n) - (x.n < y.n);
}

static trawl_status dump_map(struct dump *d, const struct tw_map *map, int64_t level)
{
    const struct tw_pair **order = NULL;
    TW_TRY(tw_arena_alloc(&d->r->arena, map->n, sizeof *order, &order, d->r->err));
    for (size_t i = 0; i < map->n; i++) {
        order[i] = &map->pairs[i];
        if (d->style->sort_keys && order[i]->key.kind != TW_V_STRING) {
            return tw_render_fail(d->r, TRAWL_ERR_UNSUPPORTED,
                                  "sorting keys that are no strings is not supported");
        }
    }
    if (d->style->sort_keys && map->n > 1) {
        qsort(order, map->n, sizeof *order, compare_pairs);
    }
    TW_TRY(tw_str_putc(d->out, '{', d->r->err));
    for (size_t i = 0; i < map->n; i++) {
        TW_TRY(dump_separator(d, i, level + 1));
        TW_TRY(dump_key(d, order[i]->key));
        TW_TRY(dump_value(d, order[i]->value, level + 1));
    }
    TW_TRY(map->n > 0 ? dump_newline(d, level) : TRAWL_OK);
    return tw_str_putc(d->out, '}', d->r->err);
}

static trawl_status dump_any(struct dump *d, struct tw_value v, int64_t level)
{
    char number[48];
    switch (v.kind) {
    case TW_V_NONE: return tw_str_puts(d->out, "null", d->r->err);
    case TW_V_BOOL: return tw_str_puts(d->out, v.as.b ? "true" : "false", d->r->err);
    case TW_V_INT: return tw_str_printf(d->out, d->r->err, "%" PRId64, v.as.i);
    case TW_V_FLOAT:
        tw_value_format_float(v.as.f, number);
        if (!isfinite(v.as.f)) {
            (void)snprintf(number, sizeof number, "%s",
                           isnan(v.as.f) ? "NaN"
                           : v.as.f < 0  ? "-Infinity"
                                         : "Infinity");
        }
        return tw_str_puts(d->out, number, d->r->err);
    case TW_V_STRING: return dump_text(d, v.as.text);
    case TW_V_LIST:
    case TW_V_TUPLE: return dump_list(d, v.as.list, level);
    case TW_V_MAP: return dump_map(d, v.as.map, level);
    case TW_V_MISSING:
    case TW_V_UNDEFINED:
    case TW_V_NAMESPACE:
    case TW_V_LOOP:
    case TW_V_MACRO:
    case TW_V_FUNCTION:
    case TW_V_KINDS: break;
    }
    return tw_render_fail(d->r, TRAWL_ERR_FORMAT, "a value of type '%s' cannot be written as JSON",
                          tw_value_type_name(v));
}

static trawl_status dump_value(struct dump *d, struct tw_value v, int64_t level)
{
    TW_TRY(tw_render_charge(d->r, 1));
    TW_TRY(tw_render_enter(d->r));
    TW_TRY(dump_any(d, v, level));
    tw_render_leave(d->r);
    return TRAWL_OK;
}

trawl_status tw_value_to_json(struct tw_render *r, struct tw_value v, const struct tw_json_style *style,
                              struct tw_str *out)
{
    struct dump d = {r, style, out};
    return dump_value(&d, v, 0);
}
