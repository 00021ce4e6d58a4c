/* SPDX-License-Identifier: MIT */
#include "engine/engine_place.h"

trawl_status tw_place_make(struct tw_mesh mesh, int rank, int ranks, int devices, struct tw_place *out,
                           struct trawl_error *err)
{
    if (devices < 1 || devices > TW_MESH_RANKS_MAX || (long)devices * ranks != (long)mesh.data * mesh.model) {
        return tw_fail(
            err, TRAWL_ERR_INVALID,
            "mesh_shape %d %d has %d devices, %d processes of %d device%s have %ld: start as many processes "
            "as devices, or set devices_per_rank",
            mesh.data, mesh.model, tw_mesh_size(mesh), ranks, devices, devices == 1 ? "" : "s",
            (long)devices * ranks);
    }
    if (devices % mesh.model != 0 && mesh.model % devices != 0) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "devices_per_rank %d does not go with a model axis of %d: one must divide the other",
                       devices, mesh.model);
    }
    bool whole = devices % mesh.model == 0; /* whole replicas */
    int first  = rank * devices;
    *out       = (struct tw_place){
              .rank          = rank,
              .ranks         = ranks,
              .first_replica = tw_mesh_data_index(mesh, first),
              .n_replicas    = whole ? devices / mesh.model : 1,
              .first_device  = tw_mesh_model_index(mesh, first),
              .n_devices     = whole ? mesh.model : devices,
              .peer          = whole ? 0 : tw_mesh_model_index(mesh, first) / devices,
              .peers         = whole ? 1 : mesh.model / devices,
    };
    return TRAWL_OK;
}
