/* SPDX-License-Identifier: MIT */
/* Which tokens are allowed, token by token, against trying every one of them the slow way. */
#include "support/test.h"

#include "base/philox.h"
#include "constrain/constrain_reference.h"
#include "json/json.h"

#define CASES TRAWL_SOURCE_DIR "/tests/constrain/data/regex_cases.json"

enum { N_WORDS = 300, N_DRAWS = 1500, N_STEPS = 24, WORDS = (N_WORDS + 31) / 32 };

static bool has(const uint32_t *bits, int32_t id)
{
    return (bits[id / 32] >> (id % 32) & 1) != 0;
}

/* All single bytes that the cases use, then random strings of them; some twice, some without text. */
static void make_words(struct words *w, struct tw_philox_stream *rng)
{
    static const char *const letters[] = {"a",
                                          "b",
                                          "c",
                                          "0",
                                          "1",
                                          "-",
                                          "_",
                                          " ",
                                          ".",
                                          "\n",
                                          "]",
                                          "\xC3\xA9",
                                          "\xC3\x9F",
                                          "\xE6\xBC\xA2",
                                          "\xF0\x9F\x98\x80"};
    enum { N_LETTERS = sizeof letters / sizeof letters[0] };
    size_t n = 0;
    for (size_t i = 0; i < N_LETTERS; i++) {
        for (size_t k = 0; k < strlen(letters[i]); k++) {
            w->text[n][0] = letters[i][k];
            w->size[n++]  = 1;
        }
    }
    for (; n < w->n; n++) {
        w->size[n] = 0;
        if (tw_philox_below(rng, 20) == 0) {
            continue;
        }
        for (uint32_t left = 1 + tw_philox_below(rng, 4); left > 0; left--) {
            const char *letter = letters[tw_philox_below(rng, N_LETTERS)];
            size_t from        = tw_philox_below(rng, 8) == 0 ? strlen(letter) - 1 : 0; /* half a character */
            size_t size        = strlen(letter) - from;
            memcpy(w->text[n] + w->size[n], letter + from, size);
            w->size[n] += size;
        }
    }
}

struct answer {
    char text[N_STEPS * 16];
    size_t size;
    int32_t tokens[N_STEPS];
    size_t n;
};

/* Bytes left after the answer and a token, SIZE_MAX: it cannot be. */
static size_t left_after(const struct reference *r, const struct answer *a, const struct words *w, int32_t id)
{
    char text[sizeof a->text + 16];
    memcpy(text, a->text, a->size);
    memcpy(text + a->size, w->text[id], w->size[id]);
    return w->size[id] == 0 ? SIZE_MAX : reference_left(r, text, a->size + w->size[id]);
}

/* The rules of constrain.h, word for word; returns how many are allowed. */
static size_t expected(const struct reference *r, const struct answer *a, const struct words *w,
                       const struct tw_constraint_rules *rules, uint32_t *bits)
{
    size_t now = reference_left(r, a->text, a->size), left[N_WORDS], n = 0;
    size_t limit = rules->tokens_left < 2 ? 0 : rules->tokens_left - 2;
    limit        = now > 0 && now - 1 > limit ? now - 1 : limit;
    bool any     = false;
    for (int32_t id = 0; id < (int32_t)w->n; id++) {
        left[id] = left_after(r, a, w, id);
        any      = any || left[id] <= limit;
    }
    memset(bits, 0, WORDS * sizeof *bits);
    for (int32_t id = 0; id < (int32_t)w->n; id++) {
        bool is_end = false;
        for (size_t i = 0; i < rules->n_end; i++) {
            is_end = is_end || rules->end[i] == id;
        }
        bool fits = left[id] <= limit || (!any && now > 0 && left[id] != SIZE_MAX);
        if (is_end ? now == 0 : fits) {
            bits[id / 32] |= 1u << (id % 32);
            n++;
        }
    }
    return n;
}

/* A constraint that has just enough memory to go on: it forgets all it knows again and again. */
struct tight {
    const char *pattern;
    const struct tw_vocabulary *v;
    struct tw_constraint *c;
    struct tw_constraint_state state;
    size_t memory;
};

static void tight_allow(struct tight *t, const struct answer *a, const struct tw_constraint_rules *rules,
                        uint32_t *bits, struct tw_allowed *allowed)
{
    struct trawl_error err;
    trawl_status status = TRAWL_ERR_LIMIT;
    for (;;) {
        if (t->c != NULL) {
            status = tw_constraint_allow(t->c, &t->state, a->tokens, a->n, rules, bits, allowed, &err);
        }
        if (status != TRAWL_ERR_LIMIT) {
            break;
        }
        tw_constraint_free(t->c);
        t->memory += 256;
        t->state = (struct tw_constraint_state){0};
        assert_true(t->memory < 1 << 20);
        (void)tw_constraint_new(TW_CONSTRAINT_REGEX, t->pattern, strlen(t->pattern), t->v, t->memory, &t->c,
                                &err);
    }
    assert_ok(status);
}

