/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mesh/mesh_halving.h"

/* The definition, word for word: a list of sizes, the left half first. */
static void cut(size_t n, int parts, size_t *sizes)
{
    if (parts == 1) {
        sizes[0] = n;
        return;
    }
    size_t left = n <= 1 ? n : (n % 2 == 0 ? n / 2 : n / 2 + 1);
    cut(left, parts / 2, sizes);
    cut(n - left, parts / 2, sizes + parts / 2);
}

static void equals_the_definition(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 300; n++) {
        for (int parts = 1; parts <= 64; parts *= 2) {
            size_t sizes[64];
            cut(n, parts, sizes);
            size_t at = 0;
            for (int i = 0; i < parts; i++) {
                struct tw_range r = tw_mesh_halving(n, parts, i);
                assert_int_equal(r.begin, at);
                assert_int_equal(tw_range_size(r), sizes[i]);
                at = r.end;
            }
            assert_int_equal(at, n);
        }
    }
}

static void heads_of_the_small_qwen(void **state)
{
    (void)state;
    const size_t four[]  = {4, 3, 4, 3};
    const size_t eight[] = {2, 2, 2, 1, 2, 2, 2, 1};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(tw_range_size(tw_mesh_halving(14, 4, i)), four[i]);
    }
    for (int i = 0; i < 8; i++) {
        assert_int_equal(tw_range_size(tw_mesh_halving(14, 8, i)), eight[i]);
    }
}

/* What makes the bits independent of the degree: a rank's leaves are exactly its part. */
static void leaves_nest_in_ranks(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 300; n++) {
        for (int leaves = 8; leaves <= 32; leaves *= 2) {
            for (int degree = 1; degree <= leaves; degree *= 2) {
                for (int rank = 0; rank < degree; rank++) {
                    struct tw_range own  = tw_mesh_leaves(leaves, degree, rank);
                    struct tw_range part = tw_mesh_halving(n, degree, rank);
                    assert_int_equal(tw_range_size(own), leaves / degree);
                    assert_int_equal(tw_mesh_halving(n, leaves, (int)own.begin).begin, part.begin);
                    assert_int_equal(tw_mesh_halving(n, leaves, (int)own.end - 1).end, part.end);
                }
            }
        }
    }
}

static void clipped_parts_cover_all(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 600; n += 7) {
        for (int parts = 1; parts <= 32; parts *= 2) {
            size_t at = 0;
            for (int i = 0; i < parts; i++) {
                struct tw_range r = tw_mesh_halving_clipped(n, 32, parts, i);
                assert_int_equal(r.begin, at);
                assert_true(r.end >= r.begin && (r.end % 32 == 0 || r.end == n));
                at = r.end;
            }
            assert_int_equal(at, n);
        }
    }
    /* 100 columns are four units of 32, the last one short; the fifth part on is empty. */
    assert_int_equal(tw_mesh_halving_clipped(100, 32, 4, 3).begin, 96);
    assert_int_equal(tw_mesh_halving_clipped(100, 32, 4, 3).end, 100);
    assert_int_equal(tw_range_size(tw_mesh_halving_clipped(100, 32, 8, 7)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_definition),
        cmocka_unit_test(heads_of_the_small_qwen),
        cmocka_unit_test(leaves_nest_in_ranks),
        cmocka_unit_test(clipped_parts_cover_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
