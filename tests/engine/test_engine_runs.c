/* SPDX-License-Identifier: MIT */
/* Runs as a whole: settings that are refused, runs that fail or are cancelled and leave the engine as it was, what is
 * allocated and what is shared. */
#include "engine_harness.h"
#include "support/tiny_model.h"

enum { LONG = 200, REQUESTS = 6 };

static int32_t prompt[LONG]; /* filled by main */

static struct tw_engine_config config_for(const char *dir, struct tw_mesh mesh)
{
    struct tw_engine_config c;
    tw_engine_config_init(&c);
    c.model_path = dir;
    c.mesh       = mesh;
    c.threads    = 1;
    return c;
}

static const char *write_model(void **state)
{
    struct tiny_model m = tiny_model_default();
    tiny_model_write(scratch_path(*state, "model"), &m);
    return scratch_path(*state, "model");
}

static struct tw_engine *open_with(const struct tw_engine_config *c)
{
    struct trawl_error err;
    struct tw_engine *e = NULL;
    assert_ok(tw_engine_open(&e, c, &err));
    return e;
}

static void add_requests(struct harness *h)
{
    harness_init(h);
    for (size_t i = 0; i < REQUESTS; i++) {
        harness_add(h, prompt + i, 10 + 17 * i, 12 + 5 * i)->capture = true;
    }
}

/* ---- settings ---- */

static void test_settings_are_refused_before_anything_is_read(void **state)
{
    struct tw_engine_config c[11];
    static const char *words[11] = {
        "tree_leaves is 12, expected 8, 16 or 32",
        "batch_size is 0, expected 1 to 65536",
        "prefill_chunk is 0, expected 1 to",
        "threads is -1, expected 0 (automatic) to 1024",
        "dtype and kv_dtype are bfloat16 or float32",
        "max_model_len is 4097, the model's context is 4096",
        "mesh 1x3: this model (6 attention heads, 8 tree leaves) can be split over 1, 2 or 4 devices, not "
        "over 3",
        "can be split over 1, 2 or 4 devices, not over 8",
        "mesh 0x1: expected",
        "sse9",
        "mesh 1x6: this model (6 attention heads, 32 tree leaves) can be split over 1, 2 or 4 devices, not "
        "over 6",
    };
    struct trawl_error err;
    struct tw_engine *e = NULL;
    const char *dir     = write_model(state);
    for (size_t i = 0; i < 11; i++) {
        c[i] = config_for(dir, (struct tw_mesh){1, 1});
    }
    c[0].tree_leaves   = 12;
    c[1].batch_size    = 0;
    c[2].prefill_chunk = 0;
    c[3].threads       = -1;
    c[4].kv_dtype      = TW_DTYPE_F16;
    c[5].max_model_len = 4097;
    c[6].mesh.model    = 3;
    c[7].mesh.model    = 8;
    c[8].mesh.data     = 0;
    c[9].isa           = "sse9";
    c[10].tree_leaves  = 32;
    c[10].mesh.model   = 6;
    for (size_t i = 0; i < 11; i++) {
        err.message[0] = '\0';
        assert_int_not_equal(tw_engine_open(&e, &c[i], &err), TRAWL_OK);
        assert_null(e);
        if (strstr(err.message, words[i]) == NULL) {
            fail_msg("message \"%s\" does not say \"%s\"", err.message, words[i]);
        }
    }
    tw_engine_close(NULL);
}

static void test_zeros_become_what_they_stand_for(void **state)
{
    struct tw_engine_config c = config_for(write_model(state), (struct tw_mesh){2, 2});
    c.threads                 = 0;
    struct tw_engine *e       = open_with(&c);
    assert_in_range(tw_engine_settings(e)->threads, 1, 1024);
    assert_int_equal(tw_engine_settings(e)->max_model_len, 4096);
    assert_true(tw_engine_settings(e)->kv_cache_bytes > 0);
    assert_string_equal(tw_engine_settings(e)->model_path, c.model_path);
    tw_engine_close(e);
}

/* ---- runs that end early ---- */

static void test_a_failing_callback_ends_the_run_and_nothing_else(void **state)
{
    static const struct tw_mesh meshes[] = {{1, 1}, {2, 2}, {3, 1}};
    const char *dir                      = write_model(state);
    for (size_t m = 0; m < sizeof meshes / sizeof meshes[0]; m++) {
        struct tw_engine_config c = config_for(dir, meshes[m]);
        struct trawl_error err;
        struct tw_site sites[2];
        struct harness want, h;
        size_t n_sites      = 0;
        c.batch_size        = 2;
        struct tw_engine *e = open_with(&c);
        assert_ok(tw_site_parse("layer_1", &tw_engine_model(e)->config, sites, 2, &n_sites, &err));
        add_requests(&want);
        add_requests(&h);
        assert_ok(harness_run(&want, e, sites, n_sites, &err));
        for (size_t at = 1; at < 40; at += 6) {
            h.fail_rows_at = at;
            assert_refused(harness_run(&h, e, sites, n_sites, &err), TRAWL_ERR_IO, "rows refused on purpose");
        }
        h.fail_rows_at = 0;
        for (size_t at = 1; at < REQUESTS; at++) {
            h.fail_finished_at = at;
            assert_refused(harness_run(&h, e, sites, n_sites, &err), TRAWL_ERR_IO,
                           "result refused on purpose");
        }
        h.fail_finished_at = 0;
        assert_ok(harness_run(&h, e, sites, n_sites, &err)); /* all pages came back, nothing is left over */
        harness_assert_equal(&want, &h, e, sites, n_sites);
        harness_free(&want);
        harness_free(&h);
        tw_engine_close(e);
    }
}

