/* SPDX-License-Identifier: MIT */
#include "cli/plan/plan_speed.h"

#include "base/size.h"

/* The part of a step that matrix products, with the barriers between them, and attention take; norms, rotation,
 * packing and sampling take the rest. */
static const double kernel_share = 0.95;

static double larger(double a, double b)
{
    return a > b ? a : b;
}

struct plan_speed plan_speed_of(const struct tw_mesh_model *model, struct tw_mesh mesh,
                                const struct tw_mesh_load *load, const struct tw_mesh_memory *memory,
                                const struct plan_rates *rates)
{
    struct tw_mesh_traffic traffic = tw_mesh_traffic_of(model, mesh.model, load->kv);
    struct tw_mesh_shard shard     = tw_mesh_shard_of(model, mesh.model, memory->rank);
    struct plan_speed s            = {.context = tw_max_size(load->max_len / 2, 1),
                                      .prompt  = tw_min_size(load->chunk, load->max_len)};
    /* Rates are those of elements, compressed or not: bytes as if plain. */
    double weights  = (double)memory->weights / load->weight_share;
    double elements = weights / (double)load->weight_bytes; /* of this device's matrices */
    double head     = (double)tw_range_size(shard.vocab) * (double)model->hidden;
    double batch    = (double)load->batch;
    double queries  = (double)(tw_range_size(shard.q_heads) * model->head_dim);

    /* Keys and values: the cache holds max_len tokens, a decoded one reads those before it. */
    double cached = (double)memory->kv * (double)s.context / (double)load->max_len;
    double read =
        larger(weights / rates->read_bytes, 2 * elements * batch / rates->flops) + cached / rates->read_bytes;
    double exchange =
        (double)traffic.messages * rates->link_delay + (double)traffic.bytes * batch / rates->link_bytes;
    s.decode_seconds = read / kernel_share + exchange;
    s.decode_tokens  = (double)mesh.data * batch / s.decode_seconds;
    s.exchange_share = exchange / s.decode_seconds;

    double rows    = (double)s.prompt;
    double product = 2 * (elements - head) * rows / rates->flops;
    double attend  = 4 * queries * rows / 2 * (double)model->n_layers * rows / rates->flops;
    double seconds = (larger(product, weights / rates->read_bytes) + attend) / kernel_share +
                     head * (double)load->weight_bytes / rates->read_bytes +
                     (double)traffic.messages * rates->link_delay +
                     (double)traffic.bytes * rows / rates->link_bytes;
    s.prefill_tokens = (double)mesh.data * rows / seconds;
    return s;
}
