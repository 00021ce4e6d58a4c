/* SPDX-License-Identifier: MIT */
#include "comm/comm_ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/comm_expected.h"

enum { FLOATS = 700 };

void ranks_expect(struct ranks_shared *s, bool condition)
{
    if (!condition) {
        s->wrong++;
    }
}

/* What rank `rank` brings in round `round`: every rank can work out everybody's. */
static bool contribution(const struct ranks_shared *s, int rank, int round, size_t n, float *out)
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

static void expected_of(const struct ranks_shared *s, int size, int round, const float *before, float *out)
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

void ranks_allreduce(struct tw_comm *comm, void *arg)
{
    struct ranks_shared *s = arg;
    float partial[FLOATS];
    float out[FLOATS];
    float expected[FLOATS];
    for (int round = 0; round < RANKS_ROUNDS; round++) {
        size_t n         = floats_of(round);
        bool contributes = contribution(s, comm->rank, round, n, partial);
        ranks_expect(s, tw_comm_allreduce_tree(comm, contributes ? partial : NULL, contributes, out, n,
                                               NULL) == TRAWL_OK);
        memset(partial, 0xFF, sizeof partial); /* the buffer is ours again */
        expected_of(s, comm->size, round, NULL, expected);
        ranks_expect(s, memcmp(out, expected, n * sizeof *out) == 0);
    }
}

/* The hot path: one meeting per sum, two buffers by turns, the older one spoilt as soon as it may be. */
void ranks_phases(struct tw_comm *comm, void *arg)
{
    struct ranks_shared *s = arg;
    float partial[2][FLOATS];
    float x[FLOATS];
    float expected[FLOATS];
    float before[FLOATS];
    memset(partial, 0, sizeof partial);
    for (int round = 0; round < RANKS_ROUNDS; round++) {
        size_t n         = floats_of(round);
        float *mine      = partial[round % 2];
        bool contributes = contribution(s, comm->rank, round, n, mine);
        (void)contribution(s, 1000, round, n, x);
        memcpy(before, x, sizeof before);
        ranks_expect(s, tw_comm_publish(comm, mine, contributes, n, NULL) == TRAWL_OK);
        ranks_expect(s, tw_comm_wait(comm, NULL) == TRAWL_OK);
        memset(partial[(round + 1) % 2], 0xFF, sizeof partial[0]);
        tw_comm_reduce_add(comm, x, 0, n / 3);
        tw_comm_reduce_add(comm, x, n / 3, n);
        expected_of(s, comm->size, round, before, expected);
        ranks_expect(s, memcmp(x, expected, n * sizeof *x) == 0);
    }
    ranks_expect(s, tw_comm_done(comm, NULL) == TRAWL_OK); /* the last partial lives on this thread's stack */
}

/* A device with a team: the leader meets, all threads reduce. */
struct device {
    struct tw_comm *comm;
    struct tw_team *team;
    struct ranks_shared *shared;
    float partial[2][FLOATS];
    float out[FLOATS];
};

static void device_thread(void *arg, int thread, int n_threads)
{
    struct device *d = arg;
    for (int round = 0; round < RANKS_ROUNDS; round++) {
        size_t n    = floats_of(round);
        float *mine = d->partial[round % 2];
        if (thread == 0) {
            bool contributes = contribution(d->shared, d->comm->rank, round, n, mine);
            ranks_expect(d->shared, tw_comm_publish(d->comm, mine, contributes, n, NULL) == TRAWL_OK);
            ranks_expect(d->shared, tw_comm_wait(d->comm, NULL) == TRAWL_OK);
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
            ranks_expect(d->shared, memcmp(d->out, expected, n * sizeof *expected) == 0);
        }
    }
}

void ranks_team(struct tw_comm *comm, void *arg)
{
    struct ranks_shared *s = arg;
    struct device *d       = calloc(1, sizeof *d);
    if (d == NULL || tw_team_new(&d->team, 2, tw_wait_policy_for(2 * comm->size), NULL, NULL) != TRAWL_OK) {
        tw_comm_abort(comm, NULL);
        ranks_expect(s, false);
        free(d);
        return;
    }
    d->comm   = comm;
    d->shared = s;
    tw_team_run(d->team, device_thread, d);
    ranks_expect(s, tw_comm_barrier(comm, NULL) == TRAWL_OK); /* nobody reads our buffers any more */
    tw_team_free(d->team);
    free(d);
}

