/* SPDX-License-Identifier: MIT */
/* What rows look at. Heavy hitters: the pages that are kept are those that a plain simulation of the rule keeps, over a
 * forward pass that is written for reading, and everything computed over them is equal bit by bit; an answer of any
 * length runs in bounded memory, with them or with a window alone. Entropies of attention: those of the same forward
 * pass in double. Neither depends on the mesh, the chunks, the batch, the instruction set, or on being preempted. */
#include "engine/engine_int.h"
#include "engine_harness.h"
#include "kv/kv_memory.h"
#include "reference_forward.h"
#include "support/tiny_model.h"

enum { N_PROMPT = 330, N_NEW = 60, LONGEST = N_PROMPT + N_NEW, PAGES = (LONGEST + 63) / 64, SITES = 8 };

static const struct tiny_model models[] = {
    {"qwen2", 48, 72, 2, 6, 2, 8, 131, true, false, TW_DTYPE_BF16, 1},
    {"llama", 64, 96, 2, 4, 2, 16, 97, false, true, TW_DTYPE_F32, 2},
};

static void fill(int32_t *prompt, size_t n, size_t vocab, uint64_t seed)
{
    struct tw_philox_stream s;
    tw_philox_stream_init(&s, seed, 0);
    for (size_t i = 0; i < n; i++) {
        prompt[i] = (int32_t)tw_philox_below(&s, (uint32_t)vocab);
    }
}

static struct tw_mask heavy_mask(size_t sinks, size_t window, size_t pages)
{
    return (struct tw_mask){
        .kind = TW_MASK_HEAVY, .prune = true, .sinks = sinks, .window = window, .heavy = pages};
}

/* ---- the rule ---- */

/* What a request holds, page by page. */
struct simulation {
    const struct tw_mask *mask;
    double masses[PAGES];
    bool held[PAGES];
    size_t n_dropped, n_first, n_last; /* the oldest of them, the youngest of them */
};

/* Neither a sink nor seen by the row at `position` through its window. */
static bool contested(const struct tw_mask *m, size_t page, size_t position)
{
    bool away = true;
    for (size_t at = 64 * page; at < 64 * page + 64; at++) {
        away = away && at >= m->sinks && at < position && position - at >= m->window;
    }
    return away;
}

/* Before the row at `position`. */
static void drop(struct simulation *s, size_t position)
{
    for (;;) {
        size_t n = 0, least = PAGES, oldest = PAGES, youngest = PAGES;
        for (size_t page = PAGES; page-- > 0;) {
            if (s->held[page] && contested(s->mask, page, position)) {
                n++;
                oldest   = page;
                youngest = youngest == PAGES ? page : youngest;
                least    = least == PAGES || s->masses[page] <= s->masses[least] ? page : least;
            }
        }
        if (n <= s->mask->heavy) {
            return;
        }
        s->held[least] = false;
        s->n_dropped++;
        s->n_first += least == oldest;
        s->n_last += least == youngest;
    }
}

/* The forward pass of the whole sequence, a page of rows at a time: each sees what the rows before its page left. */
static void simulate(struct simulation *s, struct reference *out, const char *dir, bool bf16,
                     const int32_t *tokens, size_t n)
{
    bool kept[PAGES][PAGES]; /* [page of the row][page of the key] */
    bool *sees = malloc(n * n * sizeof *sees);
    assert_non_null(sees);
    memset(s->held, 1, sizeof s->held);
    for (size_t page = 0; 64 * page < n; page++) {
        size_t end = 64 * page + 64 < n ? 64 * page + 64 : n;
        if (page > 0) {
            for (size_t row = 64 * page - 64; row < 64 * page; row++) {
                for (size_t k = 0; k < page; k++) {
                    s->masses[k] += out->masses[row * page + k];
                }
            }
            reference_free(out);
        }
        drop(s, 64 * page);
        memcpy(kept[page], s->held, sizeof s->held);
        for (size_t i = 0; i < end * end; i++) {
            size_t row = i / end, key = i % end;
            sees[i] = key <= row && kept[row / 64][key / 64];
        }
        reference_forward_masked(out, dir, bf16, 8, tokens, end, sees);
    }
    free(sees);
}

