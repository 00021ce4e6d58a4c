/* SPDX-License-Identifier: MIT */
/* The prefix cache, pages on demand and preemption: they change how much is computed, and not one bit of what
 * comes out. */
#include "base/alloc.h"
#include "engine/engine_int.h"
#include "engine/engine_session.h"
#include "engine_harness.h"
#include "support/tiny_model.h"

/* The thread sanitizer looks for races, which a fifth of the draws would show as well; it is twenty times slower. */
#ifdef __SANITIZE_THREAD__
enum { DRAWS = 60 };
#else
enum { DRAWS = 320 };
#endif

enum { POOL = 48, LONGEST = 330, FAMILIES = 5, SITES = 3, SEED = 20261121 };

static int32_t families[FAMILIES][LONGEST]; /* filled by main */

static uint32_t pick(struct tw_philox_stream *s, uint32_t lo, uint32_t hi)
{
    return lo + tw_philox_below(s, hi - lo + 1);
}

static const char *write_model(void **state)
{
    struct tiny_model m = tiny_model_default();
    tiny_model_write(scratch_path(*state, "model"), &m);
    return scratch_path(*state, "model");
}

static size_t page_bytes(enum tw_dtype dtype)
{
    struct tiny_model m = tiny_model_default();
    return tw_kv_page_bytes(dtype, m.n_layers, m.n_kv_heads, m.head_dim);
}

static struct tw_engine_config config_for(const char *dir, size_t n_pages)
{
    struct tw_engine_config c;
    tw_engine_config_init(&c);
    c.model_path     = dir;
    c.threads        = 1;
    c.batch_size     = 4;
    c.kv_cache_bytes = n_pages * page_bytes(TW_DTYPE_BF16);
    return c;
}

static struct tw_engine *open_with(const struct tw_engine_config *c)
{
    struct trawl_error err;
    struct tw_engine *e = NULL;
    assert_ok(tw_engine_open(&e, c, &err));
    return e;
}

static struct tw_engine_stats run(struct tw_engine *e, struct harness *h)
{
    struct trawl_error err;
    struct tw_engine_stats s;
    assert_ok(harness_run(h, e, NULL, 0, &err));
    tw_engine_stats(e, &s);
    assert_int_equal(s.running + s.preempted + s.queued, 0);
    assert_int_equal(s.held_pages, 0);
    return s;
}

/* ---- random use ---- */

/* Requests whose answers are known from an engine that computes each alone and keeps nothing. */
struct pool {
    struct tw_site sites[SITES];
    size_t n_sites;
    int32_t prompts[POOL][LONGEST];
    struct harness known[POOL / HARNESS_REQUESTS];
};

/* The most that its kind lets a request of the pool need. */
static size_t pages_of(const struct tw_request *q)
{
    size_t width = q->kind == TW_REQUEST_BEAM ? 3 : q->kind == TW_REQUEST_SCORE ? 4 : 1;
    return q->n_prompt / TW_KV_BLOCK +
           width * (tw_kv_pages_for(q->n_prompt +
                                    tw_max_size(q->max_tokens, q->kind == TW_REQUEST_SCORE ? 40 : 0)) -
                    q->n_prompt / TW_KV_BLOCK);
}

/* A few requests are searches: they have several branches, which are preempted together. */
static void make_search(struct tw_request *q, struct tw_philox_stream *s)
{
    static int32_t tokens[64];
    static const uint32_t ends[] = {3, 4, 24, 64};
    q->capture = q->logits = false;
    tw_sample_params_init(&q->sampling);
    switch (pick(s, 0, 2)) {
    case 0:
        q->kind       = TW_REQUEST_BEAM;
        q->max_tokens = pick(s, 2, 100);
        q->beam       = (struct tw_beam_params){.num_beams            = pick(s, 2, 3),
                                                .num_return_sequences = 2,
                                                .length_penalty       = 1,
                                                .early_stopping       = TW_EARLY_STOPPING_NEVER};
        break;
    case 1:
        for (size_t i = 0; i < 64; i++) {
            tokens[i] = (int32_t)(i % 7);
        }
        q->kind       = TW_REQUEST_SCORE;
        q->max_tokens = 0;
        q->score      = (struct tw_score_params){.tokens = tokens, .ends = ends, .n = 4};
        break;
    default:
        q->kind       = TW_REQUEST_NBEST;
        q->max_tokens = pick(s, 2, 90);
        q->nbest      = (struct tw_nbest_params){.min_prob = 0.05, .max_nodes = 200, .max_outputs = 5};
    }
}

