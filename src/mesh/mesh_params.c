/* SPDX-License-Identifier: MIT */
#include "mesh/mesh_params.h"

#include <stdio.h>

#define SPEC_REPLICATED "PartitionSpec()"
#define SPEC_VECTOR     "PartitionSpec('model')"
#define SPEC_MATRIX     "PartitionSpec(None, 'model')"
#define SPEC_ROWS       "PartitionSpec('model', None)"

enum dimension { DIM_HIDDEN, DIM_QUERIES, DIM_KEYS, DIM_HEAD, DIM_INTERMEDIATE, DIM_VOCAB, DIM_NONE };

/* One kind of parameter; `name` without the layer's prefix. */
struct row {
    const char *name;
    enum dimension first, second; /* DIM_NONE: a vector */
    int axis;
    enum tw_mesh_cut cut;
    enum { ALWAYS, WITH_QKV_BIAS, WITH_QK_NORM } when;
};

static const struct row layer_rows[] = {
    {"input_layernorm", DIM_HIDDEN, DIM_NONE, -1, TW_MESH_CUT_NONE, ALWAYS},
    {"self_attn_q_proj", DIM_HIDDEN, DIM_QUERIES, 1, TW_MESH_CUT_Q_HEADS, ALWAYS},
    {"self_attn_q_proj_bias", DIM_QUERIES, DIM_NONE, 0, TW_MESH_CUT_Q_HEADS, WITH_QKV_BIAS},
    {"self_attn_k_proj", DIM_HIDDEN, DIM_KEYS, 1, TW_MESH_CUT_KV_HEADS, ALWAYS},
    {"self_attn_k_proj_bias", DIM_KEYS, DIM_NONE, 0, TW_MESH_CUT_KV_HEADS, WITH_QKV_BIAS},
    {"self_attn_v_proj", DIM_HIDDEN, DIM_KEYS, 1, TW_MESH_CUT_KV_HEADS, ALWAYS},
    {"self_attn_v_proj_bias", DIM_KEYS, DIM_NONE, 0, TW_MESH_CUT_KV_HEADS, WITH_QKV_BIAS},
    {"self_attn_q_norm", DIM_HEAD, DIM_NONE, -1, TW_MESH_CUT_NONE, WITH_QK_NORM},
    {"self_attn_k_norm", DIM_HEAD, DIM_NONE, -1, TW_MESH_CUT_NONE, WITH_QK_NORM},
    {"self_attn_o_proj", DIM_QUERIES, DIM_HIDDEN, 0, TW_MESH_CUT_Q_HEADS, ALWAYS},
    {"post_attention_layernorm", DIM_HIDDEN, DIM_NONE, -1, TW_MESH_CUT_NONE, ALWAYS},
    {"mlp_gate_proj", DIM_HIDDEN, DIM_INTERMEDIATE, 1, TW_MESH_CUT_INTERMEDIATE, ALWAYS},
    {"mlp_up_proj", DIM_HIDDEN, DIM_INTERMEDIATE, 1, TW_MESH_CUT_INTERMEDIATE, ALWAYS},
    {"mlp_down_proj", DIM_INTERMEDIATE, DIM_HIDDEN, 0, TW_MESH_CUT_INTERMEDIATE, ALWAYS},
};
enum { LAYER_ROWS = sizeof layer_rows / sizeof layer_rows[0] };

/* By enum tw_mesh_embedding. */
static const struct row embed_rows[] = {
    {"embed_tokens", DIM_VOCAB, DIM_HIDDEN, 1, TW_MESH_CUT_HIDDEN, ALWAYS},
    {"embed_tokens", DIM_VOCAB, DIM_HIDDEN, -1, TW_MESH_CUT_NONE, ALWAYS},
    {"embed_tokens", DIM_VOCAB, DIM_HIDDEN, 0, TW_MESH_CUT_VOCAB, ALWAYS},
};
static const struct row norm_row = {"norm", DIM_HIDDEN, DIM_NONE, -1, TW_MESH_CUT_NONE, ALWAYS};
static const struct row head_row = {"lm_head", DIM_HIDDEN, DIM_VOCAB, 1, TW_MESH_CUT_VOCAB, ALWAYS};

static size_t dimension_of(const struct tw_mesh_model *m, enum dimension d)
{
    switch (d) {
    case DIM_HIDDEN: return m->hidden;
    case DIM_QUERIES: return m->n_q_heads * m->head_dim;
    case DIM_KEYS: return m->n_kv_heads * m->head_dim;
    case DIM_HEAD: return m->head_dim;
    case DIM_INTERMEDIATE: return m->intermediate;
    case DIM_VOCAB: return m->vocab;
    case DIM_NONE: break;
    }
    return 1;
}

static bool present(const struct tw_mesh_model *m, const struct row *row)
{
    return row->when == ALWAYS || (row->when == WITH_QKV_BIAS ? m->qkv_bias : m->qk_norm);
}

