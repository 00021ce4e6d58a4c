/* SPDX-License-Identifier: MIT */
/* A JSON schema: whatever it is, and if it is one, its shortest answer is JSON. A list of strings is also
 * tried as a choice. */
#include <stdlib.h>

#include "constrain/constrain.h"
#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N_BYTES = 256, SCHEMA_MAX = 2048, STEPS_MAX = 4096, MEMORY = 1 << 20 };

static const char *one_byte(void *user, int32_t id, size_t *n)
{
    char *bytes = user;
    bytes[id]   = (char)id;
    *n          = 1;
    return &bytes[id];
}

/* The shortest text, if there is room for it; its size, or 0. */
static size_t write_shortest(struct tw_constraint *c, char *text)
{
    struct tw_constraint_state state = {0};
    struct tw_constraint_rules rules = {.tokens_left = 1};
    struct tw_allowed allowed;
    struct trawl_error err;
    static int32_t tokens[STEPS_MAX];
    uint32_t bits[N_BYTES / 32];
    for (size_t n = 0; n < STEPS_MAX; n++) {
        if (tw_constraint_allow(c, &state, tokens, n, &rules, bits, &allowed, &err) != TRAWL_OK) {
            return 0;
        }
        if (allowed.complete) {
            return n;
        }
        int32_t next = 0;
        while (next < N_BYTES && (bits[next / 32] >> (next % 32) & 1) == 0) {
            next++;
        }
        if (next == N_BYTES) {
            abort();
        }
        tokens[n] = next;
        text[n]   = (char)next;
    }
    return 0;
}

static void try(const struct tw_vocabulary *v, enum tw_constraint_kind kind, const uint8_t *data, size_t size)
{
    static char text[STEPS_MAX];
    struct tw_constraint *c = NULL;
    struct trawl_error err;
    json_t *value = NULL;
    if (tw_constraint_new(kind, (const char *)data, size, v, MEMORY, &c, &err) == TRAWL_OK) {
        size_t n = write_shortest(c, text);
        if (kind == TW_CONSTRAINT_JSON_SCHEMA && n > 0 &&
            tw_json_parse(text, n, "answer", &value, &err) != TRAWL_OK) {
            abort();
        }
    } else if (err.message[0] == '\0') {
        abort();
    }
    json_decref(value);
    tw_constraint_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tw_vocabulary v;
    struct trawl_error err;
    char bytes[N_BYTES];
    if (size > SCHEMA_MAX || tw_vocabulary_build(&v, N_BYTES, one_byte, bytes, &err) != TRAWL_OK) {
        return -1;
    }
    try(&v, TW_CONSTRAINT_JSON_SCHEMA, data, size);
    try(&v, TW_CONSTRAINT_CHOICE, data, size);
    tw_vocabulary_release(&v);
    return 0;
}
