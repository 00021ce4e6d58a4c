/* SPDX-License-Identifier: MIT */
/* Where the environment says that things from the network lie. */
#ifndef CLI_HUB_PLACE_H
#define CLI_HUB_PLACE_H

#include "base/str.h"

/* A variable that is set and not empty, else NULL. */
const char *cli_environment(const char *name);
/* Append the hub cache: $HF_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub, ~/.cache/huggingface/hub. */
trawl_status cli_hub_cache(struct tw_str *out, struct trawl_error *err);
/* Append trawl's own: $TRAWL_CACHE, $XDG_CACHE_HOME/trawl, ~/.cache/trawl. */
trawl_status cli_trawl_cache(struct tw_str *out, struct trawl_error *err);

#endif /* CLI_HUB_PLACE_H */
