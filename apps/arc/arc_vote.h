/* SPDX-License-Identifier: MIT */
/* From many predictions of a grid to the few that are handed in. */
#ifndef TW_ARC_VOTE_H
#define TW_ARC_VOTE_H

#include <stddef.h>

#include "base/error.h"

struct tw_arc_vote_summary {
    size_t n_tasks;
    size_t n_tests;
    size_t n_predictions;
    size_t n_grids;      /* predictions that are grids */
    size_t n_unanswered; /* tests without a single grid */
};

/* Read `input` (see tw_arc_ballots_read), write {task_id: [{"attempt_1": ..., "attempt_<n>": ...}]} to
 * `output`: the first n of each box; attempts that nothing voted for are []. */
trawl_status tw_arc_vote(const char *input, const char *output, int n, struct tw_arc_vote_summary *summary,
                         struct trawl_error *err);

#endif /* TW_ARC_VOTE_H */
