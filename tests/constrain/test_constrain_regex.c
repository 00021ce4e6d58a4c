/* SPDX-License-Identifier: MIT */
/* Expressions against Python's re (regex_cases.json, made by tests/golden/constrain_regex.py), and what is
 * refused. */
#include "support/test.h"

#include "constrain/constrain_reference.h"
#include "json/json.h"

#define CASES TRAWL_SOURCE_DIR "/tests/constrain/data/regex_cases.json"

static bool matches(const char *pattern, const char *text, bool search)
{
    struct reference r;
    struct trawl_error err;
    assert_ok(reference_init(&r, TW_CONSTRAINT_REGEX, pattern, strlen(pattern), search, &err));
    bool is = reference_left(&r, text, strlen(text)) == 0;
    reference_release(&r);
    return is;
}

/* The same automaton made deterministic. */
static bool matches_one_by_one(struct tw_constraint *c, const char *text)
{
    struct tw_constraint_state state = {0};
    struct tw_constraint_rules rules = {.tokens_left = 1000};
    struct tw_allowed allowed;
    struct trawl_error err;
    int32_t tokens[256];
    uint32_t bits[8];
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        assert_ok(tw_constraint_allow(c, &state, tokens, i, &rules, bits, &allowed, &err));
        tokens[i] = (uint8_t)text[i];
        if ((bits[tokens[i] / 32] >> (tokens[i] % 32) & 1) == 0) {
            return false;
        }
    }
    assert_ok(tw_constraint_allow(c, &state, tokens, n, &rules, bits, &allowed, &err));
    return allowed.complete;
}

static const char *one_byte(void *user, int32_t id, size_t *n)
{
    char *bytes = user;
    bytes[id]   = (char)id;
    *n          = 1;
    return &bytes[id];
}

static void agrees_with_python(void **state)
{
    (void)state;
    struct trawl_error err;
    struct tw_vocabulary v;
    char bytes[256];
    json_t *cases = NULL;
    size_t n_true = 0, n_texts = 0;
    assert_ok(tw_json_parse_file(CASES, 0, &cases, &err));
    assert_ok(tw_vocabulary_build(&v, 256, one_byte, bytes, &err));
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const char *pattern = json_string_value(json_array_get(json_array_get(cases, i), 0));
        const json_t *texts = json_array_get(json_array_get(cases, i), 1);
        struct tw_constraint *c;
        assert_ok(tw_constraint_new(TW_CONSTRAINT_REGEX, pattern, strlen(pattern), &v, 0, &c, &err));
        for (size_t k = 0; k < json_array_size(texts); k++) {
            const json_t *row = json_array_get(texts, k);
            const char *text  = json_string_value(json_array_get(row, 0));
            bool full = json_is_true(json_array_get(row, 1)), found = json_is_true(json_array_get(row, 2));
            if (matches(pattern, text, false) != full || matches_one_by_one(c, text) != full ||
                matches(pattern, text, true) != found) {
                fail_msg("/%s/ and \"%s\": Python says %d (whole), %d (anywhere)", pattern, text, full,
                         found);
            }
            n_true += full;
            n_texts++;
        }
        tw_constraint_free(c);
    }
    assert_true(n_true > n_texts / 5 && n_true < n_texts * 4 / 5);
    tw_vocabulary_release(&v);
    json_decref(cases);
}

static void anchors_and_escapes(void **state)
{
    (void)state;
    assert_true(matches("^ab$", "ab", false));
    assert_true(matches("^a|b$", "xxb", true));
    assert_true(matches("^a|b$", "axx", true));
    assert_false(matches("^a|b$", "xax", true));
    assert_true(matches("^$", "", true));
    assert_true(matches("\\x41\\x{1F600}\\u00e9\\0?\\.\\\\", "A\xF0\x9F\x98\x80\xC3\xA9.\\", false));
    assert_true(matches("[]a]{2}", "]a", false));
    assert_true(matches("[a-]{2}", "a-", false));
    assert_true(matches("a{,2}b{", "a{,2}b{", false)); /* no counts: text */
    assert_true(matches("a{3}", "aaa", false));
    assert_false(matches("a{3}", "aa", false));
    assert_false(matches("[^a]", "\xED\xA0\x80", false)); /* a surrogate is no character */
    assert_false(matches(".", "\xC3", false));
    assert_true(matches("(?:a{0,3}){2}|((()))*", "aaaa", false));
    assert_true(matches("(a*)*(b+)+(c?){5}", "aabcc", false));
}

