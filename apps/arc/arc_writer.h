/* SPDX-License-Identifier: MIT */
/* A JSON list or object on disk, one entry a line, of any size: the counterpart of arc_stream.h. */
#ifndef TW_ARC_WRITER_H
#define TW_ARC_WRITER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/file.h"
#include "base/str.h"

struct tw_arc_writer {
    struct tw_atomic_file file;
    struct tw_str pending; /* bytes not written yet */
    size_t n;              /* entries so far */
    char close;            /* the closing bracket */
    bool open;
};

trawl_status tw_arc_writer_open_list(struct tw_arc_writer *w, const char *path, struct trawl_error *err);
trawl_status tw_arc_writer_open_object(struct tw_arc_writer *w, const char *path, struct trawl_error *err);
/* Start the next entry: append its JSON (for an object: the member with its key) to `*entry`, on one line. */
trawl_status tw_arc_writer_begin(struct tw_arc_writer *w, struct tw_str **entry, struct trawl_error *err);
/* The file appears, whole. */
trawl_status tw_arc_writer_commit(struct tw_arc_writer *w, struct trawl_error *err);
/* Free; without a commit before, no file is left. Harmless twice, and on zeroes. */
void tw_arc_writer_close(struct tw_arc_writer *w);

#endif /* TW_ARC_WRITER_H */
