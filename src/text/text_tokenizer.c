/* SPDX-License-Identifier: MIT */
/* Looking tokens up. */
#include "text/text_tokenizer.h"

#include <string.h>

#include "base/alloc.h"
#include "text/text_load.h"

size_t tw_tokenizer_vocab_size(const struct tw_tokenizer *t)
{
    return t->model.vocab.n_ids;
}

const char *tw_tokenizer_piece(const struct tw_tokenizer *t, int32_t id, size_t *n)
{
    return tw_vocab_piece(&t->model.vocab, id, n);
}

int32_t tw_tokenizer_find(const struct tw_tokenizer *t, const char *piece, size_t n)
{
    const struct tw_added_token *a = tw_added_find(&t->added, piece, n);
    if (a == NULL) {
        a = tw_added_find(&t->added_normalized, piece, n);
    }
    return a != NULL ? a->id : tw_vocab_find(&t->model.vocab, piece, n);
}

static bool has_flags(const struct tw_tokenizer *t, int32_t id, uint32_t flags)
{
    return id >= 0 && (size_t)id < t->model.vocab.n_ids && (t->model.vocab.pieces[id].flags & flags) == flags;
}

bool tw_tokenizer_is_added(const struct tw_tokenizer *t, int32_t id)
{
    return has_flags(t, id, TW_PIECE_ADDED);
}

bool tw_tokenizer_is_special(const struct tw_tokenizer *t, int32_t id)
{
    return has_flags(t, id, TW_PIECE_ADDED | TW_PIECE_SPECIAL);
}

int32_t tw_tokenizer_named(const struct tw_tokenizer *t, enum tw_named_token which, const char **text)
{
    if (text != NULL) {
        *text = t->named[which].text;
    }
    return t->named[which].id;
}

static size_t add_end(int32_t id, int32_t *out, size_t n, size_t capacity)
{
    for (size_t i = 0; i < n; i++) {
        if (out[i] == id) {
            return n;
        }
    }
    if (id >= 0 && n < capacity) {
        out[n++] = id;
    }
    return n;
}

size_t tw_tokenizer_end_tokens(const struct tw_tokenizer *t, int32_t *out, size_t capacity)
{
    static const char *const usual[] = {
        "<|im_end|>", "<|endoftext|>",         "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>",
        "<|end|>",    "<|END_OF_TURN_TOKEN|>", "</s>"};
    size_t n = add_end(t->named[TW_TOKEN_EOS].id, out, 0, capacity);
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        int32_t id = tw_tokenizer_find(t, usual[i], strlen(usual[i]));
        if (tw_tokenizer_is_added(t, id)) {
            n = add_end(id, out, n, capacity);
        }
    }
    return n;
}

void tw_ids_release(struct tw_ids *ids)
{
    tw_free(ids->data);
    *ids = (struct tw_ids){0};
}