/* A prompt is the beginning of one of a few texts, and sometimes goes its own way at the end. Every other request
 * has a short prompt and a long answer: that is what takes pages from others. */
static void add_random(struct pool *p, size_t i, struct tw_philox_stream *s)
{
    bool grows    = i % 2 == 1;
    size_t family = pick(s, 0, FAMILIES - 1), n = pick(s, 1, grows ? 100 : pick(s, 0, 3) ? 200 : LONGEST);
    memcpy(p->prompts[i], families[family], n * sizeof *p->prompts[i]);
    for (size_t j = pick(s, 0, 2) ? n : pick(s, 0, (uint32_t)n); j < n; j++) {
        p->prompts[i][j] = (int32_t)pick(s, 0, 130);
    }
    struct tw_request *q = harness_add(&p->known[i / HARNESS_REQUESTS], p->prompts[i], n,
                                       grows           ? pick(s, 100, 220)
                                       : pick(s, 0, 7) ? pick(s, 1, 20)
                                                       : 0);
    q->ignore_eos        = pick(s, 0, 7) > 0;
    q->capture           = pick(s, 0, 3) == 0;
    q->logits            = pick(s, 0, 7) == 0;
    q->capture_from      = pick(s, 0, 1) ? pick(s, 0, (uint32_t)n) : 0;
    q->logits_from       = pick(s, 0, 1) ? pick(s, 0, (uint32_t)n - 1) : 0;
    if (i % 4 == 3) {
        make_search(q, s);
    } else if (pick(s, 0, 1)) {
        q->sampling.temperature        = pick(s, 0, 1) ? 0.9 : 20;
        q->sampling.top_p              = 0.95;
        q->sampling.repetition_penalty = 1.1;
        q->sampling.seed               = i;
    }
}

static void fill_pool(struct pool *p, const char *dir, struct tw_philox_stream *s)
{
    static const char *const names[SITES] = {"blocks.0.hook_resid_post", "blocks.1.attn.hook_z",
                                             "blocks.1.mlp.hook_post"};
    struct trawl_error err;
    struct tw_engine_config c  = config_for(dir, 20);
    c.batch_size               = 3; /* the most beams there are */
    c.prefix_cache             = false;
    c.prompt_lookup_num_tokens = 0;
    struct tw_engine *e        = open_with(&c);
    for (size_t i = 0; i < SITES; i++) {
        assert_ok(tw_site_parse(names[i], &tw_engine_model(e)->config, p->sites, SITES, &p->n_sites, &err));
    }
    for (size_t i = 0; i < POOL / HARNESS_REQUESTS; i++) {
        harness_init(&p->known[i]);
    }
    for (size_t i = 0; i < POOL; i++) {
        add_random(p, i, s);
    }
    for (size_t i = 0; i < POOL / HARNESS_REQUESTS; i++) {
        assert_ok(harness_run(&p->known[i], e, p->sites, p->n_sites, &err));
        for (size_t j = 0; j < HARNESS_REQUESTS; j++) {
            assert_int_not_equal(p->known[i].answers[j].finish, TW_FINISH_ERROR);
        }
    }
    tw_engine_close(e);
}

struct totals {
    uint64_t preemptions, cached, evicted, computed;
};

static struct tw_engine *open_drawn(const char *dir, size_t least, struct tw_philox_stream *s)
{
    size_t n_pages            = least + (pick(s, 0, 3) ? pick(s, 0, 5) : pick(s, 6, 60));
    struct tw_engine_config c = config_for(dir, n_pages);
    c.batch_size              = pick(s, 3, 8);
    c.prefill_chunk           = pick(s, 0, 2) ? pick(s, 60, 400) : pick(s, 1, 60);
    c.prefix_cache            = pick(s, 0, 3) > 0;
    c.mesh.model              = pick(s, 0, 5) == 0 ? 2 : 1;
    c.mesh.data               = pick(s, 0, 5) == 0 ? 2 : 1;
    return open_with(&c);
}

