/* SPDX-License-Identifier: MIT */
/* A file of thresholds for the entropy policy: what is read is fit to sample with. */
#include <stdint.h>
#include <stdlib.h>

#include "api/api_sampling.h"
#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct trawl_entropy_policy policy;
    json_t *j = NULL;
    if (tw_json_parse((const char *)data, size, "policy", &j, NULL) != TRAWL_OK) {
        return 0;
    }
    if (tw_api_policy_read(j, "policy", NULL, &policy, NULL) == TRAWL_OK) {
        struct tw_policy p = tw_api_policy(&policy);
        if (!p.on || tw_policy_check(&p, NULL) != TRAWL_OK ||
            tw_policy_state(&p, (double)(data[0] % 16), (double)(size % 16)) >= TW_ENTROPY_STATES) {
            abort();
        }
    }
    json_decref(j);
    return 0;
}
