/* SPDX-License-Identifier: MIT */
/* Expected texts are what Python's json.dumps gives for the same values (ensure_ascii=False). */
#include "support/test.h"

#include <math.h>

#include "base/philox.h"
#include "json/json.h"

static void write_sample(struct tw_json_writer *w)
{
    tw_json_begin_object(w);
    tw_json_key(w, "a");
    tw_json_begin_array(w);
    tw_json_int(w, -1);
    tw_json_bool(w, true);
    tw_json_null(w);
    tw_json_begin_object(w);
    tw_json_end_object(w);
    tw_json_begin_array(w);
    tw_json_end_array(w);
    tw_json_end_array(w);
    tw_json_key(w, "k\"");
    tw_json_string(w, "v");
    tw_json_key(w, "raw");
    tw_json_raw(w, "[1,2]", 5);
    tw_json_end_object(w);
}

static void layout_is_that_of_json_dumps(void **state)
{
    (void)state;
    struct trawl_error err;
    struct tw_str out;
    struct tw_json_writer w;
    tw_str_init(&out, 0);
    tw_json_writer_init(&w, &out, 0);
    write_sample(&w);
    assert_ok(tw_json_writer_finish(&w, &err));
    assert_string_equal(out.data, "{\"a\": [-1, true, null, {}, []], \"k\\\"\": \"v\", \"raw\": [1,2]}");
    tw_str_reset(&out);
    tw_json_writer_init(&w, &out, 2);
    write_sample(&w);
    assert_ok(tw_json_writer_finish(&w, &err));
    assert_string_equal(out.data, "{\n  \"a\": [\n    -1,\n    true,\n    null,\n    {},\n    []\n  ],\n"
                                  "  \"k\\\"\": \"v\",\n  \"raw\": [1,2]\n}");
    tw_str_release(&out);
}

static void assert_string_as(const char *s, size_t n, const char *want)
{
    struct trawl_error err;
    struct tw_str out;
    struct tw_json_writer w;
    tw_str_init(&out, 0);
    tw_json_writer_init(&w, &out, 0);
    tw_json_string_n(&w, s, n);
    assert_ok(tw_json_writer_finish(&w, &err));
    assert_string_equal(out.data, want);
    tw_str_release(&out);
}

static void strings_are_escaped(void **state)
{
    (void)state;
    assert_string_as("", 0, "\"\"");
    assert_string_as("a\"b\\c/\n\r\t\x01\x1f\0z", 13, "\"a\\\"b\\\\c/\\n\\r\\t\\u0001\\u001f\\u0000z\"");
    assert_string_as("\xc2\x85|\xe2\x80\xa8|\xe2\x80\xa9|\xe2\x80\xaa", 14,
                     "\"\\u0085|\\u2028|\\u2029|\xe2\x80\xaa\"");
    assert_string_as("\xC3\xA9\xF0\x9F\x98\x80", 6, "\"\xC3\xA9\xF0\x9F\x98\x80\"");
#define FFFD "\xEF\xBF\xBD"
    assert_string_as("a\xFF"
                     "b",
                     3, "\"a" FFFD "b\"");
    assert_string_as("\xE2\x82", 2, "\"" FFFD "\""); /* one per maximal subpart, as Python does */
    assert_string_as("\xE2\x82"
                     "A",
                     3, "\"" FFFD "A\"");
    assert_string_as("\xED\xA0\x80", 3, "\"" FFFD FFFD FFFD "\""); /* a surrogate */
    assert_string_as("\xF0\x9F\x98", 3, "\"" FFFD "\"");
}

static const char *number_as(struct tw_str *out, double d, float f, bool is_float)
{
    struct trawl_error err;
    struct tw_json_writer w;
    tw_str_reset(out);
    tw_json_writer_init(&w, out, 0);
    if (is_float) {
        tw_json_float(&w, f);
    } else {
        tw_json_double(&w, d);
    }
    assert_ok(tw_json_writer_finish(&w, &err));
    return out->data;
}

