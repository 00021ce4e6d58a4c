/* SPDX-License-Identifier: MIT */
#include "store/store_layout.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"

enum { MAX_NAME = 200, MAX_WIDTH = 1 << 24, DEFAULT_CHUNK_BYTES = 256 << 20 };

/* ---- checks and copies ---- */

static bool name_is_plain(const char *name)
{
    size_t n = strlen(name);
    return n > 0 && n <= MAX_NAME && name[0] != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

static trawl_status check_site(const struct tw_store_config *config, size_t i, struct trawl_error *err)
{
    const struct tw_store_site *site = &config->sites[i];
    if (site->name == NULL || !name_is_plain(site->name)) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "site \"%.80s\": expected letters, digits, \".\", \"_\" and \"-\", at most %d of them",
                       site->name == NULL ? "" : site->name, MAX_NAME);
    }
    if (site->width == 0 || site->width > MAX_WIDTH) {
        return tw_fail(err, TRAWL_ERR_INVALID, "site %s: rows of %zu elements, expected 1 to %d", site->name,
                       site->width, MAX_WIDTH);
    }
    for (size_t j = 0; j < i; j++) {
        if (strcmp(site->name, config->sites[j].name) == 0) {
            return tw_fail(err, TRAWL_ERR_INVALID, "site %s is listed twice", site->name);
        }
    }
    return TRAWL_OK;
}

static trawl_status check_config(const struct tw_store_config *config, struct trawl_error *err)
{
    uint32_t n_shards = config->n_shards == 0 ? 1 : config->n_shards;
    if (config->n_sites == 0) {
        return tw_fail(err, TRAWL_ERR_INVALID, "an activation store needs at least one site");
    }
    if (config->dtype != TW_DTYPE_F32 && config->dtype != TW_DTYPE_BF16 && config->dtype != TW_DTYPE_F16) {
        return tw_fail(err, TRAWL_ERR_INVALID, "activations cannot be stored as %s: F32, BF16 or F16",
                       tw_dtype_name(config->dtype));
    }
    if (config->format == TW_STORE_PKL && config->dtype != TW_DTYPE_F32) {
        return tw_fail(err, TRAWL_ERR_INVALID, "activation pickles are F32, not %s",
                       tw_dtype_name(config->dtype));
    }
    if (config->shard >= n_shards) {
        return tw_fail(err, TRAWL_ERR_INVALID, "shard %u of %u: expected 0 to %u", config->shard, n_shards,
                       n_shards - 1);
    }
    for (size_t i = 0; i < config->n_sites; i++) {
        TW_TRY(check_site(config, i, err));
    }
    return TRAWL_OK;
}

static trawl_status copy_site(struct tw_layout_site *to, const struct tw_store_site *from,
                              struct trawl_error *err)
{
    char label[32];
    to->layer = from->layer < 0 ? -1 : from->layer;
    to->width = from->width;
    TW_TRY(tw_strdup(from->name, &to->name, err));
    (void)snprintf(label, sizeof label, "layer_%d", from->layer);
    return tw_strdup(from->layer < 0 ? from->name : label, &to->label, err);
}

static trawl_status copy_config(struct tw_layout *layout, const struct tw_store_config *config,
                                struct trawl_error *err)
{
    TW_TRY(tw_strdup(config->dir, &layout->dir, err));
    TW_TRY(tw_strdup(config->model_path == NULL ? "" : config->model_path, &layout->model_path, err));
    if (config->model_hash != NULL) {
        TW_TRY(tw_strdup(config->model_hash, &layout->model_hash, err));
    }
    TW_TRY(tw_alloc(config->n_sites, sizeof *layout->sites, &layout->sites, err));
    layout->n_sites = config->n_sites;
    for (size_t i = 0; i < config->n_sites; i++) {
        TW_TRY(copy_site(&layout->sites[i], &config->sites[i], err));
        for (size_t j = 0; j < i; j++) {
            if (strcmp(layout->sites[i].label, layout->sites[j].label) == 0) {
                return tw_fail(err, TRAWL_ERR_INVALID, "sites %s and %s would both be written as %s",
                               layout->sites[j].name, layout->sites[i].name, layout->sites[i].label);
            }
        }
        layout->max_width = tw_max_size(layout->max_width, config->sites[i].width);
    }
    return TRAWL_OK;
}

trawl_status tw_layout_init(struct tw_layout *layout, const struct tw_store_config *config,
                            struct trawl_error *err)
{
    *layout = (struct tw_layout){
        .format      = config->format,
        .dtype       = config->dtype,
        .columns     = config->columns,
        .shard       = config->shard,
        .n_shards    = config->n_shards == 0 ? 1 : config->n_shards,
        .chunk_bytes = config->chunk_bytes == 0 ? DEFAULT_CHUNK_BYTES : config->chunk_bytes,
        .batch_size  = config->batch_size,
        .hidden_size = config->hidden_size,
        .tree_leaves = config->tree_leaves,
    };
    TW_TRY(check_config(config, err));
    trawl_status status = copy_config(layout, config, err);
    if (status != TRAWL_OK) {
        tw_layout_release(layout);
    }
    return status;
}

