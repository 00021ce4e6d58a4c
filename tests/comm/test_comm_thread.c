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

#include "comm_expected.h"

enum { FLOATS = 700, ROUNDS = 60 };

static const int sizes[] = {1, 2, 3, 4, 5, 8};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

struct shared {
    uint64_t seed;
    _Atomic int wrong;
};

static struct tw_comm_thread_config config_of(int size)
{
    return (struct tw_comm_thread_config){.policy = tw_wait_policy_for(size), .deadline_ms = 60000};
}

static void expect(struct shared *s, bool condition)
{
    if (!condition) {
        s->wrong++;
    }
}

static void run_all_sizes(void (*fn)(struct tw_comm *comm, void *arg))
{
    for (int k = 0; k < SIZES; k++) {
        for (int sleepy = 0; sleepy <= 1; sleepy++) {
            struct shared s                     = {.seed = 99};
            struct tw_comm_thread_config config = config_of(sizes[k]);
            if (sleepy) {
                config.policy = (struct tw_wait_policy){0, 0}; /* straight to the futex */
            }
            run_ranks(sizes[k], &config, fn, &s);
            assert_int_equal(s.wrong, 0);
        }
    }
}

/* What rank `rank` brings in round `round`: every rank can work out everybody's. */
static bool contribution(const struct shared *s, int rank, int round, size_t n, float *out)
{
    struct tw_philox_stream random;
    tw_philox_stream_init(&random, s->seed + (uint64_t)rank, (uint64_t)round);
    for (size_t i = 0; i < n; i++) {
        out[i] = random_value(&random);
    }
    return tw_philox_below(&random, 5) != 0;
}

static size_t floats_of(int round)
{
    return round % 7 == 0 ? 0 : (size_t)(round * 37 % FLOATS);
}

static void expected_of(const struct shared *s, int size, int round, const float *before, float *out)
{
    static _Thread_local float all[64][FLOATS];
    bool present[64];
    size_t n = floats_of(round);
    for (int r = 0; r < size; r++) {
        present[r] = contribution(s, r, round, n, all[r]);
    }
    for (size_t i = 0; i < n; i++) {
        float column[64];
        for (int r = 0; r < size; r++) {
            column[r] = all[r][i];
        }
        bool any             = false;
        float sum            = expected_sum(column, present, size, &any);
        volatile float added = before == NULL ? 0.0f : before[i] + sum;
        if (before == NULL) {
            out[i] = any ? sum : 0.0f;
        } else {
            out[i] = any ? added : before[i];
        }
    }
}

/* ---- sums ---- */

static void allreduce_rank(struct tw_comm *comm, void *arg)
{
    struct shared *s = arg;
    float partial[FLOATS];
    float out[FLOATS];
    float expected[FLOATS];
    for (int round = 0; round < ROUNDS; round++) {
        size_t n         = floats_of(round);
        bool contributes = contribution(s, comm->rank, round, n, partial);
        expect(s, tw_comm_allreduce_tree(comm, contributes ? partial : NULL, contributes, out, n, NULL) ==
                      TRAWL_OK);
        memset(partial, 0xFF, sizeof partial); /* the buffer is ours again */
        expected_of(s, comm->size, round, NULL, expected);
        expect(s, memcmp(out, expected, n * sizeof *out) == 0);
    }
}

static void allreduce(void **state)
{
    (void)state;
    run_all_sizes(allreduce_rank);
}

