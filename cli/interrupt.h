/* SPDX-License-Identifier: MIT */
/* Stopping on request. The first SIGINT or SIGTERM asks: long commands poll cli_interrupted() between
 * commits, keep what is committed and return CLI_EXIT_INTERRUPTED. The second ends the process at once with
 * 130: what is committed is safe by the commit protocol, not by a clean exit. */
#ifndef CLI_INTERRUPT_H
#define CLI_INTERRUPT_H

#include <stdbool.h>

/* Called once by main. SIGPIPE and SIGXFSZ are ignored from here on: a closed pipe and a file that reaches
 * the limit of its size (ulimit -f) are errors of the write. */
void cli_interrupt_install(void);
bool cli_interrupted(void); /* any thread */

/* For a command where Ctrl-C ends a part of its work only: which signal it was (0: none), and that it was heard. */
int cli_interrupt_signal(void);
void cli_interrupt_forget(void);

#endif /* CLI_INTERRUPT_H */
