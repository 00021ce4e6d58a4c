/* SPDX-License-Identifier: MIT */
#include "apps/arc/arc_score.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "apps/arc/arc_ballot.h"
#include "apps/arc/arc_dataset.h"
#include "apps/arc/arc_results.h"
#include "base/alloc.h"
#include "base/size.h"

static const char *const METRIC_NAMES[TW_ARC_N_METRICS] = {
    "accuracy", "correct_pixels", "correct_size", "max_correct_pixels", "any_correct_size",
    "pass_n",   "vote_1",         "vote_2",       "unanswered",
};

/* ---- measuring ---- */

static double equal_cells(const struct tw_arc_grid *a, const struct tw_arc_grid *b)
{
    int n = a->rows * a->cols, equal = 0;
    for (int i = 0; i < n; i++) {
        equal += a->cells[i] == b->cells[i];
    }
    return (double)equal / n;
}

/* vote_1 and vote_2 of one test. */
static trawl_status measure_votes(const struct tw_arc_grid *attempts, int n, const struct tw_arc_grid *truth,
                                  double *m, struct trawl_error *err)
{
    struct tw_arc_box box = {.candidates = NULL};
    trawl_status status   = TRAWL_OK;
    for (int k = 0; status == TRAWL_OK && k < n; k++) {
        status = tw_arc_box_add(&box, &attempts[k], (double)NAN, NULL, err);
    }
    tw_arc_box_rank(&box);
    bool first       = box.n > 0 && tw_arc_grid_equal(&box.candidates[0].grid, truth);
    bool second      = box.n > 1 && tw_arc_grid_equal(&box.candidates[1].grid, truth);
    m[TW_ARC_VOTE_1] = first;
    m[TW_ARC_VOTE_2] = first || second;
    tw_arc_box_release(&box);
    return status;
}

/* Metrics of one test output into m (zeroed by the caller); *solved as in the Kaggle metric. */
static trawl_status measure_test(const struct tw_arc_grid *attempts, int n, const struct tw_arc_grid *truth,
                                 double *m, bool *solved, struct trawl_error *err)
{
    *solved = false;
    for (int k = 0; k < n; k++) {
        const struct tw_arc_grid *g = &attempts[k];
        m[TW_ARC_UNANSWERED] += tw_arc_grid_is_none(g);
        if (g->rows != truth->rows || g->cols != truth->cols) {
            continue;
        }
        double share = equal_cells(g, truth);
        bool exact   = tw_arc_grid_equal(g, truth);
        m[TW_ARC_ACCURACY] += exact;
        m[TW_ARC_CORRECT_PIXELS] += share;
        m[TW_ARC_CORRECT_SIZE] += 1;
        m[TW_ARC_MAX_CORRECT_PIXELS] = fmax(m[TW_ARC_MAX_CORRECT_PIXELS], share);
        m[TW_ARC_ANY_CORRECT_SIZE]   = 1;
        if (exact) {
            m[TW_ARC_PASS_N] = 1;
            *solved          = *solved || k < 2;
        }
    }
    if (n == 0) {
        m[TW_ARC_UNANSWERED] = 1;
        return TRAWL_OK;
    }
    m[TW_ARC_ACCURACY] /= n;
    m[TW_ARC_CORRECT_PIXELS] /= n;
    m[TW_ARC_CORRECT_SIZE] /= n;
    m[TW_ARC_UNANSWERED] /= n;
    return measure_votes(attempts, n, truth, m, err);
}

/* `a` NULL: the submission does not have the task. */
static trawl_status measure_task(struct tw_arc_task_score *out, const struct tw_arc_task *truth,
                                 const struct tw_arc_attempts *a, int max_attempts, struct trawl_error *err)
{
    memset(out->metrics, 0, sizeof out->metrics);
    out->n_test   = truth->n_test;
    out->n_solved = 0;
    out->missing  = a == NULL;
    for (int i = 0; i < truth->n_test; i++) {
        double m[TW_ARC_N_METRICS]         = {0};
        bool solved                        = false;
        int n                              = 0;
        const struct tw_arc_grid *attempts = NULL;
        if (a != NULL && i < a->n_test) {
            attempts = a->tests[i].grids;
            n        = a->tests[i].n;
        }
        if (max_attempts > 0 && n > max_attempts) {
            n = max_attempts;
        }
        TW_TRY(measure_test(attempts, n, &truth->test[i].output, m, &solved, err));
        out->n_solved += solved;
        for (int j = 0; j < TW_ARC_N_METRICS; j++) {
            out->metrics[j] += m[j] / truth->n_test;
        }
    }
    return TRAWL_OK;
}

