/* SPDX-License-Identifier: MIT */
/* Where rows look: statistics of attention probabilities for segments that ask. Attention itself never has all
 * probabilities of a row at a time, so this is a pass of its own over the scores, which the kernels give as
 * attention takes them.
 *
 * Of one query and one block: m = the largest score, S = sum of exp(score - m), T = sum of exp(score - m) *
 * (score - m). Relative to the largest score of all blocks, M, with c = exp(m - M), a block weighs c S and its
 * other sum is c (T + (m - M) S). Blocks are added in ascending order, so the result depends on the keys alone. */
#include <math.h>

#include "model/model_forward.h"

/* A KV head's query heads of one row, and memory for their sums by block. */
struct look {
    struct tw_attend a;
    float *scores;  /* [n_heads, 64] */
    float *max;     /* [n_heads, blocks]: m, then m - M */
    float *weight;  /* [blocks] c */
    double *sums;   /* [n_heads, blocks, 2]: S, T */
    uint32_t *seen; /* [blocks] entries of which the row sees something */
    size_t blocks, n_seen;
};

/* A layout pass counts, a second one hands out. */
static size_t lay_out(struct look *l, size_t group, size_t blocks, uint8_t *base)
{
    size_t used = 0, sizes[5] = {group * TW_KV_BLOCK * sizeof(float), group * blocks * sizeof(float),
                                 blocks * sizeof(float), group * blocks * 2 * sizeof(double),
                                 blocks * sizeof(uint32_t)};
    void *at[5] = {NULL};
    for (size_t i = 0; i < 5; i++) {
        at[i] = base == NULL ? NULL : base + used;
        used += tw_round_up(sizes[i], 64);
    }
    l->scores = at[0];
    l->max    = at[1];
    l->weight = at[2];
    l->sums   = at[3];
    l->seen   = at[4];
    l->blocks = blocks;
    return used;
}

static size_t kernel_bytes(const struct tw_kernels *k, const struct tw_model_config *c, size_t group,
                           size_t blocks)
{
    return tw_round_up(2 * blocks * sizeof(void *), 64) +
           tw_round_up(k->attend_scratch_bytes(group, c->head_dim), 64);
}

size_t tw_attention_stats_bytes(const struct tw_kernels *k, const struct tw_model_config *c, size_t group,
                                size_t blocks)
{
    struct look l;
    return kernel_bytes(k, c, group, blocks) + lay_out(&l, group, blocks, NULL);
}

/* m, S and T of every block that the row sees something of. */
static void sum_blocks(const struct tw_run *r, struct look *l)
{
    const struct tw_kernels *k = r->d->kernels;
    tw_attend_scores_fn *scores =
        r->d->kv.dtype == TW_DTYPE_BF16 ? k->attend_scores_bf16 : k->attend_scores_f32;
    l->n_seen = 0;
    for (size_t j = 0; j < l->blocks; j++) {
        if (!scores(&l->a, 0, j, l->scores)) {
            continue;
        }
        for (size_t h = 0; h < l->a.n_heads; h++) {
            const float *x = l->scores + h * TW_KV_BLOCK;
            size_t at = h * l->blocks + l->n_seen, index = 0;
            double sums[3];
            k->argmax(x, TW_KV_BLOCK, &l->max[at], &index);
            k->softmax_sums(x, TW_KV_BLOCK, l->max[at], sums);
            l->sums[2 * at]     = sums[0];
            l->sums[2 * at + 1] = sums[1];
        }
        l->seen[l->n_seen++] = (uint32_t)j;
    }
}

/* S and T of all blocks of head h; l->weight becomes c of each. */
static void sum_row(const struct tw_run *r, struct look *l, size_t h, double total[2])
{
    float *max = l->max + h * l->blocks, most = -INFINITY;
    for (size_t i = 0; i < l->n_seen; i++) {
        most = max[i] > most ? max[i] : most;
    }
    for (size_t i = 0; i < l->n_seen; i++) {
        max[i] = max[i] - most;
    }
    r->d->kernels->exp(l->weight, max, l->n_seen);
    total[0] = total[1] = 0;
    for (size_t i = 0; i < l->n_seen; i++) {
        const double *s = l->sums + 2 * (h * l->blocks + i);
        double c        = (double)l->weight[i];
        if (c > 0) { /* else m - M may be infinite */
            total[0] += c * s[0];
            total[1] += c * (s[1] + (double)max[i] * s[0]);
        }
    }
}

/* The entropy of p = e^d / Z is log Z - E[d]. logl, because libm has a log for CPUs with fma and another one, which
 * may round differently. */
static float entropy_of(const double total[2])
{
    return (float)((double)logl((long double)total[0]) - total[1] / total[0]);
}

/* A multiple of 2^-TW_MASS_BITS, as an integer; 0 where infinite keys left no probabilities. */
static uint64_t fixed(double mass)
{
    return mass > 0 && mass < 2 ? (uint64_t)(mass * (double)(1 << TW_MASS_BITS) + 0.5) : 0;
}

static void add_masses(const struct look *l, size_t h, double total, _Atomic uint64_t *masses)
{
    for (size_t i = 0; i < l->n_seen; i++) {
        uint64_t mass = fixed((double)l->weight[i] * l->sums[2 * (h * l->blocks + i)] / total);
        if (mass > 0) {
            atomic_fetch_add_explicit(&masses[l->seen[i]], mass, memory_order_relaxed);
        }
    }
}

/* Row i of a segment and the query heads that read KV head `kv`. `entropies`: [n_heads of the model], or NULL. */
static void look(const struct tw_run *r, size_t layer, const struct tw_segment *s, size_t i, size_t kv,
                 float *entropies)
{
    const struct tw_device *d = r->d;
    uint8_t *memory           = tw_run_scratch(r);
    struct look l;
    size_t head = 0;
    l.a         = tw_run_attend_rows(r, layer, s, i, 1, kv, memory, &head);
    memory += kernel_bytes(d->kernels, &d->model->config, l.a.n_heads, l.a.n_blocks);
    (void)lay_out(&l, l.a.n_heads, l.a.n_blocks, memory);
    sum_blocks(r, &l);
    for (size_t h = 0; h < l.a.n_heads; h++) {
        double total[2];
        sum_row(r, &l, h, total);
        if (entropies != NULL) {
            entropies[head + h] = entropy_of(total);
        }
        if (s->masses) {
            add_masses(&l, h, total[0], r->step->attention.masses + s->first_mass);
        }
    }
}

/* Tasks are (row, KV head), dealt out in turns. */
void tw_run_attention_stats(const struct tw_run *r, size_t layer)
{
    const struct tw_step *step      = r->step;
    const struct tw_model_config *c = &r->d->model->config;
    size_t n_kv = tw_range_size(r->d->shard.kv_heads), task = 0, logit = 0;
    if (tw_range_size(r->d->shard.q_heads) == 0) {
        return;
    }
    for (size_t i = 0; i < step->n_segments; i++) {
        const struct tw_segment *s = &step->segments[i];
        for (size_t row = 0; row < s->n_rows; row++) {
            bool last        = logit < step->n_logit_rows && step->logit_rows[logit] == s->row + row;
            float *entropies = NULL;
            if (last && s->entropies) {
                entropies = step->attention.entropies + (logit * c->n_layers + layer) * c->n_heads;
            }
            logit += last ? 1 : 0;
            for (size_t kv = 0; (entropies != NULL || s->masses) && kv < n_kv; kv++) {
                if (task++ % (size_t)r->n_threads == (size_t)r->thread) {
                    look(r, layer, s, row, kv, entropies);
                }
            }
        }
    }
}
