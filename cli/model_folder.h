/* SPDX-License-Identifier: MIT */
/* Where --model_path leads. */
#ifndef CLI_MODEL_FOLDER_H
#define CLI_MODEL_FOLDER_H

#include "base/error.h"

/* A folder is itself; "org/name" that is no folder is looked up in the Hugging Face hub cache
 * ($HF_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub, ~/.cache/huggingface/hub): the snapshot that
 * refs/main names, as trawl pull leaves it. *out is freed with tw_free. */
trawl_status cli_model_folder(const char *model_path, char **out, struct trawl_error *err);
/* The same, and its config.json is that of a model which can be run: for commands that read a tokenizer and
 * prompts before they open the model. */
trawl_status cli_model_folder_checked(const char *model_path, char **out, struct trawl_error *err);

#endif /* CLI_MODEL_FOLDER_H */
