/* SPDX-License-Identifier: MIT */
#include "formats/formats_zip.h"

#include <string.h>

/* Signatures and constants of APPNOTE.TXT. */
enum {
    LOCAL           = 0x04034B50,
    DESCRIPTOR      = 0x08074B50,
    CENTRAL         = 0x02014B50,
    END_64          = 0x06064B50,
    LOCATOR_64      = 0x07064B50,
    END             = 0x06054B50,
    NEEDS           = 45,                  /* version 4.5: 64-bit sizes */
    FLAGS           = 1 << 3 | 1 << 11,    /* the checksum follows the data; names are UTF-8 */
    DATE            = 0 << 9 | 1 << 5 | 1, /* 1 January 1980 */
    EXTRA_64        = 1,
    UNIX_3          = 3 << 8 | NEEDS,
    END_64_REST     = 44, /* bytes of that record behind its size */
    FILE_ATTRIBUTES = 0100644
};

static trawl_status number(struct tw_str *s, uint64_t v, size_t bytes, struct trawl_error *err)
{
    return tw_str_append(s, &v, bytes, err); /* little endian, like the machine */
}

static trawl_status put(struct tw_zip *z, const void *data, size_t n, struct trawl_error *err)
{
    TW_TRY(tw_sink_write(&z->sink, data, n, err));
    z->written += n;
    return TRAWL_OK;
}

/* Write what `fill` appends. */
typedef trawl_status fill_fn(struct tw_zip *z, struct tw_str *s, struct trawl_error *err);

static trawl_status put_record(struct tw_zip *z, fill_fn *fill, struct trawl_error *err)
{
    struct tw_str s;
    tw_str_init(&s, 0);
    trawl_status status = fill(z, &s, err);
    if (status == TRAWL_OK) {
        status = put(z, s.data, s.size, err);
    }
    tw_str_release(&s);
    return status;
}

/* ---- checksum ---- */

static void make_table(struct tw_zip *z)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) {
            c = (c & 1) != 0 ? 0xEDB88320u ^ c >> 1 : c >> 1;
        }
        z->table[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++) {
        for (int k = 1; k < 8; k++) {
            uint32_t c     = z->table[k - 1][i];
            z->table[k][i] = z->table[0][c & 0xFF] ^ c >> 8;
        }
    }
}

static uint32_t update(const struct tw_zip *z, uint32_t crc, const uint8_t *p, size_t n)
{
    crc = ~crc;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t v;
        memcpy(&v, p, sizeof v);
        v ^= crc;
        crc = 0;
        for (int k = 0; k < 8; k++) {
            crc ^= z->table[7 - k][v >> (8 * k) & 0xFF];
        }
    }
    for (; n > 0; n--, p++) {
        crc = z->table[0][(crc ^ *p) & 0xFF] ^ crc >> 8;
    }
    return ~crc;
}

/* ---- entries ---- */

/* What a local and a central header have in common. */
static trawl_status fill_common(const struct tw_zip *z, struct tw_str *s, uint32_t crc, size_t extra,
                                struct trawl_error *err)
{
    TW_TRY(number(s, NEEDS, 2, err));
    TW_TRY(number(s, FLAGS, 2, err));
    TW_TRY(number(s, 0, 2, err)); /* stored */
    TW_TRY(number(s, 0, 2, err)); /* time */
    TW_TRY(number(s, DATE, 2, err));
    TW_TRY(number(s, crc, 4, err));
    TW_TRY(number(s, UINT32_MAX, 4, err)); /* both sizes: in the extra field */
    TW_TRY(number(s, UINT32_MAX, 4, err));
    TW_TRY(number(s, strlen(z->name), 2, err));
    return number(s, extra, 2, err);
}

static trawl_status fill_sizes(const struct tw_zip *z, struct tw_str *s, bool offset, struct trawl_error *err)
{
    TW_TRY(number(s, EXTRA_64, 2, err));
    TW_TRY(number(s, offset ? 24 : 16, 2, err));
    TW_TRY(number(s, z->size, 8, err));
    TW_TRY(number(s, z->size, 8, err));
    return offset ? number(s, z->offset, 8, err) : TRAWL_OK;
}

static trawl_status fill_local(struct tw_zip *z, struct tw_str *s, struct trawl_error *err)
{
    TW_TRY(number(s, LOCAL, 4, err));
    TW_TRY(fill_common(z, s, 0, 20, err));
    TW_TRY(tw_str_puts(s, z->name, err));
    return fill_sizes(z, s, false, err);
}

