/* SPDX-License-Identifier: MIT */
/* Packed weights on disk: the same model as from the checkpoint, and every kind of wrong file refused. */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "base/log.h"
#include "kernels/kernels.h"
#include "model/model_packed.h"
#include "support/tiny_model.h"

#include "packed_folders.h"

static trawl_status pack(const struct folders *f, enum tw_dtype compute, struct tw_packed_result *result,
                         struct trawl_error *err)
{
    struct tw_packed_job job = {.folder = f->from, .output_dir = f->to, .compute = compute, .n_threads = 2};
    return tw_packed_write(&job, result, err);
}

static trawl_status load(struct tw_model **out, const char *folder, enum tw_dtype compute,
                         struct trawl_error *err)
{
    return tw_model_load(out, folder, compute, false, 2, NULL, err);
}

/* ---- the same model ---- */

static void assert_same_linear(const struct tw_model *a, const struct tw_linear *x, const struct tw_linear *y)
{
    size_t bytes = tw_linear_panels(x) * tw_panel_elements(x->k) * tw_dtype_bytes(a->weight);
    assert_int_equal(x->n, y->n);
    assert_int_equal(x->k, y->k);
    assert_memory_equal(x->panels, y->panels, bytes);
    assert_int_equal((uintptr_t)y->panels % TW_PACKED_LINE, 0);
    assert_int_equal(x->bias == NULL, y->bias == NULL);
    if (x->bias != NULL) {
        assert_memory_equal(x->bias, y->bias, tw_linear_panels(x) * TW_PANEL * sizeof(float));
    }
}

static void assert_same_vector(const float *x, const float *y, size_t n)
{
    assert_int_equal(x == NULL, y == NULL);
    if (x != NULL) {
        assert_memory_equal(x, y, n * sizeof *x);
    }
}

static void assert_same_model(const struct tw_model *a, const struct tw_model *b)
{
    size_t hidden = a->config.hidden, head = a->config.head_dim;
    assert_int_equal(a->weight, b->weight);
    assert_int_equal(a->panels_bytes, b->panels_bytes);
    assert_true(a->fingerprint == b->fingerprint);
    for (size_t i = 0; i < a->config.n_layers; i++) {
        const struct tw_layer *x = &a->layers[i], *y = &b->layers[i];
        const struct tw_linear *xs[] = {&x->q, &x->k, &x->v, &x->o, &x->gate, &x->up, &x->down};
        const struct tw_linear *ys[] = {&y->q, &y->k, &y->v, &y->o, &y->gate, &y->up, &y->down};
        for (size_t j = 0; j < sizeof xs / sizeof xs[0]; j++) {
            assert_same_linear(a, xs[j], ys[j]);
        }
        assert_same_vector(x->input_norm, y->input_norm, hidden);
        assert_same_vector(x->post_norm, y->post_norm, hidden);
        assert_same_vector(x->q_norm, y->q_norm, head);
        assert_same_vector(x->k_norm, y->k_norm, head);
    }
    assert_same_linear(a, &a->head, &b->head);
    assert_same_vector(a->final_norm, b->final_norm, hidden);

    struct tw_kernels kernels;
    struct trawl_error err;
    float x[512], y[512];
    assert_ok(tw_kernels_init(&kernels, "scalar", &err));
    assert_true(hidden <= 512);
    for (size_t token = 0; token < a->config.vocab; token++) {
        tw_model_embed(a, &kernels, (int32_t)token, x);
        tw_model_embed(b, &kernels, (int32_t)token, y);
        assert_memory_equal(x, y, hidden * sizeof *x);
    }
}

