/* SPDX-License-Identifier: MIT */
/* The result files of a run's shards, joined to those of one run. */
#ifndef TW_ARC_MERGE_H
#define TW_ARC_MERGE_H

#include <stddef.h>

#include "base/error.h"

struct tw_arc_merge_summary {
    size_t tasks, records;
};

/* `inputs`: the shards' <x>_task_results.json (or <x>.json), in any order; beside each lie its <x>.json and
 * <x>_journal.jsonl, which says which shard of what it is. Writes `output` and its ..._task_results.json.
 * TRAWL_ERR_INVALID: shards missing, given twice, or of different runs: named. */
trawl_status tw_arc_merge(const char *const *inputs, size_t n, const char *output,
                          struct tw_arc_merge_summary *summary, struct trawl_error *err);

#endif /* TW_ARC_MERGE_H */
