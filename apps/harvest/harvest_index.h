/* SPDX-License-Identifier: MIT */
/* documents.jsonl: which text each request of a run is. One line for each stretch of a document in a request:
 *
 *     {"request": 7, "position": 1, "n_tokens": 127, "file": "corpus.jsonl", "line": 3, "document": 2,
 *      "first_token": 127, "id": "doc-3"}
 *
 * Positions [position, position + n_tokens) of the request are the document's tokens from first_token on. "line" is
 * missing where the file is the document, "id" where its row has none.
 *
 * Lines are durable before their requests are committed. They follow from the run's input and settings, so an
 * interrupted run writes them again and the file grows only behind what is there already. */
#ifndef TW_HARVEST_INDEX_H
#define TW_HARVEST_INDEX_H

#include "apps/harvest/harvest_context.h"
#include "base/file.h"

#define TW_HARVEST_INDEX_NAME "documents.jsonl"

struct tw_harvest_index {
    struct tw_append_file file;
    struct tw_mapped_file
        before; /* what was there when it was opened; closed at the first byte that differs */
    bool has_before;
    uint64_t at; /* bytes of the file that are known to be right */
    struct tw_str pending;
};

trawl_status tw_harvest_index_open(struct tw_harvest_index *x, const char *path, struct trawl_error *err);
void tw_harvest_index_close(struct tw_harvest_index *x); /* harmless on zeros */

/* The lines of a context, kept until the next flush. */
trawl_status tw_harvest_index_add(struct tw_harvest_index *x, const struct tw_harvest_context *context,
                                  struct trawl_error *err);
/* Make them durable. */
trawl_status tw_harvest_index_flush(struct tw_harvest_index *x, struct trawl_error *err);
/* Flush, and drop what is behind. */
trawl_status tw_harvest_index_finish(struct tw_harvest_index *x, struct trawl_error *err);

/* harvest_merge.c: the indexes of the shards of a run, folders in any order, joined to the one that a run of everything
 * writes. Does nothing where none of the folders has one.
 * errors: FORMAT: only some have one; a line that is none of an index: named. */
trawl_status tw_harvest_index_merge(const char *const *dirs, size_t n, const char *output,
                                    struct trawl_error *err);

#endif /* TW_HARVEST_INDEX_H */
