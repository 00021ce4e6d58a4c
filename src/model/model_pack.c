/* SPDX-License-Identifier: MIT */
#include "model/model_pack.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/size.h"

/* ---- which tensor is which weight ---- */

static trawl_status find(const struct tw_safetensors *files, const char *name, size_t rows, size_t columns,
                         const struct tw_safetensors_tensor **out, struct trawl_error *err)
{
    const struct tw_safetensors_tensor *t = tw_safetensors_find(files, name);
    if (t == NULL) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: tensor \"%s\" is missing", tw_safetensors_path(files),
                       name);
    }
    bool matrix = columns > 0;
    bool fits   = t->rank == (matrix ? 2 : 1) && t->shape[0] == rows && (!matrix || t->shape[1] == columns);
    if (!fits) {
        char found[128]   = "";
        char expected[64] = "";
        for (int i = 0; i < t->rank && i < 4; i++) {
            size_t used = strlen(found);
            (void)snprintf(found + used, sizeof found - used, "%s%zu", i > 0 ? "," : "", t->shape[i]);
        }
        (void)snprintf(expected, sizeof expected, matrix ? "%zu,%zu" : "%zu", rows, columns);
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: tensor \"%s\" has shape [%s], expected [%s]", t->file,
                       name, found, expected);
    }
    if (!t->has_dtype ||
        (t->dtype != TW_DTYPE_BF16 && t->dtype != TW_DTYPE_F16 && t->dtype != TW_DTYPE_F32)) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                       "%s: tensor \"%s\" has type %s; weights are BF16, F16 or F32", t->file, name,
                       t->dtype_name);
    }
    *out = t;
    return TRAWL_OK;
}

/* A head of its own beside a tied embedding: which of the two is meant differs between programs. */
static trawl_status check_tied(const struct tw_binding *b, const struct tw_safetensors *files,
                               struct trawl_error *err)
{
    const struct tw_safetensors_tensor *head = tw_safetensors_find(files, TW_HEAD_NAME), *embed = b->embed;
    if (!b->tied || head == NULL ||
        (head->bytes == embed->bytes && strcmp(head->dtype_name, embed->dtype_name) == 0 &&
         memcmp(head->data, embed->data, embed->bytes) == 0)) {
        return TRAWL_OK;
    }
    return tw_fail(
        err, TRAWL_ERR_FORMAT,
        "%s: tensor \"%s\" differs from \"%s\", but tie_word_embeddings is true; set it to false in "
        "config.json if the model has a head of its own, else remove the tensor",
        head->file, head->name, embed->name);
}

static trawl_status bind_all(struct tw_binding *b, const struct tw_model_config *c,
                             const struct tw_safetensors *files, enum tw_dtype compute,
                             struct trawl_error *err)
{
    const struct tw_weight_list *l = b->list;
    TW_TRY(tw_alloc(l->n, sizeof *b->tensors, &b->tensors, err));
    TW_TRY(tw_alloc(l->n + 2, sizeof *b->first_piece, &b->first_piece, err));
    TW_TRY(tw_alloc(l->n + 1, sizeof *b->bad, &b->bad, err));
    TW_TRY(find(files, TW_EMBED_NAME, c->vocab, c->hidden, &b->embed, err));
    TW_TRY(check_tied(b, files, err));
    size_t pieces = 0;
    for (size_t i = 0; i < l->n; i++) {
        const struct tw_weight *w = &l->weights[i];
        TW_TRY(find(files, w->name, w->rows, w->columns, &b->tensors[i], err));
        b->first_piece[i] = pieces;
        if (tw_weight_is_matrix(w)) {
            pieces += tw_ceil_div(tw_linear_panels(w->linear), TW_PACK_PANELS);
            if (compute == TW_DTYPE_F32 && b->tensors[i]->dtype != TW_DTYPE_BF16) {
                b->weight = TW_DTYPE_F32;
            }
        }
    }
    b->first_piece[l->n] = pieces;
    pieces += b->tied ? 0 : tw_ceil_div(c->vocab, (size_t)TW_PACK_PANELS * TW_PANEL);
    b->first_piece[l->n + 1] = pieces;
    return tw_alloc(pieces, sizeof *b->hashes, &b->hashes, err);
}

