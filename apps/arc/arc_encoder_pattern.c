/* SPDX-License-Identifier: MIT */
/* An encoder's texts as a regular expression. A text is lines; a line is text that is the same for all
 * grids of its shape, and then, in the lines of rows, the cells. */
#include <stdio.h>
#include <string.h>

#include "apps/arc/arc_encoder.h"

/* Nodes of automaton that an expression may make: what the engine takes is a little more. */
enum { NODES_MAX = 1900000, PREFIX_BYTES = 160, LINES_MAX = TW_ARC_TASK_SIDE + 2 * TW_ARC_ENCODER_DEPTH_MAX };

struct lines {
    struct {
        char prefix[PREFIX_BYTES];
        bool cells;
    } list[LINES_MAX];
    int n;
};

static bool has_stage(const struct tw_arc_encoder *e, enum tw_arc_encoder_kind kind)
{
    for (int i = 0; i < e->n; i++) {
        if (e->stages[i].kind == kind) {
            return true;
        }
    }
    return false;
}

/* ---- size ---- */

/* Nodes of a cell, at most. */
static size_t cell_nodes(const struct tw_arc_encoder *e)
{
    const struct tw_arc_encoder_stage *inner = &e->stages[e->n - 1];
    bool replaced                            = has_stage(e, TW_ARC_ENCODER_REPLACE);
    if (inner->kind == TW_ARC_ENCODER_REPEAT && inner->repeat > 1) {
        return TW_ARC_COLORS * ((size_t)inner->repeat * (replaced ? 2 : 1) + 1);
    }
    size_t symbol = inner->kind == TW_ARC_ENCODER_SEPARATION ? strlen(inner->symbol) * (replaced ? 2 : 1) : 0;
    return symbol + (replaced ? 5 : 1);
}

/* Cells of all shapes, or of all widths. */
static size_t cells_of(bool shaped, size_t side)
{
    size_t sum = side * (side + 1) / 2;
    return shaped ? sum * sum : sum * side;
}

/* ---- lines ---- */

static trawl_status add_prefix(struct lines *l, int line, const char *text, struct trawl_error *err)
{
    char whole[PREFIX_BYTES];
    int n = snprintf(whole, sizeof whole, "%s%s", text, l->list[line].prefix);
    if (n < 0 || n >= PREFIX_BYTES) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                       "this grid encoder writes lines that are too long to constrain");
    }
    memcpy(l->list[line].prefix, whole, (size_t)n + 1);
    return TRAWL_OK;
}

/* A fence before and after. */
static void add_fences(struct lines *l, const char *header)
{
    memmove(&l->list[1], &l->list[0], (size_t)l->n * sizeof l->list[0]);
    l->n += 2;
    l->list[0].cells = l->list[l->n - 1].cells = false;
    (void)snprintf(l->list[0].prefix, PREFIX_BYTES, "%s", header);
    (void)snprintf(l->list[l->n - 1].prefix, PREFIX_BYTES, "```");
}

/* A text with its digits as ReplaceNumberEncoder writes them, cut to the room there is. */
static void replace_digits(char *text, size_t room)
{
    char out[2 * PREFIX_BYTES] = "";
    size_t n                   = 0;
    for (const char *s = text; *s != '\0' && n + 3 < room; s++) {
        if (*s >= '0' && *s <= '9') {
            memcpy(out + n, tw_arc_encoder_replacement(*s - '0'), 2);
            n += 2;
        } else {
            out[n++] = *s;
        }
    }
    out[n] = '\0';
    memcpy(text, out, n + 1);
}

/* The lines of a grid of `rows` rows; `cols` matters for the shape only. */
static trawl_status make_lines(const struct tw_arc_encoder *e, int rows, int cols, struct lines *l,
                               struct trawl_error *err)
{
    char text[64];
    l->n = rows;
    for (int i = 0; i < rows; i++) {
        l->list[i].prefix[0] = '\0';
        l->list[i].cells     = true;
    }
    for (int stage = e->n - 2; stage >= 0; stage--) {
        switch (e->stages[stage].kind) {
        case TW_ARC_ENCODER_SHAPE:
            (void)snprintf(text, sizeof text, "```grid shape: %dx%d", rows, cols);
            add_fences(l, text);
            break;
        case TW_ARC_ENCODER_CODE_BLOCK: add_fences(l, "```grid"); break;
        case TW_ARC_ENCODER_ROW_NUMBER:
            for (int i = 0; i < l->n; i++) {
                (void)snprintf(text, sizeof text, "%d ", i + 1);
                TW_TRY(add_prefix(l, i, text, err));
            }
            break;
        case TW_ARC_ENCODER_REPLACE:
            for (int i = 0; i < l->n; i++) {
                replace_digits(l->list[i].prefix, PREFIX_BYTES);
            }
            break;
        case TW_ARC_ENCODER_MINIMAL:
        case TW_ARC_ENCODER_SEPARATION:
        case TW_ARC_ENCODER_REPEAT: break;
        }
    }
    return TRAWL_OK;
}

/* ---- expressions ---- */

