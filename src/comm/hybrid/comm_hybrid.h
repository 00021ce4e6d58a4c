/* SPDX-License-Identifier: MIT */
/* Several ranks in each of several processes: threads meet inside a process, the first of each process meets
 * those of the others. Ranks of a process are neighbours, so a process's sum is a subtree and the whole is
 * the same tree as ever. */
#ifndef TW_COMM_HYBRID_H
#define TW_COMM_HYBRID_H

#include "base/thread.h"
#include "comm/comm.h"

struct tw_comm_hybrid_config {
    struct tw_wait_policy policy; /* of the threads inside */
    int deadline_ms; /* as `outer` has it; 0: TW_COMM_DEADLINE_MS. Inside, where one may have to wait for
                        another who waits outside, ranks have twice as long. */
    int world_base;  /* world rank of member 0 of the whole group; only messages use it */
};

/* Ranks outer->rank * inside .. + inside - 1 of a group of outer->size * inside. `inside` is a power of two.
 * comms[i] becomes the handle of the i-th of them, each to be used and freed by that rank. `outer` (a handle
 * on one rank a process) is given to the group, also on failure. */
trawl_status tw_comm_hybrid_new(struct tw_comm *outer, int inside, const struct tw_comm_hybrid_config *config,
                                struct tw_comm **comms, struct trawl_error *err);

#endif /* TW_COMM_HYBRID_H */
