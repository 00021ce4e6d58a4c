/* SPDX-License-Identifier: MIT */
/* The journal of a job: what was finished, in request order, durable group by group. One JSON object a
 * line:
 *
 *     {"trawl_journal": 1, "kind": "results", "run": {"dtype": "bfloat16", ...}, "run_hash": "<hex>"}
 *     <record>                                         as the caller gave it, one line each
 *     <record>
 *     {"commit": 1, "first": 0, "end": 2, "xxh3": "<hex>"}
 *     ...
 *
 * The commit line makes the records before it count. Its checksum covers every byte from the first
 * record of the group up to the comma before "xxh3", so no request range can change unnoticed either. A
 * group goes to disk with one append and one fsync; equal jobs give equal bytes (no clock, no host name).
 *
 * The same file format carries the results of a job and the manifest of an activation store; `kind`
 * keeps them apart. Not thread safe: one thread owns a journal. */
#ifndef TW_STORE_JOURNAL_H
#define TW_STORE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* One setting that the results depend on. Two runs are the same run when all of theirs are equal. Strings
 * of UTF-8, keys unique; read during the call only. */
struct tw_setting {
    const char *key;
    const char *value;
};

struct tw_journal_config {
    const char *path;
    const char *kind; /* a word, "results" */
    const struct tw_setting *settings;
    size_t n_settings;
    bool resume; /* continue a journal that is there, begin one that is not */
};

struct tw_journal;

/* Open and lock. What stands after the last whole group (a torn write) is dropped.
 * TRAWL_ERR_EXISTS: another process has it; or it is there already and `resume` is false; or it belongs
 *                   to a run with other settings (the first that differs is named with both values).
 * TRAWL_ERR_FORMAT: no journal, one of another kind, or damaged before its last group (lines named). */
trawl_status tw_journal_open(const struct tw_journal_config *config, struct tw_journal **out,
                             struct trawl_error *err);
/* Records that were added and not committed are forgotten. NULL is allowed. */
void tw_journal_close(struct tw_journal *journal);

uint64_t tw_journal_groups(const struct tw_journal *journal); /* committed */
/* The request after the last committed one, 0 for none: where a job continues. */
uint64_t tw_journal_end(const struct tw_journal *journal);

/* The fingerprint of the settings, 16 hexadecimal digits; lives as long as the journal. */
const char *tw_journal_run_hash(const struct tw_journal *journal);

/* A committed record: `text` of `n` bytes without its newline, valid during the call. `group` counts
 * from 1. A failure ends the iteration and is passed on. */
typedef trawl_status tw_journal_fn(void *user, uint64_t group, const char *text, size_t n,
                                   struct trawl_error *err);

/* All committed records in order. */
trawl_status tw_journal_each(const struct tw_journal *journal, tw_journal_fn *fn, void *user,
                             struct trawl_error *err);

/* Add a record to the group being made: a JSON object on one line, not one that begins with the key
 * "commit". TRAWL_ERR_INVALID otherwise. */
trawl_status tw_journal_add(struct tw_journal *journal, const char *text, size_t n, struct trawl_error *err);

/* Make the records added since the last commit durable as the group of requests first..end-1; a group
 * may have no records. first >= tw_journal_end, end >= first. On failure (a full disk) the file is as
 * before and the records are still there: the commit may be tried again. */
trawl_status tw_journal_commit(struct tw_journal *journal, uint64_t first, uint64_t end,
                               struct trawl_error *err);

/* Keep the first `groups` groups only, durably. Pending records are forgotten. */
trawl_status tw_journal_truncate(struct tw_journal *journal, uint64_t groups, struct trawl_error *err);

#endif /* TW_STORE_JOURNAL_H */
