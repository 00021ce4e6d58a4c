/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "base/file.h"
#include "json/json.h"

static json_t *parsed(const char *text)
{
    struct trawl_error err;
    json_t *v = NULL;
    assert_ok(tw_json_parse(text, strlen(text), "t", &v, &err));
    return v;
}

static void parses_any_one_value(void **state)
{
    (void)state;
    static const char *const good[] = {"null",  "true", " 1 ",        "-2.5e3",
                                       "\"x\"", "[]",   "{\"a\":{}}", "9223372036854775807"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        json_decref(parsed(good[i]));
    }
    json_t *v = parsed("\"a\\u0000b\\ud83d\\ude00\"");
    assert_int_equal(json_string_length(v), 7);
    assert_memory_equal(json_string_value(v), "a\0b\xF0\x9F\x98\x80", 7);
    json_decref(v);
}

static void long_integers_become_real(void **state)
{
    (void)state;
    json_t *v =
        parsed("{\"model_max_length\": 1000000000000000019884624838656, \"s\": \"\\\"99999999999999999999\","
               " \"max\": 9223372036854775807, \"min\": -9223372036854775808,"
               " \"list\":[9223372036854775808,-9223372036854775809,1234567890123456789012e3]}");
    assert_true(json_real_value(json_object_get(v, "model_max_length")) == 1e30);
    assert_string_equal(json_string_value(json_object_get(v, "s")), "\"99999999999999999999");
    assert_true(json_integer_value(json_object_get(v, "max")) == INT64_MAX);
    assert_true(json_integer_value(json_object_get(v, "min")) == INT64_MIN);
    const json_t *list = json_object_get(v, "list");
    assert_true(json_real_value(json_array_get(list, 0)) == 0x1p63);
    assert_true(json_real_value(json_array_get(list, 1)) == -0x1p63);
    assert_true(json_real_value(json_array_get(list, 2)) == 1234567890123456789012e3);
    json_decref(v);
}

static void refuses_the_rest_by_name(void **state)
{
    (void)state;
    struct trawl_error err;
    json_t *v;
    static const char *const bad[] = {"",
                                      "{",
                                      "1 2",
                                      "[1,]",
                                      "{\"a\":1,\"a\":2}",
                                      "nul",
                                      "\"\xFF\"",
                                      "\"\\ud800\"",
                                      "'x'",
                                      "{a:1}",
                                      "01",
                                      "1e999",
                                      "[1]x",
                                      "\"\t\"",
                                      "// c\n1",
                                      "NaN",
                                      "\"abc",
                                      "{\"\\u0000\":1}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_refused(tw_json_parse(bad[i], strlen(bad[i]), "line 3 of x.jsonl", &v, &err), TRAWL_ERR_FORMAT,
                       "line 3 of x.jsonl: not JSON at line 1 column ");
        assert_null(v);
    }
    assert_refused(tw_json_parse("\xEF\xBB\xBF{}", 5, "f", &v, &err), TRAWL_ERR_FORMAT,
                   "f: begins with a byte order mark (U+FEFF)");
    assert_refused(tw_json_parse("[\n\n  x]", 7, "f", &v, &err), TRAWL_ERR_FORMAT, "line 3 column 3");
    static char deep[100001];
    memset(deep, '[', sizeof deep - 1);
    assert_refused(tw_json_parse(deep, sizeof deep - 1, "deep", &v, &err), TRAWL_ERR_FORMAT,
                   "deep: not JSON");
}

static void reads_files(void **state)
{
    struct scratch *s = *state;
    struct trawl_error err;
    json_t *v;
    assert_ok(tw_file_replace(scratch_path(s, "x.json"), "{\"n\": 3}\n", 9, &err));
    assert_ok(tw_json_parse_file(s->path, 0, &v, &err));
    assert_int_equal(json_integer_value(json_object_get(v, "n")), 3);
    json_decref(v);
    assert_refused(tw_json_parse_file(s->path, 8, &v, &err), TRAWL_ERR_LIMIT, "x.json");
    assert_null(v);
    assert_ok(tw_file_replace(s->path, "{", 1, &err));
    assert_refused(tw_json_parse_file(s->path, 0, &v, &err), TRAWL_ERR_FORMAT, "x.json: not JSON");
    assert_refused(tw_json_parse_file(scratch_path(s, "none"), 0, &v, &err), TRAWL_ERR_IO, "none");
}

