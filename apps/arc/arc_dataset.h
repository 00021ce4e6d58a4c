/* SPDX-License-Identifier: MIT */
/* Tasks, and the files they come in. */
#ifndef TW_ARC_DATASET_H
#define TW_ARC_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "apps/arc/arc_grid.h"
#include "base/error.h"
#include "base/log.h"

enum {
    TW_ARC_TRAIN_MAX = 256, /* training pairs of one task; the data sets in use have at most 30 */
    TW_ARC_TEST_MAX  = 256,
};

struct tw_arc_pair {
    struct tw_arc_grid input;
    struct tw_arc_grid output; /* no grid where the file has none (test outputs of a challenge) */
};

struct tw_arc_task {
    char *id; /* owned, no U+0000 */
    int n_train;
    int n_test;
    struct tw_arc_pair *train; /* [n_train], both grids present */
    struct tw_arc_pair *test;  /* [n_test], n_test >= 1 */
};

/* In file order. Read-only after loading, so any number of threads may use it. */
struct tw_arc_dataset {
    struct tw_arc_task *tasks; /* [n] */
    size_t n;
    size_t capacity;
    size_t n_skipped; /* malformed tasks left out, each named in the log */
    uint32_t *by_id;  /* [n] places in order of id */
};

/* Read `path`, which is one of
 *   a JSON object {id: {"train": [...], "test": [...]}}              (Kaggle challenges),
 *   a JSON object {"train": [...], "test": [...]}, or a folder of such files: the id is the file's stem,
 *   JSONL or a JSON array of {"task_id" or "id", "train", "test"}.
 * Files of a folder are taken in order of name, only those ending in ".json". Unknown members are ignored,
 * the order of members is free.
 *
 * A malformed task is left out, counted in n_skipped and named in `log` as a warning: file, id, pair, what
 * was found. So is a second task of the same id. With n_tasks > 0 only the first n_tasks entries are looked
 * at, good or bad, so that what is chosen does not depend on what is broken; n_tasks <= 0 means all.
 * A file that is no JSON at all, or that yields no task, is an error. */
trawl_status tw_arc_dataset_load(struct tw_arc_dataset *ds, const char *path, int64_t n_tasks,
                                 const struct tw_log *log, struct trawl_error *err);
/* The same over bytes in memory (never a folder); `name` decides about JSONL and names errors. */
trawl_status tw_arc_dataset_load_text(struct tw_arc_dataset *ds, const char *name, const char *text,
                                      size_t size, int64_t n_tasks, const struct tw_log *log,
                                      struct trawl_error *err);

/* Known answers only: tasks with n_train 0 and tests that have an output (the input where the file has it).
 * Takes Kaggle solutions {id: [grid, ...]}, {id: {"test": [{"output": grid}, ...]}}, and any data set above
 * whose tests have outputs. */
trawl_status tw_arc_solutions_load(struct tw_arc_dataset *ds, const char *path, const struct tw_log *log,
                                   struct trawl_error *err);

void tw_arc_dataset_release(struct tw_arc_dataset *ds);

/* A pair as {"input": grid, "output": grid} or [grid, grid], at most TW_ARC_TASK_SIDE on a side. Without
 * `need_output` the output may be missing, null or []. */
trawl_status tw_arc_pair_from_json(const json_t *value, bool need_output, struct tw_arc_pair *pair,
                                   struct trawl_error *err);
void tw_arc_pair_release(struct tw_arc_pair *pair);

/* NULL when there is none. */
const struct tw_arc_task *tw_arc_dataset_find(const struct tw_arc_dataset *ds, const char *id);

#endif /* TW_ARC_DATASET_H */
