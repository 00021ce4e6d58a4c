/* SPDX-License-Identifier: MIT */
#include "store_job.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/philox.h"

const struct tw_store_site job_sites[JOB_SITES]    = {{"blocks.1.hook_resid_post", 1, 16},
                                                      {"blocks.1.attn.hook_z", -1, 3}};
const struct tw_setting job_settings[JOB_SETTINGS] = {{"model", "tiny"}, {"dtype", "float32"}};

struct job job_default(const char *root)
{
    return (struct job){.root        = root,
                        .format      = TW_STORE_SAFETENSORS,
                        .dtype       = TW_DTYPE_BF16,
                        .columns     = TW_STORE_LOGPROB | TW_STORE_CELLS,
                        .n_requests  = 10,
                        .group       = 3,
                        .chunk_bytes = 1024,
                        .resume      = true};
}

size_t job_rows(uint64_t id)
{
    uint32_t out[4];
    tw_philox((const uint32_t[]){11, 0}, (const uint32_t[]){(uint32_t)id, 0, 0, 0}, out);
    return id == 4 ? 0 : 1 + out[0] % JOB_MAX_ROWS;
}

void job_fill(uint64_t id, size_t site, float *rows, size_t n)
{
    struct tw_philox_stream s;
    tw_philox_stream_init(&s, id, site);
    for (size_t i = 0; i < n; i++) {
        rows[i] = (float)(tw_philox_double(&s) * 8 - 3);
    }
}

struct job_columns job_columns_of(uint64_t id)
{
    struct job_columns c;
    for (int i = 0; i < JOB_MAX_ROWS; i++) {
        c.token[i]        = (int32_t)(id * 1000) + i;
        c.is_generated[i] = i > 5;
        c.logprob[i]      = -0.25f * (float)i;
        c.cell_row[i]     = (int16_t)(i - 1);
        c.cell_col[i]     = (int16_t)(i % 7 - 1);
    }
    return c;
}

struct tw_store_config job_config(const struct job *job, const char *dir)
{
    return (struct tw_store_config){.dir         = dir,
                                    .format      = job->format,
                                    .dtype       = job->dtype,
                                    .sites       = job_sites,
                                    .n_sites     = JOB_SITES,
                                    .columns     = job->columns,
                                    .settings    = job_settings,
                                    .n_settings  = JOB_SETTINGS,
                                    .resume      = job->resume,
                                    .keep_groups = TW_STORE_KEEP_ALL,
                                    .chunk_bytes = job->chunk_bytes,
                                    .pipe_bytes  = job->pipe_bytes,
                                    .model_path  = "models/tiny",
                                    .batch_size  = job->group,
                                    .hidden_size = 16,
                                    .tree_leaves = 8};
}

/* Rows of the two sites come interleaved and in uneven pieces. */
static trawl_status job_put_rows(struct tw_store *store, uint64_t id, size_t n, struct trawl_error *err)
{
    float rows[JOB_SITES][JOB_MAX_ROWS * JOB_MAX_WIDTH];
    size_t half = n / 3;
    for (size_t s = 0; s < JOB_SITES; s++) {
        job_fill(id, s, rows[s], n * job_sites[s].width);
    }
    for (size_t s = 0; s < JOB_SITES; s++) {
        TW_TRY(tw_store_rows(store, s, rows[s], half, err));
    }
    for (size_t s = JOB_SITES; s-- > 0;) {
        TW_TRY(tw_store_rows(store, s, rows[s] + half * job_sites[s].width, n - half, err));
    }
    return TRAWL_OK;
}

trawl_status job_put_request(struct tw_store *store, uint64_t id, struct trawl_error *err)
{
    char task_id[32];
    size_t n                  = job_rows(id);
    struct job_columns c      = job_columns_of(id);
    struct tw_store_request r = {.id           = id,
                                 .task_id      = task_id,
                                 .sample_idx   = (int64_t)id % 4,
                                 .n_rows       = n,
                                 .token        = c.token,
                                 .is_generated = c.is_generated,
                                 .logprob      = c.logprob,
                                 .cell_row     = c.cell_row,
                                 .cell_col     = c.cell_col};
    (void)snprintf(task_id, sizeof task_id, "task-%llu", (unsigned long long)id / 4);
    if (n == 0) {
        return TRAWL_OK;
    }
    TW_TRY(tw_store_begin_request(store, &r, err));
    TW_TRY(job_put_rows(store, id, n, err));
    return tw_store_end_request(store, err);
}

