/* SPDX-License-Identifier: MIT */
#include "api/api_engine.h"

#include <stdio.h>
#include <string.h>

#include "api/api_constraint.h"
#include "api/api_world.h"
#include "base/alloc.h"
#include "base/hash.h"
#include "base/str.h"
#include "mesh/mesh_params.h"
#include "trawl/version.h"

const char *trawl_version(void)
{
    return TRAWL_VERSION;
}

void trawl_free(void *p)
{
    tw_free(p);
}

enum tw_dtype tw_api_dtype(enum trawl_dtype dtype)
{
    return dtype == TRAWL_DTYPE_FLOAT32   ? TW_DTYPE_F32
           : dtype == TRAWL_DTYPE_FLOAT16 ? TW_DTYPE_F16
                                          : TW_DTYPE_BF16;
}

static enum trawl_dtype public_dtype(enum tw_dtype dtype)
{
    return dtype == TW_DTYPE_F32 ? TRAWL_DTYPE_FLOAT32 : TRAWL_DTYPE_BFLOAT16;
}

void trawl_engine_config_init(struct trawl_engine_config *config)
{
    struct tw_engine_config d;
    tw_engine_config_init(&d);
    *config = (struct trawl_engine_config){
        .size             = sizeof *config,
        .mesh_data        = 1,
        .mesh_model       = 1,
        .batch_size       = d.batch_size,
        .prefill_chunk    = d.prefill_chunk,
        .tree_leaves      = d.tree_leaves,
        .devices_per_rank = d.devices_per_rank,
        .prefix_cache     = d.prefix_cache,
        .compress_weights = d.compress_weights,

        .prompt_lookup_num_tokens = d.prompt_lookup_num_tokens,
    };
}

trawl_status trawl_engine_open(const struct trawl_engine_config *config, trawl_engine **out,
                               struct trawl_error *err)
{
    *out = NULL;
    if (config->size != sizeof *config) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "struct trawl_engine_config has size %u, expected %zu: call _init first",
                       (unsigned)config->size, sizeof *config);
    }
    if (config->model_path == NULL) {
        return tw_fail(err, TRAWL_ERR_INVALID, "no model_path given");
    }
    if (config->mesh_data < 1 || config->mesh_model < 1 || config->mesh_data > TW_MESH_RANKS_MAX ||
        config->mesh_model > TW_MESH_RANKS_MAX) {
        return tw_fail(err, TRAWL_ERR_INVALID, "mesh is %dx%d, expected 1 to %d devices along each axis",
                       config->mesh_data, config->mesh_model, TW_MESH_RANKS_MAX);
    }
    if (config->dtype == TRAWL_DTYPE_FLOAT16 ||
        (config->kv_dtype_set && config->kv_dtype == TRAWL_DTYPE_FLOAT16)) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s is float16, expected bfloat16 or float32",
                       config->dtype == TRAWL_DTYPE_FLOAT16 ? "dtype" : "kv_dtype");
    }
    struct tw_engine_config c;
    tw_engine_config_init(&c);
    c.model_path       = config->model_path;
    c.mesh             = (struct tw_mesh){config->mesh_data, config->mesh_model};
    c.compute          = tw_api_dtype(config->dtype);
    c.kv_dtype         = config->kv_dtype_set ? tw_api_dtype(config->kv_dtype) : c.compute;
    c.threads          = config->threads;
    c.batch_size       = config->batch_size;
    c.prefill_chunk    = config->prefill_chunk;
    c.tree_leaves      = config->tree_leaves;
    c.max_model_len    = config->max_model_len;
    c.kv_cache_bytes   = config->kv_cache_bytes;
    c.isa              = config->isa;
    c.world            = config->world == NULL ? NULL : config->world->world;
    c.devices_per_rank = config->devices_per_rank;
    c.prefix_cache     = config->prefix_cache != 0;
    c.compress_weights = config->compress_weights != 0;
    c.vocabulary       = tw_api_vocabulary;

    c.prompt_lookup_num_tokens = config->prompt_lookup_num_tokens;
    c.log                      = (struct tw_log){config->log, config->log_user, config->log_level};

    trawl_engine *e = NULL;
    TW_TRY(tw_alloc(1, sizeof *e, &e, err));
    trawl_status status = tw_engine_open(&e->engine, &c, err);
    if (status != TRAWL_OK) {
        tw_free(e);
        return status;
    }
    (void)pthread_mutex_init(&e->lock, NULL);
    *out = e;
    return TRAWL_OK;
}

