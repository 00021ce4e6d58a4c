/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mesh/mesh_memory.h"
#include "mesh_models.h"

#define GIB ((size_t)1 << 30)

static struct tw_mesh_load small_load(void)
{
    return (struct tw_mesh_load){
        .weight_bytes = 2, .kv_bytes = 2, .batch = 8, .max_len = 2000, .step_tokens = 512, .page_tokens = 64};
}

/* Figures worked out by hand from the published sizes. */
static void one_device(void **state)
{
    (void)state;
    struct tw_mesh_model model = qwen_half_b();
    struct tw_mesh_load load   = small_load();
    struct tw_mesh_memory m;
    assert_int_equal(tw_mesh_memory_plan(&model, (struct tw_mesh){1, 1}, &load, &m, NULL), TRAWL_OK);
    const size_t vectors = 49 * 896 + 24 * (896 + 128 + 128);
    assert_int_equal(m.weights, (494032768u - vectors) * 2 + vectors * 4);
    assert_int_equal(m.kv, (size_t)24 * 2 * 2 * 64 * 2 * 2048 * 8); /* 2000 tokens take 32 pages of 64 */
    assert_int_equal(m.scratch, 512u * (5 * 896 + 2 * 896 + 2 * 128 + 2 * 4864) * 4 + (size_t)8 * 151936 * 4);
    assert_int_equal(m.total, m.weights + m.kv + m.scratch);
    assert_int_equal(m.process_total, m.total);
    assert_int_equal(m.rank, 0);
}

static void two_by_two(void **state)
{
    (void)state;
    struct tw_mesh_model model = qwen_half_b();
    struct tw_mesh_load load   = small_load();
    struct tw_mesh_memory one;
    struct tw_mesh_memory m;
    assert_int_equal(tw_mesh_memory_plan(&model, (struct tw_mesh){1, 1}, &load, &one, NULL), TRAWL_OK);
    assert_int_equal(tw_mesh_memory_plan(&model, (struct tw_mesh){2, 2}, &load, &m, NULL), TRAWL_OK);
    /* Half of everything but the norms, and half the table once more: the head is split by rows, the
     * embedding by columns. */
    const size_t norms = 49 * 896 * 4;
    assert_int_equal(m.weights, (one.weights - norms) / 2 + norms + (size_t)151936 * 896);
    assert_int_equal(m.kv, one.kv / 2);
    /* Four devices of one process share the weights; two replicas have two caches. */
    size_t step_rows = 512u * 5 * 896 * 4; /* what is not split */
    assert_int_equal(m.process_total, one.weights + 2 * (one.kv + one.scratch + step_rows));
}

static void shared_kv_heads_are_counted_as_copies(void **state)
{
    (void)state;
    struct tw_mesh_model model = qwen_half_b();
    struct tw_mesh_load load   = small_load();
    struct tw_mesh_memory two;
    struct tw_mesh_memory eight;
    assert_int_equal(tw_mesh_memory_plan(&model, (struct tw_mesh){1, 2}, &load, &two, NULL), TRAWL_OK);
    assert_int_equal(tw_mesh_memory_plan(&model, (struct tw_mesh){1, 8}, &load, &eight, NULL), TRAWL_OK);
    assert_int_equal(eight.kv, two.kv); /* one whole KV head each, with 2 ranks as with 8 */
}

static void says_what_does_not_fit(void **state)
{
    (void)state;
    struct tw_mesh mesh          = {1, 2};
    struct tw_mesh_memory memory = {
        .weights = 3 * GIB, .kv = GIB / 2, .scratch = GIB / 4, .total = 15 * GIB / 4};
    struct trawl_error err = {0};
    assert_int_equal(tw_mesh_memory_fits(mesh, &memory, 15 * GIB / 4, &err), TRAWL_OK);
    assert_int_equal(tw_mesh_memory_fits(mesh, &memory, 15 * GIB / 4 - 1, &err), TRAWL_ERR_LIMIT);
    assert_string_equal(err.message,
                        "mesh 1x2 does not fit: a device needs 3.750 GiB (weights 3.000, KV cache "
                        "0.500, step buffers 0.250) and has 3.750 GiB");
}

