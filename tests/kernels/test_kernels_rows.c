/* SPDX-License-Identifier: MIT */
/* Row operations: every level against the scalar twin bit for bit, the scalar twin against libm. */
#include "kernels/kernels_check.h"

/* Lengths around every vector width, and some of real models. */
static size_t random_length(struct check_random *r)
{
    static const size_t real[] = {896, 1024, 1025, 1536, 2047, 2048, 4864};
    return check_next(r) % 4 == 0 ? real[check_next(r) % 7] : check_size(r, 1, 131);
}

static void row_operations_give_the_scalar_bits(void **state)
{
    (void)state;
    struct tw_kernels k[4];
    const int n_levels    = check_levels(k);
    struct check_random r = check_seed("rows");
    for (int i = 0; i < 400; i++) {
        const size_t n         = random_length(&r);
        enum check_values mode = (enum check_values)(check_next(&r) % CHECK_VALUES);
        struct check_buffer x = check_floats(&r, n, mode), w = check_floats(&r, n, mode);
        struct check_buffer out[4][3];
        for (int level = 0; level < n_levels; level++) {
            const struct tw_kernels *t = &k[level];
            for (int j = 0; j < 3; j++) {
                out[level][j] = check_alloc(n * sizeof(float));
            }
            t->rmsnorm(out[level][0].p, x.p, w.p, n, 1e-6);
            assert_floats_same(out[0][0].p, out[level][0].p, n, "rmsnorm %s, n %zu", t->isa, n);
            memcpy(out[level][1].p, x.p, n * sizeof(float));
            t->rmsnorm(out[level][1].p, out[level][1].p, w.p, n, 1e-6);
            assert_floats_same(out[0][0].p, out[level][1].p, n, "rmsnorm in place %s, n %zu", t->isa, n);
            memcpy(out[level][1].p, x.p, n * sizeof(float));
            t->add(out[level][1].p, w.p, n);
            assert_floats_same(out[0][1].p, out[level][1].p, n, "add %s, n %zu", t->isa, n);
            t->exp(out[level][2].p, x.p, n);
            assert_floats_same(out[0][2].p, out[level][2].p, n, "exp %s, n %zu", t->isa, n);
        }
        for (int level = 0; level < n_levels; level++) {
            for (int j = 0; j < 3; j++) {
                check_free(&out[level][j]);
            }
        }
        check_free(&x);
        check_free(&w);
    }
}

static void rope_gives_the_scalar_bits(void **state)
{
    (void)state;
    struct tw_kernels k[4];
    const int n_levels    = check_levels(k);
    struct check_random r = check_seed("rope");
    for (size_t dim = 2; dim <= TW_MAX_HEAD_DIM; dim += 2) {
        struct check_buffer x = check_floats(&r, dim, CHECK_SPECIAL), cos = check_alloc(dim / 2 * 4),
                            sin = check_alloc(dim / 2 * 4);
        double inverse[TW_MAX_HEAD_DIM / 2];
        for (size_t i = 0; i < dim / 2; i++) {
            inverse[i] = pow(10000.0, -(double)(2 * i) / (double)dim);
        }
        tw_rope_angles(inverse, dim / 2, check_size(&r, 0, 32768), cos.p, sin.p);
        float want[TW_MAX_HEAD_DIM];
        memcpy(want, x.p, dim * sizeof(float));
        k[0].rope(want, cos.p, sin.p, dim);
        for (int level = 0; level < n_levels; level++) {
            struct check_buffer got = check_alloc(dim * sizeof(float));
            memcpy(got.p, x.p, dim * sizeof(float));
            k[level].rope(got.p, cos.p, sin.p, dim);
            assert_floats_same(want, got.p, dim, "rope %s, dim %zu", k[level].isa, dim);
            check_free(&got);
        }
        check_free(&x);
        check_free(&cos);
        check_free(&sin);
    }
}

/* Positions of a page in random order, blocks compared whole. */
static void keys_and_values_are_stored_as_the_scalar_twin_does(void **state)
{
    (void)state;
    struct tw_kernels k[4];
    const int n_levels    = check_levels(k);
    struct check_random r = check_seed("kv_store");
    for (size_t dim = 2; dim <= TW_MAX_HEAD_DIM; dim += 2) {
        const size_t elements = tw_kv_block_elements(dim);
        struct check_buffer keys[4], values[4];
        for (int level = 0; level < n_levels; level++) {
            keys[level]   = check_alloc(elements * sizeof(uint16_t));
            values[level] = check_alloc(elements * sizeof(uint16_t));
            memset(keys[level].p, 0xA5, elements * sizeof(uint16_t));
            memset(values[level].p, 0xA5, elements * sizeof(uint16_t));
        }
        for (int i = 0; i < 20; i++) {
            struct check_buffer x =
                check_floats(&r, 2 * dim, (enum check_values)(check_next(&r) % CHECK_VALUES));
            const size_t slot = check_next(&r) % TW_KV_BLOCK;
            const float *kv   = x.p;
            for (int level = 0; level < n_levels; level++) {
                k[level].kv_store_bf16(keys[level].p, values[level].p, slot, kv, kv + dim, dim);
            }
            check_free(&x);
        }
        for (int level = 0; level < n_levels; level++) {
            assert_memory_equal(keys[0].p, keys[level].p, elements * sizeof(uint16_t));
            assert_memory_equal(values[0].p, values[level].p, elements * sizeof(uint16_t));
        }
        for (int level = 0; level < n_levels; level++) {
            check_free(&keys[level]);
            check_free(&values[level]);
        }
    }
}