static void compare_rows(const struct reference *want, const struct harness_answer *a)
{
    for (size_t layer = 0; layer < want->n_layers; layer++) {
        assert_int_equal(a->n_rows[layer], want->n);
        assert_memory_equal(a->rows[layer], want->resid + layer * want->n * want->hidden,
                            want->n * want->hidden * sizeof(float));
    }
    assert_memory_equal(a->logits, want->logits, N_PROMPT * want->vocab * sizeof(float));
    for (size_t t = 0; t < a->n_tokens; t++) {
        const float *logits = want->logits + (N_PROMPT - 1 + t) * want->vocab;
        for (size_t k = 0; k < want->vocab; k++) {
            assert_true(logits[k] <= logits[a->tokens[t]]);
        }
    }
}

static void compare_entropies(const struct reference *want, const struct harness_answer *a)
{
    for (size_t t = 0; t < a->n_tokens; t++) {
        const double *h = want->entropies + (N_PROMPT - 1 + t) * want->n_layers * want->n_heads;
        double mean = 0, spread = 0;
        for (size_t layer = 0; layer < want->n_layers; layer++, h += want->n_heads) {
            double sum = 0, squares = 0;
            for (size_t i = 0; i < want->n_heads; i++) {
                sum += h[i] / (double)want->n_heads;
                squares += h[i] * h[i] / (double)want->n_heads;
            }
            mean += sum / (double)want->n_layers;
            spread += (squares - sum * sum) / (double)want->n_layers;
        }
        if (fabs((double)a->outputs[0].attn_entropies[t] - mean) > 2e-6 ||
            fabs((double)a->outputs[0].attn_varentropies[t] - spread) > 2e-6) {
            fail_msg("token %zu: entropy %.8g and varentropy %.8g of attention, not %.8g and %.8g", t,
                     (double)a->outputs[0].attn_entropies[t], (double)a->outputs[0].attn_varentropies[t],
                     mean, spread);
        }
    }
}

static void check_rule(const char *dir, const struct tiny_model *model, bool bf16, size_t *n_first,
                       size_t *n_last)
{
    const struct tw_mask masks[] = {heavy_mask(4, 20, 1), heavy_mask(0, 1, 2), heavy_mask(65, 64, 1),
                                    heavy_mask(0, 65, 3), heavy_mask(0, 130, 1)};
    enum { MASKS = sizeof masks / sizeof masks[0] };
    struct tw_engine *engine =
        harness_open(dir, bf16, &(struct harness_way){{1, 1}, 512, 8, 0, 1, NULL, false});
    struct trawl_error err;
    struct tw_site sites[SITES];
    struct harness h;
    int32_t tokens[MASKS][LONGEST];
    size_t n_sites = 0;
    assert_ok(tw_site_parse("blocks.*.hook_resid_post", &tw_engine_model(engine)->config, sites, SITES,
                            &n_sites, &err));
    harness_init(&h);
    for (size_t i = 0; i < MASKS; i++) {
        fill(tokens[i], N_PROMPT, model->vocab, 10 * model->seed + i);
        for (size_t k = 0; k < N_PROMPT;
             k++) { /* one token a page: some get much more attention than others */
            tokens[i][k] = tokens[i][k / 64 * 64];
        }
        struct tw_request *q = harness_add(&h, tokens[i], N_PROMPT, N_NEW);
        q->mask              = masks[i];
        q->ignore_eos = q->capture = q->logits = q->attn_entropy = true;
    }
    assert_ok(harness_run(&h, engine, sites, n_sites, &err));
    for (size_t i = 0; i < MASKS; i++) {
        struct simulation s = {.mask = &masks[i]};
        struct reference want;
        assert_string_equal(h.answers[i].error, "");
        assert_int_equal(h.answers[i].n_tokens, N_NEW);
        memcpy(tokens[i] + N_PROMPT, h.answers[i].tokens, N_NEW * sizeof(int32_t));
        simulate(&s, &want, dir, bf16, tokens[i], LONGEST - 1);
        compare_rows(&want, &h.answers[i]);
        compare_entropies(&want, &h.answers[i]);
        reference_free(&want);
        *n_first += s.n_first;
        *n_last += s.n_last;
        print_message(
            "%s, sinks %zu window %zu heavy %zu: %zu pages dropped, %zu times the oldest, %zu the youngest\n",
            model->type, masks[i].sinks, masks[i].window, masks[i].heavy, s.n_dropped, s.n_first, s.n_last);
    }
    harness_free(&h);
    tw_engine_close(engine);
}

