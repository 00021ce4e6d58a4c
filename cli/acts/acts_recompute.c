/* SPDX-License-Identifier: MIT */
#include "cli/acts/acts_recompute.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/philox.h"
#include "base/size.h"
#include "cli/model_engine.h"
#include "store/store_reader.h"

/* Rows of one request that follow each other in a chunk. */
struct run {
    uint64_t id;
    uint32_t position;
    size_t n;
};

/* A request whose rows begin at its first token and have no gap. */
struct candidate {
    size_t chunk;
    uint64_t id;
    size_t n;
};

/* One that is computed again. Its rows come one after another, those of different requests from different threads. */
struct pick {
    const struct candidate *what;
    int32_t *tokens;  /* [n] */
    uint8_t **stored; /* [n_sites] rows in the dtype of the store */
    size_t *compared; /* [n_sites] rows */
    bool differs;     /* first here: */
    size_t site, position, dimension;
};

struct recompute {
    struct cli_acts_recompute *c;
    struct tw_reader *r;
    struct tw_store_config config;
    struct run *runs; /* of the chunk under way */
    size_t n_runs, run_capacity;
    struct candidate *candidates;
    size_t n_candidates, candidate_capacity;
    struct pick *picks; /* [batch_size] of the job under way */
    size_t n_picks;
    struct tw_str *report;
    struct cli_job_ui ui;
};

/* ---- what can be computed again ---- */

static int compare_runs(const void *a, const void *b)
{
    const struct run *x = a, *y = b;
    if (x->id != y->id) {
        return x->id < y->id ? -1 : 1;
    }
    return x->position < y->position ? -1 : x->position > y->position;
}

static trawl_status end_chunk(struct recompute *p, size_t chunk, struct trawl_error *err)
{
    if (p->n_runs > 0) {
        qsort(p->runs, p->n_runs, sizeof *p->runs, compare_runs);
    }
    for (size_t i = 0; i < p->n_runs;) {
        struct candidate c = {.chunk = chunk, .id = p->runs[i].id};
        bool whole         = true;
        for (; i < p->n_runs && p->runs[i].id == c.id; i++) {
            whole = whole && p->runs[i].position == c.n;
            c.n += p->runs[i].n;
        }
        p->c->requests++;
        if (whole) {
            TW_TRY(tw_grow(&p->candidates, &p->candidate_capacity, p->n_candidates + 1, sizeof c, err));
            p->candidates[p->n_candidates++] = c;
        }
    }
    p->n_runs = 0;
    return TRAWL_OK;
}

static trawl_status add_runs(struct recompute *p, const struct tw_store_request *q, struct trawl_error *err)
{
    for (size_t i = 0; i < q->n_rows;) {
        struct run run = {.id = q->id, .position = (uint32_t)q->position[i]};
        for (; i < q->n_rows && (uint32_t)q->position[i] == run.position + run.n; i++) {
            run.n++;
        }
        TW_TRY(tw_grow(&p->runs, &p->run_capacity, p->n_runs + 1, sizeof run, err));
        p->runs[p->n_runs++] = run;
    }
    return TRAWL_OK;
}

static trawl_status find_candidates(struct recompute *p, struct trawl_error *err)
{
    size_t chunk = 0;
    for (bool more = true;;) {
        struct tw_store_request q;
        TW_TRY(tw_reader_next_run(p->r, &q, &more, err));
        if (!more || tw_reader_chunk(p->r) != chunk) {
            TW_TRY(end_chunk(p, chunk, err));
        }
        if (!more) {
            break;
        }
        chunk = tw_reader_chunk(p->r);
        TW_TRY(add_runs(p, &q, err));
    }
    p->c->candidates = p->n_candidates;
    return p->n_candidates > 0
               ? TRAWL_OK
               : tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                         "%s: no request has its rows from the first token on, so none can be computed again",
                         p->c->dir);
}

/* Keep `samples` of the candidates, each set of so many equally likely. */
static void choose(struct recompute *p)
{
    struct tw_philox_stream random;
    size_t kept = 0;
    tw_philox_stream_init(&random, p->c->seed, 0);
    for (size_t i = 0; i < p->n_candidates && kept < p->c->samples; i++) {
        double left = (double)(p->n_candidates - i);
        if (tw_philox_double(&random) * left < (double)(p->c->samples - kept)) {
            p->candidates[kept++] = p->candidates[i];
        }
    }
    p->n_candidates = kept;
}

/* ---- what is stored of it ---- */

static size_t row_bytes(const struct recompute *p, size_t site)
{
    return p->config.sites[site].width * tw_dtype_bytes(p->config.dtype);
}

static void release_picks(struct recompute *p)
{
    for (size_t i = 0; p->picks != NULL && i < p->n_picks; i++) {
        for (size_t s = 0; p->picks[i].stored != NULL && s < p->config.n_sites; s++) {
            tw_free(p->picks[i].stored[s]);
        }
        tw_free(p->picks[i].stored);
        tw_free(p->picks[i].compared);
        tw_free(p->picks[i].tokens);
    }
    p->n_picks = 0;
}

