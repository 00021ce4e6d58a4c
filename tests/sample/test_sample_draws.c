/* SPDX-License-Identifier: MIT */
/* Which tokens are drawn and how often, against the filters worked out in f64; and that nothing but row, parameters,
 * seed and position decides. */
#include <math.h>

#include "base/philox.h"
#include "sample_brute.h"
#include "support/sample_choose.h"
#include "support/sample_fit.h"

enum { VOCAB = 97, HISTORY = 20, DRAWS = 2500, SEED = 20261121 };

static double normal(struct tw_philox_stream *r)
{
    double x = 0;
    for (int i = 0; i < 12; i++) {
        x += tw_philox_double(r);
    }
    return x - 6;
}

/* Rows of three kinds: smooth, with many exact ties, with a few tokens far above the rest. */
static void draw_row(struct tw_philox_stream *r, float *row)
{
    uint32_t kind = tw_philox_below(r, 3);
    for (size_t i = 0; i < VOCAB; i++) {
        double x = 2 * normal(r);
        row[i]   = (float)(kind == 1 ? round(x) / 2 : x);
    }
    for (int i = 0; kind == 2 && i < 3; i++) {
        row[tw_philox_below(r, VOCAB)] += 9.0F;
    }
}

static struct tw_sample_params draw_params(struct tw_philox_stream *r)
{
    struct tw_sample_params p;
    tw_sample_params_init(&p);
    p.temperature        = 0.3 + 1.5 * tw_philox_double(r);
    p.top_k              = tw_philox_below(r, 2) ? 0 : 1 + tw_philox_below(r, 2 * VOCAB);
    p.top_p              = tw_philox_below(r, 2) ? 1 : 0.05 + 0.94 * tw_philox_double(r);
    p.min_p              = tw_philox_below(r, 2) ? 0 : 0.3 * tw_philox_double(r) * tw_philox_double(r);
    p.typical_p          = tw_philox_below(r, 3) ? 1 : 0.05 + 0.9 * tw_philox_double(r);
    p.repetition_penalty = tw_philox_below(r, 2) ? 1 : 0.7 + 0.8 * tw_philox_double(r);
    p.seed               = (uint64_t)tw_philox_next(r) << 32 | tw_philox_next(r);
    return p;
}

static void test_support_and_frequencies(void **state)
{
    struct tw_philox_stream r;
    struct tw_sampler s;
    struct trawl_error err;
    int checked = 0;
    (void)state;
    print_message("seed %d\n", SEED);
    tw_philox_stream_init(&r, SEED, 1);
    assert_ok(tw_sampler_init(&s, &kernels, VOCAB, &err));
    for (int i = 0; i < 120; i++) {
        float row[VOCAB];
        double probability[VOCAB];
        int32_t history[HISTORY];
        char what[200];
        draw_row(&r, row);
        for (size_t j = 0; j < HISTORY; j++) { /* with ids that come several times */
            history[j] = (int32_t)tw_philox_below(&r, VOCAB / 2);
        }
        struct tw_sample_params p = draw_params(&r);
        (void)snprintf(
            what, sizeof what, "case %d, temperature %g top_k %lld top_p %g min_p %g typical_p %g penalty %g",
            i, p.temperature, (long long)p.top_k, p.top_p, p.min_p, p.typical_p, p.repetition_penalty);
        bool sure = sample_brute(row, VOCAB, &p, history, HISTORY, probability);
        if (sure) {
            const struct tw_sample_input in = {
                .logits = row, .params = &p, .history = history, .n_history = HISTORY, .n_prompt = HISTORY};
            sample_assert_fits(&s, &in, probability, DRAWS, what);
            checked++;
        }
    }
    tw_sampler_release(&s);
    print_message("%d rows\n", checked);
    assert_true(checked > 90);
}

