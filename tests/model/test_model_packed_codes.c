/* SPDX-License-Identifier: MIT */
/* Compressed panels on disk: the same weights as from the checkpoint, whoever reads them, and every kind of wrong
 * codes refused. */
#include "base/hash.h"
#include "base/log.h"
#include "kernels/kernels.h"
#include "model/model_packed_codes.h"
#include "support/tiny_model.h"

#include "packed_folders.h"

static struct tw_packed_job job_of(const struct folders *f, bool compress)
{
    return (struct tw_packed_job){.folder     = f->from,
                                  .output_dir = f->to,
                                  .compute    = TW_DTYPE_BF16,
                                  .compress   = compress,
                                  .n_threads  = 2};
}

static void pack(const struct folders *f, bool compress, struct tw_packed_result *result)
{
    struct trawl_error err;
    const struct tw_packed_job job = job_of(f, compress);
    assert_ok(tw_packed_write(&job, result, &err));
}

static char *read_file(const char *path, size_t *n)
{
    struct trawl_error err;
    char *bytes = NULL;
    assert_ok(tw_file_read(path, 1 << 26, &bytes, n, &err));
    return bytes;
}

/* ---- the same weights ---- */

/* A panel as kernels/kernels_compress.h describes it, weight by weight. */
static void decode(uint16_t *to, const struct tw_linear *l, size_t panel)
{
    const uint8_t *from  = (const uint8_t *)l->panels + panel * (l->k / 8 * 192);
    const uint8_t *upper = l->codes.upper + panel * 16;
    for (size_t g = 0; g < l->k / 8; g++) {
        for (size_t line = 0; line < 4; line++) {
            for (size_t i = 0; i < 32; i++) {
                const size_t at      = i / 8 * 16 + line % 2 * 8 + i % 8;
                const uint8_t nibble = from[g * 192 + 128 + at] >> (line / 2 * 4) & 0xF;
                to[g * 128 + line * 32 + i] =
                    (uint16_t)(upper[nibble] * 256 + from[g * 192 + line / 2 * 64 + at]);
            }
        }
    }
    for (uint32_t i = l->codes.first[panel]; i < l->codes.first[panel + 1]; i++) {
        memcpy(to + (size_t)l->codes.group[i] * 128, l->codes.plain + (size_t)i * 256, 256);
    }
}

static void assert_same_linear(const struct tw_linear *plain, const struct tw_linear *packed, size_t *n_plain)
{
    const size_t words = tw_panel_elements(plain->k), panels = tw_linear_panels(plain);
    uint16_t *panel = test_malloc(words * sizeof *panel);
    assert_null(plain->codes.upper);
    assert_int_equal((uintptr_t)packed->panels % 64, 0);
    if (packed->codes.upper == NULL) {
        assert_memory_equal(plain->panels, packed->panels, panels * words * sizeof *panel);
    } else {
        assert_int_equal((uintptr_t)packed->codes.plain % 64, 0);
        for (size_t p = 0; p < panels; p++) {
            decode(panel, packed, p);
            assert_memory_equal((const uint16_t *)plain->panels + p * words, panel, words * sizeof *panel);
        }
        *n_plain += packed->codes.first[panels];
    }
    test_free(panel);
}

/* The linear layers of a model; returns how many. */
static size_t linears_of(const struct tw_model *m, const struct tw_linear **out)
{
    size_t n = 0;
    for (size_t i = 0; i < m->config.n_layers; i++) {
        const struct tw_layer *y    = &m->layers[i];
        const struct tw_linear *l[] = {&y->q, &y->k, &y->v, &y->o, &y->gate, &y->up, &y->down};
        memcpy(out + n, l, sizeof l);
        n += sizeof l / sizeof l[0];
    }
    out[n++] = &m->head;
    return n;
}

