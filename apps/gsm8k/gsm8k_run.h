/* SPDX-License-Identifier: MIT */
/* The whole job: questions -> prompts -> answers -> rows and a share of right ones, with a journal on the way. */
#ifndef TW_GSM8K_RUN_H
#define TW_GSM8K_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "apps/gsm8k/gsm8k_compare.h"
#include "apps/gsm8k/gsm8k_dataset.h"
#include "apps/gsm8k/gsm8k_prompt.h"
#include "base/log.h"
#include "trawl/trawl.h"

/* An answer as it is judged. Pointers are valid during on_answer. */
struct tw_gsm8k_answered {
    const struct tw_gsm8k_question *question;
    const char *response; /* [n_response] text without special tokens, up to the stop text */
    size_t n_response, n_tokens;
    const char *predicted; /* NULL: no number can be read from it */
    bool correct;
    const char *finish_reason, *error; /* error NULL: it was run */
};

struct tw_gsm8k_run_config {
    const struct tw_gsm8k_dataset *dataset;
    const struct tw_gsm8k_prompt *prompt;
    struct tw_tokenizer *tokenizer;       /* of the engine's model; read only */
    const char *output_path;              /* rows, <x>.jsonl; NULL: none are written */
    const char *journal_path;             /* NULL: the run cannot be resumed */
    const struct trawl_setting *settings; /* [n_settings] further settings of the run's identity */
    size_t n_settings;
    const struct trawl_request
        *request; /* how answers are drawn or searched for; nothing else of it is read */
    size_t max_tokens;
    uint64_t seed;
    bool resume;
    size_t commit_every;          /* questions of a commit group */
    struct tw_gsm8k_trail *trail; /* takes the tokens of all answers; NULL: not wanted */
    struct tw_log log;            /* questions that failed are named as warnings */
    void (*on_start)(void *user, size_t n_questions, size_t n_done);
    void (*on_answer)(void *user, const struct tw_gsm8k_answered *answer); /* in order */
    bool (*on_tick)(void *user, trawl_job *job);
    void *user;
};

struct tw_gsm8k_summary {
    size_t questions, correct;
    size_t unreadable; /* answered, but without a number */
    size_t cut;        /* answers that max_tokens or the context ended */
    size_t failed;     /* could not be run at all; they count as questions */
    size_t from_journal;
    struct trawl_job_stats job; /* at the end; counts what was done now */
    double seconds;
};

/* With an output file its figures go to <x>.stats.json beside it. TRAWL_ERR_CANCELLED when on_tick said so; what was
 * committed can be resumed. */
trawl_status tw_gsm8k_run(trawl_engine *engine, const struct tw_gsm8k_run_config *config,
                          struct tw_gsm8k_summary *summary, struct trawl_error *err);

/* "<output without .jsonl><ending>", freed with tw_free. */
trawl_status tw_gsm8k_path(const char *output, const char *ending, char **out, struct trawl_error *err);

#endif /* TW_GSM8K_RUN_H */
