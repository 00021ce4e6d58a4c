/* SPDX-License-Identifier: MIT */
/* What each level contributes to the table. A level is set on top of the ones before it, so a function
 * only names the entries that its instruction set improves. */
#ifndef TW_KERNELS_LEVELS_H
#define TW_KERNELS_LEVELS_H

#include "kernels/kernels.h"

void tw_kernels_matmul_scalar(struct tw_kernels *k);
void tw_kernels_attend_scalar(struct tw_kernels *k);
void tw_kernels_rows_scalar(struct tw_kernels *k);
void tw_kernels_weights_scalar(struct tw_kernels *k);

#if defined(__x86_64__)
void tw_kernels_matmul_avx2(struct tw_kernels *k);
void tw_kernels_attend_avx2(struct tw_kernels *k);
void tw_kernels_rows_avx2(struct tw_kernels *k);
void tw_kernels_weights_avx2(struct tw_kernels *k);

void tw_kernels_matmul_avx512(struct tw_kernels *k);
void tw_kernels_attend_avx512(struct tw_kernels *k);
void tw_kernels_rows_avx512(struct tw_kernels *k);
void tw_kernels_weights_avx512(struct tw_kernels *k);

/* vdpbf16ps: the bf16 entries only; the rest stays as avx512 left it. */
void tw_kernels_matmul_avx512bf16(struct tw_kernels *k);
void tw_kernels_attend_avx512bf16(struct tw_kernels *k);
#endif

#endif /* TW_KERNELS_LEVELS_H */
