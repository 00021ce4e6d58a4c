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
uint64_t tw_reader_end(const struct tw_reader *r); /* the request after the last committed one */

/* The next request that has rows, in order; *more is false when there are no more. Arrays live until the next
 * call. */
trawl_status tw_reader_next(struct tw_reader *r, struct tw_store_request *q, bool *more,
                            struct trawl_error *err);
/* Rows [first, first + n) of a site of that request, as float32 into out[n, width]. */
void tw_reader_rows(const struct tw_reader *r, size_t site, size_t first, size_t n, float *out);

#endif /* TW_STORE_READER_H */
