/* SPDX-License-Identifier: MIT */
/* Shapes of published models, for plans without a model folder. */
#ifndef CLI_PLAN_PRESETS_H
#define CLI_PLAN_PRESETS_H

#include "model/model_config.h"

struct plan_preset {
    const char *name;  /* "7B", "qwen2.5-7b" */
    const char *model; /* "Qwen/Qwen2.5-7B" */
    enum tw_family family;
    size_t vocab, hidden, intermediate, n_layers, n_heads, n_kv_heads, head_dim, context;
    bool tied;
};

size_t plan_preset_count(void);
const struct plan_preset *plan_preset_at(size_t i);
/* By name, letter case ignored; TRAWL_ERR_INVALID lists the names. */
trawl_status plan_preset_find(const char *name, const struct plan_preset **out, struct trawl_error *err);
struct tw_model_config plan_preset_config(const struct plan_preset *preset);

#endif /* CLI_PLAN_PRESETS_H */
