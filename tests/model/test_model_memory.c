/* SPDX-License-Identifier: MIT */
/* The memory plan (mesh/mesh_memory.h) beside what models and devices really allocate. */
#include "mesh/mesh_memory.h"
#include "model/model_device.h"
#include "model/model_list.h"
#include "model/model_packed.h"
#include "support/test.h"
#include "support/tiny_model.h"

enum { BATCH = 5, CHUNK = 96, EXTRA_LOGITS = 64, MAX_LEN = 700, THREADS = 3 };

static struct tw_mesh_load load_for(const struct tw_model *m, enum tw_dtype kv, size_t thread_bytes)
{
    return (struct tw_mesh_load){.weight_bytes     = tw_dtype_bytes(m->weight),
                                 .weight_share     = 1,
                                 .embed_bytes      = tw_dtype_bytes(m->embed_dtype),
                                 .kv_bytes         = tw_dtype_bytes(kv),
                                 .batch            = BATCH,
                                 .max_len          = MAX_LEN,
                                 .chunk            = CHUNK,
                                 .page_tokens      = TW_KV_BLOCK,
                                 .extra_logit_rows = EXTRA_LOGITS,
                                 .threads          = THREADS,
                                 .thread_bytes     = thread_bytes};
}

static void assert_near(const char *what, size_t planned, size_t real)
{
    double ratio = (double)planned / (double)real;
    if (ratio < 0.9 || ratio > 1.1) {
        fail_msg("%s: %zu bytes planned, %zu allocated", what, planned, real);
    }
}

/* One device of each rank, without the rest of an engine; largest and sum beside the plan. */
static void check_mesh(const struct tw_model *model, const struct tw_kernels *kernels, enum tw_dtype kv,
                       int degree)
{
    struct tw_mesh_model m = tw_model_config_mesh(&model->config, 8);
    struct trawl_error err;
    struct tw_mesh_memory plan;
    size_t most = 0, sum = 0, thread_bytes = tw_device_thread_bytes(kernels, &model->config, false);
    size_t pages = BATCH * (size_t)((MAX_LEN + TW_KV_BLOCK - 1) / TW_KV_BLOCK);
    for (int rank = 0; rank < degree; rank++) {
        struct tw_device device;
        struct tw_device_config c = {.rank           = rank,
                                     .degree         = degree,
                                     .tree_leaves    = 8,
                                     .n_threads      = THREADS,
                                     .wait           = tw_wait_policy_for(THREADS),
                                     .kv_dtype       = kv,
                                     .n_pages        = pages,
                                     .max_rows       = CHUNK + BATCH,
                                     .max_logit_rows = BATCH + EXTRA_LOGITS};
        assert_ok(tw_device_init(&device, model, kernels, &c, &err));
        size_t bytes = tw_device_bytes(&device);
        most         = bytes > most ? bytes : most;
        sum += bytes;
        tw_device_release(&device);
    }
    struct tw_mesh_load load = load_for(model, kv, thread_bytes);
    struct tw_mesh mesh      = {1, degree};
    assert_ok(tw_mesh_memory_plan(&m, mesh, &load, &plan, &err));
    assert_near("the largest device", plan.kv + plan.activations + plan.scratch, most);
    size_t logits = (size_t)(BATCH + EXTRA_LOGITS) * m.vocab * sizeof(float);
    struct tw_mesh_memory one;
    assert_ok(tw_mesh_memory_plan(&m, (struct tw_mesh){1, 1}, &load, &one, &err));
    assert_near("all devices", plan.process_total, sum + logits + one.weights + one.embedding);
}

