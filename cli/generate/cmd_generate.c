/* SPDX-License-Identifier: MIT */
/* Answer one prompt as it comes, or a file of rows in batches. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "cli/cmd.h"
#include "cli/generate/generate_rows.h"
#include "cli/interrupt.h"
#include "cli/lines.h"
#include "cli/model_engine.h"
#include "cli/model_folder.h"
#include "cli/terminal.h"
#include "text/text_answer.h"

/* One sample of a row: what the engine's threads need to know while it is generated. */
struct sample {
    const struct cli_row *row;
    struct tw_answer_text text; /* rows with stop texts, and --prompt */
};

struct generate {
    struct cli_job_ui ui; /* first: the job's user pointer serves on_tick too */
    struct cli_row_text text;
    struct cli_row_defaults defaults;
    struct cli_row *rows;
    size_t n_rows, rows_capacity;
    struct sample *samples;
    size_t n_samples, n_unread, n_failed; /* requests made of the rows; rows that make none; of both */
    const char *source;                   /* of the rows, for messages */
    bool stream;                          /* print tokens of the only sample as they come */
    uint64_t first_token_ns, last_token_ns;
    struct tw_atomic_file file;
    bool to_file;
};

/* ---- input ---- */

static trawl_status add_line(struct generate *g, const struct cli_lines *lines, const char *line, size_t n,
                             struct trawl_error *err)
{
    TW_TRY(tw_grow(&g->rows, &g->rows_capacity, g->n_rows + 1, sizeof *g->rows, err));
    struct cli_row *row = &g->rows[g->n_rows++];
    TW_TRY(cli_row_parse(row, line, n, &g->defaults, &g->text, err));
    row->line = lines->number;
    if (row->error.status != TRAWL_OK) {
        (void)fprintf(stderr, "trawl generate: %s line %" PRIu64 ": %s\n", lines->name, lines->number,
                      row->error.message);
    }
    return TRAWL_OK;
}

static trawl_status read_rows(struct generate *g, const char *path, struct trawl_error *err)
{
    struct cli_lines lines;
    const char *line    = NULL;
    size_t n            = 0;
    trawl_status status = cli_lines_open(&lines, path, err);
    while (status == TRAWL_OK && (status = cli_lines_next(&lines, &line, &n, err)) == TRAWL_OK &&
           line != NULL) {
        if (n > 0 && !(n == strspn(line, " \t"))) {
            status = add_line(g, &lines, line, n, err);
        }
        if (cli_interrupted()) {
            status = tw_fail(err, TRAWL_ERR_CANCELLED, "interrupted while reading %s", lines.name);
        }
    }
    g->source = lines.name;
    cli_lines_close(&lines);
    return status;
}

/* --prompt is a row like any other. */
static trawl_status make_row(struct generate *g, const char *prompt, bool raw, struct trawl_error *err)
{
    TW_TRY(tw_grow(&g->rows, &g->rows_capacity, 1, sizeof *g->rows, err));
    struct cli_row *row = &g->rows[0];
    *row      = (struct cli_row){.request = g->defaults.request, .n_samples = (size_t)g->defaults.n};
    g->n_rows = 1;
    TW_TRY(cli_row_encode(&g->text, prompt, strlen(prompt), raw, err));
    TW_TRY(tw_alloc(g->text.ids.size, sizeof *row->prompt, &row->prompt, err));
    memcpy(row->prompt, g->text.ids.data, g->text.ids.size * sizeof *row->prompt);
    row->request.prompt           = row->prompt;
    row->request.n_prompt         = g->text.ids.size;
    row->request.stop_token_ids   = g->defaults.stop_ids;
    row->request.n_stop_token_ids = g->defaults.n_stop_ids;
    TW_TRY(tw_alloc(g->defaults.n_stop, sizeof *row->stop, &row->stop, err));
    for (; row->n_stop < g->defaults.n_stop; row->n_stop++) {
        TW_TRY(tw_strdup(g->defaults.stop[row->n_stop], &row->stop[row->n_stop], err));
    }
    return cli_row_search_settle(row, err);
}

static trawl_status make_samples(struct generate *g, struct trawl_error *err)
{
    for (size_t i = 0; i < g->n_rows; i++) {
        bool read = g->rows[i].error.status == TRAWL_OK;
        g->n_samples += read ? g->rows[i].n_samples : 0;
        g->n_unread += !read;
    }
    TW_TRY(tw_alloc(g->n_samples, sizeof *g->samples, &g->samples, err));
    struct sample *s = g->samples;
    for (size_t i = 0; i < g->n_rows; i++) {
        for (size_t j = 0; g->rows[i].error.status == TRAWL_OK && j < g->rows[i].n_samples; j++, s++) {
            s->row = &g->rows[i];
            tw_answer_text_init(&s->text, g->text.tokenizer, (const char *const *)s->row->stop,
                                s->row->n_stop);
        }
    }
    return TRAWL_OK;
}

