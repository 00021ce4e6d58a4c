/* SPDX-License-Identifier: MIT */
/* A committed store read back request by request, in both formats. No lock is taken and nothing is changed;
 * checksums are tw_store_verify's business. */
#ifndef TW_STORE_READER_H
#define TW_STORE_READER_H

#include <jansson.h>

#include "store/store.h"
#include "store/store_layout.h"

struct tw_reader;

trawl_status tw_reader_open(struct tw_reader **out, const char *dir, struct trawl_error *err);
void tw_reader_close(struct tw_reader *r); /* NULL allowed */

/* The run's settings, an object of strings; those of the store itself ("store.format", ...) among them. */
const json_t *tw_reader_settings(const struct tw_reader *r);
/* metadata.json. */
const json_t *tw_reader_metadata(const struct tw_reader *r);
/* The store's own part of a configuration that writes the same: format, dtype, columns, chunk size, sites,
 * shard. */
void tw_reader_config(const struct tw_reader *r, struct tw_store_config *config);
uint64_t tw_reader_end(const struct tw_reader *r);    /* the request after the last committed one */
uint64_t tw_reader_groups(const struct tw_reader *r); /* committed */
/* Requests first..end-1 of a group, from 0. */
void tw_reader_group(const struct tw_reader *r, uint64_t group, uint64_t *first, uint64_t *end);

/* The next request that has rows, in order; *more is false when there are no more. Arrays live until the next
 * call. */
trawl_status tw_reader_next(struct tw_reader *r, struct tw_store_request *q, bool *more,
                            struct trawl_error *err);
/* The next rows that follow each other in a chunk and are of one request, whatever the order of the requests: a
 * whole request, unless rows were shuffled when they were stored. Not to be mixed with tw_reader_next without
 * tw_reader_seek between them. */
trawl_status tw_reader_next_run(struct tw_reader *r, struct tw_store_request *q, bool *more,
                                struct trawl_error *err);
/* Go to the beginning of a chunk, from 0; tw_reader_chunks(r) is the end. */
void tw_reader_seek(struct tw_reader *r, size_t chunk);
size_t tw_reader_chunks(const struct tw_reader *r);
size_t tw_reader_chunk(const struct tw_reader *r); /* of the latest request or run */
/* The file of a site in that chunk, below the folder. */
const char *tw_reader_file(const struct tw_reader *r, size_t site);

/* Row `first` and those behind it of a site of the latest request or run, as stored; not aligned. */
const uint8_t *tw_reader_stored(const struct tw_reader *r, size_t site, size_t first);
/* Rows [first, first + n) of a site of that request, as float32 into out[n, width]. */
void tw_reader_rows(const struct tw_reader *r, size_t site, size_t first, size_t n, float *out);

#endif /* TW_STORE_READER_H */
