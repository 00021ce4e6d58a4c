/* SPDX-License-Identifier: MIT */
/* A file of /load, with a tokenizer that has a chat template and without any template: it is refused by a sentence, or its
 * messages can be written, taken back and answered. */
#include <stdlib.h>

#include "cli/chat/chat_history.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Opened once: a tokenizer for each input would be most of the work. */
static struct cli_row_text *text_of(void)
{
    static struct cli_row_text text;
    struct trawl_error err;
    if (text.tokenizer == NULL &&
        (cli_row_text_open(&text, TRAWL_SOURCE_DIR "/tests/text/data/split", &err) != TRAWL_OK ||
         text.tokenizer == NULL)) {
        abort();
    }
    return &text;
}

static void use(struct cli_chat_history *h)
{
    struct trawl_error err;
    size_t n;
    size_t before  = json_array_size(h->messages);
    err.message[0] = '\0';
    if (cli_chat_history_encode(h, text_of(), &err) != TRAWL_OK && err.message[0] == '\0') {
        abort();
    }
    (void)cli_chat_history_get_system(h, &n);
    if (cli_chat_history_drop_answer(h) && !cli_chat_history_drop_turn(h)) {
        abort();
    }
    if (cli_chat_history_system(h, "x", 1, &err) != TRAWL_OK || json_array_size(h->messages) > before + 1) {
        abort();
    }
    cli_chat_history_reset(h);
    if (json_array_size(h->messages) != 1) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int has_template = 0; has_template < 2; has_template++) {
        struct cli_chat_history h;
        struct trawl_error err;
        if (cli_chat_history_open(&h, has_template, &err) != TRAWL_OK) {
            abort();
        }
        err.message[0] = '\0';
        if (cli_chat_history_parse(&h, (const char *)data, size, "file", &err) == TRAWL_OK) {
            use(&h);
        } else if (err.message[0] == '\0') {
            abort();
        }
        cli_chat_history_release(&h);
    }
    return 0;
}
