/* SPDX-License-Identifier: MIT */
#include "text/text_bpe.h"

#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/utf8.h"

enum {
    CACHE_SLOTS      = 1 << 15, /* 2 MiB: larger gained nothing on 20 MB of mixed text */
    CACHE_WORD_BYTES = 38,
    CACHE_IDS        = 6,
    /* Up to here a scan for the lowest rank beats the heap (the two must agree: test_text_bpe). */
    SHORT_WORD = 48
};

struct tw_bpe_symbol {
    int32_t id;   /* -1: merged away */
    int32_t prev; /* -1: none */
    int32_t next;
};

struct tw_bpe_pair {
    uint32_t rank;
    int32_t pos; /* of the left symbol */
    int32_t result;
};

/* One cache line. */
struct tw_bpe_cached {
    uint8_t n_bytes; /* 0: free */
    uint8_t n_ids;
    char bytes[CACHE_WORD_BYTES]; /* rest zero */
    int32_t ids[CACHE_IDS];
};

void tw_bpe_release(struct tw_bpe_scratch *s)
{
    tw_free(s->symbols);
    tw_free(s->heap);
    tw_free(s->cache);
    *s = (struct tw_bpe_scratch){0};
}

/* ---- bytes to symbols ---- */

/* The tokens of characters, and the tokens of the bytes of other characters. */
static size_t first_characters(const struct tw_bpe_model *model, struct tw_bpe_symbol *symbols,
                               const char *word, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n;) {
        unsigned char lead = (unsigned char)word[i];
        size_t size        = lead < 0x80 ? 1 : tw_utf8_decode(word + i, n - i, NULL);
        int32_t id = size == 1 ? model->vocab.byte_id[lead] : tw_vocab_find(&model->vocab, word + i, size);
        for (size_t k = 0; k < (id < 0 ? size : 1); k++) {
            int32_t symbol = id < 0 ? model->fallback_id[(unsigned char)word[i + k]] : id;
            symbols[count] = (struct tw_bpe_symbol){symbol, (int32_t)count - 1, (int32_t)count + 1};
            count++;
        }
        i += size;
    }
    symbols[count - 1].next = -1; /* a word is never empty */
    return count;
}

/* The tokens of single bytes; bytes without one are left out, or become the unknown token. */
static size_t first_symbols(const struct tw_bpe_model *model, struct tw_bpe_symbol *symbols, const char *word,
                            size_t n)
{
    size_t count = 0;
    bool was_unk = false;
    for (size_t i = 0; i < n; i++) {
        int32_t id = model->vocab.byte_id[(unsigned char)word[i]];
        bool unk   = id < 0;
        if (unk && (model->unk_id < 0 || (was_unk && model->fuse_unk))) {
            continue;
        }
        symbols[count] =
            (struct tw_bpe_symbol){unk ? model->unk_id : id, (int32_t)count - 1, (int32_t)count + 1};
        count++;
        was_unk = unk;
    }
    if (count > 0) {
        symbols[count - 1].next = -1;
    }
    return count;
}

/* ---- short words: scan ---- */

static size_t merge_short(const struct tw_merges *merges, struct tw_bpe_symbol *symbols, size_t n)
{
    struct tw_bpe_pair pairs[SHORT_WORD]; /* pairs[i]: symbols i and i + 1 */
    int32_t ids[SHORT_WORD];
    for (size_t i = 0; i < n; i++) {
        ids[i] = symbols[i].id;
    }
    for (size_t i = 0; i + 1 < n; i++) {
        const struct tw_merge *m = tw_merges_find(merges, ids[i], ids[i + 1]);
        pairs[i].rank            = m == NULL ? UINT32_MAX : m->rank;
        pairs[i].result          = m == NULL ? -1 : m->result;
    }
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++) {
            best = pairs[i].rank < pairs[best].rank ? i : best;
        }
        if (pairs[best].rank == UINT32_MAX) {
            break;
        }
        ids[best] = pairs[best].result;
        memmove(ids + best + 1, ids + best + 2, (n - best - 2) * sizeof *ids);
        memmove(pairs + best, pairs + best + 1, (n - best - 2) * sizeof *pairs);
        n--;
        for (size_t i = best == 0 ? 0 : best - 1; i <= best && i + 1 < n; i++) {
            const struct tw_merge *m = tw_merges_find(merges, ids[i], ids[i + 1]);
            pairs[i].rank            = m == NULL ? UINT32_MAX : m->rank;
            pairs[i].result          = m == NULL ? -1 : m->result;
        }
    }
    for (size_t i = 0; i < n; i++) {
        symbols[i].id = ids[i];
    }
    return n;
}

/* ---- long words: a heap of candidate pairs over a linked list of symbols ---- */

static bool before(const struct tw_bpe_pair *a, const struct tw_bpe_pair *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->pos < b->pos;
}

static void heap_push(struct tw_bpe_pair *heap, size_t *n, struct tw_bpe_pair item)
{
    size_t i = (*n)++;
    while (i > 0) {
        size_t up = (i - 1) / 2;
        if (!before(&item, &heap[up])) {
            break;
        }
        heap[i] = heap[up];
        i       = up;
    }
    heap[i] = item;
}

