/* SPDX-License-Identifier: MIT */
/* The processes that run one engine together: rank 0 has the caller, the requests and the results; the others
 * follow its commands. Rank r holds the devices r * k .. r * k + k - 1 of the mesh (rank order: data, then
 * model).
 *
 *     rank 0                      the others
 *     tw_world_open               tw_world_open
 *     tw_engine_open              tw_world_listen -> OPEN, tw_engine_open with settings of their own
 *     tw_engine_run ...           tw_engine_serve: RUN ... until CLOSE
 *     tw_engine_close             tw_engine_close
 *     tw_world_close              tw_world_listen -> END, tw_world_close */
#ifndef TW_ENGINE_WORLD_H
#define TW_ENGINE_WORLD_H

#include <stdint.h>

#include "comm/comm.h"
#include "comm/message/comm_wire.h"

struct tw_world {
    struct tw_wire *wire;
    struct tw_comm *all;
    int cores; /* of this process: those it may use, divided by the processes that share them */
};

enum tw_world_command { TW_WORLD_OPEN = 1, TW_WORLD_RUN, TW_WORLD_CLOSE, TW_WORLD_END };

struct tw_world_call {
    uint32_t command; /* enum tw_world_command */
    uint32_t flags;   /* RUN: what the work wants, engine_remote.h */
    uint64_t n_sites; /* RUN */
};

/* Was this process started as one of several? */
bool tw_world_launched(void);
/* The library that would carry messages; TRAWL_ERR_UNSUPPORTED: there is no plug-in. */
trawl_status tw_world_transport(char *text, size_t size, struct trawl_error *err);
/* Join them, through the MPI plug-in. All processes call this. TRAWL_MPI_DEADLINE: seconds that one waits for
 * another within a call; TW_COMM_DEADLINE_MS otherwise. */
trawl_status tw_world_open(struct tw_world **out, struct trawl_error *err);
/* The same over a wire that is open; it belongs to the world, also on failure. */
trawl_status tw_world_new(struct tw_world **out, struct tw_wire *wire, struct trawl_error *err);
/* Leave. Rank 0 ends the others' listening; a broken world ends its processes. NULL is allowed. */
void tw_world_close(struct tw_world *world);

/* Rank 0 gives a command; the others wait for one, as long as it takes. */
trawl_status tw_world_tell(struct tw_world *world, struct tw_world_call call, struct trawl_error *err);
trawl_status tw_world_listen(struct tw_world *world, struct tw_world_call *call, struct trawl_error *err);

/* `facts`: lines "name: value". A rank that differs from rank 0 is named with both its line and rank 0's;
 * all ranks get the failure. */
trawl_status tw_world_compare(struct tw_world *world, const char *facts, struct trawl_error *err);
/* *value becomes the least of all ranks'. */
trawl_status tw_world_least(struct tw_world *world, size_t *value, struct trawl_error *err);

#endif /* TW_ENGINE_WORLD_H */
