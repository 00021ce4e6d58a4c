/* SPDX-License-Identifier: MIT */
#include <fenv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/size.h"
#include "formats/formats_safetensors.h"
#include "store/store_columns.h"
#include "store/store_reader.h"
#include "store/store_stats.h"
#include "store/store_verify.h"
#include "json/json.h"

enum { PIECE_ROWS = 64 };

struct content {
    struct tw_verify *v;
    struct tw_reader *r;
    struct tw_store_config config;
    struct tw_layout layout;
    struct tw_stats stats;
    float *rows;  /* [PIECE_ROWS, widest] */
    int64_t *ids; /* of the runs of the chunk under way */
    size_t n_ids, capacity;
    size_t chunk;                        /* number of chunks begun */
    const struct tw_verify_file *record; /* of the chunk under way, of its first site */
    uint64_t chunk_rows;
    bool shuffled; /* rows of a request do not follow each other */
};

/* What a reader refuses is a problem of the store; what the system refuses is a failure. */
static trawl_status to_problem(struct content *c, trawl_status status, const struct trawl_error *why,
                               struct trawl_error *err)
{
    if (status == TRAWL_ERR_FORMAT || status == TRAWL_ERR_UNSUPPORTED || status == TRAWL_ERR_LIMIT ||
        status == TRAWL_ERR_INVALID) {
        return tw_verify_problem(c->v, err, "%s", why->message);
    }
    *err = *why;
    return status;
}

static const struct tw_verify_file *find_record(const struct content *c)
{
    const char *name = tw_reader_file(c->r, 0);
    for (size_t i = (c->chunk - 1) * c->config.n_sites; i < c->v->n_files; i++) {
        if (strcmp(c->v->files[i].name, name) == 0) {
            return &c->v->files[i];
        }
    }
    return &c->v->files[0];
}

/* ---- headers and columns of a chunk ---- */

static trawl_status check_text(struct content *c, const struct tw_safetensors *st, const char *file,
                               const char *key, const char *want, struct trawl_error *err)
{
    const char *found = tw_safetensors_metadata(st, key);
    if (found != NULL && strcmp(found, want) == 0) {
        return TRAWL_OK;
    }
    return tw_verify_problem(c->v, err, "%s: its header has %s \"%.60s\", the manifest \"%.60s\"", file, key,
                             found == NULL ? "" : found, want);
}

/* Every site's chunk repeats the columns. */
static trawl_status check_columns(struct content *c, const struct tw_safetensors *first,
                                  const struct tw_safetensors *st, const char *file, struct trawl_error *err)
{
    for (enum tw_column i = 0; i < TW_COLUMNS; i++) {
        if (!tw_column_present(i, c->config.columns)) {
            continue;
        }
        const char *name                      = tw_column_info(i)->name;
        const struct tw_safetensors_tensor *a = tw_safetensors_find(first, name);
        const struct tw_safetensors_tensor *b = tw_safetensors_find(st, name);
        if (a == NULL || b == NULL || a->bytes != b->bytes || memcmp(a->data, b->data, a->bytes) != 0) {
            TW_TRY(tw_verify_problem(c->v, err, "%s: column \"%s\" is not that of %s", file, name,
                                     tw_reader_file(c->r, 0)));
        }
    }
    return TRAWL_OK;
}

static trawl_status check_header(struct content *c, size_t site, const struct tw_safetensors *first,
                                 const struct tw_safetensors *st, struct trawl_error *err)
{
    const char *file = tw_reader_file(c->r, site);
    char number[24], shard[32];
    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)c->record->chunk);
    (void)snprintf(shard, sizeof shard, "%u of %u", c->config.shard, c->config.n_shards);
    TW_TRY(check_text(c, st, file, "site", c->config.sites[site].name, err));
    TW_TRY(check_text(c, st, file, "chunk", number, err));
    TW_TRY(check_text(c, st, file, "shard", shard, err));
    TW_TRY(check_text(c, st, file, "run_hash", c->v->run_hash, err));
    return site == 0 ? TRAWL_OK : check_columns(c, first, st, file, err);
}

static trawl_status check_chunk(struct content *c, struct trawl_error *err)
{
    struct tw_safetensors *first = NULL;
    trawl_status status          = TRAWL_OK;
    for (size_t i = 0; status == TRAWL_OK && i < c->config.n_sites; i++) {
        struct tw_safetensors *st = NULL;
        char *path                = NULL;
        status                    = tw_path_join(c->v->dir, tw_reader_file(c->r, i), &path, err);
        if (status == TRAWL_OK) {
            status = tw_safetensors_open(&st, path, err);
        }
        if (status == TRAWL_OK) {
            status = check_header(c, i, first, st, err);
        }
        tw_free(path);
        if (i == 0) {
            first = st;
        } else {
            tw_safetensors_close(st);
        }
    }
    tw_safetensors_close(first);
    return status;
}

