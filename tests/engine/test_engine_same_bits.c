/* SPDX-License-Identifier: MIT */
#include "engine_draws.h"
#include "support/test.h"

static void test_random_configurations_agree(void **state)
{
    engine_draws(scratch_path(*state, "model"), 20261121, 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_random_configurations_agree, scratch_make, scratch_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
