/* SPDX-License-Identifier: MIT */
/* Depth-first n-best search: every answer whose probability is at least min_prob. An answer ends with an end token
 * or has max_tokens tokens; its log-probability is the sum, in double and in order, of its tokens' (f32,
 * docs/numerics.md), and the bound is that sum >= log(min_prob), so a beginning below the bound ends the search there.
 * At each place the more probable token is tried first, the lower id where two tie. One branch holds the answer
 * being tried: going back is forgetting its last tokens. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "engine/engine_int.h"
#include "engine/engine_logits.h"

/* The tokens to be tried at one place: state->list[begin .. end), of which [begin, next) have been. */
struct level {
    size_t begin, next, end;
    double logprob; /* of the tokens before it */
    float entropy, varentropy;
};

struct answer {
    struct tw_output output;
    int32_t *tokens; /* [n_tokens] */
    float *measures; /* [3 * n_tokens] */
};

struct nbest_state {
    double bound; /* log(min_prob) */
    struct tw_scored_token *list;
    size_t n_list, capacity;
    struct level *levels;   /* [max_tokens] */
    struct answer *answers; /* [n_answers] most probable first */
    size_t n_answers, answers_capacity;
    struct tw_output *outputs;
    uint64_t n_nodes;
    bool truncated;
    trawl_status status; /* of the last row */
    struct trawl_error error;
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
    g->state = s;
    s->bound = (double)logl((long double)q->nbest.min_prob);
    TW_TRY(tw_alloc(q->max_tokens, sizeof *s->levels, &s->levels, err));
    return tw_group_start(g, &g->branches[0], q->max_tokens, q->n_prompt - 1, err);
}

static void free_answer(struct answer *a)
{
    tw_free(a->tokens);
    tw_free(a->measures);
}

static void end(struct tw_group *g)
{
    struct nbest_state *s = g->state;
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; i < s->n_answers; i++) {
        free_answer(&s->answers[i]);
    }
    tw_free(s->list);
    tw_free(s->levels);
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

/* Append the tokens that keep the answer above the bound. */
static trawl_status collect(struct nbest_state *s, const struct tw_logits *l, double before)
{
    /* Below this logit no token is worth a closer look; the slack is far above the rounding of a sum. */
    double least = s->bound - before + l->log_sum + (double)l->max - 1e-2;
    for (size_t i = 0; i < l->n_vocab; i++) {
        if (!((double)l->row[i] >= least)) {
            continue;
        }
        float logprob = tw_logits_logprob(l, i);
        if (before + (double)logprob >= s->bound) {
            TW_TRY(tw_grow(&s->list, &s->capacity, s->n_list + 1, sizeof *s->list, &s->error));
            s->list[s->n_list++] =
                (struct tw_scored_token){.token = (int32_t)i, .logprob = logprob, .score = logprob};
        }
    }
    return TRAWL_OK;
}

static void row(struct tw_replica *r, const struct tw_group_row *row)
{
    struct tw_group *g    = row->branch->group;
    struct nbest_state *s = g->state;
    struct level *level   = &s->levels[row->position + 1 - g->request.n_prompt];
    struct tw_logits l    = tw_logits_measure(&r->engine->kernels, row->logits, row->sampler->n_vocab);
    level->begin = level->next = s->n_list;
    level->entropy             = l.entropy;
    level->varentropy          = l.varentropy;
    s->status                  = collect(s, &l, level->logprob);
    if (s->n_list > level->begin) {
        qsort(s->list + level->begin, s->n_list - level->begin, sizeof *s->list, by_logprob);
    }
    size_t most = g->request.nbest.max_nodes - s->n_nodes; /* no more can be tried */
    if (s->n_list - level->begin > most) {
        s->n_list    = level->begin + most;
        s->truncated = true;
    }
    level->end = s->n_list;
}

/* ---- going on ---- */

/* The branch as it is, as an answer. */
static trawl_status copy_answer(const struct tw_sequence *b, double logprob, enum tw_finish finish,
                                struct answer *a, struct trawl_error *err)
{
    size_t n_prompt = b->group->request.n_prompt, n = b->n_tokens - n_prompt;
    *a = (struct answer){.output = {.n_tokens = n, .score = logprob, .finish = finish}};
    TW_TRY(tw_alloc(n, sizeof *a->tokens, &a->tokens, err));
    trawl_status status = tw_alloc(3 * n, sizeof *a->measures, &a->measures, err);
    if (status != TRAWL_OK) {
        tw_free(a->tokens);
        return status;
    }
    memcpy(a->tokens, b->tokens + n_prompt, n * sizeof *a->tokens);
    memcpy(a->measures, b->logprobs, n * sizeof(float));
    memcpy(a->measures + n, b->entropies, n * sizeof(float));
    memcpy(a->measures + 2 * n, b->varentropies, n * sizeof(float));
    a->output.tokens       = a->tokens;
    a->output.logprobs     = a->measures;
    a->output.entropies    = a->measures + n;
    a->output.varentropies = a->measures + 2 * n;
    return TRAWL_OK;
}

