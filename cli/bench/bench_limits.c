/* SPDX-License-Identifier: MIT */
#include "cli/bench/bench_limits.h"

#include "base/alloc.h"
#include "cli/bench/bench_cases.h"

trawl_status bench_limits_init(struct bench_limits *l, const char *isa, int n_threads, size_t capacity,
                               struct trawl_error *err)
{
    *l = (struct bench_limits){.capacity = capacity};
    TW_TRY(tw_alloc(capacity, sizeof *l->samples, &l->samples, err));
    TW_TRY(tw_alloc(capacity, sizeof *l->sorted, &l->sorted, err));
    return tw_limits_probe_new(&l->probe, isa, n_threads, 0, err);
}

static double median(struct bench_limits *l, size_t member)
{
    for (size_t i = 0; i < l->n; i++) {
        l->sorted[i] = *(const double *)(const void *)((const char *)&l->samples[i] + member);
    }
    return bench_median(l->sorted, l->n);
}

struct tw_limits bench_limits_measure(struct bench_limits *l, double seconds)
{
    l->n -= l->n == l->capacity;
    struct tw_limits *now = &l->samples[l->n++];
    tw_limits_measure(l->probe, seconds, now, &l->best);
    l->median = (struct tw_limits){.read_bytes = median(l, offsetof(struct tw_limits, read_bytes)),
                                   .fma_flops  = median(l, offsetof(struct tw_limits, fma_flops)),
                                   .dot_flops  = median(l, offsetof(struct tw_limits, dot_flops))};
    const struct tw_limits *last = l->n == 1 ? now : now - 1;
    return (struct tw_limits){.read_bytes = (last->read_bytes + now->read_bytes) / 2,
                              .fma_flops  = (last->fma_flops + now->fma_flops) / 2,
                              .dot_flops  = (last->dot_flops + now->dot_flops) / 2};
}

void bench_limits_release(struct bench_limits *l)
{
    tw_limits_probe_free(l->probe);
    tw_free(l->samples);
    tw_free(l->sorted);
    *l = (struct bench_limits){0};
}
