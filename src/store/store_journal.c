/* SPDX-License-Identifier: MIT */
#include "store/store_journal.h"

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "store/store_scan.h"
#include "json/json.h"

struct tw_journal {
    struct tw_append_file file;
    struct tw_journal_scan scan; /* committed groups; grows with every commit */
    struct tw_str pending;       /* records of the group being made */
};

/* ---- opening ---- */

static trawl_status compare_settings(const json_t *run, const struct tw_journal_config *config,
                                     struct trawl_error *err)
{
    const char *key;
    json_t *value;
    for (size_t i = 0; i < config->n_settings; i++) {
        const struct tw_setting *s = &config->settings[i];
        const char *found          = json_string_value(json_object_get(run, s->key));
        if (found == NULL) {
            return tw_fail(err, TRAWL_ERR_EXISTS,
                           "%s belongs to a run without the setting %s, which is \"%s\" now", config->path,
                           s->key, s->value);
        }
        if (strcmp(found, s->value) != 0) {
            return tw_fail(err, TRAWL_ERR_EXISTS,
                           "%s belongs to a run with other settings: %s was \"%s\", now it is \"%s\"",
                           config->path, s->key, found, s->value);
        }
    }
    json_object_foreach((json_t *)run, key, value)
    {
        bool known = false;
        for (size_t i = 0; i < config->n_settings && !known; i++) {
            known = strcmp(key, config->settings[i].key) == 0;
        }
        if (!known) {
            return tw_fail(err, TRAWL_ERR_EXISTS,
                           "%s belongs to a run with the setting %s \"%s\", which is not set now",
                           config->path, key, json_string_value(value));
        }
    }
    return TRAWL_OK;
}

/* Read what is there. `*fresh`: nothing but, at most, the torn beginning of this very header. */
static trawl_status read_existing(struct tw_journal *j, const struct tw_journal_config *config,
                                  const struct tw_str *header, bool *fresh, struct trawl_error *err)
{
    struct tw_mapped_file file;
    TW_TRY(tw_mapped_file_open(&file, config->path, err));
    trawl_status status = TRAWL_OK;
    *fresh              = file.size < header->size && memcmp(file.data, header->data, file.size) == 0;
    if (!*fresh) {
        status =
            tw_journal_scan(&j->scan, (const char *)file.data, file.size, config->kind, config->path, err);
        if (status == TRAWL_OK) {
            status = compare_settings(j->scan.run, config, err);
        }
    }
    tw_mapped_file_close(&file);
    return status;
}

static trawl_status begin_journal(struct tw_journal *j, const struct tw_journal_config *config,
                                  const struct tw_str *header, struct trawl_error *err)
{
    TW_TRY(tw_append_file_truncate(&j->file, 0, err));
    TW_TRY(tw_append_file_append(&j->file, header->data, header->size, err));
    return tw_journal_scan(&j->scan, header->data, header->size, config->kind, config->path, err);
}

static trawl_status open_locked(struct tw_journal *j, const struct tw_journal_config *config,
                                const struct tw_str *header, struct trawl_error *err)
{
    bool fresh = false;
    TW_TRY(read_existing(j, config, header, &fresh, err));
    if (fresh) {
        return begin_journal(j, config, header, err);
    }
    if (!config->resume) {
        return tw_fail(err, TRAWL_ERR_EXISTS,
                       "%s is there already: a run of the same settings with %zu committed groups, which "
                       "can be resumed",
                       config->path, j->scan.n_groups);
    }
    if (j->scan.valid < j->file.size) {
        return tw_append_file_truncate(&j->file, j->scan.valid, err);
    }
    return TRAWL_OK;
}

trawl_status tw_journal_open(const struct tw_journal_config *config, struct tw_journal **out,
                             struct trawl_error *err)
{
    struct tw_journal *j;
    struct tw_str header;
    char run_hash[17];
    *out = NULL;
    TW_TRY(tw_alloc(1, sizeof *j, &j, err));
    j->file.fd = -1;
    tw_str_init(&j->pending, 0);
    tw_str_init(&header, 0);
    trawl_status status =
        tw_journal_header(&header, config->kind, config->settings, config->n_settings, run_hash, err);
    if (status == TRAWL_OK) {
        status = tw_append_file_open(&j->file, config->path, err);
    }
    if (status == TRAWL_OK) {
        status = open_locked(j, config, &header, err);
    }
    tw_str_release(&header);
    if (status != TRAWL_OK) {
        tw_journal_close(j);
        return status;
    }
    *out = j;
    return TRAWL_OK;
}