struct canceller {
    struct tw_engine *engine;
    size_t at, seen;
};

static bool cancel_at(void *user, uint64_t id, size_t n)
{
    struct canceller *c = user;
    (void)id;
    (void)n;
    if (++c->seen == c->at) {
        tw_engine_cancel(c->engine);
    }
    return true;
}

static void test_a_cancelled_run_leaves_the_engine_usable(void **state)
{
    static const struct tw_mesh meshes[] = {{1, 1}, {2, 2}};
    const char *dir                      = write_model(state);
    for (size_t m = 0; m < 2; m++) {
        struct tw_engine_config c = config_for(dir, meshes[m]);
        struct trawl_error err;
        struct harness want, h;
        c.batch_size        = 3;
        struct tw_engine *e = open_with(&c);
        add_requests(&want);
        add_requests(&h);
        assert_ok(harness_run(&want, e, NULL, 0, &err));
        struct canceller canceller = {.engine = e, .at = 20};
        h.on_token                 = cancel_at;
        h.on_token_user            = &canceller;
        assert_refused(harness_run(&h, e, NULL, 0, &err), TRAWL_ERR_CANCELLED, "stopped on request");
        size_t cancelled = 0;
        for (size_t i = 0; i < REQUESTS; i++) { /* those that were under way say so, with what they had */
            struct harness_answer *a = &h.answers[i];
            assert_in_range(a->finished, 0, 1);
            if (a->finished && a->finish == TW_FINISH_DROPPED) {
                cancelled++;
                assert_memory_equal(a->tokens, want.answers[i].tokens, a->n_tokens * sizeof a->tokens[0]);
            }
        }
        assert_in_range(cancelled, 1, 3 * (size_t)meshes[m].data);
        canceller.at = 0;
        assert_refused(harness_run(&h, e, NULL, 0, &err), TRAWL_ERR_CANCELLED,
                       "stopped on request"); /* until resumed */
        tw_engine_resume(e);
        assert_ok(harness_run(&h, e, NULL, 0, &err));
        harness_assert_equal(&want, &h, e, NULL, 0);
        harness_free(&want);
        harness_free(&h);
        tw_engine_close(e);
    }
}

static void test_a_run_without_requests(void **state)
{
    struct tw_engine_config c = config_for(write_model(state), (struct tw_mesh){2, 2});
    struct trawl_error err;
    struct harness h;
    struct tw_engine *e = open_with(&c);
    harness_init(&h);
    assert_ok(harness_run(&h, e, NULL, 0, &err));
    harness_free(&h);
    tw_engine_close(e);
}

/* ---- two engines ---- */

struct side {
    const char *dir;
    struct harness h;
    trawl_status status;
    struct trawl_error err;
};

static void *run_side(void *arg)
{
    struct side *s            = arg;
    struct tw_engine_config c = config_for(s->dir, (struct tw_mesh){1, 2});
    struct tw_engine *e       = NULL;
    s->status                 = tw_engine_open(&e, &c, &s->err);
    for (int i = 0; s->status == TRAWL_OK && i < 3; i++) {
        s->status = harness_run(&s->h, e, NULL, 0, &s->err);
    }
    tw_engine_close(e);
    return NULL;
}

