/* SPDX-License-Identifier: MIT */
/* A grid of the Abstraction and Reasoning Corpus: rows x cols cells, each a colour 0..9. */
#ifndef TW_ARC_GRID_H
#define TW_ARC_GRID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "json/json.h"

enum {
    TW_ARC_COLORS    = 10,
    TW_ARC_TASK_SIDE = 30,      /* longest side of a grid in a data set */
    TW_ARC_CELLS_MAX = 1 << 20, /* cells of any grid; a model may answer larger than a data set may ask */
};

/* Every grid in existence is rectangular, at least 1 x 1, with cells 0..9, or it is *no grid*:
 * {0, 0, NULL}, what an unreadable answer or an unknown output is. `cells` is row-major [rows, cols], owned:
 * tw_arc_grid_release. */
struct tw_arc_grid {
    int rows;
    int cols;
    uint8_t *cells;
};

/* All cells 0. Sides from 1, at most TW_ARC_CELLS_MAX cells in all (else TRAWL_ERR_LIMIT). */
trawl_status tw_arc_grid_new(struct tw_arc_grid *grid, int rows, int cols, struct trawl_error *err);
trawl_status tw_arc_grid_copy(struct tw_arc_grid *grid, const struct tw_arc_grid *from,
                              struct trawl_error *err);
void tw_arc_grid_release(struct tw_arc_grid *grid); /* becomes no grid; no grid is fine */
/* Same shape and cells; no grid equals only no grid. */
bool tw_arc_grid_equal(const struct tw_arc_grid *a, const struct tw_arc_grid *b);

static inline bool tw_arc_grid_is_none(const struct tw_arc_grid *grid)
{
    return grid->rows == 0;
}

/* ---- grids that are not known to be grids yet ---- */

/* Collects rows of integers and checks them at the end: what text and JSON are read through. */
struct tw_arc_grid_builder {
    int64_t *values; /* owned */
    size_t n;
    size_t capacity;
    size_t *ends; /* [rows] index after the last value of each row; owned */
    size_t rows;
    size_t ends_capacity;
};

void tw_arc_grid_builder_init(struct tw_arc_grid_builder *b);
void tw_arc_grid_builder_release(struct tw_arc_grid_builder *b);
trawl_status tw_arc_grid_builder_value(struct tw_arc_grid_builder *b, int64_t value, struct trawl_error *err);
trawl_status tw_arc_grid_builder_end_row(struct tw_arc_grid_builder *b, struct trawl_error *err);
/* Rectangular, at least 1 x 1, cells 0..9, or TRAWL_ERR_FORMAT with a clause such as
 * "row 2 has 2 cells, row 1 has 3". `side_max` bounds both sides (0: TW_ARC_CELLS_MAX alone does). */
trawl_status tw_arc_grid_builder_finish(struct tw_arc_grid_builder *b, int side_max, struct tw_arc_grid *grid,
                                        struct trawl_error *err);

/* ---- JSON ---- */

/* A list of lists of integers; numbers that are whole (3.0) and booleans count as integers, as some
 * data sets write them. Errors as above, after "<what>: ". */
trawl_status tw_arc_grid_from_json(const json_t *value, const char *what, int side_max,
                                   struct tw_arc_grid *grid, struct trawl_error *err);
/* [[1, 2], [3, 4]] on one line; no grid is []. */
void tw_arc_grid_write_json(struct tw_json_writer *w, const struct tw_arc_grid *grid);

#endif /* TW_ARC_GRID_H */
