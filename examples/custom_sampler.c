/* SPDX-License-Identifier: MIT */
/* A sampler of one's own: custom_sampler MODEL TEXT LETTERS N continues a text by N tokens, each the most likely
 * one that has none of the letters in it. Any rule that looks at logits and bytes is written like that. */
#include "example.h"

static bool is_allowed(const trawl_tokenizer *tokenizer, int32_t id, const char *letters)
{
    size_t n;
    const char *bytes = trawl_tokenizer_token(tokenizer, id, &n);
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] != '\0' && strchr(letters, bytes[i]) != NULL) {
            return false;
        }
    }
    return n > 0;
}

static int32_t choose(const struct model *m, const float *logits, const char *letters)
{
    int32_t best = -1;
    for (size_t i = 0; i < m->info.vocab_size; i++) {
        if ((best < 0 || logits[i] > logits[best]) && is_allowed(m->tokenizer, (int32_t)i, letters)) {
            best = (int32_t)i;
        }
    }
    return best;
}

int main(int argc, char **argv)
{
    struct trawl_error err;
    trawl_session *session;
    const float *logits;
    size_t n, n_all;
    if (argc != 5) {
        usage("custom_sampler MODEL TEXT LETTERS N");
    }
    struct model m = open_model(argv[1]);
    int32_t *ids   = encode(&m, argv[2], TRAWL_ENCODE_ADD_SPECIAL_TOKENS, &n);
    CHECK(trawl_session_open(m.engine, &session, &err));
    CHECK(trawl_session_append(session, ids, n, NULL, NULL, &err));
    for (int i = 0; i < atoi(argv[4]); i++) {
        CHECK(trawl_session_logits(session, &logits, &err));
        int32_t token = choose(&m, logits, argv[3]);
        CHECK(trawl_session_append(session, &token, 1, NULL, NULL, &err));
    }
    const int32_t *all = trawl_session_tokens(session, &n_all);
    printf("%s|", argv[2]);
    print_text(&m, all + n, n_all - n);
    printf("\n");
    trawl_free(ids);
    trawl_session_close(&session);
    close_model(&m);
    return 0;
}
