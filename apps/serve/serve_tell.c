/* SPDX-License-Identifier: MIT */
#include "apps/serve/serve_tell.h"

#include "base/alloc.h"

static size_t characters(const char *text, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        count += ((unsigned char)text[i] & 0xc0u) != 0x80u;
    }
    return count;
}

/* The prompt before its answer, as it was given, and where its tokens stand in it. */
static trawl_status put_prompt(struct tw_serve_answer *a, size_t n_echo, struct trawl_error *err)
{
    const struct tw_serve_call *call = a->call;
    struct tw_server *s              = call->server;
    const struct tw_ids *ids         = &call->prompts[a->prompt];
    const json_t *given              = json_array_get(call->body.prompts, a->prompt);
    struct tw_detokenizer d;
    struct tw_str text;
    trawl_status status = TRAWL_OK;
    tw_detokenizer_init(&d, s->tokenizer, json_is_string(given));
    tw_str_init(&text, 0);
    for (size_t i = 0; status == TRAWL_OK && i < ids->size; i++) {
        if (i < n_echo) {
            s->offsets[i] = characters(tw_str_text(&text), text.size);
        }
        status = tw_detokenizer_push(&d, ids->data[i], &text, err);
    }
    if (status == TRAWL_OK) {
        status = tw_detokenizer_flush(&d, &text, err);
    }
    if (status == TRAWL_OK) {
        status = json_is_string(given)
                     ? tw_str_append(&s->text, json_string_value(given), json_string_length(given), err)
                     : tw_str_append(&s->text, tw_str_text(&text), text.size, err);
    }
    a->n_chars = characters(tw_str_text(&s->text), s->text.size);
    tw_str_release(&text);
    return status;
}

/* The tokens in s->view, but for those of the echo, as text in s->text. */
static trawl_status put_tokens(struct tw_serve_answer *a, size_t n_echo, bool done, struct trawl_error *err)
{
    struct tw_server *s      = a->call->server;
    struct tw_answer_text *t = &a->told;
    size_t shown             = t->shown;
    for (size_t i = n_echo; i < s->view.n; i++) {
        size_t before = t->text.size;
        s->offsets[i] = a->n_chars;
        TW_TRY(tw_answer_text_push(t, s->view.tokens[i], err));
        a->n_chars += characters(tw_str_text(&t->text) + before, t->text.size - before);
    }
    if (done) {
        TW_TRY(tw_answer_text_end(t, err));
    }
    return tw_str_append(&s->text, tw_str_text(&t->text) + shown, t->shown - shown, err);
}

static trawl_status tell(struct tw_serve_answer *a, size_t i, bool done, struct tw_serve_piece *piece,
                         struct trawl_error *err)
{
    struct tw_server *s = a->call->server;
    bool first          = !a->begun;
    size_t n_echo       = 0;
    TW_TRY(tw_serve_view(s, a, i, a->n_told, &n_echo, err));
    TW_TRY(tw_grow(&s->offsets, &s->offsets_capacity, s->view.n, sizeof *s->offsets, err));
    tw_str_reset(&s->text);
    if (first && a->call->body.echo && (s->view.n > 0 || done)) {
        TW_TRY(put_prompt(a, n_echo, err));
    }
    TW_TRY(put_tokens(a, n_echo, done, err));
    a->n_told += s->view.n - n_echo;
    *piece = (struct tw_serve_piece){.index   = a->index + i,
                                     .text    = tw_str_text(&s->text),
                                     .n_text  = s->text.size,
                                     .output  = &s->view,
                                     .offsets = s->offsets,
                                     .finish  = done ? trawl_finish_reason_name(s->view.finish) : NULL,
                                     .first   = first};
    return TRAWL_OK;
}

trawl_status tw_serve_tell_more(struct tw_serve_answer *a, bool done, struct tw_serve_piece *piece,
                                struct trawl_error *err)
{
    return tell(a, 0, done, piece, err);
}

trawl_status tw_serve_tell_whole(struct tw_serve_answer *a, size_t i, struct tw_serve_piece *piece,
                                 struct trawl_error *err)
{
    const struct tw_serve_body *b = &a->call->body;
    tw_answer_text_release(&a->told);
    tw_answer_text_init(&a->told, a->call->server->tokenizer, (const char *const *)b->stop, b->n_stop);
    a->told.detokenizer.skip_special = b->skip_special_tokens;
    a->n_told = a->n_chars = 0;
    return tell(a, i, true, piece, err);
}
