/* SPDX-License-Identifier: MIT */
/* Processes that do not come, come late, give up, or send something else than was agreed: everybody ends, soon,
 * and names the one at fault. */
#include "base/clock.h"
#include "comm/comm_stopped.h"
#include "comm/comm_wires.h"
#include "comm/hybrid/comm_hybrid.h"
#include "comm/message/comm_message.h"

/* A sixteenth of the deadline is what tells the ranks beside the silent one from those behind: more than a busy
 * machine lets a thread wait. */
#ifdef __SANITIZE_THREAD__
enum { DEADLINE_MS = 4000 };
#else
enum { DEADLINE_MS = 1600 };
#endif
enum { RANKS = 5, LATE = 3 };

/* ---- a rank that does not come ---- */

enum call { SUM, BCAST, GATHER, GATHER_ALL, BARRIER, AGREE, CALLS };

static trawl_status do_call(struct tw_comm *comm, enum call call, struct trawl_error *err)
{
    float in[8] = {1}, out[8 * 16] = {0};
    switch (call) {
    case SUM: return tw_comm_allreduce_tree(comm, in, true, out, 8, err);
    case BCAST: return tw_comm_bcast(comm, LATE % comm->size, in, sizeof in, err);
    case GATHER: return tw_comm_gather(comm, 0, in, sizeof in, NULL, out, err);
    case GATHER_ALL: return tw_comm_gather(comm, TW_COMM_ALL, in, sizeof in, NULL, out, err);
    case BARRIER: return tw_comm_barrier(comm, err);
    case AGREE: return tw_comm_agree(comm, TRAWL_OK, err);
    case CALLS: break;
    }
    return TRAWL_ERR_INVALID;
}

static const char *const names[] = {"all-reduce", "broadcast", "gather", "gather", "barrier", "agreement"};

/* All meet once, so that they come to the call together; then one leaves. */
static void without_one(struct wire_rank *me)
{
    enum call call = *(const enum call *)me->arg;
    me->status     = tw_comm_barrier(me->comm, &me->err);
    if (me->rank == LATE || me->status != TRAWL_OK) {
        return;
    }
    uint64_t start = tw_clock_ns();
    me->status     = do_call(me->comm, call, &me->err);
    me->ns         = tw_clock_ns() - start;
    if (me->status != TRAWL_OK) {
        me->again = tw_comm_barrier(me->comm, NULL);
    }
}

static void who_does_not_come_is_named(void **state)
{
    (void)state;
    for (enum call call = SUM; call < CALLS; call++) {
        struct hub hub;
        struct wire_rank ranks[RANKS];
        char words[64];
        (void)snprintf(words, sizeof words, "for rank %d in %s", LATE, names[call]);
        hub_init(&hub, RANKS, 1);
        run_wires(&hub, DEADLINE_MS, without_one, &call, ranks);
        for (int i = 0; i < RANKS; i++) {
            if (i == LATE || (call == GATHER && i != 0)) { /* who brings something to a root is done */
                continue;
            }
            assert_int_equal(ranks[i].status, TRAWL_ERR_COMM);
            assert_int_equal(ranks[i].again, TRAWL_ERR_COMM);
            assert_in_range(ranks[i].ns, 0, 10000000000u);
            if (strstr(ranks[i].err.message, words) == NULL || ranks[i].err.rank != LATE) {
                fail_msg("%s: rank %d says \"%s\", expected \"%s\"", names[call], i, ranks[i].err.message,
                         words);
            }
        }
        assert_int_equal(hub.aborts, call == GATHER ? 1 : RANKS - 1);
        hub_release(&hub);
    }
}

/* With two ranks a process: the ranks inside are patient until their first one has named the process. */
static void *inner_main(void *arg)
{
    struct wire_rank *inner = arg;
    float in = 1, out = 0;
    inner->status = tw_comm_allreduce_tree(inner->comm, &in, true, &out, 1, &inner->err);
    return NULL;
}

static void pairs_without_one(struct wire_rank *me)
{
    struct tw_comm *outer               = NULL, *comms[2];
    struct wire_rank inner[2]           = {{0}};
    struct tw_comm_hybrid_config config = {.deadline_ms = DEADLINE_MS};
    me->status                          = tw_comm_message_new(me->wire, 0, 1, 3, &outer, &me->err);
    if (me->status == TRAWL_OK) {
        me->status = tw_comm_hybrid_new(outer, 2, &config, comms, &me->err);
    }
    if (me->status != TRAWL_OK) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        inner[i].comm = comms[i];
        if (me->rank != 1 && pthread_create(&inner[i].thread, NULL, inner_main, &inner[i]) != 0) {
            abort();
        }
    }
    for (int i = 0; i < 2 && me->rank != 1; i++) {
        (void)pthread_join(inner[i].thread, NULL);
    }
    me->status = inner[1].status == inner[0].status ? inner[1].status : TRAWL_OK;
    me->err    = inner[1].err;
    tw_comm_free(comms[0]);
    tw_comm_free(comms[1]);
}

