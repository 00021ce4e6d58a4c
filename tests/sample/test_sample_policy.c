/* SPDX-License-Identifier: MIT */
/* The entropy policy: entropies of rows worked out by hand, states that cover everything, and draws that follow the
 * law of their state. */
#include "base/philox.h"
#include "support/sample_choose.h"
#include "support/sample_fit.h"

enum { VOCAB = 12, DRAWS = 20000, SEED = 20261121 };

static void test_entropies_in_bits(void **state)
{
    static const struct {
        size_t n;
        float first[4];
        size_t n_first;
        double h, v;
    } rows[] = {
        {2, {0}, 1, 1, 0},
        {16, {0}, 1, 4, 0},
        {4, {2, 1, 0, -1}, 4, 1.367007, 1.283344},
        {8, {5}, 1, 0.391393, 2.238123},
        {100, {10}, 1, 0.071023, 0.927138},
        {3, {0.69314718F}, 1, 1.5, 0.25}, /* 1/2, 1/4, 1/4 */
    };
    const double bits = 1 / log(2);
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tw_sampler s;
        struct tw_sample_params p;
        struct trawl_error err;
        float row[100] = {0};
        tw_sample_params_init(&p);
        memcpy(row, rows[i].first, rows[i].n_first * sizeof *row);
        assert_ok(tw_sampler_init(&s, &kernels, rows[i].n, &err));
        const struct tw_sample_input in = {.logits = row, .params = &p};
        struct tw_sampled got           = tw_sample_choose(&s, &in);
        assert_true(fabs((double)got.entropy * bits - rows[i].h) < 2e-6);
        assert_true(fabs((double)got.varentropy * bits * bits - rows[i].v) < 2e-6);
        tw_sampler_release(&s);
    }
}

static void test_every_pair_has_the_first_state_that_holds(void **state)
{
    struct tw_philox_stream r;
    struct tw_policy p;
    size_t seen[TW_ENTROPY_STATES] = {0};
    (void)state;
    print_message("seed %d\n", SEED);
    tw_philox_stream_init(&r, SEED, 20);
    tw_policy_init(&p);
    for (int i = 0; i < 20000; i++) {
        double h     = tw_philox_below(&r, 2) ? 8 * tw_philox_double(&r) : p.h_lo * tw_philox_double(&r);
        double v     = tw_philox_below(&r, 2) ? 12 * tw_philox_double(&r) : p.v_lo * tw_philox_double(&r);
        bool holds[] = {h < p.h_lo && v<p.v_lo, h> p.h_hi && v<p.v_lo, h> p.h_mid && v > p.v_hi, v > p.v_hi,
                        true};
        size_t first = 0;
        while (!holds[first]) {
            first++;
        }
        enum tw_entropy_state got = tw_policy_state(&p, h * log(2), v * log(2) * log(2));
        assert_int_equal(got, first);
        seen[got]++;
    }
    for (size_t i = 0; i < TW_ENTROPY_STATES; i++) {
        assert_true(seen[i] > 100);
    }
}

/* Thresholds that put any distribution into one state. */
static void force(struct tw_policy *p, enum tw_entropy_state state)
{
    tw_policy_init(p);
    p->on = true;
    switch (state) {
    case TW_ENTROPY_LELV:
        p->h_lo = p->v_lo = 100;
        p->h_mid = p->h_hi = p->v_hi = 200;
        break;
    case TW_ENTROPY_HELV:
        p->h_lo = p->h_mid = p->h_hi = 0;
        p->v_lo                      = 100;
        break;
    case TW_ENTROPY_HEHV: p->h_lo = p->h_mid = p->v_lo = p->v_hi = 0; break;
    case TW_ENTROPY_LEHV:
        p->h_mid = 100;
        p->v_lo = p->v_hi = 0;
        break;
    case TW_ENTROPY_MID:
    case TW_ENTROPY_STATES: p->h_lo = p->v_lo = 0, p->h_hi = p->v_hi = 100; break;
    }
}

static const float row[VOCAB] = {1, 2.5F, 0.5F, 3, 2.75F, -1, 0, 1.5F, 2, -2, 0.25F, -0.5F};

