/* SPDX-License-Identifier: MIT */
#include "cli/acts/acts_report.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/size.h"
#include "cli/table.h"
#include "json/json.h"

enum { SITES_ABREAST = 5, BAR_LEVELS = 8 };

void cli_acts_positions(size_t bin, char out[CLI_ACTS_POSITIONS_BYTES])
{
    uint64_t first = tw_survey_bin_first(bin), last = tw_survey_bin_first(bin + 1) - 1;
    if (bin == TW_SURVEY_BINS - 1) {
        (void)snprintf(out, CLI_ACTS_POSITIONS_BYTES, "%" PRIu64 "-", first);
    } else if (first == last) {
        (void)snprintf(out, CLI_ACTS_POSITIONS_BYTES, "%" PRIu64, first);
    } else {
        (void)snprintf(out, CLI_ACTS_POSITIONS_BYTES, "%" PRIu64 "-%" PRIu64, first, last);
    }
}

size_t cli_acts_bins(const struct tw_survey *survey)
{
    size_t n = 0;
    for (size_t i = 0; i < survey->n_sites; i++) {
        for (size_t b = 0; b < TW_SURVEY_BINS; b++) {
            n = survey->sites[i].bins[b].rows > 0 ? tw_max_size(n, b + 1) : n;
        }
    }
    return n;
}

const char *cli_acts_text_of(const struct tw_survey *survey, const char *key)
{
    const char *text = json_string_value(json_object_get(survey->metadata, key));
    return text == NULL ? "" : text;
}

static double bin_mean(const struct tw_survey_bin *bin)
{
    return bin->rows == 0 ? 0 : bin->norm_sum / (double)bin->rows;
}

static double largest_mean(const struct tw_survey_site *site)
{
    double largest = 0;
    for (size_t b = 0; b < TW_SURVEY_BINS; b++) {
        double mean = bin_mean(&site->bins[b]);
        largest     = mean > largest ? mean : largest;
    }
    return largest;
}

/* ---- text ---- */

static trawl_status put_head(const struct tw_survey *s, struct tw_str *out, struct trawl_error *err)
{
    const char *key;
    json_t *value;
    TW_TRY(tw_str_printf(out, err, "%s: %s, %s, %s\n", s->dir, cli_acts_text_of(s, "format"),
                         cli_acts_text_of(s, "dtype"), s->complete ? "complete" : "not complete"));
    TW_TRY(tw_str_printf(
        out, err,
        "  model     %s\n  run       %s: %" PRIu64 " groups committed, requests before %" PRIu64
        "\n  rows      %" PRIu64 " of each site, of %" PRIu64 " requests",
        cli_acts_text_of(s, "model_path"), s->run_hash, s->groups, s->end, s->rows, s->requests));
    if (s->has_columns) {
        TW_TRY(tw_str_printf(out, err, ": %" PRIu64 " of prompts, %" PRIu64 " generated", s->prompt,
                             s->generated));
    }
    TW_TRY(tw_str_puts(out, "\n  settings ", err));
    json_object_foreach(s->settings, key, value)
    {
        TW_TRY(tw_str_printf(out, err, " %s=%s", key, json_string_value(value)));
    }
    return tw_str_puts(out, "\n\n", err);
}

static trawl_status put_sites(const struct tw_survey *s, struct cli_table *t, struct trawl_error *err)
{
    static const char *const titles[] = {"site",  "layer",     "width",    "files",    "rows",
                                         "bytes", "mean norm", "rms norm", "mean row", "non-finite"};
    for (size_t i = 0; i < sizeof titles / sizeof titles[0]; i++) {
        TW_TRY(cli_table_add(t, err, "%s", titles[i]));
    }
    for (size_t i = 0; i < s->n_sites; i++) {
        const struct tw_survey_site *site = &s->sites[i];
        TW_TRY(cli_table_add(t, err, "%s", site->name));
        TW_TRY(cli_table_add(t, err, "%s", site->label));
        TW_TRY(cli_table_add(t, err, "%zu", site->width));
        TW_TRY(cli_table_add(t, err, "%" PRIu64, site->files));
        TW_TRY(cli_table_add(t, err, "%" PRIu64, site->rows));
        TW_TRY(cli_table_add(t, err, "%" PRIu64, site->bytes));
        TW_TRY(cli_table_add(t, err, "%.6g", site->mean_norm));
        TW_TRY(cli_table_add(t, err, "%.6g", site->rms_norm));
        TW_TRY(cli_table_add(t, err, "%.1f %%", 100 * site->mean_fraction));
        TW_TRY(cli_table_add(t, err, "%" PRIu64, site->nonfinite));
    }
    return TRAWL_OK;
}

