/* SPDX-License-Identifier: MIT */
/* A regular expression, a zero byte, a text: the constraint is compiled and the text followed as far as it
 * goes. From where it ends the shortest way is taken to an answer, which has to be complete. */
#include <stdlib.h>
#include <string.h>

#include "constrain/constrain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N_BYTES = 256, TEXT_MAX = 256, STEPS_MAX = 600, MEMORY = 1 << 20 };

static const char *one_byte(void *user, int32_t id, size_t *n)
{
    char *bytes = user;
    bytes[id]   = (char)id;
    *n          = 1;
    return &bytes[id];
}

static void follow(struct tw_constraint *c, const uint8_t *text, size_t n_text)
{
    struct tw_constraint_state state = {0};
    struct tw_allowed allowed;
    struct trawl_error err;
    int32_t tokens[STEPS_MAX];
    uint32_t bits[N_BYTES / 32];
    bool end = false;
    for (size_t n = 0; n < STEPS_MAX && !end; n++) {
        struct tw_constraint_rules rules = {.tokens_left = n < n_text ? STEPS_MAX : 1};
        trawl_status status = tw_constraint_allow(c, &state, tokens, n, &rules, bits, &allowed, &err);
        if (status == TRAWL_ERR_LIMIT || status == TRAWL_ERR_NOMEM) {
            return;
        }
        if (status != TRAWL_OK || (allowed.n == 0 && !allowed.complete)) {
            abort(); /* single bytes can write anything */
        }
        int32_t next = n < n_text ? text[n] : 0;
        bool taken   = n < n_text && (bits[next / 32] >> (next % 32) & 1) != 0;
        for (next = taken ? next : 0; next < N_BYTES && (bits[next / 32] >> (next % 32) & 1) == 0;) {
            next++;
        }
        n_text    = taken ? n_text : n; /* from here on the shortest way */
        end       = n >= n_text && allowed.complete;
        tokens[n] = next;
        if (!end && next == N_BYTES) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size == 0 || size > TEXT_MAX ? NULL : memchr(data, '\0', size);
    struct tw_vocabulary v;
    struct tw_constraint *c = NULL;
    struct trawl_error err;
    char bytes[N_BYTES];
    if (end == NULL || tw_vocabulary_build(&v, N_BYTES, one_byte, bytes, &err) != TRAWL_OK) {
        return -1;
    }
    size_t n = (size_t)(end - data);
    if (tw_constraint_new(TW_CONSTRAINT_REGEX, (const char *)data, n, &v, MEMORY, &c, &err) == TRAWL_OK) {
        follow(c, end + 1, size - n - 1);
    } else if (err.message[0] == '\0') {
        abort();
    }
    tw_constraint_free(c);
    tw_vocabulary_release(&v);
    return 0;
}
