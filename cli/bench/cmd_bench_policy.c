/* SPDX-License-Identifier: MIT */
/* Does an entropy policy change how many questions are answered? And which entropies does a text have? */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "apps/gsm8k/gsm8k_answer.h"
#include "apps/gsm8k/gsm8k_dataset.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/size.h"
#include "cli/cmd.h"
#include "cli/generate/generate_rows.h"
#include "cli/model_engine.h"
#include "cli/terminal.h"
#include "json/json.h"

enum { TEXT_LIMIT = 1 << 30 }; /* bytes of a text */

struct policy_bench {
    struct cli_job_ui ui; /* first: the job's user pointer serves on_tick too */
    const struct cli_args *args;
    struct cli_row_text text;
    trawl_tokenizer *tokenizer;
    trawl_engine *engine;
    /* --questions */
    struct tw_gsm8k_dataset questions;
    struct trawl_entropy_policy policy;
    bool *right[2]; /* [questions.n] without and with the policy */
    uint64_t states[TRAWL_ENTROPY_STATES], inserted;
    /* --calibrate */
    int32_t *ids;
    double *h, *v; /* [n_measured] bits, bits^2 */
    size_t n_ids, n_measured;
};

static trawl_status open_job(struct policy_bench *b, trawl_job **job, struct trawl_error *err)
{
    struct trawl_job_config jc;
    trawl_job_config_init(&jc);
    jc.user        = b;
    jc.on_tick     = cli_job_tick;
    jc.random_seed = (uint64_t)cli_get_int_or(b->args, "seed", 0);
    return trawl_job_open(b->engine, &jc, job, err);
}

/* ---- questions ---- */

static trawl_status submit_question(struct policy_bench *b, size_t i, bool with, trawl_job *job,
                                    struct trawl_error *err)
{
    struct trawl_request r;
    struct tw_str prompt;
    tw_str_init(&prompt, 0);
    trawl_status status =
        tw_str_printf(&prompt, err, "%s\n%s", b->questions.list[i].text, cli_get_string(b->args, "suffix"));
    if (status == TRAWL_OK) {
        status = cli_row_encode(&b->text, tw_str_text(&prompt), prompt.size, false, err);
    }
    tw_str_release(&prompt);
    TW_TRY(status);
    trawl_request_init(&r);
    r.prompt         = b->text.ids.data;
    r.n_prompt       = b->text.ids.size;
    r.max_tokens     = (size_t)cli_get_int(b->args, "max_tokens");
    r.temperature    = cli_get_float(b->args, "temperature");
    r.top_k          = cli_get_int(b->args, "top_k");
    r.top_p          = cli_get_float(b->args, "top_p");
    r.min_p          = cli_get_float(b->args, "min_p");
    r.entropy_policy = with ? &b->policy : NULL;
    return trawl_job_submit(job, &r, err);
}

static trawl_status take_answer(struct policy_bench *b, size_t i, bool with, const struct trawl_result *r,
                                struct trawl_error *err)
{
    char number[TW_GSM8K_NUMBER_BYTES];
    char *text = NULL;
    size_t n   = 0;
    if (r->error != NULL) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "question %zu: %s", i + 1, r->error);
    }
    TW_TRY(trawl_tokenizer_decode(b->tokenizer, r->tokens, r->n_tokens, true, &text, &n, err));
    b->right[with][i] = tw_gsm8k_answer(text, n, number) && strcmp(number, b->questions.list[i].target) == 0;
    trawl_free(text);
    for (size_t k = 0; k < TRAWL_ENTROPY_STATES; k++) {
        b->states[k] += r->outputs[0].entropy_states[k];
    }
    b->inserted += r->outputs[0].n_inserted;
    return TRAWL_OK;
}

/* All questions, without or with the policy: the number of a question is that of its request, so both have the same
 * seeds. */
static trawl_status answer_in(struct policy_bench *b, bool with, trawl_job *job, struct trawl_error *err)
{
    struct trawl_result r;
    bool more = true;
    for (size_t i = 0; i < b->questions.n; i++) {
        TW_TRY(submit_question(b, i, with, job, err));
    }
    trawl_job_end_input(job);
    for (size_t i = 0; more; i++) {
        TW_TRY(trawl_job_next(job, &r, &more, err));
        if (more) {
            TW_TRY(take_answer(b, i, with, &r, err));
        }
    }
    return TRAWL_OK;
}