/* Every family, tied or not, every type of checkpoint; widths that fill no panel and odd inputs. */
static void same_as_the_checkpoint(void **state)
{
    struct folders f                  = folders_in(*state);
    static const char *const types[]  = {"qwen2", "llama", "qwen3"};
    static const enum tw_dtype from[] = {TW_DTYPE_BF16, TW_DTYPE_F16, TW_DTYPE_F32};
    for (size_t i = 0; i < 18; i++) {
        struct tiny_model m   = tiny_model_default();
        enum tw_dtype compute = i / 9 == 0 ? TW_DTYPE_BF16 : TW_DTYPE_F32;
        struct trawl_error err;
        struct tw_packed_result result;
        struct tw_model *plain = NULL, *packed = NULL;
        m.type         = types[i % 3];
        m.dtype        = from[i / 3 % 3];
        m.tied         = i % 2 == 0;
        m.head_dim     = 6; /* heads are padded to whole panels */
        m.intermediate = 75;
        m.vocab        = 301;
        m.seed         = 100 + i;
        tiny_model_write(f.from, &m);
        assert_ok(pack(&f, compute, &result, &err));
        assert_ok(load(&plain, f.from, compute, &err));
        assert_ok(load(&packed, f.to, compute, &err));
        assert_true(packed->packed.size == result.file_bytes && plain->packed.size == 0);
        assert_same_model(plain, packed);
        assert_int_equal(result.exact, m.dtype == TW_DTYPE_BF16 || compute == TW_DTYPE_F32);
        assert_ok(tw_packed_verify(f.to, 2, NULL, &err));
        tw_model_free(plain);
        tw_model_free(packed);
    }
}

/* Packing twice gives the same file: no clock, no garbage between the weights. */
static void same_bytes_again(void **state)
{
    struct folders f    = folders_in(*state);
    struct tiny_model m = tiny_model_default();
    struct trawl_error err;
    struct tw_packed_result result;
    char *first = NULL, *second = NULL;
    size_t n = 0, n2 = 0;
    tiny_model_write(f.from, &m);
    assert_ok(pack(&f, TW_DTYPE_BF16, &result, &err));
    assert_ok(tw_file_read(f.file, 1 << 24, &first, &n, &err));
    assert_ok(pack(&f, TW_DTYPE_BF16, &result, &err));
    assert_ok(tw_file_read(f.file, 1 << 24, &second, &n2, &err));
    assert_int_equal(n, n2);
    assert_memory_equal(first, second, n);
    tw_free(first);
    tw_free(second);
}

/* Layout version 1 is what files without compressed panels have: to the byte what the first trawl wrote, so both
 * read each other's. */
static void plain_files_are_of_the_first_layout(void **state)
{
    struct folders f    = folders_in(*state);
    struct tiny_model m = tiny_model_default();
    struct trawl_error err;
    struct tw_packed_result result;
    char *bytes = NULL;
    size_t n    = 0;
    tiny_model_write(f.from, &m);
    assert_ok(pack(&f, TW_DTYPE_BF16, &result, &err));
    assert_ok(tw_file_read(f.file, 1 << 24, &bytes, &n, &err));
    assert_int_equal(n, 147744);
    assert_true(tw_hash64(bytes, n) == 0xee26a505acf8cab6u);
    tw_free(bytes);
}

static void serves_the_dtypes_it_can(void **state)
{
    struct folders f    = folders_in(*state);
    struct tiny_model m = tiny_model_default();
    struct trawl_error err;
    struct tw_packed_result result;
    struct tw_model *plain = NULL, *packed = NULL;
    tiny_model_write(f.from, &m);
    assert_ok(pack(&f, TW_DTYPE_BF16, &result, &err));
    assert_ok(load(&plain, f.from, TW_DTYPE_F32, &err));
    assert_ok(load(&packed, f.to, TW_DTYPE_F32, &err)); /* bf16 weights lose nothing */
    assert_same_model(plain, packed);
    tw_model_free(plain);
    tw_model_free(packed);

    m.dtype = TW_DTYPE_F32;
    tiny_model_write(f.from, &m);
    assert_ok(pack(&f, TW_DTYPE_BF16, &result, &err));
    assert_refused(load(&packed, f.to, TW_DTYPE_F32, &err), TRAWL_ERR_UNSUPPORTED,
                   "were rounded to bfloat16");
    assert_ok(pack(&f, TW_DTYPE_F32, &result, &err));
    assert_refused(load(&packed, f.to, TW_DTYPE_BF16, &err), TRAWL_ERR_UNSUPPORTED, "holds float32 weights");
}