static void test_the_pages_of_the_rule_are_kept(void **state)
{
    size_t n_first = 0, n_last = 0;
    tw_float_mode_compute();
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        char dir[32];
        (void)snprintf(dir, sizeof dir, "m%zu", i);
        const char *path = scratch_path(*state, dir);
        tiny_model_write(path, &models[i]);
        check_rule(path, &models[i], i == 0, &n_first, &n_last);
    }
    assert_true(n_first > 0 && n_last > 0); /* not a rule of age alone */
}

/* ---- the same bits ---- */

enum { REQUESTS = 10 };

struct fixture {
    int32_t prompts[REQUESTS][N_PROMPT];
    uint32_t documents[2];
    uint64_t rows[100 * 2];
};

/* Heavy hitters, windows, masks and none, most of them measured. */
static void add_requests(struct harness *h, struct fixture *f, size_t vocab)
{
    const struct tw_mask window          = {.kind = TW_MASK_WINDOW, .window = 70, .sinks = 3, .prune = true};
    const struct tw_mask masks[REQUESTS] = {
        heavy_mask(4, 20, 1),
        {.kind = TW_MASK_CAUSAL},
        heavy_mask(0, 1, 1),
        window,
        {.kind = TW_MASK_BLOCK_DIAGONAL, .lengths = f->documents, .n_lengths = 2},
        heavy_mask(100, 90, 1),
        {.kind = TW_MASK_MATRIX, .rows = f->rows, .n_rows = 100},
        heavy_mask(0, 33, 2),
        {.kind = TW_MASK_PREFIX, .prefix = 40},
        heavy_mask(64, 64, 1),
    };
    static const size_t lengths[REQUESTS] = {330, 200, 330, 260, 150, 300, 100, 330, 130, 64};
    static const size_t n_new[REQUESTS]   = {60, 190, 150, 190, 60, 200, 190, 0, 250, 250};
    harness_init(h);
    f->documents[0] = 90;
    f->documents[1] = 60;
    for (size_t i = 0; i < 100; i++) {
        f->rows[2 * i] = 0x5555555555555555u, f->rows[2 * i + 1] = i < 64 ? 0 : ((uint64_t)2 << (i - 64)) - 1;
    }
    for (size_t i = 0; i < 64; i++) { /* no row sees a later one */
        f->rows[2 * i] &= i == 63 ? UINT64_MAX : ((uint64_t)2 << i) - 1;
    }
    for (size_t i = 0; i < REQUESTS; i++) {
        fill(f->prompts[i], lengths[i], vocab, 100 + i);
        struct tw_request *q = harness_add(h, f->prompts[i], lengths[i], n_new[i]);
        q->mask              = masks[i];
        q->attn_entropy      = i % 5 != 2;
        q->ignore_eos        = true;
        q->capture           = i % 3 == 1;
        q->logits            = i % 4 == 1;
    }
}

