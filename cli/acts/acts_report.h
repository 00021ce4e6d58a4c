/* SPDX-License-Identifier: MIT */
/* What `trawl acts inspect` shows of a store: text for a terminal, JSON, a page with charts. */
#ifndef CLI_ACTS_REPORT_H
#define CLI_ACTS_REPORT_H

#include <stdbool.h>

#include "base/str.h"
#include "store/store_survey.h"

/* Each appends to `out`. */
trawl_status cli_acts_report_text(const struct tw_survey *survey, bool color, struct tw_str *out,
                                  struct trawl_error *err);
trawl_status cli_acts_report_json(const struct tw_survey *survey, struct tw_str *out,
                                  struct trawl_error *err);
/* One HTML document, nothing beside it needed. */
trawl_status cli_acts_report_html(const struct tw_survey *survey, struct tw_str *out,
                                  struct trawl_error *err);

/* Positions of a bin: "0", "1", "2-3", "4-7". */
enum { CLI_ACTS_POSITIONS_BYTES = 48 };
void cli_acts_positions(size_t bin, char out[CLI_ACTS_POSITIONS_BYTES]);
/* Bins up to the last one in which a site has rows. */
size_t cli_acts_bins(const struct tw_survey *survey);
/* A text of metadata.json, "" where it has none. */
const char *cli_acts_text_of(const struct tw_survey *survey, const char *key);

#endif /* CLI_ACTS_REPORT_H */
