/* SPDX-License-Identifier: MIT */
#include "engine/engine_mask.h"

#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "kv/kv_pages.h"

enum { BLOCK = TW_KV_BLOCK };

static size_t row_words(size_t n_prompt)
{
    return tw_ceil_div(n_prompt, BLOCK);
}

size_t tw_mask_lengths_bytes(const struct tw_mask *m)
{
    return m->lengths == NULL ? 0 : m->n_lengths * sizeof *m->lengths;
}

size_t tw_mask_rows_bytes(const struct tw_mask *m, size_t n_prompt)
{
    return m->rows == NULL ? 0 : m->n_rows * row_words(n_prompt) * sizeof *m->rows;
}

/* ---- what a row sees ---- */

/* Bits of positions [begin, end) in a block. */
static uint64_t range_bits(size_t begin, size_t end, size_t block)
{
    size_t first = block * BLOCK;
    begin        = begin > first ? begin - first : 0;
    end          = end > first ? tw_min_size(end - first, BLOCK) : 0;
    if (begin >= end) {
        return 0;
    }
    return (end == BLOCK ? UINT64_MAX : ((uint64_t)1 << end) - 1) & ~(((uint64_t)1 << begin) - 1);
}

/* The first position of the window of a row. */
static size_t window_begin(const struct tw_mask *m, size_t row)
{
    return row + 1 > m->window ? row + 1 - m->window : 0;
}

static uint64_t matrix_bits(const struct tw_mask *m, size_t n_prompt, size_t row, size_t block)
{
    size_t words = row_words(n_prompt), given = tw_min_size(row, n_prompt);
    uint64_t prompt = 0;
    if (given < m->n_rows) {
        prompt = block < words ? m->rows[given * words + block] : 0;
    } else {
        prompt = range_bits(0, n_prompt, block);
    }
    return prompt | range_bits(n_prompt, row + 1, block);
}

/* What row `row` sees of a block; not for documents of their own. */
static uint64_t bits(const struct tw_mask *m, size_t n_prompt, size_t row, size_t block)
{
    switch (m->kind) {
    case TW_MASK_PREFIX: return range_bits(0, row < m->prefix ? m->prefix : row + 1, block);
    case TW_MASK_WINDOW:
        return range_bits(0, tw_min_size(m->sinks, row + 1), block) |
               range_bits(window_begin(m, row), row + 1, block);
    case TW_MASK_MATRIX: return matrix_bits(m, n_prompt, row, block);
    case TW_MASK_CAUSAL:
    case TW_MASK_HEAVY: /* of the pages that are left */
    case TW_MASK_BLOCK_DIAGONAL: break;
    }
    return range_bits(0, row + 1, block);
}

/* HEAVY: has a page been given up before this position? */
static bool is_pruned(const struct tw_mask *m, size_t position)
{
    size_t begin, end;
    tw_mask_contested(m, position / BLOCK * BLOCK, &begin, &end);
    return end - begin > m->heavy;
}

/* Whether the rows are more than causal ones. */
static bool needs_bits(const struct tw_mask *m, size_t n_prompt, size_t from, size_t n)
{
    switch (m->kind) {
    case TW_MASK_PREFIX: return from < m->prefix;
    case TW_MASK_WINDOW: return window_begin(m, from + n - 1) > m->sinks;
    case TW_MASK_MATRIX: return from < n_prompt || m->n_rows > n_prompt;
    case TW_MASK_HEAVY: return is_pruned(m, from);
    case TW_MASK_CAUSAL:
    case TW_MASK_BLOCK_DIAGONAL: break;
    }
    return false;
}

/* One past the last position that a row sees. */
static size_t reach(const struct tw_mask *m, size_t n_prompt, size_t row)
{
    if (m->kind == TW_MASK_PREFIX && row < m->prefix) {
        return m->prefix;
    }
    for (size_t block = row_words(n_prompt); m->kind == TW_MASK_MATRIX && row < n_prompt && block-- > 0;) {
        uint64_t word = matrix_bits(m, n_prompt, row, block);
        if (word != 0) {
            return block * BLOCK + 64 - (size_t)__builtin_clzll(word);
        }
    }
    return row + 1;
}

