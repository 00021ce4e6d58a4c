/* SPDX-License-Identifier: MIT */
#include "constrain/constrain_schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "constrain/constrain_schema_int.h"

/* What a keyword goes with. */
enum {
    ALONE       = 1, /* $ref and the like: nothing but annotations beside it */
    ANNOTATION  = 2,
    WITH_TYPE   = 4, /* type, enum, const */
    WITH_OBJECT = 8,
    WITH_ARRAY  = 16,
    WITH_STRING = 32,
};

static const struct {
    const char *name;
    int place;
} KEYWORDS[] = {
    {"$ref", ALONE},
    {"anyOf", ALONE},
    {"oneOf", ALONE},
    {"allOf", ALONE},
    {"type", WITH_TYPE},
    {"enum", WITH_TYPE},
    {"const", WITH_TYPE},
    {"properties", WITH_OBJECT},
    {"required", WITH_OBJECT},
    {"additionalProperties", WITH_OBJECT},
    {"items", WITH_ARRAY},
    {"minItems", WITH_ARRAY},
    {"maxItems", WITH_ARRAY},
    {"pattern", WITH_STRING},
    {"minLength", WITH_STRING},
    {"maxLength", WITH_STRING},
    {"title", ANNOTATION},
    {"description", ANNOTATION},
    {"default", ANNOTATION},
    {"example", ANNOTATION},
    {"examples", ANNOTATION},
    {"deprecated", ANNOTATION},
    {"readOnly", ANNOTATION},
    {"writeOnly", ANNOTATION},
    {"$schema", ANNOTATION},
    {"$id", ANNOTATION},
    {"$comment", ANNOTATION},
    {"$defs", ANNOTATION},
    {"definitions", ANNOTATION},
};
enum { N_KEYWORDS = sizeof KEYWORDS / sizeof KEYWORDS[0] };

trawl_status tw_schema_fail(const struct tw_schema *s, trawl_status status, const char *format, ...)
{
    char what[TRAWL_ERROR_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return tw_fail(s->err, status, "JSON schema, %s: %s", s->path.size == 0 ? "/" : tw_str_text(&s->path),
                   what);
}

/* ---- where in the schema ---- */

/* Append "/name"; the size before is what to go back to. */
static trawl_status enter(struct tw_schema *s, const char *name, size_t *before)
{
    *before = s->path.size;
    return tw_str_printf(&s->path, s->err, "/%s", name);
}

static trawl_status enter_index(struct tw_schema *s, const char *name, size_t i, size_t *before)
{
    *before = s->path.size;
    return tw_str_printf(&s->path, s->err, "/%s/%zu", name, i);
}

static void leave(struct tw_schema *s, size_t before)
{
    s->path.size         = before;
    s->path.data[before] = '\0';
}

/* ---- keywords ---- */

static int place_of(const char *keyword)
{
    for (int i = 0; i < N_KEYWORDS; i++) {
        if (strcmp(keyword, KEYWORDS[i].name) == 0) {
            return KEYWORDS[i].place;
        }
    }
    return 0;
}

/* Every keyword but `keyword` has to be of one of `places`. */
static trawl_status check_keywords(const struct tw_schema *s, const json_t *schema, int places,
                                   const char *keyword)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)schema, key, value)
    {
        int place = place_of(key);
        if (place == 0) {
            return tw_schema_fail(s, TRAWL_ERR_UNSUPPORTED, "keyword \"%s\" is not supported", key);
        }
        if ((place & places) == 0 && (keyword == NULL || strcmp(key, keyword) != 0)) {
            return keyword != NULL
                       ? tw_schema_fail(s, TRAWL_ERR_UNSUPPORTED,
                                        "keyword \"%s\" beside \"%s\" is not supported", key, keyword)
                       : tw_schema_fail(s, TRAWL_ERR_UNSUPPORTED,
                                        "keyword \"%s\" does not go with the types that are allowed here",
                                        key);
        }
    }
    return TRAWL_OK;
}

