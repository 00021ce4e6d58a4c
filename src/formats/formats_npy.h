/* SPDX-License-Identifier: MIT */
/* NumPy's .npy, version 1.0: header here, then the caller writes the row-major data to the same sink. */
#ifndef TW_FORMATS_NPY_H
#define TW_FORMATS_NPY_H

#include "formats/formats_sink.h"
#include "tensor/dtype.h"

enum { TW_NPY_RANK = 8 };

/* NumPy's spelling of a dtype, "<f4"; NULL for bfloat16, which NumPy does not have. */
const char *tw_numpy_dtype(enum tw_dtype dtype);

/* The same bytes as numpy.save writes before the data; `*bytes` (may be NULL) is what the data must have.
 * TRAWL_ERR_UNSUPPORTED for bfloat16, TRAWL_ERR_INVALID for a rank outside 0..8 or a size beyond memory. */
trawl_status tw_npy_write_header(const struct tw_sink *sink, enum tw_dtype dtype, int rank,
                                 const size_t *shape, size_t *bytes, struct trawl_error *err);

#endif /* TW_FORMATS_NPY_H */
