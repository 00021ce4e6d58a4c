/* SPDX-License-Identifier: MIT */
#include "constrain/constrain_vocab.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"

/* Copy the texts; those that are empty or too long are left out. */
static trawl_status collect(struct tw_vocabulary *v, tw_vocabulary_piece_fn *piece, void *user,
                            struct trawl_error *err)
{
    size_t capacity = 0, size = 0;
    TW_TRY(tw_alloc(v->n_vocab + 1, sizeof *v->offsets, &v->offsets, err));
    TW_TRY(tw_alloc(v->n_vocab, sizeof *v->ids, &v->ids, err));
    TW_TRY(tw_grow(&v->bytes, &capacity, 1, 1, err));
    for (size_t id = 0; id < v->n_vocab; id++) {
        size_t n         = 0;
        const char *text = piece(user, (int32_t)id, &n);
        v->offsets[id]   = size;
        if (text != NULL && n > 0 && n <= TW_VOCABULARY_DEPTH_MAX) {
            TW_TRY(tw_grow(&v->bytes, &capacity, size + n, 1, err));
            memcpy(v->bytes + size, text, n);
            size += n;
            v->ids[v->n_ids++] = (int32_t)id;
            v->depth           = tw_max_size(v->depth, n);
        }
    }
    v->offsets[v->n_vocab] = size;
    return TRAWL_OK;
}

static int by_text(const void *a, const void *b, void *user)
{
    const struct tw_vocabulary *v = user;
    int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;
    size_t m, n;
    const uint8_t *x = tw_vocabulary_text(v, i, &m), *y = tw_vocabulary_text(v, j, &n);
    int order = memcmp(x, y, tw_min_size(m, n));
    if (order == 0) {
        order = m != n ? (m > n) - (m < n) : (i > j) - (i < j);
    }
    return order;
}

static size_t shared(const uint8_t *x, size_t m, const uint8_t *y, size_t n)
{
    size_t i = 0;
    while (i < m && i < n && x[i] == y[i]) {
        i++;
    }
    return i;
}

/* `open[d]`: the node of depth d on the way to the latest token. */
static trawl_status plant(struct tw_vocabulary *v, uint32_t *open, struct trawl_error *err)
{
    size_t n_open = 0, m = 0;
    const uint8_t *before = v->bytes;
    for (size_t i = 0; i < v->n_ids; i++) {
        size_t n;
        const uint8_t *text = tw_vocabulary_text(v, v->ids[i], &n);
        size_t keep         = shared(before, m, text, n);
        TW_TRY(tw_grow(&v->nodes, &v->capacity, v->n_nodes + n + 1, sizeof *v->nodes, err));
        while (n_open > keep) {
            v->nodes[open[--n_open]].end = (uint32_t)v->n_nodes;
        }
        for (; n_open < n; n_open++) {
            open[n_open]           = (uint32_t)v->n_nodes;
            v->nodes[v->n_nodes++] = (struct tw_vocabulary_node){
                .first = (uint32_t)i, .depth = (uint16_t)n_open, .byte = text[n_open]};
        }
        before = text;
        m      = n;
    }
    while (n_open > 0) {
        v->nodes[open[--n_open]].end = (uint32_t)v->n_nodes;
    }
    TW_TRY(tw_grow(&v->nodes, &v->capacity, v->n_nodes + 1, sizeof *v->nodes, err));
    v->nodes[v->n_nodes] = (struct tw_vocabulary_node){.first = (uint32_t)v->n_ids};
    return TRAWL_OK;
}

trawl_status tw_vocabulary_build(struct tw_vocabulary *v, size_t n_vocab, tw_vocabulary_piece_fn *piece,
                                 void *user, struct trawl_error *err)
{
    uint32_t *open      = NULL;
    *v                  = (struct tw_vocabulary){.n_vocab = n_vocab};
    trawl_status status = collect(v, piece, user, err);
    if (status == TRAWL_OK) {
        qsort_r(v->ids, v->n_ids, sizeof *v->ids, by_text, v);
        status = tw_alloc(v->depth + 1, sizeof *open, &open, err);
    }
    if (status == TRAWL_OK) {
        status = plant(v, open, err);
    }
    tw_free(open);
    if (status != TRAWL_OK) {
        tw_vocabulary_release(v);
    }
    return status;
}

static const char *piece_of_tokenizer(void *user, int32_t id, size_t *n)
{
    const struct tw_tokenizer *tokenizer = user;
    return tw_tokenizer_is_special(tokenizer, id) ? NULL : tw_tokenizer_piece(tokenizer, id, n);
}

trawl_status tw_vocabulary_of(struct tw_vocabulary *v, const struct tw_tokenizer *tokenizer, size_t n_vocab,
                              struct trawl_error *err)
{
    return tw_vocabulary_build(v, n_vocab, piece_of_tokenizer, (void *)tokenizer, err);
}

void tw_vocabulary_release(struct tw_vocabulary *v)
{
    tw_free(v->nodes);
    tw_free(v->ids);
    tw_free(v->bytes);
    tw_free(v->offsets);
    *v = (struct tw_vocabulary){.n_vocab = 0};
}
