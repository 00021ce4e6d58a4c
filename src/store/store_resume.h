/* SPDX-License-Identifier: MIT */
/* What happens to a folder before a store goes on in it. */
#ifndef TW_STORE_RESUME_H
#define TW_STORE_RESUME_H

#include <stdint.h>

#include "base/error.h"
#include "store/store_layout.h"
#include "store/store_stats.h"

/* Refuse a folder that has a metadata.json of somebody else and no manifest. */
trawl_status tw_resume_check_folder(const struct tw_layout *layout, struct trawl_error *err);

/* Cut to `keep` groups (TW_STORE_KEEP_ALL: as they are), check that every committed file is there in its
 * full size, remove what is not committed, and load the statistics of the last group. *next_chunk gets
 * the number of the next chunk of a safetensors store. */
trawl_status tw_resume(const struct tw_layout *layout, struct tw_journal *manifest, uint64_t keep,
                       struct tw_stats *stats, uint64_t *next_chunk, struct trawl_error *err);

#endif /* TW_STORE_RESUME_H */
