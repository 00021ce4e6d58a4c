/* SPDX-License-Identifier: MIT */
/* Talk with a model: turns in, answers as they come. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/chat/chat.h"
#include "cli/cmd.h"
#include "cli/interrupt.h"
#include "cli/model_engine.h"
#include "cli/model_folder.h"
#include "cli/terminal.h"
#include "text/text_chat.h"

/* ---- answers ---- */

/* Stop texts of the settings, and the one that a chat without a template needs. */
static trawl_status gather_stops(struct cli_chat *c, size_t *n, struct trawl_error *err)
{
    const char *own = cli_chat_history_stop(&c->history);
    tw_free(c->stop);
    c->stop = NULL;
    TW_TRY(tw_alloc(c->settings.n_stop + 1, sizeof *c->stop, &c->stop, err));
    for (*n = 0; *n < c->settings.n_stop; (*n)++) {
        c->stop[*n] = c->settings.stop[*n];
    }
    if (own != NULL) {
        c->stop[(*n)++] = own;
    }
    return TRAWL_OK;
}

static trawl_status answer(struct cli_chat *c, struct trawl_error *why)
{
    struct cli_chat_ask ask = {.settings  = &c->settings,
                               .seed      = c->settings.request.seed + c->retries,
                               .tokenizer = c->text.tokenizer,
                               .on_piece  = cli_chat_show_piece,
                               .user      = c};
    TW_TRY(cli_chat_history_encode(&c->history, &c->text, why));
    TW_TRY(gather_stops(c, &ask.n_stop, why));
    ask.stop     = c->stop;
    ask.prompt   = c->text.ids.data;
    ask.n_prompt = c->text.ids.size;
    return cli_chat_answer(&c->answer, &ask, why);
}

/* The turn is gone from the conversation, its row says why. */
static trawl_status fail_turn(struct cli_chat *c, const struct trawl_error *why, struct trawl_error *err)
{
    struct tw_str line;
    struct tw_json_writer w;
    c->n_failed++;
    (void)cli_chat_history_drop_turn(&c->history);
    if (!c->json) {
        cli_chat_say("%strawl chat: %s\n", c->answer.n_tokens > 0 ? "\n" : "", why->message);
        return TRAWL_OK;
    }
    tw_str_init(&line, 0);
    tw_json_writer_init(&w, &line, 0);
    tw_json_begin_object(&w);
    tw_json_key(&w, "finish_reason");
    tw_json_string(&w, "error");
    tw_json_key(&w, "error");
    tw_json_string(&w, why->message);
    tw_json_end_object(&w);
    trawl_status status = tw_json_writer_finish(&w, err);
    if (status == TRAWL_OK) {
        status = tw_str_putc(&line, '\n', err);
    }
    if (status == TRAWL_OK) {
        status = cli_write(line.data, line.size, err);
    }
    tw_str_release(&line);
    return status;
}

/* Ctrl-C at a terminal meant the answer; any other signal means all of it. */
static trawl_status heed_signal(struct cli_chat *c, struct trawl_error *err)
{
    if (!cli_interrupted()) {
        return TRAWL_OK;
    }
    if (c->interactive && cli_interrupt_signal() == SIGINT) {
        cli_interrupt_forget();
        return TRAWL_OK;
    }
    return tw_fail(err, TRAWL_ERR_CANCELLED, "interrupted");
}

trawl_status cli_chat_respond(struct cli_chat *c, struct trawl_error *err)
{
    const struct cli_chat_answer *a = &c->answer;
    struct trawl_error why          = {0};
    trawl_status status             = answer(c, &why);
    if (status == TRAWL_ERR_NOMEM || (status == TRAWL_ERR_IO && why.os_error != 0)) {
        *err = why;
        return status;
    }
    if (status != TRAWL_OK) {
        TW_TRY(fail_turn(c, &why, err));
        return heed_signal(c, err);
    }
    if (a->n_tokens == 0 && a->finish_reason == TRAWL_FINISH_CANCELLED) {
        (void)cli_chat_history_drop_turn(&c->history);
        cli_chat_say("(stopped before the answer began: the turn is taken back)\n");
    } else {
        TW_TRY(
            cli_chat_history_add(&c->history, "assistant", tw_str_text(&a->text.text), a->text.shown, err));
        TW_TRY(cli_chat_show_end(c, err));
    }
    return heed_signal(c, err);
}

/* ---- turns ---- */

static trawl_status hear(struct cli_chat *c, struct trawl_error *err)
{
    struct trawl_error why;
    const char *turn = tw_str_text(&c->input.turn);
    size_t n         = c->input.turn.size;
    if (!c->input.quoted && n == strspn(turn, " \t")) {
        return TRAWL_OK;
    }
    if (!c->input.quoted && turn[0] == '/') {
        if (n == 1 || turn[1] != '/') {
            return cli_chat_command(c, turn, n, err);
        }
        turn++;
        n--;
    }
    c->retries          = 0;
    trawl_status status = cli_chat_history_add(&c->history, "user", turn, n, &why);
    if (status != TRAWL_OK) {
        c->n_failed++;
        cli_chat_say("trawl chat: %s\n", why.message);
        return TRAWL_OK;
    }
    return cli_chat_respond(c, err);
}

