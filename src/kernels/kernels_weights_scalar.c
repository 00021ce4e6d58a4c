/* SPDX-License-Identifier: MIT */
#include "kernels/kernels_exp.h"
#include "kernels/kernels_levels.h"

static double lanes_sum(const double s[8])
{
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

static void softmax_weights_scalar(float *y, double *sums, const float *x, size_t n, float max, float scale)
{
    for (size_t begin = 0; begin < n; begin += TW_SUM_BLOCK) {
        double s[8] = {0};
        size_t end  = n - begin > TW_SUM_BLOCK ? begin + TW_SUM_BLOCK : n;
        for (size_t i = begin; i < end; i++) {
            float d = (x[i] - max) * scale;
            y[i]    = d > -INFINITY ? tw_exp_one(d) : 0.0f; /* NaN has no weight */
            s[i % 8] += (double)y[i];
        }
        sums[begin / TW_SUM_BLOCK] = lanes_sum(s);
    }
}

void tw_kernels_weights_scalar(struct tw_kernels *k)
{
    k->softmax_weights = softmax_weights_scalar;
}
