/* SPDX-License-Identifier: MIT */
#include "engine/engine_attention.h"

#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "engine/engine_int.h"

/* A 64-bit integer among floats. */
enum { MASS_FLOATS = sizeof(uint64_t) / sizeof(float) };

void tw_attention_release(struct tw_attention *a)
{
    tw_free(a->entropies);
    tw_free((void *)a->masses);
    *a = (struct tw_attention){0};
}

/* Entropies of one row of logits. */
static size_t row_entropies(const struct tw_replica *r)
{
    const struct tw_model_config *c = &r->engine->model->config;
    return c->n_layers * c->n_heads;
}

trawl_status tw_attention_prepare(struct tw_replica *r)
{
    struct tw_attention *a       = &r->attention;
    struct tw_step_attention all = {0};
    size_t n                     = 0;
    bool entropies               = false;
    for (size_t i = 0; i < r->step.n_segments; i++) {
        struct tw_segment *s = &r->segments[i];
        entropies            = entropies || s->entropies;
        if (s->masses) {
            s->first_mass = all.n_masses;
            all.n_masses += tw_segment_pages(s);
        }
    }
    if (entropies) {
        if (!tw_size_mul(r->step.n_logit_rows, row_entropies(r), &n)) {
            return tw_fail(&r->error, TRAWL_ERR_LIMIT, "attention entropies of %zu rows do not fit in memory",
                           r->step.n_logit_rows);
        }
        TW_TRY(tw_grow(&a->entropies, &a->entropies_capacity, n, sizeof *a->entropies, &r->error));
        all.entropies = a->entropies;
    }
    if (all.n_masses > 0) {
        TW_TRY(tw_grow(&a->masses, &a->masses_capacity, all.n_masses, sizeof *a->masses, &r->error));
        all.masses = a->masses;
    }
    for (size_t i = 0; i < all.n_masses; i++) {
        atomic_store_explicit(&a->masses[i], 0, memory_order_relaxed);
    }
    all.wanted        = entropies || all.n_masses > 0;
    r->step.attention = all;
    return TRAWL_OK;
}

/* ---- between processes ---- */

static struct tw_range heads_of(const struct tw_replica *r, int i)
{
    return (struct tw_range){r->peers.first[i].q_heads.begin, r->peers.last[i].q_heads.end};
}

size_t tw_attention_block_floats(const struct tw_replica *r, int i)
{
    const struct tw_step *step = &r->step;
    if (i == 0) {
        return 0;
    }
    size_t n = step->attention.n_masses * MASS_FLOATS;
    if (step->attention.entropies != NULL) {
        n += step->n_logit_rows * r->engine->model->config.n_layers * tw_range_size(heads_of(r, i));
    }
    return n;
}

float *tw_attention_move_block(struct tw_replica *r, int i, float *block, bool out)
{
    const struct tw_step_attention *a = &r->step.attention;
    const struct tw_model_config *c   = &r->engine->model->config;
    const struct tw_range heads       = heads_of(r, i);
    const size_t n                    = tw_range_size(heads);
    for (size_t k = 0; a->entropies != NULL && n > 0 && k < r->step.n_logit_rows * c->n_layers; k++) {
        float *at = a->entropies + k * c->n_heads + heads.begin;
        memcpy(out ? block : at, out ? at : block, n * sizeof *at);
        block += n;
    }
    for (size_t k = 0; k < a->n_masses; k++, block += MASS_FLOATS) {
        uint64_t mass = atomic_load_explicit(&a->masses[k], memory_order_relaxed);
        if (out) {
            memcpy(block, &mass, sizeof mass);
        } else {
            memcpy(&mass, block, sizeof mass);
            atomic_fetch_add_explicit(&a->masses[k], mass, memory_order_relaxed);
        }
    }
    return block;
}

/* ---- the head ---- */

void tw_attention_measure(const struct tw_replica *r, size_t logit_row, float *entropy, float *varentropy)
{
    const struct tw_model_config *c = &r->engine->model->config;
    const float *h                  = r->step.attention.entropies + logit_row * row_entropies(r);
    double mean = 0, variance = 0;
    for (size_t layer = 0; layer < c->n_layers; layer++, h += c->n_heads) {
        double sum = 0, squares = 0;
        for (size_t i = 0; i < c->n_heads; i++) {
            sum += (double)h[i];
        }
        sum /= (double)c->n_heads;
        for (size_t i = 0; i < c->n_heads; i++) {
            squares += ((double)h[i] - sum) * ((double)h[i] - sum);
        }
        mean += sum;
        variance += squares / (double)c->n_heads;
    }
    *entropy    = (float)(mean / (double)c->n_layers);
    *varentropy = (float)(variance / (double)c->n_layers);
}

void tw_attention_take(const struct tw_replica *r, struct tw_sequence *s)
{
    const struct tw_segment *g = &r->segments[s->segment];
    for (size_t j = 0; s->masses != NULL && j < tw_segment_pages(g); j++) {
        size_t page = g->n_blocks > 0 ? g->blocks[j] : j;
        s->masses[page] +=
            atomic_load_explicit(&r->step.attention.masses[g->first_mass + j], memory_order_relaxed);
    }
}
