/* SPDX-License-Identifier: MIT */
/* Regular expressions and the behaviors of Split. Expected pieces are those of the tokenizers package 0.23. */
#include "text_vectors.h"

struct split_case {
    const char *pattern; /* NULL: digits */
    enum tw_split_behavior behavior;
    bool invert;
    bool literal;
    const char *text;
    const char *pieces; /* joined with | */
};

static void run_case(const struct split_case *c)
{
    struct trawl_error err          = {0};
    struct tw_splitter splitter     = {.n_steps = 1};
    struct tw_split_scratch scratch = {0};
    struct tw_split_step *step      = &splitter.steps[0];
    const struct tw_spans *spans    = NULL;
    const char *base                = NULL;
    struct tw_str joined;
    step->behavior = c->behavior;
    step->invert   = c->invert;
    step->digits   = c->pattern == NULL;
    if (c->literal) {
        step->n_literal = strlen(c->pattern);
        expect_ok(tw_strdup(c->pattern, &step->literal, &err), &err);
    } else if (c->pattern != NULL) {
        expect_ok(tw_regex_compile(c->pattern, strlen(c->pattern), "test", &step->regex, &err), &err);
    }
    tw_str_init(&joined, 0);
    expect_ok(tw_splitter_cut(&splitter, &scratch, c->text, strlen(c->text), &base, &spans, &err), &err);
    for (size_t i = 0; i < spans->size; i++) {
        expect_ok(tw_str_puts(&joined, i > 0 ? "|" : "", &err), &err);
        expect_ok(tw_str_append(&joined, base + spans->data[i].begin,
                                spans->data[i].end - spans->data[i].begin, &err),
                  &err);
    }
    if (strcmp(tw_str_text(&joined), c->pieces) != 0) {
        fail_msg("%s on \"%s\": got %s, expected %s", c->pattern == NULL ? "digits" : c->pattern, c->text,
                 tw_str_text(&joined), c->pieces);
    }
    tw_str_release(&joined);
    tw_split_scratch_release(&scratch);
    tw_splitter_release(&splitter);
}