static void refuses_by_offset(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *words;
        trawl_status status;
    } bad[] = {
        {"a)b", "offset 1: \")\" closes nothing", TRAWL_ERR_FORMAT},
        {"(ab", "offset 0: \"(\" is not closed", TRAWL_ERR_FORMAT},
        {"x[ab", "offset 1: \"[\" is not closed", TRAWL_ERR_FORMAT},
        {"x[^\\x{0}-\\x{10FFFF}]", "offset 1: no character", TRAWL_ERR_FORMAT},
        {"[b-a]", "offset 1: this range", TRAWL_ERR_FORMAT},
        {"*a", "offset 0: there is nothing to repeat", TRAWL_ERR_FORMAT},
        {"a**", "offset 2: a quantifier follows", TRAWL_ERR_FORMAT},
        {"a{3,2}", "offset 1: expected counts", TRAWL_ERR_FORMAT},
        {"a{1001}", "at most 1000", TRAWL_ERR_FORMAT},
        {"a\\", "offset 1: a backslash", TRAWL_ERR_FORMAT},
        {"a\\1", "offset 1: backreferences", TRAWL_ERR_UNSUPPORTED},
        {"\\bword", "offset 0: this escape", TRAWL_ERR_UNSUPPORTED},
        {"\\p{L}", "offset 0: this escape", TRAWL_ERR_UNSUPPORTED},
        {"(?=a)", "offset 0: of the groups", TRAWL_ERR_UNSUPPORTED},
        {"(?i)a", "offset 0: of the groups", TRAWL_ERR_UNSUPPORTED},
        {"[[:alpha:]]", "offset 1: named classes", TRAWL_ERR_UNSUPPORTED},
        {"a^b", "offset 1: \"^\" is supported only", TRAWL_ERR_UNSUPPORTED},
        {"(a$)", "offset 2: \"^\" is supported only", TRAWL_ERR_UNSUPPORTED},
        {"a\xFF", "offset 1: the bytes are not UTF-8", TRAWL_ERR_FORMAT},
        {"\\x{110000}", "expected hexadecimal", TRAWL_ERR_FORMAT},
        {"\\xg0", "expected two hexadecimal", TRAWL_ERR_FORMAT},
        {"((a{1000}){1000}){1000}", "more than 2097152 nodes", TRAWL_ERR_LIMIT},
        {"((a()()()()()()()()()()()()()()()()()()()()()()()()(){1000}){1000}){1000}", "", TRAWL_ERR_LIMIT},
    };
    struct trawl_error err;
    struct reference r;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *p = bad[i].pattern;
        assert_refused(reference_init(&r, TW_CONSTRAINT_REGEX, p, strlen(p), false, &err), bad[i].status,
                       bad[i].words);
        reference_release(&r);
    }
    char deep[600];
    memset(deep, '(', 300);
    memset(deep + 300, ')', 300);
    assert_refused(reference_init(&r, TW_CONSTRAINT_REGEX, deep, sizeof deep, false, &err), TRAWL_ERR_LIMIT,
                   "offset 200: more than 200 groups");
    reference_release(&r);
}

/* Sets of bytes are looked for one by one, so there is an end to them; ranges of a set are not. */
static void many_sets(void **state)
{
    (void)state;
    struct tw_str s;
    struct reference r;
    struct trawl_error err;
    tw_str_init(&s, 0);
    for (unsigned i = 1; i <= 0x4001; i++) { /* every other letter of @ to _ by the bits of i */
        assert_ok(tw_str_puts(&s, "[!", NULL));
        for (unsigned bit = 0; bit < 16; bit++) {
            if ((i >> bit & 1) != 0) {
                assert_ok(tw_str_printf(&s, NULL, "\\x%02x", 0x40 + 2 * bit));
            }
        }
        assert_ok(tw_str_puts(&s, "]", NULL));
    }
    assert_refused(reference_init(&r, TW_CONSTRAINT_REGEX, s.data, s.size, false, &err), TRAWL_ERR_LIMIT,
                   "more than 16383 different sets");
    reference_release(&r);
    tw_str_reset(&s);
    assert_ok(tw_str_puts(&s, "[", NULL));
    for (unsigned code = 0x10000; code < 0x30000; code += 2) {
        assert_ok(tw_str_printf(&s, NULL, "\\x{%x}", code));
    }
    assert_ok(tw_str_puts(&s, "]", NULL));
    assert_true(matches(s.data, "\xF0\x9F\x98\x80", false));
    assert_false(matches(s.data, "\xF0\x9F\x98\x81", false));
    tw_str_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_python),
        cmocka_unit_test(anchors_and_escapes),
        cmocka_unit_test(refuses_by_offset),
        cmocka_unit_test(many_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
