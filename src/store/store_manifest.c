/* SPDX-License-Identifier: MIT */
#include "store/store_manifest.h"

#include <string.h>

#include "base/hash.h"
#include "json/json.h"

trawl_status tw_manifest_add(struct tw_journal *manifest, const struct tw_manifest_record *record,
                             struct trawl_error *err)
{
    struct tw_str line;
    struct tw_json_writer w;
    char hex[17];
    tw_str_init(&line, 0);
    tw_json_writer_init(&w, &line, 0);
    tw_json_begin_object(&w);
    tw_json_key(&w, "file");
    tw_json_string(&w, record->file);
    if (record->site != NULL) {
        tw_json_key(&w, "site");
        tw_json_string(&w, record->site);
        tw_json_key(&w, "chunk");
        tw_json_int(&w, (int64_t)record->chunk);
        tw_json_key(&w, "first");
        tw_json_int(&w, (int64_t)record->first);
        tw_json_key(&w, "end");
        tw_json_int(&w, (int64_t)record->end);
        tw_json_key(&w, "requests");
        tw_json_int(&w, (int64_t)record->requests);
        if (record->numbers != NULL) {
            tw_json_key(&w, "numbers");
            tw_json_string(&w, record->numbers);
        }
        tw_json_key(&w, "rows");
        tw_json_int(&w, (int64_t)record->rows);
    }
    tw_json_key(&w, "bytes");
    tw_json_int(&w, (int64_t)record->bytes);
    tw_hash_hex(record->xxh3, hex);
    tw_json_key(&w, "xxh3");
    tw_json_string(&w, hex);
    tw_json_end_object(&w);
    trawl_status status = tw_json_writer_finish(&w, err);
    if (status == TRAWL_OK) {
        status = tw_journal_add(manifest, line.data, line.size, err);
    }
    tw_str_release(&line);
    return status;
}

/* ---- reading ---- */

static trawl_status get_count(const json_t *object, const char *key, const char *what, uint64_t *out,
                              struct trawl_error *err)
{
    int64_t v = -1;
    TW_TRY(tw_json_get_int(object, key, what, &v, err));
    if (v < 0) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: a record without a count \"%s\"", what, key);
    }
    *out = (uint64_t)v;
    return TRAWL_OK;
}

static bool parse_hex(const char *s, uint64_t *out)
{
    if (s == NULL || strlen(s) != 16 || strspn(s, "0123456789abcdef") != 16) {
        return false;
    }
    *out = 0;
    for (int i = 0; i < 16; i++) {
        *out = *out << 4 | (uint64_t)(s[i] <= '9' ? s[i] - '0' : s[i] - 'a' + 10);
    }
    return true;
}

/* Below the folder, at most one folder deep, nothing hidden: what a store can have written. */
static bool file_is_inside(const char *file)
{
    const char *slash = strchr(file, '/');
    const char *last  = slash == NULL ? file : slash + 1;
    return file[0] != '.' && file[0] != '/' && last[0] != '.' && last[0] != '\0' && strchr(last, '/') == NULL;
}

static trawl_status parse_record(const json_t *object, const char *what, struct tw_manifest_record *r,
                                 struct trawl_error *err)
{
    const char *hex = NULL;
    TW_TRY(tw_json_get_string(object, "file", what, &r->file, err));
    TW_TRY(tw_json_get_string(object, "site", what, &r->site, err));
    TW_TRY(tw_json_get_string(object, "xxh3", what, &hex, err));
    TW_TRY(get_count(object, "bytes", what, &r->bytes, err));
    if (r->file == NULL || !file_is_inside(r->file)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: file name \"%.80s\" is none that a store writes", what,
                       r->file == NULL ? "" : r->file);
    }
    if (!parse_hex(hex, &r->xxh3)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: %s: \"xxh3\" is not 16 hexadecimal digits", what, r->file);
    }
    if (r->site != NULL) {
        TW_TRY(get_count(object, "chunk", what, &r->chunk, err));
        TW_TRY(get_count(object, "first", what, &r->first, err));
        TW_TRY(get_count(object, "end", what, &r->end, err));
        TW_TRY(get_count(object, "requests", what, &r->requests, err));
        TW_TRY(get_count(object, "rows", what, &r->rows, err));
        TW_TRY(tw_json_get_string(object, "numbers", what, &r->numbers, err));
    }
    return TRAWL_OK;
}

trawl_status tw_manifest_parse(const char *text, size_t n, const char *what, uint64_t group,
                               tw_manifest_fn *fn, void *user, struct trawl_error *err)
{
    json_t *object                   = NULL;
    struct tw_manifest_record record = {0};
    TW_TRY(tw_json_parse(text, n, what, &object, err));
    trawl_status status = TRAWL_OK;
    if (!json_is_object(object)) {
        status = tw_fail(err, TRAWL_ERR_FORMAT, "%s: a record is %s, expected an object", what,
                         tw_json_type_name(object));
    }
    if (status == TRAWL_OK) {
        status = parse_record(object, what, &record, err);
    }
    if (status == TRAWL_OK) {
        status = fn(user, group, &record, err);
    }
    json_decref(object);
    return status;
}

struct each {
    tw_manifest_fn *fn;
    void *user;
};

static trawl_status each_line(void *user, uint64_t group, const char *text, size_t n, struct trawl_error *err)
{
    struct each *e = user;
    return tw_manifest_parse(text, n, "manifest.jsonl", group, e->fn, e->user, err);
}

trawl_status tw_manifest_each(const struct tw_journal *manifest, tw_manifest_fn *fn, void *user,
                              struct trawl_error *err)
{
    struct each e = {.fn = fn, .user = user};
    return tw_journal_each(manifest, each_line, &e, err);
}
