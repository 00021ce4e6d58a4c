/* SPDX-License-Identifier: MIT */
/* Files of texts, read an entry at a time: a text file as a whole or by lines, JSON lines by rows. One pass, from
 * the first file to the last, in the order in which they are given. */
#ifndef TW_HARVEST_SOURCE_H
#define TW_HARVEST_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

enum tw_harvest_format {
    TW_HARVEST_AUTO, /* JSON lines where the name ends in .jsonl, .ndjson or .json, and from standard input */
    TW_HARVEST_TEXT,
    TW_HARVEST_JSONL
};

struct tw_harvest_entry {
    const char *file; /* as given: "-" for standard input */
    uint64_t line;    /* from 1; 0: the whole file */
    const char *text; /* [size], may hold NUL; valid until the next call */
    size_t size;
    bool is_row;
};

struct tw_harvest_source {
    const char *const *paths; /* [n], borrowed */
    size_t n;
    enum tw_harvest_format format;
    bool split_lines;
    size_t next; /* file to open next */
    int fd;      /* of the file that is open; -1 */
    bool is_row, whole, ended;
    uint64_t line;
    struct tw_str buffer;
    size_t at; /* first byte of the buffer not given out */
};

/* `split_lines`: each line of a text that is not blank is an entry. Nothing is opened yet. */
void tw_harvest_source_init(struct tw_harvest_source *s, const char *const *paths, size_t n,
                            enum tw_harvest_format format, bool split_lines);
void tw_harvest_source_release(struct tw_harvest_source *s);

/* The next entry; entry->text is NULL behind the last. A byte order mark, and the "\r" of "\r\n", are left out; a
 * file without any text is an entry of size 0 where it counts as a whole.
 * errors: IO; LIMIT: a text or a line over 1 GiB; UNSUPPORTED: a compressed file, by its name. */
trawl_status tw_harvest_source_next(struct tw_harvest_source *s, struct tw_harvest_entry *entry,
                                    struct trawl_error *err);

/* "corpus.jsonl: line 12", or "a.txt". */
enum { TW_HARVEST_PLACE_BYTES = 512 };
void tw_harvest_place(const struct tw_harvest_entry *entry, char out[TW_HARVEST_PLACE_BYTES]);

#endif /* TW_HARVEST_SOURCE_H */
