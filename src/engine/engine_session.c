/* SPDX-License-Identifier: MIT */
#include "engine/engine_session.h"

#include <fenv.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "engine/engine_int.h"

struct tw_session {
    struct tw_engine *engine;
    struct tw_group group; /* what the step's code asks of a sequence's request */
    struct tw_sequence sequence;
    float *logits;     /* [vocab] after token logits_at - 1 */
    size_t logits_at;  /* 0: of none */
    bool all_logits;   /* of the append under way: of every token, not of the last only */
    bool want_logprob; /* and the log-probability of the token after each */
};

static struct tw_replica *replica_of(const struct tw_session *s)
{
    return &s->engine->replicas[0];
}

static size_t vocab_of(const struct tw_session *s)
{
    return s->engine->model->config.vocab;
}

/* On the team's threads: rows of a chunk that are followed by another of its tokens. */
static void row(struct tw_replica *r, const struct tw_group_row *row)
{
    const struct tw_sequence *q = row->branch;
    const struct tw_session *s  = q->group->state;
    if (s->want_logprob && row->position + 1 < q->n_tokens) {
        r->next_logprob[row->index] =
            tw_sample_logprob(&r->engine->kernels, row->logits, vocab_of(s), q->tokens[row->position + 1]);
    }
}

/* The scheduler never sees a session: a kind's other functions are not called. */
static const struct tw_group_kind session_kind = {.row = row};

trawl_status tw_session_new(struct tw_session **out, struct tw_engine *engine, struct trawl_error *err)
{
    struct tw_session *s = NULL;
    *out                 = NULL;
    if (engine->config.world != NULL) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                       "sessions need the whole mesh in one process; this engine is run by several");
    }
    TW_TRY(tw_alloc(1, sizeof *s, &s, err));
    s->engine           = engine;
    s->group            = (struct tw_group){.kind = &session_kind, .state = s};
    trawl_status status = tw_alloc(engine->model->config.vocab, sizeof *s->logits, &s->logits, err);
    if (status == TRAWL_OK) {
        status = tw_sequence_init(&s->sequence, &s->group, engine->config.max_model_len, 0, err);
    }
    if (status != TRAWL_OK) {
        tw_free(s->logits);
        tw_free(s);
        return status;
    }
    *out = s;
    return TRAWL_OK;
}

void tw_session_free(struct tw_session *s)
{
    if (s != NULL) {
        tw_sequence_release(&s->sequence, &replica_of(s)->pages);
        tw_free(s->logits);
        tw_free(s);
    }
}

const int32_t *tw_session_tokens(const struct tw_session *s, size_t *n)
{
    *n = s->sequence.n_tokens;
    return s->sequence.tokens;
}

/* ---- computing ---- */

/* r->step: the next rows of the sequence, all there are or as many as a step takes. */
static void build_step(struct tw_session *s)
{
    struct tw_replica *r  = replica_of(s);
    struct tw_sequence *q = &s->sequence;
    size_t left           = q->n_tokens - q->n_computed;
    size_t n              = tw_min_size(left, r->engine->config.prefill_chunk);
    if (s->all_logits) {
        n = tw_min_size(n, r->max_logit_rows);
    }
    q->row          = 0;
    q->n_rows       = n;
    q->n_logit_rows = s->all_logits ? n : n == left ? 1 : 0;
    q->logit_row    = 0;
    r->segments[0]  = (struct tw_segment){.n_rows = n, .position = q->n_computed, .pages = q->pages};
    memcpy(r->tokens, q->tokens + q->n_computed, n * sizeof *r->tokens);
    memset(r->row_segment, 0, n * sizeof *r->row_segment);
    for (size_t i = 0; i < q->n_logit_rows; i++) {
        r->logit_rows[i]  = (uint32_t)(n - q->n_logit_rows + i);
        r->logit_owner[i] = q;
    }
    r->step = (struct tw_step){.n_copies     = r->copies.n,
                               .copies       = r->copies.list,
                               .n_rows       = n,
                               .tokens       = r->tokens,
                               .row_segment  = r->row_segment,
                               .n_segments   = 1,
                               .segments     = r->segments,
                               .n_logit_rows = q->n_logit_rows,
                               .logit_rows   = r->logit_rows,
                               .logits       = r->logits};
}

/* Compute what is known but not computed. Rows of `logits` and of `logprobs` are those of the tokens from
 * position `first` on. */
