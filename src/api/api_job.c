/* SPDX-License-Identifier: MIT */
#include "api/api_job.h"

#include <string.h>
#include <time.h>

#include "api/api_best_of.h"
#include "base/alloc.h"
#include "base/size.h"
#include "engine/engine_world.h"

enum { COMMIT_EVERY = 80, WAKE_MS = 100 };

void trawl_job_config_init(struct trawl_job_config *config)
{
    *config = (struct trawl_job_config){.size = sizeof *config};
}

/* Waits end at least every WAKE_MS, because a cancel from a signal handler cannot wake anybody. */
static void wait_changed(trawl_job *job)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += WAKE_MS * 1000000L;
    if (t.tv_nsec >= 1000000000L) {
        t.tv_nsec -= 1000000000L;
        t.tv_sec++;
    }
    (void)pthread_cond_timedwait(&job->changed, &job->lock, &t);
}

/* ---- the engine's side: called on its threads ---- */

/* Finished requests are kept in a list where results leave as they come. Called with the lock held. */
static void set_finished(trawl_job *job, struct tw_job_request *q)
{
    q->finished = true;
    if (job->config.unordered) {
        *job->last = q;
        job->last  = &q->next_finished;
    }
}

/* Refused when it was submitted: the engine has nothing to do with it. */
static bool is_settled(const struct tw_job_request *q)
{
    return q == NULL || q->finished;
}

static enum tw_pull pull(void *user, bool wait, struct tw_request *out)
{
    trawl_job *job      = user;
    enum tw_pull answer = TW_PULL_NONE_NOW;
    (void)pthread_mutex_lock(&job->lock);
    for (;;) {
        while (job->next_pull < job->n_submitted &&
               is_settled(tw_job_table_find(&job->requests, job->next_pull))) {
            job->next_pull++;
        }
        bool has = job->next_pull < job->n_submitted;
        if (job->run_ended || atomic_load(&job->cancelled) || (!has && job->input_ended)) {
            answer = TW_PULL_END;
            break;
        }
        if (has && (job->n_out < job->window || job->next_pull == job->n_delivered)) {
            job->next_pull +=
                tw_job_next_candidate(tw_job_table_find(&job->requests, job->next_pull), out) ? 1 : 0;
            job->n_out++;
            answer = TW_PULL_REQUEST;
            break;
        }
        if (!wait) {
            break;
        }
        wait_changed(job);
    }
    (void)pthread_mutex_unlock(&job->lock);
    return answer;
}

static void stop(void *user)
{
    trawl_job *job = user;
    (void)pthread_mutex_lock(&job->lock);
    job->run_ended = true;
    (void)pthread_cond_broadcast(&job->changed);
    (void)pthread_mutex_unlock(&job->lock);
}

/* A request that is with the engine; nobody else touches it, or the candidate that is meant, until it is finished. */
static struct tw_job_request *request_of(trawl_job *job, uint64_t id)
{
    (void)pthread_mutex_lock(&job->lock);
    struct tw_job_request *q = tw_job_table_find(&job->requests, tw_job_place(id));
    (void)pthread_mutex_unlock(&job->lock);
    return q;
}

static trawl_status on_rows(void *user, uint64_t id, size_t site, size_t position, const float *rows,
                            size_t n, size_t width, struct trawl_error *err)
{
    trawl_job *job = user;
    if (job->config.on_rows != NULL) {
        TW_TRY(job->config.on_rows(job->config.user, id, site, position, rows, n, width, err));
    }
    if (job->store == NULL) {
        return TRAWL_OK;
    }
    struct tw_job_request *q = tw_job_candidate(request_of(job, id), id);
    size_t before            = position - q->engine.capture_from;
    TW_TRY(tw_grow(&q->rows[site], &q->row_capacity[site], (before + n) * width, sizeof(float), err));
    memcpy(q->rows[site] + before * width, rows, n * width * sizeof(float));
    q->n_rows = before + n;
    return TRAWL_OK;
}

static trawl_status on_logits(void *user, uint64_t id, size_t position, const float *rows,
                              const float *logprobs, size_t n, size_t n_vocab, struct trawl_error *err)
{
    trawl_job *job           = user;
    struct tw_job_request *q = request_of(job, id);
    if (job->rows.measured) {
        TW_TRY(tw_job_rows_measure(job, q, position, rows, logprobs, n, n_vocab, err));
    }
    size_t skip = position < q->logits_from ? q->logits_from - position : 0;
    return skip >= n ? TRAWL_OK
                     : job->config.on_logits(job->config.user, tw_job_place(id), position + skip,
                                             rows + skip * n_vocab, logprobs + skip, n - skip, n_vocab, err);
}

