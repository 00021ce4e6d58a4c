/* SPDX-License-Identifier: MIT */
/* N-best search: every answer whose probability is at least min_prob. An answer ends with an end token or has
 * max_tokens tokens; its log-probability is the sum, in double and in order, of its tokens' (f32, docs/numerics.md),
 * and the bound is that sum >= log(min_prob), so a beginning below the bound ends the search there.
 *
 * Answers are found, and tokens counted, in depth-first order: at each place the more probable token first, the lower
 * id where two tie. They are computed in any order, several in a step: what is found waits in the frontier for its
 * turn. So the first branch alone comes to the same result, and the spare ones run where there is room for them.
 *
 * Each branch goes down into what it has found itself, where the pages of the beginning are its own; one that is
 * through takes over the first leaf that waits for another one, whose pages it then shares. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "engine/engine_frontier.h"
#include "engine/engine_int.h"

/* Spare ones beyond the one that a search needs: docs/search.md has what 0 to 31 of them took. */
enum { SPARE = 15, BRANCHES = 1 + SPARE };

/* What a branch does, and what its last row of logits gave. */
struct worker {
    bool running;
    uint32_t node;
    size_t n_owned;               /* leaves that wait for it: their parents are among its tokens */
    struct tw_scored_token *list; /* [n_list] tokens above the bound, the most probable first */
    size_t n_list, capacity;
    struct tw_logits row;
    trawl_status status;
    struct trawl_error error;
};

struct answer {
    struct tw_output output;
    int32_t *tokens; /* [n_tokens] */
    float *measures; /* [3 * n_tokens] */
};

struct nbest_state {
    double bound; /* log(min_prob) */
    struct tw_frontier frontier;
    struct worker workers[BRANCHES];
    size_t n_workers;       /* 1 once the spare ones have had to give their pages up */
    struct answer *answers; /* [n_answers] most probable first */
    size_t n_answers, answers_capacity;
    struct tw_output *outputs;
};

/* ---- admission ---- */

static trawl_status check(const struct tw_replica *r, const struct tw_request *q, struct trawl_error *err)
{
    const struct tw_nbest_params *p = &q->nbest;
    if (!(p->min_prob > 0 && p->min_prob <= 1)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "min_prob is %g, expected more than 0 and at most 1",
                       p->min_prob);
    }
    if (p->max_nodes < 1 || p->max_outputs < 1) {
        return tw_fail(err, TRAWL_ERR_INVALID, "max_nodes is %zu and max_outputs %zu, expected at least 1",
                       p->max_nodes, p->max_outputs);
    }
    if (q->max_tokens == 0) {
        return tw_fail(err, TRAWL_ERR_INVALID, "n-best search needs max_tokens of at least 1, here it is 0");
    }
    return tw_group_check_plain(r, q, "n-best search", err);
}

static size_t width(const struct tw_replica *r, const struct tw_request *q)
{
    (void)r;
    (void)q;
    return 1;
}

static size_t pages(const struct tw_replica *r, const struct tw_request *q)
{
    (void)r;
    return tw_kv_pages_for(q->n_prompt + q->max_tokens);
}

static trawl_status begin(struct tw_replica *r, struct tw_group *g, struct trawl_error *err)
{
    const struct tw_request *q = &g->request;
    struct nbest_state *s      = NULL;
    (void)r;
    TW_TRY(tw_alloc(1, sizeof *s, &s, err));
    g->state              = s;
    s->bound              = (double)logl((long double)q->nbest.min_prob);
    s->n_workers          = g->width;
    s->workers[0].running = true;
    TW_TRY(tw_frontier_init(&s->frontier, q->nbest.max_nodes, err));
    return tw_group_start(g, q->max_tokens, 0, q->n_prompt - 1, err);
}

static void free_answer(struct answer *a)
{
    tw_free(a->tokens);
    tw_free(a->measures);
}

