/* SPDX-License-Identifier: MIT */
/* Beam search, the rules of Hugging Face's generate(num_beams=B, do_sample=False), one request at a time:
 *
 * - A beam's score is the f32 sum, in order, of its tokens' log-probabilities (f32, docs/numerics.md). Processors
 *   act on the log-probabilities, and what they leave is what is summed.
 * - A step looks at the max(2, 1 + end tokens) * B best continuations of all beams. Higher scores first; where they
 *   tie the lower beam, then the higher log-probability, then the lower token id.
 * - Continuations that end (an end token, or max_tokens) and are among the first B become answers, at score /
 *   length^length_penalty, both f32, length counting the end token. The B best answers are kept; where they tie the
 *   earlier one. The first B that do not end are the beams of the next step.
 * - The search ends when no beam is left; with early_stopping true when there are B answers; else when there are B
 *   answers and the best beam's score / l^length_penalty is not above the worst of them, l being the length so
 *   far, or max_tokens with early_stopping "never" and a positive length_penalty. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "engine/engine_int.h"
#include "engine/engine_logits.h"

/* What a beam's row of logits gave. */
struct beam_row {
    struct tw_scored_token *tokens; /* [n_looked] */
    size_t n;
    float entropy, varentropy;
};

/* A beam and its next token. */
struct continuation {
    size_t beam;
    float score; /* of the whole */
    struct tw_scored_token token;
};

/* A finished answer. */
struct answer {
    float score;
    size_t n_tokens;
    enum tw_finish finish;
    int32_t *tokens;                            /* [max_tokens] */
    float *logprobs, *entropies, *varentropies; /* [max_tokens] */
};

enum branch_use { BRANCH_FREE, BRANCH_CONTINUED, BRANCH_TAKEN };

struct beam_state {
    size_t n_looked;              /* continuations that a step looks at */
    size_t n_beams;               /* running */
    size_t *slot, *next;          /* [B] of each beam: its branch; in the next step */
    float *score;                 /* [B] */
    struct beam_row *rows;        /* [B] by branch */
    struct continuation *best;    /* [n_looked] */
    struct continuation *running; /* [B] */
    struct answer *answers;       /* [B] best first */
    size_t n_answers;
    enum branch_use *use; /* [B] while beams are placed */
    struct tw_scored_token *tokens;
    int32_t *answer_tokens;
    float *answer_measures;
    struct tw_output *outputs; /* [B] */
};

/* ---- admission ---- */

static size_t end_tokens(const struct tw_replica *r, const struct tw_request *q)
{
    return q->n_stop + (q->ignore_eos ? 0 : r->engine->model->config.n_eos);
}

static size_t looked_at(const struct tw_replica *r, const struct tw_request *q)
{
    return tw_max_size(2, 1 + end_tokens(r, q)) * q->beam.num_beams;
}

static trawl_status check(const struct tw_replica *r, const struct tw_request *q, struct trawl_error *err)
{
    const struct tw_beam_params *p = &q->beam;
    size_t vocab = r->engine->model->config.vocab, batch = r->engine->config.batch_size;
    if (p->num_beams < 1 || p->num_return_sequences < 1 || p->num_return_sequences > p->num_beams) {
        return tw_fail(err, TRAWL_ERR_INVALID, "num_return_sequences is %zu, expected 1 to num_beams, %zu",
                       p->num_return_sequences, p->num_beams);
    }
    if (p->num_beams > batch) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "num_beams is %zu, a batch holds %zu sequences (batch_size)",
                       p->num_beams, batch);
    }
    if (p->num_beams > vocab || looked_at(r, q) > vocab) {
        return tw_fail(
            err, TRAWL_ERR_LIMIT,
            "num_beams is %zu: with %zu end tokens a step looks at %zu continuations, the vocabulary "
            "has %zu ids",
            p->num_beams, end_tokens(r, q), looked_at(r, q), vocab);
    }
    if (!isfinite(p->length_penalty)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "length_penalty is %g, expected a number", p->length_penalty);
    }
    if (q->max_tokens == 0) {
        return tw_fail(err, TRAWL_ERR_INVALID, "beam search needs max_tokens of at least 1, here it is 0");
    }
    return tw_group_check_search(r, q, "num_beams", err);
}

static size_t width(const struct tw_replica *r, const struct tw_request *q)
{
    (void)r;
    return q->beam.num_beams;
}

