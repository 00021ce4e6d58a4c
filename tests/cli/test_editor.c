/* SPDX-License-Identifier: MIT */
/* Keys in, text out; and what is drawn, on a terminal of the test's own. */
#include <string.h>

#include "base/philox.h"
#include "base/utf8.h"
#include "cli/chat/editor_screen.h"
#include "cli/terminal.h"
#include "support/test.h"

enum { COLUMNS = 20, ROWS = 6, CELL = 64 };

static const char *const words[] = {"/load", "/logprobs", "/save"};

static enum cli_edit type_n(struct cli_editor *e, const char *keys, size_t n)
{
    struct trawl_error err;
    enum cli_edit last = CLI_EDIT_MORE;
    for (size_t i = 0; i < n; i++) {
        assert_ok(cli_editor_feed(e, keys[i], &last, &err));
    }
    return last;
}

static enum cli_edit type(struct cli_editor *e, const char *keys)
{
    return type_n(e, keys, strlen(keys));
}

#define UP    "\x1b[A"
#define DOWN  "\x1b[B"
#define RIGHT "\x1b[C"
#define LEFT  "\x1b[D"

/* Text with the cursor as '|'. */
static void test_keys(void **state)
{
    static const struct {
        const char *keys, *text;
    } cases[] = {
        {"abc", "abc|"},
        {"abc" LEFT LEFT "x", "ax|bc"},
        {"abc\x01x\x05y", "xabcy|"},
        {"abc\x1b[Hx\x1b[Fy", "xabcy|"},
        {"abc\x1bOHx\x1b[4~y", "xabcy|"},
        {"h\u00e4\u732b" LEFT "x", "h\u00e4x|\u732b"},
        {"h\u00e4\u732b\x7f\x7f", "h|"},
        {"e\u0301x" LEFT LEFT "y", "y|e\u0301x"}, /* an accent is not left alone */
        {"e\u0301\x7f", "|"},
        {"ab\x02\x04", "a|"},
        {"ab" LEFT "\x1b[3~", "a|"},
        {"one two  three\x17", "one two  |"},
        {"one two  three\x17\x17", "one |"},
        {"one two\x1b"
         "b\x0b",
         "one |"},
        {"one two\x1b[1;5D\x15", "|two"},
        {"one two\x15three \x19", "three one two|"},
        {"one two\x01\x1b"
         "d",
         "| two"},
        {"one two\x01\x1b"
         "fx",
         "onex| two"},
        {"ab\x14", "ba|"},
        {"a\u732b"
         "c" LEFT "\x14",
         "ac\u732b|"},
        {"a\x1b\rb" UP "x", "ax|\nb"}, /* Alt-Enter */
        {"ab\x1b\rc" UP DOWN "x", "ab\ncx|"},
        {"long\x1b\rab\x01x\x05y", "long\nxaby|"},
        {"/lo\t", "/lo|"},
        {"/loa\t", "/load |"},
        {"/s\tx", "/save x|"},
        {"hello\t", "hello|"},
        {"\x1b[200~one\rtwo\r\nthree\x1b[201~!", "one\ntwo\nthree!|"}, /* pasted: no Enter, no keys */
        {"\x1b[200~a\x03\x01\tb\x1b[31mc\x1b\x1b[201~d", "a\tb1mcd|"},
        {"a\xff\xe7\x8c"
         "b\xc3",
         "ab|"}, /* bytes that are no characters */
        {"a\x1b[99;99Zb\x1b"
         "qc\x1b\x1b[Dd",
         "abd|c"}, /* keys that nobody knows */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cli_editor e;
        char shown[64];
        cli_editor_init(&e, words, 3);
        cli_editor_begin(&e);
        assert_int_equal(type(&e, cases[i].keys), CLI_EDIT_MORE);
        assert_true(e.text.size + 2 < sizeof shown);
        memcpy(shown, tw_str_text(&e.text), e.cursor);
        shown[e.cursor] = '|';
        strcpy(shown + e.cursor + 1, tw_str_text(&e.text) + e.cursor);
        if (strcmp(shown, cases[i].text) != 0) {
            fail_msg("case %zu: \"%s\", expected \"%s\"", i, shown, cases[i].text);
        }
        cli_editor_release(&e);
    }
}