/* The hot path: one meeting per sum, two buffers by turns, the older one spoilt as soon as it may be. */
static void phases_rank(struct tw_comm *comm, void *arg)
{
    struct shared *s = arg;
    float partial[2][FLOATS];
    float x[FLOATS];
    float expected[FLOATS];
    float before[FLOATS];
    memset(partial, 0, sizeof partial);
    for (int round = 0; round < ROUNDS; round++) {
        size_t n         = floats_of(round);
        float *mine      = partial[round % 2];
        bool contributes = contribution(s, comm->rank, round, n, mine);
        (void)contribution(s, 1000, round, n, x);
        memcpy(before, x, sizeof before);
        expect(s, tw_comm_publish(comm, mine, contributes, n, NULL) == TRAWL_OK);
        expect(s, tw_comm_wait(comm, NULL) == TRAWL_OK);
        memset(partial[(round + 1) % 2], 0xFF, sizeof partial[0]);
        tw_comm_reduce_add(comm, x, 0, n / 3);
        tw_comm_reduce_add(comm, x, n / 3, n);
        expected_of(s, comm->size, round, before, expected);
        expect(s, memcmp(x, expected, n * sizeof *x) == 0);
    }
    expect(s, tw_comm_done(comm, NULL) == TRAWL_OK); /* the last partial lives on this thread's stack */
}

static void phases(void **state)
{
    (void)state;
    run_all_sizes(phases_rank);
}

/* A device with a team: the leader meets, all threads reduce. */
struct device {
    struct tw_comm *comm;
    struct tw_team *team;
    struct shared *shared;
    float partial[2][FLOATS];
    float out[FLOATS];
};

static void device_thread(void *arg, int thread, int n_threads)
{
    struct device *d = arg;
    for (int round = 0; round < ROUNDS; round++) {
        size_t n    = floats_of(round);
        float *mine = d->partial[round % 2];
        if (thread == 0) {
            bool contributes = contribution(d->shared, d->comm->rank, round, n, mine);
            expect(d->shared, tw_comm_publish(d->comm, mine, contributes, n, NULL) == TRAWL_OK);
            expect(d->shared, tw_comm_wait(d->comm, NULL) == TRAWL_OK);
        }
        tw_team_barrier(d->team);
        size_t begin = 0;
        size_t end   = 0;
        tw_split(n, thread, n_threads, &begin, &end);
        tw_comm_reduce(d->comm, d->out, begin, end);
        tw_team_barrier(d->team);
        if (thread == 0) {
            float expected[FLOATS];
            expected_of(d->shared, d->comm->size, round, NULL, expected);
            expect(d->shared, memcmp(d->out, expected, n * sizeof *expected) == 0);
        }
    }
}

static void team_rank(struct tw_comm *comm, void *arg)
{
    struct shared *s = arg;
    struct device *d = calloc(1, sizeof *d);
    if (d == NULL || tw_team_new(&d->team, 2, tw_wait_policy_for(2 * comm->size), NULL, NULL) != TRAWL_OK) {
        tw_comm_abort(comm, NULL);
        expect(s, false);
        free(d);
        return;
    }
    d->comm   = comm;
    d->shared = s;
    tw_team_run(d->team, device_thread, d);
    expect(s, tw_comm_barrier(comm, NULL) == TRAWL_OK); /* nobody reads our buffers any more */
    tw_team_free(d->team);
    free(d);
}

static void teams(void **state)
{
    (void)state;
    run_all_sizes(team_rank);
}

/* ---- copies ---- */

static void bcast_rank(struct tw_comm *comm, void *arg)
{
    struct shared *s = arg;
    for (int round = 0; round < ROUNDS; round++) {
        unsigned char data[99];
        size_t bytes = (size_t)round % sizeof data;
        int root     = round % comm->size;
        memset(data, comm->rank == root ? round : 0xEE, sizeof data);
        expect(s, tw_comm_bcast(comm, root, data, bytes, NULL) == TRAWL_OK);
        for (size_t i = 0; i < sizeof data; i++) {
            bool got = i < bytes || comm->rank == root;
            expect(s, data[i] == (got ? round : 0xEE));
        }
    }
}

static void bcast(void **state)
{
    (void)state;
    run_all_sizes(bcast_rank);
}

