/* SPDX-License-Identifier: MIT */
/* What a store writes and under which names: the checked copy of its configuration. */
#ifndef TW_STORE_LAYOUT_H
#define TW_STORE_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "store/store.h"

#define TW_MANIFEST_NAME "manifest.jsonl"
#define TW_MANIFEST_KIND "activations"
#define TW_METADATA_NAME "metadata.json"
#define TW_STATS_NAME    "statistics.safetensors"
#define TW_STATS_BEFORE  "statistics.previous.safetensors"

struct tw_layout_site {
    char *name;
    char *label; /* "layer_10", or the name of a site that is no layer's residual stream */
    int layer;
    size_t width;
};

struct tw_layout {
    char *dir;
    enum tw_store_format format;
    enum tw_dtype dtype;
    struct tw_layout_site *sites;
    size_t n_sites;
    size_t max_width;
    unsigned columns;
    uint32_t shard;
    uint32_t n_shards;
    size_t chunk_bytes;
    char *model_path;
    char *model_hash; /* NULL: none */
    uint64_t batch_size;
    uint64_t hidden_size;
    uint64_t tree_leaves;
};

trawl_status tw_layout_init(struct tw_layout *layout, const struct tw_store_config *config,
                            struct trawl_error *err);
void tw_layout_release(struct tw_layout *layout);

/* "float32", "bfloat16", "float16"; "safetensors", "pkl". */
const char *tw_layout_dtype_name(const struct tw_layout *layout);
const char *tw_layout_format_name(const struct tw_layout *layout);

/* The settings of the caller followed by the store's own ("store.format", ...), which decide its bytes.
 * `text` holds the store's values while `out` is used; free *out with tw_free. */
trawl_status tw_layout_settings(const struct tw_layout *layout, const struct tw_store_config *config,
                                struct tw_str *text, struct tw_setting **out, size_t *n,
                                struct trawl_error *err);

/* Chunk `number` (from 1) of a site: a path below dir, with '/' for the site's folder; tw_free. */
trawl_status tw_layout_chunk_name(const struct tw_layout *layout, size_t site, uint64_t number, char **out,
                                  struct trawl_error *err);
/* The folder in which a site's chunks lie, "" for dir itself. */
const char *tw_layout_chunk_dir(const struct tw_layout *layout, size_t site);
/* Is `entry` of that folder a chunk of this site? `*temporary`: with ".tmp" behind it. */
bool tw_layout_is_chunk(const struct tw_layout *layout, size_t site, const char *entry, uint64_t *number,
                        bool *temporary);

#endif /* TW_STORE_LAYOUT_H */
