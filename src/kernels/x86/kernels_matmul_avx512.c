/* SPDX-License-Identifier: MIT */
/* Matmul with AVX-512. */
#include "kernels/x86/kernels_vec_avx512.h"

#include "kernels/x86/kernels_matmul_fma_v16.h"

void tw_kernels_matmul_avx512(struct tw_kernels *k)
{
    matmul_fma_publish(k);
}