/* Rank r brings r + 1 bytes of value r (or nothing at all), equal blocks three of them. */
static void gather_rank(struct tw_comm *comm, void *arg)
{
    struct shared *s = arg;
    for (int round = 0; round < ROUNDS; round++) {
        int root            = round % 3 == 0 ? TW_COMM_ALL : round % comm->size;
        bool even           = round % 2 == 0;
        size_t sizes_of[64] = {0};
        size_t all          = 0;
        for (int r = 0; r < comm->size; r++) {
            sizes_of[r] = even ? 3 : (size_t)(r * (round % 5 != 0));
            all += sizes_of[r];
        }
        unsigned char block[64];
        unsigned char out[3 * 64 * 64];
        memset(block, comm->rank, sizeof block);
        memset(out, 0xEE, sizeof out);
        bool receives = root == TW_COMM_ALL || root == comm->rank;
        expect(s, tw_comm_gather(comm, root, block, sizes_of[comm->rank], even ? NULL : sizes_of,
                                 receives ? out : NULL, NULL) == TRAWL_OK);
        memset(block, 0xFF, sizeof block);
        size_t at = 0;
        for (int r = 0; r < comm->size && receives; r++) {
            for (size_t i = 0; i < sizes_of[r]; i++) {
                expect(s, out[at++] == r);
            }
        }
        expect(s, out[at] == 0xEE && (at == all || !receives));
    }
}

static void gather(void **state)
{
    (void)state;
    run_all_sizes(gather_rank);
}

/* ---- phases ---- */

static _Atomic int arrivals;

static void barrier_rank(struct tw_comm *comm, void *arg)
{
    struct shared *s = arg;
    for (int round = 1; round <= ROUNDS; round++) {
        arrivals++;
        expect(s, tw_comm_barrier(comm, NULL) == TRAWL_OK);
        expect(s, arrivals >= round * comm->size);
        expect(s, tw_comm_barrier(comm, NULL) == TRAWL_OK);
    }
}

static void barrier(void **state)
{
    (void)state;
    for (int k = 0; k < SIZES; k++) {
        struct shared s                     = {.seed = 0};
        struct tw_comm_thread_config config = config_of(sizes[k]);
        arrivals                            = 0;
        run_ranks(sizes[k], &config, barrier_rank, &s);
        assert_int_equal(s.wrong, 0);
        assert_int_equal(arrivals, ROUNDS * sizes[k]);
    }
}

/* All in one order that all ranks draw from the same seed: kinds follow each other in every combination. */
static void mixture_rank(struct tw_comm *comm, void *arg)
{
    struct shared *s = arg;
    struct tw_philox_stream random;
    tw_philox_stream_init(&random, s->seed, 12);
    for (int round = 0; round < 4 * ROUNDS; round++) {
        uint32_t root = tw_philox_below(&random, (uint32_t)comm->size);
        float in      = (float)(comm->rank + 1);
        float out     = 0.0f;
        int word      = comm->rank == (int)root ? round : -1;
        int words[64];
        switch (tw_philox_below(&random, 5)) {
        case 0:
            expect(s, tw_comm_allreduce_tree(comm, &in, true, &out, 1, NULL) == TRAWL_OK);
            expect(s, 2.0f * out == (float)(comm->size * (comm->size + 1)));
            break;
        case 1:
            expect(s, tw_comm_bcast(comm, (int)root, &word, sizeof word, NULL) == TRAWL_OK && word == round);
            break;
        case 2:
            word = comm->rank + round;
            expect(s, tw_comm_gather(comm, TW_COMM_ALL, &word, sizeof word, NULL, words, NULL) == TRAWL_OK);
            expect(s, words[0] == round && words[comm->size - 1] == round + comm->size - 1);
            break;
        case 3: expect(s, tw_comm_barrier(comm, NULL) == TRAWL_OK); break;
        default: expect(s, tw_comm_agree(comm, TRAWL_OK, NULL) == TRAWL_OK); break;
        }
    }
}

static void mixture(void **state)
{
    (void)state;
    run_all_sizes(mixture_rank);
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
