/* SPDX-License-Identifier: MIT */
/* Rows of example pairs, as data sets on the Hugging Face hub have them, into ARC task files. */
#ifndef TW_ARC_TRANSFORM_H
#define TW_ARC_TRANSFORM_H

#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "json/json.h"

struct tw_arc_transform_config {
    const char *dataset;    /* JSONL or a JSON array of {"examples": [...]} */
    const char *output_dir; /* made if need be */
    const char *split;      /* part of the output names: "train" */
    int64_t max_samples;    /* rows to read, <= 0: all */
};

struct tw_arc_transform_summary {
    uint64_t n_rows;
    uint64_t n_tasks;
    uint64_t n_failed_rows;   /* rows that gave no task */
    uint64_t n_dropped_pairs; /* unusable pairs of rows that did */
};

/* Row i gives one task: all usable examples but the last are train pairs, the last one is the test. An example is
 * {"input", "output"} or [input, output]; one that is not a pair of grids of 1..30 x 1..30 cells 0..9 is
 * dropped, and a row with fewer than two left is left out. Other members of a row are ignored. The task's id
 * is the first 8 hexadecimal digits of md5(json.dumps(examples, sort_keys=True) + str(i)), with Python's
 * spelling of JSON, i counting all rows from 0; a row whose id is taken is left out.
 *
 * Writes, one task a line, into output_dir:
 *   arc_format_<split>.json            {id: {"train": [{"input", "output"}, ...], "test": [{"input"}]}}
 *   test_outputs_<split>.json          {id: {"test": [{"output"}]}}
 *   arc_format_<split>_solutions.json  {id: [output]}                  (what arc score takes)
 *   transformation_errors.json         [[row, "what is wrong"], ...]   only if anything was; an old one goes
 * Each appears whole, and none before all rows were read. Rows are streamed: memory does not grow with the
 * file but for the ids. Every message also goes to `log` as a warning. */
trawl_status tw_arc_transform(const struct tw_arc_transform_config *config,
                              struct tw_arc_transform_summary *summary, const struct tw_log *log,
                              struct trawl_error *err);

/* The id of a row, NUL terminated. */
trawl_status tw_arc_transform_id(const json_t *examples, uint64_t row, char id[9], struct trawl_error *err);

#endif /* TW_ARC_TRANSFORM_H */
