/* SPDX-License-Identifier: MIT */
#include "text/text_vocab.h"

#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/utf8.h"

void tw_vocab_init(struct tw_vocab *v)
{
    *v = (struct tw_vocab){0};
    /* Offsets are 32 bits wide. */
    tw_str_init(&v->store, UINT32_MAX);
}

void tw_vocab_release(struct tw_vocab *v)
{
    tw_str_release(&v->store);
    tw_free(v->pieces);
    tw_free(v->slots);
    *v = (struct tw_vocab){0};
}

trawl_status tw_vocab_add(struct tw_vocab *v, int32_t id, const char *bytes, size_t n, uint32_t flags,
                          struct trawl_error *err)
{
    size_t i = (size_t)id;
    if (i >= v->n_ids) {
        TW_TRY(tw_grow(&v->pieces, &v->capacity, i + 1, sizeof *v->pieces, err));
        memset(v->pieces + v->n_ids, 0, (i + 1 - v->n_ids) * sizeof *v->pieces);
        v->n_ids = i + 1;
    }
    size_t offset = v->store.size;
    TW_TRY(tw_str_append(&v->store, bytes, n, err));
    v->pieces[i] = (struct tw_piece){(uint32_t)offset, (uint32_t)n, flags | TW_PIECE_PRESENT};
    return TRAWL_OK;
}

/* The slot that holds these bytes, or the free one where they belong. */
static size_t slot_of(const struct tw_vocab *v, const char *bytes, size_t n)
{
    size_t i = (size_t)tw_hash64(bytes, n) & (v->n_slots - 1);
    while (v->slots[i] >= 0) {
        const struct tw_piece *p = &v->pieces[v->slots[i]];
        if (p->n == n && memcmp(v->store.data + p->offset, bytes, n) == 0) {
            break;
        }
        i = (i + 1) & (v->n_slots - 1);
    }
    return i;
}

trawl_status tw_vocab_index(struct tw_vocab *v, struct trawl_error *err)
{
    size_t n_slots = 16;
    while (n_slots < 2 * v->n_ids) {
        n_slots *= 2;
    }
    TW_TRY(tw_alloc(n_slots, sizeof *v->slots, &v->slots, err));
    v->n_slots = n_slots;
    memset(v->slots, 0xFF, n_slots * sizeof *v->slots);
    for (size_t id = 0; id < v->n_ids; id++) {
        const struct tw_piece *p = &v->pieces[id];
        if (p->n > 0 && (p->flags & TW_PIECE_LITERAL) == 0) {
            v->slots[slot_of(v, v->store.data + p->offset, p->n)] = (int32_t)id;
        }
    }
    for (int b = 0; b < 256; b++) {
        char c        = (char)b;
        v->byte_id[b] = tw_vocab_find(v, &c, 1);
    }
    return TRAWL_OK;
}

int32_t tw_vocab_find(const struct tw_vocab *v, const char *bytes, size_t n)
{
    return v->slots == NULL ? -1 : v->slots[slot_of(v, bytes, n)];
}

const char *tw_vocab_piece(const struct tw_vocab *v, int32_t id, size_t *n)
{
    *n = 0;
    if (id < 0 || (size_t)id >= v->n_ids || (v->pieces[id].flags & TW_PIECE_PRESENT) == 0) {
        return NULL;
    }
    *n = v->pieces[id].n;
    return tw_str_text(&v->store) + v->pieces[id].offset;
}

/* ---- the byte alphabet ---- */

/* Bytes that stand for themselves: printable ones of Latin-1. The others are numbered from U+0100. */
static bool stands_for_itself(int b)
{
    return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
}

void tw_byte_alphabet_init(struct tw_byte_alphabet *a)
{
    memset(a->byte_of, 0xFF, sizeof a->byte_of);
    int next = 0x100;
    for (int b = 0; b < 256; b++) {
        a->byte_of[stands_for_itself(b) ? b : next++] = (int16_t)b;
    }
}

trawl_status tw_byte_alphabet_decode(const struct tw_byte_alphabet *a, const char *text, size_t n,
                                     struct tw_str *out, bool *spelt, struct trawl_error *err)
{
    size_t before = out->size;
    *spelt        = false;
    TW_TRY(tw_str_reserve(out, n, err));
    for (size_t i = 0; i < n;) {
        uint32_t c  = 0;
        size_t step = tw_utf8_decode(text + i, n - i, &c);
        if (step == 0 || c >= 0x144 || a->byte_of[c] < 0) {
            out->size = before;
            return TRAWL_OK;
        }
        out->data[out->size++] = (char)a->byte_of[c];
        i += step;
    }
    *spelt = true;
    return TRAWL_OK;
}

/* ---- merges ---- */

trawl_status tw_merges_init(struct tw_merges *m, size_t n, struct trawl_error *err)
{
    size_t n_slots = 16;
    int bits       = 4;
    while (n_slots < 2 * n) {
        n_slots *= 2;
        bits++;
    }
    *m = (struct tw_merges){.shift = 64 - bits, .mask = n_slots - 1};
    TW_TRY(tw_alloc(n_slots, sizeof *m->slots, &m->slots, err));
    for (size_t i = 0; i < n_slots; i++) {
        m->slots[i].left = -1;
    }
    return TRAWL_OK;
}

void tw_merges_release(struct tw_merges *m)
{
    tw_free(m->slots);
    *m = (struct tw_merges){0};
}

void tw_merges_add(struct tw_merges *m, int32_t left, int32_t right, uint32_t rank, int32_t result)
{
    size_t i = tw_merge_hash(m, left, right);
    while (m->slots[i].left >= 0 && (m->slots[i].left != left || m->slots[i].right != right)) {
        i = (i + 1) & m->mask;
    }
    m->slots[i] = (struct tw_merge){left, right, rank, result};
}
