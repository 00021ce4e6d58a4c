/* SPDX-License-Identifier: MIT */
#include "cli/plan/plan_probe.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/size.h"
#include "base/thread.h"
#include "kernels/kernels.h"

enum { TRIALS = 7, ROWS = 256, PRODUCTS_MAX = 8 };

/* Memory to walk over, far beyond any cache, and the most work of one trial. */
#define WEIGHT_BYTES ((size_t)512 << 20)
#define READ_MOST    ((size_t)1 << 30)
#define FLOPS_MOST   2e11

/* One product: inputs and outputs. */
struct product {
    size_t k, n;
};

struct probe {
    struct tw_kernels kernels;
    tw_matmul_fn *fn;
    bool bf16, compressed; /* weights as the engine would hold them */
    struct tw_team *team;
    int n_threads;
    struct product layer[PRODUCTS_MAX], head;
    size_t n_products, n_layers;
    size_t most_k, most_n; /* of the layers */
    uint8_t *weights;      /* [WEIGHT_BYTES] */
    uint8_t *upper;        /* [most panels][TW_UPPER_BYTES] codes of compressed ones, and ... */
    uint32_t *first;       /* [most panels + 1] ... zeros: no group is plain */
    void *packed, *scratch;
    size_t scratch_bytes;
    float *x, *y;
    struct tw_matmul mm;
    uint32_t leaf;
};

/* ---- the products of a model ---- */

static size_t panel_bytes(size_t k)
{
    return tw_panel_elements(k) * sizeof(uint16_t);
}

/* Counted plain, compressed or not: so the rate is that of the elements. */
static size_t product_bytes(struct product p)
{
    return tw_ceil_div(p.n, TW_PANEL) * panel_bytes(p.k);
}

static bool is_compressed(const struct probe *p, struct product product)
{
    return p->compressed && tw_compressible(product.k);
}

/* A product larger than the memory is measured on what fits. */
static void add(struct probe *p, struct product *to, size_t k, size_t n)
{
    *to = (struct product){k, tw_min_size(n, WEIGHT_BYTES / panel_bytes(k) * TW_PANEL)};
    if (to != &p->head) {
        p->most_k = tw_max_size(p->most_k, k);
        p->most_n = tw_max_size(p->most_n, to->n);
    }
}

static void set_products(struct probe *p, const struct tw_mesh_model *m)
{
    size_t q = m->n_q_heads * m->head_dim, kv = m->n_kv_heads * m->head_dim;
    p->n_layers = m->n_layers;
    add(p, &p->layer[p->n_products++], m->hidden, q + 2 * kv);
    add(p, &p->layer[p->n_products++], q, m->hidden);
    add(p, &p->layer[p->n_products++], m->hidden, 2 * m->intermediate);
    add(p, &p->layer[p->n_products++], m->intermediate, m->hidden);
    add(p, &p->head, m->hidden, m->vocab);
}

/* ---- timing ---- */

static void probe_main(void *arg, int thread, int n_threads)
{
    struct probe *p = arg;
    p->fn(&p->mm, thread, n_threads);
}

/* One product over the weights from *at on, which moves behind them. */
static void run_product(struct probe *p, struct product product, size_t rows, size_t *at)
{
    const bool compressed = is_compressed(p, product);
    size_t panels = tw_ceil_div(product.n, TW_PANEL), bytes = product_bytes(product);
    bytes   = compressed ? panels * tw_compressed_bytes(product.k) : bytes;
    *at     = *at + bytes > WEIGHT_BYTES ? 0 : *at;
    p->leaf = (uint32_t)product.k;
    p->mm   = (struct tw_matmul){.rows          = p->packed,
                                 .m             = rows,
                                 .k             = product.k,
                                 .w             = p->weights + *at,
                                 .panel_stride  = tw_panel_elements(product.k),
                                 .n             = product.n,
                                 .n_leaves      = 1,
                                 .leaf_end      = &p->leaf,
                                 .epilogue      = TW_EPILOGUE_STORE,
                                 .y             = p->y,
                                 .ldy           = product.n,
                                 .scratch       = p->scratch,
                                 .scratch_bytes = p->scratch_bytes};
    if (compressed) {
        p->mm.codes = (struct tw_codes){.upper = p->upper, .first = p->first};
    }
    *at += bytes;
    tw_team_run(p->team, probe_main, p);
}

/* Seconds of `layers` layers, and of the head when those are all. */
static double walk(struct probe *p, size_t rows, size_t layers, size_t *at)
{
    uint64_t start = tw_clock_ns();
    for (size_t i = 0; i < layers; i++) {
        for (size_t k = 0; k < p->n_products; k++) {
            run_product(p, p->layer[k], rows, at);
        }
    }
    if (rows == 1 && layers == p->n_layers) {
        run_product(p, p->head, rows, at);
    }
    return (double)(tw_clock_ns() - start) * 1e-9;
}

