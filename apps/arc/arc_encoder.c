/* SPDX-License-Identifier: MIT */
/* Both directions run through the chain stage by stage, text to text; only the innermost stage sees cells. */
#include "apps/arc/arc_encoder.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

static const char FENCE[]        = "```";
static const char SHAPE_HEADER[] = "```grid shape:";
static const char BLOCK_HEADER[] = "```grid\n";

/* What ReplaceNumberEncoder writes for 0..9; two bytes each. */
static const char REPLACEMENTS[TW_ARC_COLORS][3] = {
    "\xC3\xB1", "\xC3\xB2", "\xC3\xB7", "\xC3\xBB", "\xC4\x85",
    "\xC4\x87", "\xC4\x8F", "\xC4\x99", "\xC4\x9A", "\xC4\x9E",
};

const char *tw_arc_encoder_replacement(int digit)
{
    return REPLACEMENTS[digit];
}

/* A piece of a text. */
struct span {
    const char *s;
    size_t n;
};

/* ---- Python's idea of lines and white space ---- */

/* Bytes of the line end at s, 0 if there is none. */
static size_t line_end(const char *s, size_t n)
{
    unsigned char c = (unsigned char)s[0];
    if (c == '\r') {
        return n > 1 && s[1] == '\n' ? 2 : 1;
    }
    if ((c >= '\n' && c <= '\f') || (c >= 0x1C && c <= 0x1E)) {
        return 1;
    }
    uint32_t u = 0;
    size_t k   = c < 0x80 ? 0 : tw_utf8_decode(s, n, &u);
    return u == 0x85 || u == 0x2028 || u == 0x2029 ? k : 0;
}

/* Take the next line off `rest`; false when nothing is left (a final line end opens no line). */
static bool next_line(struct span *rest, struct span *line)
{
    if (rest->n == 0) {
        return false;
    }
    size_t i = 0, end = 0;
    while (i < rest->n && (end = line_end(rest->s + i, rest->n - i)) == 0) {
        i++;
    }
    *line = (struct span){rest->s, i};
    rest->s += i + end;
    rest->n -= i + end;
    return true;
}

static bool is_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
           c == 0x3000;
}

static struct span strip(struct span t)
{
    uint32_t c = 0;
    for (size_t k; (k = tw_utf8_decode(t.s, t.n, &c)) > 0 && is_space(c);) {
        t.s += k;
        t.n -= k;
    }
    while (t.n > 0) {
        size_t k = 1;
        while (k < 4 && k < t.n && ((unsigned char)t.s[t.n - k] & 0xC0) == 0x80) {
            k++;
        }
        if (tw_utf8_decode(t.s + t.n - k, k, &c) != k || !is_space(c)) {
            break;
        }
        t.n -= k;
    }
    return t;
}

static bool starts_with(struct span t, const char *prefix)
{
    size_t n = strlen(prefix);
    return t.n >= n && memcmp(t.s, prefix, n) == 0;
}

static const char *find(struct span t, const char *what, size_t n)
{
    return memmem(t.s, t.n, what, n);
}

/* ---- grid to text ---- */

static trawl_status write_cells(const struct tw_arc_encoder_stage *stage, const struct tw_arc_grid *grid,
                                struct tw_str *out, struct trawl_error *err)
{
    int repeat = stage->kind == TW_ARC_ENCODER_REPEAT ? stage->repeat : 1;
    for (int r = 0; r < grid->rows; r++) {
        if (r > 0) {
            TW_TRY(tw_str_putc(out, '\n', err));
        }
        for (int c = 0; c < grid->cols; c++) {
            if (c > 0 && stage->kind == TW_ARC_ENCODER_SEPARATION) {
                TW_TRY(tw_str_puts(out, stage->symbol, err));
            }
            for (int i = 0; i < repeat; i++) {
                TW_TRY(tw_str_putc(out, (char)('0' + grid->cells[r * grid->cols + c]), err));
            }
        }
    }
    return TRAWL_OK;
}

static trawl_status number_rows(struct span in, struct tw_str *out, struct trawl_error *err)
{
    struct span line;
    for (int i = 1; next_line(&in, &line); i++) {
        TW_TRY(tw_str_printf(out, err, i == 1 ? "%d " : "\n%d ", i));
        TW_TRY(tw_str_append(out, line.s, line.n, err));
    }
    return TRAWL_OK;
}

static trawl_status replace_digits(struct span in, struct tw_str *out, struct trawl_error *err)
{
    for (size_t i = 0; i < in.n; i++) {
        if (in.s[i] >= '0' && in.s[i] <= '9') {
            TW_TRY(tw_str_puts(out, REPLACEMENTS[in.s[i] - '0'], err));
        } else {
            TW_TRY(tw_str_putc(out, in.s[i], err));
        }
    }
    return TRAWL_OK;
}