static void numbers_read_back_equal(void **state)
{
    (void)state;
    struct tw_str out;
    tw_str_init(&out, 0);
    assert_string_equal(number_as(&out, 0.1, 0, false), "0.1");
    assert_string_equal(number_as(&out, 1, 0, false), "1.0");
    assert_string_equal(number_as(&out, -0.0, 0, false), "-0.0");
    assert_string_equal(number_as(&out, 0.1 + 0.2, 0, false), "0.30000000000000004");
    assert_string_equal(number_as(&out, 1e300, 0, false), "1e+300");
    assert_string_equal(number_as(&out, NAN, 0, false), "null");
    assert_string_equal(number_as(&out, -INFINITY, 0, false), "null");
    assert_string_equal(number_as(&out, 0, 0.1f, true), "0.1");
    assert_string_equal(number_as(&out, 0, 16777216.0f, true), "16777216.0");
    struct tw_philox_stream random;
    tw_philox_stream_init(&random, 3, 4);
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = (uint64_t)tw_philox_next(&random) << 32 | tw_philox_next(&random);
        double d;
        memcpy(&d, &bits, sizeof d);
        float f;
        uint32_t low = (uint32_t)bits;
        memcpy(&f, &low, sizeof f);
        if (isfinite(d)) {
            assert_true(strtod(number_as(&out, d, 0, false), NULL) == d);
        }
        if (isfinite(f)) {
            assert_true(strtof(number_as(&out, 0, f, true), NULL) == f);
            assert_true(out.size <= 15);
        }
    }
    tw_str_release(&out);
}

static void values_round_trip(void **state)
{
    (void)state;
    struct trawl_error err;
    struct tw_str out;
    struct tw_json_writer w;
    static const char text[] =
        "{\"z\": 9223372036854775807, \"a\": [1.5, \"\\u0000\", true, false, null], \"\": {\"k\": -1}}";
    json_t *v = NULL, *again = NULL;
    assert_ok(tw_json_parse(text, sizeof text - 1, "t", &v, &err));
    tw_str_init(&out, 0);
    tw_json_writer_init(&w, &out, 0);
    tw_json_value(&w, v);
    assert_ok(tw_json_writer_finish(&w, &err));
    assert_string_equal(out.data, text); /* key order kept */
    assert_ok(tw_json_parse(out.data, out.size, "again", &again, &err));
    assert_true(json_equal(v, again));
    json_decref(v);
    json_decref(again);
    tw_str_release(&out);
}

static void first_failure_is_kept(void **state)
{
    (void)state;
    struct trawl_error err;
    struct tw_str out;
    struct tw_json_writer w;
    tw_str_init(&out, 20);
    tw_json_writer_init(&w, &out, 0);
    tw_json_begin_array(&w);
    for (int i = 0; i < 100; i++) {
        tw_json_int(&w, 1000 + i);
    }
    tw_json_end_array(&w);
    assert_refused(tw_json_writer_finish(&w, &err), TRAWL_ERR_LIMIT, "20 bytes");
    assert_int_equal(tw_json_writer_finish(&w, NULL), TRAWL_ERR_LIMIT);
    tw_str_release(&out);
}

static void nesting_is_bounded_not_fatal(void **state)
{
    (void)state;
    struct trawl_error err;
    for (size_t depth = 60; depth < 1500; depth += depth < 70 ? 1 : 700) {
        char text[3001];
        json_t *v = NULL;
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_ok(tw_json_parse(text, 2 * depth, "deep", &v, &err));
        struct tw_str out;
        struct tw_json_writer w;
        tw_str_init(&out, 0);
        tw_json_writer_init(&w, &out, 1);
        tw_json_value(&w, v);
        if (depth <= 63) {
            assert_ok(tw_json_writer_finish(&w, &err));
        } else {
            assert_refused(tw_json_writer_finish(&w, &err), TRAWL_ERR_LIMIT, "nested");
        }
        json_decref(v);
        tw_str_release(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layout_is_that_of_json_dumps), cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(numbers_read_back_equal),      cmocka_unit_test(values_round_trip),
        cmocka_unit_test(first_failure_is_kept),        cmocka_unit_test(nesting_is_bounded_not_fatal),
    };
    return cmocka_run_group_tests_name("json.write", tests, NULL, NULL);
}
