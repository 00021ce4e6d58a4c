/* SPDX-License-Identifier: MIT */
/* The figures of a benchmark as a table for people, or as JSON for machines. */
#ifndef CLI_BENCH_REPORT_H
#define CLI_BENCH_REPORT_H

#include "base/str.h"
#include "cli/bench/bench_cases.h"
#include "cli/bench/bench_limits.h"

struct bench_report {
    struct trawl_model_info model;
    struct bench_limits limits;
    const struct bench_cases *cases;
    const struct cli_args *args;
    size_t prefill_chunk;
    double load_seconds, page_cache; /* of opening the model; as bench_page_cache_fraction */
    uint64_t resident_bytes;         /* after the first run of every case */
    double load_average;
};

trawl_status bench_report_json(const struct bench_report *r, struct tw_str *out, struct trawl_error *err);
trawl_status bench_report_table(const struct bench_report *r, bool bold, struct tw_str *out,
                                struct trawl_error *err);

#endif /* CLI_BENCH_REPORT_H */
