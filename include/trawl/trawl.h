/* SPDX-License-Identifier: MIT */
/* libtrawl: run a language model over data on a (data x model) mesh, and bring up predictions,
 * log-probabilities and activations. Everything public:
 *
 *   trawl/status.h   trawl_status, struct trawl_error: how every call fails
 *   trawl/engine.h   trawl_engine: a model opened on a mesh
 *   trawl/job.h      trawl_job: requests in, results in order out, activations on disk, resume
 *   trawl/world.h    trawl_world: several processes that run one engine, started by mpirun or srun
 *   trawl/version.h  the version
 *
 * examples/generate.c is a complete program. */
#ifndef TRAWL_TRAWL_H
#define TRAWL_TRAWL_H

#include "trawl/engine.h"
#include "trawl/job.h"
#include "trawl/status.h"
#include "trawl/version.h"
#include "trawl/world.h"

#endif /* TRAWL_TRAWL_H */
