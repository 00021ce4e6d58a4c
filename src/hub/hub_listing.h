/* SPDX-License-Identifier: MIT */
/* What a hub says of a revision: its commit, and name, size and hash of every file. */
#ifndef TW_HUB_LISTING_H
#define TW_HUB_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { TW_HUB_HASH_BYTES = 65 }; /* the most hexadecimal digits of a hash, and a NUL */

struct tw_hub_file {
    char *path; /* owned; below the repository's root: neither absolute nor with ".." */
    uint64_t size;
    char hash[TW_HUB_HASH_BYTES]; /* names the blob: 64 digits are SHA-256 (large files), 40 git's SHA-1 */
};

struct tw_hub_listing {
    char commit[TW_HUB_HASH_BYTES];
    struct tw_hub_file *files; /* [n] */
    size_t n, capacity;
};

/* Read the answer to <endpoint>/api/models/<id>/revision/<revision>?blobs=true; `what` begins messages. A file without
 * size or hash, or with a name that leads elsewhere, is refused: it could be neither checked nor put. Released by the
 * caller in any case. */
trawl_status tw_hub_listing_parse(struct tw_hub_listing *l, const char *text, size_t n, const char *what,
                                  struct trawl_error *err);
void tw_hub_listing_release(struct tw_hub_listing *l);

/* Shell patterns, where "*" stands for any text, slashes too, and "x/" for all below x. */
struct tw_hub_patterns {
    const char *const *list; /* [n] */
    size_t n;
};

/* Is the file wanted? One of `include` matches it, or there is none, and no `exclude` does. */
bool tw_hub_wanted(const char *path, struct tw_hub_patterns include, struct tw_hub_patterns exclude);
/* What running a model takes, of the repository's root: configuration, tokenizer, chat template, safetensors. */
bool tw_hub_model_file(const char *path);

#endif /* TW_HUB_LISTING_H */