static trawl_status compute(struct tw_session *s, size_t first, float *logits, float *logprobs,
                            struct trawl_error *err)
{
    struct tw_replica *r  = replica_of(s);
    struct tw_sequence *q = &s->sequence;
    size_t vocab          = vocab_of(s);
    while (q->n_computed < q->n_tokens) {
        build_step(s);
        r->copies.n         = 0;
        trawl_status status = tw_replica_prepare(r);
        if (status == TRAWL_OK) {
            status = tw_replica_compute(r);
        }
        if (status != TRAWL_OK) {
            if (err != NULL) {
                *err = r->error;
            }
            return status;
        }
        size_t at = q->n_computed - first;
        for (size_t i = 0; logprobs != NULL && i < q->n_rows && q->n_computed + i + 1 < q->n_tokens; i++) {
            logprobs[at + i + 1] = r->next_logprob[i];
        }
        if (logits != NULL) {
            memcpy(logits + at * vocab, r->logits, q->n_rows * vocab * sizeof *logits);
        }
        q->n_computed += q->n_rows;
    }
    memcpy(s->logits, r->logits + (q->n_logit_rows - 1) * vocab, vocab * sizeof *s->logits);
    s->logits_at = q->n_computed;
    return TRAWL_OK;
}

/* Do pages go to the prefix cache and come from it? Sessions see causally, all layers, like most requests: they share
 * pages with each other and, when they are closed, with jobs. */
static bool shares(const struct tw_session *s)
{
    return s->engine->config.prefix_cache;
}

/* Go on behind pages that the cache knows. What is left is at least the last token: its logits are wanted. */
static void reuse(struct tw_session *s)
{
    struct tw_sequence *q = &s->sequence;
    size_t first = q->n_computed / TW_KV_BLOCK, most = (q->n_tokens - 1) / TW_KV_BLOCK;
    if (shares(s) && !s->all_logits && q->n_computed % TW_KV_BLOCK == 0 && q->n_pages == first &&
        first < most) {
        q->n_pages    = tw_kv_prefix_find(&replica_of(s)->prefix, 0, q->tokens, q->pages, first, most);
        q->n_known    = q->n_pages > first ? q->n_pages : q->n_known;
        q->n_computed = q->n_pages * TW_KV_BLOCK;
    }
}

static void remember(struct tw_session *s)
{
    struct tw_sequence *q = &s->sequence;
    size_t n              = q->n_computed / TW_KV_BLOCK;
    if (shares(s) && n > q->n_known) {
        q->n_known = tw_kv_prefix_insert(&replica_of(s)->prefix, 0, q->tokens, q->pages, q->n_known, n);
    }
}

/* Pages to write n positions from n_computed on, their own: a page that another session holds too is copied by
 * the next step. */
static trawl_status reserve(struct tw_session *s, size_t n, struct trawl_error *err)
{
    struct tw_replica *r  = replica_of(s);
    struct tw_sequence *q = &s->sequence;
    r->copies.n           = 0;
    q->n_known = tw_min_size(q->n_known, q->n_computed / TW_KV_BLOCK); /* what is written to is not */
    return tw_sequence_reserve(q, n, &r->prefix, &r->copies, err);
}

/* After a rewind the logits of the last token are computed again. That stores its keys and values again, and
 * clears what is behind them (kernels.h, tw_kv_store_fn): not in a page that is shared. */
static trawl_status refresh_logits(struct tw_session *s, struct trawl_error *err)
{
    struct tw_sequence *q = &s->sequence;
    if (q->n_tokens == 0) {
        return tw_fail(err, TRAWL_ERR_INVALID, "the session is empty: there are logits after a token only");
    }
    if (s->logits_at == q->n_tokens) {
        return TRAWL_OK;
    }
    q->n_computed       = q->n_tokens - 1;
    s->all_logits       = false;
    s->want_logprob     = false;
    trawl_status status = reserve(s, 1, err);
    if (status == TRAWL_OK) {
        status = compute(s, q->n_computed, NULL, NULL, err);
    }
    if (status != TRAWL_OK) {
        q->n_computed = q->n_tokens; /* its keys and values are there */
        return status;
    }
    remember(s);
    return TRAWL_OK;
}

static trawl_status check_tokens(const struct tw_session *s, const int32_t *tokens, size_t n,
                                 struct trawl_error *err)
{
    size_t held = s->sequence.n_tokens, vocab = vocab_of(s);
    if (n > s->sequence.capacity - held) {
        return tw_fail(err, TRAWL_ERR_LIMIT,
                       "the session holds %zu tokens, %zu more do not fit into the context of %zu", held, n,
                       s->sequence.capacity);
    }
    for (size_t i = 0; i < n; i++) {
        if (tokens[i] < 0 || (size_t)tokens[i] >= vocab) {
            return tw_fail(err, TRAWL_ERR_INVALID, "token %zu to append is %d, the vocabulary has %zu ids", i,
                           (int)tokens[i], vocab);
        }
    }
    return TRAWL_OK;
}