void tw_layout_release(struct tw_layout *layout)
{
    for (size_t i = 0; i < layout->n_sites; i++) {
        tw_free(layout->sites[i].name);
        tw_free(layout->sites[i].label);
    }
    tw_free(layout->sites);
    tw_free(layout->dir);
    tw_free(layout->model_path);
    tw_free(layout->model_hash);
    *layout = (struct tw_layout){0};
}

const char *tw_layout_dtype_name(const struct tw_layout *layout)
{
    return layout->dtype == TW_DTYPE_F32    ? "float32"
           : layout->dtype == TW_DTYPE_BF16 ? "bfloat16"
                                            : "float16";
}

const char *tw_layout_format_name(const struct tw_layout *layout)
{
    return layout->format == TW_STORE_PKL ? "pkl" : "safetensors";
}

/* ---- identity ---- */

trawl_status tw_layout_settings(const struct tw_layout *layout, const struct tw_store_config *config,
                                struct tw_str *text, struct tw_setting **out, size_t *n,
                                struct trawl_error *err)
{
    static const char *const keys[] = {"store.format",      "store.dtype", "store.columns",
                                       "store.chunk_bytes", "store.shard", "store.sites"};
    enum { OWN = sizeof keys / sizeof keys[0] };
    *out = NULL;
    *n   = 0;
    tw_str_reset(text); /* the values one after another, each with its terminator */
    TW_TRY(tw_str_printf(text, err, "%s%c%s%c%u%c%zu%c%u of %u%c", tw_layout_format_name(layout), 0,
                         tw_layout_dtype_name(layout), 0, layout->columns, 0, layout->chunk_bytes, 0,
                         layout->shard, layout->n_shards, 0));
    for (size_t i = 0; i < layout->n_sites; i++) {
        TW_TRY(tw_str_printf(text, err, "%s%s:%d:%zu", i == 0 ? "" : " ", layout->sites[i].name,
                             layout->sites[i].layer, layout->sites[i].width));
    }
    TW_TRY(tw_alloc(config->n_settings + OWN, sizeof **out, out, err));
    memcpy(*out, config->settings, config->n_settings * sizeof **out);
    const char *value = text->data;
    for (size_t i = 0; i < OWN; i++) {
        (*out)[config->n_settings + i] = (struct tw_setting){.key = keys[i], .value = value};
        value += strlen(value) + 1;
    }
    *n = config->n_settings + OWN;
    return TRAWL_OK;
}

/* ---- names ---- */

trawl_status tw_layout_chunk_name(const struct tw_layout *layout, size_t site, uint64_t number, char **out,
                                  struct trawl_error *err)
{
    struct tw_str name;
    const struct tw_layout_site *s = &layout->sites[site];
    tw_str_init(&name, 0);
    trawl_status status;
    if (layout->format == TW_STORE_PKL) {
        status = tw_str_printf(&name, err, "%s_batch_%06llu.pkl", s->label, (unsigned long long)number);
    } else {
        status = tw_str_printf(&name, err, "%s/shard-%05u-chunk-%08llu.safetensors", s->name, layout->shard,
                               (unsigned long long)number);
    }
    *out = name.data;
    return status;
}

const char *tw_layout_chunk_dir(const struct tw_layout *layout, size_t site)
{
    return layout->format == TW_STORE_PKL ? "" : layout->sites[site].name;
}

bool tw_layout_is_chunk(const struct tw_layout *layout, size_t site, const char *entry, uint64_t *number,
                        bool *temporary)
{
    char prefix[MAX_NAME + 16];
    bool pkl           = layout->format == TW_STORE_PKL;
    const char *suffix = pkl ? ".pkl" : ".safetensors";
    if (pkl) {
        (void)snprintf(prefix, sizeof prefix, "%s_batch_", layout->sites[site].label);
    } else {
        (void)snprintf(prefix, sizeof prefix, "shard-%05u-chunk-", layout->shard);
    }
    if (strncmp(entry, prefix, strlen(prefix)) != 0) {
        return false;
    }
    const char *digits = entry + strlen(prefix);
    size_t n           = strspn(digits, "0123456789");
    if (n < (pkl ? 6u : 8u) || n > 18 || strncmp(digits + n, suffix, strlen(suffix)) != 0) {
        return false;
    }
    *number = 0;
    for (size_t i = 0; i < n; i++) {
        *number = *number * 10 + (uint64_t)(digits[i] - '0');
    }
    const char *rest = digits + n + strlen(suffix);
    *temporary       = strcmp(rest, ".tmp") == 0;
    return *temporary || rest[0] == '\0';
}
