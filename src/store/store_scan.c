/* SPDX-License-Identifier: MIT */
#include "store/store_scan.h"

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "json/json.h"

#define COMMIT_START "{\"commit\": "

/* ---- writing ---- */

trawl_status tw_journal_header(struct tw_str *out, const char *kind, const struct tw_setting *settings,
                               size_t n_settings, char run_hash[17], struct trawl_error *err)
{
    struct tw_str run;
    struct tw_json_writer w;
    for (size_t i = 0; i < n_settings; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(settings[i].key, settings[j].key) == 0) {
                return tw_fail(err, TRAWL_ERR_INVALID, "setting \"%s\" is given twice", settings[i].key);
            }
        }
    }
    tw_str_init(&run, 0);
    tw_json_writer_init(&w, &run, 0);
    tw_json_begin_object(&w);
    for (size_t i = 0; i < n_settings; i++) {
        tw_json_key(&w, settings[i].key);
        tw_json_string(&w, settings[i].value);
    }
    tw_json_end_object(&w);
    trawl_status status = tw_json_writer_finish(&w, err);
    if (status == TRAWL_OK) {
        tw_hash_hex(tw_hash64(run.data, run.size), run_hash);
        tw_json_writer_init(&w, out, 0);
        tw_json_begin_object(&w);
        tw_json_key(&w, "trawl_journal");
        tw_json_int(&w, 1);
        tw_json_key(&w, "kind");
        tw_json_string(&w, kind);
        tw_json_key(&w, "run");
        tw_json_raw(&w, run.data, run.size);
        tw_json_key(&w, "run_hash");
        tw_json_string(&w, run_hash);
        tw_json_end_object(&w);
        status = tw_json_writer_finish(&w, err);
    }
    if (status == TRAWL_OK) {
        status = tw_str_putc(out, '\n', err);
    }
    tw_str_release(&run);
    return status;
}

trawl_status tw_journal_commit_line(struct tw_str *group, uint64_t number, uint64_t first, uint64_t end,
                                    struct trawl_error *err)
{
    char hex[17];
    TW_TRY(tw_str_printf(group, err, COMMIT_START "%llu, \"first\": %llu, \"end\": %llu",
                         (unsigned long long)number, (unsigned long long)first, (unsigned long long)end));
    tw_hash_hex(tw_hash64(group->data, group->size), hex);
    return tw_str_printf(group, err, ", \"xxh3\": \"%s\"}\n", hex);
}

/* ---- reading ---- */

static trawl_status check_run_hash(struct tw_journal_scan *scan, const json_t *header, const char *what,
                                   struct trawl_error *err)
{
    const char *hash = NULL;
    struct tw_str text;
    struct tw_json_writer w;
    TW_TRY(tw_json_get_string(header, "run_hash", what, &hash, err));
    tw_str_init(&text, 0);
    tw_json_writer_init(&w, &text, 0);
    tw_json_value(&w, scan->run);
    trawl_status status = tw_json_writer_finish(&w, err);
    if (status == TRAWL_OK) {
        tw_hash_hex(tw_hash64(text.data, text.size), scan->run_hash);
        if (hash == NULL || strcmp(hash, scan->run_hash) != 0) {
            status = tw_fail(err, TRAWL_ERR_FORMAT,
                             "%s: line 1: the settings do not have the checksum that the line names: "
                             "the file is damaged",
                             what);
        }
    }
    tw_str_release(&text);
    return status;
}

static trawl_status check_header(struct tw_journal_scan *scan, const json_t *header, const char *kind,
                                 const char *what, struct trawl_error *err)
{
    int64_t version   = 0;
    const char *found = NULL;
    const char *key;
    json_t *value;
    TW_TRY(tw_json_get_int(header, "trawl_journal", what, &version, err));
    if (version == 0) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: not a trawl journal: line 1 has no \"trawl_journal\"",
                       what);
    }
    if (version != 1) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s: journal version %lld, this trawl reads 1", what,
                       (long long)version);
    }
    TW_TRY(tw_json_get_string(header, "kind", what, &found, err));
    if (found == NULL || strcmp(found, kind) != 0) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: a journal of \"%s\", expected one of \"%s\"", what,
                       found == NULL ? "nothing" : found, kind);
    }
    TW_TRY(tw_json_get_object(header, "run", what, &scan->run, err));
    if (scan->run == NULL) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: line 1 has no \"run\"", what);
    }
    (void)json_incref(scan->run);
    json_object_foreach(scan->run, key, value)
    {
        if (!json_is_string(value)) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "%s: setting \"%s\" is %s, expected a string", what, key,
                           tw_json_type_name(value));
        }
    }
    return check_run_hash(scan, header, what, err);
}

static trawl_status scan_header(struct tw_journal_scan *scan, const char *data, size_t n, const char *kind,
                                const char *what, struct trawl_error *err)
{
    json_t *header      = NULL;
    const char *newline = n == 0 ? NULL : memchr(data, '\n', n);
    if (newline == NULL) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: not a trawl journal: no header line", what);
    }
    if (tw_json_parse(data, (size_t)(newline - data), what, &header, NULL) != TRAWL_OK) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: not a trawl journal: line 1 is not JSON", what);
    }
    trawl_status status = TRAWL_OK;
    if (!json_is_object(header)) {
        status = tw_fail(err, TRAWL_ERR_FORMAT, "%s: not a trawl journal: line 1 is %s, expected an object",
                         what, tw_json_type_name(header));
    } else {
        status = check_header(scan, header, kind, what, err);
    }
    json_decref(header);
    scan->header = (size_t)(newline - data) + 1;
    scan->valid  = scan->header;
    return status;
}

