/* SPDX-License-Identifier: MIT */
/* Attention masks of requests: a function and bits say the same, lists are copied at submission, results say whether
 * they were pruned, and a journal is continued with the same masks only. */
#include "api_harness.h"
#include "support/tiny_model.h"

enum { N_PROMPT = 70, N_ROWS = N_PROMPT + 1, WORDS = 2 };

static bool sees(void *user, size_t row, size_t token)
{
    size_t *calls = user;
    ++*calls;
    return token == 0 || (token <= row && (row - token) % 3 != 1);
}

static void request(struct trawl_request *r, const int32_t *prompt)
{
    trawl_request_init(r);
    r->prompt     = prompt;
    r->n_prompt   = N_PROMPT;
    r->max_tokens = 12;
    r->ignore_eos = true;
}

/* Six requests: causal; a matrix by function, and by bits; a window, and with pruning; two documents. What they point
 * to is overwritten afterwards. */
static void submit(trawl_job *job, size_t window)
{
    struct trawl_error err;
    struct trawl_request r;
    int32_t prompt[N_PROMPT];
    uint64_t bits[N_ROWS * WORDS] = {0};
    uint32_t lengths[2]           = {30, 40};
    size_t calls                  = 0;
    for (size_t i = 0; i < N_PROMPT; i++) {
        prompt[i] = (int32_t)(i * 31 % 100);
    }
    request(&r, prompt);
    assert_ok(trawl_job_submit(job, &r, &err));
    r.attention_mask = (struct trawl_attention_mask){
        .kind = TRAWL_MASK_MATRIX, .n_rows = N_ROWS, .sees = sees, .user = &calls};
    assert_ok(trawl_job_submit(job, &r, &err));
    assert_int_equal(calls, N_ROWS * N_PROMPT);
    for (size_t i = 0; i < N_ROWS * N_PROMPT; i++) {
        size_t row = i / N_PROMPT, token = i % N_PROMPT;
        bits[row * WORDS + token / 64] |= (uint64_t)sees(&calls, row, token) << token % 64;
    }
    for (size_t row = 0; row < N_ROWS; row++) {
        bits[row * WORDS + 1] |= UINT64_MAX << (N_PROMPT - 64); /* of tokens that there are not */
    }
    r.attention_mask =
        (struct trawl_attention_mask){.kind = TRAWL_MASK_MATRIX, .n_rows = N_ROWS, .rows = bits};
    assert_ok(trawl_job_submit(job, &r, &err));
    r.attention_mask =
        (struct trawl_attention_mask){.kind = TRAWL_MASK_SLIDING_WINDOW, .sinks = 2, .window = window};
    assert_ok(trawl_job_submit(job, &r, &err));
    request(&r, prompt);
    r.attention_sinks  = 2;
    r.attention_window = window;
    assert_ok(trawl_job_submit(job, &r, &err));
    request(&r, prompt);
    r.attention_mask =
        (struct trawl_attention_mask){.kind = TRAWL_MASK_BLOCK_DIAGONAL, .lengths = lengths, .n_lengths = 2};
    assert_ok(trawl_job_submit(job, &r, &err));
    trawl_job_end_input(job);
    memset(prompt, 0, sizeof prompt);
    memset(bits, 0, sizeof bits);
    memset(lengths, 0, sizeof lengths);
}

static void take(trawl_job *job, struct api_result *got)
{
    struct trawl_error err;
    struct trawl_result result;
    bool more = true;
    for (size_t i = 0; i < 6; i++) {
        api_take(job, i, &got[i]);
        assert_string_equal(got[i].error, "");
        assert_int_equal(got[i].n_tokens, 12);
    }
    assert_ok(trawl_job_next(job, &result, &more, &err));
    assert_false(more); /* and all is committed */
}

static void test_masks_of_requests(void **state)
{
    struct trawl_error err;
    struct trawl_job_config config;
    struct trawl_request r;
    struct trawl_result result;
    struct api_result first[6], again[6];
    char journal[600];
    int32_t prompt[N_PROMPT];
    trawl_job *job       = NULL;
    bool more            = false;
    struct scratch *s    = *state;
    trawl_engine *engine = api_engine(s->dir, 1, 1);
    (void)snprintf(journal, sizeof journal, "%s/journal.jsonl", s->dir);
    trawl_job_config_init(&config);
    config.journal_path = journal;
    assert_ok(trawl_job_open(engine, &config, &job, &err));
    submit(job, 16);
    take(job, first);
    trawl_job_close(&job);
    assert_memory_equal(first[1].logprobs, first[2].logprobs, 12 * sizeof(float));
    assert_memory_equal(first[3].logprobs, first[4].logprobs, 12 * sizeof(float));
    assert_memory_not_equal(first[0].logprobs, first[1].logprobs, 12 * sizeof(float));
    assert_memory_not_equal(first[0].logprobs, first[5].logprobs, 12 * sizeof(float));

    config.resume = true;
    assert_ok(trawl_job_open(engine, &config, &job, &err));
    submit(job, 16);
    take(job, again);
    trawl_job_close(&job);
    for (size_t i = 0; i < 6; i++) {
        assert_true(again[i].from_journal);
        assert_memory_equal(first[i].logprobs, again[i].logprobs, 12 * sizeof(float));
    }

    assert_ok(trawl_job_open(engine, &config, &job, &err));
    for (size_t i = 0; i < N_PROMPT; i++) {
        prompt[i] = (int32_t)(i * 31 % 100);
    }
    request(&r, prompt);
    assert_ok(trawl_job_submit(job, &r, &err));
    r.attention_window = 16;
    assert_refused(trawl_job_submit(job, &r, &err), TRAWL_ERR_EXISTS, " mask, ");
    trawl_job_end_input(job);
    while (trawl_job_next(job, &result, &more, &err) == TRAWL_OK && more) {
        assert_false(result.pruned);
    }
    trawl_job_close(&job);

    config = (struct trawl_job_config){0};
    trawl_job_config_init(&config);
    assert_ok(trawl_job_open(engine, &config, &job, &err));
    submit(job, 16);
    for (size_t i = 0; i < 6; i++) {
        assert_ok(trawl_job_next(job, &result, &more, &err));
        assert_int_equal(result.pruned, i == 4);
    }
    trawl_job_close(&job);
    trawl_engine_close(&engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_masks_of_requests, scratch_make, scratch_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
