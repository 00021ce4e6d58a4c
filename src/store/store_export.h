/* SPDX-License-Identifier: MIT */
/* A committed store written again in the form that other programs read. */
#ifndef TW_STORE_EXPORT_H
#define TW_STORE_EXPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "tensor/dtype.h"

enum tw_export_format {
    TW_EXPORT_NPY = 0,     /* one array a file */
    TW_EXPORT_NPZ,         /* arrays of a unit in an archive */
    TW_EXPORT_SAFETENSORS, /* tensors of a unit in a file */
    TW_EXPORT_PKL,         /* a store of pickles, as a run with that format writes it; float32 */
    TW_EXPORT_DATASETS     /* a folder a site for datasets.load_from_disk */
};

enum tw_export_split { TW_EXPORT_BY_SITE = 0, TW_EXPORT_BY_DOCUMENT, TW_EXPORT_BY_CHUNK };
enum tw_export_only { TW_EXPORT_ALL = 0, TW_EXPORT_PROMPT, TW_EXPORT_GENERATED };

struct tw_export_config {
    const char *dir;    /* the store */
    const char *output; /* made; must not be there */
    enum tw_export_format format;
    enum tw_export_split split;
    const char *const *sites; /* names or labels ("layer_10"); n_sites 0: all */
    size_t n_sites;
    bool has_dtype; /* else as stored, or float32 where the format has no bfloat16 */
    enum tw_dtype dtype;
    enum tw_export_only only;
    uint64_t max_rows; /* of each site, from the beginning; 0: all */
    size_t context; /* DATASETS: tokens of a row; 0: rows of a request where all have equally many, else 1 */
    /* Called now and then with rows written so far and in all, of all sites; false: TRAWL_ERR_CANCELLED. NULL: not. */
    bool (*tick)(void *user, uint64_t done, uint64_t total);
    void *user;
};

struct tw_export_summary {
    uint64_t rows; /* of each site */
    uint64_t files, bytes;
    uint64_t left_out; /* DATASETS: rows at the ends of requests that did not fill a context */
    size_t context;    /* DATASETS: the one in use */
};

/* Everything is written below "<output>.tmp" and gets its name in the end: what is there is whole. A failure removes
 * what was written.
 * TRAWL_ERR_EXISTS: `output` or its temporary is there already.
 * TRAWL_ERR_INVALID: a site that the store does not have, a dtype or a split that the format does not have.
 * TRAWL_ERR_UNSUPPORTED: what the store cannot give: is_generated of pickles, documents of shuffled rows. */
trawl_status tw_store_export(const struct tw_export_config *config, struct tw_export_summary *summary,
                             struct trawl_error *err);

#endif /* TW_STORE_EXPORT_H */
