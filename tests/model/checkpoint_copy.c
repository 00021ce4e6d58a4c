/* SPDX-License-Identifier: MIT */
#include "checkpoint_copy.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/str.h"
#include "support/test.h"

static void put(struct tw_str *s, const char *text)
{
    struct trawl_error err;
    assert_ok(tw_str_puts(s, text, &err));
}

static void declare(struct tw_str *header, const struct tw_safetensors_tensor *t,
                    const struct checkpoint_edit *edit, size_t begin)
{
    struct trawl_error err;
    bool edited = edit->tensor != NULL && strcmp(edit->tensor, t->name) == 0;
    assert_ok(tw_str_printf(header, &err,
                            "%s\"%s\":{\"dtype\":\"%s\",\"shape\":", header->size > 1 ? "," : "", t->name,
                            edited && edit->dtype != NULL ? edit->dtype : t->dtype_name));
    if (edited && edit->shape != NULL) {
        put(header, edit->shape);
    } else {
        for (int i = 0; i < t->rank; i++) {
            assert_ok(tw_str_printf(header, &err, "%s%zu", i == 0 ? "[" : ",", t->shape[i]));
        }
        put(header, "]");
    }
    assert_ok(tw_str_printf(header, &err, ",\"data_offsets\":[%zu,%zu]}", begin, begin + t->bytes));
}

/* File `file` of n: every n-th tensor. */
static void copy_file(const struct tw_safetensors *from, const char *path, int file, int n_files,
                      const struct checkpoint_edit *edit)
{
    struct trawl_error err;
    struct tw_str header, data;
    uint64_t size;
    tw_str_init(&header, 0);
    tw_str_init(&data, 0);
    put(&header, "{");
    for (size_t i = (size_t)file; i < tw_safetensors_count(from); i += (size_t)n_files) {
        const struct tw_safetensors_tensor *t = tw_safetensors_at(from, i);
        bool edited                           = edit->tensor != NULL && strcmp(edit->tensor, t->name) == 0;
        if (edited && edit->drop) {
            continue;
        }
        declare(&header, t, edit, data.size);
        assert_ok(tw_str_append(&data, t->data, t->bytes, &err));
        if (edited) {
            data.data[data.size - t->bytes + edit->byte] ^= (char)edit->xor_with;
        }
    }
    put(&header, "}");
    while (header.size % 8 != 0) {
        put(&header, " ");
    }
    size = header.size;
    struct tw_atomic_file out;
    assert_ok(tw_atomic_file_open(&out, path, &err));
    assert_ok(tw_atomic_file_write(&out, &size, sizeof size, &err));
    assert_ok(tw_atomic_file_write(&out, header.data, header.size, &err));
    assert_ok(tw_atomic_file_write(&out, data.data, data.size, &err));
    assert_ok(tw_atomic_file_commit(&out, &err));
    tw_str_release(&header);
    tw_str_release(&data);
}

static void write_index(const struct tw_safetensors *from, const char *path, int n_files)
{
    struct trawl_error err;
    struct tw_str s;
    tw_str_init(&s, 0);
    put(&s, "{\"metadata\": {}, \"weight_map\": {");
    for (size_t i = 0; i < tw_safetensors_count(from); i++) {
        assert_ok(tw_str_printf(&s, &err, "%s\"%s\": \"part-%zu.safetensors\"", i == 0 ? "" : ", ",
                                tw_safetensors_at(from, i)->name, i % (size_t)n_files));
    }
    put(&s, "}}");
    assert_ok(tw_file_replace(path, s.data, s.size, &err));
    tw_str_release(&s);
}

void checkpoint_copy(const char *from, const char *to, int n_files, const struct checkpoint_edit *edit)
{
    static const struct checkpoint_edit none = {0};
    struct trawl_error err;
    struct tw_safetensors *st = NULL;
    char path[1024], *config = NULL;
    size_t n = 0;
    assert_ok(tw_make_dirs(to, &err));
    assert_ok(tw_safetensors_open(&st, from, &err));
    for (int i = 0; i < n_files; i++) {
        if (n_files == 1) {
            (void)snprintf(path, sizeof path, "%s/model.safetensors", to);
        } else {
            (void)snprintf(path, sizeof path, "%s/part-%d.safetensors", to, i);
        }
        copy_file(st, path, i, n_files, edit == NULL ? &none : edit);
    }
    if (n_files > 1) {
        (void)snprintf(path, sizeof path, "%s/model.safetensors.index.json", to);
        write_index(st, path, n_files);
    }
    tw_safetensors_close(st);
    (void)snprintf(path, sizeof path, "%s/config.json", from);
    assert_ok(tw_file_read(path, 1 << 20, &config, &n, &err));
    (void)snprintf(path, sizeof path, "%s/config.json", to);
    assert_ok(tw_file_replace(path, config, n, &err));
    tw_free(config);
}
