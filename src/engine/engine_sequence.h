/* SPDX-License-Identifier: MIT */
/* A sequence: tokens, what was measured of them, and the KV pages that hold what was computed of them. The
 * branches of a request are sequences that share pages by reference: a fork retains them all, and whoever is
 * about to write into a page that others hold takes a copy of it first. The scheduler's thread only. */
#ifndef TW_ENGINE_SEQUENCE_H
#define TW_ENGINE_SEQUENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/size.h"
#include "engine/engine_lookup.h"
#include "kv/kv_prefix.h"
#include "model/model_step.h"
#include "sample/sample.h"

struct tw_group;

struct tw_sequence {
    struct tw_group *group; /* the request it belongs to */
    bool active;
    bool spare;          /* computed only where rows and pages are left over */
    int32_t *tokens;     /* [capacity]; prompt, then what was appended */
    size_t n_tokens;     /* known, or guessed for the step under way */
    size_t n_computed;   /* positions whose keys and values are cached */
    size_t n_wanted;     /* positions to be computed, n_computed <= n_wanted <= n_tokens */
    size_t n_drafts;     /* of its tokens the last ones, which the step under way guesses and checks */
    size_t first_logits; /* logits are wanted at positions from here on; SIZE_MAX: of none */
    float *logprobs, *entropies, *varentropies; /* [new_capacity] of appended tokens */
    float *attn_entropies, *attn_varentropies;  /* the same; NULL where they are not wanted */
    size_t n_measured;          /* so many of them have been filled in, where tokens are known before */
    struct tw_top_logprob *top; /* [new_capacity, n_top] beside each; n_top is the request's top_logprobs */
    size_t n_top;
    struct tw_policy_track policy; /* not taken over by a fork */
    struct tw_lookup_pace pace;    /* nor this */
    uint32_t *pages;               /* [n_pages] of positions 0 .. n_computed - 1 at least */
    size_t n_pages;
    uint64_t *masses; /* [page_capacity] attention that its pages got (TW_MASK_HEAVY), else NULL */
    size_t n_known;   /* of its first pages, those in the prefix cache */
    size_t capacity, new_capacity, page_capacity;
    /* Its rows in the current step, and their logits in r->logits. */
    size_t row, n_rows, n_logit_rows, logit_row, segment;
};

/* Copies that the next step makes before anything else. */
struct tw_page_copies {
    struct tw_page_copy *list;
    size_t n, capacity;
};

/* Positions to be computed. */
static inline size_t tw_sequence_pending(const struct tw_sequence *s)
{
    return s->active ? s->n_wanted - s->n_computed : 0;
}

/* Logits wanted of the next n rows. */
static inline size_t tw_sequence_logits(const struct tw_sequence *s, size_t n)
{
    size_t end = s->n_computed + n, from = tw_max_size(s->n_computed, s->first_logits);
    return end > from ? end - from : 0;
}

/* Memory for `capacity` tokens, of which `new_capacity` with measures; no tokens and no pages yet. */
trawl_status tw_sequence_init(struct tw_sequence *s, struct tw_group *group, size_t capacity,
                              size_t new_capacity, struct trawl_error *err);
/* Pages go back, memory is freed. */
void tw_sequence_release(struct tw_sequence *s, struct tw_kv_pages *pages);
/* The same but for the memory: the sequence is empty and may be used again. */
void tw_sequence_clear(struct tw_sequence *s, struct tw_kv_pages *pages);

/* Become what `from` is: tokens, measures and pages. `s` is empty and has the capacity. */
void tw_sequence_fork(struct tw_sequence *s, const struct tw_sequence *from, struct tw_kv_pages *pages);
/* Give back the pages of which its mask, and with TW_MASK_HEAVY the attention that they got, lets no position from
 * n_computed on see anything; holes are left in their place. */
void tw_sequence_prune(struct tw_sequence *s, struct tw_kv_pages *pages);
/* Change places with another branch of the group; each of the two places stays spare or not. */
void tw_sequence_swap(struct tw_sequence *a, struct tw_sequence *b);
/* Guess `n` tokens more, which stand behind the known ones already. */
static inline void tw_sequence_draft(struct tw_sequence *s, size_t n)
{
    s->n_drafts = n;
    s->n_tokens += n;
    s->n_wanted = s->n_tokens;
}

/* Guess nothing after all. */
static inline void tw_sequence_undraft(struct tw_sequence *s)
{
    s->n_tokens -= s->n_drafts;
    s->n_wanted = s->n_tokens;
    s->n_drafts = 0;
}

/* The step that guessed has been computed, and the first `right` guesses were: forget the others and their rows. */
static inline void tw_sequence_settle(struct tw_sequence *s, size_t right)
{
    s->n_rows -= s->n_drafts - right;
    s->n_logit_rows -= s->n_drafts - right;
    s->n_tokens -= s->n_drafts - right;
    s->n_wanted = s->n_tokens;
    s->n_drafts = 0;
}

/* Forget everything from position n on; what is left of the pages stays. */
void tw_sequence_truncate(struct tw_sequence *s, size_t n, struct tw_kv_pages *pages);

/* Give up all pages but stay what it is, to be computed again. Logits that it has had are not wanted again. */
void tw_sequence_suspend(struct tw_sequence *s, struct tw_kv_pages *pages);

/* Pages so that positions n_computed .. n_computed + n - 1 can be written: the missing ones are taken, idle
 * ones evicted for them; one that is held by others too is replaced by a copy, one that only the cache knows is
 * forgotten there. TRAWL_ERR_LIMIT, and nothing has changed: all are held. */
trawl_status tw_sequence_reserve(struct tw_sequence *s, size_t n, struct tw_kv_prefix *cache,
                                 struct tw_page_copies *copies, struct trawl_error *err);

#endif /* TW_ENGINE_SEQUENCE_H */
