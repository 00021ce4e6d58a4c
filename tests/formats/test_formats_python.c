/* SPDX-License-Identifier: MIT */
/* Our files read by the real numpy and safetensors, and theirs read by us; tests/golden/check_formats.py is
 * the other side. TRAWL_PYTHON names the interpreter (default python3). Skipped without the packages. */
#include "support/test.h"

#include <sys/wait.h>

#include "base/alloc.h"
#include "formats/formats_arrow.h"
#include "formats/formats_npy.h"
#include "formats/formats_pickle.h"
#include "formats/formats_safetensors.h"
#include "formats/formats_zip.h"

enum { SKIPPED = 77 };

static const enum tw_dtype wide_to_narrow[] = {
    TW_DTYPE_F64, TW_DTYPE_I64, TW_DTYPE_U64, TW_DTYPE_F32, TW_DTYPE_I32, TW_DTYPE_U32,
    TW_DTYPE_F16, TW_DTYPE_I16, TW_DTYPE_U16, TW_DTYPE_I8,  TW_DTYPE_U8,  TW_DTYPE_BOOL,
};
enum { N_DTYPES = sizeof wide_to_narrow / sizeof wide_to_narrow[0] };

static int python(const char *verb, const char *dir)
{
    const char *interpreter = getenv("TRAWL_PYTHON");
    char command[2048];
    (void)snprintf(command, sizeof command, "%s '%s/tests/golden/check_formats.py' %s '%s'",
                   interpreter == NULL ? "python3" : interpreter, TRAWL_SOURCE_DIR, verb, dir);
    int how = system(command);
    if (how == -1 || !WIFEXITED(how)) {
        return 1;
    }
    return WEXITSTATUS(how) == 127 ? SKIPPED : WEXITSTATUS(how); /* 127: no such interpreter */
}

/* The script's pattern(): BOOL arrays have seeds from 100 on. */
static void fill(uint8_t *data, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++) {
        data[i] = (uint8_t)(seed >= 100 ? (i * 31 + seed * 17) % 251 & 1 : (i * 31 + seed * 17) % 113);
    }
}

static unsigned seed_of(size_t i)
{
    return wide_to_narrow[i] == TW_DTYPE_BOOL ? 100 + (unsigned)i : (unsigned)i;
}

static void write_safetensors(struct scratch *s)
{
    struct trawl_error err;
    struct tw_atomic_file file;
    struct tw_safetensors_writer *w;
    uint8_t data[256];
    assert_ok(tw_atomic_file_open(&file, scratch_path(s, "ours.safetensors"), &err));
    assert_ok(tw_safetensors_writer_new(&w, tw_sink_file(&file), &err));
    assert_ok(tw_safetensors_writer_metadata(w, "format", "pt", &err));
    assert_ok(tw_safetensors_writer_metadata(w, "quote \" and \\", "line\nend \xC3\xBC", &err));
    for (size_t i = 0; i < N_DTYPES; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "t.%s", tw_dtype_name(wide_to_narrow[i]));
        assert_ok(tw_safetensors_writer_declare(w, name, wide_to_narrow[i], 2, (size_t[]){2, i + 1}, &err));
        if (wide_to_narrow[i] == TW_DTYPE_U32) {
            assert_ok(tw_safetensors_writer_declare(w, "scalar", TW_DTYPE_F32, 0, NULL, &err));
            assert_ok(tw_safetensors_writer_declare(w, "empty", TW_DTYPE_F16, 2, (size_t[]){0, 7}, &err));
        }
    }
    assert_ok(tw_safetensors_writer_begin(w, &err));
    for (size_t i = 0; i < N_DTYPES; i++) {
        size_t n = 2 * (i + 1) * tw_dtype_bytes(wide_to_narrow[i]);
        fill(data, n, seed_of(i));
        assert_ok(tw_safetensors_writer_write(w, data, n, &err));
        if (wide_to_narrow[i] == TW_DTYPE_U32) {
            assert_ok(tw_safetensors_writer_write(w, &(float){2.5f}, 4, &err));
        }
    }
    assert_ok(tw_safetensors_writer_finish(w, &err));
    tw_safetensors_writer_free(w);
    assert_ok(tw_atomic_file_commit(&file, &err));

    assert_ok(tw_atomic_file_open(&file, scratch_path(s, "nothing.safetensors"), &err));
    assert_ok(tw_safetensors_writer_new(&w, tw_sink_file(&file), &err));
    assert_ok(tw_safetensors_writer_begin(w, &err));
    assert_ok(tw_safetensors_writer_finish(w, &err));
    tw_safetensors_writer_free(w);
    assert_ok(tw_atomic_file_commit(&file, &err));
}

