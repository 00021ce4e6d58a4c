/* SPDX-License-Identifier: MIT */
/* Where a writer's bytes go: a file, a string, a hash on the way; one function. */
#ifndef TW_FORMATS_SINK_H
#define TW_FORMATS_SINK_H

#include <stddef.h>

#include "base/error.h"
#include "base/file.h"
#include "base/str.h"

/* Takes all `n` bytes or fails. */
typedef trawl_status tw_sink_fn(void *to, const void *data, size_t n, struct trawl_error *err);

struct tw_sink {
    tw_sink_fn *write;
    void *to; /* kept */
};

struct tw_sink tw_sink_file(struct tw_atomic_file *file);
struct tw_sink tw_sink_str(struct tw_str *str);

static inline trawl_status tw_sink_write(const struct tw_sink *sink, const void *data, size_t n,
                                         struct trawl_error *err)
{
    return sink->write(sink->to, data, n, err);
}

#endif /* TW_FORMATS_SINK_H */
