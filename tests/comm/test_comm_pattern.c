/* SPDX-License-Identifier: MIT */
/* Recursive doubling played with expressions instead of numbers: a rank holds text such as "((0+1)+2)". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "comm/pattern/comm_pattern.h"

enum { SIZE_MAX_TESTED = 16, TEXT = 160 };
typedef char text[TEXT];

/* "(a+b)", or the one that is not empty. */
static void join(text out, const text a, const text b)
{
    text sum;
    if (a[0] == '\0' || b[0] == '\0') {
        memcpy(sum, a[0] == '\0' ? b : a, TEXT);
    } else {
        assert_true(snprintf(sum, sizeof sum, "(%.75s+%.75s)", a, b) < TEXT);
    }
    memcpy(out, sum, TEXT);
}

/* Level by level over 16 leaves, those beyond `size` or not in `mask` empty. */
static void expected_tree(int size, unsigned mask, text out)
{
    text level[16];
    memset(level, 0, sizeof level);
    for (int i = 0; i < size; i++) {
        if (mask >> i & 1u) {
            (void)snprintf(level[i], TEXT, "%d", i);
        }
    }
    for (int width = 16; width > 1; width /= 2) {
        for (int i = 0; i < width / 2; i++) {
            join(level[i], level[2 * i], level[2 * i + 1]);
        }
    }
    memcpy(out, level[0], TEXT);
}

static bool sends_to(const struct tw_comm_step *s, int rank)
{
    for (int k = 0; k < s->n_sends; k++) {
        if (s->send_first + k * s->send_stride == rank) {
            return true;
        }
    }
    return false;
}

static void play(int size, unsigned mask)
{
    text held[SIZE_MAX_TESTED];
    memset(held, 0, sizeof held);
    for (int r = 0; r < size; r++) {
        if (mask >> r & 1u) {
            (void)snprintf(held[r], TEXT, "%d", r);
        }
    }
    for (int step = 0; step < tw_comm_steps(size); step++) {
        text before[SIZE_MAX_TESTED];
        memcpy(before, held, sizeof before);
        for (int r = 0; r < size; r++) {
            struct tw_comm_step s = tw_comm_step_at(size, r, step);
            if (s.receive_from < 0) {
                continue;
            }
            if (s.from_right) {
                join(held[r], before[r], before[s.receive_from]);
            } else {
                join(held[r], before[s.receive_from], before[r]);
            }
        }
    }
    text expected;
    expected_tree(size, mask, expected);
    for (int r = 0; r < size; r++) {
        assert_string_equal(held[r], expected);
    }
}

static void all_ranks_get_the_tree(void **state)
{
    (void)state;
    for (int size = 1; size <= SIZE_MAX_TESTED; size++) {
        unsigned all = (1u << size) - 1;
        for (unsigned mask = 0; mask <= all; mask += size <= 9 ? 1 : 61) {
            play(size, mask);
        }
        play(size, all);
    }
}

static void every_receive_has_its_send(void **state)
{
    (void)state;
    for (int size = 1; size <= SIZE_MAX_TESTED; size++) {
        for (int step = 0; step < tw_comm_steps(size); step++) {
            int sends    = 0;
            int receives = 0;
            for (int r = 0; r < size; r++) {
                struct tw_comm_step s = tw_comm_step_at(size, r, step);
                sends += s.n_sends;
                for (int k = 0; k < s.n_sends; k++) {
                    int to = s.send_first + k * s.send_stride;
                    assert_in_range(to, 0, size - 1);
                    assert_int_equal(tw_comm_step_at(size, to, step).receive_from, r);
                }
                if (s.receive_from >= 0) {
                    struct tw_comm_step from = tw_comm_step_at(size, s.receive_from, step);
                    assert_true(sends_to(&from, r));
                    receives++;
                }
            }
            assert_int_equal(sends, receives);
        }
    }
}

static void blocks_join(void **state)
{
    (void)state;
    for (int size = 1; size <= SIZE_MAX_TESTED; size++) {
        int steps = tw_comm_steps(size);
        assert_true(1 << steps >= size && (steps == 0 || 1 << (steps - 1) < size));
        for (int r = 0; r < size; r++) {
            struct tw_comm_block own = tw_comm_block_at(size, r, 0);
            assert_true(own.begin == r && own.end == r + 1);
            for (int step = 0; step < steps; step++) {
                struct tw_comm_step s     = tw_comm_step_at(size, r, step);
                struct tw_comm_block next = tw_comm_block_at(size, r, step + 1);
                if (s.receive_from >= 0) {
                    struct tw_comm_block other = tw_comm_block_at(size, s.receive_from, step);
                    assert_int_equal(s.from_right ? own.end : other.end,
                                     s.from_right ? other.begin : own.begin);
                    own.begin = s.from_right ? own.begin : other.begin;
                    own.end   = s.from_right ? other.end : own.end;
                }
                assert_true(own.begin == next.begin && own.end == next.end);
            }
            assert_true(own.begin == 0 && own.end == size);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_ranks_get_the_tree),
        cmocka_unit_test(every_receive_has_its_send),
        cmocka_unit_test(blocks_join),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
