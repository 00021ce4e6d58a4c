/* SPDX-License-Identifier: MIT */
/* A zip archive written as a stream, entries stored as they are: what numpy.load reads as .npz. Sizes are 64 bits
 * everywhere, as numpy.savez has them; no clocks, so equal calls give equal bytes. */
#ifndef TW_FORMATS_ZIP_H
#define TW_FORMATS_ZIP_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "formats/formats_sink.h"

struct tw_zip {
    struct tw_sink sink;
    uint64_t written;        /* bytes of the archive so far */
    struct tw_str directory; /* of the entries so far; it ends the archive */
    uint64_t entries;
    const char *name; /* of the open entry; borrowed from its begin to its end */
    uint64_t offset, size, left;
    uint32_t crc;
    uint32_t table[8][256]; /* of CRC-32, eight bytes at a time */
};

void tw_zip_init(struct tw_zip *z, struct tw_sink sink);
void tw_zip_release(struct tw_zip *z);

/* An entry of exactly `size` bytes; its name is UTF-8 of at most 65,535 bytes. */
trawl_status tw_zip_begin(struct tw_zip *z, const char *name, uint64_t size, struct trawl_error *err);
/* More than the size is TRAWL_ERR_INVALID. */
trawl_status tw_zip_write(struct tw_zip *z, const void *data, size_t n, struct trawl_error *err);
/* TRAWL_ERR_INVALID when bytes are missing. */
trawl_status tw_zip_end(struct tw_zip *z, struct trawl_error *err);
/* The directory. Does not commit the sink's file. */
trawl_status tw_zip_finish(struct tw_zip *z, struct trawl_error *err);

#endif /* TW_FORMATS_ZIP_H */
