/* SPDX-License-Identifier: MIT */
/* A replica: its devices, and the loop admit - step - sample - deliver. */
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "comm/hybrid/comm_hybrid.h"
#include "comm/message/comm_message.h"
#include "comm/thread/comm_thread.h"
#include "engine/engine_int.h"

/* Rows of logits beyond one per sequence: for requests that want all of them. */
enum { EXTRA_LOGIT_ROWS = 64 };

/* The devices' handles on each other: threads here, messages between processes, or both. */
static trawl_status connect_devices(const struct tw_replica *r, struct tw_wait_policy wait,
                                    struct tw_comm **comms, struct trawl_error *err)
{
    const struct tw_engine_config *c = &r->engine->config;
    const struct tw_place *place     = &r->engine->place;
    int base                         = tw_mesh_rank(c->mesh, r->index, 0);
    struct tw_comm *outer            = NULL;
    if (place->peers == 1) {
        struct tw_comm_thread_config tc = {.policy = wait, .world_base = base};
        return place->n_devices == 1 ? TRAWL_OK : tw_comm_thread_new(place->n_devices, &tc, comms, err);
    }
    TW_TRY(tw_comm_message_new(c->world->wire, place->rank - place->peer, 1, place->peers, &outer, err));
    if (place->n_devices == 1) {
        comms[0] = outer;
        return TRAWL_OK;
    }
    struct tw_comm_hybrid_config hc = {.policy = wait, .world_base = base};
    return tw_comm_hybrid_new(outer, place->n_devices, &hc, comms, err);
}

static trawl_status init_devices(struct tw_replica *r, size_t n_pages, struct trawl_error *err)
{
    const struct tw_engine_config *c = &r->engine->config;
    const struct tw_place *place     = &r->engine->place;
    struct tw_wait_policy wait       = tw_wait_policy_for(place->n_replicas * place->n_devices * c->threads);
    struct tw_comm *comms[TW_COMM_RANKS_MAX] = {NULL};

    TW_TRY(tw_alloc((size_t)place->n_devices, sizeof *r->devices, &r->devices, err));
    trawl_status status = connect_devices(r, wait, comms, err);
    for (int i = 0; i < place->n_devices; i++) {
        struct tw_device_config dc = {
            .rank           = place->first_device + i,
            .degree         = c->mesh.model,
            .tree_leaves    = c->tree_leaves,
            .n_threads      = c->threads,
            .wait           = wait,
            .comm           = comms[i],
            .kv_dtype       = c->kv_dtype,
            .n_pages        = n_pages,
            .max_rows       = r->max_rows,
            .max_logit_rows = r->max_logit_rows,
        };
        if (status == TRAWL_OK) {
            status = tw_device_init(&r->devices[i], r->engine->model, &r->engine->kernels, &dc, err);
        } else {
            tw_comm_free(comms[i]);
        }
    }
    return status;
}

static trawl_status init_step(struct tw_replica *r, struct trawl_error *err)
{
    size_t batch = r->engine->config.batch_size;
    TW_TRY(tw_alloc(batch, sizeof *r->sequences, &r->sequences, err));
    TW_TRY(tw_alloc(batch, sizeof *r->order, &r->order, err));
    TW_TRY(tw_alloc(batch, sizeof *r->segments, &r->segments, err));
    TW_TRY(tw_alloc(r->max_rows, sizeof *r->tokens, &r->tokens, err));
    TW_TRY(tw_alloc(r->max_rows, sizeof *r->row_segment, &r->row_segment, err));
    TW_TRY(tw_alloc(r->max_logit_rows, sizeof *r->logit_rows, &r->logit_rows, err));
    TW_TRY(tw_alloc(r->max_logit_rows, sizeof *r->logit_owner, &r->logit_owner, err));
    TW_TRY(tw_alloc(r->max_logit_rows, sizeof *r->sampled, &r->sampled, err));
    TW_TRY(tw_alloc(r->max_logit_rows, sizeof *r->next_logprob, &r->next_logprob, err));
    if (!tw_size_mul(r->max_logit_rows * sizeof(float), r->engine->model->config.vocab, &r->logits_bytes)) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "logits of %zu rows do not fit in memory", r->max_logit_rows);
    }
    return tw_big_alloc(r->logits_bytes, &r->logits, err);
}

