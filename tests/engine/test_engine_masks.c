/* SPDX-License-Identifier: MIT */
/* Attention masks: the bits of a step are what the kinds say; every kind, mixed in one batch, equals the
 * forward pass of docs/numerics.md bit by bit on every mesh, chunk, batch and cache; documents of one
 * prompt equal prompts of their own; what cannot be is refused by a sentence. */
#include <time.h>

#include "base/philox.h"
#include "engine_harness.h"
#include "kv/kv_memory.h"
#include "reference_forward.h"
#include "support/tiny_model.h"

/* ---- what the kinds say, position by position ---- */

static size_t document(const struct tw_mask *m, size_t position)
{
    size_t end = 0;
    for (size_t i = 0; i + 1 < m->n_lengths; i++) {
        end += m->lengths[i];
        if (position < end) {
            return i;
        }
    }
    return m->n_lengths;
}

static bool sees(const struct tw_mask *m, size_t n_prompt, size_t row, size_t key)
{
    size_t given = row < n_prompt ? row : n_prompt, words = (n_prompt + 63) / 64;
    switch (m->kind) {
    case TW_MASK_CAUSAL:
    case TW_MASK_HEAVY: break; /* what it sees is decided by attention: engine.attention */
    case TW_MASK_PREFIX: return key <= row || (row < m->prefix && key < m->prefix);
    case TW_MASK_WINDOW: return key <= row && (key < m->sinks || row - key < m->window);
    case TW_MASK_BLOCK_DIAGONAL: return key <= row && document(m, row) == document(m, key);
    case TW_MASK_MATRIX:
        if (key >= n_prompt) {
            return key <= row;
        }
        return given < m->n_rows ? (m->rows[given * words + key / 64] >> key % 64 & 1) != 0 : true;
    }
    return key <= row;
}

/* A mask and the lists behind it. */
struct drawn {
    struct tw_mask mask;
    uint32_t lengths[512];
    uint64_t rows[513 * 8];
};

static size_t pick(struct tw_philox_stream *s, size_t low, size_t high)
{
    return low + (size_t)(tw_philox_double(s) * (double)(high - low + 1));
}

/* Rows of a matrix see themselves or a neighbour, and ahead no further than the end of their group of
 * `ahead`. */
static void draw_matrix(struct drawn *d, struct tw_philox_stream *s, size_t n_prompt, size_t ahead)
{
    size_t words   = (n_prompt + 63) / 64;
    d->mask.n_rows = n_prompt + pick(s, 0, 1);
    memset(d->rows, 0, sizeof d->rows);
    for (size_t row = 0; row < d->mask.n_rows; row++) {
        size_t end = (row / ahead + 1) * ahead < n_prompt ? (row / ahead + 1) * ahead : n_prompt;
        for (size_t key = 0; key < (row < n_prompt ? end : n_prompt); key++) {
            d->rows[row * words + key / 64] |= (uint64_t)(pick(s, 0, 2) == 0) << key % 64;
        }
        d->rows[row * words + (end - 1) / 64] |= (uint64_t)1 << (end - 1) % 64;
    }
    d->mask.rows = d->rows;
}

/* A mask for a prompt of n tokens, at most 512; rows look ahead less than `ahead` positions. */
static void draw(struct drawn *d, struct tw_philox_stream *s, enum tw_mask_kind kind, size_t n_prompt,
                 size_t ahead)
{
    d->mask = (struct tw_mask){.kind = kind};
    switch (kind) {
    case TW_MASK_CAUSAL:
    case TW_MASK_HEAVY: break;
    case TW_MASK_PREFIX: d->mask.prefix = pick(s, 0, ahead < n_prompt ? ahead : n_prompt); break;
    case TW_MASK_WINDOW:
        d->mask.window = pick(s, 1, n_prompt);
        d->mask.sinks  = pick(s, 0, 1) * pick(s, 0, 90);
        d->mask.prune  = pick(s, 0, 1) != 0;
        break;
    case TW_MASK_BLOCK_DIAGONAL:
        for (size_t left = n_prompt; left > 0; d->mask.n_lengths++) {
            size_t n                      = pick(s, 1, left < 150 ? left : 150);
            d->lengths[d->mask.n_lengths] = (uint32_t)n;
            left -= n;
        }
        d->mask.lengths = d->lengths;
        break;
    case TW_MASK_MATRIX: draw_matrix(d, s, n_prompt, ahead); break;
    }
}

