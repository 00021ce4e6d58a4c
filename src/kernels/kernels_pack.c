/* SPDX-License-Identifier: MIT */
/* Packing of weights into panels. Once per weight, at load time: plain C runs at the speed of memory. */
#include <string.h>

#include "kernels/kernels.h"

/* Bits of element i as the target type has them. */
static uint16_t to_bf16(const void *x, enum tw_dtype from, size_t i)
{
    if (from == TW_DTYPE_BF16) {
        return ((const uint16_t *)x)[i];
    }
    return tw_bf16_from_f32(from == TW_DTYPE_F16 ? tw_f16_to_f32(((const uint16_t *)x)[i])
                                                 : ((const float *)x)[i]);
}

static float to_f32(const void *x, enum tw_dtype from, size_t i)
{
    if (from == TW_DTYPE_F32) {
        return ((const float *)x)[i];
    }
    uint16_t h = ((const uint16_t *)x)[i];
    return from == TW_DTYPE_F16 ? tw_f16_to_f32(h) : tw_bf16_to_f32(h);
}

/* A whole panel of bf16 from bf16: pairs move as one 32-bit word. */
static void pack_panel_words(uint32_t *panel, const uint16_t *w, size_t ld, size_t k)
{
    for (size_t p = 0; p < k / 2; p++) {
        for (size_t c = 0; c < TW_PANEL; c++) {
            memcpy(panel + p * TW_PANEL + c, w + c * ld + 2 * p, sizeof *panel);
        }
    }
    for (size_t c = 0; k % 2 != 0 && c < TW_PANEL; c++) {
        uint16_t last[2] = {w[c * ld + k - 1], 0};
        memcpy(panel + k / 2 * TW_PANEL + c, last, sizeof last);
    }
}

static void pack_panel_bf16(uint16_t *panel, const void *w, enum tw_dtype from, size_t ld, size_t columns,
                            size_t k)
{
    memset(panel, 0, tw_panel_elements(k) * sizeof *panel);
    for (size_t c = 0; c < columns; c++) {
        for (size_t i = 0; i < k; i++) {
            panel[i / 2 * (2 * TW_PANEL) + 2 * c + i % 2] = to_bf16(w, from, c * ld + i);
        }
    }
}

static void pack_panel_f32(float *panel, const void *w, enum tw_dtype from, size_t ld, size_t columns,
                           size_t k)
{
    memset(panel, 0, tw_panel_elements(k) * sizeof *panel);
    for (size_t c = 0; c < columns; c++) {
        for (size_t i = 0; i < k; i++) {
            panel[i / 2 * (2 * TW_PANEL) + 2 * c + i % 2] = to_f32(w, from, c * ld + i);
        }
    }
}

void tw_pack_weight(void *panels, enum tw_dtype to, const void *w, enum tw_dtype from, size_t ld, size_t n,
                    size_t k)
{
    size_t from_bytes = from == TW_DTYPE_F32 ? 4 : 2;
    for (size_t begin = 0; begin < n; begin += TW_PANEL) {
        size_t columns     = n - begin < TW_PANEL ? n - begin : TW_PANEL;
        size_t at          = begin / TW_PANEL * tw_panel_elements(k);
        const char *source = (const char *)w + begin * ld * from_bytes;
        if (to == TW_DTYPE_F32) {
            pack_panel_f32((float *)panels + at, source, from, ld, columns, k);
        } else if (from == TW_DTYPE_BF16 && columns == TW_PANEL) {
            pack_panel_words((uint32_t *)panels + at / 2, (const uint16_t *)(const void *)source, ld, k);
        } else {
            pack_panel_bf16((uint16_t *)panels + at, source, from, ld, columns, k);
        }
    }
}
