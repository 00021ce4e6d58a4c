/* SPDX-License-Identifier: MIT */
/* Filters of lists and dicts. */
#include <string.h>

#include "base/size.h"
#include "text/text_jinja_case.h"
#include "text/text_jinja_text.h"

/* ---- attributes by name: "a.b.0" ---- */

static bool all_digits(struct tw_text t)
{
    for (size_t i = 0; i < t.n; i++) {
        if (t.s[i] < '0' || t.s[i] > '9') {
            return false;
        }
    }
    return t.n > 0 && t.n < 10;
}

static trawl_status attribute(struct tw_render *r, struct tw_value v, struct tw_value path,
                              struct tw_value *out)
{
    *out = v;
    if (path.kind == TW_V_MISSING || path.kind == TW_V_NONE) {
        return TRAWL_OK;
    }
    if (path.kind != TW_V_STRING) {
        return tw_eval_item(r, v, path, out);
    }
    struct tw_text rest = path.as.text;
    for (;;) {
        const char *dot     = memchr(rest.s, '.', rest.n);
        struct tw_text part = {rest.s, dot == NULL ? rest.n : (size_t)(dot - rest.s)};
        struct tw_value key = tw_value_text(part.s, part.n);
        if (all_digits(part)) {
            key = tw_value_int(0);
            for (size_t i = 0; i < part.n; i++) {
                key.as.i = key.as.i * 10 + (part.s[i] - '0');
            }
        }
        TW_TRY(tw_eval_item(r, *out, key, out));
        if (dot == NULL) {
            return TRAWL_OK;
        }
        rest = (struct tw_text){dot + 1, rest.n - part.n - 1};
    }
}

/* What an item is sorted or compared by: an attribute, strings in lower case unless case counts. */
static trawl_status item_key(struct tw_render *r, struct tw_value item, struct tw_value path,
                             bool case_sensitive, struct tw_value *out)
{
    TW_TRY(attribute(r, item, path, out));
    if (out->kind == TW_V_STRING && !case_sensitive) {
        return tw_text_change_case(r, out->as.text, TW_CASE_LOWER, out);
    }
    return TRAWL_OK;
}

/* ---- one value of a list ---- */

static trawl_status do_length(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    size_t n = 0;
    TW_TRY(tw_value_length(r, c->self, &n));
    *out = tw_value_int((int64_t)n);
    return TRAWL_OK;
}

/* first, last */
static trawl_status do_end(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    const struct tw_list *items = NULL;
    TW_TRY(tw_value_iterate(r, c->self, &items));
    *out = tw_value_undefined((struct tw_text){"item of an empty sequence", 25});
    if (items->n > 0) {
        *out = items->items[c->builtin->name[0] == 'f' ? 0 : items->n - 1];
    }
    return TRAWL_OK;
}

/* min, max */
static trawl_status do_extreme(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    const struct tw_list *items = NULL;
    bool case_sensitive         = false;
    bool max                    = c->builtin->name[1] == 'a';
    struct tw_value best        = tw_value_of(TW_V_NONE);
    tw_arg_bool(c, 0, &case_sensitive);
    TW_TRY(tw_value_iterate(r, c->self, &items));
    *out = tw_value_undefined((struct tw_text){"item of an empty sequence", 25});
    for (size_t i = 0; i < items->n; i++) {
        struct tw_value key;
        int order = 1;
        TW_TRY(item_key(r, items->items[i], c->arg[1], case_sensitive, &key));
        if (i > 0) {
            TW_TRY(tw_value_compare(r, max ? key : best, max ? best : key, max ? ">" : "<", &order));
        }
        if (order == 1) {
            best = key;
            *out = items->items[i];
        }
    }
    return TRAWL_OK;
}

static trawl_status do_sum(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    const struct tw_list *items = NULL;
    struct tw_value total       = c->arg[1].kind == TW_V_MISSING ? tw_value_int(0) : c->arg[1];
    TW_TRY(tw_value_iterate(r, c->self, &items));
    for (size_t i = 0; i < items->n; i++) {
        struct tw_value item;
        TW_TRY(attribute(r, items->items[i], c->arg[0], &item));
        TW_TRY(tw_eval_binary(r, TW_OP_ADD, total, item, &total));
    }
    *out = total;
    return TRAWL_OK;
}

