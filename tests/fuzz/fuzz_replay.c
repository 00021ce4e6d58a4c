/* SPDX-License-Identifier: MIT */
/* Runs a fuzz target without a fuzzer: every file of its corpus as it is, then mutations of them drawn from a
 * printed seed, so that an ordinary build with any compiler exercises the same entry point.
 *
 *   fuzz_<name> CORPUS_FOLDER [MUTATIONS [SEED]]      a file instead of a folder replays that one input */
#include <dirent.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_INPUT_BYTES   65536
#define DEFAULT_MUTATIONS 4000
#define DEFAULT_SEED      20250101

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    uint8_t *data;
    size_t size;
};

struct corpus {
    struct input *inputs;
    size_t n;
};

static void die(const char *what, const char *path)
{
    fprintf(stderr, "%s: %s\n", path, what);
    exit(1);
}

/* The target gets a block of exactly `size` bytes, so that a sanitizer sees one byte read too far. */
static void run_target(const uint8_t *data, size_t size)
{
    uint8_t *exact = malloc(size ? size : 1);
    if (exact == NULL) {
        die("out of memory", "fuzz_replay");
    }
    if (size > 0) {
        memcpy(exact, data, size);
    }
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static void corpus_add(struct corpus *c, uint8_t *data, size_t size)
{
    struct input *grown = realloc(c->inputs, (c->n + 1) * sizeof *grown);
    if (grown == NULL) {
        die("out of memory", "fuzz_replay");
    }
    c->inputs         = grown;
    c->inputs[c->n++] = (struct input){data, size};
}

static void corpus_read_file(struct corpus *c, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        die("cannot be opened", path);
    }
    uint8_t *data = malloc(MAX_INPUT_BYTES);
    if (data == NULL) {
        die("out of memory", path);
    }
    size_t size = fread(data, 1, MAX_INPUT_BYTES, f);
    if (ferror(f) || fgetc(f) != EOF) {
        die("cannot be read, or is larger than 64 kB", path);
    }
    fclose(f);
    corpus_add(c, data, size);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void corpus_read(struct corpus *c, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        return; /* a target without a corpus starts from the empty input */
    }
    if (!S_ISDIR(st.st_mode)) {
        corpus_read_file(c, path);
        return;
    }
    struct dirent **names = NULL;
    int n                 = scandir(path, &names, NULL, by_name);
    if (n < 0) {
        die("cannot be listed", path);
    }
    for (int i = 0; i < n; i++) {
        char file[4096];
        int length = snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.' && length > 0 && (size_t)length < sizeof file) {
            corpus_read_file(c, file);
        }
        free(names[i]);
    }
    free(names);
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u); /* splitmix64 */
    z          = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z          = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Changes `buffer` in place by one step; returns the new size. */
static size_t mutate_once(uint8_t *buffer, size_t size, const struct input *other, uint64_t *state)
{
    static const uint8_t telling[] = {0,   1,   9,   '\n', '"',  '\\', '{',  '}', '[',
                                      ']', ',', '0', '-',  0x7f, 0x80, 0xc0, 0xff};

    size_t at   = size > 0 ? (size_t)(next_random(state) % size) : 0;
    size_t span = 1 + (size_t)(next_random(state) % 16);
    switch (next_random(state) % 6) {
    case 0: /* flip a bit */
        if (size > 0) {
            buffer[at] ^= (uint8_t)(1u << (next_random(state) % 8));
        }
        return size;
    case 1: /* a byte that parsers care about */
        if (size > 0) {
            buffer[at] = telling[next_random(state) % sizeof telling];
        }
        return size;
    case 2: /* cut the tail off */ return at;
    case 3: /* take a span out */
        span = span < size - at ? span : size - at;
        memmove(buffer + at, buffer + at + span, size - at - span);
        return size - span;
    case 4: /* say a span twice */
        span = span < size - at ? span : size - at;
        span = span < MAX_INPUT_BYTES - size ? span : MAX_INPUT_BYTES - size;
        memmove(buffer + at + span, buffer + at, size - at);
        return size + span;
    default: /* go on as another input does */
        if (at < other->size) {
            memcpy(buffer + at, other->data + at, other->size - at);
            return other->size;
        }
        return size;
    }
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s CORPUS_FOLDER [MUTATIONS [SEED]]\n", argv[0]);
        return 2;
    }
    struct corpus corpus    = {0};
    unsigned long mutations = argc > 2 ? strtoul(argv[2], NULL, 10) : DEFAULT_MUTATIONS;
    uint64_t seed           = argc > 3 ? strtoull(argv[3], NULL, 10) : DEFAULT_SEED;

    corpus_read(&corpus, argv[1]);
    corpus_add(&corpus, calloc(1, 1), 0);
    for (size_t i = 0; i < corpus.n; i++) {
        run_target(corpus.inputs[i].data, corpus.inputs[i].size);
    }
    printf("%zu inputs, then %lu mutations of seed %" PRIu64 "\n", corpus.n, mutations, seed);
    fflush(stdout); /* a crash must not lose the seed */

    uint8_t *buffer = malloc(MAX_INPUT_BYTES);
    if (buffer == NULL) {
        die("out of memory", "fuzz_replay");
    }
    for (unsigned long m = 0; m < mutations; m++) {
        const struct input *start = &corpus.inputs[next_random(&seed) % corpus.n];
        size_t size               = start->size;
        memcpy(buffer, start->data, size);
        for (uint64_t steps = 1 + next_random(&seed) % 4; steps > 0; steps--) {
            size = mutate_once(buffer, size, &corpus.inputs[next_random(&seed) % corpus.n], &seed);
        }
        run_target(buffer, size);
    }
    free(buffer);
    for (size_t i = 0; i < corpus.n; i++) {
        free(corpus.inputs[i].data);
    }
    free(corpus.inputs);
    return 0;
}