static trawl_status wrap(const struct tw_arc_encoder_stage *stage, const struct tw_arc_grid *grid,
                         struct span in, struct tw_str *out, struct trawl_error *err)
{
    if (stage->kind == TW_ARC_ENCODER_ROW_NUMBER) {
        return number_rows(in, out, err);
    }
    if (stage->kind == TW_ARC_ENCODER_REPLACE) {
        return replace_digits(in, out, err);
    }
    if (stage->kind == TW_ARC_ENCODER_SHAPE) {
        TW_TRY(tw_str_printf(out, err, "%s %dx%d\n", SHAPE_HEADER, grid->rows, grid->cols));
    } else {
        TW_TRY(tw_str_puts(out, BLOCK_HEADER, err));
    }
    TW_TRY(tw_str_append(out, in.s, in.n, err));
    TW_TRY(tw_str_putc(out, '\n', err));
    return tw_str_puts(out, FENCE, err);
}

trawl_status tw_arc_encoder_to_text(const struct tw_arc_encoder *e, const struct tw_arc_grid *grid,
                                    struct tw_str *out, struct trawl_error *err)
{
    struct tw_str text[2]; /* the stages write them in turn */
    tw_str_init(&text[0], 0);
    tw_str_init(&text[1], 0);
    int at              = 0;
    trawl_status status = write_cells(&e->stages[e->n - 1], grid, &text[at], err);
    for (int i = e->n - 2; status == TRAWL_OK && i >= 0; i--) {
        struct span in = {tw_str_text(&text[at]), text[at].size};
        at             = 1 - at;
        tw_str_reset(&text[at]);
        status = wrap(&e->stages[i], grid, in, &text[at], err);
    }
    if (status == TRAWL_OK) {
        status = tw_str_append(out, tw_str_text(&text[at]), text[at].size, err);
    }
    tw_str_release(&text[0]);
    tw_str_release(&text[1]);
    return status;
}

/* ---- text to grid ---- */

static trawl_status unwrap_block(struct span in, struct tw_str *out, struct trawl_error *err)
{
    const char *open = find(in, BLOCK_HEADER, strlen(BLOCK_HEADER));
    if (open == NULL) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "no \"```grid\" line");
    }
    open += strlen(BLOCK_HEADER);
    struct span body  = {open, (size_t)(in.s + in.n - open)};
    const char *close = find(body, "\n```", 4);
    return tw_str_append(out, body.s, close == NULL ? body.n : (size_t)(close - body.s), err);
}

static trawl_status unwrap_shape(struct span in, struct tw_str *out, struct trawl_error *err)
{
    bool inside = false;
    size_t n    = 0;
    struct span line;
    while (next_line(&in, &line)) {
        if (starts_with(line, SHAPE_HEADER)) {
            inside = true;
        } else if (inside && starts_with(line, FENCE)) {
            break;
        } else if (inside) {
            if (n++ > 0) {
                TW_TRY(tw_str_putc(out, '\n', err));
            }
            TW_TRY(tw_str_append(out, line.s, line.n, err));
        }
    }
    return inside ? TRAWL_OK : tw_fail(err, TRAWL_ERR_FORMAT, "no line begins with \"%s\"", SHAPE_HEADER);
}

static trawl_status unwrap_rows(struct span in, struct tw_str *out, struct trawl_error *err)
{
    struct span line;
    for (size_t i = 1; next_line(&in, &line); i++) {
        const char *space = line.n == 0 ? NULL : memchr(line.s, ' ', line.n);
        if (space == NULL) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "row %zu has no space after a row number", i);
        }
        TW_TRY(tw_str_append(out, space + 1, (size_t)(line.s + line.n - space - 1), err));
        TW_TRY(tw_str_putc(out, '\n', err));
    }
    return TRAWL_OK;
}

static trawl_status restore_digits(struct span in, struct tw_str *out, struct trawl_error *err)
{
    for (size_t i = 0; i < in.n; i++) {
        int digit = TW_ARC_COLORS;
        if (i + 1 < in.n) {
            digit = 0;
            while (digit < TW_ARC_COLORS && memcmp(in.s + i, REPLACEMENTS[digit], 2) != 0) {
                digit++;
            }
        }
        bool found = digit < TW_ARC_COLORS;
        TW_TRY(tw_str_putc(out, found ? (char)('0' + digit) : in.s[i], err));
        i += found;
    }
    return TRAWL_OK;
}

static trawl_status not_a_digit(size_t row, size_t place, struct span at, struct trawl_error *err)
{
    uint32_t c = 0;
    size_t n   = tw_utf8_decode(at.s, at.n, &c);
    if (n == 0 || c < 0x20 || c == 0x7F) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "row %zu character %zu is byte 0x%02x, expected a digit", row,
                       place, (unsigned)(unsigned char)at.s[0]);
    }
    return tw_fail(err, TRAWL_ERR_FORMAT, "row %zu character %zu is \"%.*s\", expected a digit", row, place,
                   (int)n, at.s);
}

