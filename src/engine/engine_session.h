/* SPDX-License-Identifier: MIT */
/* A timeline that its owner drives token by token, without the scheduler: a sequence of replica 0 and the steps
 * that compute it. Nothing may run on the engine meanwhile (tw_engine_run); one call on any of an engine's
 * sessions at a time. The caller's floating-point mode is as it was after every call. */
#ifndef TW_ENGINE_SESSION_H
#define TW_ENGINE_SESSION_H

#include "engine/engine.h"

struct tw_session;

/* TRAWL_ERR_UNSUPPORTED: the engine has several processes. */
trawl_status tw_session_new(struct tw_session **out, struct tw_engine *engine, struct trawl_error *err);
void tw_session_free(struct tw_session *s); /* NULL allowed */

const int32_t *tw_session_tokens(const struct tw_session *s, size_t *n);

/* Append and compute n tokens. `logits` [n, vocab] and `logprobs` [n] as in trawl_session_append, each may be
 * NULL. After a failure the session holds what it held before. */
trawl_status tw_session_append(struct tw_session *s, const int32_t *tokens, size_t n, float *logits,
                               float *logprobs, struct trawl_error *err);

/* Logits after the last token, borrowed until the session changes. */
trawl_status tw_session_logits(struct tw_session *s, const float **logits, struct trawl_error *err);

/* Choose the next token; `in` says how: its params, n_prompt and `allowed` are looked at, with the model's end
 * tokens (`ends`) and those of in->end_tokens[1] for min_tokens. */
trawl_status tw_session_sample(struct tw_session *s, const struct tw_sample_input *in, bool ends,
                               struct tw_sampled *out, struct trawl_error *err);

/* Is it one of the model's end tokens? */
bool tw_session_is_end(const struct tw_session *s, int32_t token);
/* The n most probable tokens after the last one, top [n]. */
trawl_status tw_session_top(struct tw_session *s, struct tw_top_logprob *top, size_t n,
                            struct trawl_error *err);

trawl_status tw_session_fork(struct tw_session *s, struct tw_session **out, struct trawl_error *err);
/* n at most the tokens held. */
void tw_session_rewind(struct tw_session *s, size_t n);

#endif /* TW_ENGINE_SESSION_H */
