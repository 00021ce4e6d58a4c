/* SPDX-License-Identifier: MIT */
/* Texts that end an answer: "stop" of a JSON object. */
#ifndef TW_ASK_STOP_H
#define TW_ASK_STOP_H

#include <stddef.h>

#include "json/json.h"

/* A string or an array of strings, none empty; without it, or null: copies of fallback [n_fallback]. texts [n] belong to
 * the caller, who frees them by tw_ask_stop_free in any case.
 * errors: FORMAT: what was found. */
trawl_status tw_ask_stop_read(const json_t *object, const char *const *fallback, size_t n_fallback,
                              char ***texts, size_t *n, struct trawl_error *err);
void tw_ask_stop_free(char **texts, size_t n);

#endif /* TW_ASK_STOP_H */
