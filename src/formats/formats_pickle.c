/* SPDX-License-Identifier: MIT */
#include "formats/formats_pickle.h"

#include <string.h>

#include "base/size.h"
#include "base/utf8.h"
#include "formats/formats_npy.h"

/* The opcodes used; names as in Python's pickletools. */
enum op {
    OP_PROTO            = 0x80,
    OP_STOP             = '.',
    OP_MARK             = '(',
    OP_EMPTY_LIST       = ']',
    OP_APPENDS          = 'e',
    OP_EMPTY_DICT       = '}',
    OP_SETITEMS         = 'u',
    OP_TUPLE            = 't',
    OP_NONE             = 'N',
    OP_NEWTRUE          = 0x88,
    OP_NEWFALSE         = 0x89,
    OP_BININT           = 'J',
    OP_BININT1          = 'K',
    OP_BININT2          = 'M',
    OP_LONG1            = 0x8A,
    OP_BINFLOAT         = 'G',
    OP_SHORT_BINUNICODE = 0x8C,
    OP_BINUNICODE       = 'X',
    OP_BINUNICODE8      = 0x8D,
    OP_BINBYTES         = 'B',
    OP_BINBYTES8        = 0x8E,
    OP_GLOBAL           = 'c',
    OP_REDUCE           = 'R',
    OP_NEWOBJ           = 0x81,
    OP_BUILD            = 'b',
    OP_MEMOIZE          = 0x94,
    OP_BINGET           = 'h'
};

static void put(struct tw_pickle *p, const void *bytes, size_t n)
{
    if (p->status == TRAWL_OK) {
        p->status = tw_sink_write(&p->sink, bytes, n, &p->error);
    }
}

static void put_op(struct tw_pickle *p, enum op op)
{
    uint8_t byte = (uint8_t)op;
    put(p, &byte, 1);
}

/* An opcode and its little-endian argument of `n` bytes. */
static void put_op_number(struct tw_pickle *p, enum op op, uint64_t value, size_t n)
{
    uint8_t bytes[9] = {(uint8_t)op};
    for (size_t i = 0; i < n; i++) {
        bytes[1 + i] = (uint8_t)(value >> (8 * i));
    }
    put(p, bytes, 1 + n);
}

static void refuse(struct tw_pickle *p, trawl_status status, const char *why)
{
    if (p->status == TRAWL_OK) {
        p->status = tw_fail(&p->error, status, "pickle: %s", why);
    }
}

/* Every object passes here before its bytes. */
static void begin_object(struct tw_pickle *p)
{
    if (p->array_left > 0) {
        refuse(p, TRAWL_ERR_INVALID, "an object inside an array whose data are not complete");
    }
    p->items[p->depth]++;
}

/* ---- containers ---- */

static void open_container(struct tw_pickle *p, char kind)
{
    begin_object(p);
    if (p->depth + 1 >= TW_PICKLE_DEPTH) {
        refuse(p, TRAWL_ERR_LIMIT, "containers nested too deeply");
        return;
    }
    p->depth++;
    p->open[p->depth]  = kind;
    p->items[p->depth] = 0;
}

/* False, and a failure kept, when no container of that kind is open. */
static bool close_container(struct tw_pickle *p, char kind)
{
    if (p->status != TRAWL_OK) {
        return false;
    }
    if (p->depth == 0 || p->open[p->depth] != kind || p->array_left > 0) {
        refuse(p, TRAWL_ERR_INVALID, "the container that ends is not the one that was begun last");
        return false;
    }
    if (kind == 'd' && p->items[p->depth] % 2 != 0) {
        refuse(p, TRAWL_ERR_INVALID, "a dict ends after a key without value");
        return false;
    }
    p->depth--;
    return true;
}

void tw_pickle_begin_list(struct tw_pickle *p)
{
    open_container(p, 'l');
    put_op(p, OP_EMPTY_LIST);
    put_op(p, OP_MARK);
}

