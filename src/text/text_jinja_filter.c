/* SPDX-License-Identifier: MIT */
/* Filters of strings, numbers and single values. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"
#include "text/text_jinja_case.h"
#include "text/text_jinja_text.h"
#include "text/text_unicode.h"

/* ---- strings ---- */

static trawl_status do_string(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    struct tw_text text = {NULL, 0};
    TW_TRY(tw_value_to_text(r, c->self, &text));
    *out = tw_value_text(text.s, text.n);
    return TRAWL_OK;
}

static trawl_status do_case(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    char first          = c->builtin->name[0];
    struct tw_text text = {NULL, 0};
    TW_TRY(tw_value_to_text(r, c->self, &text));
    return tw_text_change_case(r, text,
                               first == 'u'   ? TW_CASE_UPPER
                               : first == 'l' ? TW_CASE_LOWER
                                              : TW_CASE_CAPITALIZE,
                               out);
}

static bool begins_word(uint32_t c)
{
    return c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || tw_unicode_is_python_space(c);
}

/* The first letter after a space, dash or opening bracket in upper case, the others in lower case: not what
 * str.title does. */
static trawl_status do_title(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    struct tw_str result;
    struct tw_text text = {NULL, 0};
    TW_TRY(tw_value_to_text(r, c->self, &text));
    trawl_status status = tw_render_charge(r, text.n);
    bool start          = true;
    tw_str_init(&result, r->max_output);
    for (size_t i = 0; i < text.n && status == TRAWL_OK;) {
        uint32_t cp = 0xFFFD;
        size_t step = tw_max_size(tw_utf8_decode(text.s + i, text.n - i, &cp), 1);
        struct tw_value changed;
        status = tw_text_change_case(r, (struct tw_text){text.s + i, step},
                                     start ? TW_CASE_UPPER : TW_CASE_LOWER, &changed);
        if (status == TRAWL_OK) {
            status = tw_str_append(&result, changed.as.text.s, changed.as.text.n, r->err);
        }
        start = begins_word(cp);
        i += step;
    }
    return tw_value_finish_text(r, &result, status, out);
}

static trawl_status do_trim(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    struct tw_text chars = {NULL, 0};
    struct tw_text text  = {NULL, 0};
    TW_TRY(tw_value_to_text(r, c->self, &text));
    if (c->arg[0].kind != TW_V_MISSING && c->arg[0].kind != TW_V_NONE) {
        TW_TRY(tw_arg_text(r, c, 0, &chars));
    }
    TW_TRY(tw_render_charge(r, text.n / 16 * (1 + chars.n / 64)));
    text = tw_text_strip(text, chars, TW_STRIP_LEFT | TW_STRIP_RIGHT);
    *out = tw_value_text(text.s, text.n);
    return TRAWL_OK;
}

static trawl_status do_replace(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    int64_t count       = -1;
    struct tw_text text = {NULL, 0};
    struct tw_text from = {NULL, 0};
    struct tw_text to   = {NULL, 0};
    TW_TRY(tw_value_to_text(r, c->self, &text));
    TW_TRY(tw_value_to_text(r, c->arg[0], &from));
    TW_TRY(tw_value_to_text(r, c->arg[1], &to));
    TW_TRY(tw_arg_int(r, c, 2, &count));
    if (from.n == 0) {
        return tw_render_fail(r, TRAWL_ERR_UNSUPPORTED, "'replace' of the empty string is not supported");
    }
    return tw_text_replace(r, text, from, to, count, out);
}

static trawl_status indent_lines(struct tw_render *r, struct tw_text text, struct tw_text by, bool first,
                                 bool blank, struct tw_str *out)
{
    struct tw_text line = {NULL, 0};
    bool is_first       = true;
    /* One newline is added, so that a text that ends in one keeps an empty last line. */
    bool more = tw_text_next_line(&text, &line);
    if (!more) {
        return first ? tw_str_append(out, by.s, by.n, r->err) : TRAWL_OK;
    }
    for (; more; is_first = false) {
        bool last_ended = text.n == 0 && text.s > line.s + line.n;
        if (!is_first) {
            TW_TRY(tw_str_putc(out, '\n', r->err));
        }
        if (is_first ? first : blank || line.n > 0) {
            TW_TRY(tw_str_append(out, by.s, by.n, r->err));
        }
        TW_TRY(tw_str_append(out, line.s, line.n, r->err));
        more = tw_text_next_line(&text, &line);
        if (!more && last_ended) {
            TW_TRY(tw_str_putc(out, '\n', r->err));
            TW_TRY(blank ? tw_str_append(out, by.s, by.n, r->err) : TRAWL_OK);
        }
    }
    return TRAWL_OK;
}

