/* SPDX-License-Identifier: MIT */
#include "store/store_pipe.h"

#include <string.h>

#include "base/alloc.h"
#include "base/size.h"

trawl_status tw_pipe_init(struct tw_pipe *pipe, size_t capacity, struct trawl_error *err)
{
    *pipe = (struct tw_pipe){.capacity = capacity};
    TW_TRY(tw_big_alloc(capacity, &pipe->bytes, err)); /* resident only as far as it gets filled */
    (void)pthread_mutex_init(&pipe->lock, NULL); /* with default attributes these cannot fail on Linux */
    (void)pthread_cond_init(&pipe->changed, NULL);
    return TRAWL_OK;
}

void tw_pipe_release(struct tw_pipe *pipe)
{
    if (pipe->bytes != NULL) {
        (void)pthread_mutex_destroy(&pipe->lock);
        (void)pthread_cond_destroy(&pipe->changed);
        tw_big_free(pipe->bytes, pipe->capacity);
    }
    *pipe = (struct tw_pipe){0};
}

/* Each side copies outside the lock: only the writer touches free space, only the reader what is used. */
bool tw_pipe_write(struct tw_pipe *pipe, const void *data, size_t n)
{
    const uint8_t *from = data;
    while (n > 0) {
        (void)pthread_mutex_lock(&pipe->lock);
        while (!pipe->closed && pipe->used == pipe->capacity) {
            (void)pthread_cond_wait(&pipe->changed, &pipe->lock);
        }
        bool closed = pipe->closed;
        size_t end  = (pipe->begin + pipe->used) % pipe->capacity;
        size_t room = tw_min_size(pipe->capacity - pipe->used, pipe->capacity - end);
        (void)pthread_mutex_unlock(&pipe->lock);
        if (closed) {
            return false;
        }
        size_t step = tw_min_size(n, room);
        memcpy(pipe->bytes + end, from, step);
        (void)pthread_mutex_lock(&pipe->lock);
        pipe->used += step;
        (void)pthread_cond_signal(&pipe->changed);
        (void)pthread_mutex_unlock(&pipe->lock);
        from += step;
        n -= step;
    }
    return true;
}

bool tw_pipe_read(struct tw_pipe *pipe, void *data, size_t n)
{
    uint8_t *to = data;
    while (n > 0) {
        (void)pthread_mutex_lock(&pipe->lock);
        while (!pipe->closed && pipe->used == 0) {
            (void)pthread_cond_wait(&pipe->changed, &pipe->lock);
        }
        bool closed  = pipe->closed;
        size_t begin = pipe->begin;
        size_t step  = tw_min_size(n, tw_min_size(pipe->used, pipe->capacity - begin));
        (void)pthread_mutex_unlock(&pipe->lock);
        if (closed) {
            return false;
        }
        memcpy(to, pipe->bytes + begin, step);
        (void)pthread_mutex_lock(&pipe->lock);
        pipe->begin = (begin + step) % pipe->capacity;
        pipe->used -= step;
        (void)pthread_cond_signal(&pipe->changed);
        (void)pthread_mutex_unlock(&pipe->lock);
        to += step;
        n -= step;
    }
    return true;
}

void tw_pipe_close(struct tw_pipe *pipe)
{
    (void)pthread_mutex_lock(&pipe->lock);
    pipe->closed = true;
    (void)pthread_cond_broadcast(&pipe->changed);
    (void)pthread_mutex_unlock(&pipe->lock);
}
