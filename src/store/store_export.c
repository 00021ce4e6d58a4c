/* SPDX-License-Identifier: MIT */
#include "store/store_export.h"

#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/size.h"
#include "store/store_export_int.h"
#include "json/json.h"

enum { TREE_DEPTH = 8 };

/* ---- what is asked for ---- */

static bool is_site(const struct tw_store_site *site, const char *name)
{
    char label[32];
    (void)snprintf(label, sizeof label, "layer_%d", site->layer);
    return strcmp(site->name, name) == 0 || (site->layer >= 0 && strcmp(label, name) == 0);
}

static trawl_status choose_sites(struct tw_export *x, struct trawl_error *err)
{
    TW_TRY(tw_alloc(x->config.n_sites, sizeof *x->sites, &x->sites, err));
    for (size_t k = 0; k < x->c->n_sites; k++) {
        bool found = false;
        for (size_t i = 0; i < x->config.n_sites; i++) {
            found = found || is_site(&x->config.sites[i], x->c->sites[k]);
        }
        if (!found) {
            return tw_fail(err, TRAWL_ERR_INVALID, "%s has no site \"%.80s\"; its first is %s", x->c->dir,
                           x->c->sites[k], x->config.sites[0].name);
        }
    }
    for (size_t i = 0; i < x->config.n_sites; i++) {
        bool wanted = x->c->n_sites == 0;
        for (size_t k = 0; k < x->c->n_sites; k++) {
            wanted = wanted || is_site(&x->config.sites[i], x->c->sites[k]);
        }
        if (wanted) {
            x->sites[x->n_sites++] = i;
        }
    }
    return TRAWL_OK;
}

static trawl_status choose_dtype(struct tw_export *x, struct trawl_error *err)
{
    enum tw_export_format format = x->c->format;
    bool bf16                    = format == TW_EXPORT_SAFETENSORS;
    x->dtype                     = x->c->has_dtype                             ? x->c->dtype
                                   : x->config.dtype == TW_DTYPE_BF16 && !bf16 ? TW_DTYPE_F32
                                                                               : x->config.dtype;
    if (format == TW_EXPORT_PKL && x->c->has_dtype && x->dtype != TW_DTYPE_F32) {
        return tw_fail(err, TRAWL_ERR_INVALID, "activation pickles are float32");
    }
    x->dtype = format == TW_EXPORT_PKL ? TW_DTYPE_F32 : x->dtype;
    return x->dtype != TW_DTYPE_BF16 || bf16 ? TRAWL_OK
                                             : tw_fail(err, TRAWL_ERR_INVALID,
                                                       "NumPy and Arrow have no bfloat16: float32, which "
                                                       "loses nothing, float16, or safetensors");
}

static trawl_status check_request(const struct tw_export *x, struct trawl_error *err)
{
    enum tw_export_format format = x->c->format;
    if (x->c->only != TW_EXPORT_ALL && x->config.format == TW_STORE_PKL) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                       "%s: pickles do not say which rows are of prompts and which were generated",
                       x->c->dir);
    }
    if (format == TW_EXPORT_PKL && x->c->split != TW_EXPORT_BY_CHUNK) {
        return tw_fail(err, TRAWL_ERR_INVALID, "pickles are written by chunk: one per site and commit group");
    }
    if (format == TW_EXPORT_DATASETS && x->c->split != TW_EXPORT_BY_SITE) {
        return tw_fail(err, TRAWL_ERR_INVALID, "datasets are written by site: one folder each");
    }
    if (format != TW_EXPORT_DATASETS && x->c->context > 0) {
        return tw_fail(err, TRAWL_ERR_INVALID, "only rows of datasets have a context size");
    }
    return TRAWL_OK;
}