/* One answer, drawn from what is allowed, by a constraint with much memory and one with hardly any. */
static void follow_answer(const char *pattern, const struct words *w, const struct tw_vocabulary *v,
                          struct tw_philox_stream *rng)
{
    struct trawl_error err;
    struct reference r;
    struct tw_constraint *c;
    struct tw_constraint_state state = {0};
    struct tight tight               = {.pattern = pattern, .v = v};
    struct answer a                  = {.n = 0};
    size_t n_pattern                 = strlen(pattern);
    const int32_t end[]              = {(int32_t)w->n - 1, 3, 99999};
    struct tw_constraint_rules rules = {.end = end, .n_end = 1 + tw_philox_below(rng, 3)};
    size_t budget                    = 1 + tw_philox_below(rng, N_STEPS);
    assert_ok(reference_init(&r, TW_CONSTRAINT_REGEX, pattern, n_pattern, false, &err));
    assert_ok(tw_constraint_new(TW_CONSTRAINT_REGEX, pattern, n_pattern, v, 0, &c, &err));
    while (a.n < budget) {
        uint32_t want[WORDS], got[2][WORDS];
        struct tw_allowed allowed[2];
        rules.tokens_left = budget - a.n;
        size_t n          = expected(&r, &a, w, &rules, want);
        assert_ok(tw_constraint_allow(c, &state, a.tokens, a.n, &rules, got[0], &allowed[0], &err));
        tight_allow(&tight, &a, &rules, got[1], &allowed[1]);
        for (int i = 0; i < 2; i++) {
            if (memcmp(got[i], want, sizeof want) != 0 || allowed[i].n != n) {
                fail_msg("/%s/ after \"%.*s\", %zu left: %zu allowed, expected %zu", pattern, (int)a.size,
                         a.text, rules.tokens_left, allowed[i].n, n);
            }
            assert_int_equal(allowed[i].complete, reference_left(&r, a.text, a.size) == 0);
            assert_true(n == 1 ? has(want, allowed[i].only) : allowed[i].only == -1);
        }
        int32_t chosen = (int32_t)tw_philox_below(rng, (uint32_t)w->n);
        for (size_t i = 0; i < w->n && (!has(want, chosen) || w->size[chosen] == 0); i++) {
            chosen = (chosen + 1) % (int32_t)w->n;
        }
        if (!has(want, chosen) || w->size[chosen] == 0 || chosen == end[0] ||
            (chosen == 3 && rules.n_end > 1)) {
            break;
        }
        memcpy(a.text + a.size, w->text[chosen], w->size[chosen]);
        a.size += w->size[chosen];
        a.tokens[a.n++] = chosen;
    }
    tw_constraint_free(c);
    tw_constraint_free(tight.c);
    reference_release(&r);
}

static void masks_are_those_of_brute_force(void **state)
{
    (void)state;
    struct trawl_error err;
    struct tw_philox_stream rng;
    uint64_t seed     = 20;
    const char *given = getenv("TRAWL_TEST_SEED");
    seed              = given == NULL ? seed : strtoull(given, NULL, 10);
    char text[N_WORDS][16];
    size_t size[N_WORDS];
    struct words w = {text, size, N_WORDS};
    struct tw_vocabulary v;
    json_t *cases = NULL;
    print_message("seed %llu\n", (unsigned long long)seed);
    tw_philox_stream_init(&rng, seed, 0);
    assert_ok(tw_json_parse_file(CASES, 0, &cases, &err));
    make_words(&w, &rng);
    assert_ok(tw_vocabulary_build(&v, w.n, words_piece, &w, &err));
    for (int i = 0; i < N_DRAWS; i++) {
        size_t which = tw_philox_below(&rng, (uint32_t)json_array_size(cases));
        follow_answer(json_string_value(json_array_get(json_array_get(cases, which), 0)), &w, &v, &rng);
    }
    tw_vocabulary_release(&v);
    json_decref(cases);
}

/* ---- fixed cases ---- */

static const char *piece(void *user, int32_t id, size_t *n)
{
    const char *const *words = user;
    *n                       = words[id] == NULL ? 0 : strlen(words[id]);
    return words[id];
}

struct fixed {
    struct tw_vocabulary v;
    struct tw_constraint *c;
};

static void fixed_init(struct fixed *f, enum tw_constraint_kind kind, const char *text, const char **words,
                       size_t n, size_t memory)
{
    struct trawl_error err;
    assert_ok(tw_vocabulary_build(&f->v, n, piece, (void *)words, &err));
    assert_ok(tw_constraint_new(kind, text, strlen(text), &f->v, memory, &f->c, &err));
}

