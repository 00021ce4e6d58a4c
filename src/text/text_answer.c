/* SPDX-License-Identifier: MIT */
#include "text/text_answer.h"

#include <string.h>

#include "base/size.h"

void tw_answer_text_init(struct tw_answer_text *a, const struct tw_tokenizer *tokenizer,
                         const char *const *stop, size_t n_stop)
{
    *a = (struct tw_answer_text){.stop = stop, .n_stop = n_stop};
    tw_detokenizer_init(&a->detokenizer, tokenizer, true);
    tw_str_init(&a->text, 0);
}

void tw_answer_text_release(struct tw_answer_text *a)
{
    tw_str_release(&a->text);
}

size_t tw_find_stop(const char *const *stop, size_t n_stop, const char *text, size_t n)
{
    size_t first = n;
    for (size_t i = 0; i < n_stop; i++) {
        const char *at = memmem(text, n, stop[i], strlen(stop[i]));
        if (at != NULL && (size_t)(at - text) < first) {
            first = (size_t)(at - text);
        }
    }
    return first;
}

/* Bytes at the end of text[0..n) that are the beginning of a stop text, the most there are. */
static size_t begun(const struct tw_answer_text *a, const char *text, size_t n)
{
    size_t most = 0;
    for (size_t i = 0; i < a->n_stop; i++) {
        for (size_t k = tw_min_size(strlen(a->stop[i]) - 1, n); k > most; k--) {
            if (memcmp(text + n - k, a->stop[i], k) == 0) {
                most = k;
            }
        }
    }
    return most;
}

/* A stop text that was not seen before begins in what was held back. */
static void look(struct tw_answer_text *a, bool ended)
{
    const char *rest = tw_str_text(&a->text) + a->shown;
    size_t n         = a->text.size - a->shown;
    size_t first     = tw_find_stop(a->stop, a->n_stop, rest, n);
    a->stopped       = first < n;
    a->shown += a->stopped || ended ? first : n - begun(a, rest, n);
}

trawl_status tw_answer_text_push(struct tw_answer_text *a, int32_t token, struct trawl_error *err)
{
    if (a->stopped) {
        return TRAWL_OK;
    }
    TW_TRY(tw_detokenizer_push(&a->detokenizer, token, &a->text, err));
    look(a, false);
    return TRAWL_OK;
}

trawl_status tw_answer_text_end(struct tw_answer_text *a, struct trawl_error *err)
{
    if (a->stopped) {
        return TRAWL_OK;
    }
    TW_TRY(tw_detokenizer_flush(&a->detokenizer, &a->text, err));
    look(a, true);
    return TRAWL_OK;
}
