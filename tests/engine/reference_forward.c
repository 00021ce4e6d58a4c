/* SPDX-License-Identifier: MIT */
#include "reference_forward.h"

#include <math.h>

#include "formats/formats_safetensors.h"
#include "kernels/kernels.h"
#include "kernels/kernels_exp.h"
#include "model/model_config.h"
#include "support/test.h"

struct weights {
    struct tw_safetensors *files;
    struct tw_model_config c;
    bool bf16;
    int leaves;
};

static float *zeros(size_t n)
{
    float *p = calloc(n == 0 ? 1 : n, sizeof *p);
    assert_non_null(p);
    return p;
}

static float round_bf16(float x)
{
    return tw_bf16_to_f32(tw_bf16_from_f32(x));
}

/* A whole tensor as f32; matrices are rounded to bf16 where the model computes in bf16. */
static float *tensor(const struct weights *w, const char *name, bool matrix)
{
    const struct tw_safetensors_tensor *t = tw_safetensors_find(w->files, name);
    if (t == NULL) {
        return NULL;
    }
    size_t n = t->bytes / tw_dtype_bytes(t->dtype);
    float *x = zeros(n);
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        if (t->dtype == TW_DTYPE_F32) {
            memcpy(&x[i], t->data + 4 * i, 4);
        } else {
            memcpy(&h, t->data + 2 * i, 2);
            x[i] = t->dtype == TW_DTYPE_BF16 ? tw_bf16_to_f32(h) : tw_f16_to_f32(h);
        }
        if (matrix && w->bf16) {
            x[i] = round_bf16(x[i]);
        }
    }
    return x;
}

static float *layer_tensor(const struct weights *w, size_t layer, const char *suffix, bool matrix)
{
    char name[128];
    (void)snprintf(name, sizeof name, "model.layers.%zu.%s", layer, suffix);
    return tensor(w, name, matrix);
}

/* ---- sums ---- */

static float chain(const float *x, const float *w, size_t begin, size_t end)
{
    float sum = 0;
    for (size_t k = begin; k < end; k += 2) {
        sum = k + 1 < end ? fmaf(x[k + 1], w[k + 1], sum) : fmaf(0, 0, sum);
        sum = fmaf(x[k], w[k], sum);
    }
    return sum;
}

static float leaf(const struct weights *m, const float *x, const float *w, size_t begin, size_t end)
{
    size_t step = m->bf16 ? end - begin : tw_chain_inputs(end - begin);
    float sum   = 0;
    for (size_t k = begin; k < end; k += step) {
        float c = chain(x, w, k, k + step < end ? k + step : end);
        sum     = k == begin ? c : sum + c;
    }
    return sum;
}

/* Halve `units` units of `size` inputs until there are `leaves` parts; false where a part is empty. */
static bool tree(const struct weights *m, const float *x, const float *w, size_t first, size_t units,
                 size_t size, size_t k, int leaves, float *sum)
{
    if (units == 0) {
        return false;
    }
    if (leaves == 1 || units == 1) {
        size_t end = (first + units) * size;
        *sum       = leaf(m, x, w, first * size, end < k ? end : k);
        return true;
    }
    float right = 0;
    size_t left = (units + 1) / 2;
    (void)tree(m, x, w, first, left, size, k, leaves / 2, sum);
    if (tree(m, x, w, first + left, units - left, size, k, leaves / 2, &right)) {
        *sum = *sum + right;
    }
    return true;
}

/* y[n_out] = w x (+ bias); `unit` 0: one leaf, else the tree over units of that many inputs. */
static void linear(const struct weights *m, float *y, const float *from, const float *w, const float *bias,
                   size_t n_out, size_t k, size_t unit)
{
    float *x = zeros(k);
    for (size_t i = 0; i < k; i++) {
        x[i] = m->bf16 ? round_bf16(from[i]) : from[i];
    }
    for (size_t n = 0; n < n_out; n++) {
        float sum = 0;
        if (unit == 0) {
            sum = leaf(m, x, w + n * k, 0, k);
        } else {
            (void)tree(m, x, w + n * k, 0, (k + unit - 1) / unit, unit, k, m->leaves, &sum);
        }
        y[n] = bias == NULL ? sum : sum + bias[n];
    }
    free(x);
}

static void rmsnorm(float *y, const float *x, const float *w, size_t n, double eps)
{
    double s[8] = {0};
    for (size_t i = 0; i < n; i++) {
        s[i % 8] += (double)x[i] * (double)x[i];
    }
    double sum = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
    float r    = (float)(1.0 / sqrt(sum / (double)n + eps));
    for (size_t i = 0; i < n; i++) {
        y[i] = (x[i] * r) * w[i];
    }
}

