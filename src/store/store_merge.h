/* SPDX-License-Identifier: MIT */
/* The stores of the shards of one run, joined to the store that one run of all would have written. */
#ifndef TW_STORE_MERGE_H
#define TW_STORE_MERGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct tw_merge_summary {
    uint64_t requests, rows, groups; /* rows: of each site */
};

/* `dirs` in any order. Requests are replayed in the order of their numbers and committed in the groups of the
 * whole run, so that the bytes are the same.
 * TRAWL_ERR_INVALID: shards missing, given twice, unfinished, or of different runs: named.
 * TRAWL_ERR_EXISTS: there is a store at `output` already. Other failures leave an unfinished folder there. */
trawl_status tw_store_merge(const char *const *dirs, size_t n, const char *output,
                            struct tw_merge_summary *summary, struct trawl_error *err);

#endif /* TW_STORE_MERGE_H */