/* Rows of an untied embedding are weights too: two checkpoints that differ in one of them are two models. */
static void fingerprint_sees_every_weight(void **state)
{
    struct folders f    = folders_in(*state);
    struct tiny_model m = tiny_model_default();
    struct trawl_error err;
    struct tw_model *model = NULL;
    char path[192];
    m.tied = false;
    tiny_model_write(f.from, &m);
    (void)snprintf(path, sizeof path, "%s/model.safetensors", f.from);
    struct tw_safetensors *files = NULL;
    assert_ok(tw_safetensors_open(&files, f.from, &err));
    char *bytes = NULL;
    size_t n    = 0;
    assert_ok(tw_file_read(path, 1 << 24, &bytes, &n, &err));
    size_t data = n;
    for (size_t i = 0; i < tw_safetensors_count(files); i++) {
        data -= tw_safetensors_at(files, i)->bytes;
    }
    const uint8_t *base = NULL; /* of the tensors' bytes: the lowest */
    for (size_t i = 0; i < tw_safetensors_count(files); i++) {
        const uint8_t *at = tw_safetensors_at(files, i)->data;
        base              = base == NULL || at < base ? at : base;
    }
    assert_ok(load(&model, f.from, TW_DTYPE_BF16, &err));
    uint64_t fingerprint = model->fingerprint;
    tw_model_free(model);
    for (size_t i = 0; i < tw_safetensors_count(files); i++) {
        const struct tw_safetensors_tensor *t = tw_safetensors_at(files, i);
        size_t at                             = data + (size_t)(t->data - base) + t->bytes - 2;
        bytes[at] ^= 1;
        char other[128];
        (void)snprintf(other, sizeof other, "%s/other", ((struct scratch *)*state)->dir);
        assert_ok(tw_make_dirs(other, &err));
        tiny_config(other, &m);
        (void)snprintf(path, sizeof path, "%s/model.safetensors", other);
        assert_ok(tw_file_replace(path, bytes, n, &err));
        assert_ok(load(&model, other, TW_DTYPE_BF16, &err));
        if (model->fingerprint == fingerprint) {
            fail_msg("%s changed, the fingerprint did not", t->name);
        }
        tw_model_free(model);
        bytes[at] ^= 1;
    }
    tw_safetensors_close(files);
    tw_free(bytes);
}

/* ---- wrong files ---- */

struct damaged {
    struct folders f;
    char *bytes;
    size_t n;
    struct tw_packed_header header;
};

static struct damaged make_damaged(struct scratch *s)
{
    struct damaged d    = {.f = folders_in(s)};
    struct tiny_model m = tiny_model_default();
    struct trawl_error err;
    struct tw_packed_result result;
    tiny_model_write(d.f.from, &m);
    assert_ok(pack(&d.f, TW_DTYPE_BF16, &result, &err));
    assert_ok(tw_file_read(d.f.file, 1 << 24, &d.bytes, &d.n, &err));
    memcpy(&d.header, d.bytes, sizeof d.header);
    return d;
}

/* With the head's checksum right again, so that the later checks are reached. */
static void seal(struct damaged *d)
{
    uint64_t hash = tw_packed_head_hash((const uint8_t *)d->bytes, (size_t)d->header.head_bytes);
    memcpy(d->bytes + offsetof(struct tw_packed_header, head_hash), &hash, sizeof hash);
}

static trawl_status try_load(const struct damaged *d, struct trawl_error *err)
{
    struct tw_model *m = NULL;
    TW_TRY(tw_file_replace(d->f.file, d->bytes, d->n, err));
    trawl_status status = load(&m, d->f.to, TW_DTYPE_BF16, err);
    tw_model_free(m);
    return status;
}