/* ---- attention ---- */

struct partial {
    float max, sum, *o;
};

static void merge(struct partial *a, const struct partial *b, size_t dim)
{
    if (a->sum == 0) {
        a->max = b->max;
        a->sum = b->sum;
        memcpy(a->o, b->o, dim * sizeof *a->o);
        return;
    }
    float max = a->max > b->max ? a->max : b->max;
    float c1 = tw_exp_one(a->max - max), c2 = tw_exp_one(b->max - max);
    a->max = max;
    a->sum = fmaf(a->sum, c1, b->sum * c2);
    for (size_t d = 0; d < dim; d++) {
        a->o[d] = fmaf(a->o[d], c1, b->o[d] * c2);
    }
}

/* One query head over `n` keys and values ([.][stride]), of which it sees those in `sees`. */
struct query {
    const float *q, *keys, *values;
    size_t stride, n, dim;
    float scale;
    bool bf16;
    const bool *sees; /* [n] */
};

/* Keys first .. first + 63, as far as there are any; false: none is seen. */
static bool block(struct partial *out, const struct query *a, size_t first)
{
    float p[64]   = {0}, lane[16];
    bool seen[64] = {false};
    size_t n = 0, gaps = 0, end = 0;
    out->max = -INFINITY;
    for (size_t i = 0; i < 64 && first + i < a->n; i++) {
        seen[i] = a->sees[first + i];
        if (seen[i]) {
            p[i]     = chain(a->q, a->keys + (first + i) * a->stride, 0, a->dim) * a->scale;
            out->max = p[i] > out->max ? p[i] : out->max;
            end      = i + 1;
            n++;
        }
    }
    gaps = end - n;
    for (size_t i = 0; i < end; i++) {
        p[i] = seen[i] ? tw_exp_one(p[i] - out->max) : 0;
    }
    for (size_t l = 0; l < 16; l++) {
        lane[l] = ((p[l] + p[l + 16]) + p[l + 32]) + p[l + 48];
    }
    for (size_t width = 8; width > 0; width /= 2) {
        for (size_t l = 0; l < width; l++) {
            lane[l] = lane[l] + lane[l + width];
        }
    }
    out->sum = lane[0];
    for (size_t d = 0; d < a->dim; d++) {
        float o = 0;
        for (size_t i = 0; i < end; i += 2) {
            const float *v = a->values + (first + i) * a->stride + d;
            if (seen[i + 1]) {
                o = fmaf(a->bf16 ? round_bf16(p[i + 1]) : p[i + 1], v[a->stride], o);
            } else if (gaps == 0) {
                o = fmaf(0, 0, o); /* the last pair of keys without a gap has two factors all the same */
            }
            if (seen[i]) {
                o = fmaf(a->bf16 ? round_bf16(p[i]) : p[i], v[0], o);
            }
        }
        out->o[d] = gaps > 0 ? o + 0.0f : o;
    }
    return n > 0;
}

static void attend(float *z, const struct query *given)
{
    size_t dim           = given->dim;
    struct query a       = *given;
    struct partial total = {0, 0, zeros(dim)}, span = {0, 0, zeros(dim)}, one = {0, 0, zeros(dim)};
    float *r = zeros(dim);
    for (size_t d = 0; d < dim; d++) {
        r[d] = a.bf16 ? round_bf16(a.q[d]) : a.q[d];
    }
    a.q = r;
    for (size_t s = 0; s < a.n; s += 1024) {
        span.sum = 0;
        for (size_t b = s; b < a.n && b < s + 1024; b += 64) {
            if (block(&one, &a, b)) {
                merge(&span, &one, dim);
            }
        }
        if (span.sum != 0) {
            merge(&total, &span, dim);
        }
    }
    for (size_t d = 0; d < dim; d++) {
        z[d] = total.o[d] / total.sum;
    }
    free(total.o);
    free(span.o);
    free(one.o);
    free(r);
}

