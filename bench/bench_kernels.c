/* SPDX-License-Identifier: MIT */
/* How close the kernels come to the machine: first what the machine can do (read bandwidth, fma and
 * vdpbf16ps from registers), then matmul and attention at the shapes of Qwen2.5-0.5B as fractions of it.
 *
 *     bench_kernels [--isa LEVEL] [--threads N] [--seconds S] [--only WORD]
 *
 * Every figure is the best of what fits into S seconds, because other work on the machine only ever adds
 * time. Weights rotate through a pool larger than the caches. With one thread a second figure stands beside
 * it that other work hardly touches: thread time against that of the peak loop just before and after, the
 * median. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include "kernels/kernels.h"

/* A piece is short enough for some to be read undisturbed by other work. */
enum { POOL_BYTES = 512 << 20, PIECE_BYTES = 16 << 20, PAIRS_MOST = 101 };

struct machine {
    double read[3]; /* bytes per ns by number of threads, as are ... */
    double fma[3];  /* ... flops per ns */
    double dot[3];
};

struct bench {
    struct tw_kernels k;
    struct tw_team *team;
    int n_threads;
    double seconds;
    const char *only;
    char *pool;
    float *x, *y;
    void *rows, *rows2, *scratch;
};

static void check(trawl_status status, const struct trawl_error *err)
{
    if (status != TRAWL_OK) {
        (void)fprintf(stderr, "bench_kernels: %s\n", err->message);
        exit(1);
    }
}

/* Best time in ns of fn on the team within the given seconds; `before` runs untimed on this thread. */
static double best_time(struct bench *b, tw_team_fn *fn, void (*before)(void *), void *arg)
{
    double best         = INFINITY;
    const uint64_t stop = tw_clock_ns() + (uint64_t)(b->seconds * 1e9);
    for (int i = 0; i < 3 || tw_clock_ns() < stop; i++) {
        before(arg);
        const uint64_t begin = tw_clock_ns();
        tw_team_run(b->team, fn, arg);
        const double time = (double)(tw_clock_ns() - begin);
        best              = time < best ? time : best;
    }
    return best;
}

static void nothing(void *arg)
{
    (void)arg;
}

/* ---- the machine ---- */

struct read_job {
    const char *p;
    size_t streams;
    size_t at; /* this piece's place in the pool */
    _Atomic uint64_t sink;
};

static void next_piece(void *arg)
{
    struct read_job *job = arg;
    job->at              = (job->at + PIECE_BYTES) % POOL_BYTES;
}

static void read_piece(void *arg, int thread, int n_threads)
{
    struct read_job *job = arg;
    const size_t share = PIECE_BYTES / (size_t)n_threads, part = share / job->streams;
    const char *p = job->p + job->at + (size_t)thread * share;
    uint64_t s[8] = {0};
    for (size_t at = 0; at < part; at += 256) {
        for (size_t stream = 0; stream < job->streams; stream++) {
            const uint64_t *q = (const uint64_t *)(const void *)(p + stream * part + at);
            for (size_t i = 0; i < 32; i += 8) {
                for (size_t j = 0; j < 8; j++) {
                    s[j] ^= q[i + j];
                }
            }
        }
    }
    atomic_fetch_xor(&job->sink, s[0] ^ s[1] ^ s[2] ^ s[3] ^ s[4] ^ s[5] ^ s[6] ^ s[7]);
}

#if defined(__x86_64__)
/* clang-format off */
#    define EACH_REGISTER(I) \
        I("0") I("1") I("2") I("3") I("4") I("5") I("6") I("7") I("8") I("9") I("10") I("11") I("12") I("13")
/* clang-format on */
#    define FMA_YMM(r) "vfmadd231ps %%ymm15, %%ymm14, %%ymm" r "\n\t"
#    define FMA_ZMM(r) "vfmadd231ps %%zmm15, %%zmm14, %%zmm" r "\n\t"
#    define DOT_ZMM(r) "vdpbf16ps %%zmm15, %%zmm14, %%zmm" r "\n\t"
#    define CLOBBERS                                                                                      \
        "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", \
            "xmm12", "xmm13", "xmm14", "xmm15"
