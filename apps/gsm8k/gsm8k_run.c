/* SPDX-License-Identifier: MIT */
#include "apps/gsm8k/gsm8k_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "apps/gsm8k/gsm8k_answer.h"
#include "apps/gsm8k/gsm8k_rows.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/str.h"

enum { END_TOKENS_MAX = 16, SETTINGS_MAX = 64 };

/* The text of an answer as its tokens come, to see the stop text. */
struct stream {
    struct tw_detokenizer detokenizer;
    struct tw_str text;
};

struct run {
    const struct tw_gsm8k_run_config *c;
    struct tw_gsm8k_summary *summary;
    size_t n;
    struct tw_ids *prompts; /* [n] */
    struct stream *streams; /* [n]; NULL without a stop text */
    const char *stop;       /* text, or NULL */
    uint64_t prompts_hash;
    int32_t end_tokens[END_TOKENS_MAX];
    size_t n_end_tokens;
    struct tw_str text;
    struct tw_gsm8k_rows rows;
};

/* ---- prompts ---- */

static trawl_status encode_prompts(struct run *r, struct tw_encoder *encoder, struct tw_hash *hash,
                                   struct trawl_error *err)
{
    /* The chat template has written the special tokens that belong around a text. */
    struct tw_encode_options options = {.add_special_tokens = !r->c->prompt->chat};
    for (size_t i = 0; i < r->n; i++) {
        const struct tw_gsm8k_question *q = &r->c->dataset->list[i];
        tw_str_reset(&r->text);
        trawl_status status = tw_gsm8k_prompt_write(r->c->prompt, r->c->tokenizer, q->text, &r->text, err);
        if (status == TRAWL_OK) {
            status = tw_encode(encoder, tw_str_text(&r->text), r->text.size, &options, &r->prompts[i], err);
        }
        if (status != TRAWL_OK) {
            return tw_fail_prefix(err, status, "question %zu", q->id);
        }
        uint64_t size = r->text.size;
        tw_hash_update(hash, &size, sizeof size);
        tw_hash_update(hash, tw_str_text(&r->text), r->text.size);
    }
    r->prompts_hash = tw_hash_value(hash);
    return TRAWL_OK;
}

static trawl_status make_prompts(struct run *r, struct trawl_error *err)
{
    struct tw_encoder *encoder = NULL;
    struct tw_hash *hash       = NULL;
    TW_TRY(tw_alloc(r->n, sizeof *r->prompts, &r->prompts, err));
    trawl_status status = tw_encoder_new(r->c->tokenizer, &encoder, err);
    if (status == TRAWL_OK) {
        status = tw_hash_new(&hash, err);
    }
    if (status == TRAWL_OK) {
        status = encode_prompts(r, encoder, hash, err);
    }
    tw_hash_free(hash);
    tw_encoder_free(encoder);
    return status;
}

static trawl_status make_streams(struct run *r, struct trawl_error *err)
{
    r->stop = tw_gsm8k_prompt_stop(r->c->prompt);
    if (r->stop == NULL) {
        return TRAWL_OK;
    }
    TW_TRY(tw_alloc(r->n, sizeof *r->streams, &r->streams, err));
    for (size_t i = 0; i < r->n; i++) {
        tw_str_init(&r->streams[i].text, 0);
        tw_detokenizer_init(&r->streams[i].detokenizer, r->c->tokenizer, true);
    }
    return TRAWL_OK;
}

/* ---- the job ---- */

/* Where the stop text begins in text[from, n); n: nowhere. */
static size_t find_stop(const char *stop, const char *text, size_t from, size_t n)
{
    const char *found = stop != NULL ? memmem(text + from, n - from, stop, strlen(stop)) : NULL;
    return found != NULL ? (size_t)(found - text) : n;
}

/* On the engine's threads; a request is on one of them at a time. */
static bool on_token(void *user, uint64_t request, int32_t token, float logprob)
{
    struct run *r    = user;
    struct stream *s = &r->streams[request];
    size_t before = s->text.size, tail = strlen(r->stop) - 1;
    (void)logprob;
    if (tw_detokenizer_push(&s->detokenizer, token, &s->text, NULL) != TRAWL_OK) {
        return false;
    }
    size_t from = before > tail ? before - tail : 0;
    return find_stop(r->stop, tw_str_text(&s->text), from, s->text.size) == s->text.size;
}