trawl_status tw_api_claim_job(trawl_engine *engine, struct trawl_error *err)
{
    trawl_status status = TRAWL_OK;
    (void)pthread_mutex_lock(&engine->lock);
    if (engine->has_job) {
        status = tw_fail(err, TRAWL_ERR_INVALID, "the engine has an open job already");
    } else if (engine->n_sessions > 0) {
        status = tw_fail(err, TRAWL_ERR_INVALID, "the engine has %zu open sessions, a job needs it to itself",
                         engine->n_sessions);
    } else {
        engine->has_job = true;
    }
    (void)pthread_mutex_unlock(&engine->lock);
    return status;
}

void tw_api_release_job(trawl_engine *engine)
{
    (void)pthread_mutex_lock(&engine->lock);
    engine->has_job = false;
    (void)pthread_mutex_unlock(&engine->lock);
}

void trawl_engine_close(trawl_engine **engine)
{
    if (*engine != NULL) {
        TW_BUG_ON((*engine)->has_job || (*engine)->n_sessions > 0);
        (void)pthread_mutex_destroy(&(*engine)->lock);
        tw_engine_close((*engine)->engine);
        tw_free(*engine);
        *engine = NULL;
    }
}

void trawl_engine_info(const trawl_engine *engine, struct trawl_model_info *info)
{
    const struct tw_model *m         = tw_engine_model(engine->engine);
    const struct tw_engine_config *c = tw_engine_settings(engine->engine);
    const struct tw_kernels *k       = tw_engine_kernels(engine->engine);
    struct tw_engine_memory memory   = tw_engine_memory(engine->engine);
    *info                            = (struct trawl_model_info){
                                   .parameters        = tw_model_config_parameters(&m->config),
                                   .vocab_size        = m->config.vocab,
                                   .hidden_size       = m->config.hidden,
                                   .intermediate_size = m->config.intermediate,
                                   .n_layers          = m->config.n_layers,
                                   .n_heads           = m->config.n_heads,
                                   .n_kv_heads        = m->config.n_kv_heads,
                                   .head_dim          = m->config.head_dim,
                                   .context           = c->max_model_len,
                                   .mesh_data         = c->mesh.data,
                                   .mesh_model        = c->mesh.model,
                                   .threads           = c->threads,
                                   .tree_leaves       = c->tree_leaves,
                                   .dtype             = public_dtype(c->compute),
                                   .kv_dtype          = public_dtype(c->kv_dtype),
                                   .bf16_dot          = k->bf16_dot,
                                   .weight_bytes      = memory.weights,
                                   .kv_bytes          = memory.kv,
                                   .buffer_bytes      = memory.buffers + memory.logits,
    };
    (void)snprintf(info->architecture, sizeof info->architecture, "%s", m->config.architecture);
    (void)snprintf(info->isa, sizeof info->isa, "%s", k->isa);
    tw_hash_hex(m->fingerprint, info->fingerprint);
}

trawl_status trawl_engine_sharding(const trawl_engine *engine, size_t rows, size_t columns, char **text,
                                   struct trawl_error *err)
{
    const struct tw_engine_config *c = tw_engine_settings(engine->engine);
    struct tw_mesh_model m = tw_model_config_mesh(&tw_engine_model(engine->engine)->config, c->tree_leaves);
    struct tw_str out;
    *text = NULL;
    tw_str_init(&out, 0);
    trawl_status status = tw_mesh_verify(&m, c->mesh.model, NULL, err);
    if (status == TRAWL_OK) {
        status = tw_mesh_format_axes(c->mesh, &out, err);
    }
    if (status == TRAWL_OK) {
        status = tw_mesh_format_params(&m, &out, err);
    }
    if (status == TRAWL_OK) {
        status = tw_mesh_format_input(rows, columns, &out, err);
    }
    if (status == TRAWL_OK) {
        status = tw_strdup(tw_str_text(&out), text, err);
    }
    tw_str_release(&out);
    return status;
}