static void end(struct tw_group *g)
{
    struct nbest_state *s = g->state;
    for (size_t i = 0; i < s->n_answers; i++) {
        free_answer(&s->answers[i]);
    }
    for (size_t j = 0; j < BRANCHES; j++) {
        tw_free(s->workers[j].list);
    }
    tw_frontier_release(&s->frontier);
    tw_free(s->answers);
    tw_free(s->outputs);
    tw_free(s);
}

/* ---- rows ---- */

static int by_logprob(const void *a, const void *b)
{
    const struct tw_scored_token *x = a, *y = b;
    if (x->logprob < y->logprob || x->logprob > y->logprob) {
        return x->logprob > y->logprob ? -1 : 1;
    }
    return x->token < y->token ? -1 : 1;
}

/* The tokens that keep an answer above the bound, whose log-probability is `before` without them. */
static trawl_status collect(const struct nbest_state *s, struct worker *w, double before)
{
    /* Below this logit no token is worth a closer look; the slack is far above the rounding of a sum. */
    const struct tw_logits *l = &w->row;
    double least              = s->bound - before + l->log_sum + (double)l->max - 1e-2;
    w->n_list                 = 0;
    for (size_t i = 0; i < l->n_vocab; i++) {
        if (!((double)l->row[i] >= least)) {
            continue;
        }
        float logprob = tw_logits_logprob(l, i);
        if (before + (double)logprob >= s->bound) {
            TW_TRY(tw_grow(&w->list, &w->capacity, w->n_list + 1, sizeof *w->list, &w->error));
            w->list[w->n_list++] =
                (struct tw_scored_token){.token = (int32_t)i, .logprob = logprob, .score = logprob};
        }
    }
    return TRAWL_OK;
}

static void row(struct tw_replica *r, const struct tw_group_row *row)
{
    struct tw_group *g    = row->branch->group;
    struct nbest_state *s = g->state;
    struct worker *w      = &s->workers[row->branch - g->branches];
    w->row                = tw_logits_measure(&r->engine->kernels, row->logits, row->sampler->n_vocab);
    w->status             = collect(s, w, s->frontier.nodes[w->node].sum);
    if (w->n_list > 0) {
        qsort(w->list, w->n_list, sizeof *w->list, by_logprob);
    }
}

/* ---- answers ---- */

/* The tokens from the prompt to this node, as an answer. */
static trawl_status copy_answer(const struct tw_frontier *f, uint32_t node, enum tw_finish finish,
                                struct answer *a, struct trawl_error *err)
{
    size_t n = f->nodes[node].n_tokens;
    *a       = (struct answer){.output = {.n_tokens = n, .score = f->nodes[node].sum, .finish = finish}};
    TW_TRY(tw_alloc(n, sizeof *a->tokens, &a->tokens, err));
    trawl_status status = tw_alloc(3 * n, sizeof *a->measures, &a->measures, err);
    if (status != TRAWL_OK) {
        tw_free(a->tokens);
        return status;
    }
    for (size_t i = n; i-- > 0; node = f->nodes[node].parent) {
        a->tokens[i]           = f->nodes[node].token;
        a->measures[i]         = f->nodes[node].logprob;
        a->measures[n + i]     = f->nodes[node].entropy;
        a->measures[2 * n + i] = f->nodes[node].varentropy;
    }
    a->output.tokens       = a->tokens;
    a->output.logprobs     = a->measures;
    a->output.entropies    = a->measures + n;
    a->output.varentropies = a->measures + 2 * n;
    return TRAWL_OK;
}