size_t tw_mask_cut(const struct tw_mask *m, size_t n_prompt, size_t from, size_t n)
{
    size_t cut = from, farthest = from;
    for (size_t at = (from / BLOCK + 1) * BLOCK; m->kind == TW_MASK_HEAVY && at < from + n; at += BLOCK) {
        if (is_pruned(m, at)) {
            return at;
        }
    }
    if (m->kind != TW_MASK_PREFIX && m->kind != TW_MASK_MATRIX) {
        return from + n;
    }
    for (size_t row = from; row < from + n; row++) {
        farthest = tw_max_size(farthest, reach(m, n_prompt, row));
        cut      = farthest <= row + 1 ? row + 1 : cut;
    }
    return cut;
}

/* ---- checks ---- */

static trawl_status check_lengths(const struct tw_mask *m, size_t n_prompt, struct trawl_error *err)
{
    size_t sum = 0;
    for (size_t i = 0; i < m->n_lengths; i++) {
        if (m->lengths[i] == 0) {
            return tw_fail(err, TRAWL_ERR_INVALID, "attention mask: document %zu has length 0", i);
        }
        sum += m->lengths[i];
    }
    if (sum != n_prompt) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "attention mask: the %zu documents have %zu tokens together, the prompt has %zu",
                       m->n_lengths, sum, n_prompt);
    }
    return TRAWL_OK;
}

static trawl_status check_matrix(const struct tw_mask *m, size_t n_prompt, struct trawl_error *err)
{
    if (m->n_rows != n_prompt && m->n_rows != n_prompt + 1) {
        return tw_fail(
            err, TRAWL_ERR_INVALID,
            "attention mask: the matrix has %zu rows, expected one for each of the %zu prompt tokens and "
            "perhaps one for generated ones",
            m->n_rows, n_prompt);
    }
    if (m->rows == NULL) {
        return tw_fail(err, TRAWL_ERR_INVALID, "attention mask: the matrix has no rows");
    }
    for (size_t row = 0; row < n_prompt; row++) {
        uint64_t any = 0;
        for (size_t block = 0; block < row_words(n_prompt); block++) {
            any |= matrix_bits(m, n_prompt, row, block);
        }
        if (any == 0) {
            return tw_fail(err, TRAWL_ERR_INVALID, "attention mask: row %zu of the matrix sees nothing", row);
        }
    }
    return TRAWL_OK;
}

/* Rows that look ahead must fit in a step with what they see. */
static trawl_status check_together(const struct tw_mask *m, size_t n_prompt, size_t together,
                                   struct trawl_error *err)
{
    for (size_t from = 0; from < n_prompt;) {
        size_t n = tw_min_size(together, n_prompt - from), cut = tw_mask_cut(m, n_prompt, from, n);
        if (cut == from) {
            size_t end = reach(m, n_prompt, from);
            for (size_t row = from; row < end; row++) {
                end = tw_max_size(end, reach(m, n_prompt, row));
            }
            return tw_fail(
                err, TRAWL_ERR_LIMIT,
                "attention mask: positions %zu to %zu see each other ahead and must be computed in one step "
                "of %zu tokens, a step takes %zu of a prompt (prefill_chunk)",
                from, end - 1, end - from, together);
        }
        from = cut;
    }
    return TRAWL_OK;
}

