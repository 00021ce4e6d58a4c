/* SPDX-License-Identifier: MIT */
/* The cache of a Hugging Face hub, as its Python package lays it out:
 *
 *     <cache>/models--org--name/refs/<revision>            the commit that a branch or tag stood at
 *                               blobs/<etag>               contents, once each
 *                               snapshots/<commit>/<file>  relative links to them
 *
 * Of data sets the folder is datasets--org--name. */
#ifndef TW_HUB_CACHE_H
#define TW_HUB_CACHE_H

#include <stdbool.h>

#include "base/error.h"
#include "base/str.h"

enum tw_hub_type { TW_HUB_MODEL, TW_HUB_DATASET };

/* "org/name", or "name" alone as the oldest repositories are called, of names that cannot lead out of the cache. */
bool tw_hub_is_repository(const char *id);
/* A branch, tag or commit whose name can be that of a file below refs/: "main", "refs/pr/1". */
bool tw_hub_is_revision(const char *revision);

/* Append the repository's folder in the cache; `id` is one. */
trawl_status tw_hub_repository_dir(const char *cache, enum tw_hub_type type, const char *id,
                                   struct tw_str *out, struct trawl_error *err);

/* Append the folder of the snapshot that `revision` is in the cache, and set *found. False, and nothing appended: the
 * repository or the revision is not there. A reference to a snapshot that is missing is a failure. */
trawl_status tw_hub_find_snapshot(const char *cache, enum tw_hub_type type, const char *id,
                                  const char *revision, struct tw_str *out, bool *found,
                                  struct trawl_error *err);

#endif /* TW_HUB_CACHE_H */
