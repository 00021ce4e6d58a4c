/* SPDX-License-Identifier: MIT */
#include "formats/formats_arrow.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "formats/formats_flatbuffer.h"

/* Numbers of Arrow's Message.fbs and Schema.fbs. */
enum { VERSION_5 = 4, HEADER_SCHEMA = 1, HEADER_BATCH = 3 };
enum { TYPE_INT = 2, TYPE_FLOAT = 3, TYPE_LIST = 12, TYPE_FIXED_LIST = 16 };
enum { FLOAT_HALF = 0, FLOAT_SINGLE = 1 };
enum { BATCH_BYTES = 16 << 20, ALIGNMENT = 64, BUFFERS = 9, NODES = 5, SHORT_BUFFERS = 6, SHORT_NODES = 3 };

/* ---- the envelope ---- */

/* A table Message with its header still to be made; `header` is where its reference lies. */
static void begin_message(struct tw_flatbuffer *b, int type, uint64_t body, size_t *header)
{
    size_t fields[TW_FLATBUFFER_FIELDS];
    size_t message = tw_flatbuffer_table(b, (const uint8_t[]){2, 1, 4, 8}, 4, fields);
    tw_flatbuffer_refer(b, 0, message);
    tw_flatbuffer_set(b, fields[0], VERSION_5, 2);
    tw_flatbuffer_set(b, fields[1], (uint64_t)type, 1);
    tw_flatbuffer_set(b, fields[3], body, 8);
    *header = fields[2];
}

static trawl_status put_message(const struct tw_sink *sink, struct tw_flatbuffer *b, struct trawl_error *err)
{
    TW_TRY(tw_flatbuffer_finish(b, err));
    uint32_t head[2] = {UINT32_MAX, (uint32_t)b->bytes.size};
    TW_TRY(tw_sink_write(sink, head, sizeof head, err));
    return tw_sink_write(sink, b->bytes.data, b->bytes.size, err);
}

/* ---- the schema ---- */

/* A table Field; returns where its references to the type and to the vector of children lie. */
struct field {
    size_t type, children, metadata;
};

static struct field add_field(struct tw_flatbuffer *b, size_t at, const char *name, int type, bool metadata)
{
    size_t fields[TW_FLATBUFFER_FIELDS];
    const uint8_t sizes[] = {4, 1, 1, 4, 0, 4, metadata ? 4 : 0};
    tw_flatbuffer_refer(b, at, tw_flatbuffer_table(b, sizes, 7, fields));
    tw_flatbuffer_set(b, fields[1], 1, 1); /* nullable, as pyarrow has it */
    tw_flatbuffer_set(b, fields[2], (uint64_t)type, 1);
    tw_flatbuffer_refer(b, fields[0], tw_flatbuffer_string(b, name));
    return (struct field){.type = fields[3], .children = fields[5], .metadata = fields[6]};
}

/* The vector of `n` children of a field; returns where the first one's reference lies. */
static size_t add_children(struct tw_flatbuffer *b, const struct field *f, size_t n)
{
    size_t vector = tw_flatbuffer_vector(b, n, 4);
    tw_flatbuffer_refer(b, f->children, vector);
    return vector + 4;
}

/* A table of at most two numbers: Int, FloatingPoint, List, FixedSizeList. */
static void add_type(struct tw_flatbuffer *b, const struct field *f, uint8_t size, uint64_t value,
                     bool is_signed)
{
    size_t fields[TW_FLATBUFFER_FIELDS];
    const uint8_t sizes[] = {size, is_signed ? 1 : 0};
    tw_flatbuffer_refer(b, f->type, tw_flatbuffer_table(b, sizes, is_signed ? 2 : size > 0 ? 1 : 0, fields));
    if (size > 0) {
        tw_flatbuffer_set(b, fields[0], value, size);
    }
    if (is_signed) {
        tw_flatbuffer_set(b, fields[1], 1, 1);
    }
}

