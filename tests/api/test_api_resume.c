/* SPDX-License-Identifier: MIT */
/* A job that ends half-way and is opened again gives the results and the files of one that did not. */
#include "api_harness.h"
#include "base/file.h"
#include "store/store.h"
#include "support/tiny_model.h"

enum { GROUP = 3 };

static const char *const sites[] = {"layer_0", "layer_1", "blocks.0.mlp.hook_post"};

/* Pickles are of residual streams, so they leave the last site out. */
static struct trawl_job_config config_in(const char *dir, struct api_files *p,
                                         enum trawl_activations_format format, bool resume)
{
    struct trawl_job_config c =
        api_config_in(dir, p, sites, format == TRAWL_FORMAT_PKL ? 2 : 3, GROUP, resume);
    c.capture.format = format;
    return c;
}

static void assert_store_is_sound(const char *dir, uint64_t least_files)
{
    struct tw_store_check check;
    struct tw_str report;
    struct trawl_error err;
    tw_str_init(&report, 0);
    assert_ok(tw_store_verify(dir, &check, &report, &err));
    if (check.problems != 0) {
        fail_msg("%s", tw_str_text(&report));
    }
    assert_true(check.files >= least_files);
    tw_str_release(&report);
}

/* Take `n` results of a job and close it. */
static void run_part(trawl_engine *engine, const struct trawl_job_config *config, size_t n)
{
    struct trawl_error err;
    struct trawl_job_stats stats;
    struct api_result got;
    trawl_job *job = NULL;
    assert_ok(trawl_job_open(engine, config, &job, &err));
    api_submit(job);
    for (size_t i = 0; i < n; i++) {
        api_take(job, i, &got);
    }
    trawl_job_stats(job, &stats);
    assert_true(stats.committed % GROUP == 0 && stats.committed >= n / GROUP * GROUP);
    trawl_job_close(&job);
}

static void check_cuts(struct scratch *s, enum trawl_activations_format format, uint64_t least_files)
{
    trawl_engine *engines[2] = {api_engine(s->dir, 1, 1), api_engine(s->dir, 2, 2)};
    struct api_files p;
    struct api_result want[API_REQUESTS], got[API_REQUESTS];
    char whole[512], cut[512];
    (void)snprintf(whole, sizeof whole, "%s/whole", s->dir);
    (void)snprintf(cut, sizeof cut, "%s/cut", s->dir);
    struct trawl_job_config config = config_in(whole, &p, format, false);
    api_run(engines[0], &config, want);
    assert_store_is_sound(p.store, least_files);
    for (size_t n = 0; n <= API_REQUESTS; n++) {
        config = config_in(cut, &p, format, false);
        run_part(engines[n % 2], &config, n);
        config = config_in(cut, &p, format, true);
        run_part(engines[(n + 1) % 2], &config, n / 2); /* and once more, before it gets any further */
        api_run(engines[(n + 1) % 2], &config, got);
        for (size_t i = 0; i < API_REQUESTS; i++) {
            assert_int_equal(got[i].from_journal, i < n / GROUP * GROUP);
        }
        api_assert_same(want, got, API_REQUESTS);
        api_assert_same_files(whole, cut);
    }
    /* of a finished job everything comes from the journal, and nothing is written */
    api_run(engines[0], &config, got);
    assert_true(got[0].from_journal && got[API_REQUESTS - 1].from_journal);
    assert_string_equal(got[API_ERROR].error, "the prompt is empty");
    api_assert_same(want, got, API_REQUESTS);
    api_assert_same_files(whole, cut);
    trawl_engine_close(&engines[0]);
    trawl_engine_close(&engines[1]);
}

static void test_every_cut_with_safetensors(void **state)
{
    check_cuts(*state, TRAWL_FORMAT_SAFETENSORS, 3 * 4);
}

static void test_every_cut_with_pickles(void **state)
{
    check_cuts(*state, TRAWL_FORMAT_PKL, 2 * 4);
}

