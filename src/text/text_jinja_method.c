/* SPDX-License-Identifier: MIT */
/* Methods of strings. */
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"
#include "text/text_jinja_case.h"
#include "text/text_jinja_text.h"
#include "text/text_unicode.h"

/* ---- shared with filters ---- */

static bool strips(const char *s, size_t n, struct tw_text chars)
{
    uint32_t c = 0;
    if (chars.s == NULL) {
        return tw_utf8_decode(s, n, &c) == n && tw_unicode_is_python_space(c);
    }
    for (size_t i = 0; i < chars.n;) {
        size_t step = tw_max_size(tw_utf8_decode(chars.s + i, chars.n - i, NULL), 1);
        if (step == n && memcmp(chars.s + i, s, n) == 0) {
            return true;
        }
        i += step;
    }
    return false;
}

struct tw_text tw_text_strip(struct tw_text text, struct tw_text chars, int sides)
{
    while ((sides & TW_STRIP_LEFT) != 0 && text.n > 0) {
        size_t step = tw_max_size(tw_utf8_decode(text.s, text.n, NULL), 1);
        if (!strips(text.s, step, chars)) {
            break;
        }
        text.s += step;
        text.n -= step;
    }
    while ((sides & TW_STRIP_RIGHT) != 0 && text.n > 0) {
        size_t start = tw_utf8_prev(text.s, text.n);
        if (!strips(text.s + start, text.n - start, chars)) {
            break;
        }
        text.n = start;
    }
    return text;
}

static const char *find(struct tw_text text, struct tw_text what)
{
    return memmem(text.s, text.n, what.s, what.n);
}

static struct tw_text behind(struct tw_text text, const char *at)
{
    return (struct tw_text){at, text.n - (size_t)(at - text.s)};
}

trawl_status tw_text_replace(struct tw_render *r, struct tw_text text, struct tw_text from, struct tw_text to,
                             int64_t count, struct tw_value *out)
{
    struct tw_str result;
    trawl_status status = tw_render_charge(r, text.n / 64);
    tw_str_init(&result, r->max_output);
    for (; status == TRAWL_OK && count != 0; count--) {
        const char *at = find(text, from);
        if (at == NULL) {
            break;
        }
        status = tw_str_append(&result, text.s, (size_t)(at - text.s), r->err);
        if (status == TRAWL_OK) {
            status = tw_str_append(&result, to.s, to.n, r->err);
        }
        text = behind(text, at + from.n);
    }
    if (status == TRAWL_OK) {
        status = tw_str_append(&result, text.s, text.n, r->err);
    }
    return tw_value_finish_text(r, &result, status, out);
}