static void add_pair(struct tw_flatbuffer *b, size_t at, const char *key, const char *value)
{
    size_t fields[TW_FLATBUFFER_FIELDS];
    tw_flatbuffer_refer(b, at, tw_flatbuffer_table(b, (const uint8_t[]){4, 4}, 2, fields));
    tw_flatbuffer_refer(b, fields[0], tw_flatbuffer_string(b, key));
    tw_flatbuffer_refer(b, fields[1], tw_flatbuffer_string(b, value));
}

static const char *dtype_name(const struct tw_arrow_columns *c)
{
    return c->dtype == TW_DTYPE_F32 ? "float32" : "float16";
}

/* list<list<float>>, which datasets knows as an Array2D by the name and parameters of its extension type. */
static void add_matrices(struct tw_flatbuffer *b, size_t at, const struct tw_arrow_columns *c)
{
    char shape[96];
    (void)snprintf(shape, sizeof shape, "[[%zu, %zu], \"%s\"]", c->context, c->width, dtype_name(c));
    struct field outer = add_field(b, at, c->name, TYPE_LIST, true);
    add_type(b, &outer, 0, 0, false);
    size_t pairs = tw_flatbuffer_vector(b, 2, 4);
    tw_flatbuffer_refer(b, outer.metadata, pairs);
    add_pair(b, pairs + 4, "ARROW:extension:name", "datasets.features.features.Array2DExtensionType");
    add_pair(b, pairs + 8, "ARROW:extension:metadata", shape);
    struct field inner = add_field(b, add_children(b, &outer, 1), "item", TYPE_LIST, false);
    add_type(b, &inner, 0, 0, false);
    struct field value = add_field(b, add_children(b, &inner, 1), "item", TYPE_FLOAT, false);
    add_type(b, &value, 2, c->dtype == TW_DTYPE_F32 ? FLOAT_SINGLE : FLOAT_HALF, false);
    (void)add_children(b, &value, 0);
}

static void add_tokens(struct tw_flatbuffer *b, size_t at, const struct tw_arrow_columns *c)
{
    struct field list = add_field(b, at, c->tokens, TYPE_FIXED_LIST, false);
    add_type(b, &list, 4, c->context, false);
    struct field value = add_field(b, add_children(b, &list, 1), "item", TYPE_INT, false);
    add_type(b, &value, 4, 32, true);
    (void)add_children(b, &value, 0);
}

trawl_status tw_arrow_begin(const struct tw_sink *sink, const struct tw_arrow_columns *c,
                            struct trawl_error *err)
{
    struct tw_flatbuffer b;
    size_t header, fields[TW_FLATBUFFER_FIELDS], elements = 0;
    if (c->dtype != TW_DTYPE_F32 && c->dtype != TW_DTYPE_F16) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "Arrow has no dtype %s: F32 or F16",
                       tw_dtype_name(c->dtype));
    }
    if (!tw_size_mul(c->context, c->width, &elements) || elements > INT32_MAX) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "a matrix [%zu, %zu] has more elements than an Arrow list can",
                       c->context, c->width);
    }
    tw_flatbuffer_init(&b);
    begin_message(&b, HEADER_SCHEMA, 0, &header);
    tw_flatbuffer_refer(&b, header, tw_flatbuffer_table(&b, (const uint8_t[]){2, 4}, 2, fields));
    size_t list = tw_flatbuffer_vector(&b, c->tokens == NULL ? 1 : 2, 4);
    tw_flatbuffer_refer(&b, fields[1], list);
    add_matrices(&b, list + 4, c);
    if (c->tokens != NULL) {
        add_tokens(&b, list + 8, c);
    }
    trawl_status status = put_message(sink, &b, err);
    tw_flatbuffer_release(&b);
    return status;
}

/* ---- record batches ---- */

/* Depth first: the length of each array, and the bytes of its buffers, of which the first is a bitmap of nulls: none. A
 * fixed list has no other. */
struct batch {
    uint64_t nodes[NODES];
    uint64_t buffers[BUFFERS];
    size_t n_nodes, n_buffers;
};

static struct batch describe(const struct tw_arrow_columns *c, size_t n)
{
    uint64_t rows = n * c->context, values = rows * c->width;
    return (struct batch){
        .nodes   = {n, rows, values, n, rows},
        .buffers = {0, (n + 1) * 4, 0, (rows + 1) * 4, 0, values * tw_dtype_bytes(c->dtype), 0, 0, rows * 4},
        .n_nodes = c->tokens == NULL ? SHORT_NODES : NODES,
        .n_buffers = c->tokens == NULL ? SHORT_BUFFERS : BUFFERS};
}