static void test_nothing_else_shows(void **state)
{
    static const struct harness_way ways[] = {
        {{1, 1}, 512, 10, 0, 1, NULL, false},   {{1, 2}, 60, 3, 0, 2, NULL, false},
        {{2, 1}, 97, 4, 0, 1, "scalar", true},  {{1, 1}, 100, 8, 8, 3, NULL, true},
        {{1, 4}, 1000, 2, 0, 1, "avx2", false}, {{1, 2}, 64, 5, 9, 1, "avx512", false},
        {{1, 1}, 41, 10, 10, 1, NULL, false},
    };
    struct trawl_error err;
    struct tw_engine_stats stats;
    uint64_t preemptions = 0;
    for (size_t m = 0; m < sizeof models / sizeof models[0]; m++) {
        char dir[32];
        (void)snprintf(dir, sizeof dir, "m%zu", m);
        const char *path  = scratch_path(*state, dir);
        struct fixture *f = calloc(1, sizeof *f);
        struct harness want, got;
        assert_non_null(f);
        tiny_model_write(path, &models[m]);
        for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++) {
            struct tw_kernels k;
            struct harness_way way = ways[w];
            struct tw_site sites[SITES];
            size_t n_sites           = 0;
            way.isa                  = tw_kernels_init(&k, way.isa, NULL) == TRAWL_OK ? way.isa : "scalar";
            struct tw_engine *engine = harness_open(path, m == 0, &way);
            assert_ok(tw_site_parse("blocks.0.hook_resid_post", &tw_engine_model(engine)->config, sites,
                                    SITES, &n_sites, &err));
            add_requests(&got, f, models[m].vocab);
            got.backwards = way.backwards;
            assert_ok(harness_run(&got, engine, sites, n_sites, &err));
            tw_engine_stats(engine, &stats);
            preemptions += stats.preemptions;
            if (w == 0) {
                want = got;
                for (size_t i = 0; i < REQUESTS; i++) {
                    assert_string_equal(got.answers[i].error, "");
                    assert_true(got.answers[i].n_tokens == 0 ||
                                (got.answers[i].outputs[0].attn_entropies[0] > 0) == (i % 5 != 2));
                }
            } else {
                harness_assert_equal(&want, &got, engine, sites, n_sites);
                harness_free(&got);
            }
            tw_engine_close(engine);
        }
        harness_free(&want);
        free(f);
    }
    assert_true(preemptions > 0);
}

/* ---- memory ---- */

/* An answer of 1,200 tokens after a prompt of 300 in 1 + 2 + 2 + 1 pages, as in a cache that could hold all of it. */
static void test_an_answer_needs_bounded_memory(void **state)
{
    struct trawl_error err;
    int32_t prompt[300];
    struct harness h[2];
    struct tw_engine_stats stats;
    const char *dir = scratch_path(*state, "model");
    tiny_model_write(dir, &models[0]);
    fill(prompt, 300, models[0].vocab, 3);
    const size_t kv_pages[2] = {6, 0}, chunks[2] = {64, 512};
    for (int i = 0; i < 2; i++) {
        struct tw_engine *e =
            harness_open(dir, true, &(struct harness_way){{1, 1}, chunks[i], 2, kv_pages[i], 1, NULL, false});
        harness_init(&h[i]);
        struct tw_request *q = harness_add(&h[i], prompt, 300, 1200);
        q->mask              = heavy_mask(4, 100, 2);
        q->ignore_eos        = true;
        assert_ok(harness_run(&h[i], e, NULL, 0, &err));
        assert_string_equal(h[i].answers[0].error, "");
        assert_int_equal(h[i].answers[0].finish, TW_FINISH_LENGTH);
        assert_int_equal(h[i].n_tokens[0], 1200);
        tw_engine_stats(e, &stats);
        assert_int_equal(stats.peak_pages, 6);
        assert_int_equal(stats.preemptions, 0);
        if (i == 1) {
            harness_assert_equal(&h[0], &h[1], e, NULL, 0);
        }
        tw_engine_close(e);
    }
    harness_free(&h[0]);
    harness_free(&h[1]);
}

/* An answer of 1,200 tokens after a prompt of 300 in a cache of 6 pages (384 positions): the tokens of one
 * whose masked pages were kept. */
