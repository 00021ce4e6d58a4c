/* SPDX-License-Identifier: MIT */
/* Will it fit, and how fast will it be: arithmetic about a model's shape, before any weight is read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/thread.h"
#include "cli/cmd.h"
#include "cli/model_folder.h"
#include "cli/plan/plan.h"
#include "cli/plan/plan_presets.h"
#include "cli/plan/plan_probe.h"
#include "cli/terminal.h"
#include "mesh/mesh_params.h"
#include "model/model_device.h"

#define GIB (1024.0 * 1024.0 * 1024.0)

/* Rows of logits that a replica has beyond one a sequence. */
enum { EXTRA_LOGIT_ROWS = 64 };

/* ---- what is asked ---- */

/* Bytes of an element under dtype float32: of panels, which must hold the checkpoint exactly, and of the
 * embedding's rows, which stay as they are. */
struct stored {
    size_t panel, row;
};

/* The type that config.json says the checkpoint has; bfloat16 where it is silent. */
static trawl_status read_stored(const char *folder, struct stored *out, struct trawl_error *err)
{
    char *path       = NULL;
    json_t *j        = NULL;
    const char *type = "bfloat16";
    TW_TRY(tw_path_join(folder, "config.json", &path, err));
    trawl_status status = tw_json_parse_file(path, 1 << 24, &j, err);
    if (status == TRAWL_OK) {
        status = tw_json_get_string(j, "torch_dtype", path, &type, err);
    }
    if (status == TRAWL_OK) {
        status = tw_json_get_string(j, "dtype", path, &type, err);
    }
    bool single = strcmp(type, "float32") == 0;
    *out = (struct stored){.panel = single || strcmp(type, "float16") == 0 ? 4 : 2, .row = single ? 4 : 2};
    json_decref(j);
    tw_free(path);
    return status;
}

static trawl_status read_folder(struct plan *p, const char *model_path, struct stored *stored,
                                struct trawl_error *err)
{
    char *folder = NULL;
    TW_TRY(cli_model_folder(model_path, &folder, err));
    (void)snprintf(p->name, sizeof p->name, "%s", model_path);
    trawl_status status = tw_model_config_read(&p->config, folder, err);
    if (status == TRAWL_OK) {
        status = read_stored(folder, stored, err);
    }
    if (status == TRAWL_OK) {
        status = tw_packed_present(folder, &p->packed, err);
    }
    if (status == TRAWL_OK && p->packed) {
        status = tw_packed_inspect(folder, &p->file, err);
    }
    tw_free(folder);
    return status;
}

static enum tw_mesh_embedding embedding_of(const struct cli_args *args)
{
    const char *name = cli_get_string(args, "embedding");
    if (strcmp(name, "vocab") == 0) {
        return TW_MESH_EMBED_VOCAB;
    }
    return strcmp(name, "hidden") == 0 ? TW_MESH_EMBED_HIDDEN : TW_MESH_EMBED_REPLICATED;
}

/* Memory that this process may use: the machine's, or its cgroup's. */
static size_t machine_bytes(void)
{
    size_t bytes = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    char *text   = NULL;
    size_t n     = 0;
    if (tw_file_read("/sys/fs/cgroup/memory.max", 4096, &text, &n, NULL) == TRAWL_OK) {
        unsigned long long limit = strtoull(text, NULL, 10); /* "max": 0 */
        bytes                    = limit > 0 && limit < bytes ? (size_t)limit : bytes;
    }
    tw_free(text);
    return bytes;
}

static bool is_float32(const struct cli_args *args, const char *name)
{
    return strcmp(cli_get_string(args, name), "float32") == 0;
}

static int devices_of(const struct cli_args *args)
{
    struct cli_mesh mesh = cli_get_mesh(args, "mesh_shape");
    return (int)cli_get_int_or(args, "devices", mesh.automatic ? 1 : mesh.data * mesh.model);
}

/* Of the bytes of plain matrices: how many are held. */
static double weight_share(const struct plan *p)
{
    return p->compressed ? (double)p->file.matrix_bytes / (2 * (double)p->file.matrix_elements) : 1;
}

