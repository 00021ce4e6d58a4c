/* SPDX-License-Identifier: MIT */
#include "store/store_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/size.h"
#include "formats/formats_safetensors.h"
#include "store/store_columns.h"
#include "store/store_manifest.h"
#include "store/store_pickle.h"
#include "store/store_scan.h"
#include "json/json.h"

/* A chunk of all sites, as the manifest has it. */
struct chunk {
    char **files;  /* [n_sites] below dir */
    char *numbers; /* NULL: all from `first` on */
    uint64_t first, end, requests, rows;
};

/* One site of the chunk that is being read. */
struct source {
    struct tw_safetensors *st;
    const struct tw_safetensors_tensor *activation;
    struct tw_mapped_file file;
    struct tw_pickle_reader pickle;
    const uint8_t *rows; /* of the request */
};

struct tw_reader {
    char *dir;
    struct tw_journal_scan scan;
    json_t *metadata;
    enum tw_store_format format;
    enum tw_dtype dtype;
    unsigned columns;
    size_t chunk_bytes;
    uint32_t shard, n_shards;
    struct tw_store_site *sites; /* names owned */
    size_t n_sites;
    struct chunk *chunks;
    size_t n_chunks, capacity;
    /* Where it stands. */
    struct source *sources;        /* [n_sites] */
    size_t chunk;                  /* number of the one that is open, + 1 */
    uint64_t taken;                /* requests of it */
    size_t row;                    /* of it */
    uint64_t stretch, stretch_end; /* numbers of the stretch under way: next, and after its last */
    const char *numbers;           /* what comes after it */
    char *task_id;
    void *column[TW_COLUMNS]; /* of the request */
};

/* ---- the store's own settings ---- */

static trawl_status setting(const struct tw_reader *r, const char *key, const char **out,
                            struct trawl_error *err)
{
    *out = NULL;
    TW_TRY(tw_json_get_string(r->scan.run, key, r->dir, out, err));
    return *out != NULL
               ? TRAWL_OK
               : tw_fail(err, TRAWL_ERR_FORMAT, "%s: manifest.jsonl has no setting \"%s\"", r->dir, key);
}

/* "name:layer:width name:layer:width ..." */
static trawl_status parse_sites(struct tw_reader *r, const char *text, struct trawl_error *err)
{
    size_t capacity = 0;
    while (*text != '\0') {
        size_t n = strcspn(text, " :");
        char *end;
        TW_TRY(tw_grow(&r->sites, &capacity, r->n_sites + 1, sizeof *r->sites, err));
        struct tw_store_site *s = &r->sites[r->n_sites];
        *s                      = (struct tw_store_site){0};
        char *name              = NULL;
        TW_TRY(tw_strndup(text, n, &name, err));
        s->name = name;
        r->n_sites++;
        bool good = text[n] == ':';
        if (good) {
            s->layer = (int)strtol(text + n + 1, &end, 10);
            good     = *end == ':';
        }
        if (good) {
            s->width = strtoull(end + 1, &end, 10);
            good     = s->width > 0 && (*end == ' ' || *end == '\0');
        }
        if (!good) {
            return tw_fail(err, TRAWL_ERR_FORMAT,
                           "%s: manifest.jsonl: \"store.sites\" cannot be read at \"%.60s\"", r->dir, text);
        }
        text = *end == ' ' ? end + 1 : end;
    }
    return TRAWL_OK;
}

static trawl_status read_settings(struct tw_reader *r, struct trawl_error *err)
{
    const char *format, *dtype, *columns, *bytes, *shard, *sites;
    TW_TRY(setting(r, "store.format", &format, err));
    TW_TRY(setting(r, "store.dtype", &dtype, err));
    TW_TRY(setting(r, "store.columns", &columns, err));
    TW_TRY(setting(r, "store.chunk_bytes", &bytes, err));
    TW_TRY(setting(r, "store.shard", &shard, err));
    TW_TRY(setting(r, "store.sites", &sites, err));
    r->format      = strcmp(format, "pkl") == 0 ? TW_STORE_PKL : TW_STORE_SAFETENSORS;
    r->dtype       = strcmp(dtype, "float32") == 0    ? TW_DTYPE_F32
                     : strcmp(dtype, "bfloat16") == 0 ? TW_DTYPE_BF16
                                                      : TW_DTYPE_F16;
    r->columns     = (unsigned)strtoul(columns, NULL, 10);
    r->chunk_bytes = strtoull(bytes, NULL, 10);
    if (!tw_parse_part(shard, &r->shard, &r->n_shards)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: manifest.jsonl: \"store.shard\" is \"%.60s\"", r->dir,
                       shard);
    }
    return parse_sites(r, sites, err);
}

