/* SPDX-License-Identifier: MIT */
#include "cli/bench/bench_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/thread.h"
#include "cli/bench/bench_machine.h"
#include "cli/commands.h"
#include "cli/info_facts.h"
#include "json/json.h"

static const char *dtype_name(enum trawl_dtype dtype)
{
    return dtype == TRAWL_DTYPE_FLOAT32 ? "float32" : "bfloat16";
}

static const char *unit_name(const struct bench_report *r)
{
    return bench_uses_dot(&r->model, &r->limits.median) ? "dot" : "fma";
}

static int total_threads(const struct bench_report *r)
{
    return r->model.threads * r->model.mesh_data * r->model.mesh_model;
}

static int total_processes(const struct bench_report *r)
{
    const trawl_world *world = cli_args_world(r->args);
    return world == NULL ? 1 : trawl_world_size(world);
}

static const struct bench_case *find(const struct bench_report *r, enum bench_kind kind)
{
    const struct bench_case *c = r->cases->cases;
    while (c->kind != kind) {
        c++;
    }
    return c;
}

/* ---- JSON ---- */

/* Six digits: more would be noise. */
static void put_number(struct tw_json_writer *w, const char *key, double v)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%.6g", v);
    tw_json_key(w, key);
    tw_json_raw(w, text, (size_t)n);
}

static void put_text(struct tw_json_writer *w, const char *key, const char *text)
{
    tw_json_key(w, key);
    tw_json_string(w, text);
}

static void put_count(struct tw_json_writer *w, const char *key, uint64_t n)
{
    tw_json_key(w, key);
    tw_json_int(w, (int64_t)n);
}

static void put_known(struct tw_json_writer *w, const char *key, double v)
{
    if (v < 0) {
        tw_json_key(w, key);
        tw_json_null(w);
    } else {
        put_number(w, key, v);
    }
}

static void begin(struct tw_json_writer *w, const char *key)
{
    tw_json_key(w, key);
    tw_json_begin_object(w);
}

static void put_samples(struct tw_json_writer *w, const char *key, const double *samples, size_t n_samples)
{
    tw_json_key(w, key);
    tw_json_begin_array(w);
    for (size_t i = 0; i < n_samples; i++) {
        char text[32];
        int n = snprintf(text, sizeof text, "%.6g", samples[i]);
        tw_json_raw(w, text, (size_t)n);
    }
    tw_json_end_array(w);
}

/* What all cases say of themselves; the object stays open. */
static void put_case(struct tw_json_writer *w, const struct bench_report *r, const struct bench_case *c)
{
    bool memory = false;
    (void)bench_roofline(c, &r->model, r->prefill_chunk, &r->limits.median, &memory);
    struct bench_work work = bench_case_work(c, &r->model, r->prefill_chunk);
    struct bench_summary s = bench_summarize(c);
    double seconds         = (double)bench_case_tokens(c) / s.median;
    put_number(w, "tok_s", s.median);
    put_number(w, "roofline_fraction", s.fraction);
    put_text(w, "bound", memory ? "memory" : "compute");
    put_number(w, "gflops", work.flops / seconds * 1e-9);
    put_number(w, "read_gbs", work.bytes / seconds * 1e-9);
    put_count(w, "prompt", c->prompt);
    put_samples(w, "samples", c->samples, c->n_samples);
    put_samples(w, "roofline_fractions", c->fractions, c->n_samples);
}

static void put_limits(struct tw_json_writer *w, const struct tw_limits *l)
{
    put_number(w, "read_gbs", l->read_bytes * 1e-9);
    put_number(w, "fma_gflops", l->fma_flops * 1e-9);
    put_known(w, "dot_gflops", l->dot_flops == 0 ? -1 : l->dot_flops * 1e-9);
}

static void put_machine(struct tw_json_writer *w, const struct bench_report *r)
{
    char cpu[256];
    bench_cpu_name(cpu, sizeof cpu);
    begin(w, "machine");
    put_text(w, "cpu", cpu);
    put_count(w, "cores_usable", (uint64_t)tw_cores_available());
    put_count(w, "threads", (uint64_t)total_threads(r));
    put_count(w, "processes", (uint64_t)total_processes(r));
    put_text(w, "isa", r->model.isa);
    put_known(w, "load_average", r->load_average);
    tw_json_end_object(w);

    begin(w, "roofline");
    put_limits(w, &r->limits.median);
    put_text(w, "unit", unit_name(r));
    begin(w, "best");
    put_limits(w, &r->limits.best);
    tw_json_end_object(w);
    tw_json_end_object(w);
}