/* Which requests there are, in numbers that need no rows. */
static trawl_status count_rows(struct tw_export *x, struct trawl_error *err)
{
    bool documents = x->c->split == TW_EXPORT_BY_DOCUMENT || x->c->format == TW_EXPORT_PKL;
    uint64_t last  = 0;
    for (bool first = true;; first = false) {
        TW_TRY(first ? tw_export_seek(x, 0, 0, err) : tw_export_advance(x, err));
        if (!x->more) {
            break;
        }
        if (documents && !first && x->q.id <= last) {
            return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                           "%s: its rows are not in the order of requests, so documents cannot be told apart",
                           x->c->dir);
        }
        last = x->q.id;
        while (tw_export_piece(x).n > 0) {
        }
    }
    x->total         = x->taken;
    x->summary->rows = x->total;
    return x->total > 0 ? TRAWL_OK
                        : tw_fail(err, TRAWL_ERR_INVALID, "%s: none of its rows are chosen", x->c->dir);
}

static trawl_status prepare(struct tw_export *x, struct trawl_error *err)
{
    size_t widest = 0;
    TW_TRY(tw_reader_open(&x->r, x->c->dir, err));
    tw_reader_config(x->r, &x->config);
    TW_TRY(choose_sites(x, err));
    TW_TRY(choose_dtype(x, err));
    TW_TRY(check_request(x, err));
    for (size_t i = 0; i < x->config.n_sites; i++) {
        widest = tw_max_size(widest, x->config.sites[i].width);
    }
    if (!tw_size_mul(widest, TW_EXPORT_ROWS, &widest)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: rows of impossible width", x->c->dir);
    }
    TW_TRY(tw_alloc(widest, sizeof *x->floats, &x->floats, err));
    TW_TRY(tw_alloc(widest, tw_dtype_bytes(x->dtype), &x->bytes, err));
    return count_rows(x, err);
}

/* ---- the folder ---- */

trawl_status tw_export_path(const struct tw_export *x, char **out, struct trawl_error *err,
                            const char *format, ...)
{
    char name[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(name, sizeof name, format, args);
    va_end(args);
    TW_TRY(tw_path_join(x->root, name, out, err));
    trawl_status status = tw_make_parent_dirs(*out, err);
    if (status != TRAWL_OK) {
        tw_free(*out);
        *out = NULL;
    }
    return status;
}

trawl_status tw_export_commit(struct tw_export *x, struct tw_atomic_file *file, struct trawl_error *err)
{
    uint64_t bytes = file->written;
    TW_TRY(tw_atomic_file_commit(file, err));
    x->summary->files++;
    x->summary->bytes += bytes;
    return TRAWL_OK;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st, (void)type, (void)where;
    return remove(path);
}

static trawl_status check_output(const struct tw_export *x, struct trawl_error *err)
{
    return tw_path_exists(x->c->output)
               ? tw_fail(err, TRAWL_ERR_EXISTS, "%s is there already: an export makes a folder of its own",
                         x->c->output)
               : TRAWL_OK;
}

static trawl_status make_root(struct tw_export *x, struct trawl_error *err)
{
    struct tw_str name;
    tw_str_init(&name, 0);
    TW_TRY(tw_str_printf(&name, err, "%s.tmp", x->c->output));
    x->root = name.data;
    TW_TRY(check_output(x, err));
    TW_TRY(tw_make_parent_dirs(x->root, err));
    if (mkdir(x->root, 0777) != 0) {
        return errno == EEXIST
                   ? tw_fail(err, TRAWL_ERR_EXISTS,
                             "%s is there already: of an export that runs, or was killed; then remove it",
                             x->root)
                   : tw_fail_os(err, errno, "%s", x->root);
    }
    return TRAWL_OK;
}

static trawl_status publish(const struct tw_export *x, struct trawl_error *err)
{
    char *parent = NULL;
    if (rename(x->root, x->c->output) != 0) {
        return tw_fail_os(err, errno, "%s: rename to %s", x->root, x->c->output);
    }
    TW_TRY(tw_path_dir(x->c->output, &parent, err));
    trawl_status status = tw_sync_dir(parent, err);
    tw_free(parent);
    return status;
}

/* ---- export.json ---- */

static trawl_status describe(struct tw_export *x, struct tw_str *out, struct trawl_error *err)
{
    static const char *const only[]  = {"all", "prompt", "generated"};
    static const char *const split[] = {"site", "document", "chunk"};
    struct tw_json_writer w;
    tw_json_writer_init(&w, out, 2);
    tw_json_begin_object(&w);
    tw_json_key(&w, "dtype");
    tw_json_string(&w, x->dtype == TW_DTYPE_F32   ? "float32"
                       : x->dtype == TW_DTYPE_F16 ? "float16"
                                                  : "bfloat16");
    tw_json_key(&w, "rows");
    tw_json_int(&w, (int64_t)x->total);
    tw_json_key(&w, "split_by");
    tw_json_string(&w, split[x->c->split]);
    tw_json_key(&w, "only");
    tw_json_string(&w, only[x->c->only]);
    tw_json_key(&w, "sites");
    tw_json_begin_array(&w);
    for (size_t i = 0; i < x->n_sites; i++) {
        tw_json_begin_object(&w);
        tw_json_key(&w, "name");
        tw_json_string(&w, x->config.sites[x->sites[i]].name);
        tw_json_key(&w, "width");
        tw_json_int(&w, (int64_t)x->config.sites[x->sites[i]].width);
        tw_json_end_object(&w);
    }
    tw_json_end_array(&w);
    tw_json_key(&w, "run");
    tw_json_value(&w, tw_reader_settings(x->r));
    tw_json_key(&w, "metadata");
    tw_json_begin_object(&w);
    static const char *const kept[] = {"model_path", "model_hash", "run_hash", "complete", "end"};
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        const json_t *value = json_object_get(tw_reader_metadata(x->r), kept[i]);
        if (value != NULL) {
            tw_json_key(&w, kept[i]);
            tw_json_value(&w, value);
        }
    }
    tw_json_end_object(&w);
    tw_json_end_object(&w);
    TW_TRY(tw_json_writer_finish(&w, err));
    return tw_str_putc(out, '\n', err);
}