static trawl_status append(struct tw_session *s, const int32_t *tokens, size_t n, float *logits,
                           float *logprobs, struct trawl_error *err)
{
    struct tw_sequence *q = &s->sequence;
    size_t held           = q->n_tokens;
    float first           = 0;
    if (logprobs != NULL && held > 0) {
        TW_TRY(refresh_logits(s, err));
        first = tw_sample_logprob(&s->engine->kernels, s->logits, vocab_of(s), tokens[0]);
    }
    memcpy(q->tokens + held, tokens, n * sizeof *tokens);
    q->n_tokens     = held + n;
    s->want_logprob = logprobs != NULL && n > 1;
    s->all_logits   = logits != NULL || s->want_logprob;
    reuse(s);
    trawl_status status = reserve(s, q->n_tokens - q->n_computed, err);
    if (status == TRAWL_OK) {
        status = compute(s, held, logits, logprobs, err);
    }
    if (status != TRAWL_OK) {
        tw_session_rewind(s, held);
        return status;
    }
    remember(s);
    if (logprobs != NULL) {
        logprobs[0] = first;
    }
    return TRAWL_OK;
}

trawl_status tw_session_append(struct tw_session *s, const int32_t *tokens, size_t n, float *logits,
                               float *logprobs, struct trawl_error *err)
{
    fenv_t mode;
    TW_TRY(check_tokens(s, tokens, n, err));
    if (n == 0) {
        return TRAWL_OK;
    }
    (void)fegetenv(&mode);
    tw_float_mode_compute();
    trawl_status status = append(s, tokens, n, logits, logprobs, err);
    (void)fesetenv(&mode);
    return status;
}

trawl_status tw_session_logits(struct tw_session *s, const float **logits, struct trawl_error *err)
{
    fenv_t mode;
    *logits = NULL;
    (void)fegetenv(&mode);
    tw_float_mode_compute();
    trawl_status status = refresh_logits(s, err);
    (void)fesetenv(&mode);
    if (status == TRAWL_OK) {
        *logits = s->logits;
    }
    return status;
}

/* ---- sampling ---- */

static trawl_status sample(struct tw_session *s, const struct tw_sample_input *how, bool ends,
                           struct tw_sampled *out, struct trawl_error *err)
{
    struct tw_replica *r            = replica_of(s);
    const struct tw_model_config *m = &s->engine->model->config;
    struct tw_sample_input in       = *how;
    TW_TRY(tw_sample_params_check(in.params, err));
    TW_TRY(tw_sample_params_check_ids(in.params, m->vocab, err));
    TW_TRY(refresh_logits(s, err));
    in.logits        = s->logits;
    in.history       = s->sequence.tokens;
    in.n_history     = s->sequence.n_tokens;
    in.n_prompt      = tw_min_size(in.n_prompt, in.n_history);
    in.position      = in.n_history;
    in.end_tokens[0] = (struct tw_sample_ids){m->eos, ends ? m->n_eos : 0};
    *out             = tw_sample_choose(&r->samplers[0], &in);
    return out->token == TW_SAMPLE_NONE ? tw_sample_explain(&r->samplers[0], &in, err) : TRAWL_OK;
}

trawl_status tw_session_sample(struct tw_session *s, const struct tw_sample_input *in, bool ends,
                               struct tw_sampled *out, struct trawl_error *err)
{
    fenv_t mode;
    (void)fegetenv(&mode);
    tw_float_mode_compute();
    trawl_status status = sample(s, in, ends, out, err);
    (void)fesetenv(&mode);
    return status;
}

bool tw_session_is_end(const struct tw_session *s, int32_t token)
{
    const struct tw_model_config *m = &s->engine->model->config;
    for (size_t i = 0; i < m->n_eos; i++) {
        if (m->eos[i] == token) {
            return true;
        }
    }
    return false;
}

/* They come with a choice, of which nothing else is wanted: the greedy one is the cheapest. */
trawl_status tw_session_top(struct tw_session *s, struct tw_top_logprob *top, size_t n,
                            struct trawl_error *err)
{
    struct tw_sample_params params;
    struct tw_sampled choice;
    tw_sample_params_init(&params);
    params.top_logprobs       = n;
    struct tw_sample_input in = {.params = &params, .top = top};
    return tw_session_sample(s, &in, true, &choice, err);
}

/* ---- timelines ---- */

trawl_status tw_session_fork(struct tw_session *s, struct tw_session **out, struct trawl_error *err)
{
    TW_TRY(tw_session_new(out, s->engine, err));
    tw_sequence_fork(&(*out)->sequence, &s->sequence, &replica_of(s)->pages);
    memcpy((*out)->logits, s->logits, vocab_of(s) * sizeof *s->logits);
    (*out)->logits_at = s->logits_at;
    return TRAWL_OK;
}

void tw_session_rewind(struct tw_session *s, size_t n)
{
    tw_sequence_truncate(&s->sequence, n, &replica_of(s)->pages);
    if (s->logits_at > n) {
        s->logits_at = 0;
    }
}
