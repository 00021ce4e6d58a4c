/* SPDX-License-Identifier: MIT */
/* A replica: its devices, its memory, and the loop of admission and steps. */
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "comm/hybrid/comm_hybrid.h"
#include "comm/message/comm_message.h"
#include "comm/thread/comm_thread.h"
#include "engine/engine_int.h"

/* Rows of logits beyond one per sequence: for requests that want all of them. */
enum { EXTRA_LOGIT_ROWS = 64 };

#define IDLE_BYTES ((size_t)1 << 30)

/* The devices' handles on each other: threads here, messages between processes, or both. */
static trawl_status connect_devices(const struct tw_replica *r, struct tw_wait_policy wait,
                                    struct tw_comm **comms, struct trawl_error *err)
{
    const struct tw_engine_config *c = &r->engine->config;
    const struct tw_place *place     = &r->engine->place;
    int base                         = tw_mesh_rank(c->mesh, r->index, 0);
    int deadline_ms                  = c->world == NULL ? 0 : c->world->wire->deadline_ms;
    struct tw_comm *outer            = NULL;
    if (place->peers == 1) {
        struct tw_comm_thread_config tc = {.policy = wait, .deadline_ms = deadline_ms, .world_base = base};
        return place->n_devices == 1 ? TRAWL_OK : tw_comm_thread_new(place->n_devices, &tc, comms, err);
    }
    TW_BUG_ON(c->world == NULL); /* peers are processes of a world */
    TW_TRY(tw_comm_message_new(c->world->wire, place->rank - place->peer, 1, place->peers, &outer, err));
    if (place->n_devices == 1) {
        comms[0] = outer;
        return TRAWL_OK;
    }
    struct tw_comm_hybrid_config hc = {.policy = wait, .deadline_ms = deadline_ms, .world_base = base};
    return tw_comm_hybrid_new(outer, place->n_devices, &hc, comms, err);
}

static trawl_status init_devices(struct tw_replica *r, size_t n_pages, struct trawl_error *err)
{
    const struct tw_engine_config *c = &r->engine->config;
    const struct tw_place *place     = &r->engine->place;
    struct tw_wait_policy wait       = tw_wait_policy_for(place->n_replicas * place->n_devices * c->threads);
    struct tw_comm *comms[TW_COMM_RANKS_MAX] = {NULL};

    TW_TRY(tw_alloc((size_t)place->n_devices, sizeof *r->devices, &r->devices, err));
    trawl_status status = connect_devices(r, wait, comms, err);
    for (int i = 0; i < place->n_devices; i++) {
        struct tw_device_config dc = {
            .rank           = place->first_device + i,
            .degree         = c->mesh.model,
            .tree_leaves    = c->tree_leaves,
            .n_threads      = c->threads,
            .wait           = wait,
            .comm           = comms[i],
            .kv_dtype       = c->kv_dtype,
            .n_pages        = n_pages,
            .max_rows       = r->max_rows,
            .max_logit_rows = r->max_logit_rows,
        };
        if (status == TRAWL_OK) {
            status = tw_device_init(&r->devices[i], r->engine->model, &r->engine->kernels, &dc, err);
        } else {
            tw_comm_free(comms[i]);
        }
    }
    return status;
}

static trawl_status init_step(struct tw_replica *r, struct trawl_error *err)
{
    size_t batch = r->engine->config.batch_size;
    TW_TRY(tw_alloc(batch, sizeof *r->groups, &r->groups, err));
    TW_TRY(tw_grow(&r->copies.list, &r->copies.capacity, batch, sizeof *r->copies.list, err));
    TW_TRY(tw_alloc(r->max_rows, sizeof *r->segments, &r->segments, err));
    TW_TRY(tw_alloc(r->max_rows, sizeof *r->tokens, &r->tokens, err));
    TW_TRY(tw_alloc(r->max_rows, sizeof *r->row_segment, &r->row_segment, err));
    TW_TRY(tw_alloc(r->max_logit_rows, sizeof *r->logit_rows, &r->logit_rows, err));
    TW_TRY(tw_alloc(r->max_logit_rows, sizeof *r->logit_owner, &r->logit_owner, err));
    TW_TRY(tw_alloc(r->max_logit_rows, sizeof *r->sampled, &r->sampled, err));
    TW_TRY(tw_alloc(r->max_logit_rows, sizeof *r->next_logprob, &r->next_logprob, err));
    if (!tw_size_mul(r->max_logit_rows * sizeof(float), r->engine->model->config.vocab, &r->logits_bytes)) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "logits of %zu rows do not fit in memory", r->max_logit_rows);
    }
    return tw_big_alloc(r->logits_bytes, &r->logits, err);
}

