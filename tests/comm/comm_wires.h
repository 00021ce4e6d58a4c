/* SPDX-License-Identifier: MIT */
/* Processes played by threads, each with a wire on one hub. */
#ifndef TW_TESTS_COMM_WIRES_H
#define TW_TESTS_COMM_WIRES_H

#include "comm/comm.h"
#include "support/wire_hub.h"

struct wire_rank;
typedef void wire_fn(struct wire_rank *me);

struct wire_rank {
    struct tw_wire *wire;
    struct tw_comm *comm; /* of all ranks */
    int rank;
    wire_fn *fn;
    void *arg;
    /* What came of it, for the main thread to look at. */
    trawl_status status, again;
    struct trawl_error err;
    uint64_t ns;
    pthread_t thread;
};

/* Run fn on every rank of the hub, each a thread with a wire of its own, and wait for all of them. */
void run_wires(struct hub *hub, int deadline_ms, wire_fn *fn, void *arg, struct wire_rank *ranks);

#endif /* TW_TESTS_COMM_WIRES_H */
