/* SPDX-License-Identifier: MIT */
/* The activation store: rows of captured sites, one folder, committed group by group.
 *
 *     <dir>/metadata.json                 what a loader needs; derived from the manifest, rewritten as it grows
 *     <dir>/manifest.jsonl                a journal (store_journal.h) of chunks: its commit line IS the commit
 *     <dir>/statistics.safetensors        per site mean and variance (f64), and the sums to continue from
 *     <dir>/statistics.previous.safetensors   the same one group earlier, for a store that is one ahead
 *     <dir>/blocks.10.hook_resid_post/shard-00000-chunk-00000001.safetensors       TW_STORE_SAFETENSORS
 *     <dir>/layer_10_batch_000001.pkl                                              TW_STORE_PKL
 *
 * Use: open; then per request begin, rows of every site, end, in request order; commit when a group is
 * complete; finish when the job is. A job that also keeps a results journal commits the store first, the
 * journal second, so the store may be one group ahead of the journal after a kill, never behind it.
 *
 * Calls copy their arguments into a bounded pipe and return; a writer thread encodes and writes. When the
 * disk is slower than the engine a call waits, memory does not grow. tw_store_commit returns when the
 * group is durable. A failure of the writer (a full disk, say) is reported by the next call and by every
 * call after it: the group in progress is lost, what was committed stays valid; close, and open again
 * with `resume` to go on. One thread makes the calls. */
#ifndef TW_STORE_STORE_H
#define TW_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "store/store_journal.h"
#include "tensor/dtype.h"

enum tw_store_format {
    TW_STORE_SAFETENSORS = 0, /* chunks cut by size, at request boundaries, and at every commit */
    TW_STORE_PKL              /* one pickle per layer and group; dtype must be F32 */
};

/* Columns of a chunk besides activation, token, request, position, is_generated (safetensors only). */
enum tw_store_column {
    TW_STORE_LOGPROB = 1 << 0,
    TW_STORE_ENTROPY = 1 << 1,
    TW_STORE_CELLS   = 1 << 2 /* cell_row and cell_col */
};

struct tw_store_site {
    const char *name; /* letters, digits, ".", "_", "-"; a folder name: "blocks.10.hook_resid_post" */
    int layer;        /* 10 when the site is the residual stream after block 10, else -1 */
    size_t width;     /* elements of a row */
};

/* keep_groups: whatever the store has (there is no results journal). */
#define TW_STORE_KEEP_ALL UINT64_MAX

struct tw_store_config {
    const char *dir; /* made when absent */
    enum tw_store_format format;
    enum tw_dtype dtype; /* F32, BF16 or F16 on disk */
    const struct tw_store_site *sites;
    size_t n_sites;
    unsigned columns;                  /* enum tw_store_column, or-ed */
    const struct tw_setting *settings; /* of the run; the store adds its own: format, dtype, sites, ... */
    size_t n_settings;
    bool resume;          /* continue what is there, or begin */
    uint64_t keep_groups; /* groups that the results journal has */
    uint32_t shard;       /* this data replica of n_shards; each has a folder of its own */
    uint32_t n_shards;    /* 0 counts as 1 */
    size_t chunk_bytes;   /* of one activation tensor; 0: 256 MiB */
    size_t pipe_bytes;    /* rows under way to the writer; 0: 32 MiB */
    /* For metadata.json only. */
    const char *model_path;
    const char *model_hash; /* NULL: none given */
    uint64_t batch_size;
    uint64_t hidden_size;
    uint64_t tree_leaves;
};

struct tw_store;

/* Open, lock, and set the folder to keep_groups committed groups: later groups (at most one), temporary
 * files and chunks that no manifest line names are removed. Strings and arrays of `config` are copied.
 * TRAWL_ERR_EXISTS: in use by another process; there already and `resume` is false; other settings (named).
 * TRAWL_ERR_FORMAT: the manifest is damaged, a committed file is missing or has another size, the store is
 *                   behind the journal or more than one group ahead (group and file named).
 * TRAWL_ERR_INVALID: the configuration itself. */
trawl_status tw_store_open(const struct tw_store_config *config, struct tw_store **out,
                           struct trawl_error *err);
/* Without tw_store_finish before it: as after a kill. NULL is allowed. */
void tw_store_close(struct tw_store *store);

uint64_t tw_store_groups(const struct tw_store *store); /* committed */
uint64_t tw_store_end(const struct tw_store *store);    /* the request after the last committed one */

/* A request and the meaning of its rows; the arrays have n_rows elements. */
struct tw_store_request {
    uint64_t id;         /* its place in the job; ascending from call to call */
    const char *task_id; /* for pickles: NULL is "" */
    int64_t sample_idx;  /* for pickles */
    size_t n_rows;       /* tokens of which every site will get a row; at least 1 */
    const int32_t *token;
    const int32_t *position;     /* NULL: 0, 1, 2, ... */
    const uint8_t *is_generated; /* NULL: all 0 */
    const float *logprob;        /* needed exactly when the column was asked for, likewise below */
    const float *entropy;
    const int16_t *cell_row; /* -1 outside the answer grid */
    const int16_t *cell_col;
    /* Safetensors: rows of several requests in any order, which are stored in that order. */
    const uint64_t
        *requests; /* [n_requests] whose rows they are, ascending, `id` first; NULL: of `id` only */
    size_t n_requests;
    const int64_t *request; /* [n_rows] the request of each row; with `requests` only */
};

trawl_status tw_store_begin_request(struct tw_store *store, const struct tw_store_request *request,
                                    struct trawl_error *err);
/* The next n rows [n, width of the site] of the request begun, in the order of its tokens. Sites may
 * come in any order and interleaved. More rows than n_rows: TRAWL_ERR_INVALID. */
trawl_status tw_store_rows(struct tw_store *store, size_t site, const float *rows, size_t n,
                           struct trawl_error *err);
/* Every site must have its n_rows by now: TRAWL_ERR_INVALID otherwise, naming the site. */
trawl_status tw_store_end_request(struct tw_store *store, struct trawl_error *err);

/* Commit everything since the last commit as the group of requests first..end-1 (some of which may have no
 * rows). Returns when it is durable. */
trawl_status tw_store_commit(struct tw_store *store, uint64_t first, uint64_t end, struct trawl_error *err);

/* The job is complete: write metadata.json with "complete": true. Nothing may be uncommitted. */
trawl_status tw_store_finish(struct tw_store *store, struct trawl_error *err);

/* ---- looking at a folder; no lock is taken and nothing is changed ---- */

struct tw_store_check {
    uint64_t files;    /* named by the manifest */
    uint64_t bytes;    /* of those that were read */
    uint64_t extra;    /* that it does not name */
    uint64_t problems; /* damaged, missing, extra, and contents that contradict each other */
    uint64_t rows;     /* of each site, from which the statistics were computed again */
    bool content;      /* the files were whole, so their contents were compared too */
};

/* Read every file that the manifest names and compare size and checksum; where all are as they were committed,
 * compare headers, columns and metadata.json with the manifest, and statistics with the rows. One line a problem is
 * appended to `report`: "<file>: damaged: ...", "<file>: missing", "<file>: not in the manifest", ... Problems are
 * no failure of the call. A store that is being written shows the chunks of its unfinished group as extra. */
trawl_status tw_store_verify(const char *dir, struct tw_store_check *check, struct tw_str *report,
                             struct trawl_error *err);

#endif /* TW_STORE_STORE_H */
