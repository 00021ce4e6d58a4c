/* SPDX-License-Identifier: MIT */
/* Requests in, results in order out. */
#include "api_harness.h"
#include "support/test.h"

/* ---- order ---- */

struct finished_tokens {
    size_t n[API_REQUESTS], order[API_REQUESTS], n_done;
};

static bool count_tokens(void *user, uint64_t request, int32_t token, float logprob)
{
    struct finished_tokens *f = user;
    struct trawl_request r;
    (void)token;
    (void)logprob;
    api_request(&r, request);
    if (++f->n[request] == r.max_tokens) {
        f->order[f->n_done++] = request;
    }
    return true;
}

static void test_results_come_in_order_whatever_finishes_first(void **state)
{
    struct scratch *s    = *state;
    trawl_engine *engine = api_engine(s->dir, 1, 1);
    struct trawl_job_config config;
    struct finished_tokens f = {.n_done = 0};
    struct api_result got[API_REQUESTS], again[API_REQUESTS];
    bool disorder = false;
    trawl_job_config_init(&config);
    config.user     = &f;
    config.on_token = count_tokens;
    api_run(engine, &config, got);
    for (size_t i = 1; i < f.n_done; i++) {
        disorder = disorder || f.order[i] < f.order[i - 1];
    }
    assert_true(disorder);
    for (size_t i = 0; i < API_REQUESTS; i++) {
        struct trawl_request r;
        api_request(&r, i);
        assert_false(got[i].from_journal);
        assert_int_equal(got[i].n_prompt, r.n_prompt);
        assert_int_equal(got[i].finish, i == API_ERROR ? TRAWL_FINISH_ERROR : TRAWL_FINISH_LENGTH);
        assert_int_equal(got[i].n_tokens, i == API_ERROR ? 0 : r.max_tokens);
        double sum = 0;
        for (size_t j = 0; j < got[i].n_tokens; j++) {
            sum += (double)got[i].logprobs[j];
        }
        assert_true(sum == got[i].cumulative_logprob);
    }
    assert_string_equal(got[API_ERROR].error, "the prompt is empty");
    trawl_engine_close(&engine);
    assert_null(engine);

    static const int meshes[][2] = {{1, 2}, {2, 2}, {3, 1}};
    for (size_t m = 0; m < 3; m++) {
        engine = api_engine(s->dir, meshes[m][0], meshes[m][1]);
        trawl_job_config_init(&config);
        api_run(engine, &config, again);
        api_assert_same(got, again, API_REQUESTS);
        trawl_engine_close(&engine);
    }
}

static void test_requests_may_come_while_results_are_taken(void **state)
{
    struct scratch *s    = *state;
    trawl_engine *engine = api_engine(s->dir, 2, 1);
    struct trawl_job_config config;
    struct trawl_error err;
    struct api_result want[API_REQUESTS], got[API_REQUESTS];
    struct trawl_job_stats stats;
    struct trawl_result last;
    bool more      = true;
    trawl_job *job = NULL;
    trawl_job_config_init(&config);
    api_run(engine, &config, want);
    assert_ok(trawl_job_open(engine, &config, &job, &err));
    for (size_t i = 0; i < API_REQUESTS; i++) {
        struct trawl_request r;
        api_request(&r, i);
        assert_ok(trawl_job_submit(job, &r, &err));
        if (i % 2 == 1) {
            api_take(job, i / 2, &got[i / 2]);
        }
    }
    trawl_job_end_input(job);
    for (size_t i = API_REQUESTS / 2; i < API_REQUESTS; i++) {
        api_take(job, i, &got[i]);
    }
    api_assert_same(want, got, API_REQUESTS);
    trawl_job_stats(job, &stats);
    assert_int_equal(stats.submitted, API_REQUESTS);
    assert_int_equal(stats.finished, API_REQUESTS);
    assert_int_equal(stats.committed, 0);
    uint64_t prompt = 0, generated = 0;
    for (size_t i = 0; i < API_REQUESTS; i++) {
        prompt += got[i].n_prompt;
        generated += got[i].n_tokens;
    }
    assert_int_equal(stats.prompt_tokens, prompt);
    assert_int_equal(stats.generated_tokens, generated);
    assert_true(stats.steps > 0 && stats.kv_pages > 0 && stats.kv_pages_peak > 0);
    /* every token but those found and the last of each answer, which nothing follows */
    assert_true(stats.computed_tokens <= prompt - stats.cached_tokens + generated);
    assert_true(stats.computed_tokens >= prompt - stats.cached_tokens + generated - API_REQUESTS);
    assert_int_equal(stats.preemptions + stats.kv_pages_evicted, 0);
    assert_true(stats.kv_pages_filled > 0 && stats.kv_pages_filled <= 1);
    assert_ok(trawl_job_next(job, &last, &more, &err));
    assert_false(more);
    trawl_job_stats(job, &stats); /* the run has ended */
    assert_int_equal(stats.running + stats.queued + stats.kv_pages_held, 0);
    trawl_job_close(&job);
    trawl_engine_close(&engine);
}

