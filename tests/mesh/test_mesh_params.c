/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mesh/mesh_params.h"
#include "mesh_models.h"

static void prints_the_lines(void **state)
{
    (void)state;
    struct tw_mesh_model model = qwen_half_b();
    struct tw_str text;
    tw_str_init(&text, 0);
    assert_int_equal(tw_mesh_format_axes((struct tw_mesh){2, 2}, &text, NULL), TRAWL_OK);
    assert_int_equal(tw_mesh_format_params(&model, &text, NULL), TRAWL_OK);
    assert_int_equal(tw_mesh_format_input(8, 453, &text, NULL), TRAWL_OK);
    const char *expected[] = {
        "Mesh axes: data=2, model=2\nVerifying parameter sharding:\n"
        "  embed_tokens: shape=(151936, 896), sharding=PartitionSpec(None, 'model')\n"
        "  layers_0_input_layernorm: shape=(896,), sharding=PartitionSpec()\n",
        "\n  layers_0_self_attn_q_proj: shape=(896, 896), sharding=PartitionSpec(None, 'model')\n",
        "\n  layers_0_self_attn_k_proj: shape=(896, 128), sharding=PartitionSpec(None, 'model')\n",
        "\n  layers_0_self_attn_k_proj_bias: shape=(128,), sharding=PartitionSpec('model')\n",
        "\n  layers_0_mlp_gate_proj: shape=(896, 4864), sharding=PartitionSpec(None, 'model')\n",
        "\n  layers_0_mlp_down_proj: shape=(4864, 896), sharding=PartitionSpec(None, 'model')\n",
        "\n  layers_23_mlp_down_proj: shape=(4864, 896), sharding=PartitionSpec(None, 'model')\n"
        "  norm: shape=(896,), sharding=PartitionSpec()\n"
        "Sharding verification:\n"
        "  Input shape: (8, 453)\n"
        "  Input sharding: PartitionSpec('data', None)\n"
        "  Params sharding: PartitionSpec(None, 'model')\n",
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        assert_non_null(strstr(tw_str_text(&text), expected[i]));
    }
    assert_null(strstr(tw_str_text(&text), "lm_head"));
    assert_null(strstr(tw_str_text(&text), "q_norm"));
    tw_str_release(&text);
}

/* The published numbers of parameters. */
static void counts_the_elements(void **state)
{
    (void)state;
    const struct tw_mesh_model models[] = {qwen_half_b(), qwen_7b()};
    const size_t elements[]             = {494032768u, 7615616512u};
    for (int m = 0; m < 2; m++) {
        size_t sum = 0;
        for (size_t i = 0; i < tw_mesh_param_count(&models[m]); i++) {
            struct tw_mesh_param p = tw_mesh_param_at(&models[m], i);
            sum += p.shape[0] * (p.n_dims == 2 ? p.shape[1] : 1);
        }
        assert_int_equal(sum, elements[m]);
    }
}

/* Which rank owns element [i][j] of the printed shape, asked of the part by arithmetic alone. */
static bool owns(const struct tw_mesh_param *p, struct tw_range r, size_t i, size_t j)
{
    size_t at = p->axis == 1 ? j : i;
    return p->axis < 0 || (at >= r.begin && at < r.end);
}

/* Mark the bytes of the stored tensor that the runs name, then look at every element. */
static void check_bytes(const struct tw_mesh_model *model, const struct tw_mesh_param *p, int degree,
                        int rank)
{
    enum { ELEMENT = 2 };
    size_t columns         = p->n_dims == 2 ? p->shape[1] : 1;
    size_t size            = p->shape[0] * columns * ELEMENT;
    unsigned char *marks   = calloc(size, 1);
    struct tw_mesh_bytes b = tw_mesh_param_bytes(model, p, degree, rank, ELEMENT);
    struct tw_range r      = tw_mesh_param_range(model, p, degree, rank);
    for (size_t run = 0; run < b.count; run++) {
        assert_true(b.run > 0 && b.offset + run * b.stride + b.run <= size);
        for (size_t k = 0; k < b.run; k++) {
            marks[b.offset + run * b.stride + k]++;
        }
    }
    for (size_t i = 0; i < p->shape[0]; i++) {
        for (size_t j = 0; j < columns; j++) {
            size_t at = (p->stored_transposed ? j * p->shape[0] + i : i * columns + j) * ELEMENT;
            assert_int_equal(marks[at], owns(p, r, i, j));
            assert_int_equal(marks[at + 1], owns(p, r, i, j));
        }
    }
    free(marks);
}

