/* SPDX-License-Identifier: MIT */
/* Token ids in, tensors out: a safetensors file for comparing with other implementations. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "cli/cmd.h"
#include "cli/model_engine.h"
#include "formats/formats_safetensors.h"
#include "json/json.h"

/* What one sequence yields; filled on the engine's threads, written in order on ours. */
struct sequence {
    int32_t *tokens;
    size_t n;
    float **sites;   /* [n_sites] of [n, width] */
    float *logits;   /* [n, vocab] */
    float *logprobs; /* [n] */
};

struct trace {
    struct cli_job_ui ui; /* first: the job's user pointer serves on_tick too */
    struct sequence *sequences;
    size_t n_sequences;
    const char **sites; /* patterns, without "logits" */
    size_t n_patterns;
    bool want_logits;
    size_t n_sites, vocab;
    size_t *widths;
};

/* ---- input ---- */

static trawl_status read_sequence(const json_t *list, size_t index, const char *path, struct sequence *s,
                                  struct trawl_error *err)
{
    if (!json_is_array(list) || json_array_size(list) == 0) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: sequence %zu is %s, expected a list of token ids", path,
                       index, json_is_array(list) ? "empty" : tw_json_type_name(list));
    }
    s->n = json_array_size(list);
    TW_TRY(tw_alloc(s->n, sizeof *s->tokens, &s->tokens, err));
    for (size_t i = 0; i < s->n; i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_integer(v)) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "%s: sequence %zu, place %zu is %s, expected a token id",
                           path, index, i, tw_json_type_name(v));
        }
        if (json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "%s: sequence %zu, place %zu is %lld, expected a token id",
                           path, index, i, (long long)json_integer_value(v));
        }
        s->tokens[i] = (int32_t)json_integer_value(v);
    }
    return TRAWL_OK;
}

static trawl_status read_tokens(struct trace *t, const char *path, struct trawl_error *err)
{
    json_t *root = NULL;
    TW_TRY(tw_json_parse_file(path, 0, &root, err));
    trawl_status status = TRAWL_OK;
    if (!json_is_array(root) || json_array_size(root) == 0) {
        status = tw_fail(err, TRAWL_ERR_FORMAT, "%s: holds %s, expected a list of lists of token ids", path,
                         json_is_array(root) ? "an empty list" : tw_json_type_name(root));
    }
    if (status == TRAWL_OK) {
        status = tw_alloc(json_array_size(root), sizeof *t->sequences, &t->sequences, err);
    }
    for (size_t i = 0; status == TRAWL_OK && i < json_array_size(root); i++) {
        t->n_sequences = i + 1;
        status         = read_sequence(json_array_get(root, i), i, path, &t->sequences[i], err);
    }
    json_decref(root);
    return status;
}

static trawl_status read_sites(struct trace *t, const struct cli_args *args, struct trawl_error *err)
{
    const char *const *names = NULL;
    size_t n                 = cli_get_strings(args, "sites", &names);
    TW_TRY(tw_alloc(n, sizeof *t->sites, &t->sites, err));
    for (size_t i = 0; i < n; i++) {
        if (strcmp(names[i], "logits") == 0) {
            t->want_logits = true;
        } else {
            t->sites[t->n_patterns++] = names[i];
        }
    }
    return TRAWL_OK;
}

/* ---- the engine's rows ---- */

static trawl_status keep_rows(void *user, uint64_t request, size_t site, size_t position, const float *rows,
                              size_t n, size_t width, struct trawl_error *err)
{
    struct trace *t    = user;
    struct sequence *s = &t->sequences[request];
    if (s->sites == NULL) {
        TW_TRY(tw_alloc(t->n_sites, sizeof *s->sites, &s->sites, err));
    }
    if (s->sites[site] == NULL) {
        TW_TRY(tw_alloc(s->n * width, sizeof(float), &s->sites[site], err));
    }
    memcpy(s->sites[site] + position * width, rows, n * width * sizeof(float));
    return TRAWL_OK;
}