static trawl_status init_samplers(struct tw_replica *r, struct trawl_error *err)
{
    const struct tw_engine_config *c = &r->engine->config;
    int n                            = r->engine->place.n_devices * c->threads;
    TW_TRY(tw_alloc((size_t)n, sizeof *r->samplers, &r->samplers, err));
    for (int i = 0; i < n; i++) {
        TW_TRY(tw_sampler_init(&r->samplers[i], &r->engine->kernels, r->engine->model->config.vocab, err));
    }
    return tw_team_new(&r->team, n, tw_wait_policy_for(n * r->engine->place.n_replicas), NULL, err);
}

trawl_status tw_replica_init(struct tw_replica *r, struct tw_engine *engine, int index,
                             struct trawl_error *err)
{
    const struct tw_engine_config *c = &engine->config;
    size_t page                      = tw_kv_page_bytes(c->kv_dtype, engine->model->config.n_layers,
                                                        engine->model->config.n_kv_heads, engine->model->config.head_dim);
    *r                               = (struct tw_replica){.engine = engine, .index = index};
    r->max_rows                      = c->prefill_chunk + c->batch_size;
    r->max_logit_rows                = c->batch_size + EXTRA_LOGIT_ROWS;
    size_t n_pages                   = tw_max_size(c->kv_cache_bytes / page, 1);
    TW_TRY(tw_kv_pages_init(&r->pages, n_pages, err));
    TW_TRY(init_step(r, err));
    TW_TRY(tw_peers_init(r, err));
    TW_TRY(init_devices(r, n_pages, err));
    return init_samplers(r, err);
}

void tw_replica_release(struct tw_replica *r)
{
    if (r->engine == NULL) {
        return;
    }
    const struct tw_engine_config *c = &r->engine->config;
    tw_team_free(r->team);
    int n = r->engine->place.n_devices;
    for (int i = 0; r->samplers != NULL && i < n * c->threads; i++) {
        tw_sampler_release(&r->samplers[i]);
    }
    for (int i = 0; r->devices != NULL && i < n; i++) {
        tw_device_release(&r->devices[i]);
    }
    tw_peers_release(&r->peers);
    tw_big_free(r->logits, r->logits_bytes);
    tw_kv_pages_release(&r->pages);
    tw_free(r->samplers);
    tw_free(r->devices);
    tw_free(r->sequences);
    tw_free(r->order);
    tw_free(r->segments);
    tw_free(r->tokens);
    tw_free(r->row_segment);
    tw_free(r->logit_rows);
    tw_free(r->logit_owner);
    tw_free(r->sampled);
    tw_free(r->next_logprob);
    *r = (struct tw_replica){0};
}

trawl_status tw_replica_begin(struct tw_replica *r, const struct tw_work *work, const struct tw_site *sites,
                              size_t n_sites, struct trawl_error *err)
{
    size_t bytes = 0;
    r->work      = work;
    r->status    = TRAWL_OK;
    for (size_t i = 0; i < n_sites; i++) {
        bytes += r->max_rows * tw_site_width(sites[i], &r->engine->model->config) * sizeof(float);
    }
    TW_TRY(tw_alloc(n_sites, sizeof *r->captures, &r->captures, err));
    TW_TRY(tw_big_alloc(bytes, &r->capture_rows, err));
    r->capture_bytes = bytes;
    float *at        = r->capture_rows;
    for (size_t i = 0; i < n_sites; i++) {
        size_t width   = tw_site_width(sites[i], &r->engine->model->config);
        r->captures[i] = (struct tw_capture){.site = sites[i], .width = width, .rows = at};
        at += r->max_rows * width;
    }
    r->n_sites = n_sites;
    return TRAWL_OK;
}

void tw_replica_end(struct tw_replica *r)
{
    tw_big_free(r->capture_rows, r->capture_bytes);
    tw_free(r->captures);
    r->captures     = NULL;
    r->capture_rows = NULL;
}

/* ---- admission ---- */