static trawl_status init_samplers(struct tw_replica *r, struct trawl_error *err)
{
    const struct tw_engine_config *c = &r->engine->config;
    int n                            = r->engine->place.n_devices * c->threads;
    TW_TRY(tw_alloc((size_t)n, sizeof *r->samplers, &r->samplers, err));
    for (int i = 0; i < n; i++) {
        TW_TRY(tw_sampler_init(&r->samplers[i], &r->engine->kernels, r->engine->model->config.vocab, err));
    }
    return tw_team_new(&r->team, n, tw_wait_policy_for(n * r->engine->place.n_replicas), NULL, err);
}

/* Pages that are kept though no request holds them: all of a cache that was asked for, of our own choice no more
 * than IDLE_BYTES, because they stay resident. */
static size_t most_idle(const struct tw_engine *e, size_t page_bytes)
{
    return e->kv_automatic ? IDLE_BYTES / page_bytes : SIZE_MAX;
}

trawl_status tw_replica_init(struct tw_replica *r, struct tw_engine *engine, int index,
                             struct trawl_error *err)
{
    const struct tw_engine_config *c = &engine->config;
    size_t page                      = tw_kv_page_bytes(c->kv_dtype, engine->model->config.n_layers,
                                                        engine->model->config.n_kv_heads, engine->model->config.head_dim);
    *r                               = (struct tw_replica){.engine = engine, .index = index};
    r->max_rows                      = c->prefill_chunk + c->batch_size + TW_DRAFT_ROWS;
    r->max_logit_rows                = c->batch_size + EXTRA_LOGIT_ROWS;
    size_t n_pages                   = tw_max_size(c->kv_cache_bytes / page, 1);
    TW_TRY(tw_kv_pages_init(&r->pages, n_pages, err));
    TW_TRY(tw_kv_prefix_init(&r->prefix, &r->pages, most_idle(engine, page), err));
    return init_step(r, err);
}

trawl_status tw_replica_connect(struct tw_replica *r, struct trawl_error *err)
{
    TW_TRY(tw_peers_init(r, err));
    TW_TRY(init_devices(r, r->pages.n_pages, err));
    return init_samplers(r, err);
}

void tw_replica_release(struct tw_replica *r)
{
    if (r->engine == NULL) {
        return;
    }
    const struct tw_engine_config *c = &r->engine->config;
    tw_team_free(r->team);
    int n = r->engine->place.n_devices;
    for (int i = 0; r->samplers != NULL && i < n * c->threads; i++) {
        tw_sampler_release(&r->samplers[i]);
    }
    for (int i = 0; r->devices != NULL && i < n; i++) {
        tw_device_release(&r->devices[i]);
    }
    tw_peers_release(&r->peers);
    tw_big_free(r->logits, r->logits_bytes);
    tw_constraint_cache_release(&r->constraints);
    tw_kv_prefix_release(&r->prefix);
    tw_kv_pages_release(&r->pages);
    tw_free(r->samplers);
    tw_free(r->devices);
    tw_free(r->groups);
    tw_free(r->copies.list);
    tw_free(r->segments);
    tw_step_masks_release(&r->masks);
    tw_attention_release(&r->attention);
    tw_free(r->tokens);
    tw_free(r->row_segment);
    tw_free(r->logit_rows);
    tw_free(r->logit_owner);
    tw_free(r->sampled);
    tw_free(r->next_logprob);
    *r = (struct tw_replica){0};
}

