/* SPDX-License-Identifier: MIT */
/* Shared by the files that read JSON schemas. */
#ifndef TW_CONSTRAIN_SCHEMA_INT_H
#define TW_CONSTRAIN_SCHEMA_INT_H

#include "constrain/constrain_schema.h"
#include "json/json.h"

/* Bits of the types of JSON values. An integer is also a number. */
enum {
    TW_TYPE_STRING  = 1,
    TW_TYPE_INTEGER = 2,
    TW_TYPE_REAL    = 4,
    TW_TYPE_NUMBER  = TW_TYPE_INTEGER | TW_TYPE_REAL,
    TW_TYPE_BOOLEAN = 8,
    TW_TYPE_NULL    = 16,
    TW_TYPE_OBJECT  = 32,
    TW_TYPE_ARRAY   = 64,
    TW_TYPE_ANY     = 127,
};

/* Most comparisons of names and values that a schema may ask for: they grow with the square of its lists. */
enum { TW_SCHEMA_COMPARISONS_MAX = 1 << 21 };

struct tw_schema {
    struct tw_tree *tree;
    const json_t *root;
    struct tw_str path;                      /* where in the schema, for messages */
    const json_t *open[TW_SCHEMA_DEPTH_MAX]; /* schemas that the current one is within */
    int depth;
    size_t n_compared; /* names and values so far */
    struct trawl_error *err;
};

/* Fail with "JSON schema, <path>: ...". */
trawl_status tw_schema_fail(const struct tw_schema *s, trawl_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- texts of values; constrain_schema_value.c ---- */

/* A JSON value, written. */
trawl_status tw_schema_literal(struct tw_schema *s, const json_t *value, uint32_t *out);
/* A string: with `pattern` (NULL: none), else of min to max characters. */
trawl_status tw_schema_string(struct tw_schema *s, const json_t *pattern, uint32_t min, uint32_t max,
                              uint32_t *out);
/* STRING, INTEGER, NUMBER, BOOLEAN, NULL without a further condition. */
trawl_status tw_schema_scalar(struct tw_schema *s, unsigned type, uint32_t *out);
/* Any value of `types` with up to `depth` objects and arrays within each other. */
trawl_status tw_schema_free(struct tw_schema *s, unsigned types, int depth, uint32_t *out);
/* `open`, content, `close`, with an optional space inside of both. */
trawl_status tw_schema_brackets(struct tw_schema *s, char open, uint32_t content, char close, uint32_t *out);
/* A comma and an optional space. */
trawl_status tw_schema_comma(struct tw_schema *s, uint32_t *out);
/* A name (a JSON string), a colon, an optional space, and a value. */
trawl_status tw_schema_member(struct tw_schema *s, uint32_t name, uint32_t value, uint32_t *out);

/* ---- types; constrain_schema_types.c ---- */

unsigned tw_schema_type_of_value(const json_t *value);
/* Of "string", "number", ...; 0 for another name. */
unsigned tw_schema_type_named(const char *name);
/* The types a schema allows. */
unsigned tw_schema_types(const struct tw_schema *s, const json_t *schema);
/* Follow "$ref" once; NULL when it leads nowhere. */
const json_t *tw_schema_resolve(const struct tw_schema *s, const char *ref);
/* Can a value satisfy both? True where that is not certain, or would take too many comparisons. */
bool tw_schema_may_overlap(struct tw_schema *s, const json_t *a, const json_t *b);

#endif /* TW_CONSTRAIN_SCHEMA_INT_H */
