/* SPDX-License-Identifier: MIT */
#include "text/text_template.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "text/text_jinja_eval.h"

enum { MAX_SOURCE = 4 << 20, COMPILED_LIMIT = 1 << 30 };

static const size_t default_output  = (size_t)64 << 20;
static const size_t default_memory  = (size_t)256 << 20;
static const uint64_t default_steps = 50000000;

trawl_status tw_jinja_fail(struct tw_parser *p, trawl_status status, uint32_t line, const char *format, ...)
{
    char message[TRAWL_ERROR_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return tw_fail(p->err, status, "%s line %u: %s", p->t->name, (unsigned)line, message);
}

/* \r\n and \r become \n, and one newline at the end goes. */
static trawl_status normalize_newlines(struct tw_parser *p, const char *source, size_t n)
{
    char *text  = NULL;
    size_t size = 0;
    TW_TRY(tw_arena_alloc(&p->t->arena, n, 1, &text, p->err));
    for (size_t i = 0; i < n; i++) {
        if (source[i] == '\r') {
            text[size++] = '\n';
            i += i + 1 < n && source[i + 1] == '\n';
        } else {
            text[size++] = source[i];
        }
    }
    size -= size > 0 && text[size - 1] == '\n';
    p->source = (struct tw_text){text, size};
    return TRAWL_OK;
}

static trawl_status compile(struct tw_template *t, const char *source, size_t n, struct trawl_error *err)
{
    struct tw_parser p = {.t = t, .err = err};
    if (n > MAX_SOURCE) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "%s: a template of %zu bytes, limit %d", t->name, n, MAX_SOURCE);
    }
    if (!tw_utf8_valid(source, n)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: the template is not UTF-8", t->name);
    }
    TW_TRY(normalize_newlines(&p, source, n));
    TW_TRY(tw_jinja_lex(&p));
    return tw_jinja_parse(&p);
}

trawl_status tw_template_compile(const char *source, size_t n, const char *name,
                                 enum tw_template_dialect dialect, struct tw_template **out,
                                 struct trawl_error *err)
{
    TW_TRY(tw_alloc(1, sizeof **out, out, err));
    struct tw_template *t = *out;
    t->dialect            = dialect;
    tw_arena_init(&t->arena, COMPILED_LIMIT);
    trawl_status status = tw_strdup(name, &t->name, err);
    if (status == TRAWL_OK) {
        status = compile(t, source, n, err);
    }
    if (status != TRAWL_OK) {
        tw_template_free(t);
        *out = NULL;
    }
    return status;
}

void tw_template_free(struct tw_template *t)
{
    if (t != NULL) {
        tw_arena_release(&t->arena);
        tw_free(t->name);
        tw_free(t);
    }
}

static trawl_status render(struct tw_render *r, const json_t *context)
{
    const char *key;
    json_t *member;
    TW_TRY(tw_frame_push(r, NULL));
    json_object_foreach((json_t *)context, key, member)
    {
        struct tw_value value;
        struct tw_text name = {key, strlen(key)};
        TW_TRY(tw_value_from_json(r, member, &value));
        TW_TRY(tw_frame_set(r, name, value));
    }
    /* The template's own variables live in a scope above the context's. */
    TW_TRY(tw_frame_push(r, r->frame));
    return tw_exec(r, r->t->root);
}

/* Limits of memory and output do not know whose they are. */
static trawl_status name_failure(const struct tw_template *t, trawl_status status, struct trawl_error *err)
{
    if (status != TRAWL_OK && err != NULL && strncmp(err->message, t->name, strlen(t->name)) != 0) {
        return tw_fail_prefix(err, status, "%s", t->name);
    }
    return status;
}

trawl_status tw_template_render(const struct tw_template *t, const json_t *context,
                                const struct tw_render_options *options, struct tw_str *out,
                                struct trawl_error *err)
{
    static const struct tw_render_options defaults = {0};
    const struct tw_render_options *o              = options == NULL ? &defaults : options;
    if (context != NULL && !json_is_object(context)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s: the variables of a template must be a JSON object",
                       t->name);
    }
    struct tw_str text;
    struct tw_render r = {.t          = t,
                          .out        = &text,
                          .max_output = o->max_output == 0 ? default_output : o->max_output,
                          .steps_left = o->max_steps == 0 ? default_steps : o->max_steps,
                          .captured   = tw_value_of(TW_V_NONE),
                          .now        = o->now,
                          .err        = err};
    tw_str_init(&text, 0);
    tw_arena_init(&r.arena, o->max_memory == 0 ? default_memory : o->max_memory);
    trawl_status status = render(&r, context);
    if (status == TRAWL_OK) {
        status = tw_str_append(out, tw_str_text(&text), text.size, err);
    }
    tw_str_release(&text);
    tw_arena_release(&r.arena);
    return name_failure(t, status, err);
}