static void test_seeds_come_from_the_run_and_the_number(void **state)
{
    struct scratch *s    = *state;
    trawl_engine *engine = api_engine(s->dir, 1, 1);
    struct trawl_job_config config;
    struct api_result a[API_REQUESTS], b[API_REQUESTS];
    trawl_job_config_init(&config);
    api_run(engine, &config, a);
    config.random_seed = 1;
    api_run(engine, &config, b);
    assert_memory_not_equal(a[10].tokens, b[10].tokens,
                            sizeof a[10].tokens); /* drawn with a seed of the run's */
    api_assert_same(a + 7, b + 7, 1);             /* with its own */
    api_assert_same(a + 8, b + 8, 1);             /* greedy */
    trawl_engine_close(&engine);
}

/* ---- callbacks ---- */

static bool stop_third_after_two(void *user, uint64_t request, int32_t token, float logprob)
{
    size_t *n = user;
    (void)token;
    (void)logprob;
    return request != 2 || ++*n < 2;
}

static void test_on_token_may_end_an_answer(void **state)
{
    struct scratch *s    = *state;
    trawl_engine *engine = api_engine(s->dir, 1, 1);
    struct trawl_job_config config;
    struct api_result got[API_REQUESTS];
    size_t n = 0;
    trawl_job_config_init(&config);
    config.user     = &n;
    config.on_token = stop_third_after_two;
    api_run(engine, &config, got);
    assert_true(got[2].finish == TRAWL_FINISH_STOP && got[2].n_tokens == 2);
    assert_true(got[3].finish == TRAWL_FINISH_LENGTH);
    trawl_engine_close(&engine);
}

struct counted_rows {
    size_t rows[API_REQUESTS][8], logits[API_REQUESTS];
    size_t fail_at, n;
};

static trawl_status count_rows(void *user, uint64_t request, size_t site, size_t position, const float *rows,
                               size_t n, size_t width, struct trawl_error *err)
{
    struct counted_rows *c = user;
    (void)rows;
    if (++c->n == c->fail_at || width != (site < 2 ? 48 : 16) || c->rows[request][site] != position) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "no more rows");
    }
    c->rows[request][site] += n;
    return TRAWL_OK;
}

static trawl_status count_logits(void *user, uint64_t request, size_t position, const float *logits,
                                 const float *logprobs, size_t n, size_t vocab_size, struct trawl_error *err)
{
    struct counted_rows *c = user;
    (void)logits;
    (void)logprobs;
    if (vocab_size != 131 || c->logits[request] != position) {
        return tw_fail(err, TRAWL_ERR_INVALID, "logits out of order");
    }
    c->logits[request] += n;
    return TRAWL_OK;
}