#    define PEAK(name, zero, instruction)                                                            \
        static void name(void *arg, int thread, int n_threads)                                       \
        {                                                                                            \
            const int rounds = arg == NULL ? PEAK_ROUNDS : *(const int *)arg;                        \
            (void)thread, (void)n_threads;                                                           \
            __asm__ volatile(zero ::: CLOBBERS);                                                     \
            for (int i = 0; i < rounds; i++) {                                                       \
                __asm__ volatile(EACH_REGISTER(instruction) EACH_REGISTER(instruction)::: CLOBBERS); \
            }                                                                                        \
            __asm__ volatile("vzeroupper");                                                          \
        }
enum { PEAK_ROUNDS = 100000, PEAK_OPS = 28 };
#    define ZERO(r) "vpxor %%xmm" r ", %%xmm" r ", %%xmm" r "\n\t"
#    define ZEROS   EACH_REGISTER(ZERO) ZERO("14") ZERO("15")
PEAK(peak_fma_ymm, ZEROS, FMA_YMM)
PEAK(peak_fma_zmm, ZEROS, FMA_ZMM)
PEAK(peak_dot_zmm, ZEROS, DOT_ZMM)

/* The loop that does what `dot` says, and the flops of one of its rounds; NULL: there is none. */
static tw_team_fn *peak_loop(const struct bench *b, bool dot, double *flops)
{
    const bool wide = strncmp(b->k.isa, "avx512", 6) == 0;
    *flops          = PEAK_OPS * 2.0 * (wide ? 16.0 : 8.0) * (dot ? 2.0 : 1.0);
    return strcmp(b->k.isa, "scalar") == 0 ? NULL : dot ? peak_dot_zmm : wide ? peak_fma_zmm : peak_fma_ymm;
}

static void measure_peaks(struct bench *b, struct machine *m)
{
    const bool wide    = strncmp(b->k.isa, "avx512", 6) == 0;
    const double flops = (double)PEAK_ROUNDS * PEAK_OPS * 2.0 * (wide ? 16.0 : 8.0) * b->n_threads;
    if (strcmp(b->k.isa, "scalar") == 0) {
        return;
    }
    m->fma[b->n_threads] = flops / best_time(b, wide ? peak_fma_zmm : peak_fma_ymm, nothing, NULL);
    if (b->k.bf16_dot) {
        m->dot[b->n_threads] = 2.0 * flops / best_time(b, peak_dot_zmm, nothing, NULL);
    }
}
#else
static tw_team_fn *peak_loop(const struct bench *b, bool dot, double *flops)
{
    (void)b;
    (void)dot;
    *flops = 1;
    return NULL;
}

static void measure_peaks(struct bench *b, struct machine *m)
{
    (void)b;
    (void)m;
}
#endif

static void measure_machine(struct bench *b, struct machine *m)
{
    const int t = b->n_threads;
    for (size_t streams = 1; streams <= 8; streams *= 2) {
        struct read_job job = {.p = b->pool, .streams = streams};
        const double rate   = PIECE_BYTES / best_time(b, read_piece, next_piece, &job);
        m->read[t]          = rate > m->read[t] ? rate : m->read[t];
    }
    measure_peaks(b, m);
    (void)printf("%d threads: read %.1f GB/s, fma %.0f GFLOP/s, vdpbf16ps %.0f GFLOP/s\n", t, m->read[t],
                 m->fma[t], m->dot[t]);
}

/* ---- matmul ---- */

enum kind { BF16, F32_BF16, F32_F32, KINDS };

static const char *const kind_names[KINDS] = {"bf16", "f32_bf16", "f32_f32"};

struct shape {
    const char *name;
    size_t k, n;
    int n_leaves;
    enum tw_epilogue epilogue;
};

static const struct shape shapes[] = {{"q/o 896x896", 896, 896, 1, TW_EPILOGUE_STORE},
                                      {"gate+up 896x4864 swiglu", 896, 4864, 1, TW_EPILOGUE_SWIGLU},
                                      {"down 4864x896 8 leaves", 4864, 896, 8, TW_EPILOGUE_ADD},
                                      {"head 896x151936", 896, 151936, 1, TW_EPILOGUE_STORE}};

struct matmul_job {
    struct bench *b;
    tw_matmul_fn *fn;
    struct tw_matmul mm;
    size_t bytes, at; /* of the weights of one call; where in the pool the next call's begin */
    uint32_t leaf_end[TW_MAX_LEAVES];
};

