/* SPDX-License-Identifier: MIT */
#include "engine/engine_sequence.h"

#include <string.h>

#include "base/alloc.h"
#include "engine/engine_group.h"
#include "kernels/kernels.h"

trawl_status tw_sequence_init(struct tw_sequence *s, struct tw_group *group, size_t capacity,
                              size_t new_capacity, struct trawl_error *err)
{
    *s                  = (struct tw_sequence){.group         = group,
                                               .active        = true,
                                               .first_logits  = SIZE_MAX,
                                               .capacity      = capacity,
                                               .new_capacity  = new_capacity,
                                               .n_top         = group->request.sampling.top_logprobs,
                                               .page_capacity = tw_mask_pages(&group->request.mask, capacity)};
    bool attn           = group->request.attn_entropy;
    trawl_status status = tw_alloc(capacity, sizeof *s->tokens, &s->tokens, err);
    if (status == TRAWL_OK) {
        status = tw_alloc((attn ? 5 : 3) * new_capacity, sizeof *s->logprobs, &s->logprobs, err);
    }
    if (status == TRAWL_OK) {
        status = tw_alloc(new_capacity, s->n_top * sizeof *s->top, &s->top, err);
    }
    if (status == TRAWL_OK) {
        status = tw_alloc(s->page_capacity, sizeof *s->pages, &s->pages, err);
    }
    if (status == TRAWL_OK && group->request.mask.kind == TW_MASK_HEAVY) {
        status = tw_alloc(s->page_capacity, sizeof *s->masses, &s->masses, err);
    }
    if (status != TRAWL_OK) {
        tw_free(s->tokens);
        tw_free(s->logprobs);
        tw_free(s->top);
        tw_free(s->pages);
        *s = (struct tw_sequence){0};
        return status;
    }
    s->entropies    = s->logprobs + new_capacity;
    s->varentropies = s->entropies + new_capacity;
    if (attn) {
        s->attn_entropies    = s->varentropies + new_capacity;
        s->attn_varentropies = s->attn_entropies + new_capacity;
    }
    return TRAWL_OK;
}

/* All pages go back, and what was known of them. */
static void drop_pages(struct tw_sequence *s, struct tw_kv_pages *pages)
{
    tw_kv_pages_drop(pages, s->pages, s->n_pages);
    if (s->masses != NULL) {
        memset(s->masses, 0, s->page_capacity * sizeof *s->masses);
    }
}

void tw_sequence_clear(struct tw_sequence *s, struct tw_kv_pages *pages)
{
    drop_pages(s, pages);
    s->active  = false;
    s->n_pages = s->n_known = s->n_tokens = s->n_computed = s->n_wanted = s->n_rows = 0;
}

void tw_sequence_release(struct tw_sequence *s, struct tw_kv_pages *pages)
{
    tw_sequence_clear(s, pages);
    tw_free(s->tokens);
    tw_free(s->logprobs);
    tw_free(s->top);
    tw_free(s->pages);
    tw_free(s->masses);
    *s = (struct tw_sequence){0};
}

static size_t min2(size_t a, size_t b)
{
    return a < b ? a : b;
}

void tw_sequence_fork(struct tw_sequence *s, const struct tw_sequence *from, struct tw_kv_pages *pages)
{
    size_t n_given = from->capacity - from->new_capacity; /* tokens without measures come first */
    size_t n       = from->n_tokens > n_given ? from->n_tokens - n_given : 0;
    TW_BUG_ON(s->n_pages > 0 || s->capacity < from->n_tokens || s->page_capacity < from->n_pages ||
              s->new_capacity < n || s->n_top != from->n_top);
    memcpy(s->tokens, from->tokens, from->n_tokens * sizeof *s->tokens);
    memcpy(s->logprobs, from->logprobs, n * sizeof *s->logprobs);
    memcpy(s->entropies, from->entropies, n * sizeof *s->entropies);
    memcpy(s->varentropies, from->varentropies, n * sizeof *s->varentropies);
    memcpy(s->top, from->top, n * s->n_top * sizeof *s->top);
    if (s->attn_entropies != NULL) {
        memcpy(s->attn_entropies, from->attn_entropies, n * sizeof *s->attn_entropies);
        memcpy(s->attn_varentropies, from->attn_varentropies, n * sizeof *s->attn_varentropies);
    }
    if (s->masses != NULL) {
        memcpy(s->masses, from->masses, from->n_pages * sizeof *s->masses);
    }
    for (size_t i = 0; i < from->n_pages; i++) {
        s->pages[i] = from->pages[i];
        tw_kv_pages_retain(pages, from->pages[i]);
    }
    s->active       = true;
    s->n_tokens     = from->n_tokens;
    s->n_computed   = from->n_computed;
    s->n_wanted     = from->n_wanted;
    s->first_logits = from->first_logits;
    s->n_pages      = from->n_pages;
    s->n_known      = from->n_known;
    s->n_rows       = 0;
}

