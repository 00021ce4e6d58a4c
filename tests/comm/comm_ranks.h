/* SPDX-License-Identifier: MIT */
/* What a rank does in the tests of collectives, whatever the transport: run by every rank of a group.
 * cmocka's asserts belong to the main thread, so ranks count what is wrong. */
#ifndef TW_TESTS_COMM_RANKS_H
#define TW_TESTS_COMM_RANKS_H

#include "comm/comm_expected.h"

enum { RANKS_ROUNDS = 60 };

struct ranks_shared {
    uint64_t seed;
    _Atomic int wrong;
};

typedef void ranks_fn(struct tw_comm *comm, void *shared); /* a struct ranks_shared */

void ranks_expect(struct ranks_shared *s, bool condition);

ranks_fn ranks_allreduce, ranks_phases, ranks_team; /* sums: in one call, in phases, by teams */
ranks_fn ranks_bcast, ranks_gather, ranks_agree;
ranks_fn ranks_mixture; /* all calls in random order */

#endif /* TW_TESTS_COMM_RANKS_H */