/* The rows of the position table for sites [first, first + n). */
static trawl_status put_positions(const struct tw_survey *s, size_t first, size_t n, struct cli_table *t,
                                  struct trawl_error *err)
{
    static const char *const bars[BAR_LEVELS] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    char positions[CLI_ACTS_POSITIONS_BYTES];
    TW_TRY(cli_table_add(t, err, "position"));
    TW_TRY(cli_table_add(t, err, "rows"));
    for (size_t i = first; i < first + n; i++) {
        TW_TRY(cli_table_add(t, err, "%s", s->sites[i].label));
    }
    for (size_t b = 0; b < cli_acts_bins(s); b++) {
        cli_acts_positions(b, positions);
        TW_TRY(cli_table_add(t, err, "%s", positions));
        TW_TRY(cli_table_add(t, err, "%" PRIu64, s->sites[first].bins[b].rows));
        for (size_t i = first; i < first + n; i++) {
            const struct tw_survey_bin *bin = &s->sites[i].bins[b];
            double share                    = largest_mean(&s->sites[i]);
            share                           = share > 0 ? bin_mean(bin) / share : 0;
            size_t level                    = tw_min_size((size_t)(share * BAR_LEVELS), BAR_LEVELS - 1);
            TW_TRY(bin->rows == 0 ? cli_table_add(t, err, "-")
                                  : cli_table_add(t, err, "%.5g %s", bin_mean(bin), bars[level]));
        }
    }
    return TRAWL_OK;
}

static trawl_status put_outliers(const struct tw_survey *s, struct cli_table *t, struct trawl_error *err)
{
    static const char *const titles[] = {"layer", "dimension", "mean", "deviation", "times the median"};
    for (size_t i = 0; i < sizeof titles / sizeof titles[0]; i++) {
        TW_TRY(cli_table_add(t, err, "%s", titles[i]));
    }
    for (size_t i = 0; i < s->n_sites; i++) {
        for (size_t k = 0; k < s->sites[i].n_outliers; k++) {
            const struct tw_survey_outlier *o = &s->sites[i].outliers[k];
            TW_TRY(cli_table_add(t, err, "%s", k == 0 ? s->sites[i].label : ""));
            TW_TRY(cli_table_add(t, err, "%zu", o->dimension));
            TW_TRY(cli_table_add(t, err, "%.5g", o->mean));
            TW_TRY(cli_table_add(t, err, "%.5g", o->deviation));
            TW_TRY(cli_table_add(t, err, "%.1f", o->ratio));
        }
    }
    return TRAWL_OK;
}

typedef trawl_status table_fn(const struct tw_survey *s, struct cli_table *t, struct trawl_error *err);

static trawl_status put_table(const struct tw_survey *s, table_fn *fill, const char *columns, bool color,
                              struct tw_str *out, struct trawl_error *err)
{
    struct cli_table t;
    cli_table_init(&t, columns);
    trawl_status status = fill(s, &t, err);
    if (status == TRAWL_OK) {
        status = cli_table_print(&t, 0, color, out, err);
    }
    cli_table_release(&t);
    return status;
}

static trawl_status put_position_tables(const struct tw_survey *s, bool color, struct tw_str *out,
                                        struct trawl_error *err)
{
    static const char columns[] = "lrrrrrr";
    TW_TRY(tw_str_printf(out, err, "\nMean norm by position%s, of %" PRIu64 " of %" PRIu64 " rows:\n",
                         s->has_columns ? "" : " among the stored rows", s->looked_at, s->rows));
    trawl_status status = TRAWL_OK;
    for (size_t at = 0; status == TRAWL_OK && at < s->n_sites; at += SITES_ABREAST) {
        size_t n = tw_min_size(SITES_ABREAST, s->n_sites - at);
        char layout[sizeof columns];
        struct cli_table t;
        (void)snprintf(layout, sizeof layout, "%.*s", (int)n + 2, columns);
        cli_table_init(&t, layout);
        status = at == 0 ? TRAWL_OK : tw_str_putc(out, '\n', err);
        if (status == TRAWL_OK) {
            status = put_positions(s, at, n, &t, err);
        }
        if (status == TRAWL_OK) {
            status = cli_table_print(&t, 0, color, out, err);
        }
        cli_table_release(&t);
    }
    return status;
}