static bool ends_line(uint32_t c)
{
    return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

bool tw_text_next_line(struct tw_text *rest, struct tw_text *line)
{
    if (rest->n == 0) {
        return false;
    }
    size_t i    = 0;
    size_t step = 0;
    while (i < rest->n) {
        uint32_t c = 0;
        step       = tw_max_size(tw_utf8_decode(rest->s + i, rest->n - i, &c), 1);
        if (ends_line(c)) {
            step += c == '\r' && i + 1 < rest->n && rest->s[i + 1] == '\n';
            break;
        }
        i += step;
        step = 0;
    }
    *line = (struct tw_text){rest->s, i};
    *rest = (struct tw_text){rest->s + i + step, rest->n - i - step};
    return true;
}

trawl_status tw_text_join(struct tw_render *r, struct tw_text separator, const struct tw_list *items,
                          struct tw_value *out)
{
    struct tw_str result;
    trawl_status status = TRAWL_OK;
    tw_str_init(&result, r->max_output);
    for (size_t i = 0; i < items->n && status == TRAWL_OK; i++) {
        if (i > 0) {
            status = tw_str_append(&result, separator.s, separator.n, r->err);
        }
        if (status == TRAWL_OK) {
            status = tw_value_print(r, items->items[i], &result);
        }
    }
    return tw_value_finish_text(r, &result, status, out);
}

/* ---- methods ---- */

/* strip, lstrip, rstrip */
static trawl_status do_strip(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    struct tw_text chars = {NULL, 0};
    char first           = c->builtin->name[0];
    int sides = first == 'l' ? TW_STRIP_LEFT : first == 'r' ? TW_STRIP_RIGHT : TW_STRIP_LEFT | TW_STRIP_RIGHT;
    if (c->arg[0].kind != TW_V_MISSING && c->arg[0].kind != TW_V_NONE) {
        TW_TRY(tw_arg_text(r, c, 0, &chars));
    }
    struct tw_text text = tw_text_strip(c->self.as.text, chars, sides);
    *out                = tw_value_text(text.s, text.n);
    return tw_render_charge(r, (c->self.as.text.n - text.n) * (1 + chars.n / 64) / 16);
}

/* startswith, endswith: a string or a tuple of them */
static trawl_status do_startswith(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    struct tw_text text          = c->self.as.text;
    const struct tw_value *items = &c->arg[0];
    size_t n                     = 1;
    if (c->arg[0].kind == TW_V_TUPLE) {
        items = c->arg[0].as.list->items;
        n     = c->arg[0].as.list->n;
    }
    *out = tw_value_bool(false);
    for (size_t i = 0; i < n; i++) {
        if (items[i].kind != TW_V_STRING) {
            return tw_render_fail(r, TRAWL_ERR_FORMAT, "'%s' needs a string, not '%s'", c->builtin->name,
                                  tw_value_type_name(items[i]));
        }
        struct tw_text with = items[i].as.text;
        if (with.n <= text.n) {
            const char *at = c->builtin->name[0] == 's' ? text.s : text.s + text.n - with.n;
            out->as.b      = out->as.b || memcmp(at, with.s, with.n) == 0;
        }
    }
    return tw_render_charge(r, n);
}

/* removeprefix, removesuffix */
static trawl_status do_remove(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    struct tw_text text = c->self.as.text;
    bool prefix         = strcmp(c->builtin->name, "removeprefix") == 0;
    struct tw_text what = {NULL, 0};
    TW_TRY(tw_arg_text(r, c, 0, &what));
    if (what.n <= text.n && memcmp(prefix ? text.s : text.s + text.n - what.n, what.s, what.n) == 0) {
        text.s += prefix ? what.n : 0;
        text.n -= what.n;
    }
    *out = tw_value_text(text.s, text.n);
    return TRAWL_OK;
}

static trawl_status push_text(struct tw_render *r, struct tw_value list, const char *s, size_t n)
{
    return tw_list_push(r, list.as.list, tw_value_text(s, n));
}

/* str.split() without a separator: at runs of white space */
static trawl_status split_words(struct tw_render *r, struct tw_text text, int64_t count, struct tw_value list)
{
    static const struct tw_text white = {NULL, 0};
    for (;;) {
        text = tw_text_strip(text, white, TW_STRIP_LEFT);
        if (text.n == 0) {
            return TRAWL_OK;
        }
        size_t end = 0;
        while (end < text.n) {
            size_t step = tw_max_size(tw_utf8_decode(text.s + end, text.n - end, NULL), 1);
            if (count != 0 && strips(text.s + end, step, white)) {
                break;
            }
            end += step;
        }
        TW_TRY(push_text(r, list, text.s, end));
        text = behind(text, text.s + end);
        if (count == 0) {
            return TRAWL_OK;
        }
        count--;
    }
}

static trawl_status do_split(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    struct tw_text text      = c->self.as.text;
    int64_t count            = -1;
    struct tw_text separator = {NULL, 0};
    TW_TRY(tw_arg_int(r, c, 1, &count));
    TW_TRY(tw_render_charge(r, text.n / 16));
    TW_TRY(tw_value_new_list(r, TW_V_LIST, out));
    if (c->arg[0].kind == TW_V_MISSING || c->arg[0].kind == TW_V_NONE) {
        return split_words(r, text, count, *out);
    }
    TW_TRY(tw_arg_text(r, c, 0, &separator));
    if (separator.n == 0) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "'split': the separator is empty");
    }
    for (; count != 0; count--) {
        const char *at = find(text, separator);
        if (at == NULL) {
            break;
        }
        TW_TRY(push_text(r, *out, text.s, (size_t)(at - text.s)));
        text = behind(text, at + separator.n);
    }
    return push_text(r, *out, text.s, text.n);
}

