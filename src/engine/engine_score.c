/* SPDX-License-Identifier: MIT */
/* Scoring: the log-probabilities of given continuations. The prompt is computed once; its last row of logits gives
 * the first token of all of them. Branches then share the prompt's pages, and each takes one continuation after
 * another: its tokens are put behind the prompt, computed in pieces like a prompt's, and forgotten. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "engine/engine_int.h"
#include "engine/engine_logits.h"

struct score_state {
    struct tw_output *outputs; /* [n] tokens point into the request */
    float *measures;           /* of each continuation its logprobs, entropies, varentropies */
    size_t *taken;             /* [width] the continuation of each branch; n: none */
    size_t next;               /* continuation that no branch has taken yet */
    size_t n_left;             /* continuations that are not scored yet */
    bool started;              /* the prompt is computed */
};

static size_t length_of(const struct tw_score_params *p, size_t i)
{
    return p->ends[i] - (i == 0 ? 0 : p->ends[i - 1]);
}

static const int32_t *tokens_of(const struct tw_score_params *p, size_t i)
{
    return p->tokens + p->ends[i] - length_of(p, i);
}

static size_t longest(const struct tw_score_params *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++) {
        n = tw_max_size(n, length_of(p, i));
    }
    return n;
}

/* ---- admission ---- */

static trawl_status check(const struct tw_replica *r, const struct tw_request *q, struct trawl_error *err)
{
    size_t limit = r->engine->config.max_model_len, vocab = r->engine->model->config.vocab;
    if (q->score.n == 0) {
        return tw_fail(err, TRAWL_ERR_INVALID, "there are no completions to score");
    }
    for (size_t i = 0; i < q->score.n; i++) {
        const int32_t *tokens = tokens_of(&q->score, i);
        size_t n              = length_of(&q->score, i);
        if (n == 0) {
            return tw_fail(err, TRAWL_ERR_INVALID, "completion %zu is empty", i);
        }
        if (n > limit - q->n_prompt) {
            return tw_fail(err, TRAWL_ERR_LIMIT,
                           "%zu prompt tokens and %zu of completion %zu, the context holds %zu", q->n_prompt,
                           n, i, limit);
        }
        for (size_t k = 0; k < n; k++) {
            if (tokens[k] < 0 || (size_t)tokens[k] >= vocab) {
                return tw_fail(err, TRAWL_ERR_INVALID,
                               "token %zu of completion %zu is %d, the vocabulary has %zu ids", k, i,
                               (int)tokens[k], vocab);
            }
        }
    }
    return tw_group_check_plain(r, q, "completions", err);
}

static size_t width(const struct tw_replica *r, const struct tw_request *q)
{
    return tw_min_size(q->score.n, r->engine->config.batch_size);
}

static size_t pages(const struct tw_replica *r, const struct tw_request *q)
{
    size_t shared = q->n_prompt / TW_KV_BLOCK;
    return shared + width(r, q) * (tw_kv_pages_for(q->n_prompt + longest(&q->score)) - shared);
}

static trawl_status begin(struct tw_replica *r, struct tw_group *g, struct trawl_error *err)
{
    const struct tw_request *q      = &g->request;
    const struct tw_score_params *p = &q->score;
    struct score_state *s           = NULL;
    (void)r;
    TW_TRY(tw_alloc(1, sizeof *s, &s, err));
    g->state  = s;
    s->n_left = p->n;
    TW_TRY(tw_alloc(p->n, sizeof *s->outputs, &s->outputs, err));
    TW_TRY(tw_alloc(3 * (size_t)p->ends[p->n - 1], sizeof *s->measures, &s->measures, err));
    TW_TRY(tw_alloc(g->width, sizeof *s->taken, &s->taken, err));
    float *at = s->measures;
    for (size_t i = 0; i < p->n; i++) {
        size_t n      = length_of(p, i);
        s->outputs[i] = (struct tw_output){.tokens       = tokens_of(p, i),
                                           .logprobs     = at,
                                           .entropies    = at + n,
                                           .varentropies = at + 2 * n,
                                           .n_tokens     = n,
                                           .finish       = TW_FINISH_LENGTH};
        at += 3 * n;
    }
    return tw_group_start(g, longest(p), 0, q->n_prompt - 1, err);
}

static void end(struct tw_group *g)
{
    struct score_state *s = g->state;
    tw_free(s->outputs);
    tw_free(s->measures);
    tw_free(s->taken);
    tw_free(s);
}