trawl_status tw_replica_begin(struct tw_replica *r, const struct tw_work *work, const struct tw_site *sites,
                              size_t n_sites, struct trawl_error *err)
{
    size_t bytes      = 0;
    r->work           = work;
    r->status         = TRAWL_OK;
    r->has_held       = false;
    r->stats          = (struct tw_engine_stats){0};
    r->told           = r->stats;
    r->pages.peak     = 0;
    r->prefix.evicted = 0;
    r->depth          = 0;
    for (size_t i = 0; i < n_sites; i++) {
        bytes += r->max_rows * tw_site_width(sites[i], &r->engine->model->config) * sizeof(float);
    }
    TW_TRY(tw_alloc(n_sites, sizeof *r->captures, &r->captures, err));
    TW_TRY(tw_big_alloc(bytes, &r->capture_rows, err));
    r->capture_bytes = bytes;
    float *at        = r->capture_rows;
    for (size_t i = 0; i < n_sites; i++) {
        size_t width   = tw_site_width(sites[i], &r->engine->model->config);
        r->captures[i] = (struct tw_capture){.site = sites[i], .width = width, .rows = at};
        r->depth       = tw_max_size(r->depth, tw_site_depth(sites[i], &r->engine->model->config));
        at += r->max_rows * width;
    }
    r->n_sites = n_sites;
    return TRAWL_OK;
}

void tw_replica_end(struct tw_replica *r)
{
    tw_big_free(r->capture_rows, r->capture_bytes);
    tw_free(r->captures);
    r->captures     = NULL;
    r->capture_rows = NULL;
}

/* ---- the loop ---- */

/* The run is over before its work: everything that was taken is given back. */
static void drop_all(struct tw_replica *r, enum tw_finish how)
{
    while (r->n_groups > 0) {
        if (how == TW_FINISH_DROPPED) {
            (void)tw_group_report(r, &r->groups[0]->request, how, NULL, 0, NULL);
        }
        tw_replica_dismiss(r, 0);
    }
    if (r->has_held && how == TW_FINISH_DROPPED) {
        (void)tw_group_report(r, &r->held, how, NULL, 0, NULL);
    }
    r->has_held = false;
}

static void run_loop(struct tw_replica *r)
{
    for (;;) {
        if (atomic_load(&r->engine->cancelled) || atomic_load(&r->engine->failed)) {
            drop_all(r, TW_FINISH_DROPPED);
            r->status = TRAWL_ERR_CANCELLED;
            (void)tw_fail(&r->error, TRAWL_ERR_CANCELLED, "stopped on request");
            return;
        }
        tw_replica_end_due(r);
        bool more = tw_replica_admit(r);
        if (r->status == TRAWL_OK && r->n_groups > 0) {
            r->status = tw_replica_step(r);
        }
        if (r->status != TRAWL_OK) {
            atomic_store(&r->engine->failed, true);
            drop_all(r, TW_FINISH_ERROR);
            r->work->stop(r->work->user);
            return;
        }
        if (!more) {
            return;
        }
    }
}

void tw_replica_loop(struct tw_replica *r)
{
    tw_float_mode_compute();
    run_loop(r);
    tw_replica_tell(r);
    if (r->peers.comm != NULL) {
        struct trawl_error why;
        trawl_status status = tw_peers_send_end(r, &why);
        if (r->status == TRAWL_OK && status != TRAWL_OK) {
            r->status = status;
            r->error  = why;
        }
    }
}

void tw_replica_follow(struct tw_replica *r)
{
    bool end = false;
    tw_float_mode_compute();
    while (r->status == TRAWL_OK) {
        r->status = tw_peers_receive_step(r, &end, &r->error);
        if (end) {
            return;
        }
        if (r->status == TRAWL_OK) {
            r->status = tw_replica_prepare(r);
            if (r->status != TRAWL_OK) {
                tw_comm_abort(r->peers.comm, &r->error);
            }
        }
        if (r->status == TRAWL_OK) {
            r->status = tw_replica_compute(r);
        }
    }
}