static void test_a_pruned_answer_needs_bounded_memory(void **state)
{
    struct trawl_error err;
    int32_t prompt[300];
    struct harness pruned, kept;
    struct tw_engine_stats stats;
    const char *dir = scratch_path(*state, "model");
    tiny_model_write(dir, &models[0]);
    for (size_t i = 0; i < 300; i++) {
        prompt[i] = (int32_t)(i * 7919 % models[0].vocab);
    }
    struct tw_engine *little =
        harness_open(dir, true, &(struct harness_way){{1, 1}, 64, 2, 6, 1, NULL, false});
    struct tw_engine *much =
        harness_open(dir, true, &(struct harness_way){{1, 1}, 512, 2, 0, 1, NULL, false});
    harness_init(&pruned);
    harness_init(&kept);
    for (int i = 0; i < 2; i++) {
        struct harness *h    = i == 0 ? &pruned : &kept;
        struct tw_request *q = harness_add(h, prompt, 300, 1200);
        q->mask       = (struct tw_mask){.kind = TW_MASK_WINDOW, .sinks = 4, .window = 100, .prune = i == 0};
        q->ignore_eos = true;
    }
    assert_ok(harness_run(&pruned, little, NULL, 0, &err));
    tw_engine_stats(little, &stats);
    assert_true(stats.peak_pages <= 6);
    assert_int_equal(pruned.answers[0].finish, TW_FINISH_LENGTH);
    assert_int_equal(pruned.n_tokens[0], 1200);
    assert_ok(harness_run(&kept, much, NULL, 0, &err));
    harness_assert_equal(&pruned, &kept, much, NULL, 0);
    tw_engine_stats(much, &stats);
    assert_int_equal(stats.peak_pages, (300 + 1200 - 1 + 63) / 64);
    /* Without pruning the little cache says that it does not fit. */
    pruned.requests[0].mask.prune = false;
    assert_ok(harness_run(&pruned, little, NULL, 0, &err));
    assert_int_equal(pruned.answers[0].finish, TW_FINISH_ERROR);
    assert_non_null(strstr(pruned.answers[0].error, "KV pages"));
    harness_free(&pruned);
    harness_free(&kept);
    tw_engine_close(little);
    tw_engine_close(much);
}

/* ---- parts ---- */

/* Pages with masses as drawn, many of them equal: those are given back that a sort by mass, younger ones first among
 * equals, has at its end. */
static void test_the_lightest_pages_go(void **state)
{
    enum { ALL = 40 };
    struct tw_philox_stream s;
    struct trawl_error err;
    (void)state;
    tw_philox_stream_init(&s, 17, 0);
    for (size_t draw = 0; draw < 200; draw++) {
        size_t sinks = tw_philox_below(&s, 4), window = 1 + tw_philox_below(&s, 10);
        struct tw_group group = {
            .request = {.mask = heavy_mask(64 * sinks, 64 * window, 1 + tw_philox_below(&s, 12))}};
        struct tw_sequence q;
        struct tw_kv_pages pages;
        size_t heavier[ALL], end = ALL - window, n_left = 0;
        assert_ok(tw_kv_pages_init(&pages, ALL, &err));
        assert_ok(tw_sequence_init(&q, &group, 64 * ALL, 0, &err));
        assert_ok(tw_kv_pages_take(&pages, ALL, q.pages, &err));
        q.n_pages    = ALL;
        q.n_computed = q.n_tokens = 64 * ALL;
        for (size_t i = 0; i < ALL; i++) {
            q.masses[i] = tw_philox_below(&s, 10) + (draw % 2 == 0 ? (uint64_t)1 << 40 : 0);
        }
        for (size_t i = sinks; i < end; i++) { /* contested ones that stay if this one does */
            heavier[i] = 0;
            for (size_t k = sinks; k < end; k++) {
                heavier[i] += q.masses[k] > q.masses[i] || (q.masses[k] == q.masses[i] && k > i);
            }
        }
        q.n_computed--; /* in the midst of a page nothing is decided */
        tw_sequence_prune(&q, &pages);
        assert_int_equal(pages.n_free, 0);
        q.n_computed++;
        tw_sequence_prune(&q, &pages);
        for (size_t i = 0; i < ALL; i++) {
            bool stays = i < sinks || i >= end || heavier[i] < group.request.mask.heavy;
            assert_int_equal(q.pages[i] != TW_KV_NO_PAGE, stays);
            n_left += stays;
        }
        assert_int_equal(pages.n_free, ALL - n_left);
        tw_sequence_release(&q, &pages);
        assert_int_equal(pages.n_free, ALL);
        tw_kv_pages_release(&pages);
    }
}

