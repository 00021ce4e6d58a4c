/* SPDX-License-Identifier: MIT */
/* Templates against renderings made with the jinja2 package (tests/golden/make_templates.py), and the limits
 * that jinja2 does not have. */
#include "text_vectors.h"

#include <time.h>

#define FIXTURES TRAWL_SOURCE_DIR "/tests/text/data/"

struct run {
    json_t *context; /* NULL until the first line was read */
    int     rendered;
    int     refused;
    int     wrong;
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
    struct run        *run     = user;
    struct trawl_error err     = {0};
    struct tm          now     = {.tm_year = 124, .tm_mon = 6, .tm_mday = 26, .tm_hour = 13, .tm_min = 5, .tm_sec = 9,
                                  .tm_wday = 5, .tm_yday = 207};
    const char        *dialect = json_string_value(json_object_get(row, "dialect"));
    struct tw_str      text;
    if (dialect == NULL) {
        run->context = json_incref(json_object_get(row, "context"));
        return;
    }
    trawl_status status = render_text(json_string_value(json_object_get(row, "source")),
                                      dialect[0] == 'c' ? TW_TEMPLATE_CHAT : TW_TEMPLATE_PLAIN, run->context,
                                      &(struct tw_render_options){.now = &now}, &text, &err);
    const json_t *expected = json_object_get(row, "rendered");
    bool          same     = status == TRAWL_OK && expected != NULL && text.size == json_string_length(expected) &&
                memcmp(tw_str_text(&text), json_string_value(expected), text.size) == 0;
    bool refused = status != TRAWL_OK && expected == NULL && strstr(err.message, "test.jinja line ") != NULL;
    if (!same && !refused) {
        fprintf(stderr, "%s\n  got %s\n", json_dumps(row, 0), status == TRAWL_OK ? tw_str_text(&text) : err.message);
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
    assert_true(run.rendered > 400);
    assert_true(run.refused > 30);
    json_decref(run.context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fixtures)};
    return cmocka_run_group_tests_name("text.template", tests, NULL, NULL);
}
