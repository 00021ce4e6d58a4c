/* SPDX-License-Identifier: MIT */
/* Making, comparing and walking over values. */
#include "text/text_jinja_value.h"

#include <math.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"
#include "text/text_jinja_eval.h"

const char *tw_value_type_name(struct tw_value v)
{
    static const char *const names[TW_V_KINDS] = {
        [TW_V_MISSING]   = "missing",
        [TW_V_UNDEFINED] = "Undefined",
        [TW_V_NONE]      = "NoneType",
        [TW_V_BOOL]      = "bool",
        [TW_V_INT]       = "int",
        [TW_V_FLOAT]     = "float",
        [TW_V_STRING]    = "str",
        [TW_V_LIST]      = "list",
        [TW_V_TUPLE]     = "tuple",
        [TW_V_MAP]       = "dict",
        [TW_V_NAMESPACE] = "Namespace",
        [TW_V_LOOP]      = "LoopContext",
        [TW_V_MACRO]     = "Macro",
        [TW_V_FUNCTION]  = "function",
    };
    return names[v.kind];
}

bool tw_value_truth(struct tw_value v)
{
    switch (v.kind) {
    case TW_V_BOOL: return v.as.b;
    case TW_V_INT: return v.as.i != 0;
    case TW_V_FLOAT: return v.as.f != 0.0;
    case TW_V_STRING: return v.as.text.n > 0;
    case TW_V_LIST:
    case TW_V_TUPLE: return v.as.list->n > 0;
    case TW_V_MAP: return v.as.map->n > 0;
    case TW_V_NAMESPACE:
    case TW_V_LOOP:
    case TW_V_MACRO:
    case TW_V_FUNCTION: return true;
    case TW_V_MISSING:
    case TW_V_UNDEFINED:
    case TW_V_NONE:
    case TW_V_KINDS: break;
    }
    return false;
}

/* ---- building ---- */

trawl_status tw_value_copy_text(struct tw_render *r, const char *bytes, size_t n, struct tw_value *out)
{
    char *copy = NULL;
    TW_TRY(tw_arena_alloc(&r->arena, n, 1, &copy, r->err));
    if (n > 0) {
        memcpy(copy, bytes, n);
    }
    *out = tw_value_text(copy, n);
    return TRAWL_OK;
}

trawl_status tw_value_new_list(struct tw_render *r, enum tw_value_kind kind, struct tw_value *out)
{
    *out = tw_value_of(kind);
    return tw_arena_alloc(&r->arena, 1, sizeof *out->as.list, &out->as.list, r->err);
}

trawl_status tw_list_push(struct tw_render *r, struct tw_list *list, struct tw_value item)
{
    TW_TRY(
        tw_arena_grow(&r->arena, &list->items, list->n, &list->capacity, list->n + 1, sizeof item, r->err));
    list->items[list->n++] = item;
    return TRAWL_OK;
}

trawl_status tw_value_new_map(struct tw_render *r, enum tw_value_kind kind, struct tw_value *out)
{
    *out = tw_value_of(kind);
    return tw_arena_alloc(&r->arena, 1, sizeof *out->as.map, &out->as.map, r->err);
}

trawl_status tw_map_set(struct tw_render *r, struct tw_map *map, struct tw_value key, struct tw_value value)
{
    struct tw_value *slot = NULL;
    TW_TRY(tw_map_get(r, map, key, &slot));
    if (slot != NULL) {
        *slot = value;
        return TRAWL_OK;
    }
    TW_TRY(tw_arena_grow(&r->arena, &map->pairs, map->n, &map->capacity, map->n + 1, sizeof *map->pairs,
                         r->err));
    map->pairs[map->n++] = (struct tw_pair){key, value};
    return TRAWL_OK;
}

static trawl_status from_json_object(struct tw_render *r, const json_t *json, struct tw_value *out)
{
    const char *key;
    json_t *member;
    TW_TRY(tw_value_new_map(r, TW_V_MAP, out));
    struct tw_map *map = out->as.map;
    TW_TRY(tw_arena_grow(&r->arena, &map->pairs, 0, &map->capacity, json_object_size(json),
                         sizeof *map->pairs, r->err));
    json_object_foreach((json_t *)json, key, member)
    {
        struct tw_pair *pair = &map->pairs[map->n];
        TW_TRY(tw_value_copy_text(r, key, strlen(key), &pair->key));
        TW_TRY(tw_value_from_json(r, member, &pair->value));
        map->n++;
    }
    return TRAWL_OK;
}

