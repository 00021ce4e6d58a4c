/* SPDX-License-Identifier: MIT */
#include "cli/info_facts.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void cli_format_bytes(char *out, size_t size, uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double v                         = (double)bytes / 1024;
    size_t unit                      = 0;
    if (bytes < 1024) {
        (void)snprintf(out, size, "%" PRIu64 " B", bytes);
        return;
    }
    while (v >= 1023.95) { /* "1024.0 KiB" is 1.0 MiB */
        v /= 1024;
        unit++;
    }
    (void)snprintf(out, size, "%.1f %s", v, units[unit]);
}

static void keep(struct cli_facts *facts, trawl_status status, const struct trawl_error *err)
{
    if (facts->status == TRAWL_OK && status != TRAWL_OK) {
        facts->status = status;
        facts->error  = *err;
    }
}

trawl_status cli_facts_init(struct cli_facts *facts, bool json, bool bold, struct tw_str *out,
                            struct trawl_error *err)
{
    memset(facts, 0, sizeof *facts);
    facts->json = json;
    facts->bold = bold;
    facts->out  = out;
    cli_table_init(&facts->table, "ll");
    tw_json_writer_init(&facts->writer, out, 2);
    if (json) {
        tw_json_begin_object(&facts->writer);
    }
    return facts->writer.status == TRAWL_OK ? TRAWL_OK : tw_json_writer_finish(&facts->writer, err);
}

void cli_facts_release(struct cli_facts *facts)
{
    cli_table_release(&facts->table);
}

static void end_section(struct cli_facts *facts)
{
    struct trawl_error err;
    if (!facts->in_section) {
        return;
    }
    facts->in_section = false;
    if (facts->json) {
        tw_json_end_object(&facts->writer);
        return;
    }
    keep(facts, cli_table_print(&facts->table, 2, false, facts->out, &err), &err);
    cli_table_release(&facts->table);
}

void cli_facts_section(struct cli_facts *facts, const char *name)
{
    struct trawl_error err;
    end_section(facts);
    facts->in_section = true;
    if (facts->json) {
        tw_json_key(&facts->writer, name);
        tw_json_begin_object(&facts->writer);
        return;
    }
    keep(facts,
         tw_str_printf(facts->out, &err, "%s%s%s%s\n", facts->out->size ? "\n" : "",
                       facts->bold ? "\033[1m" : "", name, facts->bold ? "\033[0m" : ""),
         &err);
}

static void add_row(struct cli_facts *facts, const char *key, const char *value)
{
    struct trawl_error err;
    char words[64];
    size_t n = strlen(key) < sizeof words ? strlen(key) : sizeof words - 1;
    for (size_t i = 0; i < n; i++) {
        words[i] = key[i] == '_' ? ' ' : key[i];
    }
    words[n] = '\0';
    keep(facts, cli_table_add(&facts->table, &err, "%s", words), &err);
    keep(facts, cli_table_add(&facts->table, &err, "%s", value), &err);
}

void cli_facts_text(struct cli_facts *facts, const char *key, const char *format, ...)
{
    char value[1024];
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(value, sizeof value, format, ap);
    va_end(ap);
    if (facts->json) {
        tw_json_key(&facts->writer, key);
        tw_json_string(&facts->writer, value);
    } else {
        add_row(facts, key, value);
    }
}

static void put_number(struct cli_facts *facts, const char *key, int64_t n, const char *words)
{
    if (facts->json) {
        tw_json_key(&facts->writer, key);
        tw_json_int(&facts->writer, n);
    } else {
        add_row(facts, key, words);
    }
}

void cli_facts_count(struct cli_facts *facts, const char *key, int64_t n)
{
    char words[32];
    (void)snprintf(words, sizeof words, "%" PRId64, n);
    put_number(facts, key, n, words);
}

void cli_facts_bytes(struct cli_facts *facts, const char *key, uint64_t bytes)
{
    char words[32];
    cli_format_bytes(words, sizeof words, bytes);
    put_number(facts, key, (int64_t)bytes, words);
}

trawl_status cli_facts_finish(struct cli_facts *facts, struct trawl_error *err)
{
    end_section(facts);
    if (facts->json) {
        tw_json_end_object(&facts->writer);
        TW_TRY(tw_json_writer_finish(&facts->writer, err));
        return tw_str_putc(facts->out, '\n', err);
    }
    if (facts->status != TRAWL_OK) {
        *err = facts->error;
    }
    return facts->status;
}
