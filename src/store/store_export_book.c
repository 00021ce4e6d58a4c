/* SPDX-License-Identifier: MIT */
#include "store/store_export_book.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "formats/formats_npy.h"

/* ---- sinks ---- */

static trawl_status write_zip(void *to, const void *data, size_t n, struct trawl_error *err)
{
    return tw_zip_write(to, data, n, err);
}

static trawl_status write_safetensors(void *to, const void *data, size_t n, struct trawl_error *err)
{
    return tw_safetensors_writer_write(to, data, n, err);
}

struct tw_sink tw_export_book_sink(struct tw_export_book *b)
{
    switch (b->x->c->format) {
    case TW_EXPORT_NPZ: return (struct tw_sink){.write = write_zip, .to = &b->zip};
    case TW_EXPORT_SAFETENSORS: return (struct tw_sink){.write = write_safetensors, .to = b->st};
    case TW_EXPORT_NPY:
    case TW_EXPORT_PKL:
    case TW_EXPORT_DATASETS: break;
    }
    return tw_sink_file(&b->file);
}

/* ---- files ---- */

static trawl_status open_file(struct tw_export_book *b, const char *name, const char *suffix,
                              struct trawl_error *err)
{
    char *path = NULL;
    TW_TRY(tw_export_path(b->x, &path, err, "%s%s%s%s", b->unit,
                          b->unit[0] != '\0' && name[0] != '\0' ? "/" : "", name, suffix));
    trawl_status status = tw_atomic_file_open(&b->file, path, err);
    tw_free(path);
    return status;
}

static trawl_status declare(struct tw_export_book *b, const struct tw_store_request *request,
                            struct trawl_error *err)
{
    const char *hash = json_string_value(json_object_get(tw_reader_metadata(b->x->r), "run_hash"));
    char number[24];
    TW_TRY(tw_safetensors_writer_new(&b->st, tw_sink_file(&b->file), err));
    TW_TRY(tw_safetensors_writer_metadata(b->st, "format", "pt", err));
    if (hash != NULL) {
        TW_TRY(tw_safetensors_writer_metadata(b->st, "run_hash", hash, err));
    }
    if (request != NULL) {
        (void)snprintf(number, sizeof number, "%" PRIu64, request->id);
        TW_TRY(tw_safetensors_writer_metadata(b->st, "request", number, err));
    }
    if (request != NULL && request->task_id != NULL) {
        (void)snprintf(number, sizeof number, "%" PRId64, request->sample_idx);
        TW_TRY(tw_safetensors_writer_metadata(b->st, "task_id", request->task_id, err));
        TW_TRY(tw_safetensors_writer_metadata(b->st, "sample_idx", number, err));
    }
    for (size_t i = 0; i < b->n_arrays; i++) {
        const struct tw_export_array *a = &b->arrays[i];
        size_t shape[2]                 = {b->rows, a->width};
        TW_TRY(tw_safetensors_writer_declare(b->st, a->name, a->dtype, a->width == 0 ? 1 : 2, shape, err));
    }
    return tw_safetensors_writer_begin(b->st, err);
}

trawl_status tw_export_book_open(struct tw_export_book *b, struct tw_export *x, const char *unit,
                                 const struct tw_export_array *arrays, size_t n_arrays, size_t rows,
                                 const struct tw_store_request *request, struct trawl_error *err)
{
    *b = (struct tw_export_book){
        .x = x, .unit = unit, .arrays = arrays, .n_arrays = n_arrays, .rows = rows, .file = {.fd = -1}};
    if (x->c->format == TW_EXPORT_NPZ) {
        TW_TRY(open_file(b, "", ".npz", err));
        tw_zip_init(&b->zip, tw_sink_file(&b->file));
    } else if (x->c->format == TW_EXPORT_SAFETENSORS) {
        TW_TRY(open_file(b, "", ".safetensors", err));
        TW_TRY(declare(b, request, err));
    }
    return TRAWL_OK;
}

/* ---- arrays ---- */

static trawl_status put_header(const struct tw_export_book *b, size_t i, const struct tw_sink *sink,
                               size_t *bytes, struct trawl_error *err)
{
    const struct tw_export_array *a = &b->arrays[i];
    size_t shape[2]                 = {b->rows, a->width};
    return tw_npy_write_header(sink, a->dtype, a->width == 0 ? 1 : 2, shape, bytes, err);
}

static trawl_status begin_entry(struct tw_export_book *b, size_t i, struct trawl_error *err)
{
    struct tw_str header, name;
    size_t bytes        = 0;
    struct tw_sink sink = tw_sink_str(&header);
    tw_str_init(&header, 0);
    tw_str_init(&name, 0);
    trawl_status status = tw_str_printf(&name, err, "%s.npy", b->arrays[i].name);
    b->entry            = name.data;
    if (status == TRAWL_OK) {
        status = put_header(b, i, &sink, &bytes, err);
    }
    if (status == TRAWL_OK) {
        status = tw_zip_begin(&b->zip, b->entry, header.size + bytes, err);
    }
    if (status == TRAWL_OK) {
        status = tw_zip_write(&b->zip, header.data, header.size, err);
    }
    tw_str_release(&header);
    return status;
}

trawl_status tw_export_book_begin(struct tw_export_book *b, size_t i, struct trawl_error *err)
{
    if (b->x->c->format == TW_EXPORT_NPY) {
        TW_TRY(open_file(b, b->arrays[i].name, ".npy", err));
        struct tw_sink sink = tw_sink_file(&b->file);
        return put_header(b, i, &sink, NULL, err);
    }
    return b->x->c->format == TW_EXPORT_NPZ ? begin_entry(b, i, err) : TRAWL_OK;
}

trawl_status tw_export_book_end(struct tw_export_book *b, struct trawl_error *err)
{
    if (b->x->c->format == TW_EXPORT_NPY) {
        return tw_export_commit(b->x, &b->file, err);
    }
    if (b->x->c->format == TW_EXPORT_NPZ) {
        TW_TRY(tw_zip_end(&b->zip, err));
        tw_free(b->entry);
        b->entry = NULL;
    }
    return TRAWL_OK;
}

trawl_status tw_export_book_finish(struct tw_export_book *b, struct trawl_error *err)
{
    if (b->x->c->format == TW_EXPORT_NPY) {
        return TRAWL_OK;
    }
    TW_TRY(b->st != NULL ? tw_safetensors_writer_finish(b->st, err) : tw_zip_finish(&b->zip, err));
    return tw_export_commit(b->x, &b->file, err);
}

void tw_export_book_close(struct tw_export_book *b)
{
    tw_atomic_file_abandon(&b->file);
    tw_zip_release(&b->zip);
    tw_safetensors_writer_free(b->st);
    tw_free(b->entry);
}
