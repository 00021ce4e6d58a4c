/* SPDX-License-Identifier: MIT */
#include "mesh/mesh_memory.h"

#include <stdint.h>

#include "base/size.h"
#include "mesh/mesh_params.h"

enum { TILE_ROWS = 16, TILE_PAIR = 2, F32 = 4 };

/* A sum of products that remembers whether it ever overflowed. */
struct sum {
    size_t value;
    bool overflow;
};

static void add_product(struct sum *s, size_t a, size_t b, size_t c)
{
    size_t ab  = 0;
    size_t abc = 0;
    if (!tw_size_mul(a, b, &ab) || !tw_size_mul(ab, c, &abc) || !tw_size_add(s->value, abc, &s->value)) {
        s->overflow = true;
    }
}

/* Bytes of one parameter's part as packed: matrices in tiles, vectors in f32. */
static void add_param(struct sum *s, const struct tw_mesh_param *p, size_t held, size_t weight_bytes,
                      size_t times)
{
    if (p->n_dims == 1) {
        add_product(s, held, F32, times);
        return;
    }
    size_t in  = p->axis == 0 ? held : p->shape[0];
    size_t out = p->axis == 1 ? held : p->shape[1];
    add_product(s, tw_round_up(out, TILE_ROWS) * tw_round_up(in, TILE_PAIR), weight_bytes, times);
}

/* The layers are alike: count the first one n_layers times. rank < 0: the whole model, once. */
static void add_weights(struct sum *s, const struct tw_mesh_model *model, int degree, int rank,
                        size_t weight_bytes)
{
    struct tw_mesh_model one = *model;
    one.n_layers             = 1;
    size_t n                 = tw_mesh_param_count(&one);
    size_t in_layer_end      = n - 1 - !model->tied;
    for (size_t i = 0; i < n; i++) {
        struct tw_mesh_param p = tw_mesh_param_at(&one, i);
        struct tw_range r      = tw_mesh_param_range(&one, &p, degree, rank);
        size_t times           = i > 0 && i < in_layer_end ? model->n_layers : 1;
        add_param(s, &p, tw_range_size(r), weight_bytes, times);
    }
    if (model->tied && degree > 1) {
        /* One table serves both ends, but a split head reads other parts of it than the split embedding. */
        size_t rows = tw_range_size(tw_mesh_shard_of(model, degree, rank).vocab);
        add_product(s, tw_round_up(rows, TILE_ROWS) * tw_round_up(model->hidden, TILE_PAIR), weight_bytes, 1);
    }
}

static void add_kv(struct sum *s, const struct tw_mesh_model *model, const struct tw_mesh_shard *shard,
                   const struct tw_mesh_load *load)
{
    size_t per_token = 0;
    size_t tokens    = 0;
    size_t row = 2 * tw_range_size(shard->kv_heads) * model->head_dim; /* keys and values of one layer */
    if (load->max_len > SIZE_MAX - load->page_tokens ||
        !tw_size_mul(row * model->n_layers, load->kv_bytes, &per_token) ||
        !tw_size_mul(tw_round_up(load->max_len, load->page_tokens), load->batch, &tokens)) {
        s->overflow = true;
        return;
    }
    add_product(s, per_token, tokens, 1);
}

static void add_scratch(struct sum *s, const struct tw_mesh_model *model, const struct tw_mesh_shard *shard,
                        const struct tw_mesh_load *load)
{
    size_t rows    = tw_max_size(load->step_tokens, load->batch);
    size_t per_row = 5 * model->hidden + 2 * tw_range_size(shard->q_heads) * model->head_dim +
                     2 * tw_range_size(shard->kv_heads) * model->head_dim +
                     2 * tw_range_size(shard->intermediate);
    add_product(s, rows, per_row, F32);
    add_product(s, load->batch, tw_range_size(shard->vocab), F32);
}

static trawl_status check_load(const struct tw_mesh_load *load, struct trawl_error *err)
{
    const struct {
        const char *name;
        size_t value;
    } numbers[] = {{"bytes per weight", load->weight_bytes},
                   {"bytes per cached element", load->kv_bytes},
                   {"batch size", load->batch},
                   {"sequence length", load->max_len},
                   {"tokens per step", load->step_tokens},
                   {"tokens per page", load->page_tokens}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (numbers[i].value == 0) {
            return tw_fail(err, TRAWL_ERR_INVALID, "memory plan: %s is 0, expected at least 1",
                           numbers[i].name);
        }
    }
    return TRAWL_OK;
}

