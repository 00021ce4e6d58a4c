/* SPDX-License-Identifier: MIT */
#include "store/store_survey.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/size.h"
#include "store/store_manifest.h"
#include "store/store_reader.h"
#include "store/store_scan.h"
#include "store/store_stats.h"
#include "json/json.h"

enum { PIECE_ROWS = 64 };

uint64_t tw_survey_bin_first(size_t bin)
{
    return bin == 0 ? 0 : (uint64_t)1 << (bin - 1);
}

static size_t bin_of(uint64_t position)
{
    size_t bin = position == 0 ? 0 : 64 - (size_t)__builtin_clzll(position);
    return tw_min_size(bin, TW_SURVEY_BINS - 1);
}

/* ---- the manifest ---- */

static trawl_status add_record(void *user, uint64_t group, const struct tw_manifest_record *r,
                               struct trawl_error *err)
{
    struct tw_survey *s = user;
    (void)group, (void)err;
    for (size_t i = 0; r->site != NULL && i < s->n_sites; i++) {
        struct tw_survey_site *site = &s->sites[i];
        if (strcmp(site->name, r->site) == 0) {
            site->files++;
            site->requests += r->requests;
            site->rows += r->rows;
            site->bytes += r->bytes;
        }
    }
    return TRAWL_OK;
}

static trawl_status add_line(void *user, uint64_t group, const char *text, size_t n, struct trawl_error *err)
{
    return tw_manifest_parse(text, n, TW_MANIFEST_NAME, group, add_record, user, err);
}

static trawl_status read_manifest(struct tw_survey *s, struct trawl_error *err)
{
    struct tw_journal_scan scan = {0};
    char *path                  = NULL;
    TW_TRY(tw_path_join(s->dir, TW_MANIFEST_NAME, &path, err));
    trawl_status status = tw_journal_read(&scan, path, TW_MANIFEST_KIND, add_line, s, err);
    s->groups           = scan.n_groups;
    s->end              = scan.n_groups == 0 ? 0 : scan.groups[scan.n_groups - 1].end;
    memcpy(s->run_hash, scan.run_hash, sizeof s->run_hash);
    tw_journal_scan_release(&scan);
    tw_free(path);
    if (status == TRAWL_OK && s->n_sites > 0) {
        s->requests = s->sites[0].requests;
        s->rows     = s->sites[0].rows;
    }
    return status;
}

static trawl_status copy_sites(struct tw_survey *s, const struct tw_store_config *config,
                               struct trawl_error *err)
{
    TW_TRY(tw_alloc(config->n_sites, sizeof *s->sites, &s->sites, err));
    s->n_sites = config->n_sites;
    for (size_t i = 0; i < s->n_sites; i++) {
        struct tw_str label;
        struct tw_survey_site *site = &s->sites[i];
        site->width                 = config->sites[i].width;
        TW_TRY(tw_strdup(config->sites[i].name, &site->name, err));
        tw_str_init(&label, 0);
        TW_TRY(config->sites[i].layer < 0 ? tw_str_puts(&label, site->name, err)
                                          : tw_str_printf(&label, err, "layer_%d", config->sites[i].layer));
        site->label = label.data;
    }
    return TRAWL_OK;
}

/* ---- statistics ---- */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Keep the largest, in order; of equal ones the first. */
static void offer_outlier(struct tw_survey_site *site, struct tw_survey_outlier candidate)
{
    size_t at = site->n_outliers;
    while (at > 0 && site->outliers[at - 1].ratio < candidate.ratio) {
        at--;
    }
    if (at == TW_SURVEY_OUTLIERS) {
        return;
    }
    site->n_outliers = tw_min_size(site->n_outliers + 1, TW_SURVEY_OUTLIERS);
    for (size_t i = site->n_outliers - 1; i > at; i--) {
        site->outliers[i] = site->outliers[i - 1];
    }
    site->outliers[at] = candidate;
}

static trawl_status find_outliers(struct tw_survey_site *site, const struct tw_site_stats *stats,
                                  struct trawl_error *err)
{
    double n = (double)stats->rows, *rms = NULL;
    TW_TRY(tw_alloc(site->width, sizeof *rms, &rms, err));
    for (size_t j = 0; j < site->width; j++) {
        rms[j] = sqrt(stats->square_sum[j] / n);
    }
    qsort(rms, site->width, sizeof *rms, compare_doubles);
    double median = rms[site->width / 2];
    tw_free(rms);
    for (size_t j = 0; j < site->width; j++) {
        double mean = stats->sum[j] / n, square = stats->square_sum[j] / n;
        double variance = square - mean * mean;
        offer_outlier(site, (struct tw_survey_outlier){.dimension = j,
                                                       .mean      = mean,
                                                       .deviation = sqrt(variance > 0 ? variance : 0),
                                                       .ratio     = median > 0 ? sqrt(square) / median : 0});
    }
    return TRAWL_OK;
}

static trawl_status take_statistics(struct tw_survey_site *site, const struct tw_site_stats *stats,
                                    struct trawl_error *err)
{
    double n = (double)stats->rows, mean_square = 0;
    site->nonfinite = stats->nonfinite;
    site->mean_norm = tw_stats_mean_norm(stats);
    site->rms_norm  = tw_stats_rms_norm(stats);
    if (stats->rows == 0) {
        return TRAWL_OK;
    }
    for (size_t j = 0; j < site->width; j++) {
        mean_square += (stats->sum[j] / n) * (stats->sum[j] / n);
    }
    double square       = stats->norm_square_sum / n;
    site->mean_fraction = square > 0 ? mean_square / square : 0;
    return find_outliers(site, stats, err);
}

