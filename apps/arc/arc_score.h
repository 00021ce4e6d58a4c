/* SPDX-License-Identifier: MIT */
/* Predictions against known answers. */
#ifndef TW_ARC_SCORE_H
#define TW_ARC_SCORE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/log.h"
#include "base/str.h"

/* Of one test output over its P attempts; then averaged over the tests of a task, then over tasks. */
enum tw_arc_metric {
    TW_ARC_ACCURACY,           /* exact attempts / P */
    TW_ARC_CORRECT_PIXELS,     /* sum over attempts of the right size of the share of equal cells / P */
    TW_ARC_CORRECT_SIZE,       /* attempts of the right size / P */
    TW_ARC_MAX_CORRECT_PIXELS, /* best share of equal cells */
    TW_ARC_ANY_CORRECT_SIZE,   /* 1 if any attempt has the right size */
    TW_ARC_PASS_N,             /* 1 if any attempt is exact */
    TW_ARC_VOTE_1,             /* 1 if the grid most attempts agree on is exact (ties: the first seen) */
    TW_ARC_VOTE_2,             /* 1 if one of the two such grids is */
    TW_ARC_UNANSWERED,         /* attempts without a grid / P; 1 when there is no attempt */
    TW_ARC_N_METRICS
};

struct tw_arc_task_score {
    char *task_id; /* owned */
    int n_test;
    int n_solved; /* test outputs that attempt 1 or 2 gets exactly */
    bool missing; /* the submission does not have the task: all attempts count as wrong */
    double metrics[TW_ARC_N_METRICS];
};

struct tw_arc_score {
    struct tw_arc_task_score *tasks; /* [n_tasks] in the order of the answers */
    size_t n_tasks;
    size_t n_tests;
    size_t n_missing;
    size_t n_solved_tests; /* the Kaggle metric is n_solved_tests / n_tests */
    size_t n_solved_tasks; /* every test output solved */
    double metrics[TW_ARC_N_METRICS];
};

/* `submission`: a file of attempts, as arc run and arc vote write it. `solutions`: see tw_arc_solutions_load.
 * With max_attempts > 0 later attempts are not looked at. Tasks without an answer are named in `log`. */
trawl_status tw_arc_score_files(struct tw_arc_score *score, const char *submission, const char *solutions,
                                int max_attempts, const struct tw_log *log, struct trawl_error *err);
void tw_arc_score_release(struct tw_arc_score *score);

/* A table with a line per task, and what it comes to. */
trawl_status tw_arc_score_write_text(const struct tw_arc_score *score, struct tw_str *out,
                                     struct trawl_error *err);
/* {"kaggle": ..., "metrics": {...}, "tasks": {id: {...}}}, shares from 0 to 1. */
trawl_status tw_arc_score_write_json(const struct tw_arc_score *score, struct tw_str *out,
                                     struct trawl_error *err);

#endif /* TW_ARC_SCORE_H */
