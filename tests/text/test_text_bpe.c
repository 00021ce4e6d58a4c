/* SPDX-License-Identifier: MIT */
/* Merging of words against a brute-force merger over random models, short and long words alike. */
#include "text_vectors.h"

#include "text/text_bpe.h"

enum { LETTERS = 5, TOKENS = 60 };

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* Random tokens over a small alphabet, each the join of two earlier ones, in random rank order. */
static void random_model(struct tw_bpe_model *m, uint32_t *seed)
{
    struct trawl_error err = {0};
    tw_vocab_init(&m->vocab);
    m->unk_id = -1;
    for (int i = 0; i < LETTERS; i++) {
        char c = (char)('a' + i);
        expect_ok(tw_vocab_add(&m->vocab, i, &c, 1, 0, &err), &err);
    }
    int32_t parts[TOKENS][2];
    for (int i = LETTERS; i < TOKENS;) {
        size_t n[2] = {0, 0};
        char text[256];
        int32_t a         = (int32_t)(next(seed) % (uint32_t)i);
        int32_t b         = (int32_t)(next(seed) % (uint32_t)i);
        const char *left  = tw_vocab_piece(&m->vocab, a, &n[0]);
        const char *right = tw_vocab_piece(&m->vocab, b, &n[1]);
        bool known        = n[0] + n[1] > sizeof text;
        if (!known) {
            memcpy(text, left, n[0]);
            memcpy(text + n[0], right, n[1]);
        }
        for (int k = 0; k < i && !known; k++) {
            size_t n_k        = 0;
            const char *other = tw_vocab_piece(&m->vocab, k, &n_k);
            known             = n_k == n[0] + n[1] && memcmp(other, text, n_k) == 0;
        }
        if (!known) {
            parts[i][0] = a;
            parts[i][1] = b;
            expect_ok(tw_vocab_add(&m->vocab, i, text, n[0] + n[1], 0, &err), &err);
            i++;
        }
    }
    expect_ok(tw_vocab_index(&m->vocab, &err), &err);
    expect_ok(tw_merges_init(&m->merges, TOKENS, &err), &err);
    for (int i = LETTERS; i < TOKENS; i++) {
        uint32_t rank = next(seed) % 1000 * 100 + (uint32_t)i;
        tw_merges_add(&m->merges, parts[i][0], parts[i][1], rank, i);
    }
}

static size_t brute_force(const struct tw_bpe_model *m, const char *word, size_t n, int32_t *ids)
{
    for (size_t i = 0; i < n; i++) {
        ids[i] = word[i] - 'a';
    }
    for (;;) {
        const struct tw_merge *best = NULL;
        size_t at                   = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            const struct tw_merge *merge = tw_merges_find(&m->merges, ids[i], ids[i + 1]);
            if (merge != NULL && (best == NULL || merge->rank < best->rank)) {
                best = merge;
                at   = i;
            }
        }
        if (best == NULL) {
            return n;
        }
        ids[at] = best->result;
        memmove(ids + at + 1, ids + at + 2, (n - at - 2) * sizeof *ids);
        n--;
    }
}

static void test_random_models(void **state)
{
    (void)state;
    for (uint32_t run = 1; run <= 60; run++) {
        uint32_t seed                 = run;
        struct trawl_error err        = {0};
        struct tw_bpe_model m         = {0};
        struct tw_bpe_scratch scratch = {0};
        random_model(&m, &seed);
        for (int i = 0; i < 60; i++) {
            char word[300];
            int32_t expected[300];
            struct tw_ids ids = {0};
            /* Around the borders between cached, short and long words too. */
            size_t n = i % 2 == 0 ? 1 + next(&seed) % 60 : 1 + next(&seed) % sizeof word;
            for (size_t k = 0; k < n; k++) {
                word[k] = (char)('a' + next(&seed) % (i % 3 == 0 ? 2 : LETTERS));
            }
            size_t count = brute_force(&m, word, n, expected);
            for (int twice = 0; twice < 2; twice++) {
                ids.size = 0;
                expect_ok(tw_bpe_encode(&m, &scratch, word, n, &ids, &err), &err);
                if (ids.size != count || memcmp(ids.data, expected, count * sizeof *expected) != 0) {
                    fail_msg("seed %u, word %d, \"%.*s\"", run, i, (int)n, word);
                }
            }
            tw_ids_release(&ids);
        }
        tw_bpe_release(&scratch);
        tw_vocab_release(&m.vocab);
        tw_merges_release(&m.merges);
    }
}

/* Bytes the vocabulary lacks: gone, or one unknown token each, or one for a run. */
static void test_unknown_bytes(void **state)
{
    static const int32_t gone[]  = {0, 1};
    static const int32_t each[]  = {0, 4, 4, 1};
    static const int32_t fused[] = {0, 4, 1};
    struct trawl_error err       = {0};
    struct tw_bpe_model m        = {.unk_id = -1};
    (void)state;
    tw_vocab_init(&m.vocab);
    for (int i = 0; i < LETTERS; i++) {
        char c = (char)('a' + i);
        expect_ok(tw_vocab_add(&m.vocab, i, &c, 1, 0, &err), &err);
    }
    expect_ok(tw_vocab_index(&m.vocab, &err), &err);
    expect_ok(tw_merges_init(&m.merges, 0, &err), &err);
    for (int way = 0; way < 3; way++) {
        const int32_t *expected       = way == 0 ? gone : way == 1 ? each : fused;
        size_t n                      = way == 0 ? 2 : way == 1 ? 4 : 3;
        struct tw_bpe_scratch scratch = {0};
        struct tw_ids ids             = {0};
        m.unk_id                      = way == 0 ? -1 : 4;
        m.fuse_unk                    = way == 2;
        expect_ok(tw_bpe_encode(&m, &scratch, "axyb", 4, &ids, &err), &err);
        assert_int_equal(ids.size, n);
        assert_memory_equal(ids.data, expected, n * sizeof *expected);
        tw_ids_release(&ids);
        tw_bpe_release(&scratch);
    }
    tw_vocab_release(&m.vocab);
    tw_merges_release(&m.merges);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_models),
                                       cmocka_unit_test(test_unknown_bytes)};
    return cmocka_run_group_tests_name("text.bpe", tests, NULL, NULL);
}
