/* SPDX-License-Identifier: MIT */
/* Exports against what was put into the store. What other programs make of them: cli.acts_packages. */
#include "support/test.h"

#include "base/alloc.h"
#include "base/file.h"
#include "formats/formats_safetensors.h"
#include "store/store_export.h"
#include "store/store_job.h"
#include "store/store_pickle.h"

static struct tw_export_config base_config(struct scratch *s, char dir[1024], char out[1024])
{
    (void)snprintf(dir, 1024, "%s/activations", s->dir);
    (void)snprintf(out, 1024, "%s/out", s->dir);
    return (struct tw_export_config){.dir = dir, .output = out, .format = TW_EXPORT_NPY};
}

static struct job write_store(struct scratch *s, enum tw_store_format format, enum tw_dtype dtype)
{
    struct trawl_error err = {0};
    struct job job         = job_default(s->dir);
    job.format             = format;
    job.dtype              = dtype;
    job.columns            = format == TW_STORE_PKL ? 0 : job.columns; /* pickles have none */
    assert_ok(job_run(&job, UINT64_MAX, &err));
    return job;
}

/* The data of an .npy file, and how many bytes. */
static const char *npy_data(const char *text, size_t size, size_t *bytes)
{
    assert_true(size > 10 && memcmp(text, "\x93NUMPY\x01", 7) == 0);
    size_t head = 10 + (uint8_t)text[8] + 256 * (size_t)(uint8_t)text[9];
    assert_true(head % 64 == 0 && head <= size);
    *bytes = size - head;
    return text + head;
}

static char *read_file(struct scratch *s, const char *name, size_t *size)
{
    struct trawl_error err = {0};
    char *text             = NULL;
    assert_ok(tw_file_read(scratch_path(s, name), 1 << 26, &text, size, &err));
    return text;
}

static float rounded(enum tw_dtype dtype, float v)
{
    return dtype == TW_DTYPE_BF16  ? tw_bf16_to_f32(tw_bf16_from_f32(v))
           : dtype == TW_DTYPE_F16 ? tw_f16_to_f32(tw_f16_from_f32(v))
                                   : v;
}

static bool is_wanted(enum tw_export_only only, size_t row)
{
    return only == TW_EXPORT_ALL || (row > 5) == (only == TW_EXPORT_GENERATED);
}

/* out/<site>.npy in f32, and request.npy, hold the rows that were put in, rounded as stored. */
static void check_rows(struct scratch *s, const struct job *job, enum tw_export_only only, size_t most)
{
    for (size_t site = 0; site < JOB_SITES; site++) {
        char name[128];
        size_t size, n_bytes, n_requests, at = 0, width = job_sites[site].width;
        (void)snprintf(name, sizeof name, "out/%s.npy", job_sites[site].name);
        char *rows_text = read_file(s, name, &size);
        const char *got = npy_data(rows_text, size, &n_bytes);
        char *ids_text  = read_file(s, "out/request.npy", &size);
        const char *ids = npy_data(ids_text, size, &n_requests);
        for (uint64_t id = 0; id < job->n_requests; id++) {
            float values[JOB_MAX_ROWS * JOB_MAX_WIDTH];
            job_fill(id, site, values, job_rows(id) * width);
            for (size_t r = 0; r < job_rows(id); r++) {
                if (!is_wanted(only, r) || at == most) {
                    continue;
                }
                int64_t request;
                assert_true((at + 1) * width * sizeof(float) <= n_bytes);
                memcpy(&request, ids + at * sizeof request, sizeof request);
                assert_int_equal(request, id);
                for (size_t j = 0; j < width; j++) {
                    float v;
                    memcpy(&v, got + (at * width + j) * sizeof v, sizeof v);
                    assert_int_equal(tw_f32_bits(v), tw_f32_bits(rounded(job->dtype, values[r * width + j])));
                }
                at++;
            }
        }
        assert_int_equal(n_bytes, at * width * sizeof(float));
        assert_int_equal(n_requests, at * sizeof(int64_t));
        tw_free(rows_text);
        tw_free(ids_text);
    }
}

