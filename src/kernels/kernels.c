/* SPDX-License-Identifier: MIT */
/* Which levels this machine has, and the table of the chosen one. */
#include "kernels/kernels.h"

#include <string.h>

#include "base/clock.h"
#include "kernels/kernels_levels.h"

#if defined(__x86_64__)
#    include <cpuid.h>
#endif

enum level { SCALAR, AVX2, AVX512, AVX512BF16, N_LEVELS };

static const char *const level_names[N_LEVELS] = {"scalar", "avx2", "avx512", "avx512bf16"};

#if defined(__x86_64__)

/* The register state that the system saves: xmm, ymm (0x6), zmm (0xE0). */
static uint32_t saved_state(void)
{
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static enum level detect(void)
{
    uint32_t a, b, c, d;
    uint32_t features = bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & features) != features) {
        return SCALAR;
    }
    uint32_t state = saved_state();
    if ((state & 0x6) != 0x6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || (b & bit_AVX2) == 0) {
        return SCALAR;
    }
    uint32_t wide = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL | bit_AVX512CD;
    if ((state & 0xE6) != 0xE6 || (b & wide) != wide) {
        return AVX2;
    }
    if (a < 1 || !__get_cpuid_count(7, 1, &a, &b, &c, &d) || (a & bit_AVX512BF16) == 0) {
        return AVX512;
    }
    return AVX512BF16;
}

static void fill(struct tw_kernels *k, enum level level)
{
    memset(k, 0, sizeof *k);
    k->isa = level_names[level];
    tw_kernels_matmul_scalar(k);
    tw_kernels_attend_scalar(k);
    tw_kernels_rows_scalar(k);
    tw_kernels_weights_scalar(k);
    if (level >= AVX2) {
        tw_kernels_matmul_avx2(k);
        tw_kernels_attend_avx2(k);
        tw_kernels_rows_avx2(k);
        tw_kernels_weights_avx2(k);
    }
    if (level >= AVX512) {
        tw_kernels_matmul_avx512(k);
        tw_kernels_attend_avx512(k);
        tw_kernels_rows_avx512(k);
        tw_kernels_weights_avx512(k);
    }
    if (level >= AVX512BF16) {
        tw_kernels_matmul_avx512bf16(k);
        tw_kernels_attend_avx512bf16(k);
    }
}

#else

static enum level detect(void)
{
    return SCALAR;
}

static void fill(struct tw_kernels *k, enum level level)
{
    memset(k, 0, sizeof *k);
    k->isa = level_names[level];
    tw_kernels_matmul_scalar(k);
    tw_kernels_attend_scalar(k);
    tw_kernels_rows_scalar(k);
    tw_kernels_weights_scalar(k);
}

#endif

/* ---- vdpbf16ps or fma? ----
 * Zen 4 and 5 issue vdpbf16ps at the rate of fma, which makes it twice as fast; Sapphire and Emerald Rapids
 * at a quarter of that, which makes it half as fast. CPUID does not tell, so a tile that fits L1 does. */

enum { PROBE_M = 14, PROBE_K = 256, PROBE_N = 32, PROBE_ROUNDS = 7, PROBE_REPEAT = 48 };

struct probe {
    _Alignas(64) float x[PROBE_M * PROBE_K];
    _Alignas(64) float rows[PROBE_M * PROBE_K];
    _Alignas(64) uint16_t w[PROBE_K * PROBE_N];
    _Alignas(64) float y[PROBE_M * PROBE_N];
};

/* The shortest of some rounds, in ns. */
static uint64_t probe_time(const struct tw_kernels *k, struct probe *p)
{
    const uint32_t leaf_end = PROBE_K;
    uint64_t best           = UINT64_MAX;
    k->pack_bf16(p->rows, p->x, PROBE_K, PROBE_M, PROBE_K);
    for (int round = 0; round < PROBE_ROUNDS; round++) {
        uint64_t begin = tw_clock_ns();
        for (int i = 0; i < PROBE_REPEAT; i++) {
            struct tw_matmul mm = {.rows         = p->rows,
                                   .m            = PROBE_M,
                                   .k            = PROBE_K,
                                   .w            = p->w,
                                   .panel_stride = tw_panel_elements(PROBE_K),
                                   .n            = PROBE_N,
                                   .n_leaves     = 1,
                                   .leaf_end     = &leaf_end,
                                   .epilogue     = TW_EPILOGUE_STORE,
                                   .y            = p->y,
                                   .ldy          = PROBE_N};
            k->matmul_bf16(&mm, 0, 1);
        }
        uint64_t time = tw_clock_ns() - begin;
        best          = time < best ? time : best;
    }
    return best;
}

static enum level choose(enum level best)
{
    if (best != AVX512BF16) {
        return best;
    }
    struct tw_kernels dot, fma;
    struct probe probe;
    for (size_t i = 0; i < PROBE_M * PROBE_K; i++) {
        probe.x[i] = 1.0f;
    }
    for (size_t i = 0; i < PROBE_K * PROBE_N; i++) {
        probe.w[i] = 0x3F80; /* 1.0 */
    }
    fill(&dot, AVX512BF16);
    fill(&fma, AVX512);
    return probe_time(&dot, &probe) <= probe_time(&fma, &probe) ? AVX512BF16 : AVX512;
}

/* "scalar, avx2": the levels up to `best` */
static void list_levels(char *text, size_t size, enum level best)
{
    text[0] = '\0';
    for (int i = SCALAR; i <= (int)best; i++) {
        strncat(text, i == SCALAR ? "" : ", ", size - strlen(text) - 1);
        strncat(text, level_names[i], size - strlen(text) - 1);
    }
}

trawl_status tw_kernels_init(struct tw_kernels *k, const char *isa, struct trawl_error *err)
{
    const enum level best = detect();
    if (isa == NULL || strcmp(isa, "auto") == 0) {
        fill(k, choose(best));
        return TRAWL_OK;
    }
    for (int i = SCALAR; i <= (int)best; i++) {
        if (strcmp(isa, level_names[i]) == 0) {
            fill(k, (enum level)i);
            return TRAWL_OK;
        }
    }
    char has[64];
    list_levels(has, sizeof has, best);
    return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "instruction set \"%s\": this machine has auto, %s", isa, has);
}
