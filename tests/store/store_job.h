/* SPDX-License-Identifier: MIT */
/* A small job with made-up rows for the tests of the store: a results journal beside an activation store,
 * committed as the engine would. Everything in it follows from the configuration, so two runs of it must
 * leave the same bytes. */
#ifndef TRAWL_TESTS_STORE_JOB_H
#define TRAWL_TESTS_STORE_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"
#include "store/store_journal.h"

enum { JOB_SITES = 2, JOB_SETTINGS = 2, JOB_MAX_ROWS = 40, JOB_MAX_WIDTH = 16 };

struct job {
    const char *root; /* <root>/results.jsonl and <root>/activations */
    enum tw_store_format format;
    enum tw_dtype dtype;
    unsigned columns;
    uint64_t n_requests;
    uint64_t group;
    size_t chunk_bytes;
    size_t pipe_bytes;
    bool resume;
};

/* Widths 16 and 3: the second leaves the columns unaligned now and then. */
extern const struct tw_store_site job_sites[JOB_SITES];
extern const struct tw_setting job_settings[JOB_SETTINGS];

/* 10 requests in groups of 3, safetensors, bf16, chunks of 1 kB. */
struct job job_default(const char *root);
struct tw_store_config job_config(const struct job *job, const char *dir);

/* What request `id` has: its number of rows (request 4 has none: a record and no activations), the rows of a
 * site, the columns. */
size_t job_rows(uint64_t id);
void job_fill(uint64_t id, size_t site, float *rows, size_t n_elements);
struct job_columns {
    int32_t token[JOB_MAX_ROWS];
    uint8_t is_generated[JOB_MAX_ROWS];
    float logprob[JOB_MAX_ROWS];
    int16_t cell_row[JOB_MAX_ROWS];
    int16_t cell_col[JOB_MAX_ROWS];
};
struct job_columns job_columns_of(uint64_t id);

trawl_status job_put_request(struct tw_store *store, uint64_t id, struct trawl_error *err);
trawl_status job_put_record(struct tw_journal *journal, uint64_t id, struct trawl_error *err);
/* Requests first..end-1 into both, store committed before journal. */
trawl_status job_group(struct tw_store *store, struct tw_journal *journal, uint64_t first, uint64_t end,
                       struct trawl_error *err);
/* Begin or continue the job, to its end or until `groups` are committed. */
trawl_status job_run(const struct job *job, uint64_t groups, struct trawl_error *err);

/* One "<hash> <name>" line for every file below, sorted by name; freed with free. */
char *describe_folder(const char *root);
void write_file(const char *path, const void *data, size_t n);

#endif /* TRAWL_TESTS_STORE_JOB_H */
