/* SPDX-License-Identifier: MIT */
/* Tokenizer: time to open, and bytes a second encoded and decoded on one core. Results: src/text/README.md.
 *
 *     bench_text FOLDER FILE...      FOLDER holds tokenizer.json
 *
 * Figures are processor time. Encoding is the median of 5 passes, each with a new encoder (an empty word cache). */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "base/file.h"
#include "text/text_tokenizer.h"

enum { PASSES = 5 };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Processor time: of use on a busy machine too. */
static uint64_t cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static trawl_status measure(const struct tw_tokenizer *tokenizer, const char *path, struct trawl_error *err)
{
    char *text = NULL;
    size_t n   = 0;
    double encode[PASSES], decode[PASSES];
    struct tw_ids ids = {0};
    struct tw_str back;
    tw_str_init(&back, 0);
    TW_TRY(tw_file_read(path, (size_t)1 << 30, &text, &n, err));
    for (int i = 0; i < PASSES; i++) {
        struct tw_encoder *encoder = NULL;
        ids.size                   = 0;
        tw_str_reset(&back);
        uint64_t begin = cpu_ns();
        TW_TRY(tw_encoder_new(tokenizer, &encoder, err));
        TW_TRY(tw_encode(encoder, text, n, NULL, &ids, err));
        uint64_t middle = cpu_ns();
        TW_TRY(tw_decode(tokenizer, ids.data, ids.size, false, &back, err));
        encode[i] = (double)n * 1e3 / (double)(middle - begin);
        decode[i] = (double)n * 1e3 / (double)(cpu_ns() - middle);
        tw_encoder_free(encoder);
    }
    qsort(encode, PASSES, sizeof *encode, by_value);
    qsort(decode, PASSES, sizeof *decode, by_value);
    printf("%-40s %8.2f MB %9zu tokens  encode %6.1f MB/s  decode %6.1f MB/s\n", path, (double)n / 1e6,
           ids.size, encode[PASSES / 2], decode[PASSES / 2]);
    tw_ids_release(&ids);
    tw_str_release(&back);
    tw_free(text);
    return TRAWL_OK;
}

int main(int argc, char **argv)
{
    struct trawl_error err         = {0};
    struct tw_tokenizer *tokenizer = NULL;
    if (argc < 3) {
        fprintf(stderr, "usage: bench_text FOLDER FILE...\n");
        return 2;
    }
    uint64_t begin      = cpu_ns();
    trawl_status status = tw_tokenizer_open(argv[1], &tokenizer, &err);
    printf("open %.3f s\n", (double)(cpu_ns() - begin) / 1e9);
    for (int i = 2; i < argc && status == TRAWL_OK; i++) {
        status = measure(tokenizer, argv[i], &err);
    }
    if (status != TRAWL_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    tw_tokenizer_close(tokenizer);
    return 0;
}