void tw_journal_close(struct tw_journal *journal)
{
    if (journal == NULL) {
        return;
    }
    tw_append_file_close(&journal->file);
    tw_journal_scan_release(&journal->scan);
    tw_str_release(&journal->pending);
    tw_free(journal);
}

/* ---- what is committed ---- */

uint64_t tw_journal_groups(const struct tw_journal *journal)
{
    return journal->scan.n_groups;
}

uint64_t tw_journal_end(const struct tw_journal *journal)
{
    size_t n = journal->scan.n_groups;
    return n == 0 ? 0 : journal->scan.groups[n - 1].end;
}

const char *tw_journal_run_hash(const struct tw_journal *journal)
{
    return journal->scan.run_hash;
}

trawl_status tw_journal_each(const struct tw_journal *journal, tw_journal_fn *fn, void *user,
                             struct trawl_error *err)
{
    struct tw_mapped_file file;
    TW_TRY(tw_mapped_file_open(&file, journal->file.path, err));
    trawl_status status = TRAWL_OK;
    if (file.size < journal->scan.valid) {
        status = tw_fail(err, TRAWL_ERR_IO, "%s was cut to %zu bytes by somebody else, expected at least %zu",
                         journal->file.path, file.size, journal->scan.valid);
    }
    for (size_t i = 0; status == TRAWL_OK && i < journal->scan.n_groups; i++) {
        status =
            tw_journal_scan_each(&journal->scan.groups[i], i + 1, (const char *)file.data, fn, user, err);
    }
    tw_mapped_file_close(&file);
    return status;
}

/* ---- adding ---- */

trawl_status tw_journal_add(struct tw_journal *journal, const char *text, size_t n, struct trawl_error *err)
{
    static const char commit[] = "{\"commit\": ";
    json_t *value              = NULL;
    if (memchr(text, '\n', n) != NULL) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s: a record is not on one line", journal->file.path);
    }
    if (n >= sizeof commit - 1 && memcmp(text, commit, sizeof commit - 1) == 0) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s: a record begins with the key \"commit\"",
                       journal->file.path);
    }
    if (tw_json_parse(text, n, "record", &value, NULL) != TRAWL_OK || !json_is_object(value)) {
        json_decref(value);
        return tw_fail(err, TRAWL_ERR_INVALID, "%s: a record is no JSON object: %.*s", journal->file.path,
                       (int)(n < 80 ? n : 80), text);
    }
    json_decref(value);
    size_t size = journal->pending.size;
    TW_TRY(tw_str_append(&journal->pending, text, n, err));
    trawl_status status = tw_str_putc(&journal->pending, '\n', err);
    if (status != TRAWL_OK) {
        journal->pending.size = size;
    }
    return status;
}

trawl_status tw_journal_commit(struct tw_journal *journal, uint64_t first, uint64_t end,
                               struct trawl_error *err)
{
    struct tw_journal_scan *scan = &journal->scan;
    struct tw_str *pending       = &journal->pending;
    if (first < tw_journal_end(journal) || end < first || end > INT64_MAX) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s: requests %llu to %llu cannot be committed after %llu",
                       journal->file.path, (unsigned long long)first, (unsigned long long)end,
                       (unsigned long long)tw_journal_end(journal));
    }
    TW_TRY(tw_grow(&scan->groups, &scan->capacity, scan->n_groups + 1, sizeof *scan->groups, err));
    size_t records      = pending->size;
    trawl_status status = tw_journal_commit_line(pending, scan->n_groups + 1, first, end, err);
    if (status == TRAWL_OK) {
        status = tw_append_file_append(&journal->file, pending->data, pending->size, err);
    }
    if (status != TRAWL_OK) {
        pending->size = records;
        return status;
    }
    scan->groups[scan->n_groups++] = (struct tw_journal_group){.begin  = scan->valid,
                                                               .commit = scan->valid + records,
                                                               .stop   = scan->valid + pending->size,
                                                               .first  = first,
                                                               .end    = end};
    scan->valid += pending->size;
    tw_str_reset(pending);
    return TRAWL_OK;
}

trawl_status tw_journal_truncate(struct tw_journal *journal, uint64_t groups, struct trawl_error *err)
{
    struct tw_journal_scan *scan = &journal->scan;
    if (groups > scan->n_groups) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s has %zu groups, %llu cannot be kept", journal->file.path,
                       scan->n_groups, (unsigned long long)groups);
    }
    size_t size = groups == 0 ? scan->header : scan->groups[groups - 1].stop;
    TW_TRY(tw_append_file_truncate(&journal->file, size, err));
    scan->n_groups = (size_t)groups;
    scan->valid    = size;
    tw_str_reset(&journal->pending);
    return TRAWL_OK;
}