static void test_ends(void **state)
{
    struct cli_editor e;
    (void)state;
    cli_editor_init(&e, words, 3);
    cli_editor_begin(&e);
    assert_int_equal(type(&e, "\x04"), CLI_EDIT_END);
    assert_int_equal(type(&e, "a\r"), CLI_EDIT_LINE);
    assert_int_equal(type(&e, "\n"), CLI_EDIT_LINE);
    assert_int_equal(type(&e, "\x03"), CLI_EDIT_CANCEL);
    assert_int_equal(type(&e, "\x1a"), CLI_EDIT_STOP);
    assert_int_equal(type(&e, "\x0c"), CLI_EDIT_REDRAW);
    assert_int_equal(type_n(&e, "\0", 1), CLI_EDIT_MORE);
    assert_string_equal(tw_str_text(&e.text), "a");
    cli_editor_release(&e);
}

static void remember(struct cli_editor *e, const char *line)
{
    struct trawl_error err;
    assert_ok(cli_editor_remember(e, line, strlen(line), &err));
    cli_editor_begin(e);
}

static void test_history(void **state)
{
    struct cli_editor e;
    (void)state;
    cli_editor_init(&e, words, 3);
    remember(&e, "first");
    remember(&e, "second\nline");
    remember(&e, "second\nline");
    remember(&e, "");
    assert_int_equal(e.n_history, 2);
    (void)type(&e, "draft" UP);
    assert_string_equal(tw_str_text(&e.text), "second\nline");
    (void)type(&e, UP UP UP);
    assert_string_equal(tw_str_text(&e.text), "first");
    (void)type(&e, "!\x10" DOWN); /* changes are those of a copy */
    assert_string_equal(tw_str_text(&e.text), "second\nline");
    (void)type(&e, DOWN DOWN DOWN);
    assert_string_equal(tw_str_text(&e.text), "draft");
    for (size_t i = 0; i < CLI_EDITOR_HISTORY + 5; i++) {
        remember(&e, i % 2 == 0 ? "even" : "odd");
    }
    assert_int_equal(e.n_history, CLI_EDITOR_HISTORY);
    cli_editor_release(&e);
}

/* ---- drawing ---- */

/* As much of a terminal as the editor asks for: characters of one or two columns, no scrolling. */
struct terminal {
    char cells[ROWS][COLUMNS][CELL];
    size_t row, column;
};

static void clear_below(struct terminal *t)
{
    for (size_t r = t->row; r < ROWS; r++) {
        for (size_t c = r == t->row ? t->column : 0; c < COLUMNS; c++) {
            strcpy(t->cells[r][c], " ");
        }
    }
}

/* ESC [ number letter, or ESC [ ? ... */
static const char *obey(struct terminal *t, const char *s)
{
    size_t n = 0;
    for (s += 2; *s >= '0' && *s <= '9'; s++) {
        n = n * 10 + (size_t)(*s - '0');
    }
    switch (*s) {
    case 'A':
        assert_true(n > 0 && n <= t->row);
        t->row -= n;
        break;
    case 'C':
        t->column += n;
        assert_true(t->column < COLUMNS);
        break;
    case 'J': clear_below(t); break;
    default: fail_msg("what is ESC [ %c?", *s);
    }
    return s + 1;
}

static void show(struct terminal *t, const char *s)
{
    while (*s != '\0') {
        size_t n     = tw_utf8_decode(s, strlen(s), NULL);
        size_t width = cli_text_width(s, n);
        if (*s == '\x1b') {
            s = obey(t, s);
            continue;
        }
        if (*s == '\r') {
            t->column = 0;
        } else if (*s == '\n') {
            t->row++;
        } else if (width == 0) { /* an accent; there may be nothing that it could be on */
            char *under = t->column > 0 ? t->cells[t->row][t->column - 1] : t->cells[t->row][0];
            assert_true(strlen(under) + n < CELL);
            strncat(under, s, n);
        } else {
            assert_true(t->column + width <= COLUMNS); /* it is the editor that begins rows */
            memcpy(t->cells[t->row][t->column], s, n);
            t->cells[t->row][t->column][n] = '\0';
            if (width == 2) {
                t->cells[t->row][t->column + 1][0] = '\0';
            }
            t->column += width;
        }
        assert_true(t->row < ROWS && n > 0);
        s += n;
    }
}