/* Digits into *out; the number of characters taken, 0 for no number below 2^63. */
static size_t take_number(const char *s, size_t n, uint64_t *out)
{
    size_t i   = 0;
    uint64_t v = 0;
    for (; i < n && s[i] >= '0' && s[i] <= '9'; i++) {
        if (i == 19) {
            return 0;
        }
        v = v * 10 + (uint64_t)(s[i] - '0');
    }
    *out = v;
    return v <= INT64_MAX ? i : 0;
}

static size_t take_text(const char *s, size_t n, const char *text)
{
    size_t length = strlen(text);
    return n >= length && memcmp(s, text, length) == 0 ? length : 0;
}

struct commit_line {
    uint64_t number;
    uint64_t first;
    uint64_t end;
    size_t hashed; /* bytes of the line under the checksum */
    const char *hex;
};

/* The line is compared byte for byte with the one form that is ever written. */
static bool parse_commit(const char *line, size_t n, struct commit_line *c)
{
    static const char *const before[3] = {COMMIT_START, ", \"first\": ", ", \"end\": "};
    uint64_t *values[3]                = {&c->number, &c->first, &c->end};
    size_t at                          = 0;
    for (int i = 0; i < 3; i++) {
        size_t text = take_text(line + at, n - at, before[i]);
        at += text;
        size_t digits = text == 0 ? 0 : take_number(line + at, n - at, values[i]);
        at += digits;
        if (digits == 0) {
            return false;
        }
    }
    c->hashed   = at;
    size_t text = take_text(line + at, n - at, ", \"xxh3\": \"");
    at += text;
    c->hex = line + at;
    return text > 0 && n - at == 19 && memcmp(line + at + 16, "\"}\n", 3) == 0;
}

static bool commit_holds(const struct tw_journal_scan *scan, const struct commit_line *c, const char *data,
                         size_t line)
{
    char hex[17];
    uint64_t last = scan->n_groups == 0 ? 0 : scan->groups[scan->n_groups - 1].end;
    if (c->number != scan->n_groups + 1 || c->first < last || c->end < c->first) {
        return false;
    }
    tw_hash_hex(tw_hash64(data + scan->valid, line + c->hashed - scan->valid), hex);
    return memcmp(hex, c->hex, 16) == 0;
}

static trawl_status add_group(struct tw_journal_scan *scan, const struct commit_line *c, size_t line,
                              size_t stop, struct trawl_error *err)
{
    TW_TRY(tw_grow(&scan->groups, &scan->capacity, scan->n_groups + 1, sizeof *scan->groups, err));
    scan->groups[scan->n_groups++] = (struct tw_journal_group){
        .begin = scan->valid, .commit = line, .stop = stop, .first = c->first, .end = c->end};
    scan->valid = stop;
    return TRAWL_OK;
}

trawl_status tw_journal_scan(struct tw_journal_scan *scan, const char *data, size_t n, const char *kind,
                             const char *what, struct trawl_error *err)
{
    *scan = (struct tw_journal_scan){0};
    TW_TRY(scan_header(scan, data, n, kind, what, err));
    size_t number = 2;           /* of the line at `line` */
    size_t from   = 2;           /* of the first line of the group */
    size_t line   = scan->valid; /* its offset */
    while (line < n) {
        const char *newline = memchr(data + line, '\n', n - line);
        if (newline == NULL) {
            break; /* a torn line */
        }
        size_t stop = (size_t)(newline - data) + 1;
        if (take_text(data + line, stop - line, COMMIT_START) > 0) {
            struct commit_line c;
            bool whole = parse_commit(data + line, stop - line, &c);
            if (whole && commit_holds(scan, &c, data, line)) {
                TW_TRY(add_group(scan, &c, line, stop, err));
                from = number + 1;
            } else if (stop < n || (whole && c.number != scan->n_groups + 1)) {
                /* One append wrote the group up to this line. Bytes after it, or another number, mean
                 * that it was whole once. */
                return tw_fail(err, TRAWL_ERR_FORMAT,
                               "%s: lines %zu to %zu: not group %zu with the checksum that its last line "
                               "names: the file is damaged",
                               what, from, number, scan->n_groups + 1);
            }
        }
        line = stop;
        number++;
    }
    return TRAWL_OK;
}

void tw_journal_scan_release(struct tw_journal_scan *scan)
{
    json_decref(scan->run);
    tw_free(scan->groups);
    *scan = (struct tw_journal_scan){0};
}

trawl_status tw_journal_scan_each(const struct tw_journal_group *group, uint64_t number, const char *data,
                                  tw_journal_fn *fn, void *user, struct trawl_error *err)
{
    for (size_t at = group->begin; at < group->commit;) {
        const char *newline = memchr(data + at, '\n', group->commit - at);
        TW_BUG_ON(newline == NULL); /* the scan saw whole lines only */
        TW_TRY(fn(user, number, data + at, (size_t)(newline - data) - at, err));
        at = (size_t)(newline - data) + 1;
    }
    return TRAWL_OK;
}

trawl_status tw_journal_read(struct tw_journal_scan *scan, const char *path, const char *kind,
                             tw_journal_fn *fn, void *user, struct trawl_error *err)
{
    struct tw_mapped_file file;
    *scan = (struct tw_journal_scan){0};
    TW_TRY(tw_mapped_file_open(&file, path, err));
    const char *data    = (const char *)file.data;
    trawl_status status = tw_journal_scan(scan, data, file.size, kind, path, err);
    for (size_t i = 0; status == TRAWL_OK && i < scan->n_groups; i++) {
        status = tw_journal_scan_each(&scan->groups[i], i + 1, data, fn, user, err);
    }
    tw_mapped_file_close(&file);
    return status;
}