/* ---- copies ---- */

void ranks_bcast(struct tw_comm *comm, void *arg)
{
    struct ranks_shared *s = arg;
    for (int round = 0; round < RANKS_ROUNDS; round++) {
        unsigned char data[99];
        size_t bytes = (size_t)round % sizeof data;
        int root     = round % comm->size;
        memset(data, comm->rank == root ? round : 0xEE, sizeof data);
        ranks_expect(s, tw_comm_bcast(comm, root, data, bytes, NULL) == TRAWL_OK);
        for (size_t i = 0; i < sizeof data; i++) {
            bool got = i < bytes || comm->rank == root;
            ranks_expect(s, data[i] == (got ? round : 0xEE));
        }
    }
}

/* Rank r brings r + 1 bytes of value r (or nothing at all), equal blocks three of them. */
void ranks_gather(struct tw_comm *comm, void *arg)
{
    struct ranks_shared *s = arg;
    for (int round = 0; round < RANKS_ROUNDS; round++) {
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
        ranks_expect(s, tw_comm_gather(comm, root, block, sizes_of[comm->rank], even ? NULL : sizes_of,
                                       receives ? out : NULL, NULL) == TRAWL_OK);
        memset(block, 0xFF, sizeof block);
        size_t at = 0;
        for (int r = 0; r < comm->size && receives; r++) {
            for (size_t i = 0; i < sizes_of[r]; i++) {
                ranks_expect(s, out[at++] == r);
            }
        }
        ranks_expect(s, out[at] == 0xEE && (at == all || !receives));
    }
}

/* ---- phases ---- */

/* All in one order that all ranks draw from the same seed: kinds follow each other in every combination. */
void ranks_mixture(struct tw_comm *comm, void *arg)
{
    struct ranks_shared *s = arg;
    struct tw_philox_stream random;
    tw_philox_stream_init(&random, s->seed, 12);
    for (int round = 0; round < 4 * RANKS_ROUNDS; round++) {
        uint32_t root = tw_philox_below(&random, (uint32_t)comm->size);
        float in      = (float)(comm->rank + 1);
        float out     = 0.0f;
        int word      = comm->rank == (int)root ? round : -1;
        int words[64];
        switch (tw_philox_below(&random, 5)) {
        case 0:
            ranks_expect(s, tw_comm_allreduce_tree(comm, &in, true, &out, 1, NULL) == TRAWL_OK);
            ranks_expect(s, 2.0f * out == (float)(comm->size * (comm->size + 1)));
            break;
        case 1:
            ranks_expect(s, tw_comm_bcast(comm, (int)root, &word, sizeof word, NULL) == TRAWL_OK &&
                                word == round);
            break;
        case 2:
            word = comm->rank + round;
            ranks_expect(s, tw_comm_gather(comm, TW_COMM_ALL, &word, sizeof word, NULL, words, NULL) ==
                                TRAWL_OK);
            ranks_expect(s, words[0] == round && words[comm->size - 1] == round + comm->size - 1);
            break;
        case 3: ranks_expect(s, tw_comm_barrier(comm, NULL) == TRAWL_OK); break;
        default: ranks_expect(s, tw_comm_agree(comm, TRAWL_OK, NULL) == TRAWL_OK); break;
        }
    }
}

/* In round r rank r % size fails, and the one after it too: the lower one is reported. */
void ranks_agree(struct tw_comm *comm, void *arg)
{
    struct ranks_shared *s = arg;
    for (int round = 0; round < RANKS_ROUNDS; round++) {
        int first = round % comm->size, second = (round + 1) % comm->size;
        int lower              = first < second ? first : second;
        bool fails             = comm->rank == first || comm->rank == second;
        struct trawl_error err = {.rank = -1};
        if (fails) {
            (void)tw_fail(&err, TRAWL_ERR_IO, "round %d, rank %d", round, comm->rank);
        }
        char expected[64];
        (void)snprintf(expected, sizeof expected, "round %d, rank %d", round, lower);
        ranks_expect(s, tw_comm_agree(comm, fails ? TRAWL_ERR_IO : TRAWL_OK, &err) == TRAWL_ERR_IO);
        ranks_expect(s, err.rank == tw_comm_world_rank(comm, lower) && strcmp(err.message, expected) == 0);
    }
}
