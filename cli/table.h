/* SPDX-License-Identifier: MIT */
/* Aligned text tables. Cells are UTF-8; columns are as wide as their widest cell in terminal columns. */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

enum { CLI_TABLE_MAX_COLUMNS = 16 };

struct cli_table {
    size_t n_columns;
    bool right[CLI_TABLE_MAX_COLUMNS]; /* numbers: aligned to the right */
    size_t n_cells, capacity;          /* row after row */
    char **cells;                      /* owned */
};

/* `columns`: one letter a column, 'l' or 'r'. */
void cli_table_init(struct cli_table *t, const char *columns);
void cli_table_release(struct cli_table *t);
/* The next cell, from left to right, top to bottom. A first row of titles is a row like any other. */
trawl_status cli_table_add(struct cli_table *t, struct trawl_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* All rows so far, `indent` blanks before each, two blanks between columns, no trailing blanks. With `bold`
 * the first row is set in bold (a terminal with colours). The last row may be short. */
trawl_status cli_table_print(const struct cli_table *t, size_t indent, bool bold, struct tw_str *out,
                             struct trawl_error *err);

#endif /* CLI_TABLE_H */
