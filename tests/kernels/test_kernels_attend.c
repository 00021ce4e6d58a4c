/* SPDX-License-Identifier: MIT */
/* Attention: every level against the scalar twin bit for bit; the same bits however rows and spans are
 * cut, and whatever lies at masked positions; the scalar twin against softmax in f64. */
#include "kernels/kernels_check.h"

/* One sequence with its pages, at one level. Pages begin as NaN: whatever is read of an unwritten position
 * shows. */
struct cache {
    bool bf16;
    size_t head_dim, n_blocks, block_bytes;
    const void *k[64], *v[64];
    char *pages;
};

static struct cache new_cache(bool bf16, size_t head_dim, size_t positions)
{
    struct cache c = {
        .bf16 = bf16, .head_dim = head_dim, .n_blocks = (positions + TW_KV_BLOCK - 1) / TW_KV_BLOCK};
    c.block_bytes = tw_kv_block_elements(head_dim) * (bf16 ? 2 : 4);
    assert_true(c.n_blocks <= 64);
    c.pages = aligned_alloc(64, 2 * c.n_blocks * ((c.block_bytes + 63) & ~(size_t)63));
    memset(c.pages, 0xFF, 2 * c.n_blocks * c.block_bytes);
    for (size_t b = 0; b < c.n_blocks; b++) {
        c.k[b] = c.pages + 2 * b * c.block_bytes;
        c.v[b] = c.pages + (2 * b + 1) * c.block_bytes;
    }
    return c;
}

static void store(const struct tw_kernels *k, struct cache *c, size_t begin, size_t end, const float *keys,
                  const float *values)
{
    for (size_t at = begin; at < end; at++) {
        const size_t b = at / TW_KV_BLOCK;
        (c->bf16 ? k->kv_store_bf16 : k->kv_store_f32)(
            c->pages + 2 * b * c->block_bytes, c->pages + (2 * b + 1) * c->block_bytes, at % TW_KV_BLOCK,
            keys + at * c->head_dim, values + at * c->head_dim, c->head_dim);
    }
}

struct problem {
    bool bf16;
    size_t head_dim, n_heads, n_rows, position;
    struct check_buffer q, keys, values; /* queries of n_rows rows; keys and values of every position */
    uint64_t *visible;                   /* [n_rows][n_blocks]; NULL: causal */
    uint32_t blocks[64];
    size_t n_blocks;
};

static size_t positions_of(const struct problem *p)
{
    return p->position + p->n_rows;
}

static bool row_sees(const struct problem *p, size_t row, size_t key)
{
    for (size_t j = 0; p->visible != NULL && j < p->n_blocks; j++) {
        if (p->blocks[j] == key / TW_KV_BLOCK) {
            return (p->visible[row * p->n_blocks + j] >> key % TW_KV_BLOCK & 1) != 0;
        }
    }
    return p->visible == NULL && key <= p->position + row;
}

static struct problem random_problem(struct check_random *r, size_t most_positions, size_t most_rows)
{
    static const size_t dims[]  = {8, 16, 32, 64, 80, 96, 128, 256, 2, 22, 40};
    static const size_t heads[] = {1, 2, 3, 4, 5, 6, 7, 8, 14, 16};
    enum check_values mode      = (enum check_values)(check_next(r) % CHECK_VALUES);
    struct problem p            = {.bf16 = check_next(r) % 2 != 0};
    p.head_dim                  = dims[check_next(r) % 11];
    p.n_heads                   = heads[check_next(r) % 10];
    p.n_rows                    = check_size(r, 1, most_rows);
    p.position                  = check_size(r, 0, most_positions - p.n_rows);
    if (mode == CHECK_TINY) {
        mode = CHECK_PLAIN;
    }
    p.q      = check_floats(r, p.n_rows * p.n_heads * p.head_dim, mode);
    p.keys   = check_floats(r, (p.position + p.n_rows) * p.head_dim, mode);
    p.values = check_floats(r, (p.position + p.n_rows) * p.head_dim, mode);
    if (check_next(r) % 4 == 0) { /* outputs near the smallest normal number */
        for (size_t i = 0; i < (p.position + p.n_rows) * p.head_dim; i++) {
            ((float *)p.values.p)[i] *= 0x1p-125f;
        }
    }
    return p;
}

static void free_problem(struct problem *p)
{
    check_free(&p->q);
    check_free(&p->keys);
    check_free(&p->values);
    free(p->visible);
}

