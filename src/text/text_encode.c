/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "text/text_load.h"

struct tw_encoder {
    const struct tw_tokenizer *tokenizer;
    struct tw_bpe_scratch bpe;
    struct tw_split_scratch split;
    struct tw_nfc_scratch nfc;
    struct tw_str normalized;
    struct tw_str spaced; /* words with their spaces marked after normalizing */
};

trawl_status tw_encoder_new(const struct tw_tokenizer *tokenizer, struct tw_encoder **out,
                            struct trawl_error *err)
{
    TW_TRY(tw_alloc(1, sizeof **out, out, err));
    (*out)->tokenizer = tokenizer;
    tw_str_init(&(*out)->normalized, 0);
    tw_str_init(&(*out)->spaced, 0);
    return TRAWL_OK;
}

void tw_encoder_free(struct tw_encoder *e)
{
    if (e != NULL) {
        tw_bpe_release(&e->bpe);
        tw_split_scratch_release(&e->split);
        tw_nfc_scratch_release(&e->nfc);
        tw_str_release(&e->normalized);
        tw_str_release(&e->spaced);
        tw_free(e);
    }
}

static trawl_status push_ids(struct tw_ids *ids, const int32_t *more, size_t n, struct trawl_error *err)
{
    TW_TRY(tw_grow(&ids->data, &ids->capacity, ids->size + n, sizeof *ids->data, err));
    if (n > 0) {
        memcpy(ids->data + ids->size, more, n * sizeof *more);
    }
    ids->size += n;
    return TRAWL_OK;
}

/* Text without added tokens, normalised; `first`: nothing comes before it. */
static trawl_status encode_words(struct tw_encoder *e, const char *text, size_t n, bool first,
                                 struct tw_ids *ids, struct trawl_error *err)
{
    const struct tw_tokenizer *t  = e->tokenizer;
    const char *base              = NULL;
    const struct tw_spans *pieces = NULL;
    if (t->metaspace.used && !t->metaspace.normalizes && n > 0) {
        tw_str_reset(&e->spaced);
        TW_TRY(tw_metaspace_append(&t->metaspace, text, n, first, &e->spaced, err));
        text = e->spaced.data;
        n    = e->spaced.size;
    }
    TW_TRY(tw_splitter_cut(&t->splitter, &e->split, text, n, &base, &pieces, err));
    for (size_t i = 0; i < pieces->size; i++) {
        struct tw_span p = pieces->data[i];
        TW_TRY(tw_bpe_encode(&t->model, &e->bpe, base + p.begin, p.end - p.begin, ids, err));
    }
    return TRAWL_OK;
}

/* Text between two added tokens: normalise, look for the added tokens that are looked for then. */
static trawl_status encode_between(struct tw_encoder *e, const char *text, size_t n, bool first,
                                   const struct tw_encode_options *o, struct tw_ids *ids,
                                   struct trawl_error *err)
{
    const struct tw_tokenizer *t = e->tokenizer;
    if (t->metaspace.normalizes && n > 0) {
        tw_str_reset(&e->normalized);
        TW_TRY(tw_metaspace_append(&t->metaspace, text, n, first, &e->normalized, err));
        text = e->normalized.data;
        n    = e->normalized.size;
    }
    if (t->nfc != NULL && !tw_nfc_check(t->nfc, text, n)) {
        tw_str_reset(&e->normalized);
        TW_TRY(tw_nfc_append(&e->nfc, text, n, &e->normalized, err));
        text = e->normalized.data;
        n    = e->normalized.size;
    }
    if (o->no_added || t->added_normalized.n == 0) {
        return encode_words(e, text, n, first, ids, err);
    }
    struct tw_added_scan scan = {.text = text, .n = n, .no_special = o->no_special};
    struct tw_added_part part;
    while (tw_added_next(&t->added_normalized, &scan, &part)) {
        if (part.id >= 0) {
            TW_TRY(push_ids(ids, &part.id, 1, err));
        } else {
            TW_TRY(encode_words(e, text + part.begin, part.end - part.begin, first && part.begin == 0, ids,
                                err));
        }
    }
    return TRAWL_OK;
}

static trawl_status encode_text(struct tw_encoder *e, const char *text, size_t n,
                                const struct tw_encode_options *o, struct tw_ids *ids,
                                struct trawl_error *err)
{
    const struct tw_tokenizer *t = e->tokenizer;
    if (o->no_added) {
        return encode_between(e, text, n, true, o, ids, err);
    }
    struct tw_added_scan scan = {.text = text, .n = n, .no_special = o->no_special};
    struct tw_added_part part;
    while (tw_added_next(&t->added, &scan, &part)) {
        if (part.id >= 0) {
            TW_TRY(push_ids(ids, &part.id, 1, err));
        } else {
            TW_TRY(encode_between(e, text + part.begin, part.end - part.begin, part.begin == 0, o, ids, err));
        }
    }
    return TRAWL_OK;
}

static trawl_status check_utf8(const char *text, size_t n, struct trawl_error *err)
{
    for (size_t i = 0; i < n;) {
        uint64_t word = 0;
        if (n - i >= sizeof word) {
            memcpy(&word, text + i, sizeof word);
            if ((word & 0x8080808080808080u) == 0) {
                i += sizeof word;
                continue;
            }
        }
        size_t step = tw_utf8_decode(text + i, n - i, NULL);
        if (step == 0) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "text is not UTF-8 at byte %zu of %zu (0x%02x)", i, n,
                           (unsigned)(unsigned char)text[i]);
        }
        i += step;
    }
    return TRAWL_OK;
}

trawl_status tw_encode(struct tw_encoder *e, const char *text, size_t n,
                       const struct tw_encode_options *options, struct tw_ids *ids, struct trawl_error *err)
{
    static const struct tw_encode_options defaults = {0};
    const struct tw_encode_options *o              = options == NULL ? &defaults : options;
    const struct tw_tokenizer *t                   = e->tokenizer;
    size_t before                                  = ids->size;
    TW_TRY(check_utf8(text, n, err));
    trawl_status status = TRAWL_OK;
    if (o->add_special_tokens) {
        status = push_ids(ids, t->prefix.ids, t->prefix.n, err);
    }
    if (status == TRAWL_OK) {
        status = encode_text(e, text, n, o, ids, err);
    }
    if (status == TRAWL_OK && o->add_special_tokens) {
        status = push_ids(ids, t->suffix.ids, t->suffix.n, err);
    }
    if (status != TRAWL_OK) {
        ids->size = before;
    }
    return status;
}