static bool on_tick(void *user, trawl_job *job)
{
    const struct run *r = user;
    return r->c->on_tick(r->c->user, job);
}

static trawl_status open_job(struct run *r, trawl_engine *engine, trawl_job **job, struct trawl_error *err)
{
    const struct tw_gsm8k_run_config *c = r->c;
    struct trawl_setting settings[SETTINGS_MAX];
    char hash[17], most[TW_DOUBLE_BYTES], temperature[TW_DOUBLE_BYTES];
    size_t n = 0;
    TW_BUG_ON(c->n_settings + 3 > SETTINGS_MAX);
    tw_hash_hex(r->prompts_hash, hash);
    tw_double_text(c->request->temperature, temperature);
    (void)snprintf(most, sizeof most, "%zu", c->max_tokens);
    for (; n < c->n_settings; n++) {
        settings[n] = c->settings[n];
    }
    settings[n++] = (struct trawl_setting){"temperature", temperature};
    settings[n++] = (struct trawl_setting){"max_tokens", most};
    settings[n++] = (struct trawl_setting){"prompts", hash};
    struct trawl_job_config config;
    trawl_job_config_init(&config);
    config.journal_path = c->journal_path;
    config.resume       = c->resume;
    config.settings     = settings;
    config.n_settings   = n;
    config.commit_every = c->commit_every;
    config.random_seed  = c->seed;
    config.user         = r;
    config.on_tick      = on_tick;
    config.on_token     = r->streams != NULL ? on_token : NULL;
    return trawl_job_open(engine, &config, job, err);
}

static trawl_status submit_all(const struct run *r, trawl_job *job, struct trawl_error *err)
{
    for (size_t i = 0; i < r->n; i++) {
        struct trawl_request q = *r->c->request;
        q.prompt               = r->prompts[i].data;
        q.n_prompt             = r->prompts[i].size;
        q.max_tokens           = r->c->max_tokens;
        q.stop_token_ids       = r->end_tokens;
        q.n_stop_token_ids     = r->n_end_tokens;
        TW_TRY(trawl_job_submit(job, &q, err));
    }
    trawl_job_end_input(job);
    return TRAWL_OK;
}

/* ---- results ---- */

static void count(struct run *r, const struct tw_gsm8k_answered *a, const struct trawl_result *result)
{
    struct tw_gsm8k_summary *s = r->summary;
    s->correct += a->correct;
    s->failed += a->error != NULL;
    s->unreadable += a->error == NULL && a->predicted == NULL;
    s->cut += result->finish_reason == TRAWL_FINISH_LENGTH;
    s->from_journal += result->from_journal;
    if (a->error != NULL) {
        tw_log(&r->c->log, TW_LOG_WARNING, "question %zu: %s", a->question->id, a->error);
    }
}

static trawl_status take_result(struct run *r, const struct trawl_result *result, struct trawl_error *err)
{
    const struct tw_gsm8k_question *q = &r->c->dataset->list[result->request];
    char number[TW_GSM8K_NUMBER_BYTES];
    tw_str_reset(&r->text);
    TW_TRY(tw_decode(r->c->tokenizer, result->tokens, result->n_tokens, true, &r->text, err));
    size_t n                   = find_stop(r->stop, tw_str_text(&r->text), 0, r->text.size);
    bool readable              = result->error == NULL && tw_gsm8k_answer(tw_str_text(&r->text), n, number);
    struct tw_gsm8k_answered a = {
        .question      = q,
        .response      = tw_str_text(&r->text),
        .n_response    = n,
        .n_tokens      = result->n_tokens,
        .predicted     = readable ? number : NULL,
        .correct       = readable && strcmp(number, q->target) == 0,
        .finish_reason = trawl_finish_reason_name(result->finish_reason),
        .error         = result->error,
    };
    count(r, &a, result);
    if (r->c->trail != NULL) {
        TW_TRY(tw_gsm8k_trail_add(r->c->trail, result, err));
    }
    if (r->c->on_answer != NULL) {
        r->c->on_answer(r->c->user, &a);
    }
    return r->c->output_path != NULL ? tw_gsm8k_rows_add(&r->rows, &a, err) : TRAWL_OK;
}