static trawl_status do_join(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    const struct tw_list *items = NULL;
    struct tw_text separator    = {"", 0};
    TW_TRY(tw_value_iterate(r, c->self, &items));
    if (c->arg[0].kind != TW_V_MISSING) {
        TW_TRY(tw_value_to_text(r, c->arg[0], &separator));
    }
    if (c->arg[1].kind == TW_V_MISSING || c->arg[1].kind == TW_V_NONE) {
        return tw_text_join(r, separator, items, out);
    }
    struct tw_value list;
    TW_TRY(tw_value_new_list(r, TW_V_LIST, &list));
    for (size_t i = 0; i < items->n; i++) {
        struct tw_value item;
        TW_TRY(attribute(r, items->items[i], c->arg[1], &item));
        TW_TRY(tw_list_push(r, list.as.list, item));
    }
    return tw_text_join(r, separator, list.as.list, out);
}

/* ---- lists from lists ---- */

static trawl_status do_list(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    const struct tw_list *items = NULL;
    TW_TRY(tw_value_iterate(r, c->self, &items));
    TW_TRY(tw_value_new_list(r, TW_V_LIST, out));
    for (size_t i = 0; i < items->n; i++) {
        TW_TRY(tw_list_push(r, out->as.list, items->items[i]));
    }
    return TRAWL_OK;
}

static trawl_status do_reverse(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    const struct tw_value backwards[3] = {tw_value_of(TW_V_NONE), tw_value_of(TW_V_NONE), tw_value_int(-1)};
    struct tw_value v                  = c->self;
    if (v.kind == TW_V_MAP || v.kind == TW_V_UNDEFINED) {
        TW_TRY(do_list(r, c, &v));
    }
    return tw_eval_slice(r, v, backwards, out);
}

/* The pairs of a dict as tuples. */
static trawl_status do_items(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    TW_TRY(tw_value_new_list(r, TW_V_LIST, out));
    if (c->self.kind == TW_V_UNDEFINED) {
        return TRAWL_OK;
    }
    if (c->self.kind != TW_V_MAP) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "'%s' of a '%s', which is no mapping", c->builtin->name,
                              tw_value_type_name(c->self));
    }
    for (size_t i = 0; i < c->self.as.map->n; i++) {
        struct tw_value tuple;
        TW_TRY(tw_value_new_list(r, TW_V_TUPLE, &tuple));
        TW_TRY(tw_list_push(r, tuple.as.list, c->self.as.map->pairs[i].key));
        TW_TRY(tw_list_push(r, tuple.as.list, c->self.as.map->pairs[i].value));
        TW_TRY(tw_list_push(r, out->as.list, tuple));
    }
    return TRAWL_OK;
}

/* Merge the sorted runs [begin, begin + width) and the `width` pairs after it, both cut at n. */
static trawl_status merge_runs(struct tw_render *r, const struct tw_pair *pairs, struct tw_pair *out,
                               size_t begin, size_t width, size_t n, bool reverse)
{
    size_t middle = tw_min_size(begin + width, n), end = tw_min_size(begin + 2 * width, n);
    size_t a = begin, b = middle;
    for (size_t k = begin; k < end; k++) {
        int order = a == middle ? 1 : b == end ? -1 : 0;
        if (order == 0) {
            TW_TRY(tw_value_compare(r, pairs[a].key, pairs[b].key, "<", &order));
            order = reverse ? -order : order;
        }
        out[k] = order == 1 ? pairs[b++] : pairs[a++];
    }
    return TRAWL_OK;
}

/* Sort pairs by their key, stable; bottom-up merging, for comparing may fail. */
static trawl_status merge_sort(struct tw_render *r, struct tw_pair *pairs, size_t n, bool reverse)
{
    struct tw_pair *other = NULL;
    TW_TRY(tw_arena_alloc(&r->arena, n, sizeof *other, &other, r->err));
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t begin = 0; begin < n; begin += 2 * width) {
            TW_TRY(merge_runs(r, pairs, other, begin, width, n, reverse));
        }
        memcpy(pairs, other, n * sizeof *pairs);
    }
    return TRAWL_OK;
}

