/* SPDX-License-Identifier: MIT */
#include "apps/arc/arc_vote.h"

#include "apps/arc/arc_ballot.h"
#include "apps/arc/arc_results.h"

static void sum_up(const struct tw_arc_ballots *b, struct tw_arc_vote_summary *summary)
{
    *summary = (struct tw_arc_vote_summary){.n_tasks = b->n};
    for (size_t t = 0; t < b->n; t++) {
        for (size_t i = 0; i < b->tasks[t].n_test; i++) {
            const struct tw_arc_box *box = &b->tasks[t].tests[i];
            summary->n_tests++;
            summary->n_predictions += box->n_predictions;
            summary->n_unanswered += box->n == 0;
            for (size_t k = 0; k < box->n; k++) {
                summary->n_grids += (size_t)box->candidates[k].votes;
            }
        }
    }
}

static trawl_status write_task(struct tw_arc_writer *w, const struct tw_arc_ballot *b, int n,
                               struct trawl_error *err)
{
    struct tw_arc_attempts a;
    TW_TRY(tw_arc_attempts_new(&a, b->task_id, (int)b->n_test, n, err));
    trawl_status status = TRAWL_OK;
    for (size_t i = 0; i < b->n_test; i++) {
        for (size_t k = 0; status == TRAWL_OK && k < b->tests[i].n && k < (size_t)n; k++) {
            status = tw_arc_grid_copy(&a.tests[i].grids[k], &b->tests[i].candidates[k].grid, err);
        }
    }
    if (status == TRAWL_OK) {
        status = tw_arc_submission_add(w, &a, err);
    }
    tw_arc_attempts_release(&a);
    return status;
}

static trawl_status write_file(const struct tw_arc_ballots *b, const char *output, int n,
                               struct trawl_error *err)
{
    struct tw_arc_writer w;
    trawl_status status = tw_arc_writer_open_object(&w, output, err);
    for (size_t t = 0; status == TRAWL_OK && t < b->n; t++) {
        status = write_task(&w, &b->tasks[t], n, err);
    }
    if (status == TRAWL_OK) {
        status = tw_arc_writer_commit(&w, err);
    }
    tw_arc_writer_close(&w);
    return status;
}

trawl_status tw_arc_vote(const char *input, const char *output, int n, struct tw_arc_vote_summary *summary,
                         struct trawl_error *err)
{
    struct tw_arc_ballots b;
    if (n < 1 || n > 1000) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%d attempts to vote for, expected 1..1000", n);
    }
    TW_TRY(tw_arc_ballots_read(&b, input, err));
    sum_up(&b, summary);
    trawl_status status = write_file(&b, output, n, err);
    tw_arc_ballots_release(&b);
    return status;
}
