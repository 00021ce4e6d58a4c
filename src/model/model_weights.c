/* SPDX-License-Identifier: MIT */
/* Loading: find every tensor, check its shape, lay out one allocation, then pack in parallel. */
#include "model/model_weights.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/size.h"

/* One matrix to pack. */
struct job {
    const struct tw_safetensors_tensor *tensor;
    struct tw_linear       *linear;
    size_t                  first_element; /* of the linear in the packed allocation */
};

struct loader {
    struct tw_model     *model;
    const struct tw_log *log;
    struct job          *jobs;
    size_t               n_jobs, jobs_capacity;
    size_t               elements; /* of packed panels so far */
    size_t               floats;   /* of norms and biases so far */
    struct vector_job {
        const struct tw_safetensors_tensor *tensor;
        float                 **to;
        size_t                  offset, n, group, stride; /* groups of `group` values, `stride` apart */
    } *vectors;
    size_t           n_vectors, vectors_capacity;
    _Atomic uint32_t next;
    size_t           n_pieces;
    uint64_t        *hashes; /* [n_pieces] of the checkpoint's bytes, piece by piece */
    atomic_uchar    *bad;    /* [n_jobs] saw a value that is not finite */
};

static trawl_status find(const struct loader *l, const char *name, size_t rows, size_t columns,
                         const struct tw_safetensors_tensor **out, struct trawl_error *err)
{
    const struct tw_safetensors_tensor *t = tw_safetensors_find(l->model->files, name);
    if (t == NULL) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: tensor \"%s\" is missing", l->model->folder, name);
    }
    bool matrix = columns > 0;
    bool fits   = t->rank == (matrix ? 2 : 1) && t->shape[0] == rows && (!matrix || t->shape[1] == columns);
    if (!fits) {
        char found[128] = "";
        for (int i = 0; i < t->rank && i < 4; i++) {
            size_t used = strlen(found);
            (void)snprintf(found + used, sizeof found - used, "%s%zu", i > 0 ? "," : "", (size_t)t->shape[i]);
        }
        if (matrix) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "%s: tensor \"%s\" has shape [%s], expected [%zu,%zu]", t->file, name,
                           found, rows, columns);
        }
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: tensor \"%s\" has shape [%s], expected [%zu]", t->file, name, found,
                       rows);
    }
    if (!t->has_dtype || (t->dtype != TW_DTYPE_BF16 && t->dtype != TW_DTYPE_F16 && t->dtype != TW_DTYPE_F32)) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s: tensor \"%s\" has type %s; weights are BF16, F16 or F32", t->file,
                       name, t->dtype_name);
    }
    *out = t;
    return TRAWL_OK;
}

/* A matrix [n, k]; `group` rows (a head's) begin a panel of their own. */
static trawl_status add_matrix(struct loader *l, struct tw_linear *linear, const char *name, size_t n, size_t k,
                               size_t group, struct trawl_error *err)
{
    const struct tw_safetensors_tensor *t = NULL;
    TW_TRY(find(l, name, n, k, &t, err));
    TW_TRY(tw_grow(&l->jobs, &l->jobs_capacity, l->n_jobs + 1, sizeof *l->jobs, err));
    *linear = (struct tw_linear){.n = n, .k = k, .group = group, .group_panels = tw_ceil_div(group, TW_PANEL)};
    l->jobs[l->n_jobs++] = (struct job){.tensor = t, .linear = linear, .first_element = l->elements};
    l->elements += tw_linear_panels(linear) * tw_panel_elements(k);
    if (t->dtype != TW_DTYPE_BF16 && l->model->compute == TW_DTYPE_F32) {
        l->model->weight = TW_DTYPE_F32; /* bf16 panels could not hold these weights exactly */
    }
    return TRAWL_OK;
}

/* A vector of n values; for biases of padded heads in groups, each rounded up to whole panels. */
static trawl_status add_vector(struct loader *l, float **to, const char *name, size_t n, size_t group, size_t stride,
                               struct trawl_error *err)
{
    const struct tw_safetensors_tensor *t = NULL;
    TW_TRY(find(l, name, n, 0, &t, err));
    TW_TRY(tw_grow(&l->vectors, &l->vectors_capacity, l->n_vectors + 1, sizeof *l->vectors, err));
    l->vectors[l->n_vectors++] = (struct vector_job){t, to, l->floats, n, group, stride};
    l->floats += tw_round_up(n / group * stride, TW_PANEL);
    return TRAWL_OK;
}