static void copy_run(const struct recompute *p, struct pick *pick, const struct tw_store_request *q)
{
    for (size_t i = 0; i < q->n_rows; i++) {
        size_t at = (uint32_t)q->position[i];
        if (at < pick->what->n) {
            pick->tokens[at] = q->token[i];
            for (size_t s = 0; s < p->config.n_sites; s++) {
                memcpy(pick->stored[s] + at * row_bytes(p, s), tw_reader_stored(p->r, s, i), row_bytes(p, s));
            }
        }
    }
}

static trawl_status take_pick(struct recompute *p, const struct candidate *what, struct trawl_error *err)
{
    struct pick *pick = &p->picks[p->n_picks++];
    *pick             = (struct pick){.what = what};
    TW_TRY(tw_alloc(what->n, sizeof *pick->tokens, &pick->tokens, err));
    TW_TRY(tw_alloc(p->config.n_sites, sizeof *pick->compared, &pick->compared, err));
    TW_TRY(tw_alloc(p->config.n_sites, sizeof *pick->stored, &pick->stored, err));
    for (size_t s = 0; s < p->config.n_sites; s++) {
        TW_TRY(tw_alloc(what->n, row_bytes(p, s), &pick->stored[s], err));
    }
    tw_reader_seek(p->r, what->chunk);
    for (bool more = true;;) {
        struct tw_store_request q;
        TW_TRY(tw_reader_next_run(p->r, &q, &more, err));
        if (!more || tw_reader_chunk(p->r) != what->chunk) {
            return TRAWL_OK;
        }
        if (q.id == what->id) {
            copy_run(p, pick, &q);
        }
    }
}

/* ---- what is computed ---- */

/* The payload of a NaN is not promised. */
static bool same_element(enum tw_dtype dtype, const uint8_t *stored, float computed)
{
    uint16_t half;
    float whole;
    if (dtype == TW_DTYPE_F32) {
        memcpy(&whole, stored, sizeof whole);
        return tw_f32_bits(whole) == tw_f32_bits(computed) || (whole != whole && computed != computed);
    }
    memcpy(&half, stored, sizeof half);
    if (dtype == TW_DTYPE_BF16) {
        whole = tw_bf16_to_f32(half);
        return half == tw_bf16_from_f32(computed) || (whole != whole && computed != computed);
    }
    whole = tw_f16_to_f32(half);
    return half == tw_f16_from_f32(computed) || (whole != whole && computed != computed);
}

static void compare_row(const struct recompute *p, struct pick *pick, size_t site, size_t position,
                        const float *row)
{
    size_t width = p->config.sites[site].width, bytes = tw_dtype_bytes(p->config.dtype);
    const uint8_t *stored = pick->stored[site] + position * row_bytes(p, site);
    for (size_t j = 0; !pick->differs && j < width; j++) {
        if (!same_element(p->config.dtype, stored + j * bytes, row[j])) {
            pick->differs   = true;
            pick->site      = site;
            pick->position  = position;
            pick->dimension = j;
        }
    }
}

static trawl_status on_rows(void *user, uint64_t request, size_t site, size_t position, const float *rows,
                            size_t n, size_t width, struct trawl_error *err)
{
    const struct recompute *p = user;
    struct pick *pick         = &p->picks[request];
    if (width != p->config.sites[site].width) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: rows of %s have %zu elements, the model's %zu", p->c->dir,
                       p->config.sites[site].name, p->config.sites[site].width, width);
    }
    for (size_t i = 0; i < n && position + i < pick->what->n; i++) {
        compare_row(p, pick, site, position + i, rows + i * width);
    }
    pick->compared[site] += n;
    return TRAWL_OK;
}

static trawl_status report_pick(struct recompute *p, const struct pick *pick, struct trawl_error *err)
{
    for (size_t s = 0; s < p->config.n_sites; s++) {
        TW_BUG_ON(pick->compared[s] != pick->what->n);
    }
    p->c->checked++;
    p->c->rows += pick->what->n;
    if (!pick->differs) {
        return TRAWL_OK;
    }
    p->c->problems++;
    return tw_str_printf(p->report, err,
                         "request %" PRIu64
                         ": %s at position %zu, dimension %zu, is not what the model gives\n",
                         pick->what->id, p->config.sites[pick->site].name, pick->position, pick->dimension);
}

static trawl_status take_results(struct recompute *p, trawl_job *job, struct trawl_error *err)
{
    for (;;) {
        struct trawl_result result;
        bool more = false;
        TW_TRY(trawl_job_next(job, &result, &more, err));
        if (!more) {
            return TRAWL_OK;
        }
        const struct pick *pick = &p->picks[result.request];
        if (result.error != NULL) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "request %" PRIu64 " cannot be computed again: %s",
                           pick->what->id, result.error);
        }
        TW_TRY(report_pick(p, pick, err));
    }
}

