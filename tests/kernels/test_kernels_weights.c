/* SPDX-License-Identifier: MIT */
/* Weights of a draw: every level against the scalar twin by bits, and that against libm in f64. */
#include "kernels_check.h"

static void fill_row(struct check_random *r, float *x, size_t n, float *max)
{
    *max = -INFINITY;
    for (size_t j = 0; j < n; j++) {
        x[j] = check_next(r) % 8 == 0 ? -INFINITY : 20.0f * check_float(r, CHECK_PLAIN);
        *max = x[j] > *max ? x[j] : *max;
    }
    for (size_t j = 0; j < n; j++) {
        x[j] = check_next(r) % 40 == 0 && x[j] < *max ? NAN : x[j];
    }
    if (*max == -INFINITY) {
        *max = x[0] = 1.0f;
    }
}

static void weights_give_the_scalar_bits(void **state)
{
    static const float scales[] = {1.0f, 0.5f, 1.25f, 3.0f, 0x1p-126f, 3e38f};
    (void)state;
    struct tw_kernels k[4];
    const int n_levels    = check_levels(k);
    struct check_random r = check_seed("weights");
    for (int i = 0; i < 200; i++) {
        const size_t n        = check_size(&r, 1, i % 4 == 0 ? 5000 : 70);
        const size_t n_sums   = (n + TW_SUM_BLOCK - 1) / TW_SUM_BLOCK;
        struct check_buffer x = check_alloc(n * sizeof(float));
        float max, scale = scales[(size_t)i % (sizeof scales / sizeof scales[0])];
        struct check_buffer y[4], sums[4];
        fill_row(&r, x.p, n, &max);
        for (int level = 0; level < n_levels; level++) {
            y[level]    = check_alloc(n * sizeof(float));
            sums[level] = check_alloc(n_sums * sizeof(double));
            k[level].softmax_weights(y[level].p, sums[level].p, x.p, n, max, scale);
            assert_memory_equal(y[0].p, y[level].p, n * sizeof(float));
            assert_memory_equal(sums[0].p, sums[level].p, n_sums * sizeof(double));
        }
        for (size_t b = 0; b < n_sums; b++) {
            double sum = 0.0;
            for (size_t j = b * TW_SUM_BLOCK; j < n && j < (b + 1) * TW_SUM_BLOCK; j++) {
                const double d = (double)((const float *)x.p)[j] - (double)max;
                const double e = isnan(d) ? 0.0 : exp(d * (double)scale), got = (double)((float *)y[0].p)[j];
                assert_true(fabs(got - e) <= 1e-5 * e + 1e-37);
                sum += got;
            }
            assert_true(fabs(((double *)sums[0].p)[b] - sum) <= 1e-12 * sum);
        }
        for (int level = 0; level < n_levels; level++) {
            check_free(&y[level]);
            check_free(&sums[level]);
        }
        check_free(&x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_give_the_scalar_bits),
    };
    return cmocka_run_group_tests(tests, check_mode, NULL);
}