static trawl_status answer_all(struct policy_bench *b, struct trawl_error *err)
{
    for (int with = 0; with < 2; with++) {
        trawl_job *job = NULL;
        TW_TRY(tw_alloc(b->questions.n, sizeof *b->right[with], &b->right[with], err));
        TW_TRY(open_job(b, &job, err));
        cli_progress_start(&b->ui.progress, with ? "bench policy, with" : "bench policy, without",
                           "questions", b->questions.n, cli_get_flag(b->args, "quiet"));
        trawl_status status = answer_in(b, with, job, err);
        cli_progress_finish(&b->ui.progress);
        trawl_job_close(&job);
        TW_TRY(status);
    }
    return TRAWL_OK;
}

struct share {
    double mean, error; /* standard error of the mean */
};

/* Over questions: what one of them contributes is x. */
static struct share share_of(const struct policy_bench *b, double without, double with)
{
    double sum = 0, squares = 0, n = (double)b->questions.n;
    for (size_t i = 0; i < b->questions.n; i++) {
        double x = without * (double)b->right[0][i] + with * (double)b->right[1][i];
        sum += x;
        squares += x * x;
    }
    double mean = sum / n, variance = (squares - n * mean * mean) / (n - 1);
    return (struct share){.mean = mean, .error = sqrt(fmax(variance, 0) / n)};
}

static void put_share(struct tw_json_writer *w, const char *name, struct share s)
{
    tw_json_key(w, name);
    tw_json_begin_object(w);
    tw_json_key(w, "mean");
    tw_json_double(w, s.mean);
    tw_json_key(w, "standard_error");
    tw_json_double(w, s.error);
    tw_json_end_object(w);
}

static const char *const state_names[TRAWL_ENTROPY_STATES] = {"LELV", "HELV", "HEHV", "LEHV", "MID"};

static trawl_status report_json(const struct policy_bench *b, struct tw_str *out, struct trawl_error *err)
{
    struct tw_json_writer w;
    tw_json_writer_init(&w, out, 2);
    tw_json_begin_object(&w);
    tw_json_key(&w, "questions");
    tw_json_int(&w, (int64_t)b->questions.n);
    put_share(&w, "without", share_of(b, 1, 0));
    put_share(&w, "with", share_of(b, 0, 1));
    put_share(&w, "difference", share_of(b, -1, 1));
    tw_json_key(&w, "states");
    tw_json_begin_object(&w);
    for (size_t i = 0; i < TRAWL_ENTROPY_STATES; i++) {
        tw_json_key(&w, state_names[i]);
        tw_json_int(&w, (int64_t)b->states[i]);
    }
    tw_json_key(&w, "inserted");
    tw_json_int(&w, (int64_t)b->inserted);
    tw_json_end_object(&w);
    tw_json_end_object(&w);
    TW_TRY(tw_json_writer_finish(&w, err));
    return tw_str_putc(out, '\n', err);
}

static trawl_status report_lines(const struct policy_bench *b, struct tw_str *out, struct trawl_error *err)
{
    const struct share without = share_of(b, 1, 0), with = share_of(b, 0, 1), difference = share_of(b, -1, 1);
    TW_TRY(tw_str_printf(out, err, "%zu questions\n", b->questions.n));
    TW_TRY(tw_str_printf(out, err, "without the policy  %5.1f %%, standard error %.1f\n", 100 * without.mean,
                         100 * without.error));
    TW_TRY(tw_str_printf(out, err, "with the policy     %5.1f %%, standard error %.1f\n", 100 * with.mean,
                         100 * with.error));
    TW_TRY(tw_str_printf(out, err, "difference          %+5.1f %%, standard error %.1f\ntokens by state:",
                         100 * difference.mean, 100 * difference.error));
    for (size_t i = 0; i < TRAWL_ENTROPY_STATES; i++) {
        TW_TRY(tw_str_printf(out, err, " %s %llu", state_names[i], (unsigned long long)b->states[i]));
    }
    return tw_str_printf(out, err, ", inserted %llu\n", (unsigned long long)b->inserted);
}