static void assert_row(const struct terminal *t, size_t row, const char *want)
{
    char line[COLUMNS * CELL + 1] = "";
    for (size_t c = 0; c < COLUMNS; c++) {
        strcat(line, t->cells[row][c]);
    }
    for (size_t n = strlen(line); n > 0 && line[n - 1] == ' '; n--) {
        line[n - 1] = '\0';
    }
    if (strcmp(line, want) != 0) {
        fail_msg("row %zu is \"%s\", expected \"%s\"", row, line, want);
    }
}

static void draw(struct terminal *t, const struct cli_editor *e, size_t *row)
{
    struct trawl_error err;
    struct tw_str frame;
    tw_str_init(&frame, 0);
    assert_ok(cli_editor_draw(e, "> ", COLUMNS, ROWS, row, &frame, &err));
    show(t, tw_str_text(&frame));
    tw_str_release(&frame);
}

static void test_drawing(void **state)
{
    struct cli_editor e;
    struct terminal t = {.row = 0};
    size_t row        = 0;
    (void)state;
    clear_below(&t);
    cli_editor_init(&e, words, 3);
    cli_editor_begin(&e);
    (void)type(&e, "abc");
    draw(&t, &e, &row);
    assert_row(&t, 0, "> abc");
    assert_int_equal(t.column, 5);
    (void)type(&e, "defghijklmnopqr"); /* fills the row: the cursor is in the next one */
    draw(&t, &e, &row);
    assert_row(&t, 0, "> abcdefghijklmnopqr");
    assert_true(t.row == 1 && t.column == 0 && row == 1);
    (void)type(&e, LEFT LEFT LEFT);
    draw(&t, &e, &row);
    assert_true(t.row == 0 && t.column == 17);
    (void)type(&e, "\x15"
                   "abcdefghijklmnopq\u732b"
                   "x"); /* two columns do not fit into one */
    draw(&t, &e, &row);
    assert_row(&t, 0, "> abcdefghijklmnopq");
    assert_row(&t, 1, "\u732bxpqr");
    assert_true(t.row == 1 && t.column == 3);
    (void)type(&e, "\x05\x15one\x1b\r\ttwo");
    (void)type(&e, "\x1b[200~\ta\x1b[201~");
    draw(&t, &e, &row);
    assert_row(&t, 0, "> one");
    assert_row(&t, 1, "two    a");
    assert_row(&t, 2, "");
    for (size_t i = 0; i < 9; i++) {
        (void)type(&e, "\x1b\rrow");
    }
    draw(&t, &e, &row); /* more rows than there are: those down to the cursor */
    assert_true(t.row == ROWS - 1 && row == ROWS - 1 && t.column == 3);
    (void)type(&e, UP UP UP UP UP UP UP UP UP);
    draw(&t, &e, &row);
    assert_row(&t, 0, "> one");
    assert_row(&t, ROWS - 1, "row");
    assert_true(t.row == 1 && t.column == 3);
    cli_editor_release(&e);
}

/* Whatever is typed, the text is UTF-8, the cursor between its characters, and the drawing within the terminal. */
static void test_any_keys(void **state)
{
    static const char *const keys[] = {"a",    "b c",    "\u732b",    "e\u0301",   "\x7f",     "\x04", LEFT,
                                       RIGHT,  UP,       DOWN,        "\x01",      "\x05",     "\x0b", "\x15",
                                       "\x17", "\x19",   "\x14",      "\t",        "\x1b",     "\r",   "\xe7",
                                       "\x8c", "\x1b\r", "\x1b[200~", "\x1b[201~", "\x1b[1;5C"};
    struct tw_philox_stream random;
    struct cli_editor e;
    uint64_t seed = 20;
    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    tw_philox_stream_init(&random, seed, 0);
    cli_editor_init(&e, words, 3);
    for (int round = 0; round < 200; round++) {
        struct terminal t = {.row = 0};
        size_t row        = 0;
        clear_below(&t);
        cli_editor_begin(&e);
        for (int i = 0; i < 60; i++) {
            size_t k = (size_t)(tw_philox_double(&random) * (sizeof keys / sizeof keys[0]));
            (void)type(&e, keys[k]);
            assert_true(tw_utf8_valid(tw_str_text(&e.text), e.text.size) && e.cursor <= e.text.size);
            assert_true(tw_utf8_valid(tw_str_text(&e.text), e.cursor));
            draw(&t, &e, &row);
        }
        remember(&e, tw_str_text(&e.text));
    }
    cli_editor_release(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),    cmocka_unit_test(test_ends),     cmocka_unit_test(test_history),
        cmocka_unit_test(test_drawing), cmocka_unit_test(test_any_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
