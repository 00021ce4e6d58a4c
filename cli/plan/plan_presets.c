/* SPDX-License-Identifier: MIT */
#include "cli/plan/plan_presets.h"

#include <stdio.h>
#include <strings.h>

#include "base/str.h"

/* From the config.json of each repository. InternLM2 stores its weights under other names, but its shapes are
 * Llama's. */
static const struct plan_preset presets[] = {
    {"1B", "meta-llama/Llama-3.2-1B", TW_FAMILY_LLAMA, 128256, 2048, 8192, 16, 32, 8, 64, 131072, true},
    {"3B", "meta-llama/Llama-3.2-3B", TW_FAMILY_LLAMA, 128256, 3072, 8192, 28, 24, 8, 128, 131072, true},
    {"7B", "meta-llama/Llama-2-7b-hf", TW_FAMILY_LLAMA, 32000, 4096, 11008, 32, 32, 32, 128, 4096, false},
    {"13B", "meta-llama/Llama-2-13b-hf", TW_FAMILY_LLAMA, 32000, 5120, 13824, 40, 40, 40, 128, 4096, false},
    {"20B", "internlm/internlm2-20b", TW_FAMILY_LLAMA, 92544, 6144, 16384, 48, 48, 8, 128, 32768, false},
    {"qwen2.5-0.5b", "Qwen/Qwen2.5-0.5B", TW_FAMILY_QWEN2, 151936, 896, 4864, 24, 14, 2, 64, 32768, true},
    {"qwen2.5-1.5b", "Qwen/Qwen2.5-1.5B", TW_FAMILY_QWEN2, 151936, 1536, 8960, 28, 12, 2, 128, 131072, true},
    {"qwen2.5-3b", "Qwen/Qwen2.5-3B", TW_FAMILY_QWEN2, 151936, 2048, 11008, 36, 16, 2, 128, 32768, true},
    {"qwen2.5-7b", "Qwen/Qwen2.5-7B", TW_FAMILY_QWEN2, 152064, 3584, 18944, 28, 28, 4, 128, 131072, false},
    {"qwen2.5-14b", "Qwen/Qwen2.5-14B", TW_FAMILY_QWEN2, 152064, 5120, 13824, 48, 40, 8, 128, 131072, false},
    {"qwen2.5-32b", "Qwen/Qwen2.5-32B", TW_FAMILY_QWEN2, 152064, 5120, 27648, 64, 40, 8, 128, 131072, false},
    {"qwen2.5-72b", "Qwen/Qwen2.5-72B", TW_FAMILY_QWEN2, 152064, 8192, 29568, 80, 64, 8, 128, 131072, false},
    {"llama-3.1-8b", "meta-llama/Llama-3.1-8B", TW_FAMILY_LLAMA, 128256, 4096, 14336, 32, 32, 8, 128, 131072,
     false},
    {"llama-3.1-70b", "meta-llama/Llama-3.1-70B", TW_FAMILY_LLAMA, 128256, 8192, 28672, 80, 64, 8, 128,
     131072, false},
};

size_t plan_preset_count(void)
{
    return sizeof presets / sizeof presets[0];
}

const struct plan_preset *plan_preset_at(size_t i)
{
    return &presets[i];
}

trawl_status plan_preset_find(const char *name, const struct plan_preset **out, struct trawl_error *err)
{
    struct tw_str names;
    tw_str_init(&names, 0);
    trawl_status status = TRAWL_OK;
    for (size_t i = 0; status == TRAWL_OK && i < plan_preset_count(); i++) {
        if (strcasecmp(presets[i].name, name) == 0) {
            *out = &presets[i];
            tw_str_release(&names);
            return TRAWL_OK;
        }
        status = tw_str_printf(&names, err, ", %s", presets[i].name);
    }
    if (status == TRAWL_OK) {
        status = tw_fail(err, TRAWL_ERR_INVALID, "--preset \"%s\" is unknown, expected all%s", name,
                         tw_str_text(&names));
    }
    tw_str_release(&names);
    return status;
}

struct tw_model_config plan_preset_config(const struct plan_preset *p)
{
    struct tw_model_config c = {.family        = p->family,
                                .vocab         = p->vocab,
                                .hidden        = p->hidden,
                                .intermediate  = p->intermediate,
                                .n_layers      = p->n_layers,
                                .n_heads       = p->n_heads,
                                .n_kv_heads    = p->n_kv_heads,
                                .head_dim      = p->head_dim,
                                .max_positions = p->context,
                                .tied          = p->tied,
                                .qkv_bias      = p->family == TW_FAMILY_QWEN2,
                                .qk_norm       = p->family == TW_FAMILY_QWEN3};
    (void)snprintf(c.architecture, sizeof c.architecture, "%s",
                   p->family == TW_FAMILY_QWEN2 ? "Qwen2ForCausalLM" : "LlamaForCausalLM");
    return c;
}
