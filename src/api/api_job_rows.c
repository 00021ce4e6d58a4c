/* SPDX-License-Identifier: MIT */
#include "api/api_job_rows.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "api/api_job.h"
#include "base/alloc.h"
#include "base/hash.h"
#include "base/philox.h"
#include "base/size.h"
#include "sample/sample_logits.h"

/* ---- the job's part ---- */

static trawl_status copy_skipped(trawl_job *job, const struct trawl_capture_config *c,
                                 struct trawl_error *err)
{
    size_t vocab = tw_engine_model(job->engine->engine)->config.vocab;
    if (c->n_skip_tokens == 0) {
        return TRAWL_OK;
    }
    TW_TRY(tw_alloc(tw_ceil_div(vocab, 32), sizeof *job->rows.skipped, &job->rows.skipped, err));
    for (size_t i = 0; i < c->n_skip_tokens; i++) {
        int32_t id = c->skip_tokens[i];
        if (id < 0 || (size_t)id >= vocab) {
            return tw_fail(err, TRAWL_ERR_INVALID, "skip_tokens[%zu] is %d, the model has tokens 0 to %zu", i,
                           (int)id, vocab - 1);
        }
        job->rows.skipped[id / 32] |= 1u << (id % 32);
    }
    tw_hash_hex(tw_hash64(job->rows.skipped, tw_ceil_div(vocab, 32) * sizeof *job->rows.skipped),
                job->rows.skipped_text);
    return TRAWL_OK;
}

trawl_status tw_job_rows_open(trawl_job *job, const struct trawl_capture_config *c, struct trawl_error *err)
{
    if ((c->shuffle_rows || c->logprobs) && (c->dir == NULL || c->format == TRAWL_FORMAT_PKL)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s %s: %s", c->shuffle_rows ? "shuffle_rows" : "logprobs",
                       c->dir == NULL ? "without a folder" : "in pickles",
                       c->dir == NULL ? "nothing is stored"
                                      : "they have an entry for each request, and no columns");
    }
    job->rows.shuffled = c->shuffle_rows;
    job->rows.seed     = c->shuffle_seed;
    job->rows.measured = c->logprobs;
    (void)snprintf(job->rows.seed_text, sizeof job->rows.seed_text, "%llu",
                   (unsigned long long)c->shuffle_seed);
    return copy_skipped(job, c, err);
}

static void forget_group(struct tw_job_rows *r, size_t n_sites)
{
    for (size_t i = 0; i < r->n_keepers; i++) {
        for (size_t j = 0; j < n_sites; j++) {
            tw_free(r->keepers[i][j]);
        }
        tw_free(r->keepers[i]);
    }
    r->n         = 0;
    r->n_keepers = 0;
}

void tw_job_rows_close(trawl_job *job)
{
    forget_group(&job->rows, job->n_sites);
    tw_free(job->rows.skipped);
    tw_free(job->rows.list);
    tw_free(job->rows.keepers);
    tw_free(job->rows.numbers);
    job->rows = (struct tw_job_rows){0};
}

size_t tw_job_rows_settings(const trawl_job *job, struct trawl_setting out[3])
{
    const struct tw_job_rows *r = &job->rows;
    size_t n                    = 0;
    if (r->skipped != NULL) {
        out[n++] = (struct trawl_setting){"skip_tokens", r->skipped_text};
    }
    if (r->measured) {
        out[n++] = (struct trawl_setting){"logprobs", "true"};
    }
    if (r->shuffled) {
        out[n++] = (struct trawl_setting){"shuffle_rows", r->seed_text};
    }
    return n;
}

/* ---- measuring ---- */

void tw_job_rows_want(const trawl_job *job, struct tw_job_request *q)
{
    struct tw_request *e = &q->engine;
    if (job->rows.measured && e->capture_from < e->n_prompt) {
        e->logits_from = e->logits ? tw_min_size(e->logits_from, e->capture_from) : e->capture_from;
        e->logits      = true;
    }
}

