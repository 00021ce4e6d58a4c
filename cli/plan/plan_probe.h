/* SPDX-License-Identifier: MIT */
/* What a machine reaches on the matrix products of a model. */
#ifndef CLI_PLAN_PROBE_H
#define CLI_PLAN_PROBE_H

#include "mesh/mesh_shard.h"
#include "tensor/dtype.h"

/* What `n_threads` threads reach together here, with the kernels that a run would use: bytes of weights per second
 * of matrix products of one row, and operations per second of many rows. The products are those of the model's
 * layers, one after another over memory that no cache holds, because small ones reach less than large ones.
 * Medians. Takes a few seconds and half a gigabyte. The weights are bf16, compressed where kernels take them so,
 * unless `plain`; bytes are counted as if they were not. */
trawl_status plan_probe(const struct tw_mesh_model *model, int n_threads, enum tw_dtype compute, bool plain,
                        double *read_bytes, double *flops, struct trawl_error *err);

#endif /* CLI_PLAN_PROBE_H */
