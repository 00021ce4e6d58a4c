/* SPDX-License-Identifier: MIT */
/* Which devices of the mesh are in this process. Pure arithmetic. */
#ifndef TW_ENGINE_PLACE_H
#define TW_ENGINE_PLACE_H

#include <stdbool.h>

#include "base/error.h"
#include "mesh/mesh.h"

struct tw_place {
    int rank, ranks;               /* processes */
    int first_replica, n_replicas; /* that have devices here */
    int first_device, n_devices;   /* of each of those: model indices */
    int peer, peers; /* this one among the processes of a replica; peer 0 is its head: it schedules */
};

/* Process `rank` of `ranks` with `devices` devices each, in the order of mesh ranks. Devices of a process are
 * a part of one replica or whole replicas. */
trawl_status tw_place_make(struct tw_mesh mesh, int rank, int ranks, int devices, struct tw_place *out,
                           struct trawl_error *err);

static inline bool tw_place_is_head(const struct tw_place *p)
{
    return p->peer == 0;
}

/* The process that leads the replicas of head number i, and how many such processes there are. */
static inline int tw_place_head_rank(const struct tw_place *p, int i)
{
    return i * p->peers;
}
static inline int tw_place_heads(const struct tw_place *p)
{
    return p->ranks / p->peers;
}

#endif /* TW_ENGINE_PLACE_H */
