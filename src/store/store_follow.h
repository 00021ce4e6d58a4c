/* SPDX-License-Identifier: MIT */
/* The files of a store while it is being written, as its manifest commits them: for whoever copies them elsewhere.
 * Takes no lock and changes nothing; the writer may be in this process or in another. */
#ifndef TW_STORE_FOLLOW_H
#define TW_STORE_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct tw_follow;

/* `dir` need not be there yet. */
trawl_status tw_follow_open(const char *dir, struct tw_follow **out, struct trawl_error *err);
void tw_follow_close(struct tw_follow *follow); /* NULL is allowed */

struct tw_follow_file {
    const char *name; /* below the folder; valid until the next call */
    uint64_t bytes;
    uint64_t xxh3;
    const char *run_hash; /* fingerprint of the run's settings */
};

/* The next chunk file in the order of the manifest; *has is false when no further one is committed yet. Files that
 * are written anew with every group (statistics, metadata, the manifest itself) are not among them. */
trawl_status tw_follow_next(struct tw_follow *follow, struct tw_follow_file *file, bool *has,
                            struct trawl_error *err);

#endif /* TW_STORE_FOLLOW_H */
