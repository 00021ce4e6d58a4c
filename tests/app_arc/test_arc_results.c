/* SPDX-License-Identifier: MIT */
#include "apps/arc/arc_results.h"

#include <math.h>

#include "apps/arc/arc_score.h"
#include "apps/arc/arc_vote.h"
#include "arc_test.h"

/* ---- records ---- */

static char *copy(const char *s)
{
    struct trawl_error err;
    char *out = NULL;
    assert_ok(tw_strdup(s, &out, &err));
    return out;
}

static struct tw_arc_record record_of(const char *task_id, int idx, const char *grid, double logprob,
                                      int64_t n_tokens)
{
    struct tw_arc_record r = {.idx = idx, .cumulative_logprob = logprob, .n_tokens = n_tokens};
    r.task_id              = copy(task_id);
    r.prompt               = copy("a \"prompt\"\n\xC3\xB1");
    r.prompt_size          = strlen(r.prompt);
    r.response             = copy(" shape");
    r.response_size        = strlen(r.response);
    r.finish_reason        = copy("stop");
    r.grid                 = grid_of(grid);
    r.parse_error          = grid[0] == '\0' ? copy("row 2 has 2 cells") : NULL;
    tw_arc_augment_identity(&r.augment, 3);
    r.augment.hflip          = true;
    r.augment.n_rot90        = 3;
    r.augment.color_map[1]   = 6;
    r.augment.color_map[6]   = 1;
    r.augment.train_order[0] = 2;
    r.augment.train_order[2] = 0;
    return r;
}

static void record_to_the_byte(void **state)
{
    (void)state;
    struct trawl_error err;
    struct tw_str out;
    struct tw_arc_record r = record_of("007bbfb7", 1, "12/34", -0.25, 23);
    tw_str_init(&out, 0);
    assert_ok(tw_arc_record_write(&r, &out, &err));
    assert_string_equal(
        out.data,
        "{\"task_id\": \"007bbfb7\", \"data_augmentation_kwargs\": {\"hflip\": true, \"n_rot90\": 3, "
        "\"color_map\": {\"0\": 0, \"1\": 6, \"2\": 2, \"3\": 3, \"4\": 4, \"5\": 5, \"6\": 1, \"7\": 7, "
        "\"8\": 8, \"9\": 9}}, \"train_order\": [2, 1, 0], \"prompt\": \"a \\\"prompt\\\"\\n\xC3\xB1\", "
        "\"idx\": 1, \"grid\": [[1, 2], [3, 4]], \"response\": \" shape\", \"cumulative_logprob\": -0.25, "
        "\"n_tokens\": 23, \"finish_reason\": \"stop\", \"parse_error\": null}");
    tw_str_release(&out);
    tw_arc_record_release(&r);
}

static void records_round_trip(void **state)
{
    struct scratch *d = *state;
    struct trawl_error err;
    struct tw_arc_writer w;
    struct tw_arc_stream s;
    char path[256];
    const char *const grids[] = {"12/34", "", "5"};
    assert_ok(tw_arc_writer_open_list(&w, path_in(d, "r_task_results.json", path), &err));
    for (int i = 0; i < 3; i++) {
        struct tw_arc_record r = record_of("t", i, grids[i], i == 2 ? (double)NAN : -1.5 * i, i);
        assert_ok(tw_arc_results_add(&w, &r, &err));
        tw_arc_record_release(&r);
    }
    assert_false(tw_path_exists(path));
    assert_ok(tw_arc_writer_commit(&w, &err));
    tw_arc_writer_close(&w);
    assert_ok(tw_arc_stream_open(&s, path, &err));
    for (int i = 0; i < 3; i++) {
        struct tw_arc_record r, expected = record_of("t", i, grids[i], 0, 0);
        bool more = false;
        assert_ok(tw_arc_results_next(&s, &r, &more, &err));
        assert_true(more);
        assert_int_equal(r.idx, i);
        assert_int_equal(r.n_tokens, i);
        assert_true(i == 2 ? isnan(r.cumulative_logprob) : r.cumulative_logprob == -1.5 * i);
        assert_true(tw_arc_grid_equal(&r.grid, &expected.grid));
        assert_memory_equal(&r.augment, &expected.augment, sizeof r.augment);
        assert_string_equal(r.prompt, expected.prompt);
        assert_int_equal(r.prompt_size, expected.prompt_size);
        assert_int_equal(r.parse_error == NULL, i != 1);
        tw_arc_record_release(&r);
        tw_arc_record_release(&expected);
    }
    struct tw_arc_record r;
    bool more = true;
    assert_ok(tw_arc_results_next(&s, &r, &more, &err));
    assert_false(more);
    tw_arc_stream_close(&s);
}

