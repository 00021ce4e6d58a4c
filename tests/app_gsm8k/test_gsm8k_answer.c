/* SPDX-License-Identifier: MIT */
/* The number that an answer gives: marks, boxes, LaTeX, fractions, and what is none. */
#include "apps/gsm8k/gsm8k_answer.h"
#include "support/test.h"

#include <math.h>

struct answer {
    const char *text, *number; /* NULL: no readable answer */
};

static void check_all(const struct answer *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char got[TW_GSM8K_NUMBER_BYTES] = "";
        bool has                        = tw_gsm8k_answer(cases[i].text, strlen(cases[i].text), got);
        const char *found               = has ? got : "(none)";
        const char *expected            = cases[i].number != NULL ? cases[i].number : "(none)";
        if (strcmp(found, expected) != 0) {
            fail_msg("\"%s\": %s, expected %s", cases[i].text, found, expected);
        }
    }
}

#define CHECK(cases) check_all(cases, sizeof(cases) / sizeof(cases)[0])

static void marks(void **state)
{
    static const struct answer cases[] = {
        {"Janet makes 9 * 2 = $18\n#### 18", "18"},
        {"#### 1,234", "1234"},
        {"####-5", "-5"},
        {"#### -$5", "-5"},
        {"#### $-5", "-5"},
        {"#### $2,000.50 a day", "2000.5"},
        {"#### 7.00", "7"},
        {"#### 007", "7"},
        {"#### 0,007", "7"},
        {"#### .5", "0.5"},
        {"#### -0.0", "0"},
        {"#### 18.", "18"},
        {"#### 40%", "40"},
        {"first #### 1 then #### 2", "2"},
        {"#### 3 of 4", "3"},
        {"####\n\n12 eggs\nQuestion: 3?", "12"},
        {"#### 18\n\nQuestion: 3 + 4 = 7", "18"},
        {"#### 3/4", "0.75"},
        {"#### 16 - 3 - 4 = 9", "9"},
        {"#### 16 - 3", NULL},
        {"12 but #### then nothing", NULL},
        {"#### none\n5", NULL},
        {"####", NULL},
    };
    (void)state;
    CHECK(cases);
}

static void last_numbers(void **state)
{
    static const struct answer cases[] = {
        {"3 of 4, so 12.", "12"},
        {"it costs $3.75", "3.75"},
        {"a well-2 known answer", "2"},
        {"from 3-4", "4"},
        {"that is -4", "-4"},
        {"half, so .5", "0.5"},
        {"the end.5 more", "5"},
        {"1,2,3", "123"},
        {"5, 6", "6"},
        {"0", "0"},
        {"0.0", "0"},
        {"none at all", NULL},
        {"", NULL},
        {"-", NULL},
        {".", NULL},
    };
    (void)state;
    CHECK(cases);
}

static void boxes(void **state)
{
    static const struct answer cases[] = {
        {"so \\boxed{18}.", "18"},
        {"\\boxed{1} and then \\boxed{2}, of 3", "2"},
        {"#### 4\n\\boxed{5}", "5"},
        {"\\boxed {5}", "5"},
        {"\\boxed{\\text{The answer is } 18 \\text{ eggs}}", "18"},
        {"\\boxed{\\textbf{1{,}234}}", "1234"},
        {"\\boxed{\\$1\\,234.50}", "1234.5"},
        {"$\\boxed{$70,000$}$", "70000"},
        {"\\boxed{40\\%}", "40"},
        {"\\boxed{x = 3 + 4 = 7}", "7"},
        {"\\boxed{x = }", NULL},
        {"\\boxed{-3}", "-3"},
        {"\\boxed{\\frac{3}{4}}", "0.75"},
        {"\\boxed{\\dfrac{2}{6}}", "1/3"},
        {"\\boxed{-\\tfrac{10}{4}}", "-2.5"},
        {"\\boxed{\\frac12}", "0.5"},
        {"\\boxed{1\\frac{1}{2}}", "1.5"},
        {"\\boxed{2 1/2 \\text{ hours}}", "2.5"},
        {"\\boxed{12/4}", "3"},
        {"\\boxed{1/0}", NULL},
        {"\\boxed{1.5/0.5}", "3"},
        {"\\boxed{3 \\times 10^2}", NULL},
        {"\\boxed{10^{3}}", NULL},
        {"\\boxed{18 \\text{ cm}^2}", "18"},
        {"\\boxed{A}", NULL},
        {"7 \\boxed{}", NULL},
        {"7 \\boxed{} 8", NULL},
        /* cut by the longest length: no box, or the one before */
        {"so 16, \\boxed{1", "1"},
        {"\\boxed{16} or \\boxed{1", "16"},
        {"\\boxed", NULL},
        {"\\boxed{", NULL},
        {"\\boxed{\\{5\\}}", "5"},
        {"\\boxed{99999999999999999999}", "99999999999999999999"},
        {"\\boxed{1/99999999999999999999}", NULL},
        {"\\boxed{9223372036854775807/9223372036854775806}", NULL},
    };
    (void)state;
    CHECK(cases);
}

