/* SPDX-License-Identifier: MIT */
/* Running statistics of the rows of every site, of the values as stored (rounded to the store's dtype).
 *
 * Sums are f64 and go row by row in the order of the store, so equal rows give equal bits however they
 * were batched; the squares of a row go in eight lanes (lane j takes elements j, j+8, ...), lanes meet in
 * a balanced tree. A row with a NaN or an infinity is counted and left out of the sums.
 *
 * The file keeps the sums beside what users want (mean, variance), so that a store continues from it:
 * per site rows and nonfinite_rows I64 [1], norm_sum and norm_square_sum F64 [1], and sum, square_sum,
 * mean, variance F64 [width], each named "<site>.<what>". Variance is that of the population. */
#ifndef TW_STORE_STATS_H
#define TW_STORE_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "formats/formats_safetensors.h"
#include "store/store_layout.h"

struct tw_site_stats {
    size_t width;
    uint64_t rows;      /* in the sums */
    uint64_t nonfinite; /* rows that are not */
    double norm_sum;
    double norm_square_sum;
    double *sum;        /* [width] */
    double *square_sum; /* [width] */
};

struct tw_stats {
    struct tw_site_stats *sites;
    size_t n_sites;
};

trawl_status tw_stats_init(struct tw_stats *stats, const struct tw_layout *layout, struct trawl_error *err);
void tw_stats_release(struct tw_stats *stats);
void tw_stats_add(struct tw_site_stats *site, const float *rows, size_t n);

/* 0 when there is no row. */
double tw_stats_mean_norm(const struct tw_site_stats *site);
double tw_stats_rms_norm(const struct tw_site_stats *site); /* sqrt of the mean square norm */

/* Append the bytes of the statistics file. */
trawl_status tw_stats_encode(const struct tw_stats *stats, const struct tw_layout *layout, struct tw_str *out,
                             struct trawl_error *err);
/* Take the sums from such a file. */
trawl_status tw_stats_load(struct tw_stats *stats, const struct tw_layout *layout, const char *path,
                           struct trawl_error *err);
/* The scalars of one site, `sum` and `square_sum` left NULL. */
trawl_status tw_stats_load_scalars(struct tw_site_stats *site, const char *name,
                                   const struct tw_safetensors *file, struct trawl_error *err);

#endif /* TW_STORE_STATS_H */
