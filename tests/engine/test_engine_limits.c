/* SPDX-License-Identifier: MIT */
/* Constraints in the engine: answers keep to them, and tokens that nothing else may stand for are computed
 * several at a time without changing a bit. */
#include "engine/engine_int.h"
#include "engine_harness.h"
#include "support/tiny_model.h"

enum { END = 2, N_PIECES = 131, FIRST_BYTE = 3, DRAWS = 40 };

/* Token 3 + i is character 32 + i; then a few longer ones; 0 to 2 stand for no text. */
static const char *const LONGER[] = {"ab",  "abc", "12", "the", " the", "\", \"",
                                     "\":", "{\"", "00", "x\n", "\n"};
enum { N_LONGER = sizeof LONGER / sizeof LONGER[0] };

static const char *piece(void *user, int32_t id, size_t *n)
{
    static const char letters[] =
        " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmn"
        "opqrstuvwxyz{|}~";
    (void)user;
    size_t i = (size_t)id - FIRST_BYTE, n_letters = sizeof letters - 1;
    *n = 0;
    if (id < FIRST_BYTE || i >= n_letters + N_LONGER) {
        return NULL;
    }
    *n = i < n_letters ? 1 : strlen(LONGER[i - n_letters]);
    return i < n_letters ? &letters[i] : LONGER[i - n_letters];
}

static trawl_status vocabulary(const char *model_path, size_t n_vocab, struct tw_vocabulary *out,
                               struct trawl_error *err)
{
    return model_path == NULL ? tw_fail(err, TRAWL_ERR_INVALID, "no path")
                              : tw_vocabulary_build(out, n_vocab, piece, NULL, err);
}

static const struct {
    enum tw_constraint_kind kind;
    const char *text;
} CONSTRAINTS[] = {
    {TW_CONSTRAINT_REGEX, " shape: [1-9]x[1-9]\\n(1 [0-9]{3}\\n2 [0-9]{3}|1 [0-9]{5})\\n```"},
    {TW_CONSTRAINT_REGEX, "[a-z]{3}(QUITE FIXED|[0-9]*)#"},
    {TW_CONSTRAINT_REGEX, "ONLYONETEXTISALLOWED"},
    {TW_CONSTRAINT_REGEX, "(.|\\n)*"},
    {TW_CONSTRAINT_JSON_SCHEMA,
     "{\"type\": \"object\", \"properties\": {\"NAME\": {\"type\": \"string\", \"maxLength\": 9}, \"AGE\": "
     "{\"type\": \"integer\"}}, \"required\": [\"NAME\"]}"},
    {TW_CONSTRAINT_CHOICE, "[\"YES\", \"NO\", \"YES AND NO\"]"},
};
enum { N_CONSTRAINTS = sizeof CONSTRAINTS / sizeof CONSTRAINTS[0] };

static const int32_t END_TOKENS[] = {END};
static const int32_t PROMPT[]     = {10, 20, 30, 40, 50, 60, 70};

static void constrain(struct tw_request *q, size_t which)
{
    q->constraint = (struct tw_request_constraint){CONSTRAINTS[which].kind, CONSTRAINTS[which].text,
                                                   strlen(CONSTRAINTS[which].text)};
    q->stop       = END_TOKENS;
    q->n_stop     = 1;
}

static struct tw_engine *open_engine(void **state, struct tw_mesh mesh, size_t batch, size_t chunk,
                                     size_t n_pages)
{
    struct trawl_error err;
    struct tw_engine_config c;
    struct tw_engine *e = NULL;
    struct tiny_model m = tiny_model_default();
    tiny_model_write(scratch_path(*state, "model"), &m);
    tw_engine_config_init(&c);
    c.model_path     = scratch_path(*state, "model");
    c.mesh           = mesh;
    c.threads        = 1;
    c.batch_size     = batch;
    c.prefill_chunk  = chunk;
    c.kv_cache_bytes = n_pages * tw_kv_page_bytes(TW_DTYPE_BF16, m.n_layers, m.n_kv_heads, m.head_dim);
    c.vocabulary     = vocabulary;
    assert_ok(tw_engine_open(&e, &c, &err));
    return e;
}

