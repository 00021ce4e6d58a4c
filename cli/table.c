/* SPDX-License-Identifier: MIT */
#include "cli/table.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/terminal.h"

void cli_table_init(struct cli_table *t, const char *columns)
{
    memset(t, 0, sizeof *t);
    t->n_columns = strlen(columns);
    TW_BUG_ON(t->n_columns == 0 || t->n_columns > CLI_TABLE_MAX_COLUMNS);
    for (size_t c = 0; c < t->n_columns; c++) {
        t->right[c] = columns[c] == 'r';
    }
}

void cli_table_release(struct cli_table *t)
{
    for (size_t i = 0; i < t->n_cells; i++) {
        tw_free(t->cells[i]);
    }
    tw_free(t->cells);
    t->cells   = NULL;
    t->n_cells = t->capacity = 0;
}

trawl_status cli_table_add(struct cli_table *t, struct trawl_error *err, const char *format, ...)
{
    va_list ap;
    char *cell = NULL;
    TW_TRY(tw_grow(&t->cells, &t->capacity, t->n_cells + 1, sizeof *t->cells, err));
    va_start(ap, format);
    int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    if (n < 0) {
        return tw_fail(err, TRAWL_ERR_INVALID, "table cell cannot be formatted");
    }
    TW_TRY(tw_alloc((size_t)n + 1, 1, &cell, err));
    va_start(ap, format);
    (void)vsnprintf(cell, (size_t)n + 1, format, ap);
    va_end(ap);
    t->cells[t->n_cells++] = cell;
    return TRAWL_OK;
}

static trawl_status pad(struct tw_str *out, size_t n, struct trawl_error *err)
{
    return tw_str_printf(out, err, "%*s", (int)n, "");
}

static trawl_status print_row(const struct cli_table *t, size_t row, const size_t *widths, struct tw_str *out,
                              struct trawl_error *err)
{
    size_t begin = row * t->n_columns;
    size_t n     = t->n_cells - begin < t->n_columns ? t->n_cells - begin : t->n_columns;
    while (n > 0 && t->cells[begin + n - 1][0] == '\0') {
        n--;
    }
    for (size_t c = 0; c < n; c++) {
        const char *cell = t->cells[begin + c];
        size_t room      = widths[c] - cli_text_width(cell, strlen(cell));
        TW_TRY(pad(out, (c > 0 ? 2 : 0) + (t->right[c] ? room : 0), err));
        TW_TRY(tw_str_puts(out, cell, err));
        if (!t->right[c] && c + 1 < n) {
            TW_TRY(pad(out, room, err));
        }
    }
    return TRAWL_OK;
}

trawl_status cli_table_print(const struct cli_table *t, size_t indent, bool bold, struct tw_str *out,
                             struct trawl_error *err)
{
    size_t widths[CLI_TABLE_MAX_COLUMNS] = {0};
    for (size_t i = 0; i < t->n_cells; i++) {
        size_t width = cli_text_width(t->cells[i], strlen(t->cells[i]));
        size_t c     = i % t->n_columns;
        widths[c]    = width > widths[c] ? width : widths[c];
    }
    for (size_t row = 0; row * t->n_columns < t->n_cells; row++) {
        TW_TRY(pad(out, indent, err));
        TW_TRY(tw_str_puts(out, bold && row == 0 ? "\033[1m" : "", err));
        TW_TRY(print_row(t, row, widths, out, err));
        TW_TRY(tw_str_puts(out, bold && row == 0 ? "\033[0m\n" : "\n", err));
    }
    return TRAWL_OK;
}
