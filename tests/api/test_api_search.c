/* SPDX-License-Identifier: MIT */
/* Beams, scores and n-best search through a job: what comes out, and what a journal gives back. */
#include "api_harness.h"
#include "base/file.h"
#include "support/tiny_model.h"

enum { REQUESTS = 9, OUTPUTS = 64, TOKENS = 16 };

struct output {
    enum trawl_finish_reason finish;
    size_t n;
    int32_t tokens[TOKENS];
    float logprobs[TOKENS], entropies[TOKENS], varentropies[TOKENS];
    double cumulative_logprob, score;
};

struct result {
    enum trawl_finish_reason finish;
    size_t n_outputs, n_tokens;
    uint64_t n_nodes;
    bool truncated;
    struct output outputs[OUTPUTS];
};

static const int32_t prompt[]    = {7, 3, 120, 44, 9, 9, 31, 2, 77, 5, 61, 18};
static const int32_t completed[] = {1, 2, 3, 4, 5, 6, 7};
static const size_t lengths[]    = {1, 4, 2};

static void make_request(struct trawl_request *r, size_t i)
{
    trawl_request_init(r);
    r->prompt     = prompt + i % 3;
    r->n_prompt   = 9;
    r->max_tokens = 5;
    r->ignore_eos = true;
    if (i % 4 == 1) {
        r->num_beams            = 2; /* the engines' batch has two slots */
        r->num_return_sequences = 2;
        r->length_penalty       = 0.5;
        r->early_stopping       = TRAWL_EARLY_STOPPING_NEVER;
    } else if (i % 4 == 2) {
        r->completions        = completed;
        r->completion_lengths = lengths;
        r->n_completions      = 3;
    } else if (i % 4 == 3) {
        r->nbest_min_prob  = 0.002;
        r->nbest_max_nodes = i == 7 ? 12 : 1000;
    }
}

static void keep(struct result *to, const struct trawl_result *r)
{
    memset(to, 0, sizeof *to);
    to->finish    = r->finish_reason;
    to->n_outputs = r->n_outputs;
    to->n_tokens  = r->n_tokens;
    to->n_nodes   = r->n_nodes;
    to->truncated = r->truncated;
    assert_true(r->n_outputs <= OUTPUTS);
    for (size_t i = 0; i < r->n_outputs; i++) {
        const struct trawl_output *o = &r->outputs[i];
        struct output *k             = &to->outputs[i];
        k->finish                    = o->finish_reason;
        k->n                         = o->n_tokens;
        k->cumulative_logprob        = o->cumulative_logprob;
        k->score                     = o->score;
        memcpy(k->tokens, o->tokens, o->n_tokens * sizeof *o->tokens);
        memcpy(k->logprobs, o->logprobs, o->n_tokens * sizeof(float));
        memcpy(k->entropies, o->entropies, o->n_tokens * sizeof(float));
        memcpy(k->varentropies, o->varentropies, o->n_tokens * sizeof(float));
    }
    if (r->n_outputs > 0) {
        assert_ptr_equal(r->tokens, r->outputs[0].tokens);
        assert_int_equal(r->n_tokens, r->outputs[0].n_tokens);
    }
}

/* The first n results; all of them end the job. Returns how many came from the journal. */
static size_t run(trawl_engine *engine, const struct trawl_job_config *config, size_t n, struct result *out)
{
    struct trawl_error err;
    size_t from_journal = 0;
    trawl_job *job      = NULL;
    bool more           = false;
    assert_ok(trawl_job_open(engine, config, &job, &err));
    for (size_t i = 0; i < REQUESTS; i++) {
        struct trawl_request r;
        make_request(&r, i);
        assert_ok(trawl_job_submit(job, &r, &err));
    }
    trawl_job_end_input(job);
    for (size_t i = 0; i < n; i++) {
        struct trawl_result r;
        assert_ok(trawl_job_next(job, &r, &more, &err));
        assert_true(more);
        keep(&out[i], &r);
        from_journal += r.from_journal;
    }
    if (n == REQUESTS) {
        struct trawl_result r;
        assert_ok(trawl_job_next(job, &r, &more, &err));
        assert_false(more);
    }
    trawl_job_close(&job);
    return from_journal;
}

static void check_results(const struct result *r)
{
    for (size_t i = 0; i < REQUESTS; i++) {
        static const size_t n[] = {1, 2, 3};
        assert_int_not_equal(r[i].finish, TRAWL_FINISH_ERROR);
        if (i % 4 < 3) {
            assert_int_equal(r[i].n_outputs, n[i % 4]);
            continue;
        }
        assert_true(r[i].n_outputs > 1);
        assert_int_equal(r[i].truncated, i == 7);
        assert_int_equal(r[i].finish, i == 7 ? TRAWL_FINISH_LENGTH : TRAWL_FINISH_STOP);
        for (size_t k = 0; k < r[i].n_outputs; k++) {
            const struct output *o = &r[i].outputs[k];
            assert_memory_equal(&o->score, &o->cumulative_logprob, sizeof(double));
            assert_true(k == 0 || o->score <= o[-1].score);
        }
    }
    for (size_t k = 0; k < 3; k++) {
        assert_int_equal(r[2].outputs[k].n, lengths[k]);
    }
}

