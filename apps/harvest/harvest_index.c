/* SPDX-License-Identifier: MIT */
#include "apps/harvest/harvest_index.h"

#include <string.h>

#include "base/size.h"

trawl_status tw_harvest_index_open(struct tw_harvest_index *x, const char *path, struct trawl_error *err)
{
    *x         = (struct tw_harvest_index){.file = {.fd = -1}};
    x->file.fd = -1;
    tw_str_init(&x->pending, 0);
    TW_TRY(tw_append_file_open(&x->file, path, err));
    if (x->file.size > 0) {
        TW_TRY(tw_mapped_file_open(&x->before, path, err));
        x->has_before = true;
    }
    return TRAWL_OK;
}

static void forget_before(struct tw_harvest_index *x)
{
    if (x->has_before) {
        tw_mapped_file_close(&x->before);
        x->has_before = false;
    }
}

void tw_harvest_index_close(struct tw_harvest_index *x)
{
    forget_before(x);
    if (x->file.path != NULL) {
        tw_append_file_close(&x->file);
    }
    tw_str_release(&x->pending);
    *x = (struct tw_harvest_index){.file = {.fd = -1}};
}

static void put_piece(struct tw_json_writer *w, const struct tw_harvest_context *c,
                      const struct tw_harvest_piece *p)
{
    const char *id = c->id_texts + p->id;
    tw_json_begin_object(w);
    tw_json_key(w, "request");
    tw_json_int(w, (int64_t)c->number);
    tw_json_key(w, "position");
    tw_json_int(w, (int64_t)p->position);
    tw_json_key(w, "n_tokens");
    tw_json_int(w, (int64_t)p->n);
    tw_json_key(w, "file");
    tw_json_string(w, p->file);
    if (p->line > 0) {
        tw_json_key(w, "line");
        tw_json_int(w, (int64_t)p->line);
    }
    tw_json_key(w, "document");
    tw_json_int(w, (int64_t)p->document);
    tw_json_key(w, "first_token");
    tw_json_int(w, (int64_t)p->first_token);
    if (id[0] != '\0') {
        tw_json_key(w, "id");
        tw_json_raw(w, id, strlen(id));
    }
    tw_json_end_object(w);
}

trawl_status tw_harvest_index_add(struct tw_harvest_index *x, const struct tw_harvest_context *context,
                                  struct trawl_error *err)
{
    for (size_t i = 0; i < context->n_pieces; i++) {
        struct tw_json_writer w;
        tw_json_writer_init(&w, &x->pending, 0);
        put_piece(&w, context, &context->pieces[i]);
        TW_TRY(tw_json_writer_finish(&w, err));
        TW_TRY(tw_str_putc(&x->pending, '\n', err));
    }
    return TRAWL_OK;
}

trawl_status tw_harvest_index_flush(struct tw_harvest_index *x, struct trawl_error *err)
{
    const char *lines = tw_str_text(&x->pending);
    size_t n = x->pending.size, same = 0;
    if (x->has_before) {
        size_t there = tw_min_size(n, x->before.size - x->at);
        same         = memcmp(lines, x->before.data + x->at, there) == 0 ? there : 0;
        if (same < n) { /* a torn tail, or its end */
            forget_before(x);
            TW_TRY(tw_append_file_truncate(&x->file, x->at + same, err));
        }
    }
    if (same < n) {
        TW_TRY(tw_append_file_append(&x->file, lines + same, n - same, err));
    }
    x->at += n;
    tw_str_reset(&x->pending);
    return TRAWL_OK;
}

trawl_status tw_harvest_index_finish(struct tw_harvest_index *x, struct trawl_error *err)
{
    TW_TRY(tw_harvest_index_flush(x, err));
    forget_before(x);
    return x->file.size > x->at ? tw_append_file_truncate(&x->file, x->at, err) : TRAWL_OK;
}
