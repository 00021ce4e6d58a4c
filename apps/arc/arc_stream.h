/* SPDX-License-Identifier: MIT */
/* Large JSON files one entry at a time. A data set of 100,000 tasks is gigabytes; parsed whole it would be
 * ten times that in memory. Here the file is mapped and each entry is parsed, used and freed. */
#ifndef TW_ARC_STREAM_H
#define TW_ARC_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/file.h"
#include "json/json.h"

enum tw_arc_stream_kind {
    TW_ARC_STREAM_OBJECT, /* one JSON object: an entry per member, with its key */
    TW_ARC_STREAM_ARRAY,  /* one JSON array: an entry per element */
    TW_ARC_STREAM_LINES,  /* JSONL: an entry per line that is not blank */
};

/* Over bytes that the caller keeps (tw_arc_stream_over) or over a mapped file (tw_arc_stream_open). One
 * thread at a time. */
struct tw_arc_stream {
    const char *name; /* begins every message; borrowed */
    const char *text;
    size_t size;
    size_t at; /* byte offset of the next thing to read */
    enum tw_arc_stream_kind kind;
    size_t n;    /* entries read so far, bad lines included */
    size_t line; /* TW_ARC_STREAM_LINES: number of the last line read, from 1 */
    bool ended;
    struct tw_mapped_file file;
};

/* JSONL when the name ends in ".jsonl" or ".ndjson", else by the first character, { or [. A byte order
 * mark is skipped. An empty text is JSONL without entries only under such a name. */
trawl_status tw_arc_stream_over(struct tw_arc_stream *s, const char *name, const char *text, size_t size,
                                struct trawl_error *err);
/* `path` is kept as the name: it must outlive the stream. */
trawl_status tw_arc_stream_open(struct tw_arc_stream *s, const char *path, struct trawl_error *err);
void tw_arc_stream_close(struct tw_arc_stream *s);

/* The next entry, owned by the caller (json_decref); `*key` (TW_ARC_STREAM_OBJECT, else NULL) too (a JSON
 * string without U+0000). Both NULL at the end. A line that is not JSON: TRAWL_ERR_FORMAT, and the next call
 * goes on with the next line (`recoverable`); a broken object or array cannot be read past the break. */
trawl_status tw_arc_stream_next(struct tw_arc_stream *s, json_t **key, json_t **value,
                                struct trawl_error *err);
bool tw_arc_stream_recoverable(const struct tw_arc_stream *s);

#endif /* TW_ARC_STREAM_H */
