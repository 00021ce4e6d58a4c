/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "mesh/mesh_shard.h"
#include "mesh_models.h"

static void refuses_with_the_degrees_that_can_be_had(void **state)
{
    (void)state;
    struct tw_mesh_model model = qwen_half_b();
    struct trawl_error err     = {0};
    for (int degree = 1; degree <= 8; degree *= 2) {
        assert_int_equal(tw_mesh_check(&model, (struct tw_mesh){1, degree}, &err), TRAWL_OK);
    }
    assert_int_equal(tw_mesh_check(&model, (struct tw_mesh){2, 3}, &err), TRAWL_ERR_INVALID);
    assert_string_equal(err.message,
                        "mesh 2x3: this model (14 attention heads, 8 tree leaves) can be split over "
                        "1, 2, 4 or 8 devices, not over 3");
    assert_int_equal(tw_mesh_check(&model, (struct tw_mesh){1, 16}, &err), TRAWL_ERR_INVALID);
    model.tree_leaves = 32; /* now the heads are the limit */
    assert_int_equal(tw_mesh_check(&model, (struct tw_mesh){1, 16}, &err), TRAWL_ERR_INVALID);
    assert_int_equal(tw_mesh_degree_max(&model), 8);
    model.n_q_heads = model.n_kv_heads = 1;
    assert_int_equal(tw_mesh_check(&model, (struct tw_mesh){1, 2}, &err), TRAWL_ERR_INVALID);
    assert_non_null(strstr(err.message, "split over 1 devices, not over 2"));
    assert_int_equal(tw_mesh_check(&model, (struct tw_mesh){0, 1}, &err), TRAWL_ERR_INVALID);
    assert_int_equal(tw_mesh_check(&model, (struct tw_mesh){1024, 1024}, &err), TRAWL_ERR_INVALID);
    assert_int_equal(tw_mesh_check(&model, (struct tw_mesh){1 << 20, 1 << 20}, &err), TRAWL_ERR_INVALID);
}

static void refuses_malformed_models(void **state)
{
    (void)state;
    size_t offsets[] = {
        offsetof(struct tw_mesh_model, hidden),     offsetof(struct tw_mesh_model, n_q_heads),
        offsetof(struct tw_mesh_model, n_kv_heads), offsetof(struct tw_mesh_model, head_dim),
        offsetof(struct tw_mesh_model, vocab),      offsetof(struct tw_mesh_model, intermediate),
        offsetof(struct tw_mesh_model, n_layers)};
    size_t values[] = {0, SIZE_MAX, SIZE_MAX / 2};
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
            struct tw_mesh_model model = qwen_half_b();
            memcpy((char *)&model + offsets[i], &values[v], sizeof values[v]);
            assert_int_equal(tw_mesh_check(&model, (struct tw_mesh){1, 1}, NULL), TRAWL_ERR_INVALID);
        }
    }
    struct tw_mesh_model model = qwen_half_b();
    struct trawl_error err     = {0};
    model.n_kv_heads           = 4;
    assert_int_equal(tw_mesh_check(&model, (struct tw_mesh){1, 1}, &err), TRAWL_ERR_INVALID);
    assert_string_equal(err.message, "model: 14 attention heads are no multiple of 4 key-value heads");
    model             = qwen_half_b();
    model.tree_leaves = 12;
    assert_int_equal(tw_mesh_check(&model, (struct tw_mesh){1, 1}, &err), TRAWL_ERR_INVALID);
}

static void shards_of_the_small_qwen(void **state)
{
    (void)state;
    struct tw_mesh_model model = qwen_half_b();
    /* 14 heads over 4: 4,3,4,3; seven query heads share a KV head, so ranks 0 and 1 hold copies of KV head
     * 0. 152 MLP units: 38 each. */
    const struct tw_range q[]  = {{0, 4}, {4, 7}, {7, 11}, {11, 14}};
    const struct tw_range kv[] = {{0, 1}, {0, 1}, {1, 2}, {1, 2}};
    for (int rank = 0; rank < 4; rank++) {
        struct tw_mesh_shard s = tw_mesh_shard_of(&model, 4, rank);
        assert_memory_equal(&s.q_heads, &q[rank], sizeof q[rank]);
        assert_memory_equal(&s.kv_heads, &kv[rank], sizeof kv[rank]);
        assert_int_equal(s.intermediate.begin, rank * 1216);
        assert_int_equal(s.intermediate.end, (rank + 1) * 1216);
        assert_int_equal(s.leaves.begin, rank * 2);
        assert_int_equal(s.leaves.end, rank * 2 + 2);
    }
    assert_int_equal(tw_range_size(tw_mesh_shard_of(&model, 2, 1).hidden), 448);
    assert_int_equal(tw_range_size(tw_mesh_shard_of(&model, 2, 0).vocab), 75968);
}

static void check_heads(const struct tw_mesh_model *model, const struct tw_mesh_shard *s)
{
    size_t group = model->n_q_heads / model->n_kv_heads;
    for (size_t kv = 0; kv < model->n_kv_heads; kv++) {
        int needed = 0;
        for (size_t q = s->q_heads.begin; q < s->q_heads.end; q++) {
            needed |= q / group == kv;
        }
        assert_int_equal(kv >= s->kv_heads.begin && kv < s->kv_heads.end, needed);
    }
}

/* Ranges of ranks are the leaves they own, every rank has a query head, and holds the KV heads that it
 * needs and no other. */
static void random_models(void **state)
{
    (void)state;
    const uint64_t seed = 20240607;
    struct tw_philox_stream random;
    tw_philox_stream_init(&random, seed, 0);
    print_message("seed %llu\n", (unsigned long long)seed);
    for (int round = 0; round < 500; round++) {
        struct tw_mesh_model model = random_model(&random);
        int max                    = tw_mesh_degree_max(&model);
        for (int degree = 1; degree <= max; degree *= 2) {
            assert_int_equal(tw_mesh_check(&model, (struct tw_mesh){1, degree}, NULL), TRAWL_OK);
            for (int rank = 0; rank < degree; rank++) {
                struct tw_mesh_shard s = tw_mesh_shard_of(&model, degree, rank);
                int first              = (int)s.leaves.begin;
                int last               = (int)s.leaves.end - 1;
                assert_true(tw_range_size(s.q_heads) > 0);
                assert_int_equal(tw_mesh_o_leaf(&model, first).begin, s.q_heads.begin * model.head_dim);
                assert_int_equal(tw_mesh_o_leaf(&model, last).end, s.q_heads.end * model.head_dim);
                assert_int_equal(tw_mesh_down_leaf(&model, first).begin, s.intermediate.begin);
                assert_int_equal(tw_mesh_down_leaf(&model, last).end, s.intermediate.end);
                check_heads(&model, &s);
            }
        }
        assert_int_equal(tw_mesh_check(&model, (struct tw_mesh){1, 2 * max}, NULL), TRAWL_ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_with_the_degrees_that_can_be_had),
        cmocka_unit_test(refuses_malformed_models),
        cmocka_unit_test(shards_of_the_small_qwen),
        cmocka_unit_test(random_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