void tw_sequence_swap(struct tw_sequence *a, struct tw_sequence *b)
{
    struct tw_sequence was = *a;
    bool spare             = b->spare;
    *a                     = *b;
    a->spare               = was.spare;
    *b                     = was;
    b->spare               = spare;
}

void tw_sequence_truncate(struct tw_sequence *s, size_t n, struct tw_kv_pages *pages)
{
    s->n_tokens   = min2(s->n_tokens, n);
    s->n_wanted   = min2(s->n_wanted, n);
    s->n_computed = min2(s->n_computed, n);
    size_t kept   = min2(s->n_pages, tw_mask_pages(&s->group->request.mask, s->n_computed));
    tw_kv_pages_drop(pages, s->pages + kept, s->n_pages - kept);
    s->n_pages = kept;
    s->n_known = min2(s->n_known, s->n_computed / TW_KV_BLOCK);
}

void tw_sequence_suspend(struct tw_sequence *s, struct tw_kv_pages *pages)
{
    drop_pages(s, pages);
    s->first_logits = tw_max_size(s->first_logits, s->n_computed);
    s->n_pages = s->n_known = s->n_computed = s->n_rows = 0;
}

/* Of the pages between sinks and window those go that got the least attention, of equals the older. */
static void prune_light(struct tw_sequence *s, struct tw_kv_pages *pages)
{
    const struct tw_mask *mask = &s->group->request.mask;
    size_t begin, end, held = 0;
    tw_mask_contested(mask, s->n_computed, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        held += s->pages[i] != TW_KV_NO_PAGE;
    }
    for (; held > mask->heavy; held--) {
        size_t least = end;
        for (size_t i = begin; i < end; i++) {
            if (s->pages[i] != TW_KV_NO_PAGE && (least == end || s->masses[i] < s->masses[least])) {
                least = i;
            }
        }
        tw_kv_pages_drop(pages, &s->pages[least], 1);
        s->pages[least] = TW_KV_NO_PAGE;
    }
}

void tw_sequence_prune(struct tw_sequence *s, struct tw_kv_pages *pages)
{
    const struct tw_mask *mask = &s->group->request.mask;
    size_t begin, end;
    tw_mask_passed(mask, s->n_computed, &begin, &end);
    for (size_t i = mask->prune ? min2(end, s->n_pages) : 0; i-- > begin && s->pages[i] != TW_KV_NO_PAGE;) {
        tw_kv_pages_drop(pages, &s->pages[i], 1);
        s->pages[i] = TW_KV_NO_PAGE;
    }
    prune_light(s, pages);
}

trawl_status tw_sequence_reserve(struct tw_sequence *s, size_t n, struct tw_kv_prefix *cache,
                                 struct tw_page_copies *copies, struct trawl_error *err)
{
    struct tw_kv_pages *pages  = cache->pages;
    const struct tw_mask *mask = &s->group->request.mask;
    size_t wanted              = tw_mask_pages(mask, s->n_computed + n),
           at                  = tw_mask_place(mask, s->n_computed) / TW_KV_BLOCK;
    bool shared                = at < s->n_pages && pages->state[s->pages[at]].references > 1;
    size_t taken               = wanted > s->n_pages ? wanted - s->n_pages : 0;
    uint32_t own               = 0;
    TW_BUG_ON(wanted > s->page_capacity);
    if (shared) {
        TW_TRY(tw_grow(&copies->list, &copies->capacity, copies->n + 1, sizeof *copies->list, err));
    } else if (at < s->n_pages) {
        tw_kv_prefix_forget(cache, s->pages[at]);
    }
    (void)tw_kv_prefix_make_room(cache, taken + (shared ? 1 : 0));
    if (shared) {
        TW_TRY(tw_kv_pages_take(pages, 1, &own, err));
    }
    trawl_status status = tw_kv_pages_take(pages, taken, s->pages + s->n_pages, err);
    if (status != TRAWL_OK) {
        tw_kv_pages_drop(pages, &own, shared ? 1 : 0);
        return status;
    }
    s->n_pages += taken;
    if (shared) {
        copies->list[copies->n++] = (struct tw_page_copy){.from = s->pages[at], .to = own};
        tw_kv_pages_drop(pages, &s->pages[at], 1);
        s->pages[at] = own;
    }
    return TRAWL_OK;
}
