/* SPDX-License-Identifier: MIT */
#include "apps/arc/arc_encoder.h"

#include "arc_test.h"

static struct tw_arc_encoder encoder_of(const char *expression)
{
    struct tw_arc_encoder e;
    struct trawl_error err;
    assert_ok(tw_arc_encoder_parse(&e, expression, &err));
    return e;
}

/* Texts that a Python implementation of the same classes gives for [[1,2,3],[4,5,6]]. */
static const struct {
    const char *expression;
    const char *text;
} EXAMPLES[] = {
    {"MinimalGridEncoder()", "123\n456"},
    {"GridWithSeparationEncoder('|')", "1|2|3\n4|5|6"},
    {"GridCodeBlockEncoder(MinimalGridEncoder())", "```grid\n123\n456\n```"},
    {"GridShapeEncoder(MinimalGridEncoder())", "```grid shape: 2x3\n123\n456\n```"},
    {"RowNumberEncoder(MinimalGridEncoder())", "1 123\n2 456"},
    {"GridShapeEncoder(RowNumberEncoder(MinimalGridEncoder()))", "```grid shape: 2x3\n1 123\n2 456\n```"},
    {"GridCodeBlockEncoder(RowNumberEncoder(MinimalGridEncoder()))", "```grid\n1 123\n2 456\n```"},
    {"RepeatNumberEncoder(3)", "111222333\n444555666"},
    {"RepeatNumberEncoder()", "111222333\n444555666"},
    {"RepeatNumberEncoder(n = 2)", "112233\n445566"},
    {"ReplaceNumberEncoder(MinimalGridEncoder())", "ò÷û\nąćď"},
    {"GridShapeEncoder(RowNumberEncoder(ReplaceNumberEncoder(MinimalGridEncoder())))",
     "```grid shape: 2x3\n1 ò÷û\n2 ąćď\n```"},
    {"GridShapeEncoder(ReplaceNumberEncoder(RowNumberEncoder(MinimalGridEncoder())))",
     "```grid shape: 2x3\nò ò÷û\n÷ ąćď\n```"},
    {"GridShapeEncoder(RowNumberEncoder(GridWithSeparationEncoder(' ')))",
     "```grid shape: 2x3\n1 1 2 3\n2 4 5 6\n```"},
    {" GridShapeEncoder ( RowNumberEncoder( MinimalGridEncoder ( ) , ) ) ",
     "```grid shape: 2x3\n1 123\n2 456\n```"},
    {"GridWithSeparationEncoder(split_symbol=\" \\t\")", "1 \t2 \t3\n4 \t5 \t6"},
};

static void worked_examples(void **state)
{
    (void)state;
    struct trawl_error err;
    struct tw_arc_grid grid = grid_of("123/456");
    for (size_t i = 0; i < sizeof EXAMPLES / sizeof EXAMPLES[0]; i++) {
        struct tw_arc_encoder e = encoder_of(EXAMPLES[i].expression);
        struct tw_arc_grid back;
        struct tw_str text;
        tw_str_init(&text, 0);
        assert_ok(tw_arc_encoder_to_text(&e, &grid, &text, &err));
        assert_string_equal(text.data, EXAMPLES[i].text);
        assert_ok(tw_arc_encoder_to_grid(&e, text.data, text.size, &back, &err));
        assert_true(tw_arc_grid_equal(&grid, &back));
        tw_arc_grid_release(&back);
        tw_str_release(&text);
    }
    tw_arc_grid_release(&grid);
}

/* Every colour, two-digit row numbers, through every encoder. */
static void large_grids_round_trip(void **state)
{
    (void)state;
    struct trawl_error err;
    struct tw_arc_grid grid;
    assert_ok(tw_arc_grid_new(&grid, 30, 30, &err));
    for (int i = 0; i < 900; i++) {
        grid.cells[i] = (uint8_t)((i * 7 + i / 30) % 10);
    }
    for (size_t i = 0; i < sizeof EXAMPLES / sizeof EXAMPLES[0]; i++) {
        struct tw_arc_encoder e = encoder_of(EXAMPLES[i].expression);
        struct tw_arc_grid back;
        struct tw_str text;
        tw_str_init(&text, 0);
        assert_ok(tw_arc_encoder_to_text(&e, &grid, &text, &err));
        assert_ok(tw_arc_encoder_to_grid(&e, text.data, text.size, &back, &err));
        assert_true(tw_arc_grid_equal(&grid, &back));
        tw_arc_grid_release(&back);
        tw_str_release(&text);
    }
    tw_arc_grid_release(&grid);
}

