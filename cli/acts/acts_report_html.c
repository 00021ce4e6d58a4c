/* SPDX-License-Identifier: MIT */
/* The page of `trawl acts inspect --html`: tables, and charts drawn as SVG. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "cli/acts/acts_report.h"

/* Pixels of a chart, and of the room around its plot. */
enum { WIDTH = 880, HEIGHT = 300, LEFT = 64, RIGHT = 16, TOP = 14, BOTTOM = 40, COLORS = 8 };

static const char style[] =
    ":root{--bg:#f6f7f9;--card:#fff;--ink:#1c2128;--dim:#667080;--edge:#dfe3e8}"
    "@media(prefers-color-scheme:dark){:root{--bg:#14171c;--card:#1d2127;--ink:#e4e7eb;--dim:#98a2b0;--edge:#"
    "333a44}}"
    "body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,sans-serif}"
    "main{max-width:960px;margin:0 auto;padding:28px 20px 60px}h1{font-size:24px;margin:0}"
    "h2{font-size:16px;margin:0 0 10px}.sub{color:var(--dim);margin:2px 0 20px;overflow-wrap:anywhere}"
    "section{background:var(--card);border:1px solid var(--edge);border-radius:12px;padding:18px "
    "20px;margin:0 0 18px;"
    "overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:13.5px}"
    "th,td{padding:3px 14px 3px 0;text-align:right;white-space:nowrap}th{color:var(--dim);font-weight:600}"
    "td:first-child,th:first-child{text-align:left}code{font:12.5px ui-monospace,monospace}"
    "svg{display:block;width:100%;height:auto}.g{stroke:var(--edge)}text{fill:var(--dim);font:11.5px "
    "system-ui,sans-serif}"
    ".key{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:13px;margin:6px 0 0}.key "
    "i{display:inline-block;width:12px;"
    "height:3px;margin-right:6px;vertical-align:middle}";

static const char *const colors[COLORS] = {"#3b6fd4", "#d2691e", "#2e9e6b", "#b5443f",
                                           "#7a56c4", "#997a1d", "#1f8fa8", "#c0518f"};

/* The vertical axis: from 0, or in powers of ten where the largest norm dwarfs the smallest, as it does where a first
 * token draws the attention. */
struct axis {
    bool logarithmic;
    double low, high;
};

static trawl_status put_escaped(struct tw_str *out, const char *text, struct trawl_error *err)
{
    for (; *text != '\0'; text++) {
        const char *entity = *text == '&' ? "&amp;" : *text == '<' ? "&lt;" : *text == '"' ? "&quot;" : NULL;
        TW_TRY(entity != NULL ? tw_str_puts(out, entity, err) : tw_str_putc(out, *text, err));
    }
    return TRAWL_OK;
}

static double mean_of(const struct tw_survey_bin *bin)
{
    return bin->norm_sum / (double)bin->rows;
}

static struct axis make_axis(const struct tw_survey *s)
{
    struct axis a = {.low = INFINITY, .high = 0};
    for (size_t i = 0; i < s->n_sites; i++) {
        for (size_t b = 0; b < TW_SURVEY_BINS; b++) {
            const struct tw_survey_bin *bin = &s->sites[i].bins[b];
            if (bin->rows > 0 && mean_of(bin) > 0) {
                a.low  = fmin(a.low, mean_of(bin));
                a.high = fmax(a.high, mean_of(bin));
            }
        }
    }
    a.logarithmic = a.high > 20 * a.low;
    if (a.logarithmic) {
        a.low  = floor(log10(a.low));
        a.high = ceil(log10(a.high));
    } else {
        double unit = a.high > 0 ? pow(10, floor(log10(a.high))) / 2 : 1;
        a.low       = 0;
        a.high      = ceil(a.high / unit) * unit + (a.high > 0 ? 0 : 1);
    }
    return a;
}

static double height_of(const struct axis *a, double value)
{
    double v = a->logarithmic ? log10(fmax(value, pow(10, a->low))) : value;
    return HEIGHT - BOTTOM - (v - a->low) / (a->high - a->low) * (HEIGHT - BOTTOM - TOP);
}

static double column_of(size_t bin, size_t bins)
{
    return LEFT + ((double)bin + 0.5) / (double)bins * (WIDTH - LEFT - RIGHT);
}