/* ---- rows ---- */

static int compare_ids(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* All runs of a chunk were seen: are its requests those of the manifest? */
static trawl_status end_chunk(struct content *c, struct trawl_error *err)
{
    const struct tw_verify_file *f = c->record;
    size_t n                       = 0;
    bool inside                    = true;
    if (c->n_ids > 0) {
        qsort(c->ids, c->n_ids, sizeof *c->ids, compare_ids);
    }
    for (size_t i = 0; i < c->n_ids; i++) {
        n += i == 0 || c->ids[i] != c->ids[i - 1];
        inside = inside && (uint64_t)c->ids[i] >= f->first && (uint64_t)c->ids[i] < f->end;
    }
    c->shuffled = c->shuffled || c->n_ids != f->requests;
    c->n_ids    = 0;
    if (n == f->requests && inside && c->chunk_rows == f->rows) {
        return TRAWL_OK;
    }
    return tw_verify_problem(
        c->v, err, "%s: %zu requests with %llu rows, the manifest says %llu from %llu to %llu with %llu",
        f->name, n, (unsigned long long)c->chunk_rows, (unsigned long long)f->requests,
        (unsigned long long)f->first, (unsigned long long)f->end - 1, (unsigned long long)f->rows);
}

static trawl_status begin_chunk(struct content *c, struct trawl_error *err)
{
    c->chunk      = tw_reader_chunk(c->r) + 1;
    c->chunk_rows = 0;
    c->record     = find_record(c);
    return c->config.format == TW_STORE_SAFETENSORS ? check_chunk(c, err) : TRAWL_OK;
}

static trawl_status add_run(struct content *c, const struct tw_store_request *q, struct trawl_error *err)
{
    TW_TRY(tw_grow(&c->ids, &c->capacity, c->n_ids + 1, sizeof *c->ids, err));
    c->ids[c->n_ids++] = (int64_t)q->id;
    c->chunk_rows += q->n_rows;
    c->v->check->rows += q->n_rows;
    for (size_t i = 0; i < c->config.n_sites; i++) {
        for (size_t at = 0; at < q->n_rows; at += PIECE_ROWS) {
            size_t n = tw_min_size(PIECE_ROWS, q->n_rows - at);
            tw_reader_rows(c->r, i, at, n, c->rows);
            tw_stats_add(&c->stats.sites[i], c->rows, n);
        }
    }
    return TRAWL_OK;
}

static trawl_status walk_rows(struct content *c, struct trawl_error *err)
{
    for (bool more = true;;) {
        struct tw_store_request q;
        struct trawl_error why = {0};
        size_t before          = c->chunk;
        trawl_status status    = tw_reader_next_run(c->r, &q, &more, &why);
        if (status != TRAWL_OK) {
            return to_problem(c, status, &why, err);
        }
        if (before > 0 && (!more || tw_reader_chunk(c->r) + 1 != before)) {
            TW_TRY(end_chunk(c, err));
        }
        if (!more) {
            return TRAWL_OK;
        }
        if (tw_reader_chunk(c->r) + 1 != before) {
            TW_TRY(begin_chunk(c, err));
        }
        TW_TRY(add_run(c, &q, err));
    }
}

/* In their order the requests have the very numbers that the manifest lists. */
static trawl_status check_numbers(struct content *c, struct trawl_error *err)
{
    bool more = true;
    tw_reader_seek(c->r, 0);
    while (!c->shuffled && more) {
        struct tw_store_request q;
        struct trawl_error why = {0};
        trawl_status status    = tw_reader_next(c->r, &q, &more, &why);
        if (status != TRAWL_OK) {
            return to_problem(c, status, &why, err);
        }
    }
    return TRAWL_OK;
}

/* ---- statistics ---- */

static trawl_status check_statistics(struct content *c, struct trawl_error *err)
{
    struct tw_str made;
    char *path = NULL, *stored = NULL;
    size_t size = 0;
    if (tw_reader_groups(c->r) == 0) {
        return TRAWL_OK;
    }
    tw_str_init(&made, 0);
    trawl_status status = tw_stats_encode(&c->stats, &c->layout, &made, err);
    if (status == TRAWL_OK) {
        status = tw_path_join(c->v->dir, TW_STATS_NAME, &path, err);
    }
    if (status == TRAWL_OK) {
        status = tw_file_read(path, SIZE_MAX, &stored, &size, err);
    }
    if (status == TRAWL_OK && (size != made.size || memcmp(stored, tw_str_text(&made), size) != 0)) {
        status =
            tw_verify_problem(c->v, err, "%s: not the statistics of the rows that are stored", TW_STATS_NAME);
    }
    tw_free(path);
    tw_free(stored);
    tw_str_release(&made);
    return status;
}

/* ---- metadata.json ---- */

static bool same_integer(const json_t *object, const char *key, uint64_t want)
{
    const json_t *v = json_object_get(object, key);
    return json_is_integer(v) && (uint64_t)json_integer_value(v) == want;
}

static bool same_text(const json_t *object, const char *key, const char *want)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL && strcmp(text, want) == 0;
}

