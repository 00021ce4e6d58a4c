/* SPDX-License-Identifier: MIT */
/* A bounded stream of bytes from one thread to one other. Messages may be larger than the pipe: they flow
 * through in pieces, the writer waits while it is full, the reader while it is empty. */
#ifndef TW_STORE_PIPE_H
#define TW_STORE_PIPE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct tw_pipe {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint8_t *bytes;
    size_t capacity;
    size_t begin; /* offset of the oldest byte */
    size_t used;
    bool closed; /* by either side: both stop */
};

trawl_status tw_pipe_init(struct tw_pipe *pipe, size_t capacity, struct trawl_error *err);
void tw_pipe_release(struct tw_pipe *pipe);

/* False when the pipe was closed before all bytes were taken. */
bool tw_pipe_write(struct tw_pipe *pipe, const void *data, size_t n);
/* False when the pipe was closed before n bytes had come; what is still in it is not delivered. */
bool tw_pipe_read(struct tw_pipe *pipe, void *data, size_t n);
void tw_pipe_close(struct tw_pipe *pipe);

#endif /* TW_STORE_PIPE_H */