/* ---- a step's bits ---- */

enum { TABLE = 64 };

/* Every row of the segments sees what the kind says, and all it sees is listed with its page. */
static void check_step(const struct tw_mask *m, size_t n_prompt, size_t from, size_t n)
{
    struct trawl_error err;
    struct tw_step_masks masks = {0};
    struct tw_segment segments[600];
    uint32_t pages[TABLE * 8];
    size_t n_segments = 0, position = from;
    for (uint32_t i = 0; i < TABLE * 8; i++) {
        pages[i] = 1000 + i;
    }
    assert_ok(tw_step_masks_add(&masks, m, n_prompt, pages, from, n, 7, segments, &n_segments, &err));
    tw_step_masks_point(&masks, segments, n_segments);
    for (size_t i = 0; i < n_segments; i++) {
        const struct tw_segment *g = &segments[i];
        assert_int_equal(g->row, 7 + position - from);
        for (size_t row = 0; row < g->n_rows; row++, position++) {
            size_t place = tw_mask_place(m, position), first = position - (g->position + row);
            assert_int_equal(tw_segment_page(g, g->position + row), 1000 + place / 64);
            assert_int_equal((g->position + row) % 64, place % 64);
            for (size_t key = 0; key < from + n; key++) {
                bool want = sees(m, n_prompt, position, key), got = false;
                if (g->visible == NULL) {
                    got = key >= first && key <= position;
                }
                for (size_t j = 0; g->visible != NULL && j < g->n_blocks; j++) {
                    if (g->blocks[j] == key / 64) {
                        assert_int_equal(g->pages[j], 1000 + key / 64);
                        got = (g->visible[row * g->n_blocks + j] >> key % 64 & 1) != 0;
                    }
                }
                if (want != got) {
                    fail_msg("kind %d: row %zu and position %zu", (int)m->kind, position, key);
                }
            }
        }
    }
    assert_int_equal(position, from + n);
    tw_step_masks_release(&masks);
}

/* The cut is the last place that no row before it looks beyond. */
static size_t brute_cut(const struct tw_mask *m, size_t n_prompt, size_t from, size_t n)
{
    for (size_t end = from + n; end > from; end--) {
        bool beyond = false;
        for (size_t row = from; row < end; row++) {
            for (size_t key = end; key < n_prompt; key++) {
                beyond = beyond || sees(m, n_prompt, row, key);
            }
        }
        if (!beyond) {
            return end;
        }
    }
    return from;
}

static void test_bits_are_what_the_kinds_say(void **state)
{
    const char *given = getenv("TRAWL_TEST_SEED");
    uint64_t seed     = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
    struct tw_philox_stream s;
    struct drawn *d = calloc(1, sizeof *d);
    struct trawl_error err;
    (void)state;
    print_message("TRAWL_TEST_SEED=%llu\n", (unsigned long long)seed);
    tw_philox_stream_init(&s, seed, 0);
    assert_non_null(d);
    for (size_t i = 0; i < 100; i++) {
        size_t n_prompt = pick(&s, 1, 400), n_new = pick(&s, 0, 90), chunk = pick(&s, 64, 128);
        size_t from = 0, held = 0;
        draw(d, &s, (enum tw_mask_kind)(i % 5), n_prompt, 64);
        const struct tw_mask *m = &d->mask;
        assert_ok(tw_mask_check(m, n_prompt, chunk, &err));
        while (from < n_prompt + n_new) {
            size_t left = n_prompt + n_new - from, n = from < n_prompt ? (left < chunk ? left : chunk) : 1;
            size_t end = tw_mask_cut(m, n_prompt, from, n), begin, passed, pages = 0;
            assert_int_equal(end, brute_cut(m, n_prompt, from, n));
            assert_true(end > from);
            check_step(m, n_prompt, from, end - from);
            tw_mask_passed(m, from, &begin, &passed);
            for (size_t page = 0; page < tw_mask_pages(m, end); page++) {
                pages += m->prune && page >= begin && page < passed ? 0 : 1;
            }
            held = pages > held ? pages : held;
            from = end;
        }
        assert_true(held <= tw_mask_pages_held(m, n_prompt + n_new, chunk));
    }
    free(d);
}