/* Every `step`-th character of a line. */
static trawl_status read_digits(struct span line, size_t row, int step, struct tw_arc_grid_builder *b,
                                struct trawl_error *err)
{
    size_t place = 0;
    while (line.n > 0) {
        size_t k = tw_utf8_decode(line.s, line.n, NULL);
        if (place % (size_t)step == 0) {
            if (line.s[0] < '0' || line.s[0] > '9') {
                return not_a_digit(row, place + 1, line, err);
            }
            TW_TRY(tw_arc_grid_builder_value(b, line.s[0] - '0', err));
        }
        k = k == 0 ? 1 : k;
        line.s += k;
        line.n -= k;
        place++;
    }
    return TRAWL_OK;
}

/* What Python's int() takes of ASCII: blanks around, a sign, digits with single underscores between. */
static bool read_integer(struct span t, int64_t *out)
{
    t             = strip(t);
    bool negative = t.n > 0 && t.s[0] == '-';
    if (t.n > 0 && (t.s[0] == '-' || t.s[0] == '+')) {
        t.s++;
        t.n--;
    }
    int64_t v       = 0;
    bool need_digit = true;
    for (size_t i = 0; i < t.n; i++) {
        if (t.s[i] == '_' && !need_digit) {
            need_digit = true;
        } else if (t.s[i] >= '0' && t.s[i] <= '9') {
            v          = v > 99999 ? v : v * 10 + (t.s[i] - '0'); /* far outside 0..9 already */
            need_digit = false;
        } else {
            return false;
        }
    }
    *out = negative ? -v : v;
    return !need_digit;
}

static trawl_status read_separated(struct span line, size_t row, const char *symbol,
                                   struct tw_arc_grid_builder *b, struct trawl_error *err)
{
    size_t width = strlen(symbol);
    for (size_t column = 1;; column++) {
        const char *end  = find(line, symbol, width);
        struct span cell = {line.s, end == NULL ? line.n : (size_t)(end - line.s)};
        int64_t v        = 0;
        if (!read_integer(cell, &v)) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "row %zu column %zu is not an integer", row, column);
        }
        TW_TRY(tw_arc_grid_builder_value(b, v, err));
        if (end == NULL) {
            return TRAWL_OK;
        }
        line.n -= cell.n + width;
        line.s += cell.n + width;
    }
}

static trawl_status read_cells(const struct tw_arc_encoder_stage *stage, struct span in,
                               struct tw_arc_grid_builder *b, struct trawl_error *err)
{
    struct span rest = strip(in), line;
    for (size_t row = 1; next_line(&rest, &line); row++) {
        if (stage->kind == TW_ARC_ENCODER_SEPARATION) {
            TW_TRY(read_separated(line, row, stage->symbol, b, err));
        } else {
            TW_TRY(read_digits(line, row, stage->kind == TW_ARC_ENCODER_REPEAT ? stage->repeat : 1, b, err));
        }
        TW_TRY(tw_arc_grid_builder_end_row(b, err));
    }
    return TRAWL_OK;
}

static trawl_status unwrap(const struct tw_arc_encoder_stage *stage, struct span in, struct tw_str *out,
                           struct trawl_error *err)
{
    switch (stage->kind) {
    case TW_ARC_ENCODER_CODE_BLOCK: return unwrap_block(in, out, err);
    case TW_ARC_ENCODER_SHAPE: return unwrap_shape(in, out, err);
    case TW_ARC_ENCODER_ROW_NUMBER: return unwrap_rows(in, out, err);
    case TW_ARC_ENCODER_REPLACE: return restore_digits(in, out, err);
    case TW_ARC_ENCODER_MINIMAL:
    case TW_ARC_ENCODER_SEPARATION:
    case TW_ARC_ENCODER_REPEAT: break;
    }
    return tw_fail(err, TRAWL_ERR_INVALID, "an encoder chain goes on after its innermost stage");
}

trawl_status tw_arc_encoder_to_grid(const struct tw_arc_encoder *e, const char *text, size_t n,
                                    struct tw_arc_grid *grid, struct trawl_error *err)
{
    struct tw_str texts[2];
    struct tw_arc_grid_builder b;
    tw_str_init(&texts[0], 0);
    tw_str_init(&texts[1], 0);
    tw_arc_grid_builder_init(&b);
    *grid               = (struct tw_arc_grid){0, 0, NULL};
    struct span in      = {text, n};
    trawl_status status = TRAWL_OK;
    for (int i = 0; status == TRAWL_OK && i < e->n - 1; i++) {
        struct tw_str *out = &texts[i % 2];
        tw_str_reset(out);
        status = unwrap(&e->stages[i], in, out, err);
        in     = (struct span){tw_str_text(out), out->size};
    }
    if (status == TRAWL_OK) {
        status = read_cells(&e->stages[e->n - 1], in, &b, err);
    }
    if (status == TRAWL_OK) {
        status = tw_arc_grid_builder_finish(&b, 0, grid, err);
    }
    tw_arc_grid_builder_release(&b);
    tw_str_release(&texts[0]);
    tw_str_release(&texts[1]);
    return status;
}