static trawl_status add_bias(struct loader *l, struct tw_linear *linear, const char *name, struct trawl_error *err)
{
    return add_vector(l, &linear->bias, name, linear->n, linear->group, linear->group_panels * TW_PANEL, err);
}

static trawl_status add_layer(struct loader *l, size_t index, struct trawl_error *err)
{
    const struct tw_model_config *c = &l->model->config;
    struct tw_layer              *y = &l->model->layers[index];
    size_t q = c->n_heads * c->head_dim, kv = c->n_kv_heads * c->head_dim, d = c->head_dim;
    char   name[128];
#define NAME(suffix) ((void)snprintf(name, sizeof name, "model.layers.%zu.%s", index, suffix), name)
    TW_TRY(add_vector(l, &y->input_norm, NAME("input_layernorm.weight"), c->hidden, c->hidden, c->hidden, err));
    TW_TRY(add_matrix(l, &y->q, NAME("self_attn.q_proj.weight"), q, c->hidden, d, err));
    TW_TRY(add_matrix(l, &y->k, NAME("self_attn.k_proj.weight"), kv, c->hidden, d, err));
    TW_TRY(add_matrix(l, &y->v, NAME("self_attn.v_proj.weight"), kv, c->hidden, d, err));
    if (c->qkv_bias) {
        TW_TRY(add_bias(l, &y->q, NAME("self_attn.q_proj.bias"), err));
        TW_TRY(add_bias(l, &y->k, NAME("self_attn.k_proj.bias"), err));
        TW_TRY(add_bias(l, &y->v, NAME("self_attn.v_proj.bias"), err));
    }
    if (c->qk_norm) {
        TW_TRY(add_vector(l, &y->q_norm, NAME("self_attn.q_norm.weight"), d, d, d, err));
        TW_TRY(add_vector(l, &y->k_norm, NAME("self_attn.k_norm.weight"), d, d, d, err));
    }
    TW_TRY(add_matrix(l, &y->o, NAME("self_attn.o_proj.weight"), c->hidden, q, c->hidden, err));
    if (c->o_bias) {
        TW_TRY(add_bias(l, &y->o, NAME("self_attn.o_proj.bias"), err));
    }
    TW_TRY(add_vector(l, &y->post_norm, NAME("post_attention_layernorm.weight"), c->hidden, c->hidden, c->hidden, err));
    TW_TRY(add_matrix(l, &y->gate, NAME("mlp.gate_proj.weight"), c->intermediate, c->hidden, c->intermediate, err));
    TW_TRY(add_matrix(l, &y->up, NAME("mlp.up_proj.weight"), c->intermediate, c->hidden, c->intermediate, err));
    TW_TRY(add_matrix(l, &y->down, NAME("mlp.down_proj.weight"), c->hidden, c->intermediate, c->hidden, err));
#undef NAME
    return TRAWL_OK;
}

static trawl_status add_all(struct loader *l, struct trawl_error *err)
{
    struct tw_model              *m = l->model;
    const struct tw_model_config *c = &m->config;
    const struct tw_safetensors_tensor       *embed = NULL;
    TW_TRY(find(l, "model.embed_tokens.weight", c->vocab, c->hidden, &embed, err));
    m->embed       = embed->data;
    m->embed_dtype = embed->dtype;
    for (size_t i = 0; i < c->n_layers; i++) {
        TW_TRY(add_layer(l, i, err));
    }
    TW_TRY(add_vector(l, &m->final_norm, "model.norm.weight", c->hidden, c->hidden, c->hidden, err));
    return add_matrix(l, &m->head, c->tied ? "model.embed_tokens.weight" : "lm_head.weight", c->vocab, c->hidden, c->vocab,
                      err);
}

/* ---- packing ---- */

