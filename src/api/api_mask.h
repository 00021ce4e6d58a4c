/* SPDX-License-Identifier: MIT */
/* The attention mask of a submitted request: checked, copied, made into the engine's. */
#ifndef TW_API_MASK_H
#define TW_API_MASK_H

#include "engine/engine_mask.h"
#include "trawl/job.h"

/* A mask and the memory behind it. */
struct tw_job_mask {
    struct tw_mask mask;
    uint32_t *lengths;
    uint64_t *rows;
};

/* Copy request->attention_mask, or what attention_sinks, attention_window and attention_heavy_hitters stand for. Lists are copied,
 * a matrix that is a function is asked for. Only NOMEM and what cannot be represented fails here; whether
 * the mask fits the prompt is the engine's to say. On failure nothing is left behind. */
trawl_status tw_job_mask_copy(struct tw_job_mask *out, const struct trawl_request *request,
                              struct trawl_error *err);
void tw_job_mask_release(struct tw_job_mask *m);

/* The prompt's hash with the mask in it; unchanged where the mask is causal. */
uint64_t tw_job_mask_hash(const struct tw_job_mask *m, size_t n_prompt, uint64_t prompt_hash);

#endif /* TW_API_MASK_H */
