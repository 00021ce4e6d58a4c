/* SPDX-License-Identifier: MIT */
/* Any bytes as tokenizer.json, then a zero byte, then a text: what opens must encode, decode and stream without
 * harm, and a tokenizer that drops no byte gives the text back. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "text/text_load.h"
#include "text/text_tokenizer.h"
#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void stream(const struct tw_tokenizer *t, const struct tw_ids *ids)
{
    struct trawl_error err;
    struct tw_detokenizer d;
    struct tw_str whole, joined;
    tw_str_init(&whole, 0);
    tw_str_init(&joined, 0);
    tw_detokenizer_init(&d, t, false);
    trawl_status status = tw_decode(t, ids->data, ids->size, false, &whole, &err);
    for (size_t i = 0; i < ids->size && status == TRAWL_OK; i++) {
        status = tw_detokenizer_push(&d, ids->data[i], &joined, &err);
    }
    if (status == TRAWL_OK && tw_detokenizer_flush(&d, &joined, &err) == TRAWL_OK &&
        (whole.size != joined.size || (whole.size > 0 && memcmp(whole.data, joined.data, whole.size) != 0))) {
        __builtin_trap();
    }
    tw_str_release(&whole);
    tw_str_release(&joined);
}

static void encode(const struct tw_tokenizer *t, const char *text, size_t n)
{
    struct trawl_error err;
    struct tw_encoder *encoder = NULL;
    struct tw_ids ids          = {0};
    if (tw_encoder_new(t, &encoder, &err) != TRAWL_OK) {
        return;
    }
    for (int way = 0; way < 4; way++) {
        const struct tw_encode_options o = {
            .no_special = way == 1, .no_added = way == 2, .add_special_tokens = way == 3};
        ids.size = 0;
        if (tw_encode(encoder, text, n, &o, &ids, &err) == TRAWL_OK) {
            stream(t, &ids);
        }
    }
    tw_ids_release(&ids);
    tw_encoder_free(encoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct trawl_error err;
    const uint8_t *cut     = size > 0 ? memchr(data, 0, size) : NULL;
    size_t n               = cut == NULL ? size : (size_t)(cut - data);
    json_t *doc            = NULL;
    struct tw_tokenizer *t = NULL;
    if (tw_json_parse((const char *)data, n, "tokenizer.json", &doc, &err) != TRAWL_OK) {
        return -1;
    }
    if (tw_alloc(1, sizeof *t, &t, &err) == TRAWL_OK && tw_strdup("f", &t->folder, &err) == TRAWL_OK) {
        /* The same document also stands for the configuration: its members do not clash. */
        struct tw_tokenizer_files files = {.tokenizer = doc, .config = doc};
        if (tw_tokenizer_build(t, &files, &err) == TRAWL_OK && cut != NULL) {
            encode(t, (const char *)cut + 1, size - n - 1);
        }
    }
    tw_tokenizer_close(t);
    json_decref(doc);
    return 0;
}
