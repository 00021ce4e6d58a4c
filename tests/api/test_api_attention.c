/* SPDX-License-Identifier: MIT */
/* Heavy hitters and entropies of attention through a job: results have them where they were asked for, a journal gives
 * back the same numbers and is not continued by a request that asks for something else. */
#include "api_harness.h"
#include "support/tiny_model.h"

enum { N_PROMPT = 200, N_NEW = 20, REQUESTS = 4 };

static void request(struct trawl_request *r, const int32_t *prompt, size_t i)
{
    trawl_request_init(r);
    r->prompt       = prompt;
    r->n_prompt     = N_PROMPT;
    r->max_tokens   = N_NEW;
    r->ignore_eos   = true;
    r->attn_entropy = i % 2 == 1;
    if (i >= 2) {
        r->attention_window        = 10;
        r->attention_heavy_hitters = i == 2 ? 1 : 65; /* a page, two */
    }
}

struct kept {
    float entropies[N_NEW], varentropies[N_NEW];
};

static void submit(trawl_job *job, const int32_t *prompt)
{
    struct trawl_error err;
    struct trawl_request r;
    for (size_t i = 0; i < REQUESTS; i++) {
        request(&r, prompt, i);
        assert_ok(trawl_job_submit(job, &r, &err));
    }
    trawl_job_end_input(job);
}

/* Take all results of a job and close it. */
static void take(trawl_job *job, struct kept *kept, bool from_journal)
{
    struct trawl_error err;
    struct trawl_result result;
    bool more = false;
    for (size_t i = 0; i < REQUESTS; i++) {
        assert_ok(trawl_job_next(job, &result, &more, &err));
        assert_true(more);
        assert_null(result.error);
        assert_int_equal(result.n_tokens, N_NEW);
        assert_int_equal(result.from_journal, from_journal);
        assert_int_equal(result.pruned, i >= 2);
        assert_int_equal(result.attn_entropies != NULL, i % 2 == 1);
        assert_int_equal(result.attn_varentropies != NULL, i % 2 == 1);
        assert_ptr_equal(result.attn_entropies, result.outputs[0].attn_entropies);
        for (size_t k = 0; i % 2 == 1 && k < N_NEW; k++) {
            assert_true(result.attn_entropies[k] > 0 &&
                        (double)result.attn_entropies[k] < log(N_PROMPT + N_NEW));
            assert_true(result.attn_varentropies[k] > 0);
            kept[i].entropies[k]    = result.attn_entropies[k];
            kept[i].varentropies[k] = result.attn_varentropies[k];
        }
    }
    assert_ok(trawl_job_next(job, &result, &more, &err));
    assert_false(more);
    trawl_job_close(&job);
}

static void test_a_journal_has_them(void **state)
{
    struct trawl_error err;
    struct trawl_job_config config;
    struct trawl_request r;
    struct kept first[REQUESTS] = {0}, again[REQUESTS] = {0};
    char journal[600];
    int32_t prompt[N_PROMPT];
    trawl_job *job       = NULL;
    struct scratch *s    = *state;
    trawl_engine *engine = api_engine(s->dir, 1, 2);
    for (size_t i = 0; i < N_PROMPT; i++) {
        prompt[i] = (int32_t)(i * 31 % 100);
    }
    (void)snprintf(journal, sizeof journal, "%s/journal.jsonl", s->dir);
    trawl_job_config_init(&config);
    config.journal_path = journal;
    assert_ok(trawl_job_open(engine, &config, &job, &err));
    submit(job, prompt);
    take(job, first, false);

    config.resume = true;
    assert_ok(trawl_job_open(engine, &config, &job, &err));
    submit(job, prompt);
    take(job, again, true);
    assert_memory_equal(first, again, sizeof first);

    assert_ok(trawl_job_open(engine, &config, &job, &err));
    request(&r, prompt, 0);
    r.attn_entropy = true;
    assert_refused(trawl_job_submit(job, &r, &err), TRAWL_ERR_EXISTS, "or attn_entropy differs");
    request(&r, prompt, 0);
    assert_ok(trawl_job_submit(job, &r, &err));
    request(&r, prompt, 1);
    r.attn_entropy = false;
    assert_refused(trawl_job_submit(job, &r, &err), TRAWL_ERR_EXISTS, "or attn_entropy differs");
    request(&r, prompt, 1);
    assert_ok(trawl_job_submit(job, &r, &err));
    request(&r, prompt, 2);
    r.attention_heavy_hitters = 64;
    assert_ok(trawl_job_submit(job, &r, &err)); /* as many pages */
    request(&r, prompt, 3);
    r.attention_heavy_hitters = 64;
    assert_refused(trawl_job_submit(job, &r, &err), TRAWL_ERR_EXISTS, " mask, ");
    trawl_job_close(&job);
    trawl_engine_close(&engine);
}

/* What makes no sense is refused by its request. */
static void test_refusals(void **state)
{
    static const struct {
        enum trawl_mask_kind kind;
        size_t window, heavy;
        const char *message;
    } cases[] = {
        {TRAWL_MASK_CAUSAL, 0, 64, "expected a window of 1 or more"},
        {TRAWL_MASK_SLIDING_WINDOW, 0, 64, "for requests without an attention mask"},
        {(enum trawl_mask_kind)5, 0, 0, "kind 5 is none"},
        {TRAWL_MASK_CAUSAL, SIZE_MAX, SIZE_MAX, NULL},
    };
    enum { CASES = sizeof cases / sizeof cases[0] };
    struct trawl_error err;
    struct trawl_job_config config;
    struct trawl_request r;
    struct trawl_result result;
    int32_t prompt[N_PROMPT] = {0};
    bool more                = false;
    trawl_job *job           = NULL;
    struct scratch *s        = *state;
    trawl_engine *engine     = api_engine(s->dir, 1, 1);
    trawl_job_config_init(&config);
    assert_ok(trawl_job_open(engine, &config, &job, &err));
    for (size_t i = 0; i < CASES; i++) {
        request(&r, prompt, 0);
        r.attention_mask.kind     = cases[i].kind;
        r.attention_mask.window   = 5;
        r.attention_window        = cases[i].window;
        r.attention_heavy_hitters = cases[i].heavy;
        r.attention_sinks         = cases[i].window;
        assert_ok(trawl_job_submit(job, &r, &err));
    }
    trawl_job_end_input(job);
    for (size_t i = 0; i < CASES; i++) {
        assert_ok(trawl_job_next(job, &result, &more, &err));
        if (cases[i].message == NULL) {
            assert_null(result.error);
        } else if (result.error == NULL || strstr(result.error, cases[i].message) == NULL) {
            fail_msg("case %zu: \"%s\" does not say \"%s\"", i, result.error, cases[i].message);
        }
    }
    trawl_job_close(&job);
    trawl_engine_close(&engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_journal_has_them, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_refusals, scratch_make, scratch_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
