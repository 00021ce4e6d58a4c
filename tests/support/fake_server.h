/* SPDX-License-Identifier: MIT */
/* A server of the tests, written in Python's standard library, that runs as long as a test does. It prints its port
 * on a line of its own and ends when its standard input does. */
#ifndef TRAWL_TESTS_SUPPORT_FAKE_SERVER_H
#define TRAWL_TESTS_SUPPORT_FAKE_SERVER_H

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct fake_server {
    pid_t pid;
    int port;
    int hold;       /* writing end of its standard input */
    char base[64];  /* "http://127.0.0.1:<port>" */
    char other[64]; /* the same server under another name: "http://localhost:<port>" */
};

static inline void fake_server_stop(struct fake_server *s)
{
    if (s->pid > 0) {
        (void)close(s->hold);
        (void)kill(s->pid, SIGTERM);
        (void)waitpid(s->pid, NULL, 0);
        s->pid = 0;
    }
}

static inline void fake_server_child(const char *const *argv, const int in[2], const int out[2])
{
    (void)dup2(in[0], 0);
    (void)dup2(out[1], 1);
    (void)close(in[0]);
    (void)close(in[1]);
    (void)close(out[0]);
    (void)close(out[1]);
    (void)execvp(argv[0], (char *const *)argv);
    _exit(127);
}

/* `script` with one argument (NULL: none). False when there is no Python to run it. */
static inline bool fake_server_start(struct fake_server *s, const char *script, const char *argument)
{
    const char *python  = getenv("TRAWL_PYTHON");
    const char *argv[4] = {python == NULL ? "python3" : python, script, argument, NULL};
    int in[2], out[2];
    char line[32] = "";
    *s            = (struct fake_server){0};
    if (pipe(in) != 0 || pipe(out) != 0) {
        return false;
    }
    s->pid = fork();
    if (s->pid == 0) {
        fake_server_child(argv, in, out);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    s->hold    = in[1];
    FILE *said = fdopen(out[0], "r");
    bool ok    = said != NULL && fgets(line, sizeof line, said) != NULL;
    if (said != NULL) {
        (void)fclose(said);
    }
    s->port = (int)strtol(line, NULL, 10);
    if (!ok || s->port <= 0) {
        fake_server_stop(s);
        return false;
    }
    (void)snprintf(s->base, sizeof s->base, "http://127.0.0.1:%d", s->port);
    (void)snprintf(s->other, sizeof s->other, "http://localhost:%d", s->port);
    return true;
}

#endif /* TRAWL_TESTS_SUPPORT_FAKE_SERVER_H */
