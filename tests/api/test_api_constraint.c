/* SPDX-License-Identifier: MIT */
/* Constraints and the callback for allowed tokens through the public functions. */
#include "base/file.h"
#include "support/tiny_model.h"
#include "text/text_tokenizer.h"
#include "trawl/trawl.h"

enum { EVEN = 40, ODD = 41, VOCAB = 560 };

#define TOKENIZER TRAWL_SOURCE_DIR "/tests/text/data/split/tokenizer.json"

static const int32_t prompt[] = {40, 41, 42, 43, 44};

/* A model with a tokenizer beside it. */
static trawl_engine *open_engine(struct scratch *s, const char *name, bool tokenizer)
{
    struct tiny_model m = tiny_model_default();
    struct trawl_engine_config c;
    struct trawl_error err;
    trawl_engine *engine = NULL;
    char dir[1024], path[1100], *text = NULL;
    size_t n = 0;
    m.vocab  = VOCAB;
    (void)snprintf(dir, sizeof dir, "%s", scratch_path(s, name));
    tiny_model_write(dir, &m);
    if (tokenizer) {
        assert_ok(tw_file_read(TOKENIZER, 1 << 24, &text, &n, &err));
        (void)snprintf(path, sizeof path, "%s/tokenizer.json", dir);
        assert_ok(tw_file_replace(path, text, n, &err));
        tw_free(text);
    }
    trawl_engine_config_init(&c);
    c.model_path = dir;
    c.mesh_data  = 2;
    c.threads    = 1;
    c.batch_size = 2;
    assert_ok(trawl_engine_open(&c, &engine, &err));
    return engine;
}

static struct trawl_request request_for(enum trawl_constraint_kind kind, const char *text)
{
    struct trawl_request r;
    trawl_request_init(&r);
    r.prompt          = prompt;
    r.n_prompt        = 5;
    r.max_tokens      = 30;
    r.temperature     = 1;
    r.constraint_kind = kind;
    r.constraint_text = text;
    return r;
}

static trawl_job *open_job(trawl_engine *engine, const struct trawl_job_config *config)
{
    struct trawl_error err;
    trawl_job *job = NULL;
    assert_ok(trawl_job_open(engine, config, &job, &err));
    return job;
}

static void take_text(trawl_job *job, const struct tw_tokenizer *tokenizer, struct tw_str *text)
{
    struct trawl_error err;
    struct trawl_result r;
    bool more = false;
    assert_ok(trawl_job_next(job, &r, &more, &err));
    assert_true(more);
    assert_null(r.error);
    tw_str_reset(text);
    assert_ok(tw_decode(tokenizer, r.tokens, r.n_tokens, true, text, &err));
}

static void answers_are_what_they_have_to_be(void **state)
{
    trawl_engine *engine           = open_engine(*state, "model", true);
    struct tw_tokenizer *tokenizer = NULL;
    struct trawl_job_config c;
    struct trawl_error err;
    struct tw_str text;
    tw_str_init(&text, 0);
    trawl_job_config_init(&c);
    assert_ok(tw_tokenizer_open(scratch_path(*state, "model"), &tokenizer, &err));
    trawl_job *job          = open_job(engine, &c);
    struct trawl_request no = request_for(TRAWL_CONSTRAINT_CHOICE, "[\"crab\", \"eel, or so\"]");
    for (int i = 0; i < 6; i++) { /* the same text shared, then another, then the first again */
        assert_ok(trawl_job_submit(job, &no, &err));
    }
    struct trawl_request schema = request_for(TRAWL_CONSTRAINT_JSON_SCHEMA, "{\"type\": \"boolean\"}");
    assert_ok(trawl_job_submit(job, &schema, &err));
    assert_ok(trawl_job_submit(job, &no, &err));
    trawl_job_end_input(job);
    for (int i = 0; i < 8; i++) {
        take_text(job, tokenizer, &text);
        const char *s = tw_str_text(&text);
        bool right    = i == 6 ? strcmp(s, "true") == 0 || strcmp(s, "false") == 0
                               : strcmp(s, "crab") == 0 || strcmp(s, "eel, or so") == 0;
        if (!right) {
            fail_msg("request %d: \"%s\"", i, s);
        }
    }
    trawl_job_close(&job);
    tw_tokenizer_close(tokenizer);
    tw_str_release(&text);
    trawl_engine_close(&engine);
}

