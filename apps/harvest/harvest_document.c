/* SPDX-License-Identifier: MIT */
#include "apps/harvest/harvest_document.h"

#include <string.h>

#include "base/alloc.h"
#include "text/text_chat.h"

/* ---- what contexts begin with ---- */

/* What the tokenizer puts before a text: the ids of one with it, up to where those without it begin. */
static trawl_status find_prefix(struct tw_harvest_reader *r, struct trawl_error *err)
{
    const struct tw_encode_options with = {.add_special_tokens = true};
    struct tw_ids plain                 = {0};
    size_t n                            = 0;
    trawl_status status                 = tw_encode(r->encoder, "a", 1, &with, &r->prefix, err);
    if (status == TRAWL_OK) {
        status = tw_encode(r->encoder, "a", 1, NULL, &plain, err);
    }
    if (status == TRAWL_OK) {
        while (n + plain.size < r->prefix.size &&
               memcmp(r->prefix.data + n, plain.data, plain.size * sizeof *plain.data) != 0) {
            n++;
        }
        r->prefix.size = n;
    }
    tw_ids_release(&plain);
    return status;
}

static trawl_status choose_prefix(struct tw_harvest_reader *r, struct trawl_error *err)
{
    int32_t bos = tw_tokenizer_named(r->input->tokenizer, TW_TOKEN_BOS, NULL);
    if (r->input->bos == TW_HARVEST_BOS_NONE) {
        return TRAWL_OK;
    }
    TW_TRY(find_prefix(r, err));
    if (r->input->bos != TW_HARVEST_BOS_ADD || r->prefix.size > 0) {
        return TRAWL_OK;
    }
    if (bos < 0) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                       "there is no BOS token to add: tokenizer_config.json of the model names none");
    }
    TW_TRY(tw_grow(&r->prefix.data, &r->prefix.capacity, 1, sizeof bos, err));
    r->prefix.data[0] = bos;
    r->prefix.size    = 1;
    return TRAWL_OK;
}

trawl_status tw_harvest_reader_open(struct tw_harvest_reader *r, const struct tw_harvest_input *input,
                                    struct trawl_error *err)
{
    *r = (struct tw_harvest_reader){.input = input};
    tw_harvest_source_init(&r->source, input->paths, input->n_paths, input->format, input->split_lines);
    tw_str_init(&r->text, 0);
    tw_str_init(&r->id, 0);
    trawl_status status = tw_encoder_new(input->tokenizer, &r->encoder, err);
    if (status == TRAWL_OK) {
        status = choose_prefix(r, err);
    }
    if (status != TRAWL_OK) {
        tw_harvest_reader_close(r);
    }
    return status;
}

void tw_harvest_reader_close(struct tw_harvest_reader *r)
{
    if (r->input == NULL) {
        return;
    }
    tw_harvest_source_release(&r->source);
    tw_encoder_free(r->encoder);
    tw_ids_release(&r->prefix);
    tw_ids_release(&r->ids);
    tw_str_release(&r->text);
    tw_str_release(&r->id);
    *r = (struct tw_harvest_reader){0};
}

/* ---- rows ---- */

static trawl_status encode(struct tw_harvest_reader *r, const char *text, size_t n, bool special,
                           struct trawl_error *err)
{
    const struct tw_encode_options options = {.add_special_tokens =
                                                  special && r->input->bos != TW_HARVEST_BOS_NONE};
    return tw_encode(r->encoder, text, n, &options, &r->ids, err);
}

static trawl_status take_ids(struct tw_harvest_reader *r, const json_t *list, const char *key,
                             struct trawl_error *err)
{
    size_t n = json_array_size(list);
    TW_TRY(tw_grow(&r->ids.data, &r->ids.capacity, n, sizeof *r->ids.data, err));
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        json_int_t id   = json_integer_value(v);
        if (!json_is_integer(v)) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "\"%s\"[%zu] is %s, expected a token id", key, i,
                           tw_json_type_name(v));
        }
        if (id < 0 || (uint64_t)id >= r->input->vocab_size) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "\"%s\"[%zu] is %lld, the model has tokens 0 to %zu", key,
                           i, (long long)id, r->input->vocab_size - 1);
        }
        r->ids.data[i] = (int32_t)id;
    }
    r->ids.size = n;
    return TRAWL_OK;
}

static trawl_status take_messages(struct tw_harvest_reader *r, const json_t *messages,
                                  struct trawl_error *err)
{
    const struct tw_chat_request request = {.messages = messages};
    tw_str_reset(&r->text);
    TW_TRY(tw_chat_render(r->input->tokenizer, &request, &r->text, err));
    return encode(r, tw_str_text(&r->text), r->text.size, false, err); /* the template has written its own */
}

