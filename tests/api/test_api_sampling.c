/* SPDX-License-Identifier: MIT */
/* Sampling fields of public requests: lists are copied, what is found goes through the journal, policies from files. */
#include "api_harness.h"
#include "base/file.h"
#include "support/test.h"

enum { REQUESTS = 3, TOKENS = 12, TOP = 4 };

struct answer {
    int32_t tokens[TOKENS], top_tokens[TOKENS * TOP];
    float top_logprobs[TOKENS * TOP];
    uint32_t states[TRAWL_ENTROPY_STATES];
    size_t n, n_top;
    bool from_journal;
};

/* Lists that are gone when the request runs. */
static void submit(trawl_job *job, size_t i)
{
    struct trawl_error err;
    struct trawl_request r;
    struct trawl_entropy_policy policy;
    const int32_t prompt[] = {3, 1, 4, 1, 5};
    int32_t bias_tokens[] = {9, 17}, suppressed[] = {2, 3};
    float bias[] = {6, -20};
    trawl_request_init(&r);
    trawl_entropy_policy_init(&policy);
    r.prompt               = prompt;
    r.n_prompt             = 5;
    r.max_tokens           = TOKENS;
    r.ignore_eos           = true;
    r.temperature          = 1.5;
    r.logit_bias_tokens    = bias_tokens;
    r.logit_bias           = bias;
    r.n_logit_bias         = 2;
    r.suppress_tokens      = suppressed;
    r.n_suppress_tokens    = 2;
    r.no_repeat_ngram_size = 1;
    r.top_logprobs         = i == 1 ? 0 : TOP;
    r.entropy_policy       = i == 2 ? &policy : NULL;
    assert_ok(trawl_job_submit(job, &r, &err));
    memset(bias_tokens, 0xFF, sizeof bias_tokens);
    memset(suppressed, 0xFF, sizeof suppressed);
    memset(bias, 0xFF, sizeof bias);
    memset(&policy, 0xFF, sizeof policy);
}

static void take(trawl_job *job, struct answer *a)
{
    struct trawl_error err;
    struct trawl_result r;
    bool more = false;
    memset(a, 0, sizeof *a);
    assert_ok(trawl_job_next(job, &r, &more, &err));
    assert_true(more && r.error == NULL && r.n_outputs == 1 && r.n_tokens == TOKENS);
    const struct trawl_output *o = &r.outputs[0];
    a->n                         = o->n_tokens;
    a->n_top                     = o->n_top_logprobs;
    a->from_journal              = r.from_journal;
    memcpy(a->tokens, o->tokens, sizeof a->tokens);
    memcpy(a->states, o->entropy_states, sizeof a->states);
    for (size_t i = 0; i < a->n * a->n_top; i++) {
        a->top_tokens[i]   = o->top_logprobs[i].token;
        a->top_logprobs[i] = o->top_logprobs[i].logprob;
    }
}

static void run(trawl_engine *engine, const struct trawl_job_config *config, struct answer *answers)
{
    struct trawl_error err;
    struct trawl_result r;
    trawl_job *job = NULL;
    bool more      = true;
    assert_ok(trawl_job_open(engine, config, &job, &err));
    for (size_t i = 0; i < REQUESTS; i++) {
        submit(job, i);
    }
    trawl_job_end_input(job);
    for (size_t i = 0; i < REQUESTS; i++) {
        take(job, &answers[i]);
    }
    assert_ok(trawl_job_next(job, &r, &more, &err));
    assert_false(more);
    trawl_job_close(&job);
}

static void test_answers_survive_in_the_journal(void **state)
{
    struct scratch *s = *state;
    struct answer first[REQUESTS], again[REQUESTS];
    struct trawl_job_config config;
    trawl_engine *engine = api_engine(s->dir, 1, 1);
    trawl_job_config_init(&config);
    config.journal_path = scratch_path(s, "journal.jsonl");
    run(engine, &config, first);
    config.resume = true;
    run(engine, &config, again);
    for (size_t i = 0; i < REQUESTS; i++) {
        uint32_t in_states = 0;
        assert_true(again[i].from_journal && !first[i].from_journal);
        first[i].from_journal = true;
        assert_memory_equal(first[i].tokens, again[i].tokens, sizeof first[i].tokens);
        assert_memory_equal(first[i].top_tokens, again[i].top_tokens, sizeof first[i].top_tokens);
        assert_memory_equal(first[i].top_logprobs, again[i].top_logprobs, sizeof first[i].top_logprobs);
        assert_memory_equal(first[i].states, again[i].states, sizeof first[i].states);
        assert_int_equal(first[i].n_top, i == 1 ? 0 : TOP);
        assert_int_equal(again[i].n_top, first[i].n_top);
        for (size_t j = 0; j < TOKENS; j++) {
            int32_t t = first[i].tokens[j];
            assert_true(t != 2 && t != 3 && t != 1 && t != 4 && t != 5); /* suppressed, and in the prompt */
        }
        for (size_t j = 0; j < TRAWL_ENTROPY_STATES; j++) {
            in_states += first[i].states[j];
        }
        assert_int_equal(in_states, i == 2 ? TOKENS : 0);
    }
    trawl_engine_close(&engine);
}

