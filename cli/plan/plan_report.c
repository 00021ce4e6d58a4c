/* SPDX-License-Identifier: MIT */
#include "cli/info_facts.h"
#include "cli/plan/plan.h"
#include "cli/table.h"
#include "mesh/mesh_params.h"

static double gib(size_t bytes)
{
    return (double)bytes / (1024.0 * 1024.0 * 1024.0);
}

/* ---- for people ---- */

static trawl_status add_bytes(struct cli_table *t, const char *what, size_t bytes, const char *note,
                              struct trawl_error *err)
{
    TW_TRY(cli_table_add(t, err, "%s", what));
    TW_TRY(cli_table_add(t, err, "%.3f", gib(bytes)));
    return cli_table_add(t, err, "%s", note);
}

static trawl_status fill_memory(const struct plan *p, struct cli_table *t, struct trawl_error *err)
{
    const struct tw_mesh_memory *m = &p->memory;
    TW_TRY(cli_table_add(t, err, "memory of rank %d", m->rank));
    TW_TRY(cli_table_add(t, err, "GiB"));
    TW_TRY(cli_table_add(t, err, "%s", ""));
    TW_TRY(add_bytes(t, "weights", m->weights,
                     p->compressed ? "compressed matrices, norms, biases" : "packed matrices, norms, biases",
                     err));
    TW_TRY(add_bytes(t, "embedding", m->embedding, "rows of the table, mapped from the file", err));
    TW_TRY(add_bytes(t, "KV cache", m->kv, p->load.kv == TW_MESH_KV_HEADS ? "by heads" : "by sequence", err));
    TW_TRY(add_bytes(t, "activations", m->activations, "rows of one step", err));
    TW_TRY(add_bytes(t, "scratch", m->scratch, "of threads", err));
    TW_TRY(add_bytes(t, "logits", m->logits, "", err));
    TW_TRY(add_bytes(t, "a device", m->total, "", err));
    return add_bytes(t, "one process with all", m->process_total, "weights and embedding once", err);
}

static trawl_status print_memory(const struct plan *p, bool bold, struct tw_str *out, struct trawl_error *err)
{
    struct cli_table t;
    cli_table_init(&t, "lrl");
    trawl_status status = fill_memory(p, &t, err);
    if (status == TRAWL_OK) {
        status = cli_table_print(&t, 0, bold, out, err);
    }
    cli_table_release(&t);
    return status;
}

static trawl_status print_verdict(const struct plan *p, struct tw_str *out, struct trawl_error *err)
{
    bool device = p->budget.device != 0;
    TW_TRY(tw_str_printf(out, err, "\n%s %.3f GiB of %s\n",
                         p->fits == TRAWL_OK ? "Fits into" : "Does not fit into",
                         gib(device ? p->budget.device : p->budget.process),
                         device ? "each device" : "this machine, all devices in one process"));
    TW_TRY(tw_str_printf(out, err, "Largest batch per replica at %zu tokens: %zu%s\n", p->load.max_len,
                         p->largest_batch,
                         p->largest_batch == PLAN_BATCH_MAX ? " (the most a replica takes)" : ""));
    return tw_str_printf(out, err, "Longest sequence at batch %zu: %zu tokens (the model's context is %zu)\n",
                         p->load.batch, p->longest_len, p->config.max_positions);
}

static trawl_status print_speed(const struct plan *p, struct tw_str *out, struct trawl_error *err)
{
    if (p->mesh.model > 1) {
        TW_TRY(tw_str_printf(
            out, err,
            "Traffic: a device receives %.1f KiB a token, in %zu messages a step, between embedding "
            "and head\n",
            (double)p->traffic.bytes / 1024, p->traffic.messages));
    } else {
        TW_TRY(tw_str_puts(out, "Traffic: none, every replica is one device\n", err));
    }
    if (!p->has_rates) {
        return TRAWL_OK;
    }
    const struct plan_speed *s = &p->speed;
    TW_TRY(tw_str_printf(out, err, "Rates of a device: reads %.1f GB/s, computes %.1f GFLOP/s\n",
                         p->rates.read_bytes / 1e9, p->rates.flops / 1e9));
    TW_TRY(tw_str_printf(
        out, err,
        "Expected decode: %.1f tokens/s, all replicas, %zu tokens of context (%.0f %% of a step of "
        "%.2f ms is exchange)\n",
        s->decode_tokens, s->context, 100 * s->exchange_share, 1000 * s->decode_seconds));
    return tw_str_printf(out, err, "Expected prefill: %.1f tokens/s, all replicas, prompts of %zu tokens\n",
                         s->prefill_tokens, s->prompt);
}

