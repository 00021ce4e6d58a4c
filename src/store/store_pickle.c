/* SPDX-License-Identifier: MIT */
#include "store/store_pickle.h"

#include <string.h>

#include "base/size.h"

/* What a stream consists of for us; opcodes that only build containers and arrays are passed over. */
enum item_kind { ITEM_STRING, ITEM_INT, ITEM_BYTES, ITEM_DICT, ITEM_END };

struct item {
    enum item_kind kind;
    const uint8_t *data; /* STRING, BYTES */
    size_t size;
    int64_t value; /* INT */
};

static trawl_status damaged(const struct tw_pickle_reader *r, const char *why, struct trawl_error *err)
{
    return tw_fail(err, TRAWL_ERR_FORMAT, "%s: byte %zu: %s", r->what, r->at, why);
}

/* `n` bytes of argument, as a number when it is one. */
static trawl_status argument(struct tw_pickle_reader *r, size_t n, const uint8_t **out,
                             struct trawl_error *err)
{
    if (r->n - r->at < n) {
        return damaged(r, "the pickle ends in the middle of something", err);
    }
    *out = r->data + r->at;
    r->at += n;
    return TRAWL_OK;
}

static trawl_status number(struct tw_pickle_reader *r, size_t n, uint64_t *out, struct trawl_error *err)
{
    const uint8_t *bytes = NULL;
    TW_TRY(argument(r, n, &bytes, err));
    *out = 0;
    memcpy(out, bytes, n); /* little endian, like the machine */
    return TRAWL_OK;
}

static trawl_status sized(struct tw_pickle_reader *r, size_t length, enum item_kind kind, struct item *item,
                          struct trawl_error *err)
{
    uint64_t size = 0;
    TW_TRY(number(r, length, &size, err));
    if (size > r->n - r->at) {
        return damaged(r, "a string or array is longer than the pickle", err);
    }
    *item = (struct item){.kind = kind, .size = (size_t)size};
    return argument(r, item->size, &item->data, err);
}

static trawl_status integer(struct tw_pickle_reader *r, size_t n, bool sign, struct item *item,
                            struct trawl_error *err)
{
    uint64_t v = 0;
    TW_TRY(number(r, n, &v, err));
    *item =
        (struct item){.kind = ITEM_INT, .value = sign && n == 4 ? (int64_t)(int32_t)(uint32_t)v : (int64_t)v};
    return TRAWL_OK;
}

static trawl_status skip_line(struct tw_pickle_reader *r, struct trawl_error *err)
{
    const uint8_t *end = memchr(r->data + r->at, '\n', r->n - r->at);
    if (end == NULL) {
        return damaged(r, "a name without end", err);
    }
    r->at = (size_t)(end - r->data) + 1;
    return TRAWL_OK;
}

static trawl_status next_item(struct tw_pickle_reader *r, struct item *item, struct trawl_error *err)
{
    const uint8_t *op = NULL, *ignored = NULL;
    uint64_t size = 0;
    for (;;) {
        TW_TRY(argument(r, 1, &op, err));
        switch (*op) {
        case 0x80: /* PROTO */
        case 'h': /* BINGET */ TW_TRY(argument(r, 1, &ignored, err)); break;
        case 'c': /* GLOBAL: names of NumPy's, not looked at */
            TW_TRY(skip_line(r, err));
            TW_TRY(skip_line(r, err));
            break;
        case ']':  /* EMPTY_LIST */
        case '(':  /* MARK */
        case 't':  /* TUPLE */
        case 'R':  /* REDUCE */
        case 0x94: /* MEMOIZE */
        case 0x81: /* NEWOBJ */
        case 0x89: /* NEWFALSE */
        case 'b':  /* BUILD */
        case 'u':  /* SETITEMS */
        case 'e': /* APPENDS */ break;
        case '}': *item = (struct item){.kind = ITEM_DICT}; return TRAWL_OK;
        case '.': *item = (struct item){.kind = ITEM_END}; return TRAWL_OK;
        case 0x8c: return sized(r, 1, ITEM_STRING, item, err);
        case 'X': return sized(r, 4, ITEM_STRING, item, err);
        case 0x8d: return sized(r, 8, ITEM_STRING, item, err);
        case 'B': return sized(r, 4, ITEM_BYTES, item, err);
        case 0x8e: return sized(r, 8, ITEM_BYTES, item, err);
        case 'K': return integer(r, 1, false, item, err);
        case 'M': return integer(r, 2, false, item, err);
        case 'J': return integer(r, 4, true, item, err);
        case 0x8a: /* LONG1, always of 8 bytes here */
            TW_TRY(number(r, 1, &size, err));
            if (size != 8) {
                return damaged(r, "an integer of a size that is not written", err);
            }
            return integer(r, 8, true, item, err);
        default: return damaged(r, "an opcode that is not written here", err);
        }
    }
}

static trawl_status expect(struct tw_pickle_reader *r, enum item_kind kind, struct item *item,
                           struct trawl_error *err)
{
    TW_TRY(next_item(r, item, err));
    return item->kind == kind ? TRAWL_OK : damaged(r, "not the entry of a store's pickle", err);
}

static trawl_status expect_key(struct tw_pickle_reader *r, const char *key, struct trawl_error *err)
{
    struct item item;
    TW_TRY(expect(r, ITEM_STRING, &item, err));
    bool same = item.size == strlen(key) && memcmp(item.data, key, item.size) == 0;
    return same ? TRAWL_OK : damaged(r, "not the entry of a store's pickle", err);
}

trawl_status tw_pickle_next(struct tw_pickle_reader *r, struct tw_pickle_entry *e, bool *more,
                            struct trawl_error *err)
{
    struct item item, rows, width, bytes;
    size_t size = sizeof(float);
    TW_TRY(next_item(r, &item, err));
    *more = item.kind == ITEM_DICT;
    if (item.kind == ITEM_END) {
        return r->at == r->n ? TRAWL_OK : damaged(r, "bytes after the end", err);
    }
    TW_TRY(*more ? TRAWL_OK : damaged(r, "not the entry of a store's pickle", err));
    TW_TRY(expect_key(r, "task_id", err));
    TW_TRY(expect(r, ITEM_STRING, &item, err));
    e->task_id      = (const char *)item.data;
    e->task_id_size = item.size;
    TW_TRY(expect_key(r, "sample_idx", err));
    TW_TRY(expect(r, ITEM_INT, &item, err));
    e->sample_idx = item.value;
    TW_TRY(expect_key(r, "activation", err));
    do { /* the array's shape and dtype come first */
        TW_TRY(next_item(r, &bytes, err));
    } while (bytes.kind == ITEM_INT || bytes.kind == ITEM_STRING);
    TW_TRY(bytes.kind == ITEM_BYTES ? TRAWL_OK : damaged(r, "an entry without rows", err));
    TW_TRY(expect_key(r, "shape", err));
    TW_TRY(expect(r, ITEM_INT, &rows, err));
    TW_TRY(expect(r, ITEM_INT, &width, err));
    if (rows.value < 1 || width.value < 1 || !tw_size_mul(size, (size_t)rows.value, &size) ||
        !tw_size_mul(size, (size_t)width.value, &size) || size != bytes.size) {
        return damaged(r, "rows of another size than their shape says", err);
    }
    e->n_rows = (size_t)rows.value;
    e->width  = (size_t)width.value;
    e->rows   = bytes.data;
    return TRAWL_OK;
}
