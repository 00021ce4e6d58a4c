/* SPDX-License-Identifier: MIT */
/* How well a model predicts texts: windows of each file's tokens, every token scored once. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "cli/cmd.h"
#include "cli/model_engine.h"
#include "cli/terminal.h"
#include "json/json.h"

enum { TEXT_LIMIT = 1 << 30 }; /* bytes of an input file */

/* Tokens [begin, end) of a file; the predictions of [scored, end) count. Its number is the request's. */
struct window {
    size_t file, begin, scored, end;
    double nll; /* sum over what counts */
};

struct text {
    const char *path;
    int32_t *ids;
    size_t n;
    size_t n_scored;
    double nll;
};

struct perplexity {
    struct cli_job_ui ui; /* first: the job's user pointer serves on_tick too */
    struct text *texts;
    size_t n_texts, context, stride;
    struct window *windows;
    size_t n_windows, capacity;
};

/* ---- input ---- */

static trawl_status read_text(trawl_tokenizer *tokenizer, size_t max_tokens, struct text *t,
                              struct trawl_error *err)
{
    char *data = NULL;
    size_t n   = 0;
    TW_TRY(tw_file_read(t->path, TEXT_LIMIT, &data, &n, err));
    trawl_status status =
        trawl_tokenizer_encode(tokenizer, data, n, TRAWL_ENCODE_ADD_SPECIAL_TOKENS, &t->ids, &t->n, err);
    tw_free(data);
    if (status != TRAWL_OK) {
        return tw_fail_prefix(err, status, "%s", t->path);
    }
    if (t->n > max_tokens) {
        t->n = max_tokens;
    }
    if (t->n < 2) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: %zu tokens, a prediction needs 2", t->path, t->n);
    }
    return TRAWL_OK;
}

static trawl_status read_texts(struct perplexity *p, const struct cli_args *args, const char *folder,
                               struct trawl_error *err)
{
    const char *const *paths   = NULL;
    trawl_tokenizer *tokenizer = NULL;
    size_t max_tokens          = (size_t)cli_get_int_or(args, "max_tokens", INT64_MAX);
    p->n_texts                 = cli_get_strings(args, "input", &paths);
    TW_TRY(tw_alloc(p->n_texts, sizeof *p->texts, &p->texts, err));
    TW_TRY(trawl_tokenizer_open(folder, &tokenizer, err));
    trawl_status status = TRAWL_OK;
    for (size_t i = 0; status == TRAWL_OK && i < p->n_texts; i++) {
        p->texts[i].path = paths[i];
        status           = read_text(tokenizer, max_tokens, &p->texts[i], err);
    }
    trawl_tokenizer_close(&tokenizer);
    return status;
}

/* Windows begin every `stride` tokens and reach as far as the context and the text do. A window scores what
 * no window before it has scored, but never its own first token, which has nothing before it. */
static trawl_status cut_windows(struct perplexity *p, size_t file, struct trawl_error *err)
{
    size_t n = p->texts[file].n, done = 0;
    for (size_t begin = 0; done < n; begin += p->stride) {
        struct window w = {.file = file, .begin = begin, .end = n};
        if (n - begin > p->context) {
            w.end = begin + p->context;
        }
        w.scored = done > begin ? done : begin + 1;
        done     = w.end;
        if (w.scored < w.end) {
            TW_TRY(tw_grow(&p->windows, &p->capacity, p->n_windows + 1, sizeof w, err));
            p->windows[p->n_windows++] = w;
        }
    }
    return TRAWL_OK;
}

/* ---- the engine ---- */

/* What comes before is the prompt, what is scored its completion: logits of those tokens only are computed. */
static trawl_status submit(const struct perplexity *p, size_t i, trawl_job *job, struct trawl_error *err)
{
    const struct window *w = &p->windows[i];
    const int32_t *ids     = p->texts[w->file].ids;
    size_t n               = w->end - w->scored;
    struct trawl_request r;
    trawl_request_init(&r);
    r.prompt             = ids + w->begin;
    r.n_prompt           = w->scored - w->begin;
    r.completions        = ids + w->scored;
    r.completion_lengths = &n;
    r.n_completions      = 1;
    return trawl_job_submit(job, &r, err);
}