static void test_two_engines_at_once(void **state)
{
    static struct side sides[2];
    pthread_t threads[2];
    const char *dir = write_model(state);
    for (size_t i = 0; i < 2; i++) {
        sides[i].dir = dir;
        add_requests(&sides[i].h);
        assert_int_equal(pthread_create(&threads[i], NULL, run_side, &sides[i]), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        if (sides[i].status != TRAWL_OK) {
            fail_msg("%s", sides[i].err.message);
        }
    }
    for (size_t i = 0; i < REQUESTS; i++) {
        assert_int_equal(sides[0].h.answers[i].n_tokens, 12 + 5 * i);
        assert_memory_equal(sides[0].h.answers[i].tokens, sides[1].h.answers[i].tokens,
                            sizeof sides[0].h.answers[i].tokens);
    }
    harness_free(&sides[0].h);
    harness_free(&sides[1].h);
}

/* ---- memory ---- */

struct counter {
    size_t early, late;
};

static bool count_allocations(void *user, uint64_t id, size_t n)
{
    struct counter *c = user;
    if (id == 0 && n == 4) {
        c->early = tw_alloc_count();
    } else if (id == 0 && n == 90) {
        c->late = tw_alloc_count();
    }
    return true;
}

static void test_steady_steps_allocate_nothing(void **state)
{
    static const struct tw_mesh meshes[] = {{1, 1}, {1, 2}, {2, 2}};
    const char *dir                      = write_model(state);
    for (size_t m = 0; m < sizeof meshes / sizeof meshes[0]; m++) {
        struct tw_engine_config c = config_for(dir, meshes[m]);
        struct trawl_error err;
        struct tw_site sites[4];
        struct harness h;
        size_t n_sites         = 0;
        struct counter counter = {.early = 1, .late = 0};
        c.threads              = 2;
        struct tw_engine *e    = open_with(&c);
        assert_ok(tw_site_parse("layer_*", &tw_engine_model(e)->config, sites, 4, &n_sites, &err));
        harness_init(&h);
        for (size_t i = 0; i < 4; i++) { /* the same length: replicas admit all before the count begins */
            struct tw_request *q    = harness_add(&h, prompt, 70, 95);
            q->capture              = i % 2 == 0;
            q->sampling.temperature = i == 1 ? 1 : 0;
            q->sampling.top_p       = i == 1 ? 0.9 : 1;
        }
        h.on_token      = count_allocations;
        h.on_token_user = &counter;
        assert_ok(harness_run(&h, e, sites, n_sites, &err));
        if (meshes[m].data == 1) {
            assert_int_equal(counter.early, counter.late);
        } else {
            assert_in_range(counter.late - counter.early, 0,
                            64); /* the other replica may still be admitting */
        }
        harness_free(&h);
        tw_engine_close(e);
    }
}

static void test_devices_share_the_weights(void **state)
{
    static const struct tw_mesh meshes[] = {{1, 1}, {1, 2}, {1, 4}, {2, 2}, {3, 1}};
    const char *dir                      = write_model(state);
    struct tw_engine_memory first        = {0};
    for (size_t m = 0; m < sizeof meshes / sizeof meshes[0]; m++) {
        struct tw_engine_config c = config_for(dir, meshes[m]);
        c.kv_cache_bytes          = 1 << 20;
        struct tw_engine *e       = open_with(&c);
        struct tw_engine_memory k = tw_engine_memory(e);
        if (m == 0) {
            first = k;
        }
        assert_true(k.weights > 0 && k.weights == first.weights);
        /* two KV heads: four ranks hold each twice */
        size_t copies = meshes[m].model == 4 ? 2 : 1;
        assert_int_equal(k.kv, first.kv * copies * (size_t)meshes[m].data);
        tw_engine_close(e);
    }
}

static void test_tree_leaves_bound_the_model_axis(void **state)
{
    struct tiny_model m = tiny_model_default();
    m.n_heads           = 32;
    m.n_kv_heads        = 4;
    tiny_model_write(scratch_path(*state, "model"), &m);
    for (int leaves = 8; leaves <= 32; leaves *= 2) {
        struct tw_engine_config c = config_for(scratch_path(*state, "model"), (struct tw_mesh){1, 1});
        struct trawl_error err;
        struct harness one, most;
        c.tree_leaves       = leaves;
        struct tw_engine *e = open_with(&c);
        harness_init(&one);
        harness_init(&most);
        (void)harness_add(&one, prompt, 40, 5);
        (void)harness_add(&most, prompt, 40, 5);
        assert_ok(harness_run(&one, e, NULL, 0, &err));
        tw_engine_close(e);
        c.mesh.model = leaves;
        e            = open_with(&c);
        assert_ok(harness_run(&most, e, NULL, 0, &err));
        harness_assert_equal(&one, &most, e, NULL, 0);
        tw_engine_close(e);
        e            = NULL;
        c.mesh.model = 2 * leaves;
        assert_int_equal(tw_engine_open(&e, &c, &err), TRAWL_ERR_INVALID);
        harness_free(&one);
        harness_free(&most);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_settings_are_refused_before_anything_is_read),
        scratch_test(test_zeros_become_what_they_stand_for),
        scratch_test(test_a_failing_callback_ends_the_run_and_nothing_else),
        scratch_test(test_a_cancelled_run_leaves_the_engine_usable),
        scratch_test(test_a_run_without_requests),
        scratch_test(test_two_engines_at_once),
        scratch_test(test_steady_steps_allocate_nothing),
        scratch_test(test_devices_share_the_weights),
        scratch_test(test_tree_leaves_bound_the_model_axis),
    };
    for (size_t i = 0; i < LONG; i++) {
        prompt[i] = (int32_t)(i * 7919 % 131);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
