/* SPDX-License-Identifier: MIT */
/* JSON schemas: values and whether they are valid (schema_cases.json, made by
 * tests/golden/constrain_schema.py), how they may be written, and what is refused. */
#include "support/test.h"

#include "constrain/constrain_reference.h"
#include "json/json.h"

#define CASES TRAWL_SOURCE_DIR "/tests/constrain/data/schema_cases.json"

static void open_schema(struct reference *r, const char *schema)
{
    struct trawl_error err;
    assert_ok(reference_init(r, TW_CONSTRAINT_JSON_SCHEMA, schema, strlen(schema), false, &err));
}

static bool allows(const char *schema, const char *text)
{
    struct reference r;
    open_schema(&r, schema);
    bool is = reference_left(&r, text, strlen(text)) == 0;
    reference_release(&r);
    return is;
}

static void allows_what_is_valid(void **state)
{
    (void)state;
    struct trawl_error err;
    json_t *cases = NULL;
    assert_ok(tw_json_parse_file(CASES, 0, &cases, &err));
    for (size_t i = 0; i < json_array_size(cases); i++) {
        char *schema        = json_dumps(json_array_get(json_array_get(cases, i), 0), 0);
        const json_t *texts = json_array_get(json_array_get(cases, i), 1);
        struct reference r;
        open_schema(&r, schema);
        for (size_t k = 0; k < json_array_size(texts); k++) {
            const char *text = json_string_value(json_array_get(json_array_get(texts, k), 0));
            bool valid       = json_is_true(json_array_get(json_array_get(texts, k), 1));
            if ((reference_left(&r, text, strlen(text)) == 0) != valid) {
                fail_msg("%s: %s is %s", schema, text, valid ? "valid" : "not valid");
            }
        }
        reference_release(&r);
        free(schema);
    }
    json_decref(cases);
}

static void one_way_to_write_a_value(void **state)
{
    (void)state;
    static const char object[] = "{\"properties\": {\"a\": {\"type\": \"integer\"}, \"b\": {}}}";
    assert_true(allows(object, "{\"a\": 1, \"b\": null}"));
    assert_true(allows(object, "{ \"a\":1,\"b\":[ 1, {\"c\": 2.5e-3} ] }"));
    assert_true(allows(object, "{\"b\":\"\\\\\\n\"}"));
    assert_true(allows(object, "{}"));
    assert_false(allows(object, "{\"b\": 1, \"a\": 1}")); /* the schema's order */
    assert_false(allows(object, "{\"a\":  1}"));          /* two spaces */
    assert_false(allows(object, "{\"a\": 1, }"));
    assert_false(allows(object, "{\"a\": 01}"));
    assert_false(allows(object, "{\"a\": 1.5}"));
    assert_false(allows(object, "{\"b\": \"\\u0041\"}")); /* escapes only where they must be */
    assert_false(allows("{\"type\": \"string\"}", "\"a\nb\""));
    assert_true(allows("true", "[[[[[1]]]]]"));
    assert_false(allows("true", "[[[[[[1]]]]]]"));
    assert_true(allows("{\"type\": \"object\"}", "{\"a\": {\"b\": {\"c\": {\"d\": {}}}}}"));
    assert_false(allows("{\"type\": \"object\"}", "[]"));
    assert_true(allows("{\"type\": [\"object\", \"null\"], \"required\": [], \"properties\": {}}", "null"));
    assert_true(
        allows("{\"items\": {\"type\": \"null\"}, \"minItems\": 2, \"maxItems\": 3}", "[null, null,null]"));
    assert_false(allows("{\"items\": {\"type\": \"null\"}, \"minItems\": 2, \"maxItems\": 3}", "[null]"));
    assert_true(allows("{\"type\": \"number\"}", "-12.50E+10"));
    assert_true(allows(
        "{\"allOf\": [{\"$ref\": \"#/definitions/x\"}], \"definitions\": {\"x\": {\"const\": 3}}}", "3"));
    assert_true(allows("{\"oneOf\": ["
                       "{\"properties\": {\"t\": {\"const\": \"a\"}}, \"required\": [\"t\"]},"
                       "{\"properties\": {\"t\": {\"enum\": [\"b\", \"c\"]}}, \"required\": [\"t\"]}]}",
                       "{\"t\": \"c\"}"));
    /* conditions hold where every type is listed, too */
    static const char all[] =
        "{\"type\": [\"string\", \"number\", \"boolean\", \"null\", \"object\", "
        "\"array\"], \"maxLength\": 1, \"maxItems\": 1, \"items\": {\"type\": \"null\"}, "
        "\"properties\": {\"a\": true}, \"required\": [\"a\"]}";
    assert_true(allows(all, "\"x\""));
    assert_false(allows(all, "\"xy\""));
    assert_true(allows(all, "[null]"));
    assert_false(allows(all, "[1]"));
    assert_true(allows(all, "{\"a\": 1.5}"));
    assert_false(allows(all, "{}"));
    assert_true(allows(all, "-2.5"));
}