/* Some of the pool, in any order, twice over the same engine. */
static void check_draw(const char *dir, const struct pool *p, struct tw_philox_stream *s, struct totals *t)
{
    static struct harness expected, got; /* large */
    struct trawl_error err;
    bool growing = pick(s, 0, 1);
    size_t n = pick(s, 3, 9), least = 1;
    harness_init(&expected);
    harness_init(&got);
    for (size_t i = 0; i < n; i++) {
        size_t k                   = pick(s, 0, POOL / 2 - 1) * 2 + (growing ? 1 : pick(s, 0, 1));
        const struct harness *from = &p->known[k / HARNESS_REQUESTS];
        expected.requests[i]       = from->requests[k % HARNESS_REQUESTS];
        expected.answers[i]        = from->answers[k % HARNESS_REQUESTS];
        got.requests[i]            = expected.requests[i];
        got.requests[i].id         = i;
        least                      = tw_max_size(least, pages_of(&got.requests[i]));
    }
    expected.n_requests = got.n_requests = n;
    got.backwards                        = pick(s, 0, 1);
    struct tw_engine *e                  = open_drawn(dir, least, s);
    for (int runs = pick(s, 0, 3) ? 1 : 2; runs > 0; runs--) {
        struct tw_engine_stats stats;
        assert_ok(harness_run(&got, e, p->sites, p->n_sites, &err));
        harness_assert_equal(&expected, &got, e, p->sites, p->n_sites);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(got.answers[i].finished, 1);
            if (got.requests[i].kind == TW_REQUEST_SAMPLE) { /* each was told once */
                assert_int_equal(got.n_tokens[i], got.answers[i].n_tokens);
            }
        }
        tw_engine_stats(e, &stats);
        assert_int_equal(stats.held_pages, 0);
        t->preemptions += stats.preemptions;
        t->cached += stats.cached_tokens;
        t->evicted += stats.evicted_pages;
        t->computed += stats.computed_tokens;
    }
    tw_engine_close(e);
    harness_free(&got);
}

static void test_random_use_changes_no_bit(void **state)
{
    static struct pool pool; /* large */
    const char *dir = write_model(state);
    struct tw_philox_stream s;
    struct totals t = {0};
    tw_philox_stream_init(&s, SEED, 0);
    fill_pool(&pool, dir, &s);
    for (int i = 0; i < DRAWS; i++) {
        tw_philox_stream_init(&s, SEED, (uint64_t)i + 1);
        if (i % 40 == 0) {
            print_message("seed %d, draw %d\n", SEED, i);
        }
        check_draw(dir, &pool, &s, &t);
    }
    print_message("%llu tokens computed, %llu found, %llu pages evicted, %llu preemptions\n",
                  (unsigned long long)t.computed, (unsigned long long)t.cached, (unsigned long long)t.evicted,
                  (unsigned long long)t.preemptions);
    assert_true(t.preemptions > DRAWS / 8 && t.cached > 20 * DRAWS && t.evicted > DRAWS);
    for (size_t i = 0; i < POOL / HARNESS_REQUESTS; i++) {
        harness_free(&pool.known[i]);
    }
}

/* ---- what is computed ---- */