static void softmax(double *p, double temperature)
{
    double total = 0;
    for (size_t i = 0; i < VOCAB; i++) {
        total += p[i] = exp((double)row[i] / temperature);
    }
    for (size_t i = 0; i < VOCAB; i++) {
        p[i] /= total;
    }
}

static void check_law(const struct tw_sample_params *p, const double *probability, const char *what)
{
    struct tw_sampler s;
    struct trawl_error err;
    assert_ok(tw_sampler_init(&s, &kernels, VOCAB, &err));
    const struct tw_sample_input in = {.logits = row, .params = p};
    sample_assert_fits(&s, &in, probability, DRAWS, what);
    tw_sampler_release(&s);
}

static void test_draws_follow_the_law_of_their_state(void **state)
{
    struct tw_sample_params p;
    double plain[VOCAB], want[VOCAB] = {0}, total = 0;
    (void)state;
    tw_sample_params_init(&p);
    p.temperature = 1;
    p.seed        = SEED;
    force(&p.policy, TW_ENTROPY_LELV);
    want[3] = 1;
    check_law(&p, want, "LELV");
    force(&p.policy, TW_ENTROPY_HELV); /* nothing to insert */
    softmax(plain, 1);
    check_law(&p, plain, "HELV");
    force(&p.policy, TW_ENTROPY_LEHV);
    softmax(want, 1.3);
    check_law(&p, want, "LEHV");
    p.policy.max_temperature = 1.1;
    softmax(want, 1.1);
    check_law(&p, want, "LEHV, capped");
    force(&p.policy, TW_ENTROPY_MID);
    check_law(&p, plain, "MID, one draw");
    p.policy.best_of = 5; /* P(best is i) = P(all are i or worse) - P(all are worse) */
    for (size_t i = 0; i < VOCAB; i++) {
        double worse = 0;
        for (size_t j = 0; j < VOCAB; j++) {
            worse += row[j] < row[i] ? plain[j] : 0;
        }
        want[i] = pow(worse + plain[i], 5) - pow(worse, 5);
    }
    check_law(&p, want, "MID, five draws");
    force(&p.policy, TW_ENTROPY_HEHV);
    for (size_t i = 0; i < VOCAB; i++) {
        want[i]  = 0;
        plain[i] = plain[i] < 0.1 * plain[3] ? 0 : plain[i];
        total += plain[i];
    }
    for (size_t i = 0; i < VOCAB; i++) {
        for (size_t j = 0; j < VOCAB; j++) {
            want[i] += i == j ? 0 : plain[j] / total * plain[i] / (total - plain[j]);
        }
    }
    check_law(&p, want, "HEHV");
    p.temperature = 0;
    force(&p.policy, TW_ENTROPY_LEHV);
    memset(want, 0, sizeof want);
    want[3] = 1;
    check_law(&p, want, "temperature 0 is greedy whatever the state");
}

static bool inserts(const struct tw_sample_params *p, size_t n_answer, const struct tw_policy_track *track,
                    const uint32_t *allowed, int32_t end)
{
    static const int32_t history[64] = {0};
    struct tw_sampler s;
    struct trawl_error err;
    assert_ok(tw_sampler_init(&s, &kernels, VOCAB, &err));
    const struct tw_sample_input in = {.logits     = row,
                                       .params     = p,
                                       .history    = history,
                                       .n_history  = 2 + n_answer,
                                       .n_prompt   = 2,
                                       .end_tokens = {{0}, {.ids = &end, .n = 1}},
                                       .allowed    = allowed,
                                       .track      = track};
    struct tw_sampled got           = tw_sample_choose(&s, &in);
    assert_true(!got.inserted || got.token == p->policy.insert_token);
    tw_sampler_release(&s);
    return got.inserted;
}

