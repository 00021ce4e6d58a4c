/* SPDX-License-Identifier: MIT */
/* The text of an answer as its tokens come. It ends before the first of some stop texts, and what is shown of it never
 * ends within a character, nor with what may become a stop text:
 *
 *     tw_answer_text_init(&a, tokenizer, stop, n_stop);
 *     while (!a.stopped && ...) {
 *         size_t before = a.shown;
 *         TW_TRY(tw_answer_text_push(&a, token, err));
 *         show(tw_str_text(&a.text) + before, a.shown - before);
 *     }
 *     TW_TRY(tw_answer_text_end(&a, err));                       // and show what is new
 *     tw_answer_text_release(&a);
 *
 * Threads: one at a time. */
#ifndef TW_TEXT_ANSWER_H
#define TW_TEXT_ANSWER_H

#include "text/text_tokenizer.h"

struct tw_answer_text {
    struct tw_detokenizer detokenizer;
    const char *const *stop; /* [n_stop] borrowed, none is empty */
    size_t n_stop;
    struct tw_str text; /* of all tokens */
    size_t shown;       /* bytes of it that may be shown; all of the answer in the end */
    bool stopped;       /* a stop text follows them: what comes now is not looked at */
};

/* Special tokens have no text. */
void tw_answer_text_init(struct tw_answer_text *a, const struct tw_tokenizer *tokenizer,
                         const char *const *stop, size_t n_stop);
void tw_answer_text_release(struct tw_answer_text *a);
trawl_status tw_answer_text_push(struct tw_answer_text *a, int32_t token, struct trawl_error *err);
/* No more tokens: what was held back becomes part of the text. */
trawl_status tw_answer_text_end(struct tw_answer_text *a, struct trawl_error *err);

/* Where the first of the stop texts begins in text[0..n); n when there is none. */
size_t tw_find_stop(const char *const *stop, size_t n_stop, const char *text, size_t n);

#endif /* TW_TEXT_ANSWER_H */
