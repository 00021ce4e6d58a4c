/* SPDX-License-Identifier: MIT */
#include "cli/chat/chat_answer.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/size.h"
#include "cli/interrupt.h"

trawl_status cli_chat_answer_open(struct cli_chat_answer *a, trawl_engine *engine, size_t prefill_chunk,
                                  struct trawl_error *err)
{
    struct trawl_model_info info;
    trawl_engine_info(engine, &info);
    *a = (struct cli_chat_answer){.context = info.context, .prefill_chunk = prefill_chunk};
    tw_answer_text_init(&a->text, NULL, NULL, 0);
    return trawl_session_open(engine, &a->session, err);
}

void cli_chat_answer_release(struct cli_chat_answer *a)
{
    trawl_session_close(&a->session);
    tw_answer_text_release(&a->text);
    tw_free(a->tokens);
    tw_free(a->logprobs);
    tw_free(a->entropies);
    tw_free(a->varentropies);
    tw_free(a->top);
    *a = (struct cli_chat_answer){0};
}

/* ---- the prompt ---- */

/* Rewind to what session and prompt have in common, and compute the rest of it. */
static trawl_status read_prompt(struct cli_chat_answer *a, const int32_t *prompt, size_t n,
                                struct trawl_error *err)
{
    size_t held, common = 0;
    const int32_t *tokens = trawl_session_tokens(a->session, &held);
    while (common < held && common < n && tokens[common] == prompt[common]) {
        common++;
    }
    a->n_prompt = n;
    a->n_kept   = common;
    TW_TRY(trawl_session_rewind(a->session, common, err));
    for (size_t at = common; at < n && !cli_interrupted();) {
        size_t piece = tw_min_size(a->prefill_chunk, n - at);
        TW_TRY(trawl_session_append(a->session, prompt + at, piece, NULL, NULL, err));
        at += piece;
    }
    return TRAWL_OK;
}

/* ---- tokens ---- */

static trawl_status grow(struct cli_chat_answer *a, struct trawl_error *err)
{
    size_t n = a->n_tokens + 1, capacity = a->capacity;
    if (n > capacity) {
        size_t c[4] = {capacity, capacity, capacity, capacity};
        TW_TRY(tw_grow(&a->tokens, &c[0], n, sizeof *a->tokens, err));
        TW_TRY(tw_grow(&a->logprobs, &c[1], n, sizeof *a->logprobs, err));
        TW_TRY(tw_grow(&a->entropies, &c[2], n, sizeof *a->entropies, err));
        TW_TRY(tw_grow(&a->varentropies, &c[3], n, sizeof *a->varentropies, err));
        a->capacity = c[0]; /* all grew alike */
    }
    return tw_grow(&a->top, &a->top_capacity, n * a->n_top, sizeof *a->top, err);
}

static trawl_status sample(struct cli_chat_answer *a, const struct trawl_request *request,
                           struct trawl_error *err)
{
    struct trawl_sampled s;
    size_t i = a->n_tokens;
    TW_TRY(trawl_session_sample(a->session, request, &s, err));
    TW_TRY(grow(a, err));
    if (a->n_top > 0) {
        TW_TRY(trawl_session_top_logprobs(a->session, a->top + i * a->n_top, a->n_top, err));
    }
    a->tokens[i]       = s.token;
    a->logprobs[i]     = s.logprob;
    a->entropies[i]    = s.entropy;
    a->varentropies[i] = s.varentropy;
    a->cumulative_logprob += (double)s.logprob;
    a->n_tokens = i + 1;
    a->last_ns  = tw_clock_ns();
    a->first_ns = i == 0 ? a->last_ns : a->first_ns;
    return TRAWL_OK;
}

static trawl_status show(struct cli_chat_answer *a, const struct cli_chat_ask *ask, size_t before,
                         struct trawl_error *err)
{
    return a->text.shown == before ? TRAWL_OK
                                   : ask->on_piece(ask->user, tw_str_text(&a->text.text) + before,
                                                   a->text.shown - before, a->n_tokens - 1, err);
}