/* Among the most probable ones, the earlier first where two tie. */
static trawl_status add_answer(struct tw_group *g, const struct tw_leaf *p, struct trawl_error *err)
{
    struct nbest_state *s = g->state;
    size_t most = g->request.nbest.max_outputs, at = s->n_answers;
    double logprob = s->frontier.nodes[p->node].sum;
    struct answer a;
    if (at == most) {
        s->frontier.truncated = true;
        if (!(logprob > s->answers[at - 1].output.score)) {
            return TRAWL_OK;
        }
    } else {
        TW_TRY(tw_grow(&s->answers, &s->answers_capacity, at + 1, sizeof *s->answers, err));
    }
    TW_TRY(copy_answer(&s->frontier, p->node, p->state == TW_LEAF_STOPPED ? TW_FINISH_STOP : TW_FINISH_LENGTH,
                       &a, err));
    if (at == most) {
        free_answer(&s->answers[--at]);
    } else {
        s->n_answers++;
    }
    for (; at > 0 && s->answers[at - 1].output.score < logprob; at--) {
        s->answers[at] = s->answers[at - 1];
    }
    s->answers[at] = a;
    return TRAWL_OK;
}

/* ---- going on ---- */

/* Where the branch is. */
static size_t leaf_of(const struct tw_frontier *f, size_t branch)
{
    size_t i = f->n_leaves - 1; /* what runs is not far behind the first leaf */
    while (f->leaves[i].state != TW_LEAF_RUNNING || f->leaves[i].owner != branch) {
        i--;
    }
    return i;
}

/* The row of a branch has come: what may follow its node takes the place of its leaf. */
static trawl_status expand(struct tw_replica *r, struct tw_group *g, size_t branch, struct trawl_error *err)
{
    struct nbest_state *s = g->state;
    struct tw_frontier *f = &s->frontier;
    struct worker *w      = &s->workers[branch];
    size_t leaf           = leaf_of(f, branch);
    size_t n              = tw_min_size(w->n_list, f->limit - f->visited); /* no more can be visited */
    if (w->status != TRAWL_OK) {
        *err = w->error;
        return w->status;
    }
    f->truncated = f->truncated || n < w->n_list;
    TW_TRY(tw_frontier_expand(f, leaf, w->list, n, &w->row, err));
    w->running = false;
    for (struct tw_leaf *p = f->leaves + leaf; p < f->leaves + leaf + n; p++) {
        const struct tw_node *node = &f->nodes[p->node];
        if (tw_group_ends(r, &g->request, node->token)) {
            p->state = TW_LEAF_STOPPED;
        } else if (node->n_tokens == g->request.max_tokens) {
            p->state = TW_LEAF_FULL;
        } else {
            w->n_owned++;
        }
    }
    return TRAWL_OK;
}

/* Visit what is known of the tree, as far as nothing is missing. *more: something is. */
static trawl_status visit(struct tw_group *g, bool *more, struct trawl_error *err)
{
    struct tw_frontier *f = &((struct nbest_state *)g->state)->frontier;
    *more                 = false;
    while (tw_frontier_has_next(f)) {
        const struct tw_leaf *first = &f->leaves[f->n_leaves - 1];
        if (!tw_leaf_is_answer(first)) {
            *more = true;
            return TRAWL_OK;
        }
        TW_TRY(add_answer(g, first, err));
        tw_frontier_pop(f);
    }
    return TRAWL_OK;
}

/* Leaves that cannot be visited within max_nodes are not computed either. */
static void trim(struct tw_group *g, struct tw_kv_pages *kv)
{
    struct nbest_state *s = g->state;
    size_t n              = tw_frontier_beyond(&s->frontier);
    for (const struct tw_leaf *p = s->frontier.leaves; p < s->frontier.leaves + n; p++) {
        if (p->state == TW_LEAF_RUNNING) {
            s->workers[p->owner].running = false;
            tw_sequence_clear(&g->branches[p->owner], kv);
        } else if (p->state == TW_LEAF_WAITING) {
            s->workers[p->owner].n_owned--;
        }
    }
    tw_frontier_trim(&s->frontier);
}

