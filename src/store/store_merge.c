/* SPDX-License-Identifier: MIT */
#include "store/store_merge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "store/store_reader.h"
#include "json/json.h"

enum { PIECE_ROWS = 256 };

struct part {
    const char *dir;
    struct tw_reader *reader;
    unsigned shard, n_shards;
    struct tw_store_request next; /* waiting for its turn */
    bool more;
};

struct merge {
    struct part *parts; /* [n], by shard */
    size_t n;
    struct tw_setting *settings; /* of the whole run */
    size_t n_settings;
    uint64_t commit_every, end;
    struct tw_store *store;
    struct tw_store_config config;
    float *rows; /* [PIECE_ROWS, widest] */
    struct tw_merge_summary *summary;
};

/* ---- do the parts belong together? ---- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

static trawl_status open_part(struct part *p, const char *dir, struct trawl_error *err)
{
    p->dir = dir;
    TW_TRY(tw_reader_open(&p->reader, dir, err));
    const char *shard = text_of(tw_reader_settings(p->reader), "shard");
    if (!tw_parse_part(shard, &p->shard, &p->n_shards) || p->shard >= p->n_shards) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s is no shard of a run", dir);
    }
    if (!json_is_true(json_object_get(tw_reader_metadata(p->reader), "complete"))) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s: shard %u of %u is not finished: resume its run first",
                       dir, p->shard, p->n_shards);
    }
    return text_of(tw_reader_settings(p->reader), "shuffle_rows")[0] == '\0'
               ? TRAWL_OK
               : tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                         "%s: the rows of shard %u are shuffled: they cannot be put into the order of the "
                         "whole run; "
                         "use the folders of the shards side by side",
                         dir, p->shard);
}

static int by_shard(const void *a, const void *b)
{
    const struct part *x = a, *y = b;
    return x->shard < y->shard ? -1 : x->shard > y->shard;
}

static trawl_status compare_runs(const struct part *a, const struct part *b, struct trawl_error *err)
{
    const json_t *x = tw_reader_settings(a->reader), *y = tw_reader_settings(b->reader);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)x, key, value)
    {
        if (strcmp(key, "shard") != 0 && strcmp(json_string_value(value), text_of(y, key)) != 0) {
            return tw_fail(err, TRAWL_ERR_INVALID,
                           "%s has %s \"%.80s\", %s has \"%.80s\": not shards of one run", a->dir, key,
                           json_string_value(value), b->dir, text_of(y, key));
        }
    }
    return json_object_size(x) == json_object_size(y)
               ? TRAWL_OK
               : tw_fail(err, TRAWL_ERR_INVALID, "%s and %s have different settings: not shards of one run",
                         a->dir, b->dir);
}

static trawl_status check_parts(const struct merge *m, struct trawl_error *err)
{
    for (size_t i = 1; i < m->n; i++) {
        TW_TRY(compare_runs(&m->parts[0], &m->parts[i], err));
    }
    for (size_t i = 0; i < m->n; i++) {
        const struct part *p = &m->parts[i];
        if (p->n_shards != m->parts[0].n_shards) {
            return tw_fail(err, TRAWL_ERR_INVALID, "%s is shard %u of %u, %s is one of %u", p->dir, p->shard,
                           p->n_shards, m->parts[0].dir, m->parts[0].n_shards);
        }
        if (i > 0 && p->shard == m->parts[i - 1].shard) {
            return tw_fail(err, TRAWL_ERR_INVALID, "%s and %s are both shard %u", m->parts[i - 1].dir, p->dir,
                           p->shard);
        }
        if (p->shard != i) {
            return tw_fail(err, TRAWL_ERR_INVALID, "shard %zu of %u is missing", i, p->n_shards);
        }
    }
    return m->n == m->parts[0].n_shards
               ? TRAWL_OK
               : tw_fail(err, TRAWL_ERR_INVALID, "shard %zu of %u is missing", m->n, m->parts[0].n_shards);
}

/* ---- the whole ---- */

/* The settings of a run of everything: those of a shard, but for the store's own and which shard it is. */
static trawl_status make_settings(struct merge *m, struct trawl_error *err)
{
    const json_t *run = tw_reader_settings(m->parts[0].reader);
    const char *key;
    json_t *value;
    TW_TRY(tw_alloc(json_object_size(run), sizeof *m->settings, &m->settings, err));
    json_object_foreach((json_t *)(uintptr_t)run, key, value)
    {
        if (strncmp(key, "store.", 6) != 0) {
            bool shard = strcmp(key, "shard") == 0;
            m->settings[m->n_settings++] =
                (struct tw_setting){key, shard ? "0 of 1" : json_string_value(value)};
        }
    }
    m->commit_every = strtoull(text_of(run, "commit_every"), NULL, 10);
    return m->commit_every > 0
               ? TRAWL_OK
               : tw_fail(err, TRAWL_ERR_FORMAT, "%s: manifest.jsonl has no setting \"commit_every\"",
                         m->parts[0].dir);
}