#define SHAPE  "GridShapeEncoder(RowNumberEncoder(MinimalGridEncoder()))"
#define BLOCK  "GridCodeBlockEncoder(MinimalGridEncoder())"
#define SPLIT  "GridWithSeparationEncoder('|')"
#define REPEAT "RepeatNumberEncoder(3)"

/* `grid` NULL: refused, and the message holds `why`. */
static const struct {
    const char *expression;
    const char *text;
    const char *grid;
    const char *why;
} ANSWERS[] = {
    {SHAPE, "```grid shape: 2x3\n1 123\n2 456\n```", "123/456", NULL},
    {SHAPE, "```grid shape: 2x3\n1 123\n2 456\n```<|im_end|>", "123/456", NULL},
    {SHAPE, "```grid shape: 2x3\n1 123\n2 456", "123/456", NULL},
    {SHAPE, "```grid shape: 2x3\r\n1 123\r\n2 456\r\n```", "123/456", NULL},
    {SHAPE, "```grid shape: 2x3\n1 123\n2 456\n```\nThat is all.", "123/456", NULL},
    {SHAPE, "```grid shape: 9x9\n1 123\n2 456\n```", "123/456", NULL},
    {SHAPE, "```grid shape: 2x3\n7 123\n7 456\n```", "123/456", NULL},
    {SHAPE, "```grid shape: 2x3\n1 123\n```grid shape: again\n2 456\n```", "123/456", NULL},
    {SHAPE, "```grid shape: 2x3\n1 123\f2 456\xE2\x80\xA8 789\n```", "123/456/789", NULL},
    {SHAPE, "```grid shape: 2x3\n1 123\n2 45\n```", NULL, "row 2 has 2 cells, row 1 has 3"},
    {SHAPE, "```grid shape: 2x3\n1 1a3\n2 456\n```", NULL, "row 1 character 2 is \"a\", expected a digit"},
    {SHAPE, "```grid shape: 2x3\n1 123 \n2 456\n```", NULL, "row 1 character 4 is \" \""},
    {SHAPE, "```grid shape: 2x3\n1 123\n 2 456\n```", NULL, "row 2 character 2 is \" \""},
    {SHAPE, "```grid shape: 2x3\n1 1 2 3\n2 4 5 6\n```", NULL, "row 1 character 2"},
    {SHAPE, "```grid shape: 2x3\n123\n456\n```", NULL, "row 1 has no space after a row number"},
    {SHAPE, "```grid shape: 2x3\n1 123\n\n2 456\n```", NULL, "row 2 has no space"},
    {SHAPE, "```grid\n1 123\n2 456\n```", NULL, "no line begins with \"```grid shape:\""},
    {SHAPE, "```gridshape: 2x3\n1 123\n```", NULL, "no line begins"},
    {SHAPE, "```grid", NULL, "no line begins"},
    {SHAPE, "", NULL, "no line begins"},
    {SHAPE, "```grid shape: 2x3\n```", NULL, "no rows"},
    {SHAPE, "```grid shape: 4x2\n1. \n```", NULL, "no rows"},
    {SHAPE, "```grid shape: 1x1\n1 \xD9\xA3\n```", NULL, "expected a digit"},
    {SHAPE, "```grid shape: 1x1\n1 \xFF\n```", NULL, "byte 0xff"},
    {"MinimalGridEncoder()", "  \n123\n456\xC2\xA0\n\n", "123/456", NULL},
    {"MinimalGridEncoder()", "", NULL, "no rows"},
    {"MinimalGridEncoder()", "12\n\n34", NULL, "row 2 has 0 cells"},
    {BLOCK, "text ```grid\n12\n34\n``` more ```", "12/34", NULL},
    {BLOCK, "```grid\n12\n34", "12/34", NULL},
    {BLOCK, "12\n34", NULL, "no \"```grid\" line"},
    {SPLIT, "1| 2 |+3\n4|05|0_6", "123/456", NULL},
    {SPLIT, "1|2|\n4|5|6", NULL, "row 1 column 3 is not an integer"},
    {SPLIT, "1|2|_3\n4|5|6", NULL, "row 1 column 3 is not an integer"},
    {SPLIT, "1|2|3_\n4|5|6", NULL, "row 1 column 3 is not an integer"},
    {SPLIT, "1|2|10\n4|5|6", NULL, "row 1 column 3 is 10, expected 0..9"},
    {SPLIT, "1|2|-3\n4|5|6", NULL, "row 1 column 3 is -3"},
    {SPLIT, "1|2|99999999999999999999999\n4|5|6", NULL, "row 1 column 3 is 9"},
    {REPEAT, "1xx2\xC3\xA9y3", "123", NULL},
    {REPEAT, "111x22", NULL, "row 1 character 4 is \"x\""},
    {"ReplaceNumberEncoder(MinimalGridEncoder())", "\xC3\xB1\xC4\x9E 1", NULL, "row 1 character 3"},
};