static trawl_status sort_items(struct tw_render *r, const struct tw_list *items, struct tw_value path,
                               bool case_sensitive, bool reverse, struct tw_value *out)
{
    struct tw_pair *pairs = NULL;
    TW_TRY(tw_arena_alloc(&r->arena, items->n, sizeof *pairs, &pairs, r->err));
    for (size_t i = 0; i < items->n; i++) {
        pairs[i].value = items->items[i];
        TW_TRY(item_key(r, items->items[i], path, case_sensitive, &pairs[i].key));
    }
    TW_TRY(merge_sort(r, pairs, items->n, reverse));
    TW_TRY(tw_value_new_list(r, TW_V_LIST, out));
    for (size_t i = 0; i < items->n; i++) {
        TW_TRY(tw_list_push(r, out->as.list, pairs[i].value));
    }
    return TRAWL_OK;
}

static trawl_status do_sort(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    const struct tw_list *items = NULL;
    bool reverse                = false;
    bool case_sensitive         = false;
    tw_arg_bool(c, 0, &reverse);
    tw_arg_bool(c, 1, &case_sensitive);
    if (c->arg[2].kind == TW_V_STRING && memchr(c->arg[2].as.text.s, ',', c->arg[2].as.text.n) != NULL) {
        return tw_render_fail(r, TRAWL_ERR_UNSUPPORTED, "'sort' by several attributes is not supported");
    }
    TW_TRY(tw_value_iterate(r, c->self, &items));
    return sort_items(r, items, c->arg[2], case_sensitive, reverse, out);
}

static trawl_status do_dictsort(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    bool reverse        = false;
    bool case_sensitive = false;
    struct tw_text by   = {"key", 3};
    struct tw_value pairs;
    tw_arg_bool(c, 0, &case_sensitive);
    tw_arg_bool(c, 2, &reverse);
    if (c->arg[1].kind != TW_V_MISSING) {
        TW_TRY(tw_arg_text(r, c, 1, &by));
    }
    if (!tw_text_is(by, "key") && !tw_text_is(by, "value")) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "'dictsort' is by key or by value");
    }
    if (c->self.kind == TW_V_UNDEFINED) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "'dictsort' of an undefined value");
    }
    TW_TRY(do_items(r, c, &pairs));
    return sort_items(r, pairs.as.list, tw_value_int(by.s[0] == 'v'), case_sensitive, reverse, out);
}

static trawl_status do_unique(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    const struct tw_list *items = NULL;
    bool case_sensitive         = false;
    struct tw_value seen;
    tw_arg_bool(c, 0, &case_sensitive);
    TW_TRY(tw_value_iterate(r, c->self, &items));
    TW_TRY(tw_value_new_list(r, TW_V_LIST, out));
    TW_TRY(tw_value_new_list(r, TW_V_LIST, &seen));
    for (size_t i = 0; i < items->n; i++) {
        struct tw_value key;
        bool known = false;
        TW_TRY(item_key(r, items->items[i], c->arg[1], case_sensitive, &key));
        TW_TRY(tw_value_contains(r, seen, key, &known));
        if (!known) {
            TW_TRY(tw_list_push(r, seen.as.list, key));
            TW_TRY(tw_list_push(r, out->as.list, items->items[i]));
        }
    }
    return TRAWL_OK;
}

/* ---- filters that take the name of a filter or test ---- */

static trawl_status find_named(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value name,
                               bool test, const struct tw_builtin **out)
{
    if (name.kind != TW_V_STRING) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "'%s' needs the name of a %s", c->builtin->name,
                              test ? "test" : "filter");
    }
    *out = test ? tw_jinja_find_test(name.as.text) : tw_jinja_find_filter(name.as.text);
    if (*out == NULL || (*out)->fn == NULL) {
        return tw_render_fail(r, TRAWL_ERR_UNSUPPORTED, "%s \"%.*s\" %s", test ? "test" : "filter",
                              (int)tw_min_size(name.as.text.n, 60), name.as.text.s,
                              *out == NULL ? "is not known" : "is not supported");
    }
    return TRAWL_OK;
}

/* The arguments without the first `n` positional ones. */
static struct tw_arguments without(const struct tw_arguments *a, size_t n)
{
    struct tw_arguments rest = *a;
    rest.values += n;
    rest.names += n;
    rest.n_positional -= n;
    rest.n -= n;
    return rest;
}

/* What map and select go over: anything false is nothing, whatever its type. */
static trawl_status items_if_true(struct tw_render *r, struct tw_value v, const struct tw_list **out)
{
    return tw_value_iterate(r, tw_value_truth(v) ? v : tw_value_undefined((struct tw_text){"", 0}), out);
}

