/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "base/alloc.h"
#include "base/philox.h"
#include "formats/formats_safetensors.h"
#include "formats/formats_safetensors_header.h"

/* Not durable as those of base are: a sync for each of these would take most of the test's time. */
static void put_bytes(const char *path, const char *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* A file of this header and `n` data bytes 0, 1, 2, ... */
static void put_file(struct scratch *s, const char *name, const char *header, size_t n)
{
    struct trawl_error err;
    struct tw_str file;
    tw_str_init(&file, 0);
    uint64_t length = strlen(header);
    assert_ok(tw_str_append(&file, &length, 8, &err));
    assert_ok(tw_str_puts(&file, header, &err));
    for (size_t i = 0; i < n; i++) {
        assert_ok(tw_str_putc(&file, (char)i, &err));
    }
    put_bytes(scratch_path(s, name), file.data, file.size);
    tw_str_release(&file);
}

static void put_text(struct scratch *s, const char *name, const char *text)
{
    put_bytes(scratch_path(s, name), text, strlen(text));
}

static void reads_what_is_there(void **state)
{
    struct scratch *s = *state;
    struct trawl_error err;
    struct tw_safetensors *st;
    const struct tw_safetensors_tensor *t;
    put_file(s, "f.safetensors",
             "{\"b\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[4,16]},"
             "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
             "\"q\":{\"dtype\":\"F8_E4M3\",\"shape\":[5],\"data_offsets\":[16,21],\"extra\":1},"
             "\"z\":{\"dtype\":\"I64\",\"shape\":[0,9223372036854775807,9],\"data_offsets\":[4,4]},"
             "\"__metadata__\":{\"format\":\"pt\"}}   ",
             21);
    assert_ok(tw_safetensors_open(&st, s->path, &err));
    assert_int_equal(tw_safetensors_count(st), 4);
    assert_string_equal(tw_safetensors_at(st, 0)->name, "a");
    assert_string_equal(tw_safetensors_at(st, 3)->name, "z");
    assert_ok(tw_safetensors_get(st, "b", &t, &err));
    assert_int_equal(t->dtype, TW_DTYPE_BF16);
    assert_int_equal(t->rank, 2);
    assert_int_equal(t->shape[0], 2);
    assert_int_equal(t->shape[1], 3);
    assert_int_equal(t->bytes, 12);
    assert_int_equal(t->data[0], 4);
    assert_string_equal(t->file, s->path);
    assert_int_equal(tw_safetensors_find(st, "a")->rank, 0);
    assert_int_equal(tw_safetensors_find(st, "z")->bytes, 0);
    assert_null(tw_safetensors_find(st, "c"));
    assert_refused(tw_safetensors_get(st, "c", &t, &err), TRAWL_ERR_FORMAT, "tensor \"c\" is missing");
    assert_false(tw_safetensors_find(st, "q")->has_dtype); /* opaque, refused only when it is used */
    assert_refused(tw_safetensors_get(st, "q", &t, &err), TRAWL_ERR_UNSUPPORTED, "dtype F8_E4M3");
    assert_string_equal(tw_safetensors_metadata(st, "format"), "pt");
    assert_null(tw_safetensors_metadata(st, "none"));
    assert_string_equal(tw_safetensors_path(st), s->path);
    tw_safetensors_close(st);
    tw_safetensors_close(NULL);

    put_file(s, "empty.safetensors", "{}", 0);
    assert_ok(tw_safetensors_open(&st, s->path, &err));
    assert_int_equal(tw_safetensors_count(st), 0);
    assert_null(tw_safetensors_find(st, "a"));
    assert_null(tw_safetensors_metadata(st, "a"));
    tw_safetensors_close(st);
}

#define T(name, dtype, shape, offsets) \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static const struct {
    const char *header;
    size_t n;
    trawl_status status;
    const char *words;
} malformed[] = {
    {"{" T("a", "F32", "[2]", "[0,8]") "}", 7, TRAWL_ERR_FORMAT,
     "ends at byte 8 of the data, the file has 7"},
    {"{" T("a", "F32", "[2]", "[0,8]") "}", 9, TRAWL_ERR_FORMAT,
     "last 1 of 9 data bytes belong to no tensor"},
    {"{" T("a", "F32", "[2]", "[0,4]") "}", 4, TRAWL_ERR_FORMAT,
     "has 4 bytes, its shape and dtype F32 make 8"},
    {"{" T("a", "U8", "[4]", "[0,4]") "," T("b", "U8", "[4]", "[2,6]") "}", 6, TRAWL_ERR_FORMAT,
     "\"a\" and \"b\" overlap"},
    {"{" T("a", "U8", "[4]", "[0,4]") "," T("b", "U8", "[4]", "[5,9]") "}", 9, TRAWL_ERR_FORMAT,
     "bytes 4 to 5"},
    {"{" T("a", "U8", "[4]", "[1,5]") "}", 5, TRAWL_ERR_FORMAT, "belong to no tensor"},
    {"{" T("a", "U8", "[4]", "[4,0]") "}", 4, TRAWL_ERR_FORMAT, "begin <= end"},
    {"{" T("a", "U8", "[4]", "[-4,0]") "}", 4, TRAWL_ERR_FORMAT, "begin <= end"},
    {"{" T("a", "U8", "[4]", "[0,4,5]") "}", 4, TRAWL_ERR_FORMAT, "\"data_offsets\" must be"},
    {"{" T("a", "U8", "[4]", "[0,4.0]") "}", 4, TRAWL_ERR_FORMAT, "\"data_offsets\" must be"},
    {"{" T("a", "U8", "[-4]", "[0,4]") "}", 4, TRAWL_ERR_FORMAT, "dimension 0"},
    {"{" T("a", "U8", "[\"4\"]", "[0,4]") "}", 4, TRAWL_ERR_FORMAT, "a string, expected an integer"},
    {"{" T("a", "U8", "4", "[0,4]") "}", 4, TRAWL_ERR_FORMAT, "\"shape\" is an integer, expected an array"},
    {"{" T("a", "F64", "[4611686018427387904,4611686018427387904]", "[0,4]") "}", 4, TRAWL_ERR_FORMAT,
     "too large"},
    {"{" T("a", "U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]") "}", 1, TRAWL_ERR_UNSUPPORTED, "has 9 dimensions"},
    {"{\"a\":{\"shape\":[],\"data_offsets\":[0,4]}}", 4, TRAWL_ERR_FORMAT, "\"dtype\" is nothing"},
    {"{\"a\":[]}", 0, TRAWL_ERR_FORMAT, "tensor \"a\" is an array, expected an object"},
    {"{" T("a", "U8", "[1]", "[0,1]") "," T("a", "U8", "[1]", "[1,2]") "}", 2, TRAWL_ERR_FORMAT, "duplicate"},
    {"{\"__metadata__\":[]}", 0, TRAWL_ERR_FORMAT, "\"__metadata__\" is an array"},
    {"{\"__metadata__\":{\"n\":1}}", 0, TRAWL_ERR_FORMAT, "\"n\" is an integer, expected a string"},
    {"[]", 0, TRAWL_ERR_FORMAT, "does not begin with"},
    {" {}", 0, TRAWL_ERR_FORMAT, "does not begin with"},
    {"", 0, TRAWL_ERR_FORMAT, "does not begin with"},
    {"{\"a\"", 0, TRAWL_ERR_FORMAT, "not JSON"},
    {"{}x", 0, TRAWL_ERR_FORMAT, "not JSON"},
    {"{\"\xFF\":1}", 0, TRAWL_ERR_FORMAT, "not JSON"},
};