/* Among the most probable ones, the earlier first where two tie. */
static trawl_status add_answer(struct nbest_state *s, const struct tw_sequence *b, double logprob,
                               enum tw_finish finish, struct trawl_error *err)
{
    size_t most = b->group->request.nbest.max_outputs, at = s->n_answers;
    struct answer a;
    if (at == most) {
        s->truncated = true;
        if (!(logprob > s->answers[at - 1].output.score)) {
            return TRAWL_OK;
        }
    } else {
        TW_TRY(tw_grow(&s->answers, &s->answers_capacity, at + 1, sizeof *s->answers, err));
    }
    TW_TRY(copy_answer(b, logprob, finish, &a, err));
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

/* Put a token behind the first `depth` of the answer. */
static void try_token(struct tw_group *g, struct tw_kv_pages *kv, size_t depth,
                      const struct tw_scored_token *t)
{
    struct nbest_state *s = g->state;
    struct tw_sequence *b = &g->branches[0];
    tw_sequence_truncate(b, g->request.n_prompt + depth, kv);
    b->logprobs[depth]       = t->logprob;
    b->entropies[depth]      = s->levels[depth].entropy;
    b->varentropies[depth]   = s->levels[depth].varentropy;
    b->tokens[b->n_tokens++] = t->token;
    s->n_nodes++;
}

/* Try tokens until one asks for a row of logits (*more) or none are left. */
static trawl_status search(struct tw_replica *r, struct tw_group *g, bool *more, struct trawl_error *err)
{
    const struct tw_request *q = &g->request;
    struct nbest_state *s      = g->state;
    struct tw_sequence *b      = &g->branches[0];
    size_t depth               = b->n_tokens - q->n_prompt;
    for (;;) {
        struct level *level = &s->levels[depth];
        if (level->next == level->end) {
            s->n_list = level->begin;
            if (depth-- == 0) {
                return TRAWL_OK;
            }
            continue;
        }
        if (s->n_nodes == q->nbest.max_nodes) {
            s->truncated = true;
            return TRAWL_OK;
        }
        const struct tw_scored_token *t = &s->list[level->next++];
        double logprob                  = level->logprob + (double)t->logprob;
        bool stop                       = tw_group_ends(r, q, t->token);
        try_token(g, &r->pages, depth, t);
        if (stop || depth + 1 == q->max_tokens) {
            TW_TRY(add_answer(s, b, logprob, stop ? TW_FINISH_STOP : TW_FINISH_LENGTH, err));
            continue;
        }
        s->levels[depth + 1].logprob = logprob;
        b->n_wanted                  = b->n_tokens;
        b->first_logits              = b->n_tokens - 1;
        *more                        = true;
        return TRAWL_OK;
    }
}

static trawl_status report(struct tw_replica *r, struct tw_group *g)
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
                               .finish    = s->truncated ? TW_FINISH_LENGTH : TW_FINISH_STOP,
                               .outputs   = s->outputs,
                               .n_outputs = s->n_answers,
                               .n_prompt  = g->request.n_prompt,
                               .n_nodes   = s->n_nodes,
                               .truncated = s->truncated};
    return r->work->finished(r->work->user, &result, &r->error);
}

static trawl_status advance(struct tw_replica *r, struct tw_group *g, bool *done)
{
    struct nbest_state *s = g->state;
    struct trawl_error why;
    bool more = false;
    if (tw_sequence_pending(&g->branches[0]) > 0) {
        return TRAWL_OK;
    }
    atomic_fetch_add_explicit(&r->engine->generated_tokens, 1, memory_order_relaxed);
    if (s->status != TRAWL_OK) {
        *done = true;
        return tw_group_report(r, &g->request, TW_FINISH_ERROR, NULL, 0, &s->error);
    }
    if (search(r, g, &more, &why) != TRAWL_OK) {
        *done = true;
        return tw_group_report(r, &g->request, TW_FINISH_ERROR, NULL, 0, &why);
    }
    *done = !more;
    return more ? TRAWL_OK : report(r, g);
}

const struct tw_group_kind tw_group_nbest = {.check   = check,
                                             .width   = width,
                                             .pages   = pages,
                                             .begin   = begin,
                                             .row     = row,
                                             .advance = advance,
                                             .end     = end};