trawl_status tw_job_rows_measure(const trawl_job *job, struct tw_job_request *q, size_t position,
                                 const float *logits, const float *logprobs, size_t n, size_t n_vocab,
                                 struct trawl_error *err)
{
    const struct tw_kernels *k = tw_engine_kernels(job->engine->engine);
    if (q->measures == NULL) {
        TW_TRY(tw_alloc(q->engine.n_prompt, 2 * sizeof *q->measures, &q->measures, err));
    }
    for (size_t i = 0; i < n; i++) {
        q->measures[2 * (position + i)]     = logprobs[i];
        q->measures[2 * (position + i) + 1] = tw_logits_measure(k, logits + i * n_vocab, n_vocab).entropy;
    }
    return TRAWL_OK;
}

/* ---- one request ---- */

/* What is said of the row at `position`. What has no next token has no log-probability of it: NaN. */
static struct tw_job_row describe(const trawl_job *job, const struct tw_job_request *q, size_t position)
{
    const struct trawl_output *answer = q->outcome.outputs; /* of rows behind the prompt there is one */
    size_t n_prompt = q->engine.n_prompt, next = position + 1;
    bool is_generated     = position >= n_prompt;
    struct tw_job_row row = {
        .request      = (int64_t)q->number,
        .token        = is_generated ? answer[0].tokens[position - n_prompt] : q->engine.prompt[position],
        .position     = (int32_t)position,
        .is_generated = is_generated,
    };
    if (job->rows.measured) {
        bool chosen = next >= n_prompt && q->outcome.n_outputs > 0 && next - n_prompt < answer[0].n_tokens;
        row.logprob = next < n_prompt ? q->measures[2 * position]
                      : chosen        ? answer[0].logprobs[next - n_prompt]
                                      : NAN;
        row.entropy = !is_generated ? q->measures[2 * position + 1]
                      : chosen      ? answer[0].entropies[next - n_prompt]
                                    : NAN;
    }
    return row;
}

static bool is_skipped(const struct tw_job_rows *r, int32_t token)
{
    return r->skipped != NULL && (r->skipped[token / 32] >> (token % 32) & 1) != 0;
}

/* The rows of a request that are stored, behind those that the list has already. */
static trawl_status list_rows(trawl_job *job, const struct tw_job_request *q, uint32_t keeper,
                              struct trawl_error *err)
{
    struct tw_job_rows *r = &job->rows;
    TW_TRY(tw_grow(&r->list, &r->capacity, r->n + q->n_rows, sizeof *r->list, err));
    for (size_t i = 0; i < q->n_rows; i++) {
        struct tw_job_row row = describe(job, q, q->engine.capture_from + i);
        if (!is_skipped(r, row.token)) {
            row.keeper      = keeper;
            row.row         = (uint32_t)i;
            r->list[r->n++] = row;
        }
    }
    return TRAWL_OK;
}

/* ---- to the store ---- */

struct columns {
    int64_t *request;
    int32_t *token, *position;
    float *logprob, *entropy;
    uint8_t *is_generated;
};

static void free_columns(struct columns *c)
{
    tw_free(c->request);
    tw_free(c->token);
    tw_free(c->position);
    tw_free(c->logprob);
    tw_free(c->entropy);
    tw_free(c->is_generated);
}

static trawl_status make_columns(const struct tw_job_rows *r, struct columns *c, struct trawl_error *err)
{
    TW_TRY(tw_alloc(r->n, sizeof *c->request, &c->request, err));
    TW_TRY(tw_alloc(r->n, sizeof *c->token, &c->token, err));
    TW_TRY(tw_alloc(r->n, sizeof *c->position, &c->position, err));
    TW_TRY(tw_alloc(r->n, sizeof *c->logprob, &c->logprob, err));
    TW_TRY(tw_alloc(r->n, sizeof *c->entropy, &c->entropy, err));
    TW_TRY(tw_alloc(r->n, sizeof *c->is_generated, &c->is_generated, err));
    for (size_t i = 0; i < r->n; i++) {
        c->request[i]      = r->list[i].request;
        c->token[i]        = r->list[i].token;
        c->position[i]     = r->list[i].position;
        c->logprob[i]      = r->list[i].logprob;
        c->entropy[i]      = r->list[i].entropy;
        c->is_generated[i] = r->list[i].is_generated;
    }
    return TRAWL_OK;
}

