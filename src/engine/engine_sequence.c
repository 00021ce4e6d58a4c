/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/alloc.h"
#include "engine/engine_int.h"

/* Everything a request will ever need is taken at admission, so that nothing can run out half-way. */
trawl_status tw_sequence_begin(struct tw_sequence *s, const struct tw_request *request,
                               struct tw_kv_pages *pages, struct trawl_error *err)
{
    size_t n_new   = request->max_tokens;
    size_t n_pages = tw_kv_pages_for(request->n_prompt + n_new);
    *s             = (struct tw_sequence){.request = *request, .active = true};

    trawl_status status = tw_alloc(request->n_prompt + n_new, sizeof *s->tokens, &s->tokens, err);
    if (status == TRAWL_OK) {
        status = tw_alloc(3 * n_new, sizeof *s->logprobs, &s->logprobs, err);
    }
    if (status == TRAWL_OK) {
        status = tw_alloc(n_pages, sizeof *s->pages, &s->pages, err);
    }
    if (status == TRAWL_OK) {
        status = tw_kv_pages_take(pages, n_pages, s->pages, err);
    }
    if (status != TRAWL_OK) {
        tw_sequence_end(s, pages);
        return status;
    }
    s->n_pages      = n_pages;
    s->entropies    = s->logprobs + n_new;
    s->varentropies = s->entropies + n_new;
    s->n_tokens     = request->n_prompt;
    memcpy(s->tokens, request->prompt, request->n_prompt * sizeof *s->tokens);
    return TRAWL_OK;
}

void tw_sequence_end(struct tw_sequence *s, struct tw_kv_pages *pages)
{
    tw_kv_pages_drop(pages, s->pages, s->n_pages);
    tw_free(s->tokens);
    tw_free(s->logprobs);
    tw_free(s->pages);
    *s = (struct tw_sequence){0};
}

static size_t min2(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Put n rows of a sequence into the step. */
static void add_rows(struct tw_replica *r, struct tw_sequence *s, size_t n, size_t n_logits)
{
    struct tw_step *step = &r->step;
    s->row               = step->n_rows;
    s->n_rows            = n;
    s->n_logit_rows      = n_logits;
    s->logit_row         = step->n_logit_rows;
    r->segments[step->n_segments] =
        (struct tw_segment){.row = s->row, .n_rows = n, .position = s->n_computed, .pages = s->pages};
    for (size_t i = 0; i < n; i++) {
        r->tokens[s->row + i]      = s->tokens[s->n_computed + i];
        r->row_segment[s->row + i] = (uint32_t)step->n_segments;
    }
    for (size_t i = 0; i < n_logits; i++) {
        r->logit_rows[step->n_logit_rows]  = (uint32_t)(s->row + n - n_logits + i);
        r->logit_owner[step->n_logit_rows] = s;
        step->n_logit_rows++;
    }
    step->n_rows += n;
    step->n_segments++;
}

static bool decoding(const struct tw_sequence *s)
{
    return s->n_computed >= s->request.n_prompt;
}

void tw_replica_build_step(struct tw_replica *r)
{
    size_t budget = r->engine->config.prefill_chunk;
    r->step       = (struct tw_step){
              .tokens      = r->tokens,
              .row_segment = r->row_segment,
              .segments    = r->segments,
              .logit_rows  = r->logit_rows,
              .logits      = r->logits,
    };
    for (size_t i = 0; i < r->n_active; i++) {
        struct tw_sequence *s = &r->sequences[r->order[i]];
        s->n_rows             = 0;
        if (decoding(s)) {
            add_rows(r, s, 1, 1);
        }
    }
    for (size_t i = 0; i < r->n_active && budget > 0; i++) {
        struct tw_sequence *s = &r->sequences[r->order[i]];
        if (decoding(s)) {
            continue;
        }
        size_t left = s->request.n_prompt - s->n_computed;
        size_t n    = min2(left, budget);
        size_t room = r->max_logit_rows - r->step.n_logit_rows;
        if (s->request.logits) {
            n = min2(n, room);
        } else if (n == left && s->request.max_tokens > 0 && room == 0) {
            n--; /* the last prompt token waits for a row of logits */
        }
        if (n == 0) {
            continue;
        }
        bool last = n == left && s->request.max_tokens > 0;
        add_rows(r, s, n, s->request.logits ? n : last ? 1 : 0);
        budget -= n;
    }
}
