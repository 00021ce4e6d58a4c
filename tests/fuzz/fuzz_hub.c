/* SPDX-License-Identifier: MIT */
/* What a hub says of a repository: every file that is taken has a path below it and a hash that can name a blob. */
#include <string.h>

#include "hub/hub_listing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tw_hub_listing l;
    if (tw_hub_listing_parse(&l, (const char *)data, size, "hub", NULL) == TRAWL_OK) {
        TW_BUG_ON(strchr(l.commit, '/') != NULL || strlen(l.commit) != 40);
        for (size_t i = 0; i < l.n; i++) {
            size_t digits = strlen(l.files[i].hash);
            TW_BUG_ON(digits != 40 && digits != 64);
            TW_BUG_ON(l.files[i].path[0] == '/' || strstr(l.files[i].path, "/../") != NULL);
            (void)tw_hub_model_file(l.files[i].path);
        }
    }
    tw_hub_listing_release(&l);
    return 0;
}