static trawl_status read_statistics(struct tw_survey *s, const struct tw_store_config *config,
                                    struct trawl_error *err)
{
    struct tw_store_config c = *config;
    struct tw_layout layout;
    struct tw_stats stats;
    char *path = NULL;
    c.dir      = s->dir;
    TW_TRY(tw_layout_init(&layout, &c, err)); /* checks the widths too */
    if (s->groups == 0) {
        tw_layout_release(&layout);
        return TRAWL_OK;
    }
    trawl_status status = tw_stats_init(&stats, &layout, err);
    if (status == TRAWL_OK) {
        status = tw_path_join(s->dir, TW_STATS_NAME, &path, err);
    }
    if (status == TRAWL_OK) {
        status = tw_stats_load(&stats, &layout, path, err);
    }
    for (size_t i = 0; status == TRAWL_OK && i < s->n_sites; i++) {
        status = take_statistics(&s->sites[i], &stats.sites[i], err);
    }
    tw_stats_release(&stats);
    tw_layout_release(&layout);
    tw_free(path);
    return status;
}

/* ---- rows ---- */

static void add_norm(struct tw_survey_bin *bin, const float *row, size_t width)
{
    double square = 0;
    for (size_t j = 0; j < width; j++) {
        square += (double)row[j] * (double)row[j];
    }
    double norm = sqrt(square);
    if (!isfinite(norm)) {
        return;
    }
    bin->norm_min = bin->rows == 0 || norm < bin->norm_min ? norm : bin->norm_min;
    bin->norm_max = bin->rows == 0 || norm > bin->norm_max ? norm : bin->norm_max;
    bin->norm_sum += norm;
    bin->rows++;
}

static void look_at(struct tw_survey *s, const struct tw_reader *r, const struct tw_store_request *q,
                    float *rows)
{
    for (size_t i = 0; i < s->n_sites; i++) {
        struct tw_survey_site *site = &s->sites[i];
        for (size_t at = 0; at < q->n_rows; at += PIECE_ROWS) {
            size_t n = tw_min_size(PIECE_ROWS, q->n_rows - at);
            tw_reader_rows(r, i, at, n, rows);
            for (size_t k = 0; k < n; k++) {
                /* A pickle does not say positions: then they count from the first stored row. */
                int32_t stored    = q->position == NULL ? 0 : q->position[at + k];
                uint64_t position = q->position == NULL ? at + k : stored < 0 ? 0 : (uint64_t)stored;
                add_norm(&site->bins[bin_of(position)], rows + k * site->width, site->width);
            }
        }
    }
}

static trawl_status read_rows(struct tw_survey *s, struct tw_reader *r, uint64_t sample,
                              struct trawl_error *err)
{
    size_t widest = 0;
    float *rows   = NULL;
    uint64_t run  = 0;
    uint64_t step = sample == 0 || s->rows <= sample ? 1 : s->rows / sample + (s->rows % sample != 0);
    for (size_t i = 0; i < s->n_sites; i++) {
        widest = tw_max_size(widest, s->sites[i].width);
    }
    TW_TRY(tw_alloc(PIECE_ROWS * widest, sizeof *rows, &rows, err));
    trawl_status status = TRAWL_OK;
    for (bool more = true; status == TRAWL_OK; run++) {
        struct tw_store_request q;
        status = tw_reader_next_run(r, &q, &more, err);
        if (status != TRAWL_OK || !more) {
            break;
        }
        for (size_t k = 0; q.is_generated != NULL && k < q.n_rows; k++) {
            s->generated += q.is_generated[k] != 0;
            s->prompt += q.is_generated[k] == 0;
        }
        if (run % step == 0) {
            look_at(s, r, &q, rows);
            s->looked_at += q.n_rows;
        }
    }
    tw_free(rows);
    return status;
}

static trawl_status survey_store(struct tw_survey *s, struct tw_reader *r, uint64_t sample,
                                 struct trawl_error *err)
{
    struct tw_store_config config = {0};
    tw_reader_config(r, &config);
    s->settings    = json_incref((json_t *)(uintptr_t)tw_reader_settings(r));
    s->metadata    = json_incref((json_t *)(uintptr_t)tw_reader_metadata(r));
    s->complete    = json_is_true(json_object_get(s->metadata, "complete"));
    s->has_columns = config.format == TW_STORE_SAFETENSORS;
    TW_TRY(copy_sites(s, &config, err));
    TW_TRY(read_manifest(s, err));
    TW_TRY(read_statistics(s, &config, err));
    return read_rows(s, r, sample, err);
}

trawl_status tw_survey_make(struct tw_survey *survey, const char *dir, uint64_t sample,
                            struct trawl_error *err)
{
    struct tw_reader *r = NULL;
    *survey             = (struct tw_survey){0};
    TW_TRY(tw_strdup(dir, &survey->dir, err));
    TW_TRY(tw_reader_open(&r, dir, err));
    trawl_status status = survey_store(survey, r, sample, err);
    tw_reader_close(r);
    return status;
}

void tw_survey_release(struct tw_survey *s)
{
    for (size_t i = 0; i < s->n_sites; i++) {
        tw_free(s->sites[i].name);
        tw_free(s->sites[i].label);
    }
    tw_free(s->sites);
    tw_free(s->dir);
    json_decref(s->settings);
    json_decref(s->metadata);
    *s = (struct tw_survey){0};
}
