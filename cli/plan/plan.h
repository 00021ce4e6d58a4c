/* SPDX-License-Identifier: MIT */
/* One plan: a model's shape, a mesh, a load and what there is, and all that follows. cmd_plan.c fills it,
 * plan_report.c prints it. */
#ifndef CLI_PLAN_H
#define CLI_PLAN_H

#include "cli/plan/plan_speed.h"
#include "model/model_config.h"
#include "model/model_packed.h"
#include "json/json.h"

struct plan {
    /* Asked for. */
    char name[192]; /* folder or preset */
    struct tw_model_config config;
    bool packed;                /* the folder holds packed weights, and ... */
    struct tw_packed_info file; /* ... these */
    bool compressed;            /* they are, and are computed with as they are */
    struct tw_mesh_model model;
    struct tw_mesh mesh;
    struct tw_mesh_load load;
    struct tw_mesh_budget budget;
    bool has_rates;
    struct plan_rates rates;
    /* Answered. */
    trawl_status fits; /* TRAWL_OK, or why not in `reason` */
    struct trawl_error reason;
    bool has_mesh; /* false: no mesh fits, and nothing below is known */
    struct tw_mesh_memory memory;
    size_t largest_batch, longest_len; /* with everything else as asked; 0: none */
    struct tw_mesh_traffic traffic;
    struct plan_speed speed; /* with has_rates */
};

enum { PLAN_BATCH_MAX = 65536 };

/* Sections of text for people. */
trawl_status plan_print(const struct plan *plan, bool bold, struct tw_str *out, struct trawl_error *err);
/* One line for each plan, with titles. */
trawl_status plan_print_table(const struct plan *plans, size_t n, bool bold, struct tw_str *out,
                              struct trawl_error *err);
/* One JSON object; with `sharding`, its parameters too. */
void plan_json(const struct plan *plan, bool sharding, struct tw_json_writer *w);
/* Specs and ranges of all parameters, and the check that they cover everything. */
trawl_status plan_print_sharding(const struct plan *plan, struct tw_str *out, struct trawl_error *err);

#endif /* CLI_PLAN_H */
