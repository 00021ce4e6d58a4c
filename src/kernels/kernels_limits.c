/* SPDX-License-Identifier: MIT */
#include "kernels/kernels_limits.h"

#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include "kernels/kernels.h"

enum { BUFFER_BYTES = 512 << 20, READ_GRAIN = 4096, MOST_STREAMS = 4 };

enum kind { READ, FMA, DOT };

/* Operations of one trial and thread: a few milliseconds, so that some trials fall between the time slices
 * of other processes. */
static const double trial_flops = 2e8;

/* What trials came to: a thread's, on a cache line of its own, or those of a pattern of reading. */
struct tally {
    _Alignas(64) double done, seconds, best; /* operations or bytes, their time; most per second in a trial */
};

struct tw_limits_probe {
    struct tw_team *team;
    struct tw_limit_loops loops;
    uint8_t *buffer;
    size_t bytes; /* of the buffer, a multiple of threads * MOST_STREAMS * READ_GRAIN */
    enum kind kind;
    size_t streams;
    size_t at, part; /* what of each thread's share this trial reads */
    _Atomic uint64_t sink;
    struct tally *tallies; /* [n_threads] */
};

/* ---- loops in plain C ---- */

static uint64_t read_plain(const void *p, size_t bytes, size_t streams)
{
    const uint64_t *q = p;
    size_t part       = bytes / sizeof *q / streams;
    uint64_t s[8]     = {0};
    for (size_t i = 0; i < part; i += 8) {
        for (size_t stream = 0; stream < streams; stream++) {
            for (size_t j = 0; j < 8; j++) {
                s[j] ^= q[stream * part + i + j];
            }
        }
    }
    return s[0] ^ s[1] ^ s[2] ^ s[3] ^ s[4] ^ s[5] ^ s[6] ^ s[7];
}

static double fma_plain(double flops, float *result)
{
    size_t rounds = (size_t)(flops / 16.0) + 1;
    float s[8]    = {*result};
    for (size_t i = 0; i < rounds; i++) {
        for (size_t j = 0; j < 8; j++) {
            s[j] = fmaf(s[j], 0.999f, 0.001f);
        }
    }
    *result = s[0] + s[1] + s[2] + s[3] + s[4] + s[5] + s[6] + s[7];
    return (double)rounds * 16.0;
}

static void fill_loops(struct tw_limit_loops *loops, const char *isa)
{
    *loops = (struct tw_limit_loops){.read = read_plain, .fma = fma_plain};
#if defined(__x86_64__)
    /* A level includes those before it: the name says which the machine has. */
    bool avx2 = strncmp(isa, "avx", 3) == 0, avx512 = strncmp(isa, "avx512", 6) == 0;
    if (avx2) {
        tw_limit_loops_avx2(loops);
    }
    if (avx512) {
        tw_limit_loops_avx512(loops);
    }
    if (strcmp(isa, "avx512bf16") == 0) {
        tw_limit_loops_avx512bf16(loops);
    }
#else
    (void)isa;
#endif
}

/* Automatic choice may pass over vdpbf16ps where it is slow; the machine still has it. */
static trawl_status best_level(const char *isa, const char **name, struct trawl_error *err)
{
    struct tw_kernels kernels;
    TW_TRY(tw_kernels_init(&kernels, isa, err));
    bool automatic = isa == NULL || strcmp(isa, "auto") == 0;
    if (automatic && tw_kernels_init(&kernels, "avx512bf16", NULL) != TRAWL_OK) {
        TW_TRY(tw_kernels_init(&kernels, isa, err));
    }
    *name = kernels.isa;
    return TRAWL_OK;
}

/* ---- trials ---- */

static void count(struct tally *t, double done, uint64_t begin_ns)
{
    const double seconds = (double)(tw_clock_ns() - begin_ns) * 1e-9;
    t->done += done;
    t->seconds += seconds;
    t->best = fmax(t->best, done / seconds);
}

static void trial(void *arg, int thread, int n_threads)
{
    struct tw_limits_probe *p = arg;
    float result              = (float)(thread + 1);
    if (p->kind == READ) {
        const uint8_t *share = p->buffer + p->bytes / (size_t)n_threads * (size_t)thread;
        (void)atomic_fetch_xor_explicit(&p->sink, p->loops.read(share + p->at, p->part, p->streams),
                                        memory_order_relaxed);
        return;
    }
    double (*loop)(double, float *) = p->kind == FMA ? p->loops.fma : p->loops.dot;
    uint64_t begin                  = tw_clock_ns();
    count(&p->tallies[thread], loop(trial_flops, &result), begin);
    (void)atomic_fetch_xor_explicit(&p->sink, result > 1e30f, memory_order_relaxed);
}

/* Each thread walks through its share in pieces; the next trial takes the next piece, so that a piece is
 * out of the caches when its turn comes again. */
static void next_piece(struct tw_limits_probe *p)
{
    size_t share = p->bytes / (size_t)tw_team_size(p->team);
    p->at += p->part;
    if (p->at + p->part > share) {
        p->at = 0;
    }
    p->streams = p->streams == MOST_STREAMS ? 1 : p->streams * 2;
}