trawl_status tw_binding_make(struct tw_binding *b, const struct tw_weight_list *list,
                             const struct tw_model_config *config, const struct tw_safetensors *files,
                             enum tw_dtype compute, struct trawl_error *err)
{
    *b = (struct tw_binding){.list = list, .weight = TW_DTYPE_BF16, .tied = config->tied};
    return bind_all(b, config, files, compute, err);
}

void tw_binding_release(struct tw_binding *b)
{
    tw_free((void *)b->tensors);
    tw_free(b->first_piece);
    tw_free(b->hashes);
    tw_free((void *)b->bad);
    *b = (struct tw_binding){0};
}

/* ---- pieces ---- */

size_t tw_binding_weight_of(const struct tw_binding *b, size_t piece)
{
    size_t low = 0, high = b->list->n + 1; /* first_piece[low] <= piece < first_piece[high] */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (b->first_piece[middle] <= piece) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

void tw_binding_panels_of(const struct tw_binding *b, size_t piece, size_t *begin, size_t *end)
{
    size_t i      = tw_binding_weight_of(b, piece);
    size_t panels = i < b->list->n ? tw_linear_panels(b->list->weights[i].linear)
                                   : tw_ceil_div(b->embed->shape[0], TW_PANEL);
    *begin        = (piece - b->first_piece[i]) * TW_PACK_PANELS;
    *end          = tw_min_size(*begin + TW_PACK_PANELS, panels);
}

static bool all_finite(const uint8_t *data, enum tw_dtype dtype, size_t n)
{
    uint32_t worst = 0;
    if (dtype == TW_DTYPE_F32) {
        for (size_t i = 0; i < n; i++) {
            uint32_t u;
            memcpy(&u, data + 4 * i, 4);
            u &= 0x7F800000u;
            worst = u > worst ? u : worst;
        }
        return worst < 0x7F800000u;
    }
    uint32_t exponent = dtype == TW_DTYPE_BF16 ? 0x7F80u : 0x7C00u;
    uint16_t most     = 0;
    for (size_t i = 0; i < n; i++) {
        uint16_t u;
        memcpy(&u, data + 2 * i, 2);
        u    = (uint16_t)(u & exponent);
        most = u > most ? u : most;
    }
    return most < exponent;
}

static uint64_t mix(uint64_t hash, const void *data, size_t bytes)
{
    return hash * 0x9E3779B97F4A7C15u + tw_hash64(data, bytes);
}

static void pack_matrix(struct tw_binding *b, size_t index, size_t piece, uint8_t *to)
{
    const struct tw_linear *linear        = b->list->weights[index].linear;
    const struct tw_safetensors_tensor *t = b->tensors[index];
    size_t size                           = tw_dtype_bytes(t->dtype);
    size_t panel_bytes                    = tw_panel_elements(linear->k) * tw_dtype_bytes(b->weight);
    uint64_t hash                         = 0;
    size_t begin, end;
    tw_binding_panels_of(b, piece, &begin, &end);
    for (size_t p = begin; p < end; p++) {
        size_t column       = p % linear->group_panels * TW_PANEL;
        size_t row          = p / linear->group_panels * linear->group + column;
        size_t n            = tw_min_size(TW_PANEL, linear->group - column);
        const uint8_t *from = t->data + row * linear->k * size;
        tw_pack_weight(to + (p - begin) * panel_bytes, b->weight, from, t->dtype, linear->k, n, linear->k);
        if (!all_finite(from, t->dtype, n * linear->k)) {
            atomic_store_explicit(&b->bad[index], 1, memory_order_relaxed);
        }
        hash = mix(hash, from, n * linear->k * size);
    }
    b->hashes[piece] = hash;
}

void tw_binding_pack(struct tw_binding *b, size_t piece, void *to)
{
    size_t index = tw_binding_weight_of(b, piece);
    if (index < b->list->n) {
        pack_matrix(b, index, piece, to);
        return;
    }
    size_t begin, end, row = b->embed->shape[1] * tw_dtype_bytes(b->embed->dtype);
    tw_binding_panels_of(b, piece, &begin, &end);
    size_t rows         = tw_min_size(end * TW_PANEL, b->embed->shape[0]) - begin * TW_PANEL;
    const uint8_t *from = b->embed->data + begin * TW_PANEL * row;
    b->hashes[piece]    = mix(0, from, rows * row);
    if (!all_finite(from, b->embed->dtype, rows * b->embed->shape[1])) {
        atomic_store_explicit(&b->bad[index], 1, memory_order_relaxed);
    }
}

/* ---- vectors ---- */

static float value_at(const struct tw_safetensors_tensor *t, size_t i)
{
    uint16_t half;
    float f;
    if (t->dtype == TW_DTYPE_F32) {
        memcpy(&f, t->data + 4 * i, 4);
        return f;
    }
    memcpy(&half, t->data + 2 * i, 2);
    return t->dtype == TW_DTYPE_BF16 ? tw_bf16_to_f32(half) : tw_f16_to_f32(half);
}

void tw_binding_copy_vectors(struct tw_binding *b, float *vectors)
{
    for (size_t j = 0; j < b->list->n; j++) {
        const struct tw_weight *w = &b->list->weights[j];
        for (size_t i = 0; !tw_weight_is_matrix(w) && i < w->rows; i++) {
            float x                                                     = value_at(b->tensors[j], i);
            vectors[w->first + i / w->group * w->stride + i % w->group] = x;
            if (!isfinite(x)) {
                atomic_store_explicit(&b->bad[j], 1, memory_order_relaxed);
            }
        }
    }
}

uint64_t tw_binding_fingerprint(const struct tw_binding *b, const float *vectors)
{
    return tw_hash64(b->hashes, tw_binding_pieces(b) * sizeof *b->hashes) ^
           tw_hash64(vectors, b->list->floats * sizeof *vectors);
}

/* Does the model have this tensor, or is it known to hold nothing that is learnt? */
static bool is_known(const struct tw_binding *b, const char *name)
{
    static const char *const computed[] = {".rotary_emb.inv_freq", ".self_attn.masked_bias"};
    for (size_t i = 0; i < sizeof computed / sizeof *computed; i++) {
        size_t n = strlen(name), n_end = strlen(computed[i]);
        if (n > n_end && strcmp(name + n - n_end, computed[i]) == 0) {
            return true;
        }
    }
    for (size_t j = 0; j < b->list->n; j++) {
        if (strcmp(b->list->weights[j].name, name) == 0) {
            return true;
        }
    }
    return strcmp(name, b->embed->name) == 0 || strcmp(name, TW_HEAD_NAME) == 0;
}

static void warn_unused(const struct tw_binding *b, const struct tw_safetensors *files,
                        const struct tw_log *log)
{
    size_t n                                  = 0;
    const struct tw_safetensors_tensor *first = NULL;
    for (size_t i = 0; i < tw_safetensors_count(files); i++) {
        const struct tw_safetensors_tensor *t = tw_safetensors_at(files, i);
        if (!is_known(b, t->name)) {
            first = n++ == 0 ? t : first;
        }
    }
    if (n > 0) {
        tw_log(
            log, TW_LOG_WARNING,
            "%s: the model that config.json describes does not use %zu of the tensors, the first is \"%s\"",
            tw_safetensors_path(files), n, first->name);
    }
}

void tw_binding_warn(const struct tw_binding *b, const struct tw_safetensors *files, const struct tw_log *log)
{
    warn_unused(b, files, log);
    for (size_t j = 0; j <= b->list->n; j++) {
        const struct tw_safetensors_tensor *t = j < b->list->n ? b->tensors[j] : b->embed;
        if (atomic_load_explicit(&b->bad[j], memory_order_relaxed) != 0) {
            tw_log(log, TW_LOG_WARNING, "%s: tensor \"%s\" has values that are not finite", t->file, t->name);
        }
    }
}