static void test_behaviors(void **state)
{
    static const struct split_case cases[] = {
        {"-", TW_SPLIT_REMOVED, false, true, "the-final--countdown", "the|final|countdown"},
        {"-", TW_SPLIT_ISOLATED, false, true, "the-final--countdown", "the|-|final|-|-|countdown"},
        {"-", TW_SPLIT_MERGED_WITH_PREVIOUS, false, true, "the-final--countdown", "the-|final-|-|countdown"},
        {"-", TW_SPLIT_MERGED_WITH_NEXT, false, true, "the-final--countdown", "the|-final|-|-countdown"},
        {"-", TW_SPLIT_CONTIGUOUS, false, true, "the-final--countdown", "the|-|final|--|countdown"},
        {"-", TW_SPLIT_MERGED_WITH_PREVIOUS, false, true, "-a-", "-|a-"},
        {"-", TW_SPLIT_MERGED_WITH_NEXT, false, true, "-a-", "-a|-"},
        {"[a-z]+", TW_SPLIT_REMOVED, true, false, "the-final--x", "the|final|x"},
        {"[a-z]+", TW_SPLIT_ISOLATED, false, false, "ab12cd", "ab|12|cd"},
        {"(?=[A-Z])", TW_SPLIT_ISOLATED, false, false, "fooBarBaz", "foo|Bar|Baz"},
        {"x*", TW_SPLIT_ISOLATED, false, false, "axxb", "a|xx|b"},
        {NULL, TW_SPLIT_ISOLATED, false, false,
         "a12\xC2\xBD"
         "b",
         "a|1|2|\xC2\xBD|b"},
        {NULL, TW_SPLIT_CONTIGUOUS, false, false,
         "a12\xC2\xBD"
         "b",
         "a|12\xC2\xBD|b"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run_case(&cases[i]);
    }
}

/* Where PCRE2 by itself would cut otherwise. */
static void test_engine_differences(void **state)
{
    static const struct split_case cases[] = {
        /* U+180E is no white space */
        {"\\s+", TW_SPLIT_ISOLATED, false, false,
         "a\xE1\xA0\x8E"
         "b c",
         "a\xE1\xA0\x8E"
         "b| |c"},
        {"[^\\s]+", TW_SPLIT_REMOVED, true, false,
         "a\xE1\xA0\x8E"
         "b c",
         "a\xE1\xA0\x8E"
         "b|c"},
        {"[\\S]", TW_SPLIT_CONTIGUOUS, false, false,
         "a\xE1\xA0\x8E"
         "b c",
         "a\xE1\xA0\x8E"
         "b| |c"},
        {"\\S+", TW_SPLIT_ISOLATED, false, false,
         "a\xE1\xA0\x8E"
         "b\xC2\x85"
         "c",
         "a\xE1\xA0\x8E"
         "b|\xC2\x85|c"},
        /* U+017F folds to s */
        {"(?i:'s)", TW_SPLIT_ISOLATED, false, false,
         "it'\xC5\xBF"
         "abc",
         "it|'\xC5\xBF|abc"},
        /* letters of Unicode 15 (U+31350) and 16 (U+10D4A), and a number of 16 (U+1CCF0) */
        {"\\p{L}+", TW_SPLIT_ISOLATED, false, false, "-\xF0\xB1\x8D\x90\xF0\x90\xB5\x8A-",
         "-|\xF0\xB1\x8D\x90\xF0\x90\xB5\x8A|-"},
        {"[^\\p{N}]+", TW_SPLIT_ISOLATED, false, false,
         "a\xF0\x9C\xB3\xB0"
         "b",
         "a|\xF0\x9C\xB3\xB0|b"},
        {"\\p{Han}+", TW_SPLIT_ISOLATED, false, false, "a\xE6\xB5\xB7\xE3\x80\x81",
         "a|\xE6\xB5\xB7|\xE3\x80\x81"},
        /* every line has its ends */
        {"^.", TW_SPLIT_ISOLATED, false, false, "ab\ncd", "a|b\n|c|d"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run_case(&cases[i]);
    }
}

static void test_refused_patterns(void **state)
{
    static const char *const patterns[] = {"\\w",         "\\b",    "\\h",      "\\v",     "\\R",
                                           "[[:alpha:]]", "[a&&b]", "(?i)a",    "(?m:a)",  "a{2}+",
                                           "(*UTF8)",     "\\p{C}", "[\\P{L}]", "\\1",     "\\xff",
                                           "\\",          "\\p{L",  "[]a]",     "(?<n>a)", "\\p{Nope}"};
    (void)state;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        struct trawl_error err = {0};
        struct tw_regex *re    = NULL;
        if (tw_regex_compile(patterns[i], strlen(patterns[i]), "test", &re, &err) != TRAWL_ERR_UNSUPPORTED) {
            fail_msg("%s: %s", patterns[i], err.message);
        }
        assert_null(re);
    }
}

/* The interpreter finds what the JIT finds, also where a pattern backtracks through a megabyte. */
static void test_long_subject(void **state)
{
    static const char pattern[] = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+|\\S+";
    enum { N = 1000000 };
    struct trawl_error err     = {0};
    struct tw_regex *re        = NULL;
    struct tw_regex_scratch *s = NULL;
    char *text                 = malloc(N);
    bool found                 = false;
    size_t begin               = 0;
    size_t end                 = 0;
    (void)state;
    memset(text, ' ', N);
    text[N - 1] = 'x';
    expect_ok(tw_regex_compile(pattern, sizeof pattern - 1, "test", &re, &err), &err);
    expect_ok(tw_regex_scratch_new(&s, &err), &err);
    expect_ok(tw_regex_next(re, s, text, N, 0, &found, &begin, &end, &err), &err);
    assert_true(found);
    assert_int_equal(begin, 0);
    assert_int_equal(end, N - 2);
    tw_regex_scratch_free(s);
    tw_regex_free(re);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_behaviors), cmocka_unit_test(test_engine_differences),
        cmocka_unit_test(test_refused_patterns), cmocka_unit_test(test_long_subject)};
    return cmocka_run_group_tests_name("text.split", tests, NULL, NULL);
}
