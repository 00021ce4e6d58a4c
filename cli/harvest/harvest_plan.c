/* SPDX-License-Identifier: MIT */
#include "cli/harvest/harvest_plan.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/size.h"
#include "base/thread.h"
#include "cli/info_facts.h"
#include "cli/plan/plan_probe.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "model/model_site.h"
#include "store/store_survey.h"

enum { SITES_MAX = 4096, COLUMN_BYTES = 17, MEASURE_BYTES = 8, SIZE_TEXT = 32 };
enum { CHUNK_BYTES = 4096 + 512, CONTEXT_BYTES = 300 }; /* of files besides their rows */

/* ---- sites ---- */

static trawl_status add_layers(struct harvest_sites *s, const int64_t *layers, size_t n, size_t n_layers,
                               struct trawl_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (layers[i] >= (int64_t)n_layers) {
            return tw_fail(err, TRAWL_ERR_INVALID,
                           "--layers_to_extract %" PRId64 ": the model has %zu layers, 0 to %zu", layers[i],
                           n_layers, n_layers - 1);
        }
        (void)snprintf(s->layers[i], sizeof s->layers[i], "layer_%" PRId64, layers[i]);
        s->patterns[s->n_patterns++] = s->layers[i];
    }
    return TRAWL_OK;
}

static trawl_status choose_patterns(struct harvest_sites *s, const struct cli_args *args, size_t n_layers,
                                    struct trawl_error *err)
{
    const char *const *names = NULL;
    const int64_t *layers    = NULL;
    const int64_t usual[3]   = {0, (int64_t)(n_layers - 1) / 2, (int64_t)n_layers - 1};
    size_t n_names           = cli_get_strings(args, "sites", &names),
           n                 = cli_get_ints(args, "layers_to_extract", &layers);
    if (n_names + n == 0) {
        layers = usual;
        n      = 3;
    }
    TW_TRY(tw_alloc(n_names + n, sizeof *s->patterns, &s->patterns, err));
    TW_TRY(tw_alloc(n, sizeof *s->layers, &s->layers, err));
    for (size_t i = 0; i < n_names; i++) {
        s->patterns[s->n_patterns++] = names[i];
    }
    return add_layers(s, layers, n, n_layers, err);
}

static trawl_status choose_dtype(struct harvest_sites *s, const struct cli_args *args,
                                 struct trawl_error *err)
{
    bool pkl         = strcmp(cli_get_string(args, "activations_format"), "pkl") == 0;
    const char *name = cli_get_string(args, "activations_dtype");
    if (pkl && name != NULL && strcmp(name, "float32") != 0) {
        return tw_fail(
            err, TRAWL_ERR_INVALID,
            "--activations_dtype %s: pickles hold float32; --activations_format safetensors has %s", name,
            name);
    }
    s->dtype = pkl || (name != NULL && strcmp(name, "float32") == 0) ? TRAWL_DTYPE_FLOAT32
               : name != NULL && strcmp(name, "float16") == 0        ? TRAWL_DTYPE_FLOAT16
                                                                     : TRAWL_DTYPE_BFLOAT16;
    return TRAWL_OK;
}

static trawl_status measure(struct harvest_sites *s, const struct cli_args *args, struct trawl_error *err)
{
    const struct tw_model_config *m = &s->model;
    struct tw_site *sites           = NULL;
    size_t element                  = s->dtype == TRAWL_DTYPE_FLOAT32 ? 4 : 2;
    bool pkl                        = strcmp(cli_get_string(args, "activations_format"), "pkl") == 0;
    size_t columns = pkl ? 0 : COLUMN_BYTES + (cli_get_flag(args, "logprobs") ? MEASURE_BYTES : 0);
    TW_TRY(tw_alloc(SITES_MAX, sizeof *sites, &sites, err));
    trawl_status status = TRAWL_OK;
    for (size_t i = 0; status == TRAWL_OK && i < s->n_patterns; i++) {
        status = tw_site_parse(s->patterns[i], m, sites, SITES_MAX, &s->n_sites, err);
    }
    for (size_t i = 0; status == TRAWL_OK && i < s->n_sites; i++) {
        s->width += tw_site_width(sites[i], m);
        s->depth = tw_max_size(s->depth, tw_site_depth(sites[i], m));
        s->row_bytes += tw_site_width(sites[i], m) * element + columns;
    }
    s->depth = cli_get_flag(args, "logprobs") ? m->n_layers : s->depth;
    tw_free(sites);
    return status;
}