static trawl_status on_allowed(void *user, uint64_t id, const int32_t *tokens, size_t n, uint32_t *bits,
                               struct trawl_error *err)
{
    trawl_job *job = user;
    return job->config.allowed_tokens(job->config.user, tw_job_place(id), tokens, n, bits, err);
}

static void tell_top(trawl_job *job, uint64_t id, const struct tw_told_token *told)
{
    struct trawl_top_logprob top[TW_JOB_TOP_MAX];
    size_t n = tw_min_size(told->n_top, TW_JOB_TOP_MAX);
    for (size_t i = 0; i < n; i++) {
        top[i] = (struct trawl_top_logprob){.token = told->top[i].token, .logprob = told->top[i].logprob};
    }
    job->config.on_top_logprobs(job->config.user, id, top, n);
}

static bool on_token(void *user, uint64_t id, const struct tw_told_token *told)
{
    trawl_job *job = user;
    if (request_of(job, id)->n_candidates > 0) {
        return true;
    }
    if (job->config.on_top_logprobs != NULL && told->n_top > 0) {
        tell_top(job, id, told);
    }
    return job->config.on_token == NULL ||
           job->config.on_token(job->config.user, id, told->token, told->logprob);
}

static trawl_status on_finished(void *user, const struct tw_result *r, struct trawl_error *err)
{
    trawl_job *job           = user;
    struct tw_job_request *q = request_of(job, r->id);
    trawl_status status      = TRAWL_OK;
    if (r->finish == TW_FINISH_DROPPED) {
        q->dropped = true;
    } else {
        status = tw_job_outcome_take(&tw_job_candidate(q, r->id)->outcome, r, err);
        if (status == TRAWL_OK && q->n_candidates > 0) {
            if (atomic_fetch_sub(&q->n_left, 1) > 1) {
                return TRAWL_OK;
            }
            status = tw_job_best_of_choose(q, job->n_sites, err);
        }
        q->outcome.prompt_hash = q->prompt_hash;
        atomic_fetch_add(&job->n_finished, 1);
        atomic_fetch_add(&job->n_timed_out, q->outcome.finish == TRAWL_FINISH_TIMEOUT);
        atomic_fetch_add(&job->n_cancelled, q->outcome.finish == TRAWL_FINISH_CANCELLED);
    }
    (void)pthread_mutex_lock(&job->lock);
    if (!q->dropped && status == TRAWL_OK) {
        set_finished(job, q);
    }
    (void)pthread_cond_broadcast(&job->changed);
    (void)pthread_mutex_unlock(&job->lock);
    return status;
}

static void *run_thread(void *arg)
{
    trawl_job *job           = arg;
    struct trawl_error error = {0};
    trawl_status status = tw_engine_run(job->engine->engine, &job->work, job->sites, job->n_sites, &error);
    (void)pthread_mutex_lock(&job->lock);
    job->run_ended  = true;
    job->run_status = status;
    job->run_error  = error;
    (void)pthread_cond_broadcast(&job->changed);
    (void)pthread_mutex_unlock(&job->lock);
    return NULL;
}

/* ---- the caller's side ---- */

static trawl_status expand_sites(trawl_job *job, const struct trawl_capture_config *c,
                                 struct trawl_error *err)
{
    const struct tw_model_config *m = &tw_engine_model(job->engine->engine)->config;
    TW_TRY(tw_alloc(TW_JOB_SITES_MAX, sizeof *job->sites, &job->sites, err));
    for (size_t i = 0; i < c->n_sites; i++) {
        TW_TRY(tw_site_parse(c->sites[i], m, job->sites, TW_JOB_SITES_MAX, &job->n_sites, err));
    }
    TW_TRY(tw_alloc(job->n_sites, sizeof *job->site_names, &job->site_names, err));
    TW_TRY(tw_alloc(job->n_sites, sizeof *job->site_widths, &job->site_widths, err));
    for (size_t i = 0; i < job->n_sites; i++) {
        tw_site_name(job->sites[i], job->site_names[i]);
        job->site_widths[i] = tw_site_width(job->sites[i], m);
    }
    return TRAWL_OK;
}