size_t tw_arrow_batch_rows(const struct tw_arrow_columns *c)
{
    size_t row = c->context * c->width * tw_dtype_bytes(c->dtype);
    return tw_max_size(BATCH_BYTES / row, 1);
}

static trawl_status put_batch_head(const struct tw_sink *sink, const struct batch *d, struct trawl_error *err)
{
    struct tw_flatbuffer b;
    size_t header, fields[TW_FLATBUFFER_FIELDS], body = 0;
    for (size_t i = 0; i < d->n_buffers; i++) {
        body += tw_round_up(d->buffers[i], ALIGNMENT);
    }
    tw_flatbuffer_init(&b);
    begin_message(&b, HEADER_BATCH, body, &header);
    tw_flatbuffer_refer(&b, header, tw_flatbuffer_table(&b, (const uint8_t[]){8, 4, 4}, 3, fields));
    tw_flatbuffer_set(&b, fields[0], d->nodes[0], 8);
    size_t nodes = tw_flatbuffer_vector(&b, d->n_nodes, 16); /* length, number of nulls */
    tw_flatbuffer_refer(&b, fields[1], nodes);
    for (size_t i = 0; i < d->n_nodes; i++) {
        tw_flatbuffer_set(&b, nodes + 4 + 16 * i, d->nodes[i], 8);
    }
    size_t buffers = tw_flatbuffer_vector(&b, d->n_buffers, 16); /* offset, bytes */
    tw_flatbuffer_refer(&b, fields[2], buffers);
    for (size_t i = 0, at = 0; i < d->n_buffers; i++) {
        tw_flatbuffer_set(&b, buffers + 4 + 16 * i, at, 8);
        tw_flatbuffer_set(&b, buffers + 12 + 16 * i, d->buffers[i], 8);
        at += tw_round_up(d->buffers[i], ALIGNMENT);
    }
    trawl_status status = put_message(sink, &b, err);
    tw_flatbuffer_release(&b);
    return status;
}

static trawl_status put_buffer(const struct tw_sink *sink, const void *data, size_t bytes,
                               struct trawl_error *err)
{
    static const uint8_t zeros[ALIGNMENT] = {0};
    TW_TRY(tw_sink_write(sink, data, bytes, err));
    return tw_sink_write(sink, zeros, tw_round_up(bytes, ALIGNMENT) - bytes, err);
}

/* Where each of n lists of `length` elements begins, and the end. */
static trawl_status put_offsets(const struct tw_sink *sink, size_t n, size_t length, struct trawl_error *err)
{
    int32_t *offsets = NULL;
    TW_TRY(tw_alloc(n + 1, sizeof *offsets, &offsets, err));
    for (size_t i = 0; i <= n; i++) {
        offsets[i] = (int32_t)(i * length);
    }
    trawl_status status = put_buffer(sink, offsets, (n + 1) * sizeof *offsets, err);
    tw_free(offsets);
    return status;
}

trawl_status tw_arrow_batch(const struct tw_sink *sink, const struct tw_arrow_columns *c, size_t n,
                            const void *values, const int32_t *tokens, struct trawl_error *err)
{
    struct batch d = describe(c, n);
    TW_BUG_ON(n > tw_arrow_batch_rows(c));
    TW_TRY(put_batch_head(sink, &d, err));
    TW_TRY(put_offsets(sink, n, c->context, err));
    TW_TRY(put_offsets(sink, n * c->context, c->width, err));
    TW_TRY(put_buffer(sink, values, n * c->context * c->width * tw_dtype_bytes(c->dtype), err));
    return c->tokens == NULL ? TRAWL_OK : put_buffer(sink, tokens, n * c->context * sizeof *tokens, err);
}

trawl_status tw_arrow_end(const struct tw_sink *sink, struct trawl_error *err)
{
    static const uint32_t end[2] = {UINT32_MAX, 0};
    return tw_sink_write(sink, end, sizeof end, err);
}
