/* SPDX-License-Identifier: MIT */
/* The messages of a chat: at most one system message, then turns. */
#ifndef CLI_CHAT_HISTORY_H
#define CLI_CHAT_HISTORY_H

#include "cli/generate/generate_rows.h"
#include "text/text_template.h"

struct cli_chat_history {
    json_t *messages; /* array of {"role", "content", ...} */
    struct tw_template
        *plain; /* what stands in for the chat template of a tokenizer without one; else NULL */
};

/* Empty. Without a chat template the conversation is written as a dialogue is. Released in any case. */
trawl_status cli_chat_history_open(struct cli_chat_history *h, bool has_chat_template,
                                   struct trawl_error *err);
void cli_chat_history_release(struct cli_chat_history *h);

/* The text that ends an answer beyond what the settings say; NULL: none. */
const char *cli_chat_history_stop(const struct cli_chat_history *h);

/* Set or replace the system message; NULL: take it away. */
trawl_status cli_chat_history_system(struct cli_chat_history *h, const char *text, size_t n,
                                     struct trawl_error *err);
/* The system message, NULL when there is none; *n bytes. */
const char *cli_chat_history_get_system(const struct cli_chat_history *h, size_t *n);
/* errors: FORMAT: the text is not UTF-8. */
trawl_status cli_chat_history_add(struct cli_chat_history *h, const char *role, const char *text, size_t n,
                                  struct trawl_error *err);
/* Forget what was said after the last message of the user. False: there is none, and nothing is forgotten. */
bool cli_chat_history_drop_answer(struct cli_chat_history *h);
/* Forget that message as well. */
bool cli_chat_history_drop_turn(struct cli_chat_history *h);
/* Forget all but the system message. */
void cli_chat_history_reset(struct cli_chat_history *h);
/* Messages of the user. */
size_t cli_chat_history_turns(const struct cli_chat_history *h);

/* Ids of the conversation, up to where the assistant's turn begins, into t->ids. */
trawl_status cli_chat_history_encode(const struct cli_chat_history *h, struct cli_row_text *t,
                                     struct trawl_error *err);

/* A file with one row {"messages": [...]}, which --prompts_file of generate takes; it appears whole or not at all. */
trawl_status cli_chat_history_save(const struct cli_chat_history *h, const char *path,
                                   struct trawl_error *err);
/* Messages of such a file, or of a list of messages, in place of what there is; other members of the row are not looked
 * at. A failure changes nothing. */
trawl_status cli_chat_history_load(struct cli_chat_history *h, const char *path, struct trawl_error *err);
/* The same of JSON text; `name` begins messages. */
trawl_status cli_chat_history_parse(struct cli_chat_history *h, const char *text, size_t n, const char *name,
                                    struct trawl_error *err);

#endif /* CLI_CHAT_HISTORY_H */