static trawl_status keep_logits(void *user, uint64_t request, size_t position, const float *logits,
                                const float *logprobs, size_t n, size_t vocab, struct trawl_error *err)
{
    struct trace *t    = user;
    struct sequence *s = &t->sequences[request];
    if (s->logits == NULL) {
        TW_TRY(tw_alloc(s->n * vocab, sizeof(float), &s->logits, err));
        TW_TRY(tw_alloc(s->n, sizeof(float), &s->logprobs, err));
    }
    memcpy(s->logits + position * vocab, logits, n * vocab * sizeof(float));
    memcpy(s->logprobs + position, logprobs, n * sizeof(float));
    return TRAWL_OK;
}

/* ---- output ---- */

static trawl_status declare(struct trace *t, trawl_job *job, struct tw_safetensors_writer *w,
                            struct trawl_error *err)
{
    char name[160];
    for (size_t i = 0; i < t->n_sequences; i++) {
        size_t n = t->sequences[i].n, shape[2] = {n, 0};
        (void)snprintf(name, sizeof name, "seq.%zu.tokens", i);
        TW_TRY(tw_safetensors_writer_declare(w, name, TW_DTYPE_I32, 1, shape, err));
        for (size_t j = 0; j < t->n_sites; j++) {
            (void)snprintf(name, sizeof name, "seq.%zu.%s", i, trawl_job_site_name(job, j, &shape[1]));
            TW_TRY(tw_safetensors_writer_declare(w, name, TW_DTYPE_F32, 2, shape, err));
        }
        if (t->want_logits) {
            shape[1] = t->vocab;
            (void)snprintf(name, sizeof name, "seq.%zu.logits", i);
            TW_TRY(tw_safetensors_writer_declare(w, name, TW_DTYPE_F32, 2, shape, err));
            shape[0] = n - 1;
            (void)snprintf(name, sizeof name, "seq.%zu.logprobs", i);
            TW_TRY(tw_safetensors_writer_declare(w, name, TW_DTYPE_F32, 1, shape, err));
        }
    }
    return tw_safetensors_writer_begin(w, err);
}

static void free_sequence(struct sequence *s, size_t n_sites)
{
    for (size_t j = 0; s->sites != NULL && j < n_sites; j++) {
        tw_free(s->sites[j]);
    }
    tw_free(s->tokens);
    tw_free(s->sites);
    tw_free(s->logits);
    tw_free(s->logprobs);
    *s = (struct sequence){0};
}

static trawl_status write_sequence(struct trace *t, struct sequence *s, struct tw_safetensors_writer *w,
                                   struct trawl_error *err)
{
    TW_TRY(tw_safetensors_writer_write(w, s->tokens, s->n * sizeof *s->tokens, err));
    for (size_t j = 0; j < t->n_sites; j++) {
        TW_TRY(tw_safetensors_writer_write(w, s->sites[j], s->n * t->widths[j] * sizeof(float), err));
    }
    if (t->want_logits) {
        TW_TRY(tw_safetensors_writer_write(w, s->logits, s->n * t->vocab * sizeof(float), err));
        TW_TRY(tw_safetensors_writer_write(w, s->logprobs, (s->n - 1) * sizeof(float), err));
    }
    free_sequence(s, t->n_sites); /* logits of long sequences are large: give them back at once */
    return TRAWL_OK;
}