static size_t rows_per_layer(const struct tw_mesh_model *m)
{
    size_t n = 0;
    for (size_t i = 0; i < LAYER_ROWS; i++) {
        n += present(m, &layer_rows[i]);
    }
    return n;
}

size_t tw_mesh_param_count(const struct tw_mesh_model *model)
{
    return 1 + model->n_layers * rows_per_layer(model) + 1 + !model->tied;
}

static struct tw_mesh_param make_param(const struct tw_mesh_model *m, const struct row *row)
{
    struct tw_mesh_param p = {.axis = row->axis, .cut = row->cut};
    p.shape[0]             = dimension_of(m, row->first);
    p.shape[1]             = dimension_of(m, row->second);
    p.n_dims               = row->second == DIM_NONE ? 1 : 2;
    bool embedding         = row >= embed_rows && row < embed_rows + sizeof embed_rows / sizeof embed_rows[0];
    p.stored_transposed    = p.n_dims == 2 && !embedding;
    if (row->axis < 0) {
        p.spec = SPEC_REPLICATED;
    } else if (p.n_dims == 1) {
        p.spec = SPEC_VECTOR;
    } else {
        p.spec = embedding && row->axis == 0 ? SPEC_ROWS : SPEC_MATRIX;
    }
    (void)snprintf(p.name, sizeof p.name, "%s", row->name);
    return p;
}

struct tw_mesh_param tw_mesh_param_at(const struct tw_mesh_model *model, size_t index)
{
    size_t per_layer = rows_per_layer(model);
    if (index == 0) {
        return make_param(model, &embed_rows[model->embedding]);
    }
    size_t layer = (index - 1) / per_layer;
    if (layer >= model->n_layers) {
        return make_param(model, index == 1 + model->n_layers * per_layer ? &norm_row : &head_row);
    }
    size_t left = (index - 1) % per_layer;
    size_t i    = 0;
    while (!present(model, &layer_rows[i]) || left > 0) {
        left -= present(model, &layer_rows[i]);
        i++;
    }
    struct tw_mesh_param p = make_param(model, &layer_rows[i]);
    (void)snprintf(p.name, sizeof p.name, "layers_%zu_%s", layer, layer_rows[i].name);
    return p;
}

/* ---- what a rank holds ---- */

static struct tw_range scale(struct tw_range r, size_t by)
{
    return (struct tw_range){r.begin * by, r.end * by};
}

struct tw_range tw_mesh_param_range(const struct tw_mesh_model *model, const struct tw_mesh_param *param,
                                    int degree, int rank)
{
    struct tw_mesh_shard s = tw_mesh_shard_of(model, degree, rank);
    switch (param->cut) {
    case TW_MESH_CUT_Q_HEADS: return scale(s.q_heads, model->head_dim);
    case TW_MESH_CUT_KV_HEADS: return scale(s.kv_heads, model->head_dim);
    case TW_MESH_CUT_INTERMEDIATE: return s.intermediate;
    case TW_MESH_CUT_VOCAB: return s.vocab;
    case TW_MESH_CUT_HIDDEN: return s.hidden;
    case TW_MESH_CUT_NONE: break;
    }
    return (struct tw_range){0, param->shape[0]};
}

struct tw_mesh_bytes tw_mesh_param_bytes(const struct tw_mesh_model *model, const struct tw_mesh_param *param,
                                         int degree, int rank, size_t element_bytes)
{
    struct tw_range r = tw_mesh_param_range(model, param, degree, rank);
    if (tw_range_size(r) == 0) {
        return (struct tw_mesh_bytes){0, 0, 0, 0};
    }
    size_t columns  = param->n_dims == 1 ? 1 : param->shape[param->stored_transposed ? 0 : 1];
    size_t rows     = param->n_dims == 1 ? param->shape[0] : param->shape[param->stored_transposed ? 1 : 0];
    size_t row_size = columns * element_bytes;
    bool by_rows    = param->n_dims == 1 || (param->axis == 1) == param->stored_transposed;
    if (by_rows) {
        size_t run = tw_range_size(r) * row_size;
        return (struct tw_mesh_bytes){.offset = r.begin * row_size, .run = run, .stride = run, .count = 1};
    }
    return (struct tw_mesh_bytes){.offset = r.begin * element_bytes,
                                  .run    = tw_range_size(r) * element_bytes,
                                  .stride = row_size,
                                  .count  = rows};
}

/* ---- verification ---- */

