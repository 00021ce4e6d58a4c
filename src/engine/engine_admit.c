/* SPDX-License-Identifier: MIT */
/* Admission: requests become groups, in order, while the batch has slots and the cache has pages for their
 * prompts. Answers take pages as they grow. When none are left the youngest group is preempted: it gives up its
 * pages, keeps its place, and goes on when there is room again, before anything new begins. So the groups that
 * run are the oldest ones, and the oldest always gets on. */
#include "base/size.h"
#include "engine/engine_int.h"

/* A step has room for as many rows of logits as decoding branches leave: all that is computed together must fit, if
 * logits of it are wanted. */
static trawl_status check_logit_rows(const struct tw_replica *r, const struct tw_request *q,
                                     struct trawl_error *err)
{
    size_t rows = r->max_logit_rows - r->engine->config.batch_size;
    struct trawl_error why;
    bool behind = q->mask.kind == TW_MASK_PREFIX && q->logits_from >= q->mask.prefix;
    if (!q->logits || behind || tw_mask_check(&q->mask, q->n_prompt, rows, &why) == TRAWL_OK) {
        return TRAWL_OK;
    }
    return tw_fail(
        err, TRAWL_ERR_LIMIT,
        "attention mask: more than %zu positions see each other ahead and must be computed in one step, "
        "which "
        "gives logits of %zu at most%s",
        rows, rows,
        q->mask.kind == TW_MASK_PREFIX ? ": they can be had from behind the prefix on (logits_from)" : "");
}

/* Every step has room for prefill_chunk rows of the oldest prompt. */
static trawl_status check_mask(const struct tw_replica *r, const struct tw_request *q,
                               struct trawl_error *err)
{
    if (q->kind != TW_REQUEST_SAMPLE && (q->mask.prune || q->mask.kind == TW_MASK_BLOCK_DIAGONAL)) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                       "attention mask: %s is for sampled answers, not for beams, n-best search and scoring",
                       q->mask.prune ? "attention_window" : "block_diagonal");
    }
    TW_TRY(tw_mask_check(&q->mask, q->n_prompt, r->engine->config.prefill_chunk, err));
    return check_logit_rows(r, q, err);
}

static trawl_status check_rows(const struct tw_request *q, struct trawl_error *err)
{
    if (q->capture && q->capture_from > q->n_prompt) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "capture_from is %zu, expected 0 to the %zu tokens of the prompt", q->capture_from,
                       q->n_prompt);
    }
    if (q->logits && q->logits_from >= q->n_prompt) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "logits_from is %zu, expected less than the %zu tokens of the prompt", q->logits_from,
                       q->n_prompt);
    }
    return TRAWL_OK;
}

/* Why a request can never run here, if so. */
static trawl_status check_request(const struct tw_replica *r, const struct tw_request *q,
                                  struct trawl_error *err)
{
    size_t limit = r->engine->config.max_model_len, vocab = r->engine->model->config.vocab;
    const struct tw_group_kind *kind = tw_group_kind_of(q);
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
    for (size_t i = 0; i < q->n_stop; i++) {
        if (q->stop[i] < 0 || (size_t)q->stop[i] >= vocab) {
            return tw_fail(err, TRAWL_ERR_INVALID, "stop_token_ids holds %d, the vocabulary has %zu ids",
                           (int)q->stop[i], vocab);
        }
    }
    if (kind->check != NULL) {
        TW_TRY(kind->check(r, q, err));
    }
    TW_TRY(check_rows(q, err));
    TW_TRY(check_mask(r, q, err));
    TW_TRY(tw_limits_check(q, err));
    TW_TRY(tw_replica_check_timeout(q, err));
    size_t pages = kind->pages(r, q);
    if (pages > r->pages.n_pages) {
        return tw_fail(err, TRAWL_ERR_LIMIT,
                       "%zu prompt and %zu new tokens need %zu KV pages of %d tokens, the cache has %zu",
                       q->n_prompt, q->max_tokens, pages, TW_KV_BLOCK, r->pages.n_pages);
    }
    TW_TRY(tw_sample_params_check(&q->sampling, err));
    return tw_sample_params_check_ids(&q->sampling, vocab, err);
}

/* Before max_tokens is cut to what the context holds. */
static trawl_status check_lengths(const struct tw_request *q, struct trawl_error *err)
{
    if (q->sampling.min_tokens > q->max_tokens) {
        return tw_fail(err, TRAWL_ERR_INVALID, "min_tokens is %zu, more than max_tokens, which is %zu",
                       q->sampling.min_tokens, q->max_tokens);
    }
    return TRAWL_OK;
}

static trawl_status refuse(struct tw_replica *r, const struct trawl_error *why)
{
    r->has_held = false;
    return tw_group_report(r, &r->held, TW_FINISH_ERROR, NULL, 0, why);
}

/* The next request becomes r->held; one that can never run is refused and leaves it empty. */
static enum tw_pull pull(struct tw_replica *r)
{
    struct tw_request *q = &r->held;
    size_t limit         = r->engine->config.max_model_len;
    struct trawl_error why;
    if (r->n_groups == 0) {
        tw_replica_tell(r); /* nothing runs for as long as this takes: whoever looks has to see that */
    }
    enum tw_pull answer = r->work->pull(r->work->user, r->n_groups == 0, q);
    if (answer != TW_PULL_REQUEST) {
        return answer;
    }
    r->has_held         = true;
    trawl_status status = check_lengths(q, &why);
    if (q->n_prompt <= limit && q->max_tokens > limit - q->n_prompt) {
        q->max_tokens = limit - q->n_prompt; /* the context is full then */
    }
    if (status != TRAWL_OK || check_request(r, q, &why) != TRAWL_OK) {
        r->status = refuse(r, &why);
    } else {
        (void)tw_replica_end_held(r);
    }
    return answer;
}

