/* SPDX-License-Identifier: MIT */
/* Element types and scalar conversions; no compute. */
#ifndef TW_TENSOR_DTYPE_H
#define TW_TENSOR_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum tw_dtype {
    TW_DTYPE_F32 = 0,
    TW_DTYPE_F16,
    TW_DTYPE_BF16,
    TW_DTYPE_F64,
    TW_DTYPE_I8,
    TW_DTYPE_U8,
    TW_DTYPE_I16,
    TW_DTYPE_U16,
    TW_DTYPE_I32,
    TW_DTYPE_U32,
    TW_DTYPE_I64,
    TW_DTYPE_U64,
    TW_DTYPE_BOOL
};

size_t tw_dtype_bytes(enum tw_dtype dtype);
const char *tw_dtype_name(enum tw_dtype dtype); /* safetensors' spelling: "F32", "BF16", ... */
/* False when `name` (n bytes) is no safetensors dtype that is listed above. */
bool tw_dtype_from_name(const char *name, size_t n, enum tw_dtype *out);

static inline float tw_f32_from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t tw_f32_bits(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static inline float tw_bf16_to_f32(uint16_t h)
{
    return tw_f32_from_bits((uint32_t)h << 16);
}

/* Round to nearest, ties to even; a NaN stays a (quiet) NaN. Denormals are rounded like any other
 * number here: flushing them is the compute threads' floating-point mode, see docs/numerics.md. */
static inline uint16_t tw_bf16_from_f32(float f)
{
    uint32_t u = tw_f32_bits(f);
    if ((u & 0x7FFFFFFFu) > 0x7F800000u) {
        return (uint16_t)(u >> 16 | 0x40u);
    }
    return (uint16_t)((u + 0x7FFFu + (u >> 16 & 1u)) >> 16);
}

float tw_f16_to_f32(uint16_t h);
uint16_t tw_f16_from_f32(float f); /* nearest even, overflow to infinity */

#endif /* TW_TENSOR_DTYPE_H */
