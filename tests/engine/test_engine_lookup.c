/* SPDX-License-Identifier: MIT */
/* Tokens that are guessed ahead: where guesses come from, and that they change no bit of any answer. */
#include "base/size.h"
#include "engine/engine_int.h"
#include "engine/engine_lookup.h"
#include "engine_harness.h"
#include "support/tiny_model.h"

enum { DRAWS = 48, LONGEST = 200, NEW = 180 };

/* ---- where guesses come from ---- */

/* The definition, word by word: the longest end of the sequence that stood before, of these the latest. */
static size_t slow_lookup(const int32_t *tokens, size_t n, size_t pace, int32_t *out, size_t most)
{
    for (size_t length = TW_LOOKUP_LONGEST; length >= TW_LOOKUP_LEAST; length--) {
        for (size_t end = n - 1; n > length && end >= length; end--) {
            if (memcmp(tokens + end - length, tokens + n - length, length * sizeof *tokens) == 0) {
                size_t n_out = tw_min_size(most, tw_max_size(length - 1, pace));
                for (size_t i = 0; i < n_out; i++) {
                    out[i] = end + i < n ? tokens[end + i] : out[end + i - n];
                }
                return n_out;
            }
        }
    }
    return 0;
}

static void test_guesses_are_what_followed(void **state)
{
    struct tw_philox_stream rng;
    int32_t tokens[120], fast[40], slow[40];
    size_t found = 0;
    (void)state;
    tw_philox_stream_init(&rng, 5, 0);
    for (int draw = 0; draw < 20000; draw++) {
        size_t n = tw_philox_below(&rng, 120), most = 1 + tw_philox_below(&rng, 40);
        uint32_t ids = 1 + tw_philox_below(&rng, 12);
        for (size_t i = 0; i < n; i++) {
            tokens[i] = (int32_t)tw_philox_below(&rng, ids);
        }
        struct tw_lookup_pace pace = {.length = (uint8_t)(1 + tw_philox_below(&rng, 50))};
        size_t expected = n < TW_LOOKUP_LEAST ? 0 : slow_lookup(tokens, n, pace.length, slow, most);
        assert_int_equal(tw_lookup(&pace, tokens, n, fast, most), expected);
        assert_memory_equal(fast, slow, expected * sizeof *fast);
        found += expected > 0;
    }
    assert_true(found > 5000 && found < 19000);
}

static void test_a_window_is_searched(void **state)
{
    enum { N = TW_LOOKUP_WINDOW + 10 };
    struct trawl_error err;
    const struct tw_lookup_pace pace = {0};
    int32_t *tokens                  = NULL, out;
    (void)state;
    assert_ok(tw_alloc(N, sizeof *tokens, &tokens, &err));
    for (int i = 0; i < N; i++) {
        tokens[i] = 10 + i;
    }
    tokens[N - 2] = tokens[3];
    tokens[N - 1] = tokens[4];
    assert_int_equal(tw_lookup(&pace, tokens, N, &out, 1), 0); /* stood too long ago */
    tokens[N - 2] = tokens[30];
    tokens[N - 1] = tokens[31];
    assert_int_equal(tw_lookup(&pace, tokens, N, &out, 1), 1);
    assert_int_equal(out, tokens[32]);
    tw_free(tokens);
}

static void test_pace(void **state)
{
    const int32_t same[]       = {7, 7, 7};
    struct tw_lookup_pace pace = {0};
    int32_t out[99];
    (void)state;
    assert_int_equal(tw_lookup(&pace, same, 3, out, 3), 3);
    assert_int_equal(tw_lookup(&pace, same, 3, out, 99), 4);
    tw_lookup_learn(&pace, 4, 4);
    assert_int_equal(tw_lookup(&pace, same, 3, out, 99), 8);
    tw_lookup_learn(&pace, 8, 2);
    assert_int_equal(tw_lookup(&pace, same, 3, out, 99), 3);
    tw_lookup_learn(&pace, 3, 0);
    assert_int_equal(tw_lookup(&pace, same, 3, out, 99), 1);
    tw_lookup_learn(&pace, 60, 60);
    assert_int_equal(tw_lookup(&pace, same, 3, out, 99), 64);
}

static void test_trust_follows_what_was_right(void **state)
{
    struct tw_lookup_pace pace = {0};
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_false(tw_lookup_trusted(&pace));
        tw_lookup_learn(&pace, 4, 4);
    }
    for (int i = 0; i < 20; i++) {
        tw_lookup_learn(&pace, 10, 9);
    }
    assert_true(tw_lookup_trusted(&pace));
    tw_lookup_learn(&pace, 10, 0);
    assert_false(tw_lookup_trusted(&pace));
    for (int i = 0; i < 20; i++) {
        tw_lookup_learn(&pace, 3, 2);
        assert_false(tw_lookup_trusted(&pace));
    }
}