/* The token just sampled goes into the session; false: there is no room for it, or nothing is to follow it. */
static trawl_status go_on(struct cli_chat_answer *a, size_t most, bool *more, struct trawl_error *err)
{
    *more = false;
    if (a->n_tokens == most) {
        return TRAWL_OK;
    }
    trawl_status status = trawl_session_append(a->session, &a->tokens[a->n_tokens - 1], 1, NULL, NULL, err);
    if (status == TRAWL_ERR_LIMIT) {
        a->context_full = true; /* of the KV cache, which may hold less than the context */
        return TRAWL_OK;
    }
    *more = status == TRAWL_OK;
    return status;
}

/* At most `most` tokens. */
static trawl_status generate(struct cli_chat_answer *a, const struct cli_chat_ask *ask,
                             const struct trawl_request *request, size_t most, struct trawl_error *err)
{
    bool more        = true;
    a->finish_reason = TRAWL_FINISH_LENGTH;
    while (more) {
        if (cli_interrupted()) {
            a->finish_reason = TRAWL_FINISH_CANCELLED;
            return TRAWL_OK;
        }
        size_t shown = a->text.shown;
        TW_TRY(sample(a, request, err));
        TW_TRY(tw_answer_text_push(&a->text, a->tokens[a->n_tokens - 1], err));
        TW_TRY(show(a, ask, shown, err));
        if (a->text.stopped || trawl_session_ends(a->session, request, a->tokens[a->n_tokens - 1])) {
            a->finish_reason = TRAWL_FINISH_STOP;
            return TRAWL_OK;
        }
        TW_TRY(go_on(a, most, &more, err));
    }
    return TRAWL_OK;
}

/* ---- an answer ---- */

static void begin(struct cli_chat_answer *a, const struct cli_chat_ask *ask)
{
    tw_answer_text_release(&a->text);
    tw_answer_text_init(&a->text, ask->tokenizer, ask->stop, ask->n_stop);
    a->n_tokens = a->n_prompt = a->n_kept = 0;
    a->n_top                              = ask->settings->n_logprobs > 1 ? ask->settings->n_logprobs : 0;
    a->cumulative_logprob                 = 0;
    a->context_full                       = false;
    a->seed                               = ask->seed;
    a->started_ns = a->first_ns = a->last_ns = tw_clock_ns();
    a->finish_reason                         = TRAWL_FINISH_CANCELLED;
}

trawl_status cli_chat_answer(struct cli_chat_answer *a, const struct cli_chat_ask *ask,
                             struct trawl_error *err)
{
    struct trawl_request request = ask->settings->request;
    begin(a, ask);
    if (ask->n_prompt >= a->context) {
        return tw_fail(err, TRAWL_ERR_LIMIT,
                       "the conversation has %zu tokens and the context holds %zu, which leaves none for an "
                       "answer",
                       ask->n_prompt, a->context);
    }
    size_t room      = a->context - ask->n_prompt;
    size_t most      = request.max_tokens > 0 ? tw_min_size(request.max_tokens, room) : room;
    request.seed     = ask->seed;
    request.n_prompt = ask->n_prompt;
    TW_TRY(read_prompt(a, ask->prompt, ask->n_prompt, err));
    TW_TRY(generate(a, ask, &request, most, err));
    a->context_full |= a->finish_reason == TRAWL_FINISH_LENGTH && a->n_tokens == room;
    size_t shown = a->text.shown;
    TW_TRY(tw_answer_text_end(&a->text, err));
    return show(a, ask, shown, err);
}

void cli_chat_answer_result(const struct cli_chat_answer *a, struct trawl_result *result,
                            struct trawl_output *output)
{
    *output = (struct trawl_output){.finish_reason      = a->finish_reason,
                                    .tokens             = a->tokens,
                                    .logprobs           = a->logprobs,
                                    .entropies          = a->entropies,
                                    .varentropies       = a->varentropies,
                                    .n_tokens           = a->n_tokens,
                                    .cumulative_logprob = a->cumulative_logprob,
                                    .top_logprobs       = a->top,
                                    .n_top_logprobs     = a->n_top};
    *result = (struct trawl_result){.finish_reason      = a->finish_reason,
                                    .tokens             = a->tokens,
                                    .logprobs           = a->logprobs,
                                    .entropies          = a->entropies,
                                    .varentropies       = a->varentropies,
                                    .n_tokens           = a->n_tokens,
                                    .n_prompt           = a->n_prompt,
                                    .cumulative_logprob = a->cumulative_logprob,
                                    .outputs            = output,
                                    .n_outputs          = 1};
}
