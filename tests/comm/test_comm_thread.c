/* SPDX-License-Identifier: MIT */
/* Collectives with ranks as threads. cmocka's asserts belong to the main thread, so ranks count what is
 * wrong and the main thread looks at the count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "comm_ranks.h"

static const int sizes[] = {1, 2, 3, 4, 5, 8};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

static struct tw_comm_thread_config config_of(int size)
{
    return (struct tw_comm_thread_config){.policy = tw_wait_policy_for(size), .deadline_ms = 60000};
}

static void run_all_sizes(void (*fn)(struct tw_comm *comm, void *arg))
{
    for (int k = 0; k < SIZES; k++) {
        for (int sleepy = 0; sleepy <= 1; sleepy++) {
            struct ranks_shared s               = {.seed = 99};
            struct tw_comm_thread_config config = config_of(sizes[k]);
            if (sleepy) {
                config.policy = (struct tw_wait_policy){0, 0}; /* straight to the futex */
            }
            run_ranks(sizes[k], &config, fn, &s);
            assert_int_equal(s.wrong, 0);
        }
    }
}

/* ---- sums ---- */

static void allreduce(void **state)
{
    (void)state;
    run_all_sizes(ranks_allreduce);
}

static void phases(void **state)
{
    (void)state;
    run_all_sizes(ranks_phases);
}

static void teams(void **state)
{
    (void)state;
    run_all_sizes(ranks_team);
}

/* ---- copies ---- */

static void bcast(void **state)
{
    (void)state;
    run_all_sizes(ranks_bcast);
}

static void gather(void **state)
{
    (void)state;
    run_all_sizes(ranks_gather);
}

/* ---- phases ---- */

static _Atomic int arrivals;

static void barrier_rank(struct tw_comm *comm, void *arg)
{
    struct ranks_shared *s = arg;
    for (int round = 1; round <= RANKS_ROUNDS; round++) {
        arrivals++;
        ranks_expect(s, tw_comm_barrier(comm, NULL) == TRAWL_OK);
        ranks_expect(s, arrivals >= round * comm->size);
        ranks_expect(s, tw_comm_barrier(comm, NULL) == TRAWL_OK);
    }
}

static void barrier(void **state)
{
    (void)state;
    for (int k = 0; k < SIZES; k++) {
        struct ranks_shared s               = {.seed = 0};
        struct tw_comm_thread_config config = config_of(sizes[k]);
        arrivals                            = 0;
        run_ranks(sizes[k], &config, barrier_rank, &s);
        assert_int_equal(s.wrong, 0);
        assert_int_equal(arrivals, RANKS_ROUNDS * sizes[k]);
    }
}

static void mixture(void **state)
{
    (void)state;
    run_all_sizes(ranks_mixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allreduce), cmocka_unit_test(phases), cmocka_unit_test(teams),
        cmocka_unit_test(bcast),     cmocka_unit_test(gather), cmocka_unit_test(barrier),
        cmocka_unit_test(mixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
