/* SPDX-License-Identifier: MIT */
/* The tokenizer behind its public handle. Encoders hold the scratch of one thread: they are made when as many
 * threads encode at once, and wait here in between. */
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "text/text_chat.h"
#include "text/text_tokenizer.h"
#include "trawl/tokenizer.h"
#include "json/json.h"

struct trawl_tokenizer {
    struct tw_tokenizer *tokenizer;
    pthread_mutex_t lock; /* of what follows */
    struct tw_encoder **idle;
    size_t n_idle, capacity;
};

trawl_status trawl_tokenizer_open(const char *model_path, trawl_tokenizer **out, struct trawl_error *err)
{
    trawl_tokenizer *t = NULL;
    *out               = NULL;
    if (model_path == NULL) {
        return tw_fail(err, TRAWL_ERR_INVALID, "no model_path given");
    }
    TW_TRY(tw_alloc(1, sizeof *t, &t, err));
    trawl_status status = tw_tokenizer_open(model_path, &t->tokenizer, err);
    if (status != TRAWL_OK) {
        tw_free(t);
        return status;
    }
    (void)pthread_mutex_init(&t->lock, NULL);
    *out = t;
    return TRAWL_OK;
}

void trawl_tokenizer_close(trawl_tokenizer **tokenizer)
{
    trawl_tokenizer *t = *tokenizer;
    if (t == NULL) {
        return;
    }
    for (size_t i = 0; i < t->n_idle; i++) {
        tw_encoder_free(t->idle[i]);
    }
    tw_free(t->idle);
    tw_tokenizer_close(t->tokenizer);
    (void)pthread_mutex_destroy(&t->lock);
    tw_free(t);
    *tokenizer = NULL;
}

size_t trawl_tokenizer_vocab_size(const trawl_tokenizer *tokenizer)
{
    return tw_tokenizer_vocab_size(tokenizer->tokenizer);
}

/* ---- encoding ---- */

static trawl_status take_encoder(trawl_tokenizer *t, struct tw_encoder **out, struct trawl_error *err)
{
    *out = NULL;
    (void)pthread_mutex_lock(&t->lock);
    if (t->n_idle > 0) {
        *out = t->idle[--t->n_idle];
    }
    (void)pthread_mutex_unlock(&t->lock);
    return *out != NULL ? TRAWL_OK : tw_encoder_new(t->tokenizer, out, err);
}

static void give_encoder(trawl_tokenizer *t, struct tw_encoder *encoder)
{
    (void)pthread_mutex_lock(&t->lock);
    if (tw_grow(&t->idle, &t->capacity, t->n_idle + 1, sizeof(void *), NULL) == TRAWL_OK) {
        t->idle[t->n_idle++] = encoder;
        encoder              = NULL;
    }
    (void)pthread_mutex_unlock(&t->lock);
    tw_encoder_free(encoder);
}

trawl_status trawl_tokenizer_encode(trawl_tokenizer *tokenizer, const char *text, size_t n_text,
                                    unsigned flags, int32_t **ids, size_t *n_ids, struct trawl_error *err)
{
    const unsigned known =
        TRAWL_ENCODE_ADD_SPECIAL_TOKENS | TRAWL_ENCODE_SPLIT_SPECIAL_TOKENS | TRAWL_ENCODE_NO_ADDED_TOKENS;
    struct tw_encoder *encoder = NULL;
    struct tw_ids list         = {0};
    *ids                       = NULL;
    *n_ids                     = 0;
    if ((flags & ~known) != 0) {
        return tw_fail(err, TRAWL_ERR_INVALID, "encode flags are %#x, expected a sum of %#x", flags, known);
    }
    struct tw_encode_options options = {.no_special = (flags & TRAWL_ENCODE_SPLIT_SPECIAL_TOKENS) != 0,
                                        .no_added   = (flags & TRAWL_ENCODE_NO_ADDED_TOKENS) != 0,
                                        .add_special_tokens = (flags & TRAWL_ENCODE_ADD_SPECIAL_TOKENS) != 0};
    TW_TRY(take_encoder(tokenizer, &encoder, err));
    trawl_status status = tw_encode(encoder, text, n_text, &options, &list, err);
    give_encoder(tokenizer, encoder);
    if (status == TRAWL_OK && list.data == NULL) {
        status = tw_alloc(0, sizeof *list.data, &list.data, err);
    }
    if (status != TRAWL_OK) {
        tw_ids_release(&list);
        return status;
    }
    *ids   = list.data;
    *n_ids = list.size;
    return TRAWL_OK;
}

/* ---- text ---- */

/* What a function that appends to `s` made, or its failure: the string is empty afterwards. */
static trawl_status hand_out(struct tw_str *s, trawl_status status, char **text, size_t *n_text,
                             struct trawl_error *err)
{
    size_t n = s->size;
    if (status == TRAWL_OK && s->data == NULL) {
        status = tw_strndup("", 0, text, err);
    } else if (status == TRAWL_OK) {
        *text   = s->data; /* NUL terminated, and from the same heap */
        s->data = NULL;
    }
    if (status == TRAWL_OK && n_text != NULL) {
        *n_text = n;
    }
    tw_str_release(s);
    return status;
}

trawl_status trawl_tokenizer_decode(const trawl_tokenizer *tokenizer, const int32_t *ids, size_t n,
                                    bool skip_special_tokens, char **text, size_t *n_text,
                                    struct trawl_error *err)
{
    struct tw_str s;
    *text = NULL;
    tw_str_init(&s, 0);
    trawl_status status = tw_decode(tokenizer->tokenizer, ids, n, skip_special_tokens, &s, err);
    return hand_out(&s, status, text, n_text, err);
}

const char *trawl_tokenizer_token(const trawl_tokenizer *tokenizer, int32_t id, size_t *n)
{
    return tw_tokenizer_piece(tokenizer->tokenizer, id, n);
}

bool trawl_tokenizer_has_chat_template(const trawl_tokenizer *tokenizer)
{
    return tw_tokenizer_has_chat_template(tokenizer->tokenizer);
}

trawl_status trawl_tokenizer_apply_chat_template(const trawl_tokenizer *tokenizer, const char *messages,
                                                 bool add_generation_prompt, char **text, size_t *n_text,
                                                 struct trawl_error *err)
{
    struct tw_str s;
    json_t *list = NULL;
    *text        = NULL;
    TW_TRY(tw_json_parse(messages, strlen(messages), "messages", &list, err));
    tw_str_init(&s, 0);
    struct tw_chat_request request = {.messages = list, .add_generation_prompt = add_generation_prompt};
    trawl_status status            = tw_chat_render(tokenizer->tokenizer, &request, &s, err);
    json_decref(list);
    return hand_out(&s, status, text, n_text, err);
}
