/* SPDX-License-Identifier: MIT */
#include "cli/interrupt.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"

/* A signal handler has no argument to carry a context: this flag is the one global of the program. */
static volatile sig_atomic_t interrupted;

static void on_signal(int signal)
{
    if (interrupted) {
        _exit(CLI_EXIT_INTERRUPTED);
    }
    interrupted = signal;
}

void cli_interrupt_install(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = on_signal;
    action.sa_flags   = SA_RESTART; /* reads and writes go on: work stops at commits, not in the middle */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
    sigaction(SIGXFSZ, &action, NULL);
}

bool cli_interrupted(void)
{
    return interrupted != 0;
}

int cli_interrupt_signal(void)
{
    return interrupted;
}

void cli_interrupt_forget(void)
{
    interrupted = 0;
}