static bool all_finite(const void *data, enum tw_dtype dtype, size_t n)
{
    uint32_t worst = 0;
    if (dtype == TW_DTYPE_F32) {
        for (size_t i = 0; i < n; i++) {
            uint32_t u;
            memcpy(&u, (const uint8_t *)data + 4 * i, 4);
            u &= 0x7F800000u;
            worst = u > worst ? u : worst;
        }
        return worst < 0x7F800000u;
    }
    uint32_t exponent = dtype == TW_DTYPE_BF16 ? 0x7F80u : 0x7C00u;
    uint16_t most     = 0;
    for (size_t i = 0; i < n; i++) {
        uint16_t u;
        memcpy(&u, (const uint8_t *)data + 2 * i, 2);
        u    = (uint16_t)(u & exponent);
        most = u > most ? u : most;
    }
    return most < exponent;
}

enum { PIECE_PANELS = 16 }; /* panels of one piece of work */

/* Pack panels [begin, end) of a job. */
static void pack_piece(struct loader *l, size_t index, size_t begin, size_t end, uint64_t *hash)
{
    const struct job       *job    = &l->jobs[index];
    const struct tw_linear *linear = job->linear;
    size_t                  size   = tw_dtype_bytes(job->tensor->dtype);
    for (size_t p = begin; p < end; p++) {
        size_t group = p / linear->group_panels, column = p % linear->group_panels * TW_PANEL;
        size_t row = group * linear->group + column;
        size_t n   = tw_min_size(TW_PANEL, linear->group - column);
        const uint8_t *from = (const uint8_t *)job->tensor->data + row * linear->k * size;
        uint8_t *to = (uint8_t *)linear->panels + p * tw_panel_elements(linear->k) * tw_dtype_bytes(l->model->weight);
        tw_pack_weight(to, l->model->weight, from, job->tensor->dtype, linear->k, n, linear->k);
        if (!all_finite(from, job->tensor->dtype, n * linear->k)) {
            atomic_store_explicit(&l->bad[index], 1, memory_order_relaxed);
        }
        *hash = *hash * 0x9E3779B97F4A7C15u + tw_hash64(from, n * linear->k * size);
    }
}

static void pack_main(void *arg, int thread, int n_threads)
{
    struct loader *l = arg;
    (void)thread;
    (void)n_threads;
    size_t base = 0, ticket = atomic_fetch_add(&l->next, 1);
    for (size_t j = 0; j < l->n_jobs; j++) {
        size_t panels = tw_linear_panels(l->jobs[j].linear);
        size_t pieces = tw_ceil_div(panels, PIECE_PANELS);
        while (ticket - base < pieces) {
            size_t begin = (ticket - base) * PIECE_PANELS;
            pack_piece(l, j, begin, tw_min_size(begin + PIECE_PANELS, panels), &l->hashes[ticket]);
            ticket = atomic_fetch_add(&l->next, 1);
        }
        base += pieces;
    }
}

static float value_at(const struct tw_safetensors_tensor *t, size_t i)
{
    uint16_t half;
    float    f;
    if (t->dtype == TW_DTYPE_F32) {
        memcpy(&f, (const uint8_t *)t->data + 4 * i, 4);
        return f;
    }
    memcpy(&half, (const uint8_t *)t->data + 2 * i, 2);
    return t->dtype == TW_DTYPE_BF16 ? tw_bf16_to_f32(half) : tw_f16_to_f32(half);
}

static void warn_not_finite(const struct loader *l, const struct tw_safetensors_tensor *t)
{
    tw_log(l->log, TW_LOG_WARNING, "%s: tensor \"%s\" has values that are not finite", t->file, t->name);
}

static void copy_vectors(struct loader *l)
{
    for (size_t j = 0; j < l->n_vectors; j++) {
        const struct vector_job *v  = &l->vectors[j];
        float                   *to = l->model->vectors + v->offset;
        bool                     ok = true;
        for (size_t i = 0; i < v->n; i++) {
            float x = value_at(v->tensor, i);
            ok      = ok && isfinite(x);
            to[i / v->group * v->stride + i % v->group] = x;
        }
        *v->to = to;
        if (!ok) {
            warn_not_finite(l, v->tensor);
        }
    }
}