/* A count; absent leaves *out. */
static trawl_status get_count(const struct tw_schema *s, const json_t *schema, const char *key, uint32_t *out)
{
    const json_t *v = json_object_get(schema, key);
    if (v == NULL) {
        return TRAWL_OK;
    }
    json_int_t n = json_integer_value(v);
    if (!json_is_integer(v) || n < 0 || n > TW_CONSTRAIN_NODES_MAX) {
        return tw_schema_fail(s, TRAWL_ERR_FORMAT, "\"%s\" is not an integer of 0 to %d", key,
                              TW_CONSTRAIN_NODES_MAX);
    }
    *out = (uint32_t)n;
    return TRAWL_OK;
}

static trawl_status get_counts(const struct tw_schema *s, const json_t *schema, const char *min_key,
                               const char *max_key, uint32_t *min, uint32_t *max)
{
    *min = 0;
    *max = TW_TREE_NO_MAX;
    TW_TRY(get_count(s, schema, min_key, min));
    TW_TRY(get_count(s, schema, max_key, max));
    return *min <= *max ? TRAWL_OK
                        : tw_schema_fail(s, TRAWL_ERR_FORMAT, "\"%s\" is %u, more than \"%s\", %u", min_key,
                                         *min, max_key, *max);
}

/* ---- schemas by kind ---- */

static trawl_status read_schema(struct tw_schema *s, const json_t *schema, uint32_t *out);

static trawl_status read_string(struct tw_schema *s, const json_t *schema, uint32_t *out)
{
    const json_t *pattern = json_object_get(schema, "pattern");
    uint32_t min = 0, max = 0;
    TW_TRY(get_counts(s, schema, "minLength", "maxLength", &min, &max));
    if (pattern != NULL && !json_is_string(pattern)) {
        return tw_schema_fail(s, TRAWL_ERR_FORMAT, "\"pattern\" is %s, expected a string",
                              tw_json_type_name(pattern));
    }
    if (pattern != NULL && (min > 0 || max != TW_TREE_NO_MAX)) {
        return tw_schema_fail(s, TRAWL_ERR_UNSUPPORTED,
                              "\"pattern\" together with \"minLength\" or \"maxLength\" is not supported");
    }
    return tw_schema_string(s, pattern, min, max, out);
}

static trawl_status read_array(struct tw_schema *s, const json_t *schema, uint32_t *out)
{
    const json_t *items = json_object_get(schema, "items");
    uint32_t min = 0, max = 0, item = 0, comma = 0, all = 0;
    size_t before = 0;
    TW_TRY(get_counts(s, schema, "minItems", "maxItems", &min, &max));
    if (items == NULL) {
        TW_TRY(tw_schema_free(s, TW_TYPE_ANY, TW_SCHEMA_FREE_DEPTH - 1, &item));
    } else {
        TW_TRY(enter(s, "items", &before));
        TW_TRY(read_schema(s, items, &item));
        leave(s, before);
    }
    TW_TRY(tw_schema_comma(s, &comma));
    TW_TRY(tw_tree_repeat(s->tree, item, min, max, comma, &all, s->err));
    return tw_schema_brackets(s, '[', all, ']', out);
}

static trawl_status read_property(struct tw_schema *s, const char *name, const json_t *schema, uint32_t *out)
{
    uint32_t text = 0, value = 0;
    size_t before = 0;
    json_t *key   = json_string(name);
    if (key == NULL) {
        return tw_schema_fail(s, TRAWL_ERR_NOMEM, "no memory for a name");
    }
    trawl_status status = tw_schema_literal(s, key, &text);
    json_decref(key);
    TW_TRY(status);
    TW_TRY(enter(s, name, &before));
    TW_TRY(read_schema(s, schema, &value));
    leave(s, before);
    return tw_schema_member(s, text, value, out);
}

static trawl_status fail_too_many(const struct tw_schema *s)
{
    return tw_schema_fail(s, TRAWL_ERR_LIMIT, "\"required\" and \"oneOf\" ask for more than %d comparisons",
                          TW_SCHEMA_COMPARISONS_MAX);
}

static trawl_status find_required(struct tw_schema *s, const json_t *required, const char *name, bool *found)
{
    *found = false;
    for (size_t i = 0; i < json_array_size(required) && !*found; i++) {
        *found = strcmp(json_string_value(json_array_get(required, i)), name) == 0;
        if (++s->n_compared > TW_SCHEMA_COMPARISONS_MAX) {
            return fail_too_many(s);
        }
    }
    return TRAWL_OK;
}

