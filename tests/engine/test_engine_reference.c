/* SPDX-License-Identifier: MIT */
/* The engine equals the definition of docs/numerics.md, bit by bit, for every family, dtype and mesh. */
#include "engine_harness.h"
#include "reference_forward.h"
#include "support/tiny_model.h"

static const struct tiny_model models[] = {
    {"qwen2", 48, 72, 2, 6, 2, 8, 131, true, false, TW_DTYPE_BF16, 1},
    {"llama", 64, 136, 2, 4, 4, 16, 259, false, true, TW_DTYPE_BF16, 2},
    {"qwen3", 64, 104, 2, 4, 2, 32, 301, true, false, TW_DTYPE_BF16, 3},
    {"llama", 48, 40, 1, 3, 1, 16, 77, true, false, TW_DTYPE_F32, 4},
    {"qwen2", 40, 33, 1, 5, 1, 8, 50, false, false, TW_DTYPE_F16, 5},
};

enum { N_PROMPT = 70, SITES = 8 };

static void check(const char *dir, bool bf16, struct tw_mesh mesh, int threads, size_t chunk)
{
    struct trawl_error err;
    struct tw_engine_config c;
    struct tw_engine *engine = NULL;
    struct tw_site sites[SITES];
    size_t n_sites = 0;
    struct harness h;
    struct reference want;
    int32_t prompt[N_PROMPT];
    tw_engine_config_init(&c);
    c.model_path    = dir;
    c.mesh          = mesh;
    c.compute       = bf16 ? TW_DTYPE_BF16 : TW_DTYPE_F32;
    c.kv_dtype      = c.compute;
    c.threads       = threads;
    c.prefill_chunk = chunk;
    assert_ok(tw_engine_open(&engine, &c, &err));
    const struct tw_model_config *m = &tw_engine_model(engine)->config;
    for (size_t i = 0; i < N_PROMPT; i++) {
        prompt[i] = (int32_t)((i * 7919 + 13) % m->vocab);
    }
    assert_ok(tw_site_parse("blocks.*.hook_resid_post", m, sites, SITES, &n_sites, &err));
    harness_init(&h);
    struct tw_request *q = harness_add(&h, prompt, N_PROMPT, 0);
    q->capture = q->logits = true;
    assert_ok(harness_run(&h, engine, sites, n_sites, &err));
    reference_forward(&want, dir, bf16, c.tree_leaves, prompt, N_PROMPT);
    for (size_t layer = 0; layer < n_sites; layer++) {
        assert_memory_equal(h.answers[0].rows[layer], want.resid + layer * want.n * want.hidden,
                            want.n * want.hidden * sizeof(float));
    }
    assert_memory_equal(h.answers[0].logits, want.logits, want.n * want.vocab * sizeof(float));
    reference_free(&want);
    harness_free(&h);
    tw_engine_close(engine);
}

static void test_every_family_dtype_and_mesh(void **state)
{
    tw_float_mode_compute();
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        const char *path = tiny_model_number(state, i, &models[i]);
        for (int bf16 = 0; bf16 < 2; bf16++) {
            check(path, bf16, (struct tw_mesh){1, 1}, 1, 512);
            check(path, bf16, (struct tw_mesh){1, 2}, 2, 9);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_family_dtype_and_mesh, scratch_make, scratch_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
