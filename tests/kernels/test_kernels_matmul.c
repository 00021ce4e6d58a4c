/* SPDX-License-Identifier: MIT */
/* Matmul: every level against the scalar twin bit for bit, and the scalar twin against a double loop. */
#include "kernels/kernels_check.h"

enum kind { F32_F32, F32_BF16, BF16, KINDS };

static const char *const kind_names[KINDS] = {"matmul_f32_f32", "matmul_f32_bf16", "matmul_bf16"};

struct problem {
    enum kind kind;
    size_t m, k, n, ldy, before, after; /* inputs of the weight before and after those of the call */
    int n_leaves, n_threads;
    size_t scratch; /* bytes of a thread */
    bool compress;  /* where the level takes compressed panels */
    uint32_t leaf_end[TW_MAX_LEAVES];
    enum tw_epilogue epilogue;
    bool has_bias;
    struct check_buffer x, w, w2, bias, y;
};

static struct check_buffer random_weight(struct check_random *r, const struct problem *p,
                                         enum check_values mode)
{
    const size_t k         = p->before + p->k + p->after;
    const enum tw_dtype to = p->kind == F32_F32 ? TW_DTYPE_F32 : TW_DTYPE_BF16;
    struct check_buffer w  = check_floats(r, p->n * k, mode);
    struct check_buffer b =
        check_alloc((p->n + TW_PANEL - 1) / TW_PANEL * tw_panel_elements(k) * tw_dtype_bytes(to));
    tw_pack_weight(b.p, to, w.p, TW_DTYPE_F32, k, p->n, k);
    check_free(&w);
    return b;
}

/* Leaves of random lengths, some empty, some longer than what is left for all. */
static void random_leaves(struct check_random *r, struct problem *p)
{
    uint32_t end = 0;
    for (int i = 0; i < p->n_leaves; i++) {
        end += check_next(r) % 3 == 0 ? 0 : 2 * (uint32_t)check_size(r, 0, p->k / (size_t)p->n_leaves);
        p->leaf_end[i] = end < p->k ? end : (uint32_t)(p->k & ~(size_t)1);
    }
    p->leaf_end[p->n_leaves - 1] = (uint32_t)p->k;
}

static void fill_problem(struct check_random *r, struct problem *p)
{
    enum check_values mode = (enum check_values)(check_next(r) % CHECK_VALUES);
    p->kind                = (enum kind)(check_next(r) % KINDS);
    p->ldy                 = p->n + check_next(r) % 5;
    p->before              = check_next(r) % 3 == 0 ? 2 * check_size(r, 1, 20) : 0;
    p->after               = p->k % 2 == 0 && check_next(r) % 3 == 0 ? check_size(r, 1, 9) : 0;
    p->n_threads           = (int)check_size(r, 1, 3);
    p->epilogue            = (enum tw_epilogue)(check_next(r) % 3);
    p->has_bias            = p->epilogue != TW_EPILOGUE_SWIGLU && check_next(r) % 2 != 0;
    random_leaves(r, p);
    p->x    = check_floats(r, p->m * p->k, mode);
    p->w    = random_weight(r, p, mode);
    p->w2   = random_weight(r, p, mode);
    p->bias = check_floats(r, p->n, mode);
    p->y    = check_floats(r, (p->m - 1) * p->ldy + p->n, mode);
}

static struct problem random_problem(struct check_random *r)
{
    struct problem p = {.n_leaves = 1 << check_next(r) % 6};
    p.m = check_next(r) % 40 == 0 ? check_size(r, 500, 700) : check_size(r, 1, 40); /* some of many chunks */
    p.k = check_size(r, 0, check_next(r) % 4 == 0 ? 400 : 80); /* 0: a rank that owns none */
    p.n = check_size(r, 1, 150);
    fill_problem(r, &p);
    return p;
}

/* So many rows and inputs that they are taken piece by piece. */
static struct problem random_long_problem(struct check_random *r)
{
    static const size_t scratches[] = {0, 4096, 64 << 10, TW_MATMUL_SCRATCH};
    struct problem p                = {.n_leaves = 1 << check_next(r) % 6};
    p.n_leaves                      = check_next(r) % 2 == 0 ? 1 : p.n_leaves;
    p.m                             = check_size(r, 100, 250);
    p.k                             = check_size(r, 1281, 4500);
    p.n                             = check_size(r, 1, 90);
    p.scratch                       = scratches[check_next(r) % 4];
    fill_problem(r, &p);
    return p;
}

