/* SPDX-License-Identifier: MIT */
#include "cli/plan_speed.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/size.h"
#include "base/thread.h"
#include "kernels/kernels.h"

/* ---- prediction ---- */

/* The part of a step that matrix products and attention take; norms, packing, barriers and sampling take the rest.
 * Qwen2.5-0.5B on two Zen 5 cores; larger models have a larger one. */
static const double kernel_share = 0.9;

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
    double elements = (double)memory->weights / (double)load->weight_bytes; /* of this device's matrices */
    double head     = (double)tw_range_size(shard.vocab) * (double)model->hidden;
    double batch    = (double)load->batch;
    double queries  = (double)(tw_range_size(shard.q_heads) * model->head_dim);

    /* Keys and values: the cache holds max_len tokens, a decoded one reads those before it. */
    double cached = (double)memory->kv * (double)s.context / (double)load->max_len;
    double read   = larger((double)memory->weights / rates->read_bytes, 2 * elements * batch / rates->flops) +
                  cached / rates->read_bytes;
    double exchange =
        (double)traffic.messages * rates->link_delay + (double)traffic.bytes * batch / rates->link_bytes;
    s.decode_seconds = read / kernel_share + exchange;
    s.decode_tokens  = (double)mesh.data * batch / s.decode_seconds;
    s.exchange_share = exchange / s.decode_seconds;

    double rows    = (double)s.prompt;
    double product = 2 * (elements - head) * rows / rates->flops;
    double attend  = 4 * queries * rows / 2 * (double)model->n_layers * rows / rates->flops;
    double seconds = (larger(product, (double)memory->weights / rates->read_bytes) + attend) / kernel_share +
                     head * (double)load->weight_bytes / rates->read_bytes +
                     (double)traffic.messages * rates->link_delay +
                     (double)traffic.bytes * rows / rates->link_bytes;
    s.prefill_tokens = (double)mesh.data * rows / seconds;
    return s;
}

/* ---- measurement ---- */

enum { TRIALS = 21, ROWS = 256, INPUTS = 2048, PANELS_COMPUTE = 128, PANELS_READ = 8192 };

struct probe {
    const struct tw_kernels *kernels;
    struct tw_matmul mm;
    tw_matmul_fn *fn;
    uint32_t leaf;
};

static void probe_main(void *arg, int thread, int n_threads)
{
    struct probe *p = arg;
    p->fn(&p->mm, thread, n_threads);
}

static int compare_seconds(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median seconds of a run: what lasting work gets, with whatever else the machine does. */
static double typical(struct probe *p, struct tw_team *team)
{
    double seconds[TRIALS];
    for (int i = 0; i < TRIALS; i++) {
        atomic_store(&p->mm.next, 0);
        uint64_t start = tw_clock_ns();
        tw_team_run(team, probe_main, p);
        seconds[i] = (double)(tw_clock_ns() - start) / 1e9;
    }
    qsort(seconds, TRIALS, sizeof seconds[0], compare_seconds);
    return seconds[TRIALS / 2];
}

static void set_matmul(struct probe *p, size_t rows, size_t panels, const void *packed, const void *weights,
                       float *y)
{
    p->leaf            = INPUTS;
    p->mm.rows         = packed;
    p->mm.m            = rows;
    p->mm.k            = INPUTS;
    p->mm.w            = weights;
    p->mm.panel_stride = tw_panel_elements(INPUTS);
    p->mm.n            = panels * TW_PANEL;
    p->mm.n_leaves     = 1;
    p->mm.leaf_end     = &p->leaf;
    p->mm.epilogue     = TW_EPILOGUE_STORE;
    p->mm.y            = y;
    p->mm.ldy          = panels * TW_PANEL;
}

static void run_probe(struct probe *p, struct tw_team *team, void *weights, void *packed, float *x, float *y,
                      double *read_bytes, double *flops)
{
    size_t panel = tw_panel_elements(INPUTS) * sizeof(uint16_t);
    memset(weights, 0x3C, PANELS_READ * panel); /* small positive numbers */
    for (size_t i = 0; i < (size_t)ROWS * INPUTS; i++) {
        x[i] = 0.5F;
    }
    bool bf16 = p->fn == p->kernels->matmul_bf16;
    for (size_t b = 0, n = tw_row_blocks(ROWS, p->kernels->tile_rows); b < n; b++) {
        struct tw_row_block block = tw_row_block(ROWS, p->kernels->tile_rows, b);
        (bf16 ? p->kernels->pack_bf16
              : p->kernels->pack_f32)((uint8_t *)packed + block.begin * tw_packed_k(INPUTS) * sizeof(float),
                                      x + block.begin * INPUTS, INPUTS, block.rows, INPUTS);
    }
    set_matmul(p, ROWS, PANELS_COMPUTE, packed, weights, y);
    *flops = 2.0 * ROWS * INPUTS * PANELS_COMPUTE * TW_PANEL / typical(p, team);
    (bf16 ? p->kernels->pack_bf16 : p->kernels->pack_f32)(packed, x, INPUTS, 1, INPUTS);
    set_matmul(p, 1, PANELS_READ, packed, weights, y);
    *read_bytes = (double)(PANELS_READ * panel) / typical(p, team);
}

trawl_status plan_measure(int n_threads, enum tw_dtype compute, double *read_bytes, double *flops,
                          struct trawl_error *err)
{
    struct tw_kernels kernels;
    struct probe p       = {.kernels = &kernels};
    struct tw_team *team = NULL;
    void *weights        = NULL;
    void *packed         = NULL;
    float *x             = NULL;
    float *y             = NULL;
    size_t weight_bytes  = PANELS_READ * tw_panel_elements(INPUTS) * sizeof(uint16_t);
    size_t y_elements    = tw_max_size((size_t)ROWS * PANELS_COMPUTE, PANELS_READ) * TW_PANEL;
    TW_TRY(tw_kernels_init(&kernels, getenv("TRAWL_ISA"), err));
    p.fn                = compute == TW_DTYPE_BF16 ? kernels.matmul_bf16 : kernels.matmul_f32_bf16;
    trawl_status status = tw_big_alloc(weight_bytes, &weights, err);
    if (status == TRAWL_OK) {
        status = tw_alloc(tw_packed_rows_bytes(ROWS, INPUTS), 1, &packed, err);
    }
    if (status == TRAWL_OK) {
        status = tw_alloc((size_t)ROWS * INPUTS, sizeof *x, &x, err);
    }
    if (status == TRAWL_OK) {
        status = tw_alloc(y_elements, sizeof *y, &y, err);
    }
    if (status == TRAWL_OK) {
        status = tw_team_new(&team, n_threads, tw_wait_policy_for(n_threads), NULL, err);
    }
    if (status == TRAWL_OK) {
        run_probe(&p, team, weights, packed, x, y, read_bytes, flops);
    }
    tw_team_free(team);
    tw_big_free(weights, weight_bytes);
    tw_free(packed);
    tw_free(x);
    tw_free(y);
    return status;
}
