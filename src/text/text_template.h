/* SPDX-License-Identifier: MIT */
/* Jinja templates: the part of the language that chat templates and prompt templates are written in.
 *
 * A template is outside input: it is compiled once, everything it cannot do is refused then by name and
 * line (TRAWL_ERR_UNSUPPORTED; a mistake in the template is TRAWL_ERR_FORMAT), and rendering it is
 * bounded in time, memory, depth and output (TRAWL_ERR_LIMIT). README.md lists what is understood.
 *
 * Threads: a compiled template never changes; any number of threads may render it at once. */
#ifndef TW_TEXT_TEMPLATE_H
#define TW_TEXT_TEMPLATE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/error.h"
#include "base/str.h"

struct tw_template;

enum tw_template_dialect {
    /* Jinja's own defaults: blocks keep the newline after them, `tojson` sorts keys and escapes HTML. For
     * prompt templates. */
    TW_TEMPLATE_PLAIN,
    /* As transformers' apply_chat_template: trim_blocks, lstrip_blocks, break and continue, generation
     * blocks, raise_exception, strftime_now, and a `tojson` that is json.dumps(ensure_ascii=False). */
    TW_TEMPLATE_CHAT
};

/* Compile source[0..n) (UTF-8). `name` begins every message about this template, as "name line 7: ...".
 * In both dialects one newline at the end of the source is dropped and \r\n is read as \n. */
trawl_status tw_template_compile(const char *source, size_t n, const char *name,
                                 enum tw_template_dialect dialect, struct tw_template **out,
                                 struct trawl_error *err);
void tw_template_free(struct tw_template *t); /* NULL is fine */

/* Zeroes are the defaults. */
struct tw_render_options {
    /* What strftime_now formats; NULL: strftime_now is not defined. Templates ask before they call it and
     * then put a fixed date in, so that by default a rendering does not depend on the day. */
    const struct tm *now;
    size_t max_output;  /* bytes, 0: 64 MiB */
    size_t max_memory;  /* bytes of values made while rendering, 0: 256 MiB */
    uint64_t max_steps; /* expressions and statements evaluated, 0: 50 million */
};

/* Append the rendering to `out`. `context` is a JSON object: its members are the template's variables
 * (NULL: none); it is only read. On failure out->size is as it was. raise_exception in the template is
 * TRAWL_ERR_FORMAT with its message. */
trawl_status tw_template_render(const struct tw_template *t, const json_t *context,
                                const struct tw_render_options *options, struct tw_str *out,
                                struct trawl_error *err);

#endif /* TW_TEXT_TEMPLATE_H */
