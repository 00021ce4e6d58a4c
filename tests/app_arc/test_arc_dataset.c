/* SPDX-License-Identifier: MIT */
#include "apps/arc/arc_dataset.h"

#include "apps/arc/arc_stream.h"
#include "arc_test.h"

#define PAIR "{\"input\": [[1, 2]], \"output\": [[3], [4]]}"
#define TASK "{\"train\": [" PAIR "], \"test\": [{\"input\": [[5]]}]}"
#define TASK2                                                                                              \
    "{\"name\": \"x\", \"test\": [{\"input\": [[6]], \"output\": [[7]]}, {\"input\": [[8]]}], \"train\": " \
    "[" PAIR "]}"

static struct tw_arc_dataset load(const char *name, const char *text, int64_t n_tasks, struct warnings *w)
{
    struct tw_arc_dataset ds;
    struct trawl_error err;
    struct tw_log log = warnings_log(w);
    assert_ok(tw_arc_dataset_load_text(&ds, name, text, strlen(text), n_tasks, &log, &err));
    return ds;
}

static void challenges(void **state)
{
    (void)state;
    struct warnings w;
    struct tw_arc_dataset ds = load("c.json", "\xEF\xBB\xBF {\"b\": " TASK ", \"a\" : " TASK2 "}\n", 0, &w);
    assert_int_equal(ds.n, 2);
    assert_int_equal(w.n, 0);
    assert_string_equal(ds.tasks[0].id, "b");
    assert_int_equal(ds.tasks[0].n_train, 1);
    assert_grid(&ds.tasks[0].train[0].input, "12");
    assert_grid(&ds.tasks[0].train[0].output, "3/4");
    assert_grid(&ds.tasks[0].test[0].input, "5");
    assert_true(tw_arc_grid_is_none(&ds.tasks[0].test[0].output));
    assert_int_equal(ds.tasks[1].n_test, 2);
    assert_grid(&ds.tasks[1].test[0].output, "7");
    assert_ptr_equal(tw_arc_dataset_find(&ds, "a"), &ds.tasks[1]);
    assert_ptr_equal(tw_arc_dataset_find(&ds, "b"), &ds.tasks[0]);
    assert_null(tw_arc_dataset_find(&ds, "c"));
    tw_arc_dataset_release(&ds);
}

static void one_task_and_lists(void **state)
{
    (void)state;
    struct warnings w;
    struct tw_arc_dataset ds = load("/some/where/9edfc990.json", TASK2, 0, &w);
    assert_int_equal(ds.n, 1);
    assert_string_equal(ds.tasks[0].id, "9edfc990");
    tw_arc_dataset_release(&ds);

    ds =
        load("t.jsonl",
             "{\"task_id\": \"x\", \"train\": [[[[1]], [[2]]]], \"test\": [{\"input\": [[1.0, true]]}]}\r\n\n"
             "{\"id\": \"y\", \"train\": [" PAIR "], \"test\": [{\"input\": [[1]], \"output\": null}]}",
             0, &w);
    assert_int_equal(ds.n, 2);
    assert_grid(&ds.tasks[0].test[0].input, "11");
    assert_string_equal(ds.tasks[1].id, "y");
    tw_arc_dataset_release(&ds);

    ds = load("t.json", "[{\"task_id\": \"x\", \"train\": [" PAIR "], \"test\": [" PAIR "]}]", 0, &w);
    assert_int_equal(ds.n, 1);
    assert_int_equal(w.n, 0);
    tw_arc_dataset_release(&ds);
}

static const struct {
    const char *task;
    const char *why;
} MALFORMED[] = {
    {"[]", "an array, expected {\"train\", \"test\"}"},
    {"{\"test\": [" PAIR "]}", "\"train\" is nothing, expected a list of pairs"},
    {"{\"train\": [], \"test\": [" PAIR "]}", "\"train\" has 0 pairs, expected 1 to 256"},
    {"{\"train\": [" PAIR "], \"test\": 3}", "\"test\" is an integer"},
    {"{\"train\": [" PAIR ", {\"input\": [[1]]}], \"test\": [" PAIR "]}",
     "train pair 2: output: nothing, expected a list of rows"},
    {"{\"train\": [" PAIR "], \"test\": [{\"output\": [[1]]}]}", "test pair 1: input: nothing"},
    {"{\"train\": [" PAIR "], \"test\": [7]}", "test pair 1: an integer, expected {\"input\", \"output\"}"},
    {"{\"train\": [" PAIR "], \"test\": [{\"input\": [[1, 2], [3]]}]}",
     "test pair 1: input: row 2 has 1 cells, row 1 has 2"},
    {"{\"train\": [" PAIR "], \"test\": [{\"input\": [[]]}]}", "test pair 1: input: the rows have no cells"},
    {"{\"train\": [" PAIR "], \"test\": [{\"input\": [[1, 10]]}]}",
     "input: row 1 column 2 is 10, expected 0..9"},
    {"{\"train\": [" PAIR "], \"test\": [{\"input\": [[1, 2.5]]}]}", "input: row 1 column 2 is a number"},
    {"{\"train\": [" PAIR "], \"test\": [{\"input\": [[1, \"2\"]]}]}", "input: row 1 column 2 is a string"},
    {"{\"train\": [" PAIR "], \"test\": [{\"input\": [1, 2]}]}",
     "input: row 1 is an integer, expected a list"},
    {"{\"train\": [" PAIR
     "], \"test\": [{\"input\": [[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]]}]}",
     "input: 1 x 31 cells, the limit is 30 x 30"},
};

