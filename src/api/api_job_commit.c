/* SPDX-License-Identifier: MIT */
/* What a job writes: one journal record per request, its rows to the store, both in request order, and a
 * commit per group of `commit_every` requests: first the store, then the journal, so that the journal never
 * claims what the store lacks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_job.h"
#include "base/alloc.h"
#include "base/hash.h"

/* ---- reading back ---- */

static trawl_status read_record(void *user, uint64_t group, const char *text, size_t n,
                                struct trawl_error *err)
{
    trawl_job *job = user;
    json_t *j      = NULL;
    (void)group;
    TW_TRY(tw_json_parse(text, n, "journal record", &j, err));
    trawl_status status =
        tw_grow(&job->committed, &job->committed_capacity, job->n_journal + 1, sizeof *job->committed, err);
    if (status == TRAWL_OK) {
        job->committed[job->n_journal] = (struct tw_job_outcome){0};
        uint64_t least = job->n_journal == 0 ? 0 : job->committed[job->n_journal - 1].number + 1;
        status         = tw_job_outcome_read(j, least, &job->committed[job->n_journal], err);
        job->n_journal++;
    }
    json_decref(j);
    return status;
}

/* ---- opening ---- */

struct settings {
    struct tw_setting *list;
    size_t n;
    char seed[24], commit[24], leaves[16], fingerprint[17], identity[17];
    struct trawl_setting rows[3];
};

static void add_setting(struct settings *s, const char *key, const char *value)
{
    s->list[s->n++] = (struct tw_setting){key, value};
}

/* What the bytes on disk depend on: the caller's settings and those of engine and job. The mesh, threads and
 * batch are not among them. */
static trawl_status collect_settings(const trawl_job *job, const struct trawl_job_config *config,
                                     struct settings *s, struct trawl_error *err)
{
    const struct tw_engine_config *e = tw_engine_settings(job->engine->engine);
    TW_TRY(tw_alloc(config->n_settings + 9, sizeof *s->list, &s->list, err));
    for (size_t i = 0; i < config->n_settings; i++) {
        add_setting(s, config->settings[i].key, config->settings[i].value);
    }
    (void)snprintf(s->seed, sizeof s->seed, "%llu", (unsigned long long)config->random_seed);
    (void)snprintf(s->commit, sizeof s->commit, "%zu", job->config.commit_every);
    (void)snprintf(s->leaves, sizeof s->leaves, "%d", e->tree_leaves);
    tw_hash_hex(tw_engine_model(job->engine->engine)->fingerprint, s->fingerprint);
    tw_hash_hex(tw_engine_model(job->engine->engine)->identity, s->identity);
    add_setting(s, "model", s->identity);
    add_setting(s, "dtype", e->compute == TW_DTYPE_F32 ? "float32" : "bfloat16");
    add_setting(s, "kv_dtype", e->kv_dtype == TW_DTYPE_F32 ? "float32" : "bfloat16");
    add_setting(s, "tree_leaves", s->leaves);
    add_setting(s, "random_seed", s->seed);
    add_setting(s, "commit_every", s->commit);
    size_t n = tw_job_rows_settings(job, s->rows);
    for (size_t i = 0; i < n; i++) {
        add_setting(s, s->rows[i].key, s->rows[i].value);
    }
    return TRAWL_OK;
}

static trawl_status open_store(trawl_job *job, const struct trawl_job_config *config,
                               const struct settings *s, struct trawl_error *err)
{
    const struct tw_engine_config *e = tw_engine_settings(job->engine->engine);
    const struct tw_model *model     = tw_engine_model(job->engine->engine);
    struct tw_store_site *sites      = NULL;
    bool pkl                         = config->capture.format == TRAWL_FORMAT_PKL;
    TW_TRY(tw_alloc(job->n_sites, sizeof *sites, &sites, err));
    for (size_t i = 0; i < job->n_sites; i++) {
        bool resid = job->sites[i].kind == TW_SITE_RESID_POST;
        sites[i]   = (struct tw_store_site){.name  = job->site_names[i],
                                            .layer = resid ? (int)job->sites[i].layer : -1,
                                            .width = job->site_widths[i]};
    }
    struct tw_store_config c = {
        .dir         = config->capture.dir,
        .format      = pkl ? TW_STORE_PKL : TW_STORE_SAFETENSORS,
        .dtype       = pkl ? TW_DTYPE_F32 : tw_api_dtype(config->capture.dtype),
        .sites       = sites,
        .n_sites     = job->n_sites,
        .columns     = job->rows.measured ? TW_STORE_LOGPROB | TW_STORE_ENTROPY : 0,
        .settings    = s->list,
        .n_settings  = s->n,
        .resume      = config->resume,
        .keep_groups = job->journal == NULL ? TW_STORE_KEEP_ALL : tw_journal_groups(job->journal),
        .model_path  = model->folder,
        .model_hash  = s->fingerprint,
        .batch_size  = e->batch_size,
        .hidden_size = model->config.hidden,
        .tree_leaves = (uint64_t)e->tree_leaves,
    };
    trawl_status status = tw_store_open(&c, &job->store, err);
    tw_free(sites);
    return status;
}

