/* SPDX-License-Identifier: MIT */
/* Arrow's IPC stream format, as far as a Hugging Face `datasets` folder of activations needs it: a column of matrices
 * (datasets' Array2D) and perhaps one of token ids, in record batches. Little endian, nothing compressed, no nulls. */
#ifndef TW_FORMATS_ARROW_H
#define TW_FORMATS_ARROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "formats/formats_sink.h"
#include "tensor/dtype.h"

struct tw_arrow_columns {
    const char *name;    /* of the column of matrices [context, width] */
    enum tw_dtype dtype; /* F32 or F16: Arrow has no bfloat16 */
    size_t context, width;
    const char *tokens; /* name of a column of int32 [context]; NULL: none */
};

/* The schema. TRAWL_ERR_UNSUPPORTED: the dtype; TRAWL_ERR_LIMIT: a matrix of 2^31 elements or more. */
trawl_status tw_arrow_begin(const struct tw_sink *sink, const struct tw_arrow_columns *c,
                            struct trawl_error *err);
/* Rows of a record batch that keep its 32-bit offsets and a message within bounds, at least 1. */
size_t tw_arrow_batch_rows(const struct tw_arrow_columns *c);
/* n rows, at most so many: values [n, context, width] in the dtype, tokens [n, context]. */
trawl_status tw_arrow_batch(const struct tw_sink *sink, const struct tw_arrow_columns *c, size_t n,
                            const void *values, const int32_t *tokens, struct trawl_error *err);
/* The end of the stream. Does not commit the sink's file. */
trawl_status tw_arrow_end(const struct tw_sink *sink, struct trawl_error *err);

#endif /* TW_FORMATS_ARROW_H */
