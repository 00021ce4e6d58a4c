/* SPDX-License-Identifier: MIT */
/* The plain kind of request: one branch that grows by a sampled token a step, or by several: tokens that are the
 * only ones allowed, and guesses. A guess is computed like a token that is known, and its row chooses the next one
 * as it would have later; what comes after the first one that was guessed wrong is forgotten before anything is
 * handed out. Since a choice depends on its own row, its history and its position only, answers are those without
 * guesses, bit by bit. */
#include "base/size.h"
#include "engine/engine_int.h"

static size_t width(const struct tw_replica *r, const struct tw_request *q)
{
    (void)r;
    (void)q;
    return 1;
}

static size_t pages(const struct tw_replica *r, const struct tw_request *q)
{
    return tw_mask_pages_held(&q->mask, q->n_prompt + q->max_tokens, r->engine->config.prefill_chunk);
}

/* ---- tokens that are the only ones allowed ----
 * An answer with limits may have tokens that nothing was drawn for yet, because nothing else may stand
 * there: they are computed in one step, and their rows say how probable they were. */

/* The answer ends: with the last token that is known, or because nothing may follow. That token need not be
 * computed. */
struct ending {
    bool token, nothing;
};

/* Find what may follow the answer, over all tokens that are the only ones, if such runs are allowed. */
static trawl_status extend(struct tw_replica *r, struct tw_group *g, struct ending *ending,
                           struct trawl_error *err)
{
    const struct tw_request *q = &g->request;
    struct tw_sequence *s      = &g->branches[0];
    size_t known               = s->n_tokens;
    /* Not where a callback may have the last word on each token, before rows of the next are handed out. */
    bool runs = r->work->allowed == NULL && !(q->capture && r->work->token != NULL);
    *ending   = (struct ending){false, false};
    for (size_t run = 0; run < TW_LIMITS_RUN && !ending->token && !ending->nothing; run++) {
        size_t n = s->n_tokens - q->n_prompt;
        struct tw_allowed allowed;
        TW_TRY(tw_limits_find(g->limits, r, q, s->tokens + q->n_prompt, n, &allowed, err));
        ending->nothing = allowed.n == 0;
        if (allowed.n != 1 || !runs || run + 1 == TW_LIMITS_RUN) {
            break;
        }
        s->tokens[s->n_tokens++] = allowed.only;
        ending->token            = n + 1 == q->max_tokens || tw_group_ends(r, q, allowed.only);
    }
    bool last   = ending->token || (ending->nothing && s->n_tokens > known);
    s->n_wanted = s->n_tokens - (last ? 1 : 0);
    return TRAWL_OK;
}

static trawl_status begin(struct tw_replica *r, struct tw_group *g, struct trawl_error *err)
{
    const struct tw_request *q = &g->request;
    struct ending ending;
    TW_TRY(tw_group_start(g, q->max_tokens, q->max_tokens,
                          q->logits           ? q->logits_from
                          : q->max_tokens > 0 ? q->n_prompt - 1
                                              : SIZE_MAX,
                          err));
    if (!tw_limits_wanted(r, q)) {
        return TRAWL_OK;
    }
    TW_TRY(tw_limits_new(&g->limits, r, q, err));
    TW_TRY(extend(r, g, &ending, err));
    return ending.nothing && g->branches[0].n_tokens == q->n_prompt
               ? tw_fail(err, TRAWL_ERR_INVALID,
                         "the constraint allows no text, and no end token is left to say so")
               : TRAWL_OK;
}

/* What the token at `place` is chosen from. */
static struct tw_sample_input input_of(const struct tw_replica *r, const struct tw_sequence *s, size_t place,
                                       const float *logits)
{
    size_t n                  = place - s->group->request.n_prompt;
    struct tw_sample_input in = tw_group_sample_input(r, s, logits);
    in.n_history = in.position = place;
    in.allowed                 = tw_limits_mask(s->group->limits, n);
    in.track                   = &s->policy;
    in.top                     = s->top + n * s->n_top;
    return in;
}