static void free_problem(struct problem *p)
{
    check_free(&p->x);
    check_free(&p->w);
    check_free(&p->w2);
    check_free(&p->bias);
    check_free(&p->y);
}

struct call {
    tw_matmul_fn *fn;
    struct tw_matmul *mm;
    int thread, n_threads;
};

static void *call_thread(void *arg)
{
    struct call *c = arg;
    tw_float_mode_compute();
    c->fn(c->mm, c->thread, c->n_threads);
    return NULL;
}

static void run_matmul(tw_matmul_fn *fn, struct tw_matmul *mm, int n_threads)
{
    pthread_t threads[4];
    struct call calls[4];
    for (int t = 1; t < n_threads; t++) {
        calls[t] = (struct call){fn, mm, t, n_threads};
        assert_int_equal(pthread_create(&threads[t], NULL, call_thread, &calls[t]), 0);
    }
    fn(mm, 0, n_threads);
    for (int t = 1; t < n_threads; t++) {
        (void)pthread_join(threads[t], NULL);
    }
}

static tw_matmul_fn *matmul_of(const struct tw_kernels *k, enum kind kind)
{
    return kind == F32_F32 ? k->matmul_f32_f32 : kind == F32_BF16 ? k->matmul_f32_bf16 : k->matmul_bf16;
}

static struct check_buffer pack(const struct tw_kernels *k, enum kind kind, const float *x, size_t m,
                                size_t n_inputs)
{
    struct check_buffer b = check_alloc(tw_packed_rows_bytes(m, n_inputs));
    for (size_t i = 0; i < tw_row_blocks(m, k->tile_rows); i++) {
        struct tw_row_block block = tw_row_block(m, k->tile_rows, i);
        (kind == BF16 ? k->pack_bf16 : k->pack_f32)((char *)b.p + 4 * block.begin * tw_packed_k(n_inputs),
                                                    x + block.begin * n_inputs, n_inputs, block.rows,
                                                    n_inputs);
    }
    return b;
}

/* What packed rows hold, by a matmul with the identity. */
static void unpack(const struct tw_kernels *k, enum kind kind, const void *rows, size_t m, size_t n, float *y)
{
    const enum tw_dtype to  = kind == F32_F32 ? TW_DTYPE_F32 : TW_DTYPE_BF16;
    const uint32_t leaf_end = (uint32_t)n;
    float *identity         = calloc(n * n, sizeof *identity);
    for (size_t i = 0; i < n; i++) {
        identity[i * n + i] = 1.0f;
    }
    void *w = malloc((n + TW_PANEL - 1) / TW_PANEL * tw_panel_elements(n) * 4);
    tw_pack_weight(w, to, identity, TW_DTYPE_F32, n, n, n);
    struct tw_matmul mm = {.rows         = rows,
                           .m            = m,
                           .k            = n,
                           .w            = w,
                           .panel_stride = tw_panel_elements(n),
                           .n            = n,
                           .n_leaves     = 1,
                           .leaf_end     = &leaf_end,
                           .epilogue     = TW_EPILOGUE_STORE,
                           .y            = y,
                           .ldy          = n};
    matmul_of(k, kind)(&mm, 0, 1);
    free(w);
    free(identity);
}

/* A weight with its panels compressed. */
struct compressed {
    struct tw_codes codes; /* what it points to is the next four */
    uint8_t *upper, *plain;
    uint32_t *first, *group;
    struct check_buffer panels;
};

