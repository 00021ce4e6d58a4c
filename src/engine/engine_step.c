/* SPDX-License-Identifier: MIT */
/* One step of a replica: what was planned as one ragged batch, through the devices, and what came out back to the
 * groups. */
#include "base/size.h"
#include "engine/engine_int.h"

/* ---- building ---- */

/* Put the planned rows of a branch into the step. */
static trawl_status add_rows(struct tw_replica *r, struct tw_sequence *s)
{
    const struct tw_request *q = &s->group->request;
    struct tw_step *step       = &r->step;
    size_t n                   = s->n_rows;
    s->row                     = step->n_rows;
    s->n_logit_rows            = tw_sequence_logits(s, n);
    s->logit_row               = step->n_logit_rows;
    size_t first = s->segment = step->n_segments;
    TW_TRY(tw_step_masks_add(&r->masks, &q->mask, q->n_prompt, s->pages, s->n_computed, n, s->row,
                             r->segments, &step->n_segments, &r->error));
    for (size_t i = 0; i < n; i++) {
        r->tokens[s->row + i] = s->tokens[s->n_computed + i];
    }
    for (size_t i = first; i < step->n_segments; i++) {
        r->segments[i].entropies = q->attn_entropy && q->max_tokens > 0 && s->n_computed + n >= q->n_prompt;
        r->segments[i].masses    = q->mask.kind == TW_MASK_HEAVY;
        for (size_t j = 0; j < r->segments[i].n_rows; j++) {
            r->row_segment[r->segments[i].row + j] = (uint32_t)i;
        }
    }
    for (size_t i = 0; i < s->n_logit_rows; i++) {
        r->logit_rows[step->n_logit_rows]  = (uint32_t)(s->row + n - s->n_logit_rows + i);
        r->logit_owner[step->n_logit_rows] = s;
        step->n_logit_rows++;
    }
    step->n_rows += n;
    return TRAWL_OK;
}

/* r->step from what was planned: decoding branches first, then pieces of longer ones. */
static trawl_status build(struct tw_replica *r)
{
    tw_step_masks_clear(&r->masks);
    r->step = (struct tw_step){
        .tokens      = r->tokens,
        .row_segment = r->row_segment,
        .segments    = r->segments,
        .logit_rows  = r->logit_rows,
        .logits      = r->logits,
        .captures    = r->captures,
        .copies      = r->copies.list,
        .n_copies    = r->copies.n,
        .shallow     = true,
    };
    for (int pieces = 0; pieces < 2; pieces++) {
        for (size_t i = 0; i < r->n_running; i++) {
            struct tw_group *g = r->groups[i];
            for (size_t j = 0; j < g->width; j++) {
                struct tw_sequence *s = &g->branches[j];
                if (s->n_rows == 0 || tw_sequence_decoding(s) == (pieces == 1)) {
                    continue;
                }
                TW_TRY(add_rows(r, s));
                r->step.shallow = r->step.shallow && tw_replica_is_shallow(r, &g->request);
                if (g->request.capture) {
                    r->step.n_captures = r->n_sites;
                }
            }
        }
    }
    tw_step_masks_point(&r->masks, r->segments, r->step.n_segments);
    return TRAWL_OK;
}

/* ---- running ---- */

static void read_logits(struct tw_replica *r, size_t i, struct tw_sampler *sampler)
{
    struct tw_sequence *s   = r->logit_owner[i];
    struct tw_group_row row = {.branch   = s,
                               .position = s->n_computed + r->logit_rows[i] - s->row,
                               .index    = i,
                               .logits   = r->logits + i * r->engine->model->config.vocab,
                               .sampler  = sampler};
    s->group->kind->row(r, &row);
}

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
    if (r->peers.comm != NULL && step->n_logit_rows + step->n_captures + step->attention.n_masses > 0) {
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
        read_logits(r, i, &r->samplers[thread]);
    }
}