static const struct {
    const char *text;
    const char *why;
} BAD_RECORDS[] = {
    {"[3]", "record 1: an integer, expected a record"},
    {"[{\"idx\": 0}]", "record 1: \"task_id\" is missing"},
    {"[{\"task_id\": 5, \"idx\": 0}]", "\"task_id\" is an integer, expected a string"},
    {"[{\"task_id\": \"t\"}]", "\"idx\" is -1 or missing, expected 0..255"},
    {"[{\"task_id\": \"t\", \"idx\": 256}]", "\"idx\" is 256"},
    {"[{\"task_id\": \"t\", \"idx\": 0, \"train_order\": [0, 0]}]", "train_order is not a permutation of 2"},
    {"[{\"task_id\": \"t\", \"idx\": 0, \"data_augmentation_kwargs\": {\"n_rot90\": 5}}]", "expected 0..3"},
    {"[{\"task_id\": \"t\", \"idx\": 0, \"data_augmentation_kwargs\": {\"color_map\": {\"0\": 1}}}]",
     "color_map is not"},
    {"{\"t\": {}}", "an object, expected a list of records"},
    {"[{\"task_id\": \"t\", \"idx\": 0}", "expected \",\" or \"]\""},
};

static void bad_records_are_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof BAD_RECORDS / sizeof BAD_RECORDS[0]; i++) {
        struct trawl_error err = {.status = TRAWL_OK};
        trawl_status status    = TRAWL_OK;
        struct tw_arc_stream s;
        assert_ok(tw_arc_stream_over(&s, "r.json", BAD_RECORDS[i].text, strlen(BAD_RECORDS[i].text), &err));
        for (bool more = true; status == TRAWL_OK && more;) {
            struct tw_arc_record r;
            status = tw_arc_results_next(&s, &r, &more, &err);
            if (status == TRAWL_OK && more) {
                tw_arc_record_release(&r);
            }
        }
        assert_int_equal(status, TRAWL_ERR_FORMAT);
        assert_contains(err.message, "r.json");
        assert_contains(err.message, BAD_RECORDS[i].why);
    }
}

/* ---- attempts ---- */

static void submission_to_the_byte(void **state)
{
    struct scratch *d = *state;
    struct trawl_error err;
    struct tw_arc_writer w;
    struct tw_arc_attempts a;
    char path[256];
    assert_ok(tw_arc_writer_open_object(&w, path_in(d, "s.json", path), &err));
    assert_ok(tw_arc_attempts_new(&a, "b", 2, 2, &err));
    a.tests[0].grids[0] = grid_of("12");
    a.tests[1].grids[1] = grid_of("3/4");
    assert_ok(tw_arc_submission_add(&w, &a, &err));
    tw_arc_attempts_release(&a);
    assert_ok(tw_arc_attempts_new(&a, "a", 1, 2, &err));
    assert_ok(tw_arc_submission_add(&w, &a, &err));
    tw_arc_attempts_release(&a);
    assert_ok(tw_arc_writer_commit(&w, &err));
    tw_arc_writer_close(&w);
    char *text = get_file(d, "s.json");
    assert_string_equal(
        text,
        "{\n\"b\": [{\"attempt_1\": [[1, 2]], \"attempt_2\": []}, {\"attempt_1\": [], \"attempt_2\": [[3], "
        "[4]]}],\n\"a\": [{\"attempt_1\": [], \"attempt_2\": []}]\n}\n");
    tw_free(text);

    /* abandoned: the old file stays */
    assert_ok(tw_arc_writer_open_object(&w, path, &err));
    tw_arc_writer_close(&w);
    text = get_file(d, "s.json");
    assert_contains(text, "\"b\"");
    tw_free(text);
}

static void attempts_are_read_in_order_of_number(void **state)
{
    (void)state;
    struct trawl_error err;
    struct tw_arc_stream s;
    struct tw_arc_attempts a;
    bool more        = false;
    const char *text = "{\"t\": [{\"attempt_10\": [[5]], \"attempt_2\": [[1], [2, 3]], \"attempt_1\": [[4]], "
                       "\"note\": 1}, {}]}";
    assert_ok(tw_arc_stream_over(&s, "s.json", text, strlen(text), &err));
    assert_ok(tw_arc_submission_next(&s, &a, &more, &err));
    assert_int_equal(a.n_test, 2);
    assert_int_equal(a.tests[0].n, 3);
    assert_grid(&a.tests[0].grids[0], "4");
    assert_grid(&a.tests[0].grids[1], "");
    assert_grid(&a.tests[0].grids[2], "5");
    assert_int_equal(a.tests[1].n, 0);
    tw_arc_attempts_release(&a);
    text = "{\"t\": [{\"attempt_x\": []}]}";
    assert_ok(tw_arc_stream_over(&s, "s.json", text, strlen(text), &err));
    assert_refused(tw_arc_submission_next(&s, &a, &more, &err), TRAWL_ERR_FORMAT,
                   "task \"t\": \"attempt_x\"");
    text = "{\"t\": 7}";
    assert_ok(tw_arc_stream_over(&s, "s.json", text, strlen(text), &err));
    assert_refused(tw_arc_submission_next(&s, &a, &more, &err), TRAWL_ERR_FORMAT, "task \"t\": an integer");
}

