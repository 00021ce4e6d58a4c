/* SPDX-License-Identifier: MIT */
/* Sessions against jobs with the same tokens, and against new sessions after any sequence of appends, forks and
 * rewinds: by bits. */
#include <float.h>
#include <pthread.h>

#include "api/api_engine.h"
#include "api_harness.h"
#include "base/philox.h"
#include "engine/engine_int.h"
#include "support/test.h"
#include "support/tiny_model.h"

enum { VOCAB = 131, TOKENS = 200 };

/* The model of api_engine, with settings of its own. */
static trawl_engine *open_engine(struct scratch *s, int data, int model, size_t prefill_chunk,
                                 size_t kv_bytes)
{
    struct trawl_error err;
    struct trawl_engine_config c;
    trawl_engine *engine = NULL;
    struct tiny_model m  = tiny_model_default();
    tiny_model_write(scratch_path(s, "model"), &m);
    trawl_engine_config_init(&c);
    c.model_path     = s->path;
    c.mesh_data      = data;
    c.mesh_model     = model;
    c.threads        = 1;
    c.batch_size     = 3;
    c.prefill_chunk  = prefill_chunk;
    c.kv_cache_bytes = kv_bytes;
    assert_ok(trawl_engine_open(&c, &engine, &err));
    return engine;
}

static void random_tokens(uint64_t seed, int32_t *out, size_t n)
{
    struct tw_philox_stream random;
    tw_philox_stream_init(&random, seed, 0);
    for (size_t i = 0; i < n; i++) {
        out[i] = (int32_t)(tw_philox_double(&random) * VOCAB);
    }
}

static trawl_session *open_with(trawl_engine *engine, const int32_t *tokens, size_t n)
{
    struct trawl_error err;
    trawl_session *s = NULL;
    assert_ok(trawl_session_open(engine, &s, &err));
    assert_ok(trawl_session_append(s, tokens, n, NULL, NULL, &err));
    return s;
}

/* ---- the same as a job ---- */

struct all_logits {
    float logits[TOKENS][VOCAB], logprobs[TOKENS];
};

static trawl_status keep_logits(void *user, uint64_t request, size_t position, const float *logits,
                                const float *logprobs, size_t n, size_t vocab_size, struct trawl_error *err)
{
    struct all_logits *a = user;
    (void)request;
    (void)err;
    memcpy(a->logits[position], logits, n * vocab_size * sizeof *logits);
    memcpy(a->logprobs + position, logprobs, n * sizeof *logprobs);
    return TRAWL_OK;
}

/* One request through a job; `result` is read by `read` before the job is closed. */
static void run_job(trawl_engine *engine, const struct trawl_request *request, struct all_logits *all,
                    struct api_result *got)
{
    struct trawl_error err;
    struct trawl_job_config config;
    struct trawl_result r;
    trawl_job *job = NULL;
    bool more      = false;
    trawl_job_config_init(&config);
    config.on_logits = all == NULL ? NULL : keep_logits;
    config.user      = all;
    assert_ok(trawl_job_open(engine, &config, &job, &err));
    assert_ok(trawl_job_submit(job, request, &err));
    trawl_job_end_input(job);
    assert_ok(trawl_job_next(job, &r, &more, &err));
    assert_true(more && r.error == NULL && r.n_tokens <= API_TOKENS);
    got->n_tokens = r.n_tokens;
    memcpy(got->tokens, r.tokens, r.n_tokens * sizeof *r.tokens);
    memcpy(got->logprobs, r.logprobs, r.n_tokens * sizeof(float));
    memcpy(got->entropies, r.entropies, r.n_tokens * sizeof(float));
    memcpy(got->varentropies, r.varentropies, r.n_tokens * sizeof(float));
    trawl_job_close(&job);
}

