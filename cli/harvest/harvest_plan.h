/* SPDX-License-Identifier: MIT */
/* What `trawl harvest` says before and after its run: sites, tokens, bytes, space. */
#ifndef CLI_HARVEST_PLAN_H
#define CLI_HARVEST_PLAN_H

#include "apps/harvest/harvest_run.h"
#include "cli/options/args.h"
#include "model/model_config.h"

struct harvest_sites {
    const char **patterns; /* [n_patterns]: --sites, --layers_to_extract, or what is usual */
    size_t n_patterns;
    char (*layers)[32]; /* names of layers that patterns point to */
    size_t n_sites;     /* that the patterns stand for */
    enum trawl_dtype dtype;
    size_t width;       /* of all of them together */
    uint64_t row_bytes; /* of all sites together, on disk, columns included */
    struct tw_model_config model;
    size_t depth; /* layers that have to be computed */
};

/* From the options and config.json of the model in `folder`.
 * errors: INVALID: a name that is no site; --context_size beyond the model's; a dtype that pickles do not have. */
trawl_status harvest_sites_choose(struct harvest_sites *s, const struct cli_args *args, const char *folder,
                                  struct trawl_error *err);
void harvest_sites_release(struct harvest_sites *s);

/* Print what will be done, to stderr; `group`: contexts of a commit group. FORMAT: there are no texts; IO: it does not fit on the device
 * (--check_free_space). */
trawl_status harvest_plan_check(const struct tw_harvest_plan *plan, const struct harvest_sites *sites,
                                size_t group, const struct cli_args *args, struct trawl_error *err);

/* How long the matrix products of it take here, which are measured; to stderr. */
trawl_status harvest_plan_estimate(const struct tw_harvest_plan *plan, const struct harvest_sites *sites,
                                   const struct cli_args *args, struct trawl_error *err);

/* What was done to stderr, a table of the store in `dir` to stdout; `planned`: a plan has been printed. */
trawl_status harvest_summary_print(const struct tw_harvest_summary *s, bool planned, const char *dir,
                                   struct trawl_error *err);

#endif /* CLI_HARVEST_PLAN_H */