enum mask_kind { MASK_CAUSAL, MASK_DENSE, MASK_SPARSE, MASK_WINDOW, MASK_PREFIX, MASK_KINDS };

/* Whether a row sees a key, by kind; of any kind but the first rows may see later keys. */
static bool drawn(struct check_random *r, enum mask_kind kind, size_t number, size_t width, size_t key)
{
    switch (kind) {
    case MASK_CAUSAL: return key <= number;
    case MASK_DENSE: return check_next(r) % 8 != 0;
    case MASK_SPARSE: return check_next(r) % 16 == 0;
    case MASK_WINDOW: return key < 3 || (key <= number && key + width > number);
    case MASK_PREFIX: return key <= (width > number ? width : number);
    case MASK_KINDS: break;
    }
    return false;
}

/* Give the problem a mask over some of its blocks; every row sees a key. */
static void draw_mask(struct check_random *r, struct problem *p, enum mask_kind kind)
{
    const size_t n = positions_of(p), all = (n + TW_KV_BLOCK - 1) / TW_KV_BLOCK;
    const size_t width = check_size(r, 1, n);
    for (size_t b = 0; b < all; b++) {
        if (kind == MASK_CAUSAL || b + 1 == all || check_next(r) % 4 != 0) {
            p->blocks[p->n_blocks++] = (uint32_t)b;
        }
    }
    p->visible = calloc(p->n_rows * p->n_blocks, sizeof *p->visible);
    assert_non_null(p->visible);
    for (size_t row = 0; row < p->n_rows; row++) {
        uint64_t *words = p->visible + row * p->n_blocks, any = 0;
        for (size_t j = 0; j < p->n_blocks; j++) {
            for (size_t i = 0; i < TW_KV_BLOCK && p->blocks[j] * (size_t)TW_KV_BLOCK + i < n; i++) {
                const size_t key = p->blocks[j] * (size_t)TW_KV_BLOCK + i;
                words[j] |= (uint64_t)drawn(r, kind, p->position + row, width, key) << i;
            }
            any |= words[j];
        }
        if (any == 0) {
            words[check_size(r, 0, p->n_blocks - 1)] = 1;
        }
    }
}

/* With a mask the cache names the mask's blocks only. */
static void list_blocks(const struct problem *p, struct cache *c)
{
    for (size_t j = 0; p->visible != NULL && j < p->n_blocks; j++) {
        c->k[j] = c->pages + 2 * p->blocks[j] * c->block_bytes;
        c->v[j] = c->pages + (2 * p->blocks[j] + 1) * c->block_bytes;
        for (size_t row = 0, any = 0; row < p->n_rows; row++) {
            any |= p->visible[row * p->n_blocks + j] != 0;
            if (row + 1 == p->n_rows && any == 0) { /* nobody looks */
                c->k[j] = c->v[j] = NULL;
            }
        }
    }
}

static struct tw_attend attend_of(const struct problem *p, const struct cache *c, size_t row, size_t n_rows,
                                  float *z)
{
    const size_t width = p->n_heads * p->head_dim;
    return (struct tw_attend){.q        = (float *)p->q.p + row * width,
                              .ldq      = width,
                              .n_rows   = n_rows,
                              .position = p->position + row,
                              .n_heads  = p->n_heads,
                              .head_dim = p->head_dim,
                              .scale    = 1.0f / sqrtf((float)p->head_dim),
                              .k_blocks = c->k,
                              .v_blocks = c->v,
                              .visible  = p->visible == NULL ? NULL : p->visible + row * p->n_blocks,
                              .blocks   = p->blocks,
                              .n_blocks = p->n_blocks,
                              .z        = z + row * width,
                              .ldz      = width};
}

static void run(const struct tw_kernels *k, const struct problem *p, struct tw_attend *a)
{
    const size_t bytes = k->attend_scratch_bytes(a->n_rows * a->n_heads, a->head_dim);
    a->scratch         = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    memset(a->scratch, 0xFF, bytes);
    (p->bf16 ? k->attend_bf16 : k->attend_f32)(a);
    free(a->scratch);
}