static trawl_status finish(struct tw_replica *r, const struct tw_request *q, const struct tw_sequence *s,
                           enum tw_finish how, const struct trawl_error *why)
{
    struct tw_result result = {.id = q->id, .finish = how, .n_prompt = q->n_prompt, .error = why};
    if (s != NULL) {
        result.n_tokens     = s->n_tokens - q->n_prompt;
        result.tokens       = s->tokens + q->n_prompt;
        result.logprobs     = s->logprobs;
        result.entropies    = s->entropies;
        result.varentropies = s->varentropies;
    }
    return r->work->finished(r->work->user, &result, &r->error);
}

/* Why a request can never run here, if so. */
static trawl_status check_request(const struct tw_replica *r, const struct tw_request *q,
                                  struct trawl_error *err)
{
    size_t limit = r->engine->config.max_model_len, vocab = r->engine->model->config.vocab;
    if (q->n_prompt == 0) {
        return tw_fail(err, TRAWL_ERR_INVALID, "the prompt is empty");
    }
    if (q->n_prompt > limit) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "the prompt has %zu tokens, the context holds %zu", q->n_prompt,
                       limit);
    }
    for (size_t i = 0; i < q->n_prompt; i++) {
        if (q->prompt[i] < 0 || (size_t)q->prompt[i] >= vocab) {
            return tw_fail(err, TRAWL_ERR_INVALID,
                           "token %zu of the prompt is %d, the vocabulary has %zu ids", i, (int)q->prompt[i],
                           vocab);
        }
    }
    size_t pages = tw_kv_pages_for(q->n_prompt + q->max_tokens);
    if (pages > r->pages.n_pages) {
        return tw_fail(err, TRAWL_ERR_LIMIT,
                       "%zu prompt and %zu new tokens need %zu KV pages of %d tokens, the cache has %zu",
                       q->n_prompt, q->max_tokens, pages, TW_KV_BLOCK, r->pages.n_pages);
    }
    return tw_sample_params_check(&q->sampling, err);
}

static size_t free_slot(const struct tw_replica *r)
{
    size_t i = 0;
    while (r->sequences[i].active) {
        i++;
    }
    return i;
}

/* Take requests while there is room. `held` is one that was pulled but found no pages. False at the end of
 * the work with nothing left to do. */
static bool admit(struct tw_replica *r, struct tw_request *held, bool *has_held)
{
    while (r->n_active < r->engine->config.batch_size) {
        struct trawl_error why;
        if (!*has_held) {
            enum tw_pull pull = r->work->pull(r->work->user, r->n_active == 0, held);
            if (pull != TW_PULL_REQUEST) {
                return r->n_active > 0 || pull == TW_PULL_NONE_NOW;
            }
            *has_held = true;
            if (held->max_tokens > r->engine->config.max_model_len - held->n_prompt &&
                held->n_prompt <= r->engine->config.max_model_len) {
                held->max_tokens = r->engine->config.max_model_len - held->n_prompt;
            }
            if (check_request(r, held, &why) != TRAWL_OK) {
                *has_held = false;
                r->status = finish(r, held, NULL, TW_FINISH_ERROR, &why);
                if (r->status != TRAWL_OK) {
                    return false;
                }
                continue;
            }
        }
        size_t slot         = free_slot(r);
        trawl_status status = tw_sequence_begin(&r->sequences[slot], held, &r->pages, &why);
        if (status == TRAWL_ERR_LIMIT) {
            return true; /* pages come free when others finish */
        }
        *has_held = false;
        if (status != TRAWL_OK) {
            r->status = finish(r, held, NULL, TW_FINISH_ERROR, &why);
            if (r->status != TRAWL_OK) {
                return false;
            }
            continue;
        }
        r->order[r->n_active++] = slot;
    }
    return true;
}

/* ---- one step ---- */

