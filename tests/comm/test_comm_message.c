/* SPDX-License-Identifier: MIT */
/* Collectives by messages, between processes that are threads here (support/wire_hub.h): with messages that
 * are held back, that wait for their receive, and alone or with two ranks in each process. */
#include "support/test.h"

#include "comm/comm_ranks.h"
#include "comm/comm_wires.h"
#include "comm/hybrid/comm_hybrid.h"
#include "comm/message/comm_message.h"

enum { DEADLINE_MS = 60000 };

static const int sizes[]       = {1, 2, 3, 4, 5, 8};
static ranks_fn *const cases[] = {ranks_allreduce, ranks_phases, ranks_team,   ranks_bcast,
                                  ranks_gather,    ranks_agree,  ranks_mixture};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void all_cases(struct tw_comm *comm, struct ranks_shared *s)
{
    for (size_t i = 0; i < COUNT(cases); i++) {
        cases[i](comm, s);
    }
}

static void alone(struct wire_rank *me)
{
    all_cases(me->comm, me->arg);
}

/* Each round another way of carrying messages: at once, late, only to a receive that is there. */
static void one_rank_a_process(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (int way = 0; way < 3; way++) {
            struct hub hub;
            struct wire_rank ranks[HUB_RANKS_MAX];
            struct ranks_shared s = {.seed = 31 + i};
            hub_init(&hub, sizes[i], 7 + (uint64_t)way);
            hub.looks_most = way == 1 ? 20 : 0;
            hub.eager_most = way == 2 ? 0 : 4096;
            run_wires(&hub, DEADLINE_MS, alone, &s, ranks);
            if (s.wrong > 0 || hub.aborts > 0) {
                fail_msg("%d ranks, way %d: %d wrong, \"%s\"", sizes[i], way, s.wrong, ranks[0].err.message);
            }
            hub_release(&hub);
        }
    }
}

/* ---- two ranks a process ---- */

struct member {
    struct tw_comm *comm;
    struct ranks_shared *shared;
    pthread_t thread;
};

static void *member_main(void *arg)
{
    struct member *m = arg;
    all_cases(m->comm, m->shared);
    return NULL;
}

static void in_pairs(struct wire_rank *me)
{
    struct ranks_shared *s              = me->arg;
    struct tw_comm *outer               = NULL, *comms[2];
    struct member members[2]            = {{.shared = s}, {.shared = s}};
    struct tw_comm_hybrid_config config = {.policy = {0, 4}, .deadline_ms = DEADLINE_MS};
    if (tw_comm_message_new(me->wire, 0, 1, me->wire->size, &outer, &me->err) != TRAWL_OK ||
        tw_comm_hybrid_new(outer, 2, &config, comms, &me->err) != TRAWL_OK) {
        s->wrong++;
        return;
    }
    for (int i = 0; i < 2; i++) {
        members[i].comm = comms[i];
        ranks_expect(s, pthread_create(&members[i].thread, NULL, member_main, &members[i]) == 0);
    }
    for (int i = 0; i < 2; i++) {
        (void)pthread_join(members[i].thread, NULL);
        tw_comm_free(comms[i]);
    }
}

static void two_ranks_a_process(void **state)
{
    (void)state;
    for (int size = 2; size <= 4; size++) {
        struct hub hub;
        struct wire_rank ranks[HUB_RANKS_MAX];
        struct ranks_shared s = {.seed = 77 + (uint64_t)size};
        hub_init(&hub, size, 3);
        hub.looks_most = size == 3 ? 20 : 0;
        run_wires(&hub, DEADLINE_MS, in_pairs, &s, ranks);
        if (s.wrong > 0 || hub.aborts > 0) {
            fail_msg("%d processes of 2: %d wrong, \"%s\"", size, s.wrong, ranks[0].err.message);
        }
        hub_release(&hub);
    }
}

/* ---- groups of some of them ---- */

/* Rows {0, 1}, {2, 3} and columns {0, 2}, {1, 3} at once: their messages never meet. */
static void rows_and_columns(struct wire_rank *me)
{
    struct tw_comm *row = NULL, *column = NULL;
    float one  = (float)(1 << me->rank), sums[2];
    me->status = tw_comm_message_new(me->wire, me->rank / 2 * 2, 1, 2, &row, &me->err);
    if (me->status == TRAWL_OK) {
        me->status = tw_comm_message_new(me->wire, me->rank % 2, 2, 2, &column, &me->err);
    }
    for (int i = 0; me->status == TRAWL_OK && i < 200; i++) {
        me->status = tw_comm_publish(row, &one, true, 1, &me->err);
        if (me->status == TRAWL_OK) { /* while the row's sum is under way */
            me->status = tw_comm_allreduce_tree(column, &one, true, &sums[1], 1, &me->err);
        }
        if (me->status == TRAWL_OK) {
            me->status = tw_comm_wait(row, &me->err);
        }
        if (me->status == TRAWL_OK) {
            tw_comm_reduce(row, &sums[0], 0, 1);
            me->again +=
                sums[0] != (float)(me->rank < 2 ? 3 : 12) || sums[1] != (float)(me->rank % 2 == 0 ? 5 : 10);
        }
    }
    tw_comm_free(row);
    tw_comm_free(column);
}

static void groups_do_not_meet(void **state)
{
    (void)state;
    struct hub hub;
    struct wire_rank ranks[4];
    hub_init(&hub, 4, 5);
    hub.looks_most = 10;
    run_wires(&hub, DEADLINE_MS, rows_and_columns, NULL, ranks);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(ranks[i].status, TRAWL_OK);
        assert_int_equal(ranks[i].again, 0);
    }
    hub_release(&hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_rank_a_process),
        cmocka_unit_test(two_ranks_a_process),
        cmocka_unit_test(groups_do_not_meet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
