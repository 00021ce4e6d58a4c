/* SPDX-License-Identifier: MIT */
#include "cli/bench/bench_cases.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"

/* Tokens of a harvest: enough that its beginning and end do not count. */
enum { HARVEST_TOKENS = 1024 };

/* ---- which ---- */

static void add(struct bench_cases *all, enum bench_kind kind, size_t prompt, size_t gen, size_t batch,
                size_t n)
{
    struct bench_case *c = &all->cases[all->n];
    *c                   = (struct bench_case){.kind       = kind,
                                               .prompt     = prompt,
                                               .gen        = gen,
                                               .batch      = batch,
                                               .n_requests = n,
                                               .samples    = all->samples + 2 * all->n * all->n_runs,
                                               .fractions  = all->samples + (2 * all->n + 1) * all->n_runs};
    all->n++;
}

trawl_status bench_cases_make(struct bench_cases *all, const struct cli_args *args, int replicas,
                              struct trawl_error *err)
{
    const int64_t *prompts = NULL, *batches = NULL, *contexts = NULL;
    size_t n_prompts  = cli_get_ints(args, "prompt", &prompts),
           n_batches  = cli_get_ints(args, "batch", &batches);
    size_t n_contexts = cli_get_ints(args, "context", &contexts), d = (size_t)replicas;
    size_t gen = (size_t)cli_get_int(args, "gen"), n = n_prompts + n_batches + n_contexts + 2;
    *all = (struct bench_cases){.n_runs = (size_t)cli_get_int(args, "runs")};
    TW_TRY(tw_alloc(n, sizeof *all->cases, &all->cases, err));
    TW_TRY(tw_alloc(2 * n * all->n_runs, sizeof *all->samples, &all->samples, err));
    for (size_t i = 0; i < n_prompts; i++) {
        add(all, BENCH_PREFILL, (size_t)prompts[i], 0, 1, d);
    }
    for (size_t i = 0; i < n_batches; i++) {
        size_t batch = (size_t)batches[i];
        add(all, BENCH_DECODE, (size_t)cli_get_int(args, "decode_prompt"), gen, batch, batch * d);
    }
    for (size_t i = 0; i < n_contexts; i++) {
        add(all, BENCH_CONTEXT, (size_t)contexts[i], gen, 1, d);
    }
    size_t document = (size_t)prompts[0], documents = tw_max_size(HARVEST_TOKENS / document, 1);
    add(all, BENCH_PLAIN, document, 0, documents, documents * d);
    add(all, BENCH_HARVEST, document, 0, documents, documents * d);
    return TRAWL_OK;
}

void bench_cases_release(struct bench_cases *all)
{
    tw_free(all->cases);
    tw_free(all->samples);
    *all = (struct bench_cases){0};
}

size_t bench_case_ramp(const struct bench_case *c, size_t prefill_chunk)
{
    return c->batch == 1 ? 0
                         : tw_ceil_div(c->batch * c->prompt, prefill_chunk) + 2; /* those that read prompts */
}

size_t bench_case_max_tokens(const struct bench_case *c, size_t prefill_chunk)
{
    if (c->kind == BENCH_HARVEST || c->kind == BENCH_PLAIN) {
        return 0;
    }
    return 2 + bench_case_ramp(c, prefill_chunk) + c->gen;
}

size_t bench_case_tokens(const struct bench_case *c)
{
    return c->n_requests * (c->kind == BENCH_DECODE || c->kind == BENCH_CONTEXT ? c->gen : c->prompt);
}

size_t bench_harvest_layers(size_t n_layers, size_t layers[BENCH_SITES_MAX])
{
    size_t n = 0;
    for (size_t i = 1; i <= BENCH_SITES_MAX; i++) {
        size_t layer = n_layers * i / (BENCH_SITES_MAX + 1);
        if (n == 0 || layers[n - 1] != layer) {
            layers[n++] = layer;
        }
    }
    return n;
}

/* ---- summary ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *samples, size_t n)
{
    if (n == 0) {
        return 0;
    }
    qsort(samples, n, sizeof *samples, by_value);
    return (samples[(n - 1) / 2] + samples[n / 2]) / 2;
}

struct bench_summary bench_summarize(const struct bench_case *c)
{
    double sorted[BENCH_RUNS_MAX];
    size_t n = c->n_samples;
    if (n == 0) {
        return (struct bench_summary){0};
    }
    memcpy(sorted, c->fractions, n * sizeof *sorted);
    const double fraction = bench_median(sorted, n);
    memcpy(sorted, c->samples, n * sizeof *sorted);
    const double median = bench_median(sorted, n);
    return (struct bench_summary){
        .median = median, .min = sorted[0], .max = sorted[n - 1], .fraction = fraction};
}

/* ---- the least work ---- */