void tw_pickle_end_list(struct tw_pickle *p)
{
    if (close_container(p, 'l')) {
        put_op(p, OP_APPENDS);
    }
}

void tw_pickle_begin_dict(struct tw_pickle *p)
{
    open_container(p, 'd');
    put_op(p, OP_EMPTY_DICT);
    put_op(p, OP_MARK);
}

void tw_pickle_end_dict(struct tw_pickle *p)
{
    if (close_container(p, 'd')) {
        put_op(p, OP_SETITEMS);
    }
}

void tw_pickle_begin_tuple(struct tw_pickle *p)
{
    open_container(p, 't');
    put_op(p, OP_MARK);
}

void tw_pickle_end_tuple(struct tw_pickle *p)
{
    if (close_container(p, 't')) {
        put_op(p, OP_TUPLE);
    }
}

/* ---- scalars ---- */

void tw_pickle_none(struct tw_pickle *p)
{
    begin_object(p);
    put_op(p, OP_NONE);
}

void tw_pickle_bool(struct tw_pickle *p, bool v)
{
    begin_object(p);
    put_op(p, v ? OP_NEWTRUE : OP_NEWFALSE);
}

static void put_int(struct tw_pickle *p, int64_t v)
{
    if (v >= 0 && v <= UINT8_MAX) {
        put_op_number(p, OP_BININT1, (uint64_t)v, 1);
    } else if (v >= 0 && v <= UINT16_MAX) {
        put_op_number(p, OP_BININT2, (uint64_t)v, 2);
    } else if (v >= INT32_MIN && v <= INT32_MAX) {
        put_op_number(p, OP_BININT, (uint64_t)v, 4);
    } else {
        put_op_number(p, OP_LONG1, sizeof v, 1);
        put(p, &v, sizeof v); /* two's complement, little endian, like the machine */
    }
}

void tw_pickle_int(struct tw_pickle *p, int64_t v)
{
    begin_object(p);
    put_int(p, v);
}

void tw_pickle_double(struct tw_pickle *p, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    begin_object(p);
    put_op_number(p, OP_BINFLOAT, __builtin_bswap64(bits), sizeof bits); /* the one big-endian argument */
}

static void put_string(struct tw_pickle *p, const char *s)
{
    size_t n = strlen(s);
    if (!tw_utf8_valid(s, n)) {
        refuse(p, TRAWL_ERR_INVALID, "a string that is not UTF-8");
        return;
    }
    if (n <= UINT8_MAX) {
        put_op_number(p, OP_SHORT_BINUNICODE, n, 1);
    } else if (n <= UINT32_MAX) {
        put_op_number(p, OP_BINUNICODE, n, 4);
    } else {
        put_op_number(p, OP_BINUNICODE8, n, 8);
    }
    put(p, s, n);
}

void tw_pickle_string(struct tw_pickle *p, const char *s)
{
    begin_object(p);
    put_string(p, s);
}

/* ---- arrays ---- */

static void memoize(struct tw_pickle *p, int *slot)
{
    put_op(p, OP_MEMOIZE);
    *slot = p->n_memo++;
}

static void put_global(struct tw_pickle *p, const char *name)
{
    put_op(p, OP_GLOBAL);
    put(p, "numpy\n", 6);
    put(p, name, strlen(name));
    put(p, "\n", 1);
}

/* numpy.dtype("<f4"), shared by all arrays of that dtype. */
static void put_dtype(struct tw_pickle *p, enum tw_dtype dtype)
{
    if (p->memo_dtype[dtype] >= 0) {
        put_op_number(p, OP_BINGET, (uint64_t)p->memo_dtype[dtype], 1);
        return;
    }
    put_global(p, "dtype");
    put_op(p, OP_MARK);
    put_string(p, tw_numpy_dtype(dtype));
    put_op(p, OP_TUPLE);
    put_op(p, OP_REDUCE);
    memoize(p, &p->memo_dtype[dtype]);
}

