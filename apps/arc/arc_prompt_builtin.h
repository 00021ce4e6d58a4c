/* SPDX-License-Identifier: MIT */
/* Wording of the prompt versions for models that were not fine-tuned on another one's. */
#ifndef TW_ARC_PROMPT_BUILTIN_H
#define TW_ARC_PROMPT_BUILTIN_H

struct tw_arc_prompt_text {
    const char *name;      /* of the version */
    const char *system;    /* plain text */
    const char *user;      /* Jinja */
    const char *assistant; /* Jinja */
};

/* NULL when the version has no built-in wording. */
const struct tw_arc_prompt_text *tw_arc_prompt_builtin(const char *name);

#endif /* TW_ARC_PROMPT_BUILTIN_H */