static trawl_status do_indent(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    static const char spaces[] = "                                                                ";
    int64_t width              = 4;
    bool first                 = false;
    bool blank                 = false;
    struct tw_text text        = {NULL, 0};
    struct tw_text by          = {spaces, 0};
    struct tw_str result;
    TW_TRY(tw_value_to_text(r, c->self, &text));
    if (c->arg[0].kind == TW_V_STRING) {
        by = c->arg[0].as.text;
    } else {
        TW_TRY(tw_arg_int(r, c, 0, &width));
        if (width > (int64_t)sizeof spaces - 1) {
            return tw_render_fail(r, TRAWL_ERR_LIMIT, "'indent' by more than %zu spaces", sizeof spaces - 1);
        }
        by.n = width < 0 ? 0 : (size_t)width;
    }
    tw_arg_bool(c, 1, &first);
    tw_arg_bool(c, 2, &blank);
    TW_TRY(tw_render_charge(r, text.n / 16));
    tw_str_init(&result, r->max_output);
    return tw_value_finish_text(r, &result, indent_lines(r, text, by, first, blank, &result), out);
}

static trawl_status do_wordcount(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    int64_t words       = 0;
    bool inside         = false;
    struct tw_text text = {NULL, 0};
    TW_TRY(tw_value_to_text(r, c->self, &text));
    TW_TRY(tw_render_charge(r, text.n / 4));
    for (size_t i = 0; i < text.n;) {
        uint32_t cp = 0xFFFD;
        size_t step = tw_max_size(tw_utf8_decode(text.s + i, text.n - i, &cp), 1);
        /* Python's \w: alphanumeric or underscore, no marks. */
        bool word = cp == '_' || (tw_unicode_is_word(cp) && !tw_unicode_is_mark_or_connector(cp));
        words += word && !inside;
        inside = word;
        i += step;
    }
    *out = tw_value_int(words);
    return TRAWL_OK;
}

/* With no autoescaping a string marked safe is that string. */
static trawl_status do_safe(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    return do_string(r, c, out);
}

/* ---- numbers ---- */

/* A decimal number without its sign, digits and single underscores; false: something else. */
static bool plain_digits(struct tw_text text, char out[40])
{
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        bool digit = text.s[i] >= '0' && text.s[i] <= '9';
        bool sign  = i == 0 && (text.s[i] == '-' || text.s[i] == '+');
        if ((!digit && !sign) || n >= 39) {
            return false;
        }
        out[n++] = text.s[i];
    }
    out[n] = '\0';
    return n > 0 && out[n - 1] >= '0';
}

static bool parse_float(struct tw_text text, double *out)
{
    char copy[64];
    text = tw_text_strip(text, (struct tw_text){NULL, 0}, TW_STRIP_LEFT | TW_STRIP_RIGHT);
    if (text.n == 0 || text.n >= sizeof copy) {
        return false;
    }
    memcpy(copy, text.s, text.n);
    copy[text.n] = '\0';
    if (strspn(copy, "+-0123456789.eE") != text.n) {
        return false;
    }
    char *end = NULL;
    *out      = strtod(copy, &end);
    return end == copy + text.n;
}

static trawl_status from_float(struct tw_render *r, double f, struct tw_value fallback, struct tw_value *out)
{
    if (isnan(f) || isinf(f)) {
        *out = fallback;
        return TRAWL_OK;
    }
    if (fabs(f) >= 9.2e18) {
        return tw_render_fail(r, TRAWL_ERR_LIMIT, "an integer does not fit in 64 bits");
    }
    *out = tw_value_int((int64_t)f);
    return TRAWL_OK;
}

/* Undefined is the one value that does not count as 0. */
static trawl_status need_defined(struct tw_render *r, const struct tw_builtin_call *c)
{
    if (c->self.kind == TW_V_UNDEFINED) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "'%.*s' is undefined",
                              (int)tw_min_size(c->self.as.text.n, 80), c->self.as.text.s);
    }
    return TRAWL_OK;
}