static void a_process_of_two_that_does_not_come(void **state)
{
    (void)state;
    struct hub hub;
    struct wire_rank ranks[3];
    hub_init(&hub, 3, 1);
    run_wires(&hub, DEADLINE_MS, pairs_without_one, NULL, ranks);
    for (int i = 0; i < 3; i += 2) {
        assert_int_equal(ranks[i].status, TRAWL_ERR_COMM);
        if (strstr(ranks[i].err.message, "for rank 1 in all-reduce") == NULL) {
            fail_msg("process %d says \"%s\"", i, ranks[i].err.message);
        }
    }
    hub_release(&hub);
}

/* A process that was stopped for longer than the deadline, and goes on, has not waited: nobody is late. */
static void slowly(struct wire_rank *me)
{
    for (int i = 0; i < 14 && me->rank == 1; i++) {
        sleep_ms(50);
    }
    me->status = tw_comm_barrier(me->comm, &me->err);
}

static int stopped_child(void)
{
    struct hub hub;
    struct wire_rank ranks[2];
    hub_init(&hub, 2, 1);
    run_wires(&hub, 2500, slowly, NULL, ranks);
    (void)fprintf(stderr, "%s", ranks[0].err.message);
    hub_release(&hub);
    return ranks[0].status == TRAWL_OK && ranks[1].status == TRAWL_OK ? 0 : 1;
}

static void time_stopped_is_not_waited(void **state)
{
    (void)state;
    assert_survives_a_stop(stopped_child);
}

/* ---- a rank that gives up ---- */

struct giving_up {
    int round;
    enum call call;
};

/* Rank round % RANKS fails after a few calls of all kinds, while the others are in one of them. */
static void one_gives_up(struct wire_rank *me)
{
    const struct giving_up *g = me->arg;
    uint64_t start            = tw_clock_ns();
    for (int i = 0; me->status == TRAWL_OK && i < g->round % 4; i++) {
        me->status = do_call(me->comm, (enum call)(i % CALLS), &me->err);
    }
    if (me->rank == g->round % RANKS) {
        struct trawl_error cause = {.rank = -1};
        (void)tw_fail(&cause, TRAWL_ERR_NOMEM, "no room for keys");
        sleep_ms(g->round % 3);
        tw_comm_abort(me->comm, &cause);
        tw_comm_abort(me->comm, NULL); /* the first counts */
    }
    while (me->status == TRAWL_OK) {
        me->status = do_call(me->comm, g->call, &me->err);
    }
    me->ns = tw_clock_ns() - start;
}

static void who_gives_up_is_heard_in_every_call(void **state)
{
    (void)state;
    for (int round = 0; round < 60; round++) {
        struct hub hub;
        struct wire_rank ranks[RANKS];
        struct giving_up g = {.round = round, .call = (enum call)(round % CALLS)};
        char expected[64];
        (void)snprintf(expected, sizeof expected, "rank %d failed: no room for keys", round % RANKS);
        hub_init(&hub, RANKS, (uint64_t)round);
        hub.looks_most = round % 2 == 0 ? 5 : 0;
        run_wires(&hub, 60000, one_gives_up, &g, ranks);
        for (int i = 0; i < RANKS; i++) {
            assert_int_equal(ranks[i].status, TRAWL_ERR_COMM);
            assert_string_equal(ranks[i].err.message, expected);
            assert_int_equal(ranks[i].err.rank, round % RANKS);
            assert_in_range(ranks[i].ns, 0, 20000000000u); /* not the deadline of a minute */
        }
        hub_release(&hub);
    }
}

/* ---- a broken transport ---- */

static void meet(struct wire_rank *me)
{
    me->status = do_call(me->comm, SUM, &me->err);
}

