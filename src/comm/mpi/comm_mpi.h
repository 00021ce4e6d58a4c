/* SPDX-License-Identifier: MIT */
/* MPI as a plug-in, libtrawl-mpi.so: found beside the program or libtrawl, or in the folder it was installed
 * to, and loaded only in a process that mpirun or srun started. */
#ifndef TW_COMM_MPI_H
#define TW_COMM_MPI_H

#include <stdbool.h>

#include "comm/message/comm_wire.h"

#define TW_COMM_MPI_FILE   "libtrawl-mpi.so"
#define TW_COMM_MPI_SYMBOL "tw_comm_mpi_plugin"

/* What the plug-in exports. */
typedef const struct tw_wire_ops *tw_comm_mpi_plugin_fn(void);
const struct tw_wire_ops *tw_comm_mpi_plugin(void);

/* Did mpirun or srun start this process as one of several? Known from the environment: OMPI_COMM_WORLD_SIZE
 * (mpirun of Open MPI), PMI_SIZE (mpirun of MPICH, srun --mpi=pmi2), PMIX_RANK with SLURM_STEP_NUM_TASKS (srun
 * --mpi=pmix). TRAWL_MPI=off: no. */
bool tw_comm_mpi_launched(void);

/* Load the plug-in; it stays loaded. TRAWL_MPI_PLUGIN names its file instead of the usual places.
 * TRAWL_ERR_UNSUPPORTED: it is not there, cannot be loaded, or belongs to another build. */
trawl_status tw_comm_mpi_load(const struct tw_wire_ops **out, struct trawl_error *err);

/* Load it and enter the run. TRAWL_ERR_COMM when MPI knows of another number of processes than were started:
 * the plug-in is built with an MPI that is not the starting program's, and each process would be alone. */
trawl_status tw_comm_mpi_open(struct tw_wire **out, struct trawl_error *err);

#endif /* TW_COMM_MPI_H */
