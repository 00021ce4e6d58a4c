/* SPDX-License-Identifier: MIT */
#include "api_harness.h"

#include <dirent.h>
#include <sys/stat.h>

#include "support/tiny_model.h"

enum { PROMPT = 64, VOCAB = 131 };

trawl_engine *api_engine(const char *dir, int data, int model)
{
    struct trawl_error err;
    struct trawl_engine_config c;
    trawl_engine *engine = NULL;
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/model", dir);
    if (!tw_path_exists(path)) {
        struct tiny_model m = tiny_model_default();
        tiny_model_write(path, &m);
    }
    trawl_engine_config_init(&c);
    c.model_path = path;
    c.mesh_data  = data;
    c.mesh_model = model;
    c.threads    = 1;
    c.batch_size = 2;
    assert_ok(trawl_engine_open(&c, &engine, &err));
    return engine;
}

/* The same ids for every request: prompts differ in where they begin. */
static const int32_t *ids(void)
{
    static const int32_t list[PROMPT] = {5,  99, 3,   17, 42, 8,  120, 64,  77,  31, 2,  90, 15, 61, 113, 28,
                                         49, 6,  70,  11, 83, 36, 52,  19,  101, 4,  66, 25, 38, 97, 13,  58,
                                         74, 22, 87,  45, 9,  33, 80,  110, 1,   68, 54, 29, 93, 14, 40,  73,
                                         7,  60, 116, 35, 21, 88, 47,  10,  62,  79, 26, 95, 16, 51, 85,  30};
    return list;
}

void api_request(struct trawl_request *r, size_t i)
{
    static const char *const names[] = {"a", "b", "c"};
    trawl_request_init(r);
    r->prompt     = ids() + i;
    r->n_prompt   = i == API_ERROR ? 0 : 3 + i * 7 % 40;
    r->max_tokens = i % 4 == 0 ? 25 : 1 + i;
    if (i % 3 == 1) {
        r->temperature = 3;
        r->top_p       = 0.95;
        r->has_seed    = i == 7;
        r->seed        = 99;
    }
    r->task_id    = names[i % 3];
    r->sample_idx = (int64_t)i / 3;
}

void api_submit(trawl_job *job)
{
    struct trawl_error err;
    for (size_t i = 0; i < API_REQUESTS; i++) {
        struct trawl_request r;
        api_request(&r, i);
        assert_ok(trawl_job_submit(job, &r, &err));
    }
    trawl_job_end_input(job);
}

void api_take(trawl_job *job, size_t i, struct api_result *result)
{
    struct trawl_error err;
    struct trawl_result r;
    bool more = false;
    assert_ok(trawl_job_next(job, &r, &more, &err));
    assert_true(more);
    assert_int_equal(r.request, i);
    assert_true(r.n_tokens <= API_TOKENS);
    *result = (struct api_result){.finish             = r.finish_reason,
                                  .n_tokens           = r.n_tokens,
                                  .n_prompt           = r.n_prompt,
                                  .cumulative_logprob = r.cumulative_logprob,
                                  .from_journal       = r.from_journal};
    if (r.n_tokens > 0) { /* else there may be no arrays */
        memcpy(result->tokens, r.tokens, r.n_tokens * sizeof *r.tokens);
        memcpy(result->logprobs, r.logprobs, r.n_tokens * sizeof(float));
        memcpy(result->entropies, r.entropies, r.n_tokens * sizeof(float));
        memcpy(result->varentropies, r.varentropies, r.n_tokens * sizeof(float));
    }
    assert_true((r.error != NULL) == (r.finish_reason == TRAWL_FINISH_ERROR));
    (void)snprintf(result->error, sizeof result->error, "%s", r.error == NULL ? "" : r.error);
}

void api_run(trawl_engine *engine, const struct trawl_job_config *config, struct api_result *results)
{
    struct trawl_error err;
    struct trawl_result r;
    trawl_job *job = NULL;
    bool more      = true;
    assert_ok(trawl_job_open(engine, config, &job, &err));
    api_submit(job);
    for (size_t i = 0; i < API_REQUESTS; i++) {
        api_take(job, i, &results[i]);
    }
    for (int i = 0; i < 2; i++) { /* asking again after the end is allowed */
        assert_ok(trawl_job_next(job, &r, &more, &err));
        assert_false(more);
    }
    trawl_job_close(&job);
    assert_null(job);
}

void api_assert_same(const struct api_result *a, const struct api_result *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(a[i].finish, b[i].finish);
        assert_int_equal(a[i].n_tokens, b[i].n_tokens);
        assert_int_equal(a[i].n_prompt, b[i].n_prompt);
        assert_memory_equal(a[i].tokens, b[i].tokens, sizeof a[i].tokens);
        assert_memory_equal(a[i].logprobs, b[i].logprobs, sizeof a[i].logprobs);
        assert_memory_equal(a[i].entropies, b[i].entropies, sizeof a[i].entropies);
        assert_memory_equal(a[i].varentropies, b[i].varentropies, sizeof a[i].varentropies);
        assert_memory_equal(&a[i].cumulative_logprob, &b[i].cumulative_logprob, sizeof(double));
        assert_string_equal(a[i].error, b[i].error);
    }
}

/* ---- files ---- */

static size_t compare_below(const char *a, const char *b, bool only_count)
{
    struct trawl_error err;
    DIR *dir     = opendir(a);
    size_t count = 0;
    if (dir == NULL) {
        fail_msg("%s cannot be read", a);
        return 0;
    }
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        char x[2048], y[2048], *left = NULL, *right = NULL;
        struct stat st;
        size_t n_left = 0, n_right = 0;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
            continue;
        }
        (void)snprintf(x, sizeof x, "%s/%s", a, e->d_name);
        (void)snprintf(y, sizeof y, "%s/%s", b, e->d_name);
        assert_int_equal(stat(x, &st), 0);
        if (S_ISDIR(st.st_mode)) {
            count += compare_below(x, y, only_count);
            continue;
        }
        count++;
        if (only_count) {
            continue;
        }
        assert_ok(tw_file_read(x, 1 << 26, &left, &n_left, &err));
        assert_ok(tw_file_read(y, 1 << 26, &right, &n_right, &err));
        if (n_left != n_right || memcmp(left, right, n_left) != 0) {
            fail_msg("%s (%zu bytes) and %s (%zu bytes) differ", x, n_left, y, n_right);
        }
        tw_free(left);
        tw_free(right);
    }
    (void)closedir(dir);
    return count;
}

void api_assert_same_files(const char *a, const char *b)
{
    assert_int_equal(compare_below(a, b, false), compare_below(b, a, true));
}

void api_clear(const char *dir)
{
    (void)nftw(dir, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

struct trawl_job_config api_config_in(const char *dir, struct api_files *files, const char *const *sites,
                                      size_t n_sites, size_t group, bool resume)
{
    struct trawl_error err;
    struct trawl_job_config c;
    if (!resume) {
        api_clear(dir);
    }
    assert_ok(tw_make_dirs(dir, &err));
    (void)snprintf(files->journal, sizeof files->journal, "%s/journal.jsonl", dir);
    (void)snprintf(files->store, sizeof files->store, "%s/activations", dir);
    trawl_job_config_init(&c);
    c.journal_path    = files->journal;
    c.resume          = resume;
    c.commit_every    = group;
    c.capture.dir     = files->store;
    c.capture.sites   = sites;
    c.capture.n_sites = n_sites;
    return c;
}
