/* SPDX-License-Identifier: MIT */
#include "engine/engine_limits.h"

#include <string.h>

#include "base/alloc.h"
#include "engine/engine_int.h"

/* ---- compiled constraints ---- */

struct tw_constraint_entry {
    struct tw_constraint *constraint;
    enum tw_constraint_kind kind;
    char *text;
    size_t n;
    size_t users;
    uint64_t used; /* when last, counted in uses */
};

static void free_entry(struct tw_constraint_entry *e)
{
    tw_constraint_free(e->constraint);
    tw_free(e->text);
    tw_free(e);
}

void tw_constraint_cache_release(struct tw_constraint_cache *cache)
{
    for (size_t i = 0; i < cache->n; i++) {
        free_entry(cache->entries[i]);
    }
    tw_free(cache->entries);
    *cache = (struct tw_constraint_cache){0};
}

static struct tw_constraint_entry *find_entry(struct tw_constraint_cache *cache,
                                              const struct tw_request_constraint *c)
{
    for (size_t i = 0; i < cache->n; i++) {
        struct tw_constraint_entry *e = cache->entries[i];
        if (e->kind == c->kind && e->n == c->n && memcmp(e->text, c->text, c->n) == 0) {
            return e;
        }
    }
    return NULL;
}

/* Forget what was used longest ago, until no more than TW_CONSTRAINTS_KEPT are kept for nobody. */
static void forget_entries(struct tw_constraint_cache *cache)
{
    for (;;) {
        size_t idle = 0, oldest = cache->n;
        for (size_t i = 0; i < cache->n; i++) {
            const struct tw_constraint_entry *e = cache->entries[i];
            idle += e->users == 0;
            if (e->users == 0 && (oldest == cache->n || e->used < cache->entries[oldest]->used)) {
                oldest = i;
            }
        }
        if (idle <= TW_CONSTRAINTS_KEPT) {
            return;
        }
        free_entry(cache->entries[oldest]);
        cache->entries[oldest] = cache->entries[--cache->n];
    }
}

/* The engine's vocabulary, made when the first constraint comes; any thread. */
static trawl_status find_vocabulary(struct tw_engine *e, const struct tw_vocabulary **out,
                                    struct trawl_error *err)
{
    trawl_status status = TRAWL_OK;
    (void)pthread_mutex_lock(&e->vocabulary_lock);
    if (e->vocabulary.n_vocab == 0) {
        status =
            e->config.vocabulary == NULL
                ? tw_fail(err, TRAWL_ERR_UNSUPPORTED, "this engine has no tokenizer for constraints")
                : e->config.vocabulary(e->config.model_path, e->model->config.vocab, &e->vocabulary, err);
    }
    (void)pthread_mutex_unlock(&e->vocabulary_lock);
    *out = &e->vocabulary;
    return status;
}

static trawl_status compile(struct tw_constraint_entry *e, struct tw_engine *engine,
                            const struct tw_request_constraint *c, struct trawl_error *err)
{
    const struct tw_vocabulary *vocabulary = NULL;
    e->kind                                = c->kind;
    e->n                                   = c->n;
    TW_TRY(tw_strndup(c->text, c->n, &e->text, err));
    TW_TRY(find_vocabulary(engine, &vocabulary, err));
    return tw_constraint_new(c->kind, c->text, c->n, vocabulary, 0, &e->constraint, err);
}

static trawl_status add_entry(struct tw_replica *r, const struct tw_request_constraint *c,
                              struct tw_constraint_entry **out, struct trawl_error *err)
{
    struct tw_constraint_cache *cache = &r->constraints;
    struct tw_constraint_entry *e     = NULL;
    TW_TRY(tw_grow(&cache->entries, &cache->capacity, cache->n + 1, sizeof(void *), err));
    TW_TRY(tw_alloc(1, sizeof *e, &e, err));
    trawl_status status = compile(e, r->engine, c, err);
    if (status != TRAWL_OK) {
        free_entry(e);
        return status;
    }
    cache->entries[cache->n++] = e;
    *out                       = e;
    return TRAWL_OK;
}

static trawl_status take_entry(struct tw_replica *r, const struct tw_request_constraint *c,
                               struct tw_constraint_entry **out, struct trawl_error *err)
{
    struct tw_constraint_entry *e = find_entry(&r->constraints, c);
    if (e == NULL) {
        TW_TRY(add_entry(r, c, &e, err));
    }
    e->users++;
    e->used = ++r->constraints.uses;
    *out    = e;
    forget_entries(&r->constraints);
    return TRAWL_OK;
}

