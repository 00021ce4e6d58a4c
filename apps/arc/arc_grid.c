/* SPDX-License-Identifier: MIT */
#include "apps/arc/arc_grid.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"

trawl_status tw_arc_grid_new(struct tw_arc_grid *grid, int rows, int cols, struct trawl_error *err)
{
    *grid = (struct tw_arc_grid){0, 0, NULL};
    if (rows < 1 || cols < 1) {
        return tw_fail(err, TRAWL_ERR_INVALID, "a grid of %d x %d cells", rows, cols);
    }
    if ((int64_t)rows * cols > TW_ARC_CELLS_MAX) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "a grid of %d x %d cells, the limit is %d cells", rows, cols,
                       TW_ARC_CELLS_MAX);
    }
    TW_TRY(tw_alloc((size_t)rows * (size_t)cols, 1, &grid->cells, err));
    grid->rows = rows;
    grid->cols = cols;
    return TRAWL_OK;
}

trawl_status tw_arc_grid_copy(struct tw_arc_grid *grid, const struct tw_arc_grid *from,
                              struct trawl_error *err)
{
    *grid = (struct tw_arc_grid){0, 0, NULL};
    if (tw_arc_grid_is_none(from)) {
        return TRAWL_OK;
    }
    TW_TRY(tw_arc_grid_new(grid, from->rows, from->cols, err));
    memcpy(grid->cells, from->cells, (size_t)from->rows * (size_t)from->cols);
    return TRAWL_OK;
}

void tw_arc_grid_release(struct tw_arc_grid *grid)
{
    tw_free(grid->cells);
    *grid = (struct tw_arc_grid){0, 0, NULL};
}

bool tw_arc_grid_equal(const struct tw_arc_grid *a, const struct tw_arc_grid *b)
{
    return a->rows == b->rows && a->cols == b->cols &&
           (a->rows == 0 || memcmp(a->cells, b->cells, (size_t)a->rows * (size_t)a->cols) == 0);
}

/* ---- builder ---- */

void tw_arc_grid_builder_init(struct tw_arc_grid_builder *b)
{
    *b = (struct tw_arc_grid_builder){.values = NULL, .ends = NULL};
}

void tw_arc_grid_builder_release(struct tw_arc_grid_builder *b)
{
    tw_free(b->values);
    tw_free(b->ends);
    tw_arc_grid_builder_init(b);
}

trawl_status tw_arc_grid_builder_value(struct tw_arc_grid_builder *b, int64_t value, struct trawl_error *err)
{
    if (b->n == TW_ARC_CELLS_MAX) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "more than %d cells", TW_ARC_CELLS_MAX);
    }
    TW_TRY(tw_grow(&b->values, &b->capacity, b->n + 1, sizeof *b->values, err));
    b->values[b->n++] = value;
    return TRAWL_OK;
}

trawl_status tw_arc_grid_builder_end_row(struct tw_arc_grid_builder *b, struct trawl_error *err)
{
    if (b->rows == TW_ARC_CELLS_MAX) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "more than %d rows", TW_ARC_CELLS_MAX);
    }
    TW_TRY(tw_grow(&b->ends, &b->ends_capacity, b->rows + 1, sizeof *b->ends, err));
    b->ends[b->rows++] = b->n;
    return TRAWL_OK;
}

static trawl_status check_shape(const struct tw_arc_grid_builder *b, int side_max, struct trawl_error *err)
{
    if (b->rows == 0) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "no rows");
    }
    size_t cols = b->ends[0];
    for (size_t r = 1; r < b->rows; r++) {
        size_t n = b->ends[r] - b->ends[r - 1];
        if (n != cols) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "row %zu has %zu cells, row 1 has %zu", r + 1, n, cols);
        }
    }
    if (cols == 0) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "the rows have no cells");
    }
    if (side_max > 0 && (b->rows > (size_t)side_max || cols > (size_t)side_max)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%zu x %zu cells, the limit is %d x %d", b->rows, cols,
                       side_max, side_max);
    }
    return TRAWL_OK;
}

trawl_status tw_arc_grid_builder_finish(struct tw_arc_grid_builder *b, int side_max, struct tw_arc_grid *grid,
                                        struct trawl_error *err)
{
    *grid = (struct tw_arc_grid){0, 0, NULL};
    TW_TRY(check_shape(b, side_max, err));
    size_t cols = b->ends[0];
    for (size_t i = 0; i < b->n; i++) {
        if (b->values[i] < 0 || b->values[i] >= TW_ARC_COLORS) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "row %zu column %zu is %lld, expected 0..9", i / cols + 1,
                           i % cols + 1, (long long)b->values[i]);
        }
    }
    TW_TRY(tw_arc_grid_new(grid, (int)b->rows, (int)cols, err));
    for (size_t i = 0; i < b->n; i++) {
        grid->cells[i] = (uint8_t)b->values[i];
    }
    return TRAWL_OK;
}

/* ---- JSON ---- */

static bool whole_number(const json_t *value, int64_t *out)
{
    if (json_is_integer(value)) {
        *out = json_integer_value(value);
        return true;
    }
    if (json_is_boolean(value)) {
        *out = json_is_true(value) ? 1 : 0;
        return true;
    }
    double d = json_is_real(value) ? json_real_value(value) : 0.5;
    if (d != floor(d) || fabs(d) > 1e15) {
        return false;
    }
    *out = (int64_t)d;
    return true;
}

static trawl_status build_from_json(struct tw_arc_grid_builder *b, const json_t *value,
                                    struct trawl_error *err)
{
    if (!json_is_array(value)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s, expected a list of rows", tw_json_type_name(value));
    }
    size_t r, c;
    json_t *row, *cell;
    json_array_foreach(value, r, row)
    {
        if (!json_is_array(row)) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "row %zu is %s, expected a list", r + 1,
                           tw_json_type_name(row));
        }
        json_array_foreach(row, c, cell)
        {
            int64_t v = 0;
            if (!whole_number(cell, &v)) {
                return tw_fail(err, TRAWL_ERR_FORMAT, "row %zu column %zu is %s, expected an integer 0..9",
                               r + 1, c + 1, tw_json_type_name(cell));
            }
            TW_TRY(tw_arc_grid_builder_value(b, v, err));
        }
        TW_TRY(tw_arc_grid_builder_end_row(b, err));
    }
    return TRAWL_OK;
}

trawl_status tw_arc_grid_from_json(const json_t *value, const char *what, int side_max,
                                   struct tw_arc_grid *grid, struct trawl_error *err)
{
    struct tw_arc_grid_builder b;
    tw_arc_grid_builder_init(&b);
    *grid               = (struct tw_arc_grid){0, 0, NULL};
    trawl_status status = build_from_json(&b, value, err);
    if (status == TRAWL_OK) {
        status = tw_arc_grid_builder_finish(&b, side_max, grid, err);
    }
    tw_arc_grid_builder_release(&b);
    return status == TRAWL_OK ? TRAWL_OK : tw_fail_prefix(err, status, "%s", what);
}

void tw_arc_grid_write_json(struct tw_json_writer *w, const struct tw_arc_grid *grid)
{
    tw_json_begin_array(w);
    for (int r = 0; r < grid->rows; r++) {
        tw_json_begin_array(w);
        for (int c = 0; c < grid->cols; c++) {
            tw_json_raw(w, &"0123456789"[grid->cells[r * grid->cols + c]], 1);
        }
        tw_json_end_array(w);
    }
    tw_json_end_array(w);
}
