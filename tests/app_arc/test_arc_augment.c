/* SPDX-License-Identifier: MIT */
#include "apps/arc/arc_augment.h"

#include "apps/arc/arc_render.h"
#include "arc_test.h"
#include "base/philox.h"

/* [[1,2,3],[4,5,6]] as numpy's flip(axis=1) and rot90 give it. */
static const char *const GEOMETRIES[8] = {
    "123/456", "36/25/14", "654/321", "41/52/63", "321/654", "14/25/36", "456/123", "63/52/41",
};

static void geometry_is_numpys(void **state)
{
    (void)state;
    struct trawl_error err;
    struct tw_arc_grid grid = grid_of("123/456");
    for (int g = 0; g < 8; g++) {
        struct tw_arc_augment a;
        struct tw_arc_grid seen, back;
        tw_arc_augment_identity(&a, 0);
        a.hflip   = g >= 4;
        a.n_rot90 = g % 4;
        assert_ok(tw_arc_augment_apply(&a, &grid, &seen, &err));
        assert_grid(&seen, GEOMETRIES[g]);
        assert_ok(tw_arc_augment_invert(&a, &seen, &back, &err));
        assert_grid(&back, "123/456");
        tw_arc_grid_release(&seen);
        tw_arc_grid_release(&back);
    }
    tw_arc_grid_release(&grid);
}

static void inverse_undoes_random_views(void **state)
{
    (void)state;
    const uint64_t seed = 20240611;
    struct tw_philox_stream random;
    struct trawl_error err;
    tw_philox_stream_init(&random, seed, 1);
    print_message("seed %llu\n", (unsigned long long)seed);
    for (int i = 0; i < 500; i++) {
        struct tw_arc_grid grid, seen, back;
        struct tw_arc_augment a;
        char id[16];
        struct tw_arc_task task = {.id = id, .n_train = 1 + (int)tw_philox_below(&random, 8)};
        (void)snprintf(id, sizeof id, "%08x", tw_philox_next(&random));
        assert_ok(tw_arc_grid_new(&grid, 1 + (int)tw_philox_below(&random, 30),
                                  1 + (int)tw_philox_below(&random, 30), &err));
        for (int k = 0; k < grid.rows * grid.cols; k++) {
            grid.cells[k] = (uint8_t)tw_philox_below(&random, 10);
        }
        tw_arc_augment_draw(&a, &task, seed, i);
        assert_ok(tw_arc_augment_check(&a, &err));
        assert_ok(tw_arc_augment_apply(&a, &grid, &seen, &err));
        assert_ok(tw_arc_augment_invert(&a, &seen, &back, &err));
        assert_true(tw_arc_grid_equal(&grid, &back));
        tw_arc_grid_release(&grid);
        tw_arc_grid_release(&seen);
        tw_arc_grid_release(&back);
    }
}

static void draws_depend_on_seed_task_and_prediction_only(void **state)
{
    (void)state;
    char ids[2][9]       = {"007bbfb7", "00d62c1b"};
    struct tw_arc_task a = {.id = ids[0], .n_train = 5}, b = {.id = ids[1], .n_train = 5};
    struct tw_arc_augment x, y;
    int zero_moved = 0, order_moved = 0;
    for (int64_t k = 0; k < 2000; k++) {
        tw_arc_augment_draw(&x, &a, 7, k);
        tw_arc_augment_draw(&y, &a, 7, k);
        assert_memory_equal(&x, &y, sizeof x);
        assert_int_equal(x.hflip, k / 4 % 2);
        assert_int_equal(x.n_rot90, k % 4);
        zero_moved += x.color_map[0] != 0;
        order_moved += x.train_order[0] != 0;
    }
    /* 0.1 * 9/10 of 2000 = 180 expected, standard deviation 12.8; 4/5 of 2000 = 1600, deviation 17.9 */
    assert_in_range(zero_moved, 116, 244);
    assert_in_range(order_moved, 1510, 1690);
    tw_arc_augment_draw(&x, &a, 7, 0);
    tw_arc_augment_draw(&y, &b, 7, 0);
    assert_memory_not_equal(&x, &y, sizeof x);
    tw_arc_augment_draw(&y, &a, 8, 0);
    assert_memory_not_equal(&x, &y, sizeof x);
    tw_arc_augment_draw(&y, &a, 7, 8);
    assert_memory_not_equal(&x, &y, sizeof x);
}

