/* SPDX-License-Identifier: MIT */
/* A store replayed into one of pickles: request by request, in the commit groups that it has. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "store/store_export_int.h"
#include "json/json.h"

struct replay {
    struct tw_export *x;
    struct tw_store *store;
    struct tw_store_site *sites;
    struct tw_setting *settings;
    size_t n_settings;
    char rows[24];
};

static trawl_status add_settings(struct replay *p, struct trawl_error *err)
{
    static const char *const only[]  = {"all", "prompt", "generated"};
    const struct tw_export_config *c = p->x->c;
    const json_t *run                = tw_reader_settings(p->x->r);
    const char *key;
    json_t *value;
    TW_TRY(tw_alloc(json_object_size(run) + 2, sizeof *p->settings, &p->settings, err));
    json_object_foreach((json_t *)(uintptr_t)run, key, value)
    {
        if (strncmp(key, "store.", 6) != 0 && strncmp(key, "export.", 7) != 0) {
            p->settings[p->n_settings++] = (struct tw_setting){key, json_string_value(value)};
        }
    }
    if (c->only != TW_EXPORT_ALL) { /* another choice of rows is another store */
        p->settings[p->n_settings++] = (struct tw_setting){"export.only", only[c->only]};
    }
    if (c->max_rows > 0) {
        (void)snprintf(p->rows, sizeof p->rows, "%llu", (unsigned long long)c->max_rows);
        p->settings[p->n_settings++] = (struct tw_setting){"export.max_rows", p->rows};
    }
    return TRAWL_OK;
}

static trawl_status open_store(struct replay *p, struct trawl_error *err)
{
    struct tw_export *x      = p->x;
    const json_t *meta       = tw_reader_metadata(x->r);
    const char *model_path   = json_string_value(json_object_get(meta, "model_path"));
    struct tw_store_config c = x->config;
    TW_TRY(add_settings(p, err));
    TW_TRY(tw_alloc(x->n_sites, sizeof *p->sites, &p->sites, err));
    for (size_t i = 0; i < x->n_sites; i++) {
        p->sites[i] = x->config.sites[x->sites[i]];
    }
    c.dir         = x->root;
    c.format      = TW_STORE_PKL;
    c.dtype       = TW_DTYPE_F32;
    c.columns     = 0;
    c.sites       = p->sites;
    c.n_sites     = x->n_sites;
    c.settings    = p->settings;
    c.n_settings  = p->n_settings;
    c.keep_groups = TW_STORE_KEEP_ALL;
    c.resume      = false;
    c.model_path  = model_path;
    c.model_hash  = json_string_value(json_object_get(meta, "model_hash"));
    c.batch_size  = (uint64_t)json_integer_value(json_object_get(meta, "batch_size"));
    c.hidden_size = (uint64_t)json_integer_value(json_object_get(meta, "hidden_size"));
    c.tree_leaves = (uint64_t)json_integer_value(json_object_get(meta, "tree_leaves"));
    return tw_store_open(&c, &p->store, err);
}

/* What a safetensors store does not have, a request is called by its number. */
static trawl_status begin_request(struct replay *p, size_t n_rows, struct trawl_error *err)
{
    struct tw_store_request q = p->x->q;
    int32_t *zeros            = NULL;
    q.n_rows                  = n_rows;
    q.position                = NULL;
    q.is_generated            = NULL;
    q.logprob = q.entropy = NULL;
    q.cell_row = q.cell_col = NULL;
    if (q.task_id == NULL) {
        q.task_id    = "";
        q.sample_idx = (int64_t)q.id;
    }
    TW_TRY(
        tw_alloc(n_rows, sizeof *zeros, &zeros, err)); /* pickles have no tokens; the store asks for them */
    q.token             = zeros;
    trawl_status status = tw_store_begin_request(p->store, &q, err);
    tw_free(zeros);
    return status;
}

static trawl_status write_site(struct replay *p, size_t site, uint64_t taken, struct trawl_error *err)
{
    struct tw_export *x = p->x;
    x->at               = 0;
    x->taken            = taken;
    for (;;) {
        struct tw_export_piece piece = tw_export_piece(x);
        if (piece.n == 0) {
            return TRAWL_OK;
        }
        for (size_t at = 0; at < piece.n; at += TW_EXPORT_ROWS) {
            size_t n    = tw_min_size(TW_EXPORT_ROWS, piece.n - at);
            size_t from = x->sites[site];
            tw_export_convert(x->config.dtype, tw_reader_stored(x->r, from, piece.first + at), TW_DTYPE_F32,
                              x->floats, n * x->config.sites[from].width);
            TW_TRY(tw_store_rows(p->store, site, x->floats, n, err));
        }
        TW_TRY(tw_export_tick(x, piece.n, err));
    }
}

static trawl_status write_request(struct replay *p, struct trawl_error *err)
{
    struct tw_export *x = p->x;
    uint64_t taken      = x->taken;
    while (tw_export_piece(x).n > 0) {
    }
    if (x->taken == taken) {
        return TRAWL_OK;
    }
    TW_TRY(begin_request(p, (size_t)(x->taken - taken), err));
    for (size_t i = 0; i < x->n_sites; i++) {
        TW_TRY(write_site(p, i, taken, err));
    }
    return tw_store_end_request(p->store, err);
}

static trawl_status replay(struct replay *p, struct trawl_error *err)
{
    struct tw_export *x = p->x;
    TW_TRY(tw_export_seek(x, 0, 0, err));
    for (uint64_t group = 0; group < tw_reader_groups(x->r); group++) {
        uint64_t first, end;
        tw_reader_group(x->r, group, &first, &end);
        while (x->more && x->q.id < end) {
            TW_TRY(write_request(p, err));
            TW_TRY(tw_export_advance(x, err));
        }
        TW_TRY(tw_store_commit(p->store, first, end, err));
    }
    return json_is_true(json_object_get(tw_reader_metadata(x->r), "complete"))
               ? tw_store_finish(p->store, err)
               : TRAWL_OK;
}

/* Files and bytes, as the manifest of the new store has them. */
static trawl_status sum_up(struct tw_export *x, struct trawl_error *err)
{
    struct tw_store_check check;
    struct tw_str report;
    tw_str_init(&report, 0);
    trawl_status status = tw_store_verify(x->root, &check, &report, err);
    if (status == TRAWL_OK && check.problems > 0) {
        status = tw_fail(err, TRAWL_ERR_IO, "what was written does not read back as it was: %s",
                         tw_str_text(&report));
    }
    x->summary->files = check.files;
    x->summary->bytes = check.bytes;
    tw_str_release(&report);
    return status;
}

trawl_status tw_export_pickles(struct tw_export *x, struct trawl_error *err)
{
    struct replay p     = {.x = x};
    trawl_status status = open_store(&p, err);
    if (status == TRAWL_OK) {
        status = replay(&p, err);
    }
    tw_store_close(p.store);
    tw_free(p.sites);
    tw_free(p.settings);
    return status == TRAWL_OK ? sum_up(x, err) : status;
}
