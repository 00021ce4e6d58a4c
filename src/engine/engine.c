/* SPDX-License-Identifier: MIT */
#include "engine/engine.h"

#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/size.h"
#include "engine/engine_int.h"

enum { TREE_LEAVES = 8, BATCH_SIZE = 8, PREFILL_CHUNK = 512, PROMPT_LOOKUP = 16 };

void tw_engine_config_init(struct tw_engine_config *c)
{
    *c = (struct tw_engine_config){
        .mesh             = {1, 1},
        .compute          = TW_DTYPE_BF16,
        .kv_dtype         = TW_DTYPE_BF16,
        .batch_size       = BATCH_SIZE,
        .prefill_chunk    = PREFILL_CHUNK,
        .tree_leaves      = TREE_LEAVES,
        .prefix_cache     = true,
        .compress_weights = true,
        .devices_per_rank = 1,

        .prompt_lookup_num_tokens = PROMPT_LOOKUP,
    };
}

static trawl_status check_config(const struct tw_engine_config *c, struct trawl_error *err)
{
    if (c->tree_leaves != 8 && c->tree_leaves != 16 && c->tree_leaves != 32) {
        return tw_fail(err, TRAWL_ERR_INVALID, "tree_leaves is %d, expected 8, 16 or 32", c->tree_leaves);
    }
    if (c->batch_size < 1 || c->batch_size > 1 << 16) {
        return tw_fail(err, TRAWL_ERR_INVALID, "batch_size is %zu, expected 1 to 65536", c->batch_size);
    }
    if (c->prefill_chunk < 1 || c->prefill_chunk > 1 << 20) {
        return tw_fail(err, TRAWL_ERR_INVALID, "prefill_chunk is %zu, expected 1 to 1048576",
                       c->prefill_chunk);
    }
    if (c->threads < 0 || c->threads > 1024) {
        return tw_fail(err, TRAWL_ERR_INVALID, "threads is %d, expected 0 (automatic) to 1024", c->threads);
    }
    if (c->prompt_lookup_num_tokens > TW_PROMPT_LOOKUP_MOST) {
        return tw_fail(err, TRAWL_ERR_INVALID, "prompt_lookup_num_tokens is %zu, expected 0 to %d",
                       c->prompt_lookup_num_tokens, TW_PROMPT_LOOKUP_MOST);
    }
    if ((c->compute != TW_DTYPE_BF16 && c->compute != TW_DTYPE_F32) ||
        (c->kv_dtype != TW_DTYPE_BF16 && c->kv_dtype != TW_DTYPE_F32)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "dtype and kv_dtype are bfloat16 or float32");
    }
    return TRAWL_OK;
}