static void write_activations(struct scratch *s)
{
    struct trawl_error err;
    struct tw_atomic_file file;
    struct tw_pickle p;
    static uint8_t data[700 * 9 * 4];
    assert_ok(tw_atomic_file_open(&file, scratch_path(s, "ours.pkl"), &err));
    tw_pickle_init(&p, tw_sink_file(&file));
    tw_pickle_begin_list(&p);
    for (unsigned i = 0; i < 3; i++) {
        size_t shape[2] = {(size_t[]){5, 0, 700}[i], 9};
        size_t n        = shape[0] * shape[1] * 4;
        char task[32];
        (void)snprintf(task, sizeof task, "task \xC3\xBC %u", i);
        fill(data, n, i);
        tw_pickle_begin_dict(&p);
        tw_pickle_string(&p, "task_id");
        tw_pickle_string(&p, task);
        tw_pickle_string(&p, "sample_idx");
        tw_pickle_int(&p, i * 70000);
        tw_pickle_string(&p, "activation");
        tw_pickle_begin_array(&p, TW_DTYPE_F32, 2, shape);
        for (size_t at = 0; at < n; at += 1000) {
            tw_pickle_array_data(&p, data + at, n - at < 1000 ? n - at : 1000);
        }
        tw_pickle_string(&p, "shape");
        tw_pickle_begin_tuple(&p);
        tw_pickle_int(&p, (int64_t)shape[0]);
        tw_pickle_int(&p, (int64_t)shape[1]);
        tw_pickle_end_tuple(&p);
        tw_pickle_end_dict(&p);
    }
    tw_pickle_end_list(&p);
    assert_ok(tw_pickle_finish(&p, &err));
    assert_ok(tw_atomic_file_commit(&file, &err));
}

static void put_long_string(struct tw_pickle *p, char c, size_t n)
{
    static char text[70001];
    memset(text, c, n);
    text[n] = '\0';
    tw_pickle_string(p, text);
}

static void write_values(struct scratch *s)
{
    struct trawl_error err;
    struct tw_atomic_file file;
    struct tw_pickle p;
    uint8_t data[256];
    static const int64_t ints[] = {0,          1,  255,       256,         65535,     65536,    INT32_MAX,
                                   2147483648, -1, INT32_MIN, -2147483649, INT64_MAX, INT64_MIN};
    assert_ok(tw_atomic_file_open(&file, scratch_path(s, "values.pkl"), &err));
    tw_pickle_init(&p, tw_sink_file(&file));
    tw_pickle_begin_list(&p);
    tw_pickle_none(&p);
    tw_pickle_bool(&p, true);
    tw_pickle_bool(&p, false);
    tw_pickle_begin_tuple(&p);
    tw_pickle_end_tuple(&p);
    tw_pickle_begin_list(&p);
    for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++) {
        tw_pickle_int(&p, ints[i]);
    }
    tw_pickle_end_list(&p);
    tw_pickle_begin_list(&p);
    tw_pickle_double(&p, 0.1);
    tw_pickle_double(&p, -1e300);
    tw_pickle_double(&p, 5e-324);
    tw_pickle_end_list(&p);
    tw_pickle_begin_dict(&p);
    tw_pickle_string(&p, "");
    tw_pickle_begin_dict(&p);
    tw_pickle_end_dict(&p);
    put_long_string(&p, 'x', 255);
    tw_pickle_begin_list(&p);
    tw_pickle_end_list(&p);
    put_long_string(&p, 'y', 256);
    put_long_string(&p, 'z', 70000);
    tw_pickle_end_dict(&p);
    tw_pickle_begin_list(&p);
    for (size_t i = 0; i < N_DTYPES; i++) {
        fill(data, sizeof data, seed_of(i));
        tw_pickle_array(&p, wide_to_narrow[i], 2, (size_t[]){2, i + 1}, data);
    }
    tw_pickle_end_list(&p);
    tw_pickle_array(&p, TW_DTYPE_F32, 0, NULL, &(float){2.5f});
    tw_pickle_end_list(&p);
    assert_ok(tw_pickle_finish(&p, &err));
    assert_ok(tw_atomic_file_commit(&file, &err));
}

