/* SPDX-License-Identifier: MIT */
/* A run: the replicas of this process on threads of their own, one more thread for those of other processes.
 * */
#include <pthread.h>

#include "base/alloc.h"
#include "engine/engine_int.h"
#include "engine/engine_remote.h"

/* A thread of the run besides the caller's. */
struct side {
    void *(*main)(void *arg);
    void *arg;
};

static void *replica_main(void *arg)
{
    struct tw_replica *r = arg;
    if (tw_place_is_head(&r->engine->place)) {
        tw_replica_loop(r);
    } else {
        tw_replica_follow(r);
    }
    return NULL;
}

/* Replica 0 runs on the caller's thread, the sides on others. A thread that cannot be started ends the run.
 * */
static trawl_status run_threads(struct tw_engine *e, const struct side *sides, int n,
                                const struct tw_work *work, struct trawl_error *err)
{
    int started         = 0;
    pthread_t *threads  = NULL;
    trawl_status status = tw_alloc((size_t)n, sizeof *threads, &threads, err);
    for (; status == TRAWL_OK && started < n; started++) {
        int code = pthread_create(&threads[started], NULL, sides[started].main, sides[started].arg);
        if (code != 0) {
            status = tw_fail_os(err, code, "thread %d of the run", started + 1);
            break;
        }
    }
    if (status != TRAWL_OK) {
        atomic_store(&e->failed, true);
        if (work != NULL) {
            work->stop(work->user);
        }
        if (e->config.world != NULL) { /* the others would wait for that thread */
            tw_comm_abort(e->config.world->all, err);
        }
    }
    (void)replica_main(&e->replicas[0]);
    for (int i = 0; i < started; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    tw_free(threads);
    return status;
}

/* A replica that fails tells the others through e->failed; its error is the run's, theirs are consequences.
 * */
static void worst(trawl_status *status, trawl_status other, const struct trawl_error *why,
                  struct trawl_error *err)
{
    if (other != TRAWL_OK && (*status == TRAWL_OK || *status == TRAWL_ERR_CANCELLED)) {
        *status = other;
        if (err != NULL) {
            *err = *why;
        }
    }
}

/* `extra`: a side of its own, or with main NULL none. */
static trawl_status run_replicas(struct tw_engine *e, struct side extra, const struct tw_work *work,
                                 struct trawl_error *err)
{
    int n              = e->place.n_replicas - 1 + (extra.main != NULL ? 1 : 0);
    struct side *sides = NULL;
    TW_TRY(tw_alloc((size_t)n, sizeof *sides, &sides, err));
    for (int i = 1; i < e->place.n_replicas; i++) {
        sides[i - 1] = (struct side){replica_main, &e->replicas[i]};
    }
    if (extra.main != NULL) {
        sides[n - 1] = extra;
    }
    trawl_status status = run_threads(e, sides, n, work, err);
    for (int i = 0; i < e->place.n_replicas; i++) {
        worst(&status, e->replicas[i].status, &e->replicas[i].error, err);
    }
    tw_free(sides);
    return status;
}

/* Memory for the run's sites, on all replicas here; all processes agree that they have it. */
static trawl_status begin(struct tw_engine *e, const struct tw_work *work, const struct tw_site *sites,
                          size_t n_sites, struct trawl_error *err)
{
    trawl_status status = TRAWL_OK;
    atomic_store(&e->failed, false);
    atomic_store(&e->prompt_tokens, 0);
    atomic_store(&e->generated_tokens, 0);
    for (size_t i = 0; i < TW_ENGINE_STATS; i++) {
        atomic_store(&e->stats[i], 0);
    }
    for (int i = 0; status == TRAWL_OK && i < e->place.n_replicas; i++) {
        status = tw_replica_begin(&e->replicas[i], work, sites, n_sites, err);
    }
    return e->config.world == NULL ? status : tw_comm_agree(e->config.world->all, status, err);
}

static void end(struct tw_engine *e)
{
    for (int i = 0; i < e->place.n_replicas; i++) {
        tw_replica_end(&e->replicas[i]);
    }
}

/* ---- rank 0, or the only process ---- */

static trawl_status run_world(struct tw_engine *e, const struct tw_work *work, struct trawl_error *err)
{
    struct tw_dispatcher *d = NULL;
    if (e->config.world == NULL || tw_place_heads(&e->place) == 1) {
        return run_replicas(e, (struct side){NULL, NULL}, work, err);
    }
    trawl_status status = tw_dispatcher_new(&d, e, work, err);
    if (status != TRAWL_OK) {
        tw_comm_abort(e->config.world->all, err);
        return status;
    }
    struct trawl_error why;
    status = run_replicas(e, (struct side){tw_dispatcher_main, d}, work, err);
    worst(&status, tw_dispatcher_status(d, &why), &why, err);
    tw_dispatcher_free(d);
    return status;
}

trawl_status tw_engine_run(struct tw_engine *e, const struct tw_work *work, const struct tw_site *sites,
                           size_t n_sites, struct trawl_error *err)
{
    struct tw_world *w = e->config.world;
    if (w != NULL) {
        struct tw_world_call call = {
            .command = TW_WORLD_RUN, .flags = tw_remote_flags(work), .n_sites = n_sites};
        struct tw_site none = {0}, *copy = &none;
        trawl_status status = tw_alloc(n_sites, sizeof *copy, &copy, err);
        for (size_t i = 0; status == TRAWL_OK && i < n_sites; i++) {
            copy[i] = sites[i];
        }
        if (status == TRAWL_OK) {
            status = tw_world_tell(w, call, err);
        }
        if (status == TRAWL_OK) {
            status = tw_comm_bcast(w->all, 0, copy, n_sites * sizeof *copy, err);
        }
        tw_free(copy);
        TW_TRY(status);
    }
    trawl_status status = begin(e, work, sites, n_sites, err);
    if (status == TRAWL_OK) {
        status = run_world(e, work, err);
    }
    end(e);
    return status;
}

/* ---- the other processes ---- */

static trawl_status serve_head(struct tw_engine *e, struct tw_outpost *o, struct trawl_error *err)
{
    /* The replicas end before the letters do: they run on one thread more, joined in between. */
    pthread_t letters;
    struct trawl_error why = {0};
    int code               = pthread_create(&letters, NULL, tw_outpost_main, o);
    if (code != 0) {
        trawl_status status = tw_fail_os(err, code, "thread for letters");
        tw_comm_abort(e->config.world->all, err);
        return status;
    }
    trawl_status status = run_replicas(e, (struct side){NULL, NULL}, tw_outpost_work(o), &why);
    tw_outpost_finish(o, status, &why);
    (void)pthread_join(letters, NULL);
    return tw_outpost_status(o, err);
}

static trawl_status serve_run(struct tw_engine *e, const struct tw_world_call *call, struct trawl_error *err)
{
    struct tw_world *w    = e->config.world;
    struct tw_outpost *o  = NULL;
    struct tw_site *sites = NULL;
    bool is_head          = tw_place_is_head(&e->place);
    trawl_status status   = tw_alloc(call->n_sites, sizeof *sites, &sites, err);
    if (status == TRAWL_OK) {
        status = tw_comm_bcast(w->all, 0, sites, call->n_sites * sizeof *sites, err);
    }
    if (status == TRAWL_OK && is_head) {
        status = tw_outpost_new(&o, e, call->flags, err);
    }
    if (status != TRAWL_OK) {
        tw_comm_abort(w->all, err);
    } else {
        tw_engine_resume(e);
        status = begin(e, is_head ? tw_outpost_work(o) : NULL, sites, call->n_sites, err);
        if (status == TRAWL_OK) {
            status = is_head ? serve_head(e, o, err) : run_replicas(e, (struct side){NULL, NULL}, NULL, err);
        }
        end(e);
    }
    tw_outpost_free(o);
    tw_free(sites);
    return status;
}

trawl_status tw_engine_serve(struct tw_engine *e, struct trawl_error *err)
{
    trawl_status first = TRAWL_OK;
    struct trawl_error why;
    for (;;) {
        struct tw_world_call call;
        TW_TRY(tw_world_listen(e->config.world, &call, err));
        if (call.command != TW_WORLD_RUN) {
            return first;
        }
        trawl_status status = serve_run(e, &call, &why);
        TW_TRY(tw_wire_check(e->config.world->wire, err));
        if (status != TRAWL_ERR_CANCELLED) {
            worst(&first, status, &why, err);
        }
    }
}
