/* SPDX-License-Identifier: MIT */
/* Templates against renderings made with the jinja2 package (tests/golden/make_templates.py), and the limits
 * that jinja2 does not have. */
#include "text_vectors.h"

#include <time.h>

#define FIXTURES TRAWL_SOURCE_DIR "/tests/text/data/"

struct run {
    json_t *context; /* NULL until the first line was read */
    int rendered;
    int refused;
    int wrong;
};

static trawl_status render_text(const char *source, enum tw_template_dialect dialect, const json_t *context,
                                const struct tw_render_options *options, struct tw_str *out,
                                struct trawl_error *err)
{
    struct tw_template *t = NULL;
    tw_str_init(out, 0);
    trawl_status status = tw_template_compile(source, strlen(source), "test.jinja", dialect, &t, err);
    if (status == TRAWL_OK) {
        status = tw_template_render(t, context, options, out, err);
    }
    tw_template_free(t);
    return status;
}

static void check_row(const json_t *row, void *user)
{
    struct run *run        = user;
    struct trawl_error err = {0};
    struct tm now          = {.tm_year = 124,
                              .tm_mon  = 6,
                              .tm_mday = 26,
                              .tm_hour = 13,
                              .tm_min  = 5,
                              .tm_sec  = 9,
                              .tm_wday = 5,
                              .tm_yday = 207};
    const char *dialect    = json_string_value(json_object_get(row, "dialect"));
    struct tw_str text;
    if (dialect == NULL) {
        run->context = json_incref(json_object_get(row, "context"));
        return;
    }
    trawl_status status    = render_text(json_string_value(json_object_get(row, "source")),
                                      dialect[0] == 'c' ? TW_TEMPLATE_CHAT : TW_TEMPLATE_PLAIN, run->context,
                                         &(struct tw_render_options){.now = &now}, &text, &err);
    const json_t *expected = json_object_get(row, "rendered");
    bool same = status == TRAWL_OK && expected != NULL && text.size == json_string_length(expected) &&
                memcmp(tw_str_text(&text), json_string_value(expected), text.size) == 0;
    bool refused = status != TRAWL_OK && expected == NULL && strstr(err.message, "test.jinja line ") != NULL;
    if (!same && !refused) {
        fprintf(stderr, "%s\n  got %s\n", json_dumps(row, 0),
                status == TRAWL_OK ? tw_str_text(&text) : err.message);
        run->wrong++;
    }
    run->rendered += same;
    run->refused += refused;
    tw_str_release(&text);
}

static void test_fixtures(void **state)
{
    struct run run = {0};
    (void)state;
    each_line(FIXTURES "templates.jsonl", check_row, &run);
    assert_int_equal(run.wrong, 0);
    assert_true(run.rendered > 350);
    assert_true(run.refused > 20);
    json_decref(run.context);
}

/* ---- refusals ---- */

static void expect_refused(const char *source, enum tw_template_dialect dialect, const json_t *context,
                           const struct tw_render_options *options, trawl_status status, const char *says)
{
    struct trawl_error err = {0};
    struct tw_str text;
    trawl_status got = render_text(source, dialect, context, options, &text, &err);
    if (got != status || strstr(err.message, says) == NULL || strstr(err.message, "test.jinja") == NULL) {
        fail_msg("%.200s: %s \"%s\", expected \"%s\"", source, trawl_status_name(got), err.message, says);
    }
    assert_int_equal(text.size, 0);
    tw_str_release(&text);
}

