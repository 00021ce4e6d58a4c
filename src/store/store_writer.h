/* SPDX-License-Identifier: MIT */
/* The writing half of a store: turns requests and rows into chunk files and groups into commits. Knows no
 * threads; store.c runs it on one. After a failure only tw_writer_release may follow. */
#ifndef TW_STORE_WRITER_H
#define TW_STORE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "store/store_chunk.h"
#include "store/store_columns.h"
#include "store/store_layout.h"
#include "store/store_stats.h"

/* Rows that are encoded at a time. */
#define TW_WRITER_ROWS 64

struct tw_writer {
    const struct tw_layout *layout;
    struct tw_journal *manifest;
    struct tw_stats stats;
    struct tw_chunk *chunks;   /* [n_sites] */
    struct tw_columns columns; /* of the open chunk */
    uint64_t next_chunk;
    bool chunk_open;
    uint64_t chunk_first; /* id of the first request in the open chunk, and so on */
    uint64_t chunk_end;
    uint64_t chunk_requests;
    struct tw_str chunk_numbers; /* of its requests but the last stretch: "0-2,5," */
    uint64_t stretch_first;      /* the last stretch: from here to chunk_end */
    size_t request_rows;         /* of the request that has begun */
    uint64_t metadata_groups;    /* groups when metadata.json was last written */
    float *rows;                 /* [TW_WRITER_ROWS, max width]: as they come */
    void *stored;                /* the same in the dtype of the store */
};

/* Nothing is owned but the writer's own memory: layout and manifest stay the caller's. `stats` is moved
 * into the writer. Writes metadata.json. */
trawl_status tw_writer_init(struct tw_writer *w, const struct tw_layout *layout, struct tw_journal *manifest,
                            struct tw_stats *stats, uint64_t next_chunk, struct trawl_error *err);
void tw_writer_release(struct tw_writer *w);

/* A request of which rows follow; ascending. */
trawl_status tw_writer_number(struct tw_writer *w, uint64_t id, struct trawl_error *err);
/* n_rows rows of it, or of it and those given before since the last end. Room for their columns is at row
 * columns.n_rows; the caller fills it before the end, but for the request column, which says `id` in every row. */
trawl_status tw_writer_begin(struct tw_writer *w, uint64_t id, const char *task_id, int64_t sample_idx,
                             size_t n_rows, struct trawl_error *err);
/* The first n <= TW_WRITER_ROWS rows of w->rows belong to `site`; they may be changed. */
trawl_status tw_writer_rows(struct tw_writer *w, size_t site, size_t n, struct trawl_error *err);
trawl_status tw_writer_end(struct tw_writer *w, struct trawl_error *err);
trawl_status tw_writer_commit(struct tw_writer *w, uint64_t first, uint64_t end, struct trawl_error *err);
trawl_status tw_writer_finish(struct tw_writer *w, struct trawl_error *err);

#endif /* TW_STORE_WRITER_H */
