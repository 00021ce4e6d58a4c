/* SPDX-License-Identifier: MIT */
/* How ranks that are threads meet: each offers something and waits until all have offered. Private to
 * comm/thread.
 *
 * A rank's `word` counts its meetings in steps of two; bit 0 says that the group is broken, so one load
 * answers both questions and one futex serves both. Offers alternate between two places: a rank that is
 * still reading meeting m cannot be overtaken by more than the offers of meeting m + 1. */
#ifndef TW_COMM_THREAD_GROUP_H
#define TW_COMM_THREAD_GROUP_H

#include <stdalign.h>
#include <stdatomic.h>

#include "base/thread.h"
#include "comm/comm.h"

enum tw_comm_kind {
    TW_COMM_KIND_SUM,
    TW_COMM_KIND_DONE,
    TW_COMM_KIND_BCAST,
    TW_COMM_KIND_GATHER,
    TW_COMM_KIND_BARRIER,
    TW_COMM_KIND_AGREE
};

struct tw_comm_offer {
    const void *data;
    size_t count;   /* floats of a sum, bytes of a copy */
    int16_t kind;   /* enum tw_comm_kind */
    int16_t detail; /* root of a copy */
};

struct tw_comm_slot {
    alignas(64) _Atomic uint32_t word;
    _Atomic uint32_t sleepers; /* on `word`: no system call when there are none */
    struct tw_comm_offer offers[2];
};
_Static_assert(sizeof(struct tw_comm_slot) == 64, "one meeting moves one cache line per rank");

struct tw_comm_group {
    struct tw_wait_policy policy;
    int deadline_ms;
    int size;
    _Atomic int handles; /* not yet freed */
    _Atomic int broken;  /* 0: no, 1: `cause` is being written, 2: `cause` is there */
    struct trawl_error cause;
    struct trawl_error *reports; /* of agreements, one per rank; here because a rank that leaves a broken
                                      group must not take away what others may still be reading */
    struct tw_comm_slot slots[];
};

struct tw_comm_thread {
    struct tw_comm comm;
    struct tw_comm_group *group;
    uint32_t target;      /* own slot's count after the last offer */
    const float *parts[]; /* of the last sum, one per rank; NULL: contributes nothing */
};

trawl_status tw_comm_group_new(int size, struct tw_wait_policy policy, int deadline_ms,
                               struct tw_comm_group **out, struct trawl_error *err);
/* One handle less; the last one frees the group. */
void tw_comm_group_release(struct tw_comm_group *group);

/* Offer, for others to see at the meeting. */
trawl_status tw_comm_offer(struct tw_comm_thread *c, struct tw_comm_offer offer, struct trawl_error *err);
/* Wait until all ranks have offered; breaks the group when the deadline passes, or when the others are in
 * another call (kinds, or the counts and details that must be the same, differ). */
trawl_status tw_comm_meet(struct tw_comm_thread *c, struct trawl_error *err);
/* What a rank offered at the last meeting; valid until this rank offers again. */
const struct tw_comm_offer *tw_comm_offered(const struct tw_comm_thread *c, int rank);

bool tw_comm_group_is_broken(const struct tw_comm_thread *c);
/* Break the group with this text, unless it is broken already. `world_rank`: whose fault. */
void tw_comm_group_break(struct tw_comm_thread *c, int world_rank, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif /* TW_COMM_THREAD_GROUP_H */
