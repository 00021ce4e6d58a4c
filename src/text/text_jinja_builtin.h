/* SPDX-License-Identifier: MIT */
/* Filters, tests, methods and global functions: tables of names, parameters and C functions. */
#ifndef TW_TEXT_JINJA_BUILTIN_H
#define TW_TEXT_JINJA_BUILTIN_H

#include "text/text_jinja_value.h"

enum { TW_BUILTIN_MAX_PARAMS = 5 };

/* Arguments as the template wrote them. */
struct tw_arguments {
    struct tw_value *values; /* positional ones first */
    struct tw_text *names;   /* of the keyword ones: names[n_positional ..]; NULL if there are none */
    size_t n_positional;
    size_t n;
};

struct tw_builtin_call {
    const struct tw_builtin *builtin;
    struct tw_value self;                       /* what is filtered, tested, or called a method of */
    struct tw_value arg[TW_BUILTIN_MAX_PARAMS]; /* by place in params; TW_V_MISSING: not given */
    const struct tw_arguments *arguments;       /* all of them, for variadic builtins */
};

typedef trawl_status tw_builtin_fn(struct tw_render *r, const struct tw_builtin_call *call,
                                   struct tw_value *out);

struct tw_builtin {
    const char *name;
    tw_builtin_fn *fn;                         /* NULL: known to Jinja, not done here */
    const char *params[TW_BUILTIN_MAX_PARAMS]; /* names, NULL after the last */
    int required;                              /* so many of them */
    bool variadic;                             /* takes any arguments and looks at them itself */
};

/* NULL: no such thing. */
const struct tw_builtin *tw_jinja_find_filter(struct tw_text name);
const struct tw_builtin *tw_jinja_find_test(struct tw_text name);
const struct tw_builtin *tw_jinja_find_function(struct tw_text name);
/* A method of a value of this kind. */
const struct tw_builtin *tw_jinja_find_method(enum tw_value_kind kind, struct tw_text name);

/* The tables that tw_jinja_find_filter looks through, each ended by a name of NULL. */
extern const struct tw_builtin tw_jinja_filters_text[];
extern const struct tw_builtin tw_jinja_filters_list[];
extern const struct tw_builtin tw_jinja_filters_unsupported[];
extern const struct tw_builtin tw_jinja_methods_text[];

const struct tw_builtin *tw_builtin_find(const struct tw_builtin *table, struct tw_text name);

/* Bind the arguments to the parameters and call. */
trawl_status tw_builtin_invoke(struct tw_render *r, const struct tw_builtin *builtin, struct tw_value self,
                               const struct tw_arguments *arguments, struct tw_value *out);

/* ---- typed arguments; an error names the builtin ---- */

trawl_status tw_arg_text(struct tw_render *r, const struct tw_builtin_call *call, int i, struct tw_text *out);
/* Missing or none: *out stays. */
trawl_status tw_arg_int(struct tw_render *r, const struct tw_builtin_call *call, int i, int64_t *out);
/* The truth of the argument; missing: *out stays. */
void tw_arg_bool(const struct tw_builtin_call *call, int i, bool *out);

#endif /* TW_TEXT_JINJA_BUILTIN_H */