static void put_model(struct tw_json_writer *w, const struct bench_report *r)
{
    const struct trawl_model_info *m = &r->model;
    begin(w, "model");
    put_text(w, "architecture", m->architecture);
    put_count(w, "parameters", m->parameters);
    put_text(w, "fingerprint", m->fingerprint);
    put_text(w, "dtype", dtype_name(m->dtype));
    put_text(w, "kv_dtype", dtype_name(m->kv_dtype));
    tw_json_end_object(w);

    begin(w, "settings");
    put_text(w, "trawl", cli_version());
    put_count(w, "runs", r->cases->n_runs);
    put_count(w, "gen", (uint64_t)cli_get_int(r->args, "gen"));
    put_count(w, "prefill_chunk", r->prefill_chunk);
    put_count(w, "seed", (uint64_t)cli_get_int(r->args, "seed"));
    tw_json_key(w, "mesh_shape");
    tw_json_begin_array(w);
    tw_json_int(w, m->mesh_data);
    tw_json_int(w, m->mesh_model);
    tw_json_end_array(w);
    tw_json_end_object(w);
}

static void put_load(struct tw_json_writer *w, const struct bench_report *r)
{
    begin(w, "load");
    put_number(w, "seconds", r->load_seconds);
    put_known(w, "page_cache_fraction", r->page_cache);
    tw_json_end_object(w);
    begin(w, "memory");
    put_count(w, "resident_bytes", r->resident_bytes);
    put_count(w, "weight_bytes", r->model.weight_bytes);
    put_count(w, "kv_bytes", r->model.kv_bytes);
    put_count(w, "buffer_bytes", r->model.buffer_bytes);
    tw_json_end_object(w);
}

/* Objects of all cases of a kind, named by their prompt or batch. */
static void put_cases(struct tw_json_writer *w, const struct bench_report *r, const char *key,
                      enum bench_kind kind)
{
    begin(w, key);
    for (size_t i = 0; i < r->cases->n; i++) {
        const struct bench_case *c = &r->cases->cases[i];
        char name[32];
        if (c->kind == kind) {
            (void)snprintf(name, sizeof name, "%zu", kind == BENCH_DECODE ? c->batch : c->prompt);
            begin(w, name);
            put_case(w, r, c);
            tw_json_end_object(w);
        }
    }
    tw_json_end_object(w);
}

static void put_harvest(struct tw_json_writer *w, const struct bench_report *r)
{
    const struct bench_case *c = find(r, BENCH_HARVEST), *plain = find(r, BENCH_PLAIN);
    size_t layers[BENCH_SITES_MAX], n = bench_harvest_layers(r->model.n_layers, layers);
    double with = bench_summarize(c).median, without = bench_summarize(plain).median;
    begin(w, "harvest");
    put_case(w, r, c);
    put_number(w, "without_capture_tok_s", without);
    put_number(w, "rows_mb_s", with * (double)(n * r->model.hidden_size) * sizeof(float) * 1e-6);
    tw_json_key(w, "layers");
    tw_json_begin_array(w);
    for (size_t i = 0; i < n; i++) {
        tw_json_int(w, (int64_t)layers[i]);
    }
    tw_json_end_array(w);
    tw_json_end_object(w);
}

trawl_status bench_report_json(const struct bench_report *r, struct tw_str *out, struct trawl_error *err)
{
    struct tw_json_writer w;
    tw_json_writer_init(&w, out, 2);
    tw_json_begin_object(&w);
    put_machine(&w, r);
    put_model(&w, r);
    put_load(&w, r);
    begin(&w, "prefill");
    put_case(&w, r, find(r, BENCH_PREFILL));
    tw_json_end_object(&w);
    put_cases(&w, r, "prefill_by_prompt", BENCH_PREFILL);
    put_cases(&w, r, "decode", BENCH_DECODE);
    put_cases(&w, r, "decode_by_context", BENCH_CONTEXT);
    put_harvest(&w, r);
    tw_json_end_object(&w);
    TW_TRY(tw_json_writer_finish(&w, err));
    return tw_str_putc(out, '\n', err);
}

/* ---- table ---- */