static trawl_status from_json_array(struct tw_render *r, const json_t *json, struct tw_value *out)
{
    TW_TRY(tw_value_new_list(r, TW_V_LIST, out));
    for (size_t i = 0; i < json_array_size(json); i++) {
        struct tw_value item;
        TW_TRY(tw_value_from_json(r, json_array_get(json, i), &item));
        TW_TRY(tw_list_push(r, out->as.list, item));
    }
    return TRAWL_OK;
}

trawl_status tw_value_from_json(struct tw_render *r, const json_t *json, struct tw_value *out)
{
    TW_TRY(tw_render_enter(r));
    trawl_status status = TRAWL_OK;
    *out                = tw_value_of(TW_V_NONE);
    switch (json_typeof(json)) {
    case JSON_OBJECT: status = from_json_object(r, json, out); break;
    case JSON_ARRAY: status = from_json_array(r, json, out); break;
    case JSON_STRING: /* borrowed: the context outlives the rendering */
        *out = tw_value_text(json_string_value(json), json_string_length(json));
        break;
    case JSON_INTEGER: *out = tw_value_int(json_integer_value(json)); break;
    case JSON_REAL: *out = tw_value_float(json_real_value(json)); break;
    case JSON_TRUE:
    case JSON_FALSE: *out = tw_value_bool(json_is_true(json)); break;
    case JSON_NULL: break;
    }
    tw_render_leave(r);
    return status;
}

/* ---- asking ---- */

const struct tw_value *tw_map_find(const struct tw_map *map, struct tw_text key)
{
    for (size_t i = 0; i < map->n; i++) {
        if (map->pairs[i].key.kind == TW_V_STRING && tw_text_equal(map->pairs[i].key.as.text, key)) {
            return &map->pairs[i].value;
        }
    }
    return NULL;
}

trawl_status tw_map_get(struct tw_render *r, const struct tw_map *map, struct tw_value key,
                        struct tw_value **out)
{
    *out = NULL;
    TW_TRY(tw_render_charge(r, map->n / 8));
    if (key.kind == TW_V_LIST || key.kind == TW_V_MAP) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "a %s cannot be a key", tw_value_type_name(key));
    }
    for (size_t i = 0; i < map->n; i++) {
        struct tw_pair *pair = &map->pairs[i];
        bool equal           = false;
        if (key.kind == TW_V_STRING && pair->key.kind == TW_V_STRING) {
            equal = tw_text_equal(key.as.text, pair->key.as.text);
        } else {
            TW_TRY(tw_value_equal(r, key, pair->key, &equal));
        }
        if (equal) {
            *out = &pair->value;
            return TRAWL_OK;
        }
    }
    return TRAWL_OK;
}

static trawl_status lists_equal(struct tw_render *r, const struct tw_list *a, const struct tw_list *b,
                                bool *out)
{
    *out = a->n == b->n;
    for (size_t i = 0; i < a->n && *out; i++) {
        TW_TRY(tw_value_equal(r, a->items[i], b->items[i], out));
    }
    return TRAWL_OK;
}

static trawl_status maps_equal(struct tw_render *r, const struct tw_map *a, const struct tw_map *b, bool *out)
{
    *out = a->n == b->n;
    for (size_t i = 0; i < a->n && *out; i++) {
        struct tw_value *other = NULL;
        TW_TRY(tw_map_get(r, b, a->pairs[i].key, &other));
        if (other == NULL) {
            *out = false;
        } else {
            TW_TRY(tw_value_equal(r, a->pairs[i].value, *other, out));
        }
    }
    return TRAWL_OK;
}

