/* SPDX-License-Identifier: MIT */
#include "apps/arc/arc_stream.h"

#include <string.h>

#include "base/size.h"

/* jansson counts its position in an int; an entry of more than this is no ARC task. */
#define ENTRY_MAX ((size_t)1 << 30)

static bool ends_with(const char *s, const char *ending)
{
    size_t n = strlen(s);
    size_t m = strlen(ending);
    return n >= m && strcmp(s + n - m, ending) == 0;
}

static void skip_space(struct tw_arc_stream *s)
{
    while (s->at < s->size && memchr(" \t\r\n", s->text[s->at], 4) != NULL) {
        s->at++;
    }
}

static trawl_status begin(struct tw_arc_stream *s, struct trawl_error *err)
{
    if (s->size >= 3 && memcmp(s->text, "\xEF\xBB\xBF", 3) == 0) {
        s->at = 3;
    }
    if (ends_with(s->name, ".jsonl") || ends_with(s->name, ".ndjson")) {
        s->kind = TW_ARC_STREAM_LINES;
        return TRAWL_OK;
    }
    skip_space(s);
    if (s->at == s->size) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: empty, expected a JSON object or array", s->name);
    }
    char c = s->text[s->at];
    if (c != '{' && c != '[') {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: begins with byte 0x%02x, expected a JSON object or array",
                       s->name, (unsigned)(unsigned char)c);
    }
    s->kind = c == '{' ? TW_ARC_STREAM_OBJECT : TW_ARC_STREAM_ARRAY;
    s->at++;
    return TRAWL_OK;
}

trawl_status tw_arc_stream_over(struct tw_arc_stream *s, const char *name, const char *text, size_t size,
                                struct trawl_error *err)
{
    *s = (struct tw_arc_stream){.name = name, .text = text, .size = size};
    return begin(s, err);
}

trawl_status tw_arc_stream_open(struct tw_arc_stream *s, const char *path, struct trawl_error *err)
{
    *s = (struct tw_arc_stream){.name = path};
    TW_TRY(tw_mapped_file_open(&s->file, path, err));
    s->text             = (const char *)s->file.data;
    s->size             = s->file.size;
    trawl_status status = begin(s, err);
    if (status != TRAWL_OK) {
        tw_arc_stream_close(s);
    }
    return status;
}

void tw_arc_stream_close(struct tw_arc_stream *s)
{
    if (s->file.data != NULL) {
        tw_mapped_file_close(&s->file);
    }
    *s = (struct tw_arc_stream){.name = s->name, .ended = true};
}

bool tw_arc_stream_recoverable(const struct tw_arc_stream *s)
{
    return s->kind == TW_ARC_STREAM_LINES;
}

static trawl_status broken(struct tw_arc_stream *s, const char *expected, struct trawl_error *err)
{
    s->ended = true;
    if (s->at >= s->size) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: ends at byte %zu, expected %s", s->name, s->size,
                       expected);
    }
    return tw_fail(err, TRAWL_ERR_FORMAT, "%s: byte %zu is 0x%02x, expected %s", s->name, s->at,
                   (unsigned)(unsigned char)s->text[s->at], expected);
}

/* One JSON value at `at`, which moves behind it. */
static trawl_status take_value(struct tw_arc_stream *s, json_t **value, struct trawl_error *err)
{
    json_error_t e;
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DISABLE_EOF_CHECK;
    *value             = json_loadb(s->text + s->at, tw_min_size(s->size - s->at, ENTRY_MAX), flags, &e);
    if (*value == NULL) {
        s->ended = true;
        if (json_error_code(&e) == json_error_out_of_memory) {
            return tw_fail(err, TRAWL_ERR_NOMEM, "%s: out of memory", s->name);
        }
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: entry %zu (from byte %zu): not JSON: %s", s->name,
                       s->n + 1, s->at, e.text);
    }
    s->at += (size_t)e.position;
    return TRAWL_OK;
}

static trawl_status take_key(struct tw_arc_stream *s, json_t **key, struct trawl_error *err)
{
    if (s->at >= s->size || s->text[s->at] != '"') {
        return broken(s, "a key in quotes", err);
    }
    TW_TRY(take_value(s, key, err));
    trawl_status status = TRAWL_OK;
    skip_space(s);
    if (strlen(json_string_value(*key)) != json_string_length(*key)) {
        s->ended = true;
        status   = tw_fail(err, TRAWL_ERR_FORMAT, "%s: key %zu holds U+0000", s->name, s->n + 1);
    } else if (s->at >= s->size || s->text[s->at] != ':') {
        status = broken(s, "a colon", err);
    } else {
        s->at++;
        skip_space(s);
    }
    if (status != TRAWL_OK) {
        json_decref(*key);
        *key = NULL;
    }
    return status;
}

static trawl_status finish(struct tw_arc_stream *s, struct trawl_error *err)
{
    s->at++;
    skip_space(s);
    if (s->at < s->size) {
        return broken(s, "the end of the file", err);
    }
    s->ended = true;
    return TRAWL_OK;
}

static trawl_status next_member(struct tw_arc_stream *s, json_t **key, json_t **value,
                                struct trawl_error *err)
{
    char close = s->kind == TW_ARC_STREAM_OBJECT ? '}' : ']';
    skip_space(s);
    if (s->at < s->size && s->text[s->at] == close) {
        return finish(s, err);
    }
    if (s->n > 0) {
        if (s->at >= s->size || s->text[s->at] != ',') {
            return broken(s, close == '}' ? "\",\" or \"}\"" : "\",\" or \"]\"", err);
        }
        s->at++;
        skip_space(s);
    }
    if (s->kind == TW_ARC_STREAM_OBJECT) {
        TW_TRY(take_key(s, key, err));
    }
    trawl_status status = take_value(s, value, err);
    if (status != TRAWL_OK) {
        json_decref(*key);
        *key = NULL;
        return status;
    }
    s->n++;
    return TRAWL_OK;
}

static trawl_status next_line(struct tw_arc_stream *s, json_t **value, struct trawl_error *err)
{
    while (s->at < s->size) {
        const char *line = s->text + s->at;
        const char *end  = memchr(line, '\n', s->size - s->at);
        size_t n         = end == NULL ? s->size - s->at : (size_t)(end - line);
        s->at += n + (end != NULL);
        s->line++;
        size_t blank = 0;
        while (blank < n && memchr(" \t\r", line[blank], 3) != NULL) {
            blank++;
        }
        if (blank == n) {
            continue;
        }
        s->n++;
        char what[512];
        (void)snprintf(what, sizeof what, "%s: line %zu", s->name, s->line);
        return tw_json_parse(line, n, what, value, err);
    }
    s->ended = true;
    return TRAWL_OK;
}

trawl_status tw_arc_stream_next(struct tw_arc_stream *s, json_t **key, json_t **value,
                                struct trawl_error *err)
{
    *key   = NULL;
    *value = NULL;
    if (s->ended) {
        return TRAWL_OK;
    }
    return s->kind == TW_ARC_STREAM_LINES ? next_line(s, value, err) : next_member(s, key, value, err);
}
