/* SPDX-License-Identifier: MIT */
#include "apps/arc/arc_transform.h"

#include "apps/arc/arc_dataset.h"
#include "arc_test.h"

static void assert_id(const char *examples, uint64_t row, const char *expected)
{
    struct trawl_error err;
    json_t *value = NULL;
    char id[9];
    assert_ok(tw_json_parse(examples, strlen(examples), "examples", &value, &err));
    assert_ok(tw_arc_transform_id(value, row, id, &err));
    assert_string_equal(id, expected);
    json_decref(value);
}

/* hashlib.md5((json.dumps(examples, sort_keys=True) + str(row)).encode()).hexdigest()[:8] in Python 3.11 */
static void ids_are_pythons(void **state)
{
    (void)state;
    assert_id("[[[[1, 2]], [[3]]], [[[4]], [[5, 6]]]]", 0, "5ae12b31");
    assert_id("[{\"input\": [[1, 2]], \"output\": [[3]]}, {\"input\": [[4]], \"output\": [[5, 6]]}]", 0,
              "f0725659");
    assert_id("[{\"output\":[[3]],\"input\":[[1,2]]},{\"output\":[[5,6]],\"input\":[[4]]}]", 0, "f0725659");
    assert_id("[]", 123456, "39efbbaa");
    assert_id("[{\"z\": 1.0, \"A\": true, \"\\u00e9\": null, \"a\": "
              "\"\\u00e9\\ud83d\\ude00\\n\\u007f\\\"\\\\/\"}, {}]",
              7, "c88bba5c");
}

#define E1 "[[[1, 2]], [[3]]]"
#define E2 "{\"input\": [[4]], \"output\": [[5, 6]]}"

static void rows_become_tasks(void **state)
{
    struct scratch *d = *state;
    struct trawl_error err;
    struct warnings w;
    struct tw_log log = warnings_log(&w);
    struct tw_arc_transform_summary sum;
    char in[256], out[256];
    put_file(d, "rows.jsonl",
             "{\"source\": \"def f\", \"examples\": [" E1 ", [[[4]], [[5, 6]]]], \"seeds\": []}\n"
             "{\"examples\": [" E1 "]}\n"
             "{\"examples\": 5}\n"
             "{broken\n"
             "{\"examples\": [[[[1.0]], [[true]]], [[[1, 2], [3]], [[1]]], " E2 "]}\n"
             "{\"examples\": [" E1 ", " E2 "]}\n");
    struct tw_arc_transform_config c = {.dataset     = path_in(d, "rows.jsonl", in),
                                        .output_dir  = path_in(d, "out/deep", out),
                                        .split       = "train",
                                        .max_samples = 5};
    assert_ok(tw_arc_transform(&c, &sum, &log, &err));
    assert_int_equal(sum.n_rows, 5);
    assert_int_equal(sum.n_tasks, 2);
    assert_int_equal(sum.n_failed_rows, 3);
    assert_int_equal(sum.n_dropped_pairs, 1);

    char *text = get_file(d, "out/deep/arc_format_train.json");
    assert_string_equal(text, "{\n\"5ae12b31\": {\"train\": [{\"input\": [[1, 2]], \"output\": [[3]]}], "
                              "\"test\": [{\"input\": [[4]]}]},\n"
                              "\"a710a809\": {\"train\": [{\"input\": [[1]], \"output\": [[1]]}], \"test\": "
                              "[{\"input\": [[4]]}]}\n}\n");
    tw_free(text);
    text = get_file(d, "out/deep/test_outputs_train.json");
    assert_string_equal(text, "{\n\"5ae12b31\": {\"test\": [{\"output\": [[5, 6]]}]},\n\"a710a809\": "
                              "{\"test\": [{\"output\": [[5, 6]]}]}\n}\n");
    tw_free(text);
    text = get_file(d, "out/deep/arc_format_train_solutions.json");
    assert_string_equal(text, "{\n\"5ae12b31\": [[[5, 6]]],\n\"a710a809\": [[[5, 6]]]\n}\n");
    tw_free(text);
    text = get_file(d, "out/deep/transformation_errors.json");
    assert_contains(text, "[\n[1, \"1 usable examples, expected 2 to 257\"],\n[2, \"\\\"examples\\\" is an "
                          "integer, expected a list of pairs\"],\n[3, \"");
    assert_contains(text, "[4, \"example 2 is left out: input: row 2 has 1 cells, row 1 has 2\"]\n]\n");
    tw_free(text);
    assert_int_equal(w.n, 4);
    assert_contains(w.text, "rows.jsonl: row 1: 1 usable examples");

    /* what was written can be read, and a clean run takes the old errors away */
    struct tw_arc_dataset ds;
    char path[256];
    assert_ok(tw_arc_dataset_load(&ds, path_in(d, "out/deep/arc_format_train.json", path), 0, NULL, &err));
    assert_int_equal(ds.n, 2);
    tw_arc_dataset_release(&ds);
    c.max_samples = 1;
    assert_ok(tw_arc_transform(&c, &sum, NULL, &err));
    assert_int_equal(sum.n_rows, 1);
    assert_false(tw_path_exists(path_in(d, "out/deep/transformation_errors.json", path)));
}

static void unusable_files_write_nothing(void **state)
{
    struct scratch *d = *state;
    struct trawl_error err;
    struct tw_arc_transform_summary sum;
    char in[256], path[256];
    struct tw_arc_transform_config c = {
        .dataset = path_in(d, "rows.json", in), .output_dir = d->dir, .split = "train"};
    put_file(d, "rows.json", "[{\"examples\": [" E1 ", " E2 "]}, {\"examples\": [");
    assert_refused(tw_arc_transform(&c, &sum, NULL, &err), TRAWL_ERR_FORMAT, "rows.json: entry 2");
    assert_false(tw_path_exists(path_in(d, "arc_format_train.json", path)));
    put_file(d, "rows.json", "{\"examples\": []}");
    assert_refused(tw_arc_transform(&c, &sum, NULL, &err), TRAWL_ERR_FORMAT, "an object, expected JSONL");
    c.dataset = "/nonexistent.jsonl";
    assert_int_equal(tw_arc_transform(&c, &sum, NULL, &err), TRAWL_ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_pythons),
        scratch_test(rows_become_tasks),
        scratch_test(unusable_files_write_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
