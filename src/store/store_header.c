/* SPDX-License-Identifier: MIT */
#include "store/store_header.h"

#include "base/size.h"
#include "json/json.h"

enum { LENGTH_BYTES = 8, ALIGNMENT = 64 };

static bool tensor_bytes(const struct tw_header_tensor *t, size_t *out)
{
    size_t n = tw_dtype_bytes(t->dtype);
    for (int i = 0; i < t->rank; i++) {
        if (!tw_size_mul(n, t->shape[i], &n)) {
            return false;
        }
    }
    *out = n;
    return true;
}

static trawl_status write_tensors(struct tw_json_writer *w, const struct tw_header_tensor *tensors, size_t n,
                                  struct trawl_error *err)
{
    size_t begin = 0;
    for (size_t i = 0; i < n; i++) {
        const struct tw_header_tensor *t = &tensors[i];
        size_t bytes                     = 0;
        size_t end                       = 0;
        if (!tensor_bytes(t, &bytes) || !tw_size_add(begin, bytes, &end) || end > INT64_MAX) {
            return tw_fail(err, TRAWL_ERR_LIMIT, "tensor \"%s\" does not fit in a file", t->name);
        }
        tw_json_key(w, t->name);
        tw_json_begin_object(w);
        tw_json_key(w, "dtype");
        tw_json_string(w, tw_dtype_name(t->dtype));
        tw_json_key(w, "shape");
        tw_json_begin_array(w);
        for (int d = 0; d < t->rank; d++) {
            tw_json_int(w, (int64_t)t->shape[d]);
        }
        tw_json_end_array(w);
        tw_json_key(w, "data_offsets");
        tw_json_begin_array(w);
        tw_json_int(w, (int64_t)begin);
        tw_json_int(w, (int64_t)end);
        tw_json_end_array(w);
        tw_json_end_object(w);
        begin = end;
    }
    return TRAWL_OK;
}

trawl_status tw_header_build(struct tw_str *out, const struct tw_header_tensor *tensors, size_t n_tensors,
                             const struct tw_setting *metadata, size_t n_metadata, size_t bytes,
                             struct trawl_error *err)
{
    struct tw_json_writer w;
    size_t start = out->size;
    TW_TRY(tw_str_append(out, "\0\0\0\0\0\0\0", LENGTH_BYTES, err));
    tw_json_writer_init(&w, out, 0);
    tw_json_begin_object(&w);
    tw_json_key(&w, "__metadata__");
    tw_json_begin_object(&w);
    for (size_t i = 0; i < n_metadata; i++) {
        tw_json_key(&w, metadata[i].key);
        tw_json_string(&w, metadata[i].value);
    }
    tw_json_end_object(&w);
    TW_TRY(write_tensors(&w, tensors, n_tensors, err));
    tw_json_end_object(&w);
    TW_TRY(tw_json_writer_finish(&w, err));
    size_t size = out->size - start;
    size_t want = bytes == 0 ? tw_round_up(size, ALIGNMENT) : bytes;
    if (size > want) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "a safetensors header of %zu bytes, room for %zu", size, want);
    }
    while (out->size - start < want) {
        TW_TRY(tw_str_putc(out, ' ', err));
    }
    for (size_t i = 0; i < LENGTH_BYTES; i++) {
        out->data[start + i] = (char)((want - LENGTH_BYTES) >> (8 * i) & 0xFF);
    }
    return TRAWL_OK;
}
