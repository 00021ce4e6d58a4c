/* SPDX-License-Identifier: MIT */
/* The tree sum, level by level from the leaves up: the other way round than the code under test. And the
 * threads that play ranks. */
#ifndef TW_TESTS_COMM_EXPECTED_H
#define TW_TESTS_COMM_EXPECTED_H

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/philox.h"
#include "comm/thread/comm_thread.h"

/* `values[r]`, taken where present[r]; ranks < size <= 64. *any: did anyone contribute? */
static inline float expected_sum(const float *values, const bool *present, int size, bool *any)
{
    float level[64] = {0};
    bool there[64]  = {false};
    for (int i = 0; i < size; i++) {
        level[i] = values[i];
        there[i] = present[i];
    }
    for (int width = 64; width > 1; width /= 2) {
        for (int i = 0; i < width / 2; i++) {
            volatile float sum = level[2 * i] + level[2 * i + 1]; /* one rounded f32 add */
            if (there[2 * i] && there[2 * i + 1]) {
                level[i] = sum;
            } else {
                level[i] = there[2 * i] ? level[2 * i] : level[2 * i + 1];
            }
            there[i] = there[2 * i] || there[2 * i + 1];
        }
    }
    *any = there[0];
    return level[0];
}

/* Values over many binades, some of them -0: an order of adds that is not the tree's shows. */
static inline float random_value(struct tw_philox_stream *random)
{
    uint32_t word = tw_philox_next(random);
    if (word % 13 == 0) {
        return -0.0f;
    }
    float v = (float)(int32_t)tw_philox_next(random) / 65536.0f;
    return word & 1 ? v : v / (float)(1u << (word >> 8 & 15));
}

struct rank_thread {
    struct tw_comm *comm;
    void *arg;
    void (*fn)(struct tw_comm *comm, void *arg);
    pthread_t thread;
};

static inline void *rank_main(void *p)
{
    struct rank_thread *r = p;
    r->fn(r->comm, r->arg);
    return NULL;
}

/* Run fn as every rank of a new group, on threads of its own; the handles are freed when all are done. */
static inline void run_ranks(int size, const struct tw_comm_thread_config *config,
                             void (*fn)(struct tw_comm *comm, void *arg), void *arg)
{
    struct tw_comm *comms[64];
    struct rank_thread ranks[64];
    assert(size <= 64);
    trawl_status status = tw_comm_thread_new(size, config, comms, NULL);
    assert(status == TRAWL_OK);
    (void)status;
    for (int i = 0; i < size; i++) {
        ranks[i]   = (struct rank_thread){.comm = comms[i], .arg = arg, .fn = fn};
        int failed = pthread_create(&ranks[i].thread, NULL, rank_main, &ranks[i]);
        assert(failed == 0);
        (void)failed;
    }
    for (int i = 0; i < size; i++) {
        (void)pthread_join(ranks[i].thread, NULL);
    }
    for (int i = 0; i < size; i++) {
        tw_comm_free(comms[i]);
    }
}

#endif /* TW_TESTS_COMM_EXPECTED_H */