static trawl_status open_job(trawl_job *job, const struct trawl_job_config *config, struct trawl_error *err)
{
    TW_TRY(expand_sites(job, &config->capture, err));
    TW_TRY(tw_job_rows_open(job, &config->capture, err));
    TW_TRY(tw_job_open_files(job, config, err));
    const struct tw_engine_config *e = tw_engine_settings(job->engine->engine);
    job->next_pull                   = job->n_journal;
    job->group_first                 = job->journal == NULL ? 0 : tw_journal_end(job->journal);
    /* Rows of requests that wait for their turn are kept in memory: bounded to two batches. */
    job->window = job->store == NULL ? SIZE_MAX : 2 * e->batch_size * (size_t)e->mesh.data;
    job->work   = (struct tw_work){
          .user     = job,
          .pull     = pull,
          .rows     = job->store != NULL || config->on_rows != NULL ? on_rows : NULL,
          .logits   = config->on_logits != NULL || job->rows.measured ? on_logits : NULL,
          .token    = config->on_token != NULL || config->on_top_logprobs != NULL ? on_token : NULL,
          .allowed  = config->allowed_tokens != NULL ? on_allowed : NULL,
          .finished = on_finished,
          .stop     = stop,
    };
    atomic_store(&job->n_finished, job->n_journal);
    atomic_store(&job->n_committed, job->n_journal);
    int code = pthread_create(&job->thread, NULL, run_thread, job);
    if (code != 0) {
        return tw_fail_os(err, code, "thread of the job");
    }
    job->started = true;
    return TRAWL_OK;
}

trawl_status trawl_job_open(trawl_engine *engine, const struct trawl_job_config *config, trawl_job **out,
                            struct trawl_error *err)
{
    trawl_job *job = NULL;
    *out           = NULL;
    if (config->size != sizeof *config) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "struct trawl_job_config has size %u, expected %zu: call _init first",
                       (unsigned)config->size, sizeof *config);
    }
    if (!(config->timeout >= 0)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "the job's timeout is %g, expected seconds, or 0 for none",
                       config->timeout);
    }
    if (config->unordered && config->journal_path != NULL) {
        return tw_fail(
            err, TRAWL_ERR_INVALID,
            "a job with a journal cannot be unordered: what it writes is in the order of requests");
    }
    const struct tw_world *world = tw_engine_settings(engine->engine)->world;
    if (config->allowed_tokens != NULL && world != NULL && world->all->size > 1) {
        return tw_fail(
            err, TRAWL_ERR_UNSUPPORTED,
            "allowed_tokens cannot be asked from the %d processes of a world; run one process, or give "
            "requests a constraint",
            world->all->size);
    }
    TW_TRY(tw_alloc(1, sizeof *job, &job, err));
    trawl_status claimed = tw_api_claim_job(engine, err);
    if (claimed != TRAWL_OK) {
        tw_free(job);
        return claimed;
    }
    job->engine = engine;
    job->config = *config;
    job->last   = &job->finished;
    if (job->config.commit_every == 0) {
        job->config.commit_every = COMMIT_EVERY;
    }
    tw_str_init(&job->line, 0);
    (void)pthread_mutex_init(&job->lock, NULL);
    (void)pthread_cond_init(&job->changed, NULL);
    tw_engine_resume(engine->engine);
    trawl_status status = open_job(job, config, err);
    if (status != TRAWL_OK) {
        trawl_job_close(&job);
        return status;
    }
    *out = job;
    return TRAWL_OK;
}

trawl_status trawl_job_submit(trawl_job *job, const struct trawl_request *request, struct trawl_error *err)
{
    struct tw_job_request *q = NULL;
    if (request->size != sizeof *request) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "struct trawl_request has size %u, expected %zu: call _init first",
                       (unsigned)request->size, sizeof *request);
    }
    if (job->input_ended) {
        return tw_fail(err, TRAWL_ERR_INVALID, "the job's input has ended");
    }
    if (request->prompt == NULL && request->n_prompt > 0) {
        return tw_fail(err, TRAWL_ERR_INVALID, "prompt is NULL, expected a list of %zu", request->n_prompt);
    }
    TW_TRY(tw_api_request_check(request, err));
    TW_TRY(tw_alloc(1, sizeof *q, &q, err));
    trawl_status status = tw_job_request_make(job, request, job->n_submitted, q, err);
    (void)pthread_mutex_lock(&job->lock);
    if (status == TRAWL_OK) {
        status = tw_job_table_add(&job->requests, q, err);
    }
    if (status == TRAWL_OK) {
        job->next_number = q->number + 1;
        atomic_fetch_add(&job->n_finished, q->finished && !q->from_journal);
        tw_job_constraint_drop(job->latest_constraint);
        job->latest_constraint = tw_job_constraint_keep(q->constraint);
        job->n_submitted++;
        if (q->finished) {
            set_finished(job, q);
        }
        (void)pthread_cond_broadcast(&job->changed);
    }
    (void)pthread_mutex_unlock(&job->lock);
    if (status != TRAWL_OK) {
        tw_job_request_free(q, job->n_sites);
    }
    return status;
}

