/* SPDX-License-Identifier: MIT */
#include "kernels/x86/kernels_vec_avx512.h"

#include "kernels/x86/kernels_v16_math.h"

#include "kernels/x86/kernels_rows_v16.h"

void tw_kernels_rows_avx512(struct tw_kernels *k)
{
    rows_v16(k);
}