static void malformed_files_are_refused_with_words(void **state)
{
    struct scratch *s = *state;
    struct trawl_error err;
    struct tw_safetensors *st;
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        put_file(s, "f.safetensors", malformed[i].header, malformed[i].n);
        assert_refused(tw_safetensors_open(&st, s->path, &err), malformed[i].status, malformed[i].words);
        assert_null(st);
        assert_non_null(strstr(err.message, "f.safetensors"));
    }
    put_text(s, "f.safetensors", "1234567");
    assert_refused(tw_safetensors_open(&st, s->path, &err), TRAWL_ERR_FORMAT, "7 bytes are too few");
    put_text(s, "f.safetensors", "<html>\n<body>not found");
    assert_refused(tw_safetensors_open(&st, s->path, &err), TRAWL_ERR_LIMIT, "not a safetensors file");
    uint8_t lying[16] = {9, 0, 0, 0, 0, 0, 0, 0, '{'};
    assert_ok(tw_file_replace(s->path, lying, sizeof lying, &err));
    assert_refused(tw_safetensors_open(&st, s->path, &err), TRAWL_ERR_FORMAT,
                   "9 bytes in a file of 16: it is truncated");
    assert_refused(tw_safetensors_open(&st, scratch_path(s, "none"), &err), TRAWL_ERR_IO,
                   "none: No such file");
    assert_refused(tw_safetensors_open(&st, s->dir, &err), TRAWL_ERR_IO, "has neither model.safetensors nor");
}

