/* SPDX-License-Identifier: MIT */
/* Predictions counted: which grids were given for a test input, how often, and what was unreadable. */
#ifndef TW_ARC_BALLOT_H
#define TW_ARC_BALLOT_H

#include <stddef.h>

#include "apps/arc/arc_grid.h"
#include "base/error.h"

/* A grid that was predicted at least once. */
struct tw_arc_candidate {
    struct tw_arc_grid grid; /* owned */
    int votes;
    int scored; /* votes that came with a log-probability */
    double logprob_sum;
    size_t place; /* order of first appearance */
};

/* Why predictions are no grids. */
struct tw_arc_reason {
    char *text; /* owned */
    int count;
};

/* The votes on one test input. Zeroes are an empty box. */
struct tw_arc_box {
    struct tw_arc_candidate *candidates;
    size_t n;
    size_t capacity;
    struct tw_arc_reason *reasons;
    size_t n_reasons;
    size_t reasons_capacity;
    size_t n_predictions; /* grids or not */
};

/* Count a prediction. `logprob` is the mean log-probability of its tokens, NaN when it is not known;
 * `reason` (may be NULL) says why no grid is none. Both are copied. */
trawl_status tw_arc_box_add(struct tw_arc_box *box, const struct tw_arc_grid *grid, double logprob,
                            const char *reason, struct trawl_error *err);
/* Sort: most votes, then the higher mean log-probability (not known is last), then the first seen. */
void tw_arc_box_rank(struct tw_arc_box *box);
void tw_arc_box_release(struct tw_arc_box *box);
/* -infinity when no vote had one. */
double tw_arc_candidate_logprob(const struct tw_arc_candidate *c);

struct tw_arc_ballot {
    char *task_id;
    struct tw_arc_box *tests; /* [n_test] */
    size_t n_test;
    size_t capacity;
};

/* Every task of a results file, in order of first appearance. */
struct tw_arc_ballots {
    struct tw_arc_ballot *tasks; /* [n] */
    size_t n;
    size_t capacity;
};

/* A name that ends in _task_results.json is a list of records, whose log-probabilities count; any other is
 * a file of attempts. Boxes are ranked. */
trawl_status tw_arc_ballots_read(struct tw_arc_ballots *b, const char *path, struct trawl_error *err);
void tw_arc_ballots_release(struct tw_arc_ballots *b);

#endif /* TW_ARC_BALLOT_H */
