/* SPDX-License-Identifier: MIT */
#include "mesh/mesh_memory.h"

#include <stdint.h>
#include <stdio.h>

#include "base/size.h"
#include "mesh/mesh_params.h"

enum { PANEL = 16, PAIR = 2, F32 = 4, LINE = 64, SEGMENT = 32 };

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

static void add_sum(struct sum *s, const struct sum *other, size_t times)
{
    s->overflow = s->overflow || other->overflow;
    add_product(s, other->value, times, 1);
}

/* ---- weights ---- */

/* Columns of a packed matrix: heads begin panels, so narrow heads are padded one by one. */
static size_t padded_columns(const struct tw_mesh_model *m, const struct tw_mesh_param *p, size_t columns)
{
    int last   = p->n_dims - 1;
    bool heads = p->axis == last && (p->cut == TW_MESH_CUT_Q_HEADS || p->cut == TW_MESH_CUT_KV_HEADS);
    return heads ? columns / m->head_dim * tw_round_up(m->head_dim, PANEL) : tw_round_up(columns, PANEL);
}

/* `times` matrices of columns x rows elements, as they are held. */
static void add_matrix(struct sum *s, size_t columns, size_t rows, size_t times,
                       const struct tw_mesh_load *load)
{
    struct sum plain = {0, false};
    add_product(&plain, columns, rows, load->weight_bytes);
    plain.value -= (size_t)((double)plain.value * (1 - load->weight_share));
    add_sum(s, &plain, times);
}

/* Bytes of one parameter's part as packed: matrices in panels, vectors in f32. */
static void add_param(struct sum *s, const struct tw_mesh_model *m, const struct tw_mesh_param *p,
                      size_t held, const struct tw_mesh_load *load, size_t times)
{
    if (p->n_dims == 1) {
        add_product(s, padded_columns(m, p, held), F32, times);
        return;
    }
    size_t in  = p->axis == 0 ? held : p->shape[0];
    size_t out = p->axis == 1 ? held : p->shape[1];
    add_matrix(s, padded_columns(m, p, out), tw_round_up(in, PAIR), times, load);
}

/* The layers are alike: count the first one n_layers times. */
static void add_weights(struct sum *s, const struct tw_mesh_model *model, int degree, int rank,
                        const struct tw_mesh_load *load)
{
    struct tw_mesh_model one = *model;
    one.n_layers             = 1;
    size_t n                 = tw_mesh_param_count(&one);
    size_t in_layer_end      = n - 1 - !model->tied;
    for (size_t i = 1; i < n; i++) {
        struct tw_mesh_param p = tw_mesh_param_at(&one, i);
        struct tw_range r      = tw_mesh_param_range(&one, &p, degree, rank);
        add_param(s, model, &p, tw_range_size(r), load, i < in_layer_end ? model->n_layers : 1);
    }
    if (model->tied) { /* the head's panels are packed whether or not its table is the embedding's */
        size_t rows = tw_range_size(tw_mesh_shard_of(model, degree, rank).vocab);
        add_matrix(s, tw_round_up(rows, PANEL), tw_round_up(model->hidden, PAIR), 1, load);
    }
}

static void add_embedding(struct sum *s, const struct tw_mesh_model *model, int degree, int rank,
                          size_t bytes)
{
    struct tw_mesh_param p = tw_mesh_param_at(model, 0);
    size_t held            = tw_range_size(tw_mesh_param_range(model, &p, degree, rank));
    size_t other           = p.axis < 0 ? p.shape[1] : p.shape[1 - p.axis];
    add_product(s, held, other, bytes);
}

/* ---- what a load needs ---- */

