/* SPDX-License-Identifier: MIT */
#include "apps/arc/arc_writer.h"

enum { PENDING_BYTES = 1 << 20 };

static trawl_status open_writer(struct tw_arc_writer *w, const char *path, char open, char close,
                                struct trawl_error *err)
{
    *w = (struct tw_arc_writer){.close = close};
    tw_str_init(&w->pending, 0);
    TW_TRY(tw_make_parent_dirs(path, err));
    TW_TRY(tw_atomic_file_open(&w->file, path, err));
    w->open = true;
    return tw_str_putc(&w->pending, open, err);
}

trawl_status tw_arc_writer_open_list(struct tw_arc_writer *w, const char *path, struct trawl_error *err)
{
    return open_writer(w, path, '[', ']', err);
}

trawl_status tw_arc_writer_open_object(struct tw_arc_writer *w, const char *path, struct trawl_error *err)
{
    return open_writer(w, path, '{', '}', err);
}

static trawl_status flush(struct tw_arc_writer *w, struct trawl_error *err)
{
    TW_TRY(tw_atomic_file_write(&w->file, tw_str_text(&w->pending), w->pending.size, err));
    tw_str_reset(&w->pending);
    return TRAWL_OK;
}

trawl_status tw_arc_writer_begin(struct tw_arc_writer *w, struct tw_str **entry, struct trawl_error *err)
{
    if (w->pending.size >= PENDING_BYTES) {
        TW_TRY(flush(w, err));
    }
    *entry = &w->pending;
    return tw_str_puts(&w->pending, w->n++ == 0 ? "\n" : ",\n", err);
}

trawl_status tw_arc_writer_commit(struct tw_arc_writer *w, struct trawl_error *err)
{
    TW_TRY(tw_str_printf(&w->pending, err, "%s%c\n", w->n == 0 ? "" : "\n", w->close));
    TW_TRY(flush(w, err));
    w->open = false; /* commit closes the file whatever comes of it */
    return tw_atomic_file_commit(&w->file, err);
}

void tw_arc_writer_close(struct tw_arc_writer *w)
{
    if (w->open) {
        tw_atomic_file_abandon(&w->file);
        w->open = false;
    }
    tw_str_release(&w->pending);
}