static void set_u32(struct damaged *d, size_t offset, uint32_t value)
{
    memcpy(d->bytes + offset, &value, sizeof value);
}

static void says_what_is_wrong_with_the_head(void **state)
{
    struct damaged d = make_damaged(*state);
    struct trawl_error err;
    assert_ok(try_load(&d, &err));
    d.bytes[0] ^= 1;
    assert_refused(try_load(&d, &err), TRAWL_ERR_FORMAT, "is no file of packed weights");
    d.bytes[0] ^= 1;
    set_u32(&d, offsetof(struct tw_packed_header, byte_order), 0x04030201u);
    assert_refused(try_load(&d, &err), TRAWL_ERR_FORMAT, "another byte order");
    set_u32(&d, offsetof(struct tw_packed_header, byte_order), 0x01020304u);
    set_u32(&d, offsetof(struct tw_packed_header, version), TW_PACKED_VERSION + 1);
    assert_refused(try_load(&d, &err), TRAWL_ERR_FORMAT, "has layout version 3, this build reads 1 to 2");
    set_u32(&d, offsetof(struct tw_packed_header, version), TW_PACKED_VERSION);
    set_u32(&d, offsetof(struct tw_packed_header, n_entries), UINT32_MAX);
    assert_refused(try_load(&d, &err), TRAWL_ERR_FORMAT, "header and table of 4294967295 weights");
    set_u32(&d, offsetof(struct tw_packed_header, n_entries), d.header.n_entries);
    set_u32(&d, offsetof(struct tw_packed_header, weight_dtype), TW_DTYPE_I8);
    seal(&d);
    assert_refused(try_load(&d, &err), TRAWL_ERR_FORMAT, "expected BF16 or F32");
    set_u32(&d, offsetof(struct tw_packed_header, weight_dtype), d.header.weight_dtype);
    seal(&d);
    assert_ok(try_load(&d, &err));
    tw_free(d.bytes);
}

static void every_bit_of_the_head_counts(void **state)
{
    struct damaged d = make_damaged(*state);
    struct tw_packed_header header;
    struct trawl_error err;
    const uint8_t *data = (const uint8_t *)d.bytes;
    assert_ok(tw_packed_check(data, d.n, "x", &header, &err));
    for (size_t i = 0; i < d.header.head_bytes; i++) {
        d.bytes[i] ^= (char)(1 << i % 8);
        assert_int_equal(tw_packed_check(data, d.n, "x", &header, &err), TRAWL_ERR_FORMAT);
        d.bytes[i] ^= (char)(1 << i % 8);
    }
    for (size_t n = 0; n < d.n; n += n < d.header.head_bytes ? 1 : 997) {
        assert_int_equal(tw_packed_check(data, n, "x", &header, &err), TRAWL_ERR_FORMAT);
    }
    tw_free(d.bytes);
}

static void table_must_fit_the_model(void **state)
{
    struct damaged d = make_damaged(*state);
    struct trawl_error err;
    char *entry = d.bytes + TW_PACKED_HEADER_BYTES + 3 * TW_PACKED_ENTRY_BYTES;
    struct tw_packed_entry good, bad;
    memcpy(&good, entry, sizeof good);

    bad = good;
    (void)snprintf(bad.name, sizeof bad.name, "other");
    memcpy(entry, &bad, sizeof bad);
    seal(&d);
    assert_refused(try_load(&d, &err), TRAWL_ERR_FORMAT, "weight 3 is \"other\"");
    bad = good;
    memset(bad.name, 'x', sizeof bad.name);
    memcpy(entry, &bad, sizeof bad);
    seal(&d);
    assert_refused(try_load(&d, &err), TRAWL_ERR_FORMAT, "the name of weight 3 has no end");
    bad = good;
    bad.offset -= TW_PACKED_LINE;
    memcpy(entry, &bad, sizeof bad);
    seal(&d);
    assert_refused(try_load(&d, &err), TRAWL_ERR_FORMAT, good.name);
    bad       = good;
    bad.bytes = UINT64_MAX - 8;
    memcpy(entry, &bad, sizeof bad);
    seal(&d);
    assert_refused(try_load(&d, &err), TRAWL_ERR_FORMAT, good.name);
    tw_free(d.bytes);
}