static void write_npy(struct scratch *s)
{
    static const size_t shapes[][3] = {{0}, {4}, {2, 3}, {2, 3, 4}, {1, 0, 123456789}};
    static const int ranks[]        = {0, 1, 2, 3, 3};
    struct trawl_error err;
    for (size_t i = 0; i < N_DTYPES; i++) {
        for (int k = 0; k < 5; k++) {
            struct tw_atomic_file file;
            uint8_t data[256];
            char name[64];
            size_t n = 0;
            (void)snprintf(name, sizeof name, "%s.%d.npy", tw_dtype_name(wide_to_narrow[i]), k);
            assert_ok(tw_atomic_file_open(&file, scratch_path(s, name), &err));
            struct tw_sink sink = tw_sink_file(&file);
            assert_ok(tw_npy_write_header(&sink, wide_to_narrow[i], ranks[k], shapes[k], &n, &err));
            fill(data, n, wide_to_narrow[i] == TW_DTYPE_BOOL ? 100 : (unsigned)i);
            assert_ok(tw_sink_write(&sink, data, n, &err));
            assert_ok(tw_atomic_file_commit(&file, &err));
        }
    }
}

/* Arrays of sizes around the eight bytes of a step of the checksum, one of nothing, one in pieces. */
static void write_npz(struct scratch *s)
{
    struct trawl_error err;
    struct tw_atomic_file file;
    struct tw_zip zip;
    assert_ok(tw_atomic_file_open(&file, scratch_path(s, "ours.npz"), &err));
    tw_zip_init(&zip, tw_sink_file(&file));
    for (size_t n = 0; n < 40; n++) {
        struct tw_str header;
        struct tw_sink sink = tw_sink_str(&header);
        uint8_t data[64];
        char name[32];
        (void)snprintf(name, sizeof name, n == 39 ? "\xC3\xBC.npy" : "u%zu.npy", n);
        tw_str_init(&header, 0);
        assert_ok(tw_npy_write_header(&sink, TW_DTYPE_U8, 1, &n, NULL, &err));
        fill(data, n, (unsigned)n);
        assert_ok(tw_zip_begin(&zip, name, header.size + n, &err));
        assert_ok(tw_zip_write(&zip, header.data, header.size, &err));
        assert_ok(tw_zip_write(&zip, data, n / 3, &err));
        if (n > 0) {
            assert_refused(tw_zip_end(&zip, &err), TRAWL_ERR_INVALID, "missing");
        }
        assert_ok(tw_zip_write(&zip, data + n / 3, n - n / 3, &err));
        assert_refused(tw_zip_write(&zip, data, 1, &err), TRAWL_ERR_INVALID, "more than");
        assert_ok(tw_zip_end(&zip, &err));
        tw_str_release(&header);
    }
    assert_ok(tw_zip_finish(&zip, &err));
    tw_zip_release(&zip);
    assert_ok(tw_atomic_file_commit(&file, &err));
}

/* Matrices [context, width] whose elements count up, over batches of 1 to 3 rows. */
static void write_arrow(struct scratch *s, const char *name, struct tw_arrow_columns c)
{
    struct trawl_error err;
    struct tw_atomic_file file;
    int32_t token = 0, next = 0;
    assert_ok(tw_atomic_file_open(&file, scratch_path(s, name), &err));
    struct tw_sink sink = tw_sink_file(&file);
    assert_ok(tw_arrow_begin(&sink, &c, &err));
    for (size_t n = 1; n <= 3; n++) {
        float values[3 * 5 * 7];
        uint16_t halves[3 * 5 * 7];
        int32_t tokens[3 * 5];
        for (size_t i = 0; i < n * c.context * c.width; i++) {
            values[i] = (float)next++;
            halves[i] = tw_f16_from_f32(values[i]);
        }
        for (size_t i = 0; i < n * c.context; i++) {
            tokens[i] = 1000 - token++;
        }
        assert_ok(
            tw_arrow_batch(&sink, &c, n, c.dtype == TW_DTYPE_F32 ? (void *)values : halves, tokens, &err));
    }
    assert_ok(tw_arrow_end(&sink, &err));
    assert_ok(tw_atomic_file_commit(&file, &err));
}