/* ---- files ---- */

static trawl_status start(struct tw_arc_score *score, const struct tw_arc_dataset *truth,
                          struct trawl_error *err)
{
    TW_TRY(tw_alloc(truth->n, sizeof *score->tasks, &score->tasks, err));
    for (size_t i = 0; i < truth->n; i++) {
        TW_TRY(tw_strdup(truth->tasks[i].id, &score->tasks[i].task_id, err));
        score->n_tasks = i + 1;
        TW_TRY(measure_task(&score->tasks[i], &truth->tasks[i], NULL, 0, err));
    }
    return TRAWL_OK;
}

static trawl_status measure_entry(struct tw_arc_score *score, const struct tw_arc_dataset *truth,
                                  const struct tw_arc_attempts *a, int max_attempts, const char *name,
                                  const struct tw_log *log, struct trawl_error *err)
{
    const struct tw_arc_task *task = tw_arc_dataset_find(truth, a->task_id);
    if (task == NULL) {
        tw_log(log, TW_LOG_WARNING, "%s: no answer is known for task \"%s\"; it is not scored", name,
               a->task_id);
        return TRAWL_OK;
    }
    struct tw_arc_task_score *out = &score->tasks[task - truth->tasks];
    if (!out->missing) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: task \"%s\" is there twice", name, a->task_id);
    }
    if (a->n_test != task->n_test) {
        tw_log(log, TW_LOG_WARNING, "%s: task \"%s\" has predictions for %d test inputs, the answers have %d",
               name, a->task_id, a->n_test, task->n_test);
    }
    return measure_task(out, task, a, max_attempts, err);
}

static trawl_status measure_file(struct tw_arc_score *score, const struct tw_arc_dataset *truth,
                                 const char *path, int max_attempts, const struct tw_log *log,
                                 struct trawl_error *err)
{
    struct tw_arc_stream s;
    TW_TRY(tw_arc_stream_open(&s, path, err));
    trawl_status status = TRAWL_OK;
    for (bool more = true; more && status == TRAWL_OK;) {
        struct tw_arc_attempts a;
        status = tw_arc_submission_next(&s, &a, &more, err);
        if (status == TRAWL_OK && more) {
            status = measure_entry(score, truth, &a, max_attempts, path, log, err);
            tw_arc_attempts_release(&a);
        }
    }
    tw_arc_stream_close(&s);
    return status;
}

static void sum_up(struct tw_arc_score *score, const char *path, const struct tw_log *log)
{
    for (size_t i = 0; i < score->n_tasks; i++) {
        const struct tw_arc_task_score *task = &score->tasks[i];
        score->n_tests += (size_t)task->n_test;
        score->n_solved_tests += (size_t)task->n_solved;
        score->n_solved_tasks += task->n_solved == task->n_test;
        score->n_missing += task->missing;
        if (task->missing) {
            tw_log(log, TW_LOG_WARNING, "%s: task \"%s\" is missing; it counts as wrong", path,
                   task->task_id);
        }
        for (int j = 0; j < TW_ARC_N_METRICS; j++) {
            score->metrics[j] += task->metrics[j] / (double)score->n_tasks;
        }
    }
}

trawl_status tw_arc_score_files(struct tw_arc_score *score, const char *submission, const char *solutions,
                                int max_attempts, const struct tw_log *log, struct trawl_error *err)
{
    struct tw_arc_dataset truth;
    *score = (struct tw_arc_score){.tasks = NULL};
    TW_TRY(tw_arc_solutions_load(&truth, solutions, log, err));
    trawl_status status = start(score, &truth, err);
    if (status == TRAWL_OK) {
        status = measure_file(score, &truth, submission, max_attempts, log, err);
    }
    tw_arc_dataset_release(&truth);
    if (status != TRAWL_OK) {
        tw_arc_score_release(score);
        return status;
    }
    sum_up(score, submission, log);
    return TRAWL_OK;
}

void tw_arc_score_release(struct tw_arc_score *score)
{
    for (size_t i = 0; i < score->n_tasks; i++) {
        tw_free(score->tasks[i].task_id);
    }
    tw_free(score->tasks);
    *score = (struct tw_arc_score){.tasks = NULL};
}

/* ---- telling ---- */