static void other_models_are_refused(void **state)
{
    struct damaged d    = make_damaged(*state);
    struct tiny_model m = tiny_model_default();
    struct trawl_error err;
    m.intermediate += 32;
    tiny_config(d.f.to, &m);
    assert_refused(try_load(&d, &err), TRAWL_ERR_FORMAT, "another shape than config.json describes");
    tw_free(d.bytes);
}

static void truncation_is_named(void **state)
{
    struct damaged d = make_damaged(*state);
    struct trawl_error err;
    d.n -= 1;
    assert_refused(try_load(&d, &err), TRAWL_ERR_FORMAT, "truncated or damaged");
    d.n = 100;
    assert_refused(try_load(&d, &err), TRAWL_ERR_FORMAT, "has 100 bytes, a header alone has 128: truncated");
    d.n = 0;
    assert_refused(try_load(&d, &err), TRAWL_ERR_FORMAT, "truncated");
    tw_free(d.bytes);
}

/* Opening reads no weights; verifying reads them all and names the one that changed. */
static void verify_finds_each_damaged_weight(void **state)
{
    struct damaged d = make_damaged(*state);
    struct trawl_error err;
    for (size_t i = 0; i < d.header.n_entries; i++) {
        struct tw_packed_entry e = tw_packed_entry_at((const uint8_t *)d.bytes, i);
        d.bytes[e.offset + e.bytes / 2] ^= 4;
        assert_ok(try_load(&d, &err));
        assert_refused(tw_packed_verify(d.f.to, 2, NULL, &err), TRAWL_ERR_FORMAT, e.name);
        d.bytes[e.offset + e.bytes / 2] ^= 4;
    }
    assert_ok(try_load(&d, &err));
    assert_ok(tw_packed_verify(d.f.to, 2, NULL, &err));
    tw_free(d.bytes);
}

