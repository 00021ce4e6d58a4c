/* SPDX-License-Identifier: MIT */
/* What each branch computes in the next step, and the pages for it. Oldest request first, in everything: it
 * chooses first from the budget of rows, it takes pages from younger ones when none are left, and the younger
 * one of two with a common prefix waits until the older one has computed it. So the oldest always gets on. */
#include <string.h>

#include "base/size.h"
#include "engine/engine_int.h"

/* ---- the prefix cache ---- */

bool tw_replica_is_shallow(const struct tw_replica *r, const struct tw_request *q)
{
    return q->capture && r->n_sites > 0 && q->max_tokens == 0 && !q->logits && q->mask.kind != TW_MASK_HEAVY;
}

/* Of a shallow request that wants every row nobody could use the pages but others that leave rows out. */
bool tw_replica_shares(const struct tw_replica *r, const struct tw_request *q)
{
    return r->engine->config.prefix_cache && q->mask.kind == TW_MASK_CAUSAL &&
           (!tw_replica_is_shallow(r, q) || q->capture_from >= TW_KV_BLOCK);
}

/* Shallow pages hold the keys and values of so many layers, whole ones of all. */
uint64_t tw_replica_space(const struct tw_replica *r, const struct tw_request *q)
{
    return tw_replica_is_shallow(r, q) ? 1 + r->depth : 0;
}

size_t tw_replica_unwanted(const struct tw_replica *r, const struct tw_request *q)
{
    size_t n = q->n_prompt - 1; /* its logits are what an answer begins with */
    n        = q->logits ? tw_min_size(n, q->logits_from) : n;
    return q->capture && r->n_sites > 0 ? tw_min_size(n, q->capture_from) : n;
}

size_t tw_replica_reusable(const struct tw_replica *r, const struct tw_sequence *s)
{
    const struct tw_request *q = &s->group->request;
    size_t n                   = tw_min_size(s->n_wanted == 0 ? 0 : s->n_wanted - 1, s->first_logits);
    if (q->capture && r->n_sites > 0) {
        n = tw_min_size(n, tw_max_size(s->group->n_delivered, q->capture_from));
    }
    return tw_replica_shares(r, q) ? n / TW_KV_BLOCK : 0;
}

/* Positions of the prompt that have been dealt with for the first time. */
static void count_prompt(struct tw_replica *r, struct tw_sequence *s, bool found)
{
    struct tw_group *g = s->group;
    size_t n           = tw_min_size(s->n_computed, g->request.n_prompt);
    if (n > g->n_counted) {
        atomic_fetch_add_explicit(&r->engine->prompt_tokens, n - g->n_counted, memory_order_relaxed);
        r->stats.cached_tokens += found ? n - g->n_counted : 0;
        g->n_counted = n;
    }
}

/* Go on from pages that the cache knows. */
static void reuse(struct tw_replica *r, struct tw_sequence *s)
{
    size_t first = s->n_computed / TW_KV_BLOCK, most = tw_replica_reusable(r, s);
    if (s->n_computed % TW_KV_BLOCK != 0 || s->n_pages != first || first >= most) {
        return;
    }
    s->n_pages = tw_kv_prefix_find(&r->prefix, tw_replica_space(r, &s->group->request), s->tokens, s->pages,
                                   first, most);
    if (s->n_pages > first) {
        s->n_known    = s->n_pages;
        s->n_computed = s->n_pages * TW_KV_BLOCK;
        count_prompt(r, s, true);
    }
}

void tw_replica_remember(struct tw_replica *r, struct tw_sequence *s)
{
    size_t n = s->n_computed / TW_KV_BLOCK;
    count_prompt(r, s, false);
    const struct tw_request *q = &s->group->request;
    if (n > s->n_known && tw_replica_shares(r, q)) {
        s->n_known =
            tw_kv_prefix_insert(&r->prefix, tw_replica_space(r, q), s->tokens, s->pages, s->n_known, n);
    }
}