static void paths(void **state)
{
    (void)state;
    struct trawl_error err;
    char *path = NULL;
    assert_ok(tw_arc_results_path("out/p.json", "_task_results.json", &path, &err));
    assert_string_equal(path, "out/p_task_results.json");
    assert_true(tw_arc_results_is_task_results(path));
    assert_false(tw_arc_results_is_task_results("out/p.json"));
    tw_free(path);
    assert_ok(tw_arc_results_path("p", "_voting.json", &path, &err));
    assert_string_equal(path, "p_voting.json");
    tw_free(path);
}

/* ---- votes ---- */

static void put_records(const struct scratch *d, const char *name, const struct tw_arc_record *records,
                        size_t n)
{
    struct trawl_error err;
    struct tw_arc_writer w;
    char path[256];
    assert_ok(tw_arc_writer_open_list(&w, path_in(d, name, path), &err));
    for (size_t i = 0; i < n; i++) {
        assert_ok(tw_arc_results_add(&w, &records[i], &err));
    }
    assert_ok(tw_arc_writer_commit(&w, &err));
    tw_arc_writer_close(&w);
}

static void votes_with_log_probabilities(void **state)
{
    struct scratch *d = *state;
    struct trawl_error err;
    struct tw_arc_vote_summary sum;
    char in[256], out[256];
    struct tw_arc_record r[] = {
        record_of("x", 0, "1", -3.0, 2), /* mean -1.5, with the next -1.0 */
        record_of("x", 0, "1", -1.0, 2), record_of("x", 0, "2", -0.9, 1),
        record_of("x", 0, "2", -0.8, 1), /* two votes as well, mean -0.85: first */
        record_of("x", 0, "3", -0.1, 1), /* likely, but one vote */
        record_of("x", 0, "", -0.0, 1),  record_of("y", 1, "7", (double)NAN, 1),
        record_of("y", 1, "8", -9.0, 1), /* known beats not known */
        record_of("x", 1, "", 0, 0),
    };
    put_records(d, "p_task_results.json", r, sizeof r / sizeof r[0]);
    assert_ok(tw_arc_vote(path_in(d, "p_task_results.json", in), path_in(d, "v.json", out), 2, &sum, &err));
    char *text = get_file(d, "v.json");
    assert_string_equal(
        text,
        "{\n\"x\": [{\"attempt_1\": [[2]], \"attempt_2\": [[1]]}, {\"attempt_1\": [], \"attempt_2\": []}],\n"
        "\"y\": [{\"attempt_1\": [], \"attempt_2\": []}, {\"attempt_1\": [[8]], \"attempt_2\": [[7]]}]\n}\n");
    assert_int_equal(sum.n_tasks, 2);
    assert_int_equal(sum.n_tests, 4);
    assert_int_equal(sum.n_predictions, 9);
    assert_int_equal(sum.n_grids, 7);
    assert_int_equal(sum.n_unanswered, 2);
    tw_free(text);
    for (size_t i = 0; i < sizeof r / sizeof r[0]; i++) {
        tw_arc_record_release(&r[i]);
    }
    assert_refused(tw_arc_vote(in, out, 0, &sum, &err), TRAWL_ERR_INVALID, "0 attempts to vote for");
}

static void plain_votes(void **state)
{
    struct scratch *d = *state;
    struct trawl_error err;
    struct tw_arc_vote_summary sum;
    char in[256], out[256];
    put_file(d, "p.json",
             "{\"t\": [{\"attempt_1\": [], \"attempt_2\": [[1]], \"attempt_3\": [[2]], \"attempt_4\": [[3]], "
             "\"attempt_5\": [[3]]}]}");
    assert_ok(tw_arc_vote(path_in(d, "p.json", in), path_in(d, "v.json", out), 3, &sum, &err));
    char *text = get_file(d, "v.json");
    assert_string_equal(
        text, "{\n\"t\": [{\"attempt_1\": [[3]], \"attempt_2\": [[1]], \"attempt_3\": [[2]]}]\n}\n");
    tw_free(text);
}

/* ---- scores, worked out by hand ---- */

static void assert_near(double a, double b)
{
    if (fabs(a - b) > 1e-12) {
        fail_msg("%.17g is not %.17g", a, b);
    }
}

