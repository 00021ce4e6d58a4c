/* SPDX-License-Identifier: MIT */
/* A folder a site as `datasets.Dataset.save_to_disk` leaves it: rows of `context` tokens that follow each other in a
 * request, a matrix [context, width] each, and their token ids. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/size.h"
#include "formats/formats_arrow.h"
#include "store/store_export_int.h"
#include "json/json.h"

/* datasets' own limit for the rows of one file is 2 GiB of Arrow buffers in places; half of it keeps clear of that. */
static const uint64_t file_bytes = UINT64_C(1) << 30;

struct folder {
    struct tw_export *x;
    const struct tw_store_site *site;
    size_t index; /* of the site in the store */
    struct tw_arrow_columns columns;
    uint64_t contexts; /* rows of the data set */
    uint64_t per_file;
    size_t n_files;
    /* The file under way. */
    struct tw_atomic_file file;
    struct tw_sink sink;
    size_t number;    /* of files begun */
    uint64_t in_file; /* contexts */
    /* The batch under way. */
    uint8_t *values;
    int32_t *tokens;
    size_t n, most; /* contexts */
};

/* ---- how the rows are cut ---- */

typedef trawl_status piece_fn(struct tw_export *x, struct tw_export_piece piece, void *user,
                              struct trawl_error *err);

static trawl_status each_piece(struct tw_export *x, piece_fn *fn, void *user, struct trawl_error *err)
{
    TW_TRY(tw_export_seek(x, 0, 0, err));
    while (x->more) {
        struct tw_export_piece piece = tw_export_piece(x);
        if (piece.n == 0) {
            TW_TRY(tw_export_advance(x, err));
        } else {
            TW_TRY(fn(x, piece, user, err));
        }
    }
    return TRAWL_OK;
}

struct cut {
    size_t context;
    uint64_t contexts, left_out;
};

static trawl_status compare_piece(struct tw_export *x, struct tw_export_piece piece, void *user,
                                  struct trawl_error *err)
{
    struct cut *cut = user;
    (void)x, (void)err;
    cut->context = cut->context == 0 || cut->context == piece.n ? piece.n : 1;
    return TRAWL_OK;
}

static trawl_status count_piece(struct tw_export *x, struct tw_export_piece piece, void *user,
                                struct trawl_error *err)
{
    struct cut *cut = user;
    (void)x, (void)err;
    cut->contexts += piece.n / cut->context;
    cut->left_out += piece.n % cut->context;
    return TRAWL_OK;
}

static trawl_status plan(struct tw_export *x, struct cut *cut, struct trawl_error *err)
{
    *cut = (struct cut){.context = x->c->context};
    if (cut->context == 0) {
        TW_TRY(each_piece(x, compare_piece, cut, err));
        cut->context = tw_max_size(cut->context, 1);
    }
    TW_TRY(each_piece(x, count_piece, cut, err));
    x->summary->context  = cut->context;
    x->summary->left_out = cut->left_out;
    return cut->contexts > 0
               ? TRAWL_OK
               : tw_fail(err, TRAWL_ERR_INVALID,
                         "%s: no request has %zu chosen rows that follow each other: take a smaller context",
                         x->c->dir, cut->context);
}

/* ---- data ---- */

static trawl_status end_batch(struct folder *f, struct trawl_error *err)
{
    if (f->n == 0) {
        return TRAWL_OK;
    }
    TW_TRY(tw_arrow_batch(&f->sink, &f->columns, f->n, f->values, f->tokens, err));
    f->n = 0;
    return TRAWL_OK;
}

static trawl_status end_file(struct folder *f, struct trawl_error *err)
{
    TW_TRY(end_batch(f, err));
    TW_TRY(tw_arrow_end(&f->sink, err));
    f->in_file = 0;
    return tw_export_commit(f->x, &f->file, err);
}

static trawl_status begin_file(struct folder *f, struct trawl_error *err)
{
    char *path = NULL;
    TW_TRY(tw_export_path(f->x, &path, err, "%s/data-%05zu-of-%05zu.arrow", f->site->name, f->number,
                          f->n_files));
    trawl_status status = tw_atomic_file_open(&f->file, path, err);
    tw_free(path);
    f->number++;
    f->sink = tw_sink_file(&f->file);
    return status == TRAWL_OK ? tw_arrow_begin(&f->sink, &f->columns, err) : status;
}