/* A branch goes on with this leaf: what it has of the tokens on the way there stays computed. */
static void run(struct tw_group *g, struct tw_kv_pages *kv, size_t branch, struct tw_leaf *p)
{
    struct nbest_state *s       = g->state;
    struct tw_sequence *b       = &g->branches[branch];
    const struct tw_node *nodes = s->frontier.nodes;
    size_t n_prompt = g->request.n_prompt, n = nodes[p->node].n_tokens, same = n - 1;
    uint32_t node = p->node;
    for (size_t i = n; i-- > 0; node = nodes[node].parent) {
        if (n_prompt + i >= b->n_tokens || b->tokens[n_prompt + i] != nodes[node].token) {
            same = i;
        }
        b->tokens[n_prompt + i] = nodes[node].token;
    }
    tw_sequence_truncate(b, n_prompt + same, kv);
    b->n_tokens = b->n_wanted = n_prompt + n;
    b->first_logits           = b->n_tokens - 1;
    s->workers[p->owner].n_owned--;
    s->workers[branch].running = true;
    s->workers[branch].node    = p->node;
    p->owner                   = (uint32_t)branch;
    p->state                   = TW_LEAF_RUNNING;
}

/* The first leaf that waits for each branch that does nothing. */
static void choose_own(const struct nbest_state *s, struct tw_leaf *chosen[BRANCHES])
{
    size_t n = 0;
    for (size_t j = 0; j < s->n_workers; j++) {
        chosen[j] = NULL;
        n += !s->workers[j].running && s->workers[j].n_owned > 0;
    }
    for (size_t i = s->frontier.n_leaves; n > 0 && i-- > 0;) {
        struct tw_leaf *p = &s->frontier.leaves[i];
        if (p->state == TW_LEAF_WAITING && !s->workers[p->owner].running && chosen[p->owner] == NULL) {
            chosen[p->owner] = p;
            n--;
        }
    }
}

/* For branches that have none, the first ones that wait for another branch: they fork from it, before it moves. */
static void choose_others(struct tw_group *g, struct tw_kv_pages *kv, struct tw_leaf *chosen[BRANCHES])
{
    struct nbest_state *s = g->state;
    size_t i              = s->frontier.n_leaves;
    for (size_t j = 0; j < s->n_workers; j++) {
        if (s->workers[j].running || chosen[j] != NULL) {
            continue;
        }
        while (i > 0 && (s->frontier.leaves[i - 1].state != TW_LEAF_WAITING ||
                         chosen[s->frontier.leaves[i - 1].owner] == &s->frontier.leaves[i - 1])) {
            i--;
        }
        if (i > 0) {
            chosen[j] = &s->frontier.leaves[--i];
            tw_sequence_clear(&g->branches[j], kv);
            tw_sequence_fork(&g->branches[j], &g->branches[chosen[j]->owner], kv);
        }
    }
}

/* The first branch is the one that always gets on: where only others have something to do, it takes it from one. */
static void keep_first_running(struct tw_group *g)
{
    struct nbest_state *s = g->state;
    for (size_t j = 1; j < s->n_workers && !s->workers[0].running; j++) {
        if (s->workers[j].running) {
            s->frontier.leaves[leaf_of(&s->frontier, j)].owner = 0;
            tw_sequence_swap(&g->branches[0], &g->branches[j]);
            struct worker w = s->workers[0];
            s->workers[0]   = s->workers[j];
            s->workers[j]   = w;
        }
    }
}

static void hand_out(struct tw_group *g, struct tw_kv_pages *kv)
{
    struct nbest_state *s = g->state;
    struct tw_leaf *chosen[BRANCHES];
    choose_own(s, chosen);
    choose_others(g, kv, chosen);
    for (size_t j = 0; j < s->n_workers; j++) {
        if (chosen[j] != NULL) {
            run(g, kv, j, chosen[j]);
        }
    }
    keep_first_running(g);
}

