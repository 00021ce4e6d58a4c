/* SPDX-License-Identifier: MIT */
/* The records of a manifest: a chunk file, or the statistics after the group. */
#ifndef TW_STORE_MANIFEST_H
#define TW_STORE_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "store/store_journal.h"

/* {"file": "layer_10_batch_000001.pkl", "site": "blocks.10.hook_resid_post", "chunk": 1, "first": 0,
 *  "end": 8, "requests": 7, "numbers": "0-2,4-7", "rows": 4096, "bytes": 14686211, "xxh3": "<hex>"}
 * {"file": "statistics.safetensors", "bytes": 7360, "xxh3": "<hex>"} */
struct tw_manifest_record {
    const char *file;
    const char *site; /* NULL: the statistics of everything up to and with this group */
    uint64_t chunk;
    uint64_t first; /* requests first..end-1 have their rows here, as far as they have any */
    uint64_t end;
    uint64_t requests;   /* with rows here */
    const char *numbers; /* of these, "0-2,5,7-9", where they are not all from first to end; else NULL */
    uint64_t rows;
    uint64_t bytes;
    uint64_t xxh3;
};

trawl_status tw_manifest_add(struct tw_journal *manifest, const struct tw_manifest_record *record,
                             struct trawl_error *err);

/* The strings of `record` live during the call only. */
typedef trawl_status tw_manifest_fn(void *user, uint64_t group, const struct tw_manifest_record *record,
                                    struct trawl_error *err);

/* Read one line. A line that is no such record is TRAWL_ERR_FORMAT, as is a file name that would leave
 * the folder. `what` begins messages. */
trawl_status tw_manifest_parse(const char *text, size_t n, const char *what, uint64_t group,
                               tw_manifest_fn *fn, void *user, struct trawl_error *err);

/* All records of an open manifest. */
trawl_status tw_manifest_each(const struct tw_journal *manifest, tw_manifest_fn *fn, void *user,
                              struct trawl_error *err);

#endif /* TW_STORE_MANIFEST_H */
