/* SPDX-License-Identifier: MIT */
/* What becomes of requests one by one: refused, waiting, cut off by a limit, ended by a token. */
#include "engine_harness.h"
#include "support/tiny_model.h"

enum { LONG = 200 };

static int32_t prompt[LONG]; /* ids that every model here has; filled by main, read only after */

/* Six query heads: a mesh of up to 1x4. */
static struct tw_engine_config config_for(struct scratch *s, struct tw_mesh mesh)
{
    struct tiny_model m = tiny_model_default();
    struct tw_engine_config c;
    tiny_model_write(scratch_path(s, "model"), &m);
    tw_engine_config_init(&c);
    c.model_path = scratch_path(s, "model");
    c.mesh       = mesh;
    c.threads    = 1;
    return c;
}

static struct tw_engine *open_with(const struct tw_engine_config *c)
{
    struct trawl_error err;
    struct tw_engine *e = NULL;
    assert_ok(tw_engine_open(&e, c, &err));
    return e;
}

static void assert_says(const struct harness_answer *a, const char *words)
{
    assert_int_equal(a->finished, 1);
    assert_int_equal(a->finish, TW_FINISH_ERROR);
    assert_int_equal(a->n_tokens, 0);
    if (strstr(a->error, words) == NULL) {
        fail_msg("error \"%s\" does not say \"%s\"", a->error, words);
    }
}

static const struct tw_mesh meshes[] = {{1, 1}, {2, 2}};

/* Bad requests are answered one by one and disturb nobody. */
static void test_requests_that_cannot_run(void **state)
{
    for (size_t m = 0; m < 2; m++) {
        struct tw_engine_config c = config_for(*state, meshes[m]);
        struct trawl_error err;
        struct harness h;
        static const int32_t above[] = {1, 2, 131}, below[] = {-1};
        c.max_model_len     = 150;
        struct tw_engine *e = open_with(&c);
        harness_init(&h);
        (void)harness_add(&h, prompt, 20, 5);
        (void)harness_add(&h, prompt, 0, 5);
        (void)harness_add(&h, above, 3, 5);
        (void)harness_add(&h, below, 1, 5);
        (void)harness_add(&h, prompt, 151, 5);
        harness_add(&h, prompt, 3, 5)->sampling.top_p = 3;
        (void)harness_add(&h, prompt, 20, 5);
        assert_ok(harness_run(&h, e, NULL, 0, &err));
        assert_says(&h.answers[1], "the prompt is empty");
        assert_says(&h.answers[2], "token 2 of the prompt is 131, the vocabulary has 131 ids");
        assert_says(&h.answers[3], "token 0 of the prompt is -1");
        assert_says(&h.answers[4], "the prompt has 151 tokens, the context holds 150");
        assert_says(&h.answers[5], "top_p is 3, expected more than 0 and at most 1");
        assert_int_equal(h.answers[0].n_tokens, 5);
        assert_memory_equal(h.answers[0].tokens, h.answers[6].tokens, sizeof h.answers[0].tokens);
        harness_free(&h);
        tw_engine_close(e);
    }
}

static size_t bytes_of_pages(const struct tw_engine_config *c, size_t pages)
{
    struct tiny_model m = tiny_model_default();
    return pages * 2 * m.n_layers * m.n_kv_heads * m.head_dim * 64 * tw_dtype_bytes(c->kv_dtype);
}