/* Zeros become what they stand for. */
static trawl_status resolve(struct tw_engine *e, const struct tw_model_config *m, struct trawl_error *err)
{
    struct tw_engine_config *c = &e->config;
    if (c->threads == 0) {
        int cores  = c->world == NULL ? tw_cores_available() : c->world->cores;
        c->threads = cores / (e->place.n_replicas * e->place.n_devices);
        c->threads = c->threads < 1 ? 1 : c->threads;
    }
    if (c->max_model_len == 0) {
        c->max_model_len = m->max_positions;
    }
    if (c->max_model_len > m->max_positions) {
        return tw_fail(err, TRAWL_ERR_INVALID, "max_model_len is %zu, the model's context is %zu%s",
                       c->max_model_len, m->max_positions,
                       m->window == m->max_positions ? ", its sliding window" : "");
    }
    if (c->kv_cache_bytes == 0) {
        size_t page       = tw_kv_page_bytes(c->kv_dtype, m->n_layers, m->n_kv_heads, m->head_dim);
        size_t want       = c->batch_size * tw_kv_pages_for(c->max_model_len) * page;
        size_t free_bytes = (size_t)sysconf(_SC_AVPHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
        e->kv_automatic   = true;
        c->kv_cache_bytes = tw_min_size(want, free_bytes / 2 / (size_t)c->mesh.data);
    }
    return TRAWL_OK;
}

/* The end of a phase that all processes go through: a failure of one is everybody's. */
static trawl_status agree(const struct tw_engine *e, trawl_status status, struct trawl_error *err)
{
    if (e->config.world == NULL) {
        return status;
    }
    struct trawl_error why = {.rank = -1};
    if (status != TRAWL_OK && err != NULL) {
        why = *err;
    }
    trawl_status both = tw_comm_agree(e->config.world->all, status, &why);
    if (both != TRAWL_OK && both != TRAWL_ERR_COMM && why.rank > 0) {
        (void)tw_fail_prefix(&why, both, "rank %d", why.rank);
    }
    if (both != TRAWL_OK && err != NULL) {
        *err = why;
    }
    return both;
}

/* What can be told before the weights are read. */
static trawl_status look_ahead(struct tw_engine *e, struct tw_model_config *m, struct trawl_error *err)
{
    const struct tw_engine_config *c = &e->config;
    TW_TRY(check_config(c, err));
    TW_TRY(tw_kernels_init(&e->kernels, c->isa, err));
    TW_TRY(tw_model_config_read(m, c->model_path, err));
    struct tw_mesh_model shape = tw_model_config_mesh(m, c->tree_leaves);
    TW_TRY(tw_mesh_check(&shape, c->mesh, err));
    if (c->world == NULL) {
        return tw_place_make(c->mesh, 0, 1, tw_mesh_size(c->mesh), &e->place, err);
    }
    return tw_place_make(c->mesh, c->world->all->rank, c->world->all->size, c->devices_per_rank, &e->place,
                         err);
}

static trawl_status load(struct tw_engine *e, struct trawl_error *err)
{
    const struct tw_engine_config *c = &e->config;
    TW_TRY(tw_model_load(&e->model, c->model_path, c->compute, c->compress_weights && e->kernels.compressed,
                         tw_cores_available(), &c->log, err));
    return tw_alloc((size_t)e->place.n_replicas, sizeof *e->replicas, &e->replicas, err);
}

static trawl_status init_replicas(struct tw_engine *e, struct trawl_error *err)
{
    for (int i = 0; i < e->place.n_replicas; i++) {
        TW_TRY(tw_replica_init(&e->replicas[i], e, e->place.first_replica + i, err));
    }
    return TRAWL_OK;
}

static trawl_status connect_replicas(struct tw_engine *e, struct trawl_error *err)
{
    for (int i = 0; i < e->place.n_replicas; i++) {
        TW_TRY(tw_replica_connect(&e->replicas[i], err));
    }
    return TRAWL_OK;
}

/* What bounds a replica's steps and memory, and changes no result: rank 0's word counts. */
static trawl_status take_limits(struct tw_engine *e, struct trawl_error *err)
{
    struct tw_engine_config *c = &e->config;
    uint64_t limits[]          = {c->batch_size,     c->prefill_chunk, c->max_model_len,
                                  c->kv_cache_bytes, c->prefix_cache,  c->prompt_lookup_num_tokens};
    TW_TRY(tw_comm_bcast(c->world->all, 0, limits, sizeof limits, err));
    c->batch_size     = limits[0];
    c->prefill_chunk  = limits[1];
    c->max_model_len  = limits[2];
    c->kv_cache_bytes = limits[3];
    c->prefix_cache   = limits[4] != 0;

    c->prompt_lookup_num_tokens = limits[5];
    return TRAWL_OK;
}

static trawl_status open_engine(struct tw_engine *e, struct trawl_error *err)
{
    struct tw_model_config m = {0};
    struct tw_world *w       = e->config.world;
    if (w != NULL && w->all->rank == 0) {
        TW_TRY(tw_world_tell(w, (struct tw_world_call){.command = TW_WORLD_OPEN}, err));
    }
    if (w != NULL) {
        TW_TRY(tw_engine_compare_settings(e, err));
        TW_TRY(take_limits(e, err));
    }
    trawl_status status = look_ahead(e, &m, err);
    if (status == TRAWL_OK) {
        status = resolve(e, &m, err);
    }
    TW_TRY(agree(e, status, err));
    if (w != NULL) { /* processes of a replica number the same pages */
        TW_TRY(tw_world_least(w, &e->config.kv_cache_bytes, err));
    }
    TW_TRY(agree(e, load(e, err), err));
    if (w != NULL) {
        TW_TRY(tw_engine_compare_model(e, err));
    }
    TW_TRY(agree(e, init_replicas(e, err), err));
    return agree(e, connect_replicas(e, err), err);
}

trawl_status tw_engine_open(struct tw_engine **out, const struct tw_engine_config *config,
                            struct trawl_error *err)
{
    struct tw_engine *e = NULL;
    *out                = NULL;
    TW_TRY(tw_alloc(1, sizeof *e, &e, err));
    e->config = *config;
    (void)pthread_mutex_init(&e->vocabulary_lock, NULL);
    trawl_status status = open_engine(e, err);
    if (status != TRAWL_OK) {
        e->config.world = NULL; /* the others have given up too */
        tw_engine_close(e);
        return status;
    }
    e->config.model_path = e->model->folder;
    *out                 = e;
    return TRAWL_OK;
}

void tw_engine_close(struct tw_engine *e)
{
    if (e == NULL) {
        return;
    }
    struct tw_world *w = e->config.world;
    if (w != NULL && w->all->rank == 0) {
        (void)tw_world_tell(w, (struct tw_world_call){.command = TW_WORLD_CLOSE}, NULL);
    }
    for (int i = 0; e->replicas != NULL && i < e->place.n_replicas; i++) {
        tw_replica_release(&e->replicas[i]);
    }
    tw_free(e->replicas);
    tw_vocabulary_release(&e->vocabulary);
    (void)pthread_mutex_destroy(&e->vocabulary_lock);
    tw_model_free(e->model);
    tw_free(e);
}

const struct tw_model *tw_engine_model(const struct tw_engine *e)
{
    return e->model;
}

const struct tw_kernels *tw_engine_kernels(const struct tw_engine *e)
{
    return &e->kernels;
}

const struct tw_engine_config *tw_engine_settings(const struct tw_engine *e)
{
    return &e->config;
}

struct tw_engine_memory tw_engine_memory(const struct tw_engine *e)
{
    struct tw_engine_memory m = {.weights = tw_model_weights_bytes(e->model)};
    for (int i = 0; i < e->place.n_replicas; i++) {
        const struct tw_replica *r = &e->replicas[i];
        for (int j = 0; j < e->place.n_devices; j++) {
            m.kv += r->devices[j].kv.bytes;
            m.buffers += tw_device_bytes(&r->devices[j]) - r->devices[j].kv.bytes;
        }
        m.logits += r->logits_bytes;
    }
    return m;
}

void tw_engine_progress(const struct tw_engine *e, uint64_t *prompt_tokens, uint64_t *generated_tokens)
{
    *prompt_tokens    = atomic_load_explicit(&e->prompt_tokens, memory_order_relaxed);
    *generated_tokens = atomic_load_explicit(&e->generated_tokens, memory_order_relaxed);
}

void tw_engine_cancel(struct tw_engine *e)
{
    atomic_store(&e->cancelled, true);
}

void tw_engine_resume(struct tw_engine *e)
{
    atomic_store(&e->cancelled, false);
}
