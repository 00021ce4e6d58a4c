/* SPDX-License-Identifier: MIT */
/* Ctrl-Z and fg. */
#ifndef TW_TESTS_COMM_STOPPED_H
#define TW_TESTS_COMM_STOPPED_H

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "support/test.h"

static inline void sleep_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    while (nanosleep(&t, &t) != 0) {
    }
}

/* A process that does `child`, stopped after 0.2 s and for 2.8 s, returns 0 all the same. */
static inline void assert_survives_a_stop(int (*child)(void))
{
    int how   = 0;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(child());
    }
    assert_true(pid > 0);
    sleep_ms(200);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    sleep_ms(2800);
    assert_int_equal(kill(pid, SIGCONT), 0);
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
}

#endif /* TW_TESTS_COMM_STOPPED_H */