/* map('filter', ...) or map(attribute='name', default=...) */
static trawl_status do_map(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    const struct tw_arguments *a    = c->arguments;
    const struct tw_builtin *filter = NULL;
    const struct tw_list *items     = NULL;
    struct tw_value path            = tw_value_of(TW_V_MISSING);
    struct tw_value fallback        = tw_value_of(TW_V_MISSING);
    struct tw_arguments rest        = {0};
    if (a->n_positional > 0) {
        TW_TRY(find_named(r, c, a->values[0], false, &filter));
        rest = without(a, 1);
    }
    for (size_t i = 0; i < a->n && a->n_positional == 0; i++) {
        if (tw_text_is(a->names[i], "attribute")) {
            path = a->values[i];
        } else if (tw_text_is(a->names[i], "default")) {
            fallback = a->values[i];
        }
    }
    if (filter == NULL && path.kind == TW_V_MISSING) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "'map' needs the name of a filter or attribute=");
    }
    TW_TRY(items_if_true(r, c->self, &items));
    TW_TRY(tw_value_new_list(r, TW_V_LIST, out));
    for (size_t i = 0; i < items->n; i++) {
        struct tw_value item;
        if (filter != NULL) {
            TW_TRY(tw_builtin_invoke(r, filter, items->items[i], &rest, &item));
        } else {
            TW_TRY(attribute(r, items->items[i], path, &item));
            item = item.kind == TW_V_UNDEFINED && fallback.kind != TW_V_MISSING ? fallback : item;
        }
        TW_TRY(tw_list_push(r, out->as.list, item));
    }
    return TRAWL_OK;
}

/* select, reject, selectattr, rejectattr: ('attribute' first for the latter two) 'test', arguments ... */
static trawl_status do_select(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    const struct tw_builtin *test = NULL;
    const struct tw_list *items   = NULL;
    struct tw_value path          = tw_value_of(TW_V_MISSING);
    bool reject                   = c->builtin->name[0] == 'r';
    bool attr                     = strlen(c->builtin->name) > 6;
    struct tw_arguments rest      = *c->arguments;
    if (attr) {
        if (rest.n_positional == 0) {
            return tw_render_fail(r, TRAWL_ERR_FORMAT, "'%s' needs the name of an attribute",
                                  c->builtin->name);
        }
        path = rest.values[0];
        rest = without(&rest, 1);
    }
    if (rest.n_positional > 0) {
        TW_TRY(find_named(r, c, rest.values[0], true, &test));
        rest = without(&rest, 1);
    }
    TW_TRY(items_if_true(r, c->self, &items));
    TW_TRY(tw_value_new_list(r, TW_V_LIST, out));
    for (size_t i = 0; i < items->n; i++) {
        struct tw_value item;
        TW_TRY(attribute(r, items->items[i], path, &item));
        if (test != NULL) {
            TW_TRY(tw_builtin_invoke(r, test, item, &rest, &item));
        }
        if (tw_value_truth(item) != reject) {
            TW_TRY(tw_list_push(r, out->as.list, items->items[i]));
        }
    }
    return TRAWL_OK;
}

const struct tw_builtin tw_jinja_filters_list[] = {
    {.name = "length", .fn = do_length},
    {.name = "count", .fn = do_length},
    {.name = "first", .fn = do_end},
    {.name = "last", .fn = do_end},
    {.name = "min", .fn = do_extreme, .params = {"case_sensitive", "attribute"}},
    {.name = "max", .fn = do_extreme, .params = {"case_sensitive", "attribute"}},
    {.name = "sum", .fn = do_sum, .params = {"attribute", "start"}},
    {.name = "join", .fn = do_join, .params = {"d", "attribute"}},
    {.name = "list", .fn = do_list},
    {.name = "reverse", .fn = do_reverse},
    {.name = "items", .fn = do_items},
    {.name = "sort", .fn = do_sort, .params = {"reverse", "case_sensitive", "attribute"}},
    {.name = "dictsort", .fn = do_dictsort, .params = {"case_sensitive", "by", "reverse"}},
    {.name = "unique", .fn = do_unique, .params = {"case_sensitive", "attribute"}},
    {.name = "map", .fn = do_map, .variadic = true},
    {.name = "select", .fn = do_select, .variadic = true},
    {.name = "reject", .fn = do_select, .variadic = true},
    {.name = "selectattr", .fn = do_select, .variadic = true},
    {.name = "rejectattr", .fn = do_select, .variadic = true},
    {.name = NULL}};