static void step_main(void *arg, int thread, int n_threads)
{
    struct tw_replica *r       = arg;
    int threads                = r->engine->config.threads;
    struct tw_device *d        = &r->devices[thread / threads];
    const struct tw_step *step = &r->step;
    (void)n_threads;
    if (tw_device_forward(d, step, thread % threads) != TRAWL_OK) {
        return; /* all threads of all devices agree on that, and on what follows */
    }
    if (r->peers.comm != NULL && step->n_logit_rows + step->n_captures > 0) {
        tw_team_barrier(r->team);
        if (thread == 0) {
            r->collected = tw_peers_collect(r, &r->error);
        }
    }
    if (step->n_logit_rows == 0 || !tw_place_is_head(&r->engine->place)) {
        return;
    }
    tw_team_barrier(r->team);
    if (r->collected != TRAWL_OK) {
        return;
    }
    for (;;) {
        size_t i = atomic_fetch_add_explicit(&r->next_sample, 1, memory_order_relaxed);
        if (i >= step->n_logit_rows) {
            return;
        }
        const struct tw_sequence *s = r->logit_owner[i];
        const float *logits         = r->logits + i * r->engine->model->config.vocab;
        size_t position             = s->n_computed + r->logit_rows[i] - s->row;
        bool last                   = position + 1 == s->n_tokens;
        r->next_logprob[i]          = 0;
        if (!last) {
            r->next_logprob[i] = tw_sample_logprob(&r->engine->kernels, logits,
                                                   r->engine->model->config.vocab, s->tokens[position + 1]);
        } else if (s->request.max_tokens > 0) {
            r->sampled[i] = tw_sample(&r->samplers[thread], logits, &s->request.sampling, s->tokens,
                                      s->n_tokens, s->n_tokens);
        }
    }
}

static bool ends(const struct tw_replica *r, const struct tw_sequence *s, int32_t token)
{
    const struct tw_model_config *c = &r->engine->model->config;
    for (size_t i = 0; !s->request.ignore_eos && i < c->n_eos; i++) {
        if (c->eos[i] == token) {
            return true;
        }
    }
    for (size_t i = 0; i < s->request.n_stop; i++) {
        if (s->request.stop[i] == token) {
            return true;
        }
    }
    return false;
}

static trawl_status deliver_rows(struct tw_replica *r, const struct tw_sequence *s)
{
    const struct tw_work *w = r->work;
    for (size_t i = 0; w->rows != NULL && s->request.capture && i < r->step.n_captures; i++) {
        const struct tw_capture *c = &r->captures[i];
        TW_TRY(w->rows(w->user, s->request.id, i, s->n_computed, c->rows + s->row * c->width, s->n_rows,
                       c->width, &r->error));
    }
    if (w->logits != NULL && s->request.logits && s->n_computed < s->request.n_prompt) {
        size_t vocab = r->engine->model->config.vocab;
        TW_TRY(w->logits(w->user, s->request.id, s->n_computed, r->logits + s->logit_row * vocab,
                         r->next_logprob + s->logit_row, s->n_rows, vocab, &r->error));
    }
    return TRAWL_OK;
}

/* After a step: hand out what a sequence got, and find out whether it goes on. */
static trawl_status advance(struct tw_replica *r, struct tw_sequence *s, bool *done)
{
    TW_TRY(deliver_rows(r, s));
    bool prompt_done = s->n_computed + s->n_rows >= s->request.n_prompt;
    if (s->n_computed < s->request.n_prompt) {
        atomic_fetch_add_explicit(&r->engine->prompt_tokens, s->n_rows, memory_order_relaxed);
    }
    s->n_computed += s->n_rows;
    *done = false;
    if (!prompt_done) {
        return TRAWL_OK;
    }
    if (s->request.max_tokens == 0) {
        *done = true;
        return finish(r, &s->request, s, TW_FINISH_LENGTH, NULL);
    }
    const struct tw_sampled *got = &r->sampled[s->logit_row + s->n_logit_rows - 1];
    size_t n                     = s->n_tokens - s->request.n_prompt;
    s->logprobs[n]               = got->logprob;
    s->entropies[n]              = got->entropy;
    s->varentropies[n]           = got->varentropy;
    s->tokens[s->n_tokens++]     = got->token;
    atomic_fetch_add_explicit(&r->engine->generated_tokens, 1, memory_order_relaxed);
    bool stop = ends(r, s, got->token);
    if (r->work->token != NULL && !r->work->token(r->work->user, s->request.id, got->token, got->logprob)) {
        stop = true;
    }
    if (stop || n + 1 == s->request.max_tokens) {
        *done = true;
        return finish(r, &s->request, s, stop ? TW_FINISH_STOP : TW_FINISH_LENGTH, NULL);
    }
    return TRAWL_OK;
}

static trawl_status prepare_devices(struct tw_replica *r)
{
    for (int i = 0; i < r->engine->place.n_devices; i++) {
        TW_TRY(tw_device_prepare(&r->devices[i], &r->step, &r->error));
    }
    return TRAWL_OK;
}