/* All rows in one call, every position stored before. */
static struct check_buffer solve(const struct tw_kernels *k, const struct problem *p)
{
    struct cache c        = new_cache(p->bf16, p->head_dim, p->position + p->n_rows);
    struct check_buffer z = check_alloc(p->n_rows * p->n_heads * p->head_dim * sizeof(float));
    store(k, &c, 0, p->position + p->n_rows, p->keys.p, p->values.p);
    list_blocks(p, &c);
    struct tw_attend a = attend_of(p, &c, 0, p->n_rows, z.p);
    run(k, p, &a);
    free(c.pages);
    return z;
}

/* Rows in pieces of `piece`, each stored just before it is attended to, or with a mask all of them. */
static struct check_buffer solve_in_pieces(const struct tw_kernels *k, const struct problem *p, size_t piece)
{
    struct cache c        = new_cache(p->bf16, p->head_dim, p->position + p->n_rows);
    struct check_buffer z = check_alloc(p->n_rows * p->n_heads * p->head_dim * sizeof(float));
    store(k, &c, 0, p->visible == NULL ? p->position : positions_of(p), p->keys.p, p->values.p);
    list_blocks(p, &c);
    for (size_t row = 0; row < p->n_rows; row += piece) {
        const size_t n = p->n_rows - row < piece ? p->n_rows - row : piece;
        if (p->visible == NULL) {
            store(k, &c, p->position + row, p->position + row + n, p->keys.p, p->values.p);
        }
        struct tw_attend a = attend_of(p, &c, row, n, z.p);
        run(k, p, &a);
    }
    free(c.pages);
    return z;
}

/* Every span on its own, then merged. */
static struct check_buffer solve_by_spans(const struct tw_kernels *k, const struct problem *p)
{
    const size_t spans = (p->position + p->n_rows - 1) / TW_KV_SPAN + 1, queries = p->n_rows * p->n_heads;
    const size_t stride       = queries * tw_attend_partial_floats(p->head_dim);
    struct cache c            = new_cache(p->bf16, p->head_dim, p->position + p->n_rows);
    struct check_buffer z     = check_alloc(queries * p->head_dim * sizeof(float));
    struct check_buffer parts = check_alloc(spans * stride * sizeof(float));
    store(k, &c, 0, p->position + p->n_rows, p->keys.p, p->values.p);
    list_blocks(p, &c);
    struct tw_attend a = attend_of(p, &c, 0, p->n_rows, z.p);
    a.scratch = aligned_alloc(64, (k->attend_scratch_bytes(queries, p->head_dim) + 63) & ~(size_t)63);
    for (size_t span = spans; span-- > 0;) {
        (p->bf16 ? k->attend_span_bf16 : k->attend_span_f32)(&a, span, (float *)parts.p + span * stride);
    }
    k->attend_merge(&a, parts.p, stride, spans);
    free(a.scratch);
    free(c.pages);
    check_free(&parts);
    return z;
}

static void check_problem(const struct tw_kernels *k, int n_levels, const struct problem *p, size_t piece)
{
    struct check_buffer want = solve(&k[0], p);
    const size_t n           = p->n_rows * p->n_heads * p->head_dim;
    for (int level = 0; level < n_levels; level++) {
        struct check_buffer got[3] = {solve(&k[level], p), solve_in_pieces(&k[level], p, piece),
                                      solve_by_spans(&k[level], p)};
        for (int way = 0; way < 3; way++) {
            assert_floats_same(want.p, got[way].p, n, "%s, %s%s, %s: position %zu rows %zu heads %zu dim %zu",
                               k[level].isa, p->visible != NULL ? "masked, " : "", p->bf16 ? "bf16" : "f32",
                               (const char *[]){"whole", "pieces", "spans"}[way], p->position, p->n_rows,
                               p->n_heads, p->head_dim);
            check_free(&got[way]);
        }
    }
    check_free(&want);
}

static void every_level_gives_the_scalar_bits(void **state)
{
    (void)state;
    struct tw_kernels k[4];
    const int n_levels    = check_levels(k);
    struct check_random r = check_seed("attend");
    for (int i = 0; i < 120; i++) {
        struct problem p = random_problem(&r, 220, 24);
        check_problem(k, n_levels, &p, check_size(&r, 1, 9));
        free_problem(&p);
    }
}