/* Names of sites become paths and widths become memory: none that a store would not have written. */
static trawl_status check_settings(const struct tw_reader *r, struct trawl_error *err)
{
    struct tw_store_config config = {.dir = r->dir};
    struct tw_layout layout;
    tw_reader_config(r, &config);
    trawl_status status = tw_layout_init(&layout, &config, err);
    if (status != TRAWL_OK) {
        return tw_fail_prefix(err, status == TRAWL_ERR_NOMEM ? status : TRAWL_ERR_FORMAT,
                              "%s: manifest.jsonl", r->dir);
    }
    tw_layout_release(&layout);
    return TRAWL_OK;
}

/* ---- the manifest ---- */

/* Records of a chunk come site by site, in the order of the sites; which those are is known only afterwards,
 * so a chunk has files as they come. */
static trawl_status add_record(void *user, uint64_t group, const struct tw_manifest_record *m,
                               struct trawl_error *err)
{
    struct tw_reader *r = user;
    (void)group;
    if (m->site == NULL) {
        return TRAWL_OK;
    }
    size_t site = 0;
    while (site < r->n_sites && strcmp(r->sites[site].name, m->site) != 0) {
        site++;
    }
    if (site == r->n_sites) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "%s: manifest.jsonl: %s is of a site that the store does not have", r->dir, m->file);
    }
    if (site == 0) {
        TW_TRY(tw_grow(&r->chunks, &r->capacity, r->n_chunks + 1, sizeof *r->chunks, err));
        r->chunks[r->n_chunks] =
            (struct chunk){.first = m->first, .end = m->end, .requests = m->requests, .rows = m->rows};
        TW_TRY(tw_alloc(r->n_sites, sizeof(char *), &r->chunks[r->n_chunks].files, err));
        r->n_chunks++;
        if (m->numbers != NULL) {
            TW_TRY(tw_strdup(m->numbers, &r->chunks[r->n_chunks - 1].numbers, err));
        }
    }
    struct chunk *c = r->n_chunks == 0 ? NULL : &r->chunks[r->n_chunks - 1];
    if (c == NULL || c->files[site] != NULL || c->requests != m->requests || c->rows != m->rows) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "%s: manifest.jsonl: %s does not go with the other sites of its chunk", r->dir,
                       m->file);
    }
    return tw_strdup(m->file, &c->files[site], err);
}

static trawl_status add_line(void *user, uint64_t group, const char *text, size_t n, struct trawl_error *err)
{
    return tw_manifest_parse(text, n, TW_MANIFEST_NAME, group, add_record, user, err);
}

static trawl_status no_line(void *user, uint64_t group, const char *text, size_t n, struct trawl_error *err)
{
    (void)user, (void)group, (void)text, (void)n, (void)err;
    return TRAWL_OK;
}

static trawl_status open_reader(struct tw_reader *r, const char *dir, struct trawl_error *err)
{
    char *manifest = NULL, *metadata = NULL;
    TW_TRY(tw_strdup(dir, &r->dir, err));
    TW_TRY(tw_path_join(dir, TW_MANIFEST_NAME, &manifest, err));
    /* Twice: the header says which sites there are. */
    trawl_status status = tw_journal_read(&r->scan, manifest, TW_MANIFEST_KIND, no_line, NULL, err);
    if (status == TRAWL_OK) {
        status = read_settings(r, err);
    }
    if (status == TRAWL_OK) {
        status = check_settings(r, err);
    }
    if (status == TRAWL_OK) {
        struct tw_journal_scan again = {0};
        status                       = tw_journal_read(&again, manifest, TW_MANIFEST_KIND, add_line, r, err);
        tw_journal_scan_release(&again);
    }
    tw_free(manifest);
    TW_TRY(status);
    TW_TRY(tw_path_join(dir, TW_METADATA_NAME, &metadata, err));
    status = tw_json_parse_file(metadata, 0, &r->metadata, err);
    tw_free(metadata);
    TW_TRY(status);
    for (enum tw_column c = 0; c < TW_COLUMNS; c++) {
        r->column[c] = NULL;
    }
    return tw_alloc(r->n_sites, sizeof *r->sources, &r->sources, err);
}

trawl_status tw_reader_open(struct tw_reader **out, const char *dir, struct trawl_error *err)
{
    struct tw_reader *r = NULL;
    *out                = NULL;
    TW_TRY(tw_alloc(1, sizeof *r, &r, err));
    trawl_status status = open_reader(r, dir, err);
    if (status != TRAWL_OK) {
        tw_reader_close(r);
        return status;
    }
    *out = r;
    return TRAWL_OK;
}