/* ---- the engine ---- */

static const struct tiny_model models[] = {
    {"qwen2", 48, 72, 2, 6, 2, 8, 131, true, false, TW_DTYPE_BF16, 1},
    {"llama", 64, 96, 2, 4, 2, 16, 97, false, true, TW_DTYPE_F32, 2},
};

/* A way to run the requests; none of it may show. */
static const struct harness_way ways[] = {
    {{1, 1}, 512, 8, 0, 1, NULL, false},   {{1, 2}, 60, 3, 0, 1, NULL, false},
    {{2, 1}, 97, 4, 0, 1, "scalar", true}, {{1, 1}, 64, 8, 14, 1, NULL, true},
    {{1, 2}, 61, 2, 0, 1, "avx2", false},
};

enum { N_PROMPT = 150, N_NEW = 24, N_KINDS = 9, SITES = 8 };

struct fixture {
    int32_t prompts[N_KINDS][N_PROMPT];
    struct drawn masks[N_KINDS];
};

/* One request of every kind, causal ones among them. */
static void make_masks(struct fixture *f, uint64_t seed, size_t vocab)
{
    static const enum tw_mask_kind kinds[N_KINDS] = {TW_MASK_CAUSAL, TW_MASK_PREFIX,         TW_MASK_WINDOW,
                                                     TW_MASK_WINDOW, TW_MASK_BLOCK_DIAGONAL, TW_MASK_MATRIX,
                                                     TW_MASK_CAUSAL, TW_MASK_MATRIX,         TW_MASK_WINDOW};
    struct tw_philox_stream s;
    tw_philox_stream_init(&s, seed, 1);
    for (size_t i = 0; i < N_KINDS; i++) {
        for (size_t k = 0; k < N_PROMPT; k++) {
            f->prompts[i][k] = (int32_t)pick(&s, 0, vocab - 1);
        }
        draw(&f->masks[i], &s, kinds[i], N_PROMPT, 50);
    }
    f->masks[1].mask.prefix = 49;
    f->masks[2].mask        = (struct tw_mask){.kind = TW_MASK_WINDOW, .window = 33};
    f->masks[3].mask = (struct tw_mask){.kind = TW_MASK_WINDOW, .window = 20, .sinks = 5, .prune = true};
    f->masks[8].mask = (struct tw_mask){.kind = TW_MASK_WINDOW, .window = 1, .sinks = 70, .prune = true};
}

static void add_requests(struct harness *h, struct fixture *f)
{
    harness_init(h);
    for (size_t i = 0; i < N_KINDS; i++) {
        struct tw_request *q = harness_add(h, f->prompts[i], N_PROMPT, i % 3 == 1 ? 0 : N_NEW);
        q->mask              = f->masks[i].mask;
        q->ignore_eos        = true;
        q->capture           = true;
        q->logits            = i % 2 == 0;
    }
}

/* Rows of one sequence (or document) of the answer, from position `at` of the request on, against the
 * reference. */
static void compare(const struct reference *want, const struct harness_answer *a, const struct tw_request *q,
                    size_t at, const struct tw_engine *engine)
{
    for (size_t layer = 0; layer < want->n_layers; layer++) {
        assert_true(at + want->n <= a->n_rows[layer]);
        assert_memory_equal(a->rows[layer] + at * want->hidden, want->resid + layer * want->n * want->hidden,
                            want->n * want->hidden * sizeof(float));
    }
    for (size_t i = 0; i < want->n; i++) {
        const float *logits = want->logits + i * want->vocab;
        size_t position     = at + i;
        if (q->logits && position < q->n_prompt) {
            assert_memory_equal(a->logits + position * want->vocab, logits, want->vocab * sizeof(float));
        }
        if (position + 1 >= q->n_prompt && position + 1 - q->n_prompt < a->n_tokens) {
            size_t t = position + 1 - q->n_prompt, best = 0;
            for (size_t k = 0; k < want->vocab; k++) {
                best = logits[k] > logits[best] ? k : best;
            }
            assert_int_equal(a->tokens[t], best);
            float logprob = tw_sample_logprob(tw_engine_kernels(engine), logits, want->vocab, a->tokens[t]);
            assert_memory_equal(&a->logprobs[t], &logprob, sizeof logprob);
        }
    }
}