/* ---- answers ---- */

struct way {
    struct tw_mesh mesh;
    size_t batch, chunk, pages, lookup;
    int threads;
};

static struct tw_engine *open_engine(const char *dir, const struct way *way)
{
    struct trawl_error err;
    struct tw_engine_config c;
    struct tw_engine *e = NULL;
    struct tiny_model m = tiny_model_default();
    tw_engine_config_init(&c);
    c.model_path               = dir;
    c.mesh                     = way->mesh;
    c.threads                  = way->threads;
    c.batch_size               = way->batch;
    c.prefill_chunk            = way->chunk;
    c.prompt_lookup_num_tokens = way->lookup;
    c.kv_cache_bytes = way->pages * tw_kv_page_bytes(TW_DTYPE_BF16, m.n_layers, m.n_kv_heads, m.head_dim);
    assert_ok(tw_engine_open(&e, &c, &err));
    return e;
}

/* Repeats a few tokens with a slip now and then. */
static size_t make_prompt(struct tw_philox_stream *rng, int32_t *out)
{
    size_t n = 1 + tw_philox_below(rng, LONGEST), period = 1 + tw_philox_below(rng, 12);
    for (size_t i = 0; i < n; i++) {
        bool copied = i >= period && tw_philox_below(rng, 20) > 0;
        out[i]      = copied ? out[i - period] : (int32_t)(3 + tw_philox_below(rng, 128));
    }
    return n;
}

static void vary(struct tw_request *q, struct tw_philox_stream *rng, size_t i)
{
    static const int32_t stops[] = {77};
    q->ignore_eos                = i % 3 > 0;
    q->logits                    = i % 5 == 0;
    q->attn_entropy              = i % 4 == 0;
    q->sampling.top_logprobs     = i % 4 == 1 ? 3 : 0;
    if (i % 7 == 2) {
        q->stop   = stops;
        q->n_stop = 1;
    }
    if (i % 2 == 1) {
        q->sampling.temperature       = 0.05 * (double)tw_philox_below(rng, 20);
        q->sampling.seed              = i;
        q->sampling.frequency_penalty = i % 6 == 3 ? 0.2 : 0;
        q->sampling.min_tokens        = q->max_tokens / 3;
    }
    q->capture = i % 3 == 2;
    if (i % 8 > 5) {
        q->mask =
            (struct tw_mask){.kind = TW_MASK_WINDOW, .window = 30 + 4 * i, .sinks = 2, .prune = i % 8 == 6};
    }
}

static bool ends_at_its_40th_token(void *user, uint64_t id, size_t n)
{
    (void)user;
    return id % 4 != 0 || n < 40;
}