trawl_status tw_mesh_memory_plan(const struct tw_mesh_model *model, struct tw_mesh mesh,
                                 const struct tw_mesh_load *load, struct tw_mesh_memory *out,
                                 struct trawl_error *err)
{
    TW_TRY(tw_mesh_check(model, mesh, err));
    TW_TRY(check_load(load, err));
    struct tw_mesh_memory most = {0};
    struct sum process         = {0, false};
    add_weights(&process, model, 1, 0, load->weight_bytes);
    bool overflow = false;
    for (int rank = 0; rank < mesh.model; rank++) {
        struct tw_mesh_shard shard = tw_mesh_shard_of(model, mesh.model, rank);
        struct sum weights         = {0, false};
        struct sum kv              = {0, false};
        struct sum scratch         = {0, false};
        add_weights(&weights, model, mesh.model, rank, load->weight_bytes);
        add_kv(&kv, model, &shard, load);
        add_scratch(&scratch, model, &shard, load);
        struct sum total = {0, weights.overflow || kv.overflow || scratch.overflow};
        add_product(&total, weights.value, 1, 1);
        add_product(&total, kv.value, 1, 1);
        add_product(&total, scratch.value, 1, 1);
        add_product(&process, kv.value, (size_t)mesh.data, 1);
        add_product(&process, scratch.value, (size_t)mesh.data, 1);
        overflow = overflow || total.overflow;
        if (total.value > most.total) {
            most = (struct tw_mesh_memory){weights.value, kv.value, scratch.value, total.value, rank, 0};
        }
    }
    if (overflow || process.overflow) {
        return tw_fail(err, TRAWL_ERR_LIMIT,
                       "memory plan: %zu sequences of %zu tokens need more bytes than this machine can count",
                       load->batch, load->max_len);
    }
    most.process_total = process.value;
    *out               = most;
    return TRAWL_OK;
}

static double gib(size_t bytes)
{
    return (double)bytes / (1024.0 * 1024.0 * 1024.0);
}

trawl_status tw_mesh_memory_fits(struct tw_mesh mesh, const struct tw_mesh_memory *memory,
                                 size_t device_bytes, struct trawl_error *err)
{
    if (memory->total <= device_bytes) {
        return TRAWL_OK;
    }
    return tw_fail(
        err, TRAWL_ERR_LIMIT,
        "mesh %dx%d does not fit: a device needs %.3f GiB (weights %.3f, KV cache %.3f, step buffers "
        "%.3f) and has %.3f GiB",
        mesh.data, mesh.model, gib(memory->total), gib(memory->weights), gib(memory->kv),
        gib(memory->scratch), gib(device_bytes));
}

trawl_status tw_mesh_suggest(const struct tw_mesh_model *model, int devices, const struct tw_mesh_load *load,
                             size_t device_bytes, struct tw_mesh *out, struct tw_mesh_memory *memory,
                             struct trawl_error *err)
{
    if (devices < 1 || devices > TW_MESH_RANKS_MAX) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%d devices, expected 1 to %d", devices, TW_MESH_RANKS_MAX);
    }
    TW_TRY(tw_mesh_check(model, (struct tw_mesh){1, 1}, err));
    int max                    = tw_mesh_degree_max(model);
    struct tw_mesh_memory best = {0};
    int best_model             = 0;
    for (int degree = 1; degree <= max && degree <= devices; degree *= 2) {
        struct tw_mesh mesh = {devices / degree, degree};
        struct tw_mesh_memory need;
        TW_TRY(tw_mesh_memory_plan(model, mesh, load, &need, err));
        if (need.total <= device_bytes) {
            *out    = mesh;
            *memory = need;
            return TRAWL_OK;
        }
        if (best_model == 0 || need.total < best.total) {
            best       = need;
            best_model = degree;
        }
    }
    return tw_fail(
        err, TRAWL_ERR_LIMIT,
        "no mesh of %d devices fits: at best, split over %d, a device needs %.3f GiB (weights %.3f, "
        "KV cache %.3f, step buffers %.3f) and has %.3f GiB",
        devices, best_model, gib(best.total), gib(best.weights), gib(best.kv), gib(best.scratch),
        gib(device_bytes));
}

size_t tw_mesh_traffic_bytes(const struct tw_mesh_model *model, int degree)
{
    size_t steps = 0;
    while (1 << steps < degree) {
        steps++;
    }
    return model->n_layers * 2 * steps * model->hidden * F32;
}