/* What Jinja has and this has not is refused when compiling, with its line. */
static void test_unsupported(void **state)
{
    static const struct {
        const char *source;
        const char *says;
    } cases[] = {
        {"a\n{% include 'x' %}", "line 2: statement \"include\""},
        {"{% import 'x' as y %}", "\"import\""},
        {"{% extends 'x' %}", "\"extends\""},
        {"{% block b %}{% endblock %}", "\"block\""},
        {"{% call f() %}{% endcall %}", "\"call\""},
        {"{% for x in y recursive %}{% endfor %}", "recursive"},
        {"\n\n{{ x | groupby('a') }}", "line 3: filter \"groupby\" is not supported"},
        {"{{ x is escaped }}", "test \"escaped\" is not supported"},
        {"{{ f(*x) }}", "*arguments"},
        {"{{ 0x10 }}", "decimal"},
        {"{{ '\\N{BULLET}' }}", "escape \\N"},
        {"{% macro m() %}{{ caller() }}{% endmacro %}", "\"caller\""},
        {"{% generation %}x{% endgeneration %}", "\"generation\""}, /* a statement of chat templates */
        {"{{ 'a'.zfill(3) }}", "'zfill'"},
        {"{{ [1].append(2) }}", "'append'"},
        {"{{ '%s' % 1 }}", "formatting"},
        {"{{ '\xEF\xAC\x81' | upper }}", "U+FB01"},
        {"{{ range }}", "printing"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_refused(cases[i].source, TW_TEMPLATE_PLAIN, NULL, NULL, TRAWL_ERR_UNSUPPORTED, cases[i].says);
    }
}

static char *repeated(const char *part, size_t times, const char *middle, const char *end)
{
    size_t n   = strlen(part);
    size_t n_e = strlen(end);
    char *text = malloc(times * (n + n_e) + strlen(middle) + 1);
    char *p    = text;
    for (size_t i = 0; i < times; i++, p += n) {
        memcpy(p, part, n);
    }
    p = stpcpy(p, middle);
    for (size_t i = 0; i < times; i++, p += n_e) {
        memcpy(p, end, n_e);
    }
    *p = '\0';
    return text;
}

static void test_limits(void **state)
{
    static const char nested_list[] = "{% set ns = namespace(x=1) %}{% for i in range(3000) %}{% set ns.x = "
                                      "[ns.x] %}{% endfor %}{{ ns.x }}";
    const struct tw_render_options small = {.max_output = 1000, .max_memory = 1 << 20, .max_steps = 100000};
    const struct {
        const char *source; /* freed when `made` */
        bool made;
        const char *says;
    } cases[] = {
        {"{% for i in range(2000) %}x{% endfor %}", false, "1000 bytes"},
        {"{% set x %}{% for i in range(2000) %}x{% endfor %}{% endset %}", false, "1000 bytes"},
        {"{{ 'x' * 100000000 }}", false, "line 1"},
        {"{{ 'x' * 99999999999999999 }}", false, "line 1"},
        {"{% set x = 'aaaaaaaaaaaaaaaa' * 1000 %}{% for i in range(99) %}{% set y = x + 'b' %}{% endfor %}",
         false, "memory"},
        {"{% set l = range(1000) %}{% for i in l %}{% for j in l %}{% endfor %}{% endfor %}", false, "steps"},
        {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", false, "levels"},
        {nested_list, false, "levels"},
        {"{{ range(1000000000) }}", false, "range"},
        {"{{ 9223372036854775807 + 1 }}", false, "64 bits"},
        {"{{ 10 ** 100 }}", false, "64 bits"},
        {"{{ 99999999999999999999 }}", false, "64 bits"},
        {"{{ 1 | tojson(indent=100000000) }}", false, "indent"},
        {repeated("(", 5000, "1", ")"), true, ""},
        {repeated("{% if x %}", 5000, "1", "{% endif %}"), true, "levels"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *source = (char *)cases[i].source;
        if (i + 2 == sizeof cases / sizeof *cases) {
            source = malloc(strlen(cases[i].source) + 10);
            sprintf(source, "{{ %s }}", cases[i].source);
        }
        expect_refused(source, TW_TEMPLATE_CHAT, NULL, &small, TRAWL_ERR_LIMIT, cases[i].says);
        if (source != cases[i].source) {
            free(source);
        }
        if (cases[i].made) {
            free((char *)cases[i].source);
        }
    }
}

/* A long sum is a deep tree on the left; it must be refused, not overflow the stack. */
static void test_deep_trees(void **state)
{
    char *sum    = repeated("1 + ", 100000, "1", "");
    char *source = malloc(strlen(sum) + 10);
    json_t *deep = json_integer(1);
    (void)state;
    sprintf(source, "{{ %s }}", sum);
    expect_refused(source, TW_TEMPLATE_PLAIN, NULL, NULL, TRAWL_ERR_LIMIT, "levels");
    for (int i = 0; i < 2000; i++) {
        json_t *outer = json_array();
        json_array_append_new(outer, deep);
        deep = outer;
    }
    json_t *context = json_object();
    json_object_set_new(context, "x", deep);
    expect_refused("{{ x }}", TW_TEMPLATE_PLAIN, context, NULL, TRAWL_ERR_LIMIT, "levels");
    json_decref(context);
    free(source);
    free(sum);
}

static void test_bad_calls(void **state)
{
    struct trawl_error err = {0};
    struct tw_template *t  = NULL;
    json_t *list           = json_array();
    (void)state;
    assert_int_equal(tw_template_compile("\xFF", 1, "test.jinja", TW_TEMPLATE_PLAIN, &t, &err),
                     TRAWL_ERR_FORMAT);
    assert_null(t);
    expect_refused("x", TW_TEMPLATE_PLAIN, list, NULL, TRAWL_ERR_INVALID, "JSON object");
    /* Without a time of the caller's the function is not there, and calling it is an error. */
    expect_refused("{{ strftime_now('%Y') }}", TW_TEMPLATE_CHAT, NULL, NULL, TRAWL_ERR_FORMAT,
                   "'strftime_now' is undefined");
    expect_refused("{{ raise_exception('x') }}", TW_TEMPLATE_PLAIN, NULL, NULL, TRAWL_ERR_FORMAT,
                   "is undefined");
    expect_refused("{{ strftime_now('%999999d') }}", TW_TEMPLATE_CHAT, NULL,
                   &(struct tw_render_options){.now = &(struct tm){.tm_mday = 1}}, TRAWL_ERR_UNSUPPORTED,
                   "directive");
    json_decref(list);
}

/* Output goes behind what is there; NUL and any length of text pass through. */
static void test_appends(void **state)
{
    struct trawl_error err = {0};
    struct tw_template *t  = NULL;
    json_t *context        = json_pack("{s:s%}", "x", "a\0b", 3);
    struct tw_str text;
    (void)state;
    tw_str_init(&text, 0);
    expect_ok(tw_str_puts(&text, "before ", &err), &err);
    expect_ok(tw_template_compile("{{ x }}{{ x | length }}", 23, "t", TW_TEMPLATE_PLAIN, &t, &err), &err);
    expect_ok(tw_template_render(t, context, NULL, &text, &err), &err);
    assert_int_equal(text.size, 7 + 4);
    assert_memory_equal(text.data, "before a\0b3", text.size);
    tw_template_free(t);
    tw_str_release(&text);
    json_decref(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fixtures),  cmocka_unit_test(test_unsupported),
                                       cmocka_unit_test(test_limits),    cmocka_unit_test(test_deep_trees),
                                       cmocka_unit_test(test_bad_calls), cmocka_unit_test(test_appends)};
    return cmocka_run_group_tests_name("text.template", tests, NULL, NULL);
}
