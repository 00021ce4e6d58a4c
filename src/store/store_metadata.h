/* SPDX-License-Identifier: MIT */
/* metadata.json: what a loader needs to know, in one document. Everything in it comes from the layout, the
 * manifest and the statistics, so it can be made again at any time. */
#ifndef TW_STORE_METADATA_H
#define TW_STORE_METADATA_H

#include <stdbool.h>

#include "base/error.h"
#include "store/store_journal.h"
#include "store/store_layout.h"
#include "store/store_stats.h"

trawl_status tw_metadata_write(const struct tw_layout *layout, const struct tw_journal *manifest,
                               const struct tw_stats *stats, bool complete, struct trawl_error *err);

#endif /* TW_STORE_METADATA_H */
