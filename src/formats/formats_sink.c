/* SPDX-License-Identifier: MIT */
#include "formats/formats_sink.h"

static trawl_status write_file(void *to, const void *data, size_t n, struct trawl_error *err)
{
    return tw_atomic_file_write(to, data, n, err);
}

static trawl_status write_str(void *to, const void *data, size_t n, struct trawl_error *err)
{
    return tw_str_append(to, data, n, err);
}

struct tw_sink tw_sink_file(struct tw_atomic_file *file)
{
    return (struct tw_sink){.write = write_file, .to = file};
}

struct tw_sink tw_sink_str(struct tw_str *str)
{
    return (struct tw_sink){.write = write_str, .to = str};
}
