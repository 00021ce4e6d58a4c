/* SPDX-License-Identifier: MIT */
/* Thread teams: fork/join and barrier latency, and what a busy neighbour costs. Results: docs/experiments.md.
 *
 *     bench_team [THREADS [SPINS YIELDS]]      default: the cores available, and their policy
 *
 * Build: cc -O2 -D_GNU_SOURCE -Isrc -Iinclude bench/bench_team.c build/release/libtw_base.a \
 *           -lxxhash -lpthread */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"

enum { MOST = 256, SAMPLES = 2000, BATCH = 20, PHASES = 20 };

struct work {
    struct tw_team *team;
    int iterations; /* of a 4-cycle dependency chain, per phase */
    struct {
        _Alignas(64) uint64_t value;
    } sink[MOST];
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void nothing(void *arg, int thread, int n)
{
    (void)arg;
    (void)thread;
    (void)n;
}

static void barriers(void *arg, int thread, int n)
{
    (void)thread;
    (void)n;
    for (int i = 0; i < BATCH; i++) {
        tw_team_barrier(arg);
    }
}

/* Median and 99th percentile of one call in microseconds, over samples of BATCH calls. */
static void latency(const char *what, struct tw_team *team, bool fork_join)
{
    static double us[SAMPLES];
    for (int i = 0; i < SAMPLES; i++) {
        uint64_t begin = tw_clock_ns();
        if (fork_join) {
            for (int k = 0; k < BATCH; k++) {
                tw_team_run(team, nothing, NULL);
            }
        } else {
            tw_team_run(team, barriers, team);
        }
        us[i] = (double)(tw_clock_ns() - begin) / 1e3 / BATCH;
    }
    qsort(us, SAMPLES, sizeof us[0], by_value);
    printf("%-12s p10 %.2f median %.2f p99 %.2f us\n", what, us[SAMPLES / 10], us[SAMPLES / 2],
           us[SAMPLES * 99 / 100]);
}

static void step(void *arg, int thread, int n)
{
    (void)n;
    struct work *w = arg;
    uint64_t x     = w->sink[thread].value;
    for (int phase = 0; phase < PHASES; phase++) {
        for (int i = 0; i < w->iterations; i++) {
            x = x * 6364136223846793005u + 1;
        }
        w->sink[thread].value = x;
        tw_team_barrier(w->team);
    }
}

static double phases_per_second(struct work *w, double seconds)
{
    uint64_t begin = tw_clock_ns(), now;
    int n          = 0;
    do {
        tw_team_run(w->team, step, w);
        n += PHASES;
        now = tw_clock_ns();
    } while ((double)(now - begin) < seconds * 1e9);
    return n * 1e9 / (double)(now - begin);
}

static void neighbour(struct work *w)
{
    double alone = phases_per_second(w, 0.5);
    pid_t hog    = fork();
    if (hog == 0) {
        for (volatile uint64_t i = 0;; i++) {
        }
    }
    double crowded = phases_per_second(w, 2);
    (void)kill(hog, SIGKILL);
    (void)waitpid(hog, NULL, 0);
    (void)usleep(700 * 1000); /* until waits spin again */
    printf("phases of %6d steps: %8.0f/s alone, %8.0f/s with a busy neighbour: %.2f\n", w->iterations, alone,
           crowded, crowded / alone);
}

int main(int argc, char **argv)
{
    int n                        = argc > 1 ? atoi(argv[1]) : tw_cores_available();
    struct tw_wait_policy policy = tw_wait_policy_for(n);
    if (argc > 3) {
        policy = (struct tw_wait_policy){.spins = atoi(argv[2]), .yields = atoi(argv[3])};
    }
    static struct work w;
    struct trawl_error err;
    if (n > MOST || tw_team_new(&w.team, n, policy, NULL, &err) != TRAWL_OK) {
        (void)fprintf(stderr, "bench_team: %s\n", n > MOST ? "too many threads" : err.message);
        return 1;
    }
    printf("%d threads on %d cores, %d spins, %d yields\n", n, tw_cores_available(), policy.spins,
           policy.yields);
    latency("fork/join", w.team, true);
    latency("barrier", w.team, false);
    static const int iterations[] = {5000, 20000, 100000};
    for (int i = 0; i < 3; i++) {
        w.iterations = iterations[i];
        neighbour(&w);
    }
    tw_team_free(w.team);
    return 0;
}
