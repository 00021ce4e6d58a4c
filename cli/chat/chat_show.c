/* SPDX-License-Identifier: MIT */
/* What a chat shows. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "cli/chat/chat.h"
#include "cli/table.h"
#include "cli/terminal.h"

void cli_chat_say(const char *format, ...)
{
    struct trawl_error unseen;
    va_list arguments;
    (void)cli_flush(&unseen); /* main finds out about a stdout that is gone */
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
}

/* ---- text ---- */

/* A model may write any character: escape sequences are not for it to give. */
static trawl_status put_visible(struct tw_str *out, const char *s, size_t n, struct trawl_error *err)
{
    for (size_t i = 0, bytes; i < n; i += bytes) {
        uint32_t c   = 0;
        bytes        = tw_utf8_decode(s + i, n - i, &c);
        bytes        = bytes == 0 ? 1 : bytes;
        bool control = (c < ' ' && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0);
        TW_TRY(control ? tw_str_puts(out, "\xef\xbf\xbd", err) : tw_str_append(out, s + i, bytes, err));
    }
    return TRAWL_OK;
}

/* --show_entropy says which colour means what. */
static const char *color_of(const struct cli_chat_answer *a, size_t i)
{
    float h = a->entropies[i];
    if (a->varentropies[i] > 3) {
        return h < 0.5F ? "\x1b[4m" : h < 1.5F ? "\x1b[4;32m" : h < 3 ? "\x1b[4;33m" : "\x1b[4;31m";
    }
    return h < 0.5F ? "" : h < 1.5F ? "\x1b[32m" : h < 3 ? "\x1b[33m" : "\x1b[31m";
}

trawl_status cli_chat_show_piece(void *user, const char *text, size_t n, size_t i, struct trawl_error *err)
{
    struct cli_chat *c = user;
    struct tw_str seen;
    trawl_status status = TRAWL_OK;
    const char *color   = c->settings.show_entropy && c->color ? color_of(&c->answer, i) : "";
    if (c->json) {
        return TRAWL_OK;
    }
    if (!cli_is_terminal(stdout)) {
        TW_TRY(cli_write(text, n, err));
        return cli_flush(err);
    }
    tw_str_init(&seen, 0);
    status = tw_str_puts(&seen, color, err);
    if (status == TRAWL_OK) {
        status = put_visible(&seen, text, n, err);
    }
    if (status == TRAWL_OK && *color != '\0') {
        status = tw_str_puts(&seen, "\x1b[0m", err);
    }
    if (status == TRAWL_OK) {
        status = cli_write(seen.data, seen.size, err);
    }
    tw_str_release(&seen);
    return status == TRAWL_OK ? cli_flush(err) : status;
}

/* ---- the end of an answer ---- */

/* The row that trawl generate writes for it. */
static trawl_status put_row(struct cli_chat *c, struct tw_str *line, struct trawl_error *err)
{
    struct tw_json_writer w;
    struct trawl_result result;
    struct trawl_output output;
    struct cli_row row = {.request  = c->settings.request,
                          .stop     = (char **)c->stop,
                          .n_stop   = c->answer.text.n_stop,
                          .logprobs = c->settings.n_logprobs > 0};
    cli_chat_answer_result(&c->answer, &result, &output);
    row.request.top_logprobs = c->answer.n_top;
    tw_json_writer_init(&w, line, 0);
    tw_json_begin_object(&w);
    TW_TRY(cli_row_write_answer(&w, &row, &result, &c->text, err));
    tw_json_end_object(&w);
    TW_TRY(tw_json_writer_finish(&w, err));
    TW_TRY(tw_str_putc(line, '\n', err));
    return cli_write(line->data, line->size, err);
}

trawl_status cli_chat_show_end(struct cli_chat *c, struct trawl_error *err)
{
    const struct cli_chat_answer *a = &c->answer;
    trawl_status status;
    if (c->json) {
        struct tw_str line;
        tw_str_init(&line, 0);
        status = put_row(c, &line, err);
        tw_str_release(&line);
    } else {
        status = cli_write("\n", 1, err);
    }
    TW_TRY(status);
    TW_TRY(cli_flush(err));
    if (c->json) {
        return TRAWL_OK; /* the row says how it ended */
    }
    if (a->context_full) {
        cli_chat_say(
            "(the answer ends here: %zu tokens of prompt and %zu of answer fill the context; /undo takes "
            "turns back, /reset begins anew)\n",
            a->n_prompt, a->n_tokens);
    } else if (a->finish_reason == TRAWL_FINISH_LENGTH) {
        cli_chat_say("(the answer ends here: max_tokens is %zu)\n", c->settings.request.max_tokens);
    } else if (a->finish_reason == TRAWL_FINISH_CANCELLED && c->interactive) {
        cli_chat_say("(stopped)\n");
    }
    return c->settings.n_logprobs > 0 ? cli_chat_show_tokens(c, err) : TRAWL_OK;
}

/* ---- tables ---- */