trawl_status tw_mask_check(const struct tw_mask *m, size_t n_prompt, size_t together, struct trawl_error *err)
{
    if (m->kind == TW_MASK_HEAVY && (!m->prune || m->heavy == 0)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "attention mask: kind %d is none", (int)m->kind);
    }
    if (m->prune && m->kind != TW_MASK_WINDOW && m->kind != TW_MASK_HEAVY) {
        return tw_fail(
            err, TRAWL_ERR_INVALID,
            "attention_sinks, attention_window and attention_heavy_hitters are for requests without an "
            "attention mask");
    }
    switch (m->kind) {
    case TW_MASK_CAUSAL: return TRAWL_OK;
    case TW_MASK_WINDOW:
        return m->window > 0
                   ? TRAWL_OK
                   : tw_fail(err, TRAWL_ERR_INVALID, "attention mask: the window is 0, expected 1 or more");
    case TW_MASK_HEAVY:
        return m->window > 0
                   ? TRAWL_OK
                   : tw_fail(err, TRAWL_ERR_INVALID,
                             "attention_heavy_hitters without an attention_window: the last tokens are "
                             "seen whatever attention they get, expected a window of 1 or more");
    case TW_MASK_BLOCK_DIAGONAL: return check_lengths(m, n_prompt, err);
    case TW_MASK_PREFIX:
        if (m->prefix > n_prompt) {
            return tw_fail(err, TRAWL_ERR_INVALID,
                           "attention mask: the bidirectional prefix has %zu tokens, the prompt %zu",
                           m->prefix, n_prompt);
        }
        break;
    case TW_MASK_MATRIX: TW_TRY(check_matrix(m, n_prompt, err)); break;
    default: return tw_fail(err, TRAWL_ERR_INVALID, "attention mask: kind %d is none", (int)m->kind);
    }
    return check_together(m, n_prompt, together, err);
}

/* ---- pages ---- */

/* The document of a position: where it begins, and the number of its first page. */
struct document {
    size_t begin, end, page;
};

static struct document document_of(const struct tw_mask *m, size_t position)
{
    struct document d = {.end = SIZE_MAX};
    for (size_t i = 0; m->kind == TW_MASK_BLOCK_DIAGONAL && i < m->n_lengths; i++) {
        d.end = i + 1 < m->n_lengths ? d.begin + m->lengths[i] : SIZE_MAX;
        if (position < d.end) {
            break;
        }
        d.page += tw_ceil_div(m->lengths[i], BLOCK);
        d.begin = d.end;
    }
    return d;
}

size_t tw_mask_place(const struct tw_mask *m, size_t position)
{
    struct document d = document_of(m, position);
    return d.page * BLOCK + position - d.begin;
}

size_t tw_mask_pages(const struct tw_mask *m, size_t n)
{
    return n == 0 ? 0 : tw_mask_place(m, n - 1) / BLOCK + 1;
}

size_t tw_mask_pages_held(const struct tw_mask *m, size_t n, size_t chunk)
{
    size_t all = tw_mask_pages(m, n), held = 0;
    if (m->kind == TW_MASK_HEAVY) { /* and the page that is written to; a step ends before one must go */
        size_t last = tw_ceil_div(m->window - 1, BLOCK) + 1;
        return tw_size_add(tw_ceil_div(m->sinks, BLOCK), last, &held) && tw_size_add(held, m->heavy, &held)
                   ? tw_min_size(all, held)
                   : all;
    }
    if (!m->prune || !tw_size_add(m->window, chunk, &held) || held > n) {
        return all;
    }
    /* the window before a step and the step itself, at the least convenient place among the pages */
    return tw_min_size(all, tw_ceil_div(m->sinks, BLOCK) + tw_ceil_div(held, BLOCK) + 1);
}

void tw_mask_passed(const struct tw_mask *m, size_t position, size_t *begin, size_t *end)
{
    *begin = *end = 0;
    if (m->kind == TW_MASK_WINDOW) {
        *begin = tw_ceil_div(m->sinks, BLOCK);
        *end   = tw_max_size(*begin, window_begin(m, position) / BLOCK);
    }
}

void tw_mask_contested(const struct tw_mask *m, size_t position, size_t *begin, size_t *end)
{
    *begin = *end = 0;
    if (m->kind == TW_MASK_HEAVY && position % BLOCK == 0) {
        *begin = tw_ceil_div(m->sinks, BLOCK);
        *end   = tw_max_size(*begin, window_begin(m, position) / BLOCK);
    }
}

/* ---- a step's masks ---- */

void tw_step_masks_release(struct tw_step_masks *s)
{
    tw_free(s->visible);
    tw_free(s->blocks);
    tw_free(s->pages);
    *s = (struct tw_step_masks){0};
}

