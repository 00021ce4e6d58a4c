/* SPDX-License-Identifier: MIT */
#include "apps/harvest/harvest_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 20, ENTRY_MAX = 1 << 30 };

void tw_harvest_source_init(struct tw_harvest_source *s, const char *const *paths, size_t n,
                            enum tw_harvest_format format, bool split_lines)
{
    *s = (struct tw_harvest_source){
        .paths = paths, .n = n, .format = format, .split_lines = split_lines, .fd = -1};
    tw_str_init(&s->buffer, 0);
}

static void close_file(struct tw_harvest_source *s)
{
    if (s->fd > STDIN_FILENO) {
        (void)close(s->fd);
    }
    s->fd = -1;
}

void tw_harvest_source_release(struct tw_harvest_source *s)
{
    close_file(s);
    tw_str_release(&s->buffer);
}

void tw_harvest_place(const struct tw_harvest_entry *entry, char out[TW_HARVEST_PLACE_BYTES])
{
    const char *file = strcmp(entry->file, "-") == 0 ? "standard input" : entry->file;
    if (entry->line == 0) {
        (void)snprintf(out, TW_HARVEST_PLACE_BYTES, "%s", file);
    } else {
        (void)snprintf(out, TW_HARVEST_PLACE_BYTES, "%s: line %llu", file, (unsigned long long)entry->line);
    }
}

/* ---- files ---- */

static bool ends_in(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);
    return n >= m && strcmp(name + n - m, suffix) == 0;
}

static const char *name_of(const struct tw_harvest_source *s)
{
    const char *path = s->paths[s->next - 1];
    return strcmp(path, "-") == 0 ? "standard input" : path;
}

static trawl_status refuse_compressed(const char *path, struct trawl_error *err)
{
    static const struct {
        const char *suffix, *command;
    } kinds[] = {
        {".zst", "zstdcat"}, {".gz", "zcat"}, {".bz2", "bzcat"}, {".xz", "xzcat"}, {".lz4", "lz4cat"}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (ends_in(path, kinds[i].suffix)) {
            return tw_fail(
                err, TRAWL_ERR_UNSUPPORTED,
                "%s is compressed, which is not read here: give its text through a pipe, as in %s FILE "
                "| trawl harvest --input - ...",
                path, kinds[i].command);
        }
    }
    return ends_in(path, ".parquet") || ends_in(path, ".arrow")
               ? tw_fail(
                     err, TRAWL_ERR_UNSUPPORTED,
                     "%s is no text and not read here: datasets.Dataset.to_json of Python writes JSON lines",
                     path)
               : TRAWL_OK;
}

static void choose_format(struct tw_harvest_source *s, const char *path)
{
    bool rows = strcmp(path, "-") == 0 || ends_in(path, ".jsonl") || ends_in(path, ".ndjson") ||
                ends_in(path, ".json");
    s->is_row = s->format == TW_HARVEST_JSONL || (s->format == TW_HARVEST_AUTO && rows);
    s->whole  = !s->is_row && !s->split_lines;
}

/* One more read into the buffer; s->ended when there is none. */
static trawl_status fill(struct tw_harvest_source *s, struct trawl_error *err)
{
    if (s->buffer.size > ENTRY_MAX) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "%s: a text of more than 1 GiB%s", name_of(s),
                       s->whole ? "; is every line a text of its own (--split_lines)?" : "");
    }
    TW_TRY(tw_str_reserve(&s->buffer, READ_BYTES, err));
    ssize_t n;
    do {
        n = read(s->fd, s->buffer.data + s->buffer.size, READ_BYTES);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return tw_fail_os(err, errno, "%s", name_of(s));
    }
    s->buffer.size += (size_t)n;
    s->buffer.data[s->buffer.size] = '\0';
    s->ended                       = n == 0;
    return TRAWL_OK;
}

static trawl_status open_next(struct tw_harvest_source *s, struct trawl_error *err)
{
    const char *path = s->paths[s->next++];
    bool is_stdin    = strcmp(path, "-") == 0;
    if (s->format == TW_HARVEST_AUTO && !is_stdin) {
        TW_TRY(refuse_compressed(path, err));
    }
    s->fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0) {
        return tw_fail_os(err, errno, "%s", path);
    }
    choose_format(s, path);
    s->ended = false;
    s->line  = 0;
    s->at    = 0;
    tw_str_reset(&s->buffer);
    while (!s->ended && s->buffer.size < 3) {
        TW_TRY(fill(s, err));
    }
    if (s->buffer.size >= 3 && memcmp(s->buffer.data, "\xEF\xBB\xBF", 3) == 0) {
        s->at = 3;
    }
    return TRAWL_OK;
}

/* ---- entries ---- */

static trawl_status take_whole(struct tw_harvest_source *s, struct tw_harvest_entry *entry,
                               struct trawl_error *err)
{
    while (!s->ended) {
        TW_TRY(fill(s, err));
    }
    *entry = (struct tw_harvest_entry){
        .file = s->paths[s->next - 1], .text = s->buffer.data + s->at, .size = s->buffer.size - s->at};
    close_file(s);
    return TRAWL_OK;
}

static bool is_blank(const char *line, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r') {
            return false;
        }
    }
    return true;
}

/* The end of the line that begins at s->at: NULL when it is the last one, without an end. */
static trawl_status find_end(struct tw_harvest_source *s, const char **end, struct trawl_error *err)
{
    for (size_t searched = s->at;;) {
        *end = memchr(s->buffer.data + searched, '\n', s->buffer.size - searched);
        if (*end != NULL || s->ended) {
            return TRAWL_OK;
        }
        if (s->at > 0) { /* what was given out goes */
            s->buffer.size -= s->at;
            memmove(s->buffer.data, s->buffer.data + s->at, s->buffer.size);
            s->at = 0;
        }
        searched = s->buffer.size;
        TW_TRY(fill(s, err));
    }
}

/* The next line that is not blank; entry->text stays NULL at the end of the file. */
static trawl_status take_line(struct tw_harvest_source *s, struct tw_harvest_entry *entry,
                              struct trawl_error *err)
{
    for (;;) {
        const char *end = NULL;
        TW_TRY(find_end(s, &end, err));
        const char *line = s->buffer.data + s->at;
        size_t n         = end == NULL ? s->buffer.size - s->at : (size_t)(end - line);
        if (end == NULL && n == 0) {
            close_file(s);
            return TRAWL_OK;
        }
        s->at += n + (end != NULL);
        s->line++;
        n -= n > 0 && line[n - 1] == '\r';
        if (!is_blank(line, n)) {
            *entry = (struct tw_harvest_entry){
                .file = s->paths[s->next - 1], .line = s->line, .text = line, .size = n, .is_row = s->is_row};
            return TRAWL_OK;
        }
    }
}

trawl_status tw_harvest_source_next(struct tw_harvest_source *s, struct tw_harvest_entry *entry,
                                    struct trawl_error *err)
{
    *entry = (struct tw_harvest_entry){0};
    while (entry->text == NULL) {
        if (s->fd < 0) {
            if (s->next == s->n) {
                return TRAWL_OK;
            }
            TW_TRY(open_next(s, err));
        }
        TW_TRY(s->whole ? take_whole(s, entry, err) : take_line(s, entry, err));
    }
    return TRAWL_OK;
}