/* r->step through the devices, and what was wanted of it into r->sampled and r->next_logprob. */
static trawl_status compute_step(struct tw_replica *r)
{
    atomic_store_explicit(&r->next_sample, 0, memory_order_relaxed);
    r->collected = TRAWL_OK;
    tw_team_run(r->team, step_main, r);
    for (int i = 0; i < r->engine->place.n_devices; i++) {
        int failed = atomic_load_explicit(&r->devices[i].failed, memory_order_relaxed);
        if (failed != TRAWL_OK) {
            r->error = r->devices[i].error;
            return (trawl_status)failed;
        }
    }
    return r->collected;
}

static trawl_status run_step(struct tw_replica *r)
{
    tw_replica_build_step(r);
    r->step.captures   = r->captures;
    r->step.n_captures = 0;
    for (size_t i = 0; i < r->n_active; i++) {
        const struct tw_sequence *s = &r->sequences[r->order[i]];
        if (s->n_rows > 0 && s->request.capture) {
            r->step.n_captures = r->n_sites;
        }
    }
    TW_TRY(prepare_devices(r));
    if (r->peers.comm != NULL) {
        TW_TRY(tw_peers_send_step(r, &r->error));
    }
    TW_TRY(compute_step(r));
    size_t kept = 0;
    for (size_t i = 0; i < r->n_active; i++) {
        struct tw_sequence *s = &r->sequences[r->order[i]];
        bool done             = false;
        if (s->n_rows > 0) {
            TW_TRY(advance(r, s, &done));
        }
        if (done) {
            tw_sequence_end(s, &r->pages);
        } else {
            r->order[kept++] = r->order[i];
        }
    }
    r->n_active = kept;
    return TRAWL_OK;
}

/* The run is over before its work: everything that was taken is given back. */
static void drop_all(struct tw_replica *r, const struct tw_request *held, bool has_held, enum tw_finish how)
{
    for (size_t i = 0; i < r->n_active; i++) {
        struct tw_sequence *s = &r->sequences[r->order[i]];
        if (how == TW_FINISH_CANCELLED) {
            (void)finish(r, &s->request, s, how, NULL);
        }
        tw_sequence_end(s, &r->pages);
    }
    if (has_held && how == TW_FINISH_CANCELLED) {
        (void)finish(r, held, NULL, how, NULL);
    }
    r->n_active = 0;
}

static void run_loop(struct tw_replica *r)
{
    struct tw_request held = {0};
    bool has_held          = false;
    for (;;) {
        if (atomic_load(&r->engine->cancelled) || atomic_load(&r->engine->failed)) {
            drop_all(r, &held, has_held, TW_FINISH_CANCELLED);
            r->status = TRAWL_ERR_CANCELLED;
            (void)tw_fail(&r->error, TRAWL_ERR_CANCELLED, "stopped on request");
            return;
        }
        bool more = admit(r, &held, &has_held);
        if (r->status == TRAWL_OK && r->n_active > 0) {
            r->status = run_step(r);
        }
        if (r->status != TRAWL_OK) {
            atomic_store(&r->engine->failed, true);
            drop_all(r, &held, has_held, TW_FINISH_ERROR);
            r->work->stop(r->work->user);
            return;
        }
        if (!more) {
            return;
        }
    }
}

void tw_replica_loop(struct tw_replica *r)
{
    tw_float_mode_compute();
    run_loop(r);
    if (r->peers.comm != NULL) {
        struct trawl_error why;
        trawl_status status = tw_peers_send_end(r, &why);
        if (r->status == TRAWL_OK && status != TRAWL_OK) {
            r->status = status;
            r->error  = why;
        }
    }
}

void tw_replica_follow(struct tw_replica *r)
{
    bool end = false;
    tw_float_mode_compute();
    while (r->status == TRAWL_OK) {
        r->status = tw_peers_receive_step(r, &end, &r->error);
        if (end) {
            return;
        }
        if (r->status == TRAWL_OK) {
            r->status = prepare_devices(r);
            if (r->status != TRAWL_OK) {
                tw_comm_abort(r->peers.comm, &r->error);
            }
        }
        if (r->status == TRAWL_OK) {
            r->status = compute_step(r);
        }
    }
}
