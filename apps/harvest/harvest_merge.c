/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "apps/harvest/harvest_index.h"
#include "base/alloc.h"
#include "json/json.h"

struct part {
    char *path;
    struct tw_mapped_file file;
    bool open;
    size_t at, line_size, line; /* of the line that waits for its turn */
    int64_t request;            /* of that line; INT64_MAX: there are no more */
};

/* Behind the line that was taken: the next one. */
static trawl_status advance(struct part *p, struct trawl_error *err)
{
    p->at += p->line_size;
    p->line++;
    p->request   = INT64_MAX;
    p->line_size = 0;
    if (p->at == p->file.size) {
        return TRAWL_OK;
    }
    const char *text = (const char *)p->file.data + p->at, *end = memchr(text, '\n', p->file.size - p->at);
    json_t *row         = NULL;
    int64_t request     = -1;
    trawl_status status = end == NULL ? tw_fail(err, TRAWL_ERR_FORMAT, "the line has no end")
                                      : tw_json_parse(text, (size_t)(end - text), "JSON", &row, err);
    if (status == TRAWL_OK) {
        status = tw_json_get_int(row, "request", "JSON", &request, err);
    }
    json_decref(row);
    if (status == TRAWL_OK && request < 0) {
        status = tw_fail(err, TRAWL_ERR_FORMAT, "no \"request\" of a run");
    }
    if (status != TRAWL_OK) {
        return tw_fail_prefix(err, status, "%s: line %zu", p->path, p->line);
    }
    p->line_size = (size_t)(end - text) + 1;
    p->request   = request;
    return TRAWL_OK;
}

static trawl_status open_part(struct part *p, const char *dir, bool *there, struct trawl_error *err)
{
    TW_TRY(tw_path_join(dir, TW_HARVEST_INDEX_NAME, &p->path, err));
    *there = tw_path_exists(p->path);
    if (!*there) {
        return TRAWL_OK;
    }
    TW_TRY(tw_mapped_file_open(&p->file, p->path, err));
    p->open = true;
    return advance(p, err);
}

static trawl_status open_parts(struct part *parts, const char *const *dirs, size_t n, bool *any,
                               struct trawl_error *err)
{
    const char *has = NULL, *lacks = NULL;
    for (size_t i = 0; i < n; i++) {
        bool there = false;
        TW_TRY(open_part(&parts[i], dirs[i], &there, err));
        has   = there ? parts[i].path : has;
        lacks = there ? lacks : dirs[i];
    }
    *any = has != NULL;
    return has != NULL && lacks != NULL ? tw_fail(err, TRAWL_ERR_FORMAT, "%s has no %s, but there is %s",
                                                  lacks, TW_HARVEST_INDEX_NAME, has)
                                        : TRAWL_OK;
}

static trawl_status write_lines(struct part *parts, size_t n, struct tw_atomic_file *out,
                                struct trawl_error *err)
{
    for (;;) {
        struct part *least = &parts[0];
        for (size_t i = 1; i < n; i++) {
            least = parts[i].request < least->request ? &parts[i] : least;
        }
        if (least->request == INT64_MAX) {
            return TRAWL_OK;
        }
        TW_TRY(tw_atomic_file_write(out, least->file.data + least->at, least->line_size, err));
        TW_TRY(advance(least, err));
    }
}

static trawl_status write_file(struct part *parts, size_t n, const char *output, struct trawl_error *err)
{
    struct tw_atomic_file out;
    char *path = NULL;
    TW_TRY(tw_path_join(output, TW_HARVEST_INDEX_NAME, &path, err));
    trawl_status status = tw_atomic_file_open(&out, path, err);
    tw_free(path);
    TW_TRY(status);
    status = write_lines(parts, n, &out, err);
    if (status == TRAWL_OK) {
        return tw_atomic_file_commit(&out, err);
    }
    tw_atomic_file_abandon(&out);
    return status;
}

trawl_status tw_harvest_index_merge(const char *const *dirs, size_t n, const char *output,
                                    struct trawl_error *err)
{
    struct part *parts = NULL;
    bool any           = false;
    TW_TRY(tw_alloc(n, sizeof *parts, &parts, err));
    trawl_status status = open_parts(parts, dirs, n, &any, err);
    if (status == TRAWL_OK && any) {
        status = write_file(parts, n, output, err);
    }
    for (size_t i = 0; i < n; i++) {
        if (parts[i].open) {
            tw_mapped_file_close(&parts[i].file);
        }
        tw_free(parts[i].path);
    }
    tw_free(parts);
    return status;
}
