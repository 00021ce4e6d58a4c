/* SPDX-License-Identifier: MIT */
/* The values of a rendering, and how Python prints, compares and orders them. All memory is the
 * rendering's arena; lists and maps never change once made, a namespace may. */
#ifndef TW_TEXT_JINJA_VALUE_H
#define TW_TEXT_JINJA_VALUE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

struct tw_render;
struct tw_builtin;
struct tw_node;

/* Bytes with a length, UTF-8; borrowed. */
struct tw_text {
    const char *s;
    size_t n;
};

enum tw_value_kind {
    TW_V_MISSING,   /* an argument that was not given; never the value of an expression */
    TW_V_UNDEFINED, /* text: what it would have been, for messages */
    TW_V_NONE,
    TW_V_BOOL,
    TW_V_INT,
    TW_V_FLOAT,
    TW_V_STRING,
    TW_V_LIST,
    TW_V_TUPLE,
    TW_V_MAP,
    TW_V_NAMESPACE,
    TW_V_LOOP,
    TW_V_MACRO,
    TW_V_FUNCTION, /* a builtin, with the value it is a method of */
    TW_V_KINDS
};

struct tw_value {
    enum tw_value_kind kind;
    union {
        bool b;
        int64_t i;
        double f;
        struct tw_text text;
        struct tw_list *list; /* also of a tuple */
        struct tw_map *map;   /* also of a namespace */
        struct tw_loop *loop;
        struct tw_macro *macro;
        struct tw_function *function;
    } as;
};

struct tw_list {
    struct tw_value *items;
    size_t n;
    size_t capacity;
};

/* In order of insertion, as Python's dict. */
struct tw_map {
    struct tw_pair *pairs;
    size_t n;
    size_t capacity;
};

struct tw_pair {
    struct tw_value key;
    struct tw_value value;
};

struct tw_loop {
    const struct tw_list *items;
    size_t index; /* from 0 */
};

struct tw_macro {
    const struct tw_node *node;
    struct tw_frame *frame; /* where it was defined */
};

struct tw_function {
    const struct tw_builtin *builtin;
    struct tw_value self; /* TW_V_MISSING: not a method */
};

static inline struct tw_value tw_value_of(enum tw_value_kind kind)
{
    return (struct tw_value){.kind = kind};
}

static inline struct tw_value tw_value_bool(bool b)
{
    return (struct tw_value){.kind = TW_V_BOOL, .as.b = b};
}

static inline struct tw_value tw_value_int(int64_t i)
{
    return (struct tw_value){.kind = TW_V_INT, .as.i = i};
}

static inline struct tw_value tw_value_float(double f)
{
    return (struct tw_value){.kind = TW_V_FLOAT, .as.f = f};
}

static inline struct tw_value tw_value_text(const char *s, size_t n)
{
    return (struct tw_value){.kind = TW_V_STRING, .as.text = {s, n}};
}

static inline struct tw_value tw_value_undefined(struct tw_text name)
{
    return (struct tw_value){.kind = TW_V_UNDEFINED, .as.text = name};
}

static inline bool tw_text_is(struct tw_text t, const char *s)
{
    return t.n == __builtin_strlen(s) && __builtin_memcmp(t.s, s, t.n) == 0;
}

static inline bool tw_text_equal(struct tw_text a, struct tw_text b)
{
    return a.n == b.n && (a.n == 0 || __builtin_memcmp(a.s, b.s, a.n) == 0);
}

static inline bool tw_value_is_sequence(struct tw_value v)
{
    return v.kind == TW_V_LIST || v.kind == TW_V_TUPLE;
}

/* Booleans are numbers, as in Python. */
static inline bool tw_value_is_integer(struct tw_value v)
{
    return v.kind == TW_V_INT || v.kind == TW_V_BOOL;
}

static inline int64_t tw_value_integer(struct tw_value v)
{
    return v.kind == TW_V_BOOL ? v.as.b : v.as.i;
}

static inline bool tw_value_is_number(struct tw_value v)
{
    return tw_value_is_integer(v) || v.kind == TW_V_FLOAT;
}

static inline double tw_value_number(struct tw_value v)
{
    return v.kind == TW_V_FLOAT ? v.as.f : (double)tw_value_integer(v);
}

/* Python's name of the type, for messages: "str", "dict", ... */
const char *tw_value_type_name(struct tw_value v);
bool tw_value_truth(struct tw_value v);

/* ---- building ---- */

/* `bytes` copied into the arena. */
trawl_status tw_value_copy_text(struct tw_render *r, const char *bytes, size_t n, struct tw_value *out);
trawl_status tw_value_new_list(struct tw_render *r, enum tw_value_kind kind, struct tw_value *out);
trawl_status tw_list_push(struct tw_render *r, struct tw_list *list, struct tw_value item);
trawl_status tw_value_new_map(struct tw_render *r, enum tw_value_kind kind, struct tw_value *out);
trawl_status tw_map_set(struct tw_render *r, struct tw_map *map, struct tw_value key, struct tw_value value);
/* A JSON value, copied. */
trawl_status tw_value_from_json(struct tw_render *r, const json_t *json, struct tw_value *out);

/* ---- asking ---- */

/* NULL: no such key. */
const struct tw_value *tw_map_find(const struct tw_map *map, struct tw_text key);
trawl_status tw_map_get(struct tw_render *r, const struct tw_map *map, struct tw_value key,
                        struct tw_value **out);
trawl_status tw_value_equal(struct tw_render *r, struct tw_value a, struct tw_value b, bool *out);
/* *out < 0, 0, > 0; values that Python cannot order are an error. `op` is for its message. */
trawl_status tw_value_compare(struct tw_render *r, struct tw_value a, struct tw_value b, const char *op,
                              int *out);
/* `needle in haystack`. */
trawl_status tw_value_contains(struct tw_render *r, struct tw_value haystack, struct tw_value needle,
                               bool *out);
/* Items of anything that can be iterated over: characters of a string, keys of a map. */
trawl_status tw_value_iterate(struct tw_render *r, struct tw_value v, const struct tw_list **out);
trawl_status tw_value_length(struct tw_render *r, struct tw_value v, size_t *out);

/* ---- printing ---- */

/* str(v) and repr(v), appended. */
trawl_status tw_value_print(struct tw_render *r, struct tw_value v, struct tw_str *out);
trawl_status tw_value_repr(struct tw_render *r, struct tw_value v, struct tw_str *out);
/* str(v) as a text of the arena. */
trawl_status tw_value_to_text(struct tw_render *r, struct tw_value v, struct tw_text *out);
/* End of building a text: with `status` good a copy in the arena, then `text` is released. */
trawl_status tw_value_finish_text(struct tw_render *r, struct tw_str *text, trawl_status status,
                                  struct tw_value *out);
/* repr(float): the shortest digits that read back, 48 bytes of room. */
void tw_value_format_float(double f, char out[48]);

/* json.dumps. Separators are those of Python: "," and ": " with an indent, ", " and ": " without. */
struct tw_json_style {
    int64_t indent;                /* spaces a level; < 0: one line */
    struct tw_text indent_text;    /* or this text a level, if not NULL */
    struct tw_text item_separator; /* NULL: Python's */
    struct tw_text key_separator;
    bool sort_keys;
    bool ensure_ascii;
    bool html_safe; /* < > & ' written as escapes */
};

trawl_status tw_value_to_json(struct tw_render *r, struct tw_value v, const struct tw_json_style *style,
                              struct tw_str *out);

#endif /* TW_TEXT_JINJA_VALUE_H */