static void devices(void **state)
{
    static const char *const types[] = {"qwen2", "llama", "qwen3"};
    struct scratch *s                = *state;
    struct tw_kernels kernels;
    struct trawl_error err;
    assert_ok(tw_kernels_init(&kernels, "scalar", &err));
    for (size_t i = 0; i < 6; i++) {
        struct tiny_model t    = tiny_model_default();
        struct tw_model *model = NULL;
        t.type                 = types[i % 3];
        t.n_heads              = i % 2 == 0 ? 14 : 8;
        t.n_kv_heads           = i < 3 ? 2 : 1;
        t.head_dim             = i % 2 == 0 ? 8 : 32;
        t.tied                 = i < 3;
        tiny_model_write(s->dir, &t);
        assert_ok(tw_model_load(&model, s->dir, TW_DTYPE_BF16, false, 2, NULL, &err));
        for (int degree = 1; degree <= 8; degree *= 2) {
            check_mesh(model, &kernels, i % 2 == 0 ? TW_DTYPE_BF16 : TW_DTYPE_F32, degree);
        }
        tw_model_free(model);
    }
}

/* Weights are packed to the byte as planned. */
static void weights(void **state)
{
    static const char *const types[] = {"qwen2", "llama", "qwen3"};
    struct scratch *s                = *state;
    struct trawl_error err;
    for (size_t i = 0; i < 12; i++) {
        struct tiny_model t    = tiny_model_default();
        struct tw_model *model = NULL;
        struct tw_mesh_memory plan;
        t.type         = types[i % 3];
        t.tied         = i % 2 == 0;
        t.dtype        = i < 6 ? TW_DTYPE_BF16 : TW_DTYPE_F32;
        t.head_dim     = i % 4 < 2 ? 6 : 16;
        t.intermediate = 75;
        t.vocab        = 301;
        tiny_model_write(s->dir, &t);
        assert_ok(tw_model_load(&model, s->dir, TW_DTYPE_F32, false, 1, NULL, &err));
        struct tw_mesh_model m   = tw_model_config_mesh(&model->config, 8);
        struct tw_mesh_load load = load_for(model, TW_DTYPE_F32, 0);
        assert_ok(tw_mesh_memory_plan(&m, (struct tw_mesh){1, 1}, &load, &plan, &err));
        struct tw_weight_list list;
        assert_ok(tw_weight_list_make(&list, model, &err));
        assert_int_equal(plan.weights, model->panels_bytes + list.floats * sizeof(float));
        tw_weight_list_release(&list);
        assert_int_equal(plan.embedding, t.vocab * t.hidden * tw_dtype_bytes(t.dtype));
        tw_model_free(model);
    }
}

/* A packed file says what its matrices take; divided evenly among them it is what ranks hold, to the rounding. */
static void compressed_weights(void **state)
{
    struct scratch *s      = *state;
    struct tiny_model t    = tiny_model_default();
    struct tw_model *model = NULL;
    struct tw_packed_result result;
    struct tw_packed_info info;
    struct tw_mesh_memory plan;
    struct tw_weight_list list;
    struct trawl_error err;
    char to[128];
    (void)snprintf(to, sizeof to, "%s/packed", s->dir);
    tiny_model_write(s->dir, &t);
    const struct tw_packed_job job = {
        .folder = s->dir, .output_dir = to, .compute = TW_DTYPE_BF16, .compress = true, .n_threads = 1};
    assert_ok(tw_packed_write(&job, &result, &err));
    assert_ok(tw_packed_inspect(to, &info, &err));
    assert_ok(tw_model_load(&model, to, TW_DTYPE_BF16, true, 1, NULL, &err));
    struct tw_mesh_model m   = tw_model_config_mesh(&model->config, 8);
    struct tw_mesh_load load = load_for(model, TW_DTYPE_BF16, 0);
    load.weight_share        = (double)info.matrix_bytes / (2 * (double)info.matrix_elements);
    assert_ok(tw_mesh_memory_plan(&m, (struct tw_mesh){1, 1}, &load, &plan, &err));
    assert_ok(tw_weight_list_make(&list, model, &err));
    const size_t held = tw_model_weights_bytes(model) + list.floats * sizeof(float);
    assert_true(load.weight_share > 0.75 && load.weight_share < 0.9);
    assert_in_range(plan.weights, held, held + list.n);
    tw_weight_list_release(&list);
    tw_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(devices),
        scratch_test(weights),
        scratch_test(compressed_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
