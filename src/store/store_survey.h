/* SPDX-License-Identifier: MIT */
/* What is in a store, in numbers: which run it is, and per site its rows, norms and outliers. No lock is taken and
 * nothing is changed. */
#ifndef TW_STORE_SURVEY_H
#define TW_STORE_SURVEY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Positions 0, 1, 2-3, 4-7, ...: bin b > 0 begins at 2^(b-1). */
enum { TW_SURVEY_BINS = 32, TW_SURVEY_OUTLIERS = 6 };

/* Euclidean norms of the rows that were looked at, at some positions of their sequences. */
struct tw_survey_bin {
    uint64_t rows; /* finite ones */
    double norm_sum, norm_min, norm_max;
};

/* A dimension whose values are large, by the root of its mean square. */
struct tw_survey_outlier {
    size_t dimension;
    double mean, deviation;
    double ratio; /* of its root mean square to the median dimension's */
};

struct tw_survey_site {
    char *name;
    char *label; /* as metadata.json calls it: "layer_10" */
    size_t width;
    uint64_t files, requests, rows, bytes;
    uint64_t nonfinite; /* rows with a NaN or an infinity: in none of the figures below */
    double mean_norm, rms_norm;
    double mean_fraction; /* of the mean square norm, what the mean row alone makes: 0 to 1 */
    struct tw_survey_bin bins[TW_SURVEY_BINS];
    struct tw_survey_outlier outliers[TW_SURVEY_OUTLIERS]; /* largest first */
    size_t n_outliers;
};

struct tw_survey {
    char *dir;
    char run_hash[17];
    json_t *settings; /* of the run, an object of strings */
    json_t *metadata; /* metadata.json */
    bool complete;
    uint64_t groups, end; /* committed groups, and the request after the last committed one */
    uint64_t requests, rows;
    bool has_columns;           /* safetensors; the two below are 0 in pickles */
    uint64_t prompt, generated; /* rows */
    uint64_t looked_at;         /* rows of each site that the bins are made from */
    struct tw_survey_site *sites;
    size_t n_sites;
};

/* Figures of sites come from the statistics; for the bins every k-th request is read, so that about `sample` rows
 * are looked at (0: all). `survey` is released in any case. */
trawl_status tw_survey_make(struct tw_survey *survey, const char *dir, uint64_t sample,
                            struct trawl_error *err);
void tw_survey_release(struct tw_survey *survey);

/* The first position of a bin. */
uint64_t tw_survey_bin_first(size_t bin);

#endif /* TW_STORE_SURVEY_H */
