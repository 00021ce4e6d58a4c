/* SPDX-License-Identifier: MIT */
#include "store/store_columns.h"

#include "base/alloc.h"
#include "base/size.h"

static const struct tw_column_info table[TW_COLUMNS] = {
    [TW_COLUMN_REQUEST]      = {"request", TW_DTYPE_I64, 0},
    [TW_COLUMN_TOKEN]        = {"token", TW_DTYPE_I32, 0},
    [TW_COLUMN_POSITION]     = {"position", TW_DTYPE_I32, 0},
    [TW_COLUMN_LOGPROB]      = {"logprob", TW_DTYPE_F32, TW_STORE_LOGPROB},
    [TW_COLUMN_ENTROPY]      = {"entropy", TW_DTYPE_F32, TW_STORE_ENTROPY},
    [TW_COLUMN_CELL_ROW]     = {"cell_row", TW_DTYPE_I16, TW_STORE_CELLS},
    [TW_COLUMN_CELL_COL]     = {"cell_col", TW_DTYPE_I16, TW_STORE_CELLS},
    [TW_COLUMN_IS_GENERATED] = {"is_generated", TW_DTYPE_U8, 0},
};

const struct tw_column_info *tw_column_info(enum tw_column column)
{
    return &table[column];
}

bool tw_column_present(enum tw_column column, unsigned columns)
{
    return table[column].needs == 0 || (table[column].needs & columns) != 0;
}

const void *tw_column_of_request(const struct tw_store_request *request, enum tw_column column)
{
    const void *const arrays[TW_COLUMNS] = {
        [TW_COLUMN_REQUEST] = request->request,   [TW_COLUMN_TOKEN] = request->token,
        [TW_COLUMN_POSITION] = request->position, [TW_COLUMN_LOGPROB] = request->logprob,
        [TW_COLUMN_ENTROPY] = request->entropy,   [TW_COLUMN_CELL_ROW] = request->cell_row,
        [TW_COLUMN_CELL_COL] = request->cell_col, [TW_COLUMN_IS_GENERATED] = request->is_generated,
    };
    return arrays[column];
}

trawl_status tw_columns_reserve(struct tw_columns *c, unsigned columns, size_t n, struct trawl_error *err)
{
    size_t rows = 0;
    if (!tw_size_add(c->n_rows, n, &rows)) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "a chunk cannot have %zu more rows", n);
    }
    for (enum tw_column i = 0; i < TW_COLUMNS; i++) {
        if (tw_column_present(i, columns)) {
            TW_TRY(tw_grow(&c->data[i], &c->capacity[i], rows, tw_dtype_bytes(table[i].dtype), err));
        }
    }
    return TRAWL_OK;
}

void *tw_columns_at(const struct tw_columns *c, enum tw_column column, size_t row)
{
    return (char *)c->data[column] + row * tw_dtype_bytes(table[column].dtype);
}

void tw_columns_release(struct tw_columns *c)
{
    for (int i = 0; i < TW_COLUMNS; i++) {
        tw_free(c->data[i]);
    }
    *c = (struct tw_columns){0};
}