static void test_rows_and_logits_of_every_position(void **state)
{
    static const char *const sites[] = {"layer_*", "blocks.[1].attn.hook_k", "layer_0"};
    struct scratch *s                = *state;
    trawl_engine *engine             = api_engine(s->dir, 1, 2);
    struct trawl_job_config config;
    struct trawl_error err;
    struct counted_rows c = {.fail_at = 0};
    trawl_job *job        = NULL;
    size_t width;
    trawl_job_config_init(&config);
    config.capture.sites   = sites;
    config.capture.n_sites = 3;
    config.user            = &c;
    config.on_rows         = count_rows;
    config.on_logits       = count_logits;
    assert_ok(trawl_job_open(engine, &config, &job, &err));
    assert_int_equal(trawl_job_n_sites(job), 3);
    assert_string_equal(trawl_job_site_name(job, 0, NULL), "blocks.0.hook_resid_post");
    assert_string_equal(trawl_job_site_name(job, 1, &width), "blocks.1.hook_resid_post");
    assert_int_equal(width, 48);
    assert_string_equal(trawl_job_site_name(job, 2, &width), "blocks.1.attn.hook_k");
    assert_int_equal(width, 16);
    for (size_t i = 0; i < API_REQUESTS; i++) {
        struct trawl_request r;
        api_request(&r, i);
        r.want_logits = i % 2;
        assert_ok(trawl_job_submit(job, &r, &err));
    }
    trawl_job_end_input(job);
    for (size_t i = 0; i < API_REQUESTS; i++) {
        struct api_result got;
        api_take(job, i, &got);
        size_t positions = i == API_ERROR ? 0 : got.n_prompt + got.n_tokens - 1;
        for (size_t j = 0; j < 3; j++) {
            assert_int_equal(c.rows[i][j], positions);
        }
        assert_int_equal(c.logits[i], i % 2 ? got.n_prompt : 0);
    }
    trawl_job_close(&job);

    /* a failure of the callback is the job's, in its own words */
    struct trawl_result r;
    bool more = true;
    c         = (struct counted_rows){.fail_at = 9};
    assert_ok(trawl_job_open(engine, &config, &job, &err));
    api_submit(job);
    trawl_status status = TRAWL_OK;
    while (status == TRAWL_OK && more) {
        status = trawl_job_next(job, &r, &more, &err);
    }
    assert_int_equal(status, TRAWL_ERR_LIMIT);
    assert_string_equal(err.message, "no more rows");
    trawl_job_close(&job);
    trawl_engine_close(&engine);
}

static bool never(void *user, trawl_job *job)
{
    struct trawl_job_stats stats;
    trawl_job_stats(job, &stats);
    ++*(size_t *)user;
    return false;
}

static void test_on_tick_cancels(void **state)
{
    struct scratch *s    = *state;
    trawl_engine *engine = api_engine(s->dir, 2, 1);
    struct trawl_job_config config;
    struct trawl_error err;
    struct trawl_result r;
    struct api_result got[API_REQUESTS];
    trawl_job *job = NULL;
    bool more      = true;
    size_t ticks   = 0;
    trawl_job_config_init(&config);
    config.user    = &ticks;
    config.on_tick = never;
    assert_ok(trawl_job_open(engine, &config, &job, &err));
    assert_refused(trawl_job_next(job, &r, &more, &err), TRAWL_ERR_CANCELLED,
                   "stopped on request"); /* waits for input */
    assert_false(more);
    assert_int_equal(ticks, 1);
    trawl_job_close(&job);
    trawl_job_config_init(&config); /* the engine is as good as new */
    api_run(engine, &config, got);
    trawl_engine_close(&engine);
}

/* ---- mistakes ---- */