static trawl_status put_literal(struct tw_str *out, const char *text, struct trawl_error *err)
{
    for (; *text != '\0'; text++) {
        if (strchr("\\^$.|?*+()[]{}", *text) != NULL) {
            TW_TRY(tw_str_putc(out, '\\', err));
        }
        TW_TRY(tw_str_putc(out, *text, err));
    }
    return TRAWL_OK;
}

/* A cell: a digit or its replacement, or the same one several times. */
static trawl_status put_cell(const struct tw_arc_encoder *e, struct tw_str *out, struct trawl_error *err)
{
    const struct tw_arc_encoder_stage *inner = &e->stages[e->n - 1];
    bool replaced                            = has_stage(e, TW_ARC_ENCODER_REPLACE);
    bool repeated                            = inner->kind == TW_ARC_ENCODER_REPEAT && inner->repeat > 1;
    if (!replaced && !repeated) {
        return tw_str_puts(out, "[0-9]", err);
    }
    TW_TRY(tw_str_puts(out, repeated ? "(?:" : "[", err));
    for (int color = 0; color < TW_ARC_COLORS; color++) {
        const char digit[2] = {(char)('0' + color), '\0'};
        TW_TRY(tw_str_puts(out, replaced ? tw_arc_encoder_replacement(color) : digit, err));
        if (repeated) {
            TW_TRY(tw_str_printf(out, err, color + 1 < TW_ARC_COLORS ? "{%d}|" : "{%d}", inner->repeat));
        }
    }
    return tw_str_puts(out, repeated ? ")" : "]", err);
}

static trawl_status put_cells(const struct tw_arc_encoder *e, int cols, struct tw_str *out,
                              struct trawl_error *err)
{
    const struct tw_arc_encoder_stage *inner = &e->stages[e->n - 1];
    TW_TRY(put_cell(e, out, err));
    if (cols == 1) {
        return TRAWL_OK;
    }
    if (inner->kind != TW_ARC_ENCODER_SEPARATION) {
        return tw_str_printf(out, err, "{%d}", cols);
    }
    char symbol[2 * TW_ARC_ENCODER_SYMBOL_MAX + 4];
    (void)snprintf(symbol, sizeof symbol, "%s", inner->symbol);
    if (has_stage(e, TW_ARC_ENCODER_REPLACE)) {
        replace_digits(symbol, sizeof symbol);
    }
    TW_TRY(tw_str_puts(out, "(?:", err));
    TW_TRY(put_literal(out, symbol, err));
    TW_TRY(put_cell(e, out, err));
    return tw_str_printf(out, err, "){%d}", cols - 1);
}

/* Lines from .. to - 1, each with its line end before it but the first of all, less `skip` bytes. */
static trawl_status put_lines(const struct tw_arc_encoder *e, const struct lines *l, int from, int to,
                              int cols, size_t skip, struct tw_str *out, struct trawl_error *err)
{
    for (int i = from; i < to; i++) {
        TW_TRY(i > 0 ? tw_str_putc(out, '\n', err) : TRAWL_OK);
        TW_TRY(put_literal(out, l->list[i].prefix + (i == 0 ? skip : 0), err));
        if (l->list[i].cells) {
            TW_TRY(put_cells(e, cols, out, err));
        }
    }
    return TRAWL_OK;
}

/* Grids of a width, of any height: after each row either what ends a grid of so many rows or the next row. */
static trawl_status put_width(const struct tw_arc_encoder *e, int cols, int side, size_t skip,
                              struct tw_str *out, struct trawl_error *err)
{
    struct lines l;
    int done = 0;
    for (int rows = 1; rows <= side; rows++) {
        TW_TRY(make_lines(e, rows, cols, &l, err));
        int last = l.n - 1;
        while (!l.list[last].cells) {
            last--;
        }
        TW_TRY(put_lines(e, &l, done, last + 1, cols, skip, out, err));
        done = last + 1;
        if (rows < side) {
            TW_TRY(tw_str_puts(out, "(?:", err));
        }
        TW_TRY(put_lines(e, &l, done, l.n, cols, skip, out, err));
        if (rows < side) {
            TW_TRY(tw_str_putc(out, '|', err));
        }
    }
    for (int rows = 1; rows < side; rows++) {
        TW_TRY(tw_str_putc(out, ')', err));
    }
    return TRAWL_OK;
}

trawl_status tw_arc_encoder_pattern(const struct tw_arc_encoder *e, size_t skip, int *side,
                                    struct tw_str *out, struct trawl_error *err)
{
    bool shaped = has_stage(e, TW_ARC_ENCODER_SHAPE);
    while (*side > 1 && cells_of(shaped, (size_t)*side) * cell_nodes(e) > NODES_MAX) {
        --*side;
    }
    for (int cols = 1; cols <= *side; cols++) {
        for (int rows = shaped ? 1 : *side; rows <= *side; rows++) {
            struct lines l;
            if (cols > 1 || rows > (shaped ? 1 : *side)) {
                TW_TRY(tw_str_putc(out, '|', err));
            }
            if (!shaped) {
                TW_TRY(put_width(e, cols, *side, skip, out, err));
                continue;
            }
            TW_TRY(make_lines(e, rows, cols, &l, err));
            TW_TRY(put_lines(e, &l, 0, l.n, cols, skip, out, err));
        }
    }
    return TRAWL_OK;
}