static struct compressed compress(const struct check_buffer *w, size_t n, size_t k)
{
    const size_t panels = (n + TW_PANEL - 1) / TW_PANEL, groups = k / TW_GROUP_INPUTS;
    struct compressed c = {.upper  = malloc(panels * TW_UPPER_BYTES),
                           .plain  = aligned_alloc(64, (panels * groups + 1) * TW_PLAIN_BYTES),
                           .first  = malloc((panels + 1) * sizeof *c.first),
                           .group  = malloc((panels * groups + 1) * sizeof *c.group),
                           .panels = check_alloc(panels * tw_compressed_bytes(k))};
    c.first[0]          = 0;
    for (size_t p = 0; p < panels; p++) {
        const uint16_t *panel = (const uint16_t *)w->p + p * tw_panel_elements(k);
        const uint32_t first  = c.first[p];
        c.first[p + 1] =
            first + (uint32_t)tw_compress_panel((uint8_t *)c.panels.p + p * tw_compressed_bytes(k), panel, k,
                                                c.upper + p * TW_UPPER_BYTES, c.group + first);
        for (uint32_t i = first; i < c.first[p + 1]; i++) {
            memcpy(c.plain + (size_t)i * TW_PLAIN_BYTES, panel + c.group[i] * (TW_PLAIN_BYTES / 2),
                   TW_PLAIN_BYTES);
        }
    }
    c.codes = (struct tw_codes){.upper = c.upper, .first = c.first, .group = c.group, .plain = c.plain};
    return c;
}

static void compressed_free(struct compressed *c)
{
    free(c->upper);
    free(c->plain);
    free(c->first);
    free(c->group);
    check_free(&c->panels);
}

/* The result of a problem at one level; for SwiGLU [m, n] as the next matmul sees it. */
static float *solve(const struct tw_kernels *k, const struct problem *p, int n_threads)
{
    const size_t size        = (p->m - 1) * p->ldy + p->n;
    const size_t inputs      = p->before + p->k + p->after;
    const size_t skip        = p->before * TW_PANEL * (p->kind == F32_F32 ? 4 : 2);
    struct check_buffer rows = pack(k, p->kind, p->x.p, p->m, p->k);
    struct check_buffer y    = check_alloc(size * sizeof(float));
    struct check_buffer z    = check_alloc(tw_packed_rows_bytes(p->m, p->n));
    char *scratch            = aligned_alloc(64, p->scratch * (size_t)n_threads + 64);
    memset(scratch, 0xFF, p->scratch * (size_t)n_threads);
    memcpy(y.p, p->y.p, size * sizeof(float));
    struct tw_matmul mm = {.rows          = rows.p,
                           .m             = p->m,
                           .k             = p->k,
                           .w             = (char *)p->w.p + skip,
                           .w2            = (char *)p->w2.p + skip,
                           .panel_stride  = tw_panel_elements(inputs),
                           .n             = p->n,
                           .n_leaves      = p->n_leaves,
                           .leaf_end      = p->leaf_end,
                           .bias          = p->has_bias ? p->bias.p : NULL,
                           .epilogue      = p->epilogue,
                           .y             = y.p,
                           .ldy           = p->ldy,
                           .packed_out    = z.p,
                           .scratch       = p->scratch == 0 ? NULL : scratch,
                           .scratch_bytes = p->scratch};
    struct compressed w = {0}, w2 = {0};
    if (p->compress && k->compressed) {
        w             = compress(&p->w, p->n, inputs);
        w2            = compress(&p->w2, p->n, inputs);
        mm.w          = w.panels.p;
        mm.w2         = w2.panels.p;
        mm.codes      = w.codes;
        mm.codes2     = w2.codes;
        mm.first_pair = p->before / 2;
    }
    run_matmul(matmul_of(k, p->kind), &mm, n_threads);
    if (mm.codes.upper != NULL) {
        compressed_free(&w);
        compressed_free(&w2);
    }
    free(scratch);
    float *out = malloc(p->m * p->ldy * sizeof *out);
    if (p->epilogue == TW_EPILOGUE_SWIGLU) {
        unpack(k, p->kind, z.p, p->m, p->n, out);
    } else {
        memcpy(out, y.p, size * sizeof(float));
    }
    check_free(&rows);
    check_free(&y);
    check_free(&z);
    return out;
}

static void check_levels_agree(struct problem *p, const struct tw_kernels *k, int n_levels, int i)
{
    float *want       = solve(&k[0], p, 1);
    const size_t size = p->epilogue == TW_EPILOGUE_SWIGLU ? p->m * p->n : (p->m - 1) * p->ldy + p->n;
    for (int level = 0; level < n_levels; level++) {
        float *got = solve(&k[level], p, p->n_threads);
        assert_floats_same(
            want, got, size, "case %d, %s, %s: m %zu k %zu n %zu leaves %d epilogue %d scratch %zu", i,
            k[level].isa, kind_names[p->kind], p->m, p->k, p->n, p->n_leaves, (int)p->epilogue, p->scratch);
        free(got);
    }
    free(want);
    free_problem(p);
}

