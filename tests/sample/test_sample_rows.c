/* SPDX-License-Identifier: MIT */
/* What is said about a row (log-probability, entropy, varentropy), rows that are no distribution, and parameters that
 * are refused. */
#include <math.h>

#include "base/philox.h"
#include "support/sample_choose.h"
#include "support/test.h"

enum { SEED = 20261121 };

struct moments {
    double log_z, entropy, varentropy;
};

static struct moments moments_of(const float *row, size_t n)
{
    struct moments m = {0};
    double max = -INFINITY, z = 0;
    for (size_t i = 0; i < n; i++) {
        max = fmax(max, (double)row[i]);
    }
    for (size_t i = 0; i < n; i++) {
        z += exp((double)row[i] - max);
    }
    m.log_z = max + log(z);
    for (size_t i = 0; i < n; i++) {
        double l = (double)row[i] - m.log_z;
        m.entropy -= exp(l) > 0 ? exp(l) * l : 0;
    }
    for (size_t i = 0; i < n; i++) {
        double l = (double)row[i] - m.log_z;
        m.varentropy += exp(l) > 0 ? exp(l) * (l + m.entropy) * (l + m.entropy) : 0;
    }
    return m;
}

static void test_logprob_and_entropies_equal_f64(void **state)
{
    static const size_t sizes[]  = {1, 2, 7, 131, 1023, 1025, 5000};
    static const double scales[] = {0, 0.01, 3, 40, 3000};
    static float row[5000];
    struct tw_philox_stream r;
    struct tw_sampler s;
    struct trawl_error err;
    struct tw_sample_params p;
    (void)state;
    print_message("seed %d\n", SEED);
    tw_philox_stream_init(&r, SEED, 0);
    tw_sample_params_init(&p);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_ok(tw_sampler_init(&s, &kernels, sizes[i], &err));
        for (size_t j = 0; j < sizeof scales / sizeof scales[0]; j++) {
            for (size_t v = 0; v < sizes[i]; v++) {
                row[v] = (float)(scales[j] * (tw_philox_double(&r) + tw_philox_double(&r) - 1));
            }
            struct moments m      = moments_of(row, sizes[i]);
            struct tw_sampled got = sample_choose(&s, row, &p, NULL, 0, 0);
            double want = (double)row[got.token] - m.log_z, last = (double)row[sizes[i] - 1] - m.log_z;
            assert_true(fabs((double)got.logprob - want) < 2e-7 * (1 + fabs(want)));
            assert_true(fabs((double)tw_sample_logprob(&kernels, row, sizes[i], (int32_t)sizes[i] - 1) -
                             last) < 2e-7 * (1 + fabs(last)));
            assert_true(fabs((double)got.entropy - m.entropy) < 1e-6 * (1 + m.entropy));
            assert_true(fabs((double)got.varentropy - m.varentropy) < 2e-6 * (1 + m.varentropy));
        }
        tw_sampler_release(&s);
    }
}

/* Rows that are no distribution, or hardly one: a token all the same, always the same one, whatever was drawn before. */
static void test_odd_rows_give_a_token_and_the_same_one(void **state)
{
    enum { VOCAB = 9 };
    const float rows[][VOCAB] = {
        {NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN},
        {-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY},
        {1, 2, INFINITY, 4, 5, 6, INFINITY, 8, 9},
        {NAN, -INFINITY, NAN, NAN, NAN, NAN, NAN, NAN, NAN},
        {NAN, 1, NAN, 2, NAN, NAN, INFINITY, -INFINITY, 0},
    };
    const float some_nan[VOCAB]                   = {NAN, 1, NAN, 2, NAN, 1.5F, -INFINITY, NAN, NAN};
    const float busy[VOCAB]                       = {0, 0, 0, 0, 0, 0, 0, 0, 1};
    const float huge[VOCAB]                       = {3e38F, -3e38F, 0, 0, 0, 0, 0, 0, 3e38F};
    static const struct tw_sample_params params[] = {
        {.temperature = 1, .top_p = 1, .typical_p = 1, .repetition_penalty = 1, .seed = 5},
        {.temperature = 1, .top_p = 0.9, .typical_p = 1, .repetition_penalty = 1, .seed = 5},
        {.temperature = 1, .top_p = 1, .min_p = 0.1, .typical_p = 1, .repetition_penalty = 1, .seed = 5},
        {.temperature        = 1,
         .top_k              = 3,
         .top_p              = 0.5,
         .min_p              = 0.1,
         .typical_p          = 1,
         .repetition_penalty = 1.2,
         .seed               = 5},
        {.temperature = 0, .top_p = 1, .typical_p = 1, .repetition_penalty = 1.2},
        {.temperature        = 1e-300,
         .top_k              = 4,
         .top_p              = 1,
         .typical_p          = 1,
         .repetition_penalty = 1,
         .seed               = 5}, /* 0 in f32 */
        {.temperature = 1e-40, .top_p = 1, .min_p = 0.5, .typical_p = 1, .repetition_penalty = 1, .seed = 5},
        {.temperature        = 1e300,
         .top_p              = 0.5,
         .typical_p          = 1,
         .repetition_penalty = 1,
         .seed               = 5}, /* infinite in f32 */
    };
    struct tw_sampler fresh, used;
    struct trawl_error err;
    const int32_t history[] = {8, 2};
    (void)state;
    for (size_t i = 0; i < sizeof params / sizeof params[0]; i++) {
        assert_ok(tw_sampler_init(&used, &kernels, VOCAB, &err));
        (void)sample_choose(&used, busy, &params[2], NULL, 0, 0);
        for (size_t j = 0; j < sizeof rows / sizeof rows[0]; j++) {
            assert_ok(tw_sampler_init(&fresh, &kernels, VOCAB, &err));
            int32_t token = sample_choose(&fresh, rows[j], &params[i], history, 2, 3).token;
            assert_in_range(token, 0, VOCAB - 1);
            assert_int_equal(sample_choose(&used, rows[j], &params[i], history, 2, 3).token, token);
            tw_sampler_release(&fresh);
        }
        for (size_t position = 0; position < 50; position++) {
            int32_t token = sample_choose(&used, some_nan, &params[i], history, 2, position).token;
            assert_true(token == 1 || token == 3 || token == 5);
            token = sample_choose(&used, huge, &params[i], NULL, 0, position).token;
            assert_true(token == 0 || token == 8 || params[i].temperature > 1e299);
        }
        tw_sampler_release(&used);
    }
}