/* Rows of the prompt before its last get the log-probability of the next token; all others choose one. */
static void row(struct tw_replica *r, const struct tw_group_row *row)
{
    const struct tw_sequence *s = row->branch;
    const struct tw_request *q  = &s->group->request;
    size_t next                 = row->position + 1; /* place of the token that the row is about */
    r->next_logprob[row->index] = 0;
    if (next < q->n_prompt) {
        r->next_logprob[row->index] = tw_sample_logprob(&r->engine->kernels, row->logits,
                                                        r->engine->model->config.vocab, s->tokens[next]);
    } else if (q->max_tokens > 0) {
        const struct tw_sample_input in = input_of(r, s, next, row->logits);
        r->sampled[row->index]          = tw_sample_choose(row->sampler, &in);
    }
}

static trawl_status report(struct tw_replica *r, const struct tw_sequence *s, enum tw_finish how)
{
    const struct tw_request *q = &s->group->request;
    struct tw_output output    = {.tokens            = s->tokens + q->n_prompt,
                                  .logprobs          = s->logprobs,
                                  .entropies         = s->entropies,
                                  .varentropies      = s->varentropies,
                                  .attn_entropies    = s->attn_entropies,
                                  .attn_varentropies = s->attn_varentropies,
                                  .n_tokens          = s->n_measured,
                                  .top               = s->top,
                                  .n_top             = s->n_top,
                                  .policy            = s->policy,
                                  .finish            = how};
    return tw_group_report(r, q, how, &output, 1, NULL);
}

static trawl_status report_so_far(struct tw_replica *r, struct tw_group *g, enum tw_finish how)
{
    return report(r, &g->branches[0], how);
}

/* No token was left to choose. */
static trawl_status give_up(struct tw_replica *r, const struct tw_sequence *s, size_t place, size_t index)
{
    struct trawl_error why;
    const float *logits             = r->logits + index * r->engine->model->config.vocab;
    const struct tw_sample_input in = input_of(r, s, place, logits);
    (void)tw_sample_explain(&r->samplers[0], &in, &why);
    return tw_group_report(r, &s->group->request, TW_FINISH_ERROR, NULL, 0, &why);
}

/* ---- guesses ---- */

/* Not where rows that are thrown away would leave something behind, nor where somebody has the last word on each
 * token. */
static bool may_draft(const struct tw_replica *r, const struct tw_request *q)
{
    return !q->sampling.policy.on && q->mask.kind != TW_MASK_HEAVY && r->work->allowed == NULL &&
           !(q->capture && r->work->token != NULL);
}

/* Find what may follow token n of the answer, which is a guess. False: nothing, or nobody can tell: that is found
 * again, and told, when the answer really is there. */
static bool may_go_on(struct tw_replica *r, struct tw_group *g, size_t n)
{
    const struct tw_request *q = &g->request;
    const int32_t *answer      = g->branches[0].tokens + q->n_prompt;
    struct tw_allowed allowed;
    struct trawl_error why;
    return g->limits == NULL ||
           (tw_limits_find(g->limits, r, q, answer, n + 1, &allowed, &why) == TRAWL_OK && allowed.n > 0);
}

/* Of n guesses, those that can stand there and have a token after them; the masks of these are found, as that of the
 * first guess itself has been. */
static size_t possible(struct tw_replica *r, struct tw_group *g, size_t n)
{
    const struct tw_sequence *s = &g->branches[0];
    size_t known = s->n_tokens - g->request.n_prompt, i = 0;
    struct tw_constraint_state state = {0};
    if (g->limits != NULL) {
        state = g->limits->state;
    }
    while (i < n && !tw_group_ends(r, &g->request, s->tokens[s->n_tokens + i]) &&
           tw_limits_has(g->limits, known + i, s->tokens[s->n_tokens + i]) && may_go_on(r, g, known + i)) {
        i++;
    }
    if (g->limits != NULL) {
        g->limits->state = state; /* guesses are not the answer yet */
    }
    return i;
}

static void draft(struct tw_replica *r, struct tw_group *g, size_t most)
{
    const struct tw_request *q = &g->request;
    struct tw_sequence *s      = &g->branches[0];
    if (!may_draft(r, q) || s->n_wanted < s->n_tokens) { /* the known ones end the answer */
        return;
    }
    /* With limits as many as there are masks, less the one of the token that comes anyway. */
    size_t left = q->n_prompt + q->max_tokens - 1 - s->n_tokens;
    most        = tw_min_size(most, g->limits == NULL ? left : tw_min_size(left, TW_LIMITS_RUN - 1));
    size_t n    = tw_lookup(&s->pace, s->tokens, s->n_tokens, s->tokens + s->n_tokens, most);
    tw_sequence_draft(s, possible(r, g, n));
}

