/* SPDX-License-Identifier: MIT */
/* One chunk file of one site while it is written: rows stream into the temporary file as they come, the
 * name appears when it is closed, durable. Two encoders share the interface: safetensors writes its header
 * last into the room left for it, pickle is a stream from front to back. */
#ifndef TW_STORE_CHUNK_H
#define TW_STORE_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/file.h"
#include "formats/formats_pickle.h"
#include "store/store_columns.h"
#include "store/store_layout.h"

/* The header of a safetensors chunk: activations begin on a page, so that a map of the file is aligned. */
#define TW_CHUNK_HEADER_BYTES 4096

struct tw_chunk {
    const struct tw_layout *layout;
    size_t site;
    uint64_t number;
    bool open;
    char *name; /* below the store's folder */
    char *path;
    struct tw_atomic_file file;
    struct tw_pickle pickle;
};

/* The chunk stays where it is in memory from here on. */
void tw_chunk_init(struct tw_chunk *chunk, const struct tw_layout *layout, size_t site);
trawl_status tw_chunk_open(struct tw_chunk *chunk, uint64_t number, struct trawl_error *err);

/* A request of n_rows rows, then its rows in the dtype of the store. */
trawl_status tw_chunk_begin_request(struct tw_chunk *chunk, const char *task_id, int64_t sample_idx,
                                    size_t n_rows, struct trawl_error *err);
trawl_status tw_chunk_rows(struct tw_chunk *chunk, const void *stored, size_t n, struct trawl_error *err);
trawl_status tw_chunk_end_request(struct tw_chunk *chunk, size_t n_rows, struct trawl_error *err);

/* Write what follows the rows, make the file durable under its name, and read it back for its checksum. */
trawl_status tw_chunk_close(struct tw_chunk *chunk, const struct tw_columns *columns, const char *run_hash,
                            uint64_t *bytes, uint64_t *xxh3, struct trawl_error *err);
/* Remove the temporary file; any time. */
void tw_chunk_abandon(struct tw_chunk *chunk);

/* Size and XXH3 of a file's bytes. */
trawl_status tw_chunk_checksum(const char *path, uint64_t *bytes, uint64_t *xxh3, struct trawl_error *err);

#endif /* TW_STORE_CHUNK_H */