/* Rows that lie one after another go to the store in one piece. */
static trawl_status put_rows(trawl_job *job, float *const *const *keepers, size_t site,
                             struct trawl_error *err)
{
    const struct tw_job_rows *r = &job->rows;
    size_t width                = job->site_widths[site];
    for (size_t at = 0, n; at < r->n; at += n) {
        const struct tw_job_row *first = &r->list[at];
        for (n = 1; at + n < r->n && first[n].keeper == first->keeper && first[n].row == first->row + n;
             n++) {
        }
        TW_TRY(tw_store_rows(job->store, site, keepers[first->keeper][site] + first->row * width, n, err));
    }
    return TRAWL_OK;
}

/* The list becomes a request of the store, or the rows of several, mixed. */
static trawl_status put_list(trawl_job *job, struct tw_store_request *s, float *const *const *keepers,
                             struct trawl_error *err)
{
    struct columns c = {0};
    if (job->rows.n == 0) {
        return TRAWL_OK; /* could not be run, ended before there was any, or all were skipped */
    }
    trawl_status status = make_columns(&job->rows, &c, err);
    s->n_rows           = job->rows.n;
    s->token            = c.token;
    s->position         = c.position;
    s->is_generated     = c.is_generated;
    s->logprob          = job->rows.measured ? c.logprob : NULL;
    s->entropy          = job->rows.measured ? c.entropy : NULL;
    s->request          = s->requests == NULL ? NULL : c.request;
    if (status == TRAWL_OK) {
        status = tw_store_begin_request(job->store, s, err);
    }
    for (size_t i = 0; status == TRAWL_OK && i < job->n_sites; i++) {
        status = put_rows(job, keepers, i, err);
    }
    if (status == TRAWL_OK) {
        status = tw_store_end_request(job->store, err);
    }
    free_columns(&c);
    return status;
}

static trawl_status keep(trawl_job *job, struct tw_job_request *q, struct trawl_error *err)
{
    struct tw_job_rows *r = &job->rows;
    size_t before         = r->n;
    TW_TRY(tw_grow(&r->keepers, &r->keepers_capacity, r->n_keepers + 1, sizeof *r->keepers, err));
    TW_TRY(tw_grow(&r->numbers, &r->numbers_capacity, r->n_keepers + 1, sizeof *r->numbers, err));
    TW_TRY(list_rows(job, q, (uint32_t)r->n_keepers, err));
    if (r->n > before) {
        r->numbers[r->n_keepers]   = q->number;
        r->keepers[r->n_keepers++] = q->rows;
        q->rows                    = NULL;
    }
    return TRAWL_OK;
}

trawl_status tw_job_rows_store(trawl_job *job, struct tw_job_request *q, struct trawl_error *err)
{
    if (job->rows.shuffled) {
        return keep(job, q, err);
    }
    struct tw_store_request s = {.id = q->number, .task_id = q->task_id, .sample_idx = q->sample_idx};
    float *const *keeper      = q->rows;
    job->rows.n               = 0;
    TW_TRY(list_rows(job, q, 0, err));
    return put_list(job, &s, &keeper, err);
}

/* Fisher and Yates, with the random numbers of this group: they do not depend on what came before it. */
static void shuffle(struct tw_job_rows *r, uint64_t group)
{
    struct tw_philox_stream s;
    tw_philox_stream_init(&s, r->seed, group);
    for (size_t i = r->n; i > 1; i--) {
        size_t j              = tw_philox_below(&s, (uint32_t)i);
        struct tw_job_row row = r->list[i - 1];
        r->list[i - 1]        = r->list[j];
        r->list[j]            = row;
    }
}

trawl_status tw_job_rows_flush(trawl_job *job, struct trawl_error *err)
{
    struct tw_job_rows *r = &job->rows;
    if (!r->shuffled || r->n == 0) {
        return TRAWL_OK;
    }
    if (r->n > UINT32_MAX) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "%zu rows to shuffle at a time: make commit_every smaller",
                       r->n);
    }
    shuffle(r, job->group_first);
    struct tw_store_request s = {.id = r->numbers[0], .requests = r->numbers, .n_requests = r->n_keepers};
    trawl_status status       = put_list(job, &s, (float *const *const *)r->keepers, err);
    forget_group(r, job->n_sites);
    return status;
}