/* What two processes measured becomes what one would have: entropies in the columns of their heads, masses as sums. */
static void test_processes_are_put_together(void **state)
{
    enum { LAYERS = 3, HEADS = 6, OWN = 4, ROWS = 5, BLOCKS = 4 };
    struct tw_model model        = {.config = {.n_layers = LAYERS, .n_heads = HEADS}};
    struct tw_engine engine      = {.model = &model};
    struct tw_mesh_shard shard[] = {{.q_heads = {0, OWN}}, {.q_heads = {OWN, HEADS}}};
    struct tw_segment segments[] = {{.n_rows = 1, .position = 70, .entropies = true},
                                    {.n_rows = 1, .position = 255, .masses = true}};
    struct tw_replica r[2];
    float block[64 * ROWS];
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        r[i] = (struct tw_replica){.engine   = &engine,
                                   .peers    = {.first = shard, .last = shard},
                                   .segments = segments,
                                   .step     = {.n_segments = 2, .segments = segments, .n_logit_rows = ROWS}};
        assert_int_equal(tw_attention_prepare(&r[i]), TRAWL_OK);
        const struct tw_step_attention *a = &r[i].step.attention;
        assert_true(a->wanted);
        assert_int_equal(a->n_masses, BLOCKS);
        for (size_t k = 0; k < ROWS * LAYERS * HEADS; k++) {
            a->entropies[k] = (k % HEADS < OWN) == (i == 0) ? (float)k : -1.0f;
        }
        for (size_t k = 0; k < BLOCKS; k++) {
            a->masses[k] += (uint64_t)(i + 1) * 0x1000000010u << 8 * k;
        }
    }
    assert_int_equal(tw_attention_block_floats(&r[0], 0), 0);
    size_t n = tw_attention_block_floats(&r[0], 1);
    assert_int_equal(n, ROWS * LAYERS * (HEADS - OWN) + 2 * BLOCKS);
    assert_ptr_equal(tw_attention_move_block(&r[1], 1, block, true), block + n);
    assert_ptr_equal(tw_attention_move_block(&r[0], 1, block, false), block + n);
    for (size_t k = 0; k < ROWS * LAYERS * HEADS; k++) {
        assert_true(fabsf(r[0].step.attention.entropies[k] - (float)k) < 0.5f);
    }
    for (size_t k = 0; k < BLOCKS; k++) {
        assert_true(r[0].step.attention.masses[k] == (uint64_t)3 * 0x1000000010u << 8 * k);
    }
    tw_attention_release(&r[0].attention);
    tw_attention_release(&r[1].attention);
}

/* ---- refusals ---- */

static void test_searches_are_not_measured(void **state)
{
    struct trawl_error err;
    struct harness h;
    int32_t prompt[100]          = {0};
    static const uint32_t ends[] = {2};
    const char *dir              = scratch_path(*state, "model");
    tiny_model_write(dir, &models[0]);
    struct tw_engine *engine =
        harness_open(dir, true, &(struct harness_way){{1, 1}, 100, 4, 0, 1, NULL, false});
    harness_init(&h);
    for (size_t i = 0; i < 6; i++) {
        struct tw_request *q = harness_add(&h, prompt, 100, 2);
        q->kind  = i % 3 == 0 ? TW_REQUEST_BEAM : i % 3 == 1 ? TW_REQUEST_SCORE : TW_REQUEST_NBEST;
        q->beam  = (struct tw_beam_params){.num_beams = 2, .num_return_sequences = 1, .length_penalty = 1};
        q->score = (struct tw_score_params){.tokens = prompt, .ends = ends, .n = 1};
        q->nbest = (struct tw_nbest_params){.min_prob = 0.5, .max_nodes = 10, .max_outputs = 1};
        q->attn_entropy = i < 3;
        q->mask         = i < 3 ? q->mask : heavy_mask(0, 10, 1);
    }
    assert_ok(harness_run(&h, engine, NULL, 0, &err));
    for (size_t i = 0; i < 6; i++) {
        const char *message = i < 3 ? "no entropies of attention" : "is for sampled answers";
        assert_int_equal(h.answers[i].finish, TW_FINISH_ERROR);
        if (strstr(h.answers[i].error, message) == NULL) {
            fail_msg("case %zu: \"%s\" does not say \"%s\"", i, h.answers[i].error, message);
        }
    }
    harness_free(&h);
    tw_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_pages_of_the_rule_are_kept, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_nothing_else_shows, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_an_answer_needs_bounded_memory, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_a_pruned_answer_needs_bounded_memory, scratch_make,
                                        scratch_remove),
        cmocka_unit_test(test_the_lightest_pages_go),
        cmocka_unit_test(test_processes_are_put_together),
        cmocka_unit_test_setup_teardown(test_searches_are_not_measured, scratch_make, scratch_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
