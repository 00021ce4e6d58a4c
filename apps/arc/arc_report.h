/* SPDX-License-Identifier: MIT */
/* A run as one HTML page that needs nothing else: no script, no font, no network. */
#ifndef TW_ARC_REPORT_H
#define TW_ARC_REPORT_H

#include "base/error.h"
#include "base/log.h"

struct tw_arc_report_config {
    const char *results;   /* as tw_arc_ballots_read takes it */
    const char *dataset;   /* the tasks */
    const char *solutions; /* known answers (tw_arc_solutions_load), or NULL: those the data set has */
    const char *output;    /* the page */
};

/* Tasks in the order of the data set, those without results left out; results of tasks that the data set
 * does not have are named in `log`. */
trawl_status tw_arc_report(const struct tw_arc_report_config *config, const struct tw_log *log,
                           struct trawl_error *err);

#endif /* TW_ARC_REPORT_H */
