/* SPDX-License-Identifier: MIT */
#include "cli/bench/bench_run.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/philox.h"
#include "base/size.h"
#include "cli/interrupt.h"

struct timing {
    const struct bench_run *run;
    const struct bench_case *c;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool all_submitted; /* before that no sequence gets beyond its first token */
    size_t *tokens;     /* [n_requests] so far ...                             */
    size_t *before;     /* ... and when the window opened                      */
    size_t n_started;   /* sequences with a token                              */
    size_t n_counted;   /* tokens inside the window                            */
    uint64_t begun_ns, opened_ns, last_ns;
    float *rows; /* where captured rows are copied to */
    size_t rows_capacity;
};

/* ---- the engine's threads ---- */

/* A replica whose sequences all decode waits for the others: it is ahead by more steps than its own prompts
 * take. Not for ever: if the others lack the memory for their sequences, that shall be reported. */
static void wait_for_replicas(struct timing *t, uint64_t request)
{
    const uint64_t give_up = tw_clock_ns() + 60 * UINT64_C(1000000000);
    const size_t ramp      = bench_case_ramp(t->c, t->run->prefill_chunk);
    while (t->n_started < t->c->n_requests && t->tokens[request] > ramp && !cli_interrupted() &&
           tw_clock_ns() < give_up) {
        struct timespec soon;
        (void)clock_gettime(CLOCK_REALTIME, &soon);
        soon.tv_sec++;
        (void)pthread_cond_timedwait(&t->changed, &t->lock, &soon);
    }
}

static bool on_token(void *user, uint64_t request, int32_t token, float logprob)
{
    struct timing *t = user;
    uint64_t now     = tw_clock_ns();
    (void)token;
    (void)logprob;
    (void)pthread_mutex_lock(&t->lock);
    while (!t->all_submitted) {
        (void)pthread_cond_wait(&t->changed, &t->lock);
    }
    bool was_open = t->n_started == t->c->n_requests;
    if (++t->tokens[request] == 1 && ++t->n_started == t->c->n_requests) {
        t->opened_ns = now;
        memcpy(t->before, t->tokens, t->c->n_requests * sizeof *t->before);
        (void)pthread_cond_broadcast(&t->changed);
    }
    if (was_open) {
        t->last_ns = now;
        t->n_counted++;
    }
    wait_for_replicas(t, request);
    bool more = t->n_started < t->c->n_requests || t->tokens[request] - t->before[request] < t->c->gen;
    (void)pthread_mutex_unlock(&t->lock);
    return more;
}

static trawl_status on_rows(void *user, uint64_t request, size_t site, size_t position, const float *rows,
                            size_t n, size_t width, struct trawl_error *err)
{
    struct timing *t    = user;
    trawl_status status = TRAWL_OK;
    (void)request;
    (void)site;
    (void)position;
    (void)pthread_mutex_lock(&t->lock);
    status = tw_grow(&t->rows, &t->rows_capacity, n * width, sizeof *t->rows, err);
    if (status == TRAWL_OK) {
        memcpy(t->rows, rows, n * width * sizeof *rows);
    }
    (void)pthread_mutex_unlock(&t->lock);
    return status;
}

/* ---- this thread ---- */

static bool on_tick(void *user, trawl_job *job)
{
    struct timing *t = user;
    (void)job;
    cli_progress_update(t->run->progress, t->run->n_done, 0);
    return !cli_interrupted();
}

static void random_ids(int32_t *ids, size_t n, uint64_t seed, uint64_t request, size_t vocab)
{
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    for (size_t i = 0; i < n; i += 4) {
        uint32_t counter[4] = {(uint32_t)i, (uint32_t)request, 0, 0}, block[4];
        tw_philox(key, counter, block);
        for (size_t j = 0; j < 4 && i + j < n; j++) {
            ids[i + j] = (int32_t)(block[j] % vocab);
        }
    }
}

static trawl_status submit_all(struct timing *t, trawl_job *job, const int32_t *ids, struct trawl_error *err)
{
    const struct bench_case *c = t->c;
    struct trawl_request q;
    trawl_request_init(&q);
    q.n_prompt          = c->prompt;
    q.max_tokens        = bench_case_max_tokens(c, t->run->prefill_chunk);
    q.ignore_eos        = true;
    trawl_status status = TRAWL_OK;
    t->begun_ns         = tw_clock_ns();
    for (size_t i = 0; status == TRAWL_OK && i < c->n_requests; i++) {
        q.prompt = ids + i * c->prompt;
        status   = trawl_job_submit(job, &q, err);
    }
    (void)pthread_mutex_lock(&t->lock);
    t->all_submitted = true; /* after a failure too: the engine must not wait for ever */
    (void)pthread_cond_broadcast(&t->changed);
    (void)pthread_mutex_unlock(&t->lock);
    trawl_job_end_input(job);
    return status;
}