static trawl_status check_required(const struct tw_schema *s, const json_t *required,
                                   const json_t *properties)
{
    if (required != NULL && !json_is_array(required)) {
        return tw_schema_fail(s, TRAWL_ERR_FORMAT, "\"required\" is %s, expected a list of names",
                              tw_json_type_name(required));
    }
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *name = json_string_value(json_array_get(required, i));
        if (name == NULL) {
            return tw_schema_fail(s, TRAWL_ERR_FORMAT, "\"required\" lists something that is not a name");
        }
        if (json_object_get(properties, name) == NULL) {
            return tw_schema_fail(s, TRAWL_ERR_UNSUPPORTED,
                                  "\"required\" names \"%s\", which \"properties\" does not describe", name);
        }
    }
    return TRAWL_OK;
}

static trawl_status read_object(struct tw_schema *s, const json_t *schema, uint32_t *out)
{
    const json_t *required = json_object_get(schema, "required");
    const json_t *more     = json_object_get(schema, "additionalProperties");
    json_t *properties     = json_object_get(schema, "properties");
    size_t before          = 0;
    bool is_required       = false;
    uint32_t members = 0, comma = 0, member = 0;
    if (properties != NULL && !json_is_object(properties)) {
        return tw_schema_fail(s, TRAWL_ERR_FORMAT, "\"properties\" is %s, expected an object",
                              tw_json_type_name(properties));
    }
    if (more != NULL && !json_is_false(more)) {
        return tw_schema_fail(s, TRAWL_ERR_UNSUPPORTED,
                              "keyword \"additionalProperties\" is supported only with the value false");
    }
    TW_TRY(check_required(s, required, properties));
    if (properties == NULL && more == NULL) {
        return tw_schema_free(s, TW_TYPE_OBJECT, TW_SCHEMA_FREE_DEPTH, out);
    }
    TW_TRY(tw_schema_comma(s, &comma));
    TW_TRY(tw_tree_add(s->tree, TW_TREE_MEMBERS, &members, s->err));
    s->tree->nodes[members].separator = comma;
    TW_TRY(enter(s, "properties", &before));
    const char *name;
    json_t *value;
    json_object_foreach(properties, name, value)
    {
        TW_TRY(read_property(s, name, value, &member));
        TW_TRY(find_required(s, required, name, &is_required));
        s->tree->nodes[member].required = is_required;
        tw_tree_append(s->tree, members, member);
    }
    leave(s, before);
    return tw_schema_brackets(s, '{', members, '}', out);
}

/* Each type that is allowed, as alternatives. */
static trawl_status read_types(struct tw_schema *s, const json_t *schema, uint32_t *out)
{
    unsigned types = tw_schema_types(s, schema), plain = types;
    int places = ANNOTATION | WITH_TYPE | ((types & TW_TYPE_OBJECT) != 0 ? WITH_OBJECT : 0) |
                 ((types & TW_TYPE_ARRAY) != 0 ? WITH_ARRAY : 0) |
                 ((types & TW_TYPE_STRING) != 0 ? WITH_STRING : 0);
    TW_TRY(check_keywords(s, schema, places, NULL));
    static const struct {
        unsigned type;
        trawl_status (*read)(struct tw_schema *s, const json_t *schema, uint32_t *out);
    } readers[] = {{TW_TYPE_STRING, read_string}, {TW_TYPE_ARRAY, read_array}, {TW_TYPE_OBJECT, read_object}};
    uint32_t part = 0;
    TW_TRY(tw_tree_add(s->tree, TW_TREE_ALT, out, s->err));
    for (size_t i = 0; i < sizeof readers / sizeof readers[0]; i++) {
        if ((types & readers[i].type) != 0) {
            plain &= ~readers[i].type;
            TW_TRY(readers[i].read(s, schema, &part));
            tw_tree_append(s->tree, *out, part);
        }
    }
    TW_TRY(tw_schema_free(s, plain, 0, &part));
    tw_tree_append(s->tree, *out, part);
    return TRAWL_OK;
}