trawl_status cli_acts_report_text(const struct tw_survey *s, bool color, struct tw_str *out,
                                  struct trawl_error *err)
{
    TW_TRY(put_head(s, out, err));
    TW_TRY(put_table(s, put_sites, "llrrrrrrrr", color, out, err));
    if (s->rows == 0) {
        return tw_str_puts(out, "\nno rows yet\n", err);
    }
    TW_TRY(put_position_tables(s, color, out, err));
    TW_TRY(tw_str_puts(out, "\nDimensions with the largest root mean square:\n", err));
    return put_table(s, put_outliers, "lrrrr", color, out, err);
}

/* ---- JSON ---- */

static void key_string(struct tw_json_writer *w, const char *key, const char *value)
{
    tw_json_key(w, key);
    tw_json_string(w, value);
}

static void key_int(struct tw_json_writer *w, const char *key, uint64_t value)
{
    tw_json_key(w, key);
    tw_json_int(w, (int64_t)value);
}

static void key_double(struct tw_json_writer *w, const char *key, double value)
{
    tw_json_key(w, key);
    tw_json_double(w, value);
}

static void put_bins(struct tw_json_writer *w, const struct tw_survey_site *site)
{
    tw_json_key(w, "norm_by_position");
    tw_json_begin_array(w);
    for (size_t b = 0; b < TW_SURVEY_BINS; b++) {
        const struct tw_survey_bin *bin = &site->bins[b];
        if (bin->rows > 0) {
            tw_json_begin_object(w);
            key_int(w, "first", tw_survey_bin_first(b));
            key_int(w, "last", tw_survey_bin_first(b + 1) - 1);
            key_int(w, "rows", bin->rows);
            key_double(w, "mean", bin_mean(bin));
            key_double(w, "min", bin->norm_min);
            key_double(w, "max", bin->norm_max);
            tw_json_end_object(w);
        }
    }
    tw_json_end_array(w);
}

static void put_site(struct tw_json_writer *w, const struct tw_survey_site *site)
{
    tw_json_begin_object(w);
    key_string(w, "name", site->name);
    key_string(w, "layer", site->label);
    key_int(w, "width", site->width);
    key_int(w, "files", site->files);
    key_int(w, "requests", site->requests);
    key_int(w, "rows", site->rows);
    key_int(w, "bytes", site->bytes);
    key_int(w, "nonfinite_rows", site->nonfinite);
    key_double(w, "mean_norm", site->mean_norm);
    key_double(w, "rms_norm", site->rms_norm);
    key_double(w, "mean_fraction", site->mean_fraction);
    put_bins(w, site);
    tw_json_key(w, "outlier_dimensions");
    tw_json_begin_array(w);
    for (size_t k = 0; k < site->n_outliers; k++) {
        tw_json_begin_object(w);
        key_int(w, "dimension", site->outliers[k].dimension);
        key_double(w, "mean", site->outliers[k].mean);
        key_double(w, "deviation", site->outliers[k].deviation);
        key_double(w, "ratio", site->outliers[k].ratio);
        tw_json_end_object(w);
    }
    tw_json_end_array(w);
    tw_json_end_object(w);
}

trawl_status cli_acts_report_json(const struct tw_survey *s, struct tw_str *out, struct trawl_error *err)
{
    struct tw_json_writer w;
    tw_json_writer_init(&w, out, 2);
    tw_json_begin_object(&w);
    key_string(&w, "dir", s->dir);
    key_string(&w, "format", cli_acts_text_of(s, "format"));
    key_string(&w, "dtype", cli_acts_text_of(s, "dtype"));
    key_string(&w, "model_path", cli_acts_text_of(s, "model_path"));
    key_string(&w, "run_hash", s->run_hash);
    tw_json_key(&w, "complete");
    tw_json_bool(&w, s->complete);
    key_int(&w, "groups", s->groups);
    key_int(&w, "end", s->end);
    key_int(&w, "requests", s->requests);
    key_int(&w, "rows", s->rows);
    if (s->has_columns) {
        key_int(&w, "prompt_rows", s->prompt);
        key_int(&w, "generated_rows", s->generated);
    }
    tw_json_key(&w, "settings");
    tw_json_value(&w, s->settings);
    key_int(&w, "rows_looked_at", s->looked_at);
    tw_json_key(&w, "sites");
    tw_json_begin_array(&w);
    for (size_t i = 0; i < s->n_sites; i++) {
        put_site(&w, &s->sites[i]);
    }
    tw_json_end_array(&w);
    tw_json_end_object(&w);
    TW_TRY(tw_json_writer_finish(&w, err));
    return tw_str_putc(out, '\n', err);
}
