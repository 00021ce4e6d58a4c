/* SPDX-License-Identifier: MIT */
/* TRAWL_SEED and TRAWL_DRAWS choose other draws. */
#include "engine_draws.h"
#include "support/test.h"

static long from_environment(const char *name, long unset)
{
    const char *text = getenv(name);
    return text == NULL ? unset : strtol(text, NULL, 10);
}

static void test_500_random_configurations_agree(void **state)
{
    engine_draws(scratch_path(*state, "model"), (uint64_t)from_environment("TRAWL_SEED", 1),
                 (int)from_environment("TRAWL_DRAWS", 500));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_500_random_configurations_agree, scratch_make, scratch_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