static void getters_take_what_fits(void **state)
{
    (void)state;
    struct trawl_error err;
    json_t *o = parsed("{\"i\":-7,\"d\":1.5,\"b\":true,\"s\":\"text\",\"a\":[1],\"o\":{\"x\":1},\"n\":null}");
    int64_t i = 1;
    double d  = 2;
    bool b    = false;
    const char *s = "default";
    json_t *a = NULL, *x = NULL;
    assert_ok(tw_json_get_int(o, "i", "c", &i, &err));
    assert_int_equal(i, -7);
    assert_ok(tw_json_get_double(o, "d", "c", &d, &err));
    assert_true(d == 1.5);
    assert_ok(tw_json_get_double(o, "i", "c", &d, &err));
    assert_true(d == -7.0);
    assert_ok(tw_json_get_bool(o, "b", "c", &b, &err));
    assert_true(b);
    assert_ok(tw_json_get_string(o, "s", "c", &s, &err));
    assert_string_equal(s, "text");
    assert_ok(tw_json_get_array(o, "a", "c", &a, &err));
    assert_int_equal(json_array_size(a), 1);
    assert_ok(tw_json_get_object(o, "o", "c", &x, &err));
    assert_int_equal(json_object_size(x), 1);
    for (int k = 0; k < 2; k++) { /* missing and null leave the value alone */
        const char *key = k == 0 ? "n" : "missing";
        assert_ok(tw_json_get_int(o, key, "c", &i, &err));
        assert_ok(tw_json_get_double(o, key, "c", &d, &err));
        assert_ok(tw_json_get_bool(o, key, "c", &b, &err));
        assert_ok(tw_json_get_string(o, key, "c", &s, &err));
        assert_ok(tw_json_get_array(o, key, "c", &a, &err));
        assert_ok(tw_json_get_object(o, key, "c", &x, &err));
    }
    assert_int_equal(i, -7);
    assert_true(d == -7.0 && b && a != NULL && x != NULL);
    assert_string_equal(s, "text");

    assert_refused(tw_json_get_int(o, "s", "c.json", &i, &err), TRAWL_ERR_FORMAT,
                   "c.json: \"s\" is a string, expected an integer");
    assert_refused(tw_json_get_int(o, "d", "c.json", &i, &err), TRAWL_ERR_FORMAT,
                   "is a number, expected an integer");
    assert_refused(tw_json_get_double(o, "b", "c.json", &d, &err), TRAWL_ERR_FORMAT,
                   "a boolean, expected a number");
    assert_refused(tw_json_get_bool(o, "i", "c.json", &b, &err), TRAWL_ERR_FORMAT,
                   "an integer, expected a boolean");
    assert_refused(tw_json_get_string(o, "a", "c.json", &s, &err), TRAWL_ERR_FORMAT,
                   "an array, expected a string");
    assert_refused(tw_json_get_array(o, "o", "c.json", &a, &err), TRAWL_ERR_FORMAT,
                   "an object, expected an array");
    assert_refused(tw_json_get_object(o, "a", "c.json", &x, &err), TRAWL_ERR_FORMAT,
                   "an array, expected an object");
    assert_string_equal(tw_json_type_name(NULL), "nothing");
    assert_string_equal(tw_json_type_name(json_object_get(o, "n")), "null");
    json_decref(o);
}

static int allocations_left;

static void *scarce_malloc(size_t n)
{
    return allocations_left-- > 0 ? malloc(n) : NULL;
}

/* jansson has no words for it where it makes its own tables. */
static void says_that_memory_is_short(void **state)
{
    (void)state;
    for (int n = 0; n < 3; n++) {
        struct trawl_error err;
        json_t *v        = NULL;
        allocations_left = n;
        json_set_alloc_funcs(scarce_malloc, free);
        trawl_status status = tw_json_parse("{\"a\": [1]}", 10, "t", &v, &err);
        json_set_alloc_funcs(malloc, free);
        assert_int_equal(status, TRAWL_ERR_NOMEM);
        assert_string_equal(err.message, "t: out of memory");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_any_one_value),     cmocka_unit_test(long_integers_become_real),
        cmocka_unit_test(refuses_the_rest_by_name), scratch_test(reads_files),
        cmocka_unit_test(getters_take_what_fits),   cmocka_unit_test(says_that_memory_is_short),
    };
    return cmocka_run_group_tests_name("json.read", tests, NULL, NULL);
}
