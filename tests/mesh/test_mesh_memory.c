/* SPDX-License-Identifier: MIT */
#include <math.h>
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
    return (struct tw_mesh_load){.weight_bytes     = 2,
                                 .weight_share     = 1,
                                 .embed_bytes      = 2,
                                 .kv_bytes         = 2,
                                 .batch            = 8,
                                 .max_len          = 2000,
                                 .chunk            = 512,
                                 .page_tokens      = 64,
                                 .extra_logit_rows = 64,
                                 .threads          = 2,
                                 .thread_bytes     = 10000};
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
    assert_int_equal(m.embedding, (size_t)151936 * 896 * 2);
    assert_int_equal(m.kv, (size_t)24 * 2 * 2 * 64 * 2 * 2048 * 8);     /* 2000 tokens take 32 pages of 64 */
    const size_t row = 2 * 896 + 896 + 2 * 128 + 896 + 896 + 4864 + 64; /* floats */
    assert_int_equal(m.activations, 520u * row * 4 + (8 + 64) * 32);
    assert_int_equal(m.scratch, 20000);
    assert_int_equal(m.logits, (size_t)72 * 151936 * 4);
    assert_int_equal(m.total, m.weights + m.embedding + m.kv + m.activations + m.scratch + m.logits);
    assert_int_equal(m.process_total, m.total);
    assert_int_equal(m.rank, 0);
}

/* Of compressed weights three quarters are held: of matrices, not of vectors. */
static void compressed_weights(void **state)
{
    (void)state;
    struct tw_mesh_model model = qwen_half_b();
    struct tw_mesh_load load   = small_load();
    struct tw_mesh_memory plain, m;
    struct trawl_error err;
    const size_t vectors = (49 * 896 + 24 * (896 + 128 + 128)) * 4;
    assert_int_equal(tw_mesh_memory_plan(&model, (struct tw_mesh){1, 1}, &load, &plain, NULL), TRAWL_OK);
    load.weight_share = 0.75;
    assert_int_equal(tw_mesh_memory_plan(&model, (struct tw_mesh){1, 1}, &load, &m, NULL), TRAWL_OK);
    assert_int_equal(m.weights, (plain.weights - vectors) / 4 * 3 + vectors);
    assert_int_equal(plain.total - m.total, plain.weights - m.weights);
    assert_int_equal(plain.process_total - m.process_total, plain.weights - m.weights);
    for (int i = 0; i < 4; i++) {
        static const double wrong[] = {0, -1, 1.5, (double)NAN};
        load.weight_share           = wrong[i];
        assert_int_equal(tw_mesh_memory_plan(&model, (struct tw_mesh){1, 1}, &load, &m, &err),
                         TRAWL_ERR_INVALID);
        assert_non_null(strstr(err.message, "share of the weights' bytes is"));
    }
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
    /* Half of everything but the norms. */
    const size_t norms = 49 * 896 * 4;
    assert_int_equal(m.weights, (one.weights - norms) / 2 + norms);
    assert_int_equal(m.embedding, one.embedding / 2);
    assert_int_equal(m.kv, one.kv / 2);
    assert_int_equal(m.logits, one.logits / 2);
    /* Not split: two buffers of the residual stream and two more for sums, a matmul's rows, angles, segments. */
    size_t whole = 520u * (3 * 896 + 64) * 4 + 72 * 32;
    assert_int_equal(m.activations, (one.activations - whole) / 2 + whole + 520u * 2 * 896 * 4);
    /* Four devices of one process share the weights; two replicas have two caches. */
    size_t own = m.kv + m.activations + m.scratch + m.logits;
    assert_int_equal(m.process_total, one.weights + one.embedding + 4 * own);
}

/* A table of rows, of columns, or whole; the head's panels are not touched by it. */
static void embeddings(void **state)
{
    (void)state;
    struct tw_mesh_model model = qwen_half_b();
    struct tw_mesh_load load   = small_load();
    struct tw_mesh_memory m[3];
    for (int i = 0; i < 3; i++) {
        model.embedding = (enum tw_mesh_embedding)i;
        assert_int_equal(tw_mesh_memory_plan(&model, (struct tw_mesh){1, 4}, &load, &m[i], NULL), TRAWL_OK);
        assert_int_equal(m[i].weights, m[0].weights);
        assert_int_equal(m[i].process_total, m[0].process_total);
    }
    assert_int_equal(m[TW_MESH_EMBED_HIDDEN].embedding, (size_t)151936 * 224 * 2);
    assert_int_equal(m[TW_MESH_EMBED_VOCAB].embedding, (size_t)151936 / 4 * 896 * 2);
    assert_int_equal(m[TW_MESH_EMBED_REPLICATED].embedding, (size_t)151936 * 896 * 2);
}