/* What was theirs waits for the first branch, which computes again what it lacks of it. */
static bool shed(struct tw_replica *r, struct tw_group *g)
{
    struct nbest_state *s = g->state;
    bool any              = false;
    for (size_t j = 1; j < s->n_workers; j++) {
        any = any || g->branches[j].n_pages > 0;
        tw_sequence_clear(&g->branches[j], &r->pages);
        s->workers[j].running = false;
        s->workers[j].n_owned = 0;
    }
    for (size_t i = 0; i < s->frontier.n_leaves && s->n_workers > 1; i++) {
        struct tw_leaf *p = &s->frontier.leaves[i];
        if (!tw_leaf_is_answer(p) && p->owner != 0) {
            p->state = TW_LEAF_WAITING;
            p->owner = 0;
            s->workers[0].n_owned++;
        }
    }
    s->n_workers = 1;
    return any;
}

/* `how`: what the request ends by. */
static trawl_status report(struct tw_replica *r, struct tw_group *g, enum tw_finish how)
{
    struct nbest_state *s = g->state;
    struct trawl_error why;
    if (tw_alloc(s->n_answers, sizeof *s->outputs, &s->outputs, &why) != TRAWL_OK) {
        return tw_group_report(r, &g->request, TW_FINISH_ERROR, NULL, 0, &why);
    }
    for (size_t i = 0; i < s->n_answers; i++) {
        s->outputs[i] = s->answers[i].output;
    }
    struct tw_result result = {.id        = g->request.id,
                               .finish    = how,
                               .outputs   = s->outputs,
                               .n_outputs = s->n_answers,
                               .n_prompt  = g->request.n_prompt,
                               .n_nodes   = s->frontier.visited,
                               .truncated = s->frontier.truncated};
    return r->work->finished(r->work->user, &result, &r->error);
}

static trawl_status go_on(struct tw_replica *r, struct tw_group *g, bool *more, struct trawl_error *err)
{
    struct nbest_state *s = g->state;
    size_t n              = 0;
    for (size_t j = 0; j < s->n_workers; j++) {
        if (s->workers[j].running && tw_sequence_pending(&g->branches[j]) == 0) {
            TW_TRY(expand(r, g, j, err));
            n++;
        }
    }
    atomic_fetch_add_explicit(&r->engine->generated_tokens, n, memory_order_relaxed);
    TW_TRY(visit(g, more, err));
    if (*more) {
        trim(g, &r->pages);
        hand_out(g, &r->pages);
    }
    return TRAWL_OK;
}

static trawl_status advance(struct tw_replica *r, struct tw_group *g, bool *done)
{
    const struct nbest_state *s = g->state;
    struct trawl_error why;
    bool more = false;
    if (go_on(r, g, &more, &why) != TRAWL_OK) {
        *done = true;
        return tw_group_report(r, &g->request, TW_FINISH_ERROR, NULL, 0, &why);
    }
    *done = !more;
    return more ? TRAWL_OK : report(r, g, s->frontier.truncated ? TW_FINISH_LENGTH : TW_FINISH_STOP);
}

/* With what waits for its turn. */
static trawl_status report_so_far(struct tw_replica *r, struct tw_group *g, enum tw_finish how)
{
    struct nbest_state *s = g->state;
    struct trawl_error why;
    s->frontier.truncated = true;
    for (size_t i = s->frontier.n_leaves; i-- > 0;) {
        const struct tw_leaf *p = &s->frontier.leaves[i];
        if (tw_leaf_is_answer(p) && add_answer(g, p, &why) != TRAWL_OK) {
            return tw_group_report(r, &g->request, TW_FINISH_ERROR, NULL, 0, &why);
        }
    }
    return report(r, g, how);
}

const struct tw_group_kind tw_group_nbest = {.n_spare = SPARE,
                                             .check   = check,
                                             .width   = width,
                                             .pages   = pages,
                                             .begin   = begin,
                                             .row     = row,
                                             .advance = advance,
                                             .report  = report_so_far,
                                             .shed    = shed,
                                             .end     = end};