/* As tests/golden/arc_draws.py gives them. Recorded runs must be repeatable by later versions. */
static void draws_are_those_of_another_implementation(void **state)
{
    (void)state;
    static const struct {
        char id[9];
        uint64_t seed;
        int64_t k;
        int n_train;
        uint8_t colors[10];
        uint8_t order[7];
    } vectors[] = {
        {"007bbfb7", 0, 3, 5, {0, 4, 1, 7, 6, 9, 2, 3, 8, 5}, {0, 2, 4, 3, 1}},
        {"00d62c1b", ((uint64_t)5 << 32) + 42, 95, 7, {0, 7, 6, 2, 4, 9, 1, 5, 3, 8}, {3, 5, 1, 2, 6, 0, 4}},
        {"3c9b0459", 1, 22, 4, {8, 9, 0, 2, 3, 1, 7, 5, 4, 6}, {3, 0, 2, 1}},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        char id[9];
        struct tw_arc_augment a;
        memcpy(id, vectors[i].id, sizeof id);
        struct tw_arc_task task = {.id = id, .n_train = vectors[i].n_train};
        tw_arc_augment_draw(&a, &task, vectors[i].seed, vectors[i].k);
        assert_memory_equal(a.color_map, vectors[i].colors, 10);
        assert_memory_equal(a.train_order, vectors[i].order, (size_t)vectors[i].n_train);
    }
}

static void bad_values_are_named(void **state)
{
    (void)state;
    struct trawl_error err;
    struct tw_arc_augment a;
    tw_arc_augment_identity(&a, 3);
    assert_ok(tw_arc_augment_check(&a, &err));
    a.n_rot90 = 4;
    assert_int_equal(tw_arc_augment_check(&a, &err), TRAWL_ERR_INVALID);
    assert_contains(err.message, "n_rot90 is 4");
    a.n_rot90      = 0;
    a.color_map[3] = 4;
    assert_int_equal(tw_arc_augment_check(&a, &err), TRAWL_ERR_INVALID);
    assert_contains(err.message, "color_map is not a permutation");
    a.color_map[3]   = 3;
    a.train_order[2] = 3;
    assert_int_equal(tw_arc_augment_check(&a, &err), TRAWL_ERR_INVALID);
    assert_contains(err.message, "train_order is not a permutation of 3");
}

static void grids_on_a_terminal(void **state)
{
    (void)state;
    struct trawl_error err;
    struct tw_arc_grid grid = grid_of("102/090"), none = grid_of("");
    struct tw_str out;
    tw_str_init(&out, 0);
    assert_ok(tw_arc_render_terminal(&grid, false, &out, &err));
    assert_ok(tw_arc_render_terminal(&none, true, &out, &err));
    assert_string_equal(out.data, "1 . 2\n. 9 .\n(no grid)\n");
    tw_str_reset(&out);
    assert_ok(tw_arc_render_terminal(&grid, true, &out, &err));
    assert_string_equal(out.data, "\x1b[48;5;32m  \x1b[48;5;16m  \x1b[48;5;203m  \x1b[0m\n"
                                  "\x1b[48;5;16m  \x1b[48;5;88m  \x1b[48;5;16m  \x1b[0m\n");
    tw_str_reset(&out);
    assert_ok(tw_arc_render_svg(&grid, 10, &out, &err));
    assert_contains(out.data, "width=\"31\" height=\"21\" viewBox=\"0 0 3 2\"");
    assert_contains(out.data, "<path class=\"k0\" d=\"M1 0h1v1h-1zM0 1h1v1h-1zM2 1h1v1h-1z\"/>");
    tw_str_release(&out);
    tw_arc_grid_release(&grid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(geometry_is_numpys),
        cmocka_unit_test(inverse_undoes_random_views),
        cmocka_unit_test(draws_depend_on_seed_task_and_prediction_only),
        cmocka_unit_test(draws_are_those_of_another_implementation),
        cmocka_unit_test(bad_values_are_named),
        cmocka_unit_test(grids_on_a_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