/* Filters that reach far down the row: the set must be the same as when all candidates are sorted at once. */
static void test_wide_rows_and_deep_filters(void **state)
{
    enum { WIDE = 1000 };
    struct tw_philox_stream r;
    struct tw_sampler s;
    struct trawl_error err;
    float row[WIDE];
    double probability[WIDE];
    (void)state;
    tw_philox_stream_init(&r, SEED, 2);
    assert_ok(tw_sampler_init(&s, &kernels, WIDE, &err));
    for (size_t i = 0; i < WIDE; i++) {
        row[i] = (float)(30 * tw_philox_double(&r) - 30);
    }
    row[123] = 20; /* everything else lies at least 20 below: past the depth that is looked at first */
    static const struct tw_sample_params cases[] = {
        {.temperature = 1, .top_k = 500, .top_p = 1, .typical_p = 1, .repetition_penalty = 1, .seed = 1},
        {.temperature = 10, .top_k = 999, .top_p = 1, .typical_p = 1, .repetition_penalty = 1, .seed = 2},
        {.temperature = 10, .top_p = 0.999999, .typical_p = 1, .repetition_penalty = 1, .seed = 3},
        {.temperature = 20, .top_p = 0.5, .min_p = 0.3, .typical_p = 1, .repetition_penalty = 1, .seed = 4},
        {.temperature = 50, .min_p = 0.01, .top_p = 1, .typical_p = 1, .repetition_penalty = 1, .seed = 5},
        {.temperature        = 20,
         .top_k              = 2,
         .top_p              = 0.9999,
         .min_p              = 1e-9,
         .typical_p          = 1,
         .repetition_penalty = 1,
         .seed               = 6},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char what[32];
        (void)snprintf(what, sizeof what, "case %zu", i);
        (void)sample_brute(row, WIDE, &cases[i], NULL, 0, probability);
        const struct tw_sample_input in = {.logits = row, .params = &cases[i]};
        sample_assert_fits(&s, &in, probability, 500, what);
    }
    tw_sampler_release(&s);
}

static void test_greedy_takes_the_highest_and_of_equals_the_lowest_id(void **state)
{
    struct tw_sampler s;
    struct trawl_error err;
    struct tw_sample_params p;
    float row[VOCAB] = {0};
    (void)state;
    assert_ok(tw_sampler_init(&s, &kernels, VOCAB, &err));
    tw_sample_params_init(&p);
    assert_int_equal(sample_choose(&s, row, &p, NULL, 0, 0).token, 0);
    row[96] = row[41] = row[40] = 3;
    assert_int_equal(sample_choose(&s, row, &p, NULL, 0, 0).token, 40);
    p.repetition_penalty  = 1.5; /* greedy after the penalty; logprob before it */
    int32_t history[]     = {40, 40, 96};
    struct tw_sampled got = sample_choose(&s, row, &p, history, 3, 3);
    assert_int_equal(got.token, 41);
    assert_true(got.logprob == tw_sample_logprob(&kernels, row, VOCAB, 41));
    p.repetition_penalty = 1;
    p.temperature        = 0.01;
    p.top_k              = 1; /* ties with the k-th stay */
    bool seen[VOCAB]     = {false};
    for (size_t i = 0; i < 120; i++) {
        seen[sample_choose(&s, row, &p, NULL, 0, i).token] = true;
    }
    assert_true(seen[40] && seen[41] && seen[96] && !seen[0] && !seen[39]);
    tw_sampler_release(&s);
}

/* Two samplers see the same requests in different order, one among other work. */
/* The same bits in every field; between them there is padding. */
static void assert_same(const struct tw_sampled *a, const struct tw_sampled *b)
{
    assert_int_equal(a->token, b->token);
    assert_memory_equal(&a->logprob, &b->logprob, sizeof a->logprob);
    assert_memory_equal(&a->entropy, &b->entropy, sizeof a->entropy);
    assert_memory_equal(&a->varentropy, &b->varentropy, sizeof a->varentropy);
    assert_true(a->state == b->state && a->inserted == b->inserted);
}

