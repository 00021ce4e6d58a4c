/* SPDX-License-Identifier: MIT */
/* A replica whose devices are in several processes. The head (peer 0) schedules, and tells the others every
 * step; they run their devices on it and send back what only they have: their columns of the logits and of
 * the captured sites that are split. With all devices in one process nothing here is called. */
#ifndef TW_ENGINE_PEERS_H
#define TW_ENGINE_PEERS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "comm/comm.h"
#include "mesh/mesh_shard.h"

struct tw_replica;

struct tw_peers {
    struct tw_comm *comm;               /* one rank a process; NULL: there is only this one */
    struct tw_mesh_shard *first, *last; /* [peers] of each process's devices */
    uint8_t *step;                      /* as it goes over the wire */
    size_t step_capacity;
    uint32_t *pages; /* of the step's segments, on those who are told */
    size_t pages_capacity;
    float *block; /* columns on their way */
    size_t block_capacity;
    size_t *sizes; /* [peers] bytes of each process's columns */
};

/* All processes of the replica call. */
trawl_status tw_peers_init(struct tw_replica *r, struct trawl_error *err);
void tw_peers_release(struct tw_peers *p);

/* The head: tell the others r->step; tell them that the run is over. */
trawl_status tw_peers_send_step(struct tw_replica *r, struct trawl_error *err);
trawl_status tw_peers_send_end(struct tw_replica *r, struct trawl_error *err);
/* After the step's forward pass, one thread of each process: columns go to the head's logits and captures. */
trawl_status tw_peers_collect(struct tw_replica *r, struct trawl_error *err);
/* The others: wait for a step and set r->step. *end: there are no more. */
trawl_status tw_peers_receive_step(struct tw_replica *r, bool *end, struct trawl_error *err);

#endif /* TW_ENGINE_PEERS_H */