static void check_answer(const char *dir, bool bf16, const struct tw_request *q,
                         const struct harness_answer *a, const struct tw_engine *engine)
{
    const struct tw_mask *m = &q->mask;
    int32_t tokens[N_PROMPT + N_NEW];
    size_t n = q->n_prompt + a->n_tokens - (a->n_tokens > 0), begin = 0;
    size_t n_documents = m->kind == TW_MASK_BLOCK_DIAGONAL ? m->n_lengths : 1;
    bool *seen         = calloc(n * n, sizeof *seen);
    assert_non_null(seen);
    memcpy(tokens, q->prompt, q->n_prompt * sizeof *tokens);
    memcpy(tokens + q->n_prompt, a->tokens, a->n_tokens * sizeof *tokens);
    for (size_t k = 0; k < n_documents; k++) { /* a document is a sequence of its own */
        struct reference want;
        size_t length = k + 1 < n_documents ? m->lengths[k] : n - begin;
        for (size_t i = 0; i < length * length; i++) {
            seen[i] = sees(m, q->n_prompt, begin + i / length, begin + i % length);
        }
        reference_forward_masked(&want, dir, bf16, 8, tokens + begin, length, seen);
        compare(&want, a, q, begin, engine);
        reference_free(&want);
        begin += length;
    }
    assert_int_equal(begin, n);
    free(seen);
}

static void check_kinds(const char *dir, const struct tiny_model *model, bool bf16)
{
    struct trawl_error err;
    struct harness first;
    struct tw_site sites[SITES];
    size_t n_sites    = 0;
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    make_masks(f, model->seed + bf16, model->vocab);
    for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++) {
        struct tw_engine *engine = harness_open(dir, bf16, &ways[w]);
        struct harness h, plain;
        if (n_sites == 0) {
            assert_ok(tw_site_parse("blocks.*.hook_resid_post", &tw_engine_model(engine)->config, sites,
                                    SITES, &n_sites, &err));
        }
        add_requests(&h, f);
        h.backwards = ways[w].backwards;
        assert_ok(harness_run(&h, engine, sites, n_sites, &err));
        for (size_t i = 0; i < N_KINDS; i++) {
            assert_string_equal(h.answers[i].error, "");
            if (w == 0) {
                check_answer(dir, bf16, &h.requests[i], &h.answers[i], engine);
            }
        }
        if (w == 0) {
            first = h;
        } else {
            harness_assert_equal(&first, &h, engine, sites, n_sites);
            harness_free(&h);
        }
        add_requests(&plain, f); /* nothing captured: the last layer computes only rows that are wanted */
        assert_ok(harness_run(&plain, engine, NULL, 0, &err));
        harness_assert_equal(&plain, &first, engine, NULL, 0);
        harness_free(&plain);
        tw_engine_close(engine);
    }
    harness_free(&first);
    free(f);
}

static void test_every_kind_equals_the_reference(void **state)
{
    tw_float_mode_compute();
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        const char *path = tiny_model_number(state, i, &models[i]);
        check_kinds(path, &models[i], i == 0);
    }
}