static void test_a_journal_gives_back_all_outputs(void **state)
{
    struct scratch *s = *state;
    struct trawl_error err;
    trawl_engine *engines[2] = {api_engine(s->dir, 1, 1), api_engine(s->dir, 2, 2)};
    struct result *want = calloc(REQUESTS, sizeof *want), *got = calloc(REQUESTS, sizeof *got);
    struct trawl_job_config c;
    char whole[512], cut[512], *a = NULL, *b = NULL;
    size_t n_a = 0, n_b = 0;
    assert_true(want != NULL && got != NULL);
    (void)snprintf(whole, sizeof whole, "%s/whole.jsonl", s->dir);
    trawl_job_config_init(&c);
    c.commit_every = 2;
    c.journal_path = whole;
    assert_int_equal(run(engines[0], &c, REQUESTS, want), 0);
    check_results(want);
    for (size_t n = 0; n < REQUESTS; n++) {
        (void)snprintf(cut, sizeof cut, "%s/cut%zu.jsonl", s->dir, n);
        c.journal_path = cut;
        c.resume       = true;
        (void)run(engines[n % 2], &c, n, got);
        size_t known = run(engines[(n + 1) % 2], &c, REQUESTS, got);
        assert_true(known >= n / 2 * 2);
        assert_memory_equal(want, got, REQUESTS * sizeof *want);
        assert_int_equal(run(engines[0], &c, REQUESTS, got), REQUESTS); /* and all of it from the journal */
        assert_memory_equal(want, got, REQUESTS * sizeof *want);
        assert_ok(tw_file_read(whole, 1 << 24, &a, &n_a, &err));
        assert_ok(tw_file_read(cut, 1 << 24, &b, &n_b, &err));
        assert_int_equal(n_a, n_b);
        assert_memory_equal(a, b, n_a);
        tw_free(a);
        tw_free(b);
    }
    trawl_engine_close(&engines[0]);
    trawl_engine_close(&engines[1]);
    free(want);
    free(got);
}

/* A journal is continued only by the same searches. */
static void test_another_search_is_refused(void **state)
{
    struct scratch *s    = *state;
    trawl_engine *engine = api_engine(s->dir, 1, 1);
    struct result *got   = calloc(REQUESTS, sizeof *got);
    struct trawl_error err;
    struct trawl_job_config c;
    char path[512];
    assert_non_null(got);
    (void)snprintf(path, sizeof path, "%s/journal.jsonl", s->dir);
    trawl_job_config_init(&c);
    c.commit_every = 2;
    c.journal_path = path;
    (void)run(engine, &c, REQUESTS, got);
    c.resume = true;
    for (size_t change = 0; change < 6; change++) {
        int32_t other[7];
        trawl_job *job      = NULL;
        trawl_status status = TRAWL_OK;
        memcpy(other, completed, sizeof other);
        other[6]++;
        assert_ok(trawl_job_open(engine, &c, &job, &err));
        for (size_t i = 0; i < REQUESTS && status == TRAWL_OK; i++) {
            struct trawl_request r;
            make_request(&r, i);
            if (i == 1 && change < 3) {
                r.num_return_sequences -= change == 0;
                r.length_penalty += change == 1;
                r.early_stopping = change == 2 ? TRAWL_EARLY_STOPPING_TRUE : r.early_stopping;
            } else if (i == 2 && change < 5) {
                r.completions = change == 3 ? other : r.completions;
                r.n_completions -= change == 4;
            } else if (i == 3) {
                r.nbest_min_prob *= change == 5 ? 2 : 1;
            }
            status = trawl_job_submit(job, &r, &err);
        }
        assert_int_equal(status, TRAWL_ERR_EXISTS);
        assert_non_null(strstr(err.message, "is not the one in the journal: its prompt"));
        trawl_job_close(&job);
    }
    trawl_engine_close(&engine);
    free(got);
}

static void test_one_search_at_a_time(void **state)
{
    struct scratch *s    = *state;
    trawl_engine *engine = api_engine(s->dir, 1, 1);
    struct trawl_error err;
    struct trawl_job_config c;
    struct trawl_request r;
    trawl_job *job = NULL;
    trawl_job_config_init(&c);
    assert_ok(trawl_job_open(engine, &c, &job, &err));
    make_request(&r, 1);
    r.nbest_min_prob = 0.1;
    assert_refused(trawl_job_submit(job, &r, &err), TRAWL_ERR_INVALID,
                   "one of num_beams, completions and nbest_min_prob, not for 2");
    trawl_job_close(&job);
    trawl_engine_close(&engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_a_journal_gives_back_all_outputs),
        scratch_test(test_another_search_is_refused),
        scratch_test(test_one_search_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