static void every_level_gives_the_scalar_bits(void **state)
{
    (void)state;
    struct tw_kernels k[4];
    const int n_levels    = check_levels(k);
    struct check_random r = check_seed("matmul");
    for (int i = 0; i < 600; i++) {
        struct problem p = random_problem(&r);
        check_levels_agree(&p, k, n_levels, i);
    }
}

static void many_rows_by_many_inputs_too(void **state)
{
    (void)state;
    struct tw_kernels k[4];
    const int n_levels    = check_levels(k);
    struct check_random r = check_seed("long matmul");
    for (int i = 0; i < 30; i++) {
        struct problem p = random_long_problem(&r);
        check_levels_agree(&p, k, n_levels, i);
    }
}

/* Compressed panels give what plain ones give, few rows or many, and wherever pieces begin. */
static void compressed_panels_give_the_same_bits(void **state)
{
    (void)state;
    struct tw_kernels k[4];
    const int n_levels    = check_levels(k);
    struct check_random r = check_seed("compressed");
    for (int i = 0; i < 600; i++) {
        struct problem p        = i % 10 == 9 ? random_long_problem(&r) : random_problem(&r);
        enum check_values mode  = (enum check_values)(check_next(&r) % CHECK_VALUES);
        const bool whole_groups = check_next(&r) % 2 == 0; /* of leaves too */
        free_problem(&p);
        p.kind     = check_next(&r) % 2 == 0 ? BF16 : F32_BF16;
        p.compress = true;
        p.m        = check_next(&r) % 2 == 0 ? check_size(&r, 1, 14) : p.m;
        p.k        = whole_groups ? (p.k + 7) / 8 * 8 : p.k / 2 * 2;
        p.before   = whole_groups ? p.before / 8 * 8 : p.before;
        p.after    = (8 - (p.before + p.k) % 8) % 8 + 8 * (check_next(&r) % 2);
        p.after    = p.before + p.k + p.after == 0 ? 8 : p.after;
        p.n_leaves = check_next(&r) % 3 == 0 ? 1 : p.n_leaves;
        random_leaves(&r, &p);
        for (int leaf = 0; whole_groups && leaf + 1 < p.n_leaves; leaf++) {
            p.leaf_end[leaf] = p.leaf_end[leaf] / 8 * 8;
        }
        p.scratch = tw_matmul_scratch_bytes(p.before + p.k + p.after, true);
        p.x       = check_floats(&r, p.m * p.k, mode);
        p.w       = random_weight(&r, &p, mode);
        p.w2      = random_weight(&r, &p, mode);
        p.bias    = check_floats(&r, p.n, mode);
        p.y       = check_floats(&r, (p.m - 1) * p.ldy + p.n, mode);
        check_levels_agree(&p, k, n_levels, i);
    }
}

/* What the scalar code expands is the panel, but for the groups that are listed; and those are the ones with
 * exponents further apart than the window. */
static void a_compressed_panel_loses_nothing(void **state)
{
    (void)state;
    struct check_random r = check_seed("panel");
    for (int i = 0; i < 300; i++) {
        const size_t groups = check_size(&r, 1, 40), line = 128;
        uint16_t *panel = malloc(groups * line * 2), *back = malloc(groups * line * 2);
        uint8_t *to          = malloc(groups * TW_GROUP_BYTES), upper[TW_UPPER_BYTES];
        uint32_t *plain      = malloc(groups * sizeof *plain);
        const unsigned width = (unsigned)check_size(&r, 1, 40),
                       low   = (unsigned)check_size(&r, 0, 255 - width);
        for (size_t j = 0; j < groups * line; j++) {
            unsigned e = check_next(&r) % 50 != 0 ? low + (unsigned)(check_next(&r) % width)
                                                  : (unsigned)(check_next(&r) % 2 * (check_next(&r) % 256));
            panel[j]   = (uint16_t)((check_next(&r) & 0x807F) | e << 7);
        }
        size_t n = tw_compress_panel(to, panel, groups * TW_GROUP_INPUTS, upper, plain), next = 0;
        tw_expand_groups(back, to, 0, groups, upper);
        for (size_t g = 0; g < groups; g++) {
            bool fits = true;
            for (size_t j = 0; j < line; j++) {
                fits = fits && memchr(upper, panel[g * line + j] >> 8, sizeof upper) != NULL;
            }
            if (next < n && plain[next] == g) {
                assert_false(fits);
                next++;
            } else {
                assert_true(fits);
                assert_memory_equal(panel + g * line, back + g * line, line * 2);
            }
        }
        assert_int_equal(next, n);
        free(panel);
        free(back);
        free(to);
        free(plain);
    }
}