/* Returns how many matrices of `packed` are compressed; adds plain groups to *n_plain. */
static size_t assert_same_model(const struct tw_model *plain, const struct tw_model *packed, size_t *n_plain)
{
    const struct tw_linear *x[64], *y[64];
    size_t n = linears_of(plain, x), n_compressed = 0;
    assert_int_equal(linears_of(packed, y), n);
    assert_true(plain->fingerprint == packed->fingerprint && plain->identity == packed->identity);
    for (size_t i = 0; i < n; i++) {
        assert_same_linear(x[i], y[i], n_plain);
        assert_int_equal(x[i]->bias == NULL, y[i]->bias == NULL);
        if (x[i]->bias != NULL) {
            assert_memory_equal(x[i]->bias, y[i]->bias, tw_linear_panels(x[i]) * TW_PANEL * sizeof(float));
        }
        n_compressed += y[i]->codes.upper != NULL;
    }
    assert_memory_equal(plain->final_norm, packed->final_norm, plain->config.hidden * sizeof(float));
    return n_compressed;
}

static void count_warnings(void *user, int level, const char *message)
{
    assert_int_equal(level, TW_LOG_WARNING);
    assert_non_null(strstr(message,
                           "weights.trawl: its weights are compressed, and here they are computed with "
                           "plain: 0.00 GiB were expanded"));
    ++*(int *)user;
}

/* In place for those who take them, plain for those who do not, and for both dtypes where nothing was rounded. */
static void check_readers(const struct folders *f, const struct tw_packed_result *result, size_t *n_plain)
{
    int warnings            = 0;
    const struct tw_log log = {.fn = count_warnings, .user = &warnings, .max_level = TW_LOG_WARNING};
    struct tw_model *plain = NULL, *packed = NULL;
    struct trawl_error err;
    size_t none = 0;
    assert_ok(tw_model_load(&plain, f->from, TW_DTYPE_BF16, false, 2, NULL, &err));
    assert_ok(tw_model_load(&packed, f->to, TW_DTYPE_BF16, true, 1, &log, &err));
    assert_int_equal(warnings, 0);
    assert_null(packed->panels);
    assert_int_equal(assert_same_model(plain, packed, n_plain), result->n_compressed);
    assert_true(packed->codes_bytes > 0);
    struct tw_packed_info info;
    assert_ok(tw_packed_inspect(f->to, &info, &err));
    assert_true(info.compressed && info.file_bytes == result->file_bytes);
    assert_int_equal(info.matrix_bytes, tw_model_weights_bytes(packed));
    assert_int_equal(info.matrix_elements, plain->panels_bytes / 2);
    assert_true(info.matrix_bytes < plain->panels_bytes);
    tw_model_free(packed);

    for (int threads = 1; threads < 4; threads++) {
        assert_ok(tw_model_load(&packed, f->to, TW_DTYPE_BF16, false, threads, &log, &err));
        assert_int_equal(warnings, threads);
        assert_int_equal(assert_same_model(plain, packed, &none), 0);
        assert_int_equal(tw_model_weights_bytes(packed), tw_model_weights_bytes(plain));
        tw_model_free(packed);
    }
    if (result->exact) {
        for (int compress = 0; compress < 2; compress++) {
            assert_ok(tw_model_load(&packed, f->to, TW_DTYPE_F32, compress == 1, 2, &log, &err));
            assert_int_equal(assert_same_model(plain, packed, &none), compress * result->n_compressed);
            tw_model_free(packed);
        }
    }
    assert_ok(tw_packed_verify(f->to, 2, NULL, &err));
    tw_model_free(plain);
}

/* Every family, tied or not, every type of checkpoint; heads that fill no panel, inputs that make no whole groups. */
static void same_as_the_checkpoint(void **state)
{
    struct folders f                  = folders_in(*state);
    static const char *const types[]  = {"qwen2", "llama", "qwen3"};
    static const enum tw_dtype from[] = {TW_DTYPE_BF16, TW_DTYPE_F16, TW_DTYPE_F32};
    size_t n_plain                    = 0;
    for (size_t i = 0; i < 9; i++) {
        struct tiny_model m = tiny_model_default();
        struct tw_packed_result result;
        m.type         = types[i % 3];
        m.dtype        = from[i / 3];
        m.tied         = i % 2 == 0;
        m.head_dim     = i % 2 == 0 ? 6 : 16;
        m.intermediate = i % 4 < 2 ? 75 : 88;
        m.vocab        = 301;
        m.seed         = 200 + i;
        tiny_model_write(f.from, &m);
        pack(&f, true, &result);
        /* q, k, v, gate, up and the head have 48 inputs; o has 36 or 96, down 75 or 88. */
        const size_t odd = (m.head_dim == 6) + (m.intermediate == 75);
        assert_int_equal(result.n_compressed, m.n_layers * (7 - odd) + 1);
        assert_int_equal(result.exact, m.dtype == TW_DTYPE_BF16);
        check_readers(&f, &result, &n_plain);
    }
    assert_true(n_plain > 0); /* or those would be untested */
}

