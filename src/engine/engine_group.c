/* SPDX-License-Identifier: MIT */
#include "engine/engine_group.h"

#include <string.h>

#include "base/alloc.h"
#include "engine/engine_int.h"

const struct tw_group_kind *tw_group_kind_of(const struct tw_request *q)
{
    switch (q->kind) {
    case TW_REQUEST_SAMPLE: break;
    case TW_REQUEST_BEAM: return &tw_group_beam;
    case TW_REQUEST_SCORE: return &tw_group_score;
    case TW_REQUEST_NBEST: return &tw_group_nbest;
    }
    return &tw_group_sample;
}

trawl_status tw_group_new(struct tw_group **out, struct tw_replica *r, const struct tw_request *q,
                          struct trawl_error *err)
{
    struct tw_group *g = NULL;
    *out               = NULL;
    TW_TRY(tw_alloc(1, sizeof *g, &g, err));
    g->request          = *q;
    g->kind             = tw_group_kind_of(q);
    g->slots            = g->kind->width(r, q);
    g->width            = g->slots + g->kind->n_spare;
    trawl_status status = tw_alloc(g->width, sizeof *g->branches, &g->branches, err);
    if (status == TRAWL_OK) {
        status = g->kind->begin(r, g, err);
    }
    if (status != TRAWL_OK) {
        tw_group_free(g, &r->pages);
        return status;
    }
    *out = g;
    return TRAWL_OK;
}

void tw_group_free(struct tw_group *g, struct tw_kv_pages *pages)
{
    for (size_t i = 0; g->branches != NULL && i < g->width; i++) {
        tw_sequence_release(&g->branches[i], pages);
    }
    if (g->state != NULL) {
        g->kind->end(g);
    }
    tw_limits_free(g->limits);
    tw_free(g->branches);
    tw_free(g);
}

void tw_group_suspend(struct tw_replica *r, struct tw_group *g)
{
    (void)tw_group_shed(r, g);
    g->anew = g->slots > 1 && !tw_replica_shares(r, &g->request);
    for (size_t i = 0; i < g->width; i++) {
        struct tw_sequence *s = &g->branches[i];
        g->n_delivered        = tw_max_size(g->n_delivered, s->n_computed);
        if (g->anew) {
            tw_sequence_release(s, &r->pages);
        } else {
            tw_sequence_suspend(s, &r->pages);
        }
    }
    if (g->anew && g->state != NULL) {
        g->kind->end(g);
        g->state = NULL;
    }
}

trawl_status tw_group_resume(struct tw_replica *r, struct tw_group *g, struct trawl_error *err)
{
    return g->anew ? g->kind->begin(r, g, err) : TRAWL_OK;
}

bool tw_group_shed(struct tw_replica *r, struct tw_group *g)
{
    return g->kind->shed != NULL && g->kind->shed(r, g);
}

trawl_status tw_group_start(struct tw_group *g, size_t n_new, size_t n_measured, size_t first_logits,
                            struct trawl_error *err)
{
    const struct tw_request *q = &g->request;
    struct tw_sequence *first  = &g->branches[0];
    for (size_t j = 0; j < g->width; j++) {
        TW_TRY(tw_sequence_init(&g->branches[j], g, q->n_prompt + n_new, n_measured, err));
        g->branches[j].active = j == 0;
        g->branches[j].spare  = j >= g->slots;
    }
    memcpy(first->tokens, q->prompt, q->n_prompt * sizeof *first->tokens);
    first->n_tokens = first->n_wanted = q->n_prompt;
    first->first_logits               = first_logits;
    return TRAWL_OK;
}

trawl_status tw_group_report(struct tw_replica *r, const struct tw_request *q, enum tw_finish how,
                             const struct tw_output *outputs, size_t n_outputs, const struct trawl_error *why)
{
    struct tw_result result = {.id        = q->id,
                               .finish    = how,
                               .outputs   = outputs,
                               .n_outputs = n_outputs,
                               .n_prompt  = q->n_prompt,
                               .error     = why};
    return r->work->finished(r->work->user, &result, &r->error);
}

struct tw_sample_input tw_group_sample_input(const struct tw_replica *r, const struct tw_sequence *s,
                                             const float *logits)
{
    const struct tw_request *q      = &s->group->request;
    const struct tw_model_config *c = &r->engine->model->config;
    return (struct tw_sample_input){
        .logits     = logits,
        .params     = &q->sampling,
        .history    = s->tokens,
        .n_history  = s->n_tokens,
        .n_prompt   = q->n_prompt,
        .position   = s->n_tokens,
        .end_tokens = {{.ids = c->eos, .n = q->ignore_eos ? 0 : c->n_eos}, {.ids = q->stop, .n = q->n_stop}}};
}

trawl_status tw_group_check_search(const struct tw_replica *r, const struct tw_request *q, const char *what,
                                   struct trawl_error *err)
{
    if (q->sampling.temperature > 0) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s with temperature %g: expected 0, nothing is drawn",
                       what, q->sampling.temperature);
    }
    if (q->sampling.policy.on) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s with an entropy policy: nothing is drawn", what);
    }
    if (q->sampling.top_logprobs > 0) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s reports no top_logprobs, here %zu are wanted", what,
                       q->sampling.top_logprobs);
    }
    if (q->attn_entropy) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s reports no entropies of attention (attn_entropy)",
                       what);
    }
    if (r->work->allowed != NULL) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s in a run whose caller says which tokens are allowed",
                       what);
    }
    if (q->capture || q->logits) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s: %s are had from requests without it", what,
                       q->capture ? "activations" : "logits of the prompt");
    }
    return TRAWL_OK;
}

trawl_status tw_group_check_plain(const struct tw_replica *r, const struct tw_request *q, const char *what,
                                  struct trawl_error *err)
{
    const struct tw_sample_params *p = &q->sampling;
    bool penalty = p->repetition_penalty < 1 || p->repetition_penalty > 1 || p->presence_penalty < 0 ||
                   p->presence_penalty > 0 || p->frequency_penalty < 0 || p->frequency_penalty > 0;
    if (penalty || p->no_repeat_ngram_size > 0 || p->min_tokens > 0 || p->n_bias > 0 ||
        p->n_suppress_tokens > 0) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                       "%s takes the model's probabilities as they are: penalties, no_repeat_ngram_size, "
                       "min_tokens, logit_bias and suppressed tokens cannot be had with it",
                       what);
    }
    return tw_group_check_search(r, q, what, err);
}

bool tw_group_ends(const struct tw_replica *r, const struct tw_request *q, int32_t token)
{
    const struct tw_model_config *c = &r->engine->model->config;
    for (size_t i = 0; !q->ignore_eos && i < c->n_eos; i++) {
        if (c->eos[i] == token) {
            return true;
        }
    }
    for (size_t i = 0; i < q->n_stop; i++) {
        if (q->stop[i] == token) {
            return true;
        }
    }
    return false;
}