static trawl_status fill_descriptor(struct tw_zip *z, struct tw_str *s, struct trawl_error *err)
{
    TW_TRY(number(s, DESCRIPTOR, 4, err));
    TW_TRY(number(s, z->crc, 4, err));
    TW_TRY(number(s, z->size, 8, err));
    return number(s, z->size, 8, err);
}

static trawl_status add_central(struct tw_zip *z, struct trawl_error *err)
{
    struct tw_str *s = &z->directory;
    TW_TRY(number(s, CENTRAL, 4, err));
    TW_TRY(number(s, UNIX_3, 2, err));
    TW_TRY(fill_common(z, s, z->crc, 28, err));
    TW_TRY(number(s, 0, 2, err)); /* comment */
    TW_TRY(number(s, 0, 2, err)); /* disk */
    TW_TRY(number(s, 0, 2, err)); /* internal attributes */
    TW_TRY(number(s, (uint64_t)FILE_ATTRIBUTES << 16, 4, err));
    TW_TRY(number(s, UINT32_MAX, 4, err)); /* offset: in the extra field */
    TW_TRY(tw_str_puts(s, z->name, err));
    return fill_sizes(z, s, true, err);
}

void tw_zip_init(struct tw_zip *z, struct tw_sink sink)
{
    *z = (struct tw_zip){.sink = sink};
    tw_str_init(&z->directory, 0);
    make_table(z);
}

void tw_zip_release(struct tw_zip *z)
{
    tw_str_release(&z->directory);
}

trawl_status tw_zip_begin(struct tw_zip *z, const char *name, uint64_t size, struct trawl_error *err)
{
    if (strlen(name) > UINT16_MAX) {
        return tw_fail(err, TRAWL_ERR_INVALID, "zip: a name of %zu bytes, at most 65535 are possible",
                       strlen(name));
    }
    z->name   = name;
    z->offset = z->written;
    z->size = z->left = size;
    z->crc            = 0;
    return put_record(z, fill_local, err);
}

trawl_status tw_zip_write(struct tw_zip *z, const void *data, size_t n, struct trawl_error *err)
{
    if (n > z->left) {
        return tw_fail(err, TRAWL_ERR_INVALID, "zip: more than the %llu bytes of %s",
                       (unsigned long long)z->size, z->name);
    }
    z->crc = update(z, z->crc, data, n);
    z->left -= n;
    return put(z, data, n, err);
}

trawl_status tw_zip_end(struct tw_zip *z, struct trawl_error *err)
{
    if (z->left > 0) {
        return tw_fail(err, TRAWL_ERR_INVALID, "zip: %llu of the %llu bytes of %s are missing",
                       (unsigned long long)z->left, (unsigned long long)z->size, z->name);
    }
    TW_TRY(put_record(z, fill_descriptor, err));
    TW_TRY(add_central(z, err));
    z->entries++;
    return TRAWL_OK;
}

/* ---- the end ---- */

/* `written` is where the directory ends. */
static trawl_status fill_end(struct tw_zip *z, struct tw_str *s, struct trawl_error *err)
{
    TW_TRY(number(s, END_64, 4, err));
    TW_TRY(number(s, END_64_REST, 8, err));
    TW_TRY(number(s, UNIX_3, 2, err));
    TW_TRY(number(s, NEEDS, 2, err));
    TW_TRY(number(s, 0, 8, err)); /* disks */
    TW_TRY(number(s, z->entries, 8, err));
    TW_TRY(number(s, z->entries, 8, err));
    TW_TRY(number(s, z->directory.size, 8, err));
    TW_TRY(number(s, z->written - z->directory.size, 8, err));
    TW_TRY(number(s, LOCATOR_64, 4, err));
    TW_TRY(number(s, 0, 4, err));
    TW_TRY(number(s, z->written, 8, err)); /* where the record above begins */
    TW_TRY(number(s, 1, 4, err));
    TW_TRY(number(s, END, 4, err));
    TW_TRY(number(s, 0, 4, err));
    TW_TRY(number(s, UINT16_MAX, 2, err));
    TW_TRY(number(s, UINT16_MAX, 2, err));
    TW_TRY(number(s, UINT32_MAX, 4, err));
    TW_TRY(number(s, UINT32_MAX, 4, err));
    return number(s, 0, 2, err); /* comment */
}

trawl_status tw_zip_finish(struct tw_zip *z, struct trawl_error *err)
{
    if (z->directory.size > 0) {
        TW_TRY(put(z, z->directory.data, z->directory.size, err));
    }
    return put_record(z, fill_end, err);
}