/* Multiply-adds of one row. */
struct row_work {
    double kv, rest; /* of a layer: what later positions need of this one, and everything else */
    double head;
    double attend; /* of a layer, per position that is looked at */
};

static struct row_work row_work(const struct trawl_model_info *m)
{
    double hidden = (double)m->hidden_size, q = (double)(m->n_heads * m->head_dim);
    return (struct row_work){
        .kv     = 2 * hidden * (double)(m->n_kv_heads * m->head_dim),
        .rest   = 2 * hidden * q + 3 * hidden * (double)m->intermediate_size,
        .head   = hidden * (double)m->vocab_size,
        .attend = 2 * q,
    };
}

static double kv_bytes_per_position(const struct trawl_model_info *m)
{
    double element = m->kv_dtype == TRAWL_DTYPE_FLOAT32 ? 4 : 2;
    return 2 * element * (double)(m->n_layers * m->n_kv_heads * m->head_dim);
}

/* Of one prompt: in the last layer only its last position is needed beyond keys and values. */
static double prefill_macs(const struct trawl_model_info *m, double n)
{
    struct row_work r = row_work(m);
    double l          = (double)m->n_layers;
    return l * n * r.kv + ((l - 1) * n + 1) * r.rest + r.attend * ((l - 1) * n * (n + 1) / 2 + n) + r.head;
}

/* Of one document: every row of every layer up to the last one that is kept, which a plain run does too. */
static double harvest_macs(const struct trawl_model_info *m, double n)
{
    size_t layers[BENCH_SITES_MAX], n_sites = bench_harvest_layers(m->n_layers, layers);
    struct row_work r = row_work(m);
    return (double)(layers[n_sites - 1] + 1) * (n * (r.kv + r.rest) + r.attend * n * (n + 1) / 2);
}

/* Of a plain document nothing but keys and values of the last layer is left to be had. */
static double plain_macs(const struct trawl_model_info *m, double n)
{
    struct row_work r = row_work(m);
    double l          = (double)m->n_layers;
    return l * n * r.kv + (l - 1) * (n * r.rest + r.attend * n * (n + 1) / 2);
}

struct bench_work bench_case_work(const struct bench_case *c, const struct trawl_model_info *m,
                                  size_t prefill_chunk)
{
    double n = (double)c->n_requests, weights = (double)m->weight_bytes, replicas = (double)m->mesh_data;
    double prompt = (double)c->prompt, l = (double)m->n_layers;
    double read         = replicas * (double)tw_ceil_div(c->batch * c->prompt, prefill_chunk) * weights;
    struct row_work r   = row_work(m);
    struct bench_work w = {0};
    switch (c->kind) {
    case BENCH_PREFILL: w = (struct bench_work){2 * n * prefill_macs(m, prompt), read}; break;
    case BENCH_HARVEST: w = (struct bench_work){2 * n * harvest_macs(m, prompt), read}; break;
    case BENCH_PLAIN: w = (struct bench_work){2 * n * plain_macs(m, prompt), read}; break;
    case BENCH_DECODE:
    case BENCH_CONTEXT: {
        double steps = (double)c->gen, seen = prompt + (steps + 1) / 2; /* positions, on average */
        w.flops = 2 * steps * n * (l * (r.kv + r.rest + r.attend * seen) + r.head);
        w.bytes = steps * (replicas * weights + n * seen * kv_bytes_per_position(m));
        break;
    }
    }
    return w;
}

bool bench_uses_dot(const struct trawl_model_info *m, const struct tw_limits *limits)
{
    return m->dtype == TRAWL_DTYPE_BFLOAT16 && m->bf16_dot && limits->dot_flops > 0;
}

double bench_peak_flops(const struct trawl_model_info *m, const struct tw_limits *limits)
{
    return bench_uses_dot(m, limits) ? limits->dot_flops : limits->fma_flops;
}

double bench_roofline(const struct bench_case *c, const struct trawl_model_info *m, size_t prefill_chunk,
                      const struct tw_limits *limits, bool *memory)
{
    struct bench_work w = bench_case_work(c, m, prefill_chunk);
    double compute = w.flops / bench_peak_flops(m, limits), read = w.bytes / limits->read_bytes;
    *memory = read > compute;
    return (double)bench_case_tokens(c) / fmax(compute, read);
}