static void masks_give_the_scalar_bits(void **state)
{
    (void)state;
    struct tw_kernels k[4];
    const int n_levels    = check_levels(k);
    struct check_random r = check_seed("masks");
    for (int i = 0; i < 150; i++) {
        struct problem p = random_problem(&r, i % 10 == 0 ? 1400 : 260, 24);
        draw_mask(&r, &p, (enum mask_kind)(i % MASK_KINDS));
        check_problem(k, n_levels, &p, check_size(&r, 1, 9));
        free_problem(&p);
    }
}

/* A mask equal to the causal one is no mask at all. */
static void the_causal_mask_changes_nothing(void **state)
{
    (void)state;
    struct tw_kernels k[4];
    const int n_levels    = check_levels(k);
    struct check_random r = check_seed("causal");
    for (int i = 0; i < 40; i++) {
        struct problem p = random_problem(&r, i % 10 == 0 ? 1400 : 260, 24);
        for (int level = 0; level < n_levels; level++) {
            struct check_buffer want = solve(&k[level], &p);
            struct problem masked    = p;
            draw_mask(&r, &masked, MASK_CAUSAL);
            struct check_buffer got = solve(&k[level], &masked);
            assert_memory_equal(want.p, got.p, p.n_rows * p.n_heads * p.head_dim * sizeof(float));
            check_free(&want);
            check_free(&got);
            free(masked.visible);
        }
        free_problem(&p);
    }
}

/* Whatever the keys and values are that a row does not see, infinities and NaN among them: its bits are the same. */
static void masked_keys_contribute_nothing(void **state)
{
    (void)state;
    static const float other[] = {INFINITY, -INFINITY, NAN, -1.0f, 1.0f, -0.0f, 3e38f, -0x1p-120f};
    struct tw_kernels k[4];
    const int n_levels    = check_levels(k);
    struct check_random r = check_seed("nothing");
    for (int i = 0; i < 60; i++) {
        struct problem p = random_problem(&r, 200, 12);
        draw_mask(&r, &p, (enum mask_kind)(MASK_DENSE + (unsigned)i % (MASK_KINDS - 1)));
        for (int level = 0; level < n_levels; level++) {
            const size_t row = check_size(&r, 0, p.n_rows - 1), n = positions_of(&p) * p.head_dim;
            const size_t width       = p.n_heads * p.head_dim;
            struct check_buffer want = solve(&k[level], &p);
            struct problem changed   = p;
            changed.keys             = check_floats(&r, n, CHECK_PLAIN);
            changed.values           = check_floats(&r, n, CHECK_PLAIN);
            for (size_t at = 0; at < n; at++) {
                const bool seen                 = row_sees(&p, row, at / p.head_dim);
                const float x                   = other[check_next(&r) % 8];
                ((float *)changed.keys.p)[at]   = seen ? ((float *)p.keys.p)[at] : x;
                ((float *)changed.values.p)[at] = seen ? ((float *)p.values.p)[at] : x;
            }
            struct check_buffer got = solve(&k[level], &changed);
            assert_floats_same((float *)want.p + row * width, (float *)got.p + row * width, width,
                               "%s, %s, row %zu of %zu", k[level].isa, p.bf16 ? "bf16" : "f32", row,
                               p.n_rows);
            check_free(&want);
            check_free(&got);
            check_free(&changed.keys);
            check_free(&changed.values);
        }
        free_problem(&p);
    }
}

static void spans_merge_in_ascending_order(void **state)
{
    (void)state;
    struct tw_kernels k[4];
    const int n_levels    = check_levels(k);
    struct check_random r = check_seed("spans");
    for (int i = 0; i < 5; i++) {
        struct problem p = random_problem(&r, 64, 3);
        free_problem(&p);
        p.n_heads  = 1 + (size_t)i % 3;
        p.n_rows   = 3;
        p.head_dim = i % 2 == 0 ? 16 : 24;
        /* rows on both sides of the border of a span, and in its midst */
        p.position = (size_t[]){1023, 1022, 2047, 1500, 3000}[i];
        p.q        = check_floats(&r, p.n_rows * p.n_heads * p.head_dim, CHECK_PLAIN);
        p.keys     = check_floats(&r, (p.position + p.n_rows) * p.head_dim, CHECK_PLAIN);
        p.values   = check_floats(&r, (p.position + p.n_rows) * p.head_dim, CHECK_PLAIN);
        check_problem(k, n_levels, &p, 1);
        free_problem(&p);
    }
}

