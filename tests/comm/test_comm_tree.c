/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "comm/pattern/comm_tree.h"
#include "comm_expected.h"

enum { FLOATS = 1300, PARTS_MAX = 17 };

static float values[PARTS_MAX][FLOATS];

static void expect(int size, const bool *present, const float *before, bool add, float *out)
{
    for (int i = 0; i < FLOATS; i++) {
        float column[PARTS_MAX];
        for (int r = 0; r < size; r++) {
            column[r] = values[r][i];
        }
        bool any  = false;
        float sum = expected_sum(column, present, size, &any);
        if (add) {
            volatile float added = before[i] + sum;
            out[i]               = any ? added : before[i];
        } else {
            out[i] = any ? sum : 0.0f;
        }
    }
}

/* Every group size, random sets of contributors, ranges cut at odd places. */
static void equals_the_tree(void **state)
{
    (void)state;
    const uint64_t seed = 4711;
    struct tw_philox_stream random;
    tw_philox_stream_init(&random, seed, 0);
    print_message("seed %llu\n", (unsigned long long)seed);
    for (int round = 0; round < 300; round++) {
        int size = 1 + round % PARTS_MAX;
        bool present[PARTS_MAX];
        const float *parts[PARTS_MAX];
        for (int r = 0; r < size; r++) {
            present[r] = round < PARTS_MAX || tw_philox_below(&random, 4) != 0;
            parts[r]   = present[r] ? values[r] : NULL;
            for (int i = 0; i < FLOATS; i++) {
                values[r][i] = random_value(&random);
            }
        }
        float before[FLOATS];
        float out[FLOATS];
        float expected[FLOATS];
        for (int i = 0; i < FLOATS; i++) {
            before[i] = random_value(&random);
        }
        for (int add = 0; add <= 1; add++) {
            memcpy(out, before, sizeof out);
            size_t at = 0;
            while (at < FLOATS) {
                size_t end = at + tw_philox_below(&random, FLOATS); /* sometimes nothing */
                end        = end < FLOATS ? end : FLOATS;
                tw_comm_tree_sum(parts, size, out, at, end, add == 1);
                at = end;
            }
            expect(size, present, before, add == 1, expected);
            assert_memory_equal(out, expected, sizeof out);
        }
    }
}

/* An absent part is not a zero: -0 stays -0. */
static void absent_is_not_zero(void **state)
{
    (void)state;
    float minus           = -0.0f;
    const float *parts[3] = {NULL, &minus, NULL};
    float out             = 1.0f;
    tw_comm_tree_sum(parts, 3, &out, 0, 1, false);
    assert_memory_equal(&out, &minus, sizeof out);
    tw_comm_tree_sum(parts, 3, &out, 0, 1, true);
    assert_memory_equal(&out, &minus, sizeof out);
    const float *none[2] = {NULL, NULL};
    tw_comm_tree_sum(none, 2, &out, 0, 1, true);
    assert_memory_equal(&out, &minus, sizeof out);
    tw_comm_tree_sum(none, 2, &out, 0, 1, false);
    float plus = 0.0f;
    assert_memory_equal(&out, &plus, sizeof out);
}

static void largest_group(void **state)
{
    (void)state;
    static const float *parts[TW_COMM_RANKS_MAX];
    float one = 1.0f;
    float out = 0.0f;
    for (int i = 0; i < TW_COMM_RANKS_MAX; i++) {
        parts[i] = &one;
    }
    tw_comm_tree_sum(parts, TW_COMM_RANKS_MAX, &out, 0, 1, false);
    assert_true(out == (float)TW_COMM_RANKS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_tree),
        cmocka_unit_test(absent_is_not_zero),
        cmocka_unit_test(largest_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
