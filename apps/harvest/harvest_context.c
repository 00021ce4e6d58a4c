/* SPDX-License-Identifier: MIT */
#include "apps/harvest/harvest_context.h"

#include <string.h>

#include "base/alloc.h"
#include "base/size.h"

trawl_status tw_harvest_cutter_init(struct tw_harvest_cutter *c, const struct tw_harvest_cut *cut,
                                    struct tw_harvest_reader *reader, struct trawl_error *err)
{
    *c = (struct tw_harvest_cutter){.cut = cut, .reader = reader};
    tw_str_init(&c->id_texts, 0);
    if (cut->context_size <= reader->prefix.size) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "a context of %zu tokens has no room for a text: it begins with %zu special token%s",
                       cut->context_size, reader->prefix.size, reader->prefix.size == 1 ? "" : "s");
    }
    if (cut->pack && cut->overflow != TW_HARVEST_SPLIT) {
        return tw_fail(
            err, TRAWL_ERR_INVALID,
            "packed documents are split where a context ends, they are neither truncated nor skipped");
    }
    if (cut->drop_first_tokens >= cut->context_size) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "the first %zu tokens of contexts of %zu are dropped: no row would be left",
                       cut->drop_first_tokens, cut->context_size);
    }
    return TRAWL_OK;
}

void tw_harvest_cutter_release(struct tw_harvest_cutter *c)
{
    tw_ids_release(&c->ids);
    tw_str_release(&c->id_texts);
    tw_free(c->pieces);
    *c = (struct tw_harvest_cutter){0};
}

/* ---- documents ---- */

/* Is there a document with tokens left? Else the input has ended. */
static trawl_status need_document(struct tw_harvest_cutter *c, bool *has, struct trawl_error *err)
{
    const struct tw_harvest_cut *cut = c->cut;
    size_t room                      = cut->context_size - c->reader->prefix.size;
    while (!c->input_ended && (!c->has_document || c->at == c->document.n)) {
        bool more = false;
        if (cut->max_documents > 0 && c->counts.documents == cut->max_documents) {
            c->counts.stopped = true;
        } else {
            TW_TRY(tw_harvest_reader_next(c->reader, &c->document, &more, err));
        }
        if (!more) {
            c->input_ended = true;
            break;
        }
        c->has_document = true;
        c->at           = 0;
        c->counts.documents++;
        c->counts.empty += c->document.n == 0;
        if (!cut->pack && c->document.n > room && cut->overflow != TW_HARVEST_SPLIT) {
            bool skip = cut->overflow == TW_HARVEST_SKIP;
            c->counts.left_out += skip;
            c->counts.truncated += !skip;
            c->document.n = skip ? 0 : room;
        }
    }
    *has = !c->input_ended;
    return TRAWL_OK;
}

/* ---- contexts ---- */

static trawl_status add_ids(struct tw_harvest_cutter *c, const int32_t *ids, size_t n,
                            struct trawl_error *err)
{
    TW_TRY(tw_grow(&c->ids.data, &c->ids.capacity, c->ids.size + n, sizeof *ids, err));
    if (n > 0) {
        memcpy(c->ids.data + c->ids.size, ids, n * sizeof *ids);
    }
    c->ids.size += n;
    return TRAWL_OK;
}

/* As much of the document as there is room for in a context of `limit` tokens. */
static trawl_status add_piece(struct tw_harvest_cutter *c, size_t limit, struct trawl_error *err)
{
    const struct tw_harvest_document *d = &c->document;
    size_t n                            = tw_min_size(limit - c->ids.size, d->n - c->at);
    TW_TRY(tw_grow(&c->pieces, &c->capacity, c->n_pieces + 1, sizeof *c->pieces, err));
    c->pieces[c->n_pieces++] = (struct tw_harvest_piece){.document    = d->number,
                                                         .line        = d->line,
                                                         .file        = d->file,
                                                         .id          = c->id_texts.size,
                                                         .first_token = c->at,
                                                         .n           = n,
                                                         .position    = c->ids.size};
    TW_TRY(tw_str_append(&c->id_texts, d->id, strlen(d->id) + 1, err));
    TW_TRY(add_ids(c, d->ids + c->at, n, err));
    c->at += n;
    return TRAWL_OK;
}

/* The end token stands between a document and the next one, unless the first ends with it itself. */
static trawl_status fill_packed(struct tw_harvest_cutter *c, size_t limit, struct trawl_error *err)
{
    while (c->ids.size < limit) {
        bool has = false;
        TW_TRY(need_document(c, &has, err));
        if (!has) {
            return TRAWL_OK;
        }
        if (c->owes_end) {
            TW_TRY(add_ids(c, &c->cut->end, 1, err));
            c->owes_end = false;
            continue;
        }
        TW_TRY(add_piece(c, limit, err));
        c->owes_end = c->at == c->document.n && c->document.ids[c->at - 1] != c->cut->end;
    }
    return TRAWL_OK;
}

/* Begin a context of at most `limit` tokens and fill it; a document has tokens left. */
static trawl_status fill(struct tw_harvest_cutter *c, size_t limit, struct trawl_error *err)
{
    c->ids.size = 0;
    c->n_pieces = 0;
    tw_str_reset(&c->id_texts);
    TW_TRY(add_ids(c, c->reader->prefix.data, tw_min_size(c->reader->prefix.size, limit), err));
    if (c->ids.size == limit) {
        return TRAWL_OK; /* max_tokens has no room for more */
    }
    return c->cut->pack ? fill_packed(c, limit, err) : add_piece(c, limit, err);
}

static void note_stop(struct tw_harvest_cutter *c)
{
    struct tw_harvest_counts *n = &c->counts;
    n->stopped                  = true;
    n->cut                      = c->has_document && c->at > 0 && c->at < c->document.n;
    n->cut_at                   = n->cut ? c->at : 0;
    n->cut_tokens               = n->cut ? c->document.n : 0;
}

trawl_status tw_harvest_cutter_next(struct tw_harvest_cutter *c, struct tw_harvest_context *context,
                                    bool *more, struct trawl_error *err)
{
    const struct tw_harvest_cut *cut = c->cut;
    *more                            = false;
    do {
        uint64_t left = cut->max_tokens == 0 ? UINT64_MAX : cut->max_tokens - c->counts.tokens;
        bool has      = false;
        if (left <= cut->drop_first_tokens) {
            note_stop(c);
            return TRAWL_OK;
        }
        TW_TRY(need_document(c, &has, err));
        if (!has) {
            return TRAWL_OK;
        }
        TW_TRY(fill(c, left < cut->context_size ? (size_t)left : cut->context_size, err));
    } while (c->ids.size <= cut->drop_first_tokens);
    *context = (struct tw_harvest_context){.number   = c->counts.contexts++,
                                           .ids      = c->ids.data,
                                           .n        = c->ids.size,
                                           .pieces   = c->pieces,
                                           .n_pieces = c->n_pieces,
                                           .id_texts = tw_str_text(&c->id_texts)};
    c->counts.tokens += c->ids.size;
    *more = true;
    return TRAWL_OK;
}