static trawl_status run_job(struct perplexity *p, trawl_job *job, size_t ahead, struct trawl_error *err)
{
    size_t submitted = 0, taken = 0;
    for (;;) {
        for (; submitted < p->n_windows && submitted < taken + ahead; submitted++) {
            TW_TRY(submit(p, submitted, job, err));
        }
        if (submitted == p->n_windows) {
            trawl_job_end_input(job);
        }
        struct trawl_result result;
        bool more = false;
        TW_TRY(trawl_job_next(job, &result, &more, err));
        if (!more) {
            return TRAWL_OK;
        }
        struct window *w = &p->windows[taken++];
        struct text *t   = &p->texts[w->file];
        if (result.finish_reason == TRAWL_FINISH_ERROR) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "%s: tokens %zu to %zu: %s", t->path, w->begin, w->end,
                           result.error);
        }
        w->nll = -result.cumulative_logprob;
        t->nll += w->nll;
        t->n_scored += w->end - w->scored;
    }
}

/* ---- output ---- */

static void put_mean(struct tw_json_writer *w, double nll, size_t n)
{
    tw_json_key(w, "scored_tokens");
    tw_json_int(w, (int64_t)n);
    tw_json_key(w, "mean_nll");
    tw_json_double(w, nll / (double)n);
    tw_json_key(w, "perplexity");
    tw_json_double(w, exp(nll / (double)n));
}

static void put_text(struct tw_json_writer *w, const struct perplexity *p, size_t file)
{
    const struct text *t = &p->texts[file];
    tw_json_begin_object(w);
    tw_json_key(w, "input");
    tw_json_string(w, t->path);
    tw_json_key(w, "tokens");
    tw_json_int(w, (int64_t)t->n);
    put_mean(w, t->nll, t->n_scored);
    tw_json_key(w, "windows");
    tw_json_begin_array(w);
    for (size_t i = 0; i < p->n_windows; i++) {
        const struct window *v = &p->windows[i];
        if (v->file == file) {
            tw_json_begin_object(w);
            tw_json_key(w, "begin");
            tw_json_int(w, (int64_t)v->begin);
            tw_json_key(w, "end");
            tw_json_int(w, (int64_t)v->end);
            tw_json_key(w, "scored_tokens");
            tw_json_int(w, (int64_t)(v->end - v->scored));
            tw_json_key(w, "mean_nll");
            tw_json_double(w, v->nll / (double)(v->end - v->scored));
            tw_json_end_object(w);
        }
    }
    tw_json_end_array(w);
    tw_json_end_object(w);
}

static trawl_status put_json(const struct perplexity *p, double nll, size_t n, struct tw_str *out,
                             struct trawl_error *err)
{
    struct tw_json_writer w;
    tw_json_writer_init(&w, out, 2);
    tw_json_begin_object(&w);
    put_mean(&w, nll, n);
    tw_json_key(&w, "context_size");
    tw_json_int(&w, (int64_t)p->context);
    tw_json_key(&w, "stride");
    tw_json_int(&w, (int64_t)p->stride);
    tw_json_key(&w, "inputs");
    tw_json_begin_array(&w);
    for (size_t i = 0; i < p->n_texts; i++) {
        put_text(&w, p, i);
    }
    tw_json_end_array(&w);
    tw_json_end_object(&w);
    TW_TRY(tw_json_writer_finish(&w, err));
    return tw_str_putc(out, '\n', err);
}