static void bytes_are_the_elements(void **state)
{
    (void)state;
    const uint64_t seed = 77;
    struct tw_philox_stream random;
    tw_philox_stream_init(&random, seed, 1);
    print_message("seed %llu\n", (unsigned long long)seed);
    for (int round = 0; round < 10; round++) {
        struct tw_mesh_model model = random_model(&random);
        for (int degree = 1; degree <= tw_mesh_degree_max(&model); degree *= 2) {
            for (size_t i = 0; i < tw_mesh_param_count(&model); i++) {
                struct tw_mesh_param p = tw_mesh_param_at(&model, i);
                for (int rank = 0; rank < degree; rank++) {
                    check_bytes(&model, &p, degree, rank);
                }
            }
        }
    }
}

/* The logical spec that is printed and the split that is done agree except where the header says so. */
static void axes_tell_the_truth(void **state)
{
    (void)state;
    struct tw_mesh_model model = qwen_7b();
    model.qk_norm              = true;
    for (size_t i = 0; i < tw_mesh_param_count(&model); i++) {
        struct tw_mesh_param p = tw_mesh_param_at(&model, i);
        bool row               = strstr(p.name, "o_proj") != NULL || strstr(p.name, "down_proj") != NULL;
        if (p.n_dims == 2) {
            assert_string_equal(p.spec, "PartitionSpec(None, 'model')");
            assert_int_equal(p.axis, row ? 0 : 1);
        } else {
            assert_string_equal(p.spec, strstr(p.name, "norm") != NULL ? "PartitionSpec()"
                                                                       : "PartitionSpec('model')");
            assert_int_equal(p.axis, strstr(p.name, "norm") != NULL ? -1 : 0);
        }
    }
    assert_string_equal(tw_mesh_param_at(&model, tw_mesh_param_count(&model) - 1).name, "lm_head");
}

/* The three ways to split the embedding, each with bytes that are its elements. */
static void embeddings(void **state)
{
    (void)state;
    static const char *const specs[] = {"PartitionSpec(None, 'model')", "PartitionSpec()",
                                        "PartitionSpec('model', None)"};
    static const int axes[]          = {1, -1, 0};
    struct tw_philox_stream random;
    tw_philox_stream_init(&random, 9, 3);
    for (int round = 0; round < 30; round++) {
        struct tw_mesh_model model = random_model(&random);
        model.embedding            = (enum tw_mesh_embedding)(round % 3);
        struct tw_mesh_param p     = tw_mesh_param_at(&model, 0);
        assert_string_equal(p.name, "embed_tokens");
        assert_string_equal(p.spec, specs[round % 3]);
        assert_int_equal(p.axis, axes[round % 3]);
        for (int degree = 1; degree <= tw_mesh_degree_max(&model); degree *= 2) {
            assert_int_equal(tw_mesh_verify(&model, degree, NULL, NULL), TRAWL_OK);
            for (int rank = 0; rank < degree; rank++) {
                check_bytes(&model, &p, degree, rank);
            }
        }
    }
}

static void verify_accepts_and_names_copies(void **state)
{
    (void)state;
    struct tw_mesh_model model = qwen_half_b();
    struct tw_str text;
    tw_str_init(&text, 0);
    assert_int_equal(tw_mesh_verify(&model, 2, &text, NULL), TRAWL_OK);
    assert_string_equal(tw_str_text(&text), ""); /* two KV heads on two ranks: no copies */
    assert_int_equal(tw_mesh_verify(&model, 4, &text, NULL), TRAWL_OK);
    assert_string_equal(tw_str_text(&text), "KV head 0: ranks 0, 1\nKV head 1: ranks 2, 3\n");
    tw_str_release(&text);

    struct tw_philox_stream random;
    tw_philox_stream_init(&random, 5, 2);
    for (int round = 0; round < 200; round++) {
        struct tw_mesh_model m = random_model(&random);
        for (int degree = 1; degree <= tw_mesh_degree_max(&m); degree *= 2) {
            assert_int_equal(tw_mesh_verify(&m, degree, NULL, NULL), TRAWL_OK);
        }
    }
}

/* Halving knows no third part: a degree that tw_mesh_check refuses is a cut with something held twice. */
static void verify_can_fail(void **state)
{
    (void)state;
    struct tw_mesh_model model = qwen_half_b();
    struct trawl_error err     = {0};
    assert_int_equal(tw_mesh_verify(&model, 3, NULL, &err), TRAWL_ERR_INVALID);
    assert_string_equal(err.message, "embed_tokens: element 0 is held by rank 2 and another rank");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_the_lines),
        cmocka_unit_test(counts_the_elements),
        cmocka_unit_test(bytes_are_the_elements),
        cmocka_unit_test(axes_tell_the_truth),
        cmocka_unit_test(embeddings),
        cmocka_unit_test(verify_accepts_and_names_copies),
        cmocka_unit_test(verify_can_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
