/* SPDX-License-Identifier: MIT */
/* Row operations one element at a time. */
#include <math.h>
#include <string.h>

#include "kernels/kernels_exp.h"
#include "kernels/kernels_levels.h"

/* Eight lanes by a balanced tree: l with l + 4, then 2, 1. */
static double lanes_sum(const double s[8])
{
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

static void rmsnorm_scalar(float *y, const float *x, const float *w, size_t n, double eps)
{
    double s[8] = {0};
    for (size_t i = 0; i < n; i++) {
        s[i % 8] += (double)x[i] * (double)x[i];
    }
    float r = (float)(1.0 / sqrt(lanes_sum(s) / (double)n + eps));
    for (size_t i = 0; i < n; i++) {
        y[i] = (x[i] * r) * w[i];
    }
}

static void rope_scalar(float *x, const float *cos, const float *sin, size_t head_dim)
{
    float *half = x + head_dim / 2;
    for (size_t i = 0; i < head_dim / 2; i++) {
        float a = x[i], b = half[i];
        x[i]    = a * cos[i] - b * sin[i];
        half[i] = b * cos[i] + a * sin[i];
    }
}

static void add_scalar(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        y[i] = y[i] + x[i];
    }
}

static void widen_scalar(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        y[i] = tw_bf16_to_f32(x[i]);
    }
}

static void narrow_scalar(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        y[i] = tw_bf16_from_f32(x[i]);
    }
}

static void argmax_scalar(const float *x, size_t n, float *max, size_t *index)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++) {
        if (x[i] > x[best] || (isnan(x[best]) && !isnan(x[i]))) {
            best = i;
        }
    }
    *max   = x[best];
    *index = best;
}

static void softmax_sums_scalar(const float *x, size_t n, float max, double out[3])
{
    out[0] = out[1] = out[2] = 0.0;
    for (size_t begin = 0; begin < n; begin += TW_SUM_BLOCK) {
        double s[3][8] = {{0}};
        size_t end     = n - begin > TW_SUM_BLOCK ? begin + TW_SUM_BLOCK : n;
        for (size_t i = begin; i < end; i++) {
            float d   = x[i] - max;
            float e   = tw_exp_one(d);
            double ed = e == 0.0f ? 0.0 : (double)e * (double)d;
            double dd = e == 0.0f ? 0.0 : ed * (double)d;
            s[0][i % 8] += (double)e;
            s[1][i % 8] += ed;
            s[2][i % 8] += dd;
        }
        for (int j = 0; j < 3; j++) {
            out[j] += lanes_sum(s[j]);
        }
    }
}

static void exp_scalar(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        y[i] = tw_exp_one(x[i]);
    }
}

static void swiglu_scalar(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        y[i] = tw_silu_one(gate[i]) * up[i];
    }
}

void tw_kernels_rows_scalar(struct tw_kernels *k)
{
    k->rmsnorm      = rmsnorm_scalar;
    k->rope         = rope_scalar;
    k->add          = add_scalar;
    k->widen        = widen_scalar;
    k->narrow       = narrow_scalar;
    k->argmax       = argmax_scalar;
    k->softmax_sums = softmax_sums_scalar;
    k->exp          = exp_scalar;
    k->swiglu       = swiglu_scalar;
}