static void put_index(struct scratch *s, const char *map)
{
    char text[1024];
    (void)snprintf(text, sizeof text, "{\"metadata\":{\"total_size\":8},\"weight_map\":%s}", map);
    put_text(s, "model.safetensors.index.json", text);
}

static void pointers_of_git_lfs(void **state)
{
    struct scratch *s = *state;
    struct trawl_error err;
    struct tw_safetensors *st;
    put_text(s, "model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n");
    assert_refused(tw_safetensors_open(&st, s->dir, &err), TRAWL_ERR_FORMAT, "a Git LFS pointer");
}

static void sharded_folders(void **state)
{
    struct scratch *s = *state;
    struct trawl_error err;
    struct tw_safetensors *st;
    put_file(s, "m-1.safetensors", "{" T("a", "U8", "[4]", "[0,4]") "," T("x", "U8", "[1]", "[4,5]") "}", 5);
    put_file(s, "m-2.safetensors", "{" T("x", "U8", "[2]", "[0,2]") "," T("b", "U8", "[3]", "[2,5]") "}", 5);
    put_index(s, "{\"a\":\"m-1.safetensors\",\"b\":\"m-2.safetensors\",\"x\":\"m-2.safetensors\"}");
    assert_ok(tw_safetensors_open(&st, s->dir, &err));
    assert_int_equal(tw_safetensors_count(st), 3);
    assert_int_equal(tw_safetensors_find(st, "x")->bytes, 2); /* the index decides between two */
    assert_non_null(strstr(tw_safetensors_find(st, "a")->file, "m-1.safetensors"));
    assert_int_equal(tw_safetensors_find(st, "b")->data[0], 2);
    tw_safetensors_close(st);

    static const struct {
        const char *map;
        trawl_status status;
        const char *words;
    } bad[] = {
        {"{\"a\":\"m-1.safetensors\",\"c\":\"m-2.safetensors\"}", TRAWL_ERR_FORMAT,
         "\"c\" should be in m-2.safetensors"},
        {"{\"a\":\"m-2.safetensors\"}", TRAWL_ERR_FORMAT,
         "\"a\" should be in m-2.safetensors, which lacks it"},
        {"{\"a\":\"m-3.safetensors\"}", TRAWL_ERR_IO, "m-3.safetensors: No such file"},
        {"{\"a\":\"../m-1.safetensors\"}", TRAWL_ERR_FORMAT, "in the same folder"},
        {"{\"a\":\"/etc/passwd\"}", TRAWL_ERR_FORMAT, "in the same folder"},
        {"{\"a\":\"..\"}", TRAWL_ERR_FORMAT, "in the same folder"},
        {"{\"a\":\"\"}", TRAWL_ERR_FORMAT, "in the same folder"},
        {"{\"a\":\"m-1.safetensors\\u0000\"}", TRAWL_ERR_FORMAT, "in the same folder"},
        {"{\"a\":7}", TRAWL_ERR_FORMAT, "\"a\" is an integer, expected a file name"},
        {"[]", TRAWL_ERR_FORMAT, "\"weight_map\" is an array, expected an object"},
        {"null", TRAWL_ERR_FORMAT, "\"weight_map\" is missing"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        put_index(s, bad[i].map);
        assert_refused(tw_safetensors_open(&st, s->dir, &err), bad[i].status, bad[i].words);
        assert_null(st);
    }
    put_text(s, "model.safetensors.index.json", "[1]");
    assert_refused(tw_safetensors_open(&st, s->dir, &err), TRAWL_ERR_FORMAT, "the document is an array");
    put_index(s, "{\"a\":\"m-1.safetensors\",\"b\":\"m-2.safetensors\"}");
    put_file(s, "m-2.safetensors", "{" T("b", "U8", "[3]", "[0,3]") "}", 2);
    assert_refused(tw_safetensors_open(&st, s->dir, &err), TRAWL_ERR_FORMAT,
                   "m-2.safetensors: tensor \"b\" ends at");
    put_file(s, "model.safetensors", "{}", 0); /* a whole file comes before the index */
    assert_ok(tw_safetensors_open(&st, s->dir, &err));
    assert_int_equal(tw_safetensors_count(st), 0);
    tw_safetensors_close(st);
}

/* Real checkpoints, single and sharded, when TRAWL_MODELS names their folder. */
static void real_checkpoints(void **state)
{
    (void)state;
    static const struct {
        const char *dir;
        size_t vocabulary, width;
    } models[] = {{"qwen2.5-coder-0.5b", 151936, 896},
                  {"qwen2.5-coder-1.5b", 151936, 1536},
                  {"smollm2-135m", 49152, 576}};
    struct trawl_error err;
    const char *root = getenv("TRAWL_MODELS");
    if (root == NULL) {
        skip();
    }
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        char path[1024];
        struct tw_safetensors *st;
        const struct tw_safetensors_tensor *t;
        (void)snprintf(path, sizeof path, "%s/%s", root, models[i].dir);
        if (access(path, F_OK) != 0) {
            print_message("%s: not in TRAWL_MODELS, skipped\n", models[i].dir);
            continue;
        }
        assert_ok(tw_safetensors_open(&st, path, &err));
        assert_ok(tw_safetensors_get(st, "model.embed_tokens.weight", &t, &err));
        assert_int_equal(t->dtype, TW_DTYPE_BF16);
        assert_int_equal(t->shape[0], models[i].vocabulary);
        assert_int_equal(t->shape[1], models[i].width);
        print_message("%s: %zu tensors\n", models[i].dir, tw_safetensors_count(st));
        tw_safetensors_close(st);
    }
}

