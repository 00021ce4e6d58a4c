/* SPDX-License-Identifier: MIT */
/* The bytes of a journal (store_journal.h): its header, where its groups are, which of them hold, what is a
 * torn tail and what is damage. Works on memory; only tw_journal_read touches a file. */
#ifndef TW_STORE_SCAN_H
#define TW_STORE_SCAN_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "store/store_journal.h"

/* Append the header line of a journal, newline included. `run_hash` gets the fingerprint.
 * TRAWL_ERR_INVALID when a key appears twice. */
trawl_status tw_journal_header(struct tw_str *out, const char *kind, const struct tw_setting *settings,
                               size_t n_settings, char run_hash[17], struct trawl_error *err);

/* Append the commit line of group `number` to its records, which are all that `group` holds. */
trawl_status tw_journal_commit_line(struct tw_str *group, uint64_t number, uint64_t first, uint64_t end,
                                    struct trawl_error *err);

/* Offsets into the file; requests first..end-1. */
struct tw_journal_group {
    size_t begin;  /* the first record */
    size_t commit; /* the commit line: where the records end */
    size_t stop;   /* after the commit line */
    uint64_t first;
    uint64_t end;
};

struct tw_journal_scan {
    size_t header; /* bytes of the header line, newline included */
    json_t *run;   /* the settings of the run, an object of strings */
    char run_hash[17];
    struct tw_journal_group *groups;
    size_t n_groups;
    size_t capacity;
    size_t valid; /* bytes up to the end of the last whole group; the rest is torn */
};

/* `what` (the path) begins every message. A last group that fails its check is a torn tail and not
 * counted; one with anything after it is damage: TRAWL_ERR_FORMAT. Release in either case. */
trawl_status tw_journal_scan(struct tw_journal_scan *scan, const char *data, size_t n, const char *kind,
                             const char *what, struct trawl_error *err);
void tw_journal_scan_release(struct tw_journal_scan *scan);

/* Call `fn` with every record of one group of `data`. `number` counts from 1. */
trawl_status tw_journal_scan_each(const struct tw_journal_group *group, uint64_t number, const char *data,
                                  tw_journal_fn *fn, void *user, struct trawl_error *err);

/* Scan a file and call `fn` with its committed records: no lock is taken, nothing is changed. The scan
 * is the caller's to release. */
trawl_status tw_journal_read(struct tw_journal_scan *scan, const char *path, const char *kind,
                             tw_journal_fn *fn, void *user, struct trawl_error *err);

#endif /* TW_STORE_SCAN_H */