static bool same_double(const json_t *object, const char *key, double want)
{
    double found = json_number_value(json_object_get(object, key));
    return memcmp(&found, &want, sizeof found) == 0 || found == want;
}

static bool sites_agree(const struct content *c, const json_t *sites)
{
    bool same = json_array_size(sites) == c->config.n_sites;
    for (size_t i = 0; same && i < c->config.n_sites; i++) {
        const json_t *site            = json_array_get(sites, i);
        const struct tw_site_stats *s = &c->stats.sites[i];
        same                          = same_text(site, "name", c->config.sites[i].name) &&
               same_integer(site, "width", c->config.sites[i].width) &&
               same_integer(site, "rows", s->rows + s->nonfinite) &&
               same_integer(site, "nonfinite_rows", s->nonfinite) &&
               same_double(site, "mean_norm", tw_stats_mean_norm(s)) &&
               same_double(site, "rms_norm", tw_stats_rms_norm(s));
    }
    return same;
}

static bool batches_agree(const struct content *c, const json_t *batches)
{
    bool same = json_array_size(batches) == c->v->n_files;
    for (size_t i = 0; same && i < c->v->n_files; i++) {
        const json_t *batch            = json_array_get(batches, i);
        const struct tw_verify_file *f = &c->v->files[i];
        same = same_text(batch, "file", f->name) && same_integer(batch, "batch_id", f->chunk) &&
               same_integer(batch, "n_samples", f->requests);
    }
    return same;
}

/* While a run goes on it may be some commits behind, so only a complete one is compared. */
static trawl_status check_metadata(struct content *c, struct trawl_error *err)
{
    const json_t *m  = tw_reader_metadata(c->r);
    const char *what = NULL;
    if (!json_is_true(json_object_get(m, "complete"))) {
        return TRAWL_OK;
    }
    if (!same_text(m, "format", tw_layout_format_name(&c->layout)) ||
        !same_text(m, "dtype", tw_layout_dtype_name(&c->layout)) ||
        !same_text(m, "run_hash", c->v->run_hash)) {
        what = "its format, dtype or run_hash";
    } else if (!same_integer(m, "groups", tw_reader_groups(c->r)) ||
               !same_integer(m, "end", tw_reader_end(c->r))) {
        what = "its number of groups or its end";
    } else if (!batches_agree(c, json_object_get(m, "batches"))) {
        what = "its list of files";
    }
    if (what != NULL) {
        return tw_verify_problem(c->v, err, "%s: %s is not that of the manifest", TW_METADATA_NAME, what);
    }
    if (!sites_agree(c, json_object_get(m, "sites"))) {
        return tw_verify_problem(c->v, err, "%s: the figures of its sites are not those of the rows",
                                 TW_METADATA_NAME);
    }
    return TRAWL_OK;
}

/* ---- all of it ---- */

static trawl_status prepare(struct content *c, struct trawl_error *err)
{
    tw_reader_config(c->r, &c->config);
    c->config.dir = c->v->dir;
    TW_TRY(tw_layout_init(&c->layout, &c->config, err));
    TW_TRY(tw_stats_init(&c->stats, &c->layout, err));
    return tw_alloc(PIECE_ROWS * c->layout.max_width, sizeof *c->rows, &c->rows, err);
}

static trawl_status check_all(struct content *c, struct trawl_error *err)
{
    uint64_t problems = c->v->check->problems;
    TW_TRY(walk_rows(c, err));
    if (c->v->check->problems > problems) {
        return TRAWL_OK; /* what follows would only say so again */
    }
    TW_TRY(check_numbers(c, err));
    TW_TRY(check_statistics(c, err));
    return check_metadata(c, err);
}

trawl_status tw_verify_content(struct tw_verify *v, struct trawl_error *err)
{
    struct content c       = {.v = v};
    struct trawl_error why = {0};
    fenv_t mode;
    (void)fegetenv(&mode);
    (void)fesetenv(FE_DFL_ENV); /* as the thread that made the statistics */
    trawl_status status = tw_reader_open(&c.r, v->dir, &why);
    if (status == TRAWL_OK) {
        status = prepare(&c, &why);
    }
    status = status == TRAWL_OK ? check_all(&c, err) : to_problem(&c, status, &why, err);
    (void)fesetenv(&mode);
    tw_reader_close(c.r);
    tw_stats_release(&c.stats);
    tw_layout_release(&c.layout);
    tw_free(c.rows);
    tw_free(c.ids);
    return status;
}
