/* SPDX-License-Identifier: MIT */
/* A folder of activations whose checksums are right and nothing else is sure: what its settings, its manifest and its
 * files say is up to the input. Looking at it, verifying and exporting it ends well or with a sentence.
 *
 * The input: the store's own settings on one line (format dtype columns sites, cut at '|'), then the manifest's records,
 * one a line, up to an empty line, then the bytes of every chunk file. Seeds: corpus/acts_store, by
 * tests/golden/make_acts_store.py. */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/str.h"
#include "store/store.h"
#include "store/store_export.h"
#include "store/store_manifest.h"
#include "store/store_scan.h"
#include "store/store_survey.h"
#include "support/folder.h"
#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SETTINGS = 4, WAYS = 4, INPUT_MAX = 1 << 16 };

static void check(bool holds)
{
    if (!holds) {
        __builtin_trap();
    }
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static void write_below(const char *dir, const char *name, const void *bytes, size_t n)
{
    struct trawl_error err;
    char *path = NULL;
    if (tw_path_join(dir, name, &path, &err) == TRAWL_OK && tw_make_parent_dirs(path, &err) == TRAWL_OK) {
        FILE *f = fopen(path, "wb");
        if (f != NULL) {
            (void)fwrite(bytes, 1, n, f);
            (void)fclose(f);
        }
    }
    tw_free(path);
}

/* What every file holds, and the records with the checksums that go with that. */
struct files {
    const char *dir;
    const char *bytes;
    size_t n;
    struct tw_str records;
};

static trawl_status write_file_of(void *user, uint64_t group, const struct tw_manifest_record *r,
                                  struct trawl_error *err)
{
    const struct files *f = user;
    (void)group, (void)err;
    write_below(f->dir, r->file, f->bytes, f->n);
    return TRAWL_OK;
}

static void add_record(struct files *f, const char *line, size_t n)
{
    struct trawl_error err;
    json_t *record = NULL;
    char hex[17], *text = NULL;
    (void)tw_manifest_parse(line, n, "fuzz", 1, write_file_of, f, &err);
    if (tw_json_parse(line, n, "fuzz", &record, &err) == TRAWL_OK && json_is_object(record)) {
        tw_hash_hex(tw_hash64(f->bytes, f->n), hex);
        (void)json_object_set_new(record, "bytes", json_integer((json_int_t)f->n));
        (void)json_object_set_new(record, "xxh3", json_string(hex));
        text = json_dumps(record, JSON_COMPACT);
    }
    if (tw_str_append(&f->records, text == NULL ? line : text, text == NULL ? n : strlen(text), &err) ==
        TRAWL_OK) {
        (void)tw_str_putc(&f->records, '\n', &err);
    }
    free(text);
    json_decref(record);
}

/* The manifest with its checksums; false when the journal itself refuses it. */
static bool write_manifest(const char *dir, char *fields[SETTINGS], const char *records, size_t n)
{
    static const char *const keys[SETTINGS] = {"store.format", "store.dtype", "store.columns", "store.sites"};
    struct tw_setting settings[SETTINGS + 2] = {{"store.chunk_bytes", "1024"}, {"store.shard", "0 of 1"}};
    struct tw_str text, group;
    struct trawl_error err;
    char hash[17];
    for (size_t i = 0; i < SETTINGS; i++) {
        settings[2 + i] = (struct tw_setting){keys[i], fields[i]};
    }
    tw_str_init(&text, 0);
    tw_str_init(&group, 0);
    bool good = tw_journal_header(&text, "activations", settings, SETTINGS + 2, hash, &err) == TRAWL_OK &&
                tw_str_append(&group, records, n, &err) == TRAWL_OK &&
                tw_journal_commit_line(&group, 1, 0, 8, &err) == TRAWL_OK &&
                tw_str_append(&text, group.data, group.size, &err) == TRAWL_OK;
    if (good) {
        write_below(dir, "manifest.jsonl", text.data, text.size);
    }
    tw_str_release(&text);
    tw_str_release(&group);
    return good;
}

static void look_at(const char *dir)
{
    struct trawl_error err = {0};
    struct tw_survey survey;
    struct tw_store_check checked;
    struct tw_str report;
    check(tw_survey_make(&survey, dir, 3, &err) == TRAWL_OK || err.message[0] != '\0');
    tw_survey_release(&survey);
    tw_str_init(&report, 0);
    err.message[0] = '\0';
    check(tw_store_verify(dir, &checked, &report, &err) == TRAWL_OK || err.message[0] != '\0');
    check((report.size > 0) == (checked.problems > 0) || err.message[0] != '\0');
    tw_str_release(&report);
}

/* Nothing is written beside the output, and nothing remains of an export that fails. */
static void export_it(const char *dir, const char *output, size_t way)
{
    static const struct {
        enum tw_export_format format;
        enum tw_export_split split;
    } ways[WAYS]                     = {{TW_EXPORT_NPY, TW_EXPORT_BY_SITE},
                                        {TW_EXPORT_SAFETENSORS, TW_EXPORT_BY_DOCUMENT},
                                        {TW_EXPORT_PKL, TW_EXPORT_BY_CHUNK},
                                        {TW_EXPORT_DATASETS, TW_EXPORT_BY_SITE}};
    struct trawl_error err           = {0};
    struct tw_export_summary summary = {0};
    struct tw_export_config c        = {
               .dir = dir, .output = output, .format = ways[way].format, .split = ways[way].split, .max_rows = 64};
    trawl_status status = tw_store_export(&c, &summary, &err);
    check((status == TRAWL_OK) == tw_path_exists(output));
    check(status == TRAWL_OK || err.message[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[INPUT_MAX + 1], dir[TEST_FOLDER_BYTES], store[TEST_FOLDER_BYTES + 8],
        output[TEST_FOLDER_BYTES + 8];
    char *fields[SETTINGS] = {text};
    if (size > INPUT_MAX) {
        return 0;
    }
    memcpy(text, data, size);
    text[size]    = '\0';
    char *records = strchr(text, '\n');
    char *end     = records == NULL ? NULL : strstr(records + 1, "\n\n");
    if (end == NULL || !test_folder_make(dir)) {
        return 0;
    }
    *records++ = '\0';
    for (size_t i = 1; i < SETTINGS; i++) {
        fields[i] = strchr(fields[i - 1], '|');
        fields[i] = fields[i] == NULL ? fields[i - 1] + strlen(fields[i - 1]) : fields[i] + 1;
    }
    for (size_t i = 1; i < SETTINGS; i++) {
        if (fields[i] > text && fields[i][-1] == '|') {
            fields[i][-1] = '\0';
        }
    }
    (void)snprintf(store, sizeof store, "%s/store", dir);
    (void)snprintf(output, sizeof output, "%s/out", dir);
    struct files files = {.dir = store, .bytes = end + 2, .n = size - (size_t)(end + 2 - text)};
    tw_str_init(&files.records, 0);
    for (char *line = records; line <= end;) {
        size_t n = strcspn(line, "\n");
        add_record(&files, line, n);
        line += n + 1;
    }
    write_below(store, "metadata.json", "{\"complete\": true}", 18);
    if (write_manifest(store, fields, tw_str_text(&files.records), files.records.size)) {
        look_at(store);
        export_it(store, output, size % WAYS); /* one of them: together they take most of the time */
    }
    tw_str_release(&files.records);
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
