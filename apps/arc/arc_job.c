/* SPDX-License-Identifier: MIT */
#include "apps/arc/arc_job.h"

#include <string.h>

#include "base/alloc.h"

trawl_status tw_arc_job_init(struct tw_arc_job *job, const struct tw_arc_dataset *ds,
                             const struct tw_arc_prompt *prompt, const struct tw_arc_chat *chat,
                             uint64_t seed, int64_t predictions, struct trawl_error *err)
{
    *job = (struct tw_arc_job){
        .ds = ds, .prompt = prompt, .chat = chat, .seed = seed, .predictions = predictions};
    if (predictions < 1 || predictions > TW_ARC_PREDICTIONS_MAX) {
        return tw_fail(err, TRAWL_ERR_INVALID, "predictions_per_task is %lld, expected 1..%d",
                       (long long)predictions, TW_ARC_PREDICTIONS_MAX);
    }
    TW_TRY(tw_alloc(ds->n + 1, sizeof *job->first, &job->first, err));
    for (size_t i = 0; i < ds->n; i++) {
        job->first[i + 1] = job->first[i] + predictions * ds->tasks[i].n_test;
    }
    return TRAWL_OK;
}

void tw_arc_job_release(struct tw_arc_job *job)
{
    tw_free(job->first);
    job->first = NULL;
}

int64_t tw_arc_job_count(const struct tw_arc_job *job)
{
    return job->first[job->ds->n];
}

struct tw_arc_place tw_arc_job_place(const struct tw_arc_job *job, int64_t id)
{
    size_t lo = 0, hi = job->ds->n; /* first[lo] <= id < first[hi] */
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (job->first[mid] <= id) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    int64_t within = id - job->first[lo];
    int n_test     = job->ds->tasks[lo].n_test;
    return (struct tw_arc_place){.task = lo, .k = within / n_test, .idx = (int)(within % n_test)};
}

trawl_status tw_arc_job_prompt(const struct tw_arc_job *job, int64_t id, struct tw_str *out,
                               struct trawl_error *err)
{
    struct tw_arc_place place      = tw_arc_job_place(job, id);
    const struct tw_arc_task *task = &job->ds->tasks[place.task];
    struct tw_arc_augment a;
    tw_arc_augment_draw(&a, task, job->seed, place.k);
    return tw_arc_prompt_render(job->prompt, job->chat, task, place.idx, &a, out, err);
}

static trawl_status fill_record(const struct tw_arc_job *job, const struct tw_arc_task *task,
                                const struct tw_str *prompt, const struct tw_arc_response *response,
                                struct tw_arc_record *r, struct trawl_error *err)
{
    struct trawl_error why = {.status = TRAWL_OK};
    r->prompt_size         = prompt->size;
    r->response_size       = response->size;
    r->cumulative_logprob  = response->cumulative_logprob;
    r->n_tokens            = response->n_tokens;
    TW_TRY(tw_strdup(task->id, &r->task_id, err));
    TW_TRY(tw_strndup(tw_str_text(prompt), prompt->size, &r->prompt, err));
    TW_TRY(tw_strndup(response->text, response->size, &r->response, err));
    if (response->finish_reason != NULL) {
        TW_TRY(tw_strdup(response->finish_reason, &r->finish_reason, err));
    }
    if (response->error != NULL) {
        return tw_strdup(response->error, &r->parse_error, err);
    }
    trawl_status status =
        tw_arc_prompt_read_answer(job->prompt, &r->augment, response->text, response->size, &r->grid, &why);
    if (status == TRAWL_ERR_FORMAT) {
        return tw_strdup(why.message, &r->parse_error, err);
    }
    if (status != TRAWL_OK && err != NULL) {
        *err = why;
    }
    return status;
}

trawl_status tw_arc_job_record(const struct tw_arc_job *job, int64_t id, const struct tw_str *prompt,
                               const struct tw_arc_response *response, struct tw_arc_record *record,
                               struct trawl_error *err)
{
    struct tw_arc_place place      = tw_arc_job_place(job, id);
    const struct tw_arc_task *task = &job->ds->tasks[place.task];
    *record                        = (struct tw_arc_record){.idx = place.idx};
    tw_arc_augment_draw(&record->augment, task, job->seed, place.k);
    trawl_status status = fill_record(job, task, prompt, response, record, err);
    if (status != TRAWL_OK) {
        tw_arc_record_release(record);
    }
    return status;
}