/* Everything but the model and the mesh. */
static trawl_status set_load(struct plan *p, const struct cli_args *args, struct stored stored,
                             struct trawl_error *err)
{
    struct tw_kernels kernels;
    TW_TRY(tw_kernels_init(&kernels, getenv("TRAWL_ISA"), err));
    bool wide     = is_float32(args, "dtype");
    p->compressed = p->file.compressed && kernels.compressed;
    int cores     = tw_cores_available() / devices_of(args);
    int64_t len   = cli_get_int_or(args, "max_model_len", (int64_t)p->config.max_positions);
    if ((size_t)len > p->config.max_positions) {
        return tw_fail(err, TRAWL_ERR_INVALID, "--max_model_len is %lld, the context of %s is %zu",
                       (long long)len, p->name, p->config.max_positions);
    }
    p->load = (struct tw_mesh_load){
        .weight_bytes     = wide ? stored.panel : 2,
        .weight_share     = weight_share(p),
        .embed_bytes      = stored.row,
        .kv_bytes         = (cli_has(args, "kv_dtype") ? is_float32(args, "kv_dtype") : wide) ? 4 : 2,
        .batch            = (size_t)cli_get_int(args, "batch_size"),
        .max_len          = (size_t)len,
        .chunk            = (size_t)cli_get_int(args, "prefill_chunk"),
        .page_tokens      = TW_KV_BLOCK,
        .extra_logit_rows = EXTRA_LOGIT_ROWS,
        .threads          = (size_t)cli_get_int_or(args, "threads", cores < 1 ? 1 : cores),
        .thread_bytes     = tw_device_thread_bytes(&kernels, &p->config, p->compressed),
        .kv               = strcmp(cli_get_string(args, "kv_sharding"), "heads") == 0 ? TW_MESH_KV_HEADS
                                                                                      : TW_MESH_KV_SEQUENCE,
    };
    p->model           = tw_model_config_mesh(&p->config, (int)cli_get_int(args, "tree_leaves"));
    p->model.embedding = embedding_of(args);
    if (cli_has(args, "device_memory_gb")) {
        p->budget.device = (size_t)(cli_get_float(args, "device_memory_gb") * GIB);
    } else {
        p->budget.process = machine_bytes();
    }
    return TRAWL_OK;
}

/* Given rates, or measured: all devices at work, a device's share. */
static trawl_status set_rates(struct plan *p, const struct cli_args *args, struct trawl_error *err)
{
    double read  = cli_get_float_or(args, "read_gbs", 0) * 1e9,
           flops = cli_get_float_or(args, "gflops", 0) * 1e9;
    if (cli_get_flag(args, "measure")) {
        int devices = tw_mesh_size(p->mesh), threads = devices * (int)p->load.threads,
            cores       = tw_cores_available();
        double all_read = 0, all_flops = 0;
        enum tw_dtype compute = is_float32(args, "dtype") ? TW_DTYPE_F32 : TW_DTYPE_BF16;
        TW_TRY(plan_probe(&p->model, threads < cores ? threads : cores, compute, p->packed && !p->compressed,
                          &all_read, &all_flops, err));
        read  = read > 0 ? read : all_read / devices;
        flops = flops > 0 ? flops : all_flops / devices;
    }
    if ((read > 0) != (flops > 0)) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "--read_gbs and --gflops belong together: one of them is missing");
    }
    p->has_rates = read > 0;
    p->rates     = (struct plan_rates){.read_bytes = read,
                                       .flops      = flops,
                                       .link_bytes = cli_get_float(args, "link_gbs") * 1e9,
                                       .link_delay = cli_get_float(args, "link_us") / 1e6};
    return TRAWL_OK;
}

/* ---- what follows ---- */

static trawl_status pass_on(const struct plan *p, struct trawl_error *err)
{
    if (err != NULL) {
        *err = p->reason;
    }
    return p->fits;
}

/* A mesh that does not fit is an answer (plan->fits); a mesh that cannot be is an error. */
static trawl_status choose_mesh(struct plan *p, const struct cli_args *args, struct trawl_error *err)
{
    struct cli_mesh mesh = cli_get_mesh(args, "mesh_shape");
    int devices          = devices_of(args);
    if (mesh.automatic) {
        p->fits = tw_mesh_suggest(&p->model, devices, &p->load, p->budget, &p->mesh, &p->memory, &p->reason);
    } else {
        p->mesh = (struct tw_mesh){mesh.data, mesh.model};
        if (devices != tw_mesh_size(p->mesh)) {
            return tw_fail(err, TRAWL_ERR_INVALID, "--devices is %d, --mesh_shape %dx%d has %d", devices,
                           mesh.data, mesh.model, tw_mesh_size(p->mesh));
        }
        TW_TRY(tw_mesh_memory_plan(&p->model, p->mesh, &p->load, &p->memory, err));
        p->fits = tw_mesh_memory_fits(p->mesh, &p->memory, p->budget, &p->reason);
    }
    if (p->fits != TRAWL_OK && p->fits != TRAWL_ERR_LIMIT) {
        return pass_on(p, err);
    }
    p->has_mesh = p->fits == TRAWL_OK || !mesh.automatic;
    return TRAWL_OK;
}

static trawl_status answer(struct plan *p, const struct cli_args *args, struct trawl_error *err)
{
    TW_TRY(choose_mesh(p, args, err));
    if (!p->has_mesh) {
        return TRAWL_OK;
    }
    TW_TRY(tw_mesh_largest_batch(&p->model, p->mesh, &p->load, p->budget, PLAN_BATCH_MAX, &p->largest_batch,
                                 err));
    TW_TRY(tw_mesh_longest_length(&p->model, p->mesh, &p->load, p->budget, p->config.max_positions,
                                  &p->longest_len, err));
    p->traffic = tw_mesh_traffic_of(&p->model, p->mesh.model, p->load.kv);
    TW_TRY(set_rates(p, args, err));
    if (p->has_rates) {
        p->speed = plan_speed_of(&p->model, p->mesh, &p->load, &p->memory, &p->rates);
    }
    return TRAWL_OK;
}