trawl_status harvest_sites_choose(struct harvest_sites *s, const struct cli_args *args, const char *folder,
                                  struct trawl_error *err)
{
    TW_TRY(tw_model_config_read(&s->model, folder, err));
    const struct tw_model_config *m = &s->model;
    size_t limit = (size_t)cli_get_int_or(args, "max_model_len", (int64_t)m->max_positions);
    if ((size_t)cli_get_int(args, "context_size") > limit) {
        return tw_fail(err, TRAWL_ERR_INVALID, "--context_size is %" PRId64 ", %s %zu",
                       cli_get_int(args, "context_size"),
                       cli_given(args, "max_model_len") ? "--max_model_len" : "the model's context", limit);
    }
    TW_TRY(choose_patterns(s, args, m->n_layers, err));
    TW_TRY(choose_dtype(s, args, err));
    return measure(s, args, err);
}

void harvest_sites_release(struct harvest_sites *s)
{
    tw_free((void *)s->patterns);
    tw_free(s->layers);
    *s = (struct harvest_sites){0};
}

/* ---- the plan ---- */

/* Bytes of the files in `dir`, and in its folders down to `depth`; what cannot be read counts nothing. */
static uint64_t folder_bytes(const char *dir, int depth)
{
    uint64_t sum = 0;
    DIR *d       = opendir(dir);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        char *path = NULL;
        struct stat st;
        if (e->d_name[0] == '.' || tw_path_join(dir, e->d_name, &path, NULL) != TRAWL_OK) {
            continue;
        }
        if (stat(path, &st) == 0) {
            sum += S_ISREG(st.st_mode)                ? (uint64_t)st.st_size
                   : S_ISDIR(st.st_mode) && depth > 0 ? folder_bytes(path, depth - 1)
                                                      : 0;
        }
        tw_free(path);
    }
    if (d != NULL) {
        (void)closedir(d);
    }
    return sum;
}

/* Space on the device where `dir` is or would be made. */
static trawl_status free_bytes(const char *dir, uint64_t *out, struct trawl_error *err)
{
    struct statvfs v;
    char *at = NULL;
    TW_TRY(tw_strdup(dir, &at, err));
    while (statvfs(at, &v) != 0 && errno == ENOENT) {
        char *parent        = NULL;
        trawl_status status = tw_path_dir(at, &parent, err);
        tw_free(at);
        TW_TRY(status);
        at = parent;
    }
    tw_free(at);
    *out = (uint64_t)v.f_bavail * v.f_frsize;
    return TRAWL_OK;
}

static void print_cut(const struct tw_harvest_counts *c)
{
    if (c->cut) {
        (void)fprintf(stderr,
                      "trawl harvest: --max_tokens ends the run inside a document, after %" PRIu64
                      " of its %" PRIu64 " tokens\n",
                      c->cut_at, c->cut_tokens);
    }
}