/* A matrix that is packed in several goes, with any number of threads: the same file. */
static void chunks_and_threads_do_not_matter(void **state)
{
    struct folders f    = folders_in(*state);
    struct tiny_model m = tiny_model_default();
    struct tw_packed_result result;
    struct trawl_error err;
    size_t n = 0, again = 0, n_plain = 0;
    m.vocab = 1500; /* 94 panels, 6 pieces */
    tiny_model_write(f.from, &m);
    pack(&f, true, &result);
    char *first = read_file(f.file, &n);
    for (int i = 0; i < 6; i++) {
        struct tw_packed_job job = job_of(&f, true);
        job.n_threads            = 1 + i % 3;
        job.buffer_bytes         = i < 3 ? 1 : 100000; /* one piece at a time; about four of the head */
        assert_ok(tw_packed_write(&job, &result, &err));
        char *second = read_file(f.file, &again);
        assert_int_equal(n, again);
        assert_memory_equal(first, second, n);
        tw_free(second);
    }
    check_readers(&f, &result, &n_plain);
    tw_free(first);
}

/* ---- when it does not pay ---- */

/* Random exponents in all matrices whose names contain `part`, so that no table of eight holds them. */
static void make_wild(const struct folders *f, const char *part)
{
    struct trawl_error err;
    struct tw_safetensors *files = NULL;
    char path[192];
    size_t n = 0;
    struct tw_philox_stream random;
    tw_philox_stream_init(&random, 5, 0);
    (void)snprintf(path, sizeof path, "%s/model.safetensors", f->from);
    char *bytes = read_file(path, &n);
    assert_ok(tw_safetensors_open(&files, f->from, &err));
    const uint8_t *end = NULL; /* of the tensors' bytes, which is that of the file */
    for (size_t i = 0; i < tw_safetensors_count(files); i++) {
        const struct tw_safetensors_tensor *t = tw_safetensors_at(files, i);
        end = end == NULL || t->data + t->bytes > end ? t->data + t->bytes : end;
    }
    for (size_t i = 0; i < tw_safetensors_count(files); i++) {
        const struct tw_safetensors_tensor *t = tw_safetensors_at(files, i);
        for (size_t k = 0; t->rank == 2 && strstr(t->name, part) != NULL && k < t->bytes; k += 2) {
            const uint16_t weight = (uint16_t)(tw_philox_double(&random) * 0x7F00); /* finite */
            memcpy(bytes + n - (size_t)(end - t->data) + k, &weight, sizeof weight);
        }
    }
    tw_safetensors_close(files);
    assert_ok(tw_file_replace(path, bytes, n, &err));
    tw_free(bytes);
}

static uint32_t version_of(const char *bytes)
{
    struct tw_packed_header h;
    memcpy(&h, bytes, sizeof h);
    return h.version;
}

static void wild_matrices_stay_plain(void **state)
{
    struct folders f    = folders_in(*state);
    struct tiny_model m = tiny_model_default();
    struct tw_packed_result result;
    size_t n = 0, n_plain = 0, again = 0;
    tiny_model_write(f.from, &m);
    make_wild(&f, "gate_proj");
    pack(&f, true, &result);
    assert_int_equal(result.n_compressed, m.n_layers * 6 + 1);
    check_readers(&f, &result, &n_plain);

    make_wild(&f, "."); /* every matrix: what is written is a plain file, which older programs read */
    pack(&f, true, &result);
    char *first = read_file(f.file, &n);
    assert_int_equal(result.n_compressed, 0);
    assert_int_equal(version_of(first), TW_PACKED_PLAIN);
    pack(&f, false, &result);
    char *second = read_file(f.file, &again);
    assert_int_equal(n, again);
    assert_memory_equal(first, second, n);
    tw_free(first);
    tw_free(second);
}

