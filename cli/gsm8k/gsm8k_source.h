/* SPDX-License-Identifier: MIT */
/* Where the questions of trawl gsm8k are. */
#ifndef CLI_GSM8K_SOURCE_H
#define CLI_GSM8K_SOURCE_H

#include "base/error.h"

/* The path of the test split: `given`, or where it lies in the cache of the Hugging Face hub, or in trawl's own, where it
 * is fetched to if need be ($TRAWL_GSM8K_URL, else GitHub). A failure says where it should be and how to get it. *out is
 * freed with tw_free. */
trawl_status cli_gsm8k_find(const char *given, char **out, struct trawl_error *err);

#endif /* CLI_GSM8K_SOURCE_H */
