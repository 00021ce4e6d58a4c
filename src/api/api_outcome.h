/* SPDX-License-Identifier: MIT */
/* What a request came to: kept until it is its turn, written to the journal, read back from it. */
#ifndef TW_API_OUTCOME_H
#define TW_API_OUTCOME_H

#include "engine/engine.h"
#include "trawl/job.h"
#include "json/json.h"

struct tw_job_outcome {
    enum trawl_finish_reason finish;
    struct trawl_output *outputs; /* [n_outputs] owned; they point into the next two */
    size_t n_outputs;
    int32_t *tokens;   /* of all outputs; owned */
    float *measures;   /* of each output its logprobs, entropies, varentropies, perhaps the next; owned */
    bool attn_entropy; /* the entropies of attention were measured, of all outputs */
    struct trawl_top_logprob *top; /* of all outputs; owned */
    uint64_t n_nodes;
    bool truncated;
    char *error; /* owned */
    uint64_t prompt_hash;
    uint64_t number; /* as read back from the journal */
};

/* A copy of what the engine found; number and hash stay as they are. */
trawl_status tw_job_outcome_take(struct tw_job_outcome *o, const struct tw_result *r,
                                 struct trawl_error *err);
/* The first outputs of n outcomes, which have one, in this order; their scores are their log-probabilities. */
trawl_status tw_job_outcome_join(struct tw_job_outcome *o, const struct tw_job_outcome *const *from, size_t n,
                                 struct trawl_error *err);
void tw_job_outcome_release(struct tw_job_outcome *o);

/* The journal record. The one answer of a request that is sampled stands in the record itself; with `all` there
 * is a list "outputs" instead. */
void tw_job_outcome_write(struct tw_json_writer *w, uint64_t number, const struct tw_job_outcome *o,
                          bool all);
/* `j`: the record. `least`: the smallest number that it can have. TRAWL_ERR_FORMAT names what is wrong; release `o` in
 * any case. */
trawl_status tw_job_outcome_read(const json_t *j, uint64_t least, struct tw_job_outcome *o,
                                 struct trawl_error *err);

#endif /* TW_API_OUTCOME_H */
