/* SPDX-License-Identifier: MIT */
#include "mesh/mesh_shard.h"

#include <stdint.h>
#include <stdio.h>

#include "base/size.h"

/* Far above any model, far below where products of two of them overflow. */
#define DIMENSION_MAX ((size_t)1 << 24)
#define LAYERS_MAX    ((size_t)1 << 16)

static bool is_power_of_two(int n)
{
    return n > 0 && (n & (n - 1)) == 0;
}

static trawl_status check_number(const char *name, size_t value, size_t max, struct trawl_error *err)
{
    if (value < 1 || value > max) {
        return tw_fail(err, TRAWL_ERR_INVALID, "model: %s is %zu, expected 1 to %zu", name, value, max);
    }
    return TRAWL_OK;
}

static trawl_status check_model(const struct tw_mesh_model *m, struct trawl_error *err)
{
    TW_TRY(check_number("hidden size", m->hidden, DIMENSION_MAX, err));
    TW_TRY(check_number("number of attention heads", m->n_q_heads, DIMENSION_MAX, err));
    TW_TRY(check_number("number of key-value heads", m->n_kv_heads, m->n_q_heads, err));
    TW_TRY(check_number("head dimension", m->head_dim, DIMENSION_MAX / m->n_q_heads, err));
    TW_TRY(check_number("intermediate size", m->intermediate, DIMENSION_MAX, err));
    TW_TRY(check_number("vocabulary size", m->vocab, DIMENSION_MAX, err));
    TW_TRY(check_number("number of layers", m->n_layers, LAYERS_MAX, err));
    if (m->n_q_heads % m->n_kv_heads != 0) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "model: %zu attention heads are no multiple of %zu key-value heads", m->n_q_heads,
                       m->n_kv_heads);
    }
    if (m->tree_leaves != 8 && m->tree_leaves != 16 && m->tree_leaves != 32) {
        return tw_fail(err, TRAWL_ERR_INVALID, "tree leaves: %d, expected 8, 16 or 32", m->tree_leaves);
    }
    TW_BUG_ON((unsigned)m->embedding > TW_MESH_EMBED_VOCAB);
    return TRAWL_OK;
}

int tw_mesh_degree_max(const struct tw_mesh_model *model)
{
    int degree = 1;
    while (degree * 2 <= model->tree_leaves && (size_t)degree * 2 <= model->n_q_heads) {
        degree *= 2;
    }
    return degree;
}

/* "1", "1 or 2", "1, 2, 4 or 8" */
static void list_degrees(int max, char *text, size_t size)
{
    int at = snprintf(text, size, "1");
    for (int degree = 2; degree <= max; degree *= 2) {
        at += snprintf(text + at, size - (size_t)at, degree == max ? " or %d" : ", %d", degree);
    }
}

trawl_status tw_mesh_check(const struct tw_mesh_model *model, struct tw_mesh mesh, struct trawl_error *err)
{
    TW_TRY(check_model(model, err));
    if (mesh.data < 1 || mesh.model < 1 || mesh.data > TW_MESH_RANKS_MAX ||
        mesh.model > TW_MESH_RANKS_MAX / mesh.data) {
        return tw_fail(err, TRAWL_ERR_INVALID, "mesh %dx%d: expected 1 to %d devices", mesh.data, mesh.model,
                       TW_MESH_RANKS_MAX);
    }
    int max = tw_mesh_degree_max(model);
    if (!is_power_of_two(mesh.model) || mesh.model > max) {
        char degrees[64];
        list_degrees(max, degrees, sizeof degrees);
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "mesh %dx%d: this model (%zu attention heads, %d tree leaves) can be split over %s "
                       "devices, not over %d",
                       mesh.data, mesh.model, model->n_q_heads, model->tree_leaves, degrees, mesh.model);
    }
    return TRAWL_OK;
}

struct tw_mesh_shard tw_mesh_shard_of(const struct tw_mesh_model *model, int degree, int rank)
{
    struct tw_mesh_shard s = {
        .degree       = degree,
        .rank         = rank,
        .leaves       = tw_mesh_leaves(model->tree_leaves, degree, rank),
        .q_heads      = tw_mesh_halving(model->n_q_heads, degree, rank),
        .intermediate = tw_mesh_halving_clipped(model->intermediate, TW_MESH_INTERMEDIATE_UNIT, degree, rank),
        .vocab        = tw_mesh_halving_clipped(model->vocab, TW_MESH_VOCAB_UNIT, degree, rank),
        .hidden       = tw_mesh_halving_clipped(model->hidden, TW_MESH_HIDDEN_UNIT, degree, rank),
    };
    /* A possible degree leaves no rank without a query head. */
    s.kv_heads =
        (struct tw_range){tw_mesh_kv_of(model, s.q_heads.begin), tw_mesh_kv_of(model, s.q_heads.end - 1) + 1};
    size_t group   = model->n_q_heads / model->n_kv_heads;
    s.own_kv_heads = (struct tw_range){tw_ceil_div(s.q_heads.begin, group), s.kv_heads.end};
    return s;
}

struct tw_range tw_mesh_o_leaf(const struct tw_mesh_model *model, int leaf)
{
    struct tw_range heads = tw_mesh_halving(model->n_q_heads, model->tree_leaves, leaf);
    return (struct tw_range){heads.begin * model->head_dim, heads.end * model->head_dim};
}

struct tw_range tw_mesh_down_leaf(const struct tw_mesh_model *model, int leaf)
{
    return tw_mesh_halving_clipped(model->intermediate, TW_MESH_INTERMEDIATE_UNIT, model->tree_leaves, leaf);
}
