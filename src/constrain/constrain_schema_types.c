/* SPDX-License-Identifier: MIT */
/* Which values a schema allows, as far as that can be told without trying them. */
#include <string.h>

#include "constrain/constrain_schema_int.h"

static const struct {
    const char *name;
    unsigned type;
} NAMES[] = {
    {"string", TW_TYPE_STRING},   {"integer", TW_TYPE_INTEGER}, {"number", TW_TYPE_NUMBER},
    {"boolean", TW_TYPE_BOOLEAN}, {"null", TW_TYPE_NULL},       {"object", TW_TYPE_OBJECT},
    {"array", TW_TYPE_ARRAY},
};

unsigned tw_schema_type_named(const char *name)
{
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        if (strcmp(name, NAMES[i].name) == 0) {
            return NAMES[i].type;
        }
    }
    return 0;
}

unsigned tw_schema_type_of_value(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING: return TW_TYPE_STRING;
    case JSON_INTEGER: return TW_TYPE_INTEGER;
    case JSON_REAL: {
        double v = json_real_value(value);
        return v >= -1e18 && v <= 1e18 && v == (double)(int64_t)v ? TW_TYPE_INTEGER : TW_TYPE_REAL;
    }
    case JSON_TRUE:
    case JSON_FALSE: return TW_TYPE_BOOLEAN;
    case JSON_NULL: return TW_TYPE_NULL;
    case JSON_OBJECT: return TW_TYPE_OBJECT;
    case JSON_ARRAY: return TW_TYPE_ARRAY;
    }
    return 0;
}

const json_t *tw_schema_resolve(const struct tw_schema *s, const char *ref)
{
    static const char *const folders[] = {"$defs", "definitions"};
    for (size_t i = 0; i < 2; i++) {
        size_t n = strlen(folders[i]);
        if (strncmp(ref, "#/", 2) == 0 && strncmp(ref + 2, folders[i], n) == 0 && ref[2 + n] == '/' &&
            strpbrk(ref + 3 + n, "/~%") == NULL) {
            return json_object_get(json_object_get(s->root, folders[i]), ref + 3 + n);
        }
    }
    return NULL;
}

/* The schema behind references; `schema` itself where they lead nowhere or in a circle. */
static const json_t *behind(const struct tw_schema *s, const json_t *schema)
{
    for (int i = 0; i < TW_SCHEMA_DEPTH_MAX; i++) {
        const json_t *ref  = json_object_get(schema, "$ref");
        const json_t *next = json_is_string(ref) ? tw_schema_resolve(s, json_string_value(ref)) : NULL;
        if (next == NULL) {
            return schema;
        }
        schema = next;
    }
    return schema;
}

static unsigned types_of_list(const json_t *list)
{
    unsigned types = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        types |= tw_schema_type_of_value(json_array_get(list, i));
    }
    return types;
}

/* Of "type", or else of the keywords that go with one type. */
static unsigned declared_types(const json_t *schema)
{
    static const struct {
        const char *keyword;
        unsigned type;
    } signs[]          = {{"properties", TW_TYPE_OBJECT},
                          {"required", TW_TYPE_OBJECT},
                          {"items", TW_TYPE_ARRAY},
                          {"minItems", TW_TYPE_ARRAY},
                          {"maxItems", TW_TYPE_ARRAY},
                          {"pattern", TW_TYPE_STRING},
                          {"minLength", TW_TYPE_STRING},
                          {"maxLength", TW_TYPE_STRING},
                          {"additionalProperties", TW_TYPE_OBJECT}};
    const json_t *type = json_object_get(schema, "type");
    unsigned types     = 0;
    if (json_is_string(type)) {
        return tw_schema_type_named(json_string_value(type));
    }
    for (size_t i = 0; i < json_array_size(type); i++) {
        const char *name = json_string_value(json_array_get(type, i));
        types |= name == NULL ? 0 : tw_schema_type_named(name);
    }
    for (size_t i = 0; types == 0 && i < sizeof signs / sizeof signs[0]; i++) {
        types = json_object_get(schema, signs[i].keyword) != NULL ? signs[i].type : 0;
    }
    return types == 0 ? TW_TYPE_ANY : types;
}

unsigned tw_schema_types(const struct tw_schema *s, const json_t *schema)
{
    schema               = behind(s, schema);
    const json_t *value  = json_object_get(schema, "const");
    const json_t *values = json_object_get(schema, "enum");
    if (value != NULL) {
        return tw_schema_type_of_value(value);
    }
    return values != NULL ? types_of_list(values) : declared_types(schema);
}

