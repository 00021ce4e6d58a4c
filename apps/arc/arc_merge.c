/* SPDX-License-Identifier: MIT */
/* Shard i of n has every task whose place is i modulo n, in order: so the tasks of the whole run are taken
 * from the shards by turns. */
#include "apps/arc/arc_merge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/arc/arc_results.h"
#include "base/alloc.h"

#define RECORDS_ENDING "_task_results.json"

struct part {
    char *output, *records, *journal; /* paths */
    json_t *run;                      /* the settings of its run */
    unsigned shard, n_shards;
    struct tw_arc_stream tasks, results;
    bool tasks_open, results_open;
    struct tw_arc_record record; /* the first of the next task */
    bool has_record;
};

struct merge {
    struct part *parts; /* [n], by shard */
    size_t n;
    struct tw_arc_writer submission, records;
    struct tw_arc_merge_summary *summary;
};

/* ---- which shards are they? ---- */

static trawl_status name_files(struct part *p, const char *input, struct trawl_error *err)
{
    size_t n = strlen(input), ending = strlen(RECORDS_ENDING);
    char *stem = NULL;
    if (tw_arc_results_is_task_results(input)) {
        TW_TRY(tw_strndup(input, n - ending, &stem, err));
        size_t size         = n + sizeof ".json";
        trawl_status status = tw_alloc(size, 1, &p->output, err);
        if (status == TRAWL_OK) {
            (void)snprintf(p->output, size, "%s.json", stem);
        }
        tw_free(stem);
        TW_TRY(status);
    } else {
        TW_TRY(tw_strdup(input, &p->output, err));
    }
    TW_TRY(tw_arc_results_path(p->output, RECORDS_ENDING, &p->records, err));
    return tw_arc_results_path(p->output, "_journal.jsonl", &p->journal, err);
}

/* The first line of the journal: {"trawl_journal": 1, ..., "run": {settings}}. */
static trawl_status read_run(struct part *p, struct trawl_error *err)
{
    struct tw_mapped_file file;
    json_t *header = NULL, *run = NULL;
    const char *shard = NULL;
    TW_TRY(tw_mapped_file_open(&file, p->journal, err));
    const char *end     = file.size == 0 ? NULL : memchr(file.data, '\n', file.size);
    size_t n            = end == NULL ? file.size : (size_t)(end - (const char *)file.data);
    trawl_status status = tw_json_parse((const char *)file.data, n, p->journal, &header, err);
    tw_mapped_file_close(&file);
    if (status == TRAWL_OK) {
        status = tw_json_get_object(header, "run", p->journal, &run, err);
    }
    if (status == TRAWL_OK) {
        p->run = json_incref(run);
        status = tw_json_get_string(run, "shard", p->journal, &shard, err);
    }
    json_decref(header);
    TW_TRY(status);
    if (shard == NULL || !tw_parse_part(shard, &p->shard, &p->n_shards) || p->shard >= p->n_shards) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s: not the journal of a shard", p->journal);
    }
    return TRAWL_OK;
}

static int by_shard(const void *a, const void *b)
{
    const struct part *x = a, *y = b;
    return x->shard < y->shard ? -1 : x->shard > y->shard;
}

static trawl_status compare_runs(const struct part *a, const struct part *b, struct trawl_error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach(a->run, key, value)
    {
        const json_t *other = json_object_get(b->run, key);
        if (strcmp(key, "shard") != 0 && !json_equal(value, other)) {
            return tw_fail(err, TRAWL_ERR_INVALID,
                           "%s has %s \"%.80s\", %s has \"%.80s\": not shards of one run", a->output, key,
                           json_string_value(value), b->output,
                           json_is_string(other) ? json_string_value(other) : "");
        }
    }
    return TRAWL_OK;
}

static trawl_status check_parts(const struct merge *m, struct trawl_error *err)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct part *p = &m->parts[i];
        TW_TRY(i == 0 ? TRAWL_OK : compare_runs(&m->parts[0], p, err));
        if (p->n_shards != m->parts[0].n_shards) {
            return tw_fail(err, TRAWL_ERR_INVALID, "%s is shard %u of %u, %s is one of %u", p->output,
                           p->shard, p->n_shards, m->parts[0].output, m->parts[0].n_shards);
        }
        if (i > 0 && p->shard == m->parts[i - 1].shard) {
            return tw_fail(err, TRAWL_ERR_INVALID, "%s and %s are both shard %u", m->parts[i - 1].output,
                           p->output, p->shard);
        }
        if (p->shard != i) {
            return tw_fail(err, TRAWL_ERR_INVALID, "shard %zu of %u is missing", i, p->n_shards);
        }
    }
    return m->n == m->parts[0].n_shards
               ? TRAWL_OK
               : tw_fail(err, TRAWL_ERR_INVALID, "shard %zu of %u is missing", m->n, m->parts[0].n_shards);
}

