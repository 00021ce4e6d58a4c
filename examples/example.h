/* SPDX-License-Identifier: MIT */
/* What every example needs: a model opened with default settings, and an end with the library's message. */
#ifndef TRAWL_EXAMPLE_H
#define TRAWL_EXAMPLE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <trawl/trawl.h>

/* The call succeeds, or the program ends; needs a `struct trawl_error err`. */
#define CHECK(call)                               \
    do {                                          \
        if ((call) != TRAWL_OK) {                 \
            fprintf(stderr, "%s\n", err.message); \
            exit(1);                              \
        }                                         \
    } while (0)

static inline void usage(const char *arguments)
{
    fprintf(stderr, "usage: %s\n", arguments);
    exit(2);
}

struct model {
    trawl_engine *engine;
    trawl_tokenizer *tokenizer;
    struct trawl_model_info info;
};

static inline struct model open_model(const char *path)
{
    struct trawl_error err;
    struct trawl_engine_config config;
    struct model m;
    trawl_engine_config_init(&config);
    config.model_path = path;
    CHECK(trawl_tokenizer_open(path, &m.tokenizer, &err));
    CHECK(trawl_engine_open(&config, &m.engine, &err));
    trawl_engine_info(m.engine, &m.info);
    return m;
}

static inline void close_model(struct model *m)
{
    trawl_engine_close(&m->engine);
    trawl_tokenizer_close(&m->tokenizer);
}

/* Freed with trawl_free. */
static inline int32_t *encode(const struct model *m, const char *text, unsigned flags, size_t *n)
{
    struct trawl_error err;
    int32_t *ids;
    CHECK(trawl_tokenizer_encode(m->tokenizer, text, strlen(text), flags, &ids, n, &err));
    return ids;
}

/* The text of ids, on stdout. */
static inline void print_text(const struct model *m, const int32_t *ids, size_t n)
{
    struct trawl_error err;
    char *text;
    CHECK(trawl_tokenizer_decode(m->tokenizer, ids, n, true, &text, NULL, &err));
    printf("%s", text);
    trawl_free(text);
}

#endif /* TRAWL_EXAMPLE_H */