/* As JSON has it, which escapes all control characters but a few. */
static trawl_status put_piece(const struct cli_chat *c, int32_t token, struct tw_str *out,
                              struct trawl_error *err)
{
    size_t n          = 0;
    const char *piece = tw_tokenizer_piece(c->text.tokenizer, token, &n);
    struct tw_json_writer w;
    struct tw_str json;
    tw_str_init(&json, 0);
    tw_json_writer_init(&w, &json, 0);
    tw_json_string_n(&w, piece == NULL ? "" : piece, n);
    trawl_status status = tw_json_writer_finish(&w, err);
    if (status == TRAWL_OK) {
        status = put_visible(out, json.data, json.size, err);
    }
    tw_str_release(&json);
    return status;
}

static trawl_status add_alternatives(const struct cli_chat *c, size_t i, struct cli_table *t,
                                     struct tw_str *cell, struct trawl_error *err)
{
    const struct trawl_top_logprob *top = c->answer.top + i * c->answer.n_top;
    tw_str_reset(cell);
    for (size_t k = 0; k < c->answer.n_top && top[k].token >= 0; k++) {
        TW_TRY(tw_str_puts(cell, k > 0 ? "  " : "", err));
        TW_TRY(put_piece(c, top[k].token, cell, err));
        TW_TRY(tw_str_printf(cell, err, " %.1f%%", 100 * exp((double)top[k].logprob)));
    }
    return cli_table_add(t, err, "%s", tw_str_text(cell));
}

static trawl_status fill(const struct cli_chat *c, struct cli_table *t, struct tw_str *cell,
                         struct trawl_error *err)
{
    static const char *const titles[] = {"id",      "token",      "probability",  "log-probability",
                                         "entropy", "varentropy", "most probable"};
    const struct cli_chat_answer *a   = &c->answer;
    for (size_t i = 0; i < 6 + (a->n_top > 0); i++) {
        TW_TRY(cli_table_add(t, err, "%s", titles[i]));
    }
    for (size_t i = 0; i < a->n_tokens; i++) {
        tw_str_reset(cell);
        TW_TRY(put_piece(c, a->tokens[i], cell, err));
        TW_TRY(cli_table_add(t, err, "%d", (int)a->tokens[i]));
        TW_TRY(cli_table_add(t, err, "%s", tw_str_text(cell)));
        TW_TRY(cli_table_add(t, err, "%.1f%%", 100 * exp((double)a->logprobs[i])));
        TW_TRY(cli_table_add(t, err, "%.4f", (double)a->logprobs[i]));
        TW_TRY(cli_table_add(t, err, "%.3f", (double)a->entropies[i]));
        TW_TRY(cli_table_add(t, err, "%.3f", (double)a->varentropies[i]));
        if (a->n_top > 0) {
            TW_TRY(add_alternatives(c, i, t, cell, err));
        }
    }
    return TRAWL_OK;
}

trawl_status cli_chat_show_tokens(struct cli_chat *c, struct trawl_error *err)
{
    struct cli_table table;
    struct tw_str text;
    if (c->answer.n_tokens == 0) {
        cli_chat_say("There is no answer yet.\n");
        return TRAWL_OK;
    }
    cli_table_init(&table, c->answer.n_top > 0 ? "rlrrrrl" : "rlrrrr");
    tw_str_init(&text, 0);
    trawl_status status = fill(c, &table, &text, err);
    if (status == TRAWL_OK) {
        tw_str_reset(&text);
        status = cli_table_print(&table, 2, cli_use_color(stderr), &text, err);
    }
    if (status == TRAWL_OK) {
        cli_chat_say("%s", tw_str_text(&text));
    }
    tw_str_release(&text);
    cli_table_release(&table);
    return status;
}

/* ---- figures ---- */

static double rate(size_t n, uint64_t from, uint64_t to)
{
    return to > from ? (double)n * 1e9 / (double)(to - from) : 0;
}

trawl_status cli_chat_show_stats(struct cli_chat *c, struct trawl_error *err)
{
    const struct cli_chat_answer *a = &c->answer;
    double entropy                  = 0;
    size_t held;
    (void)err;
    (void)trawl_session_tokens(a->session, &held);
    cli_chat_say("context   %zu of %zu tokens, %zu turn%s\n", held, a->context,
                 cli_chat_history_turns(&c->history), cli_chat_history_turns(&c->history) == 1 ? "" : "s");
    if (a->n_tokens == 0) {
        return TRAWL_OK;
    }
    for (size_t i = 0; i < a->n_tokens; i++) {
        entropy += (double)a->entropies[i];
    }
    cli_chat_say("prompt    %zu tokens, of which %zu were there; %.2f s (%.1f tokens/s)\n", a->n_prompt,
                 a->n_kept, (double)(a->first_ns - a->started_ns) * 1e-9,
                 rate(a->n_prompt - a->n_kept, a->started_ns, a->first_ns));
    cli_chat_say("answer    %zu token%s; %.2f s (%.1f tokens/s); ended by %s; seed %llu\n", a->n_tokens,
                 a->n_tokens == 1 ? "" : "s", (double)(a->last_ns - a->first_ns) * 1e-9,
                 rate(a->n_tokens - 1, a->first_ns, a->last_ns), trawl_finish_reason_name(a->finish_reason),
                 (unsigned long long)a->seed);
    cli_chat_say("          log-probability %.3f, perplexity %.3f, mean entropy %.3f nats\n",
                 a->cumulative_logprob, exp(-a->cumulative_logprob / (double)a->n_tokens),
                 entropy / (double)a->n_tokens);
    return TRAWL_OK;
}
