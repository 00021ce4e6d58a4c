/* SPDX-License-Identifier: MIT */
/* Running a compiled template. */
#ifndef TW_TEXT_JINJA_EVAL_H
#define TW_TEXT_JINJA_EVAL_H

#include "text/text_jinja_ast.h"
#include "text/text_jinja_builtin.h"

/* Variables of one scope. */
struct tw_frame {
    struct tw_frame *parent;
    struct tw_map names;
};

enum tw_flow { TW_FLOW_ON, TW_FLOW_BREAK, TW_FLOW_CONTINUE };

/* One rendering. */
struct tw_render {
    const struct tw_template *t;
    struct tw_arena arena;
    struct tw_str *out; /* where output goes now: the caller's, or a captured block's */
    size_t max_output;
    uint64_t steps_left;
    int depth;
    size_t n_macros; /* defined so far: they hold on to their scope */
    uint32_t line;   /* of the node that runs */
    struct tw_frame *frame;
    struct tw_value captured; /* what TW_N_CAPTURED stands for */
    enum tw_flow flow;
    const struct tm *now;
    struct trawl_error *err;
};

/* An error "name line 7: ...", with the line that runs. */
trawl_status tw_render_fail(struct tw_render *r, trawl_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Pay for work: about one step for a node, or for 64 bytes looked at. */
trawl_status tw_render_charge(struct tw_render *r, size_t steps);
/* Recursion: an error beyond the limit; every success is followed by tw_render_leave. */
trawl_status tw_render_enter(struct tw_render *r);
static inline void tw_render_leave(struct tw_render *r)
{
    r->depth--;
}

trawl_status tw_eval(struct tw_render *r, const struct tw_node *node, struct tw_value *out);
trawl_status tw_exec(struct tw_render *r, const struct tw_node *node);

/* Left + right and so on. */
trawl_status tw_eval_binary(struct tw_render *r, enum tw_operator op, struct tw_value a, struct tw_value b,
                            struct tw_value *out);
/* v.name, v[index], v[begin:end:step] (parts may be TW_V_NONE). */
trawl_status tw_eval_attribute(struct tw_render *r, struct tw_value v, struct tw_text name,
                               struct tw_value *out);
trawl_status tw_eval_item(struct tw_render *r, struct tw_value v, struct tw_value index,
                          struct tw_value *out);
trawl_status tw_eval_slice(struct tw_render *r, struct tw_value v, const struct tw_value part[3],
                           struct tw_value *out);
/* function(arguments) */
trawl_status tw_eval_call(struct tw_render *r, struct tw_value callee, const struct tw_arguments *arguments,
                          struct tw_value *out);
/* A macro's body with its parameters bound. */
trawl_status tw_exec_macro(struct tw_render *r, const struct tw_macro *macro,
                           const struct tw_arguments *arguments, struct tw_value *out);

/* A new innermost scope; set r->frame back to its parent to leave it. */
trawl_status tw_frame_push(struct tw_render *r, struct tw_frame *parent);
trawl_status tw_frame_set(struct tw_render *r, struct tw_text name, struct tw_value value);

#endif /* TW_TEXT_JINJA_EVAL_H */