/* ---- wrong files ---- */

struct damaged {
    struct folders f;
    char *bytes;
    size_t n;
    struct tw_packed_header header;
    size_t at; /* of a compressed entry with plain groups */
    struct tw_packed_entry entry;
    struct tw_packed_parts parts;
};

static struct damaged make_damaged(struct scratch *s)
{
    struct damaged d    = {.f = folders_in(s)};
    struct tiny_model m = tiny_model_default();
    struct tw_packed_result result;
    tiny_model_write(d.f.from, &m);
    pack(&d.f, true, &result);
    d.bytes = read_file(d.f.file, &d.n);
    memcpy(&d.header, d.bytes, sizeof d.header);
    assert_int_equal(d.header.version, TW_PACKED_VERSION);
    for (size_t i = 0; i < d.header.n_entries && d.entry.plain_groups < 2; i++) {
        d.entry = tw_packed_entry_at((const uint8_t *)d.bytes, i);
        d.at    = TW_PACKED_HEADER_BYTES + i * TW_PACKED_ENTRY_BYTES;
    }
    assert_true(d.entry.plain_groups >= 2);
    assert_true(tw_packed_parts_of(d.entry.panels, d.entry.columns, d.entry.plain_groups, &d.parts));
    return d;
}

/* What opening says of the bytes, once the head's checksum is right. */
static trawl_status try_open(struct damaged *d, bool compress, struct trawl_error *err)
{
    struct tw_model *m  = NULL;
    const uint64_t hash = tw_packed_head_hash((const uint8_t *)d->bytes, (size_t)d->header.head_bytes);
    memcpy(d->bytes + offsetof(struct tw_packed_header, head_hash), &hash, sizeof hash);
    TW_TRY(tw_file_replace(d->f.file, d->bytes, d->n, err));
    trawl_status status = tw_model_load(&m, d->f.to, TW_DTYPE_BF16, compress, 2, NULL, err);
    tw_model_free(m);
    return status;
}

static void set_entry(struct damaged *d, struct tw_packed_entry e)
{
    memcpy(d->bytes + d->at, &e, sizeof e);
}

static void tables_that_cannot_be(void **state)
{
    struct damaged d = make_damaged(*state);
    struct trawl_error err;
    static const char said[]           = "plain groups: damaged";
    const struct tw_packed_entry right = d.entry;
    struct tw_packed_entry e           = right;
    assert_ok(try_open(&d, true, &err));
    e.plain_groups++;
    set_entry(&d, e);
    assert_refused(try_open(&d, true, &err), TRAWL_ERR_FORMAT, said);
    e.plain_groups = UINT64_MAX / 256;
    set_entry(&d, e);
    assert_refused(try_open(&d, true, &err), TRAWL_ERR_FORMAT, said);
    e = right;
    e.panels--;
    set_entry(&d, e);
    assert_refused(try_open(&d, true, &err), TRAWL_ERR_FORMAT, said);
    e.panels = UINT64_MAX;
    set_entry(&d, e);
    assert_refused(try_open(&d, true, &err), TRAWL_ERR_FORMAT, said);
    for (int i = 0; i < 3; i++) { /* no whole groups; none; more than can be */
        static const uint64_t columns[] = {47, 0, UINT64_MAX - 7};
        e                               = right;
        e.columns                       = columns[i];
        set_entry(&d, e);
        assert_refused(try_open(&d, true, &err), TRAWL_ERR_FORMAT, right.name);
    }
    e       = right;
    e.dtype = TW_DTYPE_F32;
    set_entry(&d, e);
    assert_refused(try_open(&d, true, &err), TRAWL_ERR_FORMAT, said);
    e = right;
    e.flags &= ~(uint32_t)TW_PACKED_COMPRESSED; /* then its bytes are too few */
    set_entry(&d, e);
    assert_refused(try_open(&d, true, &err), TRAWL_ERR_FORMAT, "config.json asks for");
    set_entry(&d, right);
    const uint32_t version = TW_PACKED_PLAIN;
    memcpy(d.bytes + offsetof(struct tw_packed_header, version), &version, sizeof version);
    assert_refused(try_open(&d, true, &err), TRAWL_ERR_FORMAT, "which layout version 1 does not know");
    tw_free(d.bytes);
}