static trawl_status open_streams(struct part *p, struct trawl_error *err)
{
    TW_TRY(tw_arc_stream_open(&p->tasks, p->output, err));
    p->tasks_open = true;
    TW_TRY(tw_arc_stream_open(&p->results, p->records, err));
    p->results_open = true;
    return tw_arc_results_next(&p->results, &p->record, &p->has_record, err);
}

/* ---- joining ---- */

/* All records of the task that is next in a part. */
static trawl_status copy_records(struct merge *m, struct part *p, const char *task_id,
                                 struct trawl_error *err)
{
    while (p->has_record && strcmp(p->record.task_id, task_id) == 0) {
        trawl_status status = tw_arc_results_add(&m->records, &p->record, err);
        tw_arc_record_release(&p->record);
        p->has_record = false;
        TW_TRY(status);
        m->summary->records++;
        TW_TRY(tw_arc_results_next(&p->results, &p->record, &p->has_record, err));
    }
    return TRAWL_OK;
}

static trawl_status copy_task(struct merge *m, struct part *p, bool *more, struct trawl_error *err)
{
    struct tw_arc_attempts a = {0};
    TW_TRY(tw_arc_submission_next(&p->tasks, &a, more, err));
    if (!*more) {
        return p->has_record
                   ? tw_fail(err, TRAWL_ERR_FORMAT, "%s: records of task %s, which %s does not have",
                             p->records, p->record.task_id, p->output)
                   : TRAWL_OK;
    }
    trawl_status status = tw_arc_submission_add(&m->submission, &a, err);
    if (status == TRAWL_OK) {
        status = copy_records(m, p, a.task_id, err);
    }
    tw_arc_attempts_release(&a);
    m->summary->tasks++;
    return status;
}

static trawl_status copy_all(struct merge *m, struct trawl_error *err)
{
    size_t ended = 0; /* parts in a row that had no more */
    for (size_t i = 0; ended < m->n; i = (i + 1) % m->n) {
        bool more = false;
        TW_TRY(copy_task(m, &m->parts[i], &more, err));
        if (more && ended > 0) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "%s has more tasks than the shards before it allow",
                           m->parts[i].output);
        }
        ended += more ? 0 : 1;
    }
    return TRAWL_OK;
}

static trawl_status merge(struct merge *m, const char *const *inputs, const char *output,
                          struct trawl_error *err)
{
    char *records = NULL;
    for (size_t i = 0; i < m->n; i++) {
        TW_TRY(name_files(&m->parts[i], inputs[i], err));
        TW_TRY(read_run(&m->parts[i], err));
    }
    qsort(m->parts, m->n, sizeof *m->parts, by_shard);
    TW_TRY(check_parts(m, err));
    for (size_t i = 0; i < m->n; i++) {
        TW_TRY(open_streams(&m->parts[i], err));
    }
    TW_TRY(tw_arc_results_path(output, RECORDS_ENDING, &records, err));
    trawl_status status = tw_arc_writer_open_list(&m->records, records, err);
    tw_free(records);
    TW_TRY(status);
    TW_TRY(tw_arc_writer_open_object(&m->submission, output, err));
    TW_TRY(copy_all(m, err));
    TW_TRY(tw_arc_writer_commit(&m->records, err));
    return tw_arc_writer_commit(&m->submission, err);
}

trawl_status tw_arc_merge(const char *const *inputs, size_t n, const char *output,
                          struct tw_arc_merge_summary *summary, struct trawl_error *err)
{
    struct merge m = {.n = n, .summary = summary};
    *summary       = (struct tw_arc_merge_summary){0};
    if (n == 0) {
        return tw_fail(err, TRAWL_ERR_INVALID, "no shards to merge");
    }
    TW_TRY(tw_alloc(n, sizeof *m.parts, &m.parts, err));
    trawl_status status = merge(&m, inputs, output, err);
    tw_arc_writer_close(&m.records);
    tw_arc_writer_close(&m.submission);
    for (size_t i = 0; i < n; i++) {
        struct part *p = &m.parts[i];
        if (p->tasks_open) {
            tw_arc_stream_close(&p->tasks);
        }
        if (p->results_open) {
            tw_arc_stream_close(&p->results);
        }
        if (p->has_record) {
            tw_arc_record_release(&p->record);
        }
        json_decref(p->run);
        tw_free(p->output);
        tw_free(p->records);
        tw_free(p->journal);
    }
    tw_free(m.parts);
    return status;
}