/* ---- damage ---- */

/* Reads the header of a copy of exactly `n` bytes, so that a sanitizer sees a step too far (a mapping would
 * hide it in its last page), and touches every byte of every tensor. 0: refused. */
static size_t touch(const char *data, size_t n)
{
    struct tw_safetensors_header header;
    struct trawl_error err;
    size_t sum    = 0;
    uint8_t *copy = malloc(n == 0 ? 1 : n);
    assert_non_null(copy);
    memcpy(copy, data, n);
    if (tw_safetensors_header_read(&header, copy, n, "damaged", &err) == TRAWL_OK) {
        sum = 1;
        for (size_t i = 0; i < header.n_tensors; i++) {
            for (size_t k = 0; k < header.tensors[i].bytes; k++) {
                sum += header.tensors[i].data[k];
            }
        }
        tw_safetensors_header_release(&header);
    } else {
        assert_non_null(strstr(err.message, "damaged: "));
    }
    free(copy);
    return sum;
}

static void damage_never_crashes(void **state)
{
    struct scratch *s = *state;
    struct trawl_error err;
    char *data = NULL;
    size_t n   = 0;
    put_file(s, "whole.safetensors",
             "{\"__metadata__\":{\"k\":\"v\"}," T("b", "BF16", "[2,3]", "[4,16]") "," T("a", "F32", "[]",
                                                                                        "[0,4]") "}",
             16);
    assert_ok(tw_file_read(s->path, 1 << 20, &data, &n, &err));
    assert_true(touch(data, n) > 1);
    for (size_t cut = 0; cut < n; cut++) {
        assert_int_equal(touch(data, cut), 0); /* every truncation is noticed */
    }
    for (size_t i = 0; i < n; i++) {
        static const int changes[] = {1, 2, 4, 8, 16, 32, 64, 128, 255};
        for (size_t c = 0; c < sizeof changes / sizeof changes[0]; c++) {
            data[i] = (char)(data[i] ^ changes[c]);
            (void)touch(data, n);
            data[i] = (char)(data[i] ^ changes[c]);
        }
    }
    struct tw_philox_stream random;
    tw_philox_stream_init(&random, 20, 25);
    for (int round = 0; round < 20000; round++) {
        char *copy = NULL;
        assert_ok(tw_strndup(data, n, &copy, &err));
        for (uint32_t k = tw_philox_below(&random, 6) + 1; k > 0; k--) {
            size_t at = tw_philox_below(&random, (uint32_t)n);
            copy[at]  = "0129{}[],:\"-e\xFF\0 "[tw_philox_below(&random, 16)];
        }
        (void)touch(copy, n);
        tw_free(copy);
    }
    tw_free(data);
}

