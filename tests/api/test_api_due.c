/* SPDX-License-Identifier: MIT */
/* Requests of a job that are cancelled or time out: what their results say, what is written of them, and that a job
 * that is opened again finds them as they ended. */
#include <math.h>
#include <stdatomic.h>

#include "api_harness.h"
#include "base/file.h"
#include "store/store.h"
#include "support/tiny_model.h"

enum { LATE = 2, ALSO_LATE = 9, CUT = 8, CUT_AT = 4, GROUP = 3 };

struct user {
    trawl_job *job;
    size_t n_tokens[API_REQUESTS];
    size_t first[API_REQUESTS], n_rows[API_REQUESTS];
};

/* The fourth token of one request is its last; two requests are too late to begin. */
static bool cut(void *user, uint64_t request, int32_t token, float logprob)
{
    struct user *u = user;
    struct trawl_error err;
    (void)token;
    (void)logprob;
    if (++u->n_tokens[request] == CUT_AT && request == CUT) {
        assert_ok(trawl_job_cancel_request(u->job, request, &err));
        assert_ok(trawl_job_cancel_request(u->job, request, &err)); /* once more is no harm */
    }
    return true;
}

static trawl_status see_rows(void *user, uint64_t request, size_t site, size_t position, const float *rows,
                             size_t n, size_t width, struct trawl_error *err)
{
    struct user *u = user;
    (void)rows;
    (void)width;
    (void)err;
    if (site == 0) {
        u->first[request] = u->n_rows[request] == 0 ? position : u->first[request];
        u->n_rows[request] += n;
    }
    return TRAWL_OK;
}

static void submit(trawl_job *job)
{
    struct trawl_error err;
    for (size_t i = 0; i < API_REQUESTS; i++) {
        struct trawl_request r;
        api_request(&r, i);
        r.timeout      = i == LATE || i == ALSO_LATE ? 1e-9 : i == 1 ? (double)INFINITY : 0;
        r.capture_from = i % 2 == 0 ? 0 : r.n_prompt - 1;
        assert_ok(trawl_job_submit(job, &r, &err));
    }
    trawl_job_end_input(job);
}

static void run_due(trawl_engine *engine, struct trawl_job_config *config, struct user *u, size_t n_results,
                    struct api_result *results, struct trawl_job_stats *stats)
{
    struct trawl_error err;
    struct trawl_result r;
    bool more        = true;
    *u               = (struct user){0};
    config->user     = u;
    config->on_token = cut;
    config->on_rows  = config->capture.n_sites > 0 ? see_rows : NULL;
    config->timeout  = 1000;
    assert_ok(trawl_job_open(engine, config, &u->job, &err));
    submit(u->job);
    for (size_t i = 0; i < n_results; i++) {
        api_take(u->job, i, &results[i]);
    }
    if (n_results == API_REQUESTS) {
        assert_ok(trawl_job_next(u->job, &r, &more, &err));
        assert_false(more);
    }
    trawl_job_stats(u->job, stats);
    trawl_job_close(&u->job);
}

static void assert_ended(const struct api_result *want, const struct api_result *got)
{
    for (size_t i = 0; i < API_REQUESTS; i++) {
        if (i == LATE || i == ALSO_LATE) {
            assert_true(got[i].finish == TRAWL_FINISH_TIMEOUT && got[i].n_tokens == 0);
        } else if (i == CUT) {
            assert_true(got[i].finish == TRAWL_FINISH_CANCELLED && got[i].n_tokens == CUT_AT);
            assert_memory_equal(got[i].tokens, want[i].tokens, CUT_AT * sizeof(int32_t));
            assert_memory_equal(got[i].logprobs, want[i].logprobs, CUT_AT * sizeof(float));
        } else {
            api_assert_same(&want[i], &got[i], 1);
        }
    }
}

/* ---- results ---- */

static void test_results_say_how_a_request_ended(void **state)
{
    struct scratch *s = *state;
    struct trawl_job_config c;
    struct trawl_job_stats stats;
    struct trawl_error err;
    struct user u;
    struct api_result want[API_REQUESTS], got[API_REQUESTS];
    for (int data = 1; data <= 2; data++) {
        trawl_engine *engine = api_engine(s->dir, data, 1);
        trawl_job_config_init(&c);
        api_run(engine, &c, want);
        run_due(engine, &c, &u, API_REQUESTS, got, &stats);
        assert_ended(want, got);
        assert_int_equal(stats.timed_out, 2);
        assert_int_equal(stats.cancelled, 1);
        assert_int_equal(stats.finished, API_REQUESTS);
        c.timeout = -2;
        assert_refused(trawl_job_open(engine, &c, &u.job, &err), TRAWL_ERR_INVALID,
                       "the job's timeout is -2, expected seconds");
        trawl_engine_close(&engine);
    }
    assert_string_equal(trawl_finish_reason_name(TRAWL_FINISH_TIMEOUT), "timeout");
    assert_null(trawl_finish_reason_name((enum trawl_finish_reason)5));
}