static trawl_status write_description(struct tw_export *x, struct trawl_error *err)
{
    struct tw_str text;
    char *path = NULL;
    tw_str_init(&text, 0);
    trawl_status status = describe(x, &text, err);
    if (status == TRAWL_OK) {
        status = tw_export_path(x, &path, err, "export.json");
    }
    if (status == TRAWL_OK) {
        status = tw_file_replace(path, text.data, text.size, err);
    }
    tw_free(path);
    tw_str_release(&text);
    return status;
}

/* ---- all of it ---- */

static trawl_status write_format(struct tw_export *x, struct trawl_error *err)
{
    switch (x->c->format) {
    case TW_EXPORT_PKL: return tw_export_pickles(x, err);
    case TW_EXPORT_DATASETS: TW_TRY(tw_export_datasets(x, err)); break;
    case TW_EXPORT_NPY:
    case TW_EXPORT_NPZ:
    case TW_EXPORT_SAFETENSORS: TW_TRY(tw_export_arrays(x, err)); break;
    }
    return write_description(x, err);
}

static trawl_status export_to_root(struct tw_export *x, struct trawl_error *err)
{
    TW_TRY(make_root(x, err));
    trawl_status status = write_format(x, err);
    if (status == TRAWL_OK) {
        status = publish(x, err);
    }
    if (status != TRAWL_OK) {
        (void)nftw(x->root, remove_entry, TREE_DEPTH, FTW_DEPTH | FTW_PHYS);
    }
    return status;
}

trawl_status tw_store_export(const struct tw_export_config *config, struct tw_export_summary *summary,
                             struct trawl_error *err)
{
    struct tw_export x  = {.c = config, .summary = summary};
    *summary            = (struct tw_export_summary){0};
    trawl_status status = check_output(&x, err); /* before all rows are counted, and again behind that */
    if (status == TRAWL_OK) {
        status = prepare(&x, err);
    }
    if (status == TRAWL_OK) {
        status = export_to_root(&x, err);
    }
    tw_reader_close(x.r);
    tw_free(x.root);
    tw_free(x.sites);
    tw_free(x.floats);
    tw_free(x.bytes);
    return status;
}