static void set_time(const char *path, time_t seconds)
{
    const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* Packed beside its checkpoint: used while it is the younger of the two. */
static void stale_files_are_refused(void **state)
{
    struct folders f    = folders_in(*state);
    struct tiny_model m = tiny_model_default();
    struct trawl_error err;
    struct tw_packed_result result;
    struct tw_model *model = NULL;
    char file[192], checkpoint[192];
    (void)snprintf(f.to, sizeof f.to, "%s", f.from);
    (void)snprintf(file, sizeof file, "%s/" TW_PACKED_FILE, f.from);
    (void)snprintf(checkpoint, sizeof checkpoint, "%s/model.safetensors", f.from);
    tiny_model_write(f.from, &m);
    assert_ok(pack(&f, TW_DTYPE_BF16, &result, &err));
    set_time(checkpoint, 1000);
    set_time(file, 1001);
    assert_ok(load(&model, f.from, TW_DTYPE_BF16, &err));
    assert_true(model->packed.size > 0);
    tw_model_free(model);
    set_time(checkpoint, 1002);
    assert_refused(load(&model, f.from, TW_DTYPE_BF16, &err), TRAWL_ERR_FORMAT,
                   "older than model.safetensors");
}

/* ---- writing ---- */

static bool stop_at_once(void *user, uint64_t done, uint64_t total)
{
    assert_true(done <= total);
    ++*(int *)user;
    return false;
}

static void writes_whole_or_not_at_all(void **state)
{
    struct folders f    = folders_in(*state);
    struct tiny_model m = tiny_model_default();
    struct trawl_error err;
    struct tw_packed_result result;
    int ticks = 0;
    tiny_model_write(f.from, &m);
    struct tw_packed_job job = {.folder     = f.from,
                                .output_dir = f.to,
                                .compute    = TW_DTYPE_BF16,
                                .n_threads  = 1,
                                .on_tick    = stop_at_once,
                                .user       = &ticks};
    assert_refused(tw_packed_write(&job, &result, &err), TRAWL_ERR_CANCELLED, "interrupted");
    assert_int_equal(ticks, 1);
    assert_false(tw_path_exists(f.file));
    char tmp[256];
    (void)snprintf(tmp, sizeof tmp, "%s.tmp", f.file);
    assert_false(tw_path_exists(tmp));

    assert_ok(pack(&f, TW_DTYPE_BF16, &result, &err));
    struct folders again = f; /* packed weights are no checkpoint */
    (void)snprintf(again.from, sizeof again.from, "%s", f.to);
    (void)snprintf(again.to, sizeof again.to, "%s/again", ((struct scratch *)*state)->dir);
    assert_refused(pack(&again, TW_DTYPE_BF16, &result, &err), TRAWL_ERR_IO, "holds packed weights");

    struct folders onto = f; /* nor is the folder of another checkpoint a place for them */
    (void)snprintf(onto.to, sizeof onto.to, "%s/other", ((struct scratch *)*state)->dir);
    tiny_model_write(onto.to, &m);
    assert_refused(pack(&onto, TW_DTYPE_BF16, &result, &err), TRAWL_ERR_EXISTS,
                   "the checkpoint of another folder");
}

static void count_warnings(void *user, int level, const char *message)
{
    assert_int_equal(level, TW_LOG_WARNING);
    assert_non_null(strstr(message, "values that are not finite"));
    ++*(int *)user;
}

static void remembers_what_is_not_finite(void **state)
{
    struct folders f    = folders_in(*state);
    struct tiny_model m = tiny_model_default();
    struct trawl_error err;
    struct tw_packed_result result;
    struct tw_model *model = NULL;
    char path[192];
    int packing = 0, opening = 0;
    tiny_model_write(f.from, &m);
    (void)snprintf(path, sizeof path, "%s/model.safetensors", f.from);
    char *bytes = NULL;
    size_t n    = 0;
    assert_ok(tw_file_read(path, 1 << 24, &bytes, &n, &err));
    const uint16_t infinity = 0x7F80; /* the last value is of the last tensor declared: the final norm */
    memcpy(bytes + n - 2, &infinity, 2);
    assert_ok(tw_file_replace(path, bytes, n, &err));
    tw_free(bytes);
    struct tw_log log        = {.fn = count_warnings, .user = &packing, .max_level = TW_LOG_WARNING};
    struct tw_packed_job job = {
        .folder = f.from, .output_dir = f.to, .compute = TW_DTYPE_BF16, .n_threads = 1, .log = &log};
    assert_ok(tw_packed_write(&job, &result, &err));
    log.user = &opening;
    assert_ok(tw_model_load(&model, f.to, TW_DTYPE_BF16, false, 1, &log, &err));
    tw_model_free(model);
    assert_int_equal(packing, 1);
    assert_int_equal(opening, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(same_as_the_checkpoint),
        scratch_test(same_bytes_again),
        scratch_test(plain_files_are_of_the_first_layout),
        scratch_test(serves_the_dtypes_it_can),
        scratch_test(fingerprint_sees_every_weight),
        scratch_test(says_what_is_wrong_with_the_head),
        scratch_test(every_bit_of_the_head_counts),
        scratch_test(table_must_fit_the_model),
        scratch_test(other_models_are_refused),
        scratch_test(truncation_is_named),
        scratch_test(verify_finds_each_damaged_weight),
        scratch_test(stale_files_are_refused),
        scratch_test(writes_whole_or_not_at_all),
        scratch_test(remembers_what_is_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
