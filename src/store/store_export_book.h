/* SPDX-License-Identifier: MIT */
/* Several arrays of the same rows in the files of one format: an .npy each, an .npz, a .safetensors. */
#ifndef TW_STORE_EXPORT_BOOK_H
#define TW_STORE_EXPORT_BOOK_H

#include "formats/formats_safetensors.h"
#include "formats/formats_zip.h"
#include "store/store_export_int.h"

struct tw_export_array {
    const char *name;
    enum tw_dtype dtype;
    size_t width; /* 0: one element a row */
    /* What it holds. */
    bool is_column;
    size_t site;
    enum tw_column column;
};

struct tw_export_book {
    struct tw_export *x;
    const char *unit; /* what the files are called, or the folder of .npy files; "": the root */
    const struct tw_export_array *arrays;
    size_t n_arrays;
    size_t rows;
    struct tw_atomic_file file;
    struct tw_zip zip;
    struct tw_safetensors_writer *st;
    char *entry; /* name of the open array in the archive */
};

/* `arrays` and `unit` are borrowed; wider dtypes come first. A safetensors file says `request` (when it is not NULL) in
 * its metadata. Call _close in any case. */
trawl_status tw_export_book_open(struct tw_export_book *b, struct tw_export *x, const char *unit,
                                 const struct tw_export_array *arrays, size_t n_arrays, size_t rows,
                                 const struct tw_store_request *request, struct trawl_error *err);
/* Array i, in order; its bytes then go to the sink. */
trawl_status tw_export_book_begin(struct tw_export_book *b, size_t i, struct trawl_error *err);
struct tw_sink tw_export_book_sink(struct tw_export_book *b);
trawl_status tw_export_book_end(struct tw_export_book *b, struct trawl_error *err);
/* All arrays are written. */
trawl_status tw_export_book_finish(struct tw_export_book *b, struct trawl_error *err);
void tw_export_book_close(struct tw_export_book *b);

#endif /* TW_STORE_EXPORT_BOOK_H */