/* ---- rows ---- */

/* Token k of continuation i follows this row. */
static void measure(struct score_state *s, const struct tw_logits *l, size_t i, size_t k)
{
    struct tw_output *o = &s->outputs[i];
    float *at           = s->measures + (o->logprobs - s->measures) + k;
    at[0]               = tw_logits_logprob(l, (size_t)o->tokens[k]);
    at[o->n_tokens]     = l->entropy;
    at[2 * o->n_tokens] = l->varentropy;
}

static void row(struct tw_replica *r, const struct tw_group_row *row)
{
    struct tw_group *g    = row->branch->group;
    struct score_state *s = g->state;
    struct tw_logits l    = tw_logits_measure(&r->engine->kernels, row->logits, row->sampler->n_vocab);
    if (row->position + 1 > g->request.n_prompt) {
        measure(s, &l, s->taken[row->branch - g->branches], row->position + 1 - g->request.n_prompt);
        return;
    }
    for (size_t i = 0; i < g->request.score.n; i++) {
        measure(s, &l, i, 0);
    }
}

/* ---- going on ---- */

static void score(struct tw_replica *r, struct score_state *s, size_t i)
{
    struct tw_output *o = &s->outputs[i];
    for (size_t k = 0; k < o->n_tokens; k++) {
        o->score += (double)o->logprobs[k];
    }
    s->n_left--;
    atomic_fetch_add_explicit(&r->engine->prompt_tokens, o->n_tokens, memory_order_relaxed);
}

/* The next continuation for a branch that holds the prompt alone. Those of one token need no branch. */
static void take(struct tw_replica *r, struct tw_group *g, size_t branch)
{
    const struct tw_score_params *p = &g->request.score;
    struct score_state *s           = g->state;
    struct tw_sequence *b           = &g->branches[branch];
    while (s->next < p->n && length_of(p, s->next) == 1) {
        score(r, s, s->next++);
    }
    s->taken[branch] = s->next;
    if (s->next == p->n) {
        tw_sequence_clear(b, &r->pages);
        return;
    }
    size_t n = length_of(p, s->next);
    memcpy(b->tokens + g->request.n_prompt, tokens_of(p, s->next), n * sizeof *b->tokens);
    b->n_tokens     = g->request.n_prompt + n;
    b->n_wanted     = b->n_tokens - 1; /* nothing follows the last token */
    b->first_logits = g->request.n_prompt;
    s->next++;
}

static trawl_status advance(struct tw_replica *r, struct tw_group *g, bool *done)
{
    struct score_state *s = g->state;
    if (!s->started) {
        if (tw_sequence_pending(&g->branches[0]) > 0) {
            return TRAWL_OK;
        }
        for (size_t j = 1; j < g->width; j++) {
            tw_sequence_fork(&g->branches[j], &g->branches[0], &r->pages);
        }
        for (size_t j = 0; j < g->width; j++) {
            take(r, g, j);
        }
        s->started = true;
    }
    for (size_t j = 0; j < g->width; j++) {
        if (g->branches[j].active && tw_sequence_pending(&g->branches[j]) == 0) {
            score(r, s, s->taken[j]);
            tw_sequence_truncate(&g->branches[j], g->request.n_prompt, &r->pages);
            take(r, g, j);
        }
    }
    if (s->n_left > 0) {
        return TRAWL_OK;
    }
    *done = true;
    return tw_group_report(r, &g->request, TW_FINISH_LENGTH, s->outputs, g->request.score.n, NULL);
}

/* Every continuation keeps its place: those that were not scored have no tokens, and come last in any order. */
static trawl_status report_so_far(struct tw_replica *r, struct tw_group *g, enum tw_finish how)
{
    struct score_state *s = g->state;
    for (size_t i = 0; i < g->request.score.n; i++) {
        bool scored = i < s->next;
        for (size_t j = 0; j < g->width && scored && s->started; j++) {
            scored = s->taken[j] != i; /* else its branch is not through it */
        }
        if (!scored) {
            s->outputs[i] = (struct tw_output){.score = -INFINITY, .finish = how};
        }
    }
    return tw_group_report(r, &g->request, how, s->outputs, g->request.score.n, NULL);
}

const struct tw_group_kind tw_group_score = {.check   = check,
                                             .width   = width,
                                             .pages   = pages,
                                             .begin   = begin,
                                             .row     = row,
                                             .advance = advance,
                                             .report  = report_so_far,
                                             .end     = end};
