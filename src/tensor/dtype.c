/* SPDX-License-Identifier: MIT */
#include "tensor/dtype.h"

static const struct {
    const char *name;
    size_t bytes;
} table[] = {
    [TW_DTYPE_F32] = {"F32", 4},   [TW_DTYPE_F16] = {"F16", 2}, [TW_DTYPE_BF16] = {"BF16", 2},
    [TW_DTYPE_F64] = {"F64", 8},   [TW_DTYPE_I8] = {"I8", 1},   [TW_DTYPE_U8] = {"U8", 1},
    [TW_DTYPE_I16] = {"I16", 2},   [TW_DTYPE_U16] = {"U16", 2}, [TW_DTYPE_I32] = {"I32", 4},
    [TW_DTYPE_U32] = {"U32", 4},   [TW_DTYPE_I64] = {"I64", 8}, [TW_DTYPE_U64] = {"U64", 8},
    [TW_DTYPE_BOOL] = {"BOOL", 1},
};

size_t tw_dtype_bytes(enum tw_dtype dtype)
{
    return table[dtype].bytes;
}

const char *tw_dtype_name(enum tw_dtype dtype)
{
    return table[dtype].name;
}

bool tw_dtype_from_name(const char *name, size_t n, enum tw_dtype *out)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strlen(table[i].name) == n && memcmp(table[i].name, name, n) == 0) {
            *out = (enum tw_dtype)i;
            return true;
        }
    }
    return false;
}

float tw_f16_to_f32(uint16_t h)
{
    uint32_t sign     = (uint32_t)(h & 0x8000u) << 16;
    uint32_t exponent = h >> 10 & 0x1Fu;
    uint32_t mantissa = h & 0x3FFu;
    if (exponent == 0x1F) {
        return tw_f32_from_bits(sign | 0x7F800000u | mantissa << 13);
    }
    if (exponent == 0) {
        if (mantissa == 0) {
            return tw_f32_from_bits(sign);
        }
        exponent = 113; /* a half denormal is a normal float: shift its leading one into place */
        while ((mantissa & 0x400u) == 0) {
            mantissa <<= 1;
            exponent--;
        }
        return tw_f32_from_bits(sign | exponent << 23 | (mantissa & 0x3FFu) << 13);
    }
    return tw_f32_from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

uint16_t tw_f16_from_f32(float f)
{
    uint32_t u    = tw_f32_bits(f);
    uint32_t sign = u >> 16 & 0x8000u;
    uint32_t a    = u & 0x7FFFFFFFu;
    if (a > 0x7F800000u) {
        return (uint16_t)(sign | 0x7E00u | (a >> 13 & 0x3FFu));
    }
    if (a >= 0x477FF000u) { /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7C00u);
    }
    if (a < 0x38800000u) { /* below 2^-14: a half denormal or zero */
        if (a < 0x33000000u) {
            return (uint16_t)sign;
        }
        uint32_t shift    = 126 - (a >> 23);
        uint32_t mantissa = (a & 0x7FFFFFu) | 0x800000u;
        uint32_t half     = mantissa >> shift;
        uint32_t rest     = mantissa & ((1u << shift) - 1);
        uint32_t middle   = 1u << (shift - 1);
        if (rest > middle || (rest == middle && (half & 1u))) {
            half++;
        }
        return (uint16_t)(sign | half);
    }
    uint32_t r = a + 0xFFFu + (a >> 13 & 1u);
    return (uint16_t)(sign | ((r >> 13) - (112u << 10)));
}
