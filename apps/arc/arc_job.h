/* SPDX-License-Identifier: MIT */
/* A run as a list of requests. Request ids count task by task, then prediction by prediction, then test
 * input by test input; an id says everything about its request, so runs can be cut, resumed and merged
 * anywhere. No model is known here: prompts go out, responses come in. */
#ifndef TW_ARC_JOB_H
#define TW_ARC_JOB_H

#include <stdint.h>

#include "apps/arc/arc_augment.h"
#include "apps/arc/arc_dataset.h"
#include "apps/arc/arc_prompt.h"
#include "apps/arc/arc_results.h"

enum { TW_ARC_PREDICTIONS_MAX = 1 << 20 };

/* Borrows all it points to; read-only after init, so threads may share it. */
struct tw_arc_job {
    const struct tw_arc_dataset *ds;
    const struct tw_arc_prompt *prompt;
    const struct tw_arc_chat *chat;
    uint64_t seed;
    int64_t predictions; /* per task, >= 1: exactly that many, of each test input */
    int64_t *first;      /* [ds->n + 1] id of each task's first request; owned */
};

struct tw_arc_place {
    size_t task; /* in the data set */
    int64_t k;   /* prediction */
    int idx;     /* test input */
};

trawl_status tw_arc_job_init(struct tw_arc_job *job, const struct tw_arc_dataset *ds,
                             const struct tw_arc_prompt *prompt, const struct tw_arc_chat *chat,
                             uint64_t seed, int64_t predictions, struct trawl_error *err);
void tw_arc_job_release(struct tw_arc_job *job);

int64_t tw_arc_job_count(const struct tw_arc_job *job);
/* id in [0, count). */
struct tw_arc_place tw_arc_job_place(const struct tw_arc_job *job, int64_t id);

/* Append the prompt of a request. */
trawl_status tw_arc_job_prompt(const struct tw_arc_job *job, int64_t id, struct tw_str *out,
                               struct trawl_error *err);

/* What the engine has to say about a request. Texts are borrowed. */
struct tw_arc_response {
    const char *text; /* special tokens left out */
    size_t size;
    double cumulative_logprob;
    int64_t n_tokens;          /* generated, the end token included */
    const char *finish_reason; /* "stop", "length", "error" */
    const char *error;         /* why there is no response, else NULL */
};

/* For <output>.json the grid of request (task, k, idx) is tests[idx].grids[k] of the task's attempts.
 *
 * The record of a request, prompt and response copied into it: tw_arc_record_release. An answer that cannot
 * be read is no failure: the record has no grid and says why. */
trawl_status tw_arc_job_record(const struct tw_arc_job *job, int64_t id, const struct tw_str *prompt,
                               const struct tw_arc_response *response, struct tw_arc_record *record,
                               struct trawl_error *err);

#endif /* TW_ARC_JOB_H */
