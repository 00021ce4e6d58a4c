/* SPDX-License-Identifier: MIT */
/* Grade-school mathematics (GSM8K): JSON lines of {"question", "answer"}, where the answer is worked out and ends with
 * "#### NUMBER". */
#ifndef TW_GSM8K_DATASET_H
#define TW_GSM8K_DATASET_H

#include <stdint.h>

#include "apps/gsm8k/gsm8k_number.h"
#include "base/error.h"
#include "base/log.h"

struct tw_gsm8k_question {
    size_t id;                          /* its place in the file, rows that were skipped included, from 0 */
    char *text, *answer;                /* owned; the answer is the worked one */
    char target[TW_GSM8K_NUMBER_BYTES]; /* the number that it ends with */
};

struct tw_gsm8k_dataset {
    struct tw_gsm8k_question *list;
    size_t n, capacity;
    size_t n_skipped;
    struct trawl_error skipped; /* what was wrong with the first row that was skipped */
};

/* The first `most` questions of a file. A row that is none is named as a warning, counted and left out; a file that
 * cannot be read, or has no question at all, is a failure. Released by the caller in any case. */
trawl_status tw_gsm8k_dataset_load(struct tw_gsm8k_dataset *d, const char *path, size_t most,
                                   const struct tw_log *log, struct trawl_error *err);
/* The same of n bytes of text; `name` begins messages. */
trawl_status tw_gsm8k_dataset_parse(struct tw_gsm8k_dataset *d, const char *name, const char *text, size_t n,
                                    size_t most, const struct tw_log *log, struct trawl_error *err);
void tw_gsm8k_dataset_release(struct tw_gsm8k_dataset *d);

#endif /* TW_GSM8K_DATASET_H */
