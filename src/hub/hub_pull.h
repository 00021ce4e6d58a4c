/* SPDX-License-Identifier: MIT */
/* A model or data set of a Hugging Face hub, brought into the cache that its Python package uses, or into a folder. */
#ifndef TW_HUB_PULL_H
#define TW_HUB_PULL_H

#include <stdint.h>

#include "base/str.h"
#include "hub/hub_cache.h"
#include "hub/hub_file.h"

struct tw_hub_pull_config {
    const char *endpoint; /* "https://huggingface.co" */
    enum tw_hub_type type;
    const char *id, *revision; /* a branch, tag or commit */
    const char *cache;         /* the hub cache; unused with local_dir */
    const char *local_dir;     /* NULL: into the cache. Files of other content there are replaced */
    struct tw_hub_patterns include, exclude; /* no include: of a model tw_hub_model_file, of a data set all */
    struct tw_hub_source source;             /* on_bytes: of all files, those that were there included */
    void (*on_start)(void *user, size_t files, uint64_t bytes); /* user: that of the source */
};

struct tw_hub_pull_summary {
    char commit[TW_HUB_HASH_BYTES];
    size_t files, fetched; /* fetched: were not there */
    size_t bytes, fetched_bytes;
};

/* Append the folder that has the files now to `folder`: the snapshot, or local_dir. The revision's name leads to the
 * snapshot only when all of it is there, so that a pull that was cut is not taken for a model. Done again, it goes on
 * where it was cut. Several processes may pull the same at once.
 * errors: INVALID: no such name; IO: the hub's refusal, with what to do about it; FORMAT: what it sent; CANCELLED. */
trawl_status tw_hub_pull(const struct tw_hub_pull_config *config, struct tw_hub_pull_summary *summary,
                         struct tw_str *folder, struct trawl_error *err);

#endif /* TW_HUB_PULL_H */