trawl_status tw_job_open_files(trawl_job *job, const struct trawl_job_config *config, struct trawl_error *err)
{
    struct settings s = {0};
    if (config->capture.dir != NULL && config->journal_path == NULL) {
        return tw_fail(err, TRAWL_ERR_INVALID, "a job that stores activations needs a journal_path");
    }
    if (config->journal_path == NULL) {
        return TRAWL_OK;
    }
    trawl_status status = collect_settings(job, config, &s, err);
    if (status == TRAWL_OK) {
        struct tw_journal_config c = {.path       = config->journal_path,
                                      .kind       = "results",
                                      .settings   = s.list,
                                      .n_settings = s.n,
                                      .resume     = config->resume};
        status                     = tw_journal_open(&c, &job->journal, err);
    }
    if (status == TRAWL_OK) {
        status = tw_journal_each(job->journal, read_record, job, err);
    }
    if (status == TRAWL_OK && config->capture.dir != NULL) {
        status = open_store(job, config, &s, err);
    }
    tw_free(s.list);
    return status;
}

/* ---- writing ---- */

static trawl_status add_record(trawl_job *job, const struct tw_job_request *q, struct trawl_error *err)
{
    struct tw_json_writer w;
    tw_str_reset(&job->line);
    tw_json_writer_init(&w, &job->line, 0);
    tw_job_outcome_write(&w, q->number, &q->outcome,
                         q->engine.kind != TW_REQUEST_SAMPLE || q->n_returned > 0);
    TW_TRY(tw_json_writer_finish(&w, err));
    return tw_journal_add(job->journal, tw_str_text(&job->line), job->line.size, err);
}

static trawl_status commit(trawl_job *job, struct trawl_error *err)
{
    uint64_t end = job->recorded_end;
    if (job->store != NULL) {
        TW_TRY(tw_job_rows_flush(job, err));
        TW_TRY(tw_store_commit(job->store, job->group_first, end, err));
    }
    TW_TRY(tw_journal_commit(job->journal, job->group_first, end, err));
    job->group_first = end;
    atomic_fetch_add(&job->n_committed, job->n_recorded);
    job->n_recorded = 0;
    return TRAWL_OK;
}

trawl_status tw_job_record(trawl_job *job, struct tw_job_request *q, struct trawl_error *err)
{
    if (job->journal == NULL) {
        return TRAWL_OK;
    }
    if (job->store != NULL) {
        TW_TRY(tw_job_rows_store(job, q, err));
    }
    TW_TRY(add_record(job, q, err));
    job->recorded_end = q->number + 1;
    job->n_recorded++;
    return (q->engine.id + 1) % job->config.commit_every == 0 ? commit(job, err) : TRAWL_OK;
}

trawl_status tw_job_finish_files(trawl_job *job, struct trawl_error *err)
{
    if (job->journal == NULL) {
        return TRAWL_OK;
    }
    if (job->n_delivered < job->n_journal) {
        return tw_fail(err, TRAWL_ERR_EXISTS, "the journal has %zu requests, the job only %zu",
                       job->n_journal, job->n_delivered);
    }
    if (job->n_recorded > 0) {
        TW_TRY(commit(job, err));
    }
    return job->store == NULL ? TRAWL_OK : tw_store_finish(job->store, err);
}

void tw_job_close_files(trawl_job *job)
{
    tw_store_close(job->store);
    tw_journal_close(job->journal);
    for (size_t i = 0; i < job->n_journal; i++) {
        tw_job_outcome_release(&job->committed[i]);
    }
    tw_free(job->committed);
}