/* ---- limits of an answer ---- */

trawl_status tw_limits_check(const struct tw_request *q, struct trawl_error *err)
{
    if (q->constraint.kind == TW_CONSTRAINT_NONE || q->kind == TW_REQUEST_SAMPLE) {
        return TRAWL_OK;
    }
    return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                   "a constraint is for sampled answers, not for beams, n-best search and scoring");
}

bool tw_limits_wanted(const struct tw_replica *r, const struct tw_request *q)
{
    return q->max_tokens > 0 && (q->constraint.kind != TW_CONSTRAINT_NONE || r->work->allowed != NULL);
}

trawl_status tw_limits_new(struct tw_limits **out, struct tw_replica *r, const struct tw_request *q,
                           struct trawl_error *err)
{
    const struct tw_model_config *m = &r->engine->model->config;
    size_t n_eos                    = q->ignore_eos ? 0 : m->n_eos;
    struct tw_limits *l             = NULL;
    *out                            = NULL;
    TW_TRY(tw_alloc(1, sizeof *l, &l, err));
    l->words            = (m->vocab + 31) / 32;
    trawl_status status = tw_alloc(TW_LIMITS_RUN * l->words, sizeof *l->masks, &l->masks, err);
    if (status == TRAWL_OK) {
        status = tw_alloc(n_eos + q->n_stop, sizeof *l->end, &l->end, err);
    }
    if (status == TRAWL_OK && q->constraint.kind != TW_CONSTRAINT_NONE) {
        status = take_entry(r, &q->constraint, &l->entry, err);
    }
    if (status != TRAWL_OK) {
        tw_limits_free(l);
        return status;
    }
    for (size_t i = 0; i < n_eos; i++) {
        l->end[l->n_end++] = m->eos[i];
    }
    for (size_t i = 0; i < q->n_stop; i++) {
        l->end[l->n_end++] = q->stop[i];
    }
    *out = l;
    return TRAWL_OK;
}

void tw_limits_free(struct tw_limits *l)
{
    if (l != NULL) {
        if (l->entry != NULL) {
            l->entry->users--;
        }
        tw_free(l->masks);
        tw_free(l->end);
        tw_free(l);
    }
}

/* What the callback leaves of a mask. */
static trawl_status ask(const struct tw_limits *l, const struct tw_replica *r, const struct tw_request *q,
                        const int32_t *tokens, size_t n, uint32_t *mask, struct tw_allowed *out,
                        struct trawl_error *err)
{
    size_t vocab           = r->engine->model->config.vocab;
    struct trawl_error why = {.message = "no reason given"};
    if (r->work->allowed(r->work->user, q->id, tokens, n, mask, &why) != TRAWL_OK) {
        return tw_fail(err, TRAWL_ERR_INVALID, "the callback that names the allowed tokens failed: %s",
                       why.message);
    }
    if (vocab % 32 != 0) {
        mask[l->words - 1] &= (1u << (vocab % 32)) - 1;
    }
    out->n = 0;
    for (size_t i = 0; i < l->words; i++) {
        out->n += (size_t)__builtin_popcount(mask[i]);
    }
    if (out->n == 0) {
        return tw_fail(
            err, TRAWL_ERR_INVALID,
            "the callback that names the allowed tokens allows none after %zu tokens of the answer", n);
    }
    return TRAWL_OK;
}

trawl_status tw_limits_find(struct tw_limits *l, struct tw_replica *r, const struct tw_request *q,
                            const int32_t *tokens, size_t n, struct tw_allowed *out, struct trawl_error *err)
{
    uint32_t *mask = l->masks + n % TW_LIMITS_RUN * l->words;
    *out           = (struct tw_allowed){.n = r->engine->model->config.vocab, .only = -1};
    if (l->entry == NULL) {
        memset(mask, 0xFF, l->words * sizeof *mask);
    } else {
        const struct tw_constraint_rules rules = {q->max_tokens - n, l->end, l->n_end};
        TW_TRY(tw_constraint_allow(l->entry->constraint, &l->state, tokens, n, &rules, mask, out, err));
        if (out->n == 0 && !out->complete) {
            return tw_fail(
                err, TRAWL_ERR_UNSUPPORTED,
                "no token of the vocabulary can go on after %zu tokens of the answer as the constraint "
                "demands",
                n);
        }
    }
    return r->work->allowed == NULL || out->n == 0 ? TRAWL_OK : ask(l, r, q, tokens, n, mask, out, err);
}
