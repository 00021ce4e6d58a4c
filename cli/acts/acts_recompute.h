/* SPDX-License-Identifier: MIT */
/* A sample of a store's requests computed again and compared with what is stored, bit by bit. */
#ifndef CLI_ACTS_RECOMPUTE_H
#define CLI_ACTS_RECOMPUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct cli_acts_recompute {
    const char *dir;
    const char *model_path;
    size_t samples; /* requests */
    uint64_t seed;
    int mesh_data, mesh_model, threads; /* threads 0: as the engine chooses */
    size_t batch_size;
    bool quiet;
    /* What came of it. */
    uint64_t candidates, requests; /* that could be computed again, of all */
    uint64_t checked, rows;        /* rows of each site */
    uint64_t problems;             /* requests with rows that differ */
};

/* The dtypes and the tree of sums are those of the store. One line a problem is appended to `report`.
 * TRAWL_ERR_UNSUPPORTED: pickles, which have no tokens, and stores of which no request has its rows from the first
 * token on. TRAWL_ERR_FORMAT: the model has other weights than the store was made with. */
trawl_status cli_acts_recompute(struct cli_acts_recompute *c, struct tw_str *report, struct trawl_error *err);

#endif /* CLI_ACTS_RECOMPUTE_H */