static trawl_status add_context(struct folder *f, size_t row, struct trawl_error *err)
{
    struct tw_export *x = f->x;
    size_t context = f->columns.context, elements = context * f->columns.width;
    if (f->in_file == 0) {
        TW_TRY(begin_file(f, err));
    }
    tw_export_convert(x->config.dtype, tw_reader_stored(x->r, f->index, row), x->dtype,
                      f->values + f->n * elements * tw_dtype_bytes(x->dtype), elements);
    if (f->tokens != NULL) {
        memcpy(f->tokens + f->n * context, x->q.token + row, context * sizeof *f->tokens);
    }
    f->n++;
    f->in_file++;
    TW_TRY(f->in_file == f->per_file ? end_file(f, err) : f->n == f->most ? end_batch(f, err) : TRAWL_OK);
    return tw_export_tick(x, context, err);
}

static trawl_status add_piece(struct tw_export *x, struct tw_export_piece piece, void *user,
                              struct trawl_error *err)
{
    struct folder *f = user;
    size_t context   = f->columns.context;
    (void)x;
    for (size_t at = 0; at + context <= piece.n; at += context) {
        TW_TRY(add_context(f, piece.first + at, err));
    }
    return TRAWL_OK;
}

static trawl_status write_data(struct folder *f, struct trawl_error *err)
{
    size_t elements = f->columns.context * f->columns.width;
    f->most         = tw_min_size(tw_arrow_batch_rows(&f->columns), (size_t)f->per_file);
    TW_TRY(tw_alloc(f->most * elements, tw_dtype_bytes(f->x->dtype), &f->values, err));
    if (f->columns.tokens != NULL) {
        TW_TRY(tw_alloc(f->most * f->columns.context, sizeof *f->tokens, &f->tokens, err));
    }
    TW_TRY(each_piece(f->x, add_piece, f, err));
    return f->in_file > 0 ? end_file(f, err) : TRAWL_OK;
}

/* ---- what datasets wants to know ---- */

static void key_string(struct tw_json_writer *w, const char *key, const char *value)
{
    tw_json_key(w, key);
    tw_json_string(w, value);
}

static void put_features(struct tw_json_writer *w, const struct folder *f)
{
    tw_json_key(w, "features");
    tw_json_begin_object(w);
    tw_json_key(w, f->columns.name);
    tw_json_begin_object(w);
    tw_json_key(w, "shape");
    tw_json_begin_array(w);
    tw_json_int(w, (int64_t)f->columns.context);
    tw_json_int(w, (int64_t)f->columns.width);
    tw_json_end_array(w);
    key_string(w, "dtype", f->x->dtype == TW_DTYPE_F32 ? "float32" : "float16");
    key_string(w, "_type", "Array2D");
    tw_json_end_object(w);
    if (f->columns.tokens != NULL) {
        tw_json_key(w, f->columns.tokens);
        tw_json_begin_object(w);
        tw_json_key(w, "feature");
        tw_json_begin_object(w);
        key_string(w, "dtype", "int32");
        key_string(w, "_type", "Value");
        tw_json_end_object(w);
        tw_json_key(w, "length");
        tw_json_int(w, (int64_t)f->columns.context);
        key_string(w, "_type", "Sequence"); /* what older and newer versions read */
        tw_json_end_object(w);
    }
    tw_json_end_object(w);
}

static void put_info(struct tw_json_writer *w, const struct folder *f)
{
    tw_json_begin_object(w);
    key_string(w, "citation", "");
    key_string(w, "description", "");
    put_features(w, f);
    key_string(w, "homepage", "");
    key_string(w, "license", "");
    tw_json_end_object(w);
}

