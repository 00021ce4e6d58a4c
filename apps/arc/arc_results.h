/* SPDX-License-Identifier: MIT */
/* The two result files of a run, written and read one record at a time, whatever their size. Equal work
 * gives equal bytes: no clock, host or duration is in them. Both appear whole or not at all. */
#ifndef TW_ARC_RESULTS_H
#define TW_ARC_RESULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "apps/arc/arc_augment.h"
#include "apps/arc/arc_grid.h"
#include "apps/arc/arc_stream.h"
#include "apps/arc/arc_writer.h"
#include "base/str.h"

/* One prompt and what came of it. All strings and the grid are owned: tw_arc_record_release. prompt and
 * response are NULL, size 0, in records of programs that do not write them. */
struct tw_arc_record {
    char *task_id;
    struct tw_arc_augment augment;
    char *prompt;
    size_t prompt_size;
    int idx;                 /* test input */
    struct tw_arc_grid grid; /* in the task's own orientation and colours; no grid if unreadable */
    char *response;
    size_t response_size;
    double cumulative_logprob; /* NaN: not known, null in the file */
    int64_t n_tokens;
    char *finish_reason; /* may be NULL */
    char *parse_error;   /* why there is no grid, NULL when there is one */
};

void tw_arc_record_release(struct tw_arc_record *r);

/* One JSON object on one line, no newline: {"task_id", "data_augmentation_kwargs": {"hflip", "n_rot90",
 * "color_map": {"0": 0, ...}}, "train_order", "prompt", "idx", "grid", "response", "cumulative_logprob",
 * "n_tokens", "finish_reason", "parse_error"}. */
trawl_status tw_arc_record_write(const struct tw_arc_record *r, struct tw_str *out, struct trawl_error *err);
/* From such an object; `what` begins every message. Only task_id and idx must be there: records of
 * other programs have fewer members. A value of "grid" that is no grid counts as none. */
trawl_status tw_arc_record_read(struct tw_arc_record *r, const json_t *object, const char *what,
                                struct trawl_error *err);

/* "x.json" -> "x_task_results.json" (any other name gets the ending appended); freed with tw_free. */
trawl_status tw_arc_results_path(const char *output, const char *ending, char **out, struct trawl_error *err);
bool tw_arc_results_is_task_results(const char *path); /* ends in _task_results.json */

/* ---- <output>_task_results.json: a list of records, one a line ---- */

trawl_status tw_arc_results_add(struct tw_arc_writer *w, const struct tw_arc_record *r,
                                struct trawl_error *err);

/* Read records in file order: status, `*more` false at the end. JSONL of records is read too. */
trawl_status tw_arc_results_next(struct tw_arc_stream *s, struct tw_arc_record *r, bool *more,
                                 struct trawl_error *err);

/* ---- <output>.json: {task_id: [{"attempt_1": grid, ...} per test input]}, one task a line ---- */

/* Attempts of one task, in order. */
struct tw_arc_attempts {
    char *task_id; /* owned */
    int n_test;
    struct tw_arc_test_attempts {
        int n;
        struct tw_arc_grid *grids; /* [n]; no grid: unanswered */
    } * tests;                     /* [n_test] */
};

/* n_attempts times no grid for each test input. */
trawl_status tw_arc_attempts_new(struct tw_arc_attempts *a, const char *task_id, int n_test, int n_attempts,
                                 struct trawl_error *err);
void tw_arc_attempts_release(struct tw_arc_attempts *a);

/* Each task once (not checked). */
trawl_status tw_arc_submission_add(struct tw_arc_writer *w, const struct tw_arc_attempts *a,
                                   struct trawl_error *err);

/* Tasks in file order. attempt_N are taken in order of N; numbers may be missing. A value that is no grid
 * counts as unanswered. `*more` false at the end. */
trawl_status tw_arc_submission_next(struct tw_arc_stream *s, struct tw_arc_attempts *a, bool *more,
                                    struct trawl_error *err);

#endif /* TW_ARC_RESULTS_H */