static trawl_status measure_policy(struct policy_bench *b, struct tw_str *out, struct trawl_error *err)
{
    TW_TRY(answer_all(b, err));
    return cli_get_flag(b->args, "json") ? report_json(b, out, err) : report_lines(b, out, err);
}

/* ---- a text ---- */

/* A window's first token is its prompt, the others are scored: their rows' entropies are reported. */
static trawl_status submit_window(const struct policy_bench *b, size_t begin, size_t end, trawl_job *job,
                                  struct trawl_error *err)
{
    size_t n = end - begin - 1;
    struct trawl_request r;
    trawl_request_init(&r);
    r.prompt             = b->ids + begin;
    r.n_prompt           = 1;
    r.completions        = b->ids + begin + 1;
    r.completion_lengths = &n;
    r.n_completions      = 1;
    return trawl_job_submit(job, &r, err);
}

static trawl_status score_in(struct policy_bench *b, trawl_job *job, struct trawl_error *err)
{
    const double bits = 1 / log(2);
    size_t size       = (size_t)cli_get_int(b->args, "context_size");
    struct trawl_result r;
    bool more = true;
    for (size_t begin = 0; begin + 1 < b->n_ids; begin += size) {
        TW_TRY(submit_window(b, begin, tw_min_size(begin + size, b->n_ids), job, err));
    }
    trawl_job_end_input(job);
    while (more) {
        TW_TRY(trawl_job_next(job, &r, &more, err));
        if (!more) {
            break;
        }
        if (r.error != NULL) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "%s", r.error);
        }
        for (size_t i = 0; i < r.n_tokens; i++) {
            b->h[b->n_measured]   = (double)r.entropies[i] * bits;
            b->v[b->n_measured++] = (double)r.varentropies[i] * bits * bits;
        }
    }
    return TRAWL_OK;
}

static int ascending(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static const double shares[] = {0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99};

/* Of n sorted numbers, between neighbours on a line. */
static double quantile(const double *x, size_t n, double share)
{
    double at = share * (double)(n - 1);
    size_t i  = (size_t)at;
    return i + 1 < n ? x[i] + (at - (double)i) * (x[i + 1] - x[i]) : x[n - 1];
}

static trawl_status quantiles_json(const struct policy_bench *b, struct tw_str *out, struct trawl_error *err)
{
    struct tw_json_writer w;
    tw_json_writer_init(&w, out, 2);
    tw_json_begin_object(&w);
    tw_json_key(&w, "tokens");
    tw_json_int(&w, (int64_t)b->n_measured);
    tw_json_key(&w, "quantiles");
    tw_json_begin_array(&w);
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        tw_json_begin_object(&w);
        tw_json_key(&w, "share");
        tw_json_double(&w, shares[i]);
        tw_json_key(&w, "h");
        tw_json_double(&w, quantile(b->h, b->n_measured, shares[i]));
        tw_json_key(&w, "v");
        tw_json_double(&w, quantile(b->v, b->n_measured, shares[i]));
        tw_json_end_object(&w);
    }
    tw_json_end_array(&w);
    tw_json_end_object(&w);
    TW_TRY(tw_json_writer_finish(&w, err));
    return tw_str_putc(out, '\n', err);
}

