/* SPDX-License-Identifier: MIT */
#include "engine/engine.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/size.h"
#include "engine/engine_int.h"

enum { TREE_LEAVES = 8, BATCH_SIZE = 8, PREFILL_CHUNK = 512 };

void tw_engine_config_init(struct tw_engine_config *c)
{
    *c = (struct tw_engine_config){
        .mesh          = {1, 1},
        .compute       = TW_DTYPE_BF16,
        .kv_dtype      = TW_DTYPE_BF16,
        .batch_size    = BATCH_SIZE,
        .prefill_chunk = PREFILL_CHUNK,
        .tree_leaves   = TREE_LEAVES,
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
        return tw_fail(err, TRAWL_ERR_INVALID, "prefill_chunk is %zu, expected 1 to 1048576", c->prefill_chunk);
    }
    if (c->threads < 0 || c->threads > 1024) {
        return tw_fail(err, TRAWL_ERR_INVALID, "threads is %d, expected 0 (automatic) to 1024", c->threads);
    }
    if ((c->compute != TW_DTYPE_BF16 && c->compute != TW_DTYPE_F32) ||
        (c->kv_dtype != TW_DTYPE_BF16 && c->kv_dtype != TW_DTYPE_F32)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "dtype and kv_dtype are bfloat16 or float32");
    }
    return TRAWL_OK;
}

/* Zeros become what they stand for. */
static trawl_status resolve(struct tw_engine_config *c, const struct tw_model_config *m, struct trawl_error *err)
{
    if (c->threads == 0) {
        c->threads = tw_cores_available() / tw_mesh_size(c->mesh);
        c->threads = c->threads < 1 ? 1 : c->threads;
    }
    if (c->max_model_len == 0) {
        c->max_model_len = m->max_positions;
    }
    if (c->max_model_len > m->max_positions) {
        return tw_fail(err, TRAWL_ERR_INVALID, "max_model_len is %zu, the model's context is %zu", c->max_model_len,
                       m->max_positions);
    }
    if (c->kv_cache_bytes == 0) {
        size_t page = tw_kv_page_bytes(c->kv_dtype, m->n_layers, m->n_kv_heads, m->head_dim);
        size_t want = c->batch_size * tw_kv_pages_for(c->max_model_len) * page;
        size_t free_bytes = (size_t)sysconf(_SC_AVPHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
        c->kv_cache_bytes = tw_min_size(want, free_bytes / 2 / (size_t)c->mesh.data);
    }
    return TRAWL_OK;
}

trawl_status tw_engine_open(struct tw_engine **out, const struct tw_engine_config *config, struct trawl_error *err)
{
    struct tw_engine *e = NULL;
    *out                = NULL;
    TW_TRY(check_config(config, err));
    TW_TRY(tw_alloc(1, sizeof *e, &e, err));
    e->config                       = *config;
    struct tw_model_config quick    = {0};
    trawl_status           status   = tw_kernels_init(&e->kernels, config->isa, err);
    if (status == TRAWL_OK) {
        status = tw_model_config_read(&quick, config->model_path, err);
    }
    if (status == TRAWL_OK) { /* refuse an impossible mesh before the weights are read */
        struct tw_mesh_model m = tw_model_config_mesh(&quick, config->tree_leaves);
        status                 = tw_mesh_check(&m, config->mesh, err);
    }
    if (status == TRAWL_OK) {
        status = resolve(&e->config, &quick, err);
    }
    if (status == TRAWL_OK) {
        status = tw_model_load(&e->model, config->model_path, config->compute, tw_cores_available(), &e->config.log, err);
    }
    if (status == TRAWL_OK) {
        status = tw_alloc((size_t)config->mesh.data, sizeof *e->replicas, &e->replicas, err);
    }
    for (int i = 0; status == TRAWL_OK && i < config->mesh.data; i++) {
        status = tw_replica_init(&e->replicas[i], e, i, err);
    }
    if (status != TRAWL_OK) {
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
    for (int i = 0; e->replicas != NULL && i < e->config.mesh.data; i++) {
        tw_replica_release(&e->replicas[i]);
    }
    tw_free(e->replicas);
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
    struct tw_engine_memory m = {.weights = e->model->panels_bytes};
    for (int i = 0; i < e->config.mesh.data; i++) {
        const struct tw_replica *r = &e->replicas[i];
        for (int j = 0; j < e->config.mesh.model; j++) {
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

static void *replica_thread(void *arg)
{
    tw_replica_loop(arg);
    return NULL;
}

/* Replica 0 runs on the caller's thread. A replica that fails tells the others through e->failed; its
 * error is the run's. */
static trawl_status run_replicas(struct tw_engine *e, struct trawl_error *err)
{
    int        n       = e->config.mesh.data, started = 1;
    pthread_t *threads = NULL;
    TW_TRY(tw_alloc((size_t)n, sizeof *threads, &threads, err));
    trawl_status status = TRAWL_OK;
    for (; started < n; started++) {
        int code = pthread_create(&threads[started], NULL, replica_thread, &e->replicas[started]);
        if (code != 0) {
            atomic_store(&e->failed, true);
            status = tw_fail_os(err, code, "thread of replica %d", started);
            break;
        }
    }
    tw_replica_loop(&e->replicas[0]);
    for (int i = 1; i < started; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    tw_free(threads);
    for (int i = 0; i < n; i++) {
        const struct tw_replica *r = &e->replicas[i];
        bool worse = r->status != TRAWL_OK && (status == TRAWL_OK || status == TRAWL_ERR_CANCELLED);
        if (worse) {
            status = r->status;
            if (err != NULL) {
                *err = r->error;
            }
        }
    }
    return status;
}

trawl_status tw_engine_run(struct tw_engine *e, const struct tw_work *work, const struct tw_site *sites,
                           size_t n_sites, struct trawl_error *err)
{
    atomic_store(&e->failed, false);
    atomic_store(&e->prompt_tokens, 0);
    atomic_store(&e->generated_tokens, 0);
    trawl_status status = TRAWL_OK;
    for (int i = 0; status == TRAWL_OK && i < e->config.mesh.data; i++) {
        status = tw_replica_begin(&e->replicas[i], work, sites, n_sites, err);
    }
    if (status == TRAWL_OK) {
        status = run_replicas(e, err);
    }
    for (int i = 0; i < e->config.mesh.data; i++) {
        tw_replica_end(&e->replicas[i]);
    }
    return status;
}
