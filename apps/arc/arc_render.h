/* SPDX-License-Identifier: MIT */
/* Grids for human eyes. */
#ifndef TW_ARC_RENDER_H
#define TW_ARC_RENDER_H

#include <stdbool.h>

#include "apps/arc/arc_grid.h"
#include "base/error.h"
#include "base/str.h"

/* The ten colors everybody in the field knows, as "#rrggbb". */
const char *tw_arc_color_hex(int color);

/* Lines for a terminal, each with a newline: two columns a cell, as background colors of the 256-color
 * palette, or without `color` as digits with "." for 0. No grid is one line "(no grid)". */
trawl_status tw_arc_render_terminal(const struct tw_arc_grid *grid, bool color, struct tw_str *out,
                                    struct trawl_error *err);

/* An <svg> element of `pixels` a cell; colors are the classes k0..k9, lines the class l, so the page's style
 * decides. No grid gives nothing. */
trawl_status tw_arc_render_svg(const struct tw_arc_grid *grid, int pixels, struct tw_str *out,
                               struct trawl_error *err);

#endif /* TW_ARC_RENDER_H */