static void test_which_requests_can_be_cancelled(void **state)
{
    struct scratch *s    = *state;
    trawl_engine *engine = api_engine(s->dir, 1, 1);
    struct trawl_job_config c;
    struct trawl_request q;
    struct trawl_result r;
    struct trawl_error err;
    trawl_job *job = NULL;
    bool more      = false;
    trawl_job_config_init(&c);
    assert_ok(trawl_job_open(engine, &c, &job, &err));
    assert_refused(trawl_job_cancel_request(job, 0, &err), TRAWL_ERR_INVALID,
                   "there is no request 0 to cancel: 0 have been submitted");
    api_request(&q, 1);
    q.has_number = true; /* the number in files is not the place in the job */
    q.number     = 7;
    assert_ok(trawl_job_submit(job, &q, &err));
    assert_refused(trawl_job_cancel_request(job, 7, &err), TRAWL_ERR_INVALID, "1 have been submitted");
    trawl_job_end_input(job);
    assert_ok(trawl_job_next(job, &r, &more, &err));
    assert_int_equal(r.finish_reason, TRAWL_FINISH_LENGTH);
    assert_ok(trawl_job_cancel_request(job, 0, &err)); /* it has ended: it stays so */
    assert_int_equal(r.finish_reason, TRAWL_FINISH_LENGTH);
    assert_ok(trawl_job_next(job, &r, &more, &err));
    assert_false(more);
    trawl_job_close(&job);
    trawl_engine_close(&engine);
}

static void test_a_timeout_that_is_none_is_refused(void **state)
{
    struct scratch *s       = *state;
    trawl_engine *engine    = api_engine(s->dir, 1, 1);
    const double timeouts[] = {-1, NAN};
    struct trawl_job_config c;
    struct trawl_error err;
    trawl_job *job = NULL;
    trawl_job_config_init(&c);
    assert_ok(trawl_job_open(engine, &c, &job, &err));
    for (size_t i = 0; i < 2; i++) {
        struct trawl_request q;
        struct api_result got;
        api_request(&q, 1);
        q.timeout = timeouts[i];
        assert_ok(trawl_job_submit(job, &q, &err));
        api_take(job, i, &got);
        assert_int_equal(got.finish, TRAWL_FINISH_ERROR);
        assert_non_null(strstr(got.error, "expected seconds, or 0 for none"));
    }
    trawl_job_close(&job);
    trawl_engine_close(&engine);
}

/* ---- files ---- */

static struct trawl_job_config config_in(const char *dir, struct api_files *p, bool resume)
{
    static const char *const sites[] = {"layer_0", "blocks.1.mlp.hook_post"};
    return api_config_in(dir, p, sites, 2, GROUP, resume);
}

static void assert_rows_begin_where_they_are_wanted(const struct user *u, const struct api_result *got)
{
    for (size_t i = 0; i < API_REQUESTS; i++) {
        size_t first = i % 2 == 0 ? 0 : got[i].n_prompt - 1;
        if (i == LATE || i == ALSO_LATE || i == API_ERROR) {
            assert_int_equal(u->n_rows[i], 0);
        } else {
            assert_int_equal(u->first[i], first);
            assert_int_equal(u->n_rows[i], got[i].n_prompt - first + got[i].n_tokens - 1);
        }
    }
}

/* Wherever it was cut: what had ended early is found so and not computed again, the rest is as it would have been. */
static void test_a_journal_keeps_how_requests_ended(void **state)
{
    struct scratch *s = *state;
    struct api_files p;
    struct user u;
    struct trawl_job_stats stats;
    struct api_result want[API_REQUESTS], whole[API_REQUESTS], part[API_REQUESTS];
    char a[512], b[512];
    (void)snprintf(a, sizeof a, "%s/whole", s->dir);
    (void)snprintf(b, sizeof b, "%s/cut", s->dir);
    trawl_engine *engine = api_engine(s->dir, 1, 1);
    struct trawl_job_config none, c = config_in(a, &p, false);
    trawl_job_config_init(&none);
    api_run(engine, &none, want);
    run_due(engine, &c, &u, API_REQUESTS, whole, &stats);
    assert_ended(want, whole);
    assert_rows_begin_where_they_are_wanted(&u, whole);
    for (size_t n = 0; n <= API_REQUESTS; n++) {
        c = config_in(b, &p, false);
        run_due(engine, &c, &u, n, part, &stats);
        c = config_in(b, &p, true);
        run_due(engine, &c, &u, API_REQUESTS, part, &stats);
        size_t committed = n / GROUP * GROUP;
        committed        = n == API_REQUESTS ? n : committed;
        for (size_t i = 0; i < API_REQUESTS; i++) {
            assert_int_equal(part[i].from_journal, i < committed);
        }
        assert_int_equal(stats.timed_out, (LATE >= committed) + (ALSO_LATE >= committed));
        assert_int_equal(stats.cancelled, CUT >= committed);
        api_assert_same(whole, part, API_REQUESTS);
        api_assert_same_files(a, b);
    }
    trawl_engine_close(&engine);
}

static void test_a_resumed_request_wants_the_same_rows(void **state)
{
    struct scratch *s = *state;
    struct api_files p;
    struct trawl_request q;
    struct trawl_error err;
    struct api_result got;
    trawl_job *job       = NULL;
    trawl_engine *engine = api_engine(s->dir, 1, 1);
    char dir[512];
    (void)snprintf(dir, sizeof dir, "%s/run", s->dir);
    struct trawl_job_config c = config_in(dir, &p, false);
    c.commit_every            = 1;
    api_request(&q, 1);
    q.capture_from = 3;
    assert_ok(trawl_job_open(engine, &c, &job, &err));
    assert_ok(trawl_job_submit(job, &q, &err));
    api_take(job, 0, &got);
    trawl_job_close(&job);
    c.resume = true;
    assert_ok(trawl_job_open(engine, &c, &job, &err));
    q.capture_from = 4;
    assert_refused(trawl_job_submit(job, &q, &err), TRAWL_ERR_EXISTS, "capture_from");
    trawl_job_close(&job);
    trawl_engine_close(&engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_results_say_how_a_request_ended),
        scratch_test(test_which_requests_can_be_cancelled),
        scratch_test(test_a_timeout_that_is_none_is_refused),
        scratch_test(test_a_journal_keeps_how_requests_ended),
        scratch_test(test_a_resumed_request_wants_the_same_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
