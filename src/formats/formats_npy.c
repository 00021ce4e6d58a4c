/* SPDX-License-Identifier: MIT */
#include "formats/formats_npy.h"

#include "base/size.h"

const char *tw_numpy_dtype(enum tw_dtype dtype)
{
    switch (dtype) {
    case TW_DTYPE_F32: return "<f4";
    case TW_DTYPE_F16: return "<f2";
    case TW_DTYPE_BF16: return NULL;
    case TW_DTYPE_F64: return "<f8";
    case TW_DTYPE_I8: return "|i1";
    case TW_DTYPE_U8: return "|u1";
    case TW_DTYPE_I16: return "<i2";
    case TW_DTYPE_U16: return "<u2";
    case TW_DTYPE_I32: return "<i4";
    case TW_DTYPE_U32: return "<u4";
    case TW_DTYPE_I64: return "<i8";
    case TW_DTYPE_U64: return "<u8";
    case TW_DTYPE_BOOL: return "|b1";
    }
    return NULL;
}

enum { PREFIX_BYTES = 10, DATA_ALIGNMENT = 64 };

/* numpy.save's dictionary, and room for the first dimension to grow to 21 digits. */
static trawl_status format_header(struct tw_str *s, const char *descr, int rank, const size_t *shape,
                                  struct trawl_error *err)
{
    TW_TRY(tw_str_append(s, "\x93NUMPY\x01\x00\x00\x00", PREFIX_BYTES, err));
    TW_TRY(tw_str_printf(s, err, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr));
    size_t first = s->size;
    for (int i = 0; i < rank; i++) {
        TW_TRY(
            tw_str_printf(s, err, i == 0 ? "%zu%s" : " %zu%s", shape[i], i == 0 || i < rank - 1 ? "," : ""));
    }
    TW_TRY(tw_str_puts(s, "), }", err));
    if (rank > 0) {
        size_t digits = 0;
        while (s->data[first + digits] != ',') {
            digits++;
        }
        for (; digits < 21; digits++) {
            TW_TRY(tw_str_putc(s, ' ', err));
        }
    }
    /* numpy.save fills a whole block when the text would fit exactly. */
    do {
        TW_TRY(tw_str_putc(s, ' ', err));
    } while ((s->size + 1) % DATA_ALIGNMENT != 0);
    TW_TRY(tw_str_putc(s, '\n', err));
    size_t length = s->size - PREFIX_BYTES;
    s->data[8]    = (char)(length & 0xFF);
    s->data[9]    = (char)(length >> 8);
    return TRAWL_OK;
}

trawl_status tw_npy_write_header(const struct tw_sink *sink, enum tw_dtype dtype, int rank,
                                 const size_t *shape, size_t *bytes, struct trawl_error *err)
{
    const char *descr = tw_numpy_dtype(dtype);
    if (descr == NULL) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "npy: NumPy has no dtype %s", tw_dtype_name(dtype));
    }
    if (rank < 0 || rank > TW_NPY_RANK) {
        return tw_fail(err, TRAWL_ERR_INVALID, "npy: an array of %d dimensions, at most %d are supported",
                       rank, TW_NPY_RANK);
    }
    size_t n = tw_dtype_bytes(dtype);
    for (int i = 0; i < rank; i++) {
        if (!tw_size_mul(n, shape[i], &n)) {
            return tw_fail(err, TRAWL_ERR_INVALID, "npy: the array is too large for any memory");
        }
    }
    struct tw_str text;
    tw_str_init(&text, 0);
    trawl_status status = format_header(&text, descr, rank, shape, err);
    if (status == TRAWL_OK) {
        status = tw_sink_write(sink, text.data, text.size, err);
    }
    tw_str_release(&text);
    if (status == TRAWL_OK && bytes != NULL) {
        *bytes = n;
    }
    return status;
}
