/* SPDX-License-Identifier: MIT */
/* What rank 0 and the heads of remote replicas write to each other. */
#ifndef TW_ENGINE_LETTERS_H
#define TW_ENGINE_LETTERS_H

#include "comm/message/comm_mail.h"
#include "engine/engine.h"

/* Tag of these letters; 1 is the wire's own. */
enum { TW_LETTERS_TAG = 2 };

/* Flags of a run: what is wanted of it besides results. */
enum { TW_WANT_ROWS = 1, TW_WANT_LOGITS = 2, TW_WANT_TOKENS = 4 };

enum tw_letter_kind {
    /* from rank 0 */
    TW_LETTER_REQUEST =
        1, /* `request`; rows and lengths of its mask, prompt, stop tokens, ends and tokens of what is to be scored,
                              tokens and values of the logit bias, suppressed tokens,
                              the constraint's text */
    TW_LETTER_DROP,     /* id: answers end with the next token */
    TW_LETTER_CANCEL,   /* id: it ends now */
    TW_LETTER_NO_MORE,  /* no more requests */
    TW_LETTER_STOP,     /* nor is what is under way wanted any more */
    TW_LETTER_FAREWELL, /* the answer to DONE: the run's last letter, so that none is left for the next */
    /* to rank 0 */
    TW_LETTER_ROWS,     /* id, site, position, n, width; floats */
    TW_LETTER_LOGITS,   /* id, position, n, width; logits, then n log-probabilities */
    TW_LETTER_TOKEN,    /* id, token, logprob, n; the n most probable ones */
    TW_LETTER_FINISHED, /* id, finish, n outputs, position: nodes, site: truncated, width: tokens of the prompt; struct tw_letter_output [n], then
                           of each its tokens, logprobs, entropies, varentropies, perhaps those of attention, top; a struct trawl_error when
                           finish is an error */
    TW_LETTER_PROGRESS, /* position: prompt tokens so far, n: generated ones; a struct tw_engine_stats */
    TW_LETTER_DONE      /* finish: status of the run here; a struct trawl_error */
};

struct tw_engine_letter {
    struct tw_letter letter; /* first */
    uint32_t kind;           /* enum tw_letter_kind */
    uint32_t site;
    uint64_t id, position, n, width;
    int32_t token, finish;
    float logprob;
    uint32_t unused;
    struct tw_request request; /* pointers have no meaning here */
    float data[];              /* 4-byte things: floats, tokens */
};

/* A request as a letter, to be sent; and back again, pointing into the letter. In between since_ns is the time since
 * then: whoever receives the letter sets it right. */
trawl_status tw_letter_pack_request(const struct tw_request *q, struct tw_engine_letter **out, size_t *bytes,
                                    struct trawl_error *err);
void tw_letter_request(const struct tw_engine_letter *letter, struct tw_request *q);

struct tw_letter_output {
    double score;
    uint32_t n_tokens, n_top;
    int32_t finish;
    uint32_t attn_entropy; /* the two measures of attention are there */
    struct tw_policy_track policy;
};

/* The outputs of a result as they follow a letter's head; *data is the caller's to free. */
trawl_status tw_letter_pack_outputs(const struct tw_result *result, float **data, size_t *bytes,
                                    struct trawl_error *err);
/* Back again: `outputs` [letter->n] point into the letter. Returns what follows them. */
const float *tw_letter_outputs(const struct tw_engine_letter *letter, struct tw_output *outputs);

#endif /* TW_ENGINE_LETTERS_H */