/* Ranges come in ascending order of rank; copies may overlap, nothing may be left out. */
static trawl_status verify_param(const struct tw_mesh_model *model, const struct tw_mesh_param *param,
                                 int degree, struct trawl_error *err)
{
    size_t covered = 0;
    size_t size    = param->shape[param->axis];
    for (int rank = 0; rank < degree; rank++) {
        struct tw_range r = tw_mesh_param_range(model, param, degree, rank);
        if (r.begin > covered || r.end < r.begin || r.end > size) {
            return tw_fail(err, TRAWL_ERR_INVALID,
                           "%s: rank %d holds [%zu, %zu) of %zu, expected it to begin at %zu", param->name,
                           rank, r.begin, r.end, size, covered);
        }
        if (r.begin < covered && param->cut != TW_MESH_CUT_KV_HEADS) {
            return tw_fail(err, TRAWL_ERR_INVALID, "%s: element %zu is held by rank %d and another rank",
                           param->name, r.begin, rank);
        }
        covered = r.end > covered ? r.end : covered;
    }
    if (covered != size) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s: no rank holds element %zu of %zu", param->name, covered,
                       size);
    }
    return TRAWL_OK;
}

static bool holds_head(const struct tw_mesh_model *model, int degree, int rank, size_t head)
{
    struct tw_range r = tw_mesh_shard_of(model, degree, rank).kv_heads;
    return head >= r.begin && head < r.end;
}

static trawl_status list_copies(const struct tw_mesh_model *model, int degree, struct tw_str *out,
                                struct trawl_error *err)
{
    for (size_t head = 0; head < model->n_kv_heads; head++) {
        int holders = 0;
        for (int rank = 0; rank < degree; rank++) {
            holders += holds_head(model, degree, rank, head);
        }
        if (holders < 2) {
            continue;
        }
        TW_TRY(tw_str_printf(out, err, "KV head %zu: ranks", head));
        const char *separator = " ";
        for (int rank = 0; rank < degree; rank++) {
            if (holds_head(model, degree, rank, head)) {
                TW_TRY(tw_str_printf(out, err, "%s%d", separator, rank));
                separator = ", ";
            }
        }
        TW_TRY(tw_str_putc(out, '\n', err));
    }
    return TRAWL_OK;
}

trawl_status tw_mesh_verify(const struct tw_mesh_model *model, int degree, struct tw_str *copies,
                            struct trawl_error *err)
{
    size_t n = tw_mesh_param_count(model);
    for (size_t i = 0; i < n; i++) {
        struct tw_mesh_param param = tw_mesh_param_at(model, i);
        if (param.axis >= 0) {
            TW_TRY(verify_param(model, &param, degree, err));
        }
    }
    return copies == NULL ? TRAWL_OK : list_copies(model, degree, copies, err);
}

/* ---- text ---- */

trawl_status tw_mesh_format_axes(struct tw_mesh mesh, struct tw_str *out, struct trawl_error *err)
{
    return tw_str_printf(out, err, "Mesh axes: data=%d, model=%d\n", mesh.data, mesh.model);
}

trawl_status tw_mesh_format_param(const struct tw_mesh_param *param, struct tw_str *out,
                                  struct trawl_error *err)
{
    /* A Python tuple of one keeps its comma. */
    if (param->n_dims == 1) {
        return tw_str_printf(out, err, "  %s: shape=(%zu,), sharding=%s\n", param->name, param->shape[0],
                             param->spec);
    }
    return tw_str_printf(out, err, "  %s: shape=(%zu, %zu), sharding=%s\n", param->name, param->shape[0],
                         param->shape[1], param->spec);
}

trawl_status tw_mesh_format_ranges(const struct tw_mesh_model *model, const struct tw_mesh_param *param,
                                   int degree, struct tw_str *out, struct trawl_error *err)
{
    if (param->axis < 0) {
        return tw_str_puts(out, "    whole on every rank\n", err);
    }
    TW_TRY(tw_str_printf(out, err, "    split along %d:", param->axis));
    for (int rank = 0; rank < degree; rank++) {
        struct tw_range r = tw_mesh_param_range(model, param, degree, rank);
        TW_TRY(tw_str_printf(out, err, " [%zu,%zu)", r.begin, r.end));
    }
    return tw_str_putc(out, '\n', err);
}

trawl_status tw_mesh_format_params(const struct tw_mesh_model *model, struct tw_str *out,
                                   struct trawl_error *err)
{
    TW_TRY(tw_str_puts(out, "Verifying parameter sharding:\n", err));
    size_t n = tw_mesh_param_count(model);
    for (size_t i = 0; i < n; i++) {
        struct tw_mesh_param param = tw_mesh_param_at(model, i);
        TW_TRY(tw_mesh_format_param(&param, out, err));
    }
    return TRAWL_OK;
}

trawl_status tw_mesh_format_input(size_t rows, size_t columns, struct tw_str *out, struct trawl_error *err)
{
    return tw_str_printf(out, err,
                         "Sharding verification:\n"
                         "  Input shape: (%zu, %zu)\n"
                         "  Input sharding: PartitionSpec('data', None)\n"
                         "  Params sharding: " SPEC_MATRIX "\n",
                         rows, columns);
}