/* "type" is a name or a list of names that exist. */
static trawl_status check_type(const struct tw_schema *s, const json_t *type)
{
    size_t n = json_is_array(type) ? json_array_size(type) : 1;
    for (size_t i = 0; i < n; i++) {
        const json_t *name = json_is_array(type) ? json_array_get(type, i) : type;
        if (!json_is_string(name) || tw_schema_type_named(json_string_value(name)) == 0) {
            return tw_schema_fail(s, TRAWL_ERR_FORMAT,
                                  "\"type\" is %s, expected string, number, integer, boolean, null, object, "
                                  "array or a list of these",
                                  json_is_string(name) ? json_string_value(name) : tw_json_type_name(name));
        }
    }
    return n > 0 ? TRAWL_OK : tw_schema_fail(s, TRAWL_ERR_FORMAT, "\"type\" is an empty list");
}

/* "enum" and "const": the values, written; those of another type than "type" can never be. */
static trawl_status read_values(struct tw_schema *s, const json_t *schema, uint32_t *out)
{
    const json_t *single = json_object_get(schema, "const"), *values = json_object_get(schema, "enum");
    const json_t *type = json_object_get(schema, "type");
    TW_TRY(check_keywords(s, schema, ANNOTATION | WITH_TYPE, NULL));
    if (single != NULL && values != NULL) {
        return tw_schema_fail(s, TRAWL_ERR_UNSUPPORTED, "\"const\" beside \"enum\" is not supported");
    }
    if (values != NULL && (!json_is_array(values) || json_array_size(values) == 0)) {
        return tw_schema_fail(s, TRAWL_ERR_FORMAT, "\"enum\" is %s, expected a list of at least one value",
                              json_is_array(values) ? "empty" : tw_json_type_name(values));
    }
    unsigned types = 0;
    for (size_t i = 0; i < (json_is_array(type) ? json_array_size(type) : type != NULL); i++) {
        types |=
            tw_schema_type_named(json_string_value(json_is_array(type) ? json_array_get(type, i) : type));
    }
    TW_TRY(tw_tree_add(s->tree, TW_TREE_ALT, out, s->err));
    for (size_t i = 0; i < (single != NULL ? 1 : json_array_size(values)); i++) {
        const json_t *value = single != NULL ? single : json_array_get(values, i);
        uint32_t part       = 0;
        if (type != NULL && (tw_schema_type_of_value(value) & types) == 0) {
            return tw_schema_fail(s, TRAWL_ERR_FORMAT, "a value that is allowed is %s, which \"type\" is not",
                                  tw_json_type_name(value));
        }
        TW_TRY(tw_schema_literal(s, value, &part));
        tw_tree_append(s->tree, *out, part);
    }
    return TRAWL_OK;
}

static trawl_status check_one_of(struct tw_schema *s, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        for (size_t k = 0; k < i; k++) {
            bool may = tw_schema_may_overlap(s, json_array_get(list, k), json_array_get(list, i));
            if (s->n_compared > TW_SCHEMA_COMPARISONS_MAX) {
                return fail_too_many(s);
            }
            if (may) {
                return tw_schema_fail(
                    s, TRAWL_ERR_UNSUPPORTED,
                    "\"oneOf\": schemas %zu and %zu could hold at once; give them different "
                    "types or a required property with different \"const\"s, or use \"anyOf\"",
                    k, i);
            }
        }
    }
    return TRAWL_OK;
}

/* anyOf, oneOf, and an allOf of one. */
static trawl_status read_list(struct tw_schema *s, const json_t *schema, const char *keyword, uint32_t *out)
{
    const json_t *list = json_object_get(schema, keyword);
    TW_TRY(check_keywords(s, schema, ANNOTATION, keyword));
    if (!json_is_array(list) || json_array_size(list) == 0) {
        return tw_schema_fail(s, TRAWL_ERR_FORMAT, "\"%s\" is not a list of schemas", keyword);
    }
    if (strcmp(keyword, "allOf") == 0 && json_array_size(list) > 1) {
        return tw_schema_fail(s, TRAWL_ERR_UNSUPPORTED, "\"allOf\" of more than one schema is not supported");
    }
    if (strcmp(keyword, "oneOf") == 0) {
        TW_TRY(check_one_of(s, list));
    }
    TW_TRY(tw_tree_add(s->tree, TW_TREE_ALT, out, s->err));
    for (size_t i = 0; i < json_array_size(list); i++) {
        size_t before = 0;
        uint32_t part = 0;
        TW_TRY(enter_index(s, keyword, i, &before));
        TW_TRY(read_schema(s, json_array_get(list, i), &part));
        leave(s, before);
        tw_tree_append(s->tree, *out, part);
    }
    return TRAWL_OK;
}