static void malformed_tasks_are_named_and_left_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof MALFORMED / sizeof MALFORMED[0]; i++) {
        struct warnings w;
        char text[2048];
        (void)snprintf(text, sizeof text, "{\"good\": " TASK ", \"bad\": %s, \"fine\": " TASK "}",
                       MALFORMED[i].task);
        struct tw_arc_dataset ds = load("d.json", text, 0, &w);
        assert_int_equal(ds.n, 2);
        assert_int_equal(ds.n_skipped, 1);
        assert_int_equal(w.n, 1);
        assert_contains(w.text, "d.json: task \"bad\": ");
        assert_contains(w.text, MALFORMED[i].why);
        tw_arc_dataset_release(&ds);
    }
}

static void the_first_n_are_chosen_good_or_bad(void **state)
{
    (void)state;
    struct warnings w;
    const char *text         = "{\"a\": " TASK ", \"b\": {}, \"c\": " TASK ", \"d\": {}}";
    struct tw_arc_dataset ds = load("d.json", text, 2, &w);
    assert_int_equal(ds.n, 1);
    assert_int_equal(ds.n_skipped, 1);
    tw_arc_dataset_release(&ds);
    ds = load("d.json", text, 3, &w);
    assert_int_equal(ds.n, 2);
    assert_string_equal(ds.tasks[1].id, "c");
    tw_arc_dataset_release(&ds);
    ds = load("d.json", text, -1, &w);
    assert_int_equal(ds.n_skipped, 2);
    tw_arc_dataset_release(&ds);
}

static void a_second_task_of_an_id_is_left_out(void **state)
{
    (void)state;
    struct warnings w;
    struct tw_arc_dataset ds =
        load("d.json", "{\"b\": " TASK ", \"a\": " TASK2 ", \"b\": " TASK2 ", \"b\": " TASK2 "}", 0, &w);
    assert_int_equal(ds.n, 2);
    assert_int_equal(ds.n_skipped, 2);
    assert_int_equal(tw_arc_dataset_find(&ds, "b")->n_test, 1);
    assert_contains(w.text, "d.json: task \"b\" is there twice");
    tw_arc_dataset_release(&ds);
}

static void bad_lines_are_left_out(void **state)
{
    (void)state;
    struct warnings w;
    struct tw_arc_dataset ds = load("t.jsonl",
                                    "{\"task_id\": \"x\"\n"
                                    "{\"train\": 1}\n"
                                    "{\"task_id\": \"\", \"train\": 1}\n"
                                    "{\"task_id\": \"y\", \"train\": [" PAIR "], \"test\": [" PAIR "]}\n",
                                    0, &w);
    assert_int_equal(ds.n, 1);
    assert_int_equal(ds.n_skipped, 3);
    assert_contains(w.text, "t.jsonl: line 1: not JSON");
    assert_contains(w.text, "t.jsonl: entry 2: \"task_id\" is nothing, expected a name");
    assert_contains(w.text, "t.jsonl: entry 3: \"task_id\" is empty");
    tw_arc_dataset_release(&ds);
}

static const struct {
    const char *name;
    const char *text;
    const char *why;
} BROKEN[] = {
    {"d.json", "", "d.json: empty, expected a JSON object or array"},
    {"d.json", "hello", "d.json: begins with byte 0x68"},
    {"d.json", "{}", "d.json: no tasks found (0 malformed)"},
    {"d.json", "{\"a\": {}}", "d.json: no tasks found (1 malformed)"},
    {"d.jsonl", "\n\n", "d.jsonl: no tasks found"},
    {"d.json", "{\"a\": " TASK ", ", "ends at byte"},
    {"d.json", "{\"a\": " TASK ",}", "expected a key in quotes"},
    {"d.json", "{\"a\" " TASK "}", "expected a colon"},
    {"d.json", "{\"a\": " TASK " \"b\": " TASK "}", "expected \",\" or \"}\""},
    {"d.json", "{\"a\": " TASK "} x", "expected the end of the file"},
    {"d.json", "{\"a\": " TASK ", \"b\": {\"train\": [1,}}", "entry 2 (from byte"},
    {"d.json", "{\"a\\u0000b\": " TASK "}", "key 1 holds U+0000"},
    {"d.json", "[" TASK, "expected \",\" or \"]\""},
};