static void print_counts(const struct tw_harvest_plan *p, const struct cli_args *args)
{
    const struct tw_harvest_counts *c = &p->counts;
    (void)fprintf(stderr, "trawl harvest: %" PRIu64 " documents, %" PRIu64 " contexts, %" PRIu64 " tokens",
                  c->documents, c->contexts, c->tokens);
    if (c->empty > 0) {
        (void)fprintf(stderr, "; %" PRIu64 " documents are empty", c->empty);
    }
    if (c->left_out + c->truncated > 0) {
        (void)fprintf(stderr, "; %" PRIu64 " were longer than a context and %s", c->left_out + c->truncated,
                      c->left_out > 0 ? "are left out" : "are cut");
    }
    if (p->skipped > 0) {
        (void)fprintf(stderr, "; %" PRIu64 " cannot be used", p->skipped);
    }
    (void)fputc('\n', stderr);
    print_cut(c);
    if (cli_get_int(args, "num_shards") > 1) {
        (void)fprintf(stderr,
                      "trawl harvest: shard %" PRId64 " of %" PRId64 " has %" PRIu64 " contexts, %" PRIu64
                      " tokens\n",
                      cli_get_int(args, "shard_id"), cli_get_int(args, "num_shards"), p->contexts, p->tokens);
    }
}

/* A file of each group and site has a header, and lines in the manifest and in metadata.json. */
static uint64_t needed_bytes(const struct tw_harvest_plan *plan, const struct harvest_sites *sites,
                             size_t group)
{
    uint64_t chunks = (plan->contexts + group - 1) / group * sites->n_sites;
    return plan->rows * sites->row_bytes + chunks * CHUNK_BYTES + plan->contexts * CONTEXT_BYTES;
}

trawl_status harvest_plan_check(const struct tw_harvest_plan *plan, const struct harvest_sites *sites,
                                size_t group, const struct cli_args *args, struct trawl_error *err)
{
    const char *dir    = cli_get_string(args, "activations_dir");
    uint64_t available = 0, need = needed_bytes(plan, sites, group), there = folder_bytes(dir, 1);
    char need_text[SIZE_TEXT], free_text[SIZE_TEXT], row_text[SIZE_TEXT];
    print_counts(plan, args);
    if (plan->counts.contexts == 0) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "there is no text in the input");
    }
    TW_TRY(free_bytes(dir, &available, err));
    cli_format_bytes(need_text, sizeof need_text, need);
    cli_format_bytes(free_text, sizeof free_text, available);
    cli_format_bytes(row_text, sizeof row_text, sites->row_bytes);
    (void)fprintf(
        stderr,
        "trawl harvest: %zu site%s, %s a token, %" PRIu64 " rows of each: %s; %s are free where %s is\n",
        sites->n_sites, sites->n_sites == 1 ? "" : "s", row_text, plan->rows, need_text, free_text, dir);
    if (cli_get_flag(args, "shuffle_rows")) {
        size_t most = group * (size_t)cli_get_int(args, "context_size");
        cli_format_bytes(row_text, sizeof row_text, (uint64_t)most * sites->width * sizeof(float));
        (void)fprintf(stderr, "trawl harvest: rows are mixed %zu contexts at a time, with %s of memory\n",
                      group, row_text);
    }
    if (cli_get_flag(args, "check_free_space") && need > there && need - there > available) {
        return tw_fail(
            err, TRAWL_ERR_IO,
            "%s: %s of activations do not fit into the %s that are free; take fewer tokens or sites, or "
            "say --no_check_free_space",
            dir, need_text, free_text);
    }
    return TRAWL_OK;
}

/* Of the matrix products of one token; a multiply-add counts two. Attention is left out. */
static double token_flops(const struct harvest_sites *s, bool head)
{
    const struct tw_model_config *m = &s->model;
    double hidden                   = (double)m->hidden,
           heads                    = (double)(2 * m->n_heads + 2 * m->n_kv_heads) * (double)m->head_dim;
    double layer                    = hidden * (heads + 3 * (double)m->intermediate);
    return 2 * ((double)s->depth * layer + (head ? hidden * (double)m->vocab : 0));
}

