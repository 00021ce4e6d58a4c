/* SPDX-License-Identifier: MIT */
/* Files of test vectors, one JSON object a line, and how a mismatch is shown. */
#ifndef TEXT_VECTORS_H
#define TEXT_VECTORS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/alloc.h"
#include "base/str.h"
#include "text/text_chat.h"
#include "text/text_load.h"
#include "text/text_tokenizer.h"

/* cmocka's failure with the library's message. */
static inline void expect_ok(trawl_status status, const struct trawl_error *err)
{
    if (status != TRAWL_OK) {
        fail_msg("%s: %s", trawl_status_name(status), err->message);
    }
}

/* Calls `check` for every line of a file; returns the number of lines. */
static inline int each_line(const char *path, void (*check)(const json_t *row, void *user), void *user)
{
    FILE *file  = fopen(path, "r");
    char *line  = NULL;
    size_t size = 0;
    int n       = 0;
    if (file == NULL) {
        fail_msg("%s cannot be opened", path);
    }
    for (ssize_t got = getline(&line, &size, file); got > 0; got = getline(&line, &size, file)) {
        json_error_t e;
        json_t *row = json_loadb(line, (size_t)got, JSON_ALLOW_NUL, &e);
        if (row == NULL) {
            fail_msg("%s line %d: %s", path, n + 1, e.text);
        }
        check(row, user);
        json_decref(row);
        n++;
    }
    free(line);
    fclose(file);
    return n;
}

static inline const char *text_of(const json_t *row, const char *key, size_t *n)
{
    const json_t *v = json_object_get(row, key);
    assert_true(json_is_string(v));
    *n = json_string_length(v);
    return json_string_value(v);
}

static inline void expect_ids(const json_t *expected, const struct tw_ids *ids, const json_t *row)
{
    size_t n = json_array_size(expected);
    bool bad = ids->size != n;
    for (size_t i = 0; i < n && !bad; i++) {
        bad = json_integer_value(json_array_get(expected, i)) != ids->data[i];
    }
    if (bad) {
        fprintf(stderr, "got:");
        for (size_t i = 0; i < ids->size; i++) {
            fprintf(stderr, " %d", (int)ids->data[i]);
        }
        char *text = json_dumps(row, 0);
        fprintf(stderr, "\n");
        fail_msg("ids differ: %s", text);
    }
}

static inline void expect_text(const json_t *row, const char *key, const char *got, size_t n_got)
{
    size_t n             = 0;
    const char *expected = text_of(row, key, &n);
    if (n != n_got || memcmp(expected, got, n) != 0) {
        char *text = json_dumps(row, 0);
        fail_msg("\"%s\" differs:\n%.*s\nin %s", key, (int)n_got, got, text);
    }
}

static inline struct tw_ids ids_of(const json_t *row, const char *key)
{
    struct tw_ids ids  = {0};
    const json_t *list = json_object_get(row, key);
    ids.size           = json_array_size(list);
    ids.capacity       = ids.size;
    expect_ok(tw_alloc(ids.size, sizeof *ids.data, &ids.data, NULL),
              &(struct trawl_error){.message = "memory"});
    for (size_t i = 0; i < ids.size; i++) {
        ids.data[i] = (int32_t)json_integer_value(json_array_get(list, i));
    }
    return ids;
}

/* A tokenizer with one encoder, as a test's state. */
struct subject {
    struct tw_tokenizer *tokenizer;
    struct tw_encoder *encoder;
    struct tw_encode_options options;
};

static inline void subject_open(struct subject *s, const char *folder)
{
    struct trawl_error err = {0};
    *s                     = (struct subject){0};
    expect_ok(tw_tokenizer_open(folder, &s->tokenizer, &err), &err);
    expect_ok(tw_encoder_new(s->tokenizer, &s->encoder, &err), &err);
}

static inline void subject_close(struct subject *s)
{
    tw_encoder_free(s->encoder);
    tw_tokenizer_close(s->tokenizer);
}

/* ---- checks of one row ---- */

static inline void check_encode(const json_t *row, void *user)
{
    struct subject *s      = user;
    struct trawl_error err = {0};
    struct tw_ids ids      = {0};
    size_t n               = 0;
    const char *t          = text_of(row, "text", &n);
    expect_ok(tw_encode(s->encoder, t, n, &s->options, &ids, &err), &err);
    expect_ids(json_object_get(row, "ids"), &ids, row);
    tw_ids_release(&ids);
}