static void put_state(struct tw_json_writer *w, const struct folder *f)
{
    char name[64], fingerprint[17];
    const char *hash = json_string_value(json_object_get(tw_reader_metadata(f->x->r), "run_hash"));
    uint64_t words[] = {hash == NULL ? 0 : tw_hash64(hash, strlen(hash)),
                        tw_hash64(f->site->name, strlen(f->site->name)),
                        f->contexts,
                        f->columns.context,
                        f->x->dtype,
                        f->x->c->only};
    tw_hash_hex(tw_hash64(words, sizeof words), fingerprint);
    tw_json_begin_object(w);
    tw_json_key(w, "_data_files");
    tw_json_begin_array(w);
    for (size_t i = 0; i < f->n_files; i++) {
        (void)snprintf(name, sizeof name, "data-%05zu-of-%05zu.arrow", i, f->n_files);
        tw_json_begin_object(w);
        key_string(w, "filename", name);
        tw_json_end_object(w);
    }
    tw_json_end_array(w);
    key_string(w, "_fingerprint", fingerprint);
    tw_json_key(w, "_format_columns");
    tw_json_null(w);
    tw_json_key(w, "_format_kwargs");
    tw_json_begin_object(w);
    tw_json_end_object(w);
    tw_json_key(w, "_format_type");
    tw_json_null(w);
    tw_json_key(w, "_output_all_columns");
    tw_json_bool(w, false);
    tw_json_key(w, "_split");
    tw_json_null(w);
    tw_json_end_object(w);
}

static trawl_status write_json(const struct folder *f, const char *name,
                               void (*fill)(struct tw_json_writer *w, const struct folder *f),
                               struct trawl_error *err)
{
    struct tw_str text;
    struct tw_json_writer w;
    char *path = NULL;
    tw_str_init(&text, 0);
    tw_json_writer_init(&w, &text, 2);
    fill(&w, f);
    trawl_status status = tw_json_writer_finish(&w, err);
    if (status == TRAWL_OK) {
        status = tw_export_path(f->x, &path, err, "%s/%s", f->site->name, name);
    }
    if (status == TRAWL_OK) {
        status = tw_file_replace(path, text.data, text.size, err);
    }
    tw_free(path);
    tw_str_release(&text);
    return status;
}

/* ---- a site ---- */

static trawl_status write_folder(struct folder *f, struct trawl_error *err)
{
    TW_TRY(write_data(f, err));
    TW_TRY(write_json(f, "dataset_info.json", put_info, err));
    return write_json(f, "state.json", put_state, err);
}

static trawl_status export_site(struct tw_export *x, size_t index, const struct cut *cut,
                                struct trawl_error *err)
{
    const struct tw_store_site *site = &x->config.sites[index];
    bool tokens                      = tw_export_has_column(x, TW_COLUMN_TOKEN);
    size_t bytes                     = 0;
    struct folder f = {.x = x, .site = site, .index = index, .contexts = cut->contexts, .file = {.fd = -1}};
    f.columns       = (struct tw_arrow_columns){.name    = site->name,
                                                .dtype   = x->dtype,
                                                .context = cut->context,
                                                .width   = site->width,
                                                .tokens  = tokens ? "token_ids" : NULL};
    if (!tw_size_mul(cut->context, site->width, &bytes) || bytes > INT32_MAX) {
        return tw_fail(err, TRAWL_ERR_LIMIT,
                       "rows of %zu tokens of %zu elements: more than 2^31 elements a row", cut->context,
                       site->width);
    }
    bytes *= tw_dtype_bytes(x->dtype);
    f.per_file = file_bytes / bytes == 0 ? 1 : file_bytes / bytes;
    f.n_files  = (size_t)((cut->contexts + f.per_file - 1) / f.per_file);
    f.per_file = (cut->contexts + f.n_files - 1) / f.n_files; /* evenly, so none is nearly empty */
    f.n_files  = (size_t)((cut->contexts + f.per_file - 1) / f.per_file);

    trawl_status status = write_folder(&f, err);
    tw_atomic_file_abandon(&f.file);
    tw_free(f.values);
    tw_free(f.tokens);
    return status;
}

trawl_status tw_export_datasets(struct tw_export *x, struct trawl_error *err)
{
    struct cut cut;
    TW_TRY(plan(x, &cut, err));
    for (size_t i = 0; i < x->n_sites; i++) {
        TW_TRY(export_site(x, x->sites[i], &cut, err));
    }
    return TRAWL_OK;
}