static void test_sessions_refuse_what_needs_a_job(void **state)
{
    struct trawl_error err;
    struct trawl_sampled got;
    struct trawl_request r;
    trawl_session *session = NULL;
    const int32_t ids[]    = {3, 1, 4};
    trawl_engine *engine   = api_engine(((struct scratch *)*state)->dir, 1, 1);
    assert_ok(trawl_session_open(engine, &session, &err));
    assert_ok(trawl_session_append(session, ids, 3, NULL, NULL, &err));
    trawl_request_init(&r);
    r.top_logprobs = 2;
    assert_refused(trawl_session_sample(session, &r, &got, &err), TRAWL_ERR_INVALID,
                   "top_logprobs is set: it is for jobs");
    trawl_request_init(&r);
    r.suppress_tokens   = ids;
    r.n_suppress_tokens = 3;
    r.typical_p         = 0.5;
    r.temperature       = 1;
    r.n_stop_token_ids  = 2;
    assert_refused(trawl_session_sample(session, &r, &got, &err), TRAWL_ERR_INVALID,
                   "stop_token_ids is NULL, expected a list of 2");
    r.n_stop_token_ids = 0;
    assert_ok(trawl_session_sample(session, &r, &got, &err));
    assert_true(got.token != 3 && got.token != 1 && got.token != 4);
    trawl_session_close(&session);
    trawl_engine_close(&engine);
}

static void test_policy_files(void **state)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"{\"h_lo\": 0.5, \"h_mid\": 1, \"best_of\": 3, \"insert_limit\": 0}", NULL},
        {"{}", NULL},
        {"[1]", "an array, expected an object"},
        {"{\"h_lo\": 4}", "h_lo is 4 and h_mid is 3"},
        {"{\"h_lo\": \"x\"}", "\"h_lo\""},
        {"{\"states\": 4}", "\"states\" is no field of an entropy policy"},
        {"{\"best_of\": 5000000000}", "\"best_of\" is 5000000000, expected 0 to 4294967295"},
        {"{\"best_of\": 0}", "best_of is 0, expected 1 to 64"},
        {"{\"insert_text\": \"hm\"}", "\"insert_text\" needs a tokenizer"},
    };
    const char *path = scratch_path(*state, "policy.json");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct trawl_error err;
        struct trawl_entropy_policy policy;
        assert_ok(tw_file_replace(path, cases[i].text, strlen(cases[i].text), &err));
        if (cases[i].words == NULL) {
            assert_ok(trawl_entropy_policy_read(path, NULL, &policy, &err));
            assert_true(policy.h_hi >= 5 && policy.best_of == (i == 0 ? 3U : 1U) &&
                        policy.insert_token == -1);
        } else {
            assert_refused(trawl_entropy_policy_read(path, NULL, &policy, &err),
                           i == 2 || i == 4 ? TRAWL_ERR_FORMAT : TRAWL_ERR_INVALID, cases[i].words);
        }
    }
}

static void test_policy_text_is_one_token(void **state)
{
    const char *folder = TRAWL_SOURCE_DIR "/tests/text/data/split";
    const char *path   = scratch_path(*state, "policy.json");
    static const struct {
        const char *text, *words;
    } cases[]                  = {{"{\"insert_text\": \"a\"}", NULL},
                                  {"{\"insert_text\": \"xq zw\"}", "tokens, expected one"},
                                  {"{\"insert_text\": \"<|end|>\"}", "is a special token"}};
    trawl_tokenizer *tokenizer = NULL;
    struct trawl_error err;
    assert_ok(trawl_tokenizer_open(folder, &tokenizer, &err));
    for (size_t i = 0; i < 3; i++) {
        struct trawl_entropy_policy policy;
        assert_ok(tw_file_replace(path, cases[i].text, strlen(cases[i].text), &err));
        if (cases[i].words == NULL) {
            assert_ok(trawl_entropy_policy_read(path, tokenizer, &policy, &err));
            assert_true(policy.insert_token >= 0);
        } else {
            assert_refused(trawl_entropy_policy_read(path, tokenizer, &policy, &err), TRAWL_ERR_INVALID,
                           cases[i].words);
        }
    }
    trawl_tokenizer_close(&tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_answers_survive_in_the_journal),
        scratch_test(test_sessions_refuse_what_needs_a_job),
        scratch_test(test_policy_files),
        scratch_test(test_policy_text_is_one_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