static void choices(void **state)
{
    (void)state;
    struct trawl_error err;
    struct reference r;
    static const char list[] = "[\"yes\", \"no\", \"yes, (sir)\"]";
    assert_ok(reference_init(&r, TW_CONSTRAINT_CHOICE, list, strlen(list), false, &err));
    assert_int_equal(reference_left(&r, "yes, (sir)", 10), 0);
    assert_int_equal(reference_left(&r, "yes", 3), 0);
    assert_int_equal(reference_left(&r, "yes,", 4), 6);
    assert_true(reference_left(&r, "maybe", 5) == SIZE_MAX);
    reference_release(&r);
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"\"yes\"", "choice: found a string, expected a list"},
        {"[]", "choice: found an empty list"},
        {"[\"a\", 1]", "choice: entry 1 is an integer"},
        {"[\"\"]", "choice: entry 0 is empty"},
        {"[", "choice"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_refused(
            reference_init(&r, TW_CONSTRAINT_CHOICE, bad[i].text, strlen(bad[i].text), false, &err),
            TRAWL_ERR_FORMAT, bad[i].words);
        reference_release(&r);
    }
}

static void refuses_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *words;
        trawl_status status;
    } bad[] = {
        {"{\"properties\": {\"age\": {\"type\": \"integer\", \"minimum\": 3}}}",
         "JSON schema, /properties/age: keyword \"minimum\" is not supported", TRAWL_ERR_UNSUPPORTED},
        {"{\"type\": \"string\", \"format\": \"uuid\"}", "/: keyword \"format\"", TRAWL_ERR_UNSUPPORTED},
        {"{\"type\": \"integer\", \"pattern\": \"a\"}", "keyword \"pattern\" does not go",
         TRAWL_ERR_UNSUPPORTED},
        {"{\"anyOf\": [true], \"type\": \"string\"}", "keyword \"type\" beside \"anyOf\"",
         TRAWL_ERR_UNSUPPORTED},
        {"{\"$ref\": \"#/$defs/a\", \"$defs\": {\"a\": {\"items\": {\"$ref\": \"#/$defs/a\"}}}}",
         "/items: a schema that contains itself", TRAWL_ERR_UNSUPPORTED},
        {"{\"$ref\": \"#/$defs/b\"}", "\"$ref\" is \"#/$defs/b\"", TRAWL_ERR_UNSUPPORTED},
        {"{\"$ref\": \"other.json\"}", "\"$ref\" is \"other.json\"", TRAWL_ERR_UNSUPPORTED},
        {"{\"oneOf\": [{\"type\": \"integer\"}, {\"type\": \"number\"}]}",
         "schemas 0 and 1 could hold at once", TRAWL_ERR_UNSUPPORTED},
        {"{\"oneOf\": [{\"properties\": {\"t\": {\"const\": 1}}}, {\"properties\": {\"t\": {\"const\": "
         "2}}}]}",
         "could hold at once", TRAWL_ERR_UNSUPPORTED},
        {"{\"oneOf\": [{\"minLength\": 1}, {\"type\": \"array\"}]}", "could hold at once",
         TRAWL_ERR_UNSUPPORTED}, /* no array has a length that is too small */
        {"{\"oneOf\": [{\"const\": {\"a\": [1]}}, {\"enum\": [{\"a\": [1.0]}]}]}", "could hold at once",
         TRAWL_ERR_UNSUPPORTED},
        {"{\"allOf\": [true, true]}", "\"allOf\" of more than one", TRAWL_ERR_UNSUPPORTED},
        {"{\"type\": \"text\"}", "\"type\" is text", TRAWL_ERR_FORMAT},
        {"{\"type\": []}", "\"type\" is an empty list", TRAWL_ERR_FORMAT},
        {"{\"type\": \"object\", \"additionalProperties\": true}", "only with the value false",
         TRAWL_ERR_UNSUPPORTED},
        {"{\"required\": [\"a\"]}", "\"required\" names \"a\"", TRAWL_ERR_UNSUPPORTED},
        {"{\"type\": \"string\", \"minLength\": 3, \"maxLength\": 2}", "\"minLength\" is 3, more than",
         TRAWL_ERR_FORMAT},
        {"{\"type\": \"string\", \"minLength\": -1}", "\"minLength\" is not an integer", TRAWL_ERR_FORMAT},
        {"{\"type\": \"string\", \"pattern\": \"a\", \"minLength\": 1}", "\"pattern\" together",
         TRAWL_ERR_UNSUPPORTED},
        {"{\"type\": \"string\", \"pattern\": \"a(\"}", "keyword \"pattern\": regex, offset 1",
         TRAWL_ERR_FORMAT},
        {"{\"type\": \"string\", \"pattern\": \"^\\\\x01$\"}", "no text at all", TRAWL_ERR_FORMAT},
        {"{\"enum\": []}", "\"enum\" is empty", TRAWL_ERR_FORMAT},
        {"{\"type\": \"string\", \"enum\": [1]}", "is an integer, which \"type\" is not", TRAWL_ERR_FORMAT},
        {"false", "found a boolean, expected a schema that allows", TRAWL_ERR_FORMAT},
        {"[1]", "found an array", TRAWL_ERR_FORMAT},
        {"{\"type\":", "JSON schema", TRAWL_ERR_FORMAT},
        {"{\"type\": \"array\", \"minItems\": 100000, \"items\": {\"type\": \"number\"}}",
         "more than 2097152 nodes", TRAWL_ERR_LIMIT},
    };
    struct trawl_error err;
    struct reference r;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *s = bad[i].schema;
        assert_refused(reference_init(&r, TW_CONSTRAINT_JSON_SCHEMA, s, strlen(s), false, &err),
                       bad[i].status, bad[i].words);
        reference_release(&r);
    }
}

