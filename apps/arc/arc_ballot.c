/* SPDX-License-Identifier: MIT */
#include "apps/arc/arc_ballot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "apps/arc/arc_results.h"
#include "base/alloc.h"

/* ---- one test input ---- */

static trawl_status add_reason(struct tw_arc_box *box, const char *reason, struct trawl_error *err)
{
    size_t i = 0;
    while (i < box->n_reasons && strcmp(box->reasons[i].text, reason) != 0) {
        i++;
    }
    if (i == box->n_reasons) {
        TW_TRY(tw_grow(&box->reasons, &box->reasons_capacity, i + 1, sizeof *box->reasons, err));
        box->reasons[i].count = 0;
        TW_TRY(tw_strdup(reason, &box->reasons[i].text, err));
        box->n_reasons++;
    }
    box->reasons[i].count++;
    return TRAWL_OK;
}

static trawl_status add_vote(struct tw_arc_box *box, const struct tw_arc_grid *grid, double logprob,
                             struct trawl_error *err)
{
    size_t i = 0;
    while (i < box->n && !tw_arc_grid_equal(&box->candidates[i].grid, grid)) {
        i++;
    }
    if (i == box->n) {
        TW_TRY(tw_grow(&box->candidates, &box->capacity, i + 1, sizeof *box->candidates, err));
        box->candidates[i] = (struct tw_arc_candidate){.place = i};
        TW_TRY(tw_arc_grid_copy(&box->candidates[i].grid, grid, err));
        box->n++;
    }
    struct tw_arc_candidate *c = &box->candidates[i];
    c->votes++;
    if (!isnan(logprob)) {
        c->scored++;
        c->logprob_sum += logprob;
    }
    return TRAWL_OK;
}

trawl_status tw_arc_box_add(struct tw_arc_box *box, const struct tw_arc_grid *grid, double logprob,
                            const char *reason, struct trawl_error *err)
{
    box->n_predictions++;
    if (tw_arc_grid_is_none(grid)) {
        return add_reason(box, reason == NULL ? "no grid" : reason, err);
    }
    return add_vote(box, grid, logprob, err);
}

double tw_arc_candidate_logprob(const struct tw_arc_candidate *c)
{
    return c->scored == 0 ? -(double)INFINITY : c->logprob_sum / c->scored;
}

static int by_rank(const void *pa, const void *pb)
{
    const struct tw_arc_candidate *a = pa, *b = pb;
    if (a->votes != b->votes) {
        return a->votes > b->votes ? -1 : 1;
    }
    double x = tw_arc_candidate_logprob(a), y = tw_arc_candidate_logprob(b);
    if (x != y) {
        return x > y ? -1 : 1;
    }
    return (a->place > b->place) - (a->place < b->place);
}

void tw_arc_box_rank(struct tw_arc_box *box)
{
    if (box->n > 0) {
        qsort(box->candidates, box->n, sizeof *box->candidates, by_rank);
    }
}

void tw_arc_box_release(struct tw_arc_box *box)
{
    for (size_t i = 0; i < box->n; i++) {
        tw_arc_grid_release(&box->candidates[i].grid);
    }
    for (size_t i = 0; i < box->n_reasons; i++) {
        tw_free(box->reasons[i].text);
    }
    tw_free(box->candidates);
    tw_free(box->reasons);
    *box = (struct tw_arc_box){.candidates = NULL};
}

/* ---- a whole file ---- */

struct counting {
    struct tw_arc_ballots *ballots;
    json_t *places; /* task id -> index in ballots */
};

void tw_arc_ballots_release(struct tw_arc_ballots *b)
{
    for (size_t i = 0; i < b->n; i++) {
        for (size_t k = 0; k < b->tasks[i].n_test; k++) {
            tw_arc_box_release(&b->tasks[i].tests[k]);
        }
        tw_free(b->tasks[i].tests);
        tw_free(b->tasks[i].task_id);
    }
    tw_free(b->tasks);
    *b = (struct tw_arc_ballots){.tasks = NULL};
}