/* ---- the job ---- */

static bool on_token(void *user, uint64_t request, int32_t token, float logprob)
{
    struct generate *g = user;
    struct sample *s   = &g->samples[request];
    (void)logprob;
    if (g->stream) {
        g->last_token_ns = tw_clock_ns();
        if (g->first_token_ns == 0) {
            g->first_token_ns = g->last_token_ns;
        }
    }
    if (s->row->n_stop == 0 && !g->stream) {
        return true;
    }
    size_t shown = s->text.shown;
    if (tw_answer_text_push(&s->text, token, NULL) != TRAWL_OK) {
        return false;
    }
    if (g->stream && s->text.shown > shown) {
        (void)fwrite(tw_str_text(&s->text.text) + shown, 1, s->text.shown - shown, stdout);
        (void)fflush(stdout);
    }
    return !s->text.stopped;
}

static trawl_status submit_all(struct generate *g, trawl_job *job, struct trawl_error *err)
{
    for (size_t i = 0; i < g->n_rows; i++) {
        const struct cli_row *row = &g->rows[i];
        for (size_t j = 0; row->error.status == TRAWL_OK && j < row->n_samples; j++) {
            struct trawl_request q = row->request;
            q.seed += j; /* samples of a row with a seed differ by their number */
            TW_TRY(trawl_job_submit(job, &q, err));
        }
    }
    trawl_job_end_input(job);
    return TRAWL_OK;
}

static trawl_status open_job(struct generate *g, const struct cli_args *args, trawl_engine *engine,
                             trawl_job **job, struct trawl_error *err)
{
    struct trawl_job_config c;
    trawl_job_config_init(&c);
    c.random_seed = (uint64_t)cli_get_int(args, "seed");
    c.user        = g;
    c.on_tick     = cli_job_tick;
    c.on_token    = on_token;
    c.timeout     = cli_given(args, "timeout") ? cli_get_float(args, "timeout") : 0;
    return trawl_job_open(engine, &c, job, err);
}

/* ---- output of rows ---- */

static trawl_status write_out(struct generate *g, const struct tw_str *line, struct trawl_error *err)
{
    return g->to_file ? tw_atomic_file_write(&g->file, line->data, line->size, err)
                      : cli_write(line->data, line->size, err);
}

static trawl_status next_answer(struct generate *g, trawl_job *job, const struct cli_row *row,
                                struct trawl_result *r, struct trawl_error *err)
{
    bool more = false;
    TW_TRY(trawl_job_next(job, r, &more, err));
    TW_BUG_ON(!more);
    if (r->finish_reason != TRAWL_FINISH_ERROR) {
        return TRAWL_OK;
    }
    g->n_failed++;
    if (row->line == 0) {
        cli_progress_say(&g->ui.progress, "trawl generate: %s", r->error);
    } else {
        cli_progress_say(&g->ui.progress, "trawl generate: %s line %" PRIu64 ": %s", g->source, row->line,
                         r->error);
    }
    return TRAWL_OK;
}

static trawl_status put_answers(struct generate *g, trawl_job *job, const struct cli_row *row,
                                struct tw_json_writer *w, struct trawl_error *err)
{
    struct trawl_result r;
    if (cli_row_searches(row)) {
        TW_TRY(next_answer(g, job, row, &r, err));
        return cli_row_write_search(w, row, &r, &g->text, err);
    }
    if (row->n_samples > 1) {
        tw_json_key(w, "samples");
        tw_json_begin_array(w);
    }
    for (size_t j = 0; j < row->n_samples; j++) {
        TW_TRY(next_answer(g, job, row, &r, err));
        if (row->n_samples > 1) {
            tw_json_begin_object(w);
        }
        TW_TRY(cli_row_write_answer(w, row, &r, &g->text, err));
        if (row->n_samples > 1) {
            tw_json_end_object(w);
        }
    }
    if (row->n_samples > 1) {
        tw_json_end_array(w);
    }
    return TRAWL_OK;
}

static trawl_status write_row(struct generate *g, trawl_job *job, const struct cli_row *row,
                              struct tw_str *line, struct trawl_error *err)
{
    struct tw_json_writer w;
    tw_str_reset(line);
    tw_json_writer_init(&w, line, 0);
    tw_json_begin_object(&w);
    if (row->id != NULL) {
        tw_json_key(&w, "id");
        tw_json_value(&w, row->id);
    }
    if (row->error.status == TRAWL_OK) {
        trawl_status status = put_answers(g, job, row, &w, err);
        if (status != TRAWL_OK) {
            return w.status != TRAWL_OK ? tw_json_writer_finish(&w, err) : status;
        }
    } else {
        g->n_failed++;
        tw_json_key(&w, "finish_reason");
        tw_json_string(&w, "error");
        tw_json_key(&w, "error");
        tw_json_string(&w, row->error.message);
    }
    tw_json_end_object(&w);
    TW_TRY(tw_json_writer_finish(&w, err));
    TW_TRY(tw_str_putc(line, '\n', err));
    return write_out(g, line, err);
}

