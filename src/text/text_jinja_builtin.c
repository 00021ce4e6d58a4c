/* SPDX-License-Identifier: MIT */
/* Calling builtins; global functions; methods of dicts and lists. */
#include "text/text_jinja_builtin.h"

#include <string.h>
#include <time.h>

#include "base/size.h"
#include "text/text_jinja_eval.h"

const struct tw_builtin *tw_builtin_find(const struct tw_builtin *table, struct tw_text name)
{
    for (; table->name != NULL; table++) {
        if (tw_text_is(name, table->name)) {
            return table;
        }
    }
    return NULL;
}

/* ---- arguments ---- */

static int parameter_index(const struct tw_builtin *b, struct tw_text name)
{
    for (int i = 0; i < TW_BUILTIN_MAX_PARAMS && b->params[i] != NULL; i++) {
        if (tw_text_is(name, b->params[i])) {
            return i;
        }
    }
    return -1;
}

static trawl_status bind(struct tw_render *r, const struct tw_arguments *a, struct tw_builtin_call *call)
{
    const struct tw_builtin *b = call->builtin;
    size_t n_params            = 0;
    while (n_params < TW_BUILTIN_MAX_PARAMS && b->params[n_params] != NULL) {
        n_params++;
    }
    if (a->n_positional > n_params) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "'%s' takes at most %zu arguments, not %zu", b->name,
                              n_params, a->n_positional);
    }
    for (size_t i = 0; i < a->n; i++) {
        int at = i < a->n_positional ? (int)i : parameter_index(b, a->names[i]);
        if (at < 0 || call->arg[at].kind != TW_V_MISSING) {
            return tw_render_fail(r, TRAWL_ERR_FORMAT, "'%s' has no argument '%.*s', or it is given twice",
                                  b->name, (int)tw_min_size(a->names[i].n, 60), a->names[i].s);
        }
        call->arg[at] = a->values[i];
    }
    for (int i = 0; i < b->required; i++) {
        if (call->arg[i].kind == TW_V_MISSING) {
            return tw_render_fail(r, TRAWL_ERR_FORMAT, "'%s' needs the argument '%s'", b->name, b->params[i]);
        }
    }
    return TRAWL_OK;
}

trawl_status tw_builtin_invoke(struct tw_render *r, const struct tw_builtin *builtin, struct tw_value self,
                               const struct tw_arguments *arguments, struct tw_value *out)
{
    struct tw_builtin_call call = {.builtin = builtin, .self = self, .arguments = arguments};
    if (builtin->fn == NULL) {
        return tw_render_fail(r, TRAWL_ERR_UNSUPPORTED, "'%s' of a '%s' is not supported", builtin->name,
                              tw_value_type_name(self));
    }
    if (!builtin->variadic) {
        TW_TRY(bind(r, arguments, &call));
    }
    TW_TRY(tw_render_enter(r));
    TW_TRY(builtin->fn(r, &call, out));
    tw_render_leave(r);
    return TRAWL_OK;
}

trawl_status tw_arg_text(struct tw_render *r, const struct tw_builtin_call *call, int i, struct tw_text *out)
{
    if (call->arg[i].kind != TW_V_STRING) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "'%s': argument '%s' is a '%s', expected a string",
                              call->builtin->name, call->builtin->params[i],
                              tw_value_type_name(call->arg[i]));
    }
    *out = call->arg[i].as.text;
    return TRAWL_OK;
}

trawl_status tw_arg_int(struct tw_render *r, const struct tw_builtin_call *call, int i, int64_t *out)
{
    if (call->arg[i].kind == TW_V_MISSING || call->arg[i].kind == TW_V_NONE) {
        return TRAWL_OK;
    }
    if (!tw_value_is_integer(call->arg[i])) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "'%s': argument '%s' is a '%s', expected an integer",
                              call->builtin->name, call->builtin->params[i],
                              tw_value_type_name(call->arg[i]));
    }
    *out = tw_value_integer(call->arg[i]);
    return TRAWL_OK;
}

void tw_arg_bool(const struct tw_builtin_call *call, int i, bool *out)
{
    if (call->arg[i].kind != TW_V_MISSING) {
        *out = tw_value_truth(call->arg[i]);
    }
}

/* ---- global functions ---- */