trawl_status job_put_record(struct tw_journal *journal, uint64_t id, struct trawl_error *err)
{
    char text[64];
    int n =
        snprintf(text, sizeof text, "{\"id\": %llu, \"rows\": %zu}", (unsigned long long)id, job_rows(id));
    return tw_journal_add(journal, text, (size_t)n, err);
}

trawl_status job_group(struct tw_store *store, struct tw_journal *journal, uint64_t first, uint64_t end,
                       struct trawl_error *err)
{
    for (uint64_t id = first; id < end; id++) {
        TW_TRY(job_put_request(store, id, err));
        TW_TRY(job_put_record(journal, id, err));
    }
    TW_TRY(tw_store_commit(store, first, end, err));
    return tw_journal_commit(journal, first, end, err);
}

trawl_status job_run(const struct job *job, uint64_t groups, struct trawl_error *err)
{
    struct tw_store *store     = NULL;
    struct tw_journal *journal = NULL;
    char path[512];
    char dir[512];
    (void)snprintf(path, sizeof path, "%s/results.jsonl", job->root);
    (void)snprintf(dir, sizeof dir, "%s/activations", job->root);
    const struct tw_journal_config jc = {.path       = path,
                                         .kind       = "results",
                                         .settings   = job_settings,
                                         .n_settings = JOB_SETTINGS,
                                         .resume     = job->resume};
    struct tw_store_config sc         = job_config(job, dir);
    trawl_status status               = tw_journal_open(&jc, &journal, err);
    if (status == TRAWL_OK) {
        sc.keep_groups = tw_journal_groups(journal);
        status         = tw_store_open(&sc, &store, err);
    }
    while (status == TRAWL_OK && tw_journal_end(journal) < job->n_requests &&
           tw_journal_groups(journal) < groups) {
        uint64_t first = tw_journal_end(journal);
        uint64_t end   = first + job->group < job->n_requests ? first + job->group : job->n_requests;
        status         = job_group(store, journal, first, end, err);
    }
    if (status == TRAWL_OK && tw_journal_end(journal) == job->n_requests) {
        status = tw_store_finish(store, err);
    }
    tw_store_close(store);
    tw_journal_close(journal);
    return status;
}

/* ---- folders ---- */

static int list_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void describe_below(const char *root, const char *prefix, FILE *out)
{
    struct dirent **entries = NULL;
    char dir[1024];
    (void)snprintf(dir, sizeof dir, "%s/%s", root, prefix);
    int n = scandir(dir, &entries, NULL, list_names);
    assert_true(n >= 0);
    for (int i = 0; i < n; i++) {
        char name[512];
        char path[2048];
        if (entries[i]->d_name[0] != '.') {
            (void)snprintf(name, sizeof name, "%s%s%s", prefix, prefix[0] == '\0' ? "" : "/",
                           entries[i]->d_name);
            (void)snprintf(path, sizeof path, "%s/%s", root, name);
            if (tw_path_is_dir(path)) {
                describe_below(root, name, out);
            } else {
                struct tw_mapped_file file;
                assert_int_equal(tw_mapped_file_open(&file, path, NULL), TRAWL_OK);
                (void)fprintf(out, "%016llx %s\n", (unsigned long long)tw_hash64(file.data, file.size), name);
                tw_mapped_file_close(&file);
            }
        }
        free(entries[i]);
    }
    free(entries);
}

char *describe_folder(const char *root)
{
    char *text = NULL;
    size_t n   = 0;
    FILE *out  = open_memstream(&text, &n);
    assert_non_null(out);
    describe_below(root, "", out);
    assert_int_equal(fclose(out), 0);
    return text;
}

void write_file(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}