/* 9,000 positions are 9 spans of 1,024: of 4 devices one holds 3 of them, for all heads. */
static void kv_by_sequence(void **state)
{
    (void)state;
    struct tw_mesh_model model = qwen_half_b();
    struct tw_mesh_load load   = small_load();
    struct tw_mesh_memory m;
    load.kv            = TW_MESH_KV_SEQUENCE;
    load.max_len       = 9000;
    const size_t token = (size_t)24 * 2 * 2 * 64 * 2 * 8;
    assert_int_equal(tw_mesh_memory_plan(&model, (struct tw_mesh){1, 4}, &load, &m, NULL), TRAWL_OK);
    assert_int_equal(m.kv, token * 3 * 1024);
    assert_int_equal(tw_mesh_memory_plan(&model, (struct tw_mesh){4, 1}, &load, &m, NULL), TRAWL_OK);
    assert_int_equal(m.kv, token * 9024);
    load.max_len = 100; /* less than a span: the first device has it all */
    assert_int_equal(tw_mesh_memory_plan(&model, (struct tw_mesh){1, 4}, &load, &m, NULL), TRAWL_OK);
    assert_int_equal(m.kv, token * 128);
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
    struct tw_mesh_memory memory = {.weights       = 3 * GIB,
                                    .kv            = GIB / 2,
                                    .scratch       = GIB / 4,
                                    .total         = 15 * GIB / 4,
                                    .process_total = 4 * GIB};
    struct tw_mesh_budget budget = {.device = 15 * GIB / 4};
    struct trawl_error err       = {0};
    assert_int_equal(tw_mesh_memory_fits(mesh, &memory, budget, &err), TRAWL_OK);
    budget.device = 3 * GIB;
    assert_int_equal(tw_mesh_memory_fits(mesh, &memory, budget, &err), TRAWL_ERR_LIMIT);
    assert_string_equal(err.message,
                        "mesh 1x2 does not fit: a device needs 3.750 GiB (for a device weights 3.000, "
                        "embedding 0.000, KV cache 0.500, activations 0.000, scratch 0.250, logits 0.000) "
                        "and has 3.000 GiB");
    budget = (struct tw_mesh_budget){.process = 4 * GIB};
    assert_int_equal(tw_mesh_memory_fits(mesh, &memory, budget, &err), TRAWL_OK);
    budget.process--;
    assert_int_equal(tw_mesh_memory_fits(mesh, &memory, budget, &err), TRAWL_ERR_LIMIT);
    assert_non_null(strstr(err.message, "the process needs 4.000 GiB"));
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
                struct tw_mesh_budget budget = {.device = bytes};
                struct tw_mesh mesh          = {0, 0};
                struct tw_mesh_memory m      = {0};
                struct trawl_error err       = {0};
                trawl_status status = tw_mesh_suggest(&models[k], devices, &load, budget, &mesh, &m, &err);
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
    struct tw_mesh_budget budget = {.device = GIB};
    assert_int_equal(tw_mesh_suggest(&models[0], 0, &load, budget, NULL, NULL, NULL), TRAWL_ERR_INVALID);
}

static void huge_and_empty_loads(void **state)
{
    (void)state;
    struct tw_mesh_model model    = qwen_half_b();
    static const size_t offsets[] = {
        offsetof(struct tw_mesh_load, weight_bytes), offsetof(struct tw_mesh_load, embed_bytes),
        offsetof(struct tw_mesh_load, kv_bytes),     offsetof(struct tw_mesh_load, batch),
        offsetof(struct tw_mesh_load, max_len),      offsetof(struct tw_mesh_load, chunk),
        offsetof(struct tw_mesh_load, page_tokens),  offsetof(struct tw_mesh_load, threads),
        offsetof(struct tw_mesh_load, thread_bytes), offsetof(struct tw_mesh_load, extra_logit_rows)};
    struct tw_mesh_memory m;
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        bool counted_alone =
            offsets[i] == offsetof(struct tw_mesh_load, thread_bytes); /* times 2: no overflow */
        for (size_t shift = 0; !counted_alone && shift < 4; shift++) {
            struct tw_mesh_load load = small_load();
            size_t huge              = SIZE_MAX >> shift;
            memcpy((char *)&load + offsets[i], &huge, sizeof huge);
            assert_int_equal(tw_mesh_memory_plan(&model, (struct tw_mesh){1, 1}, &load, &m, NULL),
                             TRAWL_ERR_LIMIT);
        }
        bool may_be_zero         = i >= 8;
        struct tw_mesh_load load = small_load();
        memset((char *)&load + offsets[i], 0, sizeof(size_t));
        assert_int_equal(tw_mesh_memory_plan(&model, (struct tw_mesh){1, 1}, &load, &m, NULL),
                         may_be_zero ? TRAWL_OK : TRAWL_ERR_INVALID);
    }
}