static void test_a_journal_alone(void **state)
{
    struct scratch *s    = *state;
    trawl_engine *engine = api_engine(s->dir, 1, 1);
    struct api_files p;
    struct api_result want[API_REQUESTS], got[API_REQUESTS];
    char dir[512];
    (void)snprintf(dir, sizeof dir, "%s/run", s->dir);
    struct trawl_job_config config = config_in(dir, &p, TRAWL_FORMAT_SAFETENSORS, false);
    config.capture                 = (struct trawl_capture_config){0};
    api_run(engine, &config, want);
    config.resume = true;
    api_run(engine, &config, got);
    api_assert_same(want, got, API_REQUESTS);
    assert_false(tw_path_exists(p.store));
    trawl_engine_close(&engine);
}

static void assert_not_opened(trawl_engine *engine, const struct trawl_job_config *config, const char *words)
{
    struct trawl_error err;
    trawl_job *job = NULL;
    assert_refused(trawl_job_open(engine, config, &job, &err), TRAWL_ERR_EXISTS, words);
    assert_null(job);
}

static void test_another_run_s_files_are_refused(void **state)
{
    struct scratch *s    = *state;
    trawl_engine *engine = api_engine(s->dir, 1, 1), *other = NULL;
    struct trawl_setting setting = {"temperature", "0"};
    struct trawl_engine_config e;
    struct trawl_error err;
    struct api_files p;
    char dir[512];
    (void)snprintf(dir, sizeof dir, "%s/run", s->dir);
    struct trawl_job_config config = config_in(dir, &p, TRAWL_FORMAT_SAFETENSORS, false), c;
    config.settings                = &setting;
    config.n_settings              = 1;
    run_part(engine, &config, 7);
    assert_not_opened(engine, &config, "journal.jsonl");
    config.resume = true;
    run_part(engine, &config, 0);

    setting.value = "1";
    assert_not_opened(engine, &config, "temperature");
    setting.value = "0";
    c             = config;
    c.random_seed = 7;
    assert_not_opened(engine, &c, "random_seed");
    c              = config;
    c.commit_every = GROUP + 1;
    assert_not_opened(engine, &c, "commit_every");
    c                 = config;
    c.capture.n_sites = 1;
    assert_not_opened(engine, &c, "sites");
    c               = config;
    c.capture.dtype = TRAWL_DTYPE_FLOAT32;
    assert_not_opened(engine, &c, "dtype");
    trawl_engine_close(&engine);

    trawl_engine_config_init(&e);
    e.model_path = scratch_path(s, "model");
    e.dtype      = TRAWL_DTYPE_FLOAT32;
    assert_ok(trawl_engine_open(&e, &other, &err));
    assert_not_opened(other, &config, "dtype");
    trawl_engine_close(&other);
    e.dtype       = TRAWL_DTYPE_BFLOAT16;
    e.tree_leaves = 16;
    assert_ok(trawl_engine_open(&e, &other, &err));
    assert_not_opened(other, &config, "tree_leaves");
    trawl_engine_close(&other);
    struct tiny_model m = tiny_model_default();
    m.seed              = 2;
    tiny_model_write(scratch_path(s, "model"), &m); /* other weights under the same name */
    e.model_path  = scratch_path(s, "model");
    e.tree_leaves = 8;
    assert_ok(trawl_engine_open(&e, &other, &err));
    assert_not_opened(other, &config, "model");
    trawl_engine_close(&other);
}