void tw_step_masks_clear(struct tw_step_masks *s)
{
    s->n_visible = s->n_blocks = 0;
}

/* Does a row of [from, from + n) see something of the block? */
static bool is_seen(const struct tw_mask *m, size_t n_prompt, size_t from, size_t n, size_t block)
{
    for (size_t row = from; row < from + n; row++) {
        if (bits(m, n_prompt, row, block) != 0) {
            return true;
        }
    }
    return false;
}

/* List the blocks that a segment needs: those that are seen, and its own. */
static trawl_status list_blocks(struct tw_step_masks *s, const struct tw_mask *m, size_t n_prompt,
                                const uint32_t *pages, size_t from, size_t n, size_t *listed,
                                struct trawl_error *err)
{
    size_t first = s->n_blocks, last = (from + n - 1) / BLOCK, begin, end;
    TW_TRY(tw_grow(&s->blocks, &s->blocks_capacity, first + last + 1, sizeof *s->blocks, err));
    TW_TRY(tw_grow(&s->pages, &s->pages_capacity, first + last + 1, sizeof *s->pages, err));
    tw_mask_passed(m, from, &begin, &end);
    for (size_t block = 0; block <= last; block++) {
        if (block >= begin && block < end) {
            block = end;
        }
        if (block >= from / BLOCK ||
            (pages[block] != TW_KV_NO_PAGE && is_seen(m, n_prompt, from, n, block))) {
            s->blocks[s->n_blocks]  = (uint32_t)block;
            s->pages[s->n_blocks++] = pages[block];
        }
    }
    *listed = s->n_blocks - first;
    return TRAWL_OK;
}

static trawl_status add_bits(struct tw_step_masks *s, const struct tw_mask *m, size_t n_prompt,
                             const uint32_t *pages, size_t from, size_t n, struct tw_segment *segment,
                             struct trawl_error *err)
{
    size_t first = s->n_blocks, words = 0, need = 0;
    TW_TRY(list_blocks(s, m, n_prompt, pages, from, n, &segment->n_blocks, err));
    if (!tw_size_mul(n, segment->n_blocks, &words) || !tw_size_add(s->n_visible, words, &need)) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "attention mask: %zu rows of %zu blocks do not fit in memory", n,
                       segment->n_blocks);
    }
    TW_TRY(tw_grow(&s->visible, &s->visible_capacity, need, sizeof *s->visible, err));
    for (size_t row = from; row < from + n; row++) {
        for (size_t j = 0; j < segment->n_blocks; j++) {
            s->visible[s->n_visible++] = bits(m, n_prompt, row, s->blocks[first + j]);
        }
    }
    return TRAWL_OK;
}

trawl_status tw_step_masks_add(struct tw_step_masks *s, const struct tw_mask *m, size_t n_prompt,
                               const uint32_t *pages, size_t from, size_t n, size_t row,
                               struct tw_segment *segments, size_t *n_segments, struct trawl_error *err)
{
    while (n > 0) {
        struct document d          = document_of(m, from);
        size_t here                = tw_min_size(n, d.end - from);
        struct tw_segment *segment = &segments[(*n_segments)++];
        *segment                   = (struct tw_segment){
                              .row = row, .n_rows = here, .position = from - d.begin, .pages = pages + d.page};
        if (needs_bits(m, n_prompt, from, here)) {
            segment->pages = NULL;
            TW_TRY(add_bits(s, m, n_prompt, pages, from, here, segment, err));
        }
        from += here;
        row += here;
        n -= here;
    }
    return TRAWL_OK;
}

void tw_step_masks_point(const struct tw_step_masks *s, struct tw_segment *segments, size_t n_segments)
{
    size_t words = 0, blocks = 0;
    for (size_t i = 0; i < n_segments; i++) {
        struct tw_segment *g = &segments[i];
        if (g->n_blocks > 0) {
            g->visible = s->visible + words;
            g->blocks  = s->blocks + blocks;
            g->pages   = g->pages == NULL ? s->pages + blocks : g->pages;
            words += g->n_rows * g->n_blocks;
            blocks += g->n_blocks;
        }
    }
}
