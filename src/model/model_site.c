/* SPDX-License-Identifier: MIT */
#include "model/model_site.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names with their layer written as '#'; the first of a kind is the canonical one. */
static const struct {
    const char *name;
    enum tw_site_kind kind;
} names[] = {
    {"hook_embed", TW_SITE_EMBED},
    {"model.embed_tokens", TW_SITE_EMBED},
    {"embed_tokens", TW_SITE_EMBED},
    {"blocks.#.hook_resid_pre", TW_SITE_RESID_PRE},
    {"blocks.#.hook_in", TW_SITE_RESID_PRE},
    {"blocks.#.hook_resid_mid", TW_SITE_RESID_MID},
    {"blocks.#.hook_resid_post", TW_SITE_RESID_POST},
    {"blocks.#.hook_out", TW_SITE_RESID_POST},
    {"model.layers.#", TW_SITE_RESID_POST},
    {"layers.#", TW_SITE_RESID_POST},
    {"layer_#", TW_SITE_RESID_POST},
    {"blocks.#.hook_attn_out", TW_SITE_ATTN_OUT},
    {"model.layers.#.self_attn", TW_SITE_ATTN_OUT},
    {"layers.#.self_attn", TW_SITE_ATTN_OUT},
    {"blocks.#.hook_mlp_out", TW_SITE_MLP_OUT},
    {"model.layers.#.mlp", TW_SITE_MLP_OUT},
    {"layers.#.mlp", TW_SITE_MLP_OUT},
    {"blocks.#.attn.hook_q", TW_SITE_Q},
    {"model.layers.#.self_attn.q_proj", TW_SITE_Q},
    {"layers.#.self_attn.q_proj", TW_SITE_Q},
    {"blocks.#.attn.hook_k", TW_SITE_K},
    {"model.layers.#.self_attn.k_proj", TW_SITE_K},
    {"layers.#.self_attn.k_proj", TW_SITE_K},
    {"blocks.#.attn.hook_v", TW_SITE_V},
    {"model.layers.#.self_attn.v_proj", TW_SITE_V},
    {"layers.#.self_attn.v_proj", TW_SITE_V},
    {"blocks.#.attn.hook_z", TW_SITE_Z},
    {"blocks.#.mlp.hook_pre", TW_SITE_MLP_PRE},
    {"model.layers.#.mlp.gate_proj", TW_SITE_MLP_PRE},
    {"layers.#.mlp.gate_proj", TW_SITE_MLP_PRE},
    {"blocks.#.mlp.hook_pre_linear", TW_SITE_MLP_PRE_LINEAR},
    {"model.layers.#.mlp.up_proj", TW_SITE_MLP_PRE_LINEAR},
    {"layers.#.mlp.up_proj", TW_SITE_MLP_PRE_LINEAR},
    {"blocks.#.mlp.hook_post", TW_SITE_MLP_POST},
    {"ln_final.hook_normalized", TW_SITE_FINAL_NORM},
    {"model.norm", TW_SITE_FINAL_NORM},
    {"norm", TW_SITE_FINAL_NORM},
};

enum { N_NAMES = sizeof names / sizeof names[0] };

void tw_site_name(struct tw_site site, char out[TW_SITE_NAME_BYTES])
{
    for (size_t i = 0; i < N_NAMES; i++) {
        if (names[i].kind == site.kind) {
            const char *mark = strchr(names[i].name, '#');
            if (mark == NULL) {
                (void)snprintf(out, TW_SITE_NAME_BYTES, "%s", names[i].name);
            } else {
                (void)snprintf(out, TW_SITE_NAME_BYTES, "%.*s%zu%s", (int)(mark - names[i].name),
                               names[i].name, site.layer, mark + 1);
            }
            return;
        }
    }
}