/* Whole pages of the prompt are shared by all beams. */
static size_t pages(const struct tw_replica *r, const struct tw_request *q)
{
    size_t shared = q->n_prompt / TW_KV_BLOCK;
    (void)r;
    return shared + q->beam.num_beams * (tw_kv_pages_for(q->n_prompt + q->max_tokens) - shared);
}

/* Answers and the lists of tokens point into blocks of memory. */
static void lay_out(struct beam_state *b, size_t n_beams, size_t max_tokens)
{
    for (size_t i = 0; i < n_beams; i++) {
        struct answer *a  = &b->answers[i];
        a->tokens         = b->answer_tokens + i * max_tokens;
        a->logprobs       = b->answer_measures + 3 * i * max_tokens;
        a->entropies      = a->logprobs + max_tokens;
        a->varentropies   = a->entropies + max_tokens;
        b->rows[i].tokens = b->tokens + i * b->n_looked;
    }
}

static trawl_status begin(struct tw_replica *r, struct tw_group *g, struct trawl_error *err)
{
    const struct tw_request *q = &g->request;
    struct beam_state *b       = NULL;
    size_t n                   = q->beam.num_beams;
    TW_TRY(tw_alloc(1, sizeof *b, &b, err));
    g->state    = b;
    b->n_looked = looked_at(r, q);
    TW_TRY(tw_alloc(n, sizeof *b->slot, &b->slot, err));
    TW_TRY(tw_alloc(n, sizeof *b->score, &b->score, err));
    TW_TRY(tw_alloc(n, sizeof *b->rows, &b->rows, err));
    TW_TRY(tw_alloc(n, sizeof *b->running, &b->running, err));
    TW_TRY(tw_alloc(n, sizeof *b->answers, &b->answers, err));
    TW_TRY(tw_alloc(n, sizeof *b->outputs, &b->outputs, err));
    TW_TRY(tw_alloc(n, sizeof *b->next, &b->next, err));
    TW_TRY(tw_alloc(n, sizeof *b->use, &b->use, err));
    TW_TRY(tw_alloc(b->n_looked, sizeof *b->best, &b->best, err));
    TW_TRY(tw_alloc(n * b->n_looked, sizeof *b->tokens, &b->tokens, err));
    TW_TRY(tw_alloc(n * q->max_tokens, sizeof *b->answer_tokens, &b->answer_tokens, err));
    TW_TRY(tw_alloc(3 * n * q->max_tokens, sizeof *b->answer_measures, &b->answer_measures, err));
    lay_out(b, n, q->max_tokens);
    b->n_beams = 1;
    return tw_group_start(g, q->max_tokens, q->max_tokens, q->n_prompt - 1, err);
}

static void end(struct tw_group *g)
{
    struct beam_state *b = g->state;
    tw_free(b->slot);
    tw_free(b->score);
    tw_free(b->rows);
    tw_free(b->running);
    tw_free(b->answers);
    tw_free(b->outputs);
    tw_free(b->next);
    tw_free(b->use);
    tw_free(b->best);
    tw_free(b->tokens);
    tw_free(b->answer_tokens);
    tw_free(b->answer_measures);
    tw_free(b);
}

/* ---- rows ---- */

static void row(struct tw_replica *r, const struct tw_group_row *row)
{
    struct tw_sequence *s        = row->branch;
    struct beam_state *b         = s->group->state;
    struct beam_row *out         = &b->rows[s - s->group->branches];
    struct tw_logits l           = tw_logits_measure(&r->engine->kernels, row->logits, row->sampler->n_vocab);
    struct tw_sample_input input = tw_group_sample_input(r, s, row->logits);
    float *scores                = NULL;
    if (tw_sample_calls_for_processing(&input)) {
        scores = row->sampler->row;
        for (size_t i = 0; i < l.n_vocab; i++) {
            scores[i] = tw_logits_logprob(&l, i);
        }
        input.logits = scores;
        tw_sample_process(row->sampler, &input, scores);
    }
    out->n          = tw_logits_top(&l, scores, b->n_looked, out->tokens);
    out->entropy    = l.entropy;
    out->varentropy = l.varentropy;
}

/* ---- choosing ---- */

/* The best continuations of all beams into b->best: each beam's are sorted already. */
static size_t merge(struct beam_state *b)
{
    size_t n = 0;
    for (size_t j = 0; j < b->n_beams; j++) {
        const struct beam_row *from = &b->rows[b->slot[j]];
        for (size_t i = 0; i < from->n; i++) {
            struct continuation c = {
                .beam = j, .score = b->score[j] + from->tokens[i].score, .token = from->tokens[i]};
            if (n == b->n_looked && !(c.score > b->best[n - 1].score)) {
                break; /* nor is what follows */
            }
            size_t at = n < b->n_looked ? n++ : n - 1;
            for (; at > 0 && b->best[at - 1].score < c.score; at--) {
                b->best[at] = b->best[at - 1];
            }
            b->best[at] = c;
        }
    }
    return n;
}