/* ---- writing ---- */

static void written_bytes_are_exact(void **state)
{
    (void)state;
    struct trawl_error err;
    struct tw_str out;
    struct tw_safetensors_writer *w;
    tw_str_init(&out, 0);
    assert_ok(tw_safetensors_writer_new(&w, tw_sink_str(&out), &err));
    assert_ok(tw_safetensors_writer_metadata(w, "format", "pt", &err));
    assert_ok(tw_safetensors_writer_declare(w, "z", TW_DTYPE_I32, 1, (size_t[]){1}, &err));
    assert_ok(tw_safetensors_writer_declare(w, "a", TW_DTYPE_U8, 2, (size_t[]){1, 3}, &err));
    assert_ok(tw_safetensors_writer_begin(w, &err));
    assert_ok(tw_safetensors_writer_write(w, "\1\2\3\4\5\6", 6, &err)); /* pieces need not follow tensors */
    assert_refused(tw_safetensors_writer_finish(w, &err), TRAWL_ERR_INVALID, "\"a\" lacks 1 bytes");
    assert_refused(tw_safetensors_writer_write(w, "12", 2, &err), TRAWL_ERR_INVALID, "only 7 are declared");
    assert_ok(tw_safetensors_writer_write(w, "\7", 1, &err));
    assert_ok(tw_safetensors_writer_finish(w, &err));
    static const char header[] = "{\"__metadata__\": {\"format\": \"pt\"}, "
                                 "\"z\": {\"dtype\": \"I32\", \"shape\": [1], \"data_offsets\": [0, 4]}, "
                                 "\"a\": {\"dtype\": \"U8\", \"shape\": [1, 3], \"data_offsets\": [4, 7]}}";
    size_t n                   = sizeof header - 1;
    size_t padded              = (8 + n + 63) / 64 * 64;
    assert_int_equal(out.size, padded + 7);
    assert_int_equal((uint8_t)out.data[0], padded - 8);
    assert_memory_equal(out.data + 1, "\0\0\0\0\0\0\0", 7);
    assert_memory_equal(out.data + 8, header, n);
    for (size_t i = 8 + n; i < padded; i++) {
        assert_int_equal(out.data[i], ' ');
    }
    assert_memory_equal(out.data + padded, "\1\2\3\4\5\6\7", 7);
    tw_safetensors_writer_free(w);
    tw_safetensors_writer_free(NULL);
    tw_str_release(&out);
}

