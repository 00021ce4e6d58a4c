/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "store/store.h"
#include "store/store_layout.h"
#include "store/store_manifest.h"
#include "store/store_scan.h"
#include "store/store_stats.h"
#include "json/json.h"

struct site_sum {
    char *name;
    uint64_t files;
    uint64_t requests;
    uint64_t rows;
    uint64_t bytes;
};

struct inspect {
    struct site_sum *sites;
    size_t n_sites;
    size_t capacity;
};

/* The sites of a store are few, and their records come in turn. */
static trawl_status find_site(struct inspect *in, const char *name, struct site_sum **out,
                              struct trawl_error *err)
{
    for (size_t i = 0; i < in->n_sites; i++) {
        if (strcmp(in->sites[i].name, name) == 0) {
            *out = &in->sites[i];
            return TRAWL_OK;
        }
    }
    TW_TRY(tw_grow(&in->sites, &in->capacity, in->n_sites + 1, sizeof *in->sites, err));
    in->sites[in->n_sites] = (struct site_sum){0};
    TW_TRY(tw_strdup(name, &in->sites[in->n_sites].name, err));
    *out = &in->sites[in->n_sites++];
    return TRAWL_OK;
}

static trawl_status inspect_record(void *user, uint64_t group, const struct tw_manifest_record *r,
                                   struct trawl_error *err)
{
    struct site_sum *site = NULL;
    (void)group;
    if (r->site == NULL) {
        return TRAWL_OK;
    }
    TW_TRY(find_site(user, r->site, &site, err));
    site->files++;
    site->requests += r->requests;
    site->rows += r->rows;
    site->bytes += r->bytes;
    return TRAWL_OK;
}

static trawl_status inspect_line(void *user, uint64_t group, const char *text, size_t n,
                                 struct trawl_error *err)
{
    return tw_manifest_parse(text, n, TW_MANIFEST_NAME, group, inspect_record, user, err);
}

static trawl_status print_sites(const struct inspect *in, const struct tw_safetensors *statistics,
                                struct tw_str *out, struct trawl_error *err)
{
    TW_TRY(tw_str_printf(out, err, "%-36s %8s %10s %12s %16s %12s %12s %10s\n", "site", "files", "requests",
                         "rows", "bytes", "mean norm", "rms norm", "nonfinite"));
    for (size_t i = 0; i < in->n_sites; i++) {
        const struct site_sum *s   = &in->sites[i];
        struct tw_site_stats stats = {0};
        TW_TRY(tw_stats_load_scalars(&stats, s->name, statistics, err));
        TW_TRY(tw_str_printf(out, err, "%-36s %8llu %10llu %12llu %16llu %12.6g %12.6g %10llu\n", s->name,
                             (unsigned long long)s->files, (unsigned long long)s->requests,
                             (unsigned long long)s->rows, (unsigned long long)s->bytes,
                             tw_stats_mean_norm(&stats), tw_stats_rms_norm(&stats),
                             (unsigned long long)stats.nonfinite));
    }
    return TRAWL_OK;
}

/* Statistics come from their own file: metadata.json may be some groups behind while a run goes on. */
static trawl_status print_statistics(const char *dir, const struct inspect *in, struct tw_str *out,
                                     struct trawl_error *err)
{
    char *path                        = NULL;
    struct tw_safetensors *statistics = NULL;
    if (in->n_sites == 0) {
        return tw_str_puts(out, "no rows yet\n", err);
    }
    TW_TRY(tw_path_join(dir, TW_STATS_NAME, &path, err));
    trawl_status status = tw_safetensors_open(&statistics, path, err);
    if (status == TRAWL_OK) {
        status = print_sites(in, statistics, out, err);
    }
    tw_safetensors_close(statistics);
    tw_free(path);
    return status;
}

static trawl_status print_store(const char *dir, const struct inspect *in, const struct tw_journal_scan *scan,
                                const json_t *metadata, struct tw_str *out, struct trawl_error *err)
{
    const char *key;
    json_t *value;
    unsigned long long end = scan->n_groups == 0 ? 0 : scan->groups[scan->n_groups - 1].end;
    TW_TRY(tw_str_printf(out, err, "%s: %zu groups committed, requests before %llu, %s\n", dir,
                         scan->n_groups, end,
                         json_is_true(json_object_get(metadata, "complete")) ? "complete" : "not complete"));
    TW_TRY(tw_str_printf(out, err, "run %s\n", scan->run_hash));
    json_object_foreach(scan->run, key, value)
    {
        TW_TRY(tw_str_printf(out, err, "  %s = %s\n", key, json_string_value(value)));
    }
    return print_statistics(dir, in, out, err);
}

trawl_status tw_store_inspect(const char *dir, struct tw_str *out, struct trawl_error *err)
{
    struct inspect in = {0};
    struct tw_journal_scan scan;
    char *manifest   = NULL;
    char *path       = NULL;
    json_t *metadata = NULL;
    TW_TRY(tw_path_join(dir, TW_MANIFEST_NAME, &manifest, err));
    trawl_status status = tw_journal_read(&scan, manifest, TW_MANIFEST_KIND, inspect_line, &in, err);
    if (status == TRAWL_OK) {
        status = tw_path_join(dir, TW_METADATA_NAME, &path, err);
    }
    if (status == TRAWL_OK) {
        status = tw_json_parse_file(path, 0, &metadata, err);
    }
    if (status == TRAWL_OK) {
        status = print_store(dir, &in, &scan, metadata, out, err);
    }
    for (size_t i = 0; i < in.n_sites; i++) {
        tw_free(in.sites[i].name);
    }
    tw_free(in.sites);
    tw_journal_scan_release(&scan);
    json_decref(metadata);
    tw_free(manifest);
    tw_free(path);
    return status;
}
