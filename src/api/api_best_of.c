/* SPDX-License-Identifier: MIT */
#include "api/api_best_of.h"

#include "base/alloc.h"
#include "base/hash.h"

static trawl_status check(const struct tw_request *q, const struct trawl_request *r, bool rows_are_told,
                          struct trawl_error *err)
{
    if (r->best_of > TW_BEST_OF_MAX) {
        return tw_fail(err, TRAWL_ERR_INVALID, "best_of is %zu, expected at most %d", r->best_of,
                       TW_BEST_OF_MAX);
    }
    if (q->kind != TW_REQUEST_SAMPLE) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "best_of is %zu: %s draws nothing, so there is nothing to choose the best of",
                       r->best_of,
                       q->kind == TW_REQUEST_BEAM    ? "beam search"
                       : q->kind == TW_REQUEST_SCORE ? "scoring"
                                                     : "n-best search");
    }
    if (r->num_return_sequences < 1 || r->num_return_sequences > r->best_of) {
        return tw_fail(err, TRAWL_ERR_INVALID, "n (num_return_sequences) is %zu, expected 1 to best_of, %zu",
                       r->num_return_sequences, r->best_of);
    }
    if (!(r->temperature > 0)) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "best_of is %zu with temperature %g: all candidates would be the same; expected a "
                       "temperature above 0, or num_beams in place of best_of",
                       r->best_of, r->temperature);
    }
    if (r->max_tokens == 0) {
        return tw_fail(err, TRAWL_ERR_INVALID, "best_of needs max_tokens of at least 1, here it is 0");
    }
    if (q->capture && rows_are_told) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                       "best_of is %zu in a job with on_rows: rows come before it is known whose answer is "
                       "the best; a job that stores them keeps those of the best",
                       r->best_of);
    }
    return TRAWL_OK;
}

static trawl_status add_candidate(struct tw_job_request *q, size_t i, size_t n_sites, struct trawl_error *err)
{
    struct tw_job_request *c = &q->candidates[i];
    c->engine                = q->engine; /* lists and flags stay the request's */
    c->engine.id |= (uint64_t)i << TW_CANDIDATE_SHIFT;
    c->engine.sampling.seed += i;
    c->engine.logits = q->engine.logits && i == 0; /* those of the prompt are the same for all */
    q->n_candidates  = i + 1;
    TW_TRY(tw_alloc(n_sites, sizeof *c->rows, &c->rows, err));
    return tw_alloc(n_sites, sizeof *c->row_capacity, &c->row_capacity, err);
}

trawl_status tw_job_best_of_begin(struct tw_job_request *q, const struct trawl_request *r, size_t n_sites,
                                  bool rows_are_told, struct trawl_error *err)
{
    if (r->best_of <= 1) {
        return TRAWL_OK;
    }
    TW_TRY(check(&q->engine, r, rows_are_told, err));
    TW_TRY(tw_alloc(r->best_of, sizeof *q->candidates, &q->candidates, err));
    for (size_t i = 0; i < r->best_of; i++) {
        TW_TRY(add_candidate(q, i, n_sites, err));
    }
    q->n_returned = r->num_return_sequences;
    atomic_store(&q->n_left, q->n_candidates);
    return TRAWL_OK;
}

void tw_job_best_of_release(struct tw_job_request *q, size_t n_sites)
{
    for (size_t i = 0; i < q->n_candidates; i++) {
        struct tw_job_request *c = &q->candidates[i];
        for (size_t s = 0; c->rows != NULL && s < n_sites; s++) {
            tw_free(c->rows[s]);
        }
        tw_job_outcome_release(&c->outcome);
        tw_free(c->rows);
        tw_free(c->row_capacity);
    }
    tw_free(q->candidates);
    q->candidates   = NULL;
    q->n_candidates = 0;
}

uint64_t tw_job_best_of_hash(const struct trawl_request *r, uint64_t hash)
{
    uint64_t all[3] = {hash, r->best_of, r->num_return_sequences};
    return r->best_of > 1 ? tw_hash64(all, sizeof all) : hash;
}