static trawl_status put_grid(const struct tw_survey *s, const struct axis *a, struct tw_str *out,
                             struct trawl_error *err)
{
    char positions[CLI_ACTS_POSITIONS_BYTES];
    size_t bins = cli_acts_bins(s);
    int lines   = a->logarithmic ? (int)(a->high - a->low) : 5;
    for (int i = 0; i <= lines; i++) {
        double v = a->low + (a->high - a->low) * i / lines;
        v        = a->logarithmic ? pow(10, v) : v;
        TW_TRY(tw_str_printf(out, err,
                             "<line class=\"g\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
                             "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.7g</text>\n",
                             LEFT, WIDTH - RIGHT, height_of(a, v), height_of(a, v), LEFT - 8,
                             height_of(a, v) + 4, v));
    }
    for (size_t b = 0; b < bins; b++) {
        cli_acts_positions(b, positions);
        TW_TRY(tw_str_printf(out, err, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
                             column_of(b, bins), HEIGHT - BOTTOM + 18, positions));
    }
    return tw_str_printf(out, err,
                         "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">position in the sequence</text>\n",
                         (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4);
}

static trawl_status put_line(const struct tw_survey *s, size_t site, const struct axis *a, struct tw_str *out,
                             struct trawl_error *err)
{
    const char *color = colors[site % COLORS];
    size_t bins       = cli_acts_bins(s);
    TW_TRY(
        tw_str_printf(out, err, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"", color));
    for (size_t b = 0; b < bins; b++) {
        const struct tw_survey_bin *bin = &s->sites[site].bins[b];
        if (bin->rows > 0) {
            TW_TRY(tw_str_printf(out, err, "%.1f,%.1f ", column_of(b, bins), height_of(a, mean_of(bin))));
        }
    }
    TW_TRY(tw_str_puts(out, "\"/>\n", err));
    for (size_t b = 0; b < bins; b++) {
        const struct tw_survey_bin *bin = &s->sites[site].bins[b];
        if (bin->rows > 0) {
            TW_TRY(tw_str_printf(
                out, err,
                "<circle r=\"3\" cx=\"%.1f\" cy=\"%.1f\" fill=\"%s\"><title>%s: mean %.5g, %.5g to "
                "%.5g, %" PRIu64 " rows</title></circle>\n",
                column_of(b, bins), height_of(a, mean_of(bin)), color, s->sites[site].label, mean_of(bin),
                bin->norm_min, bin->norm_max, bin->rows));
        }
    }
    return TRAWL_OK;
}

static trawl_status put_positions(const struct tw_survey *s, struct tw_str *out, struct trawl_error *err)
{
    struct axis a = make_axis(s);
    TW_TRY(tw_str_printf(out, err,
                         "<section><h2>Mean norm by position</h2><p class=\"sub\">%" PRIu64 " of %" PRIu64
                         " rows of each site were looked at%s%s.</p><svg viewBox=\"0 0 %d %d\">\n",
                         s->looked_at, s->rows,
                         s->has_columns ? "" : "; positions count from the first stored row",
                         a.logarithmic ? "; the norms are on a logarithmic axis" : "", WIDTH, HEIGHT));
    TW_TRY(put_grid(s, &a, out, err));
    for (size_t i = 0; i < s->n_sites; i++) {
        TW_TRY(put_line(s, i, &a, out, err));
    }
    TW_TRY(tw_str_puts(out, "</svg><div class=\"key\">", err));
    for (size_t i = 0; i < s->n_sites; i++) {
        TW_TRY(tw_str_printf(out, err, "<span><i style=\"background:%s\"></i>%s</span>", colors[i % COLORS],
                             s->sites[i].label));
    }
    return tw_str_puts(out, "</div></section>\n", err);
}

/* A bar for the mean norm of each site, cut by what the mean row makes of it. */
static trawl_status put_bars(const struct tw_survey *s, struct tw_str *out, struct trawl_error *err)
{
    enum { ROW = 24, NAME = 250, LENGTH = 480 };
    double largest = 0;
    for (size_t i = 0; i < s->n_sites; i++) {
        largest = fmax(largest, s->sites[i].rms_norm);
    }
    TW_TRY(tw_str_printf(
        out, err,
        "<section><h2>Root mean square norm by site</h2><p class=\"sub\">Dark: what the mean row "
        "alone makes of the mean square.</p><svg viewBox=\"0 0 %d %zu\">\n",
        WIDTH, s->n_sites * ROW));
    for (size_t i = 0; i < s->n_sites; i++) {
        const struct tw_survey_site *site = &s->sites[i];
        double length                     = largest > 0 ? site->rms_norm / largest * LENGTH : 0;
        TW_TRY(tw_str_printf(out, err,
                             "<text x=\"%d\" y=\"%zu\" text-anchor=\"end\">%s</text><rect x=\"%d\" y=\"%zu\" "
                             "width=\"%.1f\" height=\"14\" "
                             "fill=\"%s\" opacity=\".45\"/><rect x=\"%d\" y=\"%zu\" width=\"%.1f\" "
                             "height=\"14\" fill=\"%s\"/><text "
                             "x=\"%.1f\" y=\"%zu\">%.5g, %.0f %% mean</text>\n",
                             NAME, i * ROW + 15, site->name, NAME + 10, i * ROW + 4, length,
                             colors[i % COLORS], NAME + 10, i * ROW + 4, length * site->mean_fraction,
                             colors[i % COLORS], NAME + 18 + length, i * ROW + 15, site->rms_norm,
                             100 * site->mean_fraction));
    }
    return tw_str_puts(out, "</svg></section>\n", err);
}

static trawl_status put_sites(const struct tw_survey *s, struct tw_str *out, struct trawl_error *err)
{
    TW_TRY(
        tw_str_puts(out,
                    "<section><h2>Sites</h2><table><tr><th>site<th>layer<th>width<th>files<th>rows<th>bytes"
                    "<th>mean norm<th>rms norm<th>non-finite</tr>\n",
                    err));
    for (size_t i = 0; i < s->n_sites; i++) {
        const struct tw_survey_site *site = &s->sites[i];
        TW_TRY(tw_str_printf(out, err,
                             "<tr><td><code>%s</code><td>%s<td>%zu<td>%" PRIu64 "<td>%" PRIu64 "<td>%" PRIu64
                             "<td>%.6g<td>%.6g<td>%" PRIu64 "</tr>\n",
                             site->name, site->label, site->width, site->files, site->rows, site->bytes,
                             site->mean_norm, site->rms_norm, site->nonfinite));
    }
    return tw_str_puts(out, "</table></section>\n", err);
}

static trawl_status put_outliers(const struct tw_survey *s, struct tw_str *out, struct trawl_error *err)
{
    TW_TRY(tw_str_puts(out,
                       "<section><h2>Dimensions with the largest root mean square</h2><table><tr><th>layer"
                       "<th>dimension<th>mean<th>deviation<th>times the median</tr>\n",
                       err));
    for (size_t i = 0; i < s->n_sites; i++) {
        for (size_t k = 0; k < s->sites[i].n_outliers; k++) {
            const struct tw_survey_outlier *o = &s->sites[i].outliers[k];
            TW_TRY(tw_str_printf(out, err, "<tr><td>%s<td>%zu<td>%.5g<td>%.5g<td>%.1f</tr>\n",
                                 k == 0 ? s->sites[i].label : "", o->dimension, o->mean, o->deviation,
                                 o->ratio));
        }
    }
    return tw_str_puts(out, "</table></section>\n", err);
}

static trawl_status put_settings(const struct tw_survey *s, struct tw_str *out, struct trawl_error *err)
{
    const char *key;
    json_t *value;
    TW_TRY(tw_str_puts(out, "<section><h2>Settings of the run</h2><table>\n", err));
    json_object_foreach(s->settings, key, value)
    {
        TW_TRY(tw_str_puts(out, "<tr><td><code>", err));
        TW_TRY(put_escaped(out, key, err));
        TW_TRY(tw_str_puts(
            out, "</code><td style=\"text-align:left;white-space:normal;overflow-wrap:anywhere\">", err));
        TW_TRY(put_escaped(out, json_string_value(value), err));
        TW_TRY(tw_str_puts(out, "</tr>\n", err));
    }
    return tw_str_puts(out, "</table></section>\n", err);
}

trawl_status cli_acts_report_html(const struct tw_survey *s, struct tw_str *out, struct trawl_error *err)
{
    TW_TRY(tw_str_puts(out,
                       "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" "
                       "content=\"width=device-width,initial-scale=1\"><title>",
                       err));
    TW_TRY(put_escaped(out, s->dir, err));
    TW_TRY(tw_str_printf(out, err, "</title><style>%s</style>\n<main><h1>", style));
    TW_TRY(put_escaped(out, s->dir, err));
    TW_TRY(tw_str_puts(out, "</h1><p class=\"sub\">", err));
    TW_TRY(put_escaped(out, cli_acts_text_of(s, "model_path"), err));
    TW_TRY(tw_str_puts(out, " &middot; ", err));
    TW_TRY(put_escaped(out, cli_acts_text_of(s, "format"), err));
    TW_TRY(tw_str_puts(out, ", ", err));
    TW_TRY(put_escaped(out, cli_acts_text_of(s, "dtype"), err));
    TW_TRY(tw_str_printf(
        out, err, " &middot; %" PRIu64 " requests, %" PRIu64 " rows of each site &middot; run %s, %s</p>\n",
        s->requests, s->rows, s->run_hash, s->complete ? "complete" : "not complete"));
    TW_TRY(put_sites(s, out, err));
    if (s->rows > 0) {
        TW_TRY(put_positions(s, out, err));
        TW_TRY(put_bars(s, out, err));
        TW_TRY(put_outliers(s, out, err));
    }
    TW_TRY(put_settings(s, out, err));
    return tw_str_puts(out, "</main></html>\n", err);
}