static void scores(void **state)
{
    struct scratch *d = *state;
    struct trawl_error err;
    struct tw_arc_score score;
    struct warnings w;
    struct tw_log log = warnings_log(&w);
    char sub[256], sol[256];
    put_file(d, "sol.json", "{\"a\": [[[1, 2], [3, 4]], [[5]]], \"b\": [[[6]]], \"c\": [[[7]]]}");
    /* a/0: wrong cell, exact, none, other size -> a/1: exact only as attempt 3; b: exact; c: missing; z: extra */
    put_file(d, "sub.json",
             "{\"a\": [{\"attempt_1\": [[1, 2], [3, 0]], \"attempt_2\": [[1, 2], [3, 4]], \"attempt_3\": [], "
             "\"attempt_4\": [[1]]},"
             "{\"attempt_1\": [[4]], \"attempt_2\": [[4]], \"attempt_3\": [[5]]}],"
             "\"z\": [{\"attempt_1\": [[1]]}], \"b\": [{\"attempt_1\": [[6]]}]}");
    assert_ok(
        tw_arc_score_files(&score, path_in(d, "sub.json", sub), path_in(d, "sol.json", sol), 0, &log, &err));
    assert_int_equal(score.n_tasks, 3);
    assert_int_equal(score.n_tests, 4);
    assert_int_equal(score.n_missing, 1);
    assert_int_equal(score.n_solved_tests, 2);
    assert_int_equal(score.n_solved_tasks, 1);
    const double *a = score.tasks[0].metrics;
    assert_near(a[TW_ARC_ACCURACY], (1.0 / 4 + 1.0 / 3) / 2);
    assert_near(a[TW_ARC_CORRECT_PIXELS], (1.75 / 4 + 1.0 / 3) / 2);
    assert_near(a[TW_ARC_CORRECT_SIZE], (2.0 / 4 + 1.0) / 2);
    assert_near(a[TW_ARC_MAX_CORRECT_PIXELS], 1);
    assert_near(a[TW_ARC_ANY_CORRECT_SIZE], 1);
    assert_near(a[TW_ARC_PASS_N], 1);
    assert_near(a[TW_ARC_VOTE_1], 0); /* a/0: first seen is wrong; a/1: [[4]] has two votes */
    assert_near(a[TW_ARC_VOTE_2], 1);
    assert_near(a[TW_ARC_UNANSWERED], 0.25 / 2);
    assert_near(score.metrics[TW_ARC_PASS_N], 2.0 / 3);
    assert_near(score.metrics[TW_ARC_UNANSWERED], (0.125 + 0 + 1) / 3);
    assert_contains(w.text, "no answer is known for task \"z\"");
    assert_contains(w.text, "task \"c\" is missing; it counts as wrong");

    struct tw_str text;
    tw_str_init(&text, 0);
    assert_ok(tw_arc_score_write_text(&score, &text, &err));
    assert_contains(text.data, "task          solved    accuracy");
    assert_contains(text.data, "a                1/2       29.2%");
    assert_contains(text.data, "c            missing        0.0%");
    assert_contains(text.data, "accuracy: 43.1%\tcorrect_pixels: 46.2%\t");
    assert_contains(text.data,
                    "solved with two attempts: 2 of 4 test outputs (50.00%), 1 of 3 tasks (33.33%)\n");
    tw_str_reset(&text);
    assert_ok(tw_arc_score_write_json(&score, &text, &err));
    json_t *json = NULL;
    assert_ok(tw_json_parse(text.data, text.size, "score", &json, &err));
    assert_near(json_real_value(json_object_get(json, "kaggle")), 0.5);
    assert_int_equal(json_object_size(json_object_get(json, "metrics")), TW_ARC_N_METRICS);
    assert_int_equal(json_object_size(json_object_get(json, "tasks")), 3);
    json_decref(json);
    tw_str_release(&text);
    tw_arc_score_release(&score);

    assert_ok(tw_arc_score_files(&score, sub, sol, 1, NULL, &err));
    assert_near(score.tasks[0].metrics[TW_ARC_PASS_N], 0);
    tw_arc_score_release(&score);
    put_file(d, "sub.json", "{\"a\": [], \"a\": []}");
    assert_refused(tw_arc_score_files(&score, sub, sol, 0, NULL, &err), TRAWL_ERR_FORMAT,
                   "task \"a\" is there twice");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record_to_the_byte),
        scratch_test(records_round_trip),
        cmocka_unit_test(bad_records_are_named),
        scratch_test(submission_to_the_byte),
        cmocka_unit_test(attempts_are_read_in_order_of_number),
        cmocka_unit_test(paths),
        scratch_test(votes_with_log_probabilities),
        scratch_test(plain_votes),
        scratch_test(scores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
