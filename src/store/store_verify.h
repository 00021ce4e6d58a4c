/* SPDX-License-Identifier: MIT */
/* The parts of tw_store_verify: files against the manifest, then what is in them. */
#ifndef TW_STORE_VERIFY_H
#define TW_STORE_VERIFY_H

#include "base/str.h"
#include "store/store.h"

/* What the manifest says of a chunk file. */
struct tw_verify_file {
    char *name;
    char *site;
    uint64_t group, chunk, first, end, requests, rows;
};

struct tw_verify {
    const char *dir;
    struct tw_store_check *check;
    struct tw_str *report;
    struct tw_verify_file *files; /* in the order of the manifest */
    size_t n_files, capacity;
    char run_hash[17];
};

/* One line of the report; counts a problem. */
trawl_status tw_verify_problem(struct tw_verify *v, struct trawl_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Headers, columns, request numbers and metadata.json against the manifest, and the statistics against the rows.
 * Expects files with the right checksums. Stops at the first thing in a chunk that does not fit. */
trawl_status tw_verify_content(struct tw_verify *v, struct trawl_error *err);

#endif /* TW_STORE_VERIFY_H */
