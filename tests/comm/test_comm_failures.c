/* SPDX-License-Identifier: MIT */
/* Ranks that are late, that give up, that disagree, that are in another call. */
#include <stdatomic.h>

#include "base/clock.h"
#include "base/error.h"
#include "comm_expected.h"
#include "comm_stopped.h"

enum { RANKS = 4 };

struct outcome {
    trawl_status status, again;
    struct trawl_error err;
    uint64_t ns;
};

struct outcomes {
    struct outcome of[RANKS];
    int round;
};

static struct tw_comm_thread_config config_of(int deadline_ms)
{
    return (struct tw_comm_thread_config){.policy = tw_wait_policy_for(RANKS), .deadline_ms = deadline_ms};
}

/* ---- deadline ---- */

static void late_rank(struct tw_comm *comm, void *arg)
{
    struct outcome *o = &((struct outcomes *)arg)->of[comm->rank];
    if (comm->rank == 2) {
        sleep_ms(400); /* comes when the others have long given up */
    }
    uint64_t start = tw_clock_ns();
    float one      = 1.0f;
    float out      = 0.0f;
    o->status      = tw_comm_allreduce_tree(comm, &one, true, &out, 1, &o->err);
    o->ns          = tw_clock_ns() - start;
    o->again       = tw_comm_barrier(comm, NULL);
}

static void a_late_rank_is_named(void **state)
{
    (void)state;
    struct outcomes all                 = {0};
    struct tw_comm_thread_config config = config_of(60);
    config.world_base                   = 1; /* member i is rank 1 + 2i of the run */
    config.world_stride                 = 2;
    run_ranks(RANKS, &config, late_rank, &all);
    for (int r = 0; r < RANKS; r++) {
        assert_int_equal(all.of[r].status, TRAWL_ERR_COMM);
        assert_int_equal(all.of[r].again, TRAWL_ERR_COMM);
        assert_int_equal(all.of[r].err.rank, 5);
        assert_string_equal(all.of[r].err.message, all.of[0].err.message);
        assert_non_null(strstr(all.of[r].err.message, " waited 60 ms for rank 5 in all-reduce"));
    }
    assert_in_range(all.of[0].ns, 50000000u, 350000000u);
    assert_in_range(all.of[2].ns, 0, 200000000u); /* the late one need not wait again */
}

/* ---- abort ---- */

static void aborting_rank(struct tw_comm *comm, void *arg)
{
    struct outcomes *all = arg;
    struct outcome *o    = &all->of[comm->rank];
    for (int i = 0; i < all->round % 5; i++) { /* a few meetings that go well */
        o->status = tw_comm_barrier(comm, NULL);
    }
    if (comm->rank == 2) {
        struct trawl_error cause;
        (void)tw_fail(&cause, TRAWL_ERR_IO, "weights.bin: short read");
        if (all->round % 3 == 0) {
            sleep_ms(2); /* the others are asleep by now */
        }
        tw_comm_abort(comm, &cause);
        tw_comm_abort(comm, NULL); /* the first counts */
    }
    uint64_t start = tw_clock_ns();
    float one      = 1.0f;
    float out      = 0.0f;
    o->status      = tw_comm_allreduce_tree(comm, &one, true, &out, 1, &o->err);
    o->ns          = tw_clock_ns() - start;
    o->again       = tw_comm_agree(comm, TRAWL_OK, NULL);
}

static void an_abort_reaches_all(void **state)
{
    (void)state;
    for (int round = 0; round < 150; round++) {
        struct outcomes all                 = {.round = round};
        struct tw_comm_thread_config config = config_of(60000);
        if (round % 2 == 0) {
            config.policy = (struct tw_wait_policy){0, 0};
        }
        run_ranks(RANKS, &config, aborting_rank, &all);
        for (int r = 0; r < RANKS; r++) {
            assert_int_equal(all.of[r].status, TRAWL_ERR_COMM);
            assert_int_equal(all.of[r].again, TRAWL_ERR_COMM);
            assert_int_equal(all.of[r].err.rank, 2);
            assert_string_equal(all.of[r].err.message, "rank 2 failed: weights.bin: short read");
            assert_in_range(all.of[r].ns, 0, 5000000000u); /* not the deadline of a minute */
        }
    }
}

/* Two ranks break the group at once: everybody tells the same story. */
static void racing_rank(struct tw_comm *comm, void *arg)
{
    struct outcome *o = &((struct outcomes *)arg)->of[comm->rank];
    if (comm->rank != 0) {
        struct trawl_error cause;
        (void)tw_fail(&cause, TRAWL_ERR_IO, "reason %d", comm->rank);
        tw_comm_abort(comm, &cause);
    }
    o->status = tw_comm_barrier(comm, &o->err);
}

static void the_first_abort_counts(void **state)
{
    (void)state;
    for (int round = 0; round < 100; round++) {
        struct outcomes all                 = {0};
        struct tw_comm_thread_config config = config_of(60000);
        run_ranks(RANKS, &config, racing_rank, &all);
        char expected[64];
        int first = all.of[0].err.rank;
        assert_in_range(first, 1, RANKS - 1);
        (void)snprintf(expected, sizeof expected, "rank %d failed: reason %d", first, first);
        for (int r = 0; r < RANKS; r++) {
            assert_int_equal(all.of[r].status, TRAWL_ERR_COMM);
            assert_string_equal(all.of[r].err.message, expected);
        }
    }
}