static float length_divisor(double penalty, size_t length)
{
    return (float)powl((long double)length, (long double)penalty);
}

/* A beam as it is takes its place among the best answers, if it has one: NULL, or the answer, with room for another
 * token. `length`: what the sum of its scores is divided by. */
static struct answer *add_beam(struct tw_group *g, const struct tw_sequence *s, float sum, size_t length,
                               enum tw_finish finish)
{
    struct beam_state *b = g->state;
    size_t n             = s->n_tokens - g->request.n_prompt;
    float score          = sum / length_divisor(g->request.beam.length_penalty, length);
    size_t at            = b->n_answers;
    if (at == g->request.beam.num_beams) {
        if (!(score > b->answers[at - 1].score)) {
            return NULL;
        }
        at--;
    } else {
        b->n_answers++;
    }
    struct answer a = b->answers[at];
    for (; at > 0 && b->answers[at - 1].score < score; at--) {
        b->answers[at] = b->answers[at - 1];
    }
    memcpy(a.tokens, s->tokens + g->request.n_prompt, n * sizeof *a.tokens);
    memcpy(a.logprobs, s->logprobs, n * sizeof *a.logprobs);
    memcpy(a.entropies, s->entropies, n * sizeof *a.entropies);
    memcpy(a.varentropies, s->varentropies, n * sizeof *a.varentropies);
    a.n_tokens     = n;
    a.score        = score;
    a.finish       = finish;
    b->answers[at] = a;
    return &b->answers[at];
}

/* The same with one token more. `s`: the beam it continues. */
static void add_answer(struct tw_group *g, const struct continuation *c, const struct tw_sequence *s,
                       const struct beam_row *from, enum tw_finish finish)
{
    size_t n         = s->n_tokens - g->request.n_prompt;
    struct answer *a = add_beam(g, s, c->score, n + 1, finish);
    if (a != NULL) {
        a->tokens[n]       = c->token.token;
        a->logprobs[n]     = c->token.logprob;
        a->entropies[n]    = from->entropy;
        a->varentropies[n] = from->varentropy;
        a->n_tokens        = n + 1;
    }
}

/* Part the continuations into answers and the beams of the next step; how many of these there are. */
static size_t part(struct tw_replica *r, struct tw_group *g, size_t n, size_t length)
{
    struct beam_state *b       = g->state;
    const struct tw_request *q = &g->request;
    size_t n_running           = 0;
    for (size_t i = 0; i < n; i++) {
        const struct continuation *c = &b->best[i];
        bool stop                    = tw_group_ends(r, q, c->token.token);
        if (!stop && length < q->max_tokens) {
            if (n_running < q->beam.num_beams) {
                b->running[n_running++] = *c;
            }
        } else if (i < q->beam.num_beams) {
            add_answer(g, c, &g->branches[b->slot[c->beam]], &b->rows[b->slot[c->beam]],
                       stop ? TW_FINISH_STOP : TW_FINISH_LENGTH);
        }
    }
    return n_running;
}

static bool search_ends(const struct beam_state *b, const struct tw_request *q, size_t n_running,
                        size_t length)
{
    const struct tw_beam_params *p = &q->beam;
    if (n_running == 0) {
        return true;
    }
    if (b->n_answers < p->num_beams) {
        return false;
    }
    bool longest = p->early_stopping == TW_EARLY_STOPPING_NEVER && p->length_penalty > 0;
    float best   = b->running[0].score / length_divisor(p->length_penalty, longest ? q->max_tokens : length);
    return p->early_stopping == TW_EARLY_STOPPING_TRUE || !(best > b->answers[p->num_beams - 1].score);
}

/* ---- going on ---- */

/* Each beam of the next step gets a branch, next[j]: the first that continues an old beam takes its branch over,
 * others fork it into the branches of beams that nobody continues. */