static void test_logits_are_those_of_a_job(void **state)
{
    static const size_t cuts[][3] = {
        {TOKENS, 0, 0}, {1, 2, TOKENS - 3}, {64, 64, TOKENS - 128}, {63, 130, TOKENS - 193}};
    static struct all_logits want, got;
    int32_t tokens[TOKENS];
    struct trawl_error err;
    random_tokens(1, tokens, TOKENS);
    for (int mesh = 0; mesh < 3; mesh++) {
        trawl_engine *engine =
            open_engine(*state, mesh == 1 ? 2 : 1, mesh == 2 ? 2 : 1, mesh == 0 ? 512 : 7, 0);
        struct trawl_request request;
        struct api_result none;
        trawl_request_init(&request);
        request.prompt      = tokens;
        request.n_prompt    = TOKENS;
        request.max_tokens  = 0;
        request.want_logits = true;
        run_job(engine, &request, &want, &none);
        for (size_t c = 0; c < 4; c++) {
            trawl_session *s = NULL;
            const float *last;
            size_t at = 0, n = 0;
            memset(&got, 0xff, sizeof got);
            assert_ok(trawl_session_open(engine, &s, &err));
            for (size_t i = 0; i < 3; at += cuts[c][i++]) {
                assert_ok(trawl_session_append(s, tokens + at, cuts[c][i], got.logits[at], got.logprobs + at,
                                               &err));
            }
            assert_memory_equal(got.logits, want.logits, sizeof want.logits);
            assert_true(got.logprobs[0] == 0);
            assert_memory_equal(got.logprobs + 1, want.logprobs, (TOKENS - 1) * sizeof(float));
            assert_ok(trawl_session_logits(s, &last, &err));
            assert_memory_equal(last, want.logits[TOKENS - 1], sizeof want.logits[0]);
            assert_memory_equal(trawl_session_tokens(s, &n), tokens, sizeof tokens);
            assert_int_equal(n, TOKENS);
            trawl_session_close(&s);
            assert_null(s);
        }
        trawl_engine_close(&engine);
    }
}

static void test_samples_are_those_of_a_job(void **state)
{
    trawl_engine *engine = open_engine(*state, 1, 1, 512, 0);
    int32_t tokens[70];
    struct trawl_error err;
    random_tokens(2, tokens, 70);
    for (int kind = 0; kind < 3; kind++) {
        struct trawl_request request;
        struct trawl_sampled got, again;
        struct api_result want;
        trawl_request_init(&request);
        request.prompt             = tokens;
        request.n_prompt           = 70;
        request.max_tokens         = 20;
        request.temperature        = kind == 0 ? 0 : 1.7;
        request.top_p              = kind == 2 ? 0.9 : 1;
        request.repetition_penalty = kind == 1 ? 1.3 : 1;
        request.seed               = 77;
        request.has_seed           = true;
        request.ignore_eos         = true;
        run_job(engine, &request, NULL, &want);
        assert_int_equal(want.n_tokens, 20);
        trawl_session *s = open_with(engine, tokens, 70);
        for (size_t i = 0; i < want.n_tokens; i++) {
            assert_ok(trawl_session_sample(s, &request, &got, &err));
            assert_ok(trawl_session_sample(s, &request, &again, &err));
            assert_memory_equal(&got, &again, sizeof got);
            assert_int_equal(got.token, want.tokens[i]);
            assert_memory_equal(&got.logprob, &want.logprobs[i], sizeof(float));
            assert_memory_equal(&got.entropy, &want.entropies[i], sizeof(float));
            assert_memory_equal(&got.varentropy, &want.varentropies[i], sizeof(float));
            assert_ok(trawl_session_append(s, &got.token, 1, NULL, NULL, &err));
        }
        if (kind == 0) {
            assert_ok(trawl_session_rewind(s, 70, &err));
            assert_ok(trawl_session_sample(s, NULL, &got, &err));
            assert_int_equal(got.token, want.tokens[0]);
        }
        trawl_session_close(&s);
    }
    trawl_engine_close(&engine);
}