static void test_ids_outside_the_vocabulary_are_no_history(void **state)
{
    struct tw_sampler s;
    struct trawl_error err;
    const float row[4]              = {1, 2, 3, 2.5F};
    const int32_t history[]         = {-1, INT32_MIN, 4, INT32_MAX, 2};
    const struct tw_sample_params p = {.top_p = 1, .typical_p = 1, .repetition_penalty = 2};
    (void)state;
    assert_ok(tw_sampler_init(&s, &kernels, 4, &err));
    assert_int_equal(sample_choose(&s, row, &p, history, 5, 5).token, 3);
    tw_sampler_release(&s);
}

static void test_parameters_are_refused_with_their_range(void **state)
{
    static const struct {
        struct tw_sample_params p;
        const char *words;
    } cases[] = {
        {{.temperature = -0.5, .top_p = 1, .typical_p = 1, .repetition_penalty = 1},
         "temperature is -0.5, expected 0 (greedy) or a positive"},
        {{.temperature = NAN, .top_p = 1, .typical_p = 1, .repetition_penalty = 1}, "temperature is nan"},
        {{.temperature = INFINITY, .top_p = 1, .typical_p = 1, .repetition_penalty = 1},
         "temperature is inf"},
        {{.top_k = -1, .top_p = 1, .typical_p = 1, .repetition_penalty = 1},
         "top_k is -1, expected 0 (off) or a positive integer"},
        {{.top_p = 0, .typical_p = 1, .repetition_penalty = 1},
         "top_p is 0, expected more than 0 and at most 1"},
        {{.top_p = 1.01, .typical_p = 1, .repetition_penalty = 1}, "top_p is 1.01"},
        {{.top_p = NAN, .typical_p = 1, .repetition_penalty = 1}, "top_p is nan"},
        {{.top_p = 1, .min_p = -0.1, .typical_p = 1, .repetition_penalty = 1},
         "min_p is -0.1, expected 0 to 1"},
        {{.top_p = 1, .min_p = 2, .typical_p = 1, .repetition_penalty = 1}, "min_p is 2"},
        {{.top_p = 1, .typical_p = 1, .repetition_penalty = 0},
         "repetition_penalty is 0, expected a positive number"},
        {{.top_p = 1, .typical_p = 1, .repetition_penalty = -1}, "repetition_penalty is -1"},
        {{.top_p = 1, .typical_p = 1, .repetition_penalty = INFINITY}, "repetition_penalty is inf"},
    };
    struct tw_sample_params p;
    struct trawl_error err;
    (void)state;
    tw_sample_params_init(&p);
    assert_ok(tw_sample_params_check(&p, &err));
    p = (struct tw_sample_params){.temperature        = 100,
                                  .top_k              = INT64_MAX,
                                  .top_p              = 1e-9,
                                  .min_p              = 1,
                                  .typical_p          = 1,
                                  .repetition_penalty = 0.1};
    assert_ok(tw_sample_params_check(&p, &err));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_refused(tw_sample_params_check(&cases[i].p, &err), TRAWL_ERR_INVALID, cases[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logprob_and_entropies_equal_f64),
        cmocka_unit_test(test_odd_rows_give_a_token_and_the_same_one),
        cmocka_unit_test(test_ids_outside_the_vocabulary_are_no_history),
        cmocka_unit_test(test_parameters_are_refused_with_their_range),
    };
    return cmocka_run_group_tests(tests, sample_setup, NULL);
}