static trawl_status open_output(struct merge *m, const char *output, struct trawl_error *err)
{
    const json_t *meta = tw_reader_metadata(m->parts[0].reader);
    size_t widest      = 0;
    tw_reader_config(m->parts[0].reader, &m->config);
    m->config.dir         = output;
    m->config.settings    = m->settings;
    m->config.n_settings  = m->n_settings;
    m->config.keep_groups = TW_STORE_KEEP_ALL;
    m->config.model_path  = text_of(meta, "model_path");
    m->config.model_hash  = json_string_value(json_object_get(meta, "model_hash"));
    m->config.batch_size  = (uint64_t)json_integer_value(json_object_get(meta, "batch_size"));
    m->config.hidden_size = (uint64_t)json_integer_value(json_object_get(meta, "hidden_size"));
    m->config.tree_leaves = (uint64_t)json_integer_value(json_object_get(meta, "tree_leaves"));
    for (size_t i = 0; i < m->config.n_sites; i++) {
        widest = tw_max_size(widest, m->config.sites[i].width);
    }
    TW_TRY(tw_alloc(PIECE_ROWS * widest, sizeof *m->rows, &m->rows, err));
    return tw_store_open(&m->config, &m->store, err);
}

static trawl_status copy_request(struct merge *m, const struct part *p, struct trawl_error *err)
{
    TW_TRY(tw_store_begin_request(m->store, &p->next, err));
    for (size_t i = 0; i < m->config.n_sites; i++) {
        for (size_t at = 0; at < p->next.n_rows; at += PIECE_ROWS) {
            size_t n = tw_min_size(PIECE_ROWS, p->next.n_rows - at);
            tw_reader_rows(p->reader, i, at, n, m->rows);
            TW_TRY(tw_store_rows(m->store, i, m->rows, n, err));
        }
    }
    m->summary->requests++;
    m->summary->rows += p->next.n_rows;
    return tw_store_end_request(m->store, err);
}

static trawl_status advance(struct part *p, struct trawl_error *err)
{
    uint64_t before = p->next.id;
    bool first      = p->next.n_rows == 0;
    TW_TRY(tw_reader_next(p->reader, &p->next, &p->more, err));
    return !p->more || first || p->next.id > before
               ? TRAWL_OK
               : tw_fail(err, TRAWL_ERR_FORMAT, "%s: request %llu comes after request %llu", p->dir,
                         (unsigned long long)p->next.id, (unsigned long long)before);
}

static trawl_status replay(struct merge *m, struct trawl_error *err)
{
    uint64_t group_first = 0;
    for (size_t i = 0; i < m->n; i++) {
        m->end = tw_reader_end(m->parts[i].reader) > m->end ? tw_reader_end(m->parts[i].reader) : m->end;
        TW_TRY(advance(&m->parts[i], err));
    }
    for (uint64_t number = 0; number < m->end; number++) {
        for (size_t i = 0; i < m->n; i++) {
            if (m->parts[i].more && m->parts[i].next.id == number) {
                TW_TRY(copy_request(m, &m->parts[i], err));
                TW_TRY(advance(&m->parts[i], err));
            }
        }
        if ((number + 1) % m->commit_every == 0 || number + 1 == m->end) {
            TW_TRY(tw_store_commit(m->store, group_first, number + 1, err));
            group_first = number + 1;
        }
    }
    m->summary->groups = tw_store_groups(m->store);
    return tw_store_finish(m->store, err);
}

static trawl_status merge(struct merge *m, const char *const *dirs, const char *output,
                          struct trawl_error *err)
{
    for (size_t i = 0; i < m->n; i++) {
        TW_TRY(open_part(&m->parts[i], dirs[i], err));
    }
    qsort(m->parts, m->n, sizeof *m->parts, by_shard);
    TW_TRY(check_parts(m, err));
    TW_TRY(make_settings(m, err));
    TW_TRY(open_output(m, output, err));
    return replay(m, err);
}

trawl_status tw_store_merge(const char *const *dirs, size_t n, const char *output,
                            struct tw_merge_summary *summary, struct trawl_error *err)
{
    struct merge m = {.n = n, .summary = summary};
    *summary       = (struct tw_merge_summary){0};
    if (n == 0) {
        return tw_fail(err, TRAWL_ERR_INVALID, "no shards to merge");
    }
    TW_TRY(tw_alloc(n, sizeof *m.parts, &m.parts, err));
    trawl_status status = merge(&m, dirs, output, err);
    tw_store_close(m.store);
    for (size_t i = 0; i < n; i++) {
        tw_reader_close(m.parts[i].reader);
    }
    tw_free(m.parts);
    tw_free(m.settings);
    tw_free(m.rows);
    return status;
}