static void close_chunk(struct tw_reader *r)
{
    for (size_t i = 0; r->sources != NULL && i < r->n_sites; i++) {
        struct source *s = &r->sources[i];
        if (s->file.data != NULL) {
            tw_mapped_file_close(&s->file);
        }
        tw_safetensors_close(s->st);
        *s = (struct source){0};
    }
}

void tw_reader_close(struct tw_reader *r)
{
    if (r == NULL) {
        return;
    }
    close_chunk(r);
    for (size_t i = 0; i < r->n_chunks; i++) {
        for (size_t j = 0; r->chunks[i].files != NULL && j < r->n_sites; j++) {
            tw_free(r->chunks[i].files[j]);
        }
        tw_free(r->chunks[i].files);
        tw_free(r->chunks[i].numbers);
    }
    for (size_t i = 0; i < r->n_sites; i++) {
        tw_free((char *)(uintptr_t)r->sites[i].name);
    }
    for (enum tw_column c = 0; c < TW_COLUMNS; c++) {
        tw_free(r->column[c]);
    }
    tw_free(r->chunks);
    tw_free(r->sites);
    tw_free(r->sources);
    tw_free(r->task_id);
    tw_free(r->dir);
    tw_journal_scan_release(&r->scan);
    json_decref(r->metadata);
    tw_free(r);
}

const json_t *tw_reader_settings(const struct tw_reader *r)
{
    return r->scan.run;
}

const json_t *tw_reader_metadata(const struct tw_reader *r)
{
    return r->metadata;
}

void tw_reader_config(const struct tw_reader *r, struct tw_store_config *config)
{
    config->format      = r->format;
    config->dtype       = r->dtype;
    config->columns     = r->columns;
    config->chunk_bytes = r->chunk_bytes;
    config->sites       = r->sites;
    config->n_sites     = r->n_sites;
    config->shard       = r->shard;
    config->n_shards    = r->n_shards;
}

uint64_t tw_reader_end(const struct tw_reader *r)
{
    return r->scan.n_groups == 0 ? 0 : r->scan.groups[r->scan.n_groups - 1].end;
}

uint64_t tw_reader_groups(const struct tw_reader *r)
{
    return r->scan.n_groups;
}

void tw_reader_group(const struct tw_reader *r, uint64_t group, uint64_t *first, uint64_t *end)
{
    *first = r->scan.groups[group].first;
    *end   = r->scan.groups[group].end;
}

/* ---- chunks ---- */

static trawl_status check_tensor(const struct tw_reader *r, const struct tw_safetensors_tensor *t,
                                 const char *name, enum tw_dtype dtype, size_t rows, size_t width,
                                 struct trawl_error *err)
{
    if (!t->has_dtype || t->dtype != dtype || t->shape[0] != rows || t->rank != (width == 0 ? 1 : 2) ||
        (width != 0 && t->shape[1] != width)) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "%s: tensor \"%s\" has not the shape and dtype that %s/manifest.jsonl says", t->file,
                       name, r->dir);
    }
    return TRAWL_OK;
}

static trawl_status open_safetensors(struct tw_reader *r, size_t site, const char *path,
                                     const struct chunk *c, struct trawl_error *err)
{
    struct source *s = &r->sources[site];
    TW_TRY(tw_safetensors_open(&s->st, path, err));
    TW_TRY(tw_safetensors_get(s->st, "activation", &s->activation, err));
    TW_TRY(check_tensor(r, s->activation, "activation", r->dtype, c->rows, r->sites[site].width, err));
    for (enum tw_column i = 0; site == 0 && i < TW_COLUMNS; i++) {
        const struct tw_safetensors_tensor *t = NULL;
        const struct tw_column_info *info     = tw_column_info(i);
        if (tw_column_present(i, r->columns)) {
            TW_TRY(tw_safetensors_get(s->st, info->name, &t, err));
            TW_TRY(check_tensor(r, t, info->name, info->dtype, c->rows, 0, err));
        }
    }
    return TRAWL_OK;
}

