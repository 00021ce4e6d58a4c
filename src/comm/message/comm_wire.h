/* SPDX-License-Identifier: MIT */
/* The processes of a run and how bytes go between them: non-blocking sends and receives of a transport that
 * is given as a table (comm/mpi fills it), and one story of failure for all of them.
 *
 * A wire breaks once and for all: by a failing process (tw_wire_break tells all others, whatever they are
 * doing), by a deadline, or by the transport. From then on every call returns TRAWL_ERR_COMM with the first
 * failure's sentence and rank. Any thread may call; a process has one wire. */
#ifndef TW_COMM_WIRE_H
#define TW_COMM_WIRE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define TW_WIRE_ABI         2
#define TW_WIRE_PIECE_BYTES ((size_t)256 << 20) /* most bytes of one send: transports count in int */
#define TW_WIRE_ANY         (-1)

/* What a transport keeps in the bytes is its own business; the rest is the wire's. */
struct tw_wire_request {
    _Alignas(16) unsigned char bytes[16];
    int peer; /* world rank, or TW_WIRE_ANY */
    bool receives;
};
struct tw_wire_group {
    _Alignas(16) unsigned char bytes[16];
    int first, stride; /* member i is world rank first + stride * i */
};

struct tw_wire_event {
    size_t bytes; /* received */
    int source;   /* its rank in the group */
    int tag;
};

/* A transport. Functions return 0 or a code that `text` explains; none of them blocks but init, group and
 * finalize, which all members call together. Calls are made one at a time. */
struct tw_wire_ops {
    int abi; /* TW_WIRE_ABI of the plug-in's build */
    int (*init)(struct tw_wire_group *world, int *rank, int *size);
    /* Members first, first + stride, ... of `world`: a group whose messages meet no others. */
    int (*group)(const struct tw_wire_group *world, int first, int stride, int n, struct tw_wire_group *out);
    void (*group_free)(struct tw_wire_group *group);
    int (*send)(const struct tw_wire_group *group, const void *data, size_t bytes, int to, int tag,
                struct tw_wire_request *out);
    /* At most `bytes`; from and tag may be TW_WIRE_ANY. */
    int (*receive)(const struct tw_wire_group *group, void *data, size_t bytes, int from, int tag,
                   struct tw_wire_request *out);
    /* A request that is done, or failed, is gone. A message longer than its receive is a failure. */
    int (*test)(struct tw_wire_request *request, bool *done, struct tw_wire_event *event);
    void (*cancel)(struct tw_wire_request *receive); /* nothing, when it is gone */
    int (*finalize)(struct tw_wire_group *world);
    void (*abort)(const struct tw_wire_group *world); /* ends every process of the run, this one too */
    void (*text)(int code, char *out, size_t n);
    void (*version)(char *out, size_t n);
};

/* What a breaking process tells the others. */
struct tw_wire_notice {
    int32_t rank;
    char message[TRAWL_ERROR_MESSAGE_BYTES];
};

struct tw_wire {
    const struct tw_wire_ops *ops;
    struct tw_wire_group world; /* mail and notices; collectives have groups of their own */
    int rank, size;
    int deadline_ms;      /* of waits for other processes */
    int spins;            /* polls before a waiter gives its core away */
    pthread_mutex_t lock; /* of every call into ops */
    _Atomic int broken;   /* 0: no, 1: `cause` is being written, 2: it is there */
    bool learnt;          /* `cause` came from another process */
    struct trawl_error cause;
    struct tw_wire_request listening; /* for a notice */
    struct tw_wire_notice heard, said;
    struct tw_wire_request *telling; /* [size] notices on their way */
    void **left;                     /* [n_left] see tw_wire_leave */
    size_t n_left, left_capacity;
};

/* Enter the run; `ops` is kept. */
trawl_status tw_wire_open(struct tw_wire **out, const struct tw_wire_ops *ops, struct trawl_error *err);
/* Leave it. All processes call this; a broken wire ends the run instead, after giving the others `grace_ms`
 * to end by themselves. */
void tw_wire_close(struct tw_wire *wire, int grace_ms);

/* The members' own group; all of them call. */
trawl_status tw_wire_group_new(struct tw_wire *wire, int first, int stride, int n, struct tw_wire_group *out,
                               struct trawl_error *err);
void tw_wire_group_free(struct tw_wire *wire, struct tw_wire_group *group);

/* `data` is the wire's until tw_wire_test says done, and on a broken wire until it is closed: it may still be on
 * its way. bytes <= TW_WIRE_PIECE_BYTES. */
trawl_status tw_wire_send(struct tw_wire *wire, const struct tw_wire_group *group, const void *data,
                          size_t bytes, int to, int tag, struct tw_wire_request *out,
                          struct trawl_error *err);
trawl_status tw_wire_receive(struct tw_wire *wire, const struct tw_wire_group *group, void *data,
                             size_t bytes, int from, int tag, struct tw_wire_request *out,
                             struct trawl_error *err);
/* Look once. A request that is done, or failed, is gone. */
trawl_status tw_wire_test(struct tw_wire *wire, struct tw_wire_request *request, bool *done,
                          struct tw_wire_event *event, struct trawl_error *err);
/* Give a receive up. */
void tw_wire_cancel(struct tw_wire *wire, struct tw_wire_request *receive);
/* Leave memory of tw_alloc which is being sent: it is freed when the wire has been closed. */
void tw_wire_leave(struct tw_wire *wire, void *data);

/* Break the wire and tell the others, unless it is broken. `world_rank`: whose fault. Never blocks. */
void tw_wire_break(struct tw_wire *wire, int world_rank, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* TRAWL_ERR_COMM with the cause when broken, here or (a notice has come) elsewhere. */
trawl_status tw_wire_check(struct tw_wire *wire, struct trawl_error *err);

/* How a waiter spends the time between looks: spinning, then yielding, then in ever longer naps (at most half
 * a millisecond), so that a process without work costs nothing. Time counts only while the process runs: one
 * that was stopped and goes on (Ctrl-Z, a suspended job) has not waited. Zero it before a wait. */
struct tw_wire_patience {
    uint64_t waited; /* ns */
    uint64_t latest; /* tw_clock_ns of the latest reading */
    unsigned looks;
};
void tw_wire_pause(const struct tw_wire *wire, struct tw_wire_patience *p);
/* Milliseconds waited so far, as of the latest reading of the clock. */
int tw_wire_waited_ms(const struct tw_wire_patience *p);

#endif /* TW_COMM_WIRE_H */