static trawl_status allow_all(void *user, uint64_t id, const int32_t *tokens, size_t n, uint32_t *bits,
                              struct trawl_error *err)
{
    (void)user;
    (void)id;
    (void)tokens;
    (void)n;
    (void)bits;
    (void)err;
    return TRAWL_OK;
}

static void add_requests(struct harness *h, struct tw_philox_stream *rng)
{
    while (h->n_requests < HARNESS_REQUESTS) {
        size_t n_prompt         = 1 + tw_philox_below(rng, 7);
        struct tw_request *q    = harness_add(h, PROMPT, n_prompt, 1 + tw_philox_below(rng, 90));
        q->sampling.temperature = tw_philox_below(rng, 3);
        q->sampling.seed        = h->n_requests;
        q->capture              = tw_philox_below(rng, 3) == 0;
        q->logits               = tw_philox_below(rng, 4) == 0;
        if (tw_philox_below(rng, 6) > 0) {
            constrain(q, tw_philox_below(rng, N_CONSTRAINTS));
        }
    }
}

/* One token at a time (that is what the callback does to it), and any other way: the same. */
static void runs_of_tokens_change_no_bit(void **state)
{
    const struct {
        struct tw_mesh mesh;
        size_t batch, chunk, pages;
    } ways[] = {{{1, 1}, 1, 512, 64}, {{1, 1}, 8, 512, 64}, {{1, 1}, 16, 3, 64},  {{1, 1}, 6, 1, 64},
                {{1, 1}, 12, 16, 6},  {{1, 2}, 5, 7, 64},   {{2, 1}, 3, 512, 64}, {{2, 2}, 2, 2, 64}};
    static struct harness one, other;
    struct tw_philox_stream rng;
    struct tw_site sites[4];
    struct trawl_error err;
    size_t n_sites = 0;
    uint64_t saved = 0, all = 0; /* a sum over steps: of fewer, if several tokens are computed in one */
    tw_philox_stream_init(&rng, 31, 0);
    struct tw_engine *base = open_engine(state, (struct tw_mesh){1, 1}, 1, 512, 64);
    assert_ok(
        tw_site_parse("blocks.1.hook_resid_post", &tw_engine_model(base)->config, sites, 4, &n_sites, &err));
    for (int draw = 0; draw < DRAWS; draw++) {
        size_t way = (size_t)draw % (sizeof ways / sizeof ways[0]);
        struct tw_engine_stats slow, fast;
        harness_init(&one);
        add_requests(&one, &rng);
        one.allowed = allow_all;
        assert_ok(harness_run(&one, base, sites, n_sites, &err));
        tw_engine_stats(base, &slow);
        harness_init(&other);
        memcpy(other.requests, one.requests, sizeof one.requests);
        other.n_requests = one.n_requests;
        other.no_token   = true;
        struct tw_engine *e =
            open_engine(state, ways[way].mesh, ways[way].batch, ways[way].chunk, ways[way].pages);
        assert_ok(harness_run(&other, e, sites, n_sites, &err));
        tw_engine_stats(e, &fast);
        harness_assert_equal(&one, &other, e, sites, n_sites);
        saved += ways[way].batch == 1 ? slow.held_positions - fast.held_positions : 0;
        all += ways[way].batch == 1 ? slow.held_positions : 0;
        tw_engine_close(e);
        harness_free(&one);
        harness_free(&other);
    }
    print_message("steps saved: %.0f %%\n", 100.0 * (double)saved / (double)all);
    assert_true(saved > all / 20);
    tw_engine_close(base);
}

static void append_text(char *text, size_t *size, int32_t token)
{
    size_t n;
    const char *bytes = piece(NULL, token, &n);
    if (n > 0) {
        memcpy(text + *size, bytes, n);
        *size += n;
    }
    text[*size] = '\0';
}

