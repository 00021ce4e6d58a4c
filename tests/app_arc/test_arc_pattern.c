/* SPDX-License-Identifier: MIT */
/* The expression of an encoder's texts: every encoded grid matches, and every text that matches is an
 * encoded grid. */
#include "apps/arc/arc_encoder.h"

#include "arc_test.h"

#include "base/philox.h"
#include "constrain/constrain.h"

enum { N_BYTES = 256, TEXT_MAX = 8192 };

static const struct {
    const char *expression;
    const char *opening;
    int side; /* that can be had of 30 */
} ENCODERS[] = {
    {"GridShapeEncoder(RowNumberEncoder(MinimalGridEncoder()))", "```grid", 30},
    {"MinimalGridEncoder()", "", 30},
    {"GridWithSeparationEncoder('|')", "", 30},
    {"GridWithSeparationEncoder(' 1 ')", "", 30},
    {"GridCodeBlockEncoder(MinimalGridEncoder())", "```grid", 30},
    {"GridCodeBlockEncoder(RowNumberEncoder(MinimalGridEncoder()))", "```grid", 30},
    {"RowNumberEncoder(GridCodeBlockEncoder(MinimalGridEncoder()))", "", 30},
    {"GridShapeEncoder(MinimalGridEncoder())", "```grid", 30},
    {"GridShapeEncoder(GridWithSeparationEncoder('.'))", "```grid", 30},
    {"RepeatNumberEncoder(3)", "", 30},
    {"GridShapeEncoder(RepeatNumberEncoder(3))", "```grid", 20},
    {"ReplaceNumberEncoder(GridWithSeparationEncoder('.'))", "", 30},
    {"GridShapeEncoder(RowNumberEncoder(ReplaceNumberEncoder(MinimalGridEncoder())))", "```grid", 30},
    {"GridShapeEncoder(ReplaceNumberEncoder(RowNumberEncoder(MinimalGridEncoder())))", "```grid", 30},
};
enum { N_ENCODERS = sizeof ENCODERS / sizeof ENCODERS[0] };

struct rig {
    struct tw_arc_encoder e;
    size_t skip;
    struct tw_vocabulary v;
    char bytes[N_BYTES];
    struct tw_constraint *c;
    int side;
};

static const char *one_byte(void *user, int32_t id, size_t *n)
{
    char *bytes = user;
    bytes[id]   = (char)id;
    *n          = 1;
    return &bytes[id];
}

static void rig_init(struct rig *r, size_t which, int side)
{
    struct trawl_error err;
    struct tw_str pattern;
    tw_str_init(&pattern, 0);
    *r = (struct rig){.skip = strlen(ENCODERS[which].opening), .side = side};
    assert_ok(tw_arc_encoder_parse(&r->e, ENCODERS[which].expression, &err));
    assert_ok(tw_arc_encoder_pattern(&r->e, r->skip, &r->side, &pattern, &err));
    assert_ok(tw_vocabulary_build(&r->v, N_BYTES, one_byte, r->bytes, &err));
    assert_ok(
        tw_constraint_new(TW_CONSTRAINT_REGEX, tw_str_text(&pattern), pattern.size, &r->v, 0, &r->c, &err));
    tw_str_release(&pattern);
}

static void rig_release(struct rig *r)
{
    tw_constraint_free(r->c);
    tw_vocabulary_release(&r->v);
}

static bool allows(struct rig *r, const char *text, size_t n)
{
    struct trawl_error err;
    struct tw_constraint_state state = {0};
    struct tw_constraint_rules rules = {.tokens_left = 100000};
    struct tw_allowed allowed;
    static int32_t tokens[TEXT_MAX];
    uint32_t bits[N_BYTES / 32];
    for (size_t i = 0; i < n; i++) {
        tokens[i] = (uint8_t)text[i];
        assert_ok(tw_constraint_allow(r->c, &state, tokens, i, &rules, bits, &allowed, &err));
        if ((bits[tokens[i] / 32] >> (tokens[i] % 32) & 1) == 0) {
            return false;
        }
    }
    assert_ok(tw_constraint_allow(r->c, &state, tokens, n, &rules, bits, &allowed, &err));
    return allowed.complete;
}

static bool allows_grid(struct rig *r, int rows, int cols, struct tw_philox_stream *rng)
{
    struct trawl_error err;
    struct tw_arc_grid grid;
    struct tw_str text;
    tw_str_init(&text, 0);
    assert_ok(tw_arc_grid_new(&grid, rows, cols, &err));
    for (int i = 0; i < rows * cols; i++) {
        grid.cells[i] = (uint8_t)tw_philox_below(rng, TW_ARC_COLORS);
    }
    assert_ok(tw_arc_encoder_to_text(&r->e, &grid, &text, &err));
    bool is = allows(r, tw_str_text(&text) + r->skip, text.size - r->skip);
    tw_arc_grid_release(&grid);
    tw_str_release(&text);
    return is;
}