static void rows_are_those_put_in(void **state)
{
    static const enum tw_dtype dtypes[] = {TW_DTYPE_F32, TW_DTYPE_BF16, TW_DTYPE_F16};
    struct scratch *s                   = *state;
    for (size_t d = 0; d < 3; d++) {
        struct scratch one;
        char dir[1024], out[1024];
        struct trawl_error err = {0};
        (void)snprintf(one.dir, sizeof one.dir, "%.40s/%zu", s->dir, d);
        assert_ok(tw_make_dirs(one.dir, &err));
        struct job job = write_store(&one, TW_STORE_SAFETENSORS, dtypes[d]);
        for (int k = 0; k < 9; k++) {
            struct tw_export_summary sum;
            struct tw_export_config c = base_config(&one, dir, out);
            c.only                    = (enum tw_export_only)(k % 3);
            c.max_rows                = 29 * (uint64_t)(k / 3);
            c.has_dtype               = true;
            c.dtype                   = TW_DTYPE_F32;
            assert_ok(tw_store_export(&c, &sum, &err));
            check_rows(&one, &job, c.only, c.max_rows == 0 ? SIZE_MAX : (size_t)c.max_rows);
            assert_int_equal(nftw(out, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
        }
    }
}

static void units_together_are_the_whole(void **state)
{
    struct scratch *s      = *state;
    struct trawl_error err = {0};
    char dir[1024], out[1024];
    struct tw_export_summary sum;
    struct job job            = write_store(s, TW_STORE_SAFETENSORS, TW_DTYPE_BF16);
    struct tw_export_config c = base_config(s, dir, out);
    c.format                  = TW_EXPORT_SAFETENSORS;
    c.split                   = TW_EXPORT_BY_DOCUMENT;
    assert_ok(tw_store_export(&c, &sum, &err));
    assert_int_equal(sum.files, job.n_requests - 1); /* one has no rows */
    for (uint64_t id = 0; id < job.n_requests; id++) {
        char name[64], number[24];
        struct tw_safetensors *st = NULL;
        (void)snprintf(name, sizeof name, "out/request-%08llu.safetensors", (unsigned long long)id);
        (void)snprintf(number, sizeof number, "%llu", (unsigned long long)id);
        if (job_rows(id) == 0) {
            assert_false(tw_path_exists(scratch_path(s, name)));
            continue;
        }
        assert_ok(tw_safetensors_open(&st, scratch_path(s, name), &err));
        assert_string_equal(tw_safetensors_metadata(st, "request"), number);
        const struct tw_safetensors_tensor *token = tw_safetensors_find(st, "token");
        struct job_columns columns                = job_columns_of(id);
        assert_int_equal(token->shape[0], job_rows(id));
        assert_memory_equal(token->data, columns.token, token->bytes);
        for (size_t site = 0; site < JOB_SITES; site++) {
            float values[JOB_MAX_ROWS * JOB_MAX_WIDTH];
            const struct tw_safetensors_tensor *t = tw_safetensors_find(st, job_sites[site].name);
            size_t n                              = job_rows(id) * job_sites[site].width;
            job_fill(id, site, values, n);
            assert_true(t != NULL && t->dtype == TW_DTYPE_BF16 && t->bytes == 2 * n);
            for (size_t i = 0; i < n; i++) {
                uint16_t half;
                memcpy(&half, t->data + 2 * i, 2);
                assert_int_equal(half, tw_bf16_from_f32(values[i]));
            }
        }
        tw_safetensors_close(st);
    }
}

/* From safetensors the pickles of a run that writes pickles, but for the names that only that run knows. */
static void pickles_of_a_safetensors_store(void **state)
{
    struct scratch *s      = *state;
    struct trawl_error err = {0};
    char dir[1024], out[1024];
    struct tw_export_summary sum;
    struct tw_store_check check;
    struct tw_str report;
    struct job job            = write_store(s, TW_STORE_SAFETENSORS, TW_DTYPE_F32);
    struct tw_export_config c = base_config(s, dir, out);
    c.format                  = TW_EXPORT_PKL;
    c.split                   = TW_EXPORT_BY_CHUNK;
    assert_ok(tw_store_export(&c, &sum, &err));
    tw_str_init(&report, 0);
    assert_ok(tw_store_verify(out, &check, &report, &err));
    assert_int_equal(check.problems, 0);
    tw_str_release(&report);
    for (uint64_t group = 0, id = 0; id < job.n_requests; group++) {
        char name[64];
        size_t size = 0;
        (void)snprintf(name, sizeof name, "out/layer_1_batch_%06llu.pkl", (unsigned long long)group + 1);
        char *text                = read_file(s, name, &size);
        struct tw_pickle_reader r = {.data = (const uint8_t *)text, .n = size, .what = name};
        for (bool more = true; more;) {
            struct tw_pickle_entry e;
            float values[JOB_MAX_ROWS * JOB_MAX_WIDTH];
            assert_ok(tw_pickle_next(&r, &e, &more, &err));
            if (more) {
                id += job_rows(id) == 0;
                job_fill(id, 0, values, job_rows(id) * 16);
                assert_true(e.sample_idx == (int64_t)id && e.task_id_size == 0);
                assert_true(e.n_rows == job_rows(id) && e.width == 16);
                assert_memory_equal(e.rows, values, e.n_rows * 16 * sizeof(float));
                id++;
            }
        }
        tw_free(text);
    }
}

static void pickles_of_pickles_are_the_same_folder(void **state)
{
    struct scratch *s      = *state;
    struct trawl_error err = {0};
    char dir[1024], out[1024];
    struct tw_export_summary sum;
    (void)write_store(s, TW_STORE_PKL, TW_DTYPE_F32);
    struct tw_export_config c = base_config(s, dir, out);
    c.format                  = TW_EXPORT_PKL;
    c.split                   = TW_EXPORT_BY_CHUNK;
    assert_ok(tw_store_export(&c, &sum, &err));
    char *a = describe_folder(dir), *b = describe_folder(out);
    assert_string_equal(a, b);
    free(a);
    free(b);
}

/* ---- refusals leave nothing ---- */

static bool stop_soon(void *user, uint64_t done, uint64_t total)
{
    (void)user, (void)total;
    return done < 100;
}

static void what_cannot_be_is_refused(void **state)
{
    static const char *const none[] = {"layer_7"};
    struct scratch *s               = *state;
    struct trawl_error err          = {0};
    char dir[1024], out[1024];
    struct tw_export_summary sum;
    (void)write_store(s, TW_STORE_SAFETENSORS, TW_DTYPE_BF16);
    const struct tw_export_config good = base_config(s, dir, out);
    struct tw_export_config c          = good;
    c.sites                            = none;
    c.n_sites                          = 1;
    assert_refused(tw_store_export(&c, &sum, &err), TRAWL_ERR_INVALID, "no site \"layer_7\"");
    c           = good;
    c.has_dtype = true;
    c.dtype     = TW_DTYPE_BF16;
    assert_refused(tw_store_export(&c, &sum, &err), TRAWL_ERR_INVALID, "no bfloat16");
    c        = good;
    c.format = TW_EXPORT_PKL;
    assert_refused(tw_store_export(&c, &sum, &err), TRAWL_ERR_INVALID, "by chunk");
    c         = good;
    c.context = 3;
    assert_refused(tw_store_export(&c, &sum, &err), TRAWL_ERR_INVALID, "context size");
    c.format  = TW_EXPORT_DATASETS;
    c.context = 4000;
    assert_refused(tw_store_export(&c, &sum, &err), TRAWL_ERR_INVALID, "take a smaller context");
    c      = good;
    c.tick = stop_soon;
    assert_refused(tw_store_export(&c, &sum, &err), TRAWL_ERR_CANCELLED, "stopped");
    assert_false(tw_path_exists(scratch_path(s, "out")) || tw_path_exists(scratch_path(s, "out.tmp")));
    assert_ok(tw_make_dirs(scratch_path(s, "out.tmp"), &err));
    assert_refused(tw_store_export(&good, &sum, &err), TRAWL_ERR_EXISTS, "out.tmp is there already");
    assert_int_equal(rmdir(scratch_path(s, "out.tmp")), 0);
    assert_ok(tw_store_export(&good, &sum, &err));
    char *before = describe_folder(out);
    assert_refused(tw_store_export(&good, &sum, &err), TRAWL_ERR_EXISTS, "out is there already");
    char *after = describe_folder(out);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

static void pickles_do_not_know_prompts(void **state)
{
    struct scratch *s      = *state;
    struct trawl_error err = {0};
    char dir[1024], out[1024];
    struct tw_export_summary sum;
    (void)write_store(s, TW_STORE_PKL, TW_DTYPE_F32);
    struct tw_export_config c = base_config(s, dir, out);
    c.only                    = TW_EXPORT_PROMPT;
    assert_refused(tw_store_export(&c, &sum, &err), TRAWL_ERR_UNSUPPORTED, "which rows are of prompts");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(rows_are_those_put_in),          scratch_test(units_together_are_the_whole),
        scratch_test(pickles_of_a_safetensors_store), scratch_test(pickles_of_pickles_are_the_same_folder),
        scratch_test(what_cannot_be_is_refused),      scratch_test(pickles_do_not_know_prompts),
    };
    return cmocka_run_group_tests_name("store export", tests, NULL, NULL);
}
