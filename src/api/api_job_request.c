/* SPDX-License-Identifier: MIT */
/* A request as the caller describes it becomes one that belongs to nobody else. */
#include <string.h>

#include "api/api_best_of.h"
#include "api/api_job.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/philox.h"
#include "base/size.h"

void trawl_request_init(struct trawl_request *request)
{
    *request = (struct trawl_request){.size                 = sizeof *request,
                                      .top_p                = 1,
                                      .typical_p            = 1,
                                      .xtc_threshold        = 0.1,
                                      .repetition_penalty   = 1,
                                      .max_tokens           = 16,
                                      .num_return_sequences = 1,
                                      .length_penalty       = 1,
                                      .nbest_max_nodes      = 10000,
                                      .nbest_max_outputs    = 1000};
}

void tw_job_request_free(struct tw_job_request *q, size_t n_sites)
{
    if (q == NULL) {
        return;
    }
    for (size_t i = 0; q->rows != NULL && i < n_sites; i++) {
        tw_free(q->rows[i]);
    }
    tw_job_best_of_release(q, n_sites);
    tw_job_mask_release(&q->mask);
    tw_job_constraint_drop(q->constraint);
    tw_job_outcome_release(&q->outcome);
    tw_free(q->rows);
    tw_free(q->row_capacity);
    tw_free(q->measures);
    tw_job_search_release(&q->search);
    tw_job_sampling_release(&q->sampling);
    tw_free(q->ids);
    tw_free(q->task_id);
    tw_free(q);
}

static uint64_t seed_of(const trawl_job *job, const struct trawl_request *request, uint64_t number)
{
    if (request->has_seed) {
        return request->seed;
    }
    uint32_t key[2]     = {(uint32_t)job->config.random_seed, (uint32_t)(job->config.random_seed >> 32)};
    uint32_t counter[4] = {(uint32_t)number, (uint32_t)(number >> 32), 0x74726177u,
                           0}; /* "traw": apart from draws */
    uint32_t block[4];
    tw_philox(key, counter, block);
    return (uint64_t)block[1] << 32 | block[0];
}

/* The rows that are stored are part of what a journal's request was, and so is what was measured. */
static uint64_t rows_hash(const struct tw_request *q, uint64_t hash)
{
    uint64_t both[2] = {hash, q->capture_from}, measured[3] = {hash, 0, q->attn_entropy};
    hash        = q->capture && q->capture_from > 0 ? tw_hash64(both, sizeof both) : hash;
    measured[0] = hash;
    return q->attn_entropy ? tw_hash64(measured, sizeof measured) : hash;
}

/* Its result is known, if it is the request that it was. */
static trawl_status take_from_journal(const trawl_job *job, uint64_t id, struct tw_job_request *q,
                                      struct trawl_error *err)
{
    struct tw_job_outcome *known = &job->committed[id];
    if (known->number != q->number || known->prompt_hash != q->prompt_hash) {
        return tw_fail(err, TRAWL_ERR_EXISTS, "request %llu is not the one in the journal: its %s differs",
                       (unsigned long long)q->number,
                       known->number != q->number
                           ? "number"
                           : "prompt, sampling, mask, search, best_of, constraint, capture_from or "
                             "attn_entropy");
    }
    q->outcome  = *known;
    *known      = (struct tw_job_outcome){0};
    q->finished = q->from_journal = true;
    return TRAWL_OK;
}

/* One that contradicts itself ends with an error in its turn. */
static trawl_status begin_best_of(const trawl_job *job, const struct trawl_request *r,
                                  struct tw_job_request *q, struct trawl_error *err)
{
    struct trawl_error why;
    trawl_status status = tw_job_best_of_begin(q, r, job->n_sites, job->config.on_rows != NULL, &why);
    if (status == TRAWL_OK) {
        return TRAWL_OK;
    }
    if (status == TRAWL_ERR_NOMEM) {
        *err = why;
        return status;
    }
    q->outcome.finish      = TRAWL_FINISH_ERROR;
    q->outcome.prompt_hash = q->prompt_hash;
    q->finished            = true;
    return tw_strdup(why.message, &q->outcome.error, err);
}

trawl_status tw_job_request_make(const trawl_job *job, const struct trawl_request *r, uint64_t id,
                                 struct tw_job_request *q, struct trawl_error *err)
{
    size_t n        = 0;
    uint64_t number = r->has_number ? r->number : id;
    if (number < job->next_number || number >= INT64_MAX) {
        return tw_fail(err, TRAWL_ERR_INVALID, "request number %llu, expected %llu or more: numbers ascend",
                       (unsigned long long)number, (unsigned long long)job->next_number);
    }
    if (!tw_size_add(r->n_prompt, r->n_stop_token_ids, &n)) {
        return tw_fail(err, TRAWL_ERR_NOMEM, "a prompt of %zu tokens", r->n_prompt);
    }
    TW_TRY(tw_alloc(n, sizeof *q->ids, &q->ids, err));
    if (r->n_prompt > 0) {
        memcpy(q->ids, r->prompt, r->n_prompt * sizeof *q->ids);
    }
    if (r->n_stop_token_ids > 0) {
        memcpy(q->ids + r->n_prompt, r->stop_token_ids, r->n_stop_token_ids * sizeof *q->ids);
    }
    TW_TRY(tw_strdup(r->task_id == NULL ? "" : r->task_id, &q->task_id, err));
    TW_TRY(tw_alloc(job->n_sites, sizeof *q->rows, &q->rows, err));
    TW_TRY(tw_alloc(job->n_sites, sizeof *q->row_capacity, &q->row_capacity, err));
    q->number     = number;
    q->sample_idx = r->sample_idx;
    TW_TRY(tw_job_constraint_copy(&q->constraint, job->latest_constraint, r, err));
    TW_TRY(tw_job_mask_copy(&q->mask, r, err));
    q->prompt_hash = tw_job_mask_hash(&q->mask, r->n_prompt, tw_hash64(q->ids, n * sizeof *q->ids));
    q->engine      = (struct tw_request){
             .id           = id,
             .prompt       = q->ids,
             .n_prompt     = r->n_prompt,
             .max_tokens   = r->max_tokens,
             .stop         = q->ids + r->n_prompt,
             .n_stop       = r->n_stop_token_ids,
             .mask         = q->mask.mask,
             .constraint   = tw_job_constraint_of(q->constraint),
             .ignore_eos   = r->ignore_eos,
             .attn_entropy = r->attn_entropy,
             .capture      = job->n_sites > 0,
             .logits       = r->want_logits && job->config.on_logits != NULL,
             .capture_from = r->capture_from,
             .logits_from  = r->logits_from,
             .timeout      = r->timeout >= 0 && r->timeout <= 0 ? job->config.timeout : r->timeout,
             .since_ns     = tw_clock_ns(),
             .cancelled    = &q->cancelled,
    };
    q->logits_from = q->engine.logits ? q->engine.logits_from : SIZE_MAX;
    tw_job_rows_want(job, q);
    TW_TRY(tw_job_sampling_copy(&q->sampling, r, seed_of(job, r, number), &q->engine.sampling, err));
    TW_TRY(tw_job_search_copy(&q->search, r, &q->engine, err));
    q->prompt_hash = tw_job_constraint_hash(q->constraint, tw_job_search_hash(&q->engine, q->prompt_hash));
    q->prompt_hash = tw_job_best_of_hash(r, rows_hash(&q->engine, q->prompt_hash));
    q->prompt_hash = tw_job_sampling_hash(&q->engine, q->prompt_hash);
    return id < job->n_journal ? take_from_journal(job, id, q, err) : begin_best_of(job, r, q, err);
}
