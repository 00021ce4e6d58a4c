/* SPDX-License-Identifier: MIT */
/* The number that an answer gives. */
#include "cli/policy_questions.h"
#include "support/test.h"

static void test_numbers_of_answers(void **state)
{
    static const struct {
        const char *text, *number;
    } cases[] = {
        {"Janet makes 9 * 2 = $18\n#### 18", "18"},
        {"#### 1,234", "1234"},
        {"####-5", "-5"},
        {"#### $2,000.50 a day", "2000.5"},
        {"#### 7.00", "7"},
        {"#### 007", "7"},
        {"first #### 1 then #### 2", "2"},
        {"#### 3 of 4", "3"},
        {"3 of 4, so 12.", "12"},
        {"it costs $3.75", "3.75"},
        {"a well-2 known answer", "2"},
        {"from 3-4", "4"},
        {"1,2,3", "123"},
        {"5, 6", "6"},
        {"0", "0"},
        {"0.0", "0"},
        {"none at all", NULL},
        {"12 but #### then nothing", NULL},
        {"", NULL},
        {"####", NULL},
        {"-", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char got[POLICY_NUMBER_BYTES] = "";
        bool has                      = policy_number(cases[i].text, strlen(cases[i].text), got);
        assert_true(has == (cases[i].number != NULL));
        if (has) {
            assert_string_equal(got, cases[i].number);
        }
    }
}

static void test_endless_numbers_are_cut(void **state)
{
    char digits[300], got[POLICY_NUMBER_BYTES];
    (void)state;
    memset(digits, '7', sizeof digits);
    assert_true(policy_number(digits, sizeof digits, got));
    assert_int_equal(strlen(got), POLICY_NUMBER_BYTES - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_of_answers),
        cmocka_unit_test(test_endless_numbers_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