static void add_kv(struct sum *s, const struct tw_mesh_model *model, const struct tw_mesh_shard *shard,
                   const struct tw_mesh_load *load)
{
    size_t heads     = tw_range_size(shard->kv_heads);
    size_t length    = load->max_len;
    size_t per_token = 0;
    size_t tokens    = 0;
    if (load->kv == TW_MESH_KV_SEQUENCE && shard->degree > 1) {
        size_t spans = length / TW_MESH_KV_SPAN + (length % TW_MESH_KV_SPAN != 0);
        size_t mine  = tw_ceil_div(spans, (size_t)shard->degree) * TW_MESH_KV_SPAN;
        heads        = model->n_kv_heads;
        length       = tw_min_size(length, mine);
    }
    size_t row = 2 * heads * model->head_dim; /* keys and values of one layer */
    if (length > SIZE_MAX - load->page_tokens ||
        !tw_size_mul(row * model->n_layers, load->kv_bytes, &per_token) ||
        !tw_size_mul(tw_round_up(length, load->page_tokens), load->batch, &tokens)) {
        s->overflow = true;
        return;
    }
    add_product(s, per_token, tokens, 1);
}

/* A buffer of rows x columns floats, which begins at a cache line. */
static void add_rows(struct sum *s, size_t rows, size_t columns)
{
    struct sum buffer = {0, false};
    add_product(&buffer, rows, columns, F32);
    if (buffer.overflow || buffer.value > SIZE_MAX - LINE) {
        s->overflow = true;
        return;
    }
    add_product(s, tw_round_up(buffer.value, LINE), 1, 1);
}

static void add_activations(struct sum *s, const struct tw_mesh_model *model,
                            const struct tw_mesh_shard *shard, const struct tw_mesh_load *load)
{
    size_t rows = 0;
    if (!tw_size_add(load->chunk, load->batch, &rows)) {
        s->overflow = true;
        return;
    }
    size_t heads  = tw_range_size(shard->q_heads);
    size_t kv     = tw_range_size(shard->kv_heads);
    size_t middle = tw_range_size(shard->intermediate);
    size_t stride = tw_round_up(model->head_dim, PANEL);
    /* Residual stream and this device's part of a sum; in company a second part, in turn, and the whole sum. */
    for (int i = 0; i < (shard->degree > 1 ? 4 : 2); i++) {
        add_rows(s, rows, model->hidden);
    }
    add_rows(s, rows, heads * stride);          /* queries */
    add_rows(s, rows, kv * stride);             /* keys */
    add_rows(s, rows, kv * stride);             /* values */
    add_rows(s, rows, heads * model->head_dim); /* attention's result */
    add_rows(s, rows,
             tw_round_up(tw_max_size(model->hidden, heads * model->head_dim), PAIR)); /* a matmul's rows */
    add_rows(s, rows, tw_round_up(middle, PAIR));                                     /* down_proj's rows */
    add_rows(s, rows, model->head_dim / 2);                                           /* cosines */
    add_rows(s, rows, model->head_dim / 2);                                           /* sines */
    add_product(s, load->batch, SEGMENT, 1);
    add_product(s, load->extra_logit_rows, SEGMENT, 1);
}

static void add_logits(struct sum *s, const struct tw_mesh_shard *shard, const struct tw_mesh_load *load)
{
    add_product(s, load->batch, tw_range_size(shard->vocab), F32);
    add_product(s, load->extra_logit_rows, tw_range_size(shard->vocab), F32);
}

static trawl_status check_load(const struct tw_mesh_load *load, struct trawl_error *err)
{
    const struct {
        const char *name;
        size_t value;
    } numbers[] = {{"bytes per weight", load->weight_bytes},
                   {"bytes per element of the embedding", load->embed_bytes},
                   {"bytes per cached element", load->kv_bytes},
                   {"batch size", load->batch},
                   {"sequence length", load->max_len},
                   {"tokens per step", load->chunk},
                   {"tokens per page", load->page_tokens},
                   {"threads", load->threads}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (numbers[i].value == 0) {
            return tw_fail(err, TRAWL_ERR_INVALID, "memory plan: %s is 0, expected at least 1",
                           numbers[i].name);
        }
    }
    if (!(load->weight_share > 0 && load->weight_share <= 1)) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "memory plan: the share of the weights' bytes is %g, expected more than 0, at most 1",
                       load->weight_share);
    }
    return TRAWL_OK;
}