/* The last place of `what`, NULL: none. */
static const char *find_last(struct tw_text text, struct tw_text what)
{
    for (size_t i = text.n < what.n ? 0 : text.n - what.n + 1; i-- > 0;) {
        if (memcmp(text.s + i, what.s, what.n) == 0) {
            return text.s + i;
        }
    }
    return NULL;
}

static trawl_status do_rsplit(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    struct tw_text text      = c->self.as.text;
    int64_t count            = -1;
    struct tw_text separator = {NULL, 0};
    TW_TRY(tw_arg_int(r, c, 1, &count));
    TW_TRY(tw_arg_text(r, c, 0, &separator));
    if (separator.n == 0) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "'rsplit': the separator is empty");
    }
    TW_TRY(tw_render_charge(r, text.n / 16));
    TW_TRY(tw_value_new_list(r, TW_V_LIST, out));
    for (; count != 0; count--) {
        const char *at = find_last(text, separator);
        if (at == NULL) {
            break;
        }
        TW_TRY(push_text(r, *out, at + separator.n, text.n - (size_t)(at - text.s) - separator.n));
        text.n = (size_t)(at - text.s);
    }
    TW_TRY(push_text(r, *out, text.s, text.n));
    struct tw_list *list = out->as.list;
    for (size_t i = 0; i < list->n / 2; i++) {
        struct tw_value other        = list->items[i];
        list->items[i]               = list->items[list->n - 1 - i];
        list->items[list->n - 1 - i] = other;
    }
    return TRAWL_OK;
}

static trawl_status do_splitlines(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    struct tw_text rest = c->self.as.text;
    struct tw_text line = {NULL, 0};
    TW_TRY(tw_render_charge(r, rest.n / 16));
    TW_TRY(tw_value_new_list(r, TW_V_LIST, out));
    while (tw_text_next_line(&rest, &line)) {
        TW_TRY(push_text(r, *out, line.s, line.n));
    }
    return TRAWL_OK;
}

/* find, rfind, index: the number of characters before it */
static trawl_status do_find(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    struct tw_text text = c->self.as.text;
    struct tw_text what = {NULL, 0};
    size_t before       = 0;
    TW_TRY(tw_arg_text(r, c, 0, &what));
    TW_TRY(tw_render_charge(r, text.n / 16));
    const char *at = c->builtin->name[0] == 'r' ? find_last(text, what) : find(text, what);
    if (at == NULL && c->builtin->name[0] == 'i') {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "'index': the string has no such part");
    }
    *out = tw_value_int(-1);
    if (at != NULL) {
        TW_TRY(tw_value_length(r, tw_value_text(text.s, (size_t)(at - text.s)), &before));
        *out = tw_value_int((int64_t)before);
    }
    return TRAWL_OK;
}

static trawl_status do_count(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    struct tw_text text = c->self.as.text;
    int64_t count       = 0;
    struct tw_text what = {NULL, 0};
    TW_TRY(tw_arg_text(r, c, 0, &what));
    TW_TRY(tw_render_charge(r, text.n / 16));
    if (what.n == 0) {
        size_t n = 0;
        TW_TRY(tw_value_length(r, c->self, &n));
        *out = tw_value_int((int64_t)n + 1);
        return TRAWL_OK;
    }
    for (const char *at = find(text, what); at != NULL; at = find(text, what)) {
        count++;
        text = behind(text, at + what.n);
    }
    *out = tw_value_int(count);
    return TRAWL_OK;
}

static trawl_status do_replace(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    int64_t count       = -1;
    struct tw_text from = {NULL, 0};
    struct tw_text to   = {NULL, 0};
    TW_TRY(tw_arg_text(r, c, 0, &from));
    TW_TRY(tw_arg_text(r, c, 1, &to));
    TW_TRY(tw_arg_int(r, c, 2, &count));
    if (from.n == 0) {
        return tw_render_fail(r, TRAWL_ERR_UNSUPPORTED, "'replace' of the empty string is not supported");
    }
    return tw_text_replace(r, c->self.as.text, from, to, count, out);
}