static inline void check_decode(const json_t *row, void *user)
{
    struct subject *s      = user;
    struct trawl_error err = {0};
    struct tw_ids ids      = ids_of(row, "ids");
    struct tw_str text;
    tw_str_init(&text, 0);
    expect_ok(tw_decode(s->tokenizer, ids.data, ids.size, false, &text, &err), &err);
    expect_text(row, "text", tw_str_text(&text), text.size);
    tw_str_reset(&text);
    expect_ok(tw_decode(s->tokenizer, ids.data, ids.size, true, &text, &err), &err);
    expect_text(row, "text_skip_special", tw_str_text(&text), text.size);
    tw_str_release(&text);
    tw_ids_release(&ids);
}

static inline void check_stream(const json_t *row, void *user)
{
    struct subject *s      = user;
    struct trawl_error err = {0};
    struct tw_ids ids      = ids_of(row, "ids");
    const json_t *chunks   = json_object_get(row, "chunks");
    struct tw_detokenizer d;
    struct tw_str text;
    tw_str_init(&text, 0);
    tw_detokenizer_init(&d, s->tokenizer, false);
    assert_int_equal(json_array_size(chunks), ids.size + 1);
    for (size_t i = 0; i <= ids.size; i++) {
        const json_t *chunk = json_array_get(chunks, i);
        tw_str_reset(&text);
        expect_ok(i < ids.size ? tw_detokenizer_push(&d, ids.data[i], &text, &err)
                               : tw_detokenizer_flush(&d, &text, &err),
                  &err);
        assert_int_equal(json_string_length(chunk), text.size);
        assert_memory_equal(json_string_value(chunk), tw_str_text(&text), text.size);
    }
    tw_str_release(&text);
    tw_ids_release(&ids);
}

/* Where normalizer and pre-tokenizer cut a text. */
static inline void check_pretokens(const json_t *row, void *user)
{
    struct subject *s               = user;
    struct trawl_error err          = {0};
    struct tw_split_scratch scratch = {0};
    struct tw_nfc_scratch nfc       = {0};
    const json_t *pieces            = json_object_get(row, "pieces");
    const struct tw_spans *spans    = NULL;
    const char *base                = NULL;
    size_t n                        = 0;
    const char *text                = text_of(row, "text", &n);
    struct tw_str normalized;
    tw_str_init(&normalized, 0);
    if (s->tokenizer->nfc != NULL) {
        expect_ok(tw_nfc_append(&nfc, text, n, &normalized, &err), &err);
        bool same = normalized.size == n && memcmp(tw_str_text(&normalized), text, n) == 0;
        assert_true(same || !tw_nfc_check(s->tokenizer->nfc, text, n));
    } else {
        expect_ok(tw_str_append(&normalized, text, n, &err), &err);
    }
    if (json_object_get(row, "normalized") != NULL) {
        expect_text(row, "normalized", tw_str_text(&normalized), normalized.size);
    }
    expect_ok(tw_splitter_cut(&s->tokenizer->splitter, &scratch, tw_str_text(&normalized), normalized.size,
                              &base, &spans, &err),
              &err);
    bool bad = spans->size != json_array_size(pieces);
    for (size_t i = 0; i < spans->size && !bad; i++) {
        const json_t *piece = json_array_get(pieces, i);
        struct tw_span span = spans->data[i];
        bad                 = json_string_length(piece) != span.end - span.begin ||
              memcmp(json_string_value(piece), base + span.begin, span.end - span.begin) != 0;
    }
    if (bad) {
        for (size_t i = 0; i < spans->size; i++) {
            fprintf(stderr, "[%.*s]", (int)(spans->data[i].end - spans->data[i].begin),
                    base + spans->data[i].begin);
        }
        fail_msg("pieces differ: %s", json_dumps(row, 0));
    }
    tw_str_release(&normalized);
    tw_nfc_scratch_release(&nfc);
    tw_split_scratch_release(&scratch);
}

static inline void check_chat(const json_t *row, void *user)
{
    struct subject *s              = user;
    struct trawl_error err         = {0};
    struct tw_ids ids              = {0};
    struct tw_chat_request request = {
        .messages              = json_object_get(row, "messages"),
        .tools                 = json_object_get(row, "tools"),
        .add_generation_prompt = json_is_true(json_object_get(row, "add_generation_prompt")),
        .extra                 = json_object_get(row, "kwargs"),
    };
    struct tw_str text;
    tw_str_init(&text, 0);
    trawl_status status = tw_chat_render(s->tokenizer, &request, &text, &err);
    if (json_object_get(row, "error") != NULL) {
        assert_int_not_equal(status, TRAWL_OK);
    } else {
        expect_ok(status, &err);
        expect_text(row, "rendered", tw_str_text(&text), text.size);
        expect_ok(tw_encode(s->encoder, text.data, text.size, NULL, &ids, &err), &err);
        expect_ids(json_object_get(row, "ids"), &ids, row);
    }
    tw_str_release(&text);
    tw_ids_release(&ids);
}

#endif /* TEXT_VECTORS_H */
