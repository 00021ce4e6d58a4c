/* SPDX-License-Identifier: MIT */
/* Prompt versions: three templates (system, user, assistant) and what is to be read from the answer. */
#ifndef TW_ARC_PROMPT_H
#define TW_ARC_PROMPT_H

#include <stdbool.h>
#include <stddef.h>

#include "apps/arc/arc_augment.h"
#include "apps/arc/arc_dataset.h"
#include "apps/arc/arc_encoder.h"
#include "base/error.h"
#include "base/str.h"
#include "json/json.h"

enum tw_arc_answer_kind {
    TW_ARC_ANSWER_GRID,
    TW_ARC_ANSWER_CODE,   /* a Python function; recorded, never executed */
    TW_ARC_ANSWER_INDEX,  /* "1" or "2": which of two proposed outputs */
    TW_ARC_ANSWER_YES_NO, /* whether a proposed output is right */
};

struct tw_arc_prompt_version {
    const char *name;
    enum tw_arc_answer_kind answer;
    const char *needs; /* what a prompt takes that no data set has ("code"), or NULL */
};

/* The versions with a meaning of their own; ends with a NULL name. */
const struct tw_arc_prompt_version *tw_arc_prompt_versions(void);

/* How messages become one text: the chat template of the model's tokenizer, behind a function so that this
 * code needs no tokenizer. `messages` is [{"role", "content"}, ...], ends with the assistant's turn and is
 * rendered without a generation prompt. */
struct tw_arc_chat {
    trawl_status (*render)(void *user, const json_t *messages, struct tw_str *out, struct trawl_error *err);
    void *user;
    const char *eos_token; /* text of the tokenizer's end token, NULL when it has none */
};

struct tw_arc_prompt; /* read-only after opening: threads may share it */

/* Version `name`: from <dir>/<name>/{system,user,assistant}.jinja when `dir` is given, else our own wording
 * of the name. A folder may bring a name that is not in the table; its answers are taken for grids. The
 * user's and the assistant's turn are Jinja templates that see train_samples[].input and .output,
 * test_input (grids as text) and output (the opening of the answer). The system text is no template: it is
 * taken as it is, to the last newline, because that is how models were trained on it.
 * TRAWL_ERR_UNSUPPORTED: the version needs what a data set does not have; the message says what.
 * TRAWL_ERR_INVALID: unknown name; the message lists the known ones. */
trawl_status tw_arc_prompt_open(struct tw_arc_prompt **out, const char *name, const char *dir,
                                const struct tw_arc_encoder *encoder, struct trawl_error *err);
void tw_arc_prompt_free(struct tw_arc_prompt *p);

enum tw_arc_answer_kind tw_arc_prompt_answer(const struct tw_arc_prompt *p);
const struct tw_arc_encoder *tw_arc_prompt_encoder(const struct tw_arc_prompt *p);
/* What the assistant's turn begins with, so what must be put before a response to read it: "```grid" when
 * the encoder's texts begin so (else ""), "```python\n" for code, "" for the rest. */
const char *tw_arc_prompt_opening(const struct tw_arc_prompt *p);

/* Append the prompt for test input `idx` of `task` seen through `a`: the three messages through the chat
 * template, cut where the assistant's turn would end, so that the model continues after the opening. The cut
 * is at the last <|eot_id|>, else the last <|im_end|>, else the last <|end|>, else the last eos token of the
 * tokenizer. A chat template that gives none of them, or that puts anything but white space between the
 * assistant's text and the marker, is TRAWL_ERR_UNSUPPORTED. */
trawl_status tw_arc_prompt_render(const struct tw_arc_prompt *p, const struct tw_arc_chat *chat,
                                  const struct tw_arc_task *task, int idx, const struct tw_arc_augment *a,
                                  struct tw_str *out, struct trawl_error *err);

/* Read a response (special tokens left out) to a prompt of version `p` under `a`: opening + response through
 * the encoder, then the augmentation undone. TRAWL_ERR_FORMAT: the clause to keep in the record. Versions
 * whose answer is no grid always give that. */
trawl_status tw_arc_prompt_read_answer(const struct tw_arc_prompt *p, const struct tw_arc_augment *a,
                                       const char *response, size_t n, struct tw_arc_grid *grid,
                                       struct trawl_error *err);

#endif /* TW_ARC_PROMPT_H */