bool tw_job_next_candidate(struct tw_job_request *q, struct tw_request *out)
{
    *out = q->n_candidates == 0 ? q->engine : q->candidates[q->n_pulled].engine;
    q->n_pulled++;
    return q->n_pulled >= q->n_candidates;
}

struct tw_job_request *tw_job_candidate(struct tw_job_request *q, uint64_t id)
{
    return q->n_candidates == 0 ? q : &q->candidates[id >> TW_CANDIDATE_SHIFT];
}

/* ---- choosing ---- */

static bool is_whole(const struct tw_job_outcome *o)
{
    return o->finish == TRAWL_FINISH_STOP || o->finish == TRAWL_FINISH_LENGTH;
}

/* Those that were cut off come last, the longest first: a beginning is more probable than what it begins. */
static bool is_better(const struct tw_job_outcome *a, const struct tw_job_outcome *b)
{
    if (is_whole(a) != is_whole(b)) {
        return is_whole(a);
    }
    if (!is_whole(a) && a->outputs[0].n_tokens != b->outputs[0].n_tokens) {
        return a->outputs[0].n_tokens > b->outputs[0].n_tokens;
    }
    return a->outputs[0].cumulative_logprob > b->outputs[0].cumulative_logprob;
}

/* order [n]: the best, the earlier one first where two tie; how many. One that was cut off before its first token
 * has no answer. */
static size_t sort(const struct tw_job_request *q, const struct tw_job_outcome **order, size_t n)
{
    size_t size = 0;
    for (size_t i = 0; i < q->n_candidates; i++) {
        const struct tw_job_outcome *o = &q->candidates[i].outcome;
        if (o->n_outputs == 0 || (size == n && !is_better(o, order[n - 1]))) {
            continue;
        }
        size_t at = size < n ? size++ : n - 1;
        for (; at > 0 && is_better(o, order[at - 1]); at--) {
            order[at] = order[at - 1];
        }
        order[at] = o;
    }
    return size;
}

/* The rows of the candidate become the request's, which has none. */
static void take_rows(struct tw_job_request *q, struct tw_job_request *c)
{
    float **rows     = q->rows;
    size_t *capacity = q->row_capacity;
    q->rows          = c->rows;
    q->row_capacity  = c->row_capacity;
    q->n_rows        = c->n_rows;
    c->rows          = rows;
    c->row_capacity  = capacity;
}

static trawl_status fail(struct tw_job_request *q, size_t i, struct trawl_error *err)
{
    struct trawl_error why;
    (void)tw_fail(&why, TRAWL_ERR_INVALID, "answer %zu of best_of, %zu: %s", i, q->n_candidates,
                  q->candidates[i].outcome.error);
    q->outcome.finish = TRAWL_FINISH_ERROR;
    return tw_strdup(why.message, &q->outcome.error, err);
}

static trawl_status choose(struct tw_job_request *q, const struct tw_job_outcome **order,
                           struct trawl_error *err)
{
    enum trawl_finish_reason how = TRAWL_FINISH_STOP; /* the first that is neither stop nor length */
    for (size_t i = q->n_candidates; i-- > 0;) {
        const struct tw_job_outcome *o = &q->candidates[i].outcome;
        if (o->finish == TRAWL_FINISH_ERROR) {
            return fail(q, i, err);
        }
        how = is_whole(o) ? how : o->finish;
    }
    size_t n = sort(q, order, q->n_returned);
    TW_TRY(tw_job_outcome_join(&q->outcome, order, n, err));
    q->outcome.finish = how == TRAWL_FINISH_STOP && n > 0 ? order[0]->finish : how;
    for (size_t i = 0; i < q->n_candidates && n > 0; i++) {
        if (&q->candidates[i].outcome == order[0]) {
            take_rows(q, &q->candidates[i]);
        }
    }
    return TRAWL_OK;
}

trawl_status tw_job_best_of_choose(struct tw_job_request *q, size_t n_sites, struct trawl_error *err)
{
    const struct tw_job_outcome **order = NULL;
    trawl_status status                 = tw_alloc(q->n_returned, sizeof(void *), &order, err);
    if (status == TRAWL_OK) {
        status = choose(q, order, err);
    }
    tw_free((void *)order);
    tw_job_best_of_release(q, n_sites);
    return status;
}
