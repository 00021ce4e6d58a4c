/* SPDX-License-Identifier: MIT */
/* Requests of which nothing but activations is wanted run only the layers up to the deepest site: the rows
 * are those of a whole forward pass, and nobody else sees what was left out. */
#include "engine_harness.h"
#include "support/tiny_model.h"

enum { LONG = 200, REQUESTS = 5, SITES = 4 };

static int32_t prompt[LONG];

static size_t prompt_tokens(size_t i)
{
    return 9 + 37 * i;
}

static struct tw_engine *open_engine(const char *dir, struct tw_mesh mesh)
{
    struct tw_engine_config c;
    struct trawl_error err;
    struct tw_engine *e = NULL;
    tw_engine_config_init(&c);
    c.model_path    = dir;
    c.mesh          = mesh;
    c.threads       = 1;
    c.batch_size    = 3;
    c.prefill_chunk = 48;
    assert_ok(tw_engine_open(&e, &c, &err));
    return e;
}

/* Requests i with i % period == 0 want an answer, too; 0: none does. */
static void run(struct harness *h, struct tw_engine *e, const struct tw_site *sites, size_t n_sites,
                size_t period)
{
    struct trawl_error err;
    harness_init(h);
    for (size_t i = 0; i < REQUESTS; i++) {
        size_t max_tokens       = period != 0 && i % period == 0 ? 3 : 0;
        struct tw_request *q    = harness_add(h, prompt + i, prompt_tokens(i), max_tokens);
        q->capture              = true;
        q->sampling.temperature = 0;
    }
    assert_ok(harness_run(h, e, sites, n_sites, &err));
}

static void assert_prompt_rows_equal(const struct harness *got, const struct harness *want,
                                     const struct tw_engine *e, const struct tw_site *sites, size_t n_sites)
{
    for (size_t i = 0; i < REQUESTS; i++) {
        for (size_t s = 0; s < n_sites; s++) {
            const struct harness_answer *g = &got->answers[i], *w = &want->answers[i];
            size_t floats = prompt_tokens(i) * tw_site_width(sites[s], &tw_engine_model(e)->config);
            assert_true(g->n_rows[s] >= prompt_tokens(i) && w->n_rows[s] >= prompt_tokens(i));
            assert_memory_equal(g->rows[s], w->rows[s], floats * sizeof(float));
        }
    }
}

static const char *const site_sets[][SITES] = {
    {"hook_embed"},
    {"blocks.0.hook_resid_pre"},
    {"blocks.1.hook_resid_pre"},
    {"blocks.0.hook_resid_mid", "blocks.0.mlp.hook_post"},
    {"blocks.0.hook_mlp_out", "blocks.0.hook_resid_post", "blocks.1.hook_resid_pre"},
    {"hook_embed", "blocks.0.hook_attn_out", "blocks.1.attn.hook_k"},
    {"blocks.0.attn.hook_z", "ln_final.hook_normalized"},
};

static void test_rows_are_those_of_a_whole_pass(void **state)
{
    static const struct tw_mesh meshes[] = {{1, 1}, {1, 2}, {2, 1}};
    struct tiny_model m                  = tiny_model_default();
    const char *dir                      = scratch_path(*state, "model");
    tiny_model_write(dir, &m);
    for (size_t i = 0; i < sizeof meshes / sizeof meshes[0]; i++) {
        struct tw_engine *e = open_engine(dir, meshes[i]);
        for (size_t set = 0; set < sizeof site_sets / sizeof site_sets[0]; set++) {
            struct tw_site sites[SITES];
            struct trawl_error err;
            struct harness whole, shallow, mixed;
            size_t n = 0;
            for (size_t s = 0; s < SITES && site_sets[set][s] != NULL; s++) {
                assert_ok(
                    tw_site_parse(site_sets[set][s], &tw_engine_model(e)->config, sites, SITES, &n, &err));
            }
            run(&whole, e, sites, n, 1);
            run(&shallow, e, sites, n, 0);
            run(&mixed, e, sites, n, 2);
            assert_prompt_rows_equal(&shallow, &whole, e, sites, n);
            assert_prompt_rows_equal(&mixed, &whole, e, sites, n);
            for (size_t q = 0; q < REQUESTS; q += 2) {
                assert_memory_equal(mixed.answers[q].tokens, whole.answers[q].tokens,
                                    whole.answers[q].n_tokens * sizeof(int32_t));
            }
            harness_free(&whole);
            harness_free(&shallow);
            harness_free(&mixed);
        }
        tw_engine_close(e);
    }
}

/* A page whose upper layers were left out is nobody's prefix. */
static void test_what_was_left_out_is_not_reused(void **state)
{
    struct tiny_model m = tiny_model_default();
    const char *dir     = scratch_path(*state, "model");
    struct trawl_error err;
    struct tw_site site;
    struct harness want, first, got;
    size_t n = 0;
    tiny_model_write(dir, &m);
    struct tw_engine *fresh = open_engine(dir, (struct tw_mesh){1, 1}),
                     *e     = open_engine(dir, (struct tw_mesh){1, 1});
    assert_ok(tw_site_parse("hook_embed", &tw_engine_model(e)->config, &site, 1, &n, &err));
    run(&first, e, &site, 1, 0);
    run(&got, e, NULL, 0, 1);
    run(&want, fresh, NULL, 0, 1);
    harness_assert_equal(&got, &want, e, NULL, 0);
    harness_free(&first);
    harness_free(&got);
    harness_free(&want);
    tw_engine_close(e);
    tw_engine_close(fresh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_rows_are_those_of_a_whole_pass),
        scratch_test(test_what_was_left_out_is_not_reused),
    };
    for (int i = 0; i < LONG; i++) {
        prompt[i] = (i * 7 + 3) % 90;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