static void name_of(const struct bench_report *r, const struct bench_case *c, char *out, size_t size)
{
    switch (c->kind) {
    case BENCH_PREFILL: (void)snprintf(out, size, "prefill of %zu tokens", c->prompt); break;
    case BENCH_DECODE:
        (void)snprintf(out, size, "decode, %zu sequence%s", c->n_requests, c->n_requests == 1 ? "" : "s");
        break;
    case BENCH_CONTEXT: (void)snprintf(out, size, "decode behind %zu tokens", c->prompt); break;
    case BENCH_HARVEST: {
        size_t layers[BENCH_SITES_MAX];
        (void)snprintf(out, size, "harvest of %zu layers", bench_harvest_layers(r->model.n_layers, layers));
        break;
    }
    case BENCH_PLAIN: (void)snprintf(out, size, "the same without capture"); break;
    }
}

static trawl_status add_case(struct cli_table *t, const struct bench_report *r, const struct bench_case *c,
                             struct trawl_error *err)
{
    char name[64];
    bool memory = false;
    (void)bench_roofline(c, &r->model, r->prefill_chunk, &r->limits.median, &memory);
    struct bench_summary s = bench_summarize(c);
    name_of(r, c, name, sizeof name);
    TW_TRY(cli_table_add(t, err, "%s", name));
    TW_TRY(cli_table_add(t, err, "%.1f", s.median));
    TW_TRY(cli_table_add(t, err, "%.1f", s.min));
    TW_TRY(cli_table_add(t, err, "%.1f", s.max));
    TW_TRY(cli_table_add(t, err, "%.1f %%", 100 * s.fraction));
    return cli_table_add(t, err, "%s", memory ? "memory" : unit_name(r));
}

static trawl_status put_limit_line(const struct tw_limits *l, const char *title, struct tw_str *out,
                                   struct trawl_error *err)
{
    TW_TRY(tw_str_printf(out, err, "%sread %.1f GB/s, fma %.0f GFLOP/s", title, l->read_bytes * 1e-9,
                         l->fma_flops * 1e-9));
    return l->dot_flops > 0 ? tw_str_printf(out, err, ", bfloat16 dot %.0f GFLOP/s", l->dot_flops * 1e-9)
                            : TRAWL_OK;
}

static trawl_status put_head(const struct bench_report *r, struct tw_str *out, struct trawl_error *err)
{
    const struct trawl_model_info *m = &r->model;
    char cpu[256], weights[32], resident[32];
    bench_cpu_name(cpu, sizeof cpu);
    cli_format_bytes(weights, sizeof weights, m->weight_bytes);
    cli_format_bytes(resident, sizeof resident, r->resident_bytes);
    TW_TRY(tw_str_printf(out, err, "machine  %s, %d thread%s, %s, load average %.1f\n", cpu, total_threads(r),
                         total_threads(r) == 1 ? "" : "s", m->isa, r->load_average));
    TW_TRY(put_limit_line(&r->limits.median, "limits   ", out, err));
    TW_TRY(put_limit_line(&r->limits.best, "\nat best  ", out, err));
    TW_TRY(tw_str_printf(out, err, "\nmodel    %s, %.3g parameters, %s, mesh %dx%d\n", m->architecture,
                         (double)m->parameters, dtype_name(m->dtype), m->mesh_data, m->mesh_model));
    TW_TRY(tw_str_printf(out, err, "memory   %s resident%s, %s of it weights\n", resident,
                         total_processes(r) == 1 ? "" : " in the first process", weights));
    TW_TRY(tw_str_printf(out, err, "load     %.2f s", r->load_seconds));
    if (r->page_cache >= 0) {
        TW_TRY(tw_str_printf(out, err, ", %.0f %% of the files were in memory", 100 * r->page_cache));
    }
    return tw_str_puts(out, "\n\n", err);
}

trawl_status bench_report_table(const struct bench_report *r, bool bold, struct tw_str *out,
                                struct trawl_error *err)
{
    static const char *const titles[] = {"tokens per second", "median", "min", "max", "of limit", "bound by"};
    struct cli_table t;
    TW_TRY(put_head(r, out, err));
    cli_table_init(&t, "lrrrrl");
    trawl_status status = TRAWL_OK;
    for (size_t i = 0; status == TRAWL_OK && i < sizeof titles / sizeof titles[0]; i++) {
        status = cli_table_add(&t, err, "%s", titles[i]);
    }
    for (size_t i = 0; status == TRAWL_OK && i < r->cases->n; i++) {
        status = add_case(&t, r, &r->cases->cases[i], err);
    }
    if (status == TRAWL_OK) {
        status = cli_table_print(&t, 0, bold, out, err);
    }
    cli_table_release(&t);
    return status;
}