/* What a job says of every token of an answer, a session says when asked. */
static void test_top_logprobs_and_ends(void **state)
{
    enum { TOP = 4, ANSWER = 12 };
    static const int32_t stops[] = {7, 9};
    trawl_engine *engine         = open_engine(*state, 1, 1, 512, 0);
    struct trawl_top_logprob want[ANSWER][TOP], got[TOP];
    struct trawl_error err;
    struct trawl_job_config config;
    struct trawl_request request;
    struct trawl_result r;
    trawl_job *job = NULL;
    bool more      = false;
    int32_t tokens[70 + ANSWER];
    random_tokens(3, tokens, 70);
    trawl_request_init(&request);
    request.prompt       = tokens;
    request.n_prompt     = 70;
    request.max_tokens   = ANSWER;
    request.top_logprobs = TOP;
    request.ignore_eos   = true;
    trawl_job_config_init(&config);
    assert_ok(trawl_job_open(engine, &config, &job, &err));
    assert_ok(trawl_job_submit(job, &request, &err));
    trawl_job_end_input(job);
    assert_ok(trawl_job_next(job, &r, &more, &err));
    assert_int_equal(r.n_tokens, ANSWER);
    memcpy(want, r.outputs[0].top_logprobs, sizeof want);
    memcpy(tokens + 70, r.tokens, sizeof(int32_t) * ANSWER);
    trawl_job_close(&job);

    trawl_session *s = NULL;
    assert_ok(trawl_session_open(engine, &s, &err));
    assert_refused(trawl_session_top_logprobs(s, got, TOP, &err), TRAWL_ERR_INVALID, "the session is empty");
    assert_ok(trawl_session_append(s, tokens, 70, NULL, NULL, &err));
    for (size_t i = 0; i < ANSWER; i++) {
        assert_ok(trawl_session_top_logprobs(s, got, TOP, &err));
        assert_memory_equal(got, want[i], sizeof got);
        assert_ok(trawl_session_append(s, tokens + 70 + i, 1, NULL, NULL, &err));
    }
    assert_refused(trawl_session_top_logprobs(s, got, 0, &err), TRAWL_ERR_INVALID, "expected 1 to 1024");
    assert_refused(trawl_session_top_logprobs(s, got, 1025, &err), TRAWL_ERR_INVALID, "1025");

    struct tw_model_config *m =
        &engine->engine->model->config; /* the tiny model has no end token: 11 is one now */
    m->eos[0]                = 11;
    m->n_eos                 = 1;
    request.stop_token_ids   = stops;
    request.n_stop_token_ids = 2;
    assert_true(trawl_session_ends(s, &request, 9) && !trawl_session_ends(s, &request, 8));
    assert_true(trawl_session_ends(s, NULL, 11) && !trawl_session_ends(s, NULL, 9));
    assert_false(trawl_session_ends(s, &request, 11));
    request.ignore_eos = false;
    assert_true(trawl_session_ends(s, &request, 11));
    trawl_session_close(&s);
    trawl_engine_close(&engine);
}

/* ---- any sequence of calls ---- */

enum { MOST = 4 }; /* timelines at a time */

struct timeline {
    trawl_session *session;
    int32_t tokens[TOKENS];
    size_t n;
};

static size_t below(struct tw_philox_stream *random, size_t n)
{
    return (size_t)(tw_philox_double(random) * (double)n);
}

/* Its logits and tokens are those of a session that was given them at once. */
static void assert_like_new(trawl_engine *engine, struct timeline *t)
{
    struct trawl_error err;
    const float *got, *want;
    size_t n;
    assert_memory_equal(trawl_session_tokens(t->session, &n), t->tokens, t->n * sizeof *t->tokens);
    assert_int_equal(n, t->n);
    if (t->n > 0) {
        trawl_session *fresh = open_with(engine, t->tokens, t->n);
        assert_ok(trawl_session_logits(t->session, &got, &err));
        assert_ok(trawl_session_logits(fresh, &want, &err));
        assert_memory_equal(got, want, VOCAB * sizeof *got);
        trawl_session_close(&fresh);
    }
}

static void append_some(struct tw_philox_stream *random, struct timeline *t)
{
    struct trawl_error err;
    static float logits[TOKENS * VOCAB], logprobs[TOKENS];
    size_t room = TOKENS - t->n, n = below(random, 4) == 0 ? below(random, room + 1) : below(random, 4);
    n           = n < room ? n : room;
    bool common = below(random, 2) == 0; /* tokens that other timelines have at these places */
    for (size_t i = 0; i < n; i++) {
        size_t at     = t->n + i;
        t->tokens[at] = common ? (int32_t)(at * at % VOCAB) : (int32_t)below(random, VOCAB);
    }
    assert_ok(trawl_session_append(t->session, t->tokens + t->n, n, below(random, 3) == 0 ? logits : NULL,
                                   below(random, 3) == 0 ? logprobs : NULL, &err));
    t->n += n;
}