/* Where a query looks: its entropy, and what every block of keys gets, added to masses. */
static double look(const struct query *a, double *masses)
{
    double *p = calloc(a->n, sizeof *p), max = -INFINITY, sum = 0, entropy = 0;
    float *r = zeros(a->dim);
    assert_non_null(p);
    for (size_t d = 0; d < a->dim; d++) {
        r[d] = a->bf16 ? round_bf16(a->q[d]) : a->q[d];
    }
    for (size_t i = 0; i < a->n; i++) {
        p[i] = a->sees[i] ? (double)(chain(r, a->keys + i * a->stride, 0, a->dim) * a->scale)
                          : -(double)INFINITY;
        max  = fmax(max, p[i]);
    }
    for (size_t i = 0; i < a->n; i++) {
        p[i] = exp(p[i] - max);
        sum += p[i];
    }
    for (size_t i = 0; i < a->n; i++) {
        masses[i / 64] += p[i] / sum;
        entropy -= p[i] > 0 ? p[i] / sum * log(p[i] / sum) : 0;
    }
    free(p);
    free(r);
    return entropy;
}

static void rotate(float *x, const float *cos, const float *sin, size_t dim)
{
    size_t half = dim / 2;
    for (size_t i = 0; i < half; i++) {
        float a = x[i], b = x[i + half];
        float ac = a * cos[i], bs = b * sin[i], bc = b * cos[i], as = a * sin[i];
        x[i]        = ac - bs;
        x[i + half] = bc + as;
    }
}

static void rotate_heads(const struct weights *m, float *x, size_t heads, const float *norm, size_t position)
{
    double inverse[TW_MAX_HEAD_DIM / 2];
    float cos[TW_MAX_HEAD_DIM / 2], sin[TW_MAX_HEAD_DIM / 2];
    size_t dim = m->c.head_dim;
    tw_model_config_rope(&m->c, inverse);
    tw_rope_angles(inverse, dim / 2, position, cos, sin);
    for (size_t h = 0; h < heads; h++) {
        if (norm != NULL) {
            rmsnorm(x + h * dim, x + h * dim, norm, dim, m->c.rms_eps);
        }
        rotate(x + h * dim, cos, sin, dim);
    }
}

static void attention(const struct weights *m, size_t layer, float *x, size_t n, const bool *sees,
                      const struct reference *out)
{
    const struct tw_model_config *c = &m->c;
    size_t q_width = c->n_heads * c->head_dim, kv_width = c->n_kv_heads * c->head_dim;
    float *norm = layer_tensor(m, layer, "input_layernorm.weight", false);
    float *wq   = layer_tensor(m, layer, "self_attn.q_proj.weight", true);
    float *wk   = layer_tensor(m, layer, "self_attn.k_proj.weight", true);
    float *wv   = layer_tensor(m, layer, "self_attn.v_proj.weight", true);
    float *wo   = layer_tensor(m, layer, "self_attn.o_proj.weight", true);
    float *bq   = layer_tensor(m, layer, "self_attn.q_proj.bias", false);
    float *bk   = layer_tensor(m, layer, "self_attn.k_proj.bias", false);
    float *bv   = layer_tensor(m, layer, "self_attn.v_proj.bias", false);
    float *nq   = layer_tensor(m, layer, "self_attn.q_norm.weight", false);
    float *nk   = layer_tensor(m, layer, "self_attn.k_norm.weight", false);
    float *h = zeros(c->hidden), *q = zeros(n * q_width), *z = zeros(q_width), *sum = zeros(c->hidden);
    float *keys = zeros(n * kv_width), *values = zeros(n * kv_width);
    for (size_t i = 0; i < n; i++) {
        rmsnorm(h, x + i * c->hidden, norm, c->hidden, c->rms_eps);
        linear(m, q + i * q_width, h, wq, bq, q_width, c->hidden, 0);
        linear(m, keys + i * kv_width, h, wk, bk, kv_width, c->hidden, 0);
        linear(m, values + i * kv_width, h, wv, bv, kv_width, c->hidden, 0);
        rotate_heads(m, q + i * q_width, c->n_heads, nq, i);
        rotate_heads(m, keys + i * kv_width, c->n_kv_heads, nk, i);
        for (size_t j = 0; m->bf16 && j < kv_width; j++) {
            keys[i * kv_width + j]   = round_bf16(keys[i * kv_width + j]);
            values[i * kv_width + j] = round_bf16(values[i * kv_width + j]);
        }
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t head = 0; head < c->n_heads; head++) {
            size_t kv        = head / (c->n_heads / c->n_kv_heads) * c->head_dim;
            struct query one = {
                q + i * q_width + head * c->head_dim,     keys + kv, values + kv, kv_width, n, c->head_dim,
                (float)(1.0 / sqrt((double)c->head_dim)), m->bf16,   sees + i * n};
            attend(z + head * c->head_dim, &one);
            out->entropies[(i * c->n_layers + layer) * c->n_heads + head] =
                look(&one, out->masses + i * ((n + 63) / 64));
        }
        linear(m, sum, z, wo, NULL, c->hidden, q_width, c->head_dim);
        for (size_t j = 0; j < c->hidden; j++) {
            x[i * c->hidden + j] += sum[j];
        }
    }
    float *all[] = {norm, wq, wk, wv, wo, bq, bk, bv, nq, nk, h, q, z, sum, keys, values};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        free(all[i]);
    }
}