static void codes_that_cannot_be(void **state)
{
    struct damaged d = make_damaged(*state);
    struct trawl_error err;
    static const char said[] = "names plain groups that its panels do not have: damaged";
    const size_t n_groups    = d.entry.columns / TW_GROUP_INPUTS;
    char *matrix             = d.bytes + d.entry.offset;
    uint32_t *first          = (uint32_t *)(void *)(matrix + d.parts.first);
    uint32_t *group          = (uint32_t *)(void *)(matrix + d.parts.group);
    for (size_t i = 0; i <= d.entry.panels; i++) {
        const uint32_t right   = first[i];
        const uint32_t wrong[] = {UINT32_MAX, (uint32_t)d.entry.plain_groups + 1,
                                  right == 0 ? 1 + (uint32_t)d.entry.plain_groups : right - 1};
        for (size_t k = 0; k < 2; k++) {
            first[i] = wrong[k];
            assert_refused(try_open(&d, k % 2 == 0, &err), TRAWL_ERR_FORMAT, said);
        }
        first[i] = wrong[2]; /* one group is another panel's: only the ends can tell, and the order */
        if (i == 0 || i == d.entry.panels) {
            assert_refused(try_open(&d, true, &err), TRAWL_ERR_FORMAT, said);
        }
        first[i] = right;
    }
    for (size_t i = 0; i < d.entry.plain_groups; i++) {
        const uint32_t right = group[i];
        group[i]             = (uint32_t)n_groups;
        assert_refused(try_open(&d, true, &err), TRAWL_ERR_FORMAT, said);
        group[i] = UINT32_MAX;
        assert_refused(try_open(&d, false, &err), TRAWL_ERR_FORMAT, said);
        group[i] = right;
    }
    for (size_t p = 0, done = 0; p < d.entry.panels && done == 0; p++) {
        if (first[p + 1] - first[p] >= 2) { /* twice the same */
            const uint32_t right = group[first[p] + 1];
            group[first[p] + 1]  = group[first[p]];
            assert_refused(try_open(&d, true, &err), TRAWL_ERR_FORMAT, said);
            group[first[p] + 1] = right;
            done                = 1;
        }
    }
    assert_ok(try_open(&d, true, &err));
    tw_free(d.bytes);
}

/* Whatever bit of a compressed matrix flips: opening refuses it, or what it opens stays inside the file and verifying
 * names the weight. */
static void every_bit_of_a_compressed_matrix(void **state)
{
    struct damaged d = make_damaged(*state);
    struct trawl_error err;
    size_t refused = 0;
    for (size_t i = 0; i < d.entry.bytes; i += i < d.parts.upper ? 61 : 1) {
        struct tw_packed_header header;
        struct tw_packed_entry e;
        char *at = d.bytes + d.entry.offset + i;
        *at ^= (char)(1 << i % 8);
        if (tw_packed_check((const uint8_t *)d.bytes, d.n, "x", &header, &err) == TRAWL_OK) {
            e = tw_packed_entry_at((const uint8_t *)d.bytes,
                                   (d.at - TW_PACKED_HEADER_BYTES) / TW_PACKED_ENTRY_BYTES);
            assert_true(tw_hash64(d.bytes + e.offset, (size_t)e.bytes) != e.hash);
            if (i % 97 == 0) {
                assert_ok(tw_file_replace(d.f.file, d.bytes, d.n, &err));
                assert_refused(tw_packed_verify(d.f.to, 2, NULL, &err), TRAWL_ERR_FORMAT, e.name);
                assert_ok(try_open(&d, false, &err)); /* expands: reads what every code points to */
            }
        } else {
            refused++;
        }
        *at ^= (char)(1 << i % 8);
    }
    assert_true(refused > 0);
    tw_free(d.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(same_as_the_checkpoint),   scratch_test(chunks_and_threads_do_not_matter),
        scratch_test(wild_matrices_stay_plain), scratch_test(tables_that_cannot_be),
        scratch_test(codes_that_cannot_be),     scratch_test(every_bit_of_a_compressed_matrix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
