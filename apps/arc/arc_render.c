/* SPDX-License-Identifier: MIT */
#include "apps/arc/arc_render.h"

static const struct {
    char hex[8];
    int ansi; /* nearest of the 256 */
} PALETTE[TW_ARC_COLORS] = {
    {"#000000", 16},  {"#0074D9", 32},  {"#FF4136", 203}, {"#2ECC40", 41},  {"#FFDC00", 220},
    {"#AAAAAA", 248}, {"#F012BE", 199}, {"#FF851B", 208}, {"#7FDBFF", 117}, {"#870C25", 88},
};

const char *tw_arc_color_hex(int color)
{
    return PALETTE[color].hex;
}

trawl_status tw_arc_render_terminal(const struct tw_arc_grid *grid, bool color, struct tw_str *out,
                                    struct trawl_error *err)
{
    if (tw_arc_grid_is_none(grid)) {
        return tw_str_puts(out, "(no grid)\n", err);
    }
    for (int r = 0; r < grid->rows; r++) {
        for (int c = 0; c < grid->cols; c++) {
            int v = grid->cells[r * grid->cols + c];
            if (color) {
                TW_TRY(tw_str_printf(out, err, "\x1b[48;5;%dm  ", PALETTE[v].ansi));
            } else {
                TW_TRY(tw_str_printf(out, err, c == 0 ? "%c" : " %c", v == 0 ? '.' : '0' + v));
            }
        }
        TW_TRY(tw_str_puts(out, color ? "\x1b[0m\n" : "\n", err));
    }
    return TRAWL_OK;
}

/* How many of the first n cells are of the color. */
static int run_length(const uint8_t *cells, int n, int color)
{
    int run = 0;
    while (run < n && cells[run] == color) {
        run++;
    }
    return run;
}

/* Cells of one color as one path: a box per horizontal run. */
static trawl_status write_color(const struct tw_arc_grid *grid, int color, struct tw_str *out,
                                struct trawl_error *err)
{
    bool any = false;
    for (int r = 0; r < grid->rows; r++) {
        const uint8_t *row = grid->cells + (size_t)r * (size_t)grid->cols;
        for (int c = 0, run; c < grid->cols; c += run + 1) {
            run = run_length(row + c, grid->cols - c, color);
            if (run > 0 && !any) {
                TW_TRY(tw_str_printf(out, err, "<path class=\"k%d\" d=\"", color));
            }
            if (run > 0) {
                TW_TRY(tw_str_printf(out, err, "M%d %dh%dv1h-%dz", c, r, run, run));
                any = true;
            }
        }
    }
    return any ? tw_str_puts(out, "\"/>", err) : TRAWL_OK;
}

trawl_status tw_arc_render_svg(const struct tw_arc_grid *grid, int pixels, struct tw_str *out,
                               struct trawl_error *err)
{
    if (tw_arc_grid_is_none(grid)) {
        return TRAWL_OK;
    }
    TW_TRY(tw_str_printf(out, err,
                         "<svg width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\" "
                         "aria-label=\"grid of %d rows and %d columns\">",
                         grid->cols * pixels + 1, grid->rows * pixels + 1, grid->cols, grid->rows, grid->rows,
                         grid->cols));
    for (int color = 0; color < TW_ARC_COLORS; color++) {
        TW_TRY(write_color(grid, color, out, err));
    }
    TW_TRY(tw_str_puts(out, "<path class=\"l\" d=\"", err));
    for (int r = 0; r <= grid->rows; r++) {
        TW_TRY(tw_str_printf(out, err, "M0 %dh%d", r, grid->cols));
    }
    for (int c = 0; c <= grid->cols; c++) {
        TW_TRY(tw_str_printf(out, err, "M%d 0v%d", c, grid->rows));
    }
    return tw_str_puts(out, "\"/></svg>", err);
}