void trawl_job_end_input(trawl_job *job)
{
    (void)pthread_mutex_lock(&job->lock);
    job->input_ended = true;
    (void)pthread_cond_broadcast(&job->changed);
    (void)pthread_mutex_unlock(&job->lock);
}

/* The request whose result is the next to be returned, NULL when it is not there yet. */
static struct tw_job_request *next_finished(const trawl_job *job)
{
    if (job->config.unordered) {
        return job->finished;
    }
    struct tw_job_request *q = tw_job_table_find(&job->requests, job->n_delivered);
    return q != NULL && q->finished ? q : NULL;
}

/* The next finished request, NULL at the end. */
static trawl_status wait_result(trawl_job *job, struct tw_job_request **out, struct trawl_error *err)
{
    trawl_status status = TRAWL_OK;
    *out                = NULL;
    (void)pthread_mutex_lock(&job->lock);
    for (;;) {
        *out = next_finished(job);
        if (*out != NULL) {
            break;
        }
        if (job->run_ended && job->run_status != TRAWL_OK) {
            status = job->run_status;
            if (err != NULL) {
                *err = job->run_error;
            }
            break;
        }
        if (atomic_load(&job->cancelled)) {
            status = tw_fail(err, TRAWL_ERR_CANCELLED, "stopped on request");
            break;
        }
        if (job->n_delivered == job->n_submitted && job->input_ended) {
            break;
        }
        wait_changed(job);
        if (job->config.on_tick != NULL) {
            (void)pthread_mutex_unlock(&job->lock);
            if (!job->config.on_tick(job->config.user, job)) {
                trawl_job_cancel(job);
            }
            (void)pthread_mutex_lock(&job->lock);
        }
    }
    (void)pthread_mutex_unlock(&job->lock);
    return status;
}

/* Its result is taken: nobody finds it any more. */
static void remove_request(trawl_job *job, struct tw_job_request *q)
{
    (void)pthread_mutex_lock(&job->lock);
    tw_job_table_remove(&job->requests, q);
    if (job->config.unordered) {
        job->finished = q->next_finished;
        job->last     = job->finished == NULL ? &job->finished : job->last;
    }
    job->n_delivered++;
    job->n_out -= q->n_pulled;
    (void)pthread_cond_broadcast(&job->changed);
    (void)pthread_mutex_unlock(&job->lock);
}

/* All results are there, so the run is about to end: then its counters are complete, in other processes too. */
static void wait_run(trawl_job *job)
{
    (void)pthread_mutex_lock(&job->lock);
    while (!job->run_ended) {
        wait_changed(job);
    }
    (void)pthread_mutex_unlock(&job->lock);
}

static void fill_result(struct trawl_result *result, const struct tw_job_request *q)
{
    const struct tw_job_outcome *o = &q->outcome;
    *result                        = (struct trawl_result){
                               .request       = q->engine.id,
                               .finish_reason = o->finish,
                               .n_prompt      = q->engine.n_prompt,
                               .error         = o->error,
                               .from_journal  = q->from_journal,
                               .pruned        = q->mask.mask.prune,
                               .outputs       = o->outputs,
                               .n_nodes       = o->n_nodes,
                               .truncated     = o->truncated,
                               .n_outputs     = o->n_outputs,
    };
    if (o->n_outputs > 0) {
        result->tokens             = o->outputs[0].tokens;
        result->logprobs           = o->outputs[0].logprobs;
        result->entropies          = o->outputs[0].entropies;
        result->varentropies       = o->outputs[0].varentropies;
        result->attn_entropies     = o->outputs[0].attn_entropies;
        result->attn_varentropies  = o->outputs[0].attn_varentropies;
        result->n_tokens           = o->outputs[0].n_tokens;
        result->cumulative_logprob = o->outputs[0].cumulative_logprob;
    }
}