/* Sequences are submitted a few ahead of the one that is written, which bounds the memory. */
static trawl_status run_job(struct trace *t, trawl_job *job, size_t ahead, struct tw_safetensors_writer *w,
                            struct trawl_error *err)
{
    size_t submitted = 0, written = 0;
    for (;;) {
        for (; submitted < t->n_sequences && submitted < written + ahead; submitted++) {
            struct trawl_request r;
            trawl_request_init(&r);
            r.prompt      = t->sequences[submitted].tokens;
            r.n_prompt    = t->sequences[submitted].n;
            r.max_tokens  = 0;
            r.want_logits = t->want_logits;
            TW_TRY(trawl_job_submit(job, &r, err));
        }
        if (submitted == t->n_sequences) {
            trawl_job_end_input(job);
        }
        struct trawl_result result;
        bool more = false;
        TW_TRY(trawl_job_next(job, &result, &more, err));
        if (!more) {
            return TRAWL_OK;
        }
        if (result.finish_reason == TRAWL_FINISH_ERROR) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "sequence %zu: %s", (size_t)result.request, result.error);
        }
        TW_TRY(write_sequence(t, &t->sequences[written++], w, err));
    }
}

static trawl_status write_file(struct trace *t, trawl_job *job, size_t ahead, const char *path,
                               struct trawl_error *err)
{
    struct tw_atomic_file file;
    struct tw_safetensors_writer *w = NULL;
    TW_TRY(tw_make_parent_dirs(path, err));
    TW_TRY(tw_atomic_file_open(&file, path, err));
    trawl_status status = tw_safetensors_writer_new(&w, tw_sink_file(&file), err);
    if (status == TRAWL_OK) {
        status = declare(t, job, w, err);
    }
    if (status == TRAWL_OK) {
        status = run_job(t, job, ahead, w, err);
    }
    if (status == TRAWL_OK) {
        status = tw_safetensors_writer_finish(w, err);
    }
    tw_safetensors_writer_free(w);
    if (status == TRAWL_OK) {
        status = tw_atomic_file_commit(&file, err);
    }
    if (status != TRAWL_OK) {
        tw_atomic_file_abandon(&file);
    }
    return status;
}

static trawl_status run(struct trace *t, const struct cli_args *args, trawl_engine **engine, trawl_job **job,
                        struct trawl_error *err)
{
    TW_TRY(read_tokens(t, cli_get_string(args, "tokens"), err));
    TW_TRY(read_sites(t, args, err));
    TW_TRY(cli_engine_open(args, engine, err));
    struct trawl_model_info info;
    trawl_engine_info(*engine, &info);
    t->vocab = info.vocab_size;

    struct trawl_job_config c;
    trawl_job_config_init(&c);
    c.capture.sites   = t->sites;
    c.capture.n_sites = t->n_patterns;
    c.user            = t;
    c.on_tick         = cli_job_tick;
    c.on_rows         = t->n_patterns > 0 ? keep_rows : NULL;
    c.on_logits       = keep_logits;
    cli_progress_start(&t->ui.progress, "trace", "sequences", t->n_sequences, cli_get_flag(args, "quiet"));
    TW_TRY(trawl_job_open(*engine, &c, job, err));
    t->n_sites = trawl_job_n_sites(*job);
    TW_TRY(tw_alloc(t->n_sites, sizeof *t->widths, &t->widths, err));
    for (size_t i = 0; i < t->n_sites; i++) {
        (void)trawl_job_site_name(*job, i, &t->widths[i]);
    }
    size_t ahead = 2 * (size_t)cli_get_int(args, "batch_size") * (size_t)info.mesh_data;
    return write_file(t, *job, ahead, cli_get_string(args, "out"), err);
}

int cmd_trace(const struct cli_args *args, struct trawl_error *err)
{
    struct trace t       = {0};
    trawl_engine *engine = NULL;
    trawl_job *job       = NULL;
    trawl_status status  = run(&t, args, &engine, &job, err);
    cli_job_end(&t.ui, &job, &engine);
    for (size_t i = 0; i < t.n_sequences; i++) {
        free_sequence(&t.sequences[i], t.n_sites);
    }
    tw_free(t.sequences);
    tw_free((void *)t.sites);
    tw_free(t.widths);
    return cli_exit_code(status);
}
