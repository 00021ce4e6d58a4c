/* SPDX-License-Identifier: MIT */
/* Collectives of a group of ranks (the model axis of one replica, or all ranks of a run).
 *
 * A struct tw_comm is one rank's handle. All ranks of a group make the same calls in the same order; a
 * rank makes them from one thread at a time, its leader. Only tw_comm_reduce and tw_comm_reduce_add may
 * be called by the other threads of its team. Calls of different kinds or lengths that meet are reported
 * (TRAWL_ERR_COMM), not mixed up.
 *
 * Every wait has a deadline. A rank that fails calls tw_comm_abort: the group is broken, every wait of
 * every rank returns TRAWL_ERR_COMM with the first failing rank's message and number in err->rank, and so
 * does every later call. A deadline that passes breaks the group the same way. After a failure other ranks
 * may still be reading what this rank offered (partial, data, block): such buffers live until every rank of
 * the group has returned from its calls.
 *
 * Sums are f32 adds in the order of a binary tree over ranks, ((r0+r1)+(r2+r3))+..., whatever the
 * transport, the message size and the number of threads. Ranks that own nothing of the sum say so: an
 * empty subtree adds nothing, not even +0. Threads that reduce run in the compute float mode
 * (tw_float_mode_compute). */
#ifndef TW_COMM_COMM_H
#define TW_COMM_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define TW_COMM_RANKS_MAX 1024
#define TW_COMM_DEADLINE_MS \
    300000 /* of every wait, unless said otherwise: longer than any step, shorter than a night */

struct tw_comm_ops;

/* Transports put this first in a struct of their own; treat it as read-only. */
struct tw_comm {
    const struct tw_comm_ops *ops;
    int rank, size;               /* in this group */
    int world_base, world_stride; /* world rank of member i: base + stride * i */
};

static inline int tw_comm_world_rank(const struct tw_comm *comm, int rank)
{
    return comm->world_base + comm->world_stride * rank;
}

/* ---- all-reduce in phases: the hot path ----
 *
 *     leader:  tw_comm_publish(comm, partial, contributes, n, err);
 *              tw_comm_wait(comm, err);
 *     team barrier
 *     workers: tw_comm_reduce_add(comm, x, begin, end);    each its own range of [0, n)
 *     team barrier
 *
 * One meeting of ranks per sum. `partial` is read by other ranks until they have all come to the *next*
 * wait, so callers alternate two partial buffers: the one published before the last tw_comm_wait is free
 * again once that wait returns. A caller with one buffer, and one that is about to free its buffers, calls
 * tw_comm_done first. */

/* Offer n floats (n == 0 allowed, the same n on all ranks). contributes == false: this rank owns nothing
 * of the sum and partial may be NULL. */
trawl_status tw_comm_publish(struct tw_comm *comm, const float *partial, bool contributes, size_t n,
                             struct trawl_error *err);
/* Return when every rank has published. */
trawl_status tw_comm_wait(struct tw_comm *comm, struct trawl_error *err);
/* out[i] = sum over ranks, i in [begin, end); out must not overlap any rank's partial. Any thread of the
 * team, after the leader's wait and before its next call. All zeros where no rank contributes. */
void tw_comm_reduce(const struct tw_comm *comm, float *out, size_t begin, size_t end);
/* x[i] = x[i] + (sum over ranks): the residual add without a pass of its own. Unchanged where no rank
 * contributes. */
void tw_comm_reduce_add(const struct tw_comm *comm, float *x, size_t begin, size_t end);
/* Return when every rank has called this, that is, has finished reading. */
trawl_status tw_comm_done(struct tw_comm *comm, struct trawl_error *err);

/* ---- whole collectives; buffers are the caller's again on return ---- */

/* The same sum in one call: publish, wait, reduce, done. out must not overlap partial. */
trawl_status tw_comm_allreduce_tree(struct tw_comm *comm, const float *partial, bool contributes, float *out,
                                    size_t n, struct trawl_error *err);

/* Copy root's bytes to all ranks. */
trawl_status tw_comm_bcast(struct tw_comm *comm, int root, void *data, size_t bytes, struct trawl_error *err);

/* Blocks of all ranks, one after another in rank order, into `out` of rank `root`, or of every rank with
 * TW_COMM_ALL. `sizes` has one size per rank, the same array content on all ranks; NULL: every block has
 * `bytes`. `bytes` is this rank's own. `out` may be NULL where nothing is received; must not overlap
 * `block`. */
#define TW_COMM_ALL (-1)
trawl_status tw_comm_gather(struct tw_comm *comm, int root, const void *block, size_t bytes,
                            const size_t *sizes, void *out, struct trawl_error *err);

trawl_status tw_comm_barrier(struct tw_comm *comm, struct trawl_error *err);

/* End of a phase: every rank brings its own status (and, where it is a failure, *err describing it) and
 * all get the status, message and world rank of the lowest rank that failed; TRAWL_OK when none did. The
 * group stays usable: this is for failures that all ranks survive. */
trawl_status tw_comm_agree(struct tw_comm *comm, trawl_status status, struct trawl_error *err);

/* Break the group because this rank cannot go on; `cause` (may be NULL) says why. The first call counts.
 * Never blocks; any thread. */
void tw_comm_abort(struct tw_comm *comm, const struct trawl_error *cause);

/* Release this rank's handle; NULL is allowed. The other ranks' handles stay valid, but wait in vain for
 * this rank. No thread of this rank may be in a call. */
void tw_comm_free(struct tw_comm *comm);

/* ---- for transports ----
 *
 * The functions above check arguments and then call these. `publish` + `wait` may do the whole exchange
 * (a message-passing transport sums into a buffer of its own in `wait`; `reduce` then copies or adds
 * from it), so `done` may be empty. */
struct tw_comm_ops {
    const char *name; /* "thread", "mpi" */
    trawl_status (*publish)(struct tw_comm *comm, const float *partial, bool contributes, size_t n,
                            struct trawl_error *err);
    trawl_status (*wait)(struct tw_comm *comm, struct trawl_error *err);
    void (*reduce)(const struct tw_comm *comm, float *out, size_t begin, size_t end, bool add);
    trawl_status (*done)(struct tw_comm *comm, struct trawl_error *err);
    trawl_status (*bcast)(struct tw_comm *comm, int root, void *data, size_t bytes, struct trawl_error *err);
    trawl_status (*gather)(struct tw_comm *comm, int root, const void *block, size_t bytes,
                           const size_t *sizes, void *out, struct trawl_error *err);
    trawl_status (*barrier)(struct tw_comm *comm, struct trawl_error *err);
    trawl_status (*agree)(struct tw_comm *comm, trawl_status status, struct trawl_error *err);
    void (*abort)(struct tw_comm *comm, const struct trawl_error *cause);
    void (*free)(struct tw_comm *comm);
};

#endif /* TW_COMM_COMM_H */
