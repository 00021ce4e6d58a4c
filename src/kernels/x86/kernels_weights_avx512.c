/* SPDX-License-Identifier: MIT */
#include "kernels/x86/kernels_vec_avx512.h"

#include "kernels/x86/kernels_v16_math.h"

#include "kernels/x86/kernels_weights_v16.h"

void tw_kernels_weights_avx512(struct tw_kernels *k)
{
    k->softmax_weights = softmax_weights_v16;
}