static void next_weights(void *arg)
{
    struct matmul_job *job = arg;
    job->at                = job->at + 2 * job->bytes <= POOL_BYTES ? job->at + job->bytes : 0;
    job->mm.w              = job->b->pool + job->at;
    job->mm.w2 = job->mm.epilogue == TW_EPILOGUE_SWIGLU ? job->b->pool + job->at + job->bytes / 2 : NULL;
    atomic_store(&job->mm.next, 0);
}

static void run_matmul(void *arg, int thread, int n_threads)
{
    struct matmul_job *job = arg;
    job->fn(&job->mm, thread, n_threads);
}

static double thread_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The share of the peak that fn has, beside the loop around it, on this thread. */
static double share_of_the_moment(const struct bench *b, tw_team_fn *fn, void (*before)(void *), void *arg,
                                  double flops, bool dot)
{
    double per_round    = 1, shares[PAIRS_MOST];
    int n               = 0;
    tw_team_fn *peak    = peak_loop(b, dot, &per_round);
    int rounds          = (int)(flops / per_round / 2.0);
    rounds              = rounds < 100 ? 100 : rounds;
    const uint64_t stop = tw_clock_ns() + (uint64_t)(b->seconds * 1e9);
    while (peak != NULL && n < PAIRS_MOST && (n < 5 || tw_clock_ns() < stop)) {
        before(arg);
        const double begin = thread_ns();
        peak(&rounds, 0, 1);
        const double middle = thread_ns();
        fn(arg, 0, 1);
        const double end = thread_ns();
        peak(&rounds, 0, 1);
        const double ideal = (thread_ns() - end + middle - begin) * flops / (2.0 * rounds * per_round);
        shares[n++]        = ideal / (end - middle);
    }
    qsort(shares, (size_t)n, sizeof *shares, by_value);
    return n == 0 ? 0 : shares[n / 2];
}

struct pack_job {
    struct bench *b;
    tw_pack_rows_fn *fn;
    size_t m, k;
};

static void run_pack(void *arg, int thread, int n_threads)
{
    const struct pack_job *job = arg;
    const size_t tile = job->b->k.tile_rows, blocks = tw_row_blocks(job->m, tile);
    for (size_t i = blocks * (size_t)thread / (size_t)n_threads;
         i < blocks * ((size_t)thread + 1) / (size_t)n_threads; i++) {
        struct tw_row_block block = tw_row_block(job->m, tile, i);
        job->fn((char *)job->b->rows + 4 * block.begin * tw_packed_k(job->k),
                job->b->x + block.begin * job->k, job->k, block.rows, job->k);
    }
}

static void bench_matmul(struct bench *b, const struct machine *machine, enum kind kind,
                         const struct shape *s, size_t m)
{
    const int t        = b->n_threads;
    const size_t bytes = kind == F32_F32 ? 4 : 2, weights = s->epilogue == TW_EPILOGUE_SWIGLU ? 2 : 1;
    struct matmul_job job = {.b = b, .bytes = weights * s->n * s->k * bytes};
    struct pack_job pack  = {.b = b, .fn = kind == BF16 ? b->k.pack_bf16 : b->k.pack_f32, .m = m, .k = s->k};
    for (int i = 0; i < s->n_leaves; i++) {
        job.leaf_end[i] = (uint32_t)(s->k * (size_t)(i + 1) / (size_t)s->n_leaves);
    }
    job.fn = kind == BF16 ? b->k.matmul_bf16 : kind == F32_BF16 ? b->k.matmul_f32_bf16 : b->k.matmul_f32_f32;
    job.mm = (struct tw_matmul){.rows          = b->rows,
                                .m             = m,
                                .k             = s->k,
                                .panel_stride  = tw_panel_elements(s->k),
                                .n             = s->n,
                                .n_leaves      = s->n_leaves,
                                .leaf_end      = job.leaf_end,
                                .epilogue      = s->epilogue,
                                .y             = b->y,
                                .ldy           = s->n,
                                .packed_out    = b->rows2,
                                .scratch       = b->scratch,
                                .scratch_bytes = TW_MATMUL_SCRATCH};
    const double pack_time = best_time(b, run_pack, nothing, &pack);
    const double time      = best_time(b, run_matmul, next_weights, &job);
    const double flops     = 2.0 * (double)(m * s->n * s->k * weights);
    const double peak      = kind == BF16 && b->k.bf16_dot ? machine->dot[t] : machine->fma[t];
    const double floor     = fmax(flops / peak, (double)job.bytes / machine->read[t]);
    const bool dot         = kind == BF16 && b->k.bf16_dot;
    const double share     = t == 1 ? share_of_the_moment(b, run_matmul, next_weights, &job, flops, dot) : 0;
    (void)printf("%-9s %-24s M=%-4zu T=%d %9.1f us %8.0f GFLOP/s (%3.0f%% of peak) %6.1f GB/s (%3.0f%%)  "
                 "roofline %3.0f%%  pack %.1f us",
                 kind_names[kind], s->name, m, t, time / 1e3, flops / time, 100.0 * flops / time / peak,
                 (double)job.bytes / time, 100.0 * (double)job.bytes / time / machine->read[t],
                 100.0 * floor / time, pack_time / 1e3);
    if (t == 1) {
        (void)printf("  of the peak at the moment %3.0f%%", 100.0 * share);
    }
    (void)printf("\n");
    (void)fflush(stdout);
}

