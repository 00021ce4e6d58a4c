/* SPDX-License-Identifier: MIT */
/* "GridShapeEncoder(RowNumberEncoder(MinimalGridEncoder()))" -> struct tw_arc_encoder. */
#include <ctype.h>
#include <string.h>

#include "apps/arc/arc_encoder.h"

static const struct {
    const char *name;
    enum tw_arc_encoder_kind kind;
    bool has_base;
} NAMES[] = {
    {"MinimalGridEncoder", TW_ARC_ENCODER_MINIMAL, false},
    {"GridWithSeparationEncoder", TW_ARC_ENCODER_SEPARATION, false},
    {"GridCodeBlockEncoder", TW_ARC_ENCODER_CODE_BLOCK, true},
    {"GridShapeEncoder", TW_ARC_ENCODER_SHAPE, true},
    {"RowNumberEncoder", TW_ARC_ENCODER_ROW_NUMBER, true},
    {"RepeatNumberEncoder", TW_ARC_ENCODER_REPEAT, false},
    {"ReplaceNumberEncoder", TW_ARC_ENCODER_REPLACE, true},
};
enum { N_NAMES = sizeof NAMES / sizeof NAMES[0] };

struct parser {
    const char *text;
    size_t at;
    struct trawl_error *err;
};

static void skip_space(struct parser *p)
{
    while (isspace((unsigned char)p->text[p->at])) {
        p->at++;
    }
}

static trawl_status unexpected(struct parser *p, const char *expected)
{
    skip_space(p);
    if (p->text[p->at] == '\0') {
        return tw_fail(p->err, TRAWL_ERR_FORMAT, "grid encoder \"%s\" ends at position %zu, expected %s",
                       p->text, p->at + 1, expected);
    }
    return tw_fail(p->err, TRAWL_ERR_FORMAT,
                   "grid encoder \"%s\", position %zu: found \"%.16s\", expected %s", p->text, p->at + 1,
                   p->text + p->at, expected);
}

static bool take(struct parser *p, char c)
{
    skip_space(p);
    if (p->text[p->at] != c) {
        return false;
    }
    p->at++;
    return true;
}

static trawl_status take_name(struct parser *p, int *which)
{
    skip_space(p);
    const char *name = p->text + p->at;
    size_t n         = 0;
    while (isalnum((unsigned char)name[n]) || name[n] == '_') {
        n++;
    }
    for (*which = 0; *which < N_NAMES; ++*which) {
        if (n == strlen(NAMES[*which].name) && memcmp(name, NAMES[*which].name, n) == 0) {
            p->at += n;
            return TRAWL_OK;
        }
    }
    return unexpected(
        p, "MinimalGridEncoder, GridWithSeparationEncoder, GridCodeBlockEncoder, GridShapeEncoder, "
           "RowNumberEncoder, RepeatNumberEncoder or ReplaceNumberEncoder");
}

/* `keyword` and "=", if they stand here. */
static void take_keyword(struct parser *p, const char *keyword)
{
    size_t before = p->at;
    skip_space(p);
    size_t n = strlen(keyword);
    if (strncmp(p->text + p->at, keyword, n) == 0) {
        p->at += n;
        if (take(p, '=')) {
            return;
        }
    }
    p->at = before;
}

static trawl_status take_string(struct parser *p, char out[TW_ARC_ENCODER_SYMBOL_MAX + 1])
{
    skip_space(p);
    char quote = p->text[p->at];
    if (quote != '\'' && quote != '"') {
        return unexpected(p, "a separator in quotes");
    }
    p->at++;
    size_t n = 0;
    while (p->text[p->at] != quote) {
        char c = p->text[p->at];
        if (c == '\\') {
            static const char escapes[][2] = {
                {'n', '\n'}, {'t', '\t'}, {'\\', '\\'}, {'\'', '\''}, {'"', '"'}};
            size_t i = 0;
            c        = p->text[++p->at];
            while (i < sizeof escapes / sizeof escapes[0] && escapes[i][0] != c) {
                i++;
            }
            if (i == sizeof escapes / sizeof escapes[0]) {
                return unexpected(p, "one of n t \\ ' \" after a backslash");
            }
            c = escapes[i][1];
        }
        if (p->text[p->at] == '\0') {
            return unexpected(p, "the closing quote");
        }
        if (n == TW_ARC_ENCODER_SYMBOL_MAX) {
            return unexpected(p, "a separator of at most 31 bytes");
        }
        out[n++] = c;
        p->at++;
    }
    if (n == 0) {
        return unexpected(p, "a separator that is not empty");
    }
    p->at++;
    out[n] = '\0';
    return TRAWL_OK;
}