/* One device; *own is its part that no other device of a process shares. False: more than can be counted. */
static bool plan_device(const struct tw_mesh_model *model, int degree, int rank,
                        const struct tw_mesh_load *load, struct tw_mesh_memory *out, struct sum *own)
{
    struct tw_mesh_shard shard = tw_mesh_shard_of(model, degree, rank);
    struct sum weights = {0, false}, embedding = {0, false}, kv = {0, false}, activations = {0, false};
    struct sum scratch = {0, false}, logits = {0, false}, total = {0, false};
    add_weights(&weights, model, degree, rank, load);
    add_embedding(&embedding, model, degree, rank, load->embed_bytes);
    add_kv(&kv, model, &shard, load);
    add_activations(&activations, model, &shard, load);
    add_product(&scratch, load->threads, load->thread_bytes, 1);
    add_logits(&logits, &shard, load);
    add_sum(own, &kv, 1);
    add_sum(own, &activations, 1);
    add_sum(own, &scratch, 1);
    add_sum(own, &logits, 1);
    add_sum(&total, own, 1);
    add_sum(&total, &weights, 1);
    add_sum(&total, &embedding, 1);
    *out = (struct tw_mesh_memory){.weights     = weights.value,
                                   .embedding   = embedding.value,
                                   .kv          = kv.value,
                                   .activations = activations.value,
                                   .scratch     = scratch.value,
                                   .logits      = logits.value,
                                   .total       = total.value,
                                   .rank        = rank};
    return !total.overflow;
}

trawl_status tw_mesh_memory_plan(const struct tw_mesh_model *model, struct tw_mesh mesh,
                                 const struct tw_mesh_load *load, struct tw_mesh_memory *out,
                                 struct trawl_error *err)
{
    TW_TRY(tw_mesh_check(model, mesh, err));
    TW_TRY(check_load(load, err));
    struct tw_mesh_memory most = {0};
    struct sum process         = {0, false};
    add_weights(&process, model, 1, 0, load);
    add_embedding(&process, model, 1, 0, load->embed_bytes);
    for (int rank = 0; rank < mesh.model; rank++) {
        struct tw_mesh_memory device;
        struct sum own   = {0, false};
        process.overflow = !plan_device(model, mesh.model, rank, load, &device, &own) || process.overflow;
        add_sum(&process, &own, (size_t)mesh.data);
        if (device.total > most.total) {
            most = device;
        }
    }
    if (process.overflow) {
        return tw_fail(err, TRAWL_ERR_LIMIT,
                       "memory plan: %zu sequences of %zu tokens need more bytes than this machine can count",
                       load->batch, load->max_len);
    }
    most.process_total = process.value;
    *out               = most;
    return TRAWL_OK;
}

/* ---- does it fit ---- */

static double gib(size_t bytes)
{
    return (double)bytes / (1024.0 * 1024.0 * 1024.0);
}

static bool fits(const struct tw_mesh_memory *m, struct tw_mesh_budget budget)
{
    return (budget.device == 0 || m->total <= budget.device) &&
           (budget.process == 0 || m->process_total <= budget.process);
}

/* "a device needs 3.750 GiB (weights 3.000, ...) and has 2.000 GiB" */
static trawl_status refuse(struct trawl_error *err, const char *what, const struct tw_mesh_memory *m,
                           struct tw_mesh_budget budget)
{
    bool device = budget.device != 0 && m->total > budget.device;
    return tw_fail(
        err, TRAWL_ERR_LIMIT,
        "%s: %s needs %.3f GiB (for a device weights %.3f, embedding %.3f, KV cache %.3f, activations "
        "%.3f, scratch %.3f, logits %.3f) and has %.3f GiB",
        what, device ? "a device" : "the process", gib(device ? m->total : m->process_total), gib(m->weights),
        gib(m->embedding), gib(m->kv), gib(m->activations), gib(m->scratch), gib(m->logits),
        gib(device ? budget.device : budget.process));
}