/* Rows do not know their neighbours: any batch gives the bits of a batch of one. */
static void a_row_is_the_same_in_any_batch(void **state)
{
    (void)state;
    struct tw_kernels k[4];
    const int n_levels    = check_levels(k);
    struct check_random r = check_seed("batch");
    for (int i = 0; i < 40; i++) {
        struct problem p = random_problem(&r);
        p.epilogue       = TW_EPILOGUE_STORE;
        p.has_bias       = false;
        for (int level = 1; level < n_levels; level++) {
            float *all = solve(&k[level], &p, p.n_threads);
            for (size_t row = 0; row < p.m; row += 1 + p.m / 4) {
                struct problem one = p;
                one.m              = 1;
                one.x.p            = (float *)p.x.p + row * p.k;
                float *alone       = solve(&k[level], &one, 1);
                assert_floats_same(alone, all + row * p.ldy, p.n, "case %d, %s, row %zu", i, k[level].isa,
                                   row);
                free(alone);
            }
            free(all);
        }
        free_problem(&p);
    }
}

/* The scalar twin against the plain sum in f64. */
static void scalar_agrees_with_a_double_loop(void **state)
{
    (void)state;
    struct tw_kernels k[4];
    struct check_random r = check_seed("double");
    (void)check_levels(k);
    for (int i = 0; i < 20; i++) {
        const size_t m = check_size(&r, 1, 9), n = check_size(&r, 1, 40), inputs = check_size(&r, 1, 300);
        const uint32_t leaf_end[4] = {(uint32_t)(inputs / 4 * 2), (uint32_t)(inputs / 4 * 2),
                                      (uint32_t)(inputs & ~(size_t)1), (uint32_t)inputs};
        struct check_buffer x      = check_floats(&r, m * inputs, CHECK_PLAIN),
                            w      = check_floats(&r, n * inputs, CHECK_PLAIN);
        struct check_buffer rows   = pack(&k[0], F32_F32, x.p, m, inputs);
        void *panels               = malloc((n + TW_PANEL - 1) / TW_PANEL * tw_panel_elements(inputs) * 4);
        float *y                   = malloc(m * n * sizeof *y);
        tw_pack_weight(panels, TW_DTYPE_F32, w.p, TW_DTYPE_F32, inputs, n, inputs);
        struct tw_matmul mm = {.rows         = rows.p,
                               .m            = m,
                               .k            = inputs,
                               .w            = panels,
                               .panel_stride = tw_panel_elements(inputs),
                               .n            = n,
                               .n_leaves     = 4,
                               .leaf_end     = leaf_end,
                               .epilogue     = TW_EPILOGUE_STORE,
                               .y            = y,
                               .ldy          = n};
        k[0].matmul_f32_f32(&mm, 0, 1);
        for (size_t row = 0; row < m; row++) {
            for (size_t c = 0; c < n; c++) {
                double sum = 0.0, size = 0.0;
                for (size_t j = 0; j < inputs; j++) {
                    double product =
                        (double)((float *)x.p)[row * inputs + j] * (double)((float *)w.p)[c * inputs + j];
                    sum += product;
                    size += fabs(product);
                }
                double error = fabs(sum - (double)y[row * n + c]);
                if (!(error <= (double)inputs * 0x1p-24 * size)) {
                    fail_msg("row %zu column %zu: %.9g, not %.9g", row, c, (double)y[row * n + c], sum);
                }
            }
        }
        free(y);
        free(panels);
        check_free(&rows);
        check_free(&x);
        check_free(&w);
    }
}

