/* SPDX-License-Identifier: MIT */
/* The body of a request to the server: it is refused by a sentence, or what it asks for is within its bounds. The first
 * byte says which path it came by. */
#include <stdlib.h>
#include <string.h>

#include "apps/serve/serve_body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_within_bounds(const struct tw_serve_body *b)
{
    if (b->n < 1 || b->n > TW_SERVE_N_MAX || b->request.max_tokens > 1 << 24 ||
        b->request.top_logprobs > 1024 ||
        (b->request.constraint_kind != TRAWL_CONSTRAINT_NONE) != (b->request.constraint_text != NULL)) {
        return false;
    }
    for (size_t i = 0; i < b->n_stop; i++) {
        if (b->stop[i][0] == '\0') {
            return false;
        }
    }
    for (size_t i = 0; b->kind == TW_SERVE_CHAT && i < json_array_size(b->messages); i++) {
        const json_t *m = json_array_get(b->messages, i), *content = json_object_get(m, "content");
        if (!json_is_string(json_object_get(m, "role")) ||
            !(content == NULL || json_is_string(content) || json_is_null(content))) {
            return false;
        }
    }
    return json_array_size(b->kind == TW_SERVE_CHAT ? b->messages : b->prompts) > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tw_serve_body body;
    struct trawl_error err = {0};
    if (size == 0) {
        return 0;
    }
    enum tw_serve_kind kind = data[0] % 2 == 0 ? TW_SERVE_COMPLETION : TW_SERVE_CHAT;
    if (tw_serve_body_parse(&body, kind, (const char *)data + 1, size - 1, &err) == TRAWL_OK) {
        if (!is_within_bounds(&body)) {
            abort();
        }
    } else if (err.message[0] == '\0') {
        abort();
    }
    tw_serve_body_release(&body);
    return 0;
}
