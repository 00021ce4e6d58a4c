/* SPDX-License-Identifier: MIT */
/* Matmul with AVX2 and FMA. */
#include "kernels/x86/kernels_vec_avx2.h"

#include "kernels/x86/kernels_matmul_fma_v16.h"

void tw_kernels_matmul_avx2(struct tw_kernels *k)
{
    matmul_fma_publish(k);
}