static void test_a_draw_is_a_function_of_row_parameters_seed_and_position(void **state)
{
    enum { ROWS = 40, POSITIONS = 8 };
    static float rows[ROWS][VOCAB];
    struct tw_sampled want[ROWS][POSITIONS];
    struct tw_sample_params p[ROWS];
    struct tw_philox_stream r;
    struct tw_sampler a, b;
    struct trawl_error err;
    int32_t history[HISTORY] = {0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89};
    (void)state;
    tw_philox_stream_init(&r, SEED, 3);
    assert_ok(tw_sampler_init(&a, &kernels, VOCAB, &err));
    assert_ok(tw_sampler_init(&b, &kernels, VOCAB, &err));
    for (size_t i = 0; i < ROWS; i++) {
        draw_row(&r, rows[i]);
        p[i] = draw_params(&r);
        for (size_t j = 0; j < POSITIONS; j++) {
            want[i][j] = sample_choose(&a, rows[i], &p[i], history, HISTORY, j);
        }
    }
    size_t differing_positions = 0, differing_seeds = 0;
    for (size_t j = POSITIONS; j-- > 0;) {
        for (size_t i = ROWS; i-- > 0;) {
            struct tw_sampled got = sample_choose(&b, rows[i], &p[i], history, HISTORY, j);
            assert_same(&got, &want[i][j]);
            differing_positions += got.token != want[i][0].token;
            struct tw_sample_params other = p[i];
            other.seed++;
            differing_seeds += sample_choose(&b, rows[i], &other, history, HISTORY, j).token != got.token;
        }
    }
    assert_true(differing_positions > 50 && differing_seeds > 50);
    tw_sampler_release(&a);
    tw_sampler_release(&b);
}

/* The same work under every instruction set of this machine; the first one says what is wanted. */
static void for_every_isa(void (*work)(const struct tw_kernels *k, bool first))
{
    static const char *const isas[] = {"scalar", "avx2", "avx512", "avx512bf16"};
    struct trawl_error err;
    int n = 0;
    for (size_t i = 0; i < sizeof isas / sizeof isas[0]; i++) {
        struct tw_kernels k;
        if (tw_kernels_init(&k, isas[i], &err) == TRAWL_OK) {
            work(&k, n++ == 0);
        }
    }
    print_message("%d instruction sets\n", n);
}

static void draw_narrow(const struct tw_kernels *k, bool first)
{
    static struct tw_sampled want[60 * 4];
    struct trawl_error err;
    struct tw_sampler s;
    struct tw_philox_stream r;
    tw_philox_stream_init(&r, SEED, 4);
    assert_ok(tw_sampler_init(&s, k, VOCAB, &err));
    for (size_t i = 0; i < 60; i++) {
        float row[VOCAB];
        draw_row(&r, row);
        struct tw_sample_params p = draw_params(&r);
        for (size_t j = 0; j < 4; j++) {
            struct tw_sampled got = sample_choose(&s, row, &p, NULL, 0, j);
            want[4 * i + j]       = first ? got : want[4 * i + j];
            assert_same(&got, &want[4 * i + j]);
        }
    }
    tw_sampler_release(&s);
}

static void test_every_isa_draws_the_same(void **state)
{
    (void)state;
    for_every_isa(draw_narrow);
}

/* Rows of many blocks, whose last one is not whole. */
static void draw_wide(const struct tw_kernels *k, bool first)
{
    enum { WIDE = 5003, CASES = 40 };
    static float row[WIDE];
    static struct tw_sampled want[CASES];
    struct trawl_error err;
    struct tw_sampler s;
    struct tw_philox_stream r;
    tw_philox_stream_init(&r, SEED, 5);
    assert_ok(tw_sampler_init(&s, k, WIDE, &err));
    for (size_t i = 0; i < CASES; i++) {
        for (size_t j = 0; j < WIDE; j++) {
            row[j] = (float)((i % 5 == 0 ? 0.01 : 3) * normal(&r));
        }
        struct tw_sample_params p = draw_params(&r);
        p.top_n_sigma             = i % 4 == 0 ? 2 : 0;
        struct tw_sampled got     = sample_choose(&s, row, &p, NULL, 0, i);
        want[i]                   = first ? got : want[i];
        assert_same(&got, &want[i]);
    }
    tw_sampler_release(&s);
}

static void test_every_isa_draws_the_same_from_wide_rows(void **state)
{
    (void)state;
    for_every_isa(draw_wide);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_support_and_frequencies),
        cmocka_unit_test(test_wide_rows_and_deep_filters),
        cmocka_unit_test(test_greedy_takes_the_highest_and_of_equals_the_lowest_id),
        cmocka_unit_test(test_a_draw_is_a_function_of_row_parameters_seed_and_position),
        cmocka_unit_test(test_every_isa_draws_the_same),
        cmocka_unit_test(test_every_isa_draws_the_same_from_wide_rows),
    };
    return cmocka_run_group_tests(tests, sample_setup, NULL);
}
