/* SPDX-License-Identifier: MIT */
/* Speed beside the machine's limits. Cases are run in turns, the limits between them: a machine whose speed
 * drifts, or that others use too, hits all figures alike. */
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/size.h"
#include "cli/bench/bench_machine.h"
#include "cli/bench/bench_report.h"
#include "cli/bench/bench_run.h"
#include "cli/cmd.h"
#include "cli/interrupt.h"
#include "cli/model_engine.h"
#include "cli/terminal.h"

/* Of a measurement of the limits, between any two of cases. */
static const double limit_seconds = 0.3;

struct bench {
    struct trawl_engine_config config;
    char *folder;
    struct bench_cases cases;
    struct bench_run run;
    struct cli_progress progress;
    struct bench_report report;
};

/* A measurement begins when every sequence has its first token, and ends with each of them: replicas of other
 * processes cannot be held back until then. */
static trawl_status check_processes(const struct cli_args *args, int replicas, struct trawl_error *err)
{
    const trawl_world *world = cli_args_world(args);
    if (world == NULL || trawl_world_size(world) == 1 || replicas == 1) {
        return TRAWL_OK;
    }
    return tw_fail(
        err, TRAWL_ERR_INVALID,
        "--mesh_shape: the %d replicas of the data axis are in %d processes, which cannot be made to "
        "decode at the same time; start one process, or measure a model axis",
        replicas, trawl_world_size(world));
}

static trawl_status read_options(struct bench *b, const struct cli_args *args, struct trawl_error *err)
{
    if (cli_given(args, "batch_size")) {
        return tw_fail(err, TRAWL_ERR_INVALID, "--batch_size: a benchmark takes its batches from --batch");
    }
    TW_TRY(cli_engine_config(args, &b->config, &b->folder, err));
    if (!cli_given(args, "prefix_cache")) {
        b->config.prefix_cache = 0; /* a measurement that is repeated computes its prompts again */
    }
    if (!cli_given(args, "prompt_lookup_num_tokens")) {
        b->config.prompt_lookup_num_tokens = 0; /* what random prompts make of guesses says nothing */
    }
    TW_TRY(check_processes(args, b->config.mesh_data, err));
    TW_TRY(bench_cases_make(&b->cases, args, b->config.mesh_data, err));
    size_t longest       = 0;
    b->config.batch_size = 1;
    for (size_t i = 0; i < b->cases.n; i++) {
        const struct bench_case *c = &b->cases.cases[i];
        b->config.batch_size       = tw_max_size(b->config.batch_size, c->batch);
        longest = tw_max_size(longest, c->prompt + bench_case_max_tokens(c, b->config.prefill_chunk));
    }
    if (b->config.max_model_len == 0) {
        b->config.max_model_len = longest; /* bounds the memory for keys and values */
    }
    if (b->config.max_model_len < longest) {
        return tw_fail(err, TRAWL_ERR_INVALID, "--max_model_len is %zu, the measurements need %zu",
                       b->config.max_model_len, longest);
    }
    b->run.args          = args;
    b->run.prefill_chunk = b->config.prefill_chunk;
    b->run.seed          = (uint64_t)cli_get_int(args, "seed") << 16;
    b->run.progress      = &b->progress;
    return TRAWL_OK;
}

static trawl_status open_engine(struct bench *b, struct trawl_error *err)
{
    double page_cache = bench_page_cache_fraction(b->folder);
    uint64_t begin    = tw_clock_ns();
    TW_TRY(trawl_engine_open(&b->config, &b->run.engine, err));
    if (b->report.load_seconds == 0) {
        b->report.load_seconds = (double)(tw_clock_ns() - begin) * 1e-9;
        b->report.page_cache   = page_cache;
    }
    trawl_engine_info(b->run.engine, &b->report.model);
    return TRAWL_OK;
}

/* Replicas take requests as they have room: with several of them, only an engine that holds no more than the
 * case's batch spreads it evenly. */
