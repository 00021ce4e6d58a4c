/* SPDX-License-Identifier: MIT */
/* Contexts of random documents, cut in random ways, against a cutter that looks at every token alone. */
#include "support/test.h"

#include "apps/harvest/harvest_context.h"
#include "base/philox.h"

enum {
    DOCUMENTS = 12,
    LONGEST   = 30,
    STREAM    = 2 * DOCUMENTS * (LONGEST + 1),
    VOCAB     = 560,
    BOS       = 543,
    ROUNDS    = 400
};

struct token {
    int32_t id;
    int document, place; /* -1: of none */
};

struct corpus {
    int32_t ids[DOCUMENTS][LONGEST];
    size_t n[DOCUMENTS];
};

static struct tw_tokenizer *tokenizer(void)
{
    struct trawl_error err;
    struct tw_tokenizer *t = NULL;
    assert_ok(tw_tokenizer_open(TRAWL_SOURCE_DIR "/tests/text/data/split", &t, &err));
    return t;
}

static void make_corpus(struct corpus *c, struct tw_philox_stream *draw, const char *path)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (size_t d = 0; d < DOCUMENTS; d++) {
        c->n[d] = tw_philox_below(draw, 4) == 0 ? tw_philox_below(draw, 3) : tw_philox_below(draw, LONGEST);
        (void)fprintf(f, "{\"id\": \"d%zu\", \"tokens\": [", d);
        for (size_t i = 0; i < c->n[d]; i++) {
            c->ids[d][i] = tw_philox_below(draw, 5) == 0 ? BOS + 1 : (int32_t)tw_philox_below(draw, BOS);
            (void)fprintf(f, "%s%d", i == 0 ? "" : ", ", (int)c->ids[d][i]);
        }
        (void)fprintf(f, "]}\n");
    }
    assert_int_equal(fclose(f), 0);
}

/* All tokens of the run one after another, without BOS; `starts` marks those that begin a context of their own. */
static size_t lay_out(const struct corpus *c, const struct tw_harvest_cut *cut, size_t n_bos,
                      struct token *out, bool *starts)
{
    size_t n = 0, room = cut->context_size - n_bos;
    for (size_t d = 0; d < DOCUMENTS; d++) {
        size_t length = c->n[d];
        if (cut->max_documents > 0 && d == cut->max_documents) {
            break;
        }
        if (length > room && cut->overflow != TW_HARVEST_SPLIT) {
            length = cut->overflow == TW_HARVEST_SKIP ? 0 : room;
        }
        if (cut->pack && n > 0 && length > 0 && out[n - 1].id != cut->end) {
            starts[n] = false;
            out[n++]  = (struct token){cut->end, -1, -1};
        }
        for (size_t i = 0; i < length; i++) {
            starts[n] = !cut->pack && i % room == 0;
            out[n++]  = (struct token){c->ids[d][i], (int)d, (int)i};
        }
    }
    return n;
}

static void check_token(const struct tw_harvest_context *c, size_t position, const struct token *want)
{
    assert_int_equal(c->ids[position], want->id);
    for (const struct tw_harvest_piece *p = c->pieces; p < c->pieces + c->n_pieces; p++) {
        if (position >= p->position && position < p->position + p->n) {
            char id[8];
            (void)snprintf(id, sizeof id, "\"d%d\"", want->document);
            assert_int_equal(p->document, want->document);
            assert_int_equal(p->line, want->document + 1);
            assert_int_equal(p->first_token + position - p->position, want->place);
            assert_string_equal(c->id_texts + p->id, id);
            return;
        }
    }
    assert_int_equal(want->document, -1);
}

static void check_run(struct tw_harvest_reader *reader, const struct tw_harvest_cut *cut,
                      const struct corpus *corpus)
{
    static struct token stream[STREAM];
    static bool starts[STREAM];
    struct trawl_error err;
    struct tw_harvest_cutter cutter;
    size_t n_bos = reader->prefix.size, n = lay_out(corpus, cut, n_bos, stream, starts), at = 0, number = 0;
    uint64_t left = cut->max_tokens == 0 ? UINT64_MAX : cut->max_tokens;
    assert_ok(tw_harvest_cutter_init(&cutter, cut, reader, &err));
    for (;; number++) {
        struct tw_harvest_context c;
        bool more = false;
        assert_ok(tw_harvest_cutter_next(&cutter, &c, &more, &err));
        /* How long the next context has to be; those without rows are passed over. */
        size_t take = 0;
        while (at < n && left > cut->drop_first_tokens) {
            uint64_t most = left < cut->context_size ? left : cut->context_size;
            take          = most < n_bos ? (size_t)most : n_bos;
            for (size_t i = at; i < n && take < most && (i == at || !starts[i]); i++) {
                take++;
            }
            if (take > cut->drop_first_tokens) {
                break;
            }
            at += take - n_bos;
            take = 0;
        }
        assert_int_equal(more, take > 0);
        if (!more) {
            break;
        }
        assert_int_equal(c.number, number);
        assert_int_equal(c.n, take);
        for (size_t i = 0; i < take; i++) {
            check_token(&c, i, i < n_bos ? &(struct token){BOS, -1, -1} : &stream[at + i - n_bos]);
        }
        at += take < n_bos ? 0 : take - n_bos;
        left -= take;
    }
    assert_int_equal(cutter.counts.contexts, number);
    assert_int_equal(cutter.counts.tokens, cut->max_tokens == 0 ? UINT64_MAX - left : cut->max_tokens - left);
    tw_harvest_cutter_release(&cutter);
}

