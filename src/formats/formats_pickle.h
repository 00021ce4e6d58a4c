/* SPDX-License-Identifier: MIT */
/* Python pickles, protocol 4, written as a stream: nothing is kept but the open containers. Equal calls give
 * equal bytes. Arrays become numpy.ndarray through the two names numpy.ndarray and numpy.dtype only, which
 * every NumPy has in the same place (numpy.core, where NumPy's own pickles point, moved in 2.0).
 *
 *     tw_pickle_init(&p, sink);
 *     tw_pickle_begin_list(&p);
 *     tw_pickle_begin_dict(&p);
 *     tw_pickle_string(&p, "activation");
 *     tw_pickle_array(&p, TW_DTYPE_F32, 2, (size_t[]){tokens, width}, rows);
 *     tw_pickle_end_dict(&p);
 *     tw_pickle_end_list(&p);
 *     TW_TRY(tw_pickle_finish(&p, err)); */
#ifndef TW_FORMATS_PICKLE_H
#define TW_FORMATS_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "formats/formats_sink.h"
#include "tensor/dtype.h"

enum { TW_PICKLE_DEPTH = 32, TW_PICKLE_RANK = 8, TW_PICKLE_DTYPES = TW_DTYPE_BOOL + 1 };

/* The first failure is kept and returned by tw_pickle_finish, so single calls need no check. */
struct tw_pickle {
    struct tw_sink sink;
    int depth;
    char open[TW_PICKLE_DEPTH];       /* 'l', 'd', 't': kind of the open containers */
    size_t items[TW_PICKLE_DEPTH];    /* objects in each so far; a dict's keys count too */
    int memo_array;                   /* where numpy.ndarray is in the memo, -1: not yet */
    int memo_dtype[TW_PICKLE_DTYPES]; /* the same for the dtypes used */
    int n_memo;
    uint64_t array_left; /* data bytes that the open array still wants */
    trawl_status status;
    struct trawl_error error;
};

void tw_pickle_init(struct tw_pickle *p, struct tw_sink sink);

/* Containers. The objects between the two calls are its items; in a dict key, value, key, value ... */
void tw_pickle_begin_list(struct tw_pickle *p);
void tw_pickle_end_list(struct tw_pickle *p);
void tw_pickle_begin_dict(struct tw_pickle *p);
void tw_pickle_end_dict(struct tw_pickle *p);
void tw_pickle_begin_tuple(struct tw_pickle *p);
void tw_pickle_end_tuple(struct tw_pickle *p);

void tw_pickle_none(struct tw_pickle *p);
void tw_pickle_bool(struct tw_pickle *p, bool v);
void tw_pickle_int(struct tw_pickle *p, int64_t v);
void tw_pickle_double(struct tw_pickle *p, double v);
void tw_pickle_string(struct tw_pickle *p, const char *s); /* UTF-8, else TRAWL_ERR_INVALID */
/* A row-major array in one piece, or as begin and then exactly its bytes in pieces. TRAWL_ERR_UNSUPPORTED for
 * bfloat16. */
void tw_pickle_array(struct tw_pickle *p, enum tw_dtype dtype, int rank, const size_t *shape,
                     const void *data);
void tw_pickle_begin_array(struct tw_pickle *p, enum tw_dtype dtype, int rank, const size_t *shape);
void tw_pickle_array_data(struct tw_pickle *p, const void *data, size_t n);

/* Ends the stream. A container left open, a dict with a key without value, an array without all its bytes, or
 * not exactly one outermost object: TRAWL_ERR_INVALID. Does not commit the sink's file. */
trawl_status tw_pickle_finish(struct tw_pickle *p, struct trawl_error *err);

#endif /* TW_FORMATS_PICKLE_H */