static void answers_keep_to_their_constraint(void **state)
{
    static struct harness h;
    struct trawl_error err;
    struct tw_engine *e = open_engine(state, (struct tw_mesh){1, 1}, 8, 512, 64);
    harness_init(&h);
    for (size_t i = 0; i < 12; i++) {
        struct tw_request *q    = harness_add(&h, PROMPT, 7, i < 6 ? 60 : 24);
        q->sampling.temperature = 2;
        q->sampling.seed        = i;
        constrain(q, i % N_CONSTRAINTS);
    }
    assert_ok(harness_run(&h, e, NULL, 0, &err));
    for (size_t i = 0; i < 12; i++) {
        const struct harness_answer *a = &h.answers[i];
        char text[2048]                = "";
        size_t size                    = 0;
        for (size_t k = 0; k < a->n_tokens; k++) {
            append_text(text, &size, a->tokens[k]);
        }
        struct tw_vocabulary v;
        struct tw_constraint *c;
        struct tw_constraint_state s     = {0};
        struct tw_constraint_rules rules = {.tokens_left = 1000};
        struct tw_allowed allowed;
        uint32_t bits[8];
        const struct tw_request_constraint *k = &h.requests[i].constraint;
        size_t n                              = a->n_tokens - (a->tokens[a->n_tokens - 1] == END);
        assert_ok(tw_vocabulary_build(&v, N_PIECES, piece, NULL, &err));
        assert_ok(tw_constraint_new(k->kind, k->text, k->n, &v, 0, &c, &err));
        assert_ok(tw_constraint_allow(c, &s, a->tokens, n, &rules, bits, &allowed, &err));
        if (!allowed.complete) {
            fail_msg("request %zu: \"%s\" is not complete", i, text);
        }
        assert_int_equal(a->finish, a->tokens[a->n_tokens - 1] == END ? TW_FINISH_STOP : TW_FINISH_LENGTH);
        tw_constraint_free(c);
        tw_vocabulary_release(&v);
    }
    assert_int_equal(h.answers[2].n_tokens, 21); /* one text: its letters and the end */
    harness_free(&h);
    tw_engine_close(e);
}

/* Without an end token the answer ends where nothing may follow. */
static void ends_without_an_end_token(void **state)
{
    static struct harness h;
    struct trawl_error err;
    struct tw_engine *e = open_engine(state, (struct tw_mesh){1, 1}, 2, 512, 64);
    harness_init(&h);
    constrain(harness_add(&h, PROMPT, 7, 60), 2);
    constrain(harness_add(&h, PROMPT, 7, 60), 5);
    h.requests[0].n_stop = h.requests[1].n_stop = 0;
    assert_ok(harness_run(&h, e, NULL, 0, &err));
    assert_int_equal(h.answers[0].finish, TW_FINISH_STOP);
    assert_int_equal(h.answers[0].n_tokens, 20);
    assert_int_equal(h.answers[1].finish, TW_FINISH_STOP);
    assert_true(h.answers[1].n_tokens == 2 || h.answers[1].n_tokens == 10);
    harness_free(&h);
    tw_engine_close(e);
}

static trawl_status allow_some(void *user, uint64_t id, const int32_t *tokens, size_t n, uint32_t *bits,
                               struct trawl_error *err)
{
    (void)user;
    if (id == 1 && n == 3) {
        return tw_fail(err, TRAWL_ERR_IO, "the table is gone");
    }
    for (int32_t i = 0; i < 131 && id < 3; i++) {
        bool odd = (i + (n > 0 ? tokens[n - 1] : 0)) % 2 == 1; /* odd and even by turns */
        bits[i / 32] &= ~(odd && !(id == 2 && n == 2) ? 0u : 1u << (i % 32));
    }
    if (id == 2 && n == 2) {
        memset(bits, 0, 5 * sizeof *bits);
    }
    return TRAWL_OK;
}

