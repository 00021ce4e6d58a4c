/* SPDX-License-Identifier: MIT */
/* Several processes, started by mpirun or srun, that run one engine together. Rank 0 is the program; the
 * others serve it:
 *
 *     trawl_world_open(&world, &err);
 *     config.world = world;
 *     if (trawl_world_rank(world) == 0) {
 *         trawl_engine_open(&config, &engine, &err);   ... jobs, as ever ...
 *         trawl_engine_close(&engine);
 *     } else {
 *         trawl_world_serve(world, &config, &err);
 *     }
 *     trawl_world_close(&world);
 *
 * Rank r holds the devices r * devices_per_rank and following of the mesh, counted data index first; the mesh
 * has as many devices as all ranks have. All ranks need the same mesh, dtypes, tree leaves, weights and version:
 * what differs is named. batch_size, prefill_chunk, max_model_len, kv_cache_bytes, prefix_cache and
 * prompt_lookup_num_tokens are rank 0's.
 * Results and files are those of one process, bit for bit; only rank 0 writes files.
 *
 * A rank that fails ends the run everywhere: every call returns TRAWL_ERR_COMM with that rank's message, and
 * trawl_world_close then ends the process. A job with a journal continues in the next run. */
#ifndef TRAWL_WORLD_H
#define TRAWL_WORLD_H

#include <stdbool.h>
#include <stddef.h>

#include "trawl/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct trawl_world trawl_world;
struct trawl_engine_config;

/* Was this process started as one of several (mpirun, or srun with PMIx)? TRAWL_MPI=off in the environment
 * says that it is to work alone all the same. */
TRAWL_API bool trawl_world_launched(void);

/* Which MPI library the plug-in libtrawl-mpi.so works with, as text of at most `size` bytes.
 * errors: UNSUPPORTED: the plug-in is not there or cannot be loaded; the message says why. */
TRAWL_API TRAWL_MUST_CHECK trawl_status trawl_world_transport(char *text, size_t size,
                                                              struct trawl_error *err);

/* Join the other processes; all of them call. Once in a process. TRAWL_MPI_DEADLINE in the environment:
 * seconds that a rank waits for another before it gives up, 300 by default.
 * errors: UNSUPPORTED: no MPI plug-in; COMM. */
TRAWL_API TRAWL_MUST_CHECK trawl_status trawl_world_open(trawl_world **out, struct trawl_error *err);
TRAWL_API int trawl_world_rank(const trawl_world *world);
TRAWL_API int trawl_world_size(const trawl_world *world);

/* Ranks other than 0: work for the engines that rank 0 opens, until it closes the world. `config` is this
 * rank's, with `world` set. Returns the first failure, which rank 0 was told of.  */
TRAWL_API TRAWL_MUST_CHECK trawl_status trawl_world_serve(trawl_world *world,
                                                          const struct trawl_engine_config *config,
                                                          struct trawl_error *err);

/* This rank cannot go on: break the run. The first rank's `cause` is what all get. */
TRAWL_API void trawl_world_fail(trawl_world *world, const struct trawl_error *cause);

/* Has the run broken, and did this rank hear of it from another (which has the story to tell)? */
TRAWL_API bool trawl_world_learnt(const trawl_world *world);

/* Engines are closed before. Sets *world to NULL; NULL inside is allowed. Does not return when the run has
 * broken: all its processes end, after a second. */
TRAWL_API void trawl_world_close(trawl_world **world);

#ifdef __cplusplus
}
#endif

#endif /* TRAWL_WORLD_H */