static void test_a_known_prefix_is_not_computed_again(void **state)
{
    struct tw_engine_config c = config_for(write_model(state), 64);
    struct tw_engine *e       = open_with(&c);
    struct harness h;
    uint64_t prompt, generated;
    harness_init(&h);
    harness_add(&h, families[0], 300, 1)->ignore_eos = true;
    struct tw_engine_stats s                         = run(e, &h);
    assert_int_equal(s.computed_tokens, 300);
    assert_int_equal(s.cached_tokens, 0);
    assert_int_equal(s.idle_pages, 4); /* the fifth page is not whole */
    s = run(e, &h);
    assert_int_equal(s.computed_tokens, 300 - 256);
    assert_int_equal(s.cached_tokens, 256);
    tw_engine_progress(e, &prompt, &generated);
    assert_int_equal(prompt, 300); /* dealt with, if not computed */
    assert_int_equal(generated, 1);
    h.requests[0].n_prompt = 256; /* the last token is computed in any case: it is what logits come from */
    s                      = run(e, &h);
    assert_int_equal(s.cached_tokens, 192);
    assert_int_equal(s.computed_tokens, 64);
    h.requests[0].logits = true; /* wants every row of the prompt */
    s                    = run(e, &h);
    assert_int_equal(s.cached_tokens, 0);
    assert_int_equal(s.computed_tokens, 256);
    harness_free(&h);
    tw_engine_close(e);
}

static void test_the_cache_can_be_switched_off(void **state)
{
    struct tw_engine_config c = config_for(write_model(state), 64);
    c.prefix_cache            = false;
    struct tw_engine *e       = open_with(&c);
    struct harness h;
    harness_init(&h);
    harness_add(&h, families[0], 300, 1)->ignore_eos = true;
    for (int i = 0; i < 2; i++) {
        struct tw_engine_stats s = run(e, &h);
        assert_int_equal(s.computed_tokens, 300);
        assert_int_equal(s.cached_tokens + s.idle_pages, 0);
    }
    harness_free(&h);
    tw_engine_close(e);
}

/* Four samples of a prompt, let in together: one computes it, in pieces; the others wait for its pages. */
static void test_samples_of_a_prompt_share_it(void **state)
{
    enum { SAMPLES = 4, PROMPT = 310, NEW = 40 };
    struct tw_engine_config c = config_for(write_model(state), 64);
    c.prefill_chunk           = 100;
    struct tw_engine *e       = open_with(&c);
    struct harness h;
    harness_init(&h);
    for (int i = 0; i < SAMPLES; i++) {
        struct tw_request *q    = harness_add(&h, families[1], PROMPT, NEW);
        q->ignore_eos           = true;
        q->sampling.temperature = 30; /* a small model is sure of itself: samples would be equal */
        q->sampling.seed        = (uint64_t)i;
    }
    struct tw_engine_stats s = run(e, &h);
    assert_int_equal(s.cached_tokens, (SAMPLES - 1) * 256);
    assert_int_equal(s.computed_tokens - (s.draft_tokens - s.accepted_tokens),
                     PROMPT + (SAMPLES - 1) * (PROMPT - 256) + SAMPLES * (NEW - 1));
    /* four shared pages, and each its own last two */
    assert_int_equal(s.peak_pages, 4 + SAMPLES * 2);
    harness_free(&h);
    tw_engine_close(e);
}

/* A request that leaves rows of its prompt out does not compute them twice, and gives the same others. */
static void test_rows_that_nobody_wants_are_found(void **state)
{
    static struct harness all, some; /* large */
    struct tw_engine_config c = config_for(write_model(state), 64);
    struct tw_engine *e       = open_with(&c);
    struct trawl_error err;
    struct tw_engine_stats s;
    struct tw_site site;
    size_t n = 0, width;
    assert_ok(tw_site_parse("blocks.0.hook_resid_post", &tw_engine_model(e)->config, &site, 1, &n, &err));
    width = tw_site_width(site, &tw_engine_model(e)->config);
    for (size_t max_tokens = 0; max_tokens < 2;
         max_tokens++) { /* none: the layers above the site are left out */
        harness_init(&all);
        harness_init(&some);
        harness_add(&all, families[2], 300, max_tokens)->capture = true;
        for (size_t from = 299; from <= 300; from++) {
            struct tw_request *q = harness_add(&some, families[2], 300, max_tokens);
            q->capture           = true;
            q->capture_from      = from;
        }
        assert_ok(harness_run(&all, e, &site, 1, &err));
        for (int i = 0; i < 2; i++) {
            assert_ok(harness_run(&some, e, &site, 1, &err));
            tw_engine_stats(e, &s);
            /* the first time they have their own kind of page to make, if layers are left out */
            assert_int_equal(s.cached_tokens, i == 0 && max_tokens == 0 ? 256 : 512);
            assert_int_equal(some.answers[0].n_rows[0], 1);
            assert_int_equal(some.answers[1].n_rows[0], 0);
            assert_memory_equal(some.answers[0].rows[0], all.answers[0].rows[0] + 299 * width,
                                width * sizeof(float));
        }
        harness_free(&all);
        harness_free(&some);
    }
    tw_engine_close(e);
}