static trawl_status by_turns(void *user, uint64_t request, const int32_t *tokens, size_t n, uint32_t *bits,
                             struct trawl_error *err)
{
    (void)user;
    (void)tokens;
    (void)err;
    int32_t only = n % 2 == 0 ? EVEN : ODD;
    for (size_t i = 0; i < VOCAB / 32 + 1; i++) {
        bits[i] &= i == (size_t)only / 32 ? 1u << (only % 32) : 0;
    }
    if (request == 1 && n == 3) {
        memset(bits, 0, VOCAB / 8);
    }
    return TRAWL_OK;
}

static void asks_which_tokens_are_allowed(void **state)
{
    trawl_engine *engine = open_engine(*state, "model", false);
    struct trawl_job_config c;
    struct trawl_error err;
    struct trawl_result r;
    bool more = false;
    trawl_job_config_init(&c);
    c.allowed_tokens       = by_turns;
    trawl_job *job         = open_job(engine, &c);
    struct trawl_request q = request_for(TRAWL_CONSTRAINT_NONE, NULL);
    assert_ok(trawl_job_submit(job, &q, &err));
    assert_ok(trawl_job_submit(job, &q, &err));
    q = request_for(TRAWL_CONSTRAINT_REGEX, "a"); /* needs a tokenizer, which is not there */
    assert_ok(trawl_job_submit(job, &q, &err));
    trawl_job_end_input(job);
    assert_ok(trawl_job_next(job, &r, &more, &err));
    assert_int_equal(r.n_tokens, 30);
    for (size_t i = 0; i < 30; i++) {
        assert_int_equal(r.tokens[i], i % 2 == 0 ? EVEN : ODD);
    }
    assert_ok(trawl_job_next(job, &r, &more, &err));
    assert_int_equal(r.finish_reason, TRAWL_FINISH_ERROR);
    assert_non_null(strstr(r.error, "allows none after 3 tokens"));
    assert_ok(trawl_job_next(job, &r, &more, &err));
    assert_int_equal(r.finish_reason, TRAWL_FINISH_ERROR);
    assert_non_null(strstr(r.error, "tokenizer.json"));
    trawl_job_close(&job);
    trawl_engine_close(&engine);
}

static void refusals(void **state)
{
    trawl_engine *engine = open_engine(*state, "model", true);
    struct trawl_job_config c;
    struct trawl_error err;
    struct trawl_result r;
    bool more = false;
    char journal[1024];
    (void)snprintf(journal, sizeof journal, "%s", scratch_path(*state, "journal.jsonl"));
    trawl_job_config_init(&c);
    c.journal_path         = journal;
    trawl_job *job         = open_job(engine, &c);
    struct trawl_request q = request_for(TRAWL_CONSTRAINT_REGEX, NULL);
    assert_refused(trawl_job_submit(job, &q, &err), TRAWL_ERR_INVALID, "no constraint_text");
    q = request_for((enum trawl_constraint_kind)4, "a");
    assert_refused(trawl_job_submit(job, &q, &err), TRAWL_ERR_INVALID,
                   "constraint_kind is 4, expected 0 to 3");
    q = request_for(TRAWL_CONSTRAINT_REGEX, "[ab]{2}");
    assert_ok(trawl_job_submit(job, &q, &err));
    q = request_for(TRAWL_CONSTRAINT_REGEX, "a{2,1}");
    assert_ok(trawl_job_submit(job, &q, &err));
    trawl_job_end_input(job);
    assert_ok(trawl_job_next(job, &r, &more, &err));
    assert_null(r.error);
    assert_ok(trawl_job_next(job, &r, &more, &err));
    assert_non_null(strstr(r.error, "regex, offset 1"));
    assert_ok(trawl_job_next(job, &r, &more, &err));
    assert_false(more);
    trawl_job_close(&job);
    c.resume = true; /* a constraint is a part of what a journal remembers of its request */
    job      = open_job(engine, &c);
    q        = request_for(TRAWL_CONSTRAINT_REGEX, "[ac]{2}");
    assert_refused(trawl_job_submit(job, &q, &err), TRAWL_ERR_EXISTS,
                   "request 0 is not the one in the journal");
    q = request_for(TRAWL_CONSTRAINT_REGEX, "[ab]{2}");
    assert_ok(trawl_job_submit(job, &q, &err));
    trawl_job_close(&job);
    trawl_engine_close(&engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_are_what_they_have_to_be, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(asks_which_tokens_are_allowed, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(refusals, scratch_make, scratch_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
