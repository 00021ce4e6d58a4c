/* SPDX-License-Identifier: MIT */
/* Bytes and refusals of the pickle and npy writers; test_formats_python has Python read them. */
#include "support/test.h"

#include "formats/formats_npy.h"
#include "formats/formats_pickle.h"

static void bytes_are_those_of_the_protocol(void **state)
{
    (void)state;
    struct trawl_error err;
    struct tw_str out;
    struct tw_pickle p;
    tw_str_init(&out, 0);
    tw_pickle_init(&p, tw_sink_str(&out));
    tw_pickle_begin_list(&p);
    for (int i = 0; i < 2; i++) {
        tw_pickle_array(&p, TW_DTYPE_F32, 1, (size_t[]){2}, (float[]){1.0f, 2.0f});
    }
    tw_pickle_double(&p, 1.0);
    tw_pickle_end_list(&p);
    assert_ok(tw_pickle_finish(&p, &err));
    static const char want[] =
        "\x80\x04](" /* the first array brings the two names ... */
        "cnumpy\nndarray\n\x94((K\0tt\x81(K\1(K\2tcnumpy\ndtype\n(\x8c\3<f4tR\x94\x89"
        "B\10\0\0\0\0\0\x80\x3f\0\0\0\x40tb" /* ... the second finds them in the memo */
        "h\0((K\0tt\x81(K\1(K\2th\1\x89"
        "B\10\0\0\0\0\0\x80\x3f\0\0\0\x40tb"
        "G\x3f\xf0\0\0\0\0\0\0e.";
    assert_int_equal(out.size, sizeof want - 1);
    assert_memory_equal(out.data, want, out.size);
    tw_str_release(&out);
}

/* Keeps the last bytes before the data and counts the rest: 5 GiB without 5 GiB. */
struct counter {
    uint64_t total;
    uint8_t tail[9];
};

static trawl_status count_bytes(void *to, const void *data, size_t n, struct trawl_error *err)
{
    (void)err;
    struct counter *c = to;
    if (n == 9) {
        memcpy(c->tail, data, 9);
    }
    c->total += n;
    return TRAWL_OK;
}

static void arrays_over_4_gib(void **state)
{
    (void)state;
    struct trawl_error err;
    struct counter c = {0};
    struct tw_pickle p;
    const size_t rows = (size_t)5 << 20, width = 256; /* 5 GiB of f32 */
    static float block[1 << 18];
    tw_pickle_init(&p, (struct tw_sink){.write = count_bytes, .to = &c});
    tw_pickle_begin_array(&p, TW_DTYPE_F32, 2, (size_t[]){rows, width});
    uint64_t head = c.total;
    assert_memory_equal(c.tail, "\x8e\0\0\0\x40\1\0\0\0", 9); /* BINBYTES8, 0x140000000 */
    for (size_t i = 0; i < rows * width; i += sizeof block / sizeof block[0]) {
        tw_pickle_array_data(&p, block, sizeof block);
    }
    assert_ok(tw_pickle_finish(&p, &err));
    assert_true(c.total == head + ((uint64_t)5 << 30) + 3);
}

static void misuse_is_refused(void **state)
{
    (void)state;
    struct trawl_error err;
    struct tw_pickle p;
    for (int i = 0; i < 12; i++) {
        struct tw_str out;
        trawl_status want = TRAWL_ERR_INVALID;
        const char *words = "pickle: ";
        tw_str_init(&out, 1000);
        tw_pickle_init(&p, tw_sink_str(&out));
        switch (i) {
        case 0: /* no object */ break;
        case 1: /* two */
            tw_pickle_none(&p);
            tw_pickle_none(&p);
            break;
        case 2: tw_pickle_begin_list(&p); break;
        case 3:
            tw_pickle_begin_list(&p);
            tw_pickle_end_dict(&p);
            words = "begun last";
            break;
        case 4: tw_pickle_end_tuple(&p); break;
        case 5:
            tw_pickle_begin_dict(&p);
            tw_pickle_string(&p, "key");
            tw_pickle_end_dict(&p);
            words = "key without value";
            break;
        case 6:
            tw_pickle_string(&p, "\xC3");
            words = "UTF-8";
            break;
        case 7:
            tw_pickle_array(&p, TW_DTYPE_BF16, 1, (size_t[]){2}, "1234");
            want  = TRAWL_ERR_UNSUPPORTED;
            words = "bfloat16";
            break;
        case 8:
            tw_pickle_begin_list(&p);
            tw_pickle_begin_array(&p, TW_DTYPE_U8, 1, (size_t[]){2});
            tw_pickle_array_data(&p, "1", 1);
            tw_pickle_none(&p);
            words = "not complete";
            break;
        case 9:
            tw_pickle_begin_array(&p, TW_DTYPE_U8, 1, (size_t[]){2});
            tw_pickle_array_data(&p, "123", 3);
            words = "more data";
            break;
        case 10:
            for (int k = 0; k < TW_PICKLE_DEPTH; k++) {
                tw_pickle_begin_list(&p);
            }
            want  = TRAWL_ERR_LIMIT;
            words = "too deeply";
            break;
        default:
            tw_pickle_array(&p, TW_DTYPE_F64, 3, (size_t[]){SIZE_MAX / 4, 4, 4}, "");
            words = "too large";
            break;
        }
        assert_refused(tw_pickle_finish(&p, &err), want, words);
        tw_str_release(&out);
    }
    struct tw_str small; /* the sink's failure comes through */
    tw_str_init(&small, 10);
    tw_pickle_init(&p, tw_sink_str(&small));
    tw_pickle_string(&p, "0123456789");
    assert_refused(tw_pickle_finish(&p, &err), TRAWL_ERR_LIMIT, "10 bytes");
    tw_str_release(&small);
}

static void npy_refusals(void **state)
{
    (void)state;
    struct trawl_error err;
    struct tw_str out;
    tw_str_init(&out, 0);
    struct tw_sink sink = tw_sink_str(&out);
    size_t big[]        = {SIZE_MAX / 2, 3, 1, 1, 1, 1, 1, 1, 1};
    assert_refused(tw_npy_write_header(&sink, TW_DTYPE_BF16, 0, NULL, NULL, &err), TRAWL_ERR_UNSUPPORTED,
                   "BF16");
    assert_refused(tw_npy_write_header(&sink, TW_DTYPE_U8, 9, big, NULL, &err), TRAWL_ERR_INVALID,
                   "9 dimensions");
    assert_refused(tw_npy_write_header(&sink, TW_DTYPE_U8, -1, big, NULL, &err), TRAWL_ERR_INVALID,
                   "-1 dimensions");
    assert_refused(tw_npy_write_header(&sink, TW_DTYPE_U8, 2, big, NULL, &err), TRAWL_ERR_INVALID,
                   "too large");
    assert_int_equal(out.size, 0);
    size_t bytes = 0;
    assert_ok(tw_npy_write_header(&sink, TW_DTYPE_F16, 2, (size_t[]){3, 5}, &bytes, &err));
    assert_int_equal(bytes, 30);
    assert_int_equal(out.size, 128);
    assert_memory_equal(out.data,
                        "\x93NUMPY\1\0\x76\0{'descr': '<f2', 'fortran_order': False, 'shape': (3, 5), }", 67);
    assert_int_equal(out.data[127], '\n');
    tw_str_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_those_of_the_protocol),
        cmocka_unit_test(arrays_over_4_gib),
        cmocka_unit_test(misuse_is_refused),
        cmocka_unit_test(npy_refusals),
    };
    return cmocka_run_group_tests_name("formats.pickle", tests, NULL, NULL);
}