static void test_a_request_waits_for_pages_that_others_hold(void **state)
{
    for (size_t m = 0; m < 2; m++) {
        struct tw_engine_config c = config_for(*state, meshes[m]);
        struct trawl_error err;
        struct harness wide, narrow;
        struct tw_engine *e = open_with(&c);
        harness_init(&wide);
        for (size_t i = 0; i < 8; i++) {
            (void)harness_add(&wide, prompt + i, 50 + i, 30 + i);
        }
        harness_init(&narrow);
        memcpy(narrow.requests, wide.requests, sizeof wide.requests);
        narrow.n_requests = wide.n_requests;
        assert_ok(harness_run(&wide, e, NULL, 0, &err));
        tw_engine_close(e);

        c.kv_cache_bytes = bytes_of_pages(&c, 3); /* each request needs two */
        e                = open_with(&c);
        assert_ok(harness_run(&narrow, e, NULL, 0, &err));
        harness_assert_equal(&wide, &narrow, e, NULL, 0);
        (void)harness_add(&narrow, prompt, 100, 100); /* and this one more than there are */
        assert_ok(harness_run(&narrow, e, NULL, 0, &err));
        assert_says(&narrow.answers[8],
                    "100 prompt and 100 new tokens need 4 KV pages of 64 tokens, the cache has 3");
        narrow.n_requests = 8;
        harness_assert_equal(&wide, &narrow, e, NULL, 0);
        harness_free(&wide);
        harness_free(&narrow);
        tw_engine_close(e);
    }
}

static void test_the_context_caps_an_answer(void **state)
{
    struct tw_engine_config c = config_for(*state, meshes[0]);
    struct trawl_error err;
    struct harness h;
    c.max_model_len     = 80;
    struct tw_engine *e = open_with(&c);
    harness_init(&h);
    (void)harness_add(&h, prompt, 70, 1000000);
    (void)harness_add(&h, prompt, 70, SIZE_MAX);
    (void)harness_add(&h, prompt, 80, 5);
    (void)harness_add(&h, prompt, 70, 10);
    (void)harness_add(&h, prompt, 70, 3);
    assert_ok(harness_run(&h, e, NULL, 0, &err));
    static const size_t want[] = {10, 10, 0, 10, 3};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(h.answers[i].finish, TW_FINISH_LENGTH);
        assert_int_equal(h.answers[i].n_tokens, want[i]);
        assert_memory_equal(h.answers[i].tokens, h.answers[0].tokens, want[i] * sizeof(int32_t));
    }
    uint64_t prompt_tokens, generated_tokens;
    tw_engine_progress(e, &prompt_tokens, &generated_tokens);
    assert_int_equal(prompt_tokens, 4 * 70 + 80);
    assert_int_equal(generated_tokens, 33);
    harness_free(&h);
    tw_engine_close(e);
}

/* The place of the first token that did not occur before it, from `from` on. */
static size_t first_new(const struct harness_answer *a, size_t from)
{
    for (size_t i = from; i < a->n_tokens; i++) {
        bool before = false;
        for (size_t j = 0; j < i; j++) {
            before = before || a->tokens[j] == a->tokens[i];
        }
        if (!before) {
            return i;
        }
    }
    fail_msg("the answer repeats itself from token %zu on", from);
    return 0;
}

static void test_end_tokens_end_an_answer(void **state)
{
    struct tw_engine_config c = config_for(*state, meshes[0]);
    struct trawl_error err;
    struct harness h;
    struct tw_engine *e = open_with(&c);
    harness_init(&h);
    struct tw_request *q    = harness_add(&h, prompt, 20, 40);
    q->sampling.temperature = 2; /* an answer that does not repeat itself */
    q->sampling.seed        = 5;
    assert_ok(harness_run(&h, e, NULL, 0, &err));
    struct harness_answer whole = h.answers[0];
    assert_int_equal(whole.n_tokens, 40);
    size_t at = first_new(&whole, 6), later = first_new(&whole, at + 3);
    const int32_t stop[2] = {whole.tokens[later], whole.tokens[at]};

    q->stop   = stop;
    q->n_stop = 2;
    assert_ok(harness_run(&h, e, NULL, 0, &err));
    assert_int_equal(h.answers[0].finish, TW_FINISH_STOP);
    assert_int_equal(h.answers[0].n_tokens, at + 1);
    assert_memory_equal(h.answers[0].tokens, whole.tokens, (at + 1) * sizeof(int32_t));
    tw_engine_close(e);

    /* the model's own */
    char text[64];
    int n = snprintf(text, sizeof text, "{\"eos_token_id\": [%d]}", (int)whole.tokens[later]);
    assert_ok(tw_file_replace(scratch_path(*state, "model/generation_config.json"), text, (size_t)n, &err));
    c.model_path = scratch_path(*state, "model");
    e            = open_with(&c);
    q->n_stop    = 0;
    assert_ok(harness_run(&h, e, NULL, 0, &err));
    assert_int_equal(h.answers[0].finish, TW_FINISH_STOP);
    assert_int_equal(h.answers[0].n_tokens, later + 1);
    q->ignore_eos = true;
    assert_ok(harness_run(&h, e, NULL, 0, &err));
    assert_int_equal(h.answers[0].finish, TW_FINISH_LENGTH);
    assert_memory_equal(h.answers[0].tokens, whole.tokens, sizeof whole.tokens);
    q->n_stop = 2; /* ignore_eos leaves the request's own end tokens */
    assert_ok(harness_run(&h, e, NULL, 0, &err));
    assert_int_equal(h.answers[0].n_tokens, at + 1);
    harness_free(&h);
    tw_engine_close(e);
}