trawl_status plan_print(const struct plan *p, bool bold, struct tw_str *out, struct trawl_error *err)
{
    TW_TRY(tw_str_printf(out, err, "%s: %s, %.3f billion parameters\n", p->name, p->config.architecture,
                         (double)tw_model_config_parameters(&p->config) / 1e9));
    if (!p->has_mesh) {
        return TRAWL_OK;
    }
    TW_TRY(tw_str_printf(
        out, err,
        "Mesh data=%d, model=%d; per replica %zu sequences of up to %zu tokens, %zu prompt tokens a "
        "step\n\n",
        p->mesh.data, p->mesh.model, p->load.batch, p->load.max_len, p->load.chunk));
    TW_TRY(print_memory(p, bold, out, err));
    TW_TRY(print_verdict(p, out, err));
    return print_speed(p, out, err);
}

static trawl_status fill_row(struct cli_table *t, const struct plan *p, struct trawl_error *err)
{
    TW_TRY(cli_table_add(t, err, "%s", p->name));
    TW_TRY(cli_table_add(t, err, "%.2f", (double)tw_model_config_parameters(&p->config) / 1e9));
    if (!p->has_mesh) {
        TW_TRY(cli_table_add(t, err, "none fits"));
        for (int i = 0; i < 7; i++) {
            TW_TRY(cli_table_add(t, err, "-"));
        }
        return TRAWL_OK;
    }
    size_t buffers = p->memory.activations + p->memory.scratch + p->memory.logits;
    TW_TRY(cli_table_add(t, err, "%dx%d", p->mesh.data, p->mesh.model));
    TW_TRY(cli_table_add(t, err, "%.2f", gib(p->memory.weights + p->memory.embedding)));
    TW_TRY(cli_table_add(t, err, "%.3f", gib(p->memory.kv / p->load.batch)));
    TW_TRY(cli_table_add(t, err, "%.2f", gib(buffers)));
    TW_TRY(cli_table_add(t, err, "%.2f", gib(p->memory.total)));
    TW_TRY(cli_table_add(t, err, "%zu", p->largest_batch));
    TW_TRY(cli_table_add(t, err, "%zu", p->largest_batch * (size_t)p->mesh.data));
    return cli_table_add(t, err, "%zu", p->longest_len);
}

trawl_status plan_print_table(const struct plan *plans, size_t n, bool bold, struct tw_str *out,
                              struct trawl_error *err)
{
    static const char *const titles[] = {"model",        "params/1e9",  "mesh",       "weights GiB",
                                         "KV GiB/seq",   "buffers GiB", "device GiB", "batch max",
                                         "all replicas", "longest"};
    struct cli_table t;
    cli_table_init(&t, "lrlrrrrrrr");
    trawl_status status = TRAWL_OK;
    for (size_t i = 0; status == TRAWL_OK && i < sizeof titles / sizeof titles[0]; i++) {
        status = cli_table_add(&t, err, "%s", titles[i]);
    }
    for (size_t i = 0; status == TRAWL_OK && i < n; i++) {
        status = fill_row(&t, &plans[i], err);
    }
    if (status == TRAWL_OK) {
        status = cli_table_print(&t, 0, bold, out, err);
    }
    cli_table_release(&t);
    return status;
}

trawl_status plan_print_sharding(const struct plan *p, struct tw_str *out, struct trawl_error *err)
{
    struct tw_str copies;
    int degree = p->mesh.model;
    TW_TRY(tw_mesh_format_axes(p->mesh, out, err));
    TW_TRY(tw_str_puts(out, "Verifying parameter sharding:\n", err));
    size_t n = tw_mesh_param_count(&p->model);
    for (size_t i = 0; i < n; i++) {
        struct tw_mesh_param param = tw_mesh_param_at(&p->model, i);
        TW_TRY(tw_mesh_format_param(&param, out, err));
        TW_TRY(tw_mesh_format_ranges(&p->model, &param, degree, out, err));
    }
    TW_TRY(tw_mesh_format_input(p->load.batch, p->load.max_len, out, err));
    tw_str_init(&copies, 0);
    trawl_status status = tw_mesh_verify(&p->model, degree, &copies, err);
    if (status == TRAWL_OK) {
        status = tw_str_printf(
            out, err, "Every element of %zu parameters is held, %s\n%s\n", n,
            copies.size == 0 ? "split ones once" : "split ones once but for copies:", tw_str_text(&copies));
    }
    tw_str_release(&copies);
    return status;
}

/* ---- for machines ---- */

static void put_int(struct tw_json_writer *w, const char *key, size_t value)
{
    tw_json_key(w, key);
    tw_json_int(w, (int64_t)value);
}

static void put_double(struct tw_json_writer *w, const char *key, double value)
{
    tw_json_key(w, key);
    tw_json_double(w, value);
}