static void settle(struct tw_replica *r, struct tw_group *g)
{
    struct tw_sequence *s = &g->branches[0];
    const int32_t *drafts = s->tokens + s->n_tokens - s->n_drafts;
    size_t right          = 0;
    while (right < s->n_drafts && r->sampled[s->logit_row + right].token == drafts[right]) {
        right++;
    }
    tw_lookup_learn(&s->pace, s->n_drafts, right);
    r->stats.draft_tokens += s->n_drafts;
    r->stats.accepted_tokens += right;
    tw_sequence_settle(s, right);
}

/* ---- tokens ---- */

/* A token of the answer has come: at `place`, where it is known already if nothing else could stand there;
 * `index`: its row in r->sampled. */
static trawl_status take(struct tw_replica *r, struct tw_sequence *s, size_t place, size_t index, bool *done)
{
    const struct tw_request *q   = &s->group->request;
    const struct tw_sampled *got = &r->sampled[index];
    size_t n                     = place - q->n_prompt;
    if (got->token == TW_SAMPLE_NONE) {
        *done = true;
        return give_up(r, s, place, index);
    }
    s->logprobs[n]     = got->logprob;
    s->entropies[n]    = got->entropy;
    s->varentropies[n] = got->varentropy;
    if (q->attn_entropy) {
        tw_attention_measure(r, index, &s->attn_entropies[n], &s->attn_varentropies[n]);
    }
    s->tokens[place] = got->token;
    if (q->sampling.policy.on) {
        tw_policy_count(&s->policy, got->state, got->inserted);
    }
    s->n_tokens   = tw_max_size(s->n_tokens, place + 1);
    s->n_measured = n + 1;
    atomic_fetch_add_explicit(&r->engine->generated_tokens, 1, memory_order_relaxed);
    bool stop                       = tw_group_ends(r, q, got->token);
    const struct tw_told_token told = {
        .token = got->token, .logprob = got->logprob, .top = s->top + n * s->n_top, .n_top = s->n_top};
    if (r->work->token != NULL && !r->work->token(r->work->user, q->id, &told)) {
        stop = true;
    }
    if (!stop && n + 1 < q->max_tokens) {
        return TRAWL_OK;
    }
    *done = true;
    return report(r, s, stop ? TW_FINISH_STOP : TW_FINISH_LENGTH);
}

/* All known tokens of the answer have been measured: what comes next? */
static trawl_status go_on(struct tw_replica *r, struct tw_group *g, bool *done)
{
    struct tw_sequence *s = &g->branches[0];
    struct ending ending  = {false, false};
    struct trawl_error why;
    size_t known = s->n_tokens;
    s->n_wanted  = s->n_tokens;
    if (g->limits == NULL) {
        return TRAWL_OK;
    }
    if (extend(r, g, &ending, &why) != TRAWL_OK) {
        *done = true;
        return tw_group_report(r, &g->request, TW_FINISH_ERROR, NULL, 0, &why);
    }
    if (!ending.nothing || s->n_tokens > known) {
        return TRAWL_OK;
    }
    *done = true;
    return report(r, s, TW_FINISH_STOP);
}

static trawl_status advance(struct tw_replica *r, struct tw_group *g, bool *done)
{
    const struct tw_request *q = &g->request;
    struct tw_sequence *s      = &g->branches[0];
    for (size_t i = 0; i < s->n_logit_rows && q->max_tokens > 0; i++) {
        size_t place = s->n_computed - s->n_logit_rows + i + 1;
        if (place >= q->n_prompt) {
            TW_TRY(take(r, s, place, s->logit_row + i, done));
            if (*done || tw_request_cancelled(q)) {
                return TRAWL_OK;
            }
        }
    }
    if (s->n_computed < s->n_wanted) {
        return TRAWL_OK;
    }
    *done = q->max_tokens == 0;
    return *done ? report(r, s, TW_FINISH_LENGTH) : go_on(r, g, done);
}

const struct tw_group_kind tw_group_sample = {.width   = width,
                                              .pages   = pages,
                                              .begin   = begin,
                                              .draft   = draft,
                                              .settle  = settle,
                                              .row     = row,
                                              .advance = advance,
                                              .report  = report_so_far};