/* What a transport says of a lost connection is passed on, with both ends. */
static void a_lost_connection_is_named(void **state)
{
    (void)state;
    struct hub hub;
    struct wire_rank ranks[2];
    hub_init(&hub, 2, 1);
    hub.gone = 1;
    run_wires(&hub, DEADLINE_MS, meet, NULL, ranks);
    assert_int_equal(ranks[0].status, TRAWL_ERR_COMM);
    assert_string_equal(ranks[0].err.message, "rank 0 could not send to rank 1: it is gone");
    assert_int_equal(ranks[0].err.rank, 1);
    assert_int_equal(ranks[1].status, TRAWL_ERR_COMM); /* told by nobody: by its own deadline */
    hub_release(&hub);
}

/* ---- messages of another kind or length ---- */

static void all_calls(struct wire_rank *me)
{
    me->status = do_call(me->comm, *(const enum call *)me->arg, &me->err);
    while (me->status == TRAWL_OK) { /* not all receive from the one whose messages are cut */
        me->status = tw_comm_agree(me->comm, TRAWL_OK, &me->err);
    }
}

static void cut_messages_are_refused(void **state)
{
    (void)state;
    for (enum call call = SUM; call < CALLS; call++) {
        struct hub hub;
        struct wire_rank ranks[RANKS];
        hub_init(&hub, RANKS, 1);
        hub.cut_from  = LATE;
        hub.cut_bytes = 5;
        run_wires(&hub, 60000, all_calls, &call, ranks);
        for (int i = 0; i < RANKS; i++) {
            assert_int_equal(ranks[i].status, TRAWL_ERR_COMM);
            if (strstr(ranks[i].err.message, "rank 3 brings 5 bytes to ") == NULL) {
                fail_msg("%s: rank %d says \"%s\"", names[call], i, ranks[i].err.message);
            }
        }
        hub_release(&hub);
    }
}

struct confusion {
    enum call call, other; /* of rank 1 */
    size_t n, n_other;     /* floats, of sums */
};

static void two_calls(struct wire_rank *me)
{
    const struct confusion *c = me->arg;
    enum call call            = me->rank == 1 ? c->other : c->call;
    size_t n                  = me->rank == 1 ? c->n_other : c->n;
    float in[64]              = {0}, out[64];
    me->status                = call == SUM ? tw_comm_allreduce_tree(me->comm, in, true, out, n, &me->err)
                                            : do_call(me->comm, call, &me->err);
    if (me->status == TRAWL_OK) {
        me->status = tw_comm_barrier(me->comm, &me->err);
    }
}

static void different_calls_are_reported(void **state)
{
    (void)state;
    /* Whoever looks first tells the story: one sees the other's call, or that its message does not fit. */
    static const struct {
        struct confusion c;
        const char *words, *or_words;
    } cases[] = {
        {{SUM, BARRIER, 8, 8},
         "rank 0 is in all-reduce while rank 1 is in barrier",
         "rank 1 could not receive from rank 0: a message is too long"},
        {{AGREE, SUM, 8, 8},
         "rank 0 is in agreement while rank 1 is in all-reduce",
         "rank 1 could not receive from rank 0: a message is too long"},
        {{SUM, SUM, 8, 7},
         "rank 1 brings 28 bytes to all-reduce, rank 0 expects 32",
         "rank 1 could not receive from rank 0: a message is too long"},
        {{SUM, SUM, 7, 8},
         "rank 0 could not receive from rank 1: a message is too long",
         "rank 0 brings 28 bytes to all-reduce, rank 1 expects 32"},
        {{BCAST, GATHER, 8, 8},
         "rank 0 is in broadcast while rank 1 is in gather",
         "rank 1 is in gather while rank 0 is in broadcast"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hub hub;
        struct wire_rank ranks[2];
        bool said = false;
        hub_init(&hub, 2, 1);
        run_wires(&hub, 3000, two_calls, (void *)&cases[i].c, ranks);
        for (int r = 0; r < 2; r++) {
            assert_int_equal(ranks[r].status, TRAWL_ERR_COMM);
            said = said || strcmp(ranks[r].err.message, cases[i].words) == 0 ||
                   strcmp(ranks[r].err.message, cases[i].or_words) == 0;
        }
        if (!said) {
            fail_msg("\"%s\" and \"%s\", expected \"%s\"", ranks[0].err.message, ranks[1].err.message,
                     cases[i].words);
        }
        hub_release(&hub);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_stopped_is_not_waited), /* first: it forks, and no thread may be there yet */
        cmocka_unit_test(who_does_not_come_is_named),
        cmocka_unit_test(a_process_of_two_that_does_not_come),
        cmocka_unit_test(who_gives_up_is_heard_in_every_call),
        cmocka_unit_test(a_lost_connection_is_named),
        cmocka_unit_test(cut_messages_are_refused),
        cmocka_unit_test(different_calls_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