static void fixed_release(struct fixed *f)
{
    tw_constraint_free(f->c);
    tw_vocabulary_release(&f->v);
}

static void answers_fit_into_their_tokens(void **state)
{
    (void)state;
    struct trawl_error err;
    const char *words[] = {NULL, "a", "b", "ab", "(", ")"};
    struct fixed f;
    fixed_init(&f, TW_CONSTRAINT_REGEX, "\\(a*b\\)", words, 6, 0);
    const int32_t end = 0;
    for (size_t budget = 1; budget < 9; budget++) {
        struct tw_constraint_state s = {0};
        struct tw_allowed allowed;
        int32_t tokens[16];
        uint32_t bits;
        size_t n = 0;
        for (; n < budget; n++) { /* always "a" where it is allowed */
            struct tw_constraint_rules rules = {budget - n, &end, 1};
            assert_ok(tw_constraint_allow(f.c, &s, tokens, n, &rules, &bits, &allowed, &err));
            assert_true(allowed.n > 0);
            tokens[n] = has(&bits, 1) ? 1 : has(&bits, 4) ? 4 : has(&bits, 2) ? 2 : has(&bits, 5) ? 5 : 0;
        }
        /* "(b)" needs three tokens, the end token a fourth. */
        const int32_t last = budget == 1 ? 4 : budget == 2 ? 2 : budget == 3 ? 5 : end;
        assert_int_equal(tokens[n - 1], last);
    }
    fixed_release(&f);
}

static void states_are_values(void **state)
{
    (void)state;
    struct trawl_error err;
    const char *words[] = {NULL, "a", "b", "c"};
    struct fixed f;
    fixed_init(&f, TW_CONSTRAINT_REGEX, "a(bb|cc)", words, 4, 0);
    struct tw_constraint_rules rules = {.tokens_left = 100};
    struct tw_constraint_state s     = {0}, fork;
    struct tw_allowed allowed;
    uint32_t bits;
    assert_ok(tw_constraint_allow(f.c, &s, (int32_t[]){1}, 1, &rules, &bits, &allowed, &err));
    assert_int_equal(bits, 4 | 8);
    fork = s;
    assert_ok(tw_constraint_allow(f.c, &s, (int32_t[]){1, 2}, 2, &rules, &bits, &allowed, &err));
    assert_int_equal(bits, 4);
    assert_int_equal(allowed.only, 2);
    assert_ok(tw_constraint_allow(f.c, &fork, (int32_t[]){1, 3}, 2, &rules, &bits, &allowed, &err));
    assert_int_equal(bits, 8);
    assert_ok(tw_constraint_allow(f.c, &fork, (int32_t[]){1, 3, 3}, 3, &rules, &bits, &allowed, &err));
    assert_int_equal(bits, 0);
    assert_true(allowed.complete);
    assert_refused(tw_constraint_allow(f.c, &s, (int32_t[]){1, 2, 3}, 3, &rules, &bits, &allowed, &err),
                   TRAWL_ERR_INVALID, "token 3 of the answer (id 3)");
    fixed_release(&f);
}

static void says_what_cannot_be(void **state)
{
    (void)state;
    struct trawl_error err;
    const char *words[] = {NULL, "a", "b"};
    struct fixed f;
    struct tw_constraint_rules rules = {.tokens_left = 100};
    struct tw_constraint_state s     = {0};
    struct tw_allowed allowed;
    uint32_t bits;
    fixed_init(&f, TW_CONSTRAINT_CHOICE, "[\"ax\", \"ay\"]", words, 3, 0);
    assert_ok(tw_constraint_allow(f.c, &s, (int32_t[]){1}, 1, &rules, &bits, &allowed, &err));
    assert_true(allowed.n == 0 && !allowed.complete); /* no token writes x or y */
    fixed_release(&f);
    fixed_init(&f, TW_CONSTRAINT_REGEX, "(a|b)*a(a|b){30}", words, 3, 300);
    s                   = (struct tw_constraint_state){0};
    trawl_status status = TRAWL_OK;
    int32_t tokens[16]  = {1, 1, 1, 1, 1, 1, 1, 1};
    for (size_t n = 0; n < 8 && status == TRAWL_OK; n++) {
        status = tw_constraint_allow(f.c, &s, tokens, n, &rules, &bits, &allowed, &err);
    }
    assert_int_equal(status, TRAWL_ERR_LIMIT);
    assert_non_null(strstr(err.message, "needs more than 300 bytes of automaton after"));
    fixed_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_are_those_of_brute_force),
        cmocka_unit_test(answers_fit_into_their_tokens),
        cmocka_unit_test(states_are_values),
        cmocka_unit_test(says_what_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
