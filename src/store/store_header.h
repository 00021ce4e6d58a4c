/* SPDX-License-Identifier: MIT */
/* The header of a safetensors file whose tensors follow each other without gaps, padded to a size that
 * can be chosen before the shapes are known: a chunk is written as its rows come, its header last. */
#ifndef TW_STORE_HEADER_H
#define TW_STORE_HEADER_H

#include <stddef.h>

#include "base/error.h"
#include "base/str.h"
#include "store/store_journal.h"
#include "tensor/dtype.h"

struct tw_header_tensor {
    const char *name;
    enum tw_dtype dtype;
    size_t shape[2];
    int rank; /* 1 or 2 */
};

/* Append the 8-byte length and the JSON to `out`, spaces behind it: `bytes` in all, or with bytes == 0 a
 * multiple of 64. TRAWL_ERR_LIMIT when it does not fit. */
trawl_status tw_header_build(struct tw_str *out, const struct tw_header_tensor *tensors, size_t n_tensors,
                             const struct tw_setting *metadata, size_t n_metadata, size_t bytes,
                             struct trawl_error *err);

#endif /* TW_STORE_HEADER_H */