static trawl_status put_lines(const struct perplexity *p, double nll, size_t n, struct tw_str *out,
                              struct trawl_error *err)
{
    for (size_t i = 0; p->n_texts > 1 && i < p->n_texts; i++) {
        const struct text *t = &p->texts[i];
        double mean          = t->nll / (double)t->n_scored;
        TW_TRY(tw_str_printf(out, err, "%s: perplexity %.4f, mean NLL %.6f nats, %zu tokens\n", t->path,
                             exp(mean), mean, t->n_scored));
    }
    return tw_str_printf(out, err,
                         "perplexity %.4f, mean NLL %.6f nats, %zu tokens, %zu windows of %zu every %zu\n",
                         exp(nll / (double)n), nll / (double)n, n, p->n_windows, p->context, p->stride);
}

static trawl_status report(const struct perplexity *p, bool json, struct trawl_error *err)
{
    struct tw_str out;
    double nll = 0;
    size_t n   = 0;
    for (size_t i = 0; i < p->n_texts; i++) {
        nll += p->texts[i].nll;
        n += p->texts[i].n_scored;
    }
    tw_str_init(&out, 0);
    trawl_status status = json ? put_json(p, nll, n, &out, err) : put_lines(p, nll, n, &out, err);
    if (status == TRAWL_OK) {
        status = cli_write(out.data, out.size, err);
    }
    tw_str_release(&out);
    return status;
}

/* ---- the command ---- */

static trawl_status check_sizes(struct perplexity *p, const struct cli_args *args, struct trawl_error *err)
{
    p->context = (size_t)cli_get_int(args, "context_size");
    p->stride  = (size_t)cli_get_int_or(args, "stride", (int64_t)p->context);
    if (p->stride > p->context) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "--stride is %zu, --context_size %zu: tokens between two windows would not be scored",
                       p->stride, p->context);
    }
    return TRAWL_OK;
}

static trawl_status open_engine(const struct perplexity *p, const struct trawl_engine_config *c,
                                trawl_engine **engine, struct trawl_error *err)
{
    struct trawl_model_info info;
    TW_TRY(trawl_engine_open(c, engine, err));
    trawl_engine_info(*engine, &info);
    if (p->context > info.context) {
        return tw_fail(err, TRAWL_ERR_INVALID, "--context_size is %zu, %s %zu", p->context,
                       c->max_model_len == 0 ? "the model's context" : "--max_model_len", info.context);
    }
    return TRAWL_OK;
}

static trawl_status run(struct perplexity *p, const struct cli_args *args, trawl_engine **engine,
                        trawl_job **job, struct trawl_error *err)
{
    struct trawl_engine_config c;
    char *folder = NULL;
    TW_TRY(check_sizes(p, args, err));
    TW_TRY(cli_engine_config(args, &c, &folder, err));
    trawl_status status = read_texts(p, args, folder, err);
    for (size_t i = 0; status == TRAWL_OK && i < p->n_texts; i++) {
        status = cut_windows(p, i, err);
    }
    if (status == TRAWL_OK) {
        status = open_engine(p, &c, engine, err);
    }
    tw_free(folder);
    TW_TRY(status);

    struct trawl_job_config jc;
    trawl_job_config_init(&jc);
    jc.user    = p;
    jc.on_tick = cli_job_tick;
    cli_progress_start(&p->ui.progress, "perplexity", "windows", p->n_windows, cli_get_flag(args, "quiet"));
    TW_TRY(trawl_job_open(*engine, &jc, job, err));
    TW_TRY(run_job(p, *job, 2 * c.batch_size * (size_t)c.mesh_data, err));
    cli_progress_finish(&p->ui.progress);
    return report(p, cli_get_flag(args, "json"), err);
}

int cmd_perplexity(const struct cli_args *args, struct trawl_error *err)
{
    struct perplexity p  = {0};
    trawl_engine *engine = NULL;
    trawl_job *job       = NULL;
    trawl_status status  = run(&p, args, &engine, &job, err);
    cli_job_end(&p.ui, &job, &engine);
    for (size_t i = 0; p.texts != NULL && i < p.n_texts; i++) {
        trawl_free(p.texts[i].ids);
    }
    tw_free(p.texts);
    tw_free(p.windows);
    return cli_exit_code(status);
}
