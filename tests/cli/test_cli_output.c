/* SPDX-License-Identifier: MIT */
/* Tables, the progress line, facts, lines of files, model folders. */
#include "support/test.h"

#include <sys/stat.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "cli/info_facts.h"
#include "cli/lines.h"
#include "cli/model_folder.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/terminal.h"

static void tables(void **state)
{
    (void)state;
    struct cli_table table;
    struct tw_str text;
    static const char *const cells[] = {"name", "n", "note", "grün", "5", "x", "日本", "123", ""};
    tw_str_init(&text, 0);
    cli_table_init(&table, "lrl");
    for (size_t i = 0; i < 9; i++) {
        assert_int_equal(cli_table_add(&table, NULL, "%s", cells[i]), TRAWL_OK);
    }
    assert_int_equal(cli_table_print(&table, 1, false, &text, NULL), TRAWL_OK);
    assert_string_equal(tw_str_text(&text), " name    n  note\n grün    5  x\n 日本  123\n");
    tw_str_reset(&text);
    assert_int_equal(cli_table_print(&table, 0, true, &text, NULL), TRAWL_OK);
    assert_memory_equal(tw_str_text(&text), "\033[1mname    n  note\033[0m\n", 24);
    cli_table_release(&table);
    assert_int_equal(cli_table_print(&table, 0, false, &text, NULL), TRAWL_OK);
    tw_str_release(&text);
}

static void text_widths(void **state)
{
    (void)state;
    assert_int_equal(cli_text_width("abc", 3), 3);
    assert_int_equal(cli_text_width("ü日", 5), 3);
    assert_int_equal(cli_text_width("e\xcc\x81", 3), 1); /* combining accent */
    assert_int_equal(cli_text_width("\xff\xfe", 2), 2);
}

static void progress_lines(void **state)
{
    (void)state;
    char line[128];
    struct cli_progress p = {.what = "arc run", .unit = "prompts", .total = 400, .done = 12, .tokens = 18430};
    (void)cli_progress_format(line, sizeof line, &p, 10, 0);
    assert_string_equal(line, "arc run: 12/400 prompts, 1843 tok/s, 5:23 left");
    p.base_done = 200;
    (void)cli_progress_format(line, sizeof line, &p, 10, 0);
    assert_string_equal(line, "arc run: 212/400 prompts, 1843 tok/s, 2:37 left");
    (void)cli_progress_format(line, sizeof line, &p, 3600, 0);
    assert_string_equal(line, "arc run: 212/400 prompts, 5.1 tok/s, 15:40:00 left");
    assert_int_equal(cli_progress_format(line, sizeof line, &p, 10, 20), 20);
    assert_string_equal(line, "arc run: 212/400 pro");
    assert_int_equal(cli_progress_format(line, 8, &p, 10, 0), 7);
    p = (struct cli_progress){.what = "tokenize", .unit = "rows"};
    (void)cli_progress_format(line, sizeof line, &p, 0, 0);
    assert_string_equal(line, "tokenize: 0 rows");
    p = (struct cli_progress){.what = "x", .unit = "rows", .total = 10, .done = 10, .tokens = 1};
    (void)cli_progress_format(line, sizeof line, &p, 1, 0);
    assert_string_equal(line, "x: 10/10 rows, 1.0 tok/s");
}

/* Hidden for two seconds, then drawn: time is moved by moving the start. */
static void progress_draws(void **state)
{
    (void)state;
    char *text   = NULL;
    size_t n     = 0;
    FILE *stream = open_memstream(&text, &n);
    struct cli_progress p;
    cli_progress_start(&p, "x", "rows", 4, false);
    p.stream   = stream;
    p.terminal = false;
    cli_progress_update(&p, 1, 0);
    (void)fflush(stream);
    assert_int_equal(n, 0);
    p.start_ns -= 3000000000u;
    cli_progress_update(&p, 2, 0);
    cli_progress_update(&p, 3, 0); /* too early for another line */
    cli_progress_say(&p, "row %d is bad", 3);
    cli_progress_update(&p, 4, 0);
    cli_progress_finish(&p);
    cli_progress_finish(&p);
    (void)fflush(stream);
    assert_string_equal(text, "x: 2/4 rows, 3s left\nrow 3 is bad\nx: 4/4 rows\n");
    (void)fseeko(stream, 0, SEEK_SET);
    cli_progress_start(&p, "x", "rows", 4, true);
    p.stream = stream;
    p.start_ns -= 3000000000u;
    cli_progress_update(&p, 2, 0);
    cli_progress_finish(&p);
    (void)fflush(stream);
    assert_int_equal(n, 0);
    (void)fclose(stream);
    free(text);
}

