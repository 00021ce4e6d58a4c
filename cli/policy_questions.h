/* SPDX-License-Identifier: MIT */
/* Questions with a number for an answer, and whether an answer gives it. */
#ifndef CLI_POLICY_QUESTIONS_H
#define CLI_POLICY_QUESTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum { POLICY_NUMBER_BYTES = 64 };

struct policy_question {
    char *text;                       /* owned */
    char number[POLICY_NUMBER_BYTES]; /* the reference's, as policy_number writes it */
};

struct policy_questions {
    struct policy_question *list;
    size_t n, capacity;
};

/* At most `most` rows of {"question", "answer"}; what is wrong is named with its line. */
trawl_status policy_questions_read(struct policy_questions *q, const char *path, size_t most,
                                   struct trawl_error *err);
void policy_questions_release(struct policy_questions *q);

/* The number of an answer of n bytes, without commas, a sign or zeros that mean nothing: that behind the last "####",
 * else the last one. False: it has none. */
bool policy_number(const char *text, size_t n, char out[POLICY_NUMBER_BYTES]);

#endif /* CLI_POLICY_QUESTIONS_H */