static trawl_status submit_all(const struct recompute *p, trawl_job *job, struct trawl_error *err)
{
    for (size_t i = 0; i < p->n_picks; i++) {
        struct trawl_request r;
        trawl_request_init(&r);
        r.prompt     = p->picks[i].tokens;
        r.n_prompt   = p->picks[i].what->n;
        r.max_tokens = 0;
        TW_TRY(trawl_job_submit(job, &r, err));
    }
    trawl_job_end_input(job);
    return TRAWL_OK;
}

static trawl_status run_job(struct recompute *p, trawl_engine *engine, const char *const *sites,
                            struct trawl_error *err)
{
    trawl_job *job = NULL;
    struct trawl_job_config c;
    trawl_job_config_init(&c);
    c.capture.sites   = sites;
    c.capture.n_sites = p->config.n_sites;
    c.user            = p;
    c.on_rows         = on_rows;
    TW_TRY(trawl_job_open(engine, &c, &job, err));
    trawl_status status = submit_all(p, job, err);
    if (status == TRAWL_OK) {
        status = take_results(p, job, err);
    }
    trawl_job_close(&job);
    return status;
}

static trawl_status run_all(struct recompute *p, trawl_engine *engine, struct trawl_error *err)
{
    const char **sites  = NULL;
    trawl_status status = tw_alloc(p->c->batch_size, sizeof *p->picks, &p->picks, err);
    if (status == TRAWL_OK) {
        status = tw_alloc(p->config.n_sites, sizeof *sites, &sites, err);
    }
    for (size_t i = 0; status == TRAWL_OK && i < p->config.n_sites; i++) {
        sites[i] = p->config.sites[i].name;
    }
    for (size_t at = 0; status == TRAWL_OK && at < p->n_candidates; at += p->c->batch_size) {
        size_t n = tw_min_size(p->c->batch_size, p->n_candidates - at);
        for (size_t i = 0; status == TRAWL_OK && i < n; i++) {
            status = take_pick(p, &p->candidates[at + i], err);
        }
        if (status == TRAWL_OK) {
            status = run_job(p, engine, sites, err);
        }
        release_picks(p);
        if (p->c->checked < p->n_candidates) { /* the end is its own line */
            cli_progress_update(&p->ui.progress, p->c->checked, p->c->rows);
        }
    }
    tw_free(sites);
    return status;
}

/* ---- the model ---- */

static const char *setting(const struct recompute *p, const char *key)
{
    const char *text = json_string_value(json_object_get(tw_reader_settings(p->r), key));
    return text == NULL ? "" : text;
}

static enum trawl_dtype dtype_of(const struct recompute *p, const char *key)
{
    return strcmp(setting(p, key), "float32") == 0 ? TRAWL_DTYPE_FLOAT32 : TRAWL_DTYPE_BFLOAT16;
}

static trawl_status open_engine(const struct recompute *p, trawl_engine **engine, struct trawl_error *err)
{
    struct trawl_engine_config c;
    struct trawl_model_info info;
    const char *hash = json_string_value(json_object_get(tw_reader_metadata(p->r), "model_hash"));
    trawl_engine_config_init(&c);
    c.model_path   = p->c->model_path;
    c.mesh_data    = p->c->mesh_data;
    c.mesh_model   = p->c->mesh_model;
    c.threads      = p->c->threads;
    c.batch_size   = p->c->batch_size;
    c.dtype        = dtype_of(p, "dtype");
    c.kv_dtype     = dtype_of(p, "kv_dtype");
    c.kv_dtype_set = true;
    c.tree_leaves  = (int)strtol(setting(p, "tree_leaves"), NULL, 10);
    c.isa          = getenv("TRAWL_ISA");
    TW_TRY(trawl_engine_open(&c, engine, err));
    trawl_engine_info(*engine, &info);
    if (hash != NULL && strcmp(hash, info.fingerprint) != 0) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s was made with the weights %s, %s has %s", p->c->dir, hash,
                       p->c->model_path, info.fingerprint);
    }
    return TRAWL_OK;
}

static trawl_status recompute(struct recompute *p, struct trawl_error *err)
{
    trawl_engine *engine = NULL;
    TW_TRY(tw_reader_open(&p->r, p->c->dir, err));
    tw_reader_config(p->r, &p->config);
    if (p->config.format == TW_STORE_PKL) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                       "%s: pickles do not hold the tokens of their rows, so these cannot be computed again",
                       p->c->dir);
    }
    TW_TRY(find_candidates(p, err));
    choose(p);
    cli_progress_start(&p->ui.progress, "acts verify", "requests", p->n_candidates, p->c->quiet);
    trawl_status status = open_engine(p, &engine, err);
    if (status == TRAWL_OK) {
        status = run_all(p, engine, err);
    }
    cli_progress_finish(&p->ui.progress);
    trawl_engine_close(&engine);
    return status;
}

trawl_status cli_acts_recompute(struct cli_acts_recompute *c, struct tw_str *report, struct trawl_error *err)
{
    struct recompute p  = {.c = c, .report = report};
    trawl_status status = recompute(&p, err);
    release_picks(&p);
    tw_reader_close(p.r);
    tw_free(p.runs);
    tw_free(p.candidates);
    tw_free(p.picks);
    return status;
}