static trawl_status do_range(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    enum { MAX_RANGE = 100000 }; /* as Jinja's sandbox has it */
    int64_t begin = 0;
    int64_t end   = 0;
    int64_t step  = 1;
    TW_TRY(tw_arg_int(r, c, 0, &end));
    if (c->arg[1].kind != TW_V_MISSING) {
        begin = end;
        TW_TRY(tw_arg_int(r, c, 1, &end));
    }
    TW_TRY(tw_arg_int(r, c, 2, &step));
    if (step == 0) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "the step of a range is 0");
    }
    bool empty        = step > 0 ? begin >= end : begin <= end;
    uint64_t distance = step > 0 ? (uint64_t)end - (uint64_t)begin : (uint64_t)begin - (uint64_t)end;
    uint64_t stride   = step > 0 ? (uint64_t)step : (uint64_t)0 - (uint64_t)step;
    uint64_t count    = empty ? 0 : (distance - 1) / stride + 1;
    if (count > MAX_RANGE) {
        return tw_render_fail(r, TRAWL_ERR_LIMIT, "a range of more than %d numbers", MAX_RANGE);
    }
    TW_TRY(tw_value_new_list(r, TW_V_LIST, out));
    for (uint64_t i = 0; i < count; i++) {
        TW_TRY(tw_list_push(r, out->as.list, tw_value_int((int64_t)((uint64_t)begin + i * (uint64_t)step))));
    }
    return tw_render_charge(r, out->as.list->n);
}

/* namespace(a=1, ...) and dict(a=1, ...) */
static trawl_status from_keywords(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    const struct tw_arguments *a = c->arguments;
    bool dict                    = strcmp(c->builtin->name, "dict") == 0;
    TW_TRY(tw_value_new_map(r, dict ? TW_V_MAP : TW_V_NAMESPACE, out));
    for (size_t i = 0; i < a->n_positional; i++) {
        if (a->values[i].kind != TW_V_MAP || a->n_positional > 1) {
            return tw_render_fail(r, TRAWL_ERR_UNSUPPORTED, "'%s' of anything but a dict is not supported",
                                  c->builtin->name);
        }
        for (size_t k = 0; k < a->values[i].as.map->n; k++) {
            const struct tw_pair *pair = &a->values[i].as.map->pairs[k];
            TW_TRY(tw_map_set(r, out->as.map, pair->key, pair->value));
        }
    }
    for (size_t i = a->n_positional; i < a->n; i++) {
        TW_TRY(tw_map_set(r, out->as.map, tw_value_text(a->names[i].s, a->names[i].n), a->values[i]));
    }
    return TRAWL_OK;
}

static trawl_status do_raise(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    struct tw_text message = {NULL, 0};
    *out                   = tw_value_of(TW_V_NONE);
    TW_TRY(tw_value_to_text(r, c->arg[0], &message));
    return tw_render_fail(r, TRAWL_ERR_FORMAT, "%.*s", (int)tw_min_size(message.n, 400), message.s);
}

