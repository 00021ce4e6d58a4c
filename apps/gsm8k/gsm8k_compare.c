/* SPDX-License-Identifier: MIT */
#include "apps/gsm8k/gsm8k_compare.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"

trawl_status tw_gsm8k_trail_add(struct tw_gsm8k_trail *t, const struct trawl_result *r,
                                struct trawl_error *err)
{
    size_t end = t->n_tokens + r->n_tokens;
    TW_TRY(tw_grow(&t->ends, &t->ends_capacity, t->n + 1, sizeof *t->ends, err));
    TW_TRY(tw_grow(&t->tokens, &t->tokens_capacity, end, sizeof *t->tokens, err));
    TW_TRY(tw_grow(&t->logprobs, &t->logprobs_capacity, end, sizeof *t->logprobs, err));
    if (r->n_tokens > 0) {
        memcpy(t->tokens + t->n_tokens, r->tokens, r->n_tokens * sizeof *t->tokens);
        memcpy(t->logprobs + t->n_tokens, r->logprobs, r->n_tokens * sizeof *t->logprobs);
    }
    t->n_tokens     = end;
    t->ends[t->n++] = end;
    return TRAWL_OK;
}

void tw_gsm8k_trail_release(struct tw_gsm8k_trail *t)
{
    tw_free(t->ends);
    tw_free(t->tokens);
    tw_free(t->logprobs);
    *t = (struct tw_gsm8k_trail){0};
}

/* What both runs have at a position of an answer. */
static void describe(const struct tw_gsm8k_trail *const trails[2], size_t answer, size_t position,
                     struct tw_gsm8k_difference *d)
{
    *d = (struct tw_gsm8k_difference){.answer = answer, .position = position};
    for (int k = 0; k < 2; k++) {
        const struct tw_gsm8k_trail *t = trails[k];
        size_t begin                   = answer > 0 && answer <= t->n ? t->ends[answer - 1] : 0;
        d->has[k]                      = answer < t->n && position < t->ends[answer] - begin;
        d->token[k]                    = d->has[k] ? t->tokens[begin + position] : -1;
        d->logprob[k]                  = d->has[k] ? t->logprobs[begin + position] : 0;
    }
}

bool tw_gsm8k_equal(const struct tw_gsm8k_trail *a, const struct tw_gsm8k_trail *b,
                    struct tw_gsm8k_difference *difference)
{
    const struct tw_gsm8k_trail *const trails[2] = {a, b};
    size_t both                                  = tw_min_size(a->n, b->n);
    for (size_t i = 0, begin = 0; i < both; i++) {
        /* all answers before are equal, so both begin at the same place */
        size_t n = tw_min_size(a->ends[i], b->ends[i]) - begin;
        for (size_t k = 0; k < n; k++) {
            if (a->tokens[begin + k] != b->tokens[begin + k] ||
                memcmp(&a->logprobs[begin + k], &b->logprobs[begin + k], sizeof(float)) != 0) {
                describe(trails, i, k, difference);
                return false;
            }
        }
        if (a->ends[i] != b->ends[i]) {
            describe(trails, i, n, difference);
            return false;
        }
        begin = a->ends[i];
    }
    if (a->n != b->n) {
        describe(trails, both, 0, difference);
    }
    return a->n == b->n;
}

static trawl_status write_token(const struct tw_gsm8k_difference *d, int run,
                                const struct tw_tokenizer *tokenizer, struct tw_str *out,
                                struct trawl_error *err)
{
    char logprob[TW_DOUBLE_BYTES];
    size_t n = 0;
    if (!d->has[run]) {
        return tw_str_puts(out, "none", err);
    }
    const char *piece = tw_tokenizer_piece(tokenizer, d->token[run], &n);
    if (isfinite(d->logprob[run])) {
        tw_float_text(d->logprob[run], logprob);
    } else {
        (void)snprintf(logprob, sizeof logprob, "%g", (double)d->logprob[run]);
    }
    return tw_str_printf(out, err, "%" PRId32 " (\"%.*s\", log-probability %s)", d->token[run], (int)n,
                         piece != NULL ? piece : "", logprob);
}

trawl_status tw_gsm8k_difference_write(const struct tw_gsm8k_difference *d,
                                       const struct tw_tokenizer *tokenizer, const char *first,
                                       const char *second, struct tw_str *out, struct trawl_error *err)
{
    TW_TRY(tw_str_printf(out, err, "token %zu of the answer is ", d->position));
    TW_TRY(write_token(d, 0, tokenizer, out, err));
    TW_TRY(tw_str_printf(out, err, " %s, ", first));
    TW_TRY(write_token(d, 1, tokenizer, out, err));
    return tw_str_printf(out, err, " %s", second);
}