static trawl_status write_row(const char *name, int width, const char *tests, const double *m,
                              struct tw_str *out, struct trawl_error *err)
{
    static const enum tw_arc_metric columns[] = {TW_ARC_ACCURACY,  TW_ARC_CORRECT_PIXELS, TW_ARC_CORRECT_SIZE,
                                                 TW_ARC_PASS_N,    TW_ARC_VOTE_1,         TW_ARC_VOTE_2,
                                                 TW_ARC_UNANSWERED};
    TW_TRY(tw_str_printf(out, err, "%-*s  %9s", width, name, tests));
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
        TW_TRY(tw_str_printf(out, err, "  %9.1f%%", 100 * m[columns[i]]));
    }
    return tw_str_putc(out, '\n', err);
}

trawl_status tw_arc_score_write_text(const struct tw_arc_score *score, struct tw_str *out,
                                     struct trawl_error *err)
{
    char tests[48];
    size_t width = strlen("all tasks");
    for (size_t i = 0; i < score->n_tasks; i++) {
        width = tw_max_size(width, strlen(score->tasks[i].task_id));
    }
    TW_TRY(tw_str_printf(out, err, "%-*s  %9s  %10s  %10s  %10s  %10s  %10s  %10s  %10s\n", (int)width,
                         "task", "solved", "accuracy", "pixels", "size", "pass_n", "vote_1", "vote_2",
                         "unanswered"));
    for (size_t i = 0; i < score->n_tasks; i++) {
        const struct tw_arc_task_score *task = &score->tasks[i];
        (void)snprintf(tests, sizeof tests, "%d/%d", task->n_solved, task->n_test);
        TW_TRY(
            write_row(task->task_id, (int)width, task->missing ? "missing" : tests, task->metrics, out, err));
    }
    (void)snprintf(tests, sizeof tests, "%zu/%zu", score->n_solved_tests, score->n_tests);
    TW_TRY(write_row("all tasks", (int)width, tests, score->metrics, out, err));
    TW_TRY(tw_str_putc(out, '\n', err));
    for (int j = 0; j < TW_ARC_N_METRICS; j++) {
        TW_TRY(tw_str_printf(out, err, "%s%s: %.1f%%", j == 0 ? "" : "\t", METRIC_NAMES[j],
                             100 * score->metrics[j]));
    }
    return tw_str_printf(
        out, err, "\nsolved with two attempts: %zu of %zu test outputs (%.2f%%), %zu of %zu tasks (%.2f%%)\n",
        score->n_solved_tests, score->n_tests, 100 * (double)score->n_solved_tests / (double)score->n_tests,
        score->n_solved_tasks, score->n_tasks, 100 * (double)score->n_solved_tasks / (double)score->n_tasks);
}

static void write_metrics(struct tw_json_writer *w, const double *m)
{
    for (int j = 0; j < TW_ARC_N_METRICS; j++) {
        tw_json_key(w, METRIC_NAMES[j]);
        tw_json_double(w, m[j]);
    }
}

trawl_status tw_arc_score_write_json(const struct tw_arc_score *score, struct tw_str *out,
                                     struct trawl_error *err)
{
    struct tw_json_writer w;
    tw_json_writer_init(&w, out, 2);
    tw_json_begin_object(&w);
    tw_json_key(&w, "kaggle");
    tw_json_double(&w, (double)score->n_solved_tests / (double)score->n_tests);
    tw_json_key(&w, "n_tasks");
    tw_json_int(&w, (int64_t)score->n_tasks);
    tw_json_key(&w, "n_tests");
    tw_json_int(&w, (int64_t)score->n_tests);
    tw_json_key(&w, "n_solved_tests");
    tw_json_int(&w, (int64_t)score->n_solved_tests);
    tw_json_key(&w, "n_solved_tasks");
    tw_json_int(&w, (int64_t)score->n_solved_tasks);
    tw_json_key(&w, "n_missing");
    tw_json_int(&w, (int64_t)score->n_missing);
    tw_json_key(&w, "metrics");
    tw_json_begin_object(&w);
    write_metrics(&w, score->metrics);
    tw_json_end_object(&w);
    tw_json_key(&w, "tasks");
    tw_json_begin_object(&w);
    for (size_t i = 0; i < score->n_tasks; i++) {
        const struct tw_arc_task_score *task = &score->tasks[i];
        tw_json_key(&w, task->task_id);
        tw_json_begin_object(&w);
        tw_json_key(&w, "n_test");
        tw_json_int(&w, task->n_test);
        tw_json_key(&w, "n_solved");
        tw_json_int(&w, task->n_solved);
        write_metrics(&w, task->metrics);
        tw_json_end_object(&w);
    }
    tw_json_end_object(&w);
    tw_json_end_object(&w);
    return tw_json_writer_finish(&w, err);
}
