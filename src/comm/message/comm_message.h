/* SPDX-License-Identifier: MIT */
/* Ranks as processes: collectives by messages over a wire. Sums go by recursive doubling in tree order; the
 * last add of a sum is left to tw_comm_reduce, where all threads of the team share it. */
#ifndef TW_COMM_MESSAGE_H
#define TW_COMM_MESSAGE_H

#include "comm/comm.h"
#include "comm/message/comm_wire.h"

/* This process's handle on the group of world ranks first, first + stride, ... (`size` of them, this one
 * included): all members call. `wire` outlives the handle. */
trawl_status tw_comm_message_new(struct tw_wire *wire, int first, int stride, int size, struct tw_comm **out,
                                 struct trawl_error *err);

/* A broadcast that may come any time later: as tw_comm_bcast, but receivers wait without a deadline (they
 * still hear of a broken run). */
trawl_status tw_comm_message_bcast_idle(struct tw_comm *comm, int root, void *data, size_t bytes,
                                        struct trawl_error *err);

#endif /* TW_COMM_MESSAGE_H */