static trawl_status pack_all(struct loader *l, int n_threads, struct trawl_error *err)
{
    struct tw_model *m    = l->model;
    size_t           size = tw_dtype_bytes(m->weight);
    if (!tw_size_mul(l->elements, size, &m->panels_bytes)) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "%s: the weights do not fit in the address space", m->folder);
    }
    TW_TRY(tw_big_alloc(m->panels_bytes, &m->panels, err));
    TW_TRY(tw_alloc(l->floats, sizeof *m->vectors, &m->vectors, err));
    TW_TRY(tw_alloc(l->n_jobs, sizeof *l->bad, &l->bad, err));
    for (size_t j = 0; j < l->n_jobs; j++) {
        l->jobs[j].linear->panels = (uint8_t *)m->panels + l->jobs[j].first_element * size;
        l->n_pieces += tw_ceil_div(tw_linear_panels(l->jobs[j].linear), PIECE_PANELS);
    }
    TW_TRY(tw_alloc(l->n_pieces, sizeof *l->hashes, &l->hashes, err));
    copy_vectors(l);
    struct tw_team *team = NULL;
    TW_TRY(tw_team_new(&team, n_threads, tw_wait_policy_for(n_threads), NULL, err));
    tw_team_run(team, pack_main, l);
    tw_team_free(team);
    for (size_t j = 0; j < l->n_jobs; j++) {
        if (atomic_load(&l->bad[j]) != 0) {
            warn_not_finite(l, l->jobs[j].tensor);
        }
    }
    m->fingerprint = tw_hash64(l->hashes, l->n_pieces * sizeof *l->hashes) ^
                     tw_hash64(m->vectors, l->floats * sizeof *m->vectors);
    return TRAWL_OK;
}

/* ---- the model ---- */

static trawl_status load(struct loader *l, const char *folder, int n_threads, struct trawl_error *err)
{
    struct tw_model *m = l->model;
    TW_TRY(tw_strdup(folder, &m->folder, err));
    TW_TRY(tw_model_config_read(&m->config, folder, err));
    TW_TRY(tw_alloc(m->config.head_dim / 2, sizeof *m->inverse_frequency, &m->inverse_frequency, err));
    tw_model_config_rope(&m->config, m->inverse_frequency);
    TW_TRY(tw_alloc(m->config.n_layers, sizeof *m->layers, &m->layers, err));
    TW_TRY(tw_safetensors_open(&m->files, folder, err));
    TW_TRY(add_all(l, err));
    return pack_all(l, n_threads, err);
}

trawl_status tw_model_load(struct tw_model **out, const char *folder, enum tw_dtype compute, int n_threads,
                           const struct tw_log *log, struct trawl_error *err)
{
    struct loader l = {.log = log};
    *out            = NULL;
    TW_TRY(tw_alloc(1, sizeof *l.model, &l.model, err));
    l.model->compute    = compute;
    l.model->weight     = TW_DTYPE_BF16;
    trawl_status status = load(&l, folder, n_threads, err);
    tw_free(l.jobs);
    tw_free(l.vectors);
    tw_free((void *)l.bad);
    tw_free(l.hashes);
    if (status != TRAWL_OK) {
        tw_model_free(l.model);
        return status;
    }
    *out = l.model;
    return TRAWL_OK;
}

void tw_model_free(struct tw_model *m)
{
    if (m == NULL) {
        return;
    }
    tw_safetensors_close(m->files);
    tw_big_free(m->panels, m->panels_bytes);
    tw_free(m->vectors);
    tw_free(m->layers);
    tw_free(m->inverse_frequency);
    tw_free(m->folder);
    tw_free(m);
}

void tw_model_embed(const struct tw_model *m, const struct tw_kernels *k, int32_t token, float *x)
{
    size_t         n    = m->config.hidden;
    const uint8_t *from = m->embed + (size_t)token * n * tw_dtype_bytes(m->embed_dtype);
    if (m->embed_dtype == TW_DTYPE_BF16) {
        k->widen(x, (const uint16_t *)(const void *)from, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint16_t half;
        if (m->embed_dtype == TW_DTYPE_F32) {
            memcpy(&x[i], from + 4 * i, 4);
        } else {
            memcpy(&half, from + 2 * i, 2);
            x[i] = tw_f16_to_f32(half);
        }
        if (m->compute == TW_DTYPE_BF16) {
            x[i] = tw_bf16_to_f32(tw_bf16_from_f32(x[i]));
        }
    }
}