static trawl_status talk(struct cli_chat *c, struct trawl_error *err)
{
    enum cli_chat_heard heard = CLI_CHAT_TURN;
    while (!c->leaving && heard != CLI_CHAT_END) {
        TW_TRY(cli_chat_input_next(&c->input, &heard, err));
        if (heard == CLI_CHAT_LEAVE) {
            return cli_interrupted() ? tw_fail(err, TRAWL_ERR_CANCELLED, "interrupted") : TRAWL_OK;
        }
        if (heard == CLI_CHAT_TURN) {
            TW_TRY(hear(c, err));
        }
    }
    return TRAWL_OK;
}

/* ---- the command ---- */

static trawl_status check_options(const struct cli_chat *c, const struct cli_args *args,
                                  struct trawl_error *err)
{
    if (cli_args_world(args) != NULL && trawl_world_size(cli_args_world(args)) > 1) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                       "a chat is a session, which needs the whole mesh in one process, and there are %d",
                       trawl_world_size(cli_args_world(args)));
    }
    if (c->settings.show_entropy && (!c->color || c->json)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "--show_entropy colours text, %s",
                       c->json ? "which --json does not print"
                               : "and standard output is no terminal with colours");
    }
    return TRAWL_OK;
}

static trawl_status begin_history(struct cli_chat *c, const struct cli_args *args, struct trawl_error *err)
{
    TW_TRY(cli_chat_history_open(&c->history, tw_tokenizer_has_chat_template(c->text.tokenizer), err));
    if (cli_given(args, "load")) {
        TW_TRY(cli_chat_history_load(&c->history, cli_get_string(args, "load"), err));
    }
    if (cli_given(args, "system")) {
        const char *text = cli_get_string(args, "system");
        TW_TRY(cli_chat_history_system(&c->history, text, strlen(text), err));
    }
    return TRAWL_OK;
}

static trawl_status open_text(struct cli_chat *c, const struct cli_args *args, struct trawl_error *err)
{
    char *folder = NULL;
    TW_TRY(cli_model_folder_checked(cli_get_string(args, "model_path"), &folder, err));
    trawl_status status = cli_row_text_open(&c->text, folder, err);
    tw_free(folder);
    TW_TRY(status);
    return c->text.tokenizer != NULL
               ? TRAWL_OK
               : tw_fail(err, TRAWL_ERR_UNSUPPORTED, "text needs a tokenizer: %s", c->text.why_none.message);
}

static void greet(const struct cli_chat *c, const trawl_engine *engine, const struct cli_args *args)
{
    struct trawl_model_info info;
    trawl_engine_info(engine, &info);
    if (c->history.plain != NULL) {
        cli_chat_say(
            "trawl: warning: the model has no chat template: the conversation is written as lines \"User: "
            "...\" and \"Assistant: ...\", and an answer ends where the next \"User:\" begins\n");
    }
    if (c->interactive && !cli_get_flag(args, "quiet")) {
        cli_chat_say("%s, %.3g parameters, %s, a context of %zu tokens. /help lists the commands.\n",
                     info.architecture, (double)info.parameters, cli_get_string(args, "dtype"), info.context);
    }
}

static trawl_status run(struct cli_chat *c, const struct cli_args *args, trawl_engine **engine,
                        struct trawl_error *err)
{
    c->json        = cli_get_flag(args, "json");
    c->color       = cli_use_color(stdout);
    c->interactive = cli_is_terminal(stdin);
    cli_chat_command_words(c->words);
    TW_TRY(cli_chat_settings_open(&c->settings, args, err));
    TW_TRY(check_options(c, args, err));
    TW_TRY(open_text(c, args, err));
    TW_TRY(begin_history(c, args, err));
    TW_TRY(cli_engine_open(args, engine, err));
    TW_TRY(cli_chat_answer_open(&c->answer, *engine, (size_t)cli_get_int(args, "prefill_chunk"), err));
    TW_TRY(cli_chat_input_open(&c->input, c->words, CLI_CHAT_COMMANDS, err));
    greet(c, *engine, args);
    return talk(c, err);
}

int cmd_chat(const struct cli_args *args, struct trawl_error *err)
{
    struct cli_chat c    = {0};
    trawl_engine *engine = NULL;
    trawl_status status  = run(&c, args, &engine, err);
    cli_chat_input_close(&c.input);
    cli_chat_answer_release(&c.answer);
    trawl_engine_close(&engine);
    cli_chat_settings_release(&c.settings);
    cli_chat_history_release(&c.history);
    cli_row_text_close(&c.text);
    tw_free(c.stop);
    if (status == TRAWL_OK && c.n_failed > 0 && !c.interactive) {
        (void)tw_fail(err, TRAWL_ERR_FORMAT, "%zu of the lines failed", c.n_failed);
        return CLI_EXIT_INCOMPLETE;
    }
    return cli_exit_code(status);
}