static void write_arrows(struct scratch *s)
{
    struct trawl_error err;
    struct tw_str nowhere;
    struct tw_sink sink       = tw_sink_str(&nowhere);
    struct tw_arrow_columns c = {
        .name = "blocks.1.hook", .dtype = TW_DTYPE_F32, .context = 5, .width = 7, .tokens = "token_ids"};
    write_arrow(s, "f32.arrow", c);
    c.dtype   = TW_DTYPE_F16;
    c.context = 1;
    c.tokens  = NULL;
    write_arrow(s, "f16.arrow", c);
    c.dtype = TW_DTYPE_BF16;
    tw_str_init(&nowhere, 0);
    assert_refused(tw_arrow_begin(&sink, &c, &err), TRAWL_ERR_UNSUPPORTED, "BF16");
    c.dtype   = TW_DTYPE_F32;
    c.context = (size_t)1 << 29;
    assert_refused(tw_arrow_begin(&sink, &c, &err), TRAWL_ERR_LIMIT, "more elements");
    tw_str_release(&nowhere);
}

static void python_reads_our_files(void **state)
{
    struct scratch *s = *state;
    write_safetensors(s);
    write_activations(s);
    write_values(s);
    write_npy(s);
    write_npz(s);
    write_arrows(s);
    assert_int_equal(python("check", s->dir), 0);
}

static void we_read_files_of_safetensors(void **state)
{
    struct scratch *s = *state;
    struct trawl_error err;
    struct tw_safetensors *st;
    assert_int_equal(python("make", s->dir), 0);
    assert_ok(tw_safetensors_open(&st, scratch_path(s, "hf.safetensors"), &err));
    assert_string_equal(tw_safetensors_metadata(st, "format"), "pt");
    assert_string_equal(tw_safetensors_metadata(st, "\xD0\xBA\xD0\xBB\xD1\x8E\xD1\x87"), "\xE5\x80\xA4");
    FILE *list = fopen(scratch_path(s, "hf.list"), "r");
    assert_non_null(list);
    char name[64], dtype[16];
    int rank;
    size_t n = 0;
    while (fscanf(list, "%63s %15s %d", name, dtype, &rank) == 3) {
        const struct tw_safetensors_tensor *t;
        assert_ok(tw_safetensors_get(st, name, &t, &err));
        assert_string_equal(t->dtype_name, dtype);
        assert_string_equal(tw_dtype_name(t->dtype), dtype);
        assert_int_equal(t->rank, rank);
        for (int i = 0; i < rank; i++) {
            size_t dim = 99;
            assert_int_equal(fscanf(list, "%zu", &dim), 1);
            assert_int_equal(t->shape[i], dim);
        }
        char bin[80];
        char *want  = NULL;
        size_t size = 0;
        (void)snprintf(bin, sizeof bin, "hf.%s.bin", name);
        assert_ok(tw_file_read(scratch_path(s, bin), 1 << 20, &want, &size, &err));
        assert_int_equal(t->bytes, size);
        assert_memory_equal(t->data, want, size);
        tw_free(want);
        n++;
    }
    (void)fclose(list);
    assert_int_equal(n, N_DTYPES + 2);
    assert_int_equal(tw_safetensors_count(st), n);
    tw_safetensors_close(st);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(python_reads_our_files),
        scratch_test(we_read_files_of_safetensors),
    };
    if (python("probe", "") == SKIPPED) {
        (void)printf("skipped: formats.python needs Python with numpy and safetensors\n");
        return SKIPPED;
    }
    return cmocka_run_group_tests_name("formats.python", tests, NULL, NULL);
}
