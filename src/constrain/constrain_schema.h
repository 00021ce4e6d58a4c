/* SPDX-License-Identifier: MIT */
/* JSON schemas: the texts of the values that a schema allows.
 *
 *   type         string, number, integer, boolean, null, object, array, or a list of these
 *   string       pattern (searched for, as the standard says, so use ^ and $), or minLength and maxLength
 *   object       properties, in the schema's order; required; additionalProperties: false
 *   array        items, minItems, maxItems
 *   anywhere     enum, const, anyOf, oneOf, allOf of one schema, $ref to #/$defs/x or #/definitions/x
 *   no meaning   title, description, default, example, examples, deprecated, readOnly, writeOnly, $schema, $id,
 *                $comment
 *
 * Every other keyword is refused by its name and place. So are recursion, a oneOf of which two may hold at
 * once, and what cannot be met. Properties that a schema does not name are never written, whether or not
 * it forbids them.
 *
 * A value is written in one way but for a space or none after { [ , : and before } ]. Strings are UTF-8
 * with the escapes \" \\ \b \f \n \r \t; integers have up to 18 digits, other numbers up to 15 before and
 * after the point and an exponent of two. Where a schema leaves a value open, {} and true anywhere,
 * {"type": "object"} and {"type": "array"} inside, objects and arrays nest up to TW_SCHEMA_FREE_DEPTH
 * deep. */
#ifndef TW_CONSTRAIN_SCHEMA_H
#define TW_CONSTRAIN_SCHEMA_H

#include "constrain/constrain_tree.h"

enum {
    TW_SCHEMA_FREE_DEPTH = 5,  /* objects and arrays within each other where the schema leaves them open */
    TW_SCHEMA_DEPTH_MAX  = 64, /* schemas within each other */
};

/* errors: FORMAT, UNSUPPORTED, LIMIT: "JSON schema, /properties/age: keyword \"minimum\" is not
 * supported". */
trawl_status tw_schema_parse(struct tw_tree *t, const char *text, size_t n, uint32_t *out,
                             struct trawl_error *err);

/* A JSON list of strings, one of which is the whole text (as it is, not as JSON). */
trawl_status tw_schema_parse_choice(struct tw_tree *t, const char *text, size_t n, uint32_t *out,
                                    struct trawl_error *err);

#endif /* TW_CONSTRAIN_SCHEMA_H */
