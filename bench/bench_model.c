/* SPDX-License-Identifier: MIT */
/* Forward steps of one device with the weights of a real model, without scheduler and sampling: what a
 * change to a kernel or a stage gains where it counts.
 *
 *     bench_model FOLDER [--isa LEVEL] [--dtype bfloat16|float32] [--threads N] [--rounds R]
 *                 [--prefill ROWS] [--batch B] [--context POSITIONS] [--plain]
 *
 * --prefill: one sequence, ROWS tokens, logits of the last. --batch: B sequences, a token each behind
 * POSITIONS others. --plain: weights are not compressed. Time on the clock, and of this thread alone (which other work on the machine does not
 * lengthen; it includes spinning at barriers): least and median of R steps. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/size.h"
#include "base/thread.h"
#include "model/model_device.h"

enum { ROUNDS_MOST = 10000 };

struct bench {
    struct tw_kernels kernels;
    struct tw_model *model;
    struct tw_device device;
    struct tw_team *team;
    int threads, rounds;
    bool plain;
    size_t prefill, batch, context;
    enum tw_dtype dtype;
    const char *isa;
    double *wall, *cpu; /* [rounds] ms */
};

static double cpu_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void forward(void *arg, int thread, int n_threads)
{
    void **pair = arg;
    (void)n_threads;
    (void)tw_device_forward(pair[0], pair[1], thread);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void time_steps(struct bench *b, const char *what, struct tw_step *step)
{
    void *pair[2] = {&b->device, step};
    for (int i = -1; i < b->rounds; i++) { /* the first does not count: memory becomes resident */
        double cpu     = cpu_ms();
        uint64_t begin = tw_clock_ns();
        tw_team_run(b->team, forward, pair);
        if (i >= 0) {
            b->wall[i] = (double)(tw_clock_ns() - begin) * 1e-6;
            b->cpu[i]  = cpu_ms() - cpu;
        }
    }
    qsort(b->wall, (size_t)b->rounds, sizeof *b->wall, by_value);
    qsort(b->cpu, (size_t)b->rounds, sizeof *b->cpu, by_value);
    printf("%s, %d threads: %.3f ms (median %.3f) = %.1f rows/s; this thread %.3f ms (median %.3f)\n", what,
           b->threads, b->wall[0], b->wall[b->rounds / 2], 1e3 * (double)step->n_rows / b->wall[0], b->cpu[0],
           b->cpu[b->rounds / 2]);
}

/* `n` sequences of `rows` tokens each, behind `context` others. */
static trawl_status run(struct bench *b, const char *what, size_t n, size_t rows, size_t context,
                        struct trawl_error *err)
{
    size_t pages = tw_ceil_div(context + rows, TW_KV_BLOCK), total = n * rows;
    struct tw_device_config config = {.degree         = 1,
                                      .tree_leaves    = 8,
                                      .n_threads      = b->threads,
                                      .wait           = tw_wait_policy_for(b->threads),
                                      .kv_dtype       = b->dtype,
                                      .n_pages        = n * pages,
                                      .max_rows       = total,
                                      .max_logit_rows = n};
    struct tw_step step            = {.n_rows = total, .n_segments = n, .n_logit_rows = n};
    int32_t *tokens                = NULL;
    uint32_t *segment = NULL, *logit = NULL, *table = NULL;
    TW_TRY(tw_device_init(&b->device, b->model, &b->kernels, &config, err));
    TW_TRY(tw_alloc(total, sizeof *tokens, &tokens, err));
    TW_TRY(tw_alloc(total, sizeof *segment, &segment, err));
    TW_TRY(tw_alloc(n, sizeof *logit, &logit, err));
    TW_TRY(tw_alloc(n * pages, sizeof *table, &table, err));
    TW_TRY(tw_alloc(n, sizeof *step.segments, &step.segments, err));
    TW_TRY(tw_big_alloc(n * b->model->config.vocab * sizeof(float), &step.logits, err));
    for (size_t i = 0; i < n; i++) {
        step.segments[i] = (struct tw_segment){
            .row = i * rows, .n_rows = rows, .position = context, .pages = table + i * pages};
        logit[i] = (uint32_t)((i + 1) * rows - 1);
        for (size_t p = 0; p < pages; p++) {
            table[i * pages + p] = (uint32_t)(i * pages + p);
        }
        for (size_t r = 0; r < rows; r++) {
            tokens[i * rows + r]  = (int32_t)((i * rows + r) * 7919 % b->model->config.vocab);
            segment[i * rows + r] = (uint32_t)i;
        }
    }
    step.tokens      = tokens;
    step.row_segment = segment;
    step.logit_rows  = logit;
    time_steps(b, what, &step);
    tw_big_free(step.logits, n * b->model->config.vocab * sizeof(float));
    tw_free(step.segments);
    tw_free(table);
    tw_free(logit);
    tw_free(segment);
    tw_free(tokens);
    tw_device_release(&b->device);
    return TRAWL_OK;
}

static trawl_status run_all(struct bench *b, const char *folder, struct trawl_error *err)
{
    const struct tw_log quiet = {0};
    TW_TRY(tw_kernels_init(&b->kernels, b->isa, err));
    TW_TRY(tw_model_load(&b->model, folder, b->dtype, !b->plain && b->kernels.compressed, b->threads, &quiet,
                         err));
    TW_TRY(tw_alloc((size_t)b->rounds, sizeof(double), &b->wall, err));
    TW_TRY(tw_alloc((size_t)b->rounds, sizeof(double), &b->cpu, err));
    TW_TRY(tw_team_new(&b->team, b->threads, tw_wait_policy_for(b->threads), NULL, err));
    tw_float_mode_compute();
    if (b->prefill > 0) {
        TW_TRY(run(b, "prefill", 1, b->prefill, 0, err));
    }
    if (b->batch > 0) {
        TW_TRY(run(b, "decode", b->batch, 1, b->context, err));
    }
    tw_team_free(b->team);
    tw_model_free(b->model);
    tw_free(b->wall);
    tw_free(b->cpu);
    return TRAWL_OK;
}

static bool read_options(struct bench *b, int argc, char **argv)
{
    static const struct option options[] = {{"isa", required_argument, NULL, 'i'},
                                            {"dtype", required_argument, NULL, 'd'},
                                            {"threads", required_argument, NULL, 't'},
                                            {"rounds", required_argument, NULL, 'r'},
                                            {"prefill", required_argument, NULL, 'p'},
                                            {"batch", required_argument, NULL, 'b'},
                                            {"context", required_argument, NULL, 'c'},
                                            {"plain", no_argument, NULL, 'u'},
                                            {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        size_t number = optarg == NULL ? 0 : (size_t)strtoull(optarg, NULL, 10);
        switch (option) {
        case 'i': b->isa = optarg; break;
        case 'd': b->dtype = strcmp(optarg, "float32") == 0 ? TW_DTYPE_F32 : TW_DTYPE_BF16; break;
        case 't': b->threads = (int)number; break;
        case 'r': b->rounds = (int)number; break;
        case 'p': b->prefill = number; break;
        case 'b': b->batch = number; break;
        case 'c': b->context = number; break;
        case 'u': b->plain = true; break;
        default: return false;
        }
    }
    return optind + 1 == argc && b->threads >= 1 && b->rounds >= 1 && b->rounds <= ROUNDS_MOST;
}

int main(int argc, char **argv)
{
    struct trawl_error err = {0};
    struct bench b         = {.threads = 1, .rounds = 10, .context = 128, .dtype = TW_DTYPE_BF16};
    if (!read_options(&b, argc, argv)) {
        (void)fprintf(stderr,
                      "usage: bench_model FOLDER [--isa LEVEL] [--dtype bfloat16|float32] [--threads N]\n"
                      "         [--rounds R] [--prefill ROWS] [--batch B] [--context POSITIONS] [--plain]\n");
        return 2;
    }
    if (run_all(&b, argv[optind], &err) != TRAWL_OK) {
        (void)fprintf(stderr, "bench_model: %s\n", err.message);
        return 1;
    }
    return 0;
}
