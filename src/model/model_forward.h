/* SPDX-License-Identifier: MIT */
/* What the device's layout must know of the forward pass. */
#ifndef TW_MODEL_FORWARD_H
#define TW_MODEL_FORWARD_H

#include <stddef.h>

#include "model/model_device.h"

/* Query rows of one attention task: enough to reuse a block of keys, few enough to balance threads. */
enum { TW_ATTEND_ROWS = 16 };

/* Bytes of one thread's scratch: rows being normalised, attention state, block pointers. */
size_t tw_forward_scratch_bytes(const struct tw_kernels *k, const struct tw_model_config *c, size_t group,
                                size_t blocks);

#endif /* TW_MODEL_FORWARD_H */