typedef trawl_status largest_fn(const struct tw_mesh_model *model, struct tw_mesh mesh,
                                const struct tw_mesh_load *load, struct tw_mesh_budget budget, size_t limit,
                                size_t *out, struct trawl_error *err);

/* What is said to fit fits, and one more does not. */
static void check_largest(largest_fn *largest, size_t field, struct tw_mesh_budget budget)
{
    struct tw_mesh_model model = qwen_half_b();
    struct tw_mesh mesh        = {2, 2};
    struct tw_mesh_load load   = small_load();
    struct tw_mesh_memory m;
    size_t most = 0, limit = 1000000;
    assert_int_equal(largest(&model, mesh, &load, budget, limit, &most, NULL), TRAWL_OK);
    assert_true(most > 0 && most < limit);
    for (size_t more = 0; more < 2; more++) {
        size_t value = most + more;
        memcpy((char *)&load + field, &value, sizeof value);
        assert_int_equal(tw_mesh_memory_plan(&model, mesh, &load, &m, NULL), TRAWL_OK);
        assert_int_equal(tw_mesh_memory_fits(mesh, &m, budget, NULL), more ? TRAWL_ERR_LIMIT : TRAWL_OK);
    }
}

static void largest_and_longest(void **state)
{
    (void)state;
    const struct tw_mesh_budget budgets[] = {{GIB, 0}, {2 * GIB, 0}, {0, 3 * GIB}, {9 * GIB, 8 * GIB}};
    for (size_t i = 0; i < sizeof budgets / sizeof budgets[0]; i++) {
        check_largest(tw_mesh_largest_batch, offsetof(struct tw_mesh_load, batch), budgets[i]);
        check_largest(tw_mesh_longest_length, offsetof(struct tw_mesh_load, max_len), budgets[i]);
    }
    struct tw_mesh_model model   = qwen_half_b();
    struct tw_mesh mesh          = {1, 2};
    struct tw_mesh_load load     = small_load();
    struct tw_mesh_budget budget = {.device = GIB / 4};
    size_t most                  = 7;
    assert_int_equal(tw_mesh_largest_batch(&model, mesh, &load, budget, 100, &most, NULL), TRAWL_OK);
    assert_int_equal(most, 0);
    budget.device = 0; /* no limit but the one asked for */
    assert_int_equal(tw_mesh_largest_batch(&model, mesh, &load, budget, 100, &most, NULL), TRAWL_OK);
    assert_int_equal(most, 100);
}

static void traffic(void **state)
{
    (void)state;
    struct tw_mesh_model model = qwen_half_b();
    assert_int_equal(tw_mesh_traffic_of(&model, 1, TW_MESH_KV_HEADS).bytes, 0);
    assert_int_equal(tw_mesh_traffic_of(&model, 2, TW_MESH_KV_HEADS).bytes, 24 * 2 * 896 * 4);
    assert_int_equal(tw_mesh_traffic_of(&model, 8, TW_MESH_KV_HEADS).bytes, 24 * 2 * 896 * 4 * 3);
    assert_int_equal(tw_mesh_traffic_of(&model, 8, TW_MESH_KV_HEADS).messages, 24 * 2 * 3);
    assert_int_equal(tw_mesh_traffic_of(&model, 1, TW_MESH_KV_SEQUENCE).bytes, 0);
    /* Half of 14 query and 4 key and value heads come from the other device, and its results for 7 heads. */
    assert_int_equal(tw_mesh_traffic_of(&model, 2, TW_MESH_KV_SEQUENCE).bytes,
                     24 * (2 * 896 + 9 * 64 + 7 * 66) * 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_device),
        cmocka_unit_test(compressed_weights),
        cmocka_unit_test(two_by_two),
        cmocka_unit_test(embeddings),
        cmocka_unit_test(kv_by_sequence),
        cmocka_unit_test(shared_kv_heads_are_counted_as_copies),
        cmocka_unit_test(says_what_does_not_fit),
        cmocka_unit_test(suggests_the_smallest_degree),
        cmocka_unit_test(huge_and_empty_loads),
        cmocka_unit_test(largest_and_longest),
        cmocka_unit_test(traffic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