/* Three documents in one prompt, and each as a prompt of its own. */
static void test_documents_equal_requests(void **state)
{
    static const uint32_t lengths[3] = {70, 1, 129};
    struct trawl_error err;
    struct tw_site sites[SITES];
    size_t n_sites = 0, begin = 0;
    int32_t prompt[200];
    struct harness together, apart;
    const char *dir = scratch_path(*state, "model");
    tiny_model_write(dir, &models[0]);
    struct tw_engine *engine        = harness_open(dir, true, &ways[1]);
    const struct tw_model_config *c = &tw_engine_model(engine)->config;
    assert_ok(tw_site_parse("blocks.*.hook_resid_post", c, sites, SITES, &n_sites, &err));
    for (size_t i = 0; i < 200; i++) {
        prompt[i] = (int32_t)(i * 7919 % c->vocab);
    }
    harness_init(&together);
    harness_init(&apart);
    struct tw_request *q = harness_add(&together, prompt, 200, 30);
    q->mask    = (struct tw_mask){.kind = TW_MASK_BLOCK_DIAGONAL, .lengths = lengths, .n_lengths = 3};
    q->capture = q->logits = q->ignore_eos = true;
    for (size_t i = 0; i < 3; i++) {
        q          = harness_add(&apart, prompt + begin, lengths[i], i == 2 ? 30 : 0);
        q->capture = q->logits = q->ignore_eos = true;
        begin += lengths[i];
    }
    assert_ok(harness_run(&together, engine, sites, n_sites, &err));
    assert_ok(harness_run(&apart, engine, sites, n_sites, &err));
    const struct harness_answer *all = &together.answers[0], *last = &apart.answers[2];
    begin = 0;
    for (size_t i = 0; i < 3; i++) {
        const struct harness_answer *one = &apart.answers[i];
        for (size_t s = 0; s < n_sites; s++) {
            assert_memory_equal(all->rows[s] + begin * c->hidden, one->rows[s],
                                one->n_rows[s] * c->hidden * sizeof(float));
        }
        assert_memory_equal(all->logits + begin * c->vocab, one->logits,
                            lengths[i] * c->vocab * sizeof(float));
        begin += lengths[i];
    }
    assert_int_equal(all->n_tokens, 30);
    assert_memory_equal(all->tokens, last->tokens, 30 * sizeof *last->tokens);
    assert_memory_equal(all->logprobs, last->logprobs, 30 * sizeof *last->logprobs);
    harness_free(&together);
    harness_free(&apart);
    tw_engine_close(engine);
}

/* Prefixes of several pages where pages are few: what there is room for may end in the midst of one, and
 * what is preempted is computed again. */
static void test_prefixes_are_never_cut(void **state)
{
    struct trawl_error err;
    struct tw_philox_stream s;
    int32_t prompts[12][150];
    struct harness want, got;
    struct tw_engine_stats stats;
    uint64_t preemptions = 0;
    const char *dir      = scratch_path(*state, "model");
    tiny_model_write(dir, &models[0]);
    tw_philox_stream_init(&s, 5, 0);
    struct tw_engine *much =
        harness_open(dir, true, &(struct harness_way){{1, 1}, 512, 8, 0, 1, NULL, false});
    harness_init(&want);
    for (size_t i = 0; i < 12; i++) {
        size_t n = pick(&s, 100, 150);
        for (size_t k = 0; k < n; k++) {
            prompts[i][k] = (int32_t)pick(&s, 0, models[0].vocab - 1);
        }
        struct tw_request *q = harness_add(&want, prompts[i], n, pick(&s, 1, 400));
        q->mask              = (struct tw_mask){.kind = TW_MASK_PREFIX, .prefix = i % 3 == 0 ? 0 : n - i};
        q->ignore_eos        = true;
    }
    assert_ok(harness_run(&want, much, NULL, 0, &err));
    for (size_t pages = 9; pages <= 17; pages++) {
        struct tw_engine *little =
            harness_open(dir, true, &(struct harness_way){{1, 1}, 200, 8, pages, 1, NULL, false});
        harness_init(&got);
        memcpy(got.requests, want.requests, sizeof got.requests);
        got.n_requests = want.n_requests;
        assert_ok(harness_run(&got, little, NULL, 0, &err));
        harness_assert_equal(&want, &got, little, NULL, 0);
        tw_engine_stats(little, &stats);
        preemptions += stats.preemptions;
        harness_free(&got);
        tw_engine_close(little);
    }
    assert_true(preemptions > 0);
    harness_free(&want);
    tw_engine_close(much);
}