static trawl_status read_reference(struct tw_schema *s, const json_t *schema, uint32_t *out)
{
    const json_t *ref = json_object_get(schema, "$ref");
    TW_TRY(check_keywords(s, schema, ANNOTATION, "$ref"));
    const json_t *target = json_is_string(ref) ? tw_schema_resolve(s, json_string_value(ref)) : NULL;
    if (target == NULL) {
        return tw_schema_fail(
            s, TRAWL_ERR_UNSUPPORTED,
            "\"$ref\" is \"%s\", expected #/$defs/ or #/definitions/ and a name that is there",
            json_is_string(ref) ? json_string_value(ref) : tw_json_type_name(ref));
    }
    return read_schema(s, target, out);
}

static trawl_status read_open_schema(struct tw_schema *s, const json_t *schema, uint32_t *out)
{
    static const char *const lists[] = {"anyOf", "oneOf", "allOf"};
    if (json_is_true(schema)) {
        return tw_schema_free(s, TW_TYPE_ANY, TW_SCHEMA_FREE_DEPTH, out);
    }
    if (!json_is_object(schema)) {
        return tw_schema_fail(s, TRAWL_ERR_FORMAT, "found %s, expected a schema that allows something",
                              tw_json_type_name(schema));
    }
    if (json_object_get(schema, "$ref") != NULL) {
        return read_reference(s, schema, out);
    }
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        if (json_object_get(schema, lists[i]) != NULL) {
            return read_list(s, schema, lists[i], out);
        }
    }
    if (json_object_get(schema, "type") != NULL) {
        TW_TRY(check_type(s, json_object_get(schema, "type")));
    }
    if (json_object_get(schema, "const") != NULL || json_object_get(schema, "enum") != NULL) {
        return read_values(s, schema, out);
    }
    return read_types(s, schema, out);
}

static trawl_status read_schema(struct tw_schema *s, const json_t *schema, uint32_t *out)
{
    for (int i = 0; i < s->depth; i++) {
        if (s->open[i] == schema && json_is_object(schema)) {
            return tw_schema_fail(s, TRAWL_ERR_UNSUPPORTED, "a schema that contains itself is not supported");
        }
    }
    if (s->depth == TW_SCHEMA_DEPTH_MAX) {
        return tw_schema_fail(s, TRAWL_ERR_LIMIT, "more than %d schemas within each other",
                              TW_SCHEMA_DEPTH_MAX);
    }
    s->open[s->depth++] = schema;
    TW_TRY(read_open_schema(s, schema, out));
    s->depth--;
    return TRAWL_OK;
}

trawl_status tw_schema_parse(struct tw_tree *t, const char *text, size_t n, uint32_t *out,
                             struct trawl_error *err)
{
    json_t *root = NULL;
    TW_TRY(tw_json_parse(text, n, "JSON schema", &root, err));
    struct tw_schema s = {.tree = t, .root = root, .err = err};
    tw_str_init(&s.path, 0);
    trawl_status status = read_schema(&s, root, out);
    tw_str_release(&s.path);
    json_decref(root);
    return status;
}

static trawl_status read_choice(struct tw_tree *t, const json_t *list, uint32_t *out, struct trawl_error *err)
{
    if (!json_is_array(list) || json_array_size(list) == 0) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "choice: found %s, expected a list of strings",
                       json_is_array(list) ? "an empty list" : tw_json_type_name(list));
    }
    TW_TRY(tw_tree_add(t, TW_TREE_ALT, out, err));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        uint32_t part       = 0;
        if (!json_is_string(entry) || json_string_length(entry) == 0) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "choice: entry %zu is %s, expected a string", i,
                           json_is_string(entry) ? "empty" : tw_json_type_name(entry));
        }
        TW_TRY(tw_tree_text(t, json_string_value(entry), json_string_length(entry), &part, err));
        tw_tree_append(t, *out, part);
    }
    return TRAWL_OK;
}

trawl_status tw_schema_parse_choice(struct tw_tree *t, const char *text, size_t n, uint32_t *out,
                                    struct trawl_error *err)
{
    json_t *list = NULL;
    TW_TRY(tw_json_parse(text, n, "choice", &list, err));
    trawl_status status = read_choice(t, list, out, err);
    json_decref(list);
    return status;
}