static void change(struct tw_philox_stream *random, trawl_engine *engine, struct timeline *all)
{
    struct trawl_error err;
    struct timeline *t = &all[below(random, MOST)], *other = &all[below(random, MOST)];
    size_t what = below(random, 8);
    if (t->session == NULL) {
        assert_ok(trawl_session_open(engine, &t->session, &err));
        t->n = 0;
    } else if (what == 0) {
        trawl_session_close(&t->session);
    } else if (what == 1 && other != t) {
        trawl_session_close(&other->session);
        *other = *t;
        assert_ok(trawl_session_fork(t->session, &other->session, &err));
    } else if (what < 4) {
        t->n = below(random, t->n + 1);
        assert_ok(trawl_session_rewind(t->session, t->n, &err));
    } else {
        append_some(random, t);
    }
}

static void test_any_sequence_of_calls(void **state)
{
    struct trawl_error err;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        trawl_engine *engine      = open_engine(*state, 1, seed % 2 == 0 ? 2 : 1, seed < 3 ? 512 : 9, 0);
        struct timeline all[MOST] = {{.session = NULL}};
        struct tw_philox_stream random;
        print_message("seed %d\n", (int)seed);
        tw_philox_stream_init(&random, seed, 0);
        for (int i = 0; i < 150; i++) {
            change(&random, engine, all);
            struct timeline *t = &all[below(&random, MOST)];
            if (t->session != NULL && i % 2 == 0) {
                assert_like_new(engine, t);
            }
        }
        for (size_t i = 0; i < MOST; i++) {
            if (all[i].session != NULL) {
                assert_like_new(engine, &all[i]);
            }
            trawl_session_close(&all[i].session);
        }
        trawl_session *s = NULL; /* nothing of the cache is lost: the longest timeline still fits */
        static int32_t tokens[4096];
        assert_ok(trawl_session_open(engine, &s, &err));
        assert_ok(trawl_session_append(s, tokens, 4096, NULL, NULL, &err));
        trawl_session_close(&s);
        trawl_engine_close(&engine);
    }
}

/* Pages that a job leaves behind for their content make room for a session's, and are not written to. */
static void test_jobs_and_sessions_in_turns(void **state)
{
    struct trawl_model_info info;
    struct trawl_request request;
    struct api_result want, got;
    int32_t tokens[TOKENS], other[TOKENS];
    random_tokens(4, tokens, TOKENS);
    random_tokens(5, other, TOKENS);
    trawl_engine *engine = open_engine(*state, 1, 1, 512, 1);
    trawl_engine_info(engine, &info);
    trawl_engine_close(&engine);
    engine = open_engine(*state, 1, 1, 512, 5 * info.kv_bytes);
    trawl_request_init(&request);
    request.prompt     = tokens;
    request.n_prompt   = TOKENS;
    request.max_tokens = 20;
    request.ignore_eos = true;
    run_job(engine, &request, NULL, &want);
    for (int i = 0; i < 4; i++) {
        struct timeline t = {.session = NULL, .n = TOKENS};
        memcpy(t.tokens, other, sizeof other);
        memcpy(t.tokens, tokens, (size_t)i * 60 * sizeof *tokens);
        t.session           = open_with(engine, t.tokens, t.n);
        trawl_engine *fresh = open_engine(*state, 1, 1, 512, 0);
        assert_like_new(fresh, &t);
        trawl_engine_close(&fresh);
        trawl_session_close(&t.session);
        run_job(engine, &request, NULL, &got);
        assert_int_equal(got.n_tokens, want.n_tokens);
        assert_memory_equal(got.tokens, want.tokens, want.n_tokens * sizeof *want.tokens);
        assert_memory_equal(got.logprobs, want.logprobs, want.n_tokens * sizeof(float));
    }
    trawl_engine_close(&engine);
}

/* ---- limits and misuse ---- */