static void test_misuse_is_refused_by_name(void **state)
{
    static const char *const nowhere[] = {"blocks.7.hook_resid_post"};
    struct scratch *s                  = *state;
    trawl_engine *engine = api_engine(s->dir, 1, 1), *none = NULL;
    struct trawl_engine_config e;
    struct trawl_job_config config;
    struct trawl_request r;
    struct trawl_error err;
    struct trawl_entropy_policy policy;
    trawl_job *job = NULL, *second = NULL;
    trawl_engine_config_init(&e);
    assert_refused(trawl_engine_open(&e, &none, &err), TRAWL_ERR_INVALID, "no model_path given");
    e.model_path = "x";
    e.mesh_data  = 0;
    assert_refused(trawl_engine_open(&e, &none, &err), TRAWL_ERR_INVALID, "mesh is 0x1, expected 1 to");
    e.size -= 8;
    assert_refused(trawl_engine_open(&e, &none, &err), TRAWL_ERR_INVALID,
                   "struct trawl_engine_config has size");
    assert_null(none);

    trawl_job_config_init(&config);
    config.size++;
    assert_refused(trawl_job_open(engine, &config, &job, &err), TRAWL_ERR_INVALID,
                   "struct trawl_job_config has size");
    config.size--;
    config.capture.sites   = nowhere;
    config.capture.n_sites = 1;
    assert_refused(trawl_job_open(engine, &config, &job, &err), TRAWL_ERR_INVALID,
                   "site \"blocks.7.hook_resid_post\": layer 7 of a model with 2 layers (0 to 1)");
    config.capture.n_sites = 0;
    config.capture.dir     = s->dir;
    assert_refused(trawl_job_open(engine, &config, &job, &err), TRAWL_ERR_INVALID,
                   "a job that stores activations needs a journal_path");
    assert_null(job);
    config.capture.dir = NULL;
    assert_ok(trawl_job_open(engine, &config, &job, &err)); /* a refused job leaves no trace on the engine */
    assert_refused(trawl_job_open(engine, &config, &second, &err), TRAWL_ERR_INVALID,
                   "the engine has an open job already");
    api_request(&r, 0);
    r.size = 1;
    assert_refused(trawl_job_submit(job, &r, &err), TRAWL_ERR_INVALID,
                   "struct trawl_request has size 1, expected");
    api_request(&r, 0);
    r.prompt = NULL;
    assert_refused(trawl_job_submit(job, &r, &err), TRAWL_ERR_INVALID,
                   "prompt is NULL, expected a list of 3");
    api_request(&r, 0);
    r.n_logit_bias = 5;
    assert_refused(trawl_job_submit(job, &r, &err), TRAWL_ERR_INVALID,
                   "logit_bias_tokens is NULL, expected a list of 5");
    api_request(&r, 0);
    r.n_completions = 1;
    assert_refused(trawl_job_submit(job, &r, &err), TRAWL_ERR_INVALID, "completions is NULL");
    api_request(&r, 0);
    trawl_entropy_policy_init(&policy);
    policy.size      = 0;
    r.entropy_policy = &policy;
    assert_refused(trawl_job_submit(job, &r, &err), TRAWL_ERR_INVALID,
                   "struct trawl_entropy_policy has size 0, expected");
    api_submit(job);
    api_request(&r, 0);
    assert_refused(trawl_job_submit(job, &r, &err), TRAWL_ERR_INVALID, "the job's input has ended");
    trawl_job_close(&job); /* with results nobody took */
    trawl_job_close(&job);
    trawl_engine_close(&engine);
    trawl_engine_close(&engine);
}

static void test_the_engine_describes_itself(void **state)
{
    struct scratch *s    = *state;
    trawl_engine *engine = api_engine(s->dir, 2, 2);
    struct trawl_model_info info;
    struct trawl_error err;
    char *text = NULL;
    trawl_engine_info(engine, &info);
    assert_string_equal(info.architecture, "Qwen2ForCausalLM");
    assert_true(info.vocab_size == 131 && info.hidden_size == 48 && info.n_layers == 2 &&
                info.context == 4096);
    assert_true(info.n_heads == 6 && info.n_kv_heads == 2 && info.head_dim == 8 &&
                info.intermediate_size == 72);
    assert_true(info.mesh_data == 2 && info.mesh_model == 2 && info.threads == 1 && info.tree_leaves == 8);
    assert_true(info.dtype == TRAWL_DTYPE_BFLOAT16 && info.kv_dtype == TRAWL_DTYPE_BFLOAT16);
    assert_int_equal(strlen(info.fingerprint), 16);
    assert_true(info.weight_bytes > 0 && info.kv_bytes > 0 && info.buffer_bytes > 0 && info.isa[0] != '\0');
    /* embedding once, two layers of q k v o, gate up down, biases and norms, the final norm */
    assert_int_equal(info.parameters,
                     131 * 48 + 2 * (2 * 48 * 48 + 2 * 16 * 48 + 3 * 48 * 72 + 48 + 2 * 16 + 2 * 48) + 48);
    assert_ok(trawl_engine_sharding(engine, 5, 77, &text, &err));
    assert_non_null(strstr(text, "Mesh axes: data=2, model=2\nVerifying parameter sharding:\n"));
    assert_non_null(strstr(text, "embed_tokens: shape=(131, 48), sharding=PartitionSpec(None, 'model')\n"));
    assert_non_null(strstr(text, "Sharding verification:\n"));
    assert_non_null(strstr(text, "(5, 77)"));
    trawl_free(text);
    trawl_engine_close(&engine);
    assert_string_equal(trawl_version(), TRAWL_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_results_come_in_order_whatever_finishes_first),
        scratch_test(test_requests_may_come_while_results_are_taken),
        scratch_test(test_seeds_come_from_the_run_and_the_number),
        scratch_test(test_on_token_may_end_an_answer),
        scratch_test(test_rows_and_logits_of_every_position),
        scratch_test(test_on_tick_cancels),
        scratch_test(test_misuse_is_refused_by_name),
        scratch_test(test_the_engine_describes_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