/* Every device count and size: the answer is the smallest degree that fits, found by trying them all. */
static void suggests_the_smallest_degree(void **state)
{
    (void)state;
    struct tw_mesh_model models[] = {qwen_half_b(), qwen_7b()};
    struct tw_mesh_load load      = small_load();
    int found                     = 0;
    int refused                   = 0;
    for (int k = 0; k < 2; k++) {
        for (int devices = 1; devices <= 16; devices++) {
            for (size_t bytes = GIB / 4; bytes <= 32 * GIB; bytes *= 2) {
                int expected = 0;
                for (int degree = 8; degree >= 1; degree /= 2) {
                    struct tw_mesh_memory m;
                    struct tw_mesh mesh = {1, degree};
                    assert_int_equal(tw_mesh_memory_plan(&models[k], mesh, &load, &m, NULL), TRAWL_OK);
                    expected = degree <= devices && m.total <= bytes ? degree : expected;
                }
                struct tw_mesh mesh     = {0, 0};
                struct tw_mesh_memory m = {0};
                struct trawl_error err  = {0};
                trawl_status status     = tw_mesh_suggest(&models[k], devices, &load, bytes, &mesh, &m, &err);
                assert_int_equal(status, expected == 0 ? TRAWL_ERR_LIMIT : TRAWL_OK);
                assert_int_equal(mesh.model, expected);
                assert_int_equal(mesh.data, expected == 0 ? 0 : devices / expected);
                assert_true(m.total <= bytes);
                assert_int_equal(strstr(err.message, "no mesh of") != NULL, expected == 0);
                found += expected > 1;
                refused += expected == 0;
            }
        }
    }
    assert_true(found > 10 && refused > 10);
    assert_int_equal(tw_mesh_suggest(&models[0], 0, &load, GIB, NULL, NULL, NULL), TRAWL_ERR_INVALID);
}

static void huge_and_empty_loads(void **state)
{
    (void)state;
    struct tw_mesh_model model = qwen_half_b();
    size_t offsets[]           = {
                  offsetof(struct tw_mesh_load, weight_bytes), offsetof(struct tw_mesh_load, kv_bytes),
                  offsetof(struct tw_mesh_load, batch),        offsetof(struct tw_mesh_load, max_len),
                  offsetof(struct tw_mesh_load, step_tokens),  offsetof(struct tw_mesh_load, page_tokens)};
    struct tw_mesh_memory m;
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        for (size_t shift = 0; shift < 4; shift++) {
            struct tw_mesh_load load = small_load();
            size_t huge              = SIZE_MAX >> shift;
            memcpy((char *)&load + offsets[i], &huge, sizeof huge);
            assert_int_equal(tw_mesh_memory_plan(&model, (struct tw_mesh){1, 1}, &load, &m, NULL),
                             TRAWL_ERR_LIMIT);
        }
        struct tw_mesh_load load = small_load();
        memset((char *)&load + offsets[i], 0, sizeof(size_t));
        assert_int_equal(tw_mesh_memory_plan(&model, (struct tw_mesh){1, 1}, &load, &m, NULL),
                         TRAWL_ERR_INVALID);
    }
}

static void traffic(void **state)
{
    (void)state;
    struct tw_mesh_model model = qwen_half_b();
    assert_int_equal(tw_mesh_traffic_bytes(&model, 1), 0);
    assert_int_equal(tw_mesh_traffic_bytes(&model, 2), 24 * 2 * 896 * 4);
    assert_int_equal(tw_mesh_traffic_bytes(&model, 8), 24 * 2 * 896 * 4 * 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_device),
        cmocka_unit_test(two_by_two),
        cmocka_unit_test(shared_kv_heads_are_counted_as_copies),
        cmocka_unit_test(says_what_does_not_fit),
        cmocka_unit_test(suggests_the_smallest_degree),
        cmocka_unit_test(huge_and_empty_loads),
        cmocka_unit_test(traffic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