static void test_a_full_cache(void **state)
{
    trawl_engine *engine = open_engine(*state, 1, 1, 512, 1); /* one page: 64 tokens */
    int32_t tokens[TOKENS];
    struct trawl_error err;
    trawl_session *fork = NULL;
    size_t n;
    random_tokens(3, tokens, TOKENS);
    trawl_session *s = open_with(engine, tokens, 40);
    for (int i = 0; i < 3; i++) {
        assert_refused(trawl_session_append(s, tokens + 40, 25, NULL, NULL, &err), TRAWL_ERR_LIMIT,
                       "1 pages of 64 tokens wanted, 0 of 1 free");
    }
    (void)trawl_session_tokens(s, &n);
    assert_int_equal(n, 40);
    assert_ok(trawl_session_append(s, tokens + 40, 24, NULL, NULL, &err));
    assert_ok(trawl_session_fork(s, &fork, &err));
    struct trawl_sampled sampled;
    assert_ok(trawl_session_sample(fork, NULL, &sampled, &err)); /* the fork has the logits, too */
    assert_ok(trawl_session_rewind(fork, 63, &err));
    for (int i = 0; i < 2; i++) { /* its page is shared: writing takes another one */
        assert_refused(trawl_session_sample(fork, NULL, &sampled, &err), TRAWL_ERR_LIMIT, "0 of 1 free");
        assert_refused(trawl_session_append(fork, tokens, 1, NULL, NULL, &err), TRAWL_ERR_LIMIT,
                       "0 of 1 free");
    }
    trawl_session_close(&s);
    assert_ok(trawl_session_append(fork, tokens + 63, 1, NULL, NULL, &err));
    struct timeline t = {.session = fork, .n = 64};
    memcpy(t.tokens, tokens, 64 * sizeof *tokens);
    trawl_engine *other = open_engine(*state, 1, 1, 512, 0);
    assert_like_new(other, &t);
    trawl_session_close(&fork);
    trawl_engine_close(&other);
    trawl_engine_close(&engine);
}