/* Equal values have equal texts, others have not. */
static void values(void **state)
{
    static const char *const equal[][4] = {
        {"5", "5.0", "5.00", "10/2"},
        {"1000", "1,000", "1000.", "$1,000"},
        {"0.125", "1/8", ".125", "0.1250"},
        {"-7/3", "-14/6", "-2.1/0.9", "-21/9"},
    };
    char first[TW_GSM8K_NUMBER_BYTES], other[TW_GSM8K_NUMBER_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof equal / sizeof equal[0]; i++) {
        for (size_t k = 0; k < 4; k++) {
            assert_true(tw_gsm8k_number(equal[i][k], strlen(equal[i][k]), other));
            if (k > 0) {
                assert_string_equal(first, other);
            } else {
                memcpy(first, other, sizeof first);
            }
        }
    }
    assert_true(tw_gsm8k_number("0.333333", 8, first) && tw_gsm8k_number("1/3", 3, other));
    assert_string_not_equal(first, other);
}

/* Random small fractions against arithmetic in double, which is exact enough to tell them apart. */
static void fractions(void **state)
{
    unsigned seed = 20240607;
    (void)state;
    for (int i = 0; i < 20000; i++) {
        char text[64], got[TW_GSM8K_NUMBER_BYTES], *end;
        seed      = seed * 1664525u + 1013904223u;
        int p     = (int)(seed >> 20) - 2048;
        seed      = seed * 1664525u + 1013904223u;
        int q     = (int)(seed >> 22) + 1;
        bool frac = (seed >> 8) % 2;
        (void)snprintf(text, sizeof text, frac ? "%s\\frac{%d}{%d}" : "%s%d/%d", p < 0 ? "-" : "", abs(p), q);
        assert_true(tw_gsm8k_number(text, strlen(text), got));
        double value = strtod(got, &end);
        value /= *end == '/' ? strtod(end + 1, &end) : 1;
        if (*end != '\0' || fabs(value - (double)p / q) > 1e-12) {
            fail_msg("%s: %s, seed 20240607, draw %d", text, got, i);
        }
    }
}

static void endless_numbers_are_cut(void **state)
{
    char digits[2000], got[TW_GSM8K_NUMBER_BYTES];
    (void)state;
    memset(digits, '7', sizeof digits);
    assert_true(tw_gsm8k_answer(digits, sizeof digits, got));
    assert_int_equal(strlen(got), TW_GSM8K_NUMBER_BYTES - 1);
    memcpy(digits, "#### -", 6);
    assert_true(tw_gsm8k_answer(digits, sizeof digits, got));
    assert_int_equal(strlen(got), TW_GSM8K_NUMBER_BYTES - 1);
    assert_int_equal(got[0], '-');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(marks),  cmocka_unit_test(last_numbers), cmocka_unit_test(boxes),
        cmocka_unit_test(values), cmocka_unit_test(fractions),    cmocka_unit_test(endless_numbers_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
