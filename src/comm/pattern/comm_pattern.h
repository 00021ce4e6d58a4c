/* SPDX-License-Identifier: MIT */
/* Recursive doubling as index arithmetic: who sends to whom in which step, so that every rank ends with
 * the same binary tree sum over ranks. Works for any group size: in the tree of 2^k leaves the leaves
 * from `size` on are missing, and a block whose sibling is missing keeps its sum as it is.
 *
 * Before step s a rank holds the sum of its block of 2^s ranks (clipped to the group); in step s it gets
 * the sum of the sibling block. Where the right sibling has fewer ranks than the left block, some of its
 * ranks serve several ranks on the left. No state; any thread. */
#ifndef TW_COMM_PATTERN_H
#define TW_COMM_PATTERN_H

#include <stdbool.h>

struct tw_comm_block {
    int begin, end; /* ranks [begin, end) */
};

struct tw_comm_step {
    int receive_from; /* a rank of the sibling block; -1: there is no sibling */
    bool from_right;  /* own sum + received sum; else received sum + own sum */
    /* Ranks to send the own sum to: first, first + stride, ...; `n_sends` of them. */
    int send_first, send_stride, n_sends;
};

/* Steps until every rank holds the whole sum: ceil(log2(size)). size >= 1. */
int tw_comm_steps(int size);

/* The ranks whose sum `rank` holds before step `step`; after the last step (step == tw_comm_steps) all. */
struct tw_comm_block tw_comm_block_at(int size, int rank, int step);

/* What `rank` does in step 0 <= step < tw_comm_steps(size). A message is received from at most one rank,
 * and the sums sent are those held before the step. */
struct tw_comm_step tw_comm_step_at(int size, int rank, int step);

#endif /* TW_COMM_PATTERN_H */