static void test_insertion_is_guarded(void **state)
{
    const uint32_t all[1]        = {0xFFF};
    const int32_t token          = 9;
    struct tw_policy_track track = {0};
    struct tw_sample_params p;
    (void)state;
    tw_sample_params_init(&p);
    p.temperature = 1;
    force(&p.policy, TW_ENTROPY_HELV);
    assert_false(inserts(&p, 5, &track, NULL, 0)); /* no token to insert */
    p.policy.insert_token    = token;
    p.policy.insert_cooldown = 3;
    p.policy.insert_limit    = 2;
    assert_true(inserts(&p, 5, &track, NULL, 0));
    assert_false(inserts(&p, 0, &track, NULL, 0));     /* the first token of the answer */
    assert_false(inserts(&p, 5, &track, all, 0));      /* under a constraint */
    assert_false(inserts(&p, 5, &track, NULL, token)); /* it would end the answer */
    p.suppress_tokens   = &token;
    p.n_suppress_tokens = 1;
    assert_false(inserts(&p, 5, &track, NULL, 0));
    p.n_suppress_tokens = 0;
    tw_policy_count(&track, TW_ENTROPY_HELV, true);
    for (int i = 0; i < 3; i++) {
        assert_false(inserts(&p, 6, &track, NULL, 0));
        tw_policy_count(&track, TW_ENTROPY_MID, false);
    }
    assert_true(inserts(&p, 9, &track, NULL, 0));
    tw_policy_count(&track, TW_ENTROPY_HELV, true);
    for (int i = 0; i < 10; i++) {
        tw_policy_count(&track, TW_ENTROPY_MID, false);
    }
    assert_false(inserts(&p, 20, &track, NULL, 0)); /* no more than two */
    assert_int_equal(track.states[TW_ENTROPY_HELV], 2);
    assert_int_equal(track.states[TW_ENTROPY_MID], 13);
    p.temperature = 0;
    assert_false(inserts(&p, 5, &(struct tw_policy_track){0}, NULL, 0));
}

static void test_thresholds_are_refused_with_their_range(void **state)
{
    static const struct {
        size_t offset;
        double value;
        const char *words;
    } cases[] = {
        {offsetof(struct tw_policy, h_lo), 3.5, "h_lo is 3.5 and h_mid is 3, expected 0 <= h_lo < h_mid"},
        {offsetof(struct tw_policy, h_lo), -1, "h_lo is -1"},
        {offsetof(struct tw_policy, h_hi), 3, "h_mid is 3 and h_hi is 3"},
        {offsetof(struct tw_policy, h_hi), (double)INFINITY, "h_hi is inf"},
        {offsetof(struct tw_policy, h_mid), (double)NAN, "h_mid is nan"},
        {offsetof(struct tw_policy, v_lo), 5, "v_lo is 5 and v_hi is 5"},
        {offsetof(struct tw_policy, lehv_temperature), 0.9, "lehv_temperature is 0.9, expected 1 to 100"},
        {offsetof(struct tw_policy, lehv_top_k), (double)NAN, "lehv_top_k is nan"},
        {offsetof(struct tw_policy, max_temperature), 0, "max_temperature is 0, expected a positive"},
        {offsetof(struct tw_policy, hehv_min_p), 1.5, "hehv_min_p is 1.5, expected 0 to 1"},
    };
    struct tw_sample_params p;
    struct trawl_error err;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tw_sample_params_init(&p);
        p.policy.on = true;
        assert_ok(tw_sample_params_check(&p, &err));
        memcpy((char *)&p.policy + cases[i].offset, &cases[i].value, sizeof(double));
        assert_refused(tw_sample_params_check(&p, &err), TRAWL_ERR_INVALID, cases[i].words);
    }
    tw_sample_params_init(&p);
    p.policy.on      = true;
    p.policy.best_of = 65;
    assert_refused(tw_sample_params_check(&p, &err), TRAWL_ERR_INVALID, "best_of is 65, expected 1 to 64");
    p.policy.best_of      = 1;
    p.policy.insert_token = VOCAB;
    assert_refused(tw_sample_params_check_ids(&p, VOCAB, &err), TRAWL_ERR_INVALID,
                   "entropy policy names token 12, the vocabulary has 12 ids");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entropies_in_bits),
        cmocka_unit_test(test_every_pair_has_the_first_state_that_holds),
        cmocka_unit_test(test_draws_follow_the_law_of_their_state),
        cmocka_unit_test(test_insertion_is_guarded),
        cmocka_unit_test(test_thresholds_are_refused_with_their_range),
    };
    return cmocka_run_group_tests(tests, sample_setup, NULL);
}