static trawl_status take_results(struct run *r, trawl_job *job, struct trawl_error *err)
{
    for (;;) {
        struct trawl_result result;
        bool more = false;
        TW_TRY(trawl_job_next(job, &result, &more, err));
        if (!more) {
            return TRAWL_OK;
        }
        TW_TRY(take_result(r, &result, err));
    }
}

static trawl_status write_stats(const struct run *r, struct trawl_error *err)
{
    const struct tw_gsm8k_summary *s = r->summary;
    char *path                       = NULL;
    char text[512];
    TW_TRY(tw_gsm8k_path(r->c->output_path, ".stats.json", &path, err));
    int n               = snprintf(text, sizeof text,
                                   "{\"questions\": %zu, \"correct\": %zu, \"unreadable\": %zu, \"failed\": %zu, "
                                                 "\"from_journal\": %zu, \"prompt_tokens\": %" PRIu64 ", \"cached_tokens\": %" PRIu64
                                   ", \"generated_tokens\": %" PRIu64 ", \"seconds\": %.3f}\n",
                                   s->questions, s->correct, s->unreadable, s->failed, s->from_journal,
                                   s->job.prompt_tokens, s->job.cached_tokens, s->job.generated_tokens, s->seconds);
    trawl_status status = tw_file_replace(path, text, (size_t)n, err);
    tw_free(path);
    return status;
}

static trawl_status run_job(struct run *r, trawl_job *job, struct trawl_error *err)
{
    struct trawl_job_stats stats;
    uint64_t started = tw_clock_ns();
    bool to_file     = r->c->output_path != NULL;
    trawl_job_stats(job, &stats);
    r->c->on_start(r->c->user, r->n, stats.committed);
    if (to_file) {
        TW_TRY(tw_gsm8k_rows_open(&r->rows, r->c->output_path, err));
    }
    TW_TRY(submit_all(r, job, err));
    TW_TRY(take_results(r, job, err));
    if (to_file) {
        TW_TRY(tw_gsm8k_rows_commit(&r->rows, err));
    }
    trawl_job_stats(job, &r->summary->job);
    r->summary->seconds = (double)(tw_clock_ns() - started) * 1e-9;
    return to_file ? write_stats(r, err) : TRAWL_OK;
}

static trawl_status run(struct run *r, trawl_engine *engine, struct trawl_error *err)
{
    trawl_job *job = NULL;
    /* Base models end at one token, their instruct versions at another; an answer ends at either. */
    r->n_end_tokens = tw_tokenizer_end_tokens(r->c->tokenizer, r->end_tokens, END_TOKENS_MAX);
    TW_TRY(make_prompts(r, err));
    TW_TRY(make_streams(r, err));
    if (r->c->journal_path != NULL) {
        TW_TRY(tw_make_parent_dirs(r->c->journal_path, err));
    }
    TW_TRY(open_job(r, engine, &job, err));
    trawl_status status = run_job(r, job, err);
    trawl_job_close(&job);
    return status;
}

trawl_status tw_gsm8k_run(trawl_engine *engine, const struct tw_gsm8k_run_config *config,
                          struct tw_gsm8k_summary *summary, struct trawl_error *err)
{
    struct run r = {.c = config, .summary = summary, .n = config->dataset->n};
    *summary     = (struct tw_gsm8k_summary){.questions = r.n};
    tw_str_init(&r.text, 0);
    trawl_status status = run(&r, engine, err);
    tw_gsm8k_rows_close(&r.rows);
    for (size_t i = 0; i < r.n; i++) {
        if (r.prompts != NULL) {
            tw_ids_release(&r.prompts[i]);
        }
        if (r.streams != NULL) {
            tw_str_release(&r.streams[i].text);
        }
    }
    tw_free(r.prompts);
    tw_free(r.streams);
    tw_str_release(&r.text);
    return status;
}