static void test_logits_that_nobody_wants_are_not_computed(void **state)
{
    static struct harness all, some; /* large */
    struct tw_engine_config c = config_for(write_model(state), 64);
    struct tw_engine *e       = open_with(&c);
    size_t vocab              = tw_engine_model(e)->config.vocab;
    harness_init(&all);
    harness_init(&some);
    harness_add(&all, families[3], 300, 1)->logits = true;
    struct tw_request *q                           = harness_add(&some, families[3], 300, 1);
    q->logits                                      = true;
    q->logits_from                                 = 200;
    (void)run(e, &all);
    assert_int_equal(run(e, &some).cached_tokens, 192);
    assert_memory_equal(some.answers[0].logits, all.answers[0].logits + 200 * vocab,
                        100 * vocab * sizeof(float));
    assert_memory_equal(some.answers[0].prompt_logprobs, all.answers[0].prompt_logprobs + 200,
                        100 * sizeof(float));
    assert_int_equal(some.answers[0].tokens[0], all.answers[0].tokens[0]);
    q->logits_from = 300;
    (void)run(e, &some);
    assert_string_equal(some.answers[0].error,
                        "logits_from is 300, expected less than the 300 tokens of the prompt");
    harness_free(&all);
    harness_free(&some);
    tw_engine_close(e);
}

/* Sessions find what others computed, jobs too, and jobs what sessions did. */
static void test_sessions_share_prefixes(void **state)
{
    enum { N = 300, PAGES = 4 };
    struct tw_engine_config c = config_for(write_model(state), 64);
    struct trawl_error err;
    size_t vocab = 131;
    for (int on = 0; on < 2; on++) {
        struct harness h;
        struct tw_session *a, *b;
        const float *x, *y;
        c.prefix_cache      = on == 1;
        struct tw_engine *e = open_with(&c);
        uint64_t *found     = &e->replicas[0].prefix.found;
        harness_init(&h);
        harness_add(&h, families[4], N, 3)->ignore_eos = true;
        assert_int_equal(tw_engine_model(e)->config.vocab, vocab);
        assert_ok(tw_session_new(&a, e, &err));
        assert_ok(tw_session_append(a, families[4], N, NULL, NULL, &err));
        assert_ok(tw_session_new(&b, e, &err));
        assert_ok(tw_session_append(b, families[4], 64, NULL, NULL, &err)); /* its last token is computed */
        assert_int_equal(*found, 0);
        assert_ok(tw_session_append(b, families[4] + 64, N - 64, NULL, NULL, &err));
        assert_int_equal(*found, on ? PAGES - 1 : 0);
        assert_ok(tw_session_logits(a, &x, &err));
        assert_ok(tw_session_logits(b, &y, &err));
        assert_memory_equal(x, y, vocab * sizeof(float));
        tw_session_free(a);
        tw_session_free(b);
        assert_int_equal(run(e, &h).cached_tokens, on ? PAGES * 64 : 0);
        *found = 0;
        assert_ok(tw_session_new(&b, e, &err));
        assert_ok(tw_session_append(b, families[4], N, NULL, NULL, &err));
        assert_int_equal(*found, on ? PAGES : 0);
        tw_session_free(b);
        harness_free(&h);
        tw_engine_close(e);
    }
}

/* ---- preemption ---- */