static void mlp(const struct weights *m, size_t layer, float *x, size_t n)
{
    const struct tw_model_config *c = &m->c;
    float *norm                     = layer_tensor(m, layer, "post_attention_layernorm.weight", false);
    float *wg                       = layer_tensor(m, layer, "mlp.gate_proj.weight", true);
    float *wu                       = layer_tensor(m, layer, "mlp.up_proj.weight", true);
    float *wd                       = layer_tensor(m, layer, "mlp.down_proj.weight", true);
    float *h = zeros(c->hidden), *gate = zeros(c->intermediate), *up = zeros(c->intermediate),
          *sum = zeros(c->hidden);
    for (size_t i = 0; i < n; i++) {
        rmsnorm(h, x + i * c->hidden, norm, c->hidden, c->rms_eps);
        linear(m, gate, h, wg, NULL, c->intermediate, c->hidden, 0);
        linear(m, up, h, wu, NULL, c->intermediate, c->hidden, 0);
        for (size_t j = 0; j < c->intermediate; j++) {
            gate[j] = (gate[j] / (1.0f + tw_exp_one(-gate[j]))) * up[j];
        }
        linear(m, sum, gate, wd, NULL, c->hidden, c->intermediate, 32);
        for (size_t j = 0; j < c->hidden; j++) {
            x[i * c->hidden + j] += sum[j];
        }
    }
    float *all[] = {norm, wg, wu, wd, h, gate, up, sum};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        free(all[i]);
    }
}

void reference_forward(struct reference *out, const char *folder, bool bf16, int tree_leaves,
                       const int32_t *tokens, size_t n)
{
    bool *sees = calloc(n * n, sizeof *sees);
    assert_non_null(sees);
    for (size_t i = 0; i < n * n; i++) {
        sees[i] = i % n <= i / n;
    }
    reference_forward_masked(out, folder, bf16, tree_leaves, tokens, n, sees);
    free(sees);
}

void reference_forward_masked(struct reference *out, const char *folder, bool bf16, int tree_leaves,
                              const int32_t *tokens, size_t n, const bool *sees)
{
    struct trawl_error err;
    struct weights m = {.bf16 = bf16, .leaves = tree_leaves};
    assert_ok(tw_model_config_read(&m.c, folder, &err));
    assert_ok(tw_safetensors_open(&m.files, folder, &err));
    size_t hidden = m.c.hidden;
    float *embed  = tensor(&m, "model.embed_tokens.weight", true),
          *norm   = tensor(&m, "model.norm.weight", false);
    float *head =
        m.c.tied ? tensor(&m, "model.embed_tokens.weight", true) : tensor(&m, "lm_head.weight", true);
    float *x = zeros(n * hidden), *h = zeros(hidden);
    *out = (struct reference){
        .n = n, .hidden = hidden, .vocab = m.c.vocab, .n_layers = m.c.n_layers, .n_heads = m.c.n_heads};
    out->entropies = calloc(n * m.c.n_layers * m.c.n_heads, sizeof *out->entropies);
    out->masses    = calloc(n * ((n + 63) / 64), sizeof *out->masses);
    assert_non_null(out->entropies);
    assert_non_null(out->masses);
    out->resid  = zeros(m.c.n_layers * n * hidden);
    out->logits = zeros(n * m.c.vocab);
    for (size_t i = 0; i < n; i++) {
        memcpy(x + i * hidden, embed + (size_t)tokens[i] * hidden, hidden * sizeof *x);
    }
    for (size_t layer = 0; layer < m.c.n_layers; layer++) {
        attention(&m, layer, x, n, sees, out);
        mlp(&m, layer, x, n);
        memcpy(out->resid + layer * n * hidden, x, n * hidden * sizeof *x);
    }
    for (size_t i = 0; i < n; i++) {
        rmsnorm(h, x + i * hidden, norm, hidden, m.c.rms_eps);
        linear(&m, out->logits + i * m.c.vocab, h, head, NULL, m.c.vocab, hidden, 0);
    }
    free(embed);
    free(norm);
    free(head);
    free(x);
    free(h);
    tw_safetensors_close(m.files);
}

void reference_free(struct reference *r)
{
    free(r->resid);
    free(r->logits);
    free(r->entropies);
    free(r->masses);
}
