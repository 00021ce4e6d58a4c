/* SPDX-License-Identifier: MIT */
/* A store as the real numpy and safetensors see it; tests/golden/check_store.py is the other side.
 * TRAWL_PYTHON names the interpreter (default python3). Skipped when the packages are missing. */
#include "support/test.h"

#include <sys/wait.h>

#include "base/file.h"
#include "store/store_job.h"
#include "json/json.h"

enum { SKIPPED = 77 };

/* What was put in, in full f32, as JSON: floats keep all their digits there. */
static void write_expected(struct scratch *s, const struct job *job)
{
    struct trawl_error err = {0};
    struct tw_str text;
    struct tw_json_writer w;
    tw_str_init(&text, 0);
    tw_json_writer_init(&w, &text, 0);
    tw_json_begin_object(&w);
    tw_json_key(&w, "rows");
    tw_json_begin_array(&w);
    for (uint64_t id = 0; id < job->n_requests; id++) {
        tw_json_int(&w, (int64_t)job_rows(id));
    }
    tw_json_end_array(&w);
    tw_json_key(&w, "sites");
    tw_json_begin_array(&w);
    for (size_t site = 0; site < JOB_SITES; site++) {
        tw_json_string(&w, job_sites[site].name);
    }
    tw_json_end_array(&w);
    tw_json_key(&w, "values");
    tw_json_begin_array(&w);
    for (size_t site = 0; site < JOB_SITES; site++) {
        tw_json_begin_array(&w);
        for (uint64_t id = 0; id < job->n_requests; id++) {
            float rows[JOB_MAX_ROWS * JOB_MAX_WIDTH];
            size_t n = job_rows(id) * job_sites[site].width;
            job_fill(id, site, rows, n);
            for (size_t i = 0; i < n; i++) {
                tw_json_double(&w, (double)rows[i]);
            }
        }
        tw_json_end_array(&w);
    }
    tw_json_end_array(&w);
    tw_json_end_object(&w);
    assert_ok(tw_json_writer_finish(&w, &err));
    write_file(scratch_path(s, "expected.json"), text.data, text.size);
    tw_str_release(&text);
}

static void run_one(struct scratch *s, const char *name, enum tw_store_format format, enum tw_dtype dtype)
{
    struct trawl_error err = {0};
    char root[1024];
    struct job job;
    (void)snprintf(root, sizeof root, "%s", scratch_path(s, name));
    assert_ok(tw_make_dirs(root, &err));
    job        = job_default(root);
    job.format = format;
    job.dtype  = dtype;
    assert_ok(job_run(&job, UINT64_MAX, &err));
}

static void test_python(void **state)
{
    struct scratch *s       = *state;
    const char *interpreter = getenv("TRAWL_PYTHON");
    struct job job          = job_default(s->dir);
    char command[2048];
    write_expected(s, &job);
    run_one(s, "pkl", TW_STORE_PKL, TW_DTYPE_F32);
    run_one(s, "f32", TW_STORE_SAFETENSORS, TW_DTYPE_F32);
    run_one(s, "f16", TW_STORE_SAFETENSORS, TW_DTYPE_F16);
    run_one(s, "bf16", TW_STORE_SAFETENSORS, TW_DTYPE_BF16);
    (void)snprintf(command, sizeof command, "%s '%s/tests/golden/check_store.py' '%s'",
                   interpreter == NULL ? "python3" : interpreter, TRAWL_SOURCE_DIR, s->dir);
    int how = system(command);
    assert_true(how != -1 && WIFEXITED(how));
    if (WEXITSTATUS(how) == SKIPPED || WEXITSTATUS(how) == 127) { /* 127: no such interpreter */
        skip();
    }
    assert_int_equal(WEXITSTATUS(how), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_python),
    };
    return cmocka_run_group_tests_name("store python", tests, NULL, NULL);
}