static bool end_second_after_four(void *user, uint64_t id, size_t n)
{
    (void)user;
    return id != 1 || n < 4;
}

static void test_the_token_callback_ends_an_answer(void **state)
{
    struct tw_engine_config c = config_for(*state, meshes[1]);
    struct trawl_error err;
    struct harness h;
    struct tw_engine *e = open_with(&c);
    harness_init(&h);
    for (size_t i = 0; i < 3; i++) {
        (void)harness_add(&h, prompt, 20, 9);
    }
    h.on_token = end_second_after_four;
    assert_ok(harness_run(&h, e, NULL, 0, &err));
    assert_true(h.answers[0].finish == TW_FINISH_LENGTH && h.answers[0].n_tokens == 9);
    assert_true(h.answers[1].finish == TW_FINISH_STOP && h.answers[1].n_tokens == 4);
    assert_memory_equal(h.answers[1].tokens, h.answers[0].tokens, 4 * sizeof(int32_t));
    harness_free(&h);
    tw_engine_close(e);
}

/* A model whose logits are all NaN still answers: nothing in the engine depends on values. */
static void test_weights_that_are_not_finite_do_not_stop_a_run(void **state)
{
    struct tw_engine_config c = config_for(*state, meshes[1]);
    struct trawl_error err;
    struct harness h;
    char *bytes = NULL;
    size_t n    = 0;
    assert_ok(tw_file_read(scratch_path(*state, "model/model.safetensors"), 1 << 24, &bytes, &n, &err));
    memset(bytes + n - 96, 0xFF, 96); /* the last tensor is the final norm */
    assert_ok(tw_file_replace(scratch_path(*state, "model/model.safetensors"), bytes, n, &err));
    tw_free(bytes);
    c.model_path        = scratch_path(*state, "model");
    struct tw_engine *e = open_with(&c);
    harness_init(&h);
    for (size_t i = 0; i < 4; i++) {
        struct tw_request *q    = harness_add(&h, prompt, 20, 9);
        q->sampling.temperature = i % 2 ? 1 : 0;
        q->sampling.min_p       = i == 3 ? 0.1 : 0;
    }
    assert_ok(harness_run(&h, e, NULL, 0, &err));
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(h.answers[i].n_tokens, 9);
        assert_true(isnan(h.answers[i].logprobs[0]));
    }
    harness_free(&h);
    tw_engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_requests_that_cannot_run),
        scratch_test(test_a_request_waits_for_pages_that_others_hold),
        scratch_test(test_the_context_caps_an_answer),
        scratch_test(test_end_tokens_end_an_answer),
        scratch_test(test_the_token_callback_ends_an_answer),
        scratch_test(test_weights_that_are_not_finite_do_not_stop_a_run),
    };
    for (size_t i = 0; i < LONG; i++) {
        prompt[i] = (int32_t)(i * 7919 % 131);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