static void answers_of_models(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ANSWERS / sizeof ANSWERS[0]; i++) {
        struct tw_arc_encoder e = encoder_of(ANSWERS[i].expression);
        struct tw_arc_grid grid;
        struct trawl_error err;
        trawl_status status =
            tw_arc_encoder_to_grid(&e, ANSWERS[i].text, strlen(ANSWERS[i].text), &grid, &err);
        if (ANSWERS[i].grid == NULL) {
            assert_int_equal(status, TRAWL_ERR_FORMAT);
            assert_contains(err.message, ANSWERS[i].why);
            assert_true(tw_arc_grid_is_none(&grid));
        } else {
            assert_int_equal(status, TRAWL_OK);
            assert_grid(&grid, ANSWERS[i].grid);
        }
        tw_arc_grid_release(&grid);
    }
}

static const struct {
    const char *expression;
    const char *why;
} REFUSED[] = {
    {"", "ends at position 1, expected MinimalGridEncoder"},
    {"Minimal()", "position 1: found \"Minimal()\", expected MinimalGridEncoder, GridWithSeparationEncoder"},
    {"MinimalGridEncoder", "ends at position 19, expected \"(\""},
    {"MinimalGridEncoder(", "ends at position 20, expected \")\""},
    {"MinimalGridEncoder(3)", "position 20: found \"3)\", expected \")\""},
    {"MinimalGridEncoder() x", "position 22: found \"x\", expected the end"},
    {"GridShapeEncoder()", "position 18: found \")\", expected MinimalGridEncoder"},
    {"GridShapeEncoder(MinimalGridEncoder()", "ends at position 38, expected \")\""},
    {"GridWithSeparationEncoder()", "position 27: found \")\", expected a separator in quotes"},
    {"GridWithSeparationEncoder('')", "expected a separator that is not empty"},
    {"GridWithSeparationEncoder('a", "expected the closing quote"},
    {"GridWithSeparationEncoder('\\x41')", "after a backslash"},
    {"GridWithSeparationEncoder('12345678901234567890123456789012')", "at most 31 bytes"},
    {"GridWithSeparationEncoder('1')", "cannot read back what it writes"},
    {"GridWithSeparationEncoder('\\n')", "cannot read back what it writes"},
    {"RepeatNumberEncoder(0)", "position 21: found \"0)\", expected a count from 1 to 64"},
    {"RepeatNumberEncoder(99999999999999999999)", "expected a count from 1 to 64"},
    {"RepeatNumberEncoder(m=3)", "expected a count"},
    {"GridShapeEncoder(GridShapeEncoder(MinimalGridEncoder()))",
     "cannot read back what it writes: no line begins"},
    {"RowNumberEncoder(RowNumberEncoder(RowNumberEncoder(RowNumberEncoder(RowNumberEncoder(RowNumberEncoder("
     "RowNumberEncoder(RowNumberEncoder(MinimalGridEncoder()))))))))",
     "at most 8 encoders"},
};

static void expressions_that_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof REFUSED / sizeof REFUSED[0]; i++) {
        struct tw_arc_encoder e;
        struct trawl_error err;
        assert_int_equal(tw_arc_encoder_parse(&e, REFUSED[i].expression, &err), TRAWL_ERR_FORMAT);
        assert_contains(err.message, REFUSED[i].why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(worked_examples),
        cmocka_unit_test(large_grids_round_trip),
        cmocka_unit_test(answers_of_models),
        cmocka_unit_test(expressions_that_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