static trawl_status wrong_type(const char *key, const json_t *value, const char *expected,
                               struct trawl_error *err)
{
    return tw_fail(err, TRAWL_ERR_FORMAT, "\"%s\" is %s, expected %s", key, tw_json_type_name(value),
                   expected);
}

static trawl_status take_content(struct tw_harvest_reader *r, const json_t *row, struct trawl_error *err)
{
    static const char *const lists[] = {"tokens", "input_ids", "messages"};
    const char *field                = r->input->text_field == NULL ? "text" : r->input->text_field;
    const json_t *value              = json_object_get(row, field);
    if (value != NULL && !json_is_null(value)) {
        return json_is_string(value)
                   ? encode(r, json_string_value(value), json_string_length(value), true, err)
                   : wrong_type(field, value, "a string", err);
    }
    for (size_t i = 0; r->input->text_field == NULL && i < 3; i++) {
        value = json_object_get(row, lists[i]);
        if (json_is_array(value)) {
            return i == 2 ? take_messages(r, value, err) : take_ids(r, value, lists[i], err);
        }
        if (value != NULL && !json_is_null(value)) {
            return wrong_type(lists[i], value, "a list", err);
        }
    }
    return r->input->text_field == NULL
               ? tw_fail(err, TRAWL_ERR_FORMAT,
                         "has neither \"text\" nor \"tokens\", \"input_ids\" or \"messages\"")
               : tw_fail(err, TRAWL_ERR_FORMAT, "has no \"%s\"", field);
}

static trawl_status take_id(struct tw_harvest_reader *r, const json_t *row, struct trawl_error *err)
{
    const json_t *id = json_object_get(row, "id");
    if (!json_is_string(id) && !json_is_integer(id)) {
        return TRAWL_OK; /* data sets have ids of every kind; the line says which row it is as well */
    }
    struct tw_json_writer w;
    tw_json_writer_init(&w, &r->id, 0);
    tw_json_value(&w, id);
    return tw_json_writer_finish(&w, err);
}

static trawl_status take_row(struct tw_harvest_reader *r, const struct tw_harvest_entry *entry,
                             struct trawl_error *err)
{
    json_t *row = NULL;
    TW_TRY(tw_json_parse(entry->text, entry->size, "row", &row, err));
    trawl_status status = json_is_object(row) ? take_content(r, row, err)
                                              : tw_fail(err, TRAWL_ERR_FORMAT, "is %s, expected an object",
                                                        tw_json_type_name(row));
    if (status == TRAWL_OK) {
        status = take_id(r, row, err);
    }
    json_decref(row);
    return status;
}

/* ---- documents ---- */

/* A document that begins with what contexts begin with would have it twice. */
static size_t own_prefix(const struct tw_harvest_reader *r)
{
    size_t n = r->prefix.size;
    return n <= r->ids.size && n > 0 && memcmp(r->ids.data, r->prefix.data, n * sizeof(int32_t)) == 0 ? n : 0;
}

trawl_status tw_harvest_reader_next(struct tw_harvest_reader *r, struct tw_harvest_document *document,
                                    bool *more, struct trawl_error *err)
{
    struct tw_harvest_entry entry;
    struct trawl_error why = {0};
    for (;;) {
        TW_TRY(tw_harvest_source_next(&r->source, &entry, err));
        *more = entry.text != NULL;
        if (!*more) {
            return TRAWL_OK;
        }
        r->ids.size = 0;
        tw_str_reset(&r->id);
        trawl_status status =
            entry.is_row ? take_row(r, &entry, &why) : encode(r, entry.text, entry.size, true, &why);
        if (status == TRAWL_OK) {
            break;
        }
        if (status == TRAWL_ERR_NOMEM) {
            return tw_fail(err, status, "%s", why.message);
        }
        r->n_skipped++;
        if (r->input->skipped != NULL) {
            char place[TW_HARVEST_PLACE_BYTES];
            tw_harvest_place(&entry, place);
            (void)tw_fail_prefix(&why, status, "%s", place);
            r->input->skipped(r->input->user, why.message);
        }
    }
    size_t skip = own_prefix(r);
    *document   = (struct tw_harvest_document){.number = r->n_documents++,
                                               .file   = entry.file,
                                               .line   = entry.line,
                                               .id     = tw_str_text(&r->id),
                                               .ids    = r->ids.data == NULL ? NULL : r->ids.data + skip,
                                               .n      = r->ids.size - skip};
    return TRAWL_OK;
}