/* One token a step of one sequence at a time, and with guesses, any other way: the same bytes. */
static void test_guesses_change_no_bit(void **state)
{
    static const struct way ways[] = {{{1, 1}, 1, 512, 64, 16, 1}, {{1, 1}, 1, 512, 8, 64, 1},
                                      {{1, 1}, 4, 512, 64, 16, 2}, {{1, 1}, 13, 40, 64, 1, 1},
                                      {{1, 1}, 12, 16, 7, 16, 1},  {{1, 2}, 3, 7, 64, 5, 1},
                                      {{2, 1}, 4, 512, 7, 16, 1},  {{2, 2}, 2, 1, 64, 16, 1}};
    const struct way plain         = {{1, 1}, 1, 512, 64, 0, 1};
    static int32_t prompts[HARNESS_REQUESTS][LONGEST];
    static struct harness one, other;
    const char *dir     = scratch_path(*state, "model");
    struct tiny_model m = tiny_model_default();
    struct tw_philox_stream rng;
    struct trawl_error err;
    struct tw_site sites[2];
    size_t n_sites   = 0;
    uint64_t guessed = 0, right = 0, preempted = 0, alone = 0, alone_steps = 0;
    tiny_model_write(dir, &m);
    tw_philox_stream_init(&rng, 20261122, 0);
    struct tw_engine *base = open_engine(dir, &plain);
    assert_ok(
        tw_site_parse("blocks.*.hook_resid_post", &tw_engine_model(base)->config, sites, 2, &n_sites, &err));
    for (int draw = 0; draw < DRAWS; draw++) {
        const struct way *way = &ways[draw % (int)(sizeof ways / sizeof ways[0])];
        struct tw_engine_stats slow, fast;
        struct tw_engine *e = open_engine(dir, way);
        harness_init(&one);
        for (size_t i = 0; i < HARNESS_REQUESTS; i++) {
            size_t n = make_prompt(&rng, prompts[i]);
            vary(harness_add(&one, prompts[i], n, 1 + tw_philox_below(&rng, NEW)), &rng, i);
        }
        harness_init(&other);
        memcpy(other.requests, one.requests, sizeof one.requests);
        other.n_requests = one.n_requests;
        other.backwards  = draw % 2 == 1;
        one.on_token = other.on_token = draw % 3 == 0 ? ends_at_its_40th_token : NULL;
        other.no_token                = draw % 3 == 1;
        assert_ok(harness_run(&one, base, sites, n_sites, &err));
        tw_engine_stats(base, &slow);
        assert_int_equal(slow.draft_tokens, 0);
        assert_ok(harness_run(&other, e, sites, n_sites, &err));
        tw_engine_stats(e, &fast);
        harness_assert_equal(&one, &other, e, sites, n_sites);
        guessed += fast.draft_tokens;
        right += fast.accepted_tokens;
        preempted += fast.preemptions;
        alone += way->batch == 1 ? slow.steps : 0;
        alone_steps += way->batch == 1 ? fast.steps : 0;
        tw_engine_close(e);
        harness_free(&one);
        harness_free(&other);
    }
    print_message("%llu guessed, %llu right, %llu preemptions; %llu steps instead of %llu\n",
                  (unsigned long long)guessed, (unsigned long long)right, (unsigned long long)preempted,
                  (unsigned long long)alone_steps, (unsigned long long)alone);
    assert_true(right > 1000 && guessed > right + 1000 && preempted > 0 && 2 * alone_steps < alone);
    tw_engine_close(base);
}

/* ---- ends ---- */

enum { GUESS = 3, SEEN = 30, AFTER = 9 };

/* Rows of one site that a greedy answer of up to AFTER tokens hands out. */
static size_t captured(struct tw_engine *e, const int32_t *prompt, size_t n, const int32_t *stop,
                       int32_t *answer)
{
    static struct harness h;
    struct tw_site site[1];
    struct trawl_error err;
    size_t n_sites = 0;
    assert_ok(
        tw_site_parse("blocks.0.hook_resid_post", &tw_engine_model(e)->config, site, 1, &n_sites, &err));
    harness_init(&h);
    h.no_token           = true;
    struct tw_request *q = harness_add(&h, prompt, n, AFTER);
    q->ignore_eos        = true;
    q->capture           = true;
    q->mask              = (struct tw_mask){.kind = TW_MASK_WINDOW, .window = 8};
    q->stop              = stop;
    q->n_stop            = stop == NULL ? 0 : 1;
    assert_ok(harness_run(&h, e, site, n_sites, &err));
    memcpy(answer, h.answers[0].tokens, AFTER * sizeof *answer);
    size_t rows = h.answers[0].n_rows[0];
    harness_free(&h);
    return rows;
}

/* What the answer begins with stands at the beginning of the prompt, where no row of the answer sees it: so its second
 * token, the end, is guessed. Nothing is computed of it. */
static void test_a_guessed_end_leaves_no_row(void **state)
{
    const struct way way = {{1, 1}, 1, 512, 64, 16, 1}, none = {{1, 1}, 1, 512, 64, 0, 1};
    const char *dir     = scratch_path(*state, "model");
    struct tiny_model m = tiny_model_default();
    int32_t prompt[GUESS + SEEN], answer[AFTER], again[AFTER];
    struct tw_philox_stream rng;
    size_t ends = 0;
    tiny_model_write(dir, &m);
    tw_philox_stream_init(&rng, 7, 0);
    struct tw_engine *e = open_engine(dir, &way), *off = open_engine(dir, &none);
    for (int draw = 0; draw < DRAWS; draw++) {
        for (size_t i = 0; i < GUESS + SEEN; i++) {
            prompt[i] = (int32_t)(3 + tw_philox_below(&rng, 128));
        }
        (void)captured(off, prompt + GUESS, SEEN, NULL, answer);
        prompt[0]   = prompt[GUESS + SEEN - 1];
        prompt[1]   = answer[0];
        prompt[2]   = answer[1];
        size_t rows = captured(off, prompt, GUESS + SEEN, &answer[1], again);
        assert_int_equal(captured(e, prompt, GUESS + SEEN, &answer[1], again), rows);
        ends += rows == GUESS + SEEN + 1;
    }
    assert_true(ends > 3); /* most answers repeat their first token */
    tw_engine_close(e);
    tw_engine_close(off);
}