trawl_status trawl_job_next(trawl_job *job, struct trawl_result *result, bool *more, struct trawl_error *err)
{
    struct tw_job_request *q = NULL;
    *more                    = false;
    tw_job_request_free(job->current, job->n_sites);
    job->current = NULL;
    if (job->ended) {
        return TRAWL_OK;
    }
    TW_TRY(wait_result(job, &q, err));
    if (q == NULL) {
        job->ended = true;
        TW_TRY(tw_job_finish_files(job, err));
        wait_run(job);
        return TRAWL_OK;
    }
    if (!q->from_journal) {
        TW_TRY(tw_job_record(job, q, err));
    }
    remove_request(job, q);
    job->current = q;
    fill_result(result, q);
    *more = true;
    return TRAWL_OK;
}

void trawl_job_cancel(trawl_job *job)
{
    atomic_store(&job->cancelled, true);
    tw_engine_cancel(job->engine->engine);
}

trawl_status trawl_job_cancel_request(trawl_job *job, uint64_t request, struct trawl_error *err)
{
    trawl_status status = TRAWL_OK;
    (void)pthread_mutex_lock(&job->lock);
    if (request >= job->n_submitted) {
        status = tw_fail(
            err, TRAWL_ERR_INVALID,
            "there is no request %llu to cancel: %zu have been submitted, and their numbers begin at 0",
            (unsigned long long)request, job->n_submitted);
    } else {
        struct tw_job_request *q = tw_job_table_find(&job->requests, request);
        if (q != NULL) { /* else its result has been taken */
            atomic_store(&q->cancelled, true);
        }
    }
    (void)pthread_mutex_unlock(&job->lock);
    return status;
}

void trawl_job_stats(trawl_job *job, struct trawl_job_stats *stats)
{
    struct tw_engine_stats e;
    tw_engine_stats(job->engine->engine, &e);
    (void)pthread_mutex_lock(&job->lock);
    *stats = (struct trawl_job_stats){
        .submitted       = job->n_submitted,
        .finished        = atomic_load(&job->n_finished),
        .committed       = atomic_load(&job->n_committed),
        .cached_tokens   = e.cached_tokens,
        .steps           = e.steps,
        .computed_tokens = e.computed_tokens,
        .draft_tokens    = e.draft_tokens,
        .accepted_tokens = e.accepted_tokens,
        .queued  = job->n_submitted - tw_min_size(job->next_pull, job->n_submitted) + e.queued + e.preempted,
        .running = e.running,
        .timed_out        = atomic_load(&job->n_timed_out),
        .cancelled        = atomic_load(&job->n_cancelled),
        .preemptions      = e.preemptions,
        .kv_pages         = e.pages,
        .kv_pages_held    = e.held_pages,
        .kv_pages_idle    = e.idle_pages,
        .kv_pages_peak    = e.peak_pages,
        .kv_pages_evicted = e.evicted_pages,
        .kv_pages_filled =
            e.held_positions == 0 ? 1 : 1 - (double)e.empty_positions / (double)e.held_positions,
    };
    tw_engine_progress(job->engine->engine, &stats->prompt_tokens, &stats->generated_tokens);
    (void)pthread_mutex_unlock(&job->lock);
}

size_t trawl_job_n_sites(const trawl_job *job)
{
    return job->n_sites;
}

const char *trawl_job_site_name(const trawl_job *job, size_t site, size_t *width)
{
    if (width != NULL) {
        *width = job->site_widths[site];
    }
    return job->site_names[site];
}

void trawl_job_close(trawl_job **handle)
{
    trawl_job *job = *handle;
    if (job == NULL) {
        return;
    }
    if (job->started) {
        trawl_job_cancel(job);
        (void)pthread_join(job->thread, NULL);
    }
    tw_job_close_files(job);
    tw_job_request_free(job->current, job->n_sites);
    tw_job_table_release(&job->requests, job->n_sites);
    tw_job_constraint_drop(job->latest_constraint);
    tw_free(job->sites);
    tw_free(job->site_names);
    tw_free(job->site_widths);
    tw_job_rows_close(job);
    tw_str_release(&job->line);
    (void)pthread_mutex_destroy(&job->lock);
    (void)pthread_cond_destroy(&job->changed);
    tw_api_release_job(job->engine);
    tw_free(job);
    *handle = NULL;
}