/* -1, 0, 1; a NaN is nothing to anything (2). Integers are compared as such: a double would round. */
static int compare_numbers(struct tw_value a, struct tw_value b)
{
    if (tw_value_is_integer(a) && tw_value_is_integer(b)) {
        int64_t x = tw_value_integer(a);
        int64_t y = tw_value_integer(b);
        return (x > y) - (x < y);
    }
    double x = tw_value_number(a);
    double y = tw_value_number(b);
    return isnan(x) || isnan(y) ? 2 : (x > y) - (x < y);
}

static trawl_status compounds_equal(struct tw_render *r, struct tw_value a, struct tw_value b, bool *out)
{
    TW_TRY(tw_render_enter(r));
    trawl_status status = tw_value_is_sequence(a) ? lists_equal(r, a.as.list, b.as.list, out)
                                                  : maps_equal(r, a.as.map, b.as.map, out);
    tw_render_leave(r);
    return status;
}

trawl_status tw_value_equal(struct tw_render *r, struct tw_value a, struct tw_value b, bool *out)
{
    TW_TRY(tw_render_charge(r, 1));
    if (tw_value_is_number(a) && tw_value_is_number(b)) {
        *out = compare_numbers(a, b) == 0;
        return TRAWL_OK;
    }
    *out = false;
    if (a.kind != b.kind) {
        return TRAWL_OK;
    }
    switch (a.kind) {
    case TW_V_STRING:
        *out = tw_text_equal(a.as.text, b.as.text);
        return a.as.text.n == b.as.text.n ? tw_render_charge(r, a.as.text.n / 64) : TRAWL_OK;
    case TW_V_LIST:
    case TW_V_TUPLE:
    case TW_V_MAP: return compounds_equal(r, a, b, out);
    case TW_V_NAMESPACE: *out = a.as.map == b.as.map; return TRAWL_OK;
    case TW_V_LOOP: *out = a.as.loop == b.as.loop; return TRAWL_OK;
    case TW_V_MACRO: *out = a.as.macro == b.as.macro; return TRAWL_OK;
    case TW_V_FUNCTION: *out = a.as.function == b.as.function; return TRAWL_OK;
    case TW_V_UNDEFINED:
    case TW_V_NONE: *out = true; return TRAWL_OK;
    case TW_V_MISSING:
    case TW_V_BOOL:
    case TW_V_INT:
    case TW_V_FLOAT:
    case TW_V_KINDS: break;
    }
    return TRAWL_OK;
}

/* UTF-8 sorts as its code points do. */
static int compare_texts(struct tw_text a, struct tw_text b)
{
    int order = memcmp(a.s, b.s, tw_min_size(a.n, b.n));
    order     = order != 0 ? order : (a.n > b.n) - (a.n < b.n);
    return (order > 0) - (order < 0);
}

static trawl_status compare_lists(struct tw_render *r, const struct tw_list *a, const struct tw_list *b,
                                  const char *op, int *out)
{
    TW_TRY(tw_render_enter(r));
    for (size_t i = 0; i < a->n && i < b->n; i++) {
        bool equal = false;
        TW_TRY(tw_value_equal(r, a->items[i], b->items[i], &equal));
        if (!equal) {
            TW_TRY(tw_value_compare(r, a->items[i], b->items[i], op, out));
            tw_render_leave(r);
            return TRAWL_OK;
        }
    }
    *out = (a->n > b->n) - (a->n < b->n);
    tw_render_leave(r);
    return TRAWL_OK;
}

trawl_status tw_value_compare(struct tw_render *r, struct tw_value a, struct tw_value b, const char *op,
                              int *out)
{
    TW_TRY(tw_render_charge(r, 1));
    if (tw_value_is_number(a) && tw_value_is_number(b)) {
        *out = compare_numbers(a, b);
        return TRAWL_OK;
    }
    if (a.kind == TW_V_STRING && b.kind == TW_V_STRING) {
        *out = compare_texts(a.as.text, b.as.text);
        return tw_render_charge(r, tw_min_size(a.as.text.n, b.as.text.n) / 64);
    }
    if (tw_value_is_sequence(a) && a.kind == b.kind) {
        return compare_lists(r, a.as.list, b.as.list, op, out);
    }
    struct tw_value undefined = a.kind == TW_V_UNDEFINED ? a : b;
    if (undefined.kind == TW_V_UNDEFINED) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "'%.*s' is undefined", (int)undefined.as.text.n,
                              undefined.as.text.s);
    }
    return tw_render_fail(r, TRAWL_ERR_FORMAT, "'%s' is not supported between '%s' and '%s'", op,
                          tw_value_type_name(a), tw_value_type_name(b));
}