static void asks_the_callback(void **state)
{
    static struct harness h;
    struct trawl_error err;
    struct tw_engine *e = open_engine(state, (struct tw_mesh){1, 1}, 4, 512, 64);
    harness_init(&h);
    for (int i = 0; i < 4; i++) {
        harness_add(&h, PROMPT, 7, 20)->ignore_eos = true;
    }
    constrain(&h.requests[3], 4);
    h.allowed = allow_some;
    assert_ok(harness_run(&h, e, NULL, 0, &err));
    assert_int_equal(h.answers[0].finish, TW_FINISH_LENGTH);
    for (size_t i = 1; i < 20; i++) {
        assert_int_equal((h.answers[0].tokens[i - 1] + h.answers[0].tokens[i]) % 2, 1);
    }
    assert_int_equal(h.answers[1].finish, TW_FINISH_ERROR);
    assert_non_null(strstr(h.answers[1].error, "allowed tokens failed: the table is gone"));
    assert_int_equal(h.answers[2].finish, TW_FINISH_ERROR);
    assert_non_null(strstr(h.answers[2].error, "allows none after 2 tokens"));
    assert_true(h.answers[3].finish != TW_FINISH_ERROR);
    harness_free(&h);
    tw_engine_close(e);
}

static void refuses_by_request(void **state)
{
    static struct harness h;
    struct trawl_error err;
    static const struct tw_request_constraint bad[] = {
        {TW_CONSTRAINT_REGEX, "a(", 2},
        {TW_CONSTRAINT_JSON_SCHEMA, "{\"minimum\": 3}", 14},
        {TW_CONSTRAINT_REGEX, "\xC3\xA9+", 3},
        {TW_CONSTRAINT_REGEX, "a", 1},
    };
    static const char *const words[] = {"offset 1: \"(\" is not closed", "\"minimum\" is not supported",
                                        "no token of the vocabulary can go on",
                                        "for sampled answers, not for beams"};
    struct tw_engine *e              = open_engine(state, (struct tw_mesh){1, 1}, 4, 512, 64);
    harness_init(&h);
    for (size_t i = 0; i < 4; i++) {
        harness_add(&h, PROMPT, 7, 20)->constraint = bad[i];
    }
    h.requests[3].kind = TW_REQUEST_BEAM;
    h.requests[3].beam = (struct tw_beam_params){2, 1, 1, TW_EARLY_STOPPING_FALSE};
    constrain(harness_add(&h, PROMPT, 7, 60), 0);
    assert_ok(harness_run(&h, e, NULL, 0, &err));
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(h.answers[i].finish, TW_FINISH_ERROR);
        if (strstr(h.answers[i].error, words[i]) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", h.answers[i].error, words[i]);
        }
    }
    assert_int_equal(h.answers[4].finish, TW_FINISH_STOP);
    harness_free(&h);
    tw_engine_close(e);
}

/* More constraints than are kept: forgotten ones are compiled again. */
static void many_constraints(void **state)
{
    static struct harness h[3];
    static char texts[3 * HARNESS_REQUESTS][16];
    struct trawl_error err;
    struct tw_engine *e = open_engine(state, (struct tw_mesh){1, 1}, 3, 512, 64);
    for (int round = 0; round < 2; round++) {
        for (size_t k = 0; k < 3; k++) {
            harness_init(&h[k]);
            for (size_t i = 0; i < HARNESS_REQUESTS; i++) {
                char *text = texts[k * HARNESS_REQUESTS + i];
                (void)snprintf(text, 16, "[%c-z]{5}", (char)('a' + (k * HARNESS_REQUESTS + i) % 25));
                struct tw_request *q = harness_add(&h[k], PROMPT, 7, 20);
                q->constraint = (struct tw_request_constraint){TW_CONSTRAINT_REGEX, text, strlen(text)};
            }
            assert_ok(harness_run(&h[k], e, NULL, 0, &err));
            for (size_t i = 0; i < HARNESS_REQUESTS; i++) {
                assert_int_equal(h[k].answers[i].finish, TW_FINISH_STOP);
                assert_true(h[k].answers[i].tokens[0] >=
                            texts[k * HARNESS_REQUESTS + i][1] - 32 + FIRST_BYTE);
            }
            harness_free(&h[k]);
        }
    }
    tw_engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(runs_of_tokens_change_no_bit, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(answers_keep_to_their_constraint, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(ends_without_an_end_token, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(asks_the_callback, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(refuses_by_request, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(many_constraints, scratch_make, scratch_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
