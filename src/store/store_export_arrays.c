/* SPDX-License-Identifier: MIT */
/* Units of rows, the whole store, a chunk, a request, as arrays: each array is a pass over its unit, so memory does not
 * grow with it. */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "store/store_export_book.h"

struct unit {
    const char *name;
    bool run; /* the run that the reader stands at, and nothing else */
    size_t chunk, end;
    uint64_t taken; /* before it */
    uint64_t rows;  /* chosen */
};

typedef trawl_status piece_fn(struct tw_export *x, struct tw_export_piece piece, void *user,
                              struct trawl_error *err);

static trawl_status walk_run(struct tw_export *x, piece_fn *fn, void *user, struct trawl_error *err)
{
    for (;;) {
        struct tw_export_piece piece = tw_export_piece(x);
        if (piece.n == 0) {
            return TRAWL_OK;
        }
        TW_TRY(fn(x, piece, user, err));
    }
}

static trawl_status walk(struct tw_export *x, const struct unit *unit, piece_fn *fn, void *user,
                         struct trawl_error *err)
{
    if (unit->run) {
        x->at    = 0;
        x->taken = unit->taken;
        return walk_run(x, fn, user, err);
    }
    TW_TRY(tw_export_seek(x, unit->chunk, unit->taken, err));
    while (x->more && tw_reader_chunk(x->r) < unit->end) {
        TW_TRY(walk_run(x, fn, user, err));
        TW_TRY(tw_export_advance(x, err));
    }
    return TRAWL_OK;
}

static trawl_status count_piece(struct tw_export *x, struct tw_export_piece piece, void *user,
                                struct trawl_error *err)
{
    struct unit *unit = user;
    (void)x, (void)err;
    unit->rows += piece.n;
    return TRAWL_OK;
}

/* ---- the arrays of a unit ---- */

struct list {
    struct tw_export_array *arrays;
    size_t n;
};

static void add_wide(const struct tw_export *x, struct list *list, size_t bytes, const char *name,
                     size_t first, size_t n)
{
    for (size_t i = first; i < first + n; i++) {
        const struct tw_store_site *site = &x->config.sites[x->sites[i]];
        if (tw_dtype_bytes(x->dtype) == bytes) {
            list->arrays[list->n++] = (struct tw_export_array){.name  = name == NULL ? site->name : name,
                                                               .dtype = x->dtype,
                                                               .width = site->width,
                                                               .site  = x->sites[i]};
        }
    }
    for (enum tw_column c = 0; c < TW_COLUMNS; c++) {
        const struct tw_column_info *info = tw_column_info(c);
        if (tw_export_has_column(x, c) && tw_dtype_bytes(info->dtype) == bytes) {
            list->arrays[list->n++] = (struct tw_export_array){
                .name = info->name, .dtype = info->dtype, .is_column = true, .column = c};
        }
    }
}

/* Sites [first, first + n) of those chosen, and the columns, wide elements first as safetensors wants them. `name`:
 * what a single site is called, NULL: its own name. */
static trawl_status list_arrays(const struct tw_export *x, struct list *list, const char *name, size_t first,
                                size_t n, struct trawl_error *err)
{
    *list = (struct list){0};
    TW_TRY(tw_alloc(n + TW_COLUMNS, sizeof *list->arrays, &list->arrays, err));
    for (size_t bytes = 8; bytes > 0; bytes /= 2) {
        add_wide(x, list, bytes, name, first, n);
    }
    return TRAWL_OK;
}

struct output {
    struct tw_sink sink;
    const struct tw_export_array *array;
};

static trawl_status write_piece(struct tw_export *x, struct tw_export_piece piece, void *user,
                                struct trawl_error *err)
{
    const struct output *out = user;
    return out->array->is_column ? tw_export_column(x, out->array->column, piece, &out->sink, err)
                                 : tw_export_rows(x, out->array->site, piece, &out->sink, err);
}

static trawl_status write_arrays(struct tw_export *x, const struct unit *unit, const struct list *list,
                                 struct tw_export_book *book, struct trawl_error *err)
{
    for (size_t i = 0; i < list->n; i++) {
        TW_TRY(tw_export_book_begin(book, i, err));
        struct output out = {.sink = tw_export_book_sink(book), .array = &list->arrays[i]};
        TW_TRY(walk(x, unit, write_piece, &out, err));
        TW_TRY(tw_export_book_end(book, err));
    }
    return tw_export_book_finish(book, err);
}

static trawl_status write_unit(struct tw_export *x, const struct unit *unit, const struct list *list,
                               struct trawl_error *err)
{
    struct tw_export_book book;
    trawl_status status = tw_export_book_open(&book, x, unit->name, list->arrays, list->n, (size_t)unit->rows,
                                              unit->run ? &x->q : NULL, err);
    if (status == TRAWL_OK) {
        status = write_arrays(x, unit, list, &book, err);
    }
    tw_export_book_close(&book);
    return status;
}

/* ---- the units ---- */

static trawl_status write_sites(struct tw_export *x, struct trawl_error *err)
{
    bool npy = x->c->format == TW_EXPORT_NPY; /* arrays have files of their own, the columns once */
    for (size_t i = 0; i < (npy ? 1 : x->n_sites); i++) {
        struct unit unit = {.name = npy ? "" : x->config.sites[x->sites[i]].name,
                            .end  = tw_reader_chunks(x->r),
                            .rows = x->total};
        struct list list;
        TW_TRY(npy ? list_arrays(x, &list, NULL, 0, x->n_sites, err)
                   : list_arrays(x, &list, "activation", i, 1, err));
        trawl_status status = write_unit(x, &unit, &list, err);
        tw_free(list.arrays);
        TW_TRY(status);
    }
    return TRAWL_OK;
}

static trawl_status write_chunks(struct tw_export *x, const struct list *list, struct trawl_error *err)
{
    uint64_t taken = 0;
    for (size_t chunk = 0; chunk < tw_reader_chunks(x->r) && taken < x->total; chunk++) {
        char name[40];
        struct unit unit = {.name = name, .chunk = chunk, .end = chunk + 1, .taken = taken};
        (void)snprintf(name, sizeof name, "chunk-%08zu", chunk + 1);
        TW_TRY(walk(x, &unit, count_piece, &unit, err));
        if (unit.rows > 0) {
            TW_TRY(write_unit(x, &unit, list, err));
        }
        taken += unit.rows;
    }
    return TRAWL_OK;
}

static trawl_status write_documents(struct tw_export *x, const struct list *list, struct trawl_error *err)
{
    TW_TRY(tw_export_seek(x, 0, 0, err));
    while (x->more) {
        char name[40];
        struct unit unit = {.name = name, .run = true, .taken = x->taken};
        (void)snprintf(name, sizeof name, "request-%08" PRIu64, x->q.id);
        TW_TRY(walk(x, &unit, count_piece, &unit, err));
        if (unit.rows > 0) {
            TW_TRY(write_unit(x, &unit, list, err));
        }
        TW_TRY(tw_export_advance(x, err));
    }
    return TRAWL_OK;
}

trawl_status tw_export_arrays(struct tw_export *x, struct trawl_error *err)
{
    struct list list;
    if (x->c->split == TW_EXPORT_BY_SITE) {
        return write_sites(x, err);
    }
    TW_TRY(list_arrays(x, &list, NULL, 0, x->n_sites, err));
    trawl_status status =
        x->c->split == TW_EXPORT_BY_CHUNK ? write_chunks(x, &list, err) : write_documents(x, &list, err);
    tw_free(list.arrays);
    return status;
}
