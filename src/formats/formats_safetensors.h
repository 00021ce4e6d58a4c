/* SPDX-License-Identifier: MIT */
/* safetensors in and out: 8 bytes of header length (little endian), a JSON header, then the tensors' bytes
 * without holes. Reading maps the files and checks everything about them but the values before the first
 * tensor is handed out. Little-endian machines only, like the rest of trawl. */
#ifndef TW_FORMATS_SAFETENSORS_H
#define TW_FORMATS_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "formats/formats_sink.h"
#include "tensor/dtype.h"

enum { TW_SAFETENSORS_RANK = 8 };

/* ---- reading ---- */

/* One tensor; everything it points to lives as long as the reader. */
struct tw_safetensors_tensor {
    const char *name;
    const char *dtype_name; /* as the file spells it: "BF16", "F8_E4M3" */
    bool has_dtype;         /* false: a dtype of no use to trawl, `dtype` means nothing, bytes unchecked */
    enum tw_dtype dtype;
    int rank; /* 0: a scalar */
    size_t shape[TW_SAFETENSORS_RANK];
    const uint8_t *data; /* row-major; need not be aligned for its dtype */
    size_t bytes;        /* product of shape times size of dtype */
    const char *file;    /* path of the file it lies in, for messages */
};

/* An open checkpoint; read-only, so any number of threads may use it. */
struct tw_safetensors;

/* Open a .safetensors file, or a folder with `model.safetensors` or else `model.safetensors.index.json` and
 * the shards it names. In a sharded folder exactly the tensors of the index exist, each in the shard that the
 * index says.
 *
 * errors: TRAWL_ERR_IO           a file that cannot be read, a shard that is not there
 *         TRAWL_ERR_FORMAT       truncated or overlong files, a header that lies or is no JSON, tensors that
 *                                overlap, leave holes, or have other bytes than shape and dtype say, names
 *                                that are there twice, an index that leads out of its folder or names a
 *                                tensor its shard lacks
 *         TRAWL_ERR_LIMIT        a header over 100 MB (the format's own limit)
 *         TRAWL_ERR_UNSUPPORTED  more than 8 dimensions
 * cost:   the headers; tensor bytes are not touched. */
trawl_status tw_safetensors_open(struct tw_safetensors **out, const char *path, struct trawl_error *err);
void tw_safetensors_close(struct tw_safetensors *st);

/* Tensors in ascending byte order of their names: 0 .. count - 1. */
size_t tw_safetensors_count(const struct tw_safetensors *st);
const struct tw_safetensors_tensor *tw_safetensors_at(const struct tw_safetensors *st, size_t i);
/* By name; NULL when there is none. O(log count). */
const struct tw_safetensors_tensor *tw_safetensors_find(const struct tw_safetensors *st, const char *name);
/* By name, to be computed with: absence is TRAWL_ERR_FORMAT, a dtype trawl does not know is
 * TRAWL_ERR_UNSUPPORTED. */
trawl_status tw_safetensors_get(const struct tw_safetensors *st, const char *name,
                                const struct tw_safetensors_tensor **out, struct trawl_error *err);
/* A value of the first file's `__metadata__`, NULL when it has none of that key. */
const char *tw_safetensors_metadata(const struct tw_safetensors *st, const char *key);
/* Give back the memory of tensor bytes that were read; reading them again is only slower. */
void tw_safetensors_forget(const struct tw_safetensors *st);
/* The folder or file that was opened. */
const char *tw_safetensors_path(const struct tw_safetensors *st);

/* ---- writing ---- */

/* Declare everything, begin, write the tensors' bytes in the declared order, finish. Equal calls give equal
 * bytes: keys stand as declared, the header is padded with spaces so that the data begin at a multiple of 64.
 * Wider dtypes are declared before narrower ones: the format allows no padding between tensors, and readers
 * such as torch's refuse a tensor that is not aligned for its dtype. */
struct tw_safetensors_writer;

trawl_status tw_safetensors_writer_new(struct tw_safetensors_writer **out, struct tw_sink sink,
                                       struct trawl_error *err);
void tw_safetensors_writer_free(struct tw_safetensors_writer *w);
/* Text for `__metadata__`; before the first tensor. */
trawl_status tw_safetensors_writer_metadata(struct tw_safetensors_writer *w, const char *key,
                                            const char *value, struct trawl_error *err);
trawl_status tw_safetensors_writer_declare(struct tw_safetensors_writer *w, const char *name,
                                           enum tw_dtype dtype, int rank, const size_t *shape,
                                           struct trawl_error *err);
/* Writes the header. */
trawl_status tw_safetensors_writer_begin(struct tw_safetensors_writer *w, struct trawl_error *err);
/* The next `n` bytes of the data, in pieces of any size; more than was declared is TRAWL_ERR_INVALID. */
trawl_status tw_safetensors_writer_write(struct tw_safetensors_writer *w, const void *data, size_t n,
                                         struct trawl_error *err);
/* TRAWL_ERR_INVALID, naming the tensor, when bytes are missing. Does not commit the sink's file. */
trawl_status tw_safetensors_writer_finish(struct tw_safetensors_writer *w, struct trawl_error *err);

#endif /* TW_FORMATS_SAFETENSORS_H */
