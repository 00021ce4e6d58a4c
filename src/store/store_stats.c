/* SPDX-License-Identifier: MIT */
#include "store/store_stats.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

enum { LANES = 8 };

trawl_status tw_stats_init(struct tw_stats *stats, const struct tw_layout *layout, struct trawl_error *err)
{
    *stats = (struct tw_stats){0};
    TW_TRY(tw_alloc(layout->n_sites, sizeof *stats->sites, &stats->sites, err));
    stats->n_sites      = layout->n_sites;
    trawl_status status = TRAWL_OK;
    for (size_t i = 0; status == TRAWL_OK && i < stats->n_sites; i++) {
        struct tw_site_stats *s = &stats->sites[i];
        s->width                = layout->sites[i].width;
        status                  = tw_alloc(s->width, sizeof *s->sum, &s->sum, err);
        if (status == TRAWL_OK) {
            status = tw_alloc(s->width, sizeof *s->square_sum, &s->square_sum, err);
        }
    }
    if (status != TRAWL_OK) {
        tw_stats_release(stats);
    }
    return status;
}

void tw_stats_release(struct tw_stats *stats)
{
    for (size_t i = 0; i < stats->n_sites; i++) {
        tw_free(stats->sites[i].sum);
        tw_free(stats->sites[i].square_sum);
    }
    tw_free(stats->sites);
    *stats = (struct tw_stats){0};
}

static double square_norm(const float *row, size_t n)
{
    double lane[LANES] = {0};
    size_t whole       = n / LANES * LANES;
    for (size_t j = 0; j < whole; j += LANES) {
        for (int l = 0; l < LANES; l++) {
            double v = (double)row[j + (size_t)l];
            lane[l] += v * v;
        }
    }
    for (size_t j = whole; j < n; j++) {
        double v = (double)row[j];
        lane[j - whole] += v * v;
    }
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

void tw_stats_add(struct tw_site_stats *site, const float *rows, size_t n)
{
    for (size_t r = 0; r < n; r++) {
        const float *row = rows + r * site->width;
        double square    = square_norm(row, site->width);
        if (!isfinite(square)) { /* squares of finite floats cannot overflow in f64 */
            site->nonfinite++;
            continue;
        }
        site->rows++;
        site->norm_sum += sqrt(square);
        site->norm_square_sum += square;
        for (size_t j = 0; j < site->width; j++) {
            double v = (double)row[j];
            site->sum[j] += v;
            site->square_sum[j] += v * v;
        }
    }
}

double tw_stats_mean_norm(const struct tw_site_stats *site)
{
    return site->rows == 0 ? 0 : site->norm_sum / (double)site->rows;
}

double tw_stats_rms_norm(const struct tw_site_stats *site)
{
    return site->rows == 0 ? 0 : sqrt(site->norm_square_sum / (double)site->rows);
}

/* ---- the file ---- */

enum { NAME_BYTES = 256 };

struct tensor {
    const char *name;
    bool vector;
    bool count; /* I64, else F64 */
};

static const struct tensor tensors[] = {
    {"rows", false, true},      {"nonfinite_rows", false, true},
    {"norm_sum", false, false}, {"norm_square_sum", false, false},
    {"sum", true, false},       {"square_sum", true, false},
    {"mean", true, false},      {"variance", true, false},
};

enum { TENSORS = sizeof tensors / sizeof tensors[0], LOADED_SCALARS = 4 };

static trawl_status declare(struct tw_safetensors_writer *w, const struct tw_stats *stats,
                            const struct tw_layout *layout, struct trawl_error *err)
{
    TW_TRY(tw_safetensors_writer_metadata(w, "format", "pt", err));
    for (size_t k = 0; k < stats->n_sites * TENSORS; k++) {
        char name[NAME_BYTES];
        size_t site            = k / TENSORS;
        const struct tensor *t = &tensors[k % TENSORS];
        size_t shape           = t->vector ? stats->sites[site].width : 1;
        (void)snprintf(name, sizeof name, "%s.%s", layout->sites[site].name, t->name);
        TW_TRY(
            tw_safetensors_writer_declare(w, name, t->count ? TW_DTYPE_I64 : TW_DTYPE_F64, 1, &shape, err));
    }
    return tw_safetensors_writer_begin(w, err);
}

static trawl_status write_site(struct tw_safetensors_writer *w, const struct tw_site_stats *s,
                               struct trawl_error *err)
{
    double n = s->rows == 0 ? 1 : (double)s->rows;
    TW_TRY(tw_safetensors_writer_write(w, &s->rows, 8, err));
    TW_TRY(tw_safetensors_writer_write(w, &s->nonfinite, 8, err));
    TW_TRY(tw_safetensors_writer_write(w, &s->norm_sum, 8, err));
    TW_TRY(tw_safetensors_writer_write(w, &s->norm_square_sum, 8, err));
    TW_TRY(tw_safetensors_writer_write(w, s->sum, s->width * 8, err));
    TW_TRY(tw_safetensors_writer_write(w, s->square_sum, s->width * 8, err));
    for (size_t j = 0; j < s->width; j++) {
        double mean = s->sum[j] / n;
        TW_TRY(tw_safetensors_writer_write(w, &mean, 8, err));
    }
    for (size_t j = 0; j < s->width; j++) {
        double mean     = s->sum[j] / n;
        double variance = s->square_sum[j] / n - mean * mean;
        variance        = variance < 0 ? 0 : variance; /* rounding of a constant element */
        TW_TRY(tw_safetensors_writer_write(w, &variance, 8, err));
    }
    return TRAWL_OK;
}

trawl_status tw_stats_encode(const struct tw_stats *stats, const struct tw_layout *layout, struct tw_str *out,
                             struct trawl_error *err)
{
    struct tw_safetensors_writer *w = NULL;
    TW_TRY(tw_safetensors_writer_new(&w, tw_sink_str(out), err));
    trawl_status status = declare(w, stats, layout, err);
    for (size_t i = 0; status == TRAWL_OK && i < stats->n_sites; i++) {
        status = write_site(w, &stats->sites[i], err);
    }
    if (status == TRAWL_OK) {
        status = tw_safetensors_writer_finish(w, err);
    }
    tw_safetensors_writer_free(w);
    return status;
}

/* `tensor` of a site into `to`, which has room for n elements of 8 bytes. */
static trawl_status load(const struct tw_safetensors *file, const char *site, const struct tensor *t,
                         void *to, size_t n, struct trawl_error *err)
{
    const struct tw_safetensors_tensor *found = NULL;
    char name[NAME_BYTES];
    (void)snprintf(name, sizeof name, "%s.%s", site, t->name);
    TW_TRY(tw_safetensors_get(file, name, &found, err));
    if (found->dtype != (t->count ? TW_DTYPE_I64 : TW_DTYPE_F64) || found->bytes != n * 8) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: tensor \"%s\" has %zu bytes of %s, expected %zu of %s",
                       found->file, name, found->bytes, found->dtype_name, n * 8, t->count ? "I64" : "F64");
    }
    memcpy(to, found->data, n * 8);
    return TRAWL_OK;
}

