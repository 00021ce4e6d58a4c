/* SPDX-License-Identifier: MIT */
#include "apps/arc/arc_report.h"

#include "arc_test.h"

static int count(const char *text, const char *part)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part)) {
        n++;
    }
    return n;
}

static void assert_before(const char *text, const char *first, const char *second)
{
    assert_contains(text, first);
    assert_contains(text, second);
    assert_true(strstr(text, first) < strstr(text, second));
}

#define PAIR "{\"input\": [[1, 2]], \"output\": [[2, 1]]}"

static void put_inputs(const struct scratch *d)
{
    put_file(d, "tasks.json",
             "{\"solved\": {\"train\": [" PAIR "], \"test\": [{\"input\": [[3, 4]]}]},"
             "\"unseen\": {\"train\": [" PAIR "], \"test\": [{\"input\": [[3, 4]]}]},"
             "\"<b>&\\\"\": {\"train\": [" PAIR ", " PAIR
             "], \"test\": [{\"input\": [[5, 6]]}, {\"input\": [[7]]}]}}");
    put_file(d, "solutions.json", "{\"solved\": [[[4, 3]]], \"<b>&\\\"\": [[[6, 5]], [[7]]]}");
    put_file(d, "p_task_results.json",
             "[{\"task_id\": \"<b>&\\\"\", \"idx\": 0, \"grid\": [[5, 5]], \"n_tokens\": 4, "
             "\"cumulative_logprob\": -1},"
             "{\"task_id\": \"<b>&\\\"\", \"idx\": 1, \"grid\": [], \"parse_error\": \"row 1 is <odd>\"},"
             "{\"task_id\": \"other\", \"idx\": 0, \"grid\": [[1]]},"
             "{\"task_id\": \"solved\", \"idx\": 0, \"grid\": [[9, 9]]},"
             "{\"task_id\": \"solved\", \"idx\": 0, \"grid\": [[4, 3]]},"
             "{\"task_id\": \"solved\", \"idx\": 0, \"grid\": [[4, 3]]}]");
}

static void a_page(void **state)
{
    struct scratch *d = *state;
    struct trawl_error err;
    struct warnings w;
    struct tw_log log = warnings_log(&w);
    char results[256], tasks[256], solutions[256], out[256];
    struct tw_arc_report_config c = {path_in(d, "p_task_results.json", results),
                                     path_in(d, "tasks.json", tasks), path_in(d, "solutions.json", solutions),
                                     path_in(d, "r.html", out)};
    put_inputs(d);
    assert_ok(tw_arc_report(&c, &log, &err));
    char *page = get_file(d, "r.html");
    assert_int_equal(count(page, "<section"), 2);
    assert_int_equal(count(page, "<svg"), count(page, "</svg>"));
    assert_int_equal(count(page, "<div"), count(page, "</div>"));
    /* pairs, then input and solution of each test, then the distinct predictions */
    assert_int_equal(count(page, "<svg"), 2 * (1 + 2) + 2 * 3 + 3);
    assert_before(page, ">solved</h2><span class=\"tag good\">solved<",
                  ">&lt;b&gt;&amp;&quot;</h2><span class=\"tag bad\">not solved<");
    assert_before(page, "<b>2 of 3</b><span class=\"tag good\">correct<",
                  "<b>1 of 3</b><span class=\"tag bad\">wrong<");
    assert_contains(page, "<b>1 of 2</b><span>tasks solved by two votes");
    assert_contains(page, "log p -0.250 a token");
    assert_contains(page, "1 of 1 answers are no grid</summary><ul><li>1 &times; row 1 is &lt;odd&gt;</li>");
    assert_contains(page, ".k1{fill:#0074D9}");
    assert_int_equal(
        count(page, "<script") + count(page, "http") + count(page, "@import") + count(page, "url("), 0);
    assert_null(strstr(page, "unseen"));
    tw_free(page);
    assert_contains(w.text, "task \"other\" is not in ");

    c.solutions = NULL;
    assert_ok(tw_arc_report(&c, NULL, &err));
    page = get_file(d, "r.html");
    assert_int_equal(count(page, "answer not known"), 2);
    assert_int_equal(count(page, ">correct<") + count(page, ">wrong<"), 0);
    tw_free(page);
}

static void mismatched_files_are_refused(void **state)
{
    struct scratch *d = *state;
    struct trawl_error err;
    char results[256], tasks[256], out[256];
    struct tw_arc_report_config c = {path_in(d, "x_task_results.json", results),
                                     path_in(d, "tasks.json", tasks), NULL, path_in(d, "r.html", out)};
    put_inputs(d);
    put_file(d, "x_task_results.json", "[{\"task_id\": \"other\", \"idx\": 0, \"grid\": [[1]]}]");
    assert_refused(tw_arc_report(&c, NULL, &err), TRAWL_ERR_INVALID, "no result belongs to a task of");
    put_file(d, "x_task_results.json", "[{\"task_id\": \"solved\", \"idx\": 1, \"grid\": [[1]]}]");
    assert_refused(tw_arc_report(&c, NULL, &err), TRAWL_ERR_FORMAT, "has results for 2 test inputs, in");
    assert_false(tw_path_exists(out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(a_page),
        scratch_test(mismatched_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
