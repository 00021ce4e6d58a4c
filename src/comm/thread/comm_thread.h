/* SPDX-License-Identifier: MIT */
/* Ranks as threads of one process: nothing is copied, ranks read each other's buffers. */
#ifndef TW_COMM_THREAD_H
#define TW_COMM_THREAD_H

#include "base/thread.h"
#include "comm/comm.h"

struct tw_comm_thread_config {
    struct tw_wait_policy policy; /* as tw_wait_policy_for gives for all threads of the process */
    int deadline_ms;              /* of every wait; 0: TW_COMM_DEADLINE_MS */
    int world_base;               /* world rank of member 0; only messages use these two */
    int world_stride;             /* world ranks between members; 0: 1 */
};

/* A group of `size` ranks (1 .. TW_COMM_RANKS_MAX): comms[i] becomes the handle of rank i, each to be
 * used and freed by that rank. On failure every comms[i] is NULL. */
trawl_status tw_comm_thread_new(int size, const struct tw_comm_thread_config *config, struct tw_comm **comms,
                                struct trawl_error *err);

#endif /* TW_COMM_THREAD_H */