size_t tw_site_width(struct tw_site site, const struct tw_model_config *c)
{
    switch (site.kind) {
    case TW_SITE_EMBED:
    case TW_SITE_RESID_PRE:
    case TW_SITE_RESID_MID:
    case TW_SITE_RESID_POST:
    case TW_SITE_ATTN_OUT:
    case TW_SITE_MLP_OUT:
    case TW_SITE_FINAL_NORM: return c->hidden;
    case TW_SITE_Q:
    case TW_SITE_Z: return c->n_heads * c->head_dim;
    case TW_SITE_K:
    case TW_SITE_V: return c->n_kv_heads * c->head_dim;
    case TW_SITE_MLP_PRE:
    case TW_SITE_MLP_PRE_LINEAR:
    case TW_SITE_MLP_POST: return c->intermediate;
    case TW_SITE_KINDS: break;
    }
    return 0;
}

/* Layers that the text at `s` selects: a number, "*", or "[1,2,5]". Marks them in `chosen` and returns the
 * end of that text, NULL when it is none of these. A number past the last layer is kept in *beyond. */
static const char *layers_of(const char *s, bool *chosen, size_t n_layers, unsigned long *beyond)
{
    if (*s == '*') {
        memset(chosen, 1, n_layers);
        return s + 1;
    }
    bool list = *s == '[';
    s += list ? 1 : 0;
    for (;;) {
        if (!isdigit((unsigned char)*s)) {
            return NULL;
        }
        char *end       = NULL;
        unsigned long v = strtoul(s, &end, 10);
        if (v < n_layers) {
            chosen[v] = true;
        } else {
            *beyond = v;
        }
        s = end;
        if (!list) {
            return s;
        }
        if (*s == ']') {
            return s + 1;
        }
        if (*s++ != ',') {
            return NULL;
        }
    }
}

static trawl_status add_site(struct tw_site site, struct tw_site *sites, size_t capacity, size_t *n,
                             struct trawl_error *err)
{
    for (size_t i = 0; i < *n; i++) {
        if (sites[i].kind == site.kind && sites[i].layer == site.layer) {
            return TRAWL_OK;
        }
    }
    if (*n == capacity) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "more than %zu sites", capacity);
    }
    sites[(*n)++] = site;
    return TRAWL_OK;
}

enum { LAYERS_MAX = 1 << 12 }; /* as model_config.c allows */

trawl_status tw_site_parse(const char *pattern, const struct tw_model_config *c, struct tw_site *sites,
                           size_t capacity, size_t *n, struct trawl_error *err)
{
    for (size_t i = 0; i < N_NAMES; i++) {
        const char *name = names[i].name;
        const char *mark = strchr(name, '#');
        if (mark == NULL) {
            if (strcmp(name, pattern) == 0) {
                return add_site((struct tw_site){names[i].kind, 0}, sites, capacity, n, err);
            }
            continue;
        }
        size_t head = (size_t)(mark - name);
        if (strncmp(name, pattern, head) != 0) {
            continue;
        }
        bool chosen[LAYERS_MAX] = {false};
        unsigned long beyond    = 0;
        const char *rest        = layers_of(pattern + head, chosen, c->n_layers, &beyond);
        if (rest == NULL || strcmp(rest, mark + 1) != 0) {
            continue;
        }
        if (beyond != 0) {
            return tw_fail(err, TRAWL_ERR_INVALID,
                           "site \"%s\": layer %lu of a model with %zu layers (0 to %zu)", pattern, beyond,
                           c->n_layers, c->n_layers - 1);
        }
        for (size_t l = 0; l < c->n_layers; l++) {
            if (chosen[l]) {
                TW_TRY(add_site((struct tw_site){names[i].kind, l}, sites, capacity, n, err));
            }
        }
        return TRAWL_OK;
    }
    return tw_fail(
        err, TRAWL_ERR_INVALID,
        "\"%s\" is no site; sites are hook_embed, blocks.{i}.hook_resid_pre|mid|post, hook_attn_out, "
        "hook_mlp_out, attn.hook_q|k|v|z, mlp.hook_pre|pre_linear|post and ln_final.hook_normalized",
        pattern);
}

size_t tw_site_depth(struct tw_site site, const struct tw_model_config *c)
{
    if (site.kind == TW_SITE_FINAL_NORM) {
        return c->n_layers;
    }
    return site.kind == TW_SITE_EMBED || site.kind == TW_SITE_RESID_PRE ? site.layer : site.layer + 1;
}