/* The few values that a schema allows: those of "enum", or `single` filled with "const"; NULL: not told. */
static const json_t *values_of(const json_t *schema, const json_t **single)
{
    *single = json_object_get(schema, "const");
    return *single != NULL ? NULL : json_object_get(schema, "enum");
}

static bool too_many(const struct tw_schema *s)
{
    return s->n_compared > TW_SCHEMA_COMPARISONS_MAX;
}

/* Equal to a validator, for which 1 and 1.0 are the same number wherever they stand; or too many to tell. */
static bool may_be_same(struct tw_schema *s, const json_t *a, const json_t *b)
{
    const char *key;
    json_t *member;
    s->n_compared++;
    if (too_many(s)) {
        return true;
    }
    if (json_is_number(a) && json_is_number(b)) {
        double x = json_number_value(a), y = json_number_value(b);
        return !(x < y) && !(x > y);
    }
    if (json_is_array(a) && json_is_array(b)) {
        size_t n = json_array_size(a), i = 0;
        while (i < n && n == json_array_size(b) &&
               may_be_same(s, json_array_get(a, i), json_array_get(b, i))) {
            i++;
        }
        return i == n && n == json_array_size(b);
    }
    if (!json_is_object(a) || !json_is_object(b)) {
        return json_equal(a, b) != 0;
    }
    json_object_foreach((json_t *)a, key, member)
    {
        const json_t *other = json_object_get(b, key);
        if (other == NULL || !may_be_same(s, member, other)) {
            return false;
        }
    }
    return json_object_size(a) == json_object_size(b);
}

/* Both allow certain values only, and none is the same. */
static bool values_differ(struct tw_schema *s, const json_t *a, const json_t *b)
{
    const json_t *one, *other;
    const json_t *many_a = values_of(a, &one), *many_b = values_of(b, &other);
    size_t n_a = one != NULL ? 1 : json_array_size(many_a), n_b = other != NULL ? 1 : json_array_size(many_b);
    for (size_t i = 0; i < n_a; i++) {
        const json_t *x = one != NULL ? one : json_array_get(many_a, i);
        for (size_t k = 0; k < n_b; k++) {
            if (may_be_same(s, x, other != NULL ? other : json_array_get(many_b, k))) {
                return false;
            }
        }
    }
    return n_a > 0 && n_b > 0;
}

static bool requires(struct tw_schema *s, const json_t *schema, const char *name)
{
    const json_t *required = json_object_get(schema, "required");
    for (size_t i = 0; i < json_array_size(required) && !too_many(s); i++, s->n_compared++) {
        const char *entry = json_string_value(json_array_get(required, i));
        if (entry != NULL && strcmp(entry, name) == 0) {
            return true;
        }
    }
    return false;
}

/* A property that both objects must have, with other values in one than in the other. */
static bool told_apart(struct tw_schema *s, const json_t *a, const json_t *b)
{
    const char *name;
    json_t *in_a;
    const json_t *of_b = json_object_get(b, "properties");
    json_object_foreach(json_object_get(a, "properties"), name, in_a)
    {
        const json_t *in_b = json_object_get(of_b, name);
        if (in_b != NULL && requires(s, a, name) && requires(s, b, name) &&
            values_differ(s, behind(s, in_a), behind(s, in_b))) {
            return true;
        }
    }
    return false;
}

/* Of a value that satisfies the schema for a validator, to which "minLength" alone says nothing about values
 * that are no strings; only strings are written for it. */
static unsigned types_that_satisfy(const struct tw_schema *s, const json_t *schema)
{
    bool told = json_object_get(schema, "const") != NULL || json_object_get(schema, "enum") != NULL ||
                json_object_get(schema, "type") != NULL;
    return told ? tw_schema_types(s, schema) : TW_TYPE_ANY;
}

bool tw_schema_may_overlap(struct tw_schema *s, const json_t *a, const json_t *b)
{
    a              = behind(s, a);
    b              = behind(s, b);
    unsigned types = (tw_schema_types(s, a) & types_that_satisfy(s, b)) |
                     (tw_schema_types(s, b) & types_that_satisfy(s, a));
    s->n_compared++;
    if (too_many(s)) {
        return true;
    }
    if (types == 0 || values_differ(s, a, b)) {
        return false;
    }
    return !(types == TW_TYPE_OBJECT && told_apart(s, a, b));
}