static trawl_status ballot_of(struct counting *c, const char *task_id, struct tw_arc_ballot **out,
                              struct trawl_error *err)
{
    struct tw_arc_ballots *all = c->ballots;
    const json_t *place        = json_object_get(c->places, task_id);
    if (place != NULL) {
        *out = &all->tasks[json_integer_value(place)];
        return TRAWL_OK;
    }
    TW_TRY(tw_grow(&all->tasks, &all->capacity, all->n + 1, sizeof *all->tasks, err));
    struct tw_arc_ballot *b = &all->tasks[all->n];
    *b                      = (struct tw_arc_ballot){.task_id = NULL};
    TW_TRY(tw_strdup(task_id, &b->task_id, err));
    if (json_object_set_new_nocheck(c->places, task_id, json_integer((json_int_t)all->n)) != 0) {
        tw_free(b->task_id);
        return tw_fail(err, TRAWL_ERR_NOMEM, "out of memory for %zu tasks", all->n + 1);
    }
    all->n++;
    *out = b;
    return TRAWL_OK;
}

/* The box of a test input; the boxes before it exist then too. */
static trawl_status box_of(struct tw_arc_ballot *b, size_t idx, struct tw_arc_box **out,
                           struct trawl_error *err)
{
    TW_TRY(tw_grow(&b->tests, &b->capacity, idx + 1, sizeof *b->tests, err));
    while (b->n_test <= idx) {
        b->tests[b->n_test++] = (struct tw_arc_box){.candidates = NULL};
    }
    *out = &b->tests[idx];
    return TRAWL_OK;
}

static trawl_status count_record(struct counting *c, const struct tw_arc_record *r, struct trawl_error *err)
{
    struct tw_arc_ballot *b = NULL;
    struct tw_arc_box *box  = NULL;
    TW_TRY(ballot_of(c, r->task_id, &b, err));
    TW_TRY(box_of(b, (size_t)r->idx, &box, err));
    double mean = r->n_tokens > 0 ? r->cumulative_logprob / (double)r->n_tokens : (double)NAN;
    return tw_arc_box_add(box, &r->grid, mean, r->parse_error, err);
}

static trawl_status count_attempts(struct counting *c, const struct tw_arc_attempts *a,
                                   struct trawl_error *err)
{
    struct tw_arc_ballot *b = NULL;
    struct tw_arc_box *box  = NULL;
    TW_TRY(ballot_of(c, a->task_id, &b, err));
    for (int i = 0; i < a->n_test; i++) {
        TW_TRY(box_of(b, (size_t)i, &box, err));
        for (int k = 0; k < a->tests[i].n; k++) {
            TW_TRY(tw_arc_box_add(box, &a->tests[i].grids[k], (double)NAN, NULL, err));
        }
    }
    return TRAWL_OK;
}

static trawl_status count_next(struct counting *c, struct tw_arc_stream *s, bool records, bool *more,
                               struct trawl_error *err)
{
    trawl_status status = TRAWL_OK;
    if (records) {
        struct tw_arc_record r;
        TW_TRY(tw_arc_results_next(s, &r, more, err));
        if (*more) {
            status = count_record(c, &r, err);
            tw_arc_record_release(&r);
        }
    } else {
        struct tw_arc_attempts a;
        TW_TRY(tw_arc_submission_next(s, &a, more, err));
        if (*more) {
            status = count_attempts(c, &a, err);
            tw_arc_attempts_release(&a);
        }
    }
    return status;
}

static void rank_all(struct tw_arc_ballots *b)
{
    for (size_t t = 0; t < b->n; t++) {
        for (size_t i = 0; i < b->tasks[t].n_test; i++) {
            tw_arc_box_rank(&b->tasks[t].tests[i]);
        }
    }
}

trawl_status tw_arc_ballots_read(struct tw_arc_ballots *b, const char *path, struct trawl_error *err)
{
    struct tw_arc_stream s;
    struct counting c = {.ballots = b};
    *b                = (struct tw_arc_ballots){.tasks = NULL};
    TW_TRY(tw_arc_stream_open(&s, path, err));
    c.places            = json_object();
    trawl_status status = c.places == NULL ? tw_fail(err, TRAWL_ERR_NOMEM, "out of memory") : TRAWL_OK;
    for (bool more = true; status == TRAWL_OK && more;) {
        status = count_next(&c, &s, tw_arc_results_is_task_results(path), &more, err);
    }
    json_decref(c.places);
    tw_arc_stream_close(&s);
    if (status != TRAWL_OK) {
        tw_arc_ballots_release(b);
        return status;
    }
    rank_all(b);
    return TRAWL_OK;
}