static trawl_status do_strftime(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    char text[256];
    char format[128];
    struct tw_text f = {"", 0};
    TW_TRY(tw_arg_text(r, c, 0, &f));
    if (f.n >= sizeof format || memchr(f.s, '\0', f.n) != NULL) {
        return tw_render_fail(r, TRAWL_ERR_LIMIT, "a date format of %zu bytes, limit %zu", f.n,
                              sizeof format - 1);
    }
    memcpy(format, f.s, f.n);
    format[f.n] = '\0';
    for (size_t i = 0; i + 1 < f.n; i++) {
        /* Directives that Python and C share, so that no width or modifier gets through. */
        if (format[i] == '%' && strchr("aAbBcdHIjmMpSUwWxXyYZ%", format[++i]) == NULL) {
            return tw_render_fail(r, TRAWL_ERR_UNSUPPORTED, "date directive %%%c is not supported",
                                  format[i]);
        }
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    size_t n = strftime(text, sizeof text, format, r->now);
#pragma GCC diagnostic pop
    if (n == 0 && f.n > 0) {
        return tw_render_fail(r, TRAWL_ERR_LIMIT, "a date of more than %zu bytes", sizeof text);
    }
    return tw_value_copy_text(r, text, n, out);
}

const struct tw_builtin *tw_jinja_find_function(struct tw_text name)
{
    static const struct tw_builtin functions[] = {
        {.name = "range", .fn = do_range, .params = {"start", "stop", "step"}, .required = 1},
        {.name = "namespace", .fn = from_keywords, .variadic = true},
        {.name = "dict", .fn = from_keywords, .variadic = true},
        {.name = "raise_exception", .fn = do_raise, .params = {"message"}, .required = 1},
        {.name = "strftime_now", .fn = do_strftime, .params = {"format"}, .required = 1},
        {.name = "lipsum"},
        {.name = "cycler"},
        {.name = "joiner"},
        {.name = NULL}};
    return tw_builtin_find(functions, name);
}

/* ---- methods of dicts ---- */

static trawl_status pair_tuple(struct tw_render *r, const struct tw_pair *pair, struct tw_value *out)
{
    TW_TRY(tw_value_new_list(r, TW_V_TUPLE, out));
    TW_TRY(tw_list_push(r, out->as.list, pair->key));
    return tw_list_push(r, out->as.list, pair->value);
}

/* items, keys, values: as lists */
static trawl_status dict_view(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    const struct tw_map *map = c->self.as.map;
    TW_TRY(tw_value_new_list(r, TW_V_LIST, out));
    for (size_t i = 0; i < map->n; i++) {
        struct tw_value item = c->builtin->name[0] == 'k' ? map->pairs[i].key : map->pairs[i].value;
        if (c->builtin->name[0] == 'i') {
            TW_TRY(pair_tuple(r, &map->pairs[i], &item));
        }
        TW_TRY(tw_list_push(r, out->as.list, item));
    }
    return TRAWL_OK;
}

static trawl_status dict_get(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    struct tw_value *found = NULL;
    TW_TRY(tw_map_get(r, c->self.as.map, c->arg[0], &found));
    if (found != NULL) {
        *out = *found;
    } else {
        *out = c->arg[1].kind == TW_V_MISSING ? tw_value_of(TW_V_NONE) : c->arg[1];
    }
    return TRAWL_OK;
}

/* Lists and dicts never change: a copy is the thing itself. */
static trawl_status copy_self(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    (void)r;
    *out = c->self;
    return TRAWL_OK;
}

/* ---- methods of lists ---- */

/* count and index */
static trawl_status list_search(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    const struct tw_list *list = c->self.as.list;
    int64_t count              = 0;
    for (size_t i = 0; i < list->n; i++) {
        bool equal = false;
        TW_TRY(tw_value_equal(r, list->items[i], c->arg[0], &equal));
        if (equal && c->builtin->name[0] == 'i') {
            *out = tw_value_int((int64_t)i);
            return TRAWL_OK;
        }
        count += equal;
    }
    if (c->builtin->name[0] == 'i') {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "'index': the list has no such item");
    }
    *out = tw_value_int(count);
    return TRAWL_OK;
}

static trawl_status loop_cycle(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    const struct tw_arguments *a = c->arguments;
    if (a->n_positional == 0 || a->n_positional != a->n) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "loop.cycle needs items");
    }
    *out = a->values[c->self.as.loop->index % a->n];
    return TRAWL_OK;
}

const struct tw_builtin *tw_jinja_find_method(enum tw_value_kind kind, struct tw_text name)
{
    /* Without a function: what Python has and the sandbox of chat templates forbids. */
    static const struct tw_builtin of_dict[] = {
        {.name = "items", .fn = dict_view},
        {.name = "keys", .fn = dict_view},
        {.name = "values", .fn = dict_view},
        {.name = "get", .fn = dict_get, .params = {"key", "default"}, .required = 1},
        {.name = "copy", .fn = copy_self},
        {.name = "clear"},
        {.name = "fromkeys"},
        {.name = "pop"},
        {.name = "popitem"},
        {.name = "setdefault"},
        {.name = "update"},
        {.name = NULL}};
    static const struct tw_builtin of_list[] = {
        {.name = "count", .fn = list_search, .params = {"value"}, .required = 1},
        {.name = "index", .fn = list_search, .params = {"value"}, .required = 1},
        {.name = "copy", .fn = copy_self},
        {.name = "append"},
        {.name = "clear"},
        {.name = "extend"},
        {.name = "insert"},
        {.name = "pop"},
        {.name = "remove"},
        {.name = "reverse"},
        {.name = "sort"},
        {.name = NULL}};
    static const struct tw_builtin of_loop[] = {{.name = "cycle", .fn = loop_cycle, .variadic = true},
                                                {.name = NULL}};
    if (kind == TW_V_STRING) {
        return tw_builtin_find(tw_jinja_methods_text, name);
    }
    if (kind == TW_V_MAP) {
        return tw_builtin_find(of_dict, name);
    }
    if (kind == TW_V_LOOP) {
        return tw_builtin_find(of_loop, name);
    }
    return kind == TW_V_LIST || kind == TW_V_TUPLE ? tw_builtin_find(of_list, name) : NULL;
}

const struct tw_builtin *tw_jinja_find_filter(struct tw_text name)
{
    const struct tw_builtin *const tables[] = {tw_jinja_filters_text, tw_jinja_filters_list,
                                               tw_jinja_filters_unsupported};
    const struct tw_builtin *found          = NULL;
    for (size_t i = 0; i < sizeof tables / sizeof *tables && found == NULL; i++) {
        found = tw_builtin_find(tables[i], name);
    }
    return found;
}