/* Logits from behind a prefix that is longer than a step has rows of logits for. */
static void test_logits_from_behind_a_long_prefix(void **state)
{
    static struct harness with, without; /* large */
    struct trawl_error err;
    int32_t prompt[150];
    const char *dir = scratch_path(*state, "model");
    tiny_model_write(dir, &models[0]);
    struct tw_engine *engine =
        harness_open(dir, true, &(struct harness_way){{1, 1}, 100, 4, 0, 1, NULL, false});
    for (int32_t i = 0; i < 150; i++) {
        prompt[i] = i * i % 97;
    }
    harness_init(&with);
    harness_init(&without);
    for (int i = 0; i < 2; i++) {
        struct tw_request *q = harness_add(i == 0 ? &with : &without, prompt, 150, 5);
        q->mask              = (struct tw_mask){.kind = TW_MASK_PREFIX, .prefix = 90};
        q->logits            = i == 0;
        q->logits_from       = 90;
    }
    assert_ok(harness_run(&with, engine, NULL, 0, &err));
    assert_ok(harness_run(&without, engine, NULL, 0, &err));
    assert_int_equal(with.answers[0].n_tokens, without.answers[0].n_tokens);
    assert_memory_equal(with.answers[0].tokens, without.answers[0].tokens, sizeof with.answers[0].tokens);
    assert_non_null(with.answers[0].logits);
    harness_free(&with);
    harness_free(&without);
    tw_engine_close(engine);
}

static void test_what_cannot_be_is_refused(void **state)
{
    static const uint32_t lengths[2] = {100, 49}, zero[2] = {0, 150};
    static uint64_t nothing[150 * 3] = {1}, ahead[150 * 3];
    static const struct {
        struct tw_mask mask;
        bool logits;
        const char *message;
    } cases[] = {
        {{.kind = TW_MASK_PREFIX, .prefix = 101}, false, "in one step of 101 tokens, a step takes 100"},
        {{.kind = TW_MASK_PREFIX, .prefix = 65}, true, "logits of 64 at most: they can be had from behind"},
        {{.kind = TW_MASK_PREFIX, .prefix = 151}, false, "has 151 tokens, the prompt 150"},
        {{.kind = TW_MASK_WINDOW, .sinks = 4}, false, "the window is 0"},
        {{.kind = TW_MASK_PREFIX, .prefix = 9, .prune = true}, false, "without an attention mask"},
        {{.kind = TW_MASK_BLOCK_DIAGONAL, .lengths = lengths, .n_lengths = 2}, false, "149 tokens together"},
        {{.kind = TW_MASK_BLOCK_DIAGONAL, .lengths = zero, .n_lengths = 2}, false, "document 0 has length 0"},
        {{.kind = TW_MASK_MATRIX, .n_rows = 149}, false, "149 rows"},
        {{.kind = TW_MASK_MATRIX, .n_rows = 150}, false, "has no rows"},
        {{.kind = TW_MASK_MATRIX, .rows = nothing, .n_rows = 150}, false, "row 1 of the matrix sees nothing"},
        {{.kind = TW_MASK_MATRIX, .rows = ahead, .n_rows = 150}, false, "positions 0 to 149"},
        {{.kind = (enum tw_mask_kind)77}, false, "kind 77"},
    };
    struct trawl_error err;
    struct harness h;
    int32_t prompt[150] = {0};
    const char *dir     = scratch_path(*state, "model");
    tiny_model_write(dir, &models[0]);
    for (size_t row = 0; row < 150; row++) {
        ahead[3 * row]     = 1;
        ahead[3 * row + 2] = row == 0 ? (uint64_t)1 << 21 : 0;
    }
    struct tw_engine *engine =
        harness_open(dir, true, &(struct harness_way){{1, 1}, 100, 4, 0, 1, NULL, false});
    harness_init(&h);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tw_request *q = harness_add(&h, prompt, 150, 2);
        q->mask              = cases[i].mask;
        q->logits            = cases[i].logits;
    }
    assert_ok(harness_run(&h, engine, NULL, 0, &err));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(h.answers[i].finish, TW_FINISH_ERROR);
        if (strstr(h.answers[i].error, cases[i].message) == NULL) {
            fail_msg("case %zu: \"%s\" does not say \"%s\"", i, h.answers[i].error, cases[i].message);
        }
    }
    harness_free(&h);
    tw_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits_are_what_the_kinds_say),
        cmocka_unit_test_setup_teardown(test_every_kind_equals_the_reference, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_documents_equal_requests, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_prefixes_are_never_cut, scratch_make, scratch_remove),
        scratch_test(test_logits_from_behind_a_long_prefix),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_is_refused, scratch_make, scratch_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