static trawl_status take_results(trawl_job *job, struct trawl_error *err)
{
    for (;;) {
        struct trawl_result r;
        bool more = false;
        TW_TRY(trawl_job_next(job, &r, &more, err));
        if (!more) {
            return TRAWL_OK;
        }
        if (r.finish_reason == TRAWL_FINISH_ERROR) {
            return tw_fail(err, TRAWL_ERR_LIMIT, "a sequence of %zu tokens: %s", r.n_prompt, r.error);
        }
    }
}

/* Seconds of the case's window. */
static trawl_status window(const struct timing *t, uint64_t end_ns, double *seconds, struct trawl_error *err)
{
    const struct bench_case *c = t->c;
    if (c->kind == BENCH_HARVEST || c->kind == BENCH_PLAIN) {
        *seconds = (double)(end_ns - t->begun_ns) * 1e-9;
        return TRAWL_OK;
    }
    if (t->n_started < c->n_requests || t->n_counted != c->n_requests * c->gen) {
        return tw_fail(
            err, TRAWL_ERR_LIMIT,
            "%zu sequences of %zu tokens could not be decoded together: the memory for keys and values "
            "holds fewer; take a smaller --batch",
            c->n_requests, c->prompt + c->gen);
    }
    *seconds =
        (double)(c->kind == BENCH_PREFILL ? t->opened_ns - t->begun_ns : t->last_ns - t->opened_ns) * 1e-9;
    return TRAWL_OK;
}

static trawl_status open_job(struct timing *t, const struct trawl_model_info *info, trawl_job **job,
                             struct trawl_error *err)
{
    struct trawl_job_config c;
    char names[BENCH_SITES_MAX][64];
    const char *sites[BENCH_SITES_MAX];
    size_t layers[BENCH_SITES_MAX];
    trawl_job_config_init(&c);
    c.user     = t;
    c.on_tick  = on_tick;
    c.on_token = on_token;
    if (t->c->kind == BENCH_HARVEST) {
        c.on_rows         = on_rows;
        c.capture.sites   = sites;
        c.capture.n_sites = bench_harvest_layers(info->n_layers, layers);
        for (size_t i = 0; i < c.capture.n_sites; i++) {
            (void)snprintf(names[i], sizeof names[i], "blocks.%zu.hook_resid_post", layers[i]);
            sites[i] = names[i];
        }
    }
    return trawl_job_open(t->run->engine, &c, job, err);
}

static trawl_status run_timed(struct timing *t, trawl_job *job, const int32_t *ids, double *rate,
                              struct trawl_error *err)
{
    double seconds      = 0;
    trawl_status status = submit_all(t, job, ids, err);
    if (status == TRAWL_OK) {
        status = take_results(job, err);
    }
    if (status == TRAWL_OK) {
        status = window(t, tw_clock_ns(), &seconds, err);
    }
    if (status == TRAWL_OK) {
        *rate = (double)bench_case_tokens(t->c) / seconds;
    }
    return status;
}

trawl_status bench_case_run(const struct bench_run *run, const struct bench_case *c, double *rate,
                            struct trawl_error *err)
{
    struct trawl_model_info info;
    struct timing t = {.run = run, .c = c};
    trawl_job *job  = NULL;
    int32_t *ids    = NULL;
    size_t n_ids    = 0;
    trawl_engine_info(run->engine, &info);
    if (!tw_size_mul(c->n_requests, c->prompt, &n_ids)) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "%zu prompts of %zu tokens do not fit in memory", c->n_requests,
                       c->prompt);
    }
    (void)pthread_mutex_init(&t.lock, NULL);
    (void)pthread_cond_init(&t.changed, NULL);
    trawl_status status = tw_alloc(n_ids, sizeof *ids, &ids, err);
    if (status == TRAWL_OK) {
        status = tw_alloc(c->n_requests, sizeof *t.tokens, &t.tokens, err);
    }
    if (status == TRAWL_OK) {
        status = tw_alloc(c->n_requests, sizeof *t.before, &t.before, err);
    }
    for (size_t i = 0; status == TRAWL_OK && i < c->n_requests; i++) {
        random_ids(ids + i * c->prompt, c->prompt, run->seed, i, info.vocab_size);
    }
    if (status == TRAWL_OK) {
        status = open_job(&t, &info, &job, err);
    }
    if (status == TRAWL_OK) {
        status = run_timed(&t, job, ids, rate, err);
    }
    trawl_job_close(&job);
    tw_free(ids);
    tw_free(t.tokens);
    tw_free(t.before);
    tw_free(t.rows);
    (void)pthread_cond_destroy(&t.changed);
    (void)pthread_mutex_destroy(&t.lock);
    return status;
}