/* `begin`, then before, number, after for each from n - 1 to 0, commas between, and `end`. */
static void list(struct tw_str *s, const char *begin, const char *before, int n, const char *after,
                 const char *end)
{
    struct trawl_error err;
    assert_ok(tw_str_puts(s, begin, &err));
    for (int i = n; i-- > 0;) {
        assert_ok(tw_str_printf(s, &err, "%s%d%s%s", before, i, after, i > 0 ? "," : end));
    }
}

/* What grows with the square of a list has an end. */
static void long_lists(void **state)
{
    (void)state;
    struct tw_str s;
    struct reference r;
    struct trawl_error err;
    for (int n = 1000; n <= 5000; n += 4000) {
        for (int kind = 0; kind < 3; kind++) {
            tw_str_init(&s, 0);
            if (kind == 0) {
                list(&s, "{\"oneOf\": [", "{\"const\": ", n, "}", "]}");
            } else if (kind == 1) {
                list(&s, "{\"oneOf\": [{\"enum\": [", "", n, "", "]}, ");
                list(&s, "{\"enum\": [", "-1", n, "", "]}]}");
            } else {
                list(&s, "{\"properties\": {", "\"k", n, "\": {\"const\": 1}", "}, ");
                list(&s, "\"required\": [", "\"k", n, "\"", "]}");
            }
            if (n == 1000) {
                assert_ok(reference_init(&r, TW_CONSTRAINT_JSON_SCHEMA, s.data, s.size, false, &err));
            } else {
                assert_refused(reference_init(&r, TW_CONSTRAINT_JSON_SCHEMA, s.data, s.size, false, &err),
                               TRAWL_ERR_LIMIT, "comparisons");
            }
            reference_release(&r);
            tw_str_release(&s);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allows_what_is_valid),
        cmocka_unit_test(one_way_to_write_a_value),
        cmocka_unit_test(choices),
        cmocka_unit_test(refuses_by_name),
        cmocka_unit_test(long_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