static trawl_status fit_engine(struct bench *b, const struct bench_case *c, struct trawl_error *err)
{
    if (b->config.mesh_data == 1 || b->config.batch_size == c->batch) {
        return TRAWL_OK;
    }
    trawl_engine_close(&b->run.engine);
    b->config.batch_size = c->batch;
    return open_engine(b, err);
}

/* A rate counts beside what the machine could do just before and after. */
static void add_sample(struct bench *b, struct bench_case *c, double rate)
{
    const struct tw_limits l = bench_limits_measure(&b->report.limits, limit_seconds);
    bool memory              = false;
    c->fractions[c->n_samples] =
        rate / bench_roofline(c, &b->report.model, b->config.prefill_chunk, &l, &memory);
    c->samples[c->n_samples++] = rate;
}

static trawl_status run_round(struct bench *b, bool warm_up, struct trawl_error *err)
{
    for (size_t i = 0; i < b->cases.n; i++) {
        struct bench_case *c  = &b->cases.cases[i];
        struct bench_case few = *c;
        double rate           = 0;
        TW_TRY(fit_engine(b, c, err));
        if (warm_up) { /* threads, caches and pages, not time */
            few.gen = tw_min_size(few.gen, 2);
        }
        b->run.seed++;
        TW_TRY(bench_case_run(&b->run, &few, &rate, err));
        b->run.n_done++;
        if (!warm_up) {
            add_sample(b, c, rate);
        }
        if (cli_interrupted()) {
            return tw_fail(err, TRAWL_ERR_CANCELLED, "interrupted");
        }
    }
    return TRAWL_OK;
}

static trawl_status measure(struct bench *b, struct trawl_error *err)
{
    const struct trawl_model_info *m = &b->report.model;
    TW_TRY(run_round(b, true, err));
    b->report.resident_bytes = bench_resident_bytes();
    TW_TRY(bench_limits_init(&b->report.limits, b->config.isa, m->threads * m->mesh_data * m->mesh_model,
                             b->cases.n * b->cases.n_runs + 1, err));
    (void)bench_limits_measure(&b->report.limits, limit_seconds);
    for (size_t i = 0; i < b->cases.n_runs; i++) {
        TW_TRY(run_round(b, false, err));
    }
    return TRAWL_OK;
}

static trawl_status print(struct bench *b, const struct cli_args *args, struct trawl_error *err)
{
    struct tw_str text;
    tw_str_init(&text, 0);
    b->report.cases         = &b->cases;
    b->report.args          = args;
    b->report.prefill_chunk = b->config.prefill_chunk;
    b->report.load_average  = bench_load_average();
    trawl_status status     = cli_get_flag(args, "json")
                                  ? bench_report_json(&b->report, &text, err)
                                  : bench_report_table(&b->report, cli_use_color(stdout), &text, err);
    if (status == TRAWL_OK) {
        status = cli_write(text.data, text.size, err);
    }
    tw_str_release(&text);
    return status;
}

static trawl_status run(struct bench *b, const struct cli_args *args, struct trawl_error *err)
{
    TW_TRY(read_options(b, args, err));
    cli_progress_start(&b->progress, "bench", "measurements", b->cases.n * (b->cases.n_runs + 1),
                       cli_get_flag(args, "quiet"));
    TW_TRY(open_engine(b, err));
    TW_TRY(measure(b, err));
    cli_progress_finish(&b->progress);
    return print(b, args, err);
}

int cmd_bench(const struct cli_args *args, struct trawl_error *err)
{
    struct bench b      = {0};
    trawl_status status = run(&b, args, err);
    cli_progress_finish(&b.progress);
    bench_limits_release(&b.report.limits);
    trawl_engine_close(&b.run.engine);
    bench_cases_release(&b.cases);
    tw_free(b.folder);
    return cli_exit_code(status);
}