/* ndarray.__new__(ndarray, (0,)), then __setstate__((1, shape, dtype, is_fortran, data)): NumPy's own way, so
 * the loaded array is writable like any other. */
static void put_array_head(struct tw_pickle *p, enum tw_dtype dtype, int rank, const size_t *shape,
                           uint64_t bytes)
{
    if (p->memo_array >= 0) {
        put_op_number(p, OP_BINGET, (uint64_t)p->memo_array, 1);
    } else {
        put_global(p, "ndarray");
        memoize(p, &p->memo_array);
    }
    put_op(p, OP_MARK);
    put_op(p, OP_MARK);
    put_int(p, 0);
    put_op(p, OP_TUPLE);
    put_op(p, OP_TUPLE);
    put_op(p, OP_NEWOBJ);
    put_op(p, OP_MARK);
    put_int(p, 1);
    put_op(p, OP_MARK);
    for (int i = 0; i < rank; i++) {
        put_int(p, (int64_t)shape[i]);
    }
    put_op(p, OP_TUPLE);
    put_dtype(p, dtype);
    put_op(p, OP_NEWFALSE);
    if (bytes <= UINT32_MAX) {
        put_op_number(p, OP_BINBYTES, bytes, 4);
    } else {
        put_op_number(p, OP_BINBYTES8, bytes, 8);
    }
}

static void end_array_if_complete(struct tw_pickle *p)
{
    if (p->array_left == 0) {
        put_op(p, OP_TUPLE);
        put_op(p, OP_BUILD);
    }
}

void tw_pickle_begin_array(struct tw_pickle *p, enum tw_dtype dtype, int rank, const size_t *shape)
{
    begin_object(p);
    size_t bytes = tw_dtype_bytes(dtype);
    if (tw_numpy_dtype(dtype) == NULL) {
        refuse(p, TRAWL_ERR_UNSUPPORTED, "NumPy has no dtype bfloat16");
        return;
    }
    bool fits = rank >= 0 && rank <= TW_PICKLE_RANK;
    for (int i = 0; fits && i < rank; i++) {
        fits = tw_size_mul(bytes, shape[i], &bytes) && shape[i] <= INT64_MAX;
    }
    if (!fits) {
        refuse(p, TRAWL_ERR_INVALID, "an array of more than 8 dimensions or too large for any memory");
        return;
    }
    put_array_head(p, dtype, rank, shape, bytes);
    p->array_left = bytes;
    end_array_if_complete(p);
}

void tw_pickle_array_data(struct tw_pickle *p, const void *data, size_t n)
{
    if (p->status != TRAWL_OK || n == 0) {
        return;
    }
    if (n > p->array_left) {
        refuse(p, TRAWL_ERR_INVALID, "more data than the array's shape and dtype make");
        return;
    }
    put(p, data, n);
    p->array_left -= n;
    end_array_if_complete(p);
}

void tw_pickle_array(struct tw_pickle *p, enum tw_dtype dtype, int rank, const size_t *shape,
                     const void *data)
{
    tw_pickle_begin_array(p, dtype, rank, shape);
    tw_pickle_array_data(p, data, p->array_left);
}

/* ---- the stream ---- */

void tw_pickle_init(struct tw_pickle *p, struct tw_sink sink)
{
    *p = (struct tw_pickle){.sink = sink, .memo_array = -1, .status = TRAWL_OK};
    for (int i = 0; i < TW_PICKLE_DTYPES; i++) {
        p->memo_dtype[i] = -1;
    }
    put_op_number(p, OP_PROTO, 4, 1);
}

trawl_status tw_pickle_finish(struct tw_pickle *p, struct trawl_error *err)
{
    if (p->depth != 0 || p->array_left > 0 || p->items[0] != 1) {
        refuse(p, TRAWL_ERR_INVALID, "the stream ends with something open, or is not one object");
    }
    put_op(p, OP_STOP);
    if (p->status != TRAWL_OK && err != NULL) {
        *err = p->error;
    }
    return p->status;
}