/* An answer of at most `budget` bytes, drawn from what is allowed, is the text of a grid. */
static void draw_answer(struct rig *r, size_t which, size_t budget, struct tw_philox_stream *rng)
{
    struct trawl_error err;
    struct tw_constraint_state state = {0};
    struct tw_allowed allowed        = {.complete = false};
    struct tw_arc_grid grid;
    struct tw_str again;
    static char text[TEXT_MAX];
    static int32_t tokens[TEXT_MAX];
    uint32_t bits[N_BYTES / 32];
    size_t opening = r->skip, n = 0;
    memcpy(text, ENCODERS[which].opening, opening);
    for (; n < budget; n++) {
        struct tw_constraint_rules rules = {.tokens_left = budget - n};
        assert_ok(tw_constraint_allow(r->c, &state, tokens, n, &rules, bits, &allowed, &err));
        if (allowed.n == 0 || (allowed.complete && tw_philox_below(rng, 30) == 0)) {
            break;
        }
        int32_t id = (int32_t)tw_philox_below(rng, N_BYTES);
        while ((bits[id / 32] >> (id % 32) & 1) == 0) {
            id = (id + 1) % N_BYTES;
        }
        tokens[n]         = id;
        text[opening + n] = (char)id;
    }
    assert_ok(tw_arc_encoder_to_grid(&r->e, text, opening + n, &grid, &err));
    assert_true(grid.rows <= r->side && grid.cols <= r->side);
    tw_str_init(&again, 0);
    assert_ok(tw_arc_encoder_to_text(&r->e, &grid, &again, &err));
    assert_int_equal(again.size, opening + n);
    assert_memory_equal(again.data, text, opening + n);
    tw_arc_grid_release(&grid);
    tw_str_release(&again);
}

static void texts_and_grids_are_the_same(void **state)
{
    (void)state;
    struct tw_philox_stream rng;
    tw_philox_stream_init(&rng, 5, 0);
    for (size_t i = 0; i < N_ENCODERS; i++) {
        struct rig r;
        rig_init(&r, i, 12);
        assert_int_equal(r.side, 12);
        for (int k = 0; k < 20; k++) {
            int rows = 1 + (int)tw_philox_below(&rng, 12), cols = 1 + (int)tw_philox_below(&rng, 12);
            if (!allows_grid(&r, rows, cols, &rng)) {
                fail_msg("%s: a grid of %d x %d is not allowed", ENCODERS[i].expression, rows, cols);
            }
        }
        assert_false(allows_grid(&r, 13, 3, &rng));
        assert_false(allows_grid(&r, 3, 13, &rng));
        for (int k = 0; k < 20; k++) {
            draw_answer(&r, i, 60 + tw_philox_below(&rng, 1500), &rng);
        }
        rig_release(&r);
    }
}

static void grids_of_any_size(void **state)
{
    (void)state;
    struct tw_philox_stream rng;
    tw_philox_stream_init(&rng, 6, 0);
    for (size_t i = 0; i < N_ENCODERS; i++) {
        struct rig r;
        rig_init(&r, i, TW_ARC_TASK_SIDE);
        assert_int_equal(r.side, ENCODERS[i].side);
        assert_true(allows_grid(&r, r.side, r.side, &rng));
        assert_true(allows_grid(&r, 1, r.side, &rng));
        assert_true(allows_grid(&r, 10, 9, &rng));
        rig_release(&r);
    }
}

static void nothing_else(void **state)
{
    (void)state;
    static const struct {
        size_t which;
        const char *text;
        bool is;
    } cases[] = {
        {0, " shape: 2x3\n1 123\n2 456\n```", true},
        {0, " shape: 3x2\n1 123\n2 456\n```", false},
        {0, " shape: 2x3\n1 123\n3 456\n```", false},
        {0, " shape: 2x3\n1 123\n2 45\n```", false},
        {0, " shape: 2x3\n1 123\n2 456", false},
        {0, " shape: 0x0\n```", false},
        {1, "12\n34", true},
        {1, "12\n345", false},
        {1, "12\n", false},
        {9, "111222", true},
        {9, "111223", false},
        {6, "1 ```grid\n2 12\n3 34\n4 ```", true},
        {6, "1 ```grid\n2 12\n3 34\n5 ```", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rig r;
        rig_init(&r, cases[i].which, 10);
        if (allows(&r, cases[i].text, strlen(cases[i].text)) != cases[i].is) {
            fail_msg("%s: \"%s\"", ENCODERS[cases[i].which].expression, cases[i].text);
        }
        rig_release(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_and_grids_are_the_same),
        cmocka_unit_test(grids_of_any_size),
        cmocka_unit_test(nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
