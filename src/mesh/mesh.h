/* SPDX-License-Identifier: MIT */
/* The 2-D mesh of devices: `data` replicas of the model, each split over `model` devices. Pure
 * arithmetic, no state; every function here may be called from any thread.
 *
 *     rank = data_index * model + model_index
 *
 * so the ranks that exchange messages inside one replica are neighbours. */
#ifndef TW_MESH_MESH_H
#define TW_MESH_MESH_H

#include <stddef.h>

#include "base/error.h"

/* Most ranks along one axis, and in all. */
#define TW_MESH_RANKS_MAX 1024

struct tw_mesh {
    int data;  /* replicas, >= 1 */
    int model; /* devices of one replica, >= 1 */
};

/* "2 2", "2x2" or "2,2": two positive decimal numbers. TRAWL_ERR_INVALID names the text otherwise. */
trawl_status tw_mesh_parse(const char *text, struct tw_mesh *out, struct trawl_error *err);

static inline int tw_mesh_size(struct tw_mesh mesh)
{
    return mesh.data * mesh.model;
}

static inline int tw_mesh_rank(struct tw_mesh mesh, int data_index, int model_index)
{
    return data_index * mesh.model + model_index;
}

static inline int tw_mesh_data_index(struct tw_mesh mesh, int rank)
{
    return rank / mesh.model;
}

static inline int tw_mesh_model_index(struct tw_mesh mesh, int rank)
{
    return rank % mesh.model;
}

#endif /* TW_MESH_MESH_H */