static void broken_files_are_errors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof BROKEN / sizeof BROKEN[0]; i++) {
        struct tw_arc_dataset ds;
        struct trawl_error err;
        assert_int_equal(tw_arc_dataset_load_text(&ds, BROKEN[i].name, BROKEN[i].text, strlen(BROKEN[i].text),
                                                  0, NULL, &err),
                         TRAWL_ERR_FORMAT);
        assert_contains(err.message, BROKEN[i].why);
        assert_null(ds.tasks);
    }
}

static void folders_and_solutions(void **state)
{
    struct scratch *d = *state;
    struct warnings w;
    struct tw_log log = warnings_log(&w);
    struct tw_arc_dataset ds;
    struct trawl_error err;
    char path[256];
    put_file(d, "b.json", TASK);
    put_file(d, "a.json", TASK2);
    put_file(d, "c.json", "oops");
    put_file(d, "notes.txt", "oops");
    assert_ok(tw_arc_dataset_load(&ds, d->dir, 0, &log, &err));
    assert_int_equal(ds.n, 2);
    assert_int_equal(ds.n_skipped, 1);
    assert_string_equal(ds.tasks[0].id, "a");
    assert_contains(w.text, "/c.json: begins with byte 0x6f");
    tw_arc_dataset_release(&ds);
    assert_ok(tw_arc_dataset_load(&ds, d->dir, 1, &log, &err));
    assert_int_equal(ds.n, 1);
    tw_arc_dataset_release(&ds);

    put_file(d, "s.json",
             "{\"x\": [[[1]], [[2, 3]]], \"y\": {\"test\": [{\"output\": [[4]]}]}, \"z\": [], \"u\": "
             "{\"test\": [{}]}}");
    log = warnings_log(&w);
    assert_ok(tw_arc_solutions_load(&ds, path_in(d, "s.json", path), &log, &err));
    assert_int_equal(ds.n, 2);
    assert_int_equal(ds.n_skipped, 2);
    assert_grid(&tw_arc_dataset_find(&ds, "x")->test[1].output, "23");
    assert_grid(&tw_arc_dataset_find(&ds, "y")->test[0].output, "4");
    assert_contains(w.text, "task \"u\": test 1: output: nothing");
    tw_arc_dataset_release(&ds);
    assert_int_equal(tw_arc_dataset_load(&ds, path_in(d, "none.json", path), 0, NULL, &err), TRAWL_ERR_IO);
    assert_contains(err.message, "none.json");
}

/* 400 tasks of a real collection, where it is at hand. */
static void arc_agi_1(void **state)
{
    (void)state;
    const char *folder = getenv("TRAWL_ARC_AGI");
    if (folder == NULL) {
        print_message("TRAWL_ARC_AGI is not set\n");
        skip();
    }
    struct tw_arc_dataset ds;
    struct trawl_error err;
    char path[512];
    int outputs = 0;
    (void)snprintf(path, sizeof path, "%s/training_challenges.json", folder);
    assert_ok(tw_arc_dataset_load(&ds, path, 0, NULL, &err));
    assert_int_equal(ds.n, 400);
    assert_int_equal(ds.n_skipped, 0);
    tw_arc_dataset_release(&ds);
    (void)snprintf(path, sizeof path, "%s/training_solutions.json", folder);
    assert_ok(tw_arc_solutions_load(&ds, path, NULL, &err));
    for (size_t i = 0; i < ds.n; i++) {
        outputs += ds.tasks[i].n_test;
    }
    assert_int_equal(ds.n, 400);
    assert_int_equal(outputs, 416);
    tw_arc_dataset_release(&ds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(challenges),
        cmocka_unit_test(one_task_and_lists),
        cmocka_unit_test(malformed_tasks_are_named_and_left_out),
        cmocka_unit_test(the_first_n_are_chosen_good_or_bad),
        cmocka_unit_test(a_second_task_of_an_id_is_left_out),
        cmocka_unit_test(bad_lines_are_left_out),
        cmocka_unit_test(broken_files_are_errors),
        scratch_test(folders_and_solutions),
        cmocka_unit_test(arc_agi_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