/* Memory is shared: the threads must read at the same time, so the clock runs around all of them. */
static void measure_read(struct tw_limits_probe *p, double seconds, double *mean, double *best)
{
    struct tally patterns[MOST_STREAMS + 1] = {0};
    uint64_t stop                           = tw_clock_ns() + (uint64_t)(seconds * 1e9);
    p->kind                                 = READ;
    do {
        uint64_t begin = tw_clock_ns();
        tw_team_run(p->team, trial, p);
        count(&patterns[p->streams], (double)p->part * tw_team_size(p->team), begin);
        next_piece(p);
    } while (tw_clock_ns() < stop);
    *mean = 0;
    for (size_t i = 1; i <= MOST_STREAMS; i++) {
        const struct tally *t = &patterns[i];
        *mean                 = t->seconds > 0 ? fmax(*mean, t->done / t->seconds) : *mean;
        *best                 = fmax(*best, t->best);
    }
}

/* Registers are not: every thread has its own clock, and its best trial may come at another time than the
 * others' when the machine has more work than cores. */
static void measure_compute(struct tw_limits_probe *p, enum kind kind, double seconds, double *mean,
                            double *best)
{
    int n         = tw_team_size(p->team);
    double most   = 0;
    uint64_t stop = tw_clock_ns() + (uint64_t)(seconds * 1e9);
    p->kind       = kind;
    memset(p->tallies, 0, (size_t)n * sizeof *p->tallies);
    do {
        tw_team_run(p->team, trial, p);
    } while (tw_clock_ns() < stop);
    *mean = 0;
    for (int i = 0; i < n; i++) {
        *mean += p->tallies[i].done / p->tallies[i].seconds;
        most += p->tallies[i].best;
    }
    *best = fmax(*best, most);
}

void tw_limits_measure(struct tw_limits_probe *p, double seconds, struct tw_limits *mean,
                       struct tw_limits *best)
{
    /* Half for memory, which takes a while to reach its speed after something else. */
    const double share = seconds / 2, rest = p->loops.dot == NULL ? share : share / 2;
    measure_read(p, share, &mean->read_bytes, &best->read_bytes);
    measure_compute(p, FMA, rest, &mean->fma_flops, &best->fma_flops);
    mean->dot_flops = 0;
    if (p->loops.dot != NULL) {
        measure_compute(p, DOT, rest, &mean->dot_flops, &best->dot_flops);
    }
}

/* ---- making one ---- */

static void touch(void *arg, int thread, int n_threads)
{
    struct tw_limits_probe *p = arg;
    size_t share              = p->bytes / (size_t)n_threads;
    memset(p->buffer + share * (size_t)thread, thread + 1, share); /* untouched memory is one page of zeros */
}

trawl_status tw_limits_probe_new(struct tw_limits_probe **out, const char *isa, int n_threads, size_t bytes,
                                 struct trawl_error *err)
{
    struct tw_limits_probe *p = NULL;
    const char *level         = NULL;
    size_t grain              = (size_t)n_threads * MOST_STREAMS * READ_GRAIN;
    *out                      = NULL;
    if (n_threads < 1) {
        return tw_fail(err, TRAWL_ERR_INVALID, "limits of %d threads, expected at least 1", n_threads);
    }
    TW_TRY(best_level(isa, &level, err));
    TW_TRY(tw_alloc(1, sizeof *p, &p, err));
    fill_loops(&p->loops, level);
    p->bytes            = ((bytes == 0 ? (size_t)BUFFER_BYTES : bytes) + grain - 1) / grain * grain;
    p->streams          = 1;
    trawl_status status = tw_alloc((size_t)n_threads, sizeof *p->tallies, &p->tallies, err);
    if (status == TRAWL_OK) {
        status = tw_big_alloc(p->bytes, &p->buffer, err);
    }
    if (status == TRAWL_OK) {
        status = tw_team_new(&p->team, n_threads, tw_wait_policy_for(n_threads), NULL, err);
    }
    if (status != TRAWL_OK) {
        tw_limits_probe_free(p);
        return status;
    }
    /* 32 MiB or a 16th of the share, the larger: long enough for the prefetchers to be at full speed. */
    size_t share = p->bytes / (size_t)n_threads, piece = (size_t)MOST_STREAMS * READ_GRAIN;
    p->part = share / 16 / piece * piece;
    p->part = p->part < ((size_t)32 << 20) ? (size_t)32 << 20 : p->part;
    p->part = p->part > share ? share : p->part;
    tw_team_run(p->team, touch, p);
    *out = p;
    return TRAWL_OK;
}

void tw_limits_probe_free(struct tw_limits_probe *p)
{
    if (p == NULL) {
        return;
    }
    tw_team_free(p->team);
    tw_big_free(p->buffer, p->buffer == NULL ? 0 : p->bytes);
    tw_free(p->tallies);
    tw_free(p);
}