trawl_status tw_stats_load_scalars(struct tw_site_stats *site, const char *name,
                                   const struct tw_safetensors *file, struct trawl_error *err)
{
    void *to[LOADED_SCALARS] = {&site->rows, &site->nonfinite, &site->norm_sum, &site->norm_square_sum};
    for (int i = 0; i < LOADED_SCALARS; i++) {
        TW_TRY(load(file, name, &tensors[i], to[i], 1, err));
    }
    return TRAWL_OK;
}

static trawl_status load_site(struct tw_site_stats *s, const char *name, const struct tw_safetensors *file,
                              struct trawl_error *err)
{
    TW_TRY(tw_stats_load_scalars(s, name, file, err));
    TW_TRY(load(file, name, &tensors[LOADED_SCALARS], s->sum, s->width, err));
    return load(file, name, &tensors[LOADED_SCALARS + 1], s->square_sum, s->width, err);
}

trawl_status tw_stats_load(struct tw_stats *stats, const struct tw_layout *layout, const char *path,
                           struct trawl_error *err)
{
    struct tw_safetensors *file = NULL;
    TW_TRY(tw_safetensors_open(&file, path, err));
    trawl_status status = TRAWL_OK;
    for (size_t i = 0; status == TRAWL_OK && i < stats->n_sites; i++) {
        status = load_site(&stats->sites[i], layout->sites[i].name, file, err);
    }
    tw_safetensors_close(file);
    return status;
}