static trawl_status open_source(struct tw_reader *r, size_t site, const struct chunk *c,
                                struct trawl_error *err)
{
    char *path = NULL;
    if (c->files[site] == NULL) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: manifest.jsonl: a chunk without site %s", r->dir,
                       r->sites[site].name);
    }
    TW_TRY(tw_path_join(r->dir, c->files[site], &path, err));
    trawl_status status;
    if (r->format == TW_STORE_PKL) {
        struct source *s = &r->sources[site];
        status           = tw_mapped_file_open(&s->file, path, err);
        if (status == TRAWL_OK) {
            s->pickle =
                (struct tw_pickle_reader){.data = s->file.data, .n = s->file.size, .what = c->files[site]};
        }
    } else {
        status = open_safetensors(r, site, path, c, err);
    }
    tw_free(path);
    return status;
}

static trawl_status open_chunk(struct tw_reader *r, struct trawl_error *err)
{
    const struct chunk *c = &r->chunks[r->chunk];
    close_chunk(r);
    for (size_t i = 0; i < r->n_sites; i++) {
        TW_TRY(open_source(r, i, c, err));
    }
    r->chunk++;
    r->taken   = 0;
    r->row     = 0;
    r->stretch = c->first;
    /* Without a list one stretch; with one, an empty one before the first. */
    r->stretch_end = c->numbers == NULL ? c->end : c->first;
    r->numbers     = c->numbers;
    return TRAWL_OK;
}

/* ---- requests ---- */

static trawl_status next_number(struct tw_reader *r, uint64_t *number, struct trawl_error *err)
{
    if (r->stretch == r->stretch_end && r->numbers != NULL && *r->numbers != '\0') {
        char *end;
        uint64_t first = strtoull(r->numbers, &end, 10), last = first;
        if (*end == '-') {
            last = strtoull(end + 1, &end, 10);
        }
        bool good = (*end == ',' || *end == '\0') && first <= last && last < INT64_MAX && first >= r->stretch;
        if (!good) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "%s: manifest.jsonl: numbers \"%.60s\" cannot be read",
                           r->dir, r->numbers);
        }
        r->stretch     = first;
        r->stretch_end = last + 1;
        r->numbers     = *end == ',' ? end + 1 : end;
    }
    if (r->stretch == r->stretch_end) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: manifest.jsonl: a chunk has more requests than numbers",
                       r->dir);
    }
    *number = r->stretch++;
    return TRAWL_OK;
}

static trawl_status next_pickled(struct tw_reader *r, struct tw_store_request *q, struct trawl_error *err)
{
    for (size_t i = 0; i < r->n_sites; i++) {
        struct source *s = &r->sources[i];
        struct tw_pickle_entry e;
        bool more = false;
        TW_TRY(tw_pickle_next(&s->pickle, &e, &more, err));
        if (!more || e.width != r->sites[i].width || (i > 0 && e.n_rows != q->n_rows)) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "%s: %s has not the entries that manifest.jsonl says",
                           r->dir, s->pickle.what);
        }
        s->rows = e.rows;
        if (i == 0) {
            tw_free(r->task_id);
            r->task_id = NULL;
            TW_TRY(tw_strndup(e.task_id, e.task_id_size, &r->task_id, err));
            q->task_id    = r->task_id;
            q->sample_idx = e.sample_idx;
            q->n_rows     = e.n_rows;
        }
    }
    return TRAWL_OK;
}

/* Entries that the manifest does not count would be lost without a word. */
static trawl_status check_pickles_end(struct tw_reader *r, struct trawl_error *err)
{
    for (size_t i = 0; r->format == TW_STORE_PKL && r->chunk > 0 && i < r->n_sites; i++) {
        struct source *s = &r->sources[i];
        struct tw_pickle_entry e;
        bool more = false;
        if (s->file.data == NULL || s->pickle.at == s->pickle.n) {
            continue;
        }
        TW_TRY(tw_pickle_next(&s->pickle, &e, &more, err));
        if (more) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "%s: %s has more entries than manifest.jsonl says", r->dir,
                           s->pickle.what);
        }
    }
    return TRAWL_OK;
}

static const uint8_t *column_data(const struct tw_reader *r, enum tw_column c)
{
    const struct tw_safetensors_tensor *t = tw_safetensors_find(r->sources[0].st, tw_column_info(c)->name);
    return t->data + r->row * tw_dtype_bytes(tw_column_info(c)->dtype);
}

/* Rows of a request follow each other. */
static size_t count_rows(const struct tw_reader *r, uint64_t number)
{
    const uint8_t *request = column_data(r, TW_COLUMN_REQUEST);
    size_t n = 0, left = r->chunks[r->chunk - 1].rows - r->row;
    for (int64_t v; n < left; n++) {
        memcpy(&v, request + n * sizeof v, sizeof v);
        if (v != (int64_t)number) {
            break;
        }
    }
    return n;
}

