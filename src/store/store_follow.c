/* SPDX-License-Identifier: MIT */
#include "store/store_follow.h"

#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/size.h"
#include "store/store_layout.h"
#include "store/store_manifest.h"
#include "store/store_scan.h"

struct entry {
    size_t name; /* offset in names */
    uint64_t bytes, xxh3;
};

struct tw_follow {
    char *path;    /* of the manifest */
    uint64_t size; /* of the manifest when it was last read */
    size_t groups; /* whose files were given out or wait below */
    char run_hash[17];
    struct entry *entries;
    size_t n, capacity, next;
    char *names;
    size_t names_used, names_capacity;
};

trawl_status tw_follow_open(const char *dir, struct tw_follow **out, struct trawl_error *err)
{
    struct tw_follow *f;
    *out = NULL;
    TW_TRY(tw_alloc(1, sizeof *f, &f, err));
    trawl_status status = tw_path_join(dir, TW_MANIFEST_NAME, &f->path, err);
    if (status != TRAWL_OK) {
        tw_follow_close(f);
        return status;
    }
    *out = f;
    return TRAWL_OK;
}

void tw_follow_close(struct tw_follow *follow)
{
    if (follow == NULL) {
        return;
    }
    tw_free(follow->path);
    tw_free(follow->entries);
    tw_free(follow->names);
    tw_free(follow);
}

static trawl_status take_record(void *user, uint64_t group, const struct tw_manifest_record *record,
                                struct trawl_error *err)
{
    struct tw_follow *f = user;
    size_t length       = strlen(record->file) + 1;
    (void)group;
    if (record->site == NULL) {
        return TRAWL_OK;
    }
    TW_TRY(tw_grow(&f->names, &f->names_capacity, f->names_used + length, 1, err));
    TW_TRY(tw_grow(&f->entries, &f->capacity, f->n + 1, sizeof *f->entries, err));
    memcpy(f->names + f->names_used, record->file, length);
    f->entries[f->n++] = (struct entry){f->names_used, record->bytes, record->xxh3};
    f->names_used += length;
    return TRAWL_OK;
}

static trawl_status take_line(void *user, uint64_t group, const char *text, size_t n, struct trawl_error *err)
{
    struct tw_follow *f = user;
    return tw_manifest_parse(text, n, f->path, group, take_record, f, err);
}

/* The groups that came since the last time. The whole file is checked again, which goes at the speed of memory;
 * only new lines are parsed. It is read, not mapped: a failed append of the writer is cut off again. */
static trawl_status read_new(struct tw_follow *f, struct trawl_error *err)
{
    struct tw_journal_scan scan;
    struct stat st;
    char *data = NULL;
    size_t n   = 0;
    if (stat(f->path, &st) != 0 || (uint64_t)st.st_size == f->size) {
        return TRAWL_OK; /* not there yet, or nothing new */
    }
    TW_TRY(tw_file_read(f->path, SIZE_MAX - 1, &data, &n, err));
    if (memchr(data, '\n', n) == NULL) { /* the header is being written */
        tw_free(data);
        return TRAWL_OK;
    }
    f->n = f->next = f->names_used = 0;
    trawl_status status            = tw_journal_scan(&scan, data, n, TW_MANIFEST_KIND, f->path, err);
    memcpy(f->run_hash, scan.run_hash, sizeof f->run_hash);
    for (; status == TRAWL_OK && f->groups < scan.n_groups; f->groups++) {
        status = tw_journal_scan_each(&scan.groups[f->groups], f->groups + 1, data, take_line, f, err);
    }
    f->size = n;
    tw_journal_scan_release(&scan);
    tw_free(data);
    return status;
}

trawl_status tw_follow_next(struct tw_follow *follow, struct tw_follow_file *file, bool *has,
                            struct trawl_error *err)
{
    *has = false;
    if (follow->next == follow->n) {
        TW_TRY(read_new(follow, err));
    }
    if (follow->next < follow->n) {
        const struct entry *e = &follow->entries[follow->next++];
        *file = (struct tw_follow_file){follow->names + e->name, e->bytes, e->xxh3, follow->run_hash};
        *has  = true;
    }
    return TRAWL_OK;
}