static trawl_status run_rows(struct generate *g, trawl_job *job, struct trawl_error *err)
{
    struct tw_str line;
    tw_str_init(&line, 0);
    trawl_status status = submit_all(g, job, err);
    for (size_t i = 0; status == TRAWL_OK && i < g->n_rows; i++) {
        status = write_row(g, job, &g->rows[i], &line, err);
    }
    tw_str_release(&line);
    return status;
}

static trawl_status run_file(struct generate *g, const struct cli_args *args, trawl_job *job,
                             struct trawl_error *err)
{
    if (!cli_given(args, "output_filepath")) {
        return run_rows(g, job, err);
    }
    const char *path = cli_get_string(args, "output_filepath");
    g->to_file       = true;
    TW_TRY(tw_make_parent_dirs(path, err));
    TW_TRY(tw_atomic_file_open(&g->file, path, err));
    trawl_status status = run_rows(g, job, err);
    if (status == TRAWL_OK) {
        status = tw_atomic_file_commit(&g->file, err);
    }
    if (status != TRAWL_OK) {
        tw_atomic_file_abandon(&g->file);
    }
    return status;
}

/* ---- one prompt ---- */

static double seconds(uint64_t from, uint64_t to)
{
    return (double)(to - from) * 1e-9;
}

static void print_statistics(const struct generate *g, const trawl_engine *engine,
                             const struct trawl_result *r, uint64_t opened, uint64_t loaded, uint64_t started)
{
    struct trawl_model_info info;
    trawl_engine_info(engine, &info);
    double prefill = seconds(started, g->first_token_ns),
           decode  = seconds(g->first_token_ns, g->last_token_ns);
    (void)fprintf(stderr, "\nmodel   %s, %.3g parameters, mesh %dx%d, %d thread%s per device, %s\n",
                  info.architecture, (double)info.parameters, info.mesh_data, info.mesh_model, info.threads,
                  info.threads == 1 ? "" : "s", info.isa);
    (void)fprintf(stderr, "memory  %.0f MiB weights, %.0f MiB resident at most\n",
                  (double)info.weight_bytes / 1048576, (double)cli_peak_resident_bytes() / 1048576);
    (void)fprintf(stderr, "timing  load %.2f s, prompt %zu tokens in %.2f s (%.1f tokens/s), ",
                  seconds(opened, loaded), r->n_prompt, prefill, (double)r->n_prompt / prefill);
    if (r->n_tokens > 1 && decode > 0) {
        (void)fprintf(stderr, "answer %zu tokens in %.2f s (%.1f tokens/s)\n", r->n_tokens, decode,
                      (double)(r->n_tokens - 1) / decode);
    } else {
        (void)fprintf(stderr, "answer %zu token%s\n", r->n_tokens, r->n_tokens == 1 ? "" : "s");
    }
}

/* Beams one after another, with a blank line between. */
static trawl_status print_outputs(struct generate *g, const struct trawl_result *r, struct trawl_error *err)
{
    struct tw_str *text = &g->text.text;
    for (size_t i = 0; i < r->n_outputs; i++) {
        tw_str_reset(text);
        TW_TRY(tw_decode(g->text.tokenizer, r->outputs[i].tokens, r->outputs[i].n_tokens, true, text, err));
        TW_TRY(
            cli_write(tw_str_text(text), cli_row_find_stop(&g->rows[0], tw_str_text(text), text->size), err));
        if (i + 1 < r->n_outputs) {
            TW_TRY(cli_write("\n\n", 2, err));
        }
    }
    return TRAWL_OK;
}

/* What was held back while it could have become a stop text, or a character. */
static trawl_status print_rest(struct sample *s, struct trawl_error *err)
{
    size_t shown = s->text.shown;
    TW_TRY(tw_answer_text_end(&s->text, err));
    return cli_write(tw_str_text(&s->text.text) + shown, s->text.shown - shown, err);
}