static void bench_matmuls(struct bench *b, const struct machine *machine)
{
    static const size_t rows[] = {1, 2, 4, 8, 16, 32, 64, 128, 512};
    for (int kind = 0; kind < KINDS; kind++) {
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
            for (size_t m = 0; m < sizeof rows / sizeof rows[0]; m++) {
                char name[64];
                (void)snprintf(name, sizeof name, "%s %s M=%zu ", kind_names[kind], shapes[s].name, rows[m]);
                const size_t bytes = shapes[s].n * shapes[s].k * (kind == F32_F32 ? 4 : 2);
                if (strstr(name, b->only) != NULL && bytes <= POOL_BYTES &&
                    rows[m] * shapes[s].n <= (size_t)128 * 151936) {
                    bench_matmul(b, machine, (enum kind)kind, &shapes[s], rows[m]);
                }
            }
        }
    }
}

/* ---- attention: 14 query heads in 2 groups, 64 wide ---- */

enum { HEADS = 7, DIM = 64, MOST_BLOCKS = 512 };

struct attend_job {
    struct bench *b;
    bool bf16;
    size_t n_rows, position;
    const void *k[MOST_BLOCKS], *v[MOST_BLOCKS];
    char *scratch;
    size_t scratch_bytes; /* of a thread */
};

/* Every thread takes one KV head. */
static void run_attend(void *arg, int thread, int n_threads)
{
    const struct attend_job *job = arg;
    (void)n_threads;
    const size_t size  = job->n_rows * HEADS * DIM;
    struct tw_attend a = {.q        = job->b->x + (size_t)thread * size,
                          .ldq      = HEADS * DIM,
                          .n_rows   = job->n_rows,
                          .position = job->position,
                          .n_heads  = HEADS,
                          .head_dim = DIM,
                          .scale    = 0.125f,
                          .k_blocks = job->k,
                          .v_blocks = job->v,
                          .z        = job->b->y + (size_t)thread * size,
                          .ldz      = HEADS * DIM,
                          .scratch  = job->scratch + (size_t)thread * job->scratch_bytes};
    (job->bf16 ? job->b->k.attend_bf16 : job->b->k.attend_f32)(&a);
}