/* bf16 rounding of rows and weights: exactly tw_bf16_from_f32. */
static void bf16_rows_are_rounded_to_nearest_even(void **state)
{
    (void)state;
    struct tw_kernels k[4];
    const int n_levels    = check_levels(k);
    struct check_random r = check_seed("rounding");
    for (int i = 0; i < 30; i++) {
        const size_t m = check_size(&r, 1, 20), n = check_size(&r, 1, 70);
        struct check_buffer x = check_alloc(m * n * sizeof(float));
        float *want = malloc(m * n * sizeof *want), *got = malloc(m * n * sizeof *got);
        for (size_t j = 0; j < m * n; j++) {
            uint32_t bits = (uint32_t)check_next(&r);
            bits          = (bits >> 23 & 0xFF) >= 0xFE ? bits & 0xBFFFFFFF : bits; /* stays finite */
            if (check_next(&r) % 3 == 0) {
                bits = (bits & 0xFFFF0000) | 0x8000; /* ties */
            }
            ((float *)x.p)[j] = tw_f32_from_bits(bits);
            /* the matmul that shows the rounded value flushes it and forgets the sign of zero */
            want[j] = 0.0f + tw_bf16_to_f32(tw_bf16_from_f32(tw_f32_from_bits(bits)));
        }
        for (int level = 0; level < n_levels; level++) {
            struct check_buffer rows = pack(&k[level], BF16, x.p, m, n);
            unpack(&k[level], BF16, rows.p, m, n, got);
            assert_floats_same(want, got, m * n, "%s, m %zu n %zu", k[level].isa, m, n);
            check_free(&rows);
        }
        free(want);
        free(got);
        check_free(&x);
    }
}

/* Element by element as kernels.h describes the layout, from every type. */
static void weights_are_packed_by_panel_pair_column(void **state)
{
    (void)state;
    struct check_random r = check_seed("weights");
    for (int i = 0; i < 60; i++) {
        const enum tw_dtype from = (enum tw_dtype[]){TW_DTYPE_F32, TW_DTYPE_F16, TW_DTYPE_BF16}[i % 3];
        const enum tw_dtype to   = i / 3 % 2 == 0 ? TW_DTYPE_BF16 : TW_DTYPE_F32;
        const size_t n = check_size(&r, 1, 50), k = check_size(&r, 1, 50), ld = k + check_next(&r) % 3;
        const size_t elements = (n + TW_PANEL - 1) / TW_PANEL * tw_panel_elements(k);
        struct check_buffer w = check_alloc(((n - 1) * ld + k) * tw_dtype_bytes(from));
        struct check_buffer p = check_alloc(elements * tw_dtype_bytes(to));
        for (size_t j = 0; j < (n - 1) * ld + k; j++) {
            float x = check_float(&r, CHECK_PLAIN);
            if (from == TW_DTYPE_F32) {
                ((float *)w.p)[j] = x;
            } else {
                ((uint16_t *)w.p)[j] = from == TW_DTYPE_F16 ? tw_f16_from_f32(x) : tw_bf16_from_f32(x);
            }
        }
        tw_pack_weight(p.p, to, w.p, from, ld, n, k);
        for (size_t at = 0; at < elements; at++) {
            const size_t column = at / tw_panel_elements(k) * TW_PANEL + at / 2 % TW_PANEL;
            const size_t input  = at % tw_panel_elements(k) / (2 * TW_PANEL) * 2 + at % 2;
            float want          = 0.0f;
            if (column < n && input < k) {
                const size_t j = column * ld + input;
                want           = from == TW_DTYPE_F32   ? ((float *)w.p)[j]
                                 : from == TW_DTYPE_F16 ? tw_f16_to_f32(((uint16_t *)w.p)[j])
                                                        : tw_bf16_to_f32(((uint16_t *)w.p)[j]);
            }
            if (to == TW_DTYPE_BF16) {
                assert_int_equal(((uint16_t *)p.p)[at], tw_bf16_from_f32(want));
            } else {
                assert_int_equal(tw_f32_bits(((float *)p.p)[at]), tw_f32_bits(want));
            }
        }
        check_free(&w);
        check_free(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_level_gives_the_scalar_bits),
        cmocka_unit_test(many_rows_by_many_inputs_too),
        cmocka_unit_test(compressed_panels_give_the_same_bits),
        cmocka_unit_test(a_compressed_panel_loses_nothing),
        cmocka_unit_test(a_row_is_the_same_in_any_batch),
        cmocka_unit_test(scalar_agrees_with_a_double_loop),
        cmocka_unit_test(bf16_rows_are_rounded_to_nearest_even),
        cmocka_unit_test(weights_are_packed_by_panel_pair_column),
    };
    return cmocka_run_group_tests(tests, check_mode, NULL);
}