static int compare_seconds(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median seconds of a walk: what lasting work gets, with whatever else the machine does. */
static double typical(struct probe *p, size_t rows, size_t layers)
{
    double seconds[TRIALS];
    size_t at = 0;
    (void)walk(p, rows, 1, &at); /* pages and caches */
    for (int i = 0; i < TRIALS; i++) {
        seconds[i] = walk(p, rows, layers, &at);
    }
    qsort(seconds, TRIALS, sizeof seconds[0], compare_seconds);
    return seconds[TRIALS / 2];
}

static void pack_rows(struct probe *p, size_t rows, size_t k)
{
    for (size_t b = 0, n = tw_row_blocks(rows, p->kernels.tile_rows); b < n; b++) {
        struct tw_row_block block = tw_row_block(rows, p->kernels.tile_rows, b);
        (p->bf16 ? p->kernels.pack_bf16
                 : p->kernels.pack_f32)((uint8_t *)p->packed + block.begin * tw_packed_k(k) * sizeof(float),
                                        p->x + block.begin * k, k, block.rows, k);
    }
}

static void measure(struct probe *p, double *read_bytes, double *flops)
{
    size_t bytes = 0, elements = 0, layers;
    for (size_t k = 0; k < p->n_products; k++) {
        bytes += product_bytes(p->layer[k]);
        elements += p->layer[k].k * p->layer[k].n;
    }
    TW_BUG_ON(bytes == 0);                  /* no model has products without weights */
    memset(p->weights, 0x3C, WEIGHT_BYTES); /* small positive numbers */
    for (size_t i = 0; i < ROWS * p->most_k; i++) {
        p->x[i] = 0.5F;
    }
    /* Any packing of these rows serves: what is in them does not matter to the time. */
    pack_rows(p, ROWS, p->most_k);
    layers      = (size_t)(FLOPS_MOST / (2.0 * ROWS * (double)elements));
    layers      = tw_min_size(tw_max_size(layers / TRIALS, 1), p->n_layers);
    *flops      = 2.0 * ROWS * (double)elements * (double)layers / typical(p, ROWS, layers);
    layers      = tw_min_size(tw_max_size(READ_MOST / bytes, 1), p->n_layers);
    bytes       = bytes * layers + (layers == p->n_layers ? product_bytes(p->head) : 0);
    *read_bytes = (double)bytes / typical(p, 1, layers);
}

/* ---- life ---- */

static trawl_status make_memory(struct probe *p, struct trawl_error *err)
{
    size_t y      = tw_max_size(ROWS * p->most_n, p->head.n); /* the head runs on one row only */
    size_t panels = tw_ceil_div(tw_max_size(p->most_n, p->head.n), TW_PANEL);
    TW_TRY(tw_big_alloc(WEIGHT_BYTES, &p->weights, err));
    TW_TRY(tw_alloc(tw_packed_rows_bytes(ROWS, p->most_k), 1, &p->packed, err));
    p->scratch_bytes = tw_matmul_scratch_bytes(tw_max_size(p->most_k, p->head.k), p->compressed);
    TW_TRY(tw_alloc((size_t)p->n_threads, p->scratch_bytes, &p->scratch, err));
    TW_TRY(tw_alloc(panels, TW_UPPER_BYTES, &p->upper, err));
    TW_TRY(tw_alloc(panels + 1, sizeof *p->first, &p->first, err));
    TW_TRY(tw_alloc((size_t)ROWS * p->most_k, sizeof *p->x, &p->x, err));
    TW_TRY(tw_alloc(y, sizeof *p->y, &p->y, err));
    return tw_team_new(&p->team, p->n_threads, tw_wait_policy_for(p->n_threads), NULL, err);
}

trawl_status plan_probe(const struct tw_mesh_model *model, int n_threads, enum tw_dtype compute, bool plain,
                        double *read_bytes, double *flops, struct trawl_error *err)
{
    struct probe p = {.n_threads = n_threads, .bf16 = compute == TW_DTYPE_BF16};
    TW_TRY(tw_kernels_init(&p.kernels, getenv("TRAWL_ISA"), err));
    p.compressed = p.kernels.compressed && !plain;
    p.fn         = p.bf16 ? p.kernels.matmul_bf16 : p.kernels.matmul_f32_bf16;
    set_products(&p, model);
    trawl_status status = make_memory(&p, err);
    if (status == TRAWL_OK) {
        measure(&p, read_bytes, flops);
    }
    tw_team_free(p.team);
    tw_big_free(p.weights, WEIGHT_BYTES);
    tw_free(p.packed);
    tw_free(p.scratch);
    tw_free(p.upper);
    tw_free(p.first);
    tw_free(p.x);
    tw_free(p.y);
    return status;
}