static void bench_attend(struct bench *b, const struct machine *machine, bool bf16, size_t n_rows,
                         size_t position)
{
    struct attend_job job = {.b = b, .bf16 = bf16, .n_rows = n_rows, .position = position};
    struct trawl_error err;
    const int t         = b->n_threads;
    const size_t block  = tw_kv_block_elements(DIM) * (bf16 ? 2 : 4),
                 blocks = (position + n_rows + TW_KV_BLOCK - 1) / TW_KV_BLOCK;
    for (size_t i = 0; i < blocks; i++) {
        job.k[i] = b->pool + 2 * i * block;
        job.v[i] = b->pool + (2 * i + 1) * block;
    }
    job.scratch_bytes = (b->k.attend_scratch_bytes(n_rows * HEADS, DIM) + 63) & ~(size_t)63;
    check(tw_big_alloc((size_t)t * job.scratch_bytes, &job.scratch, &err), &err);
    const double time  = best_time(b, run_attend, nothing, &job);
    const double keys  = (double)n_rows * (double)position + (double)n_rows * (double)(n_rows + 1) / 2.0;
    const double flops = 4.0 * keys * HEADS * DIM * t;
    const double peak  = bf16 && b->k.bf16_dot ? machine->dot[t] : machine->fma[t];
    (void)printf("attend_%s rows=%-4zu position=%-6zu T=%d %9.1f us %7.0f GFLOP/s (%3.0f%% of peak), keys "
                 "and values at %.1f GB/s",
                 bf16 ? "bf16" : "f32 ", n_rows, position, t, time / 1e3, flops / time,
                 100.0 * flops / time / peak, (double)(2 * blocks * block * (size_t)t) / time);
    if (t == 1) {
        const bool dot = bf16 && b->k.bf16_dot;
        (void)printf("  of the peak at the moment %3.0f%%",
                     100.0 * share_of_the_moment(b, run_attend, nothing, &job, flops, dot));
    }
    (void)printf("\n");
    tw_big_free(job.scratch, (size_t)t * job.scratch_bytes);
}

static void bench_attends(struct bench *b, const struct machine *machine)
{
    static const size_t at[][2] = {{1, 511},   {1, 4095}, {1, 32000}, {16, 0},    {16, 496}, {16, 1488},
                                   {16, 4080}, {64, 0},   {64, 448},  {64, 4032}, {512, 0}};
    for (size_t i = 0; strstr("attend", b->only) != NULL && i < 2 * sizeof at / sizeof at[0]; i++) {
        bench_attend(b, machine, i % 2 == 0, at[i / 2][0], at[i / 2][1]);
    }
}

static void prepare(struct bench *b)
{
    struct trawl_error err;
    check(tw_big_alloc(POOL_BYTES, &b->pool, &err), &err);
    check(tw_big_alloc((size_t)512 * 4864 * sizeof(float), &b->x, &err), &err);
    check(tw_big_alloc((size_t)128 * 151936 * sizeof(float), &b->y, &err), &err);
    check(tw_big_alloc(tw_packed_rows_bytes(512, 4864), &b->rows, &err), &err);
    check(tw_big_alloc(tw_packed_rows_bytes(512, 4864), &b->rows2, &err), &err);
    check(tw_big_alloc((size_t)2 * TW_MATMUL_SCRATCH, &b->scratch, &err), &err);
    for (size_t i = 0; i < (size_t)512 * 4864; i++) {
        b->x[i] = (float)((double)(i * 2654435761u % 1000003) / 1e6 - 0.5);
    }
    for (size_t i = 0; i < POOL_BYTES / 2;
         i++) { /* bf16 between 2^-8 and 2^-6; as f32 they are as harmless */
        ((uint16_t *)(void *)b->pool)[i] = (uint16_t)(0x3B80 + i * 40503 % 256);
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"isa", required_argument, NULL, 'i'},
                                            {"threads", required_argument, NULL, 't'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {"only", required_argument, NULL, 'o'},
                                            {NULL, 0, NULL, 0}};
    struct bench b                       = {.seconds = 0.15, .only = ""};
    struct machine machine               = {{0}, {0}, {0}};
    struct trawl_error err;
    const char *isa = NULL;
    int from = 1, to = 2, option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'i': isa = optarg; break;
        case 't': from = to = atoi(optarg) == 1 ? 1 : 2; break;
        case 's': b.seconds = atof(optarg); break;
        case 'o': b.only = optarg; break;
        default: return 2;
        }
    }
    check(tw_kernels_init(&b.k, isa, &err), &err);
    (void)printf("isa %s, vdpbf16ps %s, tile of %zu rows\n", b.k.isa, b.k.bf16_dot ? "used" : "not used",
                 b.k.tile_rows);
    prepare(&b);
    tw_float_mode_compute();
    for (b.n_threads = from; b.n_threads <= to; b.n_threads++) {
        const int cores[2] = {0, 1};
        check(tw_team_new(&b.team, b.n_threads, tw_wait_policy_for(b.n_threads), cores, &err), &err);
        measure_machine(&b, &machine);
        bench_matmuls(&b, &machine);
        bench_attends(&b, &machine);
        tw_team_free(b.team);
    }
    return 0;
}