static void place(struct tw_group *g, struct tw_kv_pages *kv, size_t n_running)
{
    struct beam_state *b = g->state;
    size_t spare         = 0;
    for (size_t i = 0; i < g->width; i++) {
        b->use[i] = BRANCH_FREE;
    }
    for (size_t j = 0; j < n_running; j++) {
        b->use[b->slot[b->running[j].beam]] = BRANCH_CONTINUED;
    }
    for (size_t i = 0; i < g->width; i++) {
        if (b->use[i] == BRANCH_FREE) {
            tw_sequence_clear(&g->branches[i], kv);
        }
    }
    for (size_t j = 0; j < n_running; j++) {
        size_t from = b->slot[b->running[j].beam];
        b->next[j]  = from;
        if (b->use[from] == BRANCH_TAKEN) {
            while (b->use[spare] != BRANCH_FREE) {
                spare++;
            }
            tw_sequence_fork(&g->branches[spare], &g->branches[from], kv);
            b->next[j] = spare;
        }
        b->use[b->next[j]] = BRANCH_TAKEN;
    }
}

static void append(struct tw_group *g, size_t branch, const struct tw_scored_token *t,
                   const struct beam_row *from)
{
    struct tw_sequence *s    = &g->branches[branch];
    size_t n                 = s->n_tokens - g->request.n_prompt;
    s->logprobs[n]           = t->logprob;
    s->entropies[n]          = from->entropy;
    s->varentropies[n]       = from->varentropy;
    s->tokens[s->n_tokens++] = t->token;
    s->n_wanted              = s->n_tokens;
}

/* The best answers; `how`: what the request ends by. */
static trawl_status report_as(struct tw_replica *r, struct tw_group *g, enum tw_finish how)
{
    struct beam_state *b = g->state;
    size_t n             = tw_min_size(b->n_answers, g->request.beam.num_return_sequences);
    for (size_t i = 0; i < n; i++) {
        const struct answer *a = &b->answers[i];
        b->outputs[i]          = (struct tw_output){.tokens       = a->tokens,
                                                    .logprobs     = a->logprobs,
                                                    .entropies    = a->entropies,
                                                    .varentropies = a->varentropies,
                                                    .n_tokens     = a->n_tokens,
                                                    .score        = (double)a->score,
                                                    .finish       = a->finish};
    }
    return tw_group_report(r, &g->request, how, b->outputs, n, NULL);
}

static trawl_status report(struct tw_replica *r, struct tw_group *g)
{
    const struct beam_state *b = g->state;
    struct trawl_error why;
    if (b->n_answers == 0) {
        (void)tw_fail(&why, TRAWL_ERR_INVALID, "no continuation has a probability that is a number");
        return tw_group_report(r, &g->request, TW_FINISH_ERROR, NULL, 0, &why);
    }
    return report_as(r, g, b->answers[0].finish);
}

/* As Hugging Face does at max_time: beams that have not ended are answers as well. */
static trawl_status report_so_far(struct tw_replica *r, struct tw_group *g, enum tw_finish how)
{
    struct beam_state *b = g->state;
    for (size_t j = 0; j < b->n_beams; j++) {
        const struct tw_sequence *s = &g->branches[b->slot[j]];
        size_t length               = s->n_tokens - g->request.n_prompt;
        if (length > 0) { /* else it is the prompt */
            (void)add_beam(g, s, b->score[j], length, how);
        }
    }
    return report_as(r, g, how);
}

static trawl_status advance(struct tw_replica *r, struct tw_group *g, bool *done)
{
    struct beam_state *b            = g->state;
    const struct tw_request *q      = &g->request;
    const struct tw_sequence *first = &g->branches[b->slot[0]];
    for (size_t j = 0; j < b->n_beams; j++) {
        if (tw_sequence_pending(&g->branches[b->slot[j]]) > 0) {
            return TRAWL_OK; /* of the prompt, or of beams that are computed again */
        }
    }
    size_t length    = first->n_tokens - q->n_prompt + 1; /* of the answers with their next token */
    size_t n_running = part(r, g, merge(b), length);
    atomic_fetch_add_explicit(&r->engine->generated_tokens, b->n_beams, memory_order_relaxed);
    if (search_ends(b, q, n_running, length)) {
        *done = true;
        return report(r, g);
    }
    place(g, &r->pages, n_running);
    for (size_t j = 0; j < n_running; j++) {
        const struct continuation *c = &b->running[j];
        append(g, b->next[j], &c->token, &b->rows[b->slot[c->beam]]);
        b->score[j] = c->score;
    }
    memcpy(b->slot, b->next, n_running * sizeof *b->slot);
    b->n_beams = n_running;
    return TRAWL_OK;
}

const struct tw_group_kind tw_group_beam = {.check   = check,
                                            .width   = width,
                                            .pages   = pages,
                                            .begin   = begin,
                                            .row     = row,
                                            .advance = advance,
                                            .report  = report_so_far,
                                            .end     = end};