trawl_status tw_value_contains(struct tw_render *r, struct tw_value haystack, struct tw_value needle,
                               bool *out)
{
    *out = false;
    if (haystack.kind == TW_V_STRING) {
        if (needle.kind != TW_V_STRING) {
            return tw_render_fail(r, TRAWL_ERR_FORMAT, "'in' a string needs a string, not '%s'",
                                  tw_value_type_name(needle));
        }
        *out = needle.as.text.n == 0 ||
               memmem(haystack.as.text.s, haystack.as.text.n, needle.as.text.s, needle.as.text.n) != NULL;
        return tw_render_charge(r, haystack.as.text.n / 64);
    }
    if (haystack.kind == TW_V_MAP) {
        struct tw_value *found = NULL;
        TW_TRY(tw_map_get(r, haystack.as.map, needle, &found));
        *out = found != NULL;
        return TRAWL_OK;
    }
    const struct tw_list *items = NULL;
    TW_TRY(tw_value_iterate(r, haystack, &items));
    for (size_t i = 0; items != NULL && i < items->n && !*out; i++) {
        TW_TRY(tw_value_equal(r, items->items[i], needle, out));
    }
    return TRAWL_OK;
}

static trawl_status characters(struct tw_render *r, struct tw_text text, struct tw_list *out)
{
    TW_TRY(tw_render_charge(r, text.n));
    for (size_t i = 0; i < text.n;) {
        size_t step = tw_max_size(tw_utf8_decode(text.s + i, text.n - i, NULL), 1);
        TW_TRY(tw_list_push(r, out, tw_value_text(text.s + i, step)));
        i += step;
    }
    return TRAWL_OK;
}

trawl_status tw_value_iterate(struct tw_render *r, struct tw_value v, const struct tw_list **out)
{
    if (tw_value_is_sequence(v)) {
        *out = v.as.list;
        return TRAWL_OK;
    }
    if (v.kind != TW_V_STRING && v.kind != TW_V_MAP && v.kind != TW_V_UNDEFINED) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "'%s' cannot be iterated over", tw_value_type_name(v));
    }
    struct tw_value list;
    TW_TRY(tw_value_new_list(r, TW_V_LIST, &list));
    if (v.kind == TW_V_STRING) {
        TW_TRY(characters(r, v.as.text, list.as.list));
    } else if (v.kind == TW_V_MAP) {
        for (size_t i = 0; i < v.as.map->n; i++) {
            TW_TRY(tw_list_push(r, list.as.list, v.as.map->pairs[i].key));
        }
    }
    *out = list.as.list;
    return TRAWL_OK;
}

trawl_status tw_value_length(struct tw_render *r, struct tw_value v, size_t *out)
{
    *out = 0;
    switch (v.kind) {
    case TW_V_STRING:
        for (size_t i = 0; i < v.as.text.n; i++) {
            *out += ((unsigned char)v.as.text.s[i] & 0xC0) != 0x80;
        }
        return tw_render_charge(r, v.as.text.n / 64);
    case TW_V_LIST:
    case TW_V_TUPLE: *out = v.as.list->n; return TRAWL_OK;
    case TW_V_MAP: *out = v.as.map->n; return TRAWL_OK;
    case TW_V_UNDEFINED: return TRAWL_OK;
    case TW_V_MISSING:
    case TW_V_NONE:
    case TW_V_BOOL:
    case TW_V_INT:
    case TW_V_FLOAT:
    case TW_V_NAMESPACE:
    case TW_V_LOOP:
    case TW_V_MACRO:
    case TW_V_FUNCTION:
    case TW_V_KINDS: break;
    }
    return tw_render_fail(r, TRAWL_ERR_FORMAT, "'%s' has no length", tw_value_type_name(v));
}
