/* SPDX-License-Identifier: MIT */
/* Sessions behind their public handle: argument checks, and one call at a time on an engine. */
#include "trawl/session.h"

#include "api/api_engine.h"
#include "api/api_sampling.h"
#include "base/alloc.h"
#include "engine/engine_session.h"

struct trawl_session {
    trawl_engine *engine;
    struct tw_session *session;
};

static void lock(const trawl_session *s)
{
    (void)pthread_mutex_lock(&s->engine->lock);
}

static void unlock(const trawl_session *s)
{
    (void)pthread_mutex_unlock(&s->engine->lock);
}

/* An empty session, or with `from` a fork of it; the engine is locked. */
static trawl_status make(trawl_engine *engine, trawl_session *from, trawl_session **out,
                         struct trawl_error *err)
{
    trawl_session *s = NULL;
    if (engine->has_job) {
        return tw_fail(err, TRAWL_ERR_INVALID, "the engine has an open job, which has it to itself");
    }
    TW_TRY(tw_alloc(1, sizeof *s, &s, err));
    s->engine           = engine;
    trawl_status status = from == NULL ? tw_session_new(&s->session, engine->engine, err)
                                       : tw_session_fork(from->session, &s->session, err);
    if (status != TRAWL_OK) {
        tw_free(s);
        return status;
    }
    engine->n_sessions++;
    *out = s;
    return TRAWL_OK;
}

trawl_status trawl_session_open(trawl_engine *engine, trawl_session **out, struct trawl_error *err)
{
    *out = NULL;
    (void)pthread_mutex_lock(&engine->lock);
    trawl_status status = make(engine, NULL, out, err);
    (void)pthread_mutex_unlock(&engine->lock);
    return status;
}

trawl_status trawl_session_fork(trawl_session *session, trawl_session **out, struct trawl_error *err)
{
    *out = NULL;
    lock(session);
    trawl_status status = make(session->engine, session, out, err);
    unlock(session);
    return status;
}

void trawl_session_close(trawl_session **session)
{
    trawl_session *s = *session;
    if (s == NULL) {
        return;
    }
    lock(s);
    tw_session_free(s->session);
    s->engine->n_sessions--;
    unlock(s);
    tw_free(s);
    *session = NULL;
}

const int32_t *trawl_session_tokens(const trawl_session *session, size_t *n)
{
    size_t held;
    return tw_session_tokens(session->session, n == NULL ? &held : n);
}

trawl_status trawl_session_append(trawl_session *session, const int32_t *tokens, size_t n, float *logits,
                                  float *logprobs, struct trawl_error *err)
{
    lock(session);
    trawl_status status = tw_session_append(session->session, tokens, n, logits, logprobs, err);
    unlock(session);
    return status;
}

trawl_status trawl_session_logits(trawl_session *session, const float **logits, struct trawl_error *err)
{
    lock(session);
    trawl_status status = tw_session_logits(session->session, logits, err);
    unlock(session);
    return status;
}

/* What a job does with a prompt or keeps from token to token, a session would pass over in silence. */
static trawl_status check_request(const struct trawl_request *r, struct trawl_error *err)
{
    if (r->size != sizeof *r) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "struct trawl_request has size %u, expected %zu: call _init first", (unsigned)r->size,
                       sizeof *r);
    }
    const char *what = r->num_beams > 0                              ? "num_beams"
                       : r->n_completions > 0                        ? "n_completions"
                       : r->nbest_min_prob != 0                      ? "nbest_min_prob"
                       : r->best_of > 1                              ? "best_of"
                       : r->attention_mask.kind != TRAWL_MASK_CAUSAL ? "attention_mask"
                       : r->attention_window > 0                     ? "attention_window"
                       : r->attention_sinks > 0                      ? "attention_sinks"
                       : r->attention_heavy_hitters > 0              ? "attention_heavy_hitters"
                       : r->attn_entropy                             ? "attn_entropy"
                       : r->constraint_kind != TRAWL_CONSTRAINT_NONE ? "constraint_kind"
                       : r->entropy_policy != NULL                   ? "entropy_policy"
                       : r->top_logprobs > 0                         ? "top_logprobs"
                       : r->timeout != 0                             ? "timeout"
                                                                     : NULL;
    if (what != NULL) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s is set: it is for jobs, a session samples one token",
                       what);
    }
    return tw_api_request_check(r, err);
}

trawl_status trawl_session_sample(trawl_session *session, const struct trawl_request *request,
                                  struct trawl_sampled *sampled, struct trawl_error *err)
{
    struct trawl_request greedy;
    struct tw_sampled got;
    trawl_request_init(&greedy);
    const struct trawl_request *r = request == NULL ? &greedy : request;
    TW_TRY(check_request(r, err));
    struct tw_sample_params params = tw_api_sampling(r, r->seed);
    struct tw_sample_input in      = {.params        = &params,
                                      .n_prompt      = r->n_prompt,
                                      .end_tokens[1] = {r->stop_token_ids, r->n_stop_token_ids}};
    lock(session);
    trawl_status status = tw_session_sample(session->session, &in, !r->ignore_eos, &got, err);
    unlock(session);
    if (status == TRAWL_OK) {
        *sampled = (struct trawl_sampled){
            .token = got.token, .logprob = got.logprob, .entropy = got.entropy, .varentropy = got.varentropy};
    }
    return status;
}

bool trawl_session_ends(const trawl_session *session, const struct trawl_request *request, int32_t token)
{
    for (size_t i = 0; request != NULL && i < request->n_stop_token_ids; i++) {
        if (request->stop_token_ids[i] == token) {
            return true;
        }
    }
    return (request == NULL || !request->ignore_eos) && tw_session_is_end(session->session, token);
}

/* The engine's pairs are the public ones. */
_Static_assert(sizeof(struct trawl_top_logprob) == sizeof(struct tw_top_logprob) &&
                   offsetof(struct trawl_top_logprob, token) == offsetof(struct tw_top_logprob, token) &&
                   offsetof(struct trawl_top_logprob, logprob) == offsetof(struct tw_top_logprob, logprob),
               "pairs differ");

trawl_status trawl_session_top_logprobs(trawl_session *session, struct trawl_top_logprob *top, size_t n,
                                        struct trawl_error *err)
{
    if (n == 0) {
        return tw_fail(err, TRAWL_ERR_INVALID, "n is 0, expected 1 to %d tokens", TW_SAMPLE_MAX_TOP_LOGPROBS);
    }
    lock(session);
    trawl_status status = tw_session_top(session->session, (struct tw_top_logprob *)(void *)top, n, err);
    unlock(session);
    return status;
}

trawl_status trawl_session_rewind(trawl_session *session, size_t n, struct trawl_error *err)
{
    size_t held         = 0;
    trawl_status status = TRAWL_OK;
    lock(session);
    (void)tw_session_tokens(session->session, &held);
    if (n > held) {
        status = tw_fail(err, TRAWL_ERR_INVALID, "the session holds %zu tokens, %zu are to be kept", held, n);
    } else {
        tw_session_rewind(session->session, n);
    }
    unlock(session);
    return status;
}