static void writer_refuses_misuse(void **state)
{
    (void)state;
    struct trawl_error err;
    struct tw_str out;
    struct tw_safetensors_writer *w;
    tw_str_init(&out, 1000);
    assert_ok(tw_safetensors_writer_new(&w, tw_sink_str(&out), &err));
    assert_refused(tw_safetensors_writer_metadata(w, "k", "\xFF", &err), TRAWL_ERR_INVALID, "not UTF-8");
    assert_refused(tw_safetensors_writer_write(w, "", 0, &err), TRAWL_ERR_INVALID, "");
    assert_refused(tw_safetensors_writer_finish(w, &err), TRAWL_ERR_INVALID, "before the header");
    assert_refused(tw_safetensors_writer_declare(w, "\xFF", TW_DTYPE_U8, 0, NULL, &err), TRAWL_ERR_INVALID,
                   "UTF-8");
    assert_refused(tw_safetensors_writer_declare(w, "__metadata__", TW_DTYPE_U8, 0, NULL, &err),
                   TRAWL_ERR_INVALID, "");
    assert_refused(tw_safetensors_writer_declare(w, "a", TW_DTYPE_U8, 9, NULL, &err), TRAWL_ERR_INVALID,
                   "rank 9");
    assert_refused(tw_safetensors_writer_declare(w, "a", TW_DTYPE_F32, 2, (size_t[]){SIZE_MAX / 2, 3}, &err),
                   TRAWL_ERR_LIMIT, "too large");
    assert_ok(tw_safetensors_writer_declare(w, "a", TW_DTYPE_BF16, 1, (size_t[]){1}, &err));
    assert_refused(tw_safetensors_writer_declare(w, "b", TW_DTYPE_F32, 0, NULL, &err), TRAWL_ERR_INVALID,
                   "after a narrower dtype");
    assert_refused(tw_safetensors_writer_metadata(w, "k", "v", &err), TRAWL_ERR_INVALID,
                   "after the first tensor");
    assert_ok(tw_safetensors_writer_declare(w, "a", TW_DTYPE_U8, 1, (size_t[]){1}, &err));
    assert_refused(tw_safetensors_writer_begin(w, &err), TRAWL_ERR_INVALID, "\"a\" is declared twice");
    tw_safetensors_writer_free(w);

    assert_ok(tw_safetensors_writer_new(&w, tw_sink_str(&out), &err)); /* the sink's failure comes through */
    assert_ok(tw_safetensors_writer_declare(w, "a", TW_DTYPE_U8, 1, (size_t[]){2000}, &err));
    assert_ok(tw_safetensors_writer_begin(w, &err));
    assert_refused(tw_safetensors_writer_begin(w, &err), TRAWL_ERR_INVALID, "already");
    assert_refused(tw_safetensors_writer_declare(w, "b", TW_DTYPE_U8, 0, NULL, &err), TRAWL_ERR_INVALID,
                   "after the header");
    static char zeros[2000];
    assert_refused(tw_safetensors_writer_write(w, zeros, 2000, &err), TRAWL_ERR_LIMIT, "1000 bytes");
    tw_safetensors_writer_free(w);
    tw_str_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(reads_what_is_there),
        scratch_test(malformed_files_are_refused_with_words),
        scratch_test(sharded_folders),
        scratch_test(pointers_of_git_lfs),
        cmocka_unit_test(real_checkpoints),
        scratch_test(damage_never_crashes),
        cmocka_unit_test(written_bytes_are_exact),
        cmocka_unit_test(writer_refuses_misuse),
    };
    return cmocka_run_group_tests_name("formats.safetensors", tests, NULL, NULL);
}