/* The same weights under another config.json are another model. */
static void test_an_edited_config_is_refused(void **state)
{
    struct scratch *s    = *state;
    trawl_engine *engine = api_engine(s->dir, 1, 1);
    struct api_files p;
    char dir[512], path[1024], text[4096] = "";
    (void)snprintf(dir, sizeof dir, "%s/run", s->dir);
    (void)snprintf(path, sizeof path, "%s/model/config.json", s->dir);
    struct trawl_job_config config = config_in(dir, &p, TRAWL_FORMAT_SAFETENSORS, false);
    run_part(engine, &config, 1);
    config.resume = true;
    run_part(engine, &config, 1);
    trawl_engine_close(&engine);

    FILE *f  = fopen(path, "r+");
    size_t n = f == NULL ? 0 : fread(text, 1, sizeof text - 1, f);
    char *at = strstr(text, "\"rope_theta\": 10000.0");
    assert_non_null(at);
    at[strlen("\"rope_theta\": ")] = '2';
    rewind(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    engine = api_engine(s->dir, 1, 1);
    assert_not_opened(engine, &config, "model");
    trawl_engine_close(&engine);
}

static void test_other_requests_are_refused(void **state)
{
    struct scratch *s    = *state;
    trawl_engine *engine = api_engine(s->dir, 1, 1);
    struct trawl_error err;
    struct trawl_request r;
    struct trawl_result result;
    struct api_result got;
    struct api_files p;
    trawl_job *job = NULL;
    bool more      = false;
    char dir[512];
    (void)snprintf(dir, sizeof dir, "%s/run", s->dir);
    struct trawl_job_config config = config_in(dir, &p, TRAWL_FORMAT_SAFETENSORS, false);
    run_part(engine, &config, 7);
    config.resume = true;
    assert_ok(trawl_job_open(engine, &config, &job, &err));
    api_request(&r, 0);
    assert_ok(trawl_job_submit(job, &r, &err));
    api_request(&r, 1);
    r.n_prompt--;
    assert_refused(trawl_job_submit(job, &r, &err), TRAWL_ERR_EXISTS,
                   "request 1 is not the one in the journal: its prompt");
    trawl_job_close(&job);

    const int32_t banned[] = {9};
    for (int change = 0; change < 5; change++) { /* the same prompt, sampled in another way */
        assert_ok(trawl_job_open(engine, &config, &job, &err));
        api_request(&r, 0);
        assert_ok(trawl_job_submit(job, &r, &err));
        api_request(&r, 1);
        r.temperature += change == 0 ? 0.5 : 0;
        r.has_seed          = change == 1;
        r.max_tokens        = change == 2 ? r.max_tokens + 1 : r.max_tokens;
        r.ignore_eos        = change == 3;
        r.suppress_tokens   = banned;
        r.n_suppress_tokens = change == 4;
        assert_refused(trawl_job_submit(job, &r, &err), TRAWL_ERR_EXISTS,
                       "request 1 is not the one in the journal: its prompt, sampling");
        trawl_job_close(&job);
    }

    assert_ok(trawl_job_open(engine, &config, &job, &err)); /* fewer than before */
    api_request(&r, 0);
    assert_ok(trawl_job_submit(job, &r, &err));
    trawl_job_end_input(job);
    api_take(job, 0, &got);
    assert_refused(trawl_job_next(job, &result, &more, &err), TRAWL_ERR_EXISTS,
                   "the journal has 6 requests, the job only 1");
    trawl_job_close(&job);
    struct api_result all[API_REQUESTS];
    api_run(engine, &config, all); /* neither did any harm */
    assert_true(all[5].from_journal && !all[6].from_journal);
    trawl_engine_close(&engine);
}

static void test_files_in_use_are_refused(void **state)
{
    struct scratch *s    = *state;
    trawl_engine *engine = api_engine(s->dir, 1, 1), *other = api_engine(s->dir, 1, 1);
    struct trawl_error err;
    struct api_files p;
    trawl_job *job = NULL;
    char dir[512];
    (void)snprintf(dir, sizeof dir, "%s/run", s->dir);
    struct trawl_job_config config = config_in(dir, &p, TRAWL_FORMAT_SAFETENSORS, false);
    assert_ok(trawl_job_open(engine, &config, &job, &err));
    config.resume = true;
    assert_not_opened(other, &config, "in use");
    trawl_job_close(&job);
    assert_ok(trawl_job_open(other, &config, &job, &err));
    trawl_job_close(&job);
    trawl_engine_close(&engine);
    trawl_engine_close(&other);
}

static bool cancel_at_once(void *user, trawl_job *job)
{
    (void)user;
    (void)job;
    return false;
}

static void test_a_cancelled_job_keeps_what_was_committed(void **state)
{
    struct scratch *s    = *state;
    trawl_engine *engine = api_engine(s->dir, 1, 1);
    struct trawl_error err;
    struct api_files p;
    struct trawl_result r;
    struct api_result want[API_REQUESTS], got[API_REQUESTS];
    trawl_job *job      = NULL;
    bool more           = true;
    trawl_status status = TRAWL_OK;
    char whole[512], cut[512];
    (void)snprintf(whole, sizeof whole, "%s/whole", s->dir);
    (void)snprintf(cut, sizeof cut, "%s/cut", s->dir);
    struct trawl_job_config config = config_in(whole, &p, TRAWL_FORMAT_PKL, false);
    api_run(engine, &config, want);
    config         = config_in(cut, &p, TRAWL_FORMAT_PKL, false);
    config.on_tick = cancel_at_once;
    assert_ok(trawl_job_open(engine, &config, &job, &err));
    for (size_t i = 0; i < API_REQUESTS; i++) {
        struct trawl_request q;
        api_request(&q, i);
        assert_ok(trawl_job_submit(job, &q, &err));
    }
    while (status == TRAWL_OK && more) { /* the input never ends: sooner or later it waits */
        status = trawl_job_next(job, &r, &more, &err);
    }
    assert_int_equal(status, TRAWL_ERR_CANCELLED);
    trawl_job_close(&job);
    config = config_in(cut, &p, TRAWL_FORMAT_PKL, true);
    api_run(engine, &config, got);
    api_assert_same(want, got, API_REQUESTS);
    api_assert_same_files(whole, cut);
    trawl_engine_close(&engine);
}

/* Values that JSON has no number for come back from the journal as they were. */
static void test_results_that_are_not_numbers(void **state)
{
    struct scratch *s = *state;
    struct trawl_engine_config e;
    struct trawl_error err;
    struct api_files p;
    struct api_result want[API_REQUESTS], got[API_REQUESTS];
    trawl_engine *engine = api_engine(s->dir, 1, 1);
    char *bytes          = NULL, dir[512];
    size_t n             = 0;
    trawl_engine_close(&engine);
    assert_ok(tw_file_read(scratch_path(s, "model/model.safetensors"), 1 << 24, &bytes, &n, &err));
    memset(bytes + n - 96, 0xFF, 96); /* the last tensor is the final norm */
    assert_ok(tw_file_replace(scratch_path(s, "model/model.safetensors"), bytes, n, &err));
    tw_free(bytes);
    trawl_engine_config_init(&e);
    e.model_path = scratch_path(s, "model");
    assert_ok(trawl_engine_open(&e, &engine, &err));
    (void)snprintf(dir, sizeof dir, "%s/run", s->dir);
    struct trawl_job_config config = config_in(dir, &p, TRAWL_FORMAT_PKL, false);
    api_run(engine, &config, want);
    config.resume = true;
    api_run(engine, &config, got);
    assert_true(want[0].logprobs[0] != want[0].logprobs[0]);
    for (size_t i = 0; i < API_REQUESTS; i++) {
        assert_memory_equal(want[i].tokens, got[i].tokens, sizeof want[i].tokens);
        for (size_t j = 0; j < want[i].n_tokens; j++) {
            assert_true(isnan(want[i].logprobs[j]) == isnan(got[i].logprobs[j]));
            assert_true(isnan(want[i].entropies[j]) == isnan(got[i].entropies[j]));
        }
        assert_true(isnan(want[i].cumulative_logprob) == isnan(got[i].cumulative_logprob));
    }
    trawl_engine_close(&engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_every_cut_with_safetensors),
        scratch_test(test_every_cut_with_pickles),
        scratch_test(test_a_journal_alone),
        scratch_test(test_another_run_s_files_are_refused),
        scratch_test(test_an_edited_config_is_refused),
        scratch_test(test_other_requests_are_refused),
        scratch_test(test_files_in_use_are_refused),
        scratch_test(test_a_cancelled_job_keeps_what_was_committed),
        scratch_test(test_results_that_are_not_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