/* Two answers that do not fit together: the younger gives way, and goes on where it was. */
static void test_the_youngest_gives_way(void **state)
{
    struct tw_engine_config c = config_for(write_model(state), 8);
    c.batch_size              = 2;
    struct tw_engine *e       = open_with(&c);
    struct harness h;
    harness_init(&h);
    for (int i = 0; i < 2; i++) {
        struct tw_request *q = harness_add(&h, families[i], 180, 92);
        q->ignore_eos        = true;
    }
    struct tw_engine_stats s = run(e, &h);
    assert_int_equal(s.preemptions, 1);
    assert_int_equal(s.pages, 8);
    assert_int_equal(s.peak_pages, 8);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(h.answers[i].n_tokens, 92);
    }
    harness_free(&h);
    tw_engine_close(e);
}

static void test_pages_that_others_hold_are_missed_in_numbers(void **state)
{
    struct tw_engine_config c = config_for(write_model(state), 6);
    struct tw_engine *e       = open_with(&c);
    struct trawl_error err;
    struct harness h;
    uint32_t pages[4];
    harness_init(&h);
    harness_add(&h, families[0], 200, 8);
    harness_add(&h, families[0], 100, 8)->ignore_eos = true;
    assert_ok(tw_kv_pages_take(&e->replicas[0].pages, 4, pages, &err));
    assert_ok(harness_run(&h, e, NULL, 0, &err));
    assert_int_equal(h.answers[0].finish, TW_FINISH_ERROR);
    assert_non_null(
        strstr(h.answers[0].error, "200 prompt and 8 new tokens do not fit: of 6 KV pages of 64"));
    assert_int_equal(h.answers[1].n_tokens, 8); /* fits into the two that are left */
    tw_kv_pages_drop(&e->replicas[0].pages, pages, 4);
    harness_free(&h);
    tw_engine_close(e);
}

/* ---- memory ---- */

struct readings {
    size_t from, to; /* heap allocations before the tokens of these numbers */
};

static bool read_count(void *user, uint64_t id, size_t n)
{
    struct readings *r = user;
    (void)id;
    if (n == 10) {
        r->from = tw_alloc_count();
    }
    if (n == 90) { /* over the end of a page */
        r->to = tw_alloc_count();
    }
    return true;
}

static void test_a_steady_step_allocates_nothing(void **state)
{
    struct tw_engine_config c = config_for(write_model(state), 16);
    struct tw_engine *e       = open_with(&c);
    struct readings r         = {0};
    struct harness h;
    harness_init(&h);
    h.on_token      = read_count;
    h.on_token_user = &r;
    for (int i = 0; i < 3; i++) {
        harness_add(&h, families[i], 100, 92)->ignore_eos = true;
    }
    (void)run(e, &h);
    assert_true(r.from > 0);
    assert_int_equal(r.to, r.from);
    harness_free(&h);
    tw_engine_close(e);
}

/* Of a cache whose size was left to us only so much is kept for later. */
static void test_what_is_kept_is_bounded(void **state)
{
    struct tw_engine_config c = config_for(write_model(state), 0);
    struct tw_engine *e       = open_with(&c);
    assert_int_equal(e->replicas[0].prefix.most_idle, ((size_t)1 << 30) / page_bytes(TW_DTYPE_BF16));
    tw_engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_known_prefix_is_not_computed_again, scratch_make,
                                        scratch_remove),
        cmocka_unit_test_setup_teardown(test_the_cache_can_be_switched_off, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_samples_of_a_prompt_share_it, scratch_make, scratch_remove),
        scratch_test(test_rows_that_nobody_wants_are_found),
        scratch_test(test_logits_that_nobody_wants_are_not_computed),
        scratch_test(test_sessions_share_prefixes),
        cmocka_unit_test_setup_teardown(test_the_youngest_gives_way, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_pages_that_others_hold_are_missed_in_numbers, scratch_make,
                                        scratch_remove),
        cmocka_unit_test_setup_teardown(test_a_steady_step_allocates_nothing, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_what_is_kept_is_bounded, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_random_use_changes_no_bit, scratch_make, scratch_remove),
    };
    struct tw_philox_stream s;
    tw_philox_stream_init(&s, 4242, 0);
    for (size_t i = 0; i < FAMILIES; i++) {
        for (size_t j = 0; j < LONGEST; j++) {
            families[i][j] = (int32_t)pick(&s, 0, 130);
        }
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
