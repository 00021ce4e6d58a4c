/* SPDX-License-Identifier: MIT */
/* Collectives between processes, alone and with two ranks in each: run under mpirun by check_comm_mpirun.sh.
 * With the argument "die" rank 1 kills itself, with "stop" it stops answering, with "fail" it gives up. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "comm/comm_ranks.h"
#include "comm/hybrid/comm_hybrid.h"
#include "comm/message/comm_message.h"
#include "comm/mpi/comm_mpi.h"

static const struct {
    const char *name;
    ranks_fn *fn;
} cases[] = {{"allreduce", ranks_allreduce}, {"phases", ranks_phases}, {"team", ranks_team},
             {"bcast", ranks_bcast},         {"gather", ranks_gather}, {"agree", ranks_agree},
             {"mixture", ranks_mixture}};
enum { CASES = sizeof cases / sizeof cases[0] };

static int fail(const struct tw_wire *wire, const struct trawl_error *err)
{
    (void)fprintf(stderr, "rank %d: %s\n", wire->rank, err->message);
    return 1;
}

static void *all_cases(struct tw_comm *comm, struct ranks_shared *s)
{
    for (int i = 0; i < CASES; i++) {
        int before = s->wrong;
        cases[i].fn(comm, s);
        if (s->wrong != before) {
            (void)fprintf(stderr, "%s rank %d of %d: %s: %d wrong\n", comm->ops->name, comm->rank, comm->size,
                          cases[i].name, s->wrong - before);
        }
    }
    return NULL;
}

struct member {
    struct tw_comm *comm;
    struct ranks_shared *shared;
    pthread_t thread;
};

static void *member_main(void *arg)
{
    struct member *m = arg;
    return all_cases(m->comm, m->shared);
}

static int run_hybrid(struct tw_wire *wire, struct ranks_shared *s)
{
    struct tw_comm *outer               = NULL, *comms[2];
    struct trawl_error err              = {0};
    struct member members[2]            = {{NULL, s, 0}, {NULL, s, 0}};
    struct tw_comm_hybrid_config config = {.policy = tw_wait_policy_for(2 * wire->size)};
    if (tw_comm_message_new(wire, 0, 1, wire->size, &outer, &err) != TRAWL_OK ||
        tw_comm_hybrid_new(outer, 2, &config, comms, &err) != TRAWL_OK) {
        return fail(wire, &err);
    }
    for (int i = 0; i < 2; i++) {
        members[i].comm = comms[i];
        if (pthread_create(&members[i].thread, NULL, member_main, &members[i]) != 0) {
            return 1;
        }
    }
    for (int i = 0; i < 2; i++) {
        (void)pthread_join(members[i].thread, NULL);
        tw_comm_free(comms[i]);
    }
    return 0;
}

/* Rank 1 does not come to a sum; the others are to say so. */
static int run_missing(struct tw_wire *wire, struct tw_comm *comm, const char *how)
{
    struct trawl_error err = {0};
    float one = 1, sum = 0;
    wire->deadline_ms = 1500;
    if (wire->rank == 1 && strcmp(how, "die") == 0) {
        (void)raise(SIGKILL);
    } else if (wire->rank == 1 && strcmp(how, "stop") == 0) {
        (void)raise(SIGSTOP);
    } else if (wire->rank == 1) {
        (void)tw_fail(&err, TRAWL_ERR_NOMEM, "no room for a test");
        tw_comm_abort(comm, &err);
    } else if (tw_comm_allreduce_tree(comm, &one, true, &sum, 1, &err) == TRAWL_OK) {
        (void)fprintf(stderr, "rank %d: a sum without rank 1\n", wire->rank);
        return 3;
    }
    return fail(wire, &err);
}

int main(int argc, char **argv)
{
    const struct tw_wire_ops *ops = NULL;
    struct tw_wire *wire          = NULL;
    struct tw_comm *comm          = NULL;
    struct ranks_shared shared    = {.seed = 4};
    struct trawl_error err        = {0};
    if (!tw_comm_mpi_launched()) {
        (void)puts("skipped: not started by mpirun; check_comm_mpirun.sh does");
        return 77;
    }
    if (tw_comm_mpi_load(&ops, &err) != TRAWL_OK || tw_wire_open(&wire, ops, &err) != TRAWL_OK) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    if (tw_comm_message_new(wire, 0, 1, wire->size, &comm, &err) != TRAWL_OK) {
        return fail(wire, &err);
    }
    int code = 0;
    if (argc > 1) {
        code = run_missing(wire, comm, argv[1]);
    } else {
        (void)all_cases(comm, &shared);
        code = run_hybrid(wire, &shared);
        code = shared.wrong > 0 ? 1 : code;
        if (code == 0 && wire->rank == 0) {
            (void)printf("%d ranks agree\n", wire->size);
        }
    }
    tw_comm_free(comm);
    tw_wire_close(wire, 200);
    return code;
}
