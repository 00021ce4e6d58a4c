/* SPDX-License-Identifier: MIT */
#include "store/store_metadata.h"

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "store/store_columns.h"
#include "store/store_manifest.h"
#include "json/json.h"

static void key_string(struct tw_json_writer *w, const char *key, const char *value)
{
    tw_json_key(w, key);
    if (value == NULL) {
        tw_json_null(w);
    } else {
        tw_json_string(w, value);
    }
}

static void key_int(struct tw_json_writer *w, const char *key, uint64_t value)
{
    tw_json_key(w, key);
    tw_json_int(w, (int64_t)value);
}

static void write_layers(struct tw_json_writer *w, const struct tw_layout *layout)
{
    tw_json_key(w, "layers_extracted");
    tw_json_begin_array(w);
    for (size_t i = 0; i < layout->n_sites; i++) {
        if (layout->sites[i].layer >= 0) {
            tw_json_int(w, layout->sites[i].layer);
        }
    }
    tw_json_end_array(w);
}

static void write_columns(struct tw_json_writer *w, const struct tw_layout *layout)
{
    tw_json_key(w, "columns");
    tw_json_begin_array(w);
    for (enum tw_column c = 0; layout->format == TW_STORE_SAFETENSORS && c < TW_COLUMNS; c++) {
        if (tw_column_present(c, layout->columns)) {
            tw_json_string(w, tw_column_info(c)->name);
        }
    }
    tw_json_end_array(w);
}

static void write_sites(struct tw_json_writer *w, const struct tw_layout *layout,
                        const struct tw_stats *stats)
{
    tw_json_key(w, "sites");
    tw_json_begin_array(w);
    for (size_t i = 0; i < layout->n_sites; i++) {
        const struct tw_site_stats *s = &stats->sites[i];
        tw_json_begin_object(w);
        key_string(w, "name", layout->sites[i].name);
        key_string(w, "layer", layout->sites[i].label);
        key_int(w, "width", layout->sites[i].width);
        key_int(w, "rows", s->rows + s->nonfinite);
        key_int(w, "nonfinite_rows", s->nonfinite);
        tw_json_key(w, "mean_norm");
        tw_json_double(w, tw_stats_mean_norm(s));
        tw_json_key(w, "rms_norm");
        tw_json_double(w, tw_stats_rms_norm(s));
        tw_json_end_object(w);
    }
    tw_json_end_array(w);
}

struct batches {
    struct tw_json_writer *w;
    const struct tw_layout *layout;
};

static trawl_status write_batch(void *user, uint64_t group, const struct tw_manifest_record *r,
                                struct trawl_error *err)
{
    struct batches *b = user;
    (void)group;
    (void)err; /* the writer keeps its own */
    if (r->site == NULL) {
        return TRAWL_OK;
    }
    const char *label = r->site;
    for (size_t i = 0; i < b->layout->n_sites; i++) {
        if (strcmp(b->layout->sites[i].name, r->site) == 0) {
            label = b->layout->sites[i].label;
        }
    }
    tw_json_begin_object(b->w);
    key_int(b->w, "batch_id", r->chunk);
    key_string(b->w, "layer", label);
    key_string(b->w, "file", r->file);
    key_int(b->w, "n_samples", r->requests);
    tw_json_end_object(b->w);
    return TRAWL_OK;
}

static trawl_status write_document(struct tw_json_writer *w, const struct tw_layout *layout,
                                   const struct tw_journal *manifest, const struct tw_stats *stats,
                                   bool complete, struct trawl_error *err)
{
    struct batches batches = {.w = w, .layout = layout};
    tw_json_begin_object(w);
    write_layers(w, layout);
    key_string(w, "model_path", layout->model_path);
    key_int(w, "batch_size", layout->batch_size);
    key_int(w, "hidden_size", layout->hidden_size);
    key_string(w, "format", tw_layout_format_name(layout));
    key_string(w, "dtype", tw_layout_dtype_name(layout));
    key_string(w, "model_hash", layout->model_hash);
    key_int(w, "tree_leaves", layout->tree_leaves);
    key_string(w, "run_hash", tw_journal_run_hash(manifest));
    key_int(w, "shard", layout->shard);
    key_int(w, "num_shards", layout->n_shards);
    tw_json_key(w, "complete");
    tw_json_bool(w, complete);
    key_int(w, "groups", tw_journal_groups(manifest));
    key_int(w, "end", tw_journal_end(manifest));
    key_string(w, "statistics", TW_STATS_NAME);
    write_columns(w, layout);
    write_sites(w, layout, stats);
    tw_json_key(w, "batches");
    tw_json_begin_array(w);
    TW_TRY(tw_manifest_each(manifest, write_batch, &batches, err));
    tw_json_end_array(w);
    tw_json_end_object(w);
    return tw_json_writer_finish(w, err);
}

trawl_status tw_metadata_write(const struct tw_layout *layout, const struct tw_journal *manifest,
                               const struct tw_stats *stats, bool complete, struct trawl_error *err)
{
    struct tw_str text;
    struct tw_json_writer w;
    char *path = NULL;
    TW_TRY(tw_path_join(layout->dir, TW_METADATA_NAME, &path, err));
    tw_str_init(&text, 0);
    tw_json_writer_init(&w, &text, 4);
    trawl_status status = write_document(&w, layout, manifest, stats, complete, err);
    if (status == TRAWL_OK) {
        status = tw_str_putc(&text, '\n', err);
    }
    if (status == TRAWL_OK) {
        status = tw_file_replace(path, text.data, text.size, err);
    }
    tw_str_release(&text);
    tw_free(path);
    return status;
}