/* ---- output ---- */

static trawl_status write_text(struct tw_str *text, struct trawl_error *err)
{
    return cli_write(tw_str_text(text), text->size, err);
}

static trawl_status print_one(const struct plan *p, const struct cli_args *args, struct tw_str *text,
                              struct trawl_error *err)
{
    bool sharding = cli_get_flag(args, "verify_sharding");
    if (cli_get_flag(args, "json")) {
        struct tw_json_writer w;
        if (sharding && p->has_mesh) {
            TW_TRY(tw_mesh_verify(&p->model, p->mesh.model, NULL, err));
        }
        tw_json_writer_init(&w, text, 2);
        plan_json(p, sharding, &w);
        TW_TRY(tw_json_writer_finish(&w, err));
        return tw_str_putc(text, '\n', err);
    }
    if (sharding && p->has_mesh) {
        TW_TRY(plan_print_sharding(p, text, err));
    }
    return plan_print(p, cli_use_color(stdout), text, err);
}

static trawl_status run_one(const struct cli_args *args, struct tw_str *text, struct trawl_error *err)
{
    struct plan p        = {.fits = TRAWL_OK};
    struct stored stored = {2, 2};
    if (cli_has(args, "preset")) {
        const struct plan_preset *preset = NULL;
        TW_TRY(plan_preset_find(cli_get_string(args, "preset"), &preset, err));
        p.config = plan_preset_config(preset);
        (void)snprintf(p.name, sizeof p.name, "%s (%s)", preset->name, preset->model);
    } else {
        TW_TRY(read_folder(&p, cli_get_string(args, "model_path"), &stored, err));
    }
    TW_TRY(set_load(&p, args, stored, err));
    TW_TRY(answer(&p, args, err));
    TW_TRY(print_one(&p, args, text, err));
    TW_TRY(write_text(text, err));
    return p.fits == TRAWL_OK ? TRAWL_OK : pass_on(&p, err);
}

/* Every preset on the same devices; a context shorter than --max_model_len is no mistake here. */
static trawl_status answer_all(struct plan *plans, const struct cli_args *args, struct trawl_error *err)
{
    for (size_t i = 0; i < plan_preset_count(); i++) {
        const struct plan_preset *preset = plan_preset_at(i);
        struct plan *p                   = &plans[i];
        p->config                        = plan_preset_config(preset);
        size_t asked = (size_t)cli_get_int_or(args, "max_model_len", (int64_t)p->config.max_positions);
        p->config.max_positions = asked > p->config.max_positions ? asked : p->config.max_positions;
        (void)snprintf(p->name, sizeof p->name, "%s", preset->name);
        TW_TRY(set_load(p, args, (struct stored){2, 2}, err));
        TW_TRY(answer(p, args, err));
    }
    return TRAWL_OK;
}

static trawl_status print_all(const struct plan *plans, const struct cli_args *args, struct tw_str *text,
                              struct trawl_error *err)
{
    struct tw_json_writer w;
    if (!cli_get_flag(args, "json")) {
        TW_TRY(plan_print_table(plans, plan_preset_count(), cli_use_color(stdout), text, err));
        return write_text(text, err);
    }
    tw_json_writer_init(&w, text, 2);
    tw_json_begin_array(&w);
    for (size_t i = 0; i < plan_preset_count(); i++) {
        plan_json(&plans[i], cli_get_flag(args, "verify_sharding"), &w);
    }
    tw_json_end_array(&w);
    TW_TRY(tw_json_writer_finish(&w, err));
    TW_TRY(tw_str_putc(text, '\n', err));
    return write_text(text, err);
}

static trawl_status run_all(const struct cli_args *args, struct tw_str *text, struct trawl_error *err)
{
    struct plan *plans = NULL;
    TW_TRY(tw_alloc(plan_preset_count(), sizeof *plans, &plans, err));
    trawl_status status = answer_all(plans, args, err);
    if (status == TRAWL_OK) {
        status = print_all(plans, args, text, err);
    }
    tw_free(plans);
    return status;
}

int cmd_plan(const struct cli_args *args, struct trawl_error *err)
{
    struct tw_str text;
    if (cli_has(args, "model_path") == cli_has(args, "preset")) {
        return cli_exit_code(
            tw_fail(err, TRAWL_ERR_INVALID, "give --model_path DIR or --preset NAME, one of them"));
    }
    tw_str_init(&text, 0);
    bool all            = cli_has(args, "preset") && strcmp(cli_get_string(args, "preset"), "all") == 0;
    trawl_status status = all ? run_all(args, &text, err) : run_one(args, &text, err);
    tw_str_release(&text);
    return cli_exit_code(status);
}