static void byte_counts(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {{0, "0 B"},           {1023, "1023 B"},        {1024, "1.0 KiB"},
                 {1048575, "1.0 MiB"}, {1610612736, "1.5 GiB"}, {UINT64_MAX, "16.0 EiB"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[32];
        cli_format_bytes(text, sizeof text, cases[i].bytes);
        assert_string_equal(text, cases[i].text);
    }
}

static void put_facts(bool json, struct tw_str *text)
{
    struct cli_facts facts;
    tw_str_init(text, 0);
    assert_int_equal(cli_facts_init(&facts, json, false, text, NULL), TRAWL_OK);
    cli_facts_section(&facts, "a");
    cli_facts_text(&facts, "some_key", "%s", "\"x\"");
    cli_facts_count(&facts, "n", -3);
    cli_facts_section(&facts, "b");
    cli_facts_bytes(&facts, "size", 2048);
    assert_int_equal(cli_facts_finish(&facts, NULL), TRAWL_OK);
    cli_facts_release(&facts);
}

static void facts(void **state)
{
    (void)state;
    struct tw_str text;
    put_facts(false, &text);
    assert_string_equal(tw_str_text(&text), "a\n  some key  \"x\"\n  n         -3\n\nb\n  size  2.0 KiB\n");
    tw_str_release(&text);
    put_facts(true, &text);
    json_t *value;
    assert_int_equal(tw_json_parse(text.data, text.size, "facts", &value, NULL), TRAWL_OK);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(value, "a"), "n")), -3);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(value, "b"), "size")), 2048);
    json_decref(value);
    tw_str_release(&text);
}

/* ---- files ---- */

/* Lines longer and shorter than the read size, all kinds of ends; against a walk over the whole text. */
static void lines_of_files(void **state)
{
    const char *path = scratch_path(*state, "lines");
    for (uint32_t round = 0; round < 6; round++) {
        struct tw_str text;
        uint32_t seed = round;
        tw_str_init(&text, 0);
        for (int i = 0; i < 200; i++) {
            seed     = seed * 1664525u + 1013904223u;
            size_t n = (seed >> 8) % (round % 2 ? 20 : 5000) + ((seed >> 28) == 0 ? 200000 : 0);
            for (size_t k = 0; k < n; k++) {
                assert_int_equal(tw_str_putc(&text, (char)(k % 97 ? 'a' + k % 26 : 0), NULL), TRAWL_OK);
            }
            assert_int_equal(tw_str_puts(&text,
                                         i == 199 && round > 3 ? ""
                                         : seed >> 31          ? "\r\n"
                                                               : "\n",
                                         NULL),
                             0);
        }
        assert_int_equal(tw_file_replace(path, text.data, text.size, NULL), TRAWL_OK);
        struct cli_lines lines;
        const char *line, *expected = text.data, *end = text.data + text.size;
        size_t n;
        uint64_t number = 0;
        assert_int_equal(cli_lines_open(&lines, path, NULL), TRAWL_OK);
        while (expected < end) {
            const char *stop = memchr(expected, '\n', (size_t)(end - expected));
            const char *next = stop ? stop + 1 : end;
            stop             = stop ? stop : end;
            stop -= stop > expected && stop[-1] == '\r';
            assert_int_equal(cli_lines_next(&lines, &line, &n, NULL), TRAWL_OK);
            assert_non_null(line);
            assert_int_equal(n, stop - expected);
            assert_memory_equal(line, expected, n);
            assert_int_equal(lines.number, ++number);
            expected = next;
        }
        assert_int_equal(cli_lines_next(&lines, &line, &n, NULL), TRAWL_OK);
        assert_null(line);
        cli_lines_close(&lines);
        tw_str_release(&text);
    }
    struct cli_lines lines;
    struct trawl_error err;
    assert_int_equal(cli_lines_open(&lines, "/nonexistent/x", &err), TRAWL_ERR_IO);
    assert_string_equal(err.message, "/nonexistent/x: No such file or directory");
    cli_lines_close(&lines);
}

static void model_folders(void **state)
{
    const char *folder = ((struct scratch *)*state)->dir;
    char path[160], expected[512], *out;
    struct trawl_error err;
    assert_int_equal(cli_model_folder(folder, &out, NULL), TRAWL_OK);
    assert_string_equal(out, folder);
    tw_free(out);
    (void)setenv("HF_HUB_CACHE", folder, 1);
    assert_int_equal(cli_model_folder("org/name", &out, &err), TRAWL_ERR_IO);
    (void)snprintf(
        expected, sizeof expected,
        "--model_path \"org/name\" is no folder, and it is not in the hub cache %s either: \"trawl "
        "pull org/name\" fetches it",
        folder);
    assert_string_equal(err.message, expected);
    (void)snprintf(path, sizeof path, "%s/models--org--name/snapshots/abc", folder);
    assert_int_equal(tw_make_dirs(path, NULL), TRAWL_OK);
    (void)snprintf(expected, sizeof expected, "%s/models--org--name/refs", folder);
    assert_int_equal(tw_make_dirs(expected, NULL), TRAWL_OK);
    (void)snprintf(expected, sizeof expected, "%s/models--org--name/refs/main", folder);
    assert_int_equal(tw_file_replace(expected, "abc\n", 4, NULL), TRAWL_OK);
    assert_int_equal(cli_model_folder("org/name", &out, NULL), TRAWL_OK);
    assert_string_equal(out, path);
    tw_free(out);
    static const char *const bad[] = {"name", "../x", "a/../b", "a/b/c", "", "/a/b", "a/.."};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(cli_model_folder(bad[i], &out, &err), TRAWL_ERR_IO);
        (void)snprintf(expected, sizeof expected, "--model_path \"%s\" is no folder", bad[i]);
        assert_string_equal(err.message, expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables),         cmocka_unit_test(text_widths), cmocka_unit_test(progress_lines),
        cmocka_unit_test(progress_draws), cmocka_unit_test(byte_counts), cmocka_unit_test(facts),
        scratch_test(lines_of_files),     scratch_test(model_folders),
    };
    return cmocka_run_group_tests_name("cli output", tests, NULL, NULL);
}