/* Does a branch of an older request, or one before it of its own, compute its next page? */
static bool is_awaited(const struct tw_replica *r, const struct tw_sequence *s, size_t group)
{
    size_t end     = s->n_computed + TW_KV_BLOCK;
    uint64_t space = tw_replica_space(r, &s->group->request);
    if (s->n_computed % TW_KV_BLOCK != 0 || end > tw_replica_reusable(r, s) * TW_KV_BLOCK) {
        return false;
    }
    for (size_t i = 0; i <= group; i++) {
        const struct tw_group *g = r->groups[i];
        bool same = tw_replica_shares(r, &g->request) && tw_replica_space(r, &g->request) == space;
        for (size_t j = 0; j < g->width && same; j++) {
            const struct tw_sequence *t = &g->branches[j];
            if (t == s) {
                return false;
            }
            if (t->active && t->n_computed < end && t->n_wanted >= end &&
                memcmp(t->tokens, s->tokens, end * sizeof *s->tokens) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* ---- pages ---- */

/* The youngest of the groups from `index` on whose spare branches have pages gives these up: none of them has been
 * planned yet. */
static bool shed(struct tw_replica *r, size_t index)
{
    for (size_t i = r->n_running; i-- > index;) {
        if (tw_group_shed(r, r->groups[i])) {
            return true;
        }
    }
    return false;
}

/* Pages for n rows of a branch of group `index`: free ones, idle ones, those of spare branches, those of younger
 * requests. */
static trawl_status reserve(struct tw_replica *r, struct tw_sequence *s, size_t n, size_t index)
{
    for (;;) {
        trawl_status status = tw_sequence_reserve(s, n, &r->prefix, &r->copies, &r->error);
        if (status != TRAWL_ERR_LIMIT) {
            return status;
        }
        if (shed(r, index)) {
            continue;
        }
        if (r->n_running == index + 1) {
            return status;
        }
        tw_replica_preempt(r);
    }
}

/* The same, but as many of n rows as there are pages for; 0 is an answer. */
static trawl_status reserve_some(struct tw_replica *r, struct tw_sequence *s, size_t *n, size_t index)
{
    trawl_status status = reserve(r, s, *n, index);
    if (status != TRAWL_ERR_LIMIT) {
        return status;
    }
    size_t fits = (s->n_pages + r->pages.n_free + r->pages.n_idle) * TW_KV_BLOCK;
    *n          = fits > s->n_computed ? tw_min_size(*n, fits - s->n_computed) : 0;
    status      = *n == 0 ? TRAWL_OK : reserve(r, s, *n, index);
    if (status ==
        TRAWL_ERR_LIMIT) { /* the page that it writes to next is shared, and there is none for a copy */
        *n = 0;
        return TRAWL_OK;
    }
    return status;
}

/* For a spare branch: pages that nobody holds, or no rows. */
static trawl_status reserve_free(struct tw_replica *r, struct tw_sequence *s, size_t *n)
{
    trawl_status status = tw_sequence_reserve(s, *n, &r->prefix, &r->copies, &r->error);
    *n                  = status == TRAWL_OK ? *n : 0;
    return status == TRAWL_ERR_LIMIT ? TRAWL_OK : status;
}

/* ---- rows ---- */

/* What a step has room for. */
struct budget {
    size_t rows;       /* of longer pieces; a branch that only needs one is in every step */
    size_t logit_rows; /* for those pieces, and for guesses: the others have theirs */
    size_t decoding;   /* branches that need one and have not been planned yet */
    size_t drafts;     /* guesses */
    size_t trusted;    /* further ones, of branches whose guesses are mostly right */
};

/* The first of n rows, as many as see nothing beyond them. */
static size_t cut(const struct tw_sequence *s, size_t n)
{
    const struct tw_request *q = &s->group->request;
    return tw_mask_cut(&q->mask, q->n_prompt, s->n_computed, n) - s->n_computed;
}

/* As much of a branch as the budget and the pages allow. */
static trawl_status plan_piece(struct tw_replica *r, struct tw_sequence *s, size_t index, struct budget *b)
{
    reuse(r, s);
    if (is_awaited(r, s, index)) {
        return TRAWL_OK;
    }
    size_t n      = tw_min_size(tw_sequence_pending(s), b->rows);
    size_t logits = tw_sequence_logits(s, n);
    if (logits > b->logit_rows) {
        n -= logits - b->logit_rows;
    }
    n = cut(s, n);
    if (n == 0) {
        return TRAWL_OK;
    }
    TW_TRY(s->spare ? reserve_free(r, s, &n) : reserve_some(r, s, &n, index));
    n         = cut(s, n);
    s->n_rows = n;
    b->rows -= n;
    b->logit_rows -= tw_sequence_logits(s, n);
    return TRAWL_OK;
}

/* Guesses for a branch that has its row, on pages that nobody holds: its share of what is left to the branches that
 * have not been planned, itself among them. */
static trawl_status plan_drafts(struct tw_replica *r, struct tw_sequence *s, struct budget *b)
{
    struct tw_group *g = s->group;
    size_t left        = b->drafts + (tw_lookup_trusted(&s->pace) ? b->trusted : 0);
    size_t share       = left / tw_max_size(b->decoding, 1);
    size_t most = tw_min_size(tw_min_size(share, b->logit_rows), r->engine->config.prompt_lookup_num_tokens);
    if (g->kind->draft == NULL || most == 0) {
        return TRAWL_OK;
    }
    g->kind->draft(r, g, most);
    if (s->n_drafts == 0) {
        return TRAWL_OK;
    }
    size_t n = 1 + s->n_drafts;
    TW_TRY(reserve_free(r, s, &n));
    if (n == 0) {
        tw_sequence_undraft(s);
    }
    s->n_rows    = 1 + s->n_drafts;
    size_t cheap = tw_min_size(s->n_drafts, b->drafts);
    b->drafts -= cheap;
    b->trusted -= s->n_drafts - cheap;
    b->logit_rows -= s->n_drafts;
    return TRAWL_OK;
}

/* The branches of a group that need one row, all or none: a beam does not go on without the others. */
static trawl_status plan_decoding(struct tw_replica *r, struct tw_group *g, size_t index, struct budget *b)
{
    trawl_status status = TRAWL_OK;
    for (size_t j = 0; j < g->width && status == TRAWL_OK; j++) {
        struct tw_sequence *s = &g->branches[j];
        if (tw_sequence_decoding(s)) {
            status    = reserve(r, s, 1, index);
            s->n_rows = 1;
            if (status == TRAWL_OK) {
                TW_TRY(plan_drafts(r, s, b));
            }
            b->decoding--;
        }
    }
    for (size_t j = 0; j < g->width && status == TRAWL_ERR_LIMIT; j++) {
        g->branches[j].n_rows = 0;
    }
    return status == TRAWL_ERR_LIMIT ? TRAWL_OK : status;
}

static trawl_status plan_group(struct tw_replica *r, size_t index, struct budget *b)
{
    struct tw_group *g = r->groups[index];
    TW_TRY(plan_decoding(r, g, index, b));
    for (size_t j = 0; j < g->width; j++) {
        struct tw_sequence *s = &g->branches[j];
        if (tw_sequence_pending(s) > 0 && !tw_sequence_decoding(s)) {
            TW_TRY(plan_piece(r, s, index, b));
        }
    }
    return TRAWL_OK;
}

/* Rows for guesses beside `used` ones in a step of `rows`. */
static size_t rows_left(size_t rows, size_t used)
{
    return rows > used ? tw_min_size(rows - used, TW_DRAFT_ROWS / 2) : 0;
}

trawl_status tw_replica_plan(struct tw_replica *r)
{
    struct budget b = {.rows = r->engine->config.prefill_chunk, .logit_rows = r->max_logit_rows};
    r->copies.n     = 0;
    for (size_t i = 0; i < r->n_running; i++) {
        struct tw_group *g = r->groups[i];
        for (size_t j = 0; j < g->width; j++) {
            g->branches[j].n_rows = 0;
            b.decoding += tw_sequence_decoding(&g->branches[j]) ? 1 : 0;
        }
    }
    /* One block of rows goes through the matmuls in about the time of one row: that of reading the weights. A second
     * one costs something, and pays where most guesses are right. */
    const size_t block = r->engine->kernels.tile_rows;
    b.drafts           = rows_left(block, b.decoding);
    b.trusted          = rows_left(2 * block, b.decoding + b.drafts);
    b.logit_rows -= b.decoding;
    for (size_t i = 0; i < r->n_running; i++) { /* n_running may shrink on the way */
        TW_TRY(plan_group(r, i, &b));
    }
    return TRAWL_OK;
}