static void conversions_are_exact(void **state)
{
    (void)state;
    struct tw_kernels k[4];
    const int n_levels       = check_levels(k);
    struct check_random r    = check_seed("conversions");
    struct check_buffer wide = check_alloc(65536 * 4), half = check_alloc(65536 * 2);
    for (int level = 0; level < n_levels; level++) {
        for (size_t n = 1; n < 40; n++) { /* tails, at the guard page */
            float *x    = (float *)wide.p + 65536 - n;
            uint16_t *h = (uint16_t *)half.p + 65536 - n;
            for (size_t i = 0; i < n; i++) {
                x[i] = tw_f32_from_bits((uint32_t)check_next(&r));
            }
            k[level].narrow(h, x, n);
            for (size_t i = 0; i < n; i++) {
                assert_int_equal(h[i], tw_bf16_from_f32(x[i]));
            }
            k[level].widen(x, h, n);
            for (size_t i = 0; i < n; i++) {
                assert_int_equal(tw_f32_bits(x[i]), (uint32_t)h[i] << 16);
            }
        }
        for (uint32_t i = 0; i < 65536; i++) { /* every bf16 there and back */
            ((uint16_t *)half.p)[i] = (uint16_t)i;
        }
        k[level].widen(wide.p, half.p, 65536);
        memset(half.p, 0, 65536 * 2);
        k[level].narrow(half.p, wide.p, 65536);
        for (uint32_t i = 0; i < 65536; i++) {
            const bool nan = (i & 0x7FFF) > 0x7F80;
            assert_int_equal(((uint16_t *)half.p)[i], nan ? i | 0x40 : i);
        }
    }
    check_free(&wide);
    check_free(&half);
}

static void check_argmax(const struct tw_kernels *k, const float *x, size_t n)
{
    size_t want = 0, got = SIZE_MAX;
    float max;
    for (size_t i = 1; i < n; i++) {
        if ((isnan(x[want]) && !isnan(x[i])) || x[i] > x[want]) {
            want = i;
        }
    }
    k->argmax(x, n, &max, &got);
    assert_int_equal(got, want);
    assert_true(check_same(max, x[want]));
}

static void argmax_takes_the_lowest_index_and_no_nan(void **state)
{
    (void)state;
    struct tw_kernels k[4];
    const int n_levels    = check_levels(k);
    struct check_random r = check_seed("argmax");
    for (int i = 0; i < 600; i++) {
        const size_t n        = random_length(&r);
        struct check_buffer x = check_floats(&r, n, CHECK_SPECIAL);
        const float few[4]    = {NAN, -INFINITY, -0.0f, 0.0f};
        for (size_t j = 0; i % 3 != 0 && j < n; j++) { /* ties; only NaN; NaN and -inf */
            ((float *)x.p)[j] = i % 3 == 1 ? few[check_next(&r) % (1 + (size_t)i % 4)]
                                           : floorf(4.0f * check_float(&r, CHECK_PLAIN));
        }
        for (int level = 0; level < n_levels; level++) {
            check_argmax(&k[level], x.p, n);
        }
        check_free(&x);
    }
}

static void softmax_sums_give_the_scalar_bits(void **state)
{
    (void)state;
    struct tw_kernels k[4];
    const int n_levels    = check_levels(k);
    struct check_random r = check_seed("softmax sums");
    for (int i = 0; i < 200; i++) {
        const size_t n        = random_length(&r);
        struct check_buffer x = check_floats(&r, n, CHECK_PLAIN);
        float max = -INFINITY, *v = x.p;
        double want[3] = {0}, sums[4][3];
        for (size_t j = 0; j < n; j++) {
            v[j] = check_next(&r) % 8 == 0 ? -INFINITY : 20.0f * v[j];
            max  = v[j] > max ? v[j] : max;
        }
        if (max == -INFINITY) {
            max = v[0] = 1.0f;
        }
        for (size_t j = 0; j < n; j++) {
            const double d = (double)v[j] - (double)max, e = exp(d);
            want[0] += e;
            want[1] += e == 0.0 ? 0.0 : e * d;
            want[2] += e == 0.0 ? 0.0 : e * d * d;
        }
        for (int level = 0; level < n_levels; level++) {
            k[level].softmax_sums(v, n, max, sums[level]);
            assert_memory_equal(sums[0], sums[level], sizeof sums[0]);
        }
        for (int j = 0; j < 3; j++) {
            assert_true(fabs(sums[0][j] - want[j]) <= 1e-6 * (1.0 + fabs(want[j])) * 8.0);
        }
        check_free(&x);
    }
}

