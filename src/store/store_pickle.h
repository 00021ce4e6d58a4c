/* SPDX-License-Identifier: MIT */
/* The pickles of a store read back: only what tw_chunk writes is understood, nothing is executed. */
#ifndef TW_STORE_PICKLE_H
#define TW_STORE_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct tw_pickle_reader {
    const uint8_t *data;
    size_t n, at;
    const char *what; /* begins messages */
};

/* One prompt; pointers go into the pickle. */
struct tw_pickle_entry {
    const char *task_id; /* not terminated */
    size_t task_id_size;
    int64_t sample_idx;
    size_t n_rows, width;
    const uint8_t *rows; /* float32, [n_rows, width], not aligned */
};

/* Begin with a reader whose `at` is 0. *more is false at the end of the list. TRAWL_ERR_FORMAT: not such a
 * pickle, or damaged. */
trawl_status tw_pickle_next(struct tw_pickle_reader *r, struct tw_pickle_entry *entry, bool *more,
                            struct trawl_error *err);

#endif /* TW_STORE_PICKLE_H */