static trawl_status do_int(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    struct tw_value fallback = c->arg[0].kind == TW_V_MISSING ? tw_value_int(0) : c->arg[0];
    double f                 = 0.0;
    char digits[40];
    TW_TRY(need_defined(r, c));
    if (tw_value_is_integer(c->self)) {
        *out = tw_value_int(tw_value_integer(c->self));
        return TRAWL_OK;
    }
    if (c->self.kind == TW_V_FLOAT) {
        return from_float(r, c->self.as.f, fallback, out);
    }
    *out = fallback;
    if (c->self.kind != TW_V_STRING) {
        return TRAWL_OK;
    }
    struct tw_text text =
        tw_text_strip(c->self.as.text, (struct tw_text){NULL, 0}, TW_STRIP_LEFT | TW_STRIP_RIGHT);
    if (plain_digits(text, digits) && strlen(digits) <= 18) {
        *out = tw_value_int(strtoll(digits, NULL, 10));
        return TRAWL_OK;
    }
    return parse_float(text, &f) ? from_float(r, f, fallback, out) : TRAWL_OK;
}

static trawl_status do_float(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    double f = 0.0;
    TW_TRY(need_defined(r, c));
    if (tw_value_is_number(c->self)) {
        *out = tw_value_float(tw_value_number(c->self));
    } else if (c->self.kind == TW_V_STRING && parse_float(c->self.as.text, &f)) {
        *out = tw_value_float(f);
    } else {
        *out = c->arg[0].kind == TW_V_MISSING ? tw_value_float(0.0) : c->arg[0];
    }
    return TRAWL_OK;
}

static trawl_status need_number(struct tw_render *r, const struct tw_builtin_call *c)
{
    if (!tw_value_is_number(c->self)) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "'%s' of a '%s'", c->builtin->name,
                              tw_value_type_name(c->self));
    }
    return TRAWL_OK;
}

static trawl_status do_abs(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    TW_TRY(need_number(r, c));
    if (c->self.kind == TW_V_FLOAT) {
        *out = tw_value_float(fabs(c->self.as.f));
        return TRAWL_OK;
    }
    int64_t i = tw_value_integer(c->self);
    *out      = tw_value_int(i);
    return i < 0 ? tw_eval_binary(r, TW_OP_SUB, tw_value_int(0), *out, out) : TRAWL_OK;
}

static trawl_status do_round(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    struct tw_text method = {"common", 6};
    int64_t precision     = 0;
    char text[400];
    TW_TRY(need_number(r, c));
    TW_TRY(tw_arg_int(r, c, 0, &precision));
    if (c->arg[1].kind != TW_V_MISSING) {
        TW_TRY(tw_arg_text(r, c, 1, &method));
    }
    if (precision < 0 || precision > 20) {
        return tw_render_fail(r, TRAWL_ERR_UNSUPPORTED, "'round' to %lld places is not supported",
                              (long long)precision);
    }
    double f = tw_value_number(c->self);
    if (tw_text_is(method, "ceil") || tw_text_is(method, "floor")) {
        double scale = pow(10.0, (double)precision);
        *out         = tw_value_float((method.s[0] == 'c' ? ceil(f * scale) : floor(f * scale)) / scale);
        return TRAWL_OK;
    }
    if (!tw_text_is(method, "common")) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "'round': method must be common, ceil or floor");
    }
    if (c->self.kind != TW_V_FLOAT) {
        *out = tw_value_int(tw_value_integer(c->self));
        return TRAWL_OK;
    }
    (void)snprintf(text, sizeof text, "%.*f", (int)precision, f);
    *out = tw_value_float(isfinite(f) ? strtod(text, NULL) : f);
    return TRAWL_OK;
}

/* ---- any value ---- */

static trawl_status do_default(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    bool falsy = false;
    (void)r;
    tw_arg_bool(c, 1, &falsy);
    bool replaced = c->self.kind == TW_V_UNDEFINED || (falsy && !tw_value_truth(c->self));
    *out          = c->self;
    if (replaced) {
        *out = c->arg[0].kind == TW_V_MISSING ? tw_value_text("", 0) : c->arg[0];
    }
    return TRAWL_OK;
}

