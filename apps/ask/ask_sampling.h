/* SPDX-License-Identifier: MIT */
/* How the tokens of an answer are chosen: members of a JSON object, by the names of the options, into a request. */
#ifndef TW_ASK_SAMPLING_H
#define TW_ASK_SAMPLING_H

#include <stdbool.h>

#include "trawl/job.h"
#include "json/json.h"

/* A number among them; one of the pointers is set. */
struct tw_ask_number {
    const char *name;
    double *real;
    int64_t *integer;
    size_t *size;
};

enum { TW_ASK_NUMBERS = 14 };

/* All numbers, with pointers into *request. */
void tw_ask_numbers(struct trawl_request *request, struct tw_ask_number out[TW_ASK_NUMBERS]);

/* What a request's lists point to; all owned. Zeros: none. */
struct tw_ask_lists {
    int32_t *bias_tokens, *suppress;
    float *bias;
};

/* The numbers, "logit_bias" ({"ID": VALUE}) and "suppress_tokens" of `object` into the request; what it does not name
 * stays. `what` names the object in messages.
 * errors: FORMAT, INVALID: the member, what was found and what was expected. Ranges are checked where it runs. */
trawl_status tw_ask_sampling_read(struct tw_ask_lists *lists, struct trawl_request *request,
                                  const json_t *object, const char *what, struct trawl_error *err);
void tw_ask_lists_release(struct tw_ask_lists *lists);

/* Is `key` a member that tw_ask_sampling_read reads? */
bool tw_ask_sampling_key(const char *key);

/* Room for n biases, which the request points to from then on. */
trawl_status tw_ask_bias_new(struct tw_ask_lists *lists, struct trawl_request *request, size_t n,
                             struct trawl_error *err);
/* The token id that is text[0..end), in decimal. */
trawl_status tw_ask_bias_id(const char *text, const char *end, int32_t *id, struct trawl_error *err);

/* The ids of a JSON array; *out is owned by the caller, freed with tw_free after a failure too. `key` names it. */
trawl_status tw_ask_ids(const json_t *list, const char *key, int32_t **out, size_t *n,
                        struct trawl_error *err);

#endif /* TW_ASK_SAMPLING_H */
