/* SPDX-License-Identifier: MIT */
/* What a chunk says about its rows beside the activations: which request, token, position, ... Shared by
 * all sites of a chunk, so it is held once. */
#ifndef TW_STORE_COLUMNS_H
#define TW_STORE_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "store/store.h"

/* In file order: wide elements first, so that each is aligned when the activations before it are. */
enum tw_column {
    TW_COLUMN_REQUEST = 0,
    TW_COLUMN_TOKEN,
    TW_COLUMN_POSITION,
    TW_COLUMN_LOGPROB,
    TW_COLUMN_ENTROPY,
    TW_COLUMN_CELL_ROW,
    TW_COLUMN_CELL_COL,
    TW_COLUMN_IS_GENERATED,
    TW_COLUMNS
};

struct tw_column_info {
    const char *name;
    enum tw_dtype dtype;
    unsigned needs; /* enum tw_store_column, 0: always there */
};

const struct tw_column_info *tw_column_info(enum tw_column column);
bool tw_column_present(enum tw_column column, unsigned columns);

/* The array of a request for a column, NULL where it was left out or where there is none. */
const void *tw_column_of_request(const struct tw_store_request *request, enum tw_column column);

struct tw_columns {
    void *data[TW_COLUMNS];
    size_t capacity[TW_COLUMNS]; /* rows */
    size_t n_rows;
};

/* Make room for n more rows of every column of `columns`; n_rows does not change. */
trawl_status tw_columns_reserve(struct tw_columns *c, unsigned columns, size_t n, struct trawl_error *err);
/* Where row `row` of a column lies. */
void *tw_columns_at(const struct tw_columns *c, enum tw_column column, size_t row);
void tw_columns_release(struct tw_columns *c);

#endif /* TW_STORE_COLUMNS_H */
