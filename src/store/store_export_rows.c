/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/size.h"
#include "store/store_export_int.h"

/* ---- which rows ---- */

trawl_status tw_export_advance(struct tw_export *x, struct trawl_error *err)
{
    x->at   = 0;
    x->more = x->c->max_rows == 0 || x->taken < x->c->max_rows;
    return x->more ? tw_reader_next_run(x->r, &x->q, &x->more, err) : TRAWL_OK;
}

trawl_status tw_export_seek(struct tw_export *x, size_t chunk, uint64_t taken, struct trawl_error *err)
{
    tw_reader_seek(x->r, chunk);
    x->taken = taken;
    return tw_export_advance(x, err);
}

static bool chosen(const struct tw_export *x, size_t row)
{
    switch (x->c->only) {
    case TW_EXPORT_PROMPT: return x->q.is_generated[row] == 0;
    case TW_EXPORT_GENERATED: return x->q.is_generated[row] != 0;
    case TW_EXPORT_ALL: break;
    }
    return true;
}

/* Is this row of the token behind the one before? Not where rows were shuffled, or some were not stored. */
static bool follows(const struct tw_export *x, size_t row)
{
    const int32_t *position = x->q.position;
    return position == NULL || (int64_t)position[row] == (int64_t)position[row - 1] + 1;
}

struct tw_export_piece tw_export_piece(struct tw_export *x)
{
    struct tw_export_piece piece = {0};
    size_t most                  = x->q.n_rows;
    if (x->c->max_rows > 0 && x->c->max_rows - x->taken < most) {
        most = (size_t)(x->c->max_rows - x->taken);
    }
    while (x->at < x->q.n_rows && !chosen(x, x->at)) {
        x->at++;
    }
    piece.first = x->at;
    while (x->at < x->q.n_rows && piece.n < most && chosen(x, x->at) && (piece.n == 0 || follows(x, x->at))) {
        x->at++;
        piece.n++;
    }
    x->taken += piece.n;
    return piece;
}

trawl_status tw_export_tick(struct tw_export *x, uint64_t rows, struct trawl_error *err)
{
    x->done += rows;
    return x->c->tick == NULL || x->c->tick(x->c->user, x->done, x->total * x->n_sites)
               ? TRAWL_OK
               : tw_fail(err, TRAWL_ERR_CANCELLED, "stopped on request; nothing of the export is kept");
}

/* ---- what they hold ---- */

static float to_float(enum tw_dtype dtype, const uint8_t *at)
{
    uint16_t half;
    float whole;
    if (dtype == TW_DTYPE_F32) {
        memcpy(&whole, at, sizeof whole);
        return whole;
    }
    memcpy(&half, at, sizeof half);
    return dtype == TW_DTYPE_BF16 ? tw_bf16_to_f32(half) : tw_f16_to_f32(half);
}

void tw_export_convert(enum tw_dtype from, const void *in, enum tw_dtype to, void *out, size_t n)
{
    const uint8_t *bytes = in;
    size_t size          = tw_dtype_bytes(from);
    if (from == to) {
        memcpy(out, in, n * size);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        float v = to_float(from, bytes + i * size);
        if (to == TW_DTYPE_F32) {
            ((float *)out)[i] = v;
        } else {
            ((uint16_t *)out)[i] = to == TW_DTYPE_BF16 ? tw_bf16_from_f32(v) : tw_f16_from_f32(v);
        }
    }
}

trawl_status tw_export_rows(struct tw_export *x, size_t site, struct tw_export_piece piece,
                            const struct tw_sink *sink, struct trawl_error *err)
{
    size_t width = x->config.sites[site].width;
    for (size_t at = 0; at < piece.n; at += TW_EXPORT_ROWS) {
        size_t n = tw_min_size(TW_EXPORT_ROWS, piece.n - at);
        tw_export_convert(x->config.dtype, tw_reader_stored(x->r, site, piece.first + at), x->dtype, x->bytes,
                          n * width);
        TW_TRY(tw_sink_write(sink, x->bytes, n * width * tw_dtype_bytes(x->dtype), err));
    }
    return tw_export_tick(x, piece.n, err);
}

bool tw_export_has_column(const struct tw_export *x, enum tw_column column)
{
    return column == TW_COLUMN_REQUEST ||
           (x->config.format == TW_STORE_SAFETENSORS && tw_column_present(column, x->config.columns));
}

trawl_status tw_export_column(const struct tw_export *x, enum tw_column column, struct tw_export_piece piece,
                              const struct tw_sink *sink, struct trawl_error *err)
{
    size_t size         = tw_dtype_bytes(tw_column_info(column)->dtype);
    const uint8_t *data = tw_column_of_request(&x->q, column);
    if (data != NULL) {
        return tw_sink_write(sink, data + piece.first * size, piece.n * size, err);
    }
    int64_t id = (int64_t)x->q.id;
    for (size_t i = 0; i < piece.n; i++) {
        TW_TRY(tw_sink_write(sink, &id, sizeof id, err));
    }
    return TRAWL_OK;
}
