/* SPDX-License-Identifier: MIT */
/* Masks of allowed tokens: time to index a vocabulary, to compile a constraint, and for a mask, made and
 * found. Results: src/constrain/README.md.
 *
 *     bench_constrain FOLDER      FOLDER holds tokenizer.json
 *
 * Figures are processor time; masks along one answer each: the median and the slowest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "constrain/constrain.h"
#include "text/text_tokenizer.h"

enum { TOKENS_MAX = 200 };

static const struct {
    const char *name, *text, *answer;
    enum tw_constraint_kind kind;
} CASES[] = {
    {"any text", "(?:.|\\n)*", "The sea is the largest part of this planet, and the least known.",
     TW_CONSTRAINT_REGEX},
    {"a date", "[12]\\d{3}-[01]\\d-[0-3]\\d", "2024-11-03", TW_CONSTRAINT_REGEX},
    {"200 words", "([a-z]{1,12} ){200}", "one word and another word and so on and on ", TW_CONSTRAINT_REGEX},
    {"open JSON", "{\"type\": \"object\"}", "{\"name\": \"Ada\", \"tags\": [\"a\", {\"b\": [1, 2, 3]}]}",
     TW_CONSTRAINT_JSON_SCHEMA},
    {"JSON schema",
     "{\"type\": \"object\", \"required\": [\"name\", \"age\"], \"properties\": {\"name\": {\"type\": "
     "\"string\", "
     "\"maxLength\": 100}, \"age\": {\"type\": \"integer\"}, \"city\": {\"enum\": [\"Rome\", \"Paris\"]}}}",
     "{\"name\": \"Ada Lovelace, of London\", \"age\": 36, \"city\": \"Paris\"}", TW_CONSTRAINT_JSON_SCHEMA},
};

/* Processor time: of use on a busy machine too. */
static double cpu_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Ask for the mask before each token of an answer; microseconds each into us[n]. */
static trawl_status follow(struct tw_constraint *c, const struct tw_ids *ids, uint32_t *bits, double *us,
                           struct trawl_error *err)
{
    struct tw_constraint_state state = {0};
    struct tw_constraint_rules rules = {.tokens_left = 100000};
    for (size_t n = 0; n < ids->size; n++) {
        struct tw_allowed allowed;
        double begin = cpu_us();
        TW_TRY(tw_constraint_allow(c, &state, ids->data, n, &rules, bits, &allowed, err));
        us[n] = cpu_us() - begin;
    }
    qsort(us, ids->size, sizeof *us, by_value);
    return TRAWL_OK;
}

static trawl_status measure(struct tw_encoder *encoder, const struct tw_vocabulary *v, size_t which,
                            struct trawl_error *err)
{
    const char *text        = CASES[which].text;
    struct tw_constraint *c = NULL;
    struct tw_ids ids       = {0};
    uint32_t *bits          = NULL;
    double made[TOKENS_MAX], found[TOKENS_MAX];
    TW_TRY(tw_alloc(tw_constraint_words(v), sizeof *bits, &bits, err));
    TW_TRY(tw_encode(encoder, CASES[which].answer, strlen(CASES[which].answer), NULL, &ids, err));
    double begin = cpu_us();
    TW_TRY(tw_constraint_new(CASES[which].kind, text, strlen(text), v, 0, &c, err));
    double compiled = cpu_us() - begin;
    TW_TRY(follow(c, &ids, bits, made, err));
    TW_TRY(follow(c, &ids, bits, found, err));
    printf("%-12s compiled %7.0f us   mask made %6.0f (most %6.0f) us, found %5.2f (most %5.2f) us, %zu "
           "tokens\n",
           CASES[which].name, compiled, made[ids.size / 2], made[ids.size - 1], found[ids.size / 2],
           found[ids.size - 1], ids.size);
    tw_constraint_free(c);
    tw_ids_release(&ids);
    tw_free(bits);
    return TRAWL_OK;
}

int main(int argc, char **argv)
{
    struct trawl_error err         = {0};
    struct tw_tokenizer *tokenizer = NULL;
    struct tw_encoder *encoder     = NULL;
    struct tw_vocabulary v;
    if (argc != 2) {
        fprintf(stderr, "usage: bench_constrain FOLDER\n");
        return 2;
    }
    trawl_status status = tw_tokenizer_open(argv[1], &tokenizer, &err);
    if (status == TRAWL_OK) {
        status = tw_encoder_new(tokenizer, &encoder, &err);
    }
    double begin = cpu_us();
    if (status == TRAWL_OK) {
        status = tw_vocabulary_of(&v, tokenizer, tw_tokenizer_vocab_size(tokenizer), &err);
    }
    if (status == TRAWL_OK) {
        printf("%zu tokens, %zu nodes, indexed in %.0f us\n", v.n_vocab, v.n_nodes, cpu_us() - begin);
    }
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0] && status == TRAWL_OK; i++) {
        status = measure(encoder, &v, i, &err);
    }
    if (status != TRAWL_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    tw_vocabulary_release(&v);
    tw_encoder_free(encoder);
    tw_tokenizer_close(tokenizer);
    return 0;
}
