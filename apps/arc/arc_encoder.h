/* SPDX-License-Identifier: MIT */
/* Grid encoders: how a grid is written in a prompt and read from an answer. The names, the constructor
 * grammar and the texts are those that fine-tuned ARC models know, so they are fixed to the byte.
 *
 *   MinimalGridEncoder()               123\n456                         cells as digits
 *   GridWithSeparationEncoder('|')     1|2|3\n4|5|6                     cells joined by a symbol
 *   GridCodeBlockEncoder(base)         ```grid\n<base>\n```
 *   GridShapeEncoder(base)             ```grid shape: 2x3\n<base>\n```
 *   RowNumberEncoder(base)             1 <line 1>\n2 <line 2>           each line of base numbered from 1
 *   RepeatNumberEncoder(3)             111222333\n444555666             each cell three times (the default)
 *   ReplaceNumberEncoder(base)         <base> with 0..9 written as ñ ò ÷ û ą ć ď ę Ě Ğ
 *
 * Reading is as forgiving as the encoders these models were trained with, no more: GridShapeEncoder starts
 * after a line that begins with "```grid shape:", does not compare the H x W, and needs no closing fence;
 * RowNumberEncoder drops what stands before the first space of a line and does not look at the number;
 * RepeatNumberEncoder takes every n-th character. White space around the whole is ignored by the innermost
 * encoder, inside a row it is an error (GridWithSeparationEncoder: it is ignored around a number). Lines end
 * at \n, \r\n, \r, \v, \f, U+001C..1E, U+0085, U+2028, U+2029.
 * One deviation: only the ASCII digits are digits (Python's int also takes the digits of other scripts). */
#ifndef TW_ARC_ENCODER_H
#define TW_ARC_ENCODER_H

#include <stddef.h>

#include "apps/arc/arc_grid.h"
#include "base/error.h"
#include "base/str.h"

enum {
    TW_ARC_ENCODER_DEPTH_MAX  = 8,
    TW_ARC_ENCODER_SYMBOL_MAX = 31, /* bytes of a separator */
    TW_ARC_ENCODER_REPEAT_MAX = 64,
};

enum tw_arc_encoder_kind {
    TW_ARC_ENCODER_MINIMAL,
    TW_ARC_ENCODER_SEPARATION,
    TW_ARC_ENCODER_CODE_BLOCK,
    TW_ARC_ENCODER_SHAPE,
    TW_ARC_ENCODER_ROW_NUMBER,
    TW_ARC_ENCODER_REPEAT,
    TW_ARC_ENCODER_REPLACE,
};

/* A chain, outermost first; the last one is MINIMAL, SEPARATION or REPEAT. A plain value: copy it freely,
 * nothing to release, const after parsing, so threads may share it. */
struct tw_arc_encoder {
    int n;
    struct tw_arc_encoder_stage {
        enum tw_arc_encoder_kind kind;
        int repeat;                                 /* REPEAT */
        char symbol[TW_ARC_ENCODER_SYMBOL_MAX + 1]; /* SEPARATION */
    } stages[TW_ARC_ENCODER_DEPTH_MAX];
};

#define TW_ARC_ENCODER_DEFAULT "GridShapeEncoder(RowNumberEncoder(MinimalGridEncoder()))"

/* expr := Name '(' [argument] ')', argument := expr | string | integer | keyword '=' argument; spaces are
 * free. TRAWL_ERR_FORMAT names the position (a byte, from 1), what was found and what was expected. A
 * composition that cannot read back what it writes, such as GridShapeEncoder(GridShapeEncoder(...)), is
 * refused here instead of failing on every answer. */
trawl_status tw_arc_encoder_parse(struct tw_arc_encoder *e, const char *expression, struct trawl_error *err);

/* Append the text of a grid; never ends in a newline. */
trawl_status tw_arc_encoder_to_text(const struct tw_arc_encoder *e, const struct tw_arc_grid *grid,
                                    struct tw_str *out, struct trawl_error *err);

/* Read any bytes. TRAWL_ERR_FORMAT says in a clause why they are no grid. */
trawl_status tw_arc_encoder_to_grid(const struct tw_arc_encoder *e, const char *text, size_t n,
                                    struct tw_arc_grid *grid, struct trawl_error *err);

/* What ReplaceNumberEncoder writes for a digit: two bytes. */
const char *tw_arc_encoder_replacement(int digit);

/* ---- the texts of all grids ---- */

/* Append a regular expression (of the syntax in docs/constraints.md) that matches what
 * tw_arc_encoder_to_text writes for grids of up to *side x *side, less its first `skip` bytes, and nothing
 * else: rows of equal width, row numbers in order, a shape that is the grid's. An encoder that writes the
 * shape needs an alternative for each, whose size grows with the fourth power of the side: where that is
 * too much, *side is lowered to what can be had. */
trawl_status tw_arc_encoder_pattern(const struct tw_arc_encoder *e, size_t skip, int *side,
                                    struct tw_str *out, struct trawl_error *err);

#endif /* TW_ARC_ENCODER_H */
