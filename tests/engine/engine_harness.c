/* SPDX-License-Identifier: MIT */
#include "engine_harness.h"

#include "kv/kv_memory.h"
#include "support/test.h"

struct tw_engine *harness_open(const char *dir, bool bf16, const struct harness_way *w)
{
    struct trawl_error err;
    struct tw_engine_config c;
    struct tw_engine *engine = NULL;
    tw_engine_config_init(&c);
    c.model_path    = dir;
    c.mesh          = w->mesh;
    c.compute       = bf16 ? TW_DTYPE_BF16 : TW_DTYPE_F32;
    c.kv_dtype      = c.compute;
    c.threads       = w->threads;
    c.prefill_chunk = w->chunk;
    c.batch_size    = w->batch;
    c.isa           = w->isa;
    c.max_model_len = 2048;
    assert_ok(tw_engine_open(&engine, &c, &err));
    if (w->kv_pages > 0) { /* again, with so many pages */
        const struct tw_model_config *m = &tw_engine_model(engine)->config;
        c.kv_cache_bytes =
            w->kv_pages * tw_kv_page_bytes(c.kv_dtype, m->n_layers, m->n_kv_heads, m->head_dim);
        tw_engine_close(engine);
        assert_ok(tw_engine_open(&engine, &c, &err));
    }
    return engine;
}

void harness_init(struct harness *h)
{
    memset(h, 0, sizeof *h);
    (void)pthread_mutex_init(&h->lock, NULL);
}

void harness_free(struct harness *h)
{
    for (size_t i = 0; i < HARNESS_REQUESTS; i++) {
        for (size_t s = 0; s < HARNESS_SITES; s++) {
            free(h->answers[i].rows[s]);
        }
        free(h->answers[i].logits);
        free(h->answers[i].prompt_logprobs);
        free(h->answers[i].outputs);
    }
    (void)pthread_mutex_destroy(&h->lock);
}

struct tw_request *harness_add(struct harness *h, const int32_t *prompt, size_t n, size_t max_tokens)
{
    struct tw_request *q = &h->requests[h->n_requests];
    *q = (struct tw_request){.id = h->n_requests, .prompt = prompt, .n_prompt = n, .max_tokens = max_tokens};
    tw_sample_params_init(&q->sampling);
    h->n_requests++;
    return q;
}

static enum tw_pull pull(void *user, bool wait, struct tw_request *out)
{
    struct harness *h   = user;
    enum tw_pull answer = TW_PULL_END;
    (void)wait;
    (void)pthread_mutex_lock(&h->lock);
    if (h->next < h->n_requests) {
        *out = h->requests[h->backwards ? h->n_requests - 1 - h->next : h->next];
        h->next++;
        answer = TW_PULL_REQUEST;
    }
    (void)pthread_mutex_unlock(&h->lock);
    return answer;
}

static void *grown(void *p, size_t bytes)
{
    void *q = realloc(p, bytes);
    if (q == NULL) {
        abort();
    }
    return q;
}

static trawl_status rows(void *user, uint64_t id, size_t site, size_t position, const float *from, size_t n,
                         size_t width, struct trawl_error *err)
{
    struct harness *h        = user;
    struct harness_answer *a = &h->answers[id];
    (void)pthread_mutex_lock(&h->lock);
    size_t call = ++h->n_rows_calls;
    (void)pthread_mutex_unlock(&h->lock);
    if (call == h->fail_rows_at) {
        return tw_fail(err, TRAWL_ERR_IO, "rows refused on purpose");
    }
    if (position != h->requests[id].capture_from + a->n_rows[site]) {
        return tw_fail(err, TRAWL_ERR_INVALID, "rows out of order");
    }
    a->rows[site] = grown(a->rows[site], (a->n_rows[site] + n) * width * sizeof(float));
    memcpy(a->rows[site] + a->n_rows[site] * width, from, n * width * sizeof(float));
    a->n_rows[site] += n;
    return TRAWL_OK;
}

static trawl_status logits(void *user, uint64_t id, size_t position, const float *from, const float *logprobs,
                           size_t n, size_t vocab, struct trawl_error *err)
{
    struct harness *h        = user;
    struct harness_answer *a = &h->answers[id];
    (void)err;
    position -= h->requests[id].logits_from;
    a->logits          = grown(a->logits, (position + n) * vocab * sizeof(float));
    a->prompt_logprobs = grown(a->prompt_logprobs, (position + n) * sizeof(float));
    memcpy(a->logits + position * vocab, from, n * vocab * sizeof(float));
    memcpy(a->prompt_logprobs + position, logprobs, n * sizeof(float));
    return TRAWL_OK;
}

static bool token(void *user, uint64_t id, const struct tw_told_token *told)
{
    struct harness *h = user;
    bool more         = true;
    (void)told;
    (void)pthread_mutex_lock(&h->lock);
    h->n_tokens[id]++;
    if (h->on_token != NULL) {
        more = h->on_token(h->on_token_user, id, h->n_tokens[id]);
    }
    (void)pthread_mutex_unlock(&h->lock);
    return more;
}