static void test_random_cuts(void **state)
{
    struct scratch *s = *state;
    struct trawl_error err;
    struct tw_tokenizer *t = tokenizer();
    struct tw_philox_stream draw;
    struct corpus corpus;
    const char *paths[] = {scratch_path(s, "rows.jsonl")};
    uint64_t seed       = (uint64_t)getpid();
    print_message("seed %llu\n", (unsigned long long)seed);
    tw_philox_stream_init(&draw, seed, 0);
    for (int round = 0; round < ROUNDS; round++) {
        struct tw_harvest_reader reader;
        bool bos                            = tw_philox_below(&draw, 2) == 0;
        const struct tw_harvest_input input = {.paths      = paths,
                                               .n_paths    = 1,
                                               .bos        = bos ? TW_HARVEST_BOS_AUTO : TW_HARVEST_BOS_NONE,
                                               .tokenizer  = t,
                                               .vocab_size = VOCAB};
        struct tw_harvest_cut cut = {.context_size = 2 + tw_philox_below(&draw, 14), .end = BOS + 1};
        cut.pack                  = tw_philox_below(&draw, 3) == 0;
        cut.overflow = cut.pack ? TW_HARVEST_SPLIT : (enum tw_harvest_overflow)tw_philox_below(&draw, 3);
        cut.drop_first_tokens =
            tw_philox_below(&draw, 2) == 0 ? 0 : tw_philox_below(&draw, (uint32_t)cut.context_size);
        cut.max_tokens    = tw_philox_below(&draw, 2) == 0 ? 0 : 1 + tw_philox_below(&draw, 150);
        cut.max_documents = tw_philox_below(&draw, 4) == 0 ? 1 + tw_philox_below(&draw, DOCUMENTS) : 0;
        make_corpus(&corpus, &draw, paths[0]);
        assert_ok(tw_harvest_reader_open(&reader, &input, &err));
        assert_int_equal(reader.prefix.size, bos);
        assert_true(!bos || reader.prefix.data[0] == BOS);
        check_run(&reader, &cut, &corpus);
        assert_int_equal(reader.n_skipped, 0);
        tw_harvest_reader_close(&reader);
    }
    tw_tokenizer_close(t);
}

static void test_settings_that_contradict(void **state)
{
    struct trawl_error err;
    struct tw_harvest_cutter c;
    struct tw_harvest_reader reader;
    struct tw_tokenizer *t              = tokenizer();
    const char *paths[]                 = {"/nowhere"};
    const struct tw_harvest_input input = {.paths = paths, .n_paths = 1, .tokenizer = t, .vocab_size = VOCAB};
    struct tw_harvest_cut cut           = {.context_size = 1};
    (void)state;
    assert_ok(tw_harvest_reader_open(&reader, &input, &err));
    assert_refused(tw_harvest_cutter_init(&c, &cut, &reader, &err), TRAWL_ERR_INVALID, "no room for a text");
    cut = (struct tw_harvest_cut){.context_size = 8, .pack = true, .overflow = TW_HARVEST_SKIP};
    assert_refused(tw_harvest_cutter_init(&c, &cut, &reader, &err), TRAWL_ERR_INVALID,
                   "neither truncated nor skipped");
    cut = (struct tw_harvest_cut){.context_size = 8, .drop_first_tokens = 8};
    assert_refused(tw_harvest_cutter_init(&c, &cut, &reader, &err), TRAWL_ERR_INVALID,
                   "no row would be left");
    cut    = (struct tw_harvest_cut){.context_size = 8};
    bool m = false;
    struct tw_harvest_context context;
    assert_ok(tw_harvest_cutter_init(&c, &cut, &reader, &err));
    assert_refused(tw_harvest_cutter_next(&c, &context, &m, &err), TRAWL_ERR_IO, "/nowhere");
    tw_harvest_cutter_release(&c);
    tw_harvest_reader_close(&reader);
    tw_tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_random_cuts),
        cmocka_unit_test(test_settings_that_contradict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