/* Stored blocks are the same bytes at every level. */
static void stores_are_the_same_bytes(void **state)
{
    (void)state;
    struct tw_kernels k[4];
    const int n_levels    = check_levels(k);
    struct check_random r = check_seed("stores");
    for (int i = 0; i < 20; i++) {
        const size_t dim = 2 * check_size(&r, 1, 70), n = check_size(&r, 1, TW_KV_BLOCK);
        struct check_buffer keys   = check_floats(&r, n * dim, CHECK_SPECIAL),
                            values = check_floats(&r, n * dim, CHECK_SPECIAL);
        for (int bf16 = 0; bf16 < 2; bf16++) {
            struct cache want = new_cache(bf16, dim, n);
            store(&k[0], &want, 0, n, keys.p, values.p);
            for (int level = 1; level < n_levels; level++) {
                struct cache got = new_cache(bf16, dim, n);
                store(&k[level], &got, 0, n, keys.p, values.p);
                assert_memory_equal(want.pages, got.pages, 2 * want.block_bytes);
                free(got.pages);
            }
            free(want.pages);
        }
        check_free(&keys);
        check_free(&values);
    }
}

/* A page that served another sequence: the odd half of a value pair is zero as soon as the even one is
 * stored. */
static void a_reused_page_does_not_show_through(void **state)
{
    (void)state;
    struct tw_kernels k[4];
    const int n_levels = check_levels(k);
    for (int level = 0; level < n_levels; level++) {
        float kv[4] = {1.0f, 2.0f, 3.0f, 4.0f}, keys[4 * TW_KV_BLOCK], values[4 * TW_KV_BLOCK];
        uint16_t values16[4 * TW_KV_BLOCK], keys16[4 * TW_KV_BLOCK];
        memset(values, 0xFF, sizeof values);
        memset(values16, 0xFF, sizeof values16);
        k[level].kv_store_f32(keys, values, 6, kv, kv, 4);
        k[level].kv_store_bf16(keys16, values16, 6, kv, kv, 4);
        for (size_t d = 0; d < 4; d++) {
            assert_int_equal(tw_f32_bits(values[3 * 8 + 2 * d]), tw_f32_bits(kv[d]));
            assert_int_equal(tw_f32_bits(values[3 * 8 + 2 * d + 1]), 0);
            assert_int_equal(values16[3 * 8 + 2 * d + 1], 0);
        }
    }
}

/* Every level gives the scalar bits, and these are products with the stored keys; what a row does not see is -inf,
 * and a block of which it sees nothing is passed over. */
static void scores_are_those_of_every_level(void **state)
{
    (void)state;
    struct tw_kernels k[4];
    const int n_levels    = check_levels(k);
    struct check_random r = check_seed("scores");
    for (int i = 0; i < 60; i++) {
        struct problem p = random_problem(&r, 260, 6);
        const bool plain = i % 4 < 2; /* none of the values where f64 and a flushing f32 differ */
        if (plain) {
            check_free(&p.q);
            check_free(&p.keys);
            p.q    = check_floats(&r, p.n_rows * p.n_heads * p.head_dim, CHECK_PLAIN);
            p.keys = check_floats(&r, positions_of(&p) * p.head_dim, CHECK_PLAIN);
        }
        if (i % 2 != 0) {
            draw_mask(&r, &p, (enum mask_kind)((unsigned)i / 2 % MASK_KINDS));
        }
        struct cache c = new_cache(p.bf16, p.head_dim, positions_of(&p));
        store(&k[0], &c, 0, positions_of(&p), p.keys.p, p.values.p);
        list_blocks(&p, &c);
        struct tw_attend a  = attend_of(&p, &c, 0, p.n_rows, p.q.p);
        const size_t blocks = p.visible == NULL ? c.n_blocks : p.n_blocks, n = p.n_heads * TW_KV_BLOCK;
        _Alignas(64) float want[16 * TW_KV_BLOCK], got[16 * TW_KV_BLOCK];
        for (size_t at = 0; at < p.n_rows * blocks; at++) {
            const size_t row = at / blocks, j = at % blocks;
            const size_t first = (p.visible == NULL ? j : p.blocks[j]) * TW_KV_BLOCK;
            bool any           = false;
            for (size_t key = first; key < first + TW_KV_BLOCK; key++) {
                any = any || row_sees(&p, row, key);
            }
            for (int level = 0; level < n_levels; level++) {
                float *out = level == 0 ? want : got;
                a.scratch  = aligned_alloc(64, (k[level].attend_scratch_bytes(p.n_heads, p.head_dim) + 63) &
                                                   ~(size_t)63);
                memset(out, 0xFF, sizeof want);
                assert_int_equal(any, (p.bf16 ? k[level].attend_scores_bf16
                                              : k[level].attend_scores_f32)(&a, row, j, out));
                free(a.scratch);
                assert_floats_same(want, out, n, "%s, %s: row %zu block %zu", k[level].isa,
                                   p.bf16 ? "bf16" : "f32", row, j);
            }
            for (size_t x = 0; any && x < n; x++) {
                const size_t key = first + x % TW_KV_BLOCK;
                const float *q   = (float *)p.q.p + (row * p.n_heads + x / TW_KV_BLOCK) * p.head_dim;
                double sum = 0, size = 0;
                for (size_t d = 0; row_sees(&p, row, key) && d < p.head_dim; d++) {
                    const double term = (double)q[d] * (double)((float *)p.keys.p)[key * p.head_dim + d];
                    sum += term;
                    size += fabs(term);
                }
                if (!row_sees(&p, row, key)) {
                    assert_true(isinf(want[x]) && want[x] < 0);
                } else if (plain) {
                    assert_true(fabs((double)want[x] / (double)a.scale - sum) <=
                                (p.bf16 ? 1e-2 : 3e-5) * size);
                }
            }
        }
        free(c.pages);
        free_problem(&p);
    }
}

