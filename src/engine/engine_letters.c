/* SPDX-License-Identifier: MIT */
#include "engine/engine_letters.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/size.h"

/* Append n things of 4 bytes. */
static uint8_t *put(uint8_t *to, const void *from, size_t n)
{
    if (n > 0) {
        memcpy(to, from, 4 * n);
    }
    return to + 4 * n;
}

/* Words of 4 bytes. */
static size_t mask_words(const struct tw_request *q)
{
    return (tw_mask_rows_bytes(&q->mask, q->n_prompt) + tw_mask_lengths_bytes(&q->mask)) / 4;
}

static size_t score_tokens(const struct tw_request *q)
{
    return q->score.n == 0 ? 0 : q->score.ends[q->score.n - 1];
}

static size_t sampling_words(const struct tw_request *q)
{
    return 2 * q->sampling.n_bias + q->sampling.n_suppress_tokens;
}

trawl_status tw_letter_pack_request(const struct tw_request *q, struct tw_engine_letter **out, size_t *bytes,
                                    struct trawl_error *err)
{
    struct tw_engine_letter *letter = NULL;
    size_t n =
        sizeof *letter +
        4 * (mask_words(q) + q->n_prompt + q->n_stop + q->score.n + score_tokens(q) + sampling_words(q)) +
        q->constraint.n;
    TW_TRY(tw_alloc(n, 1, &letter, err));
    letter->kind           = TW_LETTER_REQUEST;
    letter->request        = *q;
    letter->request.prompt = letter->request.stop = letter->request.score.tokens = NULL;
    letter->request.score.ends                                                   = NULL;
    letter->request.constraint.text                                              = NULL;
    letter->request.sampling.bias_tokens = letter->request.sampling.suppress_tokens = NULL;
    letter->request.sampling.bias                                                   = NULL;
    letter->request.cancelled                                                       = NULL;
    letter->request.since_ns = tw_clock_ns() - q->since_ns; /* clocks of two hosts have no time in common */
    /* The mask's words of 64 bits come first: the payload begins at a multiple of 8. Whether it has lists is
     * told by its pointers, which mean nothing else there. */
    uint8_t *to = put((uint8_t *)letter->data, q->mask.rows, tw_mask_rows_bytes(&q->mask, q->n_prompt) / 4);
    to          = put(to, q->mask.lengths, tw_mask_lengths_bytes(&q->mask) / 4);
    to          = put(to, q->prompt, q->n_prompt);
    to          = put(to, q->stop, q->n_stop);
    to          = put(to, q->score.ends, q->score.n);
    to          = put(to, q->score.tokens, score_tokens(q));
    to          = put(to, q->sampling.bias_tokens, q->sampling.n_bias);
    to          = put(to, q->sampling.bias, q->sampling.n_bias);
    to          = put(to, q->sampling.suppress_tokens, q->sampling.n_suppress_tokens);
    if (q->constraint.n > 0) { /* bytes, so they come last */
        memcpy(to, q->constraint.text, q->constraint.n);
    }
    *out   = letter;
    *bytes = n;
    return TRAWL_OK;
}

void tw_letter_request(const struct tw_engine_letter *letter, struct tw_request *q)
{
    *q                  = letter->request;
    const uint8_t *mask = (const uint8_t *)letter->data;
    if (q->mask.rows != NULL) {
        q->mask.rows = (const uint64_t *)(const void *)mask;
    }
    if (q->mask.lengths != NULL) {
        q->mask.lengths = (const uint32_t *)(const void *)(mask + tw_mask_rows_bytes(&q->mask, q->n_prompt));
    }
    q->prompt                  = (const int32_t *)(const void *)letter->data + mask_words(q);
    q->stop                    = q->prompt + q->n_prompt;
    q->score.ends              = (const uint32_t *)(q->stop + q->n_stop);
    q->score.tokens            = (const int32_t *)(q->score.ends + q->score.n);
    struct tw_sample_params *p = &q->sampling;
    p->bias_tokens             = q->score.tokens + score_tokens(q);
    p->bias                    = (const float *)(const void *)(p->bias_tokens + p->n_bias);
    p->suppress_tokens         = p->bias_tokens + 2 * p->n_bias;
    q->constraint.text         = (const char *)(p->suppress_tokens + p->n_suppress_tokens);
}

/* Arrays of 4-byte things of an output, one for each of its tokens. */
static size_t parts_of(bool attn_entropy)
{
    return attn_entropy ? 6 : 4;
}

trawl_status tw_letter_pack_outputs(const struct tw_result *r, float **data, size_t *bytes,
                                    struct trawl_error *err)
{
    uint8_t *to = NULL;
    size_t n    = r->n_outputs * sizeof(struct tw_letter_output);
    *data       = NULL;
    for (size_t i = 0; i < r->n_outputs; i++) {
        n += r->outputs[i].n_tokens * (parts_of(r->outputs[i].attn_entropies != NULL) * sizeof(float) +
                                       r->outputs[i].n_top * sizeof *r->outputs[i].top);
    }
    TW_TRY(tw_alloc(n, 1, &to, err));
    *data  = (float *)(void *)to;
    *bytes = n;
    for (size_t i = 0; i < r->n_outputs; i++) {
        const struct tw_output *o    = &r->outputs[i];
        struct tw_letter_output head = {.score        = o->score,
                                        .n_tokens     = (uint32_t)o->n_tokens,
                                        .n_top        = (uint32_t)o->n_top,
                                        .finish       = (int32_t)o->finish,
                                        .attn_entropy = o->attn_entropies != NULL,
                                        .policy       = o->policy};
        memcpy(to, &head, sizeof head);
        to += sizeof head;
    }
    for (size_t i = 0; i < r->n_outputs; i++) {
        const struct tw_output *o  = &r->outputs[i];
        const void *const parts[6] = {o->tokens,       o->logprobs,       o->entropies,
                                      o->varentropies, o->attn_entropies, o->attn_varentropies};
        for (size_t k = 0; k < parts_of(o->attn_entropies != NULL) && o->n_tokens > 0; k++) {
            memcpy(to, parts[k], o->n_tokens * sizeof(float));
            to += o->n_tokens * sizeof(float);
        }
        to = put(to, o->top, o->n_tokens * o->n_top * (sizeof *o->top / 4));
    }
    return TRAWL_OK;
}

const float *tw_letter_outputs(const struct tw_engine_letter *l, struct tw_output *outputs)
{
    const uint8_t *heads = (const uint8_t *)l->data;
    const float *at      = (const float *)(const void *)(heads + l->n * sizeof(struct tw_letter_output));
    for (size_t i = 0; i < l->n; i++) {
        struct tw_letter_output head;
        memcpy(&head, heads + i * sizeof head, sizeof head);
        size_t n = head.n_tokens, parts = parts_of(head.attn_entropy != 0);
        outputs[i] = (struct tw_output){.tokens       = (const int32_t *)(const void *)at,
                                        .logprobs     = at + n,
                                        .entropies    = at + 2 * n,
                                        .varentropies = at + 3 * n,
                                        .n_tokens     = n,
                                        .top = (const struct tw_top_logprob *)(const void *)(at + parts * n),
                                        .n_top  = head.n_top,
                                        .policy = head.policy,
                                        .score  = head.score,
                                        .finish = (enum tw_finish)head.finish};
        if (head.attn_entropy != 0) {
            outputs[i].attn_entropies    = at + 4 * n;
            outputs[i].attn_varentropies = at + 5 * n;
        }
        at += n * (parts + head.n_top * (sizeof(struct tw_top_logprob) / sizeof *at));
    }
    return at;
}