static trawl_status next_columns(struct tw_reader *r, struct tw_store_request *q, struct trawl_error *err)
{
    q->n_rows = count_rows(r, q->id);
    if (q->n_rows == 0) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: %s has no rows of request %llu", r->dir,
                       tw_safetensors_path(r->sources[0].st), (unsigned long long)q->id);
    }
    for (enum tw_column c = 0; c < TW_COLUMNS; c++) {
        tw_free(r->column[c]);
        r->column[c] = NULL;
        if (tw_column_present(c, r->columns)) {
            size_t bytes = tw_dtype_bytes(tw_column_info(c)->dtype);
            TW_TRY(tw_alloc(q->n_rows, bytes, &r->column[c], err));
            memcpy(r->column[c], column_data(r, c), q->n_rows * bytes);
        }
    }
    q->token        = r->column[TW_COLUMN_TOKEN];
    q->position     = r->column[TW_COLUMN_POSITION];
    q->is_generated = r->column[TW_COLUMN_IS_GENERATED];
    q->logprob      = r->column[TW_COLUMN_LOGPROB];
    q->entropy      = r->column[TW_COLUMN_ENTROPY];
    q->cell_row     = r->column[TW_COLUMN_CELL_ROW];
    q->cell_col     = r->column[TW_COLUMN_CELL_COL];
    for (size_t i = 0; i < r->n_sites; i++) {
        r->sources[i].rows =
            r->sources[i].activation->data + r->row * r->sites[i].width * tw_dtype_bytes(r->dtype);
    }
    return TRAWL_OK;
}

trawl_status tw_reader_next(struct tw_reader *r, struct tw_store_request *q, bool *more,
                            struct trawl_error *err)
{
    *q = (struct tw_store_request){0};
    while (r->chunk == 0 || r->taken == r->chunks[r->chunk - 1].requests) {
        TW_TRY(check_pickles_end(r, err));
        *more = r->chunk < r->n_chunks;
        if (!*more) {
            return TRAWL_OK;
        }
        TW_TRY(open_chunk(r, err));
    }
    *more = true;
    TW_TRY(next_number(r, &q->id, err));
    TW_TRY(r->format == TW_STORE_PKL ? next_pickled(r, q, err) : next_columns(r, q, err));
    r->taken++;
    r->row += q->n_rows;
    return TRAWL_OK;
}

trawl_status tw_reader_next_run(struct tw_reader *r, struct tw_store_request *q, bool *more,
                                struct trawl_error *err)
{
    int64_t id = 0;
    if (r->format == TW_STORE_PKL) {
        return tw_reader_next(r, q, more, err);
    }
    *q = (struct tw_store_request){0};
    while (r->chunk == 0 || r->row == r->chunks[r->chunk - 1].rows) {
        *more = r->chunk < r->n_chunks;
        if (!*more) {
            return TRAWL_OK;
        }
        TW_TRY(open_chunk(r, err));
    }
    *more = true;
    memcpy(&id, column_data(r, TW_COLUMN_REQUEST), sizeof id);
    q->id = (uint64_t)id;
    TW_TRY(next_columns(r, q, err));
    r->row += q->n_rows;
    return TRAWL_OK;
}

void tw_reader_seek(struct tw_reader *r, size_t chunk)
{
    close_chunk(r);
    r->chunk = chunk;
    if (chunk > 0) { /* as if the one before had been read to its end */
        r->taken = r->chunks[chunk - 1].requests;
        r->row   = r->chunks[chunk - 1].rows;
    }
}

size_t tw_reader_chunks(const struct tw_reader *r)
{
    return r->n_chunks;
}

size_t tw_reader_chunk(const struct tw_reader *r)
{
    return r->chunk - 1;
}

const char *tw_reader_file(const struct tw_reader *r, size_t site)
{
    return r->chunks[r->chunk - 1].files[site];
}

const uint8_t *tw_reader_stored(const struct tw_reader *r, size_t site, size_t first)
{
    return r->sources[site].rows + first * r->sites[site].width * tw_dtype_bytes(r->dtype);
}

void tw_reader_rows(const struct tw_reader *r, size_t site, size_t first, size_t n, float *out)
{
    size_t count        = n * r->sites[site].width;
    const uint8_t *from = tw_reader_stored(r, site, first);
    if (r->dtype == TW_DTYPE_F32) {
        memcpy(out, from, count * sizeof *out);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, from + i * sizeof half, sizeof half);
        out[i] = r->dtype == TW_DTYPE_BF16 ? tw_bf16_to_f32(half) : tw_f16_to_f32(half);
    }
}
