/* SPDX-License-Identifier: MIT */
/* Names of result files, and <output>.json. */
#include "apps/arc/arc_results.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

static const char TASK_RESULTS[] = "_task_results.json";

static bool ends_with(const char *s, const char *ending)
{
    size_t n = strlen(s);
    size_t m = strlen(ending);
    return n >= m && strcmp(s + n - m, ending) == 0;
}

trawl_status tw_arc_results_path(const char *output, const char *ending, char **out, struct trawl_error *err)
{
    struct tw_str path;
    *out     = NULL;
    size_t n = strlen(output) - (ends_with(output, ".json") ? strlen(".json") : 0);
    tw_str_init(&path, 0);
    trawl_status status = tw_str_append(&path, output, n, err);
    if (status == TRAWL_OK) {
        status = tw_str_puts(&path, ending, err);
    }
    if (status == TRAWL_OK) {
        status = tw_strdup(path.data, out, err);
    }
    tw_str_release(&path);
    return status;
}

bool tw_arc_results_is_task_results(const char *path)
{
    return ends_with(path, TASK_RESULTS);
}

/* ---- attempts ---- */

trawl_status tw_arc_attempts_new(struct tw_arc_attempts *a, const char *task_id, int n_test, int n_attempts,
                                 struct trawl_error *err)
{
    *a                  = (struct tw_arc_attempts){.task_id = NULL};
    trawl_status status = tw_strdup(task_id, &a->task_id, err);
    if (status == TRAWL_OK) {
        status = tw_alloc((size_t)n_test, sizeof *a->tests, &a->tests, err);
    }
    for (int i = 0; status == TRAWL_OK && i < n_test; i++) {
        status        = tw_alloc((size_t)n_attempts, sizeof *a->tests[i].grids, &a->tests[i].grids, err);
        a->n_test     = i + 1;
        a->tests[i].n = status == TRAWL_OK ? n_attempts : 0;
    }
    if (status != TRAWL_OK) {
        tw_arc_attempts_release(a);
    }
    return status;
}

void tw_arc_attempts_release(struct tw_arc_attempts *a)
{
    for (int i = 0; i < a->n_test; i++) {
        for (int k = 0; k < a->tests[i].n; k++) {
            tw_arc_grid_release(&a->tests[i].grids[k]);
        }
        tw_free(a->tests[i].grids);
    }
    tw_free(a->tests);
    tw_free(a->task_id);
    *a = (struct tw_arc_attempts){.task_id = NULL};
}

trawl_status tw_arc_submission_add(struct tw_arc_writer *w, const struct tw_arc_attempts *a,
                                   struct trawl_error *err)
{
    struct tw_str *entry = NULL;
    struct tw_json_writer json;
    TW_TRY(tw_arc_writer_begin(w, &entry, err));
    tw_json_writer_init(&json, entry, 0);
    tw_json_key(&json, a->task_id);
    tw_json_begin_array(&json);
    for (int i = 0; i < a->n_test; i++) {
        tw_json_begin_object(&json);
        for (int k = 0; k < a->tests[i].n; k++) {
            char key[32];
            (void)snprintf(key, sizeof key, "attempt_%d", k + 1);
            tw_json_key(&json, key);
            tw_arc_grid_write_json(&json, &a->tests[i].grids[k]);
        }
        tw_json_end_object(&json);
    }
    tw_json_end_array(&json);
    return tw_json_writer_finish(&json, err);
}

/* ---- reading ---- */

struct numbered {
    long number;
    const json_t *grid;
};

static int by_number(const void *a, const void *b)
{
    long x = ((const struct numbered *)a)->number;
    long y = ((const struct numbered *)b)->number;
    return (x > y) - (x < y);
}

/* The attempts of one test input, in order of number; other members are ignored. */
static trawl_status collect(const json_t *object, struct numbered *list, size_t *n, const char *what,
                            struct trawl_error *err)
{
    const char *key;
    json_t *value;
    *n = 0;
    json_object_foreach((json_t *)object, key, value)
    {
        static const char prefix[] = "attempt_";
        char *end                  = NULL;
        if (strncmp(key, prefix, sizeof prefix - 1) != 0) {
            continue;
        }
        long number = strtol(key + sizeof prefix - 1, &end, 10);
        if (*end != '\0' || number < 1 || number > INT32_MAX) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "%s: \"%s\", expected attempt_1, attempt_2, ...", what,
                           key);
        }
        list[(*n)++] = (struct numbered){number, value};
    }
    qsort(list, *n, sizeof *list, by_number);
    return TRAWL_OK;
}

static trawl_status read_test(const json_t *object, struct tw_arc_test_attempts *test, const char *what,
                              struct trawl_error *err)
{
    struct numbered *list = NULL;
    size_t n              = 0;
    if (!json_is_object(object)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: %s, expected {\"attempt_1\": grid, ...}", what,
                       tw_json_type_name(object));
    }
    TW_TRY(tw_alloc(json_object_size(object), sizeof *list, &list, err));
    trawl_status status = collect(object, list, &n, what, err);
    if (status == TRAWL_OK) {
        status = tw_alloc(n, sizeof *test->grids, &test->grids, err);
    }
    for (size_t i = 0; status == TRAWL_OK && i < n; i++) {
        status  = tw_arc_grid_from_json(list[i].grid, what, 0, &test->grids[i], err);
        status  = status == TRAWL_ERR_FORMAT ? TRAWL_OK : status; /* unanswered */
        test->n = (int)i + 1;
    }
    tw_free(list);
    return status;
}

static trawl_status read_attempts(struct tw_arc_attempts *a, const json_t *value, const char *what,
                                  struct trawl_error *err)
{
    size_t n = json_array_size(value);
    if (!json_is_array(value) || n > TW_ARC_TEST_MAX) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: %s of %zu, expected a list of at most %d test inputs",
                       what, tw_json_type_name(value), n, TW_ARC_TEST_MAX);
    }
    TW_TRY(tw_alloc(n, sizeof *a->tests, &a->tests, err));
    size_t i;
    json_t *test;
    json_array_foreach(value, i, test)
    {
        a->n_test = (int)i + 1;
        TW_TRY(read_test(test, &a->tests[i], what, err));
    }
    return TRAWL_OK;
}

trawl_status tw_arc_submission_next(struct tw_arc_stream *s, struct tw_arc_attempts *a, bool *more,
                                    struct trawl_error *err)
{
    json_t *key, *value;
    *more = false;
    *a    = (struct tw_arc_attempts){.task_id = NULL};
    if (s->kind != TW_ARC_STREAM_OBJECT) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "%s: not an object, expected {task id: [{\"attempt_1\": grid, ...}]}", s->name);
    }
    TW_TRY(tw_arc_stream_next(s, &key, &value, err));
    if (value == NULL) {
        return TRAWL_OK;
    }
    char what[512];
    (void)snprintf(what, sizeof what, "%s: task \"%s\"", s->name, json_string_value(key));
    trawl_status status = tw_strdup(json_string_value(key), &a->task_id, err);
    if (status == TRAWL_OK) {
        status = read_attempts(a, value, what, err);
    }
    json_decref(key);
    json_decref(value);
    if (status != TRAWL_OK) {
        tw_arc_attempts_release(a);
    }
    *more = status == TRAWL_OK;
    return status;
}
