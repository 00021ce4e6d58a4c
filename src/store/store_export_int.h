/* SPDX-License-Identifier: MIT */
/* The parts of an export: what is chosen (store_export.c), which rows those are (store_export_rows.c), and how they are
 * written: arrays (store_export_arrays.c, store_export_book.c), pickles (store_export_pickle.c), datasets
 * (store_export_datasets.c). */
#ifndef TW_STORE_EXPORT_INT_H
#define TW_STORE_EXPORT_INT_H

#include "base/file.h"
#include "formats/formats_sink.h"
#include "store/store_columns.h"
#include "store/store_export.h"
#include "store/store_reader.h"

/* Rows converted at a time. */
enum { TW_EXPORT_ROWS = 64 };

struct tw_export {
    const struct tw_export_config *c;
    struct tw_export_summary *summary;
    char *root; /* "<output>.tmp" */
    struct tw_reader *r;
    struct tw_store_config config; /* of the store */
    size_t *sites;                 /* [n_sites] those chosen, in the order of the store */
    size_t n_sites;
    enum tw_dtype dtype;
    uint64_t total; /* rows that are chosen, of one site */
    uint64_t done;  /* rows written, of all sites; for tick */
    /* Where the reader stands. */
    struct tw_store_request q;
    size_t at;      /* rows of q that were looked at */
    uint64_t taken; /* chosen rows so far */
    bool more;
    /* Room for TW_EXPORT_ROWS rows. */
    float *floats;
    uint8_t *bytes;
};

/* ---- store_export_rows.c ---- */

/* Rows [first, first + n) of the run x->q: chosen, and of tokens that follow each other. */
struct tw_export_piece {
    size_t first, n;
};

/* Begin at a chunk; `taken` as it was there. */
trawl_status tw_export_seek(struct tw_export *x, size_t chunk, uint64_t taken, struct trawl_error *err);
/* The next piece of the run that the reader stands at; n is 0 when it has no more. */
struct tw_export_piece tw_export_piece(struct tw_export *x);
/* Go to the next run; x->more is false behind the last, or when enough rows were taken. */
trawl_status tw_export_advance(struct tw_export *x, struct trawl_error *err);

/* What is stored of a piece's site, in the dtype of the export, to the sink. */
trawl_status tw_export_rows(struct tw_export *x, size_t site, struct tw_export_piece piece,
                            const struct tw_sink *sink, struct trawl_error *err);
/* Has the store this column? */
bool tw_export_has_column(const struct tw_export *x, enum tw_column column);
trawl_status tw_export_column(const struct tw_export *x, enum tw_column column, struct tw_export_piece piece,
                              const struct tw_sink *sink, struct trawl_error *err);
/* Count rows done, and ask whether to go on. */
trawl_status tw_export_tick(struct tw_export *x, uint64_t rows, struct trawl_error *err);
/* Elements from f32 or from what is stored to the dtype of the export, n of them. */
void tw_export_convert(enum tw_dtype from, const void *in, enum tw_dtype to, void *out, size_t n);

/* ---- files below the root ---- */

/* A path below the root, its folder made; tw_free. */
trawl_status tw_export_path(const struct tw_export *x, char **out, struct trawl_error *err,
                            const char *format, ...) __attribute__((format(printf, 4, 5)));
/* The file is complete: make it durable and count it. */
trawl_status tw_export_commit(struct tw_export *x, struct tw_atomic_file *file, struct trawl_error *err);

/* ---- the formats ---- */

trawl_status tw_export_arrays(struct tw_export *x, struct trawl_error *err);
trawl_status tw_export_pickles(struct tw_export *x, struct trawl_error *err);
trawl_status tw_export_datasets(struct tw_export *x, struct trawl_error *err);

#endif /* TW_STORE_EXPORT_INT_H */