static trawl_status calibrate(struct policy_bench *b, const char *path, struct tw_str *out,
                              struct trawl_error *err)
{
    char *data     = NULL;
    size_t n       = 0;
    trawl_job *job = NULL;
    TW_TRY(tw_file_read(path, TEXT_LIMIT, &data, &n, err));
    trawl_status status = trawl_tokenizer_encode(b->tokenizer, data, n, TRAWL_ENCODE_ADD_SPECIAL_TOKENS,
                                                 &b->ids, &b->n_ids, err);
    tw_free(data);
    if (status != TRAWL_OK) {
        return tw_fail_prefix(err, status, "%s", path);
    }
    if (b->n_ids < 2) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: %zu tokens, expected 2 or more", path, b->n_ids);
    }
    TW_TRY(tw_alloc(b->n_ids, sizeof *b->h, &b->h, err));
    TW_TRY(tw_alloc(b->n_ids, sizeof *b->v, &b->v, err));
    TW_TRY(open_job(b, &job, err));
    size_t size = (size_t)cli_get_int(b->args, "context_size");
    cli_progress_start(&b->ui.progress, "bench policy", "windows", tw_ceil_div(b->n_ids, size),
                       cli_get_flag(b->args, "quiet"));
    status = score_in(b, job, err);
    cli_progress_finish(&b->ui.progress);
    trawl_job_close(&job);
    TW_TRY(status);
    qsort(b->h, b->n_measured, sizeof *b->h, ascending);
    qsort(b->v, b->n_measured, sizeof *b->v, ascending);
    if (cli_get_flag(b->args, "json")) {
        return quantiles_json(b, out, err);
    }
    TW_TRY(tw_str_printf(out, err, "%zu tokens\n share  H (bits)  V (bits^2)\n", b->n_measured));
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        TW_TRY(tw_str_printf(out, err, "%4.0f %%  %8.4f  %10.4f\n", 100 * shares[i],
                             quantile(b->h, b->n_measured, shares[i]),
                             quantile(b->v, b->n_measured, shares[i])));
    }
    return TRAWL_OK;
}

/* ---- the command ---- */

/* A row that is none is not left out here: both runs are to be of the questions that were meant. */
static trawl_status read_questions(struct policy_bench *b, const char *path, struct trawl_error *err)
{
    size_t most = (size_t)cli_get_int_or(b->args, "n_questions", INT64_MAX);
    TW_TRY(tw_gsm8k_dataset_load(&b->questions, path, most, NULL, err));
    if (b->questions.n_skipped > 0) {
        return tw_fail(err, b->questions.skipped.status, "%s", b->questions.skipped.message);
    }
    if (b->questions.n < 2) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: %zu questions, a standard error needs 2", path,
                       b->questions.n);
    }
    return TRAWL_OK;
}

static trawl_status read_input(struct policy_bench *b, struct trawl_error *err)
{
    const char *questions = cli_get_string(b->args, "questions"),
               *policy    = cli_get_string(b->args, "entropy_policy");
    if ((questions != NULL) == (cli_get_string(b->args, "calibrate") != NULL)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "expected one of --questions and --calibrate");
    }
    if ((questions != NULL) != (policy != NULL)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "--questions and --entropy_policy belong together");
    }
    if (questions == NULL) {
        return TRAWL_OK;
    }
    TW_TRY(trawl_entropy_policy_read(policy, b->tokenizer, &b->policy, err));
    return read_questions(b, questions, err);
}

static trawl_status run(struct policy_bench *b, struct trawl_error *err)
{
    struct trawl_engine_config config;
    struct tw_str out;
    char *folder = NULL;
    TW_TRY(cli_engine_config(b->args, &config, &folder, err));
    trawl_status status = trawl_tokenizer_open(folder, &b->tokenizer, err);
    if (status == TRAWL_OK) {
        status = cli_row_text_open(&b->text, folder, err);
    }
    if (status == TRAWL_OK) {
        status = read_input(b, err);
    }
    if (status == TRAWL_OK) {
        status = trawl_engine_open(&config, &b->engine, err);
    }
    tw_free(folder);
    TW_TRY(status);
    tw_str_init(&out, 0);
    const char *text = cli_get_string(b->args, "calibrate");
    status           = text != NULL ? calibrate(b, text, &out, err) : measure_policy(b, &out, err);
    if (status == TRAWL_OK) {
        status = cli_write(out.data, out.size, err);
    }
    tw_str_release(&out);
    return status;
}

int cmd_bench_policy(const struct cli_args *args, struct trawl_error *err)
{
    struct policy_bench b = {.args = args};
    trawl_status status   = run(&b, err);
    trawl_engine_close(&b.engine);
    tw_gsm8k_dataset_release(&b.questions);
    cli_row_text_close(&b.text);
    trawl_tokenizer_close(&b.tokenizer);
    trawl_free(b.ids);
    tw_free(b.right[0]);
    tw_free(b.right[1]);
    tw_free(b.h);
    tw_free(b.v);
    return cli_exit_code(status);
}
