/* SPDX-License-Identifier: MIT */
/* What the text of an answer has to satisfy: "guided_regex", "guided_json" or "guided_choice" of a JSON object. */
#ifndef TW_ASK_CONSTRAINT_H
#define TW_ASK_CONSTRAINT_H

#include "trawl/job.h"
#include "json/json.h"

/* Into the request, which points to *text then: owned, NULL where the object names no constraint; freed with tw_free
 * in any case. null turns off what the request had by this name. `what` names the object in messages. */
trawl_status tw_ask_constraint_read(struct trawl_request *request, char **text, const json_t *object,
                                    const char *what, struct trawl_error *err);

/* A constraint of this kind from a string or, but for a regular expression, from JSON; `key` names the value. */
trawl_status tw_ask_constraint_set(struct trawl_request *request, char **text, const json_t *value,
                                   const char *key, enum trawl_constraint_kind kind, struct trawl_error *err);

#endif /* TW_ASK_CONSTRAINT_H */