static struct tw_bpe_pair heap_pop(struct tw_bpe_pair *heap, size_t *n)
{
    struct tw_bpe_pair top  = heap[0];
    struct tw_bpe_pair item = heap[--(*n)];
    size_t i                = 0;
    for (;;) {
        size_t down = 2 * i + 1;
        if (down >= *n) {
            break;
        }
        if (down + 1 < *n && before(&heap[down + 1], &heap[down])) {
            down++;
        }
        if (!before(&heap[down], &item)) {
            break;
        }
        heap[i] = heap[down];
        i       = down;
    }
    heap[i] = item;
    return top;
}

static void push_pair(const struct tw_merges *merges, const struct tw_bpe_symbol *symbols,
                      struct tw_bpe_pair *heap, size_t *n, int32_t pos)
{
    if (pos < 0 || symbols[pos].next < 0) {
        return;
    }
    const struct tw_merge *m = tw_merges_find(merges, symbols[pos].id, symbols[symbols[pos].next].id);
    if (m != NULL) {
        heap_push(heap, n, (struct tw_bpe_pair){m->rank, pos, m->result});
    }
}

static trawl_status merge_long(const struct tw_merges *merges, struct tw_bpe_scratch *s, size_t *count,
                               struct trawl_error *err)
{
    struct tw_bpe_symbol *symbols = s->symbols;
    size_t n                      = *count;
    /* One entry a neighbouring pair at the start, at most two more for each of the n - 1 merges. */
    TW_TRY(tw_grow(&s->heap, &s->heap_capacity, 3 * n, sizeof *s->heap, err));
    size_t in_heap = 0;
    for (size_t i = 0; i + 1 < n; i++) {
        push_pair(merges, symbols, s->heap, &in_heap, (int32_t)i);
    }
    while (in_heap > 0) {
        struct tw_bpe_pair top     = heap_pop(s->heap, &in_heap);
        struct tw_bpe_symbol *left = &symbols[top.pos];
        if (left->id < 0 || left->next < 0) {
            continue;
        }
        struct tw_bpe_symbol *right = &symbols[left->next];
        const struct tw_merge *m    = tw_merges_find(merges, left->id, right->id);
        if (m == NULL || m->rank != top.rank) {
            continue; /* one of the two has grown since */
        }
        left->id   = top.result;
        left->next = right->next;
        right->id  = -1;
        if (left->next >= 0) {
            symbols[left->next].prev = top.pos;
        }
        push_pair(merges, symbols, s->heap, &in_heap, left->prev);
        push_pair(merges, symbols, s->heap, &in_heap, top.pos);
    }
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (symbols[i].id >= 0) {
            symbols[kept++].id = symbols[i].id;
        }
    }
    *count = kept;
    return TRAWL_OK;
}

static trawl_status merge_word(const struct tw_bpe_model *model, struct tw_bpe_scratch *s, const char *word,
                               size_t n, struct tw_ids *ids, struct trawl_error *err)
{
    if (model->ignore_merges) {
        int32_t whole = tw_vocab_find(&model->vocab, word, n);
        if (whole >= 0) {
            TW_TRY(tw_grow(&ids->data, &ids->capacity, ids->size + 1, sizeof *ids->data, err));
            ids->data[ids->size++] = whole;
            return TRAWL_OK;
        }
    }
    if (n > INT32_MAX / 4) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "a word of %zu bytes without a cut, limit %d", n, INT32_MAX / 4);
    }
    TW_TRY(tw_grow(&s->symbols, &s->symbols_capacity, n, sizeof *s->symbols, err));
    size_t count = model->by_character ? first_characters(model, s->symbols, word, n)
                                       : first_symbols(model, s->symbols, word, n);
    if (count <= SHORT_WORD) {
        count = merge_short(&model->merges, s->symbols, count);
    } else {
        TW_TRY(merge_long(&model->merges, s, &count, err));
    }
    TW_TRY(tw_grow(&ids->data, &ids->capacity, ids->size + count, sizeof *ids->data, err));
    for (size_t i = 0; i < count; i++) {
        ids->data[ids->size++] = s->symbols[i].id;
    }
    return TRAWL_OK;
}

trawl_status tw_bpe_encode(const struct tw_bpe_model *model, struct tw_bpe_scratch *s, const char *word,
                           size_t n, struct tw_ids *ids, struct trawl_error *err)
{
    if (n == 0 || n > CACHE_WORD_BYTES) {
        return n == 0 ? TRAWL_OK : merge_word(model, s, word, n, ids, err);
    }
    if (s->cache == NULL) {
        TW_TRY(tw_alloc(CACHE_SLOTS, sizeof *s->cache, &s->cache, err));
    }
    struct tw_bpe_cached *c = &s->cache[tw_hash64(word, n) & (CACHE_SLOTS - 1)];
    if (c->n_bytes == n && memcmp(c->bytes, word, n) == 0) {
        TW_TRY(tw_grow(&ids->data, &ids->capacity, ids->size + CACHE_IDS, sizeof *ids->data, err));
        memcpy(ids->data + ids->size, c->ids, sizeof c->ids);
        ids->size += c->n_ids;
        return TRAWL_OK;
    }
    size_t first = ids->size;
    TW_TRY(merge_word(model, s, word, n, ids, err));
    size_t n_ids = ids->size - first;
    if (n_ids > 0 && n_ids <= CACHE_IDS) {
        c->n_bytes = (uint8_t)n;
        c->n_ids   = (uint8_t)n_ids;
        memcpy(c->bytes, word, n);
        memcpy(c->ids, ids->data + first, n_ids * sizeof *c->ids);
    }
    return TRAWL_OK;
}
