/* SPDX-License-Identifier: MIT */
/* A session: one timeline of tokens on an engine. Append tokens, look at logits, sample, fork, rewind:
 *
 *     trawl_session_open(engine, &session, &err);
 *     trawl_session_append(session, prompt, n_prompt, NULL, NULL, &err);
 *     while (...) {
 *         trawl_session_sample(session, &request, &sampled, &err);
 *         trawl_session_append(session, &sampled.token, 1, NULL, NULL, &err);
 *     }
 *     trawl_session_close(&session);
 *
 * Everything a session gives is a function of the engine's model and settings and of the tokens that the
 * session holds: however they were cut into appends, forked and rewound, the bits are those of a new session,
 * and of a job with these tokens as its prompt. A job is faster for many prompts: sessions compute one at a
 * time.
 *
 * What was computed before, by any session or job of the engine, is found in its prefix cache where an append wants no
 * logits of it (docs/scheduling.md).
 *
 * An engine has either a job open or sessions, any number of them; the other is refused. Sessions compute on
 * replica 0 of the mesh and share its KV cache. An engine of several processes (trawl/world.h) has none.
 *
 * A call that fails leaves the session as it was.
 * threads: any; calls on the sessions of an engine take turns. What a session lent is valid until the next
 * call that changes this session. */
#ifndef TRAWL_SESSION_H
#define TRAWL_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trawl/engine.h"
#include "trawl/job.h"
#include "trawl/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct trawl_session trawl_session;

/* An empty timeline.
 * errors: INVALID: the engine has an open job; UNSUPPORTED: it has several processes. */
TRAWL_API TRAWL_MUST_CHECK trawl_status trawl_session_open(trawl_engine *engine, trawl_session **out,
                                                           struct trawl_error *err);
/* Sets *session to NULL; NULL inside is allowed. Sessions are closed before their engine. */
TRAWL_API void trawl_session_close(trawl_session **session);

/* The tokens held, *n of them (n may be NULL); borrowed. */
TRAWL_API const int32_t *trawl_session_tokens(const trawl_session *session, size_t *n);

/* Append tokens[0..n) and compute them. Where they are not NULL:
 *   logits [n, vocab_size]: row i are the logits after tokens[i];
 *   logprobs [n]: log-probability of tokens[i] after everything before it; 0 for the first token of the
 *                 timeline, which has nothing before it.
 * errors: INVALID: a token id out of range; LIMIT: the context, or the KV cache, is full: the message has the
 *         numbers. */
TRAWL_API TRAWL_MUST_CHECK trawl_status trawl_session_append(trawl_session *session, const int32_t *tokens,
                                                             size_t n, float *logits, float *logprobs,
                                                             struct trawl_error *err);

/* Logits [vocab_size] after the last token; borrowed. After a rewind its token is computed again.
 * errors: INVALID: the session is empty; LIMIT: computing it again takes a page that the KV cache has not. */
TRAWL_API TRAWL_MUST_CHECK trawl_status trawl_session_logits(trawl_session *session, const float **logits,
                                                             struct trawl_error *err);

struct trawl_sampled {
    int32_t token;
    float logprob;             /* under softmax(logits), before any processor */
    float entropy, varentropy; /* of softmax(logits): nats, nats^2 */
};

/* Choose the next token as a job would, by the sampling fields of `request`; NULL: greedy. Its seed is used as
 * it is, its n_prompt says how many of the session's tokens count as the prompt; prompt and lengths are not
 * looked at. The token is not appended; asked again, the answer is the same.
 * errors: INVALID: the session is empty, a field is out of range or set that is for jobs only (beams, masks),
 *         or nothing is left to choose from. */
TRAWL_API TRAWL_MUST_CHECK trawl_status trawl_session_sample(trawl_session *session,
                                                             const struct trawl_request *request,
                                                             struct trawl_sampled *sampled,
                                                             struct trawl_error *err);

/* Does `token` end an answer to `request`: is it one of its stop_token_ids, or, unless it says ignore_eos, an end token
 * of the model? NULL: is it an end token of the model? */
TRAWL_API bool trawl_session_ends(const trawl_session *session, const struct trawl_request *request,
                                  int32_t token);

/* The n most probable tokens [n] to come next, under softmax(logits), the most probable first, of equals the lowest id
 * first: what a job reports for top_logprobs = n.
 * errors: INVALID: the session is empty, n is not 1 to 1024. */
TRAWL_API TRAWL_MUST_CHECK trawl_status trawl_session_top_logprobs(trawl_session *session,
                                                                   struct trawl_top_logprob *top, size_t n,
                                                                   struct trawl_error *err);

/* A second timeline with the same tokens. Pages of the KV cache are shared until one of the two writes. */
TRAWL_API TRAWL_MUST_CHECK trawl_status trawl_session_fork(trawl_session *session, trawl_session **out,
                                                           struct trawl_error *err);

/* Forget all but the first n tokens.
 * errors: INVALID: the session holds fewer. */
TRAWL_API TRAWL_MUST_CHECK trawl_status trawl_session_rewind(trawl_session *session, size_t n,
                                                             struct trawl_error *err);

#ifdef __cplusplus
}
#endif

#endif /* TRAWL_SESSION_H */
