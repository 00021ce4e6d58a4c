/* SPDX-License-Identifier: MIT */
#include "cli/hub_place.h"

#include <stdlib.h>

const char *cli_environment(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && *value != '\0' ? value : NULL;
}

/* "<cache of the user>/<name>" */
static trawl_status put_cache(struct tw_str *out, const char *name, struct trawl_error *err)
{
    const char *value = cli_environment("XDG_CACHE_HOME");
    if (value != NULL) {
        return tw_str_printf(out, err, "%s/%s", value, name);
    }
    value = cli_environment("HOME");
    return tw_str_printf(out, err, "%s/.cache/%s", value != NULL ? value : "", name);
}

trawl_status cli_hub_cache(struct tw_str *out, struct trawl_error *err)
{
    const char *value = cli_environment("HF_HUB_CACHE");
    if (value != NULL) {
        return tw_str_puts(out, value, err);
    }
    value = cli_environment("HF_HOME");
    return value != NULL ? tw_str_printf(out, err, "%s/hub", value) : put_cache(out, "huggingface/hub", err);
}

trawl_status cli_trawl_cache(struct tw_str *out, struct trawl_error *err)
{
    const char *value = cli_environment("TRAWL_CACHE");
    return value != NULL ? tw_str_puts(out, value, err) : put_cache(out, "trawl", err);
}