trawl_status tw_mesh_memory_fits(struct tw_mesh mesh, const struct tw_mesh_memory *memory,
                                 struct tw_mesh_budget budget, struct trawl_error *err)
{
    char what[64];
    if (fits(memory, budget)) {
        return TRAWL_OK;
    }
    (void)snprintf(what, sizeof what, "mesh %dx%d does not fit", mesh.data, mesh.model);
    return refuse(err, what, memory, budget);
}

trawl_status tw_mesh_suggest(const struct tw_mesh_model *model, int devices, const struct tw_mesh_load *load,
                             struct tw_mesh_budget budget, struct tw_mesh *out, struct tw_mesh_memory *memory,
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
        if (fits(&need, budget)) {
            *out    = mesh;
            *memory = need;
            return TRAWL_OK;
        }
        if (best_model == 0 || need.total < best.total) {
            best       = need;
            best_model = degree;
        }
    }
    char what[96];
    (void)snprintf(what, sizeof what, "no mesh of %d devices fits; at best, split over %d", devices,
                   best_model);
    return refuse(err, what, &best, budget);
}

/* The largest value of `number`, a field of `load`, that fits. A plan never shrinks when it grows. */
static trawl_status largest(const struct tw_mesh_model *model, struct tw_mesh mesh, struct tw_mesh_load *load,
                            size_t *number, struct tw_mesh_budget budget, size_t limit, size_t *out,
                            struct trawl_error *err)
{
    size_t low = 0, high = limit; /* low fits, or is 0; nothing above high is asked for */
    TW_TRY(tw_mesh_check(model, mesh, err));
    TW_TRY(check_load(load, err));
    while (low < high) {
        struct tw_mesh_memory need;
        size_t middle = low + (high - low - 1) / 2 + 1;
        *number       = middle;
        if (tw_mesh_memory_plan(model, mesh, load, &need, NULL) == TRAWL_OK && fits(&need, budget)) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    *out = low;
    return TRAWL_OK;
}

trawl_status tw_mesh_largest_batch(const struct tw_mesh_model *model, struct tw_mesh mesh,
                                   const struct tw_mesh_load *load, struct tw_mesh_budget budget,
                                   size_t limit, size_t *out, struct trawl_error *err)
{
    struct tw_mesh_load l = *load;
    return largest(model, mesh, &l, &l.batch, budget, limit, out, err);
}

trawl_status tw_mesh_longest_length(const struct tw_mesh_model *model, struct tw_mesh mesh,
                                    const struct tw_mesh_load *load, struct tw_mesh_budget budget,
                                    size_t limit, size_t *out, struct trawl_error *err)
{
    struct tw_mesh_load l = *load;
    return largest(model, mesh, &l, &l.max_len, budget, limit, out, err);
}

/* ---- traffic ---- */

struct tw_mesh_traffic tw_mesh_traffic_of(const struct tw_mesh_model *model, int degree, enum tw_mesh_kv kv)
{
    size_t others = (size_t)degree - 1;
    size_t steps  = 0;
    while (1 << steps < degree) {
        steps++;
    }
    struct tw_mesh_traffic layer = {.bytes = 2 * steps * model->hidden * F32, .messages = 2 * steps};
    if (kv == TW_MESH_KV_SEQUENCE && degree > 1) {
        size_t heads = tw_ceil_div(model->n_q_heads, (size_t)degree); /* of the device with most */
        size_t rows  = model->n_q_heads + 2 * model->n_kv_heads;
        layer.bytes += (rows - rows / (size_t)degree) * model->head_dim * F32; /* queries, keys, values */
        layer.bytes += others * heads * (model->head_dim + 2) * F32;           /* max, sum and o of a head */
        layer.messages += 2 * others;
    }
    return (struct tw_mesh_traffic){model->n_layers * layer.bytes, model->n_layers * layer.messages};
}
