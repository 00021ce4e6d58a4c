/* SPDX-License-Identifier: MIT */
#include "model/model_list.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/size.h"

struct maker {
    struct tw_weight_list *list;
    struct trawl_error *err;
    char prefix[40]; /* "model.layers.3." */
};

static struct tw_weight *add(struct maker *m, const char *name, size_t rows, size_t columns)
{
    struct tw_weight_list *l = m->list;
    if (l->status == TRAWL_OK) {
        l->status = tw_grow(&l->weights, &l->capacity, l->n + 1, sizeof *l->weights, m->err);
    }
    if (l->status != TRAWL_OK) {
        return NULL;
    }
    struct tw_weight *w = &l->weights[l->n++];
    *w                  = (struct tw_weight){.rows = rows, .columns = columns};
    (void)snprintf(w->name, sizeof w->name, "%s%s.weight", m->prefix, name);
    return w;
}

/* A matrix [n, k]; `group` rows (a head's) begin a panel of their own. */
static void add_matrix(struct maker *m, struct tw_linear *linear, const char *name, size_t n, size_t k,
                       size_t group)
{
    struct tw_weight *w = add(m, name, n, k);
    *linear =
        (struct tw_linear){.n = n, .k = k, .group = group, .group_panels = tw_ceil_div(group, TW_PANEL)};
    if (w != NULL) {
        w->linear   = linear;
        w->first    = m->list->matrix_elements;
        w->elements = tw_linear_panels(linear) * tw_panel_elements(k);
        m->list->matrix_elements += w->elements;
    }
}

static void place_vector(struct maker *m, struct tw_weight *w, const float **to, size_t group, size_t stride)
{
    w->vector   = to;
    w->group    = group;
    w->stride   = stride;
    w->first    = m->list->floats;
    w->elements = tw_round_up(w->rows / group * stride, TW_PANEL);
    m->list->floats += w->elements;
}

static void add_vector(struct maker *m, const float **to, const char *name, size_t n)
{
    struct tw_weight *w = add(m, name, n, 0);
    if (w != NULL) {
        place_vector(m, w, to, n, n);
    }
}

/* In packed column order: heads that are padded to whole panels have padded biases. */
static void add_bias(struct maker *m, struct tw_linear *linear, const char *name)
{
    struct tw_weight *w = add(m, name, linear->n, 0);
    if (w != NULL) {
        (void)snprintf(w->name, sizeof w->name, "%s%s.bias", m->prefix, name);
        place_vector(m, w, &linear->bias, linear->group, linear->group_panels * TW_PANEL);
    }
}

static void add_layer(struct maker *m, const struct tw_model_config *c, struct tw_layer *y)
{
    size_t q = c->n_heads * c->head_dim, kv = c->n_kv_heads * c->head_dim, d = c->head_dim;
    add_vector(m, &y->input_norm, "input_layernorm", c->hidden);
    add_matrix(m, &y->q, "self_attn.q_proj", q, c->hidden, d);
    add_matrix(m, &y->k, "self_attn.k_proj", kv, c->hidden, d);
    add_matrix(m, &y->v, "self_attn.v_proj", kv, c->hidden, d);
    if (c->qkv_bias) {
        add_bias(m, &y->q, "self_attn.q_proj");
        add_bias(m, &y->k, "self_attn.k_proj");
        add_bias(m, &y->v, "self_attn.v_proj");
    }
    if (c->qk_norm) {
        add_vector(m, &y->q_norm, "self_attn.q_norm", d);
        add_vector(m, &y->k_norm, "self_attn.k_norm", d);
    }
    add_matrix(m, &y->o, "self_attn.o_proj", c->hidden, q, c->hidden);
    if (c->o_bias) {
        add_bias(m, &y->o, "self_attn.o_proj");
    }
    add_vector(m, &y->post_norm, "post_attention_layernorm", c->hidden);
    add_matrix(m, &y->gate, "mlp.gate_proj", c->intermediate, c->hidden, c->intermediate);
    add_matrix(m, &y->up, "mlp.up_proj", c->intermediate, c->hidden, c->intermediate);
    add_matrix(m, &y->down, "mlp.down_proj", c->hidden, c->intermediate, c->hidden);
}

trawl_status tw_weight_list_make(struct tw_weight_list *list, struct tw_model *model, struct trawl_error *err)
{
    const struct tw_model_config *c = &model->config;
    struct maker m                  = {.list = list, .err = err};
    *list                           = (struct tw_weight_list){.status = TRAWL_OK};
    for (size_t i = 0; i < c->n_layers; i++) {
        (void)snprintf(m.prefix, sizeof m.prefix, "model.layers.%zu.", i);
        add_layer(&m, c, &model->layers[i]);
    }
    m.prefix[0] = '\0';
    add_vector(&m, &model->final_norm, "model.norm", c->hidden);
    add_matrix(&m, &model->head, c->tied ? "model.embed_tokens" : "lm_head", c->vocab, c->hidden, c->vocab);
    return list->status;
}

void tw_weight_list_release(struct tw_weight_list *list)
{
    tw_free(list->weights);
    *list = (struct tw_weight_list){.status = TRAWL_OK};
}