/* ---- a process that is stopped ---- */

static void slow_rank(struct tw_comm *comm, void *arg)
{
    struct outcome *o = &((struct outcomes *)arg)->of[comm->rank];
    for (int i = 0; i < 14 && comm->rank == 2; i++) {
        sleep_ms(50);
    }
    o->status = tw_comm_barrier(comm, &o->err);
}

static int stopped_child(void)
{
    struct outcomes all                 = {0};
    struct tw_comm_thread_config config = config_of(2500);
    run_ranks(RANKS, &config, slow_rank, &all);
    return all.of[0].status == TRAWL_OK ? 0 : 1;
}

/* Ctrl-Z for longer than the deadline, then fg: nobody was late. */
static void time_stopped_is_not_waited(void **state)
{
    (void)state;
    assert_survives_a_stop(stopped_child);
}

/* ---- agreement ---- */

static void agreeing_rank(struct tw_comm *comm, void *arg)
{
    struct outcome *o = &((struct outcomes *)arg)->of[comm->rank];
    bool fail         = comm->rank == 1 || comm->rank == 3;
    trawl_status mine = TRAWL_OK;
    if (fail) {
        mine = tw_fail(&o->err, comm->rank == 1 ? TRAWL_ERR_FORMAT : TRAWL_ERR_NOMEM, "shard %d is bad",
                       comm->rank);
    }
    o->status = tw_comm_agree(comm, mine, &o->err);
    o->again  = tw_comm_agree(comm, TRAWL_OK, NULL); /* the group lives on */
}

static void all_get_the_lowest_failure(void **state)
{
    (void)state;
    struct outcomes all                 = {0};
    struct tw_comm_thread_config config = config_of(60000);
    config.world_base                   = 4;
    run_ranks(RANKS, &config, agreeing_rank, &all);
    for (int r = 0; r < RANKS; r++) {
        assert_int_equal(all.of[r].status, TRAWL_ERR_FORMAT);
        assert_int_equal(all.of[r].err.status, TRAWL_ERR_FORMAT);
        assert_int_equal(all.of[r].err.rank, 5);
        assert_string_equal(all.of[r].err.message, "shard 1 is bad");
        assert_int_equal(all.of[r].again, TRAWL_OK);
    }
}

static void silent_rank(struct tw_comm *comm, void *arg)
{
    struct outcome *o = &((struct outcomes *)arg)->of[comm->rank];
    if (comm->rank == 3) {
        o->status = tw_comm_agree(comm, TRAWL_ERR_LIMIT, NULL);
    } else {
        o->status = tw_comm_agree(comm, TRAWL_OK, &o->err);
    }
}

static void a_failure_without_a_reason(void **state)
{
    (void)state;
    struct outcomes all                 = {0};
    struct tw_comm_thread_config config = config_of(60000);
    run_ranks(RANKS, &config, silent_rank, &all);
    for (int r = 0; r < RANKS; r++) {
        assert_int_equal(all.of[r].status, TRAWL_ERR_LIMIT);
    }
    assert_int_equal(all.of[0].err.rank, 3);
    assert_string_equal(all.of[0].err.message, "a rank failed and gave no reason (limit)");
}

/* ---- ranks in different calls ---- */

static void confused_rank(struct tw_comm *comm, void *arg)
{
    struct outcomes *all = arg;
    struct outcome *o    = &all->of[comm->rank];
    bool odd             = comm->rank == 1;
    float a[8]           = {0};
    float b[8]           = {0};
    switch (all->round) {
    case 0:
        o->status =
            odd ? tw_comm_barrier(comm, &o->err) : tw_comm_allreduce_tree(comm, a, true, b, 8, &o->err);
        break;
    case 1: o->status = tw_comm_allreduce_tree(comm, a, true, b, odd ? 7 : 8, &o->err); break;
    case 2: o->status = tw_comm_bcast(comm, odd ? 1 : 0, a, 8, &o->err); break;
    case 3: o->status = tw_comm_gather(comm, TW_COMM_ALL, a, odd ? 4 : 8, NULL, b, &o->err); break;
    default: o->status = tw_comm_gather(comm, odd ? 1 : 0, a, 2, NULL, b, &o->err); break;
    }
    o->again = tw_comm_barrier(comm, NULL);
}

static void different_calls_are_reported(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        struct outcomes all                 = {.round = round};
        struct tw_comm_thread_config config = config_of(60000);
        run_ranks(2, &config, confused_rank, &all);
        for (int r = 0; r < 2; r++) {
            assert_int_equal(all.of[r].status, TRAWL_ERR_COMM);
            assert_int_equal(all.of[r].again, TRAWL_ERR_COMM);
            assert_non_null(strstr(all.of[r].err.message, "rank 0"));
            assert_non_null(strstr(all.of[r].err.message, "rank 1"));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_stopped_is_not_waited), /* first: it forks, and no thread may be there yet */
        cmocka_unit_test(a_late_rank_is_named),       cmocka_unit_test(an_abort_reaches_all),
        cmocka_unit_test(the_first_abort_counts),     cmocka_unit_test(all_get_the_lowest_failure),
        cmocka_unit_test(a_failure_without_a_reason), cmocka_unit_test(different_calls_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