/* ---- room ---- */

/* Page table for what is wanted, and one page more, if it has room for more. */
static size_t and_one_more(const struct tw_sequence *s)
{
    return tw_min_size(tw_mask_pages(&s->group->request.mask, s->n_wanted) + 1, s->page_capacity);
}

/* Pages that a branch lacks of these: of one that gives pages back never more than it holds at a time. */
static size_t lacking(const struct tw_replica *r, const struct tw_sequence *s)
{
    size_t wanted = and_one_more(s), n = wanted > s->n_pages ? wanted - s->n_pages : 0;
    return tw_min_size(
        n, tw_mask_pages_held(&s->group->request.mask, s->capacity, r->engine->config.prefill_chunk));
}

/* Pages that the running groups lack for what they compute next and to grow a little. */
static size_t outstanding(const struct tw_replica *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_running; i++) {
        const struct tw_group *g = r->groups[i];
        for (size_t j = 0; j < g->width; j++) {
            n += g->branches[j].active && !g->branches[j].spare ? lacking(r, &g->branches[j]) : 0;
        }
    }
    return n;
}

/* Of the first n pages of these tokens, those that cost nothing because running groups hold them. */
static size_t shared(const struct tw_replica *r, const struct tw_request *q, const int32_t *tokens, size_t n)
{
    return tw_replica_shares(r, q) ? tw_kv_prefix_held(&r->prefix, tw_replica_space(r, q), tokens, n) : 0;
}

/* The first group to run always has room: check_request saw that it fits the cache. */
static bool has_room(const struct tw_replica *r, size_t n_pages)
{
    size_t available = r->pages.n_free + r->pages.n_idle, promised = outstanding(r);
    return r->n_running == 0 || (available >= promised && available - promised >= n_pages);
}

static bool has_room_for(const struct tw_replica *r, const struct tw_request *q)
{
    const struct tw_group_kind *kind = tw_group_kind_of(q);
    size_t width                     = kind->width(r, q);
    size_t n_pages = tw_min_size(tw_mask_pages(&q->mask, q->n_prompt) + width, kind->pages(r, q));
    n_pages -= shared(r, q, q->prompt, tw_replica_unwanted(r, q) / TW_KV_BLOCK);
    return width <= r->engine->config.batch_size - r->n_slots && has_room(r, n_pages);
}

/* ---- preemption ---- */

void tw_replica_preempt(struct tw_replica *r)
{
    tw_group_suspend(r, r->groups[--r->n_running]);
    r->stats.preemptions++;
}

/* The whole pages of the prompt are shared by all branches. */
static size_t pages_to_resume(const struct tw_replica *r, const struct tw_group *g)
{
    const struct tw_request *q  = &g->request;
    const struct tw_sequence *s = &g->branches[0];
    if (g->anew) {
        return tw_mask_pages(&q->mask, q->n_prompt) + g->slots;
    }
    size_t n = lacking(r, s) - shared(r, q, s->tokens, tw_replica_reusable(r, s));
    for (size_t j = 1; j < g->width; j++) {
        n += g->branches[j].active ? lacking(r, &g->branches[j]) - q->n_prompt / TW_KV_BLOCK : 0;
    }
    return n;
}

/* Preempted groups go on, oldest first, before anything new begins. */
static void resume(struct tw_replica *r)
{
    while (r->status == TRAWL_OK && r->n_running < r->n_groups &&
           has_room(r, pages_to_resume(r, r->groups[r->n_running]))) {
        struct tw_group *g = r->groups[r->n_running];
        struct trawl_error why;
        if (tw_group_resume(r, g, &why) == TRAWL_OK) {
            r->n_running++;
            continue;
        }
        r->status = tw_group_report(r, &g->request, TW_FINISH_ERROR, NULL, 0, &why);
        tw_replica_dismiss(r, r->n_running);
    }
}

/* ---- admission ---- */

bool tw_replica_admit(struct tw_replica *r)
{
    resume(r);
    while (r->status == TRAWL_OK && r->n_slots < r->engine->config.batch_size &&
           r->n_running == r->n_groups) {
        struct tw_group *g = NULL;
        struct trawl_error why;
        if (!r->has_held) {
            enum tw_pull answer = pull(r);
            if (answer != TW_PULL_REQUEST) {
                return r->n_groups > 0 || answer == TW_PULL_NONE_NOW;
            }
            continue;
        }
        if (!has_room_for(r, &r->held)) {
            return true; /* slots and pages come free when others finish */
        }
        if (tw_group_new(&g, r, &r->held, &why) != TRAWL_OK) {
            r->status = refuse(r, &why);
            continue;
        }
        r->has_held = false;
        r->n_slots += g->slots;
        r->groups[r->n_groups++] = g;
        r->n_running++;
    }
    return r->status == TRAWL_OK;
}

void tw_replica_dismiss(struct tw_replica *r, size_t group)
{
    struct tw_group *g = r->groups[group];
    r->n_slots -= g->slots;
    r->n_running -= group < r->n_running ? 1 : 0;
    r->n_groups--;
    for (size_t i = group; i < r->n_groups; i++) {
        r->groups[i] = r->groups[i + 1];
    }
    tw_group_free(g, &r->pages);
}