/* The separators argument: a pair of strings. */
static trawl_status json_separators(struct tw_render *r, struct tw_value v, struct tw_json_style *style)
{
    if (v.kind == TW_V_MISSING || v.kind == TW_V_NONE) {
        return TRAWL_OK;
    }
    if (!tw_value_is_sequence(v) || v.as.list->n != 2 || v.as.list->items[0].kind != TW_V_STRING ||
        v.as.list->items[1].kind != TW_V_STRING) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "'tojson': separators must be two strings");
    }
    style->item_separator = v.as.list->items[0].as.text;
    style->key_separator  = v.as.list->items[1].as.text;
    return TRAWL_OK;
}

/* tojson(indent) of Jinja; tojson(ensure_ascii, indent, separators, sort_keys) of transformers */
static trawl_status do_tojson(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    enum { MAX_INDENT = 64 };
    bool chat                  = r->t->dialect == TW_TEMPLATE_CHAT;
    struct tw_json_style style = {
        .indent = -1, .sort_keys = !chat, .ensure_ascii = !chat, .html_safe = !chat};
    struct tw_value indent = c->arg[0];
    if (chat && (c->arguments->n_positional > 0)) {
        tw_arg_bool(c, 0, &style.ensure_ascii); /* by place it comes first there */
        indent = c->arg[1];
    } else if (c->arguments->n_positional > 1 || (!chat && c->arguments->n > 1)) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "'tojson' takes one argument, indent");
    }
    if (chat && c->arguments->n_positional == 0) {
        tw_arg_bool(c, 1, &style.ensure_ascii);
    }
    if (chat) {
        TW_TRY(json_separators(r, c->arg[2], &style));
        tw_arg_bool(c, 3, &style.sort_keys);
    }
    if (indent.kind == TW_V_STRING) {
        style.indent_text = indent.as.text;
    } else if (tw_value_is_integer(indent)) {
        style.indent = tw_value_integer(indent) < 0 ? 0 : tw_value_integer(indent);
    } else if (indent.kind != TW_V_MISSING && indent.kind != TW_V_NONE) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "'tojson': indent must be an integer or a string");
    }
    if (style.indent > MAX_INDENT) {
        return tw_render_fail(r, TRAWL_ERR_LIMIT, "'tojson': indent of more than %d", MAX_INDENT);
    }
    struct tw_str text;
    tw_str_init(&text, r->max_output);
    return tw_value_finish_text(r, &text, tw_value_to_json(r, c->self, &style, &text), out);
}

const struct tw_builtin tw_jinja_filters_text[] = {
    {.name = "string", .fn = do_string},
    {.name = "lower", .fn = do_case},
    {.name = "upper", .fn = do_case},
    {.name = "capitalize", .fn = do_case},
    {.name = "title", .fn = do_title},
    {.name = "trim", .fn = do_trim, .params = {"chars"}},
    {.name = "replace", .fn = do_replace, .params = {"old", "new", "count"}, .required = 2},
    {.name = "indent", .fn = do_indent, .params = {"width", "first", "blank"}},
    {.name = "wordcount", .fn = do_wordcount},
    {.name = "safe", .fn = do_safe},
    {.name = "int", .fn = do_int, .params = {"default"}},
    {.name = "float", .fn = do_float, .params = {"default"}},
    {.name = "abs", .fn = do_abs},
    {.name = "round", .fn = do_round, .params = {"precision", "method"}},
    {.name = "default", .fn = do_default, .params = {"default_value", "boolean"}},
    {.name = "d", .fn = do_default, .params = {"default_value", "boolean"}},
    {.name = "tojson", .fn = do_tojson, .params = {"indent", "ensure_ascii", "separators", "sort_keys"}},
    {.name = NULL}};

/* Filters that Jinja has and this does not: refused as such rather than as unknown. */
const struct tw_builtin tw_jinja_filters_unsupported[] = {
    {.name = "attr"},      {.name = "batch"},          {.name = "center"},      {.name = "e"},
    {.name = "escape"},    {.name = "filesizeformat"}, {.name = "forceescape"}, {.name = "format"},
    {.name = "groupby"},   {.name = "pprint"},         {.name = "random"},      {.name = "slice"},
    {.name = "striptags"}, {.name = "truncate"},       {.name = "urlencode"},   {.name = "urlize"},
    {.name = "wordwrap"},  {.name = "xmlattr"},        {.name = NULL}};