static trawl_status take_repeat(struct parser *p, int *out)
{
    skip_space(p);
    size_t start = p->at;
    int v        = 0;
    while (isdigit((unsigned char)p->text[p->at]) && v <= TW_ARC_ENCODER_REPEAT_MAX) {
        v = v * 10 + (p->text[p->at++] - '0');
    }
    if (p->at == start || v < 1 || v > TW_ARC_ENCODER_REPEAT_MAX) {
        p->at = start;
        return unexpected(p, "a count from 1 to 64");
    }
    *out = v;
    return TRAWL_OK;
}

/* The arguments of an encoder without a base. */
static trawl_status take_arguments(struct parser *p, struct tw_arc_encoder_stage *stage)
{
    skip_space(p);
    if (stage->kind == TW_ARC_ENCODER_SEPARATION) {
        take_keyword(p, "split_symbol");
        return take_string(p, stage->symbol);
    }
    if (stage->kind == TW_ARC_ENCODER_REPEAT) {
        stage->repeat = 3;
        if (p->text[p->at] != ')') {
            take_keyword(p, "n");
            return take_repeat(p, &stage->repeat);
        }
    }
    return TRAWL_OK;
}

static trawl_status parse_chain(struct parser *p, struct tw_arc_encoder *e)
{
    bool more = true;
    while (more) {
        int which = 0;
        if (e->n == TW_ARC_ENCODER_DEPTH_MAX) {
            return unexpected(p, "at most 8 encoders within each other");
        }
        TW_TRY(take_name(p, &which));
        struct tw_arc_encoder_stage *stage = &e->stages[e->n++];
        stage->kind                        = NAMES[which].kind;
        more                               = NAMES[which].has_base;
        if (!take(p, '(')) {
            return unexpected(p, "\"(\"");
        }
        if (!more) {
            TW_TRY(take_arguments(p, stage));
        }
    }
    for (int i = e->n - 1; i >= 0; i--) {
        if (e->stages[i].kind != TW_ARC_ENCODER_MINIMAL) {
            (void)take(p, ','); /* Python allows one after the last argument */
        }
        if (!take(p, ')')) {
            return unexpected(p, "\")\"");
        }
    }
    skip_space(p);
    return p->text[p->at] == '\0' ? TRAWL_OK : unexpected(p, "the end");
}

/* A grid with every colour and with rows of two-digit numbers must survive the way out and back. */
static trawl_status check_round_trip(const struct tw_arc_encoder *e, const char *expression,
                                     struct trawl_error *err)
{
    struct tw_arc_grid grid, back = {0, 0, NULL};
    struct tw_str text;
    struct trawl_error why = {.message = "another grid comes back"};
    tw_str_init(&text, 0);
    TW_TRY(tw_arc_grid_new(&grid, 11, 3, err));
    for (int i = 0; i < 33; i++) {
        grid.cells[i] = (uint8_t)((i * 7 + 3) % TW_ARC_COLORS);
    }
    trawl_status status = tw_arc_encoder_to_text(e, &grid, &text, &why);
    if (status == TRAWL_OK) {
        status = tw_arc_encoder_to_grid(e, tw_str_text(&text), text.size, &back, &why);
    }
    bool same = status == TRAWL_OK && tw_arc_grid_equal(&grid, &back);
    tw_arc_grid_release(&grid);
    tw_arc_grid_release(&back);
    tw_str_release(&text);
    if (same) {
        return TRAWL_OK;
    }
    return tw_fail(err, status == TRAWL_ERR_NOMEM ? TRAWL_ERR_NOMEM : TRAWL_ERR_FORMAT,
                   "grid encoder \"%s\" cannot read back what it writes: %s", expression, why.message);
}

trawl_status tw_arc_encoder_parse(struct tw_arc_encoder *e, const char *expression, struct trawl_error *err)
{
    struct parser p = {.text = expression, .err = err};
    *e              = (struct tw_arc_encoder){.n = 0};
    TW_TRY(parse_chain(&p, e));
    return check_round_trip(e, expression, err);
}