#define refuse_field(s, field, value)                                                        \
    do {                                                                                     \
        trawl_request_init(&request);                                                        \
        request.field = (value);                                                             \
        assert_refused(trawl_session_sample(s, &request, &sampled, &err), TRAWL_ERR_INVALID, \
                       #field " is set");                                                    \
    } while (0)

static void test_misuse_is_refused_by_name(void **state)
{
    trawl_engine *engine = open_engine(*state, 1, 1, 512, 0);
    static int32_t tokens[4097];
    const int32_t wrong[] = {5, 131}, negative[] = {-1};
    struct trawl_error err;
    struct trawl_job_config config;
    struct trawl_request request;
    struct trawl_sampled sampled;
    trawl_session *s = NULL, *second = NULL;
    trawl_job *job = NULL;
    const float *logits;
    size_t n;
    trawl_job_config_init(&config);
    assert_ok(trawl_job_open(engine, &config, &job, &err));
    assert_refused(trawl_session_open(engine, &s, &err), TRAWL_ERR_INVALID, "the engine has an open job");
    assert_null(s);
    trawl_job_close(&job);
    assert_ok(trawl_session_open(engine, &s, &err));
    assert_refused(trawl_job_open(engine, &config, &job, &err), TRAWL_ERR_INVALID,
                   "the engine has 1 open sessions, a job needs it to itself");
    assert_null(job);

    assert_refused(trawl_session_logits(s, &logits, &err), TRAWL_ERR_INVALID, "the session is empty");
    assert_refused(trawl_session_sample(s, NULL, &sampled, &err), TRAWL_ERR_INVALID, "the session is empty");
    assert_ok(trawl_session_append(s, NULL, 0, NULL, NULL, &err));
    assert_refused(trawl_session_append(s, wrong, 2, NULL, NULL, &err), TRAWL_ERR_INVALID,
                   "token 1 to append is 131, the vocabulary has 131 ids");
    assert_refused(trawl_session_append(s, negative, 1, NULL, NULL, &err), TRAWL_ERR_INVALID,
                   "token 0 to append is -1");
    assert_refused(trawl_session_append(s, tokens, 4097, NULL, NULL, &err), TRAWL_ERR_LIMIT,
                   "the session holds 0 tokens, 4097 more do not fit into the context of 4096");
    assert_ok(trawl_session_append(s, tokens, 10, NULL, NULL, &err));
    assert_refused(trawl_session_append(s, tokens, SIZE_MAX, NULL, NULL, &err), TRAWL_ERR_LIMIT,
                   "the session holds 10 tokens");
    assert_refused(trawl_session_rewind(s, 11, &err), TRAWL_ERR_INVALID,
                   "the session holds 10 tokens, 11 are to be kept");
    trawl_request_init(&request);
    request.size--;
    assert_refused(trawl_session_sample(s, &request, &sampled, &err), TRAWL_ERR_INVALID,
                   "struct trawl_request has size");
    trawl_request_init(&request);
    request.top_p = 2;
    assert_refused(trawl_session_sample(s, &request, &sampled, &err), TRAWL_ERR_INVALID, "top_p");
    refuse_field(s, num_beams, 2);
    refuse_field(s, n_completions, 1);
    refuse_field(s, nbest_min_prob, 0.1);
    refuse_field(s, attention_window, 9);
    refuse_field(s, attention_sinks, 4);
    refuse_field(s, top_logprobs, 1);
    (void)trawl_session_tokens(s, &n);
    assert_int_equal(n, 10);
    assert_ok(trawl_session_fork(s, &second, &err));
    trawl_session_close(&s);
    trawl_session_close(&s);
    assert_refused(trawl_job_open(engine, &config, &job, &err), TRAWL_ERR_INVALID, "1 open sessions");
    trawl_session_close(&second);
    assert_ok(trawl_job_open(engine, &config, &job, &err));
    trawl_job_close(&job);
    trawl_engine_close(&engine);
}

static void test_an_engine_of_several_processes_has_none(void **state)
{
    trawl_engine *engine   = open_engine(*state, 1, 1, 512, 0);
    struct tw_world *world = (struct tw_world *)engine; /* not looked into */
    struct trawl_error err;
    trawl_session *s             = NULL;
    engine->engine->config.world = world;
    assert_refused(trawl_session_open(engine, &s, &err), TRAWL_ERR_UNSUPPORTED,
                   "sessions need the whole mesh in one process");
    engine->engine->config.world = NULL;
    assert_null(s);
    trawl_engine_close(&engine);
}

/* ---- threads ---- */

struct worker {
    trawl_engine *engine;
    int32_t tokens[TOKENS];
    float logits[VOCAB];
    bool failed;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    const float *logits;
    trawl_session *s = NULL;
    w->failed        = trawl_session_open(w->engine, &s, NULL) != TRAWL_OK;
    for (size_t i = 0; !w->failed && i < TOKENS; i += 8) {
        w->failed = trawl_session_append(s, w->tokens + i, 8, NULL, NULL, NULL) != TRAWL_OK;
    }
    w->failed = w->failed || trawl_session_logits(s, &logits, NULL) != TRAWL_OK;
    if (!w->failed) {
        memcpy(w->logits, logits, sizeof w->logits);
    }
    trawl_session_close(&s);
    return NULL;
}

static void test_threads_take_turns(void **state)
{
    trawl_engine *engine = open_engine(*state, 1, 2, 512, 0);
    struct trawl_error err;
    static struct worker workers[3];
    pthread_t threads[3];
    for (size_t i = 0; i < 3; i++) {
        workers[i].engine = engine;
        random_tokens(10 + i, workers[i].tokens, TOKENS);
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (size_t i = 0; i < 3; i++) {
        const float *logits;
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_false(workers[i].failed);
        trawl_session *s = open_with(engine, workers[i].tokens, TOKENS);
        assert_ok(trawl_session_logits(s, &logits, &err));
        assert_memory_equal(logits, workers[i].logits, sizeof workers[i].logits);
        trawl_session_close(&s);
    }
    trawl_engine_close(&engine);
}

static void test_the_callers_float_mode_is_left_alone(void **state)
{
    trawl_engine *engine   = open_engine(*state, 1, 1, 512, 0);
    const int32_t tokens[] = {1, 2, 3};
    struct trawl_error err;
    struct trawl_sampled sampled;
    volatile float smallest = FLT_MIN, half = 0.5f;
    float logprobs[3];
    trawl_session *s = open_with(engine, tokens, 3);
    assert_true(smallest * half > 0); /* a denormal number */
    assert_ok(trawl_session_append(s, tokens, 3, NULL, logprobs, &err));
    assert_ok(trawl_session_rewind(s, 2, &err));
    assert_ok(trawl_session_sample(s, NULL, &sampled, &err));
    assert_true(smallest * half > 0);
    trawl_session_close(&s);
    trawl_engine_close(&engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_logits_are_those_of_a_job),
        scratch_test(test_samples_are_those_of_a_job),
        scratch_test(test_top_logprobs_and_ends),
        scratch_test(test_any_sequence_of_calls),
        scratch_test(test_jobs_and_sessions_in_turns),
        scratch_test(test_a_full_cache),
        scratch_test(test_misuse_is_refused_by_name),
        scratch_test(test_an_engine_of_several_processes_has_none),
        scratch_test(test_threads_take_turns),
        scratch_test(test_the_callers_float_mode_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
