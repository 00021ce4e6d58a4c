/* SPDX-License-Identifier: MIT */
/* A compiled template: tokens, and the tree the parser makes of them. */
#ifndef TW_TEXT_JINJA_AST_H
#define TW_TEXT_JINJA_AST_H

#include "text/text_jinja_arena.h"
#include "text/text_jinja_value.h"
#include "text/text_template.h"

/* ---- tokens ---- */

enum tw_token_kind {
    TW_T_END,  /* of the template */
    TW_T_DATA, /* text between tags */
    TW_T_BLOCK_BEGIN,
    TW_T_BLOCK_END,
    TW_T_OUTPUT_BEGIN,
    TW_T_OUTPUT_END,
    TW_T_NAME,
    TW_T_STRING,
    TW_T_INT,
    TW_T_FLOAT,
    TW_T_OPERATOR /* text is the operator */
};

struct tw_token {
    enum tw_token_kind kind;
    uint32_t line;       /* from 1 */
    struct tw_text text; /* of a string: its value */
    int64_t i;
    double f;
};

/* ---- tree ---- */

enum tw_node_kind {
    /* expressions */
    TW_N_CONST,   /* value */
    TW_N_NAME,    /* name */
    TW_N_LIST,    /* items */
    TW_N_TUPLE,   /* items */
    TW_N_DICT,    /* items: key, value, key, value, ... */
    TW_N_ATTR,    /* a.name */
    TW_N_ITEM,    /* a[b] */
    TW_N_SLICE,   /* a[b:c:d], each of b, c, d may be NULL */
    TW_N_CALL,    /* a(items) */
    TW_N_KEYWORD, /* name=a, among the items of a call */
    TW_N_FILTER,  /* a | builtin(items) */
    TW_N_TEST,    /* a is builtin(items) */
    TW_N_NOT,     /* not a */
    TW_N_NEG,     /* -a */
    TW_N_POS,     /* +a */
    TW_N_BINARY,  /* a op b */
    TW_N_AND,
    TW_N_OR,
    TW_N_COMPARE,     /* a, then items each TW_N_OPERAND */
    TW_N_OPERAND,     /* op a, of a comparison */
    TW_N_CONCAT,      /* items joined by ~ */
    TW_N_CONDITIONAL, /* a if b else c; c may be NULL */
    /* statements */
    TW_N_BLOCK,        /* items one after another */
    TW_N_DATA,         /* text */
    TW_N_OUTPUT,       /* {{ a }} */
    TW_N_IF,           /* if a: b else: c (c may be NULL) */
    TW_N_FOR,          /* for a in b if c: d, else: e (c and e may be NULL) */
    TW_N_SET,          /* a = b */
    TW_N_SET_BLOCK,    /* a = rendered d, through filters b (NULL, or on the node TW_N_CAPTURED) */
    TW_N_CAPTURED,     /* stands for the rendered text in b */
    TW_N_FILTER_BLOCK, /* output of b, as above, over d */
    TW_N_MACRO,        /* name(items: TW_N_PARAMETER): d */
    TW_N_PARAMETER,    /* name, default a or NULL */
    TW_N_WITH,         /* items: TW_N_SET; d */
    TW_N_BREAK,
    TW_N_CONTINUE,
    TW_N_KINDS
};

enum tw_operator {
    TW_OP_ADD,
    TW_OP_SUB,
    TW_OP_MUL,
    TW_OP_DIV,
    TW_OP_FLOORDIV,
    TW_OP_MOD,
    TW_OP_POW,
    TW_OP_EQ,
    TW_OP_NE,
    TW_OP_LT,
    TW_OP_LE,
    TW_OP_GT,
    TW_OP_GE,
    TW_OP_IN,
    TW_OP_NOT_IN
};

struct tw_node {
    enum tw_node_kind kind;
    enum tw_operator op;
    uint32_t line;
    struct tw_text name; /* also the text of TW_N_DATA */
    struct tw_value value;
    const struct tw_builtin *builtin;
    struct tw_node *a;
    struct tw_node *b;
    struct tw_node *c;
    struct tw_node *d;
    struct tw_node *e;
    struct tw_node **items;
    size_t n_items;
    size_t items_capacity;
};

struct tw_template {
    char *name; /* owned */
    enum tw_template_dialect dialect;
    struct tw_arena arena; /* everything below */
    struct tw_node *root;
};

/* Everything that lexing and parsing share. */
struct tw_parser {
    struct tw_template *t;
    struct trawl_error *err;
    struct tw_text source; /* newlines made \n, the last one dropped */
    struct tw_token *tokens;
    size_t n_tokens;
    size_t tokens_capacity;
    size_t at;  /* current token */
    int depth;  /* of nested constructs */
    int loops;  /* for statements around the current token */
    int macros; /* macros around it */
};

/* source -> tokens */
trawl_status tw_jinja_lex(struct tw_parser *p);
/* tokens -> p->t->root */
trawl_status tw_jinja_parse(struct tw_parser *p);

/* An error "name line 7: ...". */
trawl_status tw_jinja_fail(struct tw_parser *p, trawl_status status, uint32_t line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* ---- shared by the two halves of the parser ---- */

trawl_status tw_jinja_new_node(struct tw_parser *p, enum tw_node_kind kind, struct tw_node **out);
trawl_status tw_jinja_push_item(struct tw_parser *p, struct tw_node *node, struct tw_node *item);
/* a if b else c, and everything within it. */
trawl_status tw_jinja_parse_expression(struct tw_parser *p, struct tw_node **out);
/* One expression, or a tuple of several without parentheses, up to where no expression can go on. */
trawl_status tw_jinja_parse_tuple(struct tw_parser *p, struct tw_node **out);
/* "| filter | filter" behind `*node`, replaced by the filtered one. */
trawl_status tw_jinja_parse_filters(struct tw_parser *p, struct tw_node **node);
/* As parse_expression without "if": what a for statement iterates over. */
trawl_status tw_jinja_parse_or(struct tw_parser *p, struct tw_node **out);

static inline const struct tw_token *tw_jinja_token(const struct tw_parser *p)
{
    return &p->tokens[p->at];
}

static inline bool tw_jinja_is_operator(const struct tw_parser *p, const char *op)
{
    return tw_jinja_token(p)->kind == TW_T_OPERATOR && tw_text_is(tw_jinja_token(p)->text, op);
}

static inline bool tw_jinja_is_name(const struct tw_parser *p, const char *name)
{
    return tw_jinja_token(p)->kind == TW_T_NAME && tw_text_is(tw_jinja_token(p)->text, name);
}

/* Step over the operator or name if it is the current token. */
bool tw_jinja_skip_operator(struct tw_parser *p, const char *op);
bool tw_jinja_skip_name(struct tw_parser *p, const char *name);
trawl_status tw_jinja_expect_operator(struct tw_parser *p, const char *op);
/* The current token must be a name; step over it. */
trawl_status tw_jinja_expect_name(struct tw_parser *p, struct tw_text *out);
/* An error that the current token cannot stand here. */
trawl_status tw_jinja_unexpected(struct tw_parser *p, const char *expected);

/* Nesting: an error beyond the limit. */
trawl_status tw_jinja_enter(struct tw_parser *p);

#endif /* TW_TEXT_JINJA_AST_H */