/* The scalar twin against softmax in f64 over the stored values. */
static void scalar_agrees_with_softmax_in_double(void **state)
{
    (void)state;
    struct tw_kernels k[4];
    struct check_random r = check_seed("softmax");
    (void)check_levels(k);
    for (int i = 0; i < 60; i++) {
        struct problem p = random_problem(&r, 300, 4);
        free_problem(&p);
        p.bf16   = false;
        p.q      = check_floats(&r, p.n_rows * p.n_heads * p.head_dim, CHECK_PLAIN);
        p.keys   = check_floats(&r, (p.position + p.n_rows) * p.head_dim, CHECK_PLAIN);
        p.values = check_floats(&r, (p.position + p.n_rows) * p.head_dim, CHECK_PLAIN);
        if (i % 2 != 0) {
            draw_mask(&r, &p, (enum mask_kind)((unsigned)i / 2 % MASK_KINDS));
        }
        const float *q = p.q.p, *keys = p.keys.p, *values = p.values.p;
        struct check_buffer z = solve(&k[0], &p);
        for (size_t query = 0; query < p.n_rows * p.n_heads; query++) {
            const size_t seen = positions_of(&p), dim = p.head_dim;
            double e[512], max = -INFINITY, sum = 0.0;
            for (size_t j = 0; j < seen; j++) {
                double s = row_sees(&p, query / p.n_heads, j) ? 0.0 : -(double)INFINITY;
                for (size_t d = 0; d < dim; d++) {
                    s += (double)q[query * dim + d] * (double)keys[j * dim + d];
                }
                e[j] = s / sqrt((double)dim);
                max  = fmax(max, e[j]);
            }
            for (size_t j = 0; j < seen; j++) {
                e[j] = exp(e[j] - max);
                sum += e[j];
            }
            for (size_t d = 0; d < dim; d++) {
                double want = 0.0;
                for (size_t j = 0; j < seen; j++) {
                    want += e[j] / sum * (double)values[j * dim + d];
                }
                const double got = (double)((float *)z.p)[query * dim + d];
                if (!(fabs(got - want) < 4e-6)) {
                    fail_msg("query %zu, element %zu: %.9g, not %.9g", query, d, got, want);
                }
            }
        }
        check_free(&z);
        free_problem(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_level_gives_the_scalar_bits),
        cmocka_unit_test(masks_give_the_scalar_bits),
        cmocka_unit_test(the_causal_mask_changes_nothing),
        cmocka_unit_test(masked_keys_contribute_nothing),
        cmocka_unit_test(spans_merge_in_ascending_order),
        cmocka_unit_test(stores_are_the_same_bytes),
        cmocka_unit_test(a_reused_page_does_not_show_through),
        cmocka_unit_test(scalar_agrees_with_softmax_in_double),
        cmocka_unit_test(scores_are_those_of_every_level),
    };
    return cmocka_run_group_tests(tests, check_mode, NULL);
}