static trawl_status do_join(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    const struct tw_list *items = NULL;
    TW_TRY(tw_value_iterate(r, c->arg[0], &items));
    for (size_t i = 0; i < items->n; i++) {
        if (items->items[i].kind != TW_V_STRING) {
            return tw_render_fail(r, TRAWL_ERR_FORMAT, "'join': item %zu is a '%s', expected a string", i,
                                  tw_value_type_name(items->items[i]));
        }
    }
    return tw_text_join(r, c->self.as.text, items, out);
}

static trawl_status do_case(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    char first      = c->builtin->name[0];
    enum tw_case to = first == 'u'   ? TW_CASE_UPPER
                      : first == 'l' ? TW_CASE_LOWER
                      : first == 't' ? TW_CASE_TITLE
                                     : TW_CASE_CAPITALIZE;
    return tw_text_change_case(r, c->self.as.text, to, out);
}

/* isspace, isupper, islower */
static trawl_status do_is(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    static const struct tw_text white = {NULL, 0};
    struct tw_text text               = c->self.as.text;
    char kind                         = c->builtin->name[2];
    bool blank                        = text.n > 0 && tw_text_strip(text, white, TW_STRIP_LEFT).n == 0;
    *out = tw_value_bool(kind == 's' ? blank : tw_text_has_case(text, kind == 'u'));
    return tw_render_charge(r, text.n / 16);
}

const struct tw_builtin tw_jinja_methods_text[] = {
    {.name = "strip", .fn = do_strip, .params = {"chars"}},
    {.name = "lstrip", .fn = do_strip, .params = {"chars"}},
    {.name = "rstrip", .fn = do_strip, .params = {"chars"}},
    {.name = "startswith", .fn = do_startswith, .params = {"prefix"}, .required = 1},
    {.name = "endswith", .fn = do_startswith, .params = {"suffix"}, .required = 1},
    {.name = "removeprefix", .fn = do_remove, .params = {"prefix"}, .required = 1},
    {.name = "removesuffix", .fn = do_remove, .params = {"suffix"}, .required = 1},
    {.name = "split", .fn = do_split, .params = {"sep", "maxsplit"}},
    {.name = "rsplit", .fn = do_rsplit, .params = {"sep", "maxsplit"}, .required = 1},
    {.name = "splitlines", .fn = do_splitlines},
    {.name = "find", .fn = do_find, .params = {"sub"}, .required = 1},
    {.name = "rfind", .fn = do_find, .params = {"sub"}, .required = 1},
    {.name = "index", .fn = do_find, .params = {"sub"}, .required = 1},
    {.name = "count", .fn = do_count, .params = {"sub"}, .required = 1},
    {.name = "replace", .fn = do_replace, .params = {"old", "new", "count"}, .required = 2},
    {.name = "join", .fn = do_join, .params = {"iterable"}, .required = 1},
    {.name = "upper", .fn = do_case},
    {.name = "lower", .fn = do_case},
    {.name = "title", .fn = do_case},
    {.name = "capitalize", .fn = do_case},
    {.name = "isspace", .fn = do_is},
    {.name = "isupper", .fn = do_is},
    {.name = "islower", .fn = do_is},
    {.name = "casefold"},
    {.name = "center"},
    {.name = "encode"},
    {.name = "expandtabs"},
    {.name = "format"},
    {.name = "format_map"},
    {.name = "isalnum"},
    {.name = "isalpha"},
    {.name = "isascii"},
    {.name = "isdecimal"},
    {.name = "isdigit"},
    {.name = "isidentifier"},
    {.name = "isnumeric"},
    {.name = "isprintable"},
    {.name = "istitle"},
    {.name = "ljust"},
    {.name = "maketrans"},
    {.name = "partition"},
    {.name = "rindex"},
    {.name = "rjust"},
    {.name = "rpartition"},
    {.name = "swapcase"},
    {.name = "translate"},
    {.name = "zfill"},
    {.name = NULL}};
