/* SPDX-License-Identifier: MIT */
#include "api/api_search.h"

#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/size.h"

static enum tw_early_stopping early_stopping_of(enum trawl_early_stopping e)
{
    switch (e) {
    case TRAWL_EARLY_STOPPING_TRUE: return TW_EARLY_STOPPING_TRUE;
    case TRAWL_EARLY_STOPPING_NEVER: return TW_EARLY_STOPPING_NEVER;
    case TRAWL_EARLY_STOPPING_FALSE: break;
    }
    return TW_EARLY_STOPPING_FALSE;
}

static trawl_status copy_completions(struct tw_job_search *s, const struct trawl_request *r,
                                     struct tw_request *out, struct trawl_error *err)
{
    size_t n = 0;
    TW_TRY(tw_alloc(r->n_completions, sizeof *s->ends, &s->ends, err));
    for (size_t i = 0; i < r->n_completions; i++) {
        if (!tw_size_add(n, r->completion_lengths[i], &n) || n > UINT32_MAX) {
            return tw_fail(err, TRAWL_ERR_LIMIT, "completions of more than %u tokens together", UINT32_MAX);
        }
        s->ends[i] = (uint32_t)n;
    }
    TW_TRY(tw_alloc(n, sizeof *s->tokens, &s->tokens, err));
    if (n > 0) {
        memcpy(s->tokens, r->completions, n * sizeof *s->tokens);
    }
    out->kind  = TW_REQUEST_SCORE;
    out->score = (struct tw_score_params){.tokens = s->tokens, .ends = s->ends, .n = r->n_completions};
    return TRAWL_OK;
}

trawl_status tw_job_search_copy(struct tw_job_search *s, const struct trawl_request *r,
                                struct tw_request *out, struct trawl_error *err)
{
    bool beams = r->num_beams > 0, scores = r->n_completions > 0;
    bool nbest = r->nbest_min_prob < 0 || r->nbest_min_prob > 0;
    if (beams + scores + nbest > 1) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "a request asks for one of num_beams, completions and nbest_min_prob, not for %d",
                       beams + scores + nbest);
    }
    if (beams) {
        out->kind = TW_REQUEST_BEAM;
        out->beam = (struct tw_beam_params){.num_beams            = r->num_beams,
                                            .num_return_sequences = r->num_return_sequences,
                                            .length_penalty       = r->length_penalty,
                                            .early_stopping       = early_stopping_of(r->early_stopping)};
    }
    if (nbest) {
        out->kind  = TW_REQUEST_NBEST;
        out->nbest = (struct tw_nbest_params){.min_prob    = r->nbest_min_prob,
                                              .max_nodes   = r->nbest_max_nodes,
                                              .max_outputs = r->nbest_max_outputs};
    }
    return scores ? copy_completions(s, r, out, err) : TRAWL_OK;
}

void tw_job_search_release(struct tw_job_search *s)
{
    tw_free(s->tokens);
    tw_free(s->ends);
    *s = (struct tw_job_search){0};
}

static uint64_t mix(uint64_t hash, const void *data, size_t bytes)
{
    uint64_t both[2] = {hash, tw_hash64(data, bytes)};
    return tw_hash64(both, sizeof both);
}

uint64_t tw_job_search_hash(const struct tw_request *q, uint64_t hash)
{
    switch (q->kind) {
    case TW_REQUEST_SAMPLE: break;
    case TW_REQUEST_BEAM: {
        const uint64_t numbers[] = {TW_REQUEST_BEAM, q->beam.num_beams, q->beam.num_return_sequences,
                                    q->beam.early_stopping, q->max_tokens};
        return mix(mix(hash, numbers, sizeof numbers), &q->beam.length_penalty, sizeof(double));
    }
    case TW_REQUEST_SCORE: {
        const uint64_t numbers[] = {TW_REQUEST_SCORE, q->score.n};
        hash                     = mix(hash, numbers, sizeof numbers);
        hash                     = mix(hash, q->score.ends, q->score.n * sizeof *q->score.ends);
        return mix(hash, q->score.tokens, q->score.ends[q->score.n - 1] * sizeof *q->score.tokens);
    }
    case TW_REQUEST_NBEST: {
        const uint64_t numbers[] = {TW_REQUEST_NBEST, q->nbest.max_nodes, q->nbest.max_outputs,
                                    q->max_tokens};
        return mix(mix(hash, numbers, sizeof numbers), &q->nbest.min_prob, sizeof(double));
    }
    }
    return hash;
}