static void keep_outputs(struct harness_answer *a, const struct tw_result *r)
{
    a->outputs   = grown(a->outputs, (r->n_outputs + 1) * sizeof *a->outputs);
    a->n_outputs = r->n_outputs;
    a->n_nodes   = r->n_nodes;
    a->truncated = r->truncated;
    memset(a->outputs, 0, r->n_outputs * sizeof *a->outputs);
    for (size_t i = 0; i < r->n_outputs; i++) {
        const struct tw_output *from = &r->outputs[i];
        struct harness_output *to    = &a->outputs[i];
        to->n_tokens                 = from->n_tokens;
        to->score                    = from->score;
        to->finish                   = from->finish;
        for (size_t k = 0; k < from->n_tokens && k < HARNESS_TOKENS; k++) {
            to->tokens[k]       = from->tokens[k];
            to->logprobs[k]     = from->logprobs[k];
            to->entropies[k]    = from->entropies[k];
            to->varentropies[k] = from->varentropies[k];
            for (size_t j = 0; j < from->n_top && j < HARNESS_TOP; j++) {
                to->top[k][j] = from->top[k * from->n_top + j];
            }
            if (from->attn_entropies != NULL) {
                to->attn_entropies[k]    = from->attn_entropies[k];
                to->attn_varentropies[k] = from->attn_varentropies[k];
            }
        }
    }
}

static trawl_status finished(void *user, const struct tw_result *r, struct trawl_error *err)
{
    struct harness *h        = user;
    struct harness_answer *a = &h->answers[r->id];
    (void)pthread_mutex_lock(&h->lock);
    size_t call = ++h->n_finished;
    (void)pthread_mutex_unlock(&h->lock);
    if (call == h->fail_finished_at) {
        return tw_fail(err, TRAWL_ERR_IO, "result refused on purpose");
    }
    a->finished++;
    a->finish   = r->finish;
    a->n_tokens = r->n_outputs == 0 ? 0 : r->outputs[0].n_tokens;
    for (size_t i = 0; i < a->n_tokens && i < HARNESS_TOKENS; i++) {
        a->tokens[i]    = r->outputs[0].tokens[i];
        a->logprobs[i]  = r->outputs[0].logprobs[i];
        a->entropies[i] = r->outputs[0].entropies[i];
    }
    keep_outputs(a, r);
    if (r->error != NULL) {
        (void)snprintf(a->error, sizeof a->error, "%s", r->error->message);
    }
    return TRAWL_OK;
}

static void stop(void *user)
{
    struct harness *h = user;
    (void)pthread_mutex_lock(&h->lock);
    h->next = h->n_requests;
    (void)pthread_mutex_unlock(&h->lock);
}

trawl_status harness_run(struct harness *h, struct tw_engine *engine, const struct tw_site *sites,
                         size_t n_sites, struct trawl_error *err)
{
    struct tw_work w = {
        .user = h, .pull = pull, .rows = rows, .logits = logits, .finished = finished, .stop = stop};
    w.token       = h->no_token ? NULL : token;
    w.allowed     = h->allowed;
    h->next       = 0;
    h->n_finished = h->n_rows_calls = 0;
    memset(h->n_tokens, 0, sizeof h->n_tokens);
    for (size_t i = 0; i < HARNESS_REQUESTS; i++) { /* a harness may run again */
        struct harness_answer *a = &h->answers[i];
        a->finished              = 0;
        a->n_tokens              = 0;
        a->error[0]              = '\0';
        memset(a->n_rows, 0, sizeof a->n_rows);
    }
    return tw_engine_run(engine, &w, sites, n_sites, err);
}

static void assert_floats(const float *a, const float *b, size_t n, const char *what, size_t request)
{
    if (n > 0 && memcmp(a, b, n * sizeof *a) != 0) {
        size_t i = 0;
        while (memcmp(&a[i], &b[i], sizeof *a) == 0) {
            i++;
        }
        fail_msg("request %zu, %s: element %zu of %zu is %.9g in one run and %.9g in the other", request,
                 what, i, n, (double)a[i], (double)b[i]);
    }
}

void harness_assert_equal(const struct harness *a, const struct harness *b, const struct tw_engine *engine,
                          const struct tw_site *sites, size_t n_sites)
{
    const struct tw_model_config *c = &tw_engine_model(engine)->config;
    assert_int_equal(a->n_requests, b->n_requests);
    for (size_t i = 0; i < a->n_requests; i++) {
        const struct harness_answer *x = &a->answers[i], *y = &b->answers[i];
        assert_int_equal(x->finish, y->finish);
        assert_int_equal(x->n_tokens, y->n_tokens);
        assert_memory_equal(x->tokens, y->tokens, sizeof x->tokens);
        size_t n_kept = x->n_tokens < HARNESS_TOKENS ? x->n_tokens : HARNESS_TOKENS;
        assert_floats(x->logprobs, y->logprobs, n_kept, "log-probabilities", i);
        assert_floats(x->entropies, y->entropies, n_kept, "entropies", i);
        for (size_t s = 0; s < n_sites; s++) {
            char name[TW_SITE_NAME_BYTES];
            tw_site_name(sites[s], name);
            assert_int_equal(x->n_rows[s], y->n_rows[s]);
            assert_floats(x->rows[s], y->rows[s], x->n_rows[s] * tw_site_width(sites[s], c), name, i);
        }
        assert_int_equal(x->n_outputs, y->n_outputs);
        assert_int_equal(x->n_nodes, y->n_nodes);
        assert_int_equal(x->truncated, y->truncated);
        assert_memory_equal(x->outputs, y->outputs, x->n_outputs * sizeof *x->outputs);
        if (x->logits != NULL) {
            size_t n = a->requests[i].n_prompt - a->requests[i].logits_from;
            assert_floats(x->logits, y->logits, n * c->vocab, "logits", i);
            assert_floats(x->prompt_logprobs, y->prompt_logprobs, n, "prompt log-probabilities", i);
        }
    }
}
