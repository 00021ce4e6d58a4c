/* SPDX-License-Identifier: MIT */
/* From the rates of one device to the tokens per second of a mesh. A model, not a measurement: what devices
 * read, compute and exchange, each at its rate, nothing overlapped but reading weights with computing. */
#ifndef CLI_PLAN_SPEED_H
#define CLI_PLAN_SPEED_H

#include "mesh/mesh_memory.h"

struct plan_rates {
    double read_bytes; /* per second and device, while the others of its machine read too */
    double flops;      /* of matrix products, likewise; a multiply-add counts two */
    double link_bytes; /* per second between two devices */
    double link_delay; /* seconds until a message arrives */
};

struct plan_speed {
    size_t context;                       /* mean tokens before a decoded one */
    size_t prompt;                        /* tokens of a prompt, read in one step */
    double decode_tokens, prefill_tokens; /* per second, all replicas together */
    double decode_seconds;                /* of one decode step */
    double exchange_share;                /* of a decode step's time */
};

/* Decode at half of load->max_len with the whole batch; prefill of prompts of a chunk (max_len, if that is
 * less) one after another. `memory` is the plan of `mesh`. */
struct plan_speed plan_speed_of(const struct tw_mesh_model *model, struct tw_mesh mesh,
                                const struct tw_mesh_load *load, const struct tw_mesh_memory *memory,
                                const struct plan_rates *rates);

#endif /* CLI_PLAN_SPEED_H */
