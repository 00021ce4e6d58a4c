/* SPDX-License-Identifier: MIT */
/* cos and sin for rotary positions, in f64 with operations whose results do not depend on the build: only
 * +, -, * and comparisons. */
#include "kernels/kernels.h"

/* pi/2 = HALF_PI_1 + HALF_PI_2 + HALF_PI_3; the first two have 33 bits, so that multiples up to 2^20 times
 * are exact. Beyond that the error grows with that of the angle itself. */
#define TWO_OVER_PI 0x1.45f306dc9c883p-1
#define HALF_PI_1   0x1.921fb544p+0
#define HALF_PI_2   0x1.0b4611a6p-34
#define HALF_PI_3   0x1.3198a2e037073p-69

/* Taylor terms; at |r| <= pi/4 the first one left out is below 2^-60. */
static double sin_near_zero(double r)
{
    static const double c[] = {
        -1.0 / 6.0,        1.0 / 120.0,        -1.0 / 5040.0,          1.0 / 362880.0,
        -1.0 / 39916800.0, 1.0 / 6227020800.0, -1.0 / 1307674368000.0, 1.0 / 355687428096000.0};
    double s = r * r, p = c[7];
    for (int i = 6; i >= 0; i--) {
        p = p * s + c[i];
    }
    return r + r * (s * p);
}

static double cos_near_zero(double r)
{
    static const double c[] = {
        1.0 / 24.0,        -1.0 / 720.0,         1.0 / 40320.0,         -1.0 / 3628800.0,
        1.0 / 479001600.0, -1.0 / 87178291200.0, 1.0 / 20922789888000.0};
    double s = r * r, p = c[6];
    for (int i = 5; i >= 0; i--) {
        p = p * s + c[i];
    }
    return 1.0 - 0.5 * s + s * (s * p);
}

void tw_rope_angles(const double *inverse_frequency, size_t n, size_t position, float *cos, float *sin)
{
    for (size_t i = 0; i < n; i++) {
        double angle     = (double)position * inverse_frequency[i];
        int64_t quarters = (int64_t)(angle * TWO_OVER_PI + 0.5);
        double q         = (double)quarters;
        double r         = ((angle - q * HALF_PI_1) - q * HALF_PI_2) - q * HALF_PI_3;
        double s = sin_near_zero(r), c = cos_near_zero(r);
        switch (quarters & 3) {
        case 0: cos[i] = (float)c, sin[i] = (float)s; break;
        case 1: cos[i] = (float)-s, sin[i] = (float)c; break;
        case 2: cos[i] = (float)-c, sin[i] = (float)-s; break;
        default: cos[i] = (float)s, sin[i] = (float)-c; break;
        }
    }
}
