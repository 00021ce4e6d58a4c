/* SPDX-License-Identifier: MIT */
/* What the ARC tests share: grids written as "123/456", files in the scratch folder, collected warnings. */
#ifndef TW_ARC_TEST_H
#define TW_ARC_TEST_H

#include "apps/arc/arc_grid.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "support/test.h"

#define assert_contains(text, part)                                     \
    do {                                                                \
        if (strstr((text), (part)) == NULL) {                           \
            fail_msg("\"%s\" does not contain \"%s\"", (text), (part)); \
        }                                                               \
    } while (0)

/* "" is no grid. */
static inline struct tw_arc_grid grid_of(const char *text)
{
    struct tw_arc_grid g = {0, 0, NULL};
    struct trawl_error err;
    if (text[0] == '\0') {
        return g;
    }
    int cols = (int)strcspn(text, "/");
    int rows = ((int)strlen(text) + 1) / (cols + 1);
    assert_ok(tw_arc_grid_new(&g, rows, cols, &err));
    for (int i = 0; i < rows * cols; i++) {
        g.cells[i] = (uint8_t)(text[i + i / cols] - '0');
    }
    return g;
}

static inline void grid_text(const struct tw_arc_grid *g, char *out, size_t n)
{
    size_t at = 0;
    for (int i = 0; i < g->rows * g->cols && at + 2 < n; i++) {
        if (i > 0 && i % g->cols == 0) {
            out[at++] = '/';
        }
        out[at++] = (char)('0' + g->cells[i]);
    }
    out[at] = '\0';
}

static inline void assert_grid(const struct tw_arc_grid *g, const char *expected)
{
    char text[4096];
    grid_text(g, text, sizeof text);
    assert_string_equal(text, expected);
}

/* ---- files ---- */

/* A path in the scratch folder that lives as long as `buffer`. */
static inline const char *path_in(const struct scratch *d, const char *name, char buffer[256])
{
    (void)snprintf(buffer, 256, "%s/%s", d->dir, name);
    return buffer;
}

static inline void put_file(const struct scratch *d, const char *name, const char *text)
{
    char path[256];
    struct trawl_error err;
    assert_ok(tw_file_replace(path_in(d, name, path), text, strlen(text), &err));
}

/* Freed with tw_free. */
static inline char *get_file(const struct scratch *d, const char *name)
{
    char path[256];
    char *text = NULL;
    size_t n   = 0;
    struct trawl_error err;
    assert_ok(tw_file_read(path_in(d, name, path), 1 << 24, &text, &n, &err));
    return text;
}

/* ---- warnings ---- */

struct warnings {
    int n;
    char text[8192]; /* a line each */
};

static inline void collect_warning(void *user, int level, const char *message)
{
    struct warnings *w = user;
    (void)level;
    w->n++;
    (void)snprintf(w->text + strlen(w->text), sizeof w->text - strlen(w->text), "%s\n", message);
}

static inline struct tw_log warnings_log(struct warnings *w)
{
    *w = (struct warnings){.n = 0};
    return (struct tw_log){.fn = collect_warning, .user = w, .max_level = TW_LOG_WARNING};
}

#endif /* TW_ARC_TEST_H */