/* |got - want| in units of the last place of want */
static double ulps(float got, long double want)
{
    int exponent;
    (void)frexpl(want, &exponent);
    return (double)(fabsl((long double)got - want) / ldexpl(1.0L, exponent - 24));
}

static void exp_is_within_two_ulp(void **state)
{
    (void)state;
    struct tw_kernels k[4];
    struct check_random r = check_seed("exp");
    (void)check_levels(k);
    double worst = 0.0;
    for (int i = 0; i < 2000000; i++) {
        const float x = (float)((double)check_next(&r) * 0x1p-53 * 176.0 - 87.3);
        float y;
        k[0].exp(&y, &x, 1);
        const double error = ulps(y, expl((long double)x));
        worst              = error > worst ? error : worst;
    }
    print_message("worst error of exp: %.3f ulp\n", worst);
    assert_true(worst < 2.0);
}

static void exp_ends_where_it_should(void **state)
{
    (void)state;
    struct tw_kernels k[4];
    const int n_levels = check_levels(k);
    const float x[]    = {INFINITY,        -INFINITY,       0.0f,   -0.0f, 0x1.62e42ep+6f, 0x1.62e430p+6f,
                          -0x1.5d589ep+6f, -0x1.5d58a0p+6f, -1e30f, 1e30f};
    const float want[] = {INFINITY, 0.0f, 1.0f, 1.0f, 0, INFINITY, 0, 0.0f, 0.0f, INFINITY};
    for (int level = 0; level < n_levels; level++) {
        float y[10];
        k[level].exp(y, x, 10);
        for (int i = 0; i < 10; i++) {
            if (i == 4 || i == 6) { /* the largest and the smallest finite results */
                assert_true(ulps(y[i], expl((long double)x[i])) < 2.0);
            } else {
                assert_int_equal(tw_f32_bits(y[i]), tw_f32_bits(want[i]));
            }
        }
        const float nan = NAN;
        k[level].exp(y, &nan, 1);
        assert_true(isnan(y[0]));
    }
}

/* Rounded once from f64: at most half an ulp, and a trifle for the f64 error. */
static void angles_agree_with_libm(void **state)
{
    (void)state;
    struct check_random r = check_seed("angles");
    double worst          = 0.0;
    for (int i = 0; i < 20000; i++) {
        const double inverse[2] = {pow(1e6, -(double)check_next(&r) * 0x1p-53), i % 7 == 0 ? 1.0 : 0.5};
        const size_t position   = i < 100 ? (size_t)i : check_size(&r, 0, (size_t)1 << (i % 21));
        float c[2], s[2];
        tw_rope_angles(inverse, 2, position, c, s);
        for (int j = 0; j < 2; j++) {
            const long double angle = (long double)((double)position * inverse[j]);
            const double ec = ulps(c[j], cosl(angle)), es = ulps(s[j], sinl(angle));
            worst = fmax(worst, fmax(ec, es));
        }
    }
    print_message("worst error of angles: %.6f ulp\n", worst);
    assert_true(worst < 0.501);
}

static void unknown_levels_are_refused(void **state)
{
    (void)state;
    struct tw_kernels k;
    struct trawl_error err;
    assert_refused(tw_kernels_init(&k, "sse9", &err), TRAWL_ERR_UNSUPPORTED, "sse9");
    assert_refused(tw_kernels_init(&k, "", &err), TRAWL_ERR_UNSUPPORTED, "scalar");
    assert_ok(tw_kernels_init(&k, "scalar", &err));
    assert_string_equal(k.isa, "scalar");
    assert_false(k.bf16_dot);
    assert_ok(tw_kernels_init(&k, "auto", &err));
    assert_ok(tw_kernels_init(&k, NULL, &err));
    print_message("auto: %s\n", k.isa);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_operations_give_the_scalar_bits),
        cmocka_unit_test(rope_gives_the_scalar_bits),
        cmocka_unit_test(keys_and_values_are_stored_as_the_scalar_twin_does),
        cmocka_unit_test(conversions_are_exact),
        cmocka_unit_test(argmax_takes_the_lowest_index_and_no_nan),
        cmocka_unit_test(softmax_sums_give_the_scalar_bits),
        cmocka_unit_test(exp_is_within_two_ulp),
        cmocka_unit_test(exp_ends_where_it_should),
        cmocka_unit_test(angles_agree_with_libm),
        cmocka_unit_test(unknown_levels_are_refused),
    };
    return cmocka_run_group_tests(tests, check_mode, NULL);
}
