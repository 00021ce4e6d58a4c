/* SPDX-License-Identifier: MIT */
/* A file of texts or rows, cut into contexts: whatever is in it, contexts keep to their size and pieces lie where they
 * say. The first byte chooses how it is read and cut. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "apps/harvest/harvest_context.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VOCAB = 560, END = 3 };

static void check(bool good)
{
    if (!good) {
        abort();
    }
}

static struct tw_tokenizer *tokenizer(void)
{
    static struct tw_tokenizer *opened;
    check(opened != NULL ||
          tw_tokenizer_open(TRAWL_SOURCE_DIR "/tests/text/data/split", &opened, NULL) == TRAWL_OK);
    return opened;
}

static void told(void *user, const char *why)
{
    size_t *n = user;
    check(why[0] != '\0');
    ++*n;
}

static void check_context(const struct tw_harvest_context *c, size_t limit)
{
    size_t end = 0;
    check(c->n >= 1 && c->n <= limit);
    for (size_t i = 0; i < c->n; i++) {
        check(c->ids[i] >= 0 && c->ids[i] < VOCAB);
    }
    for (const struct tw_harvest_piece *p = c->pieces; p < c->pieces + c->n_pieces; p++) {
        check(p->n > 0 && p->position >= end && p->position + p->n <= c->n);
        end = p->position + p->n;
    }
}

static void read_all(const struct tw_harvest_input *input, const struct tw_harvest_cut *cut,
                     const size_t *n_told)
{
    struct tw_harvest_reader reader;
    struct tw_harvest_cutter cutter;
    struct tw_harvest_context context;
    check(tw_harvest_reader_open(&reader, input, NULL) == TRAWL_OK);
    check(tw_harvest_cutter_init(&cutter, cut, &reader, NULL) == TRAWL_OK);
    uint64_t tokens = 0;
    for (bool more = true; more;) {
        check(tw_harvest_cutter_next(&cutter, &context, &more, NULL) == TRAWL_OK);
        if (more) {
            check_context(&context, cut->context_size);
            tokens += context.n;
        }
    }
    check(cutter.counts.tokens == tokens && (cut->max_tokens == 0 || tokens <= cut->max_tokens));
    check(reader.n_skipped == *n_told);
    tw_harvest_cutter_release(&cutter);
    tw_harvest_reader_close(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    const char *paths[] = {path};
    size_t n_told       = 0;
    if (size == 0) {
        return 0;
    }
    unsigned how = data[0];
    int fd       = memfd_create("harvest", MFD_CLOEXEC);
    check(fd >= 0 && write(fd, data + 1, size - 1) == (ssize_t)(size - 1));
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    const struct tw_harvest_input input = {.paths       = paths,
                                           .n_paths     = 1,
                                           .format      = how & 1 ? TW_HARVEST_TEXT : TW_HARVEST_JSONL,
                                           .split_lines = how & 2,
                                           .text_field  = how & 64 ? "body" : NULL,
                                           .bos         = how & 4 ? TW_HARVEST_BOS_NONE : TW_HARVEST_BOS_AUTO,
                                           .tokenizer   = tokenizer(),
                                           .vocab_size  = VOCAB,
                                           .skipped     = told,
                                           .user        = &n_told};
    const struct tw_harvest_cut cut     = {.context_size      = how & 8 ? 2 : 11,
                                           .overflow          = how & 16   ? TW_HARVEST_SPLIT
                                                                : how & 32 ? TW_HARVEST_SKIP
                                                                           : TW_HARVEST_TRUNCATE,
                                           .pack              = (how & 48) == 48,
                                           .end               = END,
                                           .drop_first_tokens = how & 1,
                                           .max_tokens        = how & 128 ? 50 : 0};
    read_all(&input, &cut, &n_told);
    check(close(fd) == 0);
    return 0;
}
