/* SPDX-License-Identifier: MIT */
#include "engine/engine_world.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/thread.h"
#include "comm/message/comm_message.h"
#include "comm/mpi/comm_mpi.h"

/* Time for the other processes to say what they have to say and put their files away. */
enum { GRACE_MS = 1000, DEADLINE_MOST_S = 1000000 };

bool tw_world_launched(void)
{
    return tw_comm_mpi_launched();
}

trawl_status tw_world_transport(char *text, size_t size, struct trawl_error *err)
{
    const struct tw_wire_ops *ops = NULL;
    TW_TRY(tw_comm_mpi_load(&ops, err));
    ops->version(text, size);
    return TRAWL_OK;
}

/* Where a process runs: two with the same place share their cores. */
struct place {
    uint64_t host, cores;
};

static struct place own_place(void)
{
    char name[256] = "";
    cpu_set_t mask;
    struct place p = {0};
    (void)gethostname(name, sizeof name - 1);
    CPU_ZERO(&mask);
    (void)sched_getaffinity(0, sizeof mask, &mask);
    p.host  = tw_hash64(name, strlen(name));
    p.cores = tw_hash64(&mask, sizeof mask);
    return p;
}

static trawl_status count_cores(struct tw_world *w, struct trawl_error *err)
{
    struct place own = own_place(), *places = NULL;
    int sharers = 0;
    TW_TRY(tw_alloc((size_t)w->all->size, sizeof *places, &places, err));
    trawl_status status = tw_comm_gather(w->all, TW_COMM_ALL, &own, sizeof own, NULL, places, err);
    for (int i = 0; i < w->all->size; i++) {
        sharers += places[i].host == own.host && places[i].cores == own.cores;
    }
    tw_free(places);
    w->cores = status == TRAWL_OK && sharers > 0 ? tw_cores_available() / sharers : 1;
    if (w->cores < 1) { /* more processes than cores: a waiter that spins takes the core that is waited for */
        w->cores       = 1;
        w->wire->spins = 0;
    }
    return status;
}

static trawl_status read_deadline(struct tw_wire *wire, struct trawl_error *err)
{
    const char *text = getenv("TRAWL_MPI_DEADLINE");
    char *end        = NULL;
    if (text == NULL) {
        return TRAWL_OK;
    }
    long seconds = strtol(text, &end, 10);
    if (end == text || *end != '\0' || seconds < 1 || seconds > DEADLINE_MOST_S) {
        return tw_fail(err, TRAWL_ERR_INVALID, "TRAWL_MPI_DEADLINE is \"%.40s\", expected 1 to %d seconds",
                       text, DEADLINE_MOST_S);
    }
    wire->deadline_ms = (int)seconds * 1000;
    return TRAWL_OK;
}

trawl_status tw_world_open(struct tw_world **out, struct trawl_error *err)
{
    struct tw_wire *wire = NULL;
    *out                 = NULL;
    TW_TRY(tw_comm_mpi_open(&wire, err));
    return tw_world_new(out, wire, err);
}

trawl_status tw_world_new(struct tw_world **out, struct tw_wire *wire, struct trawl_error *err)
{
    struct tw_world *w  = NULL;
    *out                = NULL;
    trawl_status status = tw_alloc(1, sizeof *w, &w, err);
    if (status != TRAWL_OK) {
        tw_wire_break(wire, wire->rank, "rank %d has no memory to begin", wire->rank);
        tw_wire_close(wire, 0);
        return status;
    }
    w->wire = wire;
    status  = tw_comm_message_new(w->wire, 0, 1, w->wire->size, &w->all, err);
    if (status == TRAWL_OK) {
        status = tw_comm_agree(w->all, read_deadline(w->wire, err), err);
    }
    if (status == TRAWL_OK) {
        status = count_cores(w, err);
    }
    if (status != TRAWL_OK) { /* on all ranks */
        tw_comm_free(w->all);
        tw_wire_close(w->wire, 0);
        tw_free(w);
        return status;
    }
    *out = w;
    return TRAWL_OK;
}

void tw_world_close(struct tw_world *w)
{
    if (w == NULL) {
        return;
    }
    if (w->all->rank == 0) {
        (void)tw_world_tell(w, (struct tw_world_call){.command = TW_WORLD_END}, NULL);
    }
    (void)tw_comm_barrier(w->all, NULL); /* so that nobody waits in the transport's own farewell */
    tw_comm_free(w->all);
    tw_wire_close(w->wire, GRACE_MS);
    tw_free(w);
}

trawl_status tw_world_tell(struct tw_world *w, struct tw_world_call call, struct trawl_error *err)
{
    return tw_comm_bcast(w->all, 0, &call, sizeof call, err);
}

trawl_status tw_world_listen(struct tw_world *w, struct tw_world_call *call, struct trawl_error *err)
{
    return tw_comm_message_bcast_idle(w->all, 0, call, sizeof *call, err);
}

/* ---- comparing ---- */

/* The first line in which two texts differ. */
static trawl_status compare_lines(const struct tw_world *w, const char *own, const char *first,
                                  struct trawl_error *err)
{
    while (*own != '\0' || *first != '\0') {
        size_t n = strcspn(own, "\n"), m = strcspn(first, "\n");
        if (n != m || memcmp(own, first, n) != 0) {
            (void)tw_fail(
                err, TRAWL_ERR_INVALID,
                "rank %d has %.*s; rank 0 has %.*s: all ranks need the same settings, files and version",
                w->all->rank, (int)n, own, (int)m, first);
            if (err != NULL) {
                err->rank = w->all->rank;
            }
            return TRAWL_ERR_INVALID;
        }
        own += n + (own[n] == '\n');
        first += m + (first[m] == '\n');
    }
    return TRAWL_OK;
}

trawl_status tw_world_compare(struct tw_world *w, const char *facts, struct trawl_error *err)
{
    uint64_t n  = strlen(facts);
    char *first = NULL;
    TW_TRY(tw_comm_bcast(w->all, 0, &n, sizeof n, err));
    trawl_status status = tw_alloc(n + 1, 1, &first, err);
    if (status != TRAWL_OK) {
        tw_comm_abort(w->all, err);
        return status;
    }
    if (w->all->rank == 0) {
        memcpy(first, facts, n);
    }
    status = tw_comm_bcast(w->all, 0, first, n, err);
    if (status == TRAWL_OK) {
        status = tw_comm_agree(w->all, compare_lines(w, facts, first, err), err);
    }
    tw_free(first);
    return status;
}

trawl_status tw_world_least(struct tw_world *w, size_t *value, struct trawl_error *err)
{
    size_t own          = *value;
    size_t *all         = NULL;
    trawl_status status = tw_alloc((size_t)w->all->size, sizeof *all, &all, err);
    if (status != TRAWL_OK) {
        tw_comm_abort(w->all, err);
        return status;
    }
    status = tw_comm_gather(w->all, TW_COMM_ALL, &own, sizeof own, NULL, all, err);
    for (int i = 0; status == TRAWL_OK && i < w->all->size; i++) {
        *value = all[i] < *value ? all[i] : *value;
    }
    tw_free(all);
    return status;
}