static trawl_status run_prompt(struct generate *g, const struct cli_args *args, trawl_engine *engine,
                               trawl_job *job, uint64_t opened, uint64_t loaded, struct trawl_error *err)
{
    struct trawl_result r = {0};
    uint64_t started      = tw_clock_ns();
    g->stream             = g->n_samples == 1 && !cli_row_searches(&g->rows[0]);
    bool realtime         = g->stream && !cli_get_flag(args, "no_realtime");
    if (!realtime) {
        g->stream = false;
    }
    TW_TRY(submit_all(g, job, err));
    for (size_t i = 0; i < g->n_samples; i++) {
        TW_TRY(next_answer(g, job, &g->rows[0], &r, err));
        if (r.finish_reason == TRAWL_FINISH_ERROR) {
            return TRAWL_OK;
        }
        TW_TRY(realtime ? print_rest(&g->samples[i], err) : print_outputs(g, &r, err));
        TW_TRY(cli_write("\n", 1, err));
        if (i + 1 < g->n_samples) {
            TW_TRY(cli_write("\n", 1, err));
        }
    }
    TW_TRY(cli_flush(err));
    if (g->first_token_ns != 0) {
        print_statistics(g, engine, &r, opened, loaded, started);
    }
    return TRAWL_OK;
}

/* ---- the command ---- */

/* Refuse what would do nothing. */
static trawl_status check_options(const struct cli_args *args, bool file, struct trawl_error *err)
{
    static const char *const of_prompt[] = {"raw_prompt", "no_realtime"};
    static const char *const of_file[]   = {"output_filepath", "logprobs"};
    if (file && cli_given(args, "prompt")) {
        return tw_fail(err, TRAWL_ERR_INVALID, "--prompt and --prompts_file exclude each other");
    }
    for (size_t i = 0; i < 2; i++) {
        const char *name = file ? of_prompt[i] : of_file[i];
        if (cli_given(args, name)) {
            return tw_fail(err, TRAWL_ERR_INVALID, "--%s goes with %s, not with %s", name,
                           file ? "--prompt" : "--prompts_file", file ? "--prompts_file" : "--prompt");
        }
    }
    return TRAWL_OK;
}

static trawl_status run(struct generate *g, const struct cli_args *args, trawl_engine **engine,
                        trawl_job **job, struct trawl_error *err)
{
    bool file       = cli_given(args, "prompts_file");
    char *folder    = NULL;
    uint64_t opened = tw_clock_ns();
    TW_TRY(check_options(args, file, err));
    TW_TRY(cli_model_folder_checked(cli_get_string(args, "model_path"), &folder, err));
    trawl_status status = cli_row_text_open(&g->text, folder, err);
    tw_free(folder);
    TW_TRY(status);
    TW_TRY(cli_row_defaults_read(&g->defaults, args, &g->text, err));
    if (file) {
        TW_TRY(read_rows(g, cli_get_string(args, "prompts_file"), err));
    } else {
        TW_TRY(make_row(g, cli_get_string(args, "prompt"), cli_get_flag(args, "raw_prompt"), err));
    }
    TW_TRY(make_samples(g, err));
    TW_TRY(cli_engine_open(args, engine, err));
    uint64_t loaded = tw_clock_ns();
    cli_progress_start(&g->ui.progress, "generate", "answers", g->n_samples,
                       cli_get_flag(args, "quiet") || !file);
    TW_TRY(open_job(g, args, *engine, job, err));
    return file ? run_file(g, args, *job, err) : run_prompt(g, args, *engine, *job, opened, loaded, err);
}

/* After the last answer: the job's end, and its counters. */
static trawl_status finish_job(trawl_job *job, struct trawl_error *err)
{
    struct trawl_job_stats stats;
    struct trawl_result unread;
    bool more = true;
    while (more) { /* samples of a prompt that failed were left */
        TW_TRY(trawl_job_next(job, &unread, &more, err));
    }
    trawl_job_stats(job, &stats);
    cli_print_kv_cache(&stats);
    cli_print_guesses(&stats);
    cli_print_timed_out(&stats);
    return TRAWL_OK;
}

int cmd_generate(const struct cli_args *args, struct trawl_error *err)
{
    struct generate g    = {0};
    trawl_engine *engine = NULL;
    trawl_job *job       = NULL;
    trawl_status status  = run(&g, args, &engine, &job, err);
    cli_progress_finish(&g.ui.progress);
    if (status == TRAWL_OK) {
        status = finish_job(job, err);
    }
    trawl_job_close(&job);
    trawl_engine_close(&engine);
    for (size_t i = 0; g.samples != NULL && i < g.n_samples; i++) {
        tw_answer_text_release(&g.samples[i].text);
    }
    for (size_t i = 0; i < g.n_rows; i++) {
        cli_row_release(&g.rows[i]);
    }
    tw_free(g.samples);
    tw_free(g.rows);
    cli_row_defaults_release(&g.defaults);
    cli_row_text_close(&g.text);
    if (status == TRAWL_OK && g.n_failed > 0) {
        (void)tw_fail(err, TRAWL_ERR_FORMAT, "%zu of %zu requests failed", g.n_failed,
                      g.n_samples + g.n_unread);
        return CLI_EXIT_INCOMPLETE;
    }
    return cli_exit_code(status);
}
