/* SPDX-License-Identifier: MIT */
/* What the server counts, and its page for Prometheus. */
#ifndef TW_SERVE_METRICS_H
#define TW_SERVE_METRICS_H

#include <stdint.h>

#include "base/str.h"
#include "trawl/job.h"

enum { TW_SERVE_CODES = 600, TW_SERVE_TIMES = 12 };

struct tw_serve_histogram {
    uint64_t counts[TW_SERVE_TIMES + 1]; /* the last: longer than all bounds */
    double sum;                          /* seconds */
};

struct tw_serve_metrics {
    uint64_t replies[TW_SERVE_CODES]; /* by HTTP status; those of clients that went away as 499 */
    struct tw_serve_histogram first_token, whole;
    uint64_t answers[5]; /* by enum trawl_finish_reason */
};

void tw_serve_observe(struct tw_serve_histogram *h, double seconds);
trawl_status tw_serve_metrics_write(const struct tw_serve_metrics *m, const struct trawl_job_stats *stats,
                                    struct tw_str *out, struct trawl_error *err);

#endif /* TW_SERVE_METRICS_H */