static void put_request(const struct plan *p, struct tw_json_writer *w)
{
    tw_json_key(w, "model");
    tw_json_begin_object(w);
    tw_json_key(w, "name");
    tw_json_string(w, p->name);
    tw_json_key(w, "architecture");
    tw_json_string(w, p->config.architecture);
    put_int(w, "parameters", (size_t)tw_model_config_parameters(&p->config));
    put_int(w, "context", p->config.max_positions);
    tw_json_end_object(w);
    tw_json_key(w, "load");
    tw_json_begin_object(w);
    put_int(w, "batch_size", p->load.batch);
    put_int(w, "max_model_len", p->load.max_len);
    put_int(w, "prefill_chunk", p->load.chunk);
    put_int(w, "weight_bytes", p->load.weight_bytes);
    put_int(w, "kv_bytes", p->load.kv_bytes);
    put_int(w, "threads", p->load.threads);
    tw_json_end_object(w);
    tw_json_key(w, "available");
    tw_json_begin_object(w);
    put_int(w, p->budget.device != 0 ? "device_bytes" : "process_bytes",
            p->budget.device != 0 ? p->budget.device : p->budget.process);
    tw_json_end_object(w);
}

static void put_memory(const struct tw_mesh_memory *m, struct tw_json_writer *w)
{
    tw_json_key(w, "device");
    tw_json_begin_object(w);
    put_int(w, "rank", (size_t)m->rank);
    put_int(w, "weights_bytes", m->weights);
    put_int(w, "embedding_bytes", m->embedding);
    put_int(w, "kv_bytes", m->kv);
    put_int(w, "activations_bytes", m->activations);
    put_int(w, "scratch_bytes", m->scratch);
    put_int(w, "logits_bytes", m->logits);
    put_int(w, "total_bytes", m->total);
    tw_json_end_object(w);
    put_int(w, "process_bytes", m->process_total);
}

static void put_speed(const struct plan *p, struct tw_json_writer *w)
{
    tw_json_key(w, "speed");
    if (!p->has_rates) {
        tw_json_null(w);
        return;
    }
    tw_json_begin_object(w);
    put_double(w, "read_gbs", p->rates.read_bytes / 1e9);
    put_double(w, "gflops", p->rates.flops / 1e9);
    put_double(w, "link_gbs", p->rates.link_bytes / 1e9);
    put_double(w, "link_us", p->rates.link_delay * 1e6);
    put_int(w, "context", p->speed.context);
    put_int(w, "prompt", p->speed.prompt);
    put_double(w, "decode_tok_s", p->speed.decode_tokens);
    put_double(w, "decode_step_ms", p->speed.decode_seconds * 1e3);
    put_double(w, "exchange_share", p->speed.exchange_share);
    put_double(w, "prefill_tok_s", p->speed.prefill_tokens);
    tw_json_end_object(w);
}

static void put_sharding(const struct plan *p, struct tw_json_writer *w)
{
    tw_json_key(w, "sharding");
    tw_json_begin_array(w);
    size_t n = tw_mesh_param_count(&p->model);
    for (size_t i = 0; i < n; i++) {
        struct tw_mesh_param param = tw_mesh_param_at(&p->model, i);
        tw_json_begin_object(w);
        tw_json_key(w, "name");
        tw_json_string(w, param.name);
        tw_json_key(w, "shape");
        tw_json_begin_array(w);
        for (int d = 0; d < param.n_dims; d++) {
            tw_json_int(w, (int64_t)param.shape[d]);
        }
        tw_json_end_array(w);
        tw_json_key(w, "spec");
        tw_json_string(w, param.spec);
        tw_json_key(w, "axis");
        tw_json_int(w, param.axis);
        tw_json_key(w, "ranges");
        tw_json_begin_array(w);
        for (int rank = 0; rank < p->mesh.model; rank++) {
            struct tw_range r = tw_mesh_param_range(&p->model, &param, p->mesh.model, rank);
            tw_json_begin_array(w);
            tw_json_int(w, (int64_t)r.begin);
            tw_json_int(w, (int64_t)r.end);
            tw_json_end_array(w);
        }
        tw_json_end_array(w);
        tw_json_end_object(w);
    }
    tw_json_end_array(w);
}

void plan_json(const struct plan *p, bool sharding, struct tw_json_writer *w)
{
    tw_json_begin_object(w);
    put_request(p, w);
    tw_json_key(w, "fits");
    tw_json_bool(w, p->fits == TRAWL_OK);
    tw_json_key(w, "reason");
    if (p->fits == TRAWL_OK) {
        tw_json_null(w);
    } else {
        tw_json_string(w, p->reason.message);
    }
    tw_json_key(w, "mesh");
    if (p->has_mesh) {
        tw_json_begin_object(w);
        put_int(w, "data", (size_t)p->mesh.data);
        put_int(w, "model", (size_t)p->mesh.model);
        tw_json_end_object(w);
        put_memory(&p->memory, w);
        put_int(w, "largest_batch", p->largest_batch);
        put_int(w, "longest_len", p->longest_len);
        tw_json_key(w, "traffic");
        tw_json_begin_object(w);
        put_int(w, "bytes_per_token", p->traffic.bytes);
        put_int(w, "messages_per_step", p->traffic.messages);
        tw_json_end_object(w);
        put_speed(p, w);
        if (sharding) {
            put_sharding(p, w);
        }
    } else {
        tw_json_null(w);
    }
    tw_json_end_object(w);
}
