/* SPDX-License-Identifier: MIT */
/* The file of answers: JSON lines in the order of the questions, which appears whole or not at all. */
#ifndef TW_GSM8K_ROWS_H
#define TW_GSM8K_ROWS_H

#include "apps/gsm8k/gsm8k_run.h"
#include "base/file.h"
#include "base/str.h"

struct tw_gsm8k_rows {
    struct tw_atomic_file file;
    struct tw_str line;
    bool open;
};

trawl_status tw_gsm8k_rows_open(struct tw_gsm8k_rows *rows, const char *path, struct trawl_error *err);
/* {"id", "question", "target", "predicted", "correct", "response", "n_tokens", "finish_reason"} and, of a question that
 * could not be run, "error". Numbers of targets and predictions are texts, as gsm8k_number.h writes them. */
trawl_status tw_gsm8k_rows_add(struct tw_gsm8k_rows *rows, const struct tw_gsm8k_answered *a,
                               struct trawl_error *err);
trawl_status tw_gsm8k_rows_commit(struct tw_gsm8k_rows *rows, struct trawl_error *err);
/* Free; without a commit before, no file is left. Harmless twice, and on zeroes. */
void tw_gsm8k_rows_close(struct tw_gsm8k_rows *rows);

#endif /* TW_GSM8K_ROWS_H */