/* ---- who guesses ---- */

static trawl_status allow_all(void *user, uint64_t id, const int32_t *tokens, size_t n, uint32_t *bits,
                              struct trawl_error *err)
{
    (void)user, (void)id, (void)tokens, (void)n, (void)bits, (void)err;
    return TRAWL_OK;
}

/* Tokens guessed for an answer that repeats itself. */
static uint64_t guessed(struct tw_engine *e, void (*set)(struct harness *h, struct tw_request *q))
{
    static struct harness h;
    static int32_t prompt[64];
    struct tw_engine_stats stats;
    struct tw_site site[1];
    struct trawl_error err;
    size_t n_sites = 0;
    assert_ok(
        tw_site_parse("blocks.0.hook_resid_post", &tw_engine_model(e)->config, site, 1, &n_sites, &err));
    for (size_t i = 0; i < 64; i++) {
        prompt[i] = (int32_t)(5 + i % 4);
    }
    harness_init(&h);
    struct tw_request *q = harness_add(&h, prompt, 64, 60);
    q->ignore_eos        = true;
    set(&h, q);
    assert_ok(harness_run(&h, e, site, n_sites, &err));
    tw_engine_stats(e, &stats);
    harness_free(&h);
    return stats.draft_tokens;
}

static void set_nothing(struct harness *h, struct tw_request *q)
{
    (void)h, (void)q;
}

static void set_capture(struct harness *h, struct tw_request *q)
{
    (void)h;
    q->capture = true;
}

static void set_capture_alone(struct harness *h, struct tw_request *q)
{
    h->no_token = true;
    q->capture  = true;
}

static void set_heavy(struct harness *h, struct tw_request *q)
{
    (void)h;
    q->mask = (struct tw_mask){.kind = TW_MASK_HEAVY, .window = 64, .heavy = 1, .prune = true};
}

static void set_policy(struct harness *h, struct tw_request *q)
{
    (void)h;
    q->sampling.policy.on = true;
}

static void set_callback(struct harness *h, struct tw_request *q)
{
    (void)q;
    h->allowed = allow_all;
}

static void set_beams(struct harness *h, struct tw_request *q)
{
    (void)h;
    q->kind = TW_REQUEST_BEAM;
    q->beam = (struct tw_beam_params){.num_beams = 1, .num_return_sequences = 1};
}

static void test_whose_rows_count_guess_nothing(void **state)
{
    const struct way way = {{1, 1}, 1, 512, 64, 16, 1}, none = {{1, 1}, 1, 512, 64, 0, 1};
    const char *dir     = scratch_path(*state, "model");
    struct tiny_model m = tiny_model_default();
    tiny_model_write(dir, &m);
    struct tw_engine *e = open_engine(dir, &way), *off = open_engine(dir, &none);
    assert_true(guessed(e, set_nothing) > 0);
    assert_true(guessed(e, set_capture_alone) > 0);
    assert_int_equal(guessed(off, set_nothing), 0);
    assert_int_equal(guessed(e, set_capture), 0);
    assert_int_equal(guessed(e, set_heavy), 0);
    assert_int_equal(guessed(e, set_policy), 0);
    assert_int_equal(guessed(e, set_callback), 0);
    assert_int_equal(guessed(e, set_beams), 0);
    tw_engine_close(e);
    tw_engine_close(off);
}

static void test_more_than_a_step_takes_is_refused(void **state)
{
    struct trawl_error err;
    struct tw_engine_config c;
    struct tw_engine *e = NULL;
    const char *dir     = scratch_path(*state, "model");
    struct tiny_model m = tiny_model_default();
    tiny_model_write(dir, &m);
    tw_engine_config_init(&c);
    c.model_path               = dir;
    c.prompt_lookup_num_tokens = 65;
    assert_int_equal(tw_engine_open(&e, &c, &err), TRAWL_ERR_INVALID);
    assert_string_equal(err.message, "prompt_lookup_num_tokens is 65, expected 0 to 64");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guesses_are_what_followed),
        cmocka_unit_test(test_a_window_is_searched),
        cmocka_unit_test(test_pace),
        cmocka_unit_test(test_trust_follows_what_was_right),
        scratch_test(test_guesses_change_no_bit),
        scratch_test(test_a_guessed_end_leaves_no_row),
        scratch_test(test_whose_rows_count_guess_nothing),
        scratch_test(test_more_than_a_step_takes_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
