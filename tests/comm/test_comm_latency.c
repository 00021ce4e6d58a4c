/* SPDX-License-Identifier: MIT */
/* The two ways to sum, timed. Every sum is checked, so this is a test of the one-meeting protocol at full
 * speed too; the figures are printed, not judged, because a busy machine has no latency to speak of.
 * TRAWL_COMM_ROUNDS=200000 gives steady figures. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "comm_expected.h"

enum { FLOATS_MAX = 32 * 896 };

struct measure {
    size_t n;
    int rounds;
    bool one_meeting;
    uint64_t ns; /* by rank 0 */
    _Atomic int wrong;
};

static void pin(int rank)
{
    cpu_set_t allowed;
    cpu_set_t one;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
        return;
    }
    int wanted = rank % CPU_COUNT(&allowed);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed) && wanted-- == 0) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            (void)sched_setaffinity(0, sizeof one, &one); /* unpinned is slower, not wrong */
        }
    }
}

static void sum_rank(struct tw_comm *comm, void *arg)
{
    struct measure *m = arg;
    float *floats     = calloc(3 * FLOATS_MAX, sizeof *floats);
    float *out        = floats + 2 * FLOATS_MAX;
    uint64_t started  = 0;
    size_t allocs     = 0;
    if (floats == NULL) {
        tw_comm_abort(comm, NULL);
        m->wrong++;
        return;
    }
    pin(comm->rank);
    for (int round = -m->rounds / 10; round < m->rounds; round++) {
        if (round == 0) {
            started = tw_clock_ns();
            allocs  = tw_alloc_count();
        }
        float *mine    = floats + (m->one_meeting ? (size_t)(round & 1) * FLOATS_MAX : 0);
        mine[0]        = (float)(round * (comm->rank + 1));
        mine[m->n - 1] = (float)(round * (comm->rank + 1));
        trawl_status status;
        if (m->one_meeting) {
            status = tw_comm_publish(comm, mine, true, m->n, NULL);
            status = status == TRAWL_OK ? tw_comm_wait(comm, NULL) : status;
            tw_comm_reduce(comm, out, 0, m->n);
        } else {
            status = tw_comm_allreduce_tree(comm, mine, true, out, m->n, NULL);
        }
        int weights    = comm->size * (comm->size + 1) / 2;
        float expected = (float)(round * weights);
        if (status != TRAWL_OK || out[0] != expected || out[m->n - 1] != expected) {
            m->wrong++;
        }
    }
    if (comm->rank == 0) {
        m->ns = tw_clock_ns() - started;
        m->wrong += tw_alloc_count() != allocs; /* a sum allocates nothing */
    }
    if (tw_comm_barrier(comm, NULL) != TRAWL_OK) {
        m->wrong++;
    }
    free(floats);
}

static void measure(void **state)
{
    (void)state;
    const char *text      = getenv("TRAWL_COMM_ROUNDS");
    int rounds            = text == NULL ? 500 : (int)strtol(text, NULL, 10);
    const int ranks[]     = {1, 2, 4, 8};
    const size_t floats[] = {896, 1024, FLOATS_MAX};
    rounds                = rounds < 100 ? 100 : rounds;
    for (size_t r = 0; r < sizeof ranks / sizeof ranks[0]; r++) {
        for (size_t f = 0; f < sizeof floats / sizeof floats[0]; f++) {
            uint64_t ns[2];
            for (int one = 0; one <= 1; one++) {
                struct measure m = {.n = floats[f], .rounds = rounds, .one_meeting = one == 1};
                if (ranks[r] > 2 || m.n == FLOATS_MAX) {
                    m.rounds = rounds / 10;
                }
                struct tw_comm_thread_config config = {.policy = tw_wait_policy_for(ranks[r])};
                run_ranks(ranks[r], &config, sum_rank, &m);
                assert_int_equal(m.wrong, 0);
                ns[one] = m.ns / (uint64_t)m.rounds;
            }
            print_message("%d ranks, %6zu floats: %8llu ns in phases, %8llu ns in one call\n", ranks[r],
                          floats[f], (unsigned long long)ns[1], (unsigned long long)ns[0]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(measure)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