trawl_status harvest_plan_estimate(const struct tw_harvest_plan *plan, const struct harvest_sites *sites,
                                   const struct cli_args *args, struct trawl_error *err)
{
    struct cli_mesh mesh       = cli_get_mesh(args, "mesh_shape");
    struct tw_mesh_model model = tw_model_config_mesh(&sites->model, (int)cli_get_int(args, "tree_leaves"));
    bool wide                  = strcmp(cli_get_string(args, "dtype"), "float32") == 0;
    int cores                  = tw_cores_available();
    int64_t threads = cli_get_int_or(args, "threads", cores) * (mesh.automatic ? 1 : mesh.data * mesh.model);
    double read = 0, flops = 0;
    TW_TRY(plan_probe(&model, threads < cores ? (int)threads : cores, wide ? TW_DTYPE_F32 : TW_DTYPE_BF16,
                      cli_get_int(args, "compress_weights") == 0, &read, &flops, err));
    double rate    = flops / token_flops(sites, cli_get_flag(args, "logprobs"));
    double seconds = (double)plan->tokens / rate;
    (void)fprintf(
        stderr, "trawl harvest: here at most %.0f tokens/s, the matrix products alone, so at least %.*f %s\n",
        rate, seconds < 3600 ? 0 : 1,
        seconds < 120    ? seconds
        : seconds < 3600 ? seconds / 60
                         : seconds / 3600,
        seconds < 120    ? "seconds"
        : seconds < 3600 ? "minutes"
                         : "hours");
    return TRAWL_OK;
}

/* ---- afterwards ---- */

static trawl_status add_sites(struct cli_table *t, const struct tw_survey *v, struct trawl_error *err)
{
    TW_TRY(cli_table_add(t, err, "site"));
    TW_TRY(cli_table_add(t, err, "rows"));
    TW_TRY(cli_table_add(t, err, "bytes"));
    TW_TRY(cli_table_add(t, err, "mean norm"));
    TW_TRY(cli_table_add(t, err, "rms norm"));
    TW_TRY(cli_table_add(t, err, "not finite"));
    for (const struct tw_survey_site *s = v->sites; s < v->sites + v->n_sites; s++) {
        TW_TRY(cli_table_add(t, err, "%s", s->name));
        TW_TRY(cli_table_add(t, err, "%" PRIu64, s->rows));
        TW_TRY(cli_table_add(t, err, "%" PRIu64, s->bytes));
        TW_TRY(cli_table_add(t, err, "%.6g", s->mean_norm));
        TW_TRY(cli_table_add(t, err, "%.6g", s->rms_norm));
        TW_TRY(cli_table_add(t, err, "%" PRIu64, s->nonfinite));
    }
    return TRAWL_OK;
}

static trawl_status print_sites(const char *dir, struct trawl_error *err)
{
    struct tw_survey survey;
    struct cli_table table;
    struct tw_str text;
    cli_table_init(&table, "lrrrrr");
    tw_str_init(&text, 0);
    trawl_status status = tw_survey_make(&survey, dir, 1, err);
    if (status == TRAWL_OK) {
        status = add_sites(&table, &survey, err);
    }
    if (status == TRAWL_OK) {
        status = cli_table_print(&table, 0, cli_use_color(stdout), &text, err);
    }
    if (status == TRAWL_OK) {
        status = cli_write(tw_str_text(&text), text.size, err);
    }
    tw_survey_release(&survey);
    cli_table_release(&table);
    tw_str_release(&text);
    return status;
}

trawl_status harvest_summary_print(const struct tw_harvest_summary *s, bool planned, const char *dir,
                                   struct trawl_error *err)
{
    if (!planned) {
        print_cut(&s->counts);
    }
    (void)fprintf(stderr, "trawl harvest: %" PRIu64 " contexts, %" PRIu64 " tokens", s->contexts, s->tokens);
    if (s->seconds > 0 && s->job.prompt_tokens > 0) {
        (void)fprintf(stderr, "; %" PRIu64 " tokens now, in %.1f s (%.0f tokens/s)", s->job.prompt_tokens,
                      s->seconds, (double)s->job.prompt_tokens / s->seconds);
    }
    if (s->failed > 0) {
        (void)fprintf(stderr, "; %" PRIu64 " contexts could not be run", s->failed);
    }
    (void)fprintf(stderr, "; in %s\n", dir);
    return print_sites(dir, err);
}