trawl_status tw_replica_prepare(struct tw_replica *r)
{
    TW_TRY(tw_attention_prepare(r));
    for (int i = 0; i < r->engine->place.n_devices; i++) {
        TW_TRY(tw_device_prepare(&r->devices[i], &r->step, &r->error));
    }
    return TRAWL_OK;
}

trawl_status tw_replica_compute(struct tw_replica *r)
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

/* ---- handing out ---- */

/* Rows that a request has been given already, before it was preempted, are not given again. */
static trawl_status deliver_rows(struct tw_replica *r, const struct tw_sequence *s)
{
    const struct tw_work *w    = r->work;
    const struct tw_request *q = &s->group->request;
    size_t end = s->n_computed + s->n_rows, first = tw_max_size(s->n_computed, s->group->n_delivered);
    size_t from = tw_max_size(first, q->capture_from), row = s->row + from - s->n_computed;
    for (size_t i = 0; w->rows != NULL && q->capture && from < end && i < r->step.n_captures; i++) {
        const struct tw_capture *c = &r->captures[i];
        TW_TRY(w->rows(w->user, q->id, i, from, c->rows + row * c->width, end - from, c->width, &r->error));
    }
    end  = tw_min_size(end, q->n_prompt);
    from = tw_max_size(first, q->logits_from);
    if (w->logits != NULL && q->logits && from < end) {
        size_t vocab = r->engine->model->config.vocab;
        size_t at    = s->logit_row + s->n_logit_rows - (s->n_computed + s->n_rows - from);
        TW_TRY(w->logits(w->user, q->id, from, r->logits + at * vocab, r->next_logprob + at, end - from,
                         vocab, &r->error));
    }
    return TRAWL_OK;
}

static trawl_status after_step(struct tw_replica *r, struct tw_group *g, bool *done)
{
    bool moved = false;
    *done      = false;
    for (size_t j = 0; j < g->width; j++) {
        struct tw_sequence *s = &g->branches[j];
        if (s->n_drafts > 0) {
            g->kind->settle(r, g);
        }
        if (s->n_rows > 0) {
            TW_TRY(deliver_rows(r, s));
            s->n_computed += s->n_rows;
            tw_replica_remember(r, s);
            tw_attention_take(r, s);
            tw_sequence_prune(s, &r->pages);
            moved = true;
        }
    }
    return moved ? g->kind->advance(r, g, done) : TRAWL_OK;
}

/* Nothing can be computed, not even of the oldest request alone: somebody else holds pages that it needs. */
static trawl_status refuse_oldest(struct tw_replica *r)
{
    struct trawl_error why;
    const struct tw_request *q = &r->groups[0]->request;
    (void)tw_fail(&why, TRAWL_ERR_LIMIT,
                  "%zu prompt and %zu new tokens do not fit: of %zu KV pages of %d tokens, %zu are held by "
                  "others",
                  q->n_prompt, q->max_tokens, r->pages.n_pages, TW_KV_BLOCK, tw_kv_pages_held(&r->pages));
    TW_TRY(tw_group_report(r, q, TW_FINISH_ERROR, NULL, 0, &why));
    tw_replica_dismiss(r, 0);
    return TRAWL_OK;
}

trawl_status tw_replica_step(struct tw_replica *r)
{
    TW_TRY(tw_replica_plan(r));
    TW_TRY(build(r));
    if (r->step.n_rows == 0) {
        return refuse_oldest(r);
    }
    TW_TRY(tw_replica_prepare(r));
    if (r->peers.comm != NULL) {
        TW_TRY(tw_peers_send_step(r, &r->error));
    }
    TW_TRY(tw_replica_compute(r));
    tw_replica_count_step(r);
    tw_replica_tell(r); /* whoever has the last result has its counters */
    for (size_t i = 0; i < r->n_running;) {
        bool done = false;
        TW_TRY(after_step(r, r->groups[i], &done));
        if (done) {
            tw_replica_dismiss(r, i);
        } else {
            i++;
        }
    }
    return TRAWL_OK;
}
